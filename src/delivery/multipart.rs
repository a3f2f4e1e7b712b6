//! Several ranges in one answer: `multipart/byteranges` (RFC 9110 14.6).
//!
//! Each part is the range's own stream, opened when its turn comes; the length of the whole is known beforehand.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::range::ByteRange;
use crate::body::Frames;

/// Opens the stream of one range.
pub type Open = Box<dyn FnMut(ByteRange) -> Frames + Send>;

/// The body, and what its head must say.
pub struct Multipart {
    pieces: VecDeque<Piece>,
    current: Option<Frames>,
    open: Open,
    boundary: String,
    /// Bytes still to come.
    left: u64,
}

enum Piece {
    Text(Bytes),
    Range(ByteRange),
}

impl Multipart {
    /// The ranges, in this order, of a file of `size` bytes and this media type.
    pub fn new(ranges: &[ByteRange], size: u64, media_type: &str, open: Open) -> Self {
        let boundary = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
        let mut pieces = VecDeque::with_capacity(2 * ranges.len() + 1);
        let mut left = 0;
        for (n, range) in ranges.iter().enumerate() {
            let before = if n == 0 { "" } else { "\r\n" };
            let text = format!(
                "{before}--{boundary}\r\nContent-Type: {media_type}\r\nContent-Range: {}\r\n\r\n",
                range.content_range(size)
            );
            left += text.len() as u64 + range.length();
            pieces.push_back(Piece::Text(text.into()));
            pieces.push_back(Piece::Range(*range));
        }
        let end = format!("\r\n--{boundary}--\r\n");
        left += end.len() as u64;
        pieces.push_back(Piece::Text(end.into()));
        Self {
            pieces,
            current: None,
            open,
            boundary,
            left,
        }
    }

    /// The value of `Content-Type`.
    pub fn media_type(&self) -> String {
        format!("multipart/byteranges; boundary={}", self.boundary)
    }

    /// The value of `Content-Length`.
    pub fn length(&self) -> u64 {
        self.left
    }
}

impl HttpBody for Multipart {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        loop {
            if let Some(current) = &mut this.current {
                match ready!(current.as_mut().poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        if let Some(data) = frame.data_ref() {
                            this.left = this.left.saturating_sub(data.len() as u64);
                        }
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    Some(Err(error)) => {
                        this.pieces.clear();
                        this.current = None;
                        return Poll::Ready(Some(Err(error)));
                    }
                    None => this.current = None,
                }
            }
            match this.pieces.pop_front() {
                Some(Piece::Text(text)) => {
                    this.left = this.left.saturating_sub(text.len() as u64);
                    return Poll::Ready(Some(Ok(Frame::data(text))));
                }
                Some(Piece::Range(range)) => this.current = Some((this.open)(range)),
                None => return Poll::Ready(None),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

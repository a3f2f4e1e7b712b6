//! The one response body: empty, bytes, dav-server's, or a stream of frames.
//!
//! A [`Body::Stream`] carries whatever must live as long as the transfer (permits, counters)
//! inside its stream; dropping the body frees it all. A stream that ends in an error makes hyper
//! close the connection without a proper end, so that a client never takes a part for the whole.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};

/// A stream of frames with its own idea of its length.
pub type Frames = Pin<Box<dyn HttpBody<Data = Bytes, Error = io::Error> + Send>>;

/// A response body.
#[derive(Default)]
pub enum Body {
    /// No bytes.
    #[default]
    Empty,
    /// Bytes in hand.
    Full(Bytes),
    /// What dav-server answered.
    Dav(dav_server::body::Body),
    /// Frames as they come.
    Stream(Frames),
}

impl Body {
    /// A body of frames.
    pub fn stream(frames: impl HttpBody<Data = Bytes, Error = io::Error> + Send + 'static) -> Self {
        Self::Stream(Box::pin(frames))
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::Empty
        } else {
            Self::Full(bytes)
        }
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Bytes::from(text).into()
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        match this {
            Self::Empty => Poll::Ready(None),
            Self::Full(_) => match std::mem::take(this) {
                Self::Full(bytes) => Poll::Ready(Some(Ok(Frame::data(bytes)))),
                _ => Poll::Ready(None),
            },
            Self::Dav(body) => Pin::new(body).poll_frame(cx),
            Self::Stream(frames) => frames.as_mut().poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Empty => true,
            Self::Full(_) => false,
            Self::Dav(body) => body.is_end_stream(),
            Self::Stream(frames) => frames.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Empty => SizeHint::with_exact(0),
            Self::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Self::Dav(body) => body.size_hint(),
            Self::Stream(frames) => frames.size_hint(),
        }
    }
}

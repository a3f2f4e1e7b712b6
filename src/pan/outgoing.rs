//! A request body of known length that streams.
//!
//! It tells its exact size, so it goes out with `Content-Length` and never chunked; it fails rather than
//! send more or fewer bytes than it told. The other side takes frames as fast as it can, nothing is
//! held here; how far it has come can be watched from outside.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Frame, SizeHint};

/// Bytes in frames.
pub type Frames = Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send + Sync>>;

/// The body.
pub(super) struct Outgoing {
    frames: Frames,
    left: u64,
    progress: Arc<Progress>,
}

/// What is seen of a body from outside.
#[derive(Debug, Default)]
pub(super) struct Progress {
    taken: AtomicU64,
    source_failed: AtomicBool,
}

impl Outgoing {
    pub(super) fn new(length: u64, frames: Frames) -> Self {
        Self {
            frames,
            left: length,
            progress: Arc::default(),
        }
    }

    pub(super) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.progress)
    }

    fn fail<T>(&self, error: io::Error) -> Poll<Option<io::Result<T>>> {
        self.progress.source_failed.store(true, Ordering::Relaxed);
        Poll::Ready(Some(Err(error)))
    }
}

impl Progress {
    /// Whether the bytes, and not the connection, failed.
    pub(super) fn source_failed(&self) -> bool {
        self.source_failed.load(Ordering::Relaxed)
    }

    /// Waits until no frame has been taken for a time.
    pub(super) async fn stalled(&self, time: Duration) {
        loop {
            let before = self.taken.load(Ordering::Relaxed);
            tokio::time::sleep(time).await;
            if self.taken.load(Ordering::Relaxed) == before {
                return;
            }
        }
    }
}

impl http_body::Body for Outgoing {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        match ready!(self.frames.as_mut().poll_next(cx)) {
            Some(Ok(frame)) if frame.len() as u64 <= self.left => {
                self.left -= frame.len() as u64;
                self.progress
                    .taken
                    .fetch_add(frame.len() as u64, Ordering::Relaxed);
                Poll::Ready(Some(Ok(Frame::data(frame))))
            }
            Some(Ok(_)) => self.fail(io::Error::other("more bytes than announced")),
            Some(Err(error)) => self.fail(error),
            None => self.fail(io::Error::from(io::ErrorKind::UnexpectedEof)),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

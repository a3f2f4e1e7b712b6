//! The stream of a connection, which notes whether its client has yet to take bytes.
//!
//! An answer has ended for us when its last frame was handed to hyper; for the client it ends when the last byte is there.
//! Between the two lie hyper's buffer and one frame, which a paused player may leave for minutes: no reason to call the
//! connection idle.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::crowd::Place;

/// A stream of the connection at a place.
pub(super) struct Owed<S> {
    stream: S,
    place: Arc<Place>,
    /// The last attempt to send did not get all away.
    waits: bool,
}

impl<S> Owed<S> {
    pub(super) fn new(stream: S, place: Arc<Place>) -> Self {
        Self {
            stream,
            place,
            waits: false,
        }
    }

    fn noted<T>(&mut self, sent: Poll<T>) -> Poll<T> {
        if sent.is_pending() != self.waits {
            self.waits = sent.is_pending();
            self.place.owes(self.waits, Instant::now());
        }
        sent
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Owed<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Owed<S> {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = Pin::new(&mut this.stream).poll_write(cx, bytes);
        this.noted(sent)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let sent = Pin::new(&mut this.stream).poll_write_vectored(cx, parts);
        this.noted(sent)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let sent = Pin::new(&mut this.stream).poll_flush(cx);
        this.noted(sent)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}

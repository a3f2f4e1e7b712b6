//! The body of a PUT: read by dav-server as far as it is needed, and the rest by us.
//!
//! Where 123pan has the announced content (instant upload), the body ends for dav-server before its first byte. A client that
//! waits for `100 Continue` is never asked for it. All others are sending, and many read no answer before they have
//! sent everything; a connection that is closed under them loses the answer, and rclone then deletes the file (C4).
//! So what they send is read and thrown away first. After a refusal that is done for a short body only
//! (`request::drain`): a long one costs the client less when the connection ends.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::EXPECT;
use http::{HeaderMap, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::{Instant, Sleep, sleep};

use super::adapter::Work;
use super::request::drain;

/// How long a client may be silent in a body that is not needed.
const SILENCE: Duration = Duration::from_secs(30);
/// How long it may be silent in one that is needed: it may have to read from something slow, but a client that has vanished
/// must not hold its place, and what it has sent, for ever.
const LONG_SILENCE: Duration = Duration::from_secs(300);

/// A body that is shared by who reads it and who sees to the rest.
pub(super) struct Incoming<B> {
    shared: Shared<B>,
    /// The client waits to be asked for the body (RFC 9110 10.1.1).
    waits: bool,
    version: Version,
}

struct State<B> {
    body: Pin<Box<B>>,
    /// Somebody has begun to read it, and so it was asked for.
    begun: bool,
    /// It has been read to its end, or is broken.
    ended: bool,
    /// It broke because nothing came.
    silent: bool,
}

type Shared<B> = Arc<Mutex<State<B>>>;

impl<B: Body> Incoming<B>
where
    B::Error: std::error::Error + Send + Sync + 'static,
{
    /// The body of a request with these headers.
    pub(super) fn new(body: B, headers: &HeaderMap, version: Version) -> Self {
        Self {
            shared: Arc::new(Mutex::new(State {
                body: Box::pin(body),
                begun: false,
                ended: false,
                silent: false,
            })),
            waits: headers.contains_key(EXPECT),
            version,
        }
    }

    /// The body for dav-server: at its end as soon as the work does not need it.
    pub(super) fn reader(&self, work: Work) -> Reader<B> {
        Reader::new(self.shared.clone(), Some(work))
    }

    /// Whether the client fell silent in the middle of it.
    pub(super) fn is_silent(&self) -> bool {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).silent
    }

    /// Reads what is left, as far as that makes sense; says whether the connection must be closed.
    pub(super) async fn finish(self, known: bool, status: StatusCode) -> bool {
        let begun = {
            let state = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
            if state.ended || state.body.is_end_stream() {
                return false;
            }
            state.begun
        };
        let close = self.version < Version::HTTP_2;
        if self.waits && !begun {
            return close;
        }
        let mut rest = Reader::new(self.shared, None);
        if !(known && status.is_success()) {
            // The client has been asked for its body, so it is read though it once waited.
            return drain(&HeaderMap::new(), self.version, rest).await;
        }
        loop {
            match tokio::time::timeout(SILENCE, rest.frame()).await {
                Ok(Some(Ok(_))) => {}
                Ok(None) => return false,
                Ok(Some(Err(_))) | Err(_) => return close,
            }
        }
    }
}

/// One who reads the body.
pub(super) struct Reader<B> {
    shared: Shared<B>,
    work: Option<Work>,
    /// When the client has been silent for too long.
    silence: Pin<Box<Sleep>>,
}

impl<B> Reader<B> {
    fn new(shared: Shared<B>, work: Option<Work>) -> Self {
        Self {
            shared,
            work,
            silence: Box::pin(sleep(LONG_SILENCE)),
        }
    }
}

impl<B: Body> Body for Reader<B>
where
    B::Error: std::error::Error + Send + Sync + 'static,
{
    type Data = B::Data;
    type Error = io::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, io::Error>>> {
        let this = self.get_mut();
        if this.work.as_ref().is_some_and(Work::skips_body) {
            return Poll::Ready(None);
        }
        let mut state = this.shared.lock().unwrap_or_else(PoisonError::into_inner);
        state.begun = true;
        let frame = state.body.as_mut().poll_frame(cx);
        if frame.is_ready() {
            this.silence.as_mut().reset(Instant::now() + LONG_SILENCE);
        } else if this.silence.as_mut().poll(cx).is_ready() {
            (state.ended, state.silent) = (true, true);
            return Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())));
        }
        state.ended = matches!(frame, Poll::Ready(None | Some(Err(_))));
        frame.map(|frame| frame.map(|frame| frame.map_err(io::Error::other)))
    }

    fn is_end_stream(&self) -> bool {
        let state = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        state.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let state = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        state.body.size_hint()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use futures_util::stream;
    use http_body_util::StreamBody;

    #[tokio::test(start_paused = true)]
    async fn a_client_may_be_slow_and_not_silent_for_ever() {
        let frames = stream::unfold(0, |sent| async move {
            if sent == 3 {
                std::future::pending::<()>().await;
            }
            sleep(LONG_SILENCE - Duration::from_secs(1)).await;
            Some((
                Ok::<_, io::Error>(Frame::data(Bytes::from_static(b"x"))),
                sent + 1,
            ))
        });
        let incoming = Incoming::new(StreamBody::new(frames), &HeaderMap::new(), Version::HTTP_11);
        let mut reader = Reader::new(incoming.shared.clone(), None);
        for _ in 0..3 {
            assert!(reader.frame().await.unwrap().is_ok());
        }
        assert!(!incoming.is_silent());
        let begun = Instant::now();
        assert!(reader.frame().await.unwrap().is_err());
        assert!(incoming.is_silent());
        assert_eq!(begun.elapsed(), LONG_SILENCE);
    }
}

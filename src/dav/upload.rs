//! The body of a PUT: read by dav-server as far as it is needed, and the rest by us.
//!
//! Where 123pan has the announced content (instant upload), the body ends for dav-server before its first byte. A client that
//! waits for `100 Continue` is never asked for it. All others are sending, and many read no answer before they have
//! sent everything; a connection that is closed under them loses the answer, and rclone then deletes the file (C4).
//! So what they send is read and thrown away first. After a refusal that is done for a short body only
//! (`request::drain`): a long one costs the client less when the connection ends.
//!
//! A client that falls silent in the middle is not waited for: its connection, its file in the spool and its turn at the
//! name are wanted by others. One that is slow is.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use http::header::EXPECT;
use http::{HeaderMap, StatusCode, Version};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::{Instant, Sleep, sleep_until};

use super::adapter::Work;
use super::request::drain;

/// How long a client may be silent in a body.
const SILENCE: Duration = Duration::from_secs(60);

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
    /// Nothing came for too long.
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
        Reader {
            shared: self.shared.clone(),
            work: Some(work),
            wait: None,
        }
    }

    /// Whether the client fell silent before its body was whole.
    pub(super) fn fell_silent(&self) -> bool {
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
        let mut rest = Reader {
            shared: self.shared,
            work: None,
            wait: None,
        };
        if !(known && status.is_success()) {
            // The client has been asked for its body, so it is read though it once waited.
            return drain(&HeaderMap::new(), self.version, rest).await;
        }
        loop {
            match rest.frame().await {
                Some(Ok(_)) => {}
                None => return false,
                Some(Err(_)) => return close,
            }
        }
    }
}

/// One who reads the body.
pub(super) struct Reader<B> {
    shared: Shared<B>,
    work: Option<Work>,
    /// The end of the client's time, while something is waited for.
    wait: Option<Pin<Box<Sleep>>>,
}

impl<B: Body> Body for Reader<B>
where
    B::Error: std::error::Error + Send + Sync + 'static,
{
    type Data = B::Data;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<B::Data>>>> {
        let this = self.get_mut();
        if this.work.as_ref().is_some_and(Work::skips_body) {
            return Poll::Ready(None);
        }
        let mut state = this.shared.lock().unwrap_or_else(PoisonError::into_inner);
        state.begun = true;
        let frame = state.body.as_mut().poll_frame(cx);
        if frame.is_ready() {
            this.wait = None;
            state.ended = matches!(frame, Poll::Ready(None | Some(Err(_))));
            return frame.map(|frame| frame.map(|frame| frame.map_err(io::Error::other)));
        }
        let end = || Box::pin(sleep_until(Instant::now() + SILENCE));
        if this.wait.get_or_insert_with(end).as_mut().poll(cx).is_pending() {
            return Poll::Pending;
        }
        (state.ended, state.silent) = (true, true);
        // An error and no end: what has come must not be taken for the whole.
        Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())))
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

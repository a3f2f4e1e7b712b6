//! One download, streamed through: the frames of the CDN as they come, resumed on a break.
//!
//! A frame is handed on uncopied; the next one is read only when the client takes it, and dropping the body
//! drops the upstream request. When the stream breaks, ends early or stalls, it is opened again at the byte
//! where it broke; size and entity tag must still be those of before. What cannot be resumed ends in an
//! error, so that the client's connection closes early: never wrong bytes, never too many.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::header::HeaderValue;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use super::budget::Meter;
use super::pool::Arriving;
use super::range::Spec;
use super::upstream::{Limits, Opened, Refused, Source, Want};
use crate::drive::{Error, ErrorKind, Retry};

/// Bytes after which a resumed stream counts as getting on.
pub const PROGRESS: u64 = 64 * 1024;
/// A pause that the CDN asks for is made up to this; a longer one ends the download.
pub const LONGEST_ASKED: Duration = Duration::from_secs(15);

/// The body of a streamed answer.
pub struct Transfer {
    source: Arc<Source>,
    state: State,
    /// Bytes of the current stream still to throw away.
    skip: u64,
    /// Position of the next byte for the client.
    next: u64,
    /// Position after the last one.
    end: u64,
    size: u64,
    etag: Option<HeaderValue>,
    /// Resumptions since the stream last got on, and where it stood at the latest.
    resumes: u32,
    resumed_at: u64,
    waiting_since: Option<Instant>,
    /// When it could not be opened again at first, with no byte since.
    down: Outage,
    meter: Option<Meter>,
}

/// How long nothing could be opened.
#[derive(Debug, Default)]
pub struct Outage(Option<Instant>);

impl Outage {
    /// Nothing could be opened; whether that is to be borne yet.
    pub fn bears(&mut self, limits: &Limits) -> bool {
        self.0.get_or_insert_with(Instant::now).elapsed() < limits.outage
    }

    /// A byte has come.
    pub fn is_over(&mut self) {
        self.0 = None;
    }
}

enum State {
    Streaming(Arriving),
    Opening(Pin<Box<dyn Future<Output = Result<Opened, Refused>> + Send>>),
    Done,
}

impl Transfer {
    /// The body of an opened stream; `meter` counts its bytes.
    pub fn new(source: Arc<Source>, opened: Opened, meter: Option<Meter>) -> Self {
        Self {
            source,
            skip: opened.skip,
            next: opened.start,
            end: opened.end,
            size: opened.size,
            etag: opened.etag,
            state: if opened.start == opened.end {
                State::Done
            } else {
                State::Streaming(opened.body)
            },
            resumes: 0,
            resumed_at: opened.start,
            waiting_since: None,
            down: Outage::default(),
            meter,
        }
    }

    /// Cuts a frame to what is wanted; `None` if nothing of it is.
    fn take(&mut self, data: Bytes) -> Option<Bytes> {
        self.waiting_since = None;
        self.down.is_over();
        let (data, thrown) = cut(data, &mut self.skip, self.end - self.next);
        if let Some(meter) = &mut self.meter {
            meter.count(data.len() as u64 + thrown);
        }
        if data.is_empty() {
            return None;
        }
        self.next += data.len() as u64;
        if self.next - self.resumed_at >= PROGRESS {
            self.resumes = 0;
        }
        if self.next == self.end {
            self.state = State::Done;
        }
        Some(data)
    }

    /// Opens the stream again where it broke, after a pause of `at_least` this much.
    ///
    /// # Errors
    /// When that was tried too often without getting on, unless it is borne.
    fn resume(&mut self, why: &str, at_least: Duration, borne: bool) -> io::Result<()> {
        let limits = self.source.supply.limits;
        tracing::debug!(mount = %self.source.supply.mount, at = self.next, resumes = self.resumes, "a download broke: {why}");
        self.waiting_since = None;
        if self.resumes >= limits.resumes && !borne {
            return Err(self.give_up(Error::new(
                ErrorKind::Unreachable,
                "The download from 123pan broke again and again.",
            )));
        }
        let pause = limits.pause_before(self.resumes, at_least);
        self.resumes = self.resumes.saturating_add(1);
        self.source.supply.counts.resumes.inc();
        self.resumed_at = self.next;
        let source = Arc::clone(&self.source);
        let want = Want {
            spec: Some(Spec::From(self.next, Some(self.end - 1))),
            size: Some(self.size),
            link: None,
        };
        self.state = State::Opening(Box::pin(async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            source.open(want).await
        }));
        Ok(())
    }

    /// Goes on with what was opened, if it is still the same file.
    fn go_on(&mut self, opened: Result<Opened, Refused>) -> io::Result<()> {
        match opened {
            Ok(opened) => {
                if let (Some(before), Some(now)) = (&self.etag, &opened.etag)
                    && before != now
                {
                    return Err(self.give_up(changed()));
                }
                if self.etag.is_none() {
                    self.etag = opened.etag;
                }
                self.skip = opened.skip;
                self.state = State::Streaming(opened.body);
                Ok(())
            }
            Err(Refused::Failed(error)) => {
                let borne = error.retry() != Retry::Never && self.down.bears(&self.source.supply.limits);
                match error.retry() {
                    Retry::Soon => self.resume(error.sentence(), Duration::ZERO, borne),
                    Retry::After(pause) if borne || pause <= LONGEST_ASKED => {
                        self.resume(error.sentence(), pause.min(LONGEST_ASKED), borne)
                    }
                    _ => Err(self.give_up(error)),
                }
            }
            Err(Refused::Unsatisfiable(_)) => Err(self.give_up(shorter())),
        }
    }

    fn give_up(&mut self, error: Error) -> io::Error {
        self.state = State::Done;
        give_up(&self.source.supply.mount, self.next, self.end, error)
    }
}

/// Cuts a frame to what is wanted: `skip` bytes are thrown away first, and no more than `left` are taken. Tells how many were
/// thrown away: they were paid for too.
pub fn cut(mut data: Bytes, skip: &mut u64, left: u64) -> (Bytes, u64) {
    let thrown = (*skip).min(data.len() as u64);
    *skip -= thrown;
    data.advance(thrown as usize);
    if data.len() as u64 > left {
        data.truncate(left as usize);
    }
    (data, thrown)
}

/// The end of a download at byte `at` instead of `end`: told in the log, and to the client by a broken connection.
pub fn give_up(mount: &str, at: u64, end: u64, error: Error) -> io::Error {
    tracing::warn!(mount, at, end, "a download ends early: {error}");
    io::Error::other(error)
}

/// A part has another entity tag than those before. The same answer cannot go on, whatever the CDN says next.
pub fn changed() -> Error {
    Error::new(ErrorKind::Nonsense, "The file changed while it was downloaded.").with_retry(Retry::Never)
}

/// The CDN says that there are no such bytes.
pub fn shorter() -> Error {
    Error::new(
        ErrorKind::Nonsense,
        "The file became shorter while it was downloaded.",
    )
}

impl HttpBody for Transfer {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        loop {
            let step = match &mut this.state {
                State::Done => return Poll::Ready(None),
                State::Opening(opening) => {
                    let opened = ready!(opening.as_mut().poll(cx));
                    this.go_on(opened)
                }
                State::Streaming(body) => match Pin::new(&mut *body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        match frame.into_data().ok().and_then(|data| this.take(data)) {
                            Some(data) => return Poll::Ready(Some(Ok(Frame::data(data)))),
                            None => continue,
                        }
                    }
                    Poll::Ready(Some(Err(_))) => this.resume("the connection failed", Duration::ZERO, false),
                    Poll::Ready(None) => this.resume("it ended early", Duration::ZERO, false),
                    Poll::Pending => {
                        let since = *this.waiting_since.get_or_insert_with(Instant::now);
                        ready!(body.poll_late(cx, since + this.source.supply.limits.stall));
                        this.resume("no byte came for too long", Duration::ZERO, false)
                    }
                },
            };
            if let Err(error) = step {
                return Poll::Ready(Some(Err(error)));
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.next == self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end - self.next)
    }
}

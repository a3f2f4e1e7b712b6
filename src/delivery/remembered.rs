//! The body of a streamed answer: from memory as far as that reaches, then from the CDN.
//!
//! The CDN is asked when the memory has no more: a reader who looks at what is remembered and leaves costs nothing.
//! Bytes that another download is about to bring are waited for; from the CDN's on, there is no way back.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use super::budget::Meter;
use super::download::{Opener, Stream};
use super::memory::{Lead, Look, Memory};
use super::proxy::shorter;
use super::range::{ByteRange, Spec};
use super::upstream::{Refused, Want};
use crate::body::Frames;
use crate::drive::{Error, ErrorKind, Link, Retry};

/// The body of a range of a file.
pub struct Remembered {
    opener: Arc<Opener>,
    memory: Option<Memory>,
    state: State,
    lead: Option<Lead>,
    /// Counts what comes from memory; a stream counts its own.
    meter: Option<Meter>,
    patience: Duration,
    /// Position of the next byte.
    next: u64,
    /// Position after the last one.
    end: u64,
    size: u64,
}

enum State {
    Looking,
    Waiting(Pin<Box<dyn Future<Output = ()> + Send>>, Instant),
    Opening(Pin<Box<dyn Future<Output = Result<Stream, Refused>> + Send>>),
    Streaming(Frames),
    Done,
}

impl Remembered {
    /// The body of a range of a file of `size` bytes; nothing is asked of the CDN before it is read.
    pub fn new(opener: Arc<Opener>, memory: Option<Memory>, range: ByteRange, size: u64) -> Self {
        let (patience, meter) = (opener.patience(), opener.meter());
        Self {
            opener,
            memory,
            state: State::Looking,
            lead: None,
            meter,
            patience,
            next: range.first,
            end: range.last + 1,
            size,
        }
    }

    /// The same, but the first bytes are at hand when this returns, so that the answer can say what went wrong.
    /// `link` is one in hand.
    ///
    /// # Errors
    /// What opening the stream gives.
    pub async fn begun(mut self, link: Option<Arc<Link>>) -> Result<Self, Refused> {
        while let Some(memory) = &self.memory {
            match memory.look(self.next, self.end, !self.patience.is_zero()) {
                Look::Bytes(..) => return Ok(self),
                Look::Lead(lead) => {
                    self.lead = Some(lead);
                    break;
                }
                Look::Coming(mut news) => {
                    let since = Instant::now();
                    // Whatever has happened, the memory is looked at again.
                    let _ = tokio::time::timeout(self.patience, news.changed()).await;
                    self.patience = self.patience.saturating_sub(since.elapsed());
                }
            }
        }
        let want = Want { link, ..self.want() };
        let stream = self.opener.open(want).await?;
        self.opened(&stream);
        self.state = State::Streaming(stream.frames);
        Ok(self)
    }

    fn want(&self) -> Want {
        let whole = self.next == 0 && self.end == self.size;
        Want {
            spec: (!whole).then(|| Spec::From(self.next, Some(self.end - 1))),
            size: Some(self.size),
            link: None,
        }
    }

    /// Looks for the next bytes in memory, or begins to wait for them or to fetch them.
    fn look(&mut self) -> Option<Bytes> {
        if let Some(memory) = &self.memory {
            match memory.look(self.next, self.end, !self.patience.is_zero()) {
                Look::Bytes(bytes, etag) if self.opener.is_same(etag.as_ref()) => return Some(bytes),
                // The answer began with another version: the CDN shall say which one there is now.
                Look::Bytes(..) => self.memory = None,
                Look::Coming(mut news) => {
                    let patience = self.patience;
                    let wait = async move {
                        let _ = tokio::time::timeout(patience, news.changed()).await;
                    };
                    self.state = State::Waiting(Box::pin(wait), Instant::now());
                    return None;
                }
                Look::Lead(lead) => self.lead = Some(lead),
            }
        }
        let (opener, want) = (Arc::clone(&self.opener), self.want());
        self.state = State::Opening(Box::pin(async move { opener.open_further(want).await }));
        None
    }

    fn opened(&mut self, stream: &Stream) {
        if let Some(lead) = &mut self.lead {
            lead.opened(stream.etag.as_ref());
        }
    }

    fn give(&mut self, data: Bytes) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.next += data.len() as u64;
        if self.next >= self.end {
            self.state = State::Done;
            self.lead = None;
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn fail(&mut self, error: io::Error) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.state = State::Done;
        self.lead = None;
        Poll::Ready(Some(Err(error)))
    }
}

impl HttpBody for Remembered {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                State::Done => return Poll::Ready(None),
                State::Looking => {
                    if let Some(bytes) = this.look() {
                        if let Some(meter) = &mut this.meter {
                            meter.count(bytes.len() as u64);
                        }
                        return this.give(bytes);
                    }
                }
                State::Waiting(wait, since) => {
                    ready!(wait.as_mut().poll(cx));
                    this.patience = this.patience.saturating_sub(since.elapsed());
                    this.state = State::Looking;
                }
                State::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                    Ok(stream) => {
                        this.opened(&stream);
                        this.state = State::Streaming(stream.frames);
                    }
                    Err(refused) => {
                        let error = match refused {
                            Refused::Unsatisfiable(_) => shorter(),
                            Refused::Failed(error) => error,
                        };
                        if let Some(memory) = this.memory.take_if(|_| error.retry() == Retry::Never) {
                            // What it holds may be of a version that the CDN has no more: the next reader begins anew.
                            memory.forget();
                        }
                        let error = this.opener.give_up(this.next, this.end, error);
                        return this.fail(error);
                    }
                },
                State::Streaming(frames) => match ready!(frames.as_mut().poll_frame(cx)) {
                    Some(Ok(frame)) => {
                        let Ok(data) = frame.into_data() else { continue };
                        if let Some(lead) = &mut this.lead {
                            lead.bring(&data);
                        }
                        return this.give(data);
                    }
                    Some(Err(error)) => return this.fail(error),
                    // Never: a stream ends at its end, or in an error.
                    None => {
                        let error = Error::new(ErrorKind::Nonsense, "The download from 123pan ended early.");
                        let error = this.opener.give_up(this.next, this.end, error);
                        return this.fail(error);
                    }
                },
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.next >= self.end
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.end.saturating_sub(self.next))
    }
}

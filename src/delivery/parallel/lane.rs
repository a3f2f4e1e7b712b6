//! One connection of a parallel download: the range it brings, and the stream by which it comes.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::HeaderValue;
use http_body::Body as _;
use tokio::time::Instant;

use super::super::pool::Arriving;
use super::super::proxy::{PROGRESS, cut};
use super::super::range::Spec;
use super::super::upstream::{Opened, Refused, Source, Want};

/// Bytes that wait for their turn are kept in pieces of this size, so that small frames do not hold the large
/// read buffers they are slices of.
const CHUNK: u64 = 64 * 1024;

/// One connection and its range.
pub struct Lane {
    stream: Stream,
    /// Position of the next byte it brings.
    pub at: u64,
    /// Position after the last one; another lane may take the rest away.
    pub until: u64,
    /// Bytes of the stream still to throw away, and those thrown away that nobody has counted yet.
    skip: u64,
    thrown: u64,
    /// What it brought and nobody has yet: ends at `at`.
    chunk: BytesMut,
    resumes: u32,
    resumed_at: u64,
    /// When the current request was sent, what it brought, and when the last byte of it came.
    since: Instant,
    brought: u64,
    last: Instant,
    /// Bytes per second of the request before.
    pace: Option<f64>,
    waiting_since: Option<Instant>,
}

enum Stream {
    Idle,
    Opening(Pin<Box<dyn Future<Output = Result<Opened, Refused>> + Send>>),
    Streaming(Arriving),
}

/// What a lane has to say.
pub enum Event {
    /// Bytes, from this position on.
    Data(u64, Bytes),
    /// Its request was answered.
    Opened {
        /// The CDN's entity tag.
        etag: Option<HeaderValue>,
        /// The answer is the whole file, whatever was asked.
        whole: bool,
    },
    /// The stream broke off.
    Broke(&'static str),
    /// No stream could be opened.
    Refused(Refused),
}

impl Lane {
    /// A lane without work.
    pub fn idle(at: u64) -> Self {
        let now = Instant::now();
        Self {
            stream: Stream::Idle,
            at,
            until: at,
            skip: 0,
            thrown: 0,
            chunk: BytesMut::new(),
            resumes: 0,
            resumed_at: at,
            since: now,
            brought: 0,
            last: now,
            pace: None,
            waiting_since: None,
        }
    }

    /// A lane with a stream in hand.
    pub fn streaming(opened: Opened) -> Self {
        let mut lane = Self::idle(opened.start);
        lane.until = opened.end;
        lane.skip = opened.skip;
        lane.stream = Stream::Streaming(opened.body);
        lane
    }

    /// Whether it could take work.
    pub fn is_idle(&self) -> bool {
        matches!(self.stream, Stream::Idle)
    }

    /// Sends it for a range.
    pub fn fetch(&mut self, source: &Arc<Source>, from: u64, until: u64, size: u64) {
        (self.at, self.until) = (from, until);
        (self.resumes, self.resumed_at) = (0, from);
        self.open(source, size, Duration::ZERO);
    }

    /// Opens its stream again where it broke, after a pause of `at_least` this much; false when that was tried
    /// too often without getting on, and is not borne.
    pub fn resume(&mut self, source: &Arc<Source>, size: u64, at_least: Duration, borne: bool) -> bool {
        let limits = source.supply.limits;
        if self.resumes >= limits.resumes && !borne {
            return false;
        }
        let pause = limits.pause_before(self.resumes, at_least);
        self.resumes = self.resumes.saturating_add(1);
        source.supply.counts.resumes.inc();
        self.resumed_at = self.at;
        self.open(source, size, pause);
        true
    }

    fn open(&mut self, source: &Arc<Source>, size: u64, pause: Duration) {
        let now = Instant::now();
        (self.since, self.last, self.brought, self.skip) = (now, now, 0, 0);
        self.waiting_since = None;
        let source = Arc::clone(source);
        let want = Want {
            spec: Some(Spec::From(self.at, Some(self.until - 1))),
            size: Some(size),
            link: None,
        };
        self.stream = Stream::Opening(Box::pin(async move {
            if !pause.is_zero() {
                tokio::time::sleep(pause).await;
            }
            source.open(want).await
        }));
    }

    /// Takes the end of its range away, from `at` on.
    pub fn cut(&mut self, at: u64) {
        self.until = at;
        if self.at >= at {
            self.rest();
        }
    }

    /// The bytes it holds, with the position of the first.
    pub fn flush(&mut self) -> Option<(u64, Bytes)> {
        let from = self.at - self.chunk.len() as u64;
        let bytes = self.chunk.split().freeze();
        (!bytes.is_empty()).then_some((from, bytes))
    }

    /// Position of the first byte that it holds.
    pub fn begin(&self) -> Option<u64> {
        (!self.chunk.is_empty()).then(|| self.at - self.chunk.len() as u64)
    }

    /// Takes all from `first` to `end` from a stream that is the whole file and of which nothing was read yet.
    pub fn read_all_from(&mut self, first: u64, end: u64) {
        (self.at, self.skip, self.until) = (first, first, end);
        self.resumed_at = first;
    }

    /// Keeps bytes that it just brought, and gives them back in pieces; `None` while a piece is not full.
    pub fn keep(&mut self, data: &Bytes) -> Option<(u64, Bytes)> {
        let mut before = None;
        if !self.chunk.is_empty() && self.chunk.len() + data.len() > self.chunk.capacity() {
            let ends = self.at - data.len() as u64;
            let bytes = self.chunk.split().freeze();
            before = Some((ends - bytes.len() as u64, bytes));
        }
        if self.chunk.is_empty() {
            let room = (self.until - self.at).saturating_add(data.len() as u64);
            let room = room.min(CHUNK).max(data.len() as u64);
            self.chunk = BytesMut::with_capacity(usize::try_from(room).unwrap_or(data.len()));
        }
        self.chunk.extend_from_slice(data);
        before
    }

    /// What it is about to bring, once.
    pub fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Event> {
        loop {
            match &mut self.stream {
                Stream::Idle => return Poll::Pending,
                Stream::Opening(opening) => match ready!(opening.as_mut().poll(cx)) {
                    Ok(opened) => {
                        // A range that was cut while it was opened comes too long; the rest is left.
                        self.skip = opened.skip;
                        self.stream = Stream::Streaming(opened.body);
                        return Poll::Ready(Event::Opened {
                            etag: opened.etag,
                            whole: opened.whole,
                        });
                    }
                    Err(refused) => return Poll::Ready(Event::Refused(refused)),
                },
                Stream::Streaming(body) => match Pin::new(body).poll_frame(cx) {
                    Poll::Ready(Some(Ok(frame))) => {
                        if let Some(data) = frame.into_data().ok().and_then(|data| self.take(data)) {
                            return Poll::Ready(Event::Data(self.at - data.len() as u64, data));
                        }
                    }
                    Poll::Ready(Some(Err(_))) => return Poll::Ready(Event::Broke("the connection failed")),
                    Poll::Ready(None) => return Poll::Ready(Event::Broke("it ended early")),
                    Poll::Pending => {
                        self.waiting_since.get_or_insert_with(Instant::now);
                        return Poll::Pending;
                    }
                },
            }
        }
    }

    /// Bytes thrown away since the last time.
    pub fn thrown(&mut self) -> u64 {
        std::mem::take(&mut self.thrown)
    }

    /// Whether no byte has come for this long although one was waited for.
    pub fn stalled(&self, now: Instant, limit: Duration) -> bool {
        self.waiting_since
            .is_some_and(|since| now.saturating_duration_since(since) >= limit)
    }

    /// Whether its request is old enough to be judged. One that brought nothing yet gets more time, and only
    /// `once` another in its place: that may be how the CDN is.
    pub fn may_be_slow(&self, now: Instant, slow: Duration, once: bool) -> bool {
        let age = now.saturating_duration_since(self.since);
        !self.is_idle() && age >= slow && (self.brought > 0 || (once && age >= 4 * slow))
    }

    /// Measures its pace from now on.
    pub fn judge_anew(&mut self, now: Instant) {
        if !self.is_idle() {
            (self.since, self.last, self.brought) = (now, now, 0);
        }
    }

    /// Bytes per second: of this request, or while it has brought none, of the one before where it may count.
    pub fn pace(&self, now: Instant) -> f64 {
        let seconds = |since: Instant| now.saturating_duration_since(since).as_secs_f64().max(0.001);
        if self.is_idle() {
            return self.pace.unwrap_or(0.0);
        }
        // After a silence the mean says nothing any more.
        let lately = CHUNK as f64 / seconds(self.last);
        (self.brought as f64 / seconds(self.since)).min(lately)
    }

    fn take(&mut self, data: Bytes) -> Option<Bytes> {
        self.waiting_since = None;
        let (data, thrown) = cut(data, &mut self.skip, self.until - self.at);
        self.thrown += thrown;
        if data.is_empty() {
            return None;
        }
        self.at += data.len() as u64;
        self.brought += data.len() as u64;
        self.last = Instant::now();
        if self.at - self.resumed_at >= PROGRESS {
            self.resumes = 0;
        }
        if self.at == self.until {
            self.rest();
        }
        Some(data)
    }

    fn rest(&mut self) {
        self.pace = Some(self.pace(Instant::now()));
        self.waiting_since = None;
        self.stream = Stream::Idle;
    }
}

//! One download over several connections: ranges side by side in a window, handed to the client in order.
//!
//! All of it happens in the client's own body, when that is polled: dropping it drops every request, and a client
//! that does not read holds all connections back. The ranges lie in a window ahead of the client that grows with
//! what it took; bytes that come before their turn are kept, at most the window. A range that breaks is opened
//! again where it broke; one that lags while the client waits is taken over by an idle connection, in part or
//! whole, so that no byte is asked of two at a time. A connection that cannot be had is given up for the time
//! being: what counts is that one is left, and that one has the patience of a single stream.
//!
//! As there, size and entity tag must stay those of the file: else the download ends in an error.

mod lane;
mod plan;

use std::collections::BTreeMap;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderValue;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::{Instant, Sleep};

use self::lane::{Event, Lane};
pub use self::plan::Plan;
use super::budget::Meter;
use super::proxy::{LONGEST_ASKED, Outage, PROGRESS, changed, give_up, shorter};
use super::upstream::{Opened, Refused, Source};
use crate::drive::{Error, ErrorKind, Retry};

/// Frames taken from one connection before the others have their turn.
const FRAMES: usize = 8;
/// Bytes after which a connection that could not be had is tried again; doubled each time.
const TRY_AGAIN: u64 = 16 << 20;

/// The body of a download over several connections.
pub struct Parallel {
    /// For the first connection, and for the others.
    source: Arc<Source>,
    plan: Plan,
    lanes: Vec<Lane>,
    /// Connections that may be used now.
    allowed: usize,
    /// The CDN sent a whole file in place of a range.
    ignores_range: bool,
    /// Position from which on one more may be tried, and how much farther the time after.
    try_again: u64,
    patience: u64,
    /// Ranges that a connection left undone, by their first byte.
    undone: BTreeMap<u64, u64>,
    /// Bytes that came before their turn, by their position.
    held: BTreeMap<u64, Bytes>,
    /// Position of the first byte that no connection was sent for.
    front: u64,
    start: u64,
    /// Position of the next byte for the client.
    next: u64,
    end: u64,
    size: u64,
    etag: Option<HeaderValue>,
    /// Ranges taken over from a slow connection since the client last got on, and where it stood then.
    takeovers: u32,
    taken_at: u64,
    timer: Option<Pin<Box<Sleep>>>,
    /// When the client was last given bytes and has not asked for more since.
    given: Option<Instant>,
    /// While the last connection cannot be opened again.
    down: Outage,
    /// It ended in an error.
    broken: bool,
    meter: Option<Meter>,
}

impl Parallel {
    /// A download up to `end` whose first range is `opened` with `source`; `meter` counts its bytes.
    pub fn new(source: Source, opened: Opened, end: u64, plan: Plan, meter: Option<Meter>) -> Self {
        let (start, front, size) = (opened.start, opened.end, opened.size);
        Self {
            source: Arc::new(source),
            plan,
            allowed: plan.connections(),
            ignores_range: false,
            try_again: start + TRY_AGAIN,
            patience: TRY_AGAIN,
            undone: BTreeMap::new(),
            held: BTreeMap::new(),
            front,
            start,
            next: start,
            end,
            size,
            etag: opened.etag.clone(),
            takeovers: 0,
            taken_at: start,
            timer: None,
            given: None,
            down: Outage::default(),
            broken: false,
            meter,
            lanes: vec![Lane::streaming(opened)],
        }
    }

    /// Sends idle connections for what is to come next; true if one was sent. `waiting`: the client waits.
    fn send(&mut self, waiting: bool) -> bool {
        let mut sent = false;
        if self.allowed < self.plan.connections() && !self.ignores_range && self.next >= self.try_again {
            self.allowed += 1;
            self.try_again = self.next + self.patience;
        }
        loop {
            let idle = self.lanes.iter().position(Lane::is_idle);
            if idle.is_none() && self.lanes.len() >= self.allowed {
                return sent;
            }
            let Some((from, until)) = self.work(idle, waiting) else {
                return sent;
            };
            let index = idle.unwrap_or_else(|| {
                self.lanes.push(Lane::idle(from));
                self.lanes.len() - 1
            });
            self.keep_flushed(index);
            self.lanes[index].fetch(&self.source, from, until, self.size);
            sent = true;
        }
    }

    /// The next range to fetch: one left undone, a new one, or one taken over.
    fn work(&mut self, idle: Option<usize>, waiting: bool) -> Option<(u64, u64)> {
        if let Some(range) = self.undone.pop_first() {
            return Some(range);
        }
        let delivered = self.next - self.start;
        if let Some(until) = self.plan.part(self.front, self.next, delivered, self.end) {
            let from = std::mem::replace(&mut self.front, until);
            return Some((from, until));
        }
        if !waiting || self.takeovers >= self.source.supply.limits.resumes {
            return None;
        }
        let now = Instant::now();
        let ours = match idle {
            Some(idle) => self.lanes[idle].pace(now),
            None => 0.0,
        };
        let slow = self.source.supply.limits.slow;
        let (victim, at) = self
            .lanes
            .iter()
            .enumerate()
            .filter(|(_, lane)| lane.may_be_slow(now, slow, self.takeovers == 0))
            .filter_map(|(n, lane)| {
                let theirs = lane.pace(now);
                let at = self.plan.takes_over(lane.at..lane.until, theirs, ours, slow)?;
                Some((n, at, (lane.until - lane.at) as f64 / theirs.max(1.0)))
            })
            .max_by(|(_, _, a), (_, _, b)| a.total_cmp(b))
            .map(|(n, at, _)| (n, at))?;
        let until = self.lanes[victim].until;
        tracing::debug!(mount = %self.source.supply.mount, at, until, "a connection takes over from a slow one");
        self.lanes[victim].cut(at);
        self.takeovers += 1;
        self.taken_at = self.next;
        Some((at, until))
    }

    /// Takes what the connections have brought.
    ///
    /// True if there may be more at once: then nothing will wake the client's task for it.
    fn pump(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        let (mut index, mut more) = (0, false);
        let past = self.next.saturating_add(self.plan.window());
        while index < self.lanes.len() {
            let count = self.lanes.len();
            let mut frames = 0;
            // Past the window is only one that reads a whole file, while the client takes what is held before it.
            while self.lanes[index].at < past
                && let Poll::Ready(event) = self.lanes[index].poll(cx)
            {
                frames += 1;
                let again = self.hear(index, event)?;
                if !again || frames == FRAMES {
                    more = true;
                    break;
                }
            }
            // A lane that was given up leaves its place to another.
            if self.lanes.len() == count {
                index += 1;
            }
        }
        debug_assert!(self.held.keys().next_back().is_none_or(|&at| at < past));
        Ok(more)
    }

    /// What one connection says; true if it may be asked again at once.
    fn hear(&mut self, index: usize, event: Event) -> io::Result<bool> {
        match event {
            Event::Data(at, data) => {
                self.down.is_over();
                if let Some(meter) = &mut self.meter {
                    meter.count(data.len() as u64 + self.lanes[index].thrown());
                }
                if at == self.next {
                    self.held.insert(at, data);
                    return Ok(false);
                }
                if let Some((at, bytes)) = self.lanes[index].keep(&data) {
                    self.held.insert(at, bytes);
                }
                if self.lanes[index].is_idle() {
                    self.keep_flushed(index);
                }
                Ok(true)
            }
            Event::Opened { etag, whole } => {
                if let (Some(before), Some(now)) = (&self.etag, &etag)
                    && before != now
                {
                    return Err(self.end_early(changed()));
                }
                if self.etag.is_none() {
                    self.etag = etag;
                }
                Ok(!whole || self.whole(index))
            }
            Event::Broke(why) => self.resume(index, why, Duration::ZERO, false),
            Event::Refused(Refused::Unsatisfiable(_)) => Err(self.end_early(shorter())),
            Event::Refused(Refused::Failed(error)) => {
                // The last connection bears an outage.
                let last = self.lanes.len() == 1;
                let borne =
                    last && error.retry() != Retry::Never && self.down.bears(&self.source.supply.limits);
                match error.retry() {
                    Retry::Soon => self.resume(index, error.sentence(), Duration::ZERO, borne),
                    Retry::After(pause) if last && (borne || pause <= LONGEST_ASKED) => {
                        self.resume(index, error.sentence(), pause.min(LONGEST_ASKED), borne)
                    }
                    _ if !last => {
                        self.dismiss(index, error.sentence());
                        Ok(false)
                    }
                    _ => Err(self.end_early(error)),
                }
            }
        }
    }

    /// The answer to a range was the whole file: one connection goes on alone, and brings all the rest without
    /// being asked again. False if it is not this one.
    fn whole(&mut self, index: usize) -> bool {
        self.ignores_range = true;
        if self.lanes.len() > 1 {
            self.dismiss(index, "the CDN ignores ranges");
            self.allowed = 1;
            return false;
        }
        self.keep_flushed(index);
        let lane = &mut self.lanes[index];
        let first = self
            .undone
            .pop_first()
            .map_or(lane.at, |(from, _)| from.min(lane.at));
        lane.read_all_from(first, self.end);
        self.undone.clear();
        self.front = self.end;
        // These come again.
        self.held.split_off(&first);
        true
    }

    fn resume(&mut self, index: usize, why: &str, at_least: Duration, borne: bool) -> io::Result<bool> {
        let lane = &mut self.lanes[index];
        tracing::debug!(mount = %self.source.supply.mount, at = lane.at, "a connection of a download broke: {why}");
        if lane.resume(&self.source, self.size, at_least, borne) {
            return Ok(true);
        }
        if self.lanes.len() > 1 {
            self.dismiss(index, why);
            return Ok(false);
        }
        Err(self.end_early(Error::new(
            ErrorKind::Unreachable,
            "The download from 123pan broke again and again.",
        )))
    }

    /// Gives a connection up for the time being; its range is left to the others.
    fn dismiss(&mut self, index: usize, why: &str) {
        self.keep_flushed(index);
        let lane = self.lanes.swap_remove(index);
        tracing::debug!(mount = %self.source.supply.mount, at = lane.at, left = self.lanes.len(), "a connection is given up: {why}");
        if lane.at < lane.until {
            self.undone.insert(lane.at, lane.until);
        }
        self.allowed = self.lanes.len();
        self.patience = self.patience.saturating_mul(2);
        self.try_again = self.next.saturating_add(self.patience);
    }

    fn keep_flushed(&mut self, index: usize) {
        if let Some((at, bytes)) = self.lanes[index].flush() {
            self.held.insert(at, bytes);
        }
    }

    /// The bytes whose turn it is.
    fn hand_out(&mut self) -> Option<Bytes> {
        let data = match self.held.remove(&self.next) {
            Some(data) => data,
            None => {
                let next = self.next;
                let holds = |lane: &&mut Lane| lane.begin() == Some(next);
                self.lanes.iter_mut().find(holds)?.flush()?.1
            }
        };
        self.next += data.len() as u64;
        if self.next - self.taken_at >= PROGRESS {
            self.takeovers = 0;
        }
        if self.next == self.end {
            self.lanes.clear();
        }
        Some(data)
    }

    /// Ready when it is time to look for slow connections; resumes those that stand still.
    fn poll_slow(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let limits = self.source.supply.limits;
        let tick = limits.slow.min(limits.stall);
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(tick)));
        ready!(timer.as_mut().poll(cx));
        let now = Instant::now();
        timer.as_mut().reset(now + tick);
        let mut index = 0;
        while index < self.lanes.len() {
            let count = self.lanes.len();
            if self.lanes[index].stalled(now, limits.stall) {
                self.resume(index, "no byte came for too long", Duration::ZERO, false)?;
            }
            if self.lanes.len() == count {
                index += 1;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn end_early(&mut self, error: Error) -> io::Error {
        self.lanes.clear();
        self.held.clear();
        self.broken = true;
        give_up(&self.source.supply.mount, self.next, self.end, error)
    }
}

impl HttpBody for Parallel {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        if let Some(given) = this.given.take() {
            let now = Instant::now();
            if now.saturating_duration_since(given) >= this.source.supply.limits.slow / 4 {
                // The client was away, and no connection was read: that says nothing about their pace.
                this.lanes.iter_mut().for_each(|lane| lane.judge_anew(now));
            }
        }
        loop {
            if this.next == this.end || this.broken {
                return Poll::Ready(None);
            }
            this.send(false);
            let more = match this.pump(cx) {
                Ok(more) => more,
                Err(error) => return Poll::Ready(Some(Err(error))),
            };
            if let Some(data) = this.hand_out() {
                this.given = Some(Instant::now());
                return Poll::Ready(Some(Ok(Frame::data(data))));
            }
            if more || this.send(true) {
                continue;
            }
            if let Err(error) = ready!(this.poll_slow(cx)) {
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

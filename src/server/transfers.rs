//! The transfers that run now, and how fast they are: for the status page.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Buf;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Instant;

use super::guest::Guest;
use crate::tree::TreePath;

/// The rate is that of the last span of this length.
const SPAN: Duration = Duration::from_secs(2);

/// Tables of transfers, so that those who begin at the same moment seldom wait for each other.
const TABLES: usize = 8;

/// All that run. Their number is that of the running requests.
#[derive(Debug, Default)]
pub(super) struct Transfers {
    last: AtomicU64,
    tables: [Mutex<BTreeMap<u64, Arc<Transfer>>>; TABLES],
}

/// One transfer.
#[derive(Debug)]
struct Transfer {
    path: TreePath,
    user: Arc<str>,
    up: bool,
    size: Option<u64>,
    moved: Mutex<Moved>,
}

#[derive(Debug)]
struct Moved {
    bytes: u64,
    /// Begin of the span that is measured, and the bytes by then.
    since: Instant,
    before: u64,
    /// Bytes a second in the span before.
    rate: Option<f64>,
}

/// How a transfer stands.
#[derive(Debug, Clone)]
pub(super) struct Running {
    pub(super) path: TreePath,
    pub(super) user: Arc<str>,
    /// From the client.
    pub(super) up: bool,
    /// Bytes in all, where that is known.
    pub(super) size: Option<u64>,
    pub(super) bytes: u64,
    /// Bytes a second.
    pub(super) rate: f64,
}

/// A body whose bytes are counted; it runs until it is dropped.
pub(super) struct Carried<B> {
    body: B,
    transfer: Arc<Transfer>,
    key: u64,
    of: Arc<Transfers>,
    /// The connection of one that comes from the client.
    from: Option<Arc<Guest>>,
}

impl Transfers {
    /// Counts a body of a file. `from` is the connection of one that comes from the client; what goes to it is noted
    /// by the access log.
    pub(super) fn carry<B: Body>(
        self: &Arc<Self>,
        body: B,
        path: TreePath,
        user: Arc<str>,
        from: Option<Arc<Guest>>,
    ) -> Carried<B> {
        let now = Instant::now();
        let transfer = Arc::new(Transfer {
            path,
            user,
            up: from.is_some(),
            size: body.size_hint().exact(),
            moved: Mutex::new(Moved {
                bytes: 0,
                since: now,
                before: 0,
                rate: None,
            }),
        });
        let key = self.last.fetch_add(1, Ordering::Relaxed);
        lock(self.table(key)).insert(key, transfer.clone());
        Carried {
            body,
            transfer,
            key,
            of: self.clone(),
            from,
        }
    }

    fn table(&self, key: u64) -> &Mutex<BTreeMap<u64, Arc<Transfer>>> {
        &self.tables[(key % TABLES as u64) as usize]
    }

    /// Those below a path, the oldest first, `most` at the most; and how many there are.
    pub(super) fn running(&self, below: &TreePath, most: usize) -> (Vec<Running>, usize) {
        let mut all = Vec::new();
        for table in &self.tables {
            let below = |(_, transfer): &(&u64, &Arc<Transfer>)| transfer.path.below(below).is_some();
            let table = lock(table);
            all.extend(
                table
                    .iter()
                    .filter(below)
                    .map(|(key, transfer)| (*key, transfer.clone())),
            );
        }
        all.sort_unstable_by_key(|(key, _)| *key);
        let now = Instant::now();
        let told = all.iter().take(most).map(|(_, transfer)| {
            let moved = lock(&transfer.moved);
            Running {
                path: transfer.path.clone(),
                user: transfer.user.clone(),
                up: transfer.up,
                size: transfer.size,
                bytes: moved.bytes,
                rate: moved.rate(now),
            }
        });
        (told.collect(), all.len())
    }
}

impl Moved {
    fn add(&mut self, bytes: u64, now: Instant) {
        self.bytes += bytes;
        let span = now - self.since;
        if span >= SPAN {
            self.rate = Some((self.bytes - self.before) as f64 / span.as_secs_f64());
            (self.since, self.before) = (now, self.bytes);
        }
    }

    /// Of the span before, as long as bytes come; then of the time since.
    fn rate(&self, now: Instant) -> f64 {
        let span = now - self.since;
        match self.rate {
            Some(rate) if span < SPAN => rate,
            _ => (self.bytes - self.before) as f64 / span.as_secs_f64().max(0.1),
        }
    }
}

/// A lock whose holder cannot leave a half-made state, so that a panic elsewhere does not matter.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl<B> Drop for Carried<B> {
    fn drop(&mut self) {
        lock(self.of.table(self.key)).remove(&self.key);
    }
}

impl<B: Body + Unpin> Body for Carried<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            let now = Instant::now();
            if let Some(guest) = &this.from {
                guest.place.moved(now);
            }
            lock(&this.transfer.moved).add(data.remaining() as u64, now);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_follows_what_is_sent_and_falls_when_nothing_is() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs_f64(seconds);
        let mut moved = Moved {
            bytes: 0,
            since: begin,
            before: 0,
            rate: None,
        };
        moved.add(500, at(0.5));
        assert_eq!(moved.rate(at(1.0)), 500.0);
        moved.add(1_500, at(2.0));
        assert_eq!(moved.rate(at(2.5)), 1_000.0);
        moved.add(100, at(3.0));
        assert_eq!(moved.rate(at(12.0)), 10.0);
    }

    #[tokio::test]
    async fn a_transfer_is_told_of_while_its_body_lives_to_those_who_may_see_it() {
        let transfers = Arc::new(Transfers::default());
        let path = |text: &str| TreePath::from_decoded(text).unwrap_or_default();
        let body = crate::body::Body::from("12345".to_owned());
        let mut carried = transfers.carry(body, path("/a/b"), Arc::from("me"), None);
        assert_eq!(carried.size_hint().exact(), Some(5));
        let frame = std::future::poll_fn(|cx| Pin::new(&mut carried).poll_frame(cx)).await;
        assert!(frame.is_some());
        let (told, all) = transfers.running(&path("/a"), 10);
        assert_eq!((told[0].bytes, told[0].size, all), (5, Some(5), 1));
        assert_eq!(transfers.running(&path("/other"), 10).1, 0);
        drop(carried);
        assert_eq!(transfers.running(&TreePath::root(), 10).1, 0);
    }
}

//! How many connections there may be: as many as the system lets this process open files for, and never more than a bound.
//! Where all places are taken, the connection on which nothing has been asked for the longest time makes room; where each
//! has asked for something, one whose client has neither sent nor taken a byte for a while.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::workers;

/// Connections at the most, however many files may be open.
const BOUND: usize = 4096;
/// Files that are open without any connection: listeners, the state, the log.
const OWN_FILES: u64 = 64;
/// Files that a worker waits for its sockets and signals with, on Linux.
const FILES_OF_WORKER: u64 = 4;
/// Files for one connection: its socket, one to the CDN, one in the spool.
const FILES_EACH: u64 = 3;
/// A transfer on which nothing has moved for so long makes room, where no connection is idle. A paused player has its
/// place as long as there are others; it asks again where it stood.
const STALLED: Duration = Duration::from_secs(60);

/// The connections of all listeners.
#[derive(Debug)]
pub(super) struct Crowd {
    bound: usize,
    table: Mutex<Table>,
    /// Since when the times of members are counted.
    begun: Instant,
}

#[derive(Debug, Default)]
struct Table {
    members: HashMap<u64, Member>,
    next: u64,
}

#[derive(Debug)]
struct Member {
    cut: CancellationToken,
    state: Arc<State>,
}

/// What a connection does. Each has cache lines of its own, because the next connection's worker is another core.
#[derive(Debug, Default)]
#[repr(align(128))]
struct State {
    /// Requests whose answers have not ended.
    running: AtomicUsize,
    /// Bytes of an answer wait for the client.
    owes: AtomicBool,
    /// When it came, or a byte of a request or an answer last moved: milliseconds since the crowd's begin.
    moved: AtomicU64,
}

/// A connection's place; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    id: u64,
    state: Arc<State>,
    /// Cancelled where the connection has to go.
    pub(super) cut: CancellationToken,
}

impl Crowd {
    /// As many places as the system allows.
    pub(super) fn new() -> Arc<Self> {
        let files = open_files().unwrap_or(1024);
        let own = OWN_FILES + FILES_OF_WORKER * workers::count() as u64;
        let places = files.saturating_sub(own) / FILES_EACH;
        let bound = usize::try_from(places).unwrap_or(BOUND).clamp(16, BOUND);
        tracing::debug!(bound, "connections at the most");
        Self::of(bound)
    }

    fn of(bound: usize) -> Arc<Self> {
        Arc::new(Self {
            bound,
            table: Mutex::default(),
            begun: Instant::now(),
        })
    }

    /// A place for a new connection; `None` where each of the others is at work.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Arc<Place>> {
        let mut table = self.lock();
        if table.members.len() >= self.bound {
            let now = self.now();
            let rank = |member: &Member| {
                let state = &member.state;
                (state.works(), state.moved.load(Ordering::Relaxed))
            };
            let may_go = |member: &Member| match rank(member) {
                (true, moved) => now.saturating_sub(moved) >= milliseconds(STALLED),
                (false, _) => true,
            };
            let longest = table
                .members
                .iter()
                .filter(|(_, member)| may_go(member))
                .min_by_key(|(_, member)| rank(member))
                .map(|(id, _)| *id)?;
            if let Some(member) = table.members.remove(&longest) {
                member.cut.cancel();
            }
        }
        let id = table.next;
        table.next += 1;
        let cut = CancellationToken::new();
        let state = Arc::new(State::default());
        state.moved.store(self.now(), Ordering::Relaxed);
        table.members.insert(
            id,
            Member {
                cut: cut.clone(),
                state: Arc::clone(&state),
            },
        );
        Some(Arc::new(Place {
            crowd: Arc::clone(self),
            id,
            state,
            cut,
        }))
    }

    /// Milliseconds since the begin.
    fn now(&self) -> u64 {
        self.at(Instant::now())
    }

    /// The same at a moment.
    fn at(&self, moment: Instant) -> u64 {
        milliseconds(moment.saturating_duration_since(self.begun))
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// A request begins now: until it ends the connection is not cut for others.
    pub(super) fn begin(&self, now: Instant) {
        self.state.running.fetch_add(1, Ordering::Relaxed);
        self.moved(now);
    }

    /// A byte has come from the client now, or was taken by it.
    pub(super) fn moved(&self, now: Instant) {
        self.state.moved.store(self.crowd.at(now), Ordering::Relaxed);
    }

    /// A request ends now.
    pub(super) fn end(&self, now: Instant) {
        self.moved(now);
        self.state.running.fetch_sub(1, Ordering::Release);
    }

    /// Requests that run on all connections.
    pub(super) fn running(&self) -> i64 {
        let table = self.crowd.lock();
        let running = |member: &Member| member.state.running.load(Ordering::Relaxed);
        let all: usize = table.members.values().map(running).sum();
        i64::try_from(all).unwrap_or(i64::MAX)
    }

    /// Whether bytes of an answer wait, from now on, for the client to take them.
    pub(super) fn owes(&self, owes: bool, now: Instant) {
        self.moved(now);
        self.state.owes.store(owes, Ordering::Relaxed);
    }

    /// Returns when nothing has run for `patience`: no request, and no answer that the client has yet to take.
    pub(super) async fn idle(&self, patience: Duration) {
        loop {
            let idle = match self.state.works() {
                true => 0,
                false => self
                    .crowd
                    .now()
                    .saturating_sub(self.state.moved.load(Ordering::Relaxed)),
            };
            match patience.checked_sub(Duration::from_millis(idle)) {
                None | Some(Duration::ZERO) => return,
                Some(left) => tokio::time::sleep(left).await,
            }
        }
    }
}

impl State {
    /// Whether something runs.
    fn works(&self) -> bool {
        self.running.load(Ordering::Acquire) > 0 || self.owes.load(Ordering::Relaxed)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.lock().members.remove(&self.id);
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Files that this process may have open, after it has asked for all that it may have.
#[cfg(unix)]
fn open_files() -> Option<u64> {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    /// Some systems refuse to set no limit at all.
    const ENOUGH: u64 = 16_384;
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.unwrap_or(ENOUGH).min(ENOUGH);
    let current = limit.current.unwrap_or(ENOUGH);
    if current >= wanted {
        return Some(current);
    }
    let more = Rlimit {
        current: Some(wanted),
        maximum: limit.maximum,
    };
    Some(setrlimit(Resource::Nofile, more).map_or(current, |()| wanted))
}

#[cfg(not(unix))]
fn open_files() -> Option<u64> {
    // Sockets are not counted as files there.
    Some(u64::MAX)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn who_has_been_idle_longest_makes_room_and_who_works_does_not() {
        let crowd = Crowd::of(3);
        let (first, second, third) = (
            crowd.enter().unwrap(),
            crowd.enter().unwrap(),
            crowd.enter().unwrap(),
        );
        first.begin(Instant::now());
        tokio::time::advance(Duration::from_secs(1)).await;
        second.begin(Instant::now());
        second.end(Instant::now());
        let fourth = crowd.enter().unwrap();
        assert!(third.cut.is_cancelled() && !first.cut.is_cancelled() && !second.cut.is_cancelled());
        second.begin(Instant::now());
        fourth.begin(Instant::now());
        assert!(crowd.enter().is_none());
        [&first, &second, &fourth]
            .iter()
            .for_each(|place| place.end(Instant::now()));
        drop(third);
        assert!(crowd.enter().is_some());
        assert!(first.cut.is_cancelled() || second.cut.is_cancelled() || fourth.cut.is_cancelled());
        drop((first, second, fourth));
        assert!(crowd.lock().members.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_for_a_minute_makes_room_where_nobody_is_idle() {
        let crowd = Crowd::of(2);
        let (stalled, lively) = (crowd.enter().unwrap(), crowd.enter().unwrap());
        stalled.begin(Instant::now());
        lively.begin(Instant::now());
        tokio::time::advance(STALLED - Duration::from_secs(1)).await;
        lively.moved(Instant::now());
        assert!(crowd.enter().is_none(), "not yet");
        tokio::time::advance(Duration::from_secs(1)).await;
        let third = crowd.enter().unwrap();
        assert!(stalled.cut.is_cancelled() && !lively.cut.is_cancelled());
        // Who is idle goes before who stalls.
        tokio::time::advance(STALLED * 2).await;
        third.begin(Instant::now());
        third.end(Instant::now());
        let _fourth = crowd.enter().unwrap();
        assert!(third.cut.is_cancelled() && !lively.cut.is_cancelled());
    }

    #[tokio::test(start_paused = true)]
    async fn who_asks_for_nothing_is_idle_and_who_waits_for_an_answer_is_not() {
        let place = Crowd::of(1).enter().unwrap();
        let (begun, patience) = (Instant::now(), Duration::from_secs(30));
        let asking = async {
            tokio::time::sleep(Duration::from_secs(29)).await;
            place.begin(Instant::now());
            tokio::time::sleep(Duration::from_secs(100)).await;
            place.end(Instant::now());
        };
        tokio::join!(place.idle(patience), asking);
        assert_eq!(begun.elapsed().as_secs(), 159);
    }
}

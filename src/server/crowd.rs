//! How many connections there may be: as many as the system lets this process open files for, and never more than a bound.
//! Where all places are taken, the connection on which nothing has been asked for the longest time makes room.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Connections at the most, however many files may be open.
const BOUND: usize = 4096;
/// Files that are open without any connection: listeners, the state, the log.
const OWN_FILES: u64 = 64;
/// Files for one connection: its socket, one to the CDN, one in the spool.
const FILES_EACH: u64 = 3;

/// The connections of all listeners.
#[derive(Debug)]
pub(super) struct Crowd {
    bound: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    members: HashMap<u64, Member>,
    next: u64,
}

#[derive(Debug)]
struct Member {
    cut: CancellationToken,
    /// Requests whose answers have not ended.
    running: usize,
    /// When it came, or the last answer ended.
    idle_since: Instant,
}

/// A connection's place; free again when dropped.
#[derive(Debug)]
pub(super) struct Place {
    crowd: Arc<Crowd>,
    id: u64,
    /// Cancelled where the connection has to go.
    pub(super) cut: CancellationToken,
}

/// A request is running; until this is dropped its connection is not cut for others.
#[derive(Debug)]
pub(super) struct Busy {
    crowd: Arc<Crowd>,
    id: u64,
}

impl Crowd {
    /// As many places as the system allows.
    pub(super) fn new() -> Arc<Self> {
        let files = open_files().unwrap_or(1024);
        let places = files.saturating_sub(OWN_FILES) / FILES_EACH;
        let bound = usize::try_from(places).unwrap_or(BOUND).clamp(16, BOUND);
        tracing::debug!(bound, "connections at the most");
        Self::of(bound)
    }

    fn of(bound: usize) -> Arc<Self> {
        Arc::new(Self {
            bound,
            table: Mutex::default(),
        })
    }

    /// A place for a new connection; `None` where each of the others is at work.
    pub(super) fn enter(self: &Arc<Self>) -> Option<Place> {
        let mut table = self.lock();
        if table.members.len() >= self.bound {
            let idle = table.members.iter().filter(|(_, member)| member.running == 0);
            let longest = idle
                .min_by_key(|(_, member)| member.idle_since)
                .map(|(id, _)| *id)?;
            if let Some(member) = table.members.remove(&longest) {
                member.cut.cancel();
            }
        }
        let id = table.next;
        table.next += 1;
        let cut = CancellationToken::new();
        table.members.insert(
            id,
            Member {
                cut: cut.clone(),
                running: 0,
                idle_since: Instant::now(),
            },
        );
        Some(Place {
            crowd: Arc::clone(self),
            id,
            cut,
        })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// A request begins.
    pub(super) fn busy(&self) -> Busy {
        if let Some(member) = self.crowd.lock().members.get_mut(&self.id) {
            member.running += 1;
        }
        Busy {
            crowd: Arc::clone(&self.crowd),
            id: self.id,
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.crowd.lock().members.remove(&self.id);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if let Some(member) = self.crowd.lock().members.get_mut(&self.id) {
            member.running = member.running.saturating_sub(1);
            member.idle_since = Instant::now();
        }
    }
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
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn who_has_been_idle_longest_makes_room_and_who_works_does_not() {
        let crowd = Crowd::of(3);
        let (first, second, third) = (
            crowd.enter().unwrap(),
            crowd.enter().unwrap(),
            crowd.enter().unwrap(),
        );
        let working = first.busy();
        tokio::time::advance(Duration::from_secs(1)).await;
        drop(second.busy());
        let fourth = crowd.enter().unwrap();
        assert!(third.cut.is_cancelled() && !first.cut.is_cancelled() && !second.cut.is_cancelled());
        let (also, too) = (second.busy(), fourth.busy());
        assert!(crowd.enter().is_none());
        drop((also, too, working));
        drop(third);
        assert!(crowd.enter().is_some());
        assert!(first.cut.is_cancelled() || second.cut.is_cancelled() || fourth.cut.is_cancelled());
        drop((first, second, fourth));
        assert!(crowd.lock().members.is_empty());
    }
}

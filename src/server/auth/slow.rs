//! Slows down who signs in wrongly: an address, and the attempts on a name from wherever they come.
//!
//! Each has a moment before which its next attempt is not looked at. Attempts queue for it, one after
//! the other, so that a thousand at once are no faster than one by one; who would wait too long is sent away.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// An attempt that would wait longer is refused at once.
const PATIENCE: Duration = Duration::from_secs(20);
/// After this time without a wrong sign-in all is forgotten.
const MEMORY: Duration = Duration::from_secs(900);
/// Addresses, and names, remembered at the most.
const BOUND: usize = 4096;

/// How somebody is slowed down.
#[derive(Debug, Clone, Copy)]
pub(super) struct Measure {
    /// Wrong sign-ins that cost nothing: people mistype.
    free: u32,
    /// Wait after the first that costs; each further one doubles it.
    first: Duration,
    /// The longest wait between two attempts.
    longest: Duration,
}

impl Measure {
    pub(super) const ADDRESS: Self = Self {
        free: 1,
        first: Duration::from_millis(250),
        longest: Duration::from_secs(8),
    };
    /// Many addresses at one name. Its owner at a new address waits in the same queue, so the waits are shorter.
    pub(super) const NAME: Self = Self {
        free: 10,
        first: Duration::from_millis(250),
        longest: Duration::from_secs(2),
    };

    fn gap(self, wrong: u32) -> Duration {
        match wrong.checked_sub(self.free + 1) {
            None => Duration::ZERO,
            Some(n) => self.first.saturating_mul(1 << n.min(10)).min(self.longest),
        }
    }
}

#[derive(Debug)]
pub(super) struct Slow<K> {
    measure: Measure,
    table: Mutex<HashMap<K, Record>>,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    wrong: u32,
    last: Instant,
    /// The next attempt is looked at then.
    next: Instant,
}

impl<K: Hash + Eq + Copy> Slow<K> {
    pub(super) fn new(measure: Measure) -> Self {
        Self {
            measure,
            table: Mutex::default(),
        }
    }

    /// Waits for its turn.
    ///
    /// # Errors
    /// The time to come back after, where the wait would be too long.
    pub(super) async fn wait(&self, who: K) -> Result<(), Duration> {
        let turn = {
            let mut table = self.lock();
            let now = Instant::now();
            match table.get_mut(&who) {
                Some(record) if record.last + MEMORY > now => {
                    let turn = record.next.max(now);
                    if turn - now > PATIENCE {
                        return Err(turn - now);
                    }
                    record.next = turn + self.measure.gap(record.wrong);
                    turn
                }
                _ => return Ok(()),
            }
        };
        tokio::time::sleep_until(turn).await;
        Ok(())
    }

    /// A wrong sign-in.
    pub(super) fn punish(&self, who: K) {
        let mut table = self.lock();
        let now = Instant::now();
        if table.len() >= BOUND {
            table.retain(|_, record| record.last + MEMORY > now);
            if table.len() >= BOUND
                && let Some(oldest) = table.iter().min_by_key(|(_, r)| r.last).map(|(who, _)| *who)
            {
                table.remove(&oldest);
            }
        }
        let record = table.entry(who).or_insert(Record {
            wrong: 0,
            last: now,
            next: now,
        });
        record.wrong = match record.last + MEMORY > now {
            true => record.wrong.saturating_add(1),
            false => 1,
        };
        record.last = now;
        record.next = record.next.max(now + self.measure.gap(record.wrong));
    }

    /// A right sign-in.
    pub(super) fn forgive(&self, who: K) {
        self.lock().remove(&who);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Record>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One household or host: an IPv4 address, or the /64 of an IPv6 one.
pub(super) fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

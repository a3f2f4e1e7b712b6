//! Slows down who signs in wrongly: an address, and the attempts on a name from wherever they come.
//!
//! Each has a moment before which its next attempt is not looked at. Attempts queue for it, one after
//! the other, so that a thousand at once are no faster than one by one; who would wait too long is sent away.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

/// An attempt that would wait longer is refused at once.
const PATIENCE: Duration = Duration::from_secs(20);
/// After this time without a wrong sign-in all is forgotten.
const MEMORY: Duration = Duration::from_secs(900);
/// Attempts that may be open at once: a player begins with many connections.
const AT_ONCE: u32 = 32;
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
pub(super) struct Slow<K: Hash + Eq + Copy> {
    measure: Measure,
    table: Mutex<HashMap<K, Record>>,
    forgiven: Notify,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    wrong: u32,
    /// Attempts that wait or are being looked at. Beyond [`AT_ONCE`] they count as wrong: each may turn out so.
    open: u32,
    last: Instant,
    /// The next attempt is looked at then.
    next: Instant,
}

/// An attempt that may be looked at.
#[derive(Debug)]
pub(super) struct Attempt<'a, K: Hash + Eq + Copy> {
    slow: &'a Slow<K>,
    who: K,
}

impl<K: Hash + Eq + Copy> Slow<K> {
    pub(super) fn new(measure: Measure) -> Self {
        Self {
            measure,
            table: Mutex::default(),
            forgiven: Notify::new(),
        }
    }

    /// Waits for its turn, or until somebody of the same name or address has proved right.
    ///
    /// # Errors
    /// The time to come back after, where the wait would be too long.
    pub(super) async fn wait(&self, who: K) -> Result<Attempt<'_, K>, Duration> {
        let turn = {
            let mut table = self.lock();
            let now = Instant::now();
            let record = record(&mut table, who, now);
            let turn = record.next.max(now);
            let late = turn - now > PATIENCE;
            if late && record.wrong > self.measure.free {
                return Err(turn - now);
            }
            record.open += 1;
            if !late {
                let counted = record.wrong.saturating_add(record.open.saturating_sub(AT_ONCE));
                record.next = turn + self.measure.gap(counted);
            }
            turn
        };
        let attempt = Attempt { slow: self, who };
        // Of a burst in which none is known to be wrong, those that come too late wait for one that is right.
        let late = turn.saturating_duration_since(Instant::now() + PATIENCE);
        let end = turn - late;
        let mut turn = std::pin::pin!(tokio::time::sleep_until(end));
        loop {
            let mut forgiven = std::pin::pin!(self.forgiven.notified());
            // From here on nothing is missed.
            forgiven.as_mut().enable();
            if !self.lock().contains_key(&who) {
                break;
            }
            tokio::select! {
                () = &mut turn => match late.is_zero() {
                    true => break,
                    false => return Err(late),
                },
                () = forgiven => {}
            }
        }
        Ok(attempt)
    }

    /// An attempt that need not wait.
    pub(super) fn enter(&self, who: K) -> Attempt<'_, K> {
        record(&mut self.lock(), who, Instant::now()).open += 1;
        Attempt { slow: self, who }
    }

    /// A right sign-in.
    pub(super) fn forgive(&self, who: K) {
        if self.lock().remove(&who).is_some() {
            self.forgiven.notify_waiters();
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<K, Record>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq + Copy> Attempt<'_, K> {
    /// It was wrong.
    pub(super) fn punish(self) {
        let mut table = self.slow.lock();
        let now = Instant::now();
        let record = record(&mut table, self.who, now);
        record.wrong = record.wrong.saturating_add(1);
        record.last = now;
        record.next = record.next.max(now + self.slow.measure.gap(record.wrong));
    }
}

impl<K: Hash + Eq + Copy> Drop for Attempt<'_, K> {
    fn drop(&mut self) {
        let mut table = self.slow.lock();
        if let Some(record) = table.get_mut(&self.who) {
            record.open = record.open.saturating_sub(1);
            if record.wrong == 0 && record.open == 0 {
                table.remove(&self.who);
            }
        }
    }
}

/// The record, a new one where there is none or it is too old.
fn record<K: Hash + Eq + Copy>(table: &mut HashMap<K, Record>, who: K, now: Instant) -> &mut Record {
    if table.len() >= BOUND && !table.contains_key(&who) {
        table.retain(|_, record| record.open > 0 || record.last + MEMORY > now);
        if table.len() >= BOUND
            && let Some(oldest) = table.iter().min_by_key(|(_, r)| r.last).map(|(who, _)| *who)
        {
            table.remove(&oldest);
        }
    }
    let new = Record {
        wrong: 0,
        open: 0,
        last: now,
        next: now,
    };
    let record = table.entry(who).or_insert(new);
    if record.open == 0 && record.last + MEMORY <= now {
        *record = new;
    }
    record
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

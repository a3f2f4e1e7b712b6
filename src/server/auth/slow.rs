//! Slows an address down that signs in wrongly.
//!
//! Every address has a moment before which its next attempt is not looked at. Attempts queue for it, one after
//! the other, so that a thousand at once are no faster than one by one; who would wait too long is sent away.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Wait after the second wrong sign-in; each further one doubles it. The first is free: people mistype.
const FIRST: Duration = Duration::from_millis(250);
/// The longest wait between two attempts.
const LONGEST: Duration = Duration::from_secs(8);
/// An attempt that would wait longer is refused at once.
const PATIENCE: Duration = Duration::from_secs(20);
/// After this time without a wrong sign-in an address is forgotten.
const MEMORY: Duration = Duration::from_secs(900);
/// Addresses remembered at the most.
const BOUND: usize = 4096;

#[derive(Debug, Default)]
pub(super) struct Slow {
    table: Mutex<HashMap<IpAddr, Record>>,
}

#[derive(Debug, Clone, Copy)]
struct Record {
    wrong: u32,
    last: Instant,
    /// The next attempt is looked at then.
    next: Instant,
}

impl Record {
    fn gap(&self) -> Duration {
        match self.wrong {
            0 | 1 => Duration::ZERO,
            n => FIRST.saturating_mul(1 << (n - 2).min(10)).min(LONGEST),
        }
    }
}

impl Slow {
    /// Waits for this address's turn.
    ///
    /// # Errors
    /// The time to come back after, where the wait would be too long.
    pub(super) async fn wait(&self, peer: IpAddr) -> Result<(), Duration> {
        let turn = {
            let mut table = self.lock();
            let now = Instant::now();
            match table.get_mut(&network(peer)) {
                Some(record) if record.last + MEMORY > now => {
                    let turn = record.next.max(now);
                    if turn - now > PATIENCE {
                        return Err(turn - now);
                    }
                    record.next = turn + record.gap();
                    turn
                }
                _ => return Ok(()),
            }
        };
        tokio::time::sleep_until(turn).await;
        Ok(())
    }

    /// A wrong sign-in.
    pub(super) fn punish(&self, peer: IpAddr) {
        let mut table = self.lock();
        let now = Instant::now();
        if table.len() >= BOUND {
            table.retain(|_, record| record.last + MEMORY > now);
            if table.len() >= BOUND
                && let Some(oldest) = table.iter().min_by_key(|(_, r)| r.last).map(|(peer, _)| *peer)
            {
                table.remove(&oldest);
            }
        }
        let record = table.entry(network(peer)).or_insert(Record {
            wrong: 0,
            last: now,
            next: now,
        });
        record.wrong = record.wrong.saturating_add(1);
        record.last = now;
        record.next = record.next.max(now + record.gap());
    }

    /// A right sign-in.
    pub(super) fn forgive(&self, peer: IpAddr) {
        self.lock().remove(&network(peer));
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, Record>> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One household or host: an IPv4 address, or the /64 of an IPv6 one.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 => v4,
    }
}

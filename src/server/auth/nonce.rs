//! The nonces of Digest (RFC 7616 section 3.3): given out to anybody, so nothing is remembered of one until it was used
//! by somebody who knew a password. Each says when it was given out and proves by a keyed hash that it is ours.
//!
//! Of a nonce in use the counts that came are remembered, so that a request that was recorded on the way is refused.
//! Counts may come out of order: a client has several connections.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use super::Keyed;

/// How long a nonce may be used. Its end costs a client one more request; the counts are what guards against replay.
const LIFE: Duration = Duration::from_secs(3600);
/// Nonces in use at the most; the oldest of more cannot be used any longer.
const BOUND: usize = 4096;
/// So far behind the highest a count may come.
const WINDOW: u32 = u128::BITS;
/// Bytes of a nonce: when, serial number, keyed hash.
const BYTES: usize = 8 + 8 + 16;

#[derive(Debug)]
pub(super) struct Nonces {
    begun: Instant,
    next: AtomicU64,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// By serial number.
    used: BTreeMap<u64, Used>,
    /// What is not in the table and not above this was dropped from it, or could have been.
    dropped: u64,
}

#[derive(Debug)]
struct Used {
    user: usize,
    peer: IpAddr,
    highest: u32,
    /// Bit n: the count n below the highest has come.
    seen: u128,
    issued: Duration,
}

/// A nonce of ours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Nonce {
    serial: u64,
    /// After the start.
    issued: Duration,
}

impl Nonces {
    pub(super) fn new() -> Self {
        Self {
            begun: Instant::now(),
            next: AtomicU64::new(1),
            table: Mutex::default(),
        }
    }

    /// A new nonce, as text.
    pub(super) fn issue(&self, key: &Keyed) -> String {
        let milliseconds = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let serial = self.next.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [0; BYTES];
        bytes[..8].copy_from_slice(&milliseconds.to_be_bytes());
        bytes[8..16].copy_from_slice(&serial.to_be_bytes());
        let proof = proof(key, &bytes);
        bytes[16..].copy_from_slice(&proof);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a nonce; `None` for what is not ours, or was before a restart.
    pub(super) fn read(&self, key: &Keyed, text: &str) -> Option<Nonce> {
        let bytes: [u8; BYTES] = URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok()?;
        if !bool::from(proof(key, &bytes).ct_eq(&bytes[16..])) {
            return None;
        }
        let number = |at: usize| Some(u64::from_be_bytes(bytes.get(at..at + 8)?.try_into().ok()?));
        Some(Nonce {
            issued: Duration::from_millis(number(0)?),
            serial: number(8)?,
        })
    }

    /// Whether this user has used it from this address already.
    pub(super) fn is_known(&self, nonce: Nonce, user: usize, peer: IpAddr) -> bool {
        let table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        let used = table.used.get(&nonce.serial);
        used.is_some_and(|used| used.user == user && used.peer == peer)
    }

    /// Uses a nonce for a request with this count that proved to be the user's. False where the nonce is too old or
    /// another's, or the count has come before: then the client is to take a new one.
    pub(super) fn accept(&self, nonce: Nonce, count: u32, user: usize, peer: IpAddr) -> bool {
        let now = self.begun.elapsed();
        if now > nonce.issued + LIFE {
            return false;
        }
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(used) = table.used.get_mut(&nonce.serial) {
            used.peer = peer;
            return used.user == user && used.count(count);
        }
        if nonce.serial <= table.dropped {
            return false;
        }
        table.used.insert(
            nonce.serial,
            Used {
                user,
                peer,
                highest: count,
                seen: 1,
                issued: nonce.issued,
            },
        );
        while let Some(first) = table.used.first_entry() {
            if first.get().issued + LIFE >= now && table.used.len() <= BOUND {
                break;
            }
            if let Some((serial, _)) = table.used.pop_first() {
                table.dropped = table.dropped.max(serial);
            }
        }
        table.used.contains_key(&nonce.serial)
    }
}

impl Used {
    fn count(&mut self, count: u32) -> bool {
        if let Some(ahead @ 1..) = count.checked_sub(self.highest) {
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = count;
            return true;
        }
        let behind = self.highest - count;
        if behind >= WINDOW || self.seen & (1 << behind) != 0 {
            return false;
        }
        self.seen |= 1 << behind;
        true
    }
}

fn proof(key: &Keyed, bytes: &[u8; BYTES]) -> [u8; 16] {
    let whole = key.mac(&[b"nonce", &bytes[..16]]);
    let mut half = [0; 16];
    half.copy_from_slice(&whole[..16]);
    half
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    fn fresh(nonces: &Nonces, key: &Keyed) -> Nonce {
        nonces.read(key, &nonces.issue(key)).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_count_is_taken_once_in_any_order_not_too_late() {
        let (nonces, key) = (Nonces::new(), Keyed::new());
        let nonce = fresh(&nonces, &key);
        let accept = |count| nonces.accept(nonce, count, 0, PEER);
        for (count, taken) in [
            (1, true),
            (1, false),
            (4, true),
            (2, true),
            (2, false),
            (4, false),
            (3, true),
            (131, true),
            (4, false),
            (3, false),
            (5, true),
            (1000, true),
            (131, false),
            (u32::MAX, true),
            (u32::MAX, false),
        ] {
            assert_eq!(accept(count), taken, "{count}");
        }
        assert!(!nonces.accept(nonce, 7, 1, PEER), "another user's");
        assert!(nonces.is_known(nonce, 0, PEER) && !nonces.is_known(nonce, 1, PEER));
    }

    #[tokio::test(start_paused = true)]
    async fn a_nonce_ends_and_foreign_ones_are_none() {
        let (nonces, key) = (Nonces::new(), Keyed::new());
        let nonce = fresh(&nonces, &key);
        tokio::time::advance(LIFE - Duration::from_secs(1)).await;
        assert!(nonces.accept(nonce, 1, 0, PEER));
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!nonces.accept(nonce, 2, 0, PEER));
        let text = nonces.issue(&key);
        assert!(nonces.read(&Keyed::new(), &text).is_none());
        let swapped = if text.starts_with('B') { "A" } else { "B" };
        assert!(nonces.read(&key, &format!("{swapped}{}", &text[1..])).is_none());
        assert!(nonces.read(&key, "").is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn the_memory_is_bounded_and_what_is_dropped_cannot_be_replayed() {
        let (nonces, key) = (Nonces::new(), Keyed::new());
        let first = fresh(&nonces, &key);
        assert!(nonces.accept(first, 1, 0, PEER));
        for _ in 0..BOUND {
            assert!(nonces.accept(fresh(&nonces, &key), 1, 0, PEER));
        }
        assert_eq!(nonces.table.lock().unwrap().used.len(), BOUND);
        assert!(!nonces.accept(first, 1, 0, PEER));
        assert!(!nonces.accept(first, 2, 0, PEER));
        tokio::time::advance(LIFE + Duration::from_secs(1)).await;
        assert!(nonces.accept(fresh(&nonces, &key), 1, 0, PEER));
        assert_eq!(nonces.table.lock().unwrap().used.len(), 1);
    }
}

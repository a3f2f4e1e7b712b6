//! Right sign-ins that are remembered for a while, up to a bound.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

#[derive(Debug)]
pub(super) struct Memory<K, V> {
    time: Duration,
    bound: usize,
    known: Mutex<HashMap<K, (Instant, V)>>,
}

impl<K: Hash + Eq, V: Copy> Memory<K, V> {
    pub(super) fn new(time: Duration, bound: usize) -> Self {
        Self {
            time,
            bound,
            known: Mutex::default(),
        }
    }

    pub(super) fn get(&self, what: &K) -> Option<V> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let &(until, value) = known.get(what)?;
        if until > Instant::now() {
            return Some(value);
        }
        known.remove(what);
        None
    }

    /// Whether it was not known.
    pub(super) fn put(&self, what: K, value: V) -> bool {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if known.len() >= self.bound && !known.contains_key(&what) {
            known.retain(|_, (until, _)| *until > now);
            if known.len() >= self.bound {
                known.clear();
            }
        }
        let before = known.insert(what, (now + self.time, value));
        before.is_none_or(|(until, _)| until <= now)
    }
}

//! A small memory with a bound: what was learned lately about clients and CDN hosts.
//!
//! The oldest entry goes when there is no room; an entry counts only while it is young enough for the one
//! who asks. The maps are short (hundreds), so that one lock is enough.

use std::borrow::Borrow;
use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// What was learned, by key.
#[derive(Debug)]
pub struct Recent<K, V> {
    capacity: usize,
    inner: Mutex<Inner<K, V>>,
}

#[derive(Debug)]
struct Inner<K, V> {
    by_key: HashMap<K, (V, Instant)>,
    order: VecDeque<K>,
}

impl<K: Hash + Eq + Clone, V: Clone> Recent<K, V> {
    /// A memory of at most `capacity` entries.
    pub fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            inner: Mutex::new(Inner {
                by_key: HashMap::new(),
                order: VecDeque::new(),
            }),
        }
    }

    /// The value of a key and its age.
    pub fn get<Q: Hash + Eq + ?Sized>(&self, key: &Q) -> Option<(V, Duration)>
    where
        K: Borrow<Q>,
    {
        let inner = self.lock();
        let (value, at) = inner.by_key.get(key)?;
        Some((value.clone(), at.elapsed()))
    }

    /// Keeps a value, in place of an older one of the same key.
    pub fn insert(&self, key: K, value: V) {
        self.lock().insert(key, value, self.capacity);
    }

    /// The value of a key, made if there is none for which `fresh` says yes.
    pub fn get_or_insert(
        &self,
        key: &K,
        fresh: impl FnOnce(&V, Duration) -> bool,
        make: impl FnOnce() -> V,
    ) -> V {
        let mut inner = self.lock();
        if let Some((value, at)) = inner.by_key.get(key)
            && fresh(value, at.elapsed())
        {
            return value.clone();
        }
        let value = make();
        inner.insert(key.clone(), value.clone(), self.capacity);
        value
    }

    /// Forgets a key.
    pub fn remove(&self, key: &K) {
        let mut inner = self.lock();
        if inner.by_key.remove(key).is_some() {
            inner.order.retain(|other| other != key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner<K, V>> {
        // Nothing panics while it is held; if something did, the map is still whole.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Hash + Eq + Clone, V> Inner<K, V> {
    fn insert(&mut self, key: K, value: V, capacity: usize) {
        if self.by_key.insert(key.clone(), (value, Instant::now())).is_some() {
            self.order.retain(|other| *other != key);
        }
        self.order.push_back(key);
        while self.order.len() > capacity {
            if let Some(oldest) = self.order.pop_front() {
                self.by_key.remove(&oldest);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_goes_when_there_is_no_room() {
        let recent = Recent::new(2);
        recent.insert("a", 1);
        recent.insert("b", 2);
        recent.insert("a", 3);
        recent.insert("c", 4);
        assert_eq!(recent.get(&"b"), None);
        assert_eq!(recent.get(&"a").map(|(value, _)| value), Some(3));
        assert_eq!(recent.get(&"c").map(|(value, _)| value), Some(4));
        recent.remove(&"a");
        assert_eq!(recent.get(&"a"), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_stale_value_is_made_anew() {
        let recent = Recent::new(2);
        let young = |_: &i32, age: Duration| age < Duration::from_secs(10);
        assert_eq!(recent.get_or_insert(&"a", young, || 1), 1);
        assert_eq!(recent.get_or_insert(&"a", young, || 2), 1);
        tokio::time::advance(Duration::from_secs(10)).await;
        assert_eq!(recent.get_or_insert(&"a", young, || 2), 2);
    }
}

//! How often each endpoint was called.

use std::collections::BTreeMap;
use std::sync::Mutex;

use super::http::lock;

/// Calls by endpoint name.
#[derive(Debug, Default)]
pub struct Counters(Mutex<BTreeMap<&'static str, u64>>);

impl Counters {
    /// Calls of an endpoint since start or the last reset; refused and faulty ones count too.
    pub fn get(&self, endpoint: &str) -> u64 {
        lock(&self.0).get(endpoint).copied().unwrap_or(0)
    }

    /// All endpoints called so far.
    pub fn all(&self) -> BTreeMap<&'static str, u64> {
        lock(&self.0).clone()
    }

    /// All calls together, of API and bytes.
    pub fn total(&self) -> u64 {
        lock(&self.0).values().sum()
    }

    /// Starts again from zero.
    pub fn reset(&self) {
        lock(&self.0).clear();
    }

    pub(super) fn count(&self, endpoint: &'static str) {
        *lock(&self.0).entry(endpoint).or_default() += 1;
    }
}

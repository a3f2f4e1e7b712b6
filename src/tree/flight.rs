//! One flight: a call that several requests want at the same moment is made once.
//!
//! The call runs in a task of its own, so that a client who leaves does not cut it for the others.
//! Its outcome, good or bad, goes to all who wait; errors are not remembered.

use std::collections::HashMap;
use std::future::Future;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::drive::{Error, ErrorKind};
use crate::metrics::waited::waiting;

type Outcome<V> = Option<Result<V, Error>>;

/// Calls under way, by key. As many as there are waiting requests at the most.
#[derive(Debug)]
pub struct Flights<K, V> {
    running: Arc<Mutex<HashMap<K, watch::Receiver<Outcome<V>>>>>,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self {
            running: Arc::default(),
        }
    }
}

impl<K, V> Flights<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Joins the running call for `key`, or takes what `known` has, or starts `call`.
    ///
    /// `call` must make its value visible to `known` before it ends, so that no second call starts
    /// between the end of one and the next look.
    ///
    /// # Errors
    /// What `call` gives; `Nonsense` where it was cut off.
    pub async fn join<F>(
        &self,
        key: K,
        known: impl FnOnce() -> Option<V>,
        call: impl FnOnce() -> F,
    ) -> Result<V, Error>
    where
        F: Future<Output = Result<V, Error>> + Send + 'static,
    {
        let mut outcome = {
            let mut running = lock(&self.running);
            match running.get(&key) {
                Some(outcome) => outcome.clone(),
                None => {
                    if let Some(value) = known() {
                        return Ok(value);
                    }
                    let (done, outcome) = watch::channel(None);
                    running.insert(key.clone(), outcome.clone());
                    let landing = Landing {
                        running: self.running.clone(),
                        key,
                    };
                    let call = call();
                    tokio::spawn(async move {
                        let result = call.await;
                        drop(landing);
                        // Nobody may be waiting any more.
                        let _ = done.send(Some(result));
                    });
                    outcome
                }
            }
        };
        let result = match waiting(outcome.wait_for(Option::is_some)).await {
            Ok(result) => result.clone(),
            Err(_) => None,
        };
        result.unwrap_or_else(|| Err(Error::new(ErrorKind::Nonsense, "The call to 123pan was cut off.")))
    }
}

/// Takes a flight out of the table when it ends, even by a panic.
struct Landing<K: Hash + Eq, V> {
    running: Arc<Mutex<HashMap<K, watch::Receiver<Outcome<V>>>>>,
    key: K,
}

impl<K: Hash + Eq, V> Drop for Landing<K, V> {
    fn drop(&mut self) {
        lock(&self.running).remove(&self.key);
    }
}

/// A lock whose holder cannot leave a half-made state, so that a panic elsewhere does not matter.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

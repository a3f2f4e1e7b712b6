//! One flight: a call that several requests want at the same moment is made once.
//!
//! The call runs in a task of its own, so that a client who leaves does not cut it for the others.
//! Its outcome, good or bad, goes to all who wait; errors are not remembered. Where nobody needs it
//! any more it leaves the queue of calls ([`Flights::while_wanted`]); a call that is under way ends.

use std::collections::HashMap;
use std::future::{Future, pending};
use std::hash::Hash;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use crate::drive::{Error, ErrorKind, Urgency};
use crate::metrics::waited::waiting;

/// What a call has brought.
#[derive(Debug, Clone)]
enum Outcome<V> {
    Done(Result<V, Error>),
    /// It was not made, because all who waited had left.
    Anew,
}

/// A call under way.
#[derive(Debug)]
struct Flight<V> {
    urgency: Urgency,
    outcome: watch::Sender<Option<Outcome<V>>>,
}

type Running<K, V> = Arc<Mutex<HashMap<K, Arc<Flight<V>>>>>;

/// Calls under way, by key. As many as there are waiting requests at the most.
#[derive(Debug)]
pub struct Flights<K, V> {
    running: Running<K, V>,
    while_wanted: bool,
}

impl<K, V> Default for Flights<K, V> {
    fn default() -> Self {
        Self {
            running: Arc::default(),
            while_wanted: false,
        }
    }
}

impl<K, V> Flights<K, V>
where
    K: Hash + Eq + Clone + Send + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Calls that need not be made when all who wait for them leave before their turn has come.
    pub(super) fn while_wanted() -> Self {
        Self {
            while_wanted: true,
            ..Self::default()
        }
    }

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
        let mut start = Some((known, call));
        loop {
            let mut outcome = {
                let mut running = lock(&self.running);
                if let Some(flight) = running.get(&key) {
                    flight.urgency.joined();
                    flight.outcome.subscribe()
                } else {
                    let Some((known, call)) = start.take() else {
                        return Err(cut_off());
                    };
                    if let Some(value) = known() {
                        return Ok(value);
                    }
                    let flight = Arc::new(Flight {
                        urgency: Urgency::of_its_own(),
                        outcome: watch::Sender::new(None),
                    });
                    let outcome = flight.outcome.subscribe();
                    running.insert(key.clone(), flight.clone());
                    let landing = Landing {
                        running: self.running.clone(),
                        key: key.clone(),
                    };
                    let urgency = flight.urgency.clone();
                    tokio::spawn(urgency.scope(flight.fly(landing, self.while_wanted, call())));
                    outcome
                }
            };
            match waiting(outcome.wait_for(Option::is_some)).await.as_deref() {
                Ok(Some(Outcome::Done(result))) => return result.clone(),
                Ok(_) => {}
                Err(_) => return Err(cut_off()),
            }
        }
    }
}

impl<V> Flight<V> {
    async fn fly<K: Hash + Eq>(
        self: Arc<Self>,
        landing: Landing<K, V>,
        while_wanted: bool,
        call: impl Future<Output = Result<V, Error>>,
    ) {
        let mut call = pin!(call);
        let left = async {
            match while_wanted {
                true => self.outcome.closed().await,
                false => pending().await,
            }
        };
        let outcome = tokio::select! {
            biased;
            result = &mut call => Outcome::Done(result),
            () = left => {
                self.urgency.abandon();
                match call.await {
                    Err(_) => Outcome::Anew,
                    made => Outcome::Done(made),
                }
            }
        };
        drop(landing);
        // Nobody may be waiting any more.
        self.outcome.send_replace(Some(outcome));
    }
}

fn cut_off() -> Error {
    Error::new(ErrorKind::Nonsense, "The call to 123pan was cut off.")
}

/// Takes a flight out of the table when it ends, even by a panic.
struct Landing<K: Hash + Eq, V> {
    running: Running<K, V>,
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::atomic::{AtomicU32, Ordering};
    use std::time::Duration;

    use tokio::time::{Instant, sleep, timeout};

    use super::*;

    /// A call that waits for its turn as at a gate, then takes a second.
    async fn call(turn: Duration, made: Arc<AtomicU32>) -> Result<u32, Error> {
        let begun = Instant::now();
        while begun.elapsed() < turn {
            sleep(Duration::from_millis(10)).await;
            if Urgency::current().is_background() {
                return Err(cut_off());
            }
        }
        let n = made.fetch_add(1, Ordering::SeqCst) + 1;
        sleep(Duration::from_secs(1)).await;
        Ok(n)
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_nobody_waits_for_is_not_made_unless_it_is_under_way() {
        let made = Arc::new(AtomicU32::new(0));
        let flights: Flights<u8, u32> = Flights::while_wanted();
        let (turn, a_while) = (Duration::from_secs(1), Duration::from_millis(100));
        let ask = || flights.join(1, || None, || call(turn, made.clone()));
        assert!(timeout(a_while, ask()).await.is_err());
        sleep(turn * 3).await;
        assert_eq!(made.load(Ordering::SeqCst), 0);
        // One of two leaves.
        let (gone, got) = tokio::join!(timeout(a_while, ask()), ask());
        assert!(gone.is_err());
        assert_eq!(got.unwrap(), 1);
        // All leave and one comes back before it is noticed.
        assert!(timeout(a_while, ask()).await.is_err());
        assert_eq!(ask().await.unwrap(), 2);
        // Under way: whoever comes shares it.
        assert!(timeout(turn + a_while, ask()).await.is_err());
        assert_eq!(ask().await.unwrap(), 3);
        assert_eq!(made.load(Ordering::SeqCst), 3);
        assert!(lock(&flights.running).is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn other_calls_are_made_whoever_leaves() {
        let made = Arc::new(AtomicU32::new(0));
        let flights: Flights<u8, u32> = Flights::default();
        let turn = Duration::from_secs(1);
        let ask = flights.join(1, || None, || call(turn, made.clone()));
        assert!(timeout(Duration::from_millis(100), ask).await.is_err());
        sleep(turn * 3).await;
        assert_eq!(made.load(Ordering::SeqCst), 1);
    }
}

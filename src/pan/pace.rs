//! The pace of calls: one gate per endpoint, shared by everybody who uses the same account.
//!
//! A gate lets one call through per interval (700 ms, API page 10; the vendor asked for it) in the
//! order of arrival. When the service says "too fast", the gate is pushed into the future and all
//! who wait, wait longer: otherwise each of them would be told the same in turn, and a ban follows.
//! Who would wait longer than he can is turned away before he queues.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Time between two calls of one endpoint, at a rate of 1 (API page 10).
pub const INTERVAL: Duration = Duration::from_millis(700);
/// Bounds of a configured rate.
const RATES: (f64, f64) = (0.001, 10_000.0);

/// The gates of one client.
#[derive(Debug)]
pub struct Gates {
    rate: f64,
    gates: Mutex<HashMap<&'static str, Arc<Gate>>>,
}

/// The gate of one endpoint.
#[derive(Debug)]
pub struct Gate {
    interval: Duration,
    /// Held by the one at the head of the queue; tokio's mutex is first come, first served.
    turn: tokio::sync::Mutex<()>,
    /// The next call may go at this moment.
    next: Mutex<Instant>,
    waiting: AtomicU32,
}

/// `duration` at a rate: shorter at higher rates.
pub fn scaled(duration: Duration, rate: f64) -> Duration {
    duration.div_f64(if rate.is_finite() {
        rate.clamp(RATES.0, RATES.1)
    } else {
        1.0
    })
}

impl Gates {
    /// Gates for a factor on the pace.
    pub fn new(rate: f64) -> Self {
        Self {
            rate,
            gates: Mutex::new(HashMap::new()),
        }
    }

    /// Gives an endpoint a pace of its own, as the Open platform has one for each (API page 8.4).
    #[must_use]
    pub fn with(self, endpoint: &'static str, interval: Duration) -> Self {
        let gate = Arc::new(Gate::new(scaled(interval, self.rate)));
        self.gates
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(endpoint, gate);
        self
    }

    /// The gate of an endpoint. Endpoints are names in the source, so there is a bounded number.
    pub fn gate(&self, endpoint: &'static str) -> Arc<Gate> {
        let mut gates = self.gates.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(
            gates
                .entry(endpoint)
                .or_insert_with(|| Arc::new(Gate::new(scaled(INTERVAL, self.rate)))),
        )
    }
}

impl Gate {
    fn new(interval: Duration) -> Self {
        Self {
            interval,
            turn: tokio::sync::Mutex::new(()),
            next: Mutex::new(Instant::now()),
            waiting: AtomicU32::new(0),
        }
    }

    /// Waits for its turn.
    ///
    /// # Errors
    /// The time it would have taken, if that is beyond `deadline`.
    pub async fn pass(&self, deadline: Instant) -> Result<(), Duration> {
        let queue = Queued::join(self);
        let expected = self.wait() + self.interval * queue.before;
        if Instant::now() + expected > deadline {
            return Err(expected);
        }
        // Single file: the lock is held while its holder sleeps, that is the queue.
        let _turn = self.turn.lock().await;
        loop {
            let wait = self.wait();
            if wait.is_zero() {
                break;
            }
            let until = Instant::now() + wait;
            if until > deadline {
                return Err(wait);
            }
            tokio::time::sleep_until(until).await;
        }
        *self.lock_next() = Instant::now() + self.interval;
        Ok(())
    }

    /// Lets nobody through for `pause` from now.
    pub fn push(&self, pause: Duration) {
        let until = Instant::now() + pause;
        let mut next = self.lock_next();
        *next = (*next).max(until);
    }

    /// How long until the gate opens.
    pub fn wait(&self) -> Duration {
        self.lock_next().saturating_duration_since(Instant::now())
    }

    fn lock_next(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.next.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue; leaving it, also by being cancelled, is dropping it.
struct Queued<'a> {
    gate: &'a Gate,
    before: u32,
}

impl<'a> Queued<'a> {
    fn join(gate: &'a Gate) -> Self {
        let before = gate.waiting.fetch_add(1, Ordering::Relaxed);
        Self { gate, before }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.gate.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn far() -> Instant {
        Instant::now() + Duration::from_secs(3600)
    }

    #[tokio::test(start_paused = true)]
    async fn ten_calls_take_nine_intervals_and_go_in_order() {
        let gate = Gates::new(1.0).gate("file/list/new");
        let order = Arc::new(Mutex::new(Vec::new()));
        let start = Instant::now();
        let mut tasks = Vec::new();
        for n in 0..10 {
            let (gate, order) = (Arc::clone(&gate), Arc::clone(&order));
            tasks.push(tokio::spawn(async move {
                gate.pass(far()).await.unwrap();
                order.lock().unwrap().push((n, start.elapsed()));
            }));
        }
        for task in tasks {
            task.await.unwrap();
        }
        let order = order.lock().unwrap();
        for (place, (n, at)) in order.iter().enumerate() {
            assert_eq!(place, *n);
            let due = INTERVAL * u32::try_from(place).unwrap();
            assert!(*at >= due && *at < due + Duration::from_millis(20), "{at:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_push_holds_up_those_who_wait_already() {
        let gate = Gates::new(1.0).gate("x");
        gate.pass(far()).await.unwrap();
        let start = Instant::now();
        let other = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.pass(far()).await }
        });
        tokio::task::yield_now().await;
        gate.push(Duration::from_secs(10));
        other.await.unwrap().unwrap();
        assert!(start.elapsed() >= Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn who_would_wait_too_long_is_turned_away_at_once() {
        let gate = Gates::new(1.0).gate("x");
        gate.push(Duration::from_secs(30));
        let start = Instant::now();
        let wait = gate.pass(start + Duration::from_secs(5)).await.unwrap_err();
        assert!(wait >= Duration::from_secs(29));
        assert!(start.elapsed() < Duration::from_secs(1));
    }

    #[tokio::test(start_paused = true)]
    async fn a_higher_rate_makes_shorter_intervals_and_a_cancelled_waiter_wastes_none() {
        let gate = Gates::new(100.0).gate("x");
        gate.pass(far()).await.unwrap();
        let start = Instant::now();
        let gone = tokio::time::timeout(Duration::from_millis(1), gate.pass(far())).await;
        assert!(gone.is_err());
        gate.pass(far()).await.unwrap();
        assert!(start.elapsed() <= Duration::from_millis(9));
        assert_eq!(gate.waiting.load(Ordering::Relaxed), 0);
    }
}

//! The pace of calls: one gate per endpoint, shared by everybody who uses the same account.
//!
//! A gate lets one call through per interval (700 ms, API page 10; the vendor asked for it), never
//! two at once: no source allows a burst. Who waits goes in the order of arrival; what runs in the
//! background ([`super::urgency`]) goes when nobody else waits. Each attempt of a call passes the
//! gate, a repeated one too.
//!
//! When the service says "too fast", the gate is shut for a while for everybody, otherwise each of
//! those who wait would be told the same in turn, and a ban follows. Behind it the pace is halved,
//! and comes back in small steps with every call that is answered: additive increase, multiplicative
//! decrease. Who would wait longer than he can is turned away before he queues.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout_at};

use super::minutes::{KEPT, Minutes};
use super::retry::PATIENCE;
use super::urgency::Urgency;

/// Time between two calls of one endpoint, at a rate of 1 (API page 10).
pub const INTERVAL: Duration = Duration::from_millis(700);
/// Bounds of a configured rate.
const RATES: (f64, f64) = (0.001, 10_000.0);
/// The built-in pace, in steps of speed. The slowest is one step: 11 s between two calls.
const FULL: u32 = 16;
/// A timer wakes late. What is less than this part of the interval, or than [`TICK`], is made good with
/// the next call, so that the pace is kept in the long run.
const LATE: u32 = 20;
/// How late timers are that have to do with milliseconds.
const TICK: Duration = Duration::from_millis(2);

/// The gates of one account.
#[derive(Debug)]
pub struct Gates {
    /// Tells these from those of other accounts, in this run.
    pub id: u64,
    rate: f64,
    gates: Mutex<HashMap<&'static str, Arc<Gate>>>,
}

/// The gate of one endpoint.
#[derive(Debug)]
pub struct Gate {
    call: &'static str,
    state: Mutex<State>,
    /// Held by the one at the head of the queue; tokio's mutex is first come, first served.
    turn: tokio::sync::Mutex<()>,
    /// The same for those in the background.
    turn_behind: tokio::sync::Mutex<()>,
    /// Told when nobody waits in front any more.
    empty: Notify,
}

#[derive(Debug)]
struct State {
    /// Between two calls at full speed.
    pace: Duration,
    /// The next call may go at this moment.
    next: Instant,
    /// 1 to [`FULL`].
    speed: u32,
    /// Counts how often the gate was slowed.
    slowed: u64,
    waiting: u32,
    behind: u32,
    passed: Minutes,
}

/// A call that has passed, for what its answer says about the pace.
#[derive(Debug, Clone, Copy)]
pub struct Passed {
    slowed: u64,
}

/// How an endpoint stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// The endpoint, as the API names it.
    pub call: &'static str,
    /// Time between two calls now.
    pub interval: Duration,
    /// The same at full speed.
    pub pace: Duration,
    /// Calls that wait and that somebody waits for.
    pub waiting: u32,
    /// Calls that wait in the background.
    pub behind: u32,
    /// Calls that went in each of the last sixty minutes, the running one last.
    pub minutes: [u32; KEPT],
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
        static MADE: AtomicU64 = AtomicU64::new(0);
        Self {
            id: MADE.fetch_add(1, Ordering::Relaxed) + 1,
            rate,
            gates: Mutex::new(HashMap::new()),
        }
    }

    /// Gives an endpoint a pace of its own, as the Open platform has one for each (API page 8.4).
    pub fn set(&self, endpoint: &'static str, interval: Duration) {
        let pace = scaled(interval, self.rate);
        let mut gates = lock(&self.gates);
        let gate = gates
            .entry(endpoint)
            .or_insert_with(|| Arc::new(Gate::new(endpoint, pace)));
        gate.lock().pace = pace;
    }

    /// The gate of an endpoint. Endpoints are names in the source, so there is a bounded number.
    pub fn gate(&self, endpoint: &'static str) -> Arc<Gate> {
        let new = || Arc::new(Gate::new(endpoint, scaled(INTERVAL, self.rate)));
        Arc::clone(lock(&self.gates).entry(endpoint).or_insert_with(new))
    }

    /// How all endpoints stand that were called so far, by name.
    pub fn standing(&self) -> Vec<Standing> {
        let mut all: Vec<_> = lock(&self.gates).values().map(|gate| gate.standing()).collect();
        all.sort_unstable_by_key(|standing| standing.call);
        all
    }
}

impl Gate {
    fn new(call: &'static str, pace: Duration) -> Self {
        Self {
            call,
            state: Mutex::new(State {
                pace,
                next: Instant::now(),
                speed: FULL,
                slowed: 0,
                waiting: 0,
                behind: 0,
                passed: Minutes::new(Instant::now()),
            }),
            turn: tokio::sync::Mutex::new(()),
            turn_behind: tokio::sync::Mutex::new(()),
            empty: Notify::new(),
        }
    }

    /// Waits for its turn, with the urgency of the running task. Who is dropped meanwhile leaves the
    /// queue and costs no slot.
    ///
    /// # Errors
    /// The time it would have taken, if that is beyond `deadline`; at once where the work is abandoned.
    pub async fn pass(&self, deadline: Instant) -> Result<Passed, Duration> {
        let urgency = Urgency::current();
        tokio::select! {
            // A slot that was taken is not lost.
            biased;
            passed = self.pass_as(&urgency, deadline) => passed,
            () = urgency.abandoned() => Err(Duration::ZERO),
        }
    }

    async fn pass_as(&self, urgency: &Urgency, deadline: Instant) -> Result<Passed, Duration> {
        if !urgency.is_background() {
            return self.pass_in_turn(deadline).await;
        }
        tokio::select! {
            biased;
            passed = self.pass_behind(deadline) => passed,
            () = urgency.hurried() => self.pass_in_turn(deadline.min(Instant::now() + PATIENCE)).await,
        }
    }

    async fn pass_in_turn(&self, deadline: Instant) -> Result<Passed, Duration> {
        let queue = Queued::join(self, false);
        queue.expected(deadline)?;
        // Single file: the lock is held while its holder sleeps, that is the queue.
        let _turn = timeout_at(deadline, self.turn.lock())
            .await
            .map_err(|_| self.wait())?;
        loop {
            match self.take() {
                Ok(passed) => return Ok(passed),
                Err(wait) if Instant::now() + wait > deadline => return Err(wait),
                Err(wait) => sleep(wait).await,
            }
        }
    }

    /// The same for a call in the background: whoever comes while it waits goes first.
    async fn pass_behind(&self, deadline: Instant) -> Result<Passed, Duration> {
        let queue = Queued::join(self, true);
        queue.expected(deadline)?;
        let late = |_| self.wait();
        let _turn = timeout_at(deadline, self.turn_behind.lock())
            .await
            .map_err(late)?;
        loop {
            let empty = self.empty.notified();
            match self.take_behind() {
                None => timeout_at(deadline, empty).await.map_err(late)?,
                Some(Ok(passed)) => return Ok(passed),
                Some(Err(wait)) if Instant::now() + wait > deadline => return Err(wait),
                Some(Err(wait)) => sleep(wait).await,
            }
        }
    }

    fn take(&self) -> Result<Passed, Duration> {
        self.lock().take()
    }

    /// `None` while others wait.
    fn take_behind(&self) -> Option<Result<Passed, Duration>> {
        let mut state = self.lock();
        (state.waiting == 0).then(|| state.take())
    }

    /// The service has answered a call with "too fast": nobody goes for `pause` from now, and behind
    /// that at half the speed. Calls under way when the speed was halved do not halve it again.
    pub fn slow(&self, passed: Passed, pause: Duration) {
        let mut state = self.lock();
        state.push(pause);
        if state.slowed != passed.slowed {
            return;
        }
        state.slowed += 1;
        state.speed = (state.speed / 2).max(1);
        let interval = state.interval();
        drop(state);
        tracing::warn!(
            call = self.call,
            interval_ms = interval.as_millis(),
            pause_ms = pause.as_millis(),
            "123pan asks to slow down: calls go slower for a while"
        );
    }

    /// Lets nobody through for `pause` from now.
    pub fn push(&self, pause: Duration) {
        self.lock().push(pause);
    }

    /// The service has answered a call and did not mind the pace: a step faster, up to the built-in
    /// pace.
    pub fn answered(&self, passed: Passed) {
        let mut state = self.lock();
        if state.speed == FULL || state.slowed != passed.slowed {
            return;
        }
        state.speed += 1;
        let recovered = state.speed == FULL;
        drop(state);
        if recovered {
            tracing::info!(call = self.call, "calls to 123pan go at their full pace again");
        }
    }

    /// How long until the gate opens.
    pub fn wait(&self) -> Duration {
        self.lock().wait()
    }

    fn standing(&self) -> Standing {
        let mut state = self.lock();
        Standing {
            call: self.call,
            interval: state.interval(),
            pace: state.pace,
            waiting: state.waiting,
            behind: state.behind,
            minutes: state.passed.counts(Instant::now()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl State {
    /// Takes the slot if it is time, else says how long it is.
    fn take(&mut self) -> Result<Passed, Duration> {
        let wait = self.wait();
        if !wait.is_zero() {
            return Err(wait);
        }
        let (now, interval) = (Instant::now(), self.interval());
        let late = now - self.next;
        let small = (interval / LATE).max(TICK.min(interval / 4));
        let from = if late <= small { self.next } else { now };
        self.next = from + interval;
        self.passed.count(now);
        Ok(Passed { slowed: self.slowed })
    }

    fn interval(&self) -> Duration {
        self.pace * FULL / self.speed
    }

    fn push(&mut self, pause: Duration) {
        self.next = self.next.max(Instant::now() + pause);
    }

    fn wait(&self) -> Duration {
        self.next.saturating_duration_since(Instant::now())
    }
}

/// A place in the queue; leaving it, also by being cancelled, is dropping it.
struct Queued<'a> {
    gate: &'a Gate,
    behind: bool,
    before: u32,
}

impl<'a> Queued<'a> {
    fn join(gate: &'a Gate, behind: bool) -> Self {
        let mut state = gate.lock();
        let before = if behind {
            state.behind += 1;
            state.waiting + state.behind - 1
        } else {
            state.waiting += 1;
            state.waiting - 1
        };
        drop(state);
        Self { gate, behind, before }
    }

    /// # Errors
    /// The time until its turn, where that is beyond the deadline.
    fn expected(&self, deadline: Instant) -> Result<(), Duration> {
        let state = self.gate.lock();
        let expected = state.wait() + state.interval() * self.before;
        if Instant::now() + expected > deadline {
            return Err(expected);
        }
        Ok(())
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        let mut state = self.gate.lock();
        if self.behind {
            state.behind -= 1;
            return;
        }
        state.waiting -= 1;
        if state.waiting == 0 {
            drop(state);
            self.gate.empty.notify_waiters();
        }
    }
}

/// A lock whose holder leaves no half-made state.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;

//! When an account's calls stop, and what lets them go on.
//!
//! After a risk-control message, a ban of the address or a refused password no call is made for the
//! account: each would make it worse (API page 2.4, 2.5 and 10). A person lets them go on: a new token
//! in the state directory, SIGHUP, the status page.
//!
//! A ban also ends by itself, at a time that nobody tells. So after a long pause one call is let
//! through as a trial while all others still fail; if it meets the ban, the next pause is twice as
//! long. Risk control is never tried: the account is locked until a human acts, and what comes before
//! is what the lock is about (API page 2.5 and 11.1).

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::error::{Error, Reason};
use super::kept::Stamp;
use super::pace::scaled;

/// The first pause after a ban ...
const BAN_FIRST: Duration = Duration::from_secs(30 * 60);
/// ... doubled by each further one up to this. One that comes so long after the last is a first one.
const BAN_LONGEST: Duration = Duration::from_secs(12 * 3600);
/// A trial that brings no clear answer is followed by another.
const TRIAL: Duration = Duration::from_secs(60);

/// Why an account stands still.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halted {
    /// What every call fails with.
    pub error: Error,
    /// The time until a trial; `None` where a person must act.
    pub wait: Option<Duration>,
}

/// The switch of one account.
#[derive(Debug)]
pub(super) struct Switch {
    rate: f64,
    state: RwLock<State>,
}

#[derive(Debug, Default)]
struct State {
    halt: Option<Halt>,
    /// Bans that followed each other.
    bans: u32,
    /// When the last one ended.
    ended: Option<Instant>,
}

#[derive(Debug)]
struct Halt {
    error: Error,
    /// The token file as it was then.
    seen: Option<Stamp>,
    /// The next trial.
    trial: Option<Instant>,
    /// A trial is under way, or has brought no clear answer.
    tried: bool,
}

impl Halt {
    fn is_due(&self) -> bool {
        self.trial.is_some_and(|at| at <= Instant::now())
    }

    fn halted(&self) -> Halted {
        let now = Instant::now();
        let wait = self.trial.map(|at| at.saturating_duration_since(now));
        Halted {
            error: self.error.clone().with_after(wait),
            wait,
        }
    }
}

impl Switch {
    /// A switch that is on; `rate` shortens the pauses.
    pub(super) fn new(rate: f64) -> Self {
        Self {
            rate,
            state: RwLock::default(),
        }
    }

    /// Stops all calls for `error`, and says so once in the log; the error as it is to be handed on.
    pub(super) fn halt(&self, error: Error, seen: Option<Stamp>) -> Error {
        let mut state = self.write();
        if let Some(halt) = &state.halt
            && !halt.tried
            && !halt.is_due()
        {
            // A call that was under way when another one was told.
            return halt.halted().error;
        }
        let now = Instant::now();
        let pause = matches!(error.reason, Reason::Banned { .. }).then(|| {
            let longest = scaled(BAN_LONGEST, self.rate);
            if state.ended.is_some_and(|ended| now - ended > longest) {
                state.bans = 0;
            }
            let pause = scaled(BAN_FIRST, self.rate) * (1 << state.bans.min(16));
            state.bans += 1;
            pause.min(longest)
        });
        let error = error.with_after(pause);
        tracing::error!("{}", error.sentence());
        state.halt = Some(Halt {
            error: error.clone(),
            seen,
            trial: pause.map(|pause| now + pause),
            tried: false,
        });
        error
    }

    /// # Errors
    /// What halted the calls, unless a trial is due.
    pub(super) fn check(&self) -> Result<(), Error> {
        match &self.read().halt {
            Some(halt) if !halt.is_due() => Err(halt.halted().error),
            _ => Ok(()),
        }
    }

    /// The same for a call that is made next: of those that wait for a trial one is let through.
    pub(super) fn enter(&self) -> Result<(), Error> {
        if self.read().halt.is_none() {
            return Ok(());
        }
        let mut state = self.write();
        match &mut state.halt {
            Some(halt) if halt.is_due() => {
                halt.trial = Some(Instant::now() + scaled(TRIAL, self.rate));
                halt.tried = true;
                Ok(())
            }
            Some(halt) => Err(halt.halted().error),
            None => Ok(()),
        }
    }

    /// The service has answered a call: a trial has shown that a ban is over.
    pub(super) fn answered(&self) {
        if self.read().halt.as_ref().is_none_or(|halt| !halt.tried) {
            return;
        }
        if self.resume() {
            tracing::info!("123pan answers again: calls go on");
        }
    }

    /// Lets calls go on; whether they had stopped.
    pub(super) fn resume(&self) -> bool {
        let mut state = self.write();
        let halted = state.halt.take().is_some();
        if halted {
            state.ended = Some(Instant::now());
        }
        halted
    }

    /// Why calls have stopped, if they have.
    pub(super) fn halted(&self) -> Option<Halted> {
        self.read().halt.as_ref().map(Halt::halted)
    }

    /// The token file as it was when calls were stopped.
    pub(super) fn seen(&self) -> Option<Stamp> {
        self.read().halt.as_ref().and_then(|halt| halt.seen)
    }

    fn read(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::super::error::Said;
    use super::*;

    fn ban() -> Error {
        let said = Said::new(Some(403), "forbidden client ip");
        Error::new("file/list/new", Reason::Banned { said, after: None })
    }

    fn wait(switch: &Switch) -> Duration {
        switch.halted().unwrap().wait.unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_ban_is_tried_by_one_call_after_pauses_that_grow() {
        let switch = Switch::new(1.0);
        for hours in [0.5, 1.0, 2.0, 4.0, 8.0, 12.0, 12.0] {
            let error = switch.halt(ban(), None);
            let pause = Duration::from_secs_f64(hours * 3600.0);
            assert_eq!(wait(&switch), pause);
            assert!(matches!(error.reason, Reason::Banned { after: Some(t), .. } if t == pause));
            // Who was under way when it came changes nothing.
            switch.halt(ban(), None);
            switch.answered();
            assert_eq!(wait(&switch), pause);
            tokio::time::advance(pause - Duration::from_secs(1)).await;
            assert!(switch.check().is_err() && switch.enter().is_err());
            tokio::time::advance(Duration::from_secs(1)).await;
            assert!(switch.check().is_ok());
            assert!(switch.enter().is_ok());
            assert!(switch.check().is_err() && switch.enter().is_err(), "one only");
        }
        // It brings no clear answer: the next one a minute later.
        tokio::time::advance(TRIAL).await;
        assert!(switch.enter().is_ok());
        switch.answered();
        assert!(switch.halted().is_none() && switch.check().is_ok() && switch.enter().is_ok());
        switch.halt(ban(), None);
        assert_eq!(wait(&switch), BAN_LONGEST, "too soon after the last");
        assert!(switch.resume());
        tokio::time::advance(BAN_LONGEST + TRIAL).await;
        switch.halt(ban(), None);
        assert_eq!(wait(&switch), BAN_FIRST);
    }

    #[tokio::test(start_paused = true)]
    async fn risk_control_ends_by_a_person_alone() {
        let switch = Switch::new(1.0);
        let risk = Error::new("user/sign_in", Reason::Risk(Said::default()));
        switch.halt(risk.clone(), None);
        tokio::time::advance(Duration::from_secs(100 * 24 * 3600)).await;
        assert_eq!(switch.check(), Err(risk.clone()));
        assert_eq!(switch.enter(), Err(risk));
        assert_eq!(switch.halted().unwrap().wait, None);
        assert!(switch.resume() && switch.enter().is_ok() && !switch.resume());
    }
}

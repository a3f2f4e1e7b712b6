//! What is tried again, how often and after how long (API page 2.3 and 10).
//!
//! "Too fast" gets up to 6 tries, broken connections and server errors up to 3, everything else
//! one: an answer that was understood does not become better by asking again, and a page of HTML
//! neither. A call that changes something is repeated only where it certainly was not carried out:
//! after "too fast", and when no connection came about.

use std::time::Duration;

use tokio::time::Instant;

use super::error::Reason;
use super::http::HttpError;
use super::pace::scaled;
use super::urgency::Urgency;

/// Tries of a call that is answered with "too fast".
const BUSY_TRIES: u32 = 6;
/// Tries of a call whose connection breaks or that meets a server error.
const BROKEN_TRIES: u32 = 3;
/// First pause after "too fast"; doubled each time.
const BUSY_BASE: Duration = Duration::from_secs(1);
/// First pause after a broken connection; doubled each time.
const BROKEN_BASE: Duration = Duration::from_millis(500);
/// Longest pause we choose ourselves.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Bounds of a pause the service asks for.
const ASKED: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// Time a call may take with all its waiting; WebDAV clients give up at about this age. Below the
/// longest pause, so that one who meets a gate shut for so long is told at once.
pub const PATIENCE: Duration = Duration::from_secs(55);
/// The same for a call in the background, which steps back for all others: who made it comes again
/// later.
pub const PATIENCE_BEHIND: Duration = Duration::from_secs(600);
/// How long an endpoint is left alone after all tries were answered with "too fast": minutes, says the
/// service's text (API page 2.4).
const REST: Duration = Duration::from_secs(60);

/// The patience of one logical call.
#[derive(Debug)]
pub struct Patience {
    deadline: Instant,
    rate: f64,
    repeatable: bool,
    busy: u32,
    broken: u32,
}

/// What to do about a failed attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advice {
    /// Nothing.
    GiveUp,
    /// Hold the endpoint's gate for everybody, then go through it again.
    PushGate(Duration),
    /// Sleep, then go through the gate again.
    Sleep(Duration),
}

impl Patience {
    /// For a call begun now; `repeatable` if asking twice does the same as asking once.
    pub fn new(rate: f64, repeatable: bool) -> Self {
        let time = if Urgency::current().is_background() {
            PATIENCE_BEHIND
        } else {
            PATIENCE
        };
        Self::within(time, rate, repeatable)
    }

    /// The same with another time for all tries together: the part of an upload may take long.
    pub fn within(time: Duration, rate: f64, repeatable: bool) -> Self {
        Self {
            deadline: Instant::now() + time,
            rate,
            repeatable,
            busy: 0,
            broken: 0,
        }
    }

    /// The same for a question that one can do without: it is asked once, also where the answer is "too fast".
    #[must_use]
    pub fn once(self) -> Self {
        Self {
            repeatable: false,
            busy: BUSY_TRIES,
            broken: BROKEN_TRIES,
            ..self
        }
    }

    /// When the call must be over with waiting.
    pub fn deadline(&self) -> Instant {
        self.deadline
    }

    /// Counts a failed attempt and says what to do.
    pub fn after(&mut self, reason: &Reason) -> Advice {
        let untouched = matches!(reason, Reason::Busy { .. } | Reason::Http(HttpError::Connect));
        if !self.repeatable && !untouched {
            return Advice::GiveUp;
        }
        let advice = match reason {
            Reason::Busy { after, .. } => {
                self.busy += 1;
                if self.busy >= BUSY_TRIES {
                    return Advice::GiveUp;
                }
                Advice::PushGate(self.busy_pause(*after))
            }
            Reason::Status(_) | Reason::Http(HttpError::Connect | HttpError::Timeout | HttpError::Broken) => {
                self.broken += 1;
                if self.broken >= BROKEN_TRIES {
                    return Advice::GiveUp;
                }
                Advice::Sleep(self.own_pause(BROKEN_BASE, self.broken))
            }
            _ => return Advice::GiveUp,
        };
        let (Advice::PushGate(pause) | Advice::Sleep(pause)) = advice else {
            return advice;
        };
        if Instant::now() + pause > self.deadline {
            Advice::GiveUp
        } else {
            advice
        }
    }

    /// How long the gate is held after "too fast".
    fn busy_pause(&self, asked: Option<Duration>) -> Duration {
        asked.map_or_else(
            || self.own_pause(BUSY_BASE, self.busy.max(1)),
            |asked| asked.clamp(ASKED.0, ASKED.1),
        )
    }

    /// How long the gate is held when the call was given up because of "too fast".
    pub fn rest(&self, asked: Option<Duration>) -> Duration {
        match asked {
            Some(_) => self.busy_pause(asked),
            None => scaled(REST, self.rate),
        }
    }

    /// Doubled with each try, spread by a fifth so that several clients do not come in step.
    fn own_pause(&self, base: Duration, tries: u32) -> Duration {
        let pause = base.saturating_mul(1 << (tries - 1).min(16)).min(PAUSE_MAX);
        scaled(pause, self.rate).mul_f64(1.0 + fastrand::f64() * 0.2)
    }
}

#[cfg(test)]
mod tests {
    use super::super::error::Said;
    use super::*;

    fn busy(after: Option<u64>) -> Reason {
        Reason::Busy {
            said: Said::default(),
            after: after.map(Duration::from_secs),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn too_fast_is_tried_six_times_with_growing_pauses() {
        let mut patience = Patience::new(1.0, true);
        let mut last = Duration::ZERO;
        for _ in 0..5 {
            let Advice::PushGate(pause) = patience.after(&busy(None)) else {
                unreachable!("gave up early")
            };
            assert!(pause > last);
            last = pause;
        }
        assert_eq!(patience.after(&busy(None)), Advice::GiveUp);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_once_is_not_asked_again() {
        for reason in [
            busy(None),
            busy(Some(7)),
            Reason::Http(HttpError::Connect),
            Reason::Status(502),
        ] {
            assert_eq!(Patience::new(1.0, true).once().after(&reason), Advice::GiveUp);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_retry_after_is_honoured_within_1_and_60_seconds_at_any_rate() {
        let mut patience = Patience::new(100.0, true);
        assert_eq!(
            patience.after(&busy(Some(7))),
            Advice::PushGate(Duration::from_secs(7))
        );
        assert_eq!(
            patience.after(&busy(Some(0))),
            Advice::PushGate(Duration::from_secs(1))
        );
        assert_eq!(
            patience.rest(Some(Duration::from_secs(900))),
            Duration::from_secs(60)
        );
        assert_eq!(Patience::new(1.0, true).rest(None), REST);
        tokio::time::advance(Duration::from_secs(50)).await;
        assert_eq!(patience.after(&busy(Some(7))), Advice::GiveUp);
    }

    #[tokio::test(start_paused = true)]
    async fn broken_connections_get_three_tries_and_understood_answers_one() {
        let mut patience = Patience::new(100.0, true);
        let broken = Reason::Http(HttpError::Broken);
        assert!(matches!(patience.after(&broken), Advice::Sleep(p) if p < Duration::from_millis(10)));
        assert!(matches!(patience.after(&Reason::Status(502)), Advice::Sleep(_)));
        assert_eq!(patience.after(&broken), Advice::GiveUp);
        for reason in [
            Reason::Nonsense("HTML"),
            Reason::Refused(Said::default()),
            Reason::Session(Said::default()),
            Reason::Risk(Said::default()),
            Reason::Http(HttpError::Request),
        ] {
            assert_eq!(Patience::new(1.0, true).after(&reason), Advice::GiveUp);
        }
        for unclear in [broken, Reason::Http(HttpError::Timeout), Reason::Status(502)] {
            assert_eq!(Patience::new(1.0, false).after(&unclear), Advice::GiveUp);
        }
        for untouched in [busy(None), Reason::Http(HttpError::Connect)] {
            assert_ne!(Patience::new(1.0, false).after(&untouched), Advice::GiveUp);
        }
    }
}

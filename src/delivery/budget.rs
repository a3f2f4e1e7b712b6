//! Bytes per period and mount: past the budget a GET is refused until the period ends.
//!
//! Streamed bytes are counted as they pass, a 302 as if the client fetched all it asked for. Periods
//! are those of the clock in UTC+8, as 123pan bills. Counts live in memory: a restart begins anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytesize::ByteSize;

use crate::config::{Budget, Period};
use crate::drive::{Error, ErrorKind, Retry};
use crate::tree::TreePath;

/// 123pan's clock is this far ahead of UTC.
const AHEAD: Duration = Duration::from_secs(8 * 3600);
const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// A meter hands its count on in pieces of this size, so that a frame costs no lock.
const PIECE: u64 = 4 << 20;

/// The counts of all mounts that have a budget.
#[derive(Debug, Default)]
pub struct Budgets {
    /// One per mount of the configuration, so its number is bounded.
    accounts: Mutex<HashMap<TreePath, Arc<Account>>>,
}

/// The count of one mount.
#[derive(Debug)]
pub struct Account {
    budget: Budget,
    used: Mutex<Used>,
}

#[derive(Debug, Default)]
struct Used {
    /// First second of the period, by the clock in UTC+8.
    since: u64,
    bytes: u64,
}

/// Counts the bytes of one transfer.
#[derive(Debug)]
pub struct Meter {
    account: Arc<Account>,
    pending: u64,
}

impl Budgets {
    /// The count of the mount at `path`.
    pub fn account(&self, path: &TreePath, budget: Budget) -> Arc<Account> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.get(path)
            && account.budget == budget
        {
            return Arc::clone(account);
        }
        let account = Arc::new(Account {
            budget,
            used: Mutex::default(),
        });
        accounts.insert(path.clone(), Arc::clone(&account));
        account
    }
}

impl Account {
    /// Whether a GET may begin now.
    ///
    /// # Errors
    /// `Forbidden`, with the time until the period ends, when the budget is used up.
    pub fn admit(&self, now: SystemTime) -> Result<(), Error> {
        let (since, until) = period(self.budget.per, now);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.roll(since);
        if used.bytes < self.budget.bytes {
            return Ok(());
        }
        let left = Duration::from_secs(until.saturating_sub(local_seconds(now)));
        Err(Error::new(
            ErrorKind::Forbidden,
            format!(
                "The budget of {} per {} for this mount is used up; it begins anew in {}.",
                ByteSize::b(self.budget.bytes),
                name(self.budget.per),
                humantime::format_duration(left),
            ),
        )
        .with_retry(Retry::After(left)))
    }

    /// Bytes that count in the running period.
    pub fn used(&self, now: SystemTime) -> u64 {
        let (since, _) = period(self.budget.per, now);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.roll(since);
        used.bytes
    }

    /// Counts bytes that were sent or promised.
    pub fn add(&self, bytes: u64, now: SystemTime) {
        let (since, _) = period(self.budget.per, now);
        let mut used = self.used.lock().unwrap_or_else(PoisonError::into_inner);
        used.roll(since);
        used.bytes = used.bytes.saturating_add(bytes);
    }

    /// A meter for one transfer.
    pub fn meter(self: &Arc<Self>) -> Meter {
        Meter {
            account: Arc::clone(self),
            pending: 0,
        }
    }
}

impl Used {
    fn roll(&mut self, since: u64) {
        if self.since != since {
            *self = Self { since, bytes: 0 };
        }
    }
}

impl Meter {
    /// Counts bytes.
    pub fn count(&mut self, bytes: u64) {
        self.pending += bytes;
        if self.pending >= PIECE {
            self.account
                .add(std::mem::take(&mut self.pending), SystemTime::now());
        }
    }
}

impl Drop for Meter {
    fn drop(&mut self) {
        self.account.add(self.pending, SystemTime::now());
    }
}

fn local_seconds(now: SystemTime) -> u64 {
    (now + AHEAD)
        .duration_since(UNIX_EPOCH)
        .map_or(0, |d| d.as_secs())
}

/// First second of the period and first second after it, by the clock in UTC+8.
fn period(per: Period, now: SystemTime) -> (u64, u64) {
    let now = local_seconds(now);
    let length = match per {
        Period::Hour => HOUR,
        Period::Day => DAY,
        Period::Month => return month(now),
    };
    let since = now - now % length;
    (since, since + length)
}

fn month(now: u64) -> (u64, u64) {
    let day = now - now % DAY;
    let date = i64::try_from(now)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map(|time| jiff::tz::Offset::UTC.to_datetime(time).date());
    // A clock beyond the calendar gets days instead of months.
    let Some(date) = date else {
        return (day, day + DAY);
    };
    let before = u64::try_from(date.day() - 1).unwrap_or(0);
    let since = day - before * DAY;
    let days = u64::try_from(date.days_in_month()).unwrap_or(30);
    (since, since + days * DAY)
}

fn name(per: Period) -> &'static str {
    match per {
        Period::Hour => "hour",
        Period::Day => "day",
        Period::Month => "month",
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn at(text: &str) -> SystemTime {
        let seconds = text.parse::<jiff::Timestamp>().unwrap().as_second();
        UNIX_EPOCH + Duration::from_secs(seconds.unsigned_abs())
    }

    fn account(per: Period) -> Arc<Account> {
        Budgets::default().account(&TreePath::root(), Budget { bytes: 100, per })
    }

    #[test]
    fn past_the_budget_a_get_is_refused_until_the_period_ends_in_utc_8() {
        for (per, used, still, over, left) in [
            (
                Period::Hour,
                "2026-11-24T08:10:00Z",
                "2026-11-24T08:59:59Z",
                "2026-11-24T09:00:00Z",
                "1s",
            ),
            (
                Period::Day,
                "2026-11-23T16:00:00Z",
                "2026-11-24T15:59:50Z",
                "2026-11-24T16:00:00Z",
                "10s",
            ),
            (
                Period::Month,
                "2024-01-31T16:00:00Z",
                "2024-02-29T15:59:59Z",
                "2024-02-29T16:00:00Z",
                "1s",
            ),
        ] {
            let account = account(per);
            account.admit(at(used)).unwrap();
            account.add(99, at(used));
            account.admit(at(used)).unwrap();
            account.add(1, at(used));
            let error = account.admit(at(still)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Forbidden);
            assert!(error.sentence().ends_with(&format!("anew in {left}.")), "{error}");
            account.admit(at(over)).unwrap();
        }
    }

    #[test]
    fn a_mount_keeps_its_count_and_a_meter_adds_to_it_when_dropped() {
        let budgets = Budgets::default();
        let budget = Budget {
            bytes: 100,
            per: Period::Month,
        };
        let path = TreePath::from_decoded("/drive").unwrap();
        let mut meter = budgets.account(&path, budget).meter();
        meter.count(60);
        meter.count(60);
        budgets.account(&path, budget).admit(SystemTime::now()).unwrap();
        drop(meter);
        assert!(budgets.account(&path, budget).admit(SystemTime::now()).is_err());
        assert!(
            budgets
                .account(&TreePath::root(), budget)
                .admit(SystemTime::now())
                .is_ok()
        );
    }
}

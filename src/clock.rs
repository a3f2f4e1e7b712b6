//! The time of day.

use std::time::{SystemTime, UNIX_EPOCH};

/// Unix seconds of this machine's clock; 0 before 1970.
pub fn unix_now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

//! Durations and sizes as people write them.
//!
//! Both are strings with a unit, never bare numbers: `300` could be seconds or milliseconds, and nobody
//! who reads the file later could tell.

use std::time::Duration;

/// What a duration looks like, for messages.
pub const DURATION: &str = "a duration in quotes, such as \"30s\", \"5m\" or \"1h30m\"";
/// What a size looks like, for messages.
pub const SIZE: &str = "a size in quotes, such as \"64MiB\", \"50GiB\" or \"0B\"";

/// Longer durations are slips of the pen, and would overflow clocks.
const LONGEST: Duration = Duration::from_secs(100 * 366 * 86_400);

/// `"30s"`, `"5m"`, `"2h"`, `"1h30m"`, `"0s"`; `None` for anything else and for more than a hundred years.
pub fn duration(text: &str) -> Option<Duration> {
    let ends_in_unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
    humantime::parse_duration(text)
        .ok()
        .filter(|d| ends_in_unit && *d <= LONGEST)
}

/// `"64MiB"` (1024s), `"200GB"` (1000s), `"0B"`, in bytes; `None` for anything else, a number without a
/// unit among them, and for more than `i64::MAX` bytes.
pub fn size(text: &str) -> Option<u64> {
    let ends_in_unit = text.ends_with(|c: char| c.is_ascii_alphabetic());
    let bytes = text.parse::<bytesize::ByteSize>().ok()?.as_u64();
    (ends_in_unit && i64::try_from(bytes).is_ok()).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_numbers_with_units() {
        let seconds = |text| duration(text).map(|d| d.as_secs());
        assert_eq!(seconds("30s"), Some(30));
        assert_eq!(seconds("5m"), Some(300));
        assert_eq!(seconds("2h"), Some(7200));
        assert_eq!(seconds("1h30m"), Some(5400));
        assert_eq!(seconds("0s"), Some(0));
        for wrong in ["", "0", "30", "s", "-5s", "1.5h?", "five minutes", "200y"] {
            assert_eq!(seconds(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn sizes_are_numbers_with_units() {
        assert_eq!(size("64MiB"), Some(64 << 20));
        assert_eq!(size("50GiB"), Some(50 << 30));
        assert_eq!(size("200GB"), Some(200_000_000_000));
        assert_eq!(size("0B"), Some(0));
        assert_eq!(size("1.5 KiB"), Some(1536));
        for wrong in ["", "0", "1048576", "MiB", "-1MiB", "64 megs", "99999999EiB"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }
}

//! The signature of a web call: one query parameter whose name and value are both computed
//! (API page 4). It holds the time, so it is made for each attempt, with the service's clock.

use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use jiff::tz::Offset;

use crate::clock::unix_now;

/// What the digits of the time are written as, 0 to 9.
const DIGITS: [u8; 10] = *b"adefghlmyi";
/// The time that is signed is China's.
const CHINA: Offset = Offset::constant(8);
/// Upper bound, included, of the random number in a signature.
const RAND_MAX: u32 = 10_000_000;

/// Our clock and how far the service's is ahead of it.
#[derive(Debug, Default)]
pub struct Clock {
    ahead: AtomicI64,
}

impl Clock {
    /// Unix seconds as the service counts them, as far as we know.
    pub fn now(&self) -> i64 {
        unix_now().saturating_add(self.ahead.load(Ordering::Relaxed))
    }

    /// A moment of the service's clock as this machine's clock will show it.
    pub fn local(&self, theirs: i64) -> i64 {
        theirs.saturating_sub(self.ahead.load(Ordering::Relaxed))
    }

    /// Takes over the service's time; how far it is ahead of ours, in seconds.
    pub fn set(&self, theirs: i64) -> i64 {
        let ahead = theirs.saturating_sub(unix_now());
        self.ahead.store(ahead, Ordering::Relaxed);
        ahead
    }
}

/// A random number for [`parameter`].
pub fn random() -> u32 {
    fastrand::u32(0..=RAND_MAX)
}

/// Name and value of the parameter for a URL path (with its prefix, without host and query).
pub fn parameter(at: i64, rand: u32, path: &str) -> (String, String) {
    let t = Timestamp::from_second(at).map_or_else(
        |_| CHINA.to_datetime(Timestamp::UNIX_EPOCH),
        |t| CHINA.to_datetime(t),
    );
    let digits = format!(
        "{:04}{:02}{:02}{:02}{:02}",
        t.year(),
        t.month(),
        t.day(),
        t.hour(),
        t.minute()
    );
    let letters: Vec<u8> = digits
        .bytes()
        .map(|b| {
            DIGITS
                .get(usize::from(b.wrapping_sub(b'0')))
                .copied()
                .unwrap_or(b)
        })
        .collect();
    let time_sign = crc32fast::hash(&letters).to_string();
    let data = format!("{at}|{rand}|{path}|web|3|{time_sign}");
    let data_sign = crc32fast::hash(data.as_bytes());
    (time_sign, format!("{at}-{rand}-{data_sign}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vectors_of_the_api_page_hold() {
        let cases = [
            (
                1_767_294_245,
                1_234_567,
                "/b/api/file/list/new",
                "1188383987",
                "2435234984",
            ),
            (
                1_767_196_800,
                1_234_567,
                "/b/api/file/list/new",
                "2543441651",
                "3144878440",
            ),
            (1_709_222_399, 0, "/b/api/user/info", "2240706452", "1472430724"),
            (
                1_767_294_245,
                10_000_000,
                "/b/api/share/get",
                "1188383987",
                "1471697246",
            ),
            (
                1_767_294_245,
                1_234_567,
                "/b/api/file/download_info",
                "1188383987",
                "1963503010",
            ),
            (
                1_786_768_230,
                7_654_321,
                "/api/file/list/new",
                "2067503462",
                "4271286157",
            ),
        ];
        for (at, rand, path, name, sign) in cases {
            assert_eq!(
                parameter(at, rand, path),
                (name.to_owned(), format!("{at}-{rand}-{sign}"))
            );
        }
        assert_eq!(crc32fast::hash(b"123456789"), 3_421_780_262);
    }

    #[test]
    fn the_clock_follows_the_service() {
        let clock = Clock::default();
        let ahead = clock.set(unix_now() + 3600);
        assert!((3599..=3601).contains(&ahead));
        assert_eq!(clock.local(10_000), 10_000 - ahead);
        assert!((clock.now() - unix_now() - 3600).abs() <= 1);
    }
}

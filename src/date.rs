//! Unix seconds as the dates of HTTP and WebDAV: RFC 9110 5.6.7 (the fixed form of RFC 1123, always GMT) and
//! RFC 3339.
//!
//! Written by hand because a listing formats two dates for each entry, and a redirect one each time; [`Dates`] remembers the
//! last one of each form, since files of one upload share it.

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::BytesMut;
use http::HeaderValue;

const DAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"];
const MONTHS: [&[u8; 3]; 12] = [
    b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec",
];
/// 0001-01-01 and 9999-12-31: both forms have four digits for the year.
const FIRST: i64 = -62_135_596_800;
const LAST: i64 = 253_402_300_799;

/// Whether these Unix seconds are a known date that can be written. 0 stands for unknown.
pub fn is_known(seconds: i64) -> bool {
    seconds != 0 && (FIRST..=LAST).contains(&seconds)
}

/// The value of `Expires` or `Last-Modified`; `None` before 1970 and after the year 9999.
pub fn header(time: SystemTime) -> Option<HeaderValue> {
    let seconds = i64::try_from(time.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()?;
    HeaderValue::from_bytes(&Civil::new((seconds <= LAST).then_some(seconds)?).rfc1123()).ok()
}

/// A date in the proleptic Gregorian calendar, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Civil {
    /// 1 to 9999.
    pub year: u16,
    /// 1 to 12.
    pub month: u8,
    /// 1 to 31.
    pub day: u8,
    /// 0 to 23.
    pub hour: u8,
    /// 0 to 59.
    pub minute: u8,
    /// 0 to 59.
    pub second: u8,
    /// Days since a Thursday, 0 to 6.
    weekday: u8,
}

impl Civil {
    /// The date of these Unix seconds; those beyond the years 1 to 9999 become the nearest.
    pub fn new(seconds: i64) -> Self {
        let seconds = seconds.clamp(FIRST, LAST);
        let days = seconds.div_euclid(86_400);
        let rest = seconds.rem_euclid(86_400);
        // Years are counted from March, so that the leap day is the last of its year, and in cycles of
        // 400 years, which all have 146,097 days; 719,468 of them lie between 0000-03-01 and 1970-01-01.
        let shifted = days + 719_468;
        let cycle = shifted.div_euclid(146_097);
        let in_cycle = shifted.rem_euclid(146_097);
        let year_of_cycle = (in_cycle - in_cycle / 1_460 + in_cycle / 36_524 - in_cycle / 146_096) / 365;
        let in_year = in_cycle - (365 * year_of_cycle + year_of_cycle / 4 - year_of_cycle / 100);
        // Months from March repeat 31, 30, 31, 30, 31: 153 days in five.
        let from_march = (5 * in_year + 2) / 153;
        let day = in_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 {
            from_march + 3
        } else {
            from_march - 9
        };
        let year = cycle * 400 + year_of_cycle + i64::from(month <= 2);
        Self {
            year: year as u16,
            month: month as u8,
            day: day as u8,
            hour: (rest / 3_600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
            weekday: days.rem_euclid(7) as u8,
        }
    }

    /// `Sun, 06 Nov 1994 08:49:37 GMT`
    pub fn rfc1123(&self) -> [u8; 29] {
        let mut text = *b"Thu, 00 Jan 0000 00:00:00 GMT";
        text[0..3].copy_from_slice(DAYS[usize::from(self.weekday % 7)]);
        text[5..7].copy_from_slice(&two(self.day));
        text[8..11].copy_from_slice(MONTHS[usize::from(self.month.clamp(1, 12) - 1)]);
        text[12..16].copy_from_slice(&four(self.year));
        text[17..19].copy_from_slice(&two(self.hour));
        text[20..22].copy_from_slice(&two(self.minute));
        text[23..25].copy_from_slice(&two(self.second));
        text
    }

    /// `1994-11-06T08:49:37Z`
    pub fn rfc3339(&self) -> [u8; 20] {
        let mut text = *b"0000-00-00T00:00:00Z";
        text[0..4].copy_from_slice(&four(self.year));
        text[5..7].copy_from_slice(&two(self.month));
        text[8..10].copy_from_slice(&two(self.day));
        text[11..13].copy_from_slice(&two(self.hour));
        text[14..16].copy_from_slice(&two(self.minute));
        text[17..19].copy_from_slice(&two(self.second));
        text
    }
}

fn two(number: u8) -> [u8; 2] {
    [b'0' + number / 10 % 10, b'0' + number % 10]
}

fn four(number: u16) -> [u8; 4] {
    let [a, b] = two((number / 100) as u8);
    let [c, d] = two((number % 100) as u8);
    [a, b, c, d]
}

/// Writes dates and remembers the last of each form.
#[derive(Debug)]
pub struct Dates {
    rfc1123: (i64, [u8; 29]),
    rfc3339: (i64, [u8; 20]),
}

impl Default for Dates {
    fn default() -> Self {
        let epoch = Civil::new(0);
        Self {
            rfc1123: (0, epoch.rfc1123()),
            rfc3339: (0, epoch.rfc3339()),
        }
    }
}

impl Dates {
    /// Appends `Sun, 06 Nov 1994 08:49:37 GMT`.
    pub fn rfc1123(&mut self, seconds: i64, out: &mut BytesMut) {
        if self.rfc1123.0 != seconds {
            self.rfc1123 = (seconds, Civil::new(seconds).rfc1123());
        }
        out.extend_from_slice(&self.rfc1123.1);
    }

    /// Appends `1994-11-06T08:49:37Z`.
    pub fn rfc3339(&mut self, seconds: i64, out: &mut BytesMut) {
        if self.rfc3339.0 != seconds {
            self.rfc3339 = (seconds, Civil::new(seconds).rfc3339());
        }
        out.extend_from_slice(&self.rfc3339.1);
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn text(bytes: &[u8]) -> &str {
        std::str::from_utf8(bytes).unwrap()
    }

    #[test]
    fn known_dates_are_written_in_both_forms() {
        for (seconds, http, internet) in [
            (
                784_111_777,
                "Sun, 06 Nov 1994 08:49:37 GMT",
                "1994-11-06T08:49:37Z",
            ),
            (
                951_782_400,
                "Tue, 29 Feb 2000 00:00:00 GMT",
                "2000-02-29T00:00:00Z",
            ),
            (-1, "Wed, 31 Dec 1969 23:59:59 GMT", "1969-12-31T23:59:59Z"),
            (LAST, "Fri, 31 Dec 9999 23:59:59 GMT", "9999-12-31T23:59:59Z"),
            (FIRST, "Mon, 01 Jan 0001 00:00:00 GMT", "0001-01-01T00:00:00Z"),
            (i64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT", "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(text(&Civil::new(seconds).rfc1123()), http);
            assert_eq!(text(&Civil::new(seconds).rfc3339()), internet);
        }
    }

    #[test]
    fn a_remembered_date_is_not_given_for_another_moment() {
        let mut dates = Dates::default();
        let mut out = BytesMut::new();
        for seconds in [0, 1, 1, 0] {
            dates.rfc3339(seconds, &mut out);
            dates.rfc1123(seconds, &mut out);
        }
        let one = "1970-01-01T00:00:01ZThu, 01 Jan 1970 00:00:01 GMT";
        let zero = "1970-01-01T00:00:00ZThu, 01 Jan 1970 00:00:00 GMT";
        assert_eq!(text(&out), [zero, one, one, zero].concat());
    }

    #[test]
    fn unknown_and_unwritable_times_are_not_dates() {
        assert!(is_known(1) && is_known(-1) && is_known(LAST));
        let last = UNIX_EPOCH + Duration::from_secs(LAST as u64);
        assert!(header(last).is_some() && header(last + Duration::from_secs(1)).is_none());
        assert!(!is_known(0) && !is_known(LAST + 1) && !is_known(i64::MIN));
    }

    proptest! {
        #[test]
        fn every_date_agrees_with_the_http_date_crate(seconds in 0_i64..LAST - 90_000) {
            let moment = UNIX_EPOCH + Duration::from_secs(seconds as u64);
            let wanted = httpdate::fmt_http_date(moment);
            let civil = Civil::new(seconds);
            let written = civil.rfc1123();
            prop_assert_eq!(text(&written), &wanted);
            prop_assert_eq!(header(moment).unwrap(), wanted);
            let parsed: jiff::Timestamp = text(&civil.rfc3339()).parse().unwrap();
            prop_assert_eq!(parsed.as_second(), seconds);
        }
    }
}

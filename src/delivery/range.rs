//! Range, If-Range and Content-Range (RFC 9110 section 14 and 13.1.5), pure.
//!
//! Ranges that touch or overlap are served as one (15.3.7.2), others in the order in which they were asked for, as
//! `multipart/byteranges`. The whole file comes, which 14.2 permits, where they are too many or it would be shorter.
//! A header that cannot be read is as if it were not there.

use std::time::SystemTime;

use http::header::{HeaderMap, IF_RANGE, RANGE};
use itoa::Buffer;

use super::precondition::{date, seconds};

/// Ranges in one header at the most; more are an attack or a mistake, and the header is ignored.
const MAX_RANGES: usize = 32;
/// Parts of one answer at the most: each may cost a request to the CDN.
const MAX_PARTS: usize = 16;
/// What a part costs beside its bytes, about (RFC 9110 15.3.7.2).
const PART_HEAD: u64 = 130;

/// Bytes of a file, both ends included; `first <= last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRange {
    /// Position of the first byte.
    pub first: u64,
    /// Position of the last byte.
    pub last: u64,
}

impl ByteRange {
    /// How many bytes.
    pub fn length(self) -> u64 {
        (self.last - self.first).saturating_add(1)
    }

    /// The value of `Content-Range` for a file of this size.
    pub fn content_range(self, size: u64) -> String {
        let (mut first, mut last, mut of) = (Buffer::new(), Buffer::new(), Buffer::new());
        let (first, last) = (first.format(self.first), last.format(self.last));
        ["bytes ", first, "-", last, "/", of.format(size)].concat()
    }
}

/// One range as it is asked for, before the size is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spec {
    /// `first-` or `first-last`.
    From(u64, Option<u64>),
    /// `-n`: the last n bytes.
    Suffix(u64),
}

impl Spec {
    /// The bytes meant in a file of this size; `None` where there are none (416).
    pub fn resolve(self, size: u64) -> Option<ByteRange> {
        let end = size.checked_sub(1)?;
        match self {
            Self::From(first, _) if first > end => None,
            Self::From(first, last) => Some(ByteRange {
                first,
                last: last.map_or(end, |last| last.min(end)),
            }),
            Self::Suffix(0) => None,
            Self::Suffix(n) => Some(ByteRange {
                first: size.saturating_sub(n),
                last: end,
            }),
        }
    }

    /// The value of a `Range` header with this range alone.
    pub fn header(self) -> String {
        match self {
            Self::From(first, None) => format!("bytes={first}-"),
            Self::From(first, Some(last)) => {
                let (mut from, mut to) = (Buffer::new(), Buffer::new());
                ["bytes=", from.format(first), "-", to.format(last)].concat()
            }
            Self::Suffix(n) => format!("bytes=-{n}"),
        }
    }
}

impl From<ByteRange> for Spec {
    fn from(range: ByteRange) -> Self {
        Self::From(range.first, Some(range.last))
    }
}

/// What a request asks of a file of known size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Wanted {
    /// All of it: 200.
    Whole,
    /// A part: 206.
    Part(ByteRange),
    /// Parts that do not touch, at least two: 206, `multipart/byteranges`.
    Parts(Vec<ByteRange>),
    /// Nothing that exists: 416.
    Unsatisfiable,
}

/// The ranges of a request, none where there is no `Range`, it cannot be read, or `If-Range` says that the
/// client has another file.
pub fn asked(headers: &HeaderMap, etag: Option<&str>, modified: Option<SystemTime>) -> Vec<Spec> {
    let mut lines = headers.get_all(RANGE).iter();
    let (Some(line), None) = (lines.next(), lines.next()) else {
        return Vec::new();
    };
    let specs = line.to_str().ok().and_then(parse).unwrap_or_default();
    if specs.is_empty() || !if_range_holds(headers, etag, modified) {
        return Vec::new();
    }
    specs
}

/// What these ranges come to in a file of this size.
pub fn wanted(specs: &[Spec], size: u64) -> Wanted {
    // Some clients put a Range on every request: an empty file is simply empty.
    if specs.is_empty() || size == 0 {
        return Wanted::Whole;
    }
    if let [one] = specs {
        return one.resolve(size).map_or(Wanted::Unsatisfiable, Wanted::Part);
    }
    let ranges = specs.iter().filter_map(|spec| spec.resolve(size));
    let mut ranges: Vec<(usize, ByteRange)> = ranges.enumerate().collect();
    ranges.sort_unstable_by_key(|(_, range)| range.first);
    let mut parts: Vec<(usize, ByteRange)> = Vec::with_capacity(ranges.len());
    for (place, range) in ranges {
        match parts.last_mut() {
            Some((first_place, one)) if range.first <= one.last.saturating_add(1) => {
                one.last = one.last.max(range.last);
                *first_place = place.min(*first_place);
            }
            _ => parts.push((place, range)),
        }
    }
    match parts[..] {
        [] => return Wanted::Unsatisfiable,
        [(_, one)] => return Wanted::Part(one),
        _ => {}
    }
    let cost = parts.iter().fold(0_u64, |cost, (_, part)| {
        cost.saturating_add(part.length()).saturating_add(PART_HEAD)
    });
    if parts.len() > MAX_PARTS || cost >= size {
        return Wanted::Whole;
    }
    parts.sort_unstable_by_key(|(place, _)| *place);
    Wanted::Parts(parts.into_iter().map(|(_, part)| part).collect())
}

/// The `Content-Range` of an answer: the bytes (`None` for `*`, a 416) and the size (`None` for `*`).
pub fn parse_content_range(value: &str) -> Option<(Option<ByteRange>, Option<u64>)> {
    let (unit, rest) = value.trim().split_once(' ')?;
    if !unit.eq_ignore_ascii_case("bytes") {
        return None;
    }
    let (range, size) = rest.trim().split_once('/')?;
    let size = match size {
        "*" => None,
        digits => Some(number(digits)?),
    };
    if range == "*" {
        return Some((None, size));
    }
    let (first, last) = range.split_once('-')?;
    let range = ByteRange {
        first: number(first)?,
        last: number(last)?,
    };
    if range.first > range.last || size.is_some_and(|size| range.last >= size) {
        return None;
    }
    Some((Some(range), size))
}

/// RFC 9110 13.1.5: a strong tag that is ours, or exactly our date.
fn if_range_holds(headers: &HeaderMap, etag: Option<&str>, modified: Option<SystemTime>) -> bool {
    let Some(value) = headers.get(IF_RANGE) else {
        return true;
    };
    let bytes = value.as_bytes().trim_ascii();
    if bytes.first() == Some(&b'"') || bytes.starts_with(b"W/") {
        return etag.is_some_and(|etag| etag.as_bytes() == bytes);
    }
    match (date(headers, &IF_RANGE), modified) {
        (Some(date), Some(modified)) => seconds(date) == seconds(modified),
        _ => false,
    }
}

fn parse(value: &str) -> Option<Vec<Spec>> {
    let (unit, list) = value.split_once('=')?;
    if !unit.trim().eq_ignore_ascii_case("bytes") {
        return None;
    }
    let mut specs = Vec::new();
    for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
        if specs.len() == MAX_RANGES {
            return None;
        }
        let (first, last) = item.split_once('-')?;
        specs.push(match (first, last) {
            ("", n) => Spec::Suffix(number(n)?),
            (first, "") => Spec::From(number(first)?, None),
            (first, last) => {
                let (first, last) = (number(first)?, number(last)?);
                if first > last {
                    return None;
                }
                Spec::From(first, Some(last))
            }
        });
    }
    Some(specs)
}

/// Digits alone; a number beyond 64 bits is as good as the largest.
fn number(digits: &str) -> Option<u64> {
    let add = |number: u64, digit: u8| {
        let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
        Some(number.saturating_mul(10).saturating_add(digit))
    };
    digits.bytes().try_fold(0, add).filter(|_| !digits.is_empty())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::{Duration, UNIX_EPOCH};

    fn of(range: &str, size: u64) -> Wanted {
        with(&[("range", range)], size)
    }

    fn with(lines: &[(&'static str, &str)], size: u64) -> Wanted {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(*name, value.parse().unwrap());
        }
        let modified = UNIX_EPOCH + Duration::from_secs(784_111_777);
        wanted(&asked(&headers, Some("\"tag\""), Some(modified)), size)
    }

    fn part(first: u64, last: u64) -> Wanted {
        Wanted::Part(ByteRange { first, last })
    }

    #[test]
    fn one_range_is_clamped_to_the_file() {
        assert_eq!(of("bytes=0-9", 100), part(0, 9));
        assert_eq!(of("Bytes = 5-", 100), part(5, 99));
        assert_eq!(of("bytes=90-1000", 100), part(90, 99));
        assert_eq!(of("bytes=-10", 100), part(90, 99));
        assert_eq!(of("bytes=-1000", 100), part(0, 99));
        assert_eq!(of("bytes=0-99999999999999999999999", 100), part(0, 99));
    }

    #[test]
    fn what_does_not_exist_is_unsatisfiable() {
        assert_eq!(of("bytes=100-", 100), Wanted::Unsatisfiable);
        assert_eq!(of("bytes=-0", 100), Wanted::Unsatisfiable);
        assert_eq!(of("bytes=99999999999999999999999-", 100), Wanted::Unsatisfiable);
        assert_eq!(of("bytes=0-", 0), Wanted::Whole);
    }

    #[test]
    fn parts_that_are_nearly_all_of_the_largest_size_are_added_up() {
        assert_eq!(of("bytes=0-1,5-", u64::MAX), Wanted::Whole);
    }

    #[test]
    fn a_malformed_range_is_ignored() {
        for bad in [
            "bytes=5-2",
            "bytes=a-b",
            "bytes=",
            "bytes",
            "lines=0-1",
            "bytes=+1-2",
            "bytes=--5",
            "bytes=1",
        ] {
            assert_eq!(of(bad, 100), Wanted::Whole, "{bad}");
        }
        assert_eq!(
            with(&[("range", "bytes=0-1"), ("range", "bytes=4-5")], 100),
            Wanted::Whole
        );
        assert_eq!(of(&format!("bytes={}", "0-0,".repeat(33)), 100), Wanted::Whole);
    }

    #[test]
    fn several_ranges_are_one_where_they_touch_and_the_whole_file_where_that_is_shorter() {
        assert_eq!(of("bytes=0-4, 5-9", 100), part(0, 9));
        assert_eq!(of("bytes=8-20,0-9,200-", 100), part(0, 20));
        assert_eq!(of("bytes=0-1,5-6", 100), Wanted::Whole);
        assert_eq!(of("bytes=100-,200-", 100), Wanted::Unsatisfiable);
    }

    #[test]
    fn several_ranges_are_parts_in_the_order_asked_for() {
        let parts = |ranges: &[(u64, u64)]| {
            let ranges = ranges.iter().map(|&(first, last)| ByteRange { first, last });
            Wanted::Parts(ranges.collect())
        };
        assert_eq!(of("bytes=0-1,5-6", 1000), parts(&[(0, 1), (5, 6)]));
        assert_eq!(of("bytes=-5,3-4", 1000), parts(&[(995, 999), (3, 4)]));
        assert_eq!(
            of("bytes=50-60,0-9,61-70,5000-", 1000),
            parts(&[(50, 70), (0, 9)])
        );
        assert_eq!(of("bytes=0-9,5-20,200-", 1000), Wanted::Whole);
        let many = |count: u64| {
            let ranges: Vec<String> = (0..count).map(|n| format!("{0}-{0}", n * 1000)).collect();
            of(&format!("bytes={}", ranges.join(",")), 1 << 20)
        };
        assert!(matches!(many(16), Wanted::Parts(parts) if parts.len() == 16));
        assert_eq!(many(17), Wanted::Whole);
    }

    #[test]
    fn if_range_takes_a_strong_tag_or_the_exact_date() {
        let ranged = |condition| with(&[("range", "bytes=0-1"), ("if-range", condition)], 100);
        assert_eq!(ranged("\"tag\""), part(0, 1));
        assert_eq!(ranged("\"other\""), Wanted::Whole);
        assert_eq!(ranged("W/\"tag\""), Wanted::Whole);
        assert_eq!(ranged("Sun, 06 Nov 1994 08:49:37 GMT"), part(0, 1));
        assert_eq!(ranged("Sun, 06 Nov 1994 08:49:38 GMT"), Wanted::Whole);
        assert_eq!(ranged("rubbish"), Wanted::Whole);
        // A stale If-Range hides an impossible range too: 200, not 416 (13.2.2 step 5).
        assert_eq!(
            with(&[("range", "bytes=500-"), ("if-range", "\"other\"")], 100),
            Wanted::Whole
        );
    }

    #[test]
    fn content_range_is_read_exactly() {
        let range = ByteRange { first: 2, last: 5 };
        assert_eq!(parse_content_range("bytes 2-5/10"), Some((Some(range), Some(10))));
        assert_eq!(parse_content_range("bytes 2-5/*"), Some((Some(range), None)));
        assert_eq!(parse_content_range("bytes */10"), Some((None, Some(10))));
        for bad in [
            "bytes 5-2/10",
            "bytes 2-10/10",
            "2-5/10",
            "bytes 2-5",
            "bytes x-5/10",
        ] {
            assert_eq!(parse_content_range(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_header_gives_bytes_outside_the_file(header in "bytes=[0-9,\\- ]{0,24}", size in 0u64..200) {
            let ranges = match of(&header, size) {
                Wanted::Part(range) => vec![range],
                Wanted::Parts(ranges) => ranges,
                _ => Vec::new(),
            };
            for range in ranges {
                prop_assert!(range.first <= range.last && range.last < size);
            }
        }

        #[test]
        fn one_range_is_the_slice_it_names(first in 0usize..120, length in 1usize..120, size in 1usize..100) {
            let file: Vec<usize> = (0..size).collect();
            let slice = file.iter().skip(first).take(length);
            match of(&format!("bytes={first}-{}", first + length - 1), size as u64) {
                Wanted::Part(range) => prop_assert!(
                    slice.copied().eq(range.first as usize..=range.last as usize)
                ),
                Wanted::Unsatisfiable => prop_assert_eq!(slice.count(), 0),
                Wanted::Whole | Wanted::Parts(_) => prop_assert!(false),
            }
        }

        #[test]
        fn a_content_range_of_ours_is_read_back(first in 0u64..1000, more in 0u64..1000, after in 1u64..1000) {
            let range = ByteRange { first, last: first + more };
            let size = first + more + after;
            prop_assert_eq!(
                parse_content_range(&range.content_range(size)),
                Some((Some(range), Some(size)))
            );
        }
    }
}

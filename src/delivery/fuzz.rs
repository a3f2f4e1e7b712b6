//! What holds for any `Range` and any precondition, and for any `Content-Range` of the CDN.

#![allow(clippy::unwrap_used)]

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{
    CONTENT_RANGE, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, RANGE,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::precondition::{Outcome, evaluate};
use super::range::{ByteRange, Wanted, asked, parse_content_range, wanted};

const TAG: &str = "\"tag\"";
/// The modification of the file, in Unix seconds.
const MODIFIED: u64 = 784_111_777;

/// Lines of a request for a file: `range: bytes=0-1` and the preconditions. The first line is the size of the file.
pub fn range(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let first = std::str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
    let size: u64 = first.trim().parse().unwrap_or(1000);
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            continue;
        };
        let name = HeaderName::from_bytes(&line[..colon]);
        let value = HeaderValue::from_bytes(line[colon + 1..].trim_ascii());
        if let (Ok(name), Ok(value)) = (name, value) {
            headers.append(name, value);
        }
    }
    let modified = UNIX_EPOCH + Duration::from_secs(MODIFIED);
    ranges(&headers, modified, size);
    conditions(&headers, modified);
    if let Some(text) = headers.get(CONTENT_RANGE).and_then(|value| value.to_str().ok()) {
        content_range(text);
    }
}

fn ranges(headers: &HeaderMap, modified: SystemTime, size: u64) {
    let specs = asked(headers, Some(TAG), Some(modified));
    assert!(specs.len() <= 32, "{} ranges", specs.len());
    if headers.get_all(RANGE).iter().count() != 1 {
        assert!(specs.is_empty());
    }
    // A condition that nobody can meet hides the range.
    let mut other = headers.clone();
    other.insert(IF_RANGE, HeaderValue::from_static("\"another\""));
    assert!(asked(&other, Some(TAG), Some(modified)).is_empty());
    for spec in &specs {
        let mut alone = HeaderMap::new();
        alone.insert(RANGE, spec.header().parse().unwrap());
        assert_eq!(
            asked(&alone, None, None),
            [*spec],
            "what is sent on is read as the same"
        );
    }
    // What any of the ranges means, told by one of them alone.
    let whole = |range: ByteRange| range.first <= range.last && range.last < size;
    let alone: Vec<ByteRange> = specs.iter().filter_map(|spec| spec.resolve(size)).collect();
    assert!(alone.iter().all(|range| whole(*range)), "{alone:?} of {size}");
    match wanted(&specs, size) {
        Wanted::Whole => {}
        Wanted::Unsatisfiable => assert!(alone.is_empty() && !specs.is_empty() && size > 0),
        Wanted::Part(part) => cover(&[part], &alone, size),
        Wanted::Parts(parts) => {
            assert!((2..=16).contains(&parts.len()), "{parts:?}");
            let sum: u64 = parts.iter().map(|part| part.length()).sum();
            assert!(sum < size, "{parts:?} are more than the file of {size}");
            cover(&parts, &alone, size);
        }
    }
}

/// The parts lie in the file, do not touch, hold all that was asked for, and begin and end where something asked for does.
fn cover(parts: &[ByteRange], alone: &[ByteRange], size: u64) {
    for (at, part) in parts.iter().enumerate() {
        assert!(part.first <= part.last && part.last < size, "{part:?} of {size}");
        assert_eq!(
            parse_content_range(&part.content_range(size)),
            Some((Some(*part), Some(size)))
        );
        assert!(alone.iter().any(|range| range.first == part.first));
        assert!(alone.iter().any(|range| range.last == part.last));
        for other in &parts[at + 1..] {
            let apart = part.last + 1 < other.first || other.last + 1 < part.first;
            assert!(apart, "{part:?} and {other:?} touch");
        }
    }
    for range in alone {
        let held = |part: &ByteRange| part.first <= range.first && range.last <= part.last;
        assert!(parts.iter().any(held), "{range:?} is in none of {parts:?}");
    }
}

fn conditions(headers: &HeaderMap, modified: SystemTime) {
    let outcome = evaluate(headers, Some(TAG), Some(modified));
    let has = |name: &HeaderName| headers.contains_key(name);
    match outcome {
        Outcome::Proceed => {}
        Outcome::NotModified => assert!(has(&IF_NONE_MATCH) || has(&IF_MODIFIED_SINCE)),
        Outcome::Failed => assert!(has(&IF_MATCH) || has(&IF_UNMODIFIED_SINCE)),
    }
    // What cannot hold: no file has this tag.
    let mut other = headers.clone();
    other.insert(IF_MATCH, HeaderValue::from_static("\"another\""));
    assert_eq!(evaluate(&other, Some(TAG), Some(modified)), Outcome::Failed);
    // A file without a tag is not the one that any tag names.
    if outcome != Outcome::Failed && !has(&IF_MATCH) && !has(&IF_UNMODIFIED_SINCE) {
        assert_ne!(evaluate(headers, None, None), Outcome::Failed);
    }
}

fn content_range(text: &str) {
    let Some((range, size)) = parse_content_range(text) else {
        return;
    };
    if let Some(range) = range {
        assert!(range.first <= range.last);
        assert!(size.is_none_or(|size| range.last < size));
        assert!(range.length() > 0);
    }
}

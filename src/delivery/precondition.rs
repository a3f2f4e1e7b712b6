//! Preconditions of a GET or HEAD (RFC 9110 section 13), pure.
//!
//! The order is that of 13.2.2: If-Match, else If-Unmodified-Since; then If-None-Match, else
//! If-Modified-Since. A date that cannot be read is as if it were not there (13.1.3 and 13.1.4); an entity
//! tag that cannot be read matches nothing. If-Range belongs to ranges and is in `range`.

use std::time::{SystemTime, UNIX_EPOCH};

use http::header::{HeaderMap, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_UNMODIFIED_SINCE};

/// What the preconditions say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Go on with the request.
    Proceed,
    /// 304: the client has these bytes.
    NotModified,
    /// 412: the file is not the one the client means.
    Failed,
}

/// How two entity tags are compared (RFC 9110 8.8.3.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether a request has any condition, If-Range among them.
pub fn is_conditional(headers: &HeaderMap) -> bool {
    headers.keys().any(|name| name.as_str().starts_with("if-"))
}

/// Evaluates the preconditions of a GET or HEAD of a file that exists.
///
/// `etag` is strong and with its quotes, `None` where the file has none; `modified` is `None` where unknown.
pub fn evaluate(headers: &HeaderMap, etag: Option<&str>, modified: Option<SystemTime>) -> Outcome {
    if headers.contains_key(IF_MATCH) {
        if !any_matches(headers, &IF_MATCH, etag, Comparison::Strong) {
            return Outcome::Failed;
        }
    } else if let (Some(since), Some(modified)) = (date(headers, &IF_UNMODIFIED_SINCE), modified)
        && seconds(modified) > seconds(since)
    {
        return Outcome::Failed;
    }
    if headers.contains_key(IF_NONE_MATCH) {
        if any_matches(headers, &IF_NONE_MATCH, etag, Comparison::Weak) {
            return Outcome::NotModified;
        }
    } else if let (Some(since), Some(modified)) = (date(headers, &IF_MODIFIED_SINCE), modified)
        && seconds(modified) <= seconds(since)
    {
        return Outcome::NotModified;
    }
    Outcome::Proceed
}

/// A date header; `None` where it is missing, given twice, or not a date.
pub(super) fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    let mut lines = headers.get_all(name).iter();
    let text = lines.next()?.to_str().ok()?;
    if lines.next().is_some() {
        return None;
    }
    httpdate::parse_http_date(text.trim()).ok()
}

/// Whole seconds since 1970: HTTP dates have no finer part.
pub(super) fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs())
}

fn any_matches(headers: &HeaderMap, name: &HeaderName, etag: Option<&str>, how: Comparison) -> bool {
    headers
        .get_all(name)
        .iter()
        .any(|line| line_matches(line.as_bytes(), etag.map(str::as_bytes), how))
}

/// Whether `*` or one of the tags of a list matches. Tags may hold commas, so the list is not split at them.
fn line_matches(line: &[u8], etag: Option<&[u8]>, how: Comparison) -> bool {
    let mut rest = line.trim_ascii();
    if rest == b"*" {
        return true;
    }
    let Some(etag) = etag else { return false };
    loop {
        while let [b',' | b' ' | b'\t', tail @ ..] = rest {
            rest = tail;
        }
        let (weak, tag) = match rest.strip_prefix(b"W/") {
            Some(tag) => (true, tag),
            None => (false, rest),
        };
        if tag.first() != Some(&b'"') {
            return false;
        }
        let Some(length) = tag[1..].iter().position(|&b| b == b'"') else {
            return false;
        };
        let (tag, tail) = tag.split_at(length + 2);
        if tag == etag && (how == Comparison::Weak || !weak) {
            return true;
        }
        rest = tail;
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::Outcome::{Failed, NotModified, Proceed};
    use super::*;
    use std::time::Duration;

    const NOW: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const EARLIER: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const LATER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn outcome(lines: &[(HeaderName, &str)]) -> Outcome {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, value.parse().unwrap());
        }
        let modified = UNIX_EPOCH + Duration::from_millis(784_111_777_900);
        evaluate(&headers, Some("\"a,b\""), Some(modified))
    }

    #[test]
    fn if_match_wants_a_strong_tag_of_the_list() {
        assert_eq!(outcome(&[]), Proceed);
        assert_eq!(outcome(&[(IF_MATCH, "*")]), Proceed);
        assert_eq!(outcome(&[(IF_MATCH, "\"x\", \"a,b\"")]), Proceed);
        assert_eq!(outcome(&[(IF_MATCH, "\"x\""), (IF_MATCH, "\"a,b\"")]), Proceed);
        assert_eq!(outcome(&[(IF_MATCH, "W/\"a,b\"")]), Failed);
        assert_eq!(outcome(&[(IF_MATCH, "\"a\"")]), Failed);
        assert_eq!(outcome(&[(IF_MATCH, "a,b")]), Failed);
        assert_eq!(outcome(&[(IF_MATCH, "\"a,b")]), Failed);
        assert_eq!(outcome(&[(IF_MATCH, "")]), Failed);
    }

    #[test]
    fn if_none_match_compares_weakly_and_gives_304() {
        assert_eq!(outcome(&[(IF_NONE_MATCH, "\"a,b\"")]), NotModified);
        assert_eq!(outcome(&[(IF_NONE_MATCH, "W/\"x\" ,, W/\"a,b\"")]), NotModified);
        assert_eq!(outcome(&[(IF_NONE_MATCH, "*")]), NotModified);
        assert_eq!(outcome(&[(IF_NONE_MATCH, "\"x\"")]), Proceed);
    }

    #[test]
    fn dates_count_by_the_second_and_bad_ones_do_not_count() {
        assert_eq!(outcome(&[(IF_UNMODIFIED_SINCE, NOW)]), Proceed);
        assert_eq!(outcome(&[(IF_UNMODIFIED_SINCE, EARLIER)]), Failed);
        assert_eq!(outcome(&[(IF_UNMODIFIED_SINCE, "yesterday")]), Proceed);
        assert_eq!(outcome(&[(IF_MODIFIED_SINCE, NOW)]), NotModified);
        assert_eq!(outcome(&[(IF_MODIFIED_SINCE, LATER)]), NotModified);
        assert_eq!(outcome(&[(IF_MODIFIED_SINCE, EARLIER)]), Proceed);
        assert_eq!(outcome(&[(IF_MODIFIED_SINCE, "784111777")]), Proceed);
    }

    #[test]
    fn tags_come_before_dates_and_412_before_304() {
        assert_eq!(
            outcome(&[(IF_MATCH, "\"a,b\""), (IF_UNMODIFIED_SINCE, EARLIER)]),
            Proceed
        );
        assert_eq!(
            outcome(&[(IF_NONE_MATCH, "\"x\""), (IF_MODIFIED_SINCE, NOW)]),
            Proceed
        );
        assert_eq!(
            outcome(&[(IF_MATCH, "\"x\""), (IF_NONE_MATCH, "\"a,b\"")]),
            Failed
        );
        assert_eq!(
            outcome(&[(IF_UNMODIFIED_SINCE, NOW), (IF_MODIFIED_SINCE, NOW)]),
            NotModified
        );
    }

    #[test]
    fn a_file_without_tag_or_time_matches_only_the_star() {
        let mut headers = HeaderMap::new();
        headers.insert(IF_MATCH, "\"x\"".parse().unwrap());
        assert_eq!(evaluate(&headers, None, None), Failed);
        headers.insert(IF_MATCH, "*".parse().unwrap());
        headers.insert(IF_MODIFIED_SINCE, NOW.parse().unwrap());
        assert_eq!(evaluate(&headers, None, None), Proceed);
    }
}

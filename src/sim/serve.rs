//! Bytes of a file as an answer: ranges, validators and a body that keeps pace with its reader.
//!
//! The body hands out slices of the content, one frame at a time and only when the connection asks for one, so that
//! a slow reader holds everything back and nothing is copied. Range semantics are those of RFC 9110, section 14.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use hyper::header::{
    ACCEPT_RANGES, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderMap,
    HeaderValue,
};
use hyper::{Response, StatusCode};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::content::Blob;
use super::http::{Answer, Body, BoxError, empty, header};

/// Largest frame of a body in bytes.
const FRAME: u64 = 256 << 10;

/// Smallest frame of a throttled body in bytes.
const SMALL_FRAME: u64 = 1 << 10;

/// A file about to be served.
pub(super) struct Download<'a> {
    pub blob: &'a Blob,
    pub etag: &'a str,
    pub name: &'a str,
    pub headers: &'a HeaderMap,
    /// Headers only.
    pub head: bool,
    /// Leave `Content-Length` out (HEAD only).
    pub no_length: bool,
    pub ignore_range: bool,
    /// Most bytes per second.
    pub rate: Option<u64>,
}

impl Download<'_> {
    /// The answer: 200, 206 or 416.
    pub(super) fn answer(&self) -> Answer {
        let len = self.blob.len();
        let tag = format!("\"{}\"", self.etag);
        let wanted =
            header(self.headers, "range").filter(|_| !self.ignore_range && self.if_range_holds(&tag));
        let (status, start, end) = match wanted.map(|text| parse_range(text, len)) {
            None | Some(Range::Unusable) => (StatusCode::OK, 0, len),
            Some(Range::Bytes(start, end)) => (StatusCode::PARTIAL_CONTENT, start, end),
            Some(Range::Unsatisfiable) => {
                let mut answer = Response::new(empty());
                *answer.status_mut() = StatusCode::RANGE_NOT_SATISFIABLE;
                set(answer.headers_mut(), CONTENT_RANGE, &format!("bytes */{len}"));
                return answer;
            }
        };
        let body = if self.head {
            empty()
        } else {
            stream_body(self.blob.clone(), start, end, self.rate)
        };
        let mut answer = Response::new(body);
        *answer.status_mut() = status;
        let headers = answer.headers_mut();
        if status == StatusCode::PARTIAL_CONTENT {
            set(
                headers,
                CONTENT_RANGE,
                &format!("bytes {start}-{}/{len}", end - 1),
            );
        }
        if !self.no_length {
            headers.insert(CONTENT_LENGTH, HeaderValue::from(end - start));
        }
        set(headers, ETAG, &tag);
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        let name = utf8_percent_encode(self.name, NON_ALPHANUMERIC);
        set(
            headers,
            CONTENT_DISPOSITION,
            &format!("attachment; filename*=UTF-8''{name}"),
        );
        answer
    }

    /// Whether a range may be served: no `If-Range`, or the same strong tag (RFC 9110, section 13.1.5).
    fn if_range_holds(&self, tag: &str) -> bool {
        header(self.headers, "if-range").is_none_or(|sent| sent == tag)
    }
}

fn set(headers: &mut HeaderMap, name: hyper::header::HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

/// What a `Range` header asks for.
#[derive(Debug, PartialEq, Eq)]
enum Range {
    /// From the first to before the second.
    Bytes(u64, u64),
    Unsatisfiable,
    /// Not understood, or several ranges: the whole is served.
    Unusable,
}

fn parse_range(text: &str, len: u64) -> Range {
    let Some((first, last)) = text.strip_prefix("bytes=").and_then(|s| s.split_once('-')) else {
        return Range::Unusable;
    };
    let (first, last) = (first.trim(), last.trim());
    let number = |s: &str| {
        s.bytes()
            .all(|b| b.is_ascii_digit())
            .then(|| s.parse::<u64>().ok())
            .flatten()
    };
    let (start, end) = match (first.is_empty(), last.is_empty()) {
        (true, true) => return Range::Unusable,
        (true, false) => match number(last) {
            Some(suffix) => (len.saturating_sub(suffix), if suffix == 0 { 0 } else { len }),
            None => return Range::Unusable,
        },
        (false, true) => match number(first) {
            Some(start) => (start, len),
            None => return Range::Unusable,
        },
        (false, false) => match (number(first), number(last)) {
            (Some(start), Some(last)) if start <= last => (start, last.saturating_add(1).min(len)),
            _ => return Range::Unusable,
        },
    };
    if start >= len || end <= start {
        Range::Unsatisfiable
    } else {
        Range::Bytes(start, end)
    }
}

/// The bytes of a blob from `start` to before `end`, at most `rate` bytes a second.
fn stream_body(blob: Blob, start: u64, end: u64, rate: Option<u64>) -> Body {
    let frame = rate.map_or(FRAME, |r| (r / 20).clamp(SMALL_FRAME, FRAME));
    let begun = Instant::now();
    let frames = stream::unfold((blob, start), move |(blob, at)| async move {
        if at >= end {
            return None;
        }
        if let Some(rate) = rate {
            // Bytes sent so far may not be ahead of the clock.
            let due = Duration::from_secs_f64((at - start) as f64 / rate.max(1) as f64);
            if let Some(early) = due.checked_sub(begun.elapsed()) {
                tokio::time::sleep(early).await;
            }
        }
        let piece: Bytes = blob.slice(at, frame.min(end - at));
        let next = at + piece.len() as u64;
        Some((Ok::<_, BoxError>(Frame::data(piece)), (blob, next)))
    });
    StreamBody::new(frames).boxed_unsync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_rfc_9110_says() {
        assert_eq!(parse_range("bytes=0-0", 10), Range::Bytes(0, 1));
        assert_eq!(parse_range("bytes=3-", 10), Range::Bytes(3, 10));
        assert_eq!(parse_range("bytes=3-99", 10), Range::Bytes(3, 10));
        assert_eq!(parse_range("bytes=-4", 10), Range::Bytes(6, 10));
        assert_eq!(parse_range("bytes=-40", 10), Range::Bytes(0, 10));
        assert_eq!(parse_range("bytes=10-", 10), Range::Unsatisfiable);
        assert_eq!(parse_range("bytes=-0", 10), Range::Unsatisfiable);
        assert_eq!(parse_range("bytes=0-", 0), Range::Unsatisfiable);
        for odd in [
            "bytes=",
            "bytes=-",
            "bytes=5-3",
            "bytes=a-b",
            "items=0-1",
            "bytes=0-1,3-4",
            "bytes=+1-2",
        ] {
            assert_eq!(parse_range(odd, 10), Range::Unusable, "{odd}");
        }
    }
}

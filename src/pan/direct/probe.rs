//! Asking the CDN about one file: size, time, and whether it takes the signature.
//!
//! No source says how the direct-link CDN answers HEAD or refuses a signature (API page 9.3 and question 25), so
//! every plausible answer is read: 401, 403 or JSON in place of a file is a refusal, HTML is an error page
//! whose length means nothing, and a length that HEAD does not give is asked for by a range of one byte.
//! Bodies are never read.

use std::time::UNIX_EPOCH;

use http::header::{
    CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, LAST_MODIFIED, LOCATION, RANGE,
};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use url::Url;

use crate::pan::http::{Client, Request, Response};

/// Redirects followed at the most (API page 9.3).
const REDIRECTS: usize = 4;

/// What is known about a file after it was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Facts {
    /// Bytes.
    pub size: Option<u64>,
    /// Unix seconds.
    pub modified: Option<i64>,
}

/// What the CDN answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The link works.
    Accepted(Facts),
    /// The signature, or the lack of one, is refused.
    Refused,
    /// Nothing is known about the signature.
    Failed(Failure),
}

/// Why an answer says nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// No connection, no answer in time, or not HTTP.
    NoAnswer,
    /// 404 or 410: the file is gone.
    NotThere,
    /// Another status, or an error page.
    Status(StatusCode),
}

/// Asks by HEAD. `name` is the file's name: it tells a file of JSON or HTML from an error in it.
pub async fn head(client: &Client, url: &str, name: &str) -> Answer {
    match ask(client, Method::HEAD, url).await {
        Ok(response) => read_head(response.status(), response.headers(), name),
        Err(failure) => Answer::Failed(failure),
    }
}

/// Asks by a GET of the first byte.
pub async fn first_byte(client: &Client, url: &str, name: &str) -> Answer {
    match ask(client, Method::GET, url).await {
        Ok(response) => read_first_byte(response.status(), response.headers(), name),
        Err(failure) => Answer::Failed(failure),
    }
}

/// Sends one question, through redirects.
async fn ask(client: &Client, method: Method, url: &str) -> Result<Response, Failure> {
    let mut url = url.to_owned();
    let mut left = REDIRECTS;
    loop {
        let mut request = Request {
            method: method.clone(),
            url: url.clone(),
            ..Request::default()
        };
        if method == Method::GET {
            request
                .headers
                .insert(RANGE, HeaderValue::from_static("bytes=0-0"));
        }
        let response = client.send(request).await.map_err(|_| Failure::NoAnswer)?;
        let status = response.status();
        let followed = matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308);
        let target = response.headers().get(LOCATION).filter(|_| followed);
        let Some(target) = target else {
            return Ok(response);
        };
        let next = target
            .to_str()
            .ok()
            .and_then(|target| Url::parse(&url).ok()?.join(target).ok())
            .filter(|next| matches!(next.scheme(), "http" | "https"));
        match next {
            Some(next) if left > 0 => url = next.into(),
            _ => return Err(Failure::Status(status)),
        }
        left -= 1;
    }
}

fn read_head(status: StatusCode, headers: &HeaderMap, name: &str) -> Answer {
    judge(status, headers, name).unwrap_or_else(|| {
        Answer::Accepted(Facts {
            size: content_length(headers),
            modified: last_modified(headers),
        })
    })
}

fn read_first_byte(status: StatusCode, headers: &HeaderMap, name: &str) -> Answer {
    let total = content_range_total(headers);
    // A range of an empty file cannot be satisfied, and that is how we learn that it is empty.
    if status == StatusCode::RANGE_NOT_SATISFIABLE && total == Some(0) {
        return Answer::Accepted(Facts {
            size: total,
            modified: last_modified(headers),
        });
    }
    judge(status, headers, name).unwrap_or_else(|| {
        let size = match status {
            StatusCode::PARTIAL_CONTENT => total,
            _ => content_length(headers),
        };
        Answer::Accepted(Facts {
            size,
            modified: last_modified(headers),
        })
    })
}

/// Everything but a success that carries a file.
fn judge(status: StatusCode, headers: &HeaderMap, name: &str) -> Option<Answer> {
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Some(Answer::Refused),
        StatusCode::NOT_FOUND | StatusCode::GONE => Some(Answer::Failed(Failure::NotThere)),
        status if !status.is_success() => Some(Answer::Failed(Failure::Status(status))),
        _ if in_place_of_file(headers, name, "application/json") => Some(Answer::Refused),
        _ if in_place_of_file(headers, name, "text/html") => Some(Answer::Failed(Failure::Status(status))),
        _ => None,
    }
}

/// Whether the answer is of a type that the file, by its name, is not.
fn in_place_of_file(headers: &HeaderMap, name: &str, kind: &str) -> bool {
    let Some(answered) = headers.get(CONTENT_TYPE).and_then(|v| v.to_str().ok()) else {
        return false;
    };
    let essence = answered.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case(kind)
        && !mime_guess::from_path(name)
            .iter()
            .any(|guess| guess.essence_str() == kind)
}

/// The length of the file, unless it is that of something compressed.
fn content_length(headers: &HeaderMap) -> Option<u64> {
    if headers.contains_key(CONTENT_ENCODING) {
        return None;
    }
    let text = headers.get(CONTENT_LENGTH)?.to_str().ok()?.trim();
    text.parse().ok().filter(|size| *size <= i64::MAX as u64)
}

/// The number after the `/` (RFC 9110 14.4).
fn content_range_total(headers: &HeaderMap) -> Option<u64> {
    let text = headers.get(CONTENT_RANGE)?.to_str().ok()?;
    let (_, total) = text.trim().strip_prefix("bytes ")?.rsplit_once('/')?;
    total.parse().ok().filter(|size| *size <= i64::MAX as u64)
}

fn last_modified(headers: &HeaderMap) -> Option<i64> {
    let text = headers.get(LAST_MODIFIED)?.to_str().ok()?;
    let time = httpdate::parse_http_date(text).ok()?;
    let seconds = time.duration_since(UNIX_EPOCH).ok()?.as_secs();
    i64::try_from(seconds).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use http::HeaderName;

    fn headers(rows: &[(&'static str, &'static str)]) -> HeaderMap {
        rows.iter()
            .map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value)))
            .collect()
    }

    fn known(size: u64) -> Answer {
        Answer::Accepted(Facts {
            size: Some(size),
            modified: None,
        })
    }

    #[test]
    fn a_head_gives_size_and_time() {
        let headers = headers(&[
            ("content-length", "42"),
            ("last-modified", "Thu, 07 Sep 2023 15:07:01 GMT"),
        ]);
        assert_eq!(
            read_head(StatusCode::OK, &headers, "a"),
            Answer::Accepted(Facts {
                size: Some(42),
                modified: Some(1694099221),
            })
        );
    }

    #[test]
    fn a_range_of_one_byte_gives_the_total() {
        let partial = StatusCode::PARTIAL_CONTENT;
        for (status, rows, answer) in [
            (
                partial,
                vec![("content-range", "bytes 0-0/99"), ("content-length", "1")],
                known(99),
            ),
            (
                partial,
                vec![("content-range", "bytes 0-0/*"), ("content-length", "1")],
                Answer::Accepted(Facts::default()),
            ),
            (StatusCode::OK, vec![("content-length", "7")], known(7)),
            (
                StatusCode::RANGE_NOT_SATISFIABLE,
                vec![("content-range", "bytes */0")],
                known(0),
            ),
            (
                StatusCode::OK,
                vec![("content-length", "7"), ("content-encoding", "gzip")],
                Answer::Accepted(Facts::default()),
            ),
        ] {
            assert_eq!(read_first_byte(status, &headers(&rows), "a"), answer);
        }
    }

    #[test]
    fn an_error_in_place_of_a_file_is_never_its_size() {
        let json = headers(&[
            ("content-type", "application/json; charset=utf-8"),
            ("content-length", "30"),
        ]);
        let html = headers(&[("content-type", "text/html"), ("content-length", "30")]);
        let ok = StatusCode::OK;
        assert_eq!(read_head(ok, &json, "a.mkv"), Answer::Refused);
        assert_eq!(read_head(ok, &json, "a.json"), known(30));
        assert_eq!(read_head(ok, &html, "a.mkv"), Answer::Failed(Failure::Status(ok)));
        assert_eq!(read_head(ok, &html, "a.html"), known(30));
        let none = HeaderMap::new();
        for (status, answer) in [
            (StatusCode::UNAUTHORIZED, Answer::Refused),
            (StatusCode::FORBIDDEN, Answer::Refused),
            (StatusCode::NOT_FOUND, Answer::Failed(Failure::NotThere)),
            (
                StatusCode::METHOD_NOT_ALLOWED,
                Answer::Failed(Failure::Status(StatusCode::METHOD_NOT_ALLOWED)),
            ),
        ] {
            assert_eq!(read_head(status, &none, "a"), answer);
            assert_eq!(read_first_byte(status, &none, "a"), answer);
        }
    }
}

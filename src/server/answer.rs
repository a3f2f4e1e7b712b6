//! The rescue table: what a client is told when a drive fails. The only place that turns an
//! [`ErrorKind`] into a status, a `Retry-After` and a body of one plain sentence.
//!
//! An upstream failure is never 404 (webdav-clients A2): a sync client would delete its own files.

use std::time::Duration;

use http::header::{ACCEPT, CACHE_CONTROL, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use crate::body::Body;
use crate::drive::{Error, ErrorKind, Retry};

/// How long a client should leave an account alone that a person must put right first.
const UNTIL_A_PERSON_ACTS: Duration = Duration::from_secs(3600);

/// The status of a kind.
pub fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Gone => StatusCode::GONE,
        ErrorKind::Exists | ErrorKind::IsAFolder => StatusCode::METHOD_NOT_ALLOWED,
        ErrorKind::NotAFolder | ErrorKind::BadName => StatusCode::CONFLICT,
        ErrorKind::Forbidden | ErrorKind::ReadOnly | ErrorKind::Unsupported | ErrorKind::TrafficUsedUp => {
            StatusCode::FORBIDDEN
        }
        ErrorKind::SignIn | ErrorKind::RiskControl | ErrorKind::Busy => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::NoSpace => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::ChecksumMismatch => StatusCode::BAD_REQUEST,
        ErrorKind::Nonsense => StatusCode::BAD_GATEWAY,
        ErrorKind::Unreachable | ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
    }
}

/// The whole answer to a drive's error.
pub fn from_error(error: &Error) -> Response<Body> {
    let status = status(error.kind());
    let mut response = sentence(status, error.sentence());
    let wait = match (error.retry(), error.kind()) {
        (Retry::After(wait), _) => Some(wait),
        (_, ErrorKind::SignIn | ErrorKind::RiskControl) => Some(UNTIL_A_PERSON_ACTS),
        (_, ErrorKind::Busy) => Some(Duration::from_secs(5)),
        _ => None,
    };
    if let Some(wait) = wait {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        response
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    response
}

/// An answer whose body is one sentence for a person.
pub fn sentence(status: StatusCode, sentence: &str) -> Response<Body> {
    text(status, Body::from(format!("{sentence}\n")))
}

/// An answer for a person, which nobody keeps.
pub fn text(status: StatusCode, body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    // Explorer remembers a 404 without regard to letter case (webdav-clients W11).
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// The answer to a button of the status page: a browser goes back to it, others are told the sentence.
pub fn to_status_page(headers: &HeaderMap, said: &str) -> Response<Body> {
    let accepted = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    if accepted.is_none_or(|accepted| !accepted.contains("text/html")) {
        return sentence(StatusCode::OK, said);
    }
    let mut response = sentence(StatusCode::SEE_OTHER, said);
    response
        .headers_mut()
        .insert(LOCATION, HeaderValue::from_static("/.dav123/"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_of_the_drive_is_never_404() {
        for kind in [
            ErrorKind::SignIn,
            ErrorKind::RiskControl,
            ErrorKind::Busy,
            ErrorKind::TrafficUsedUp,
            ErrorKind::Nonsense,
            ErrorKind::Unreachable,
            ErrorKind::Timeout,
            ErrorKind::Forbidden,
        ] {
            assert_ne!(status(kind), StatusCode::NOT_FOUND, "{kind:?}");
        }
    }

    #[test]
    fn busy_says_when_to_come_back() {
        let error =
            Error::new(ErrorKind::Busy, "Wait.").with_retry(Retry::After(Duration::from_millis(1500)));
        let response = from_error(&error);
        assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(
            response.headers().get(RETRY_AFTER),
            Some(&HeaderValue::from_static("2"))
        );
    }
}

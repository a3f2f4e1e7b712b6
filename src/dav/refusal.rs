//! Answers that are decided here and not by a drive: a status, a sentence, and what else the client needs.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{ALLOW, CONNECTION, CONTENT_TYPE};
use http::{HeaderValue, Response, StatusCode};

use crate::body::Body;
use crate::drive;

/// Why a request has no answer of its own.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Refusal {
    /// A drive failed; `server/answer.rs` has the row for its kind.
    #[error(transparent)]
    Fault(#[from] drive::Error),
    /// Decided here.
    #[error(transparent)]
    Refused(#[from] Box<Refused>),
}

/// A refusal by the rules of WebDAV or by the mount table.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{sentence}")]
pub struct Refused {
    /// Status of the answer.
    pub status: StatusCode,
    /// One plain sentence: what went wrong, what to do.
    pub sentence: Cow<'static, str>,
    /// Local name of a precondition of RFC 4918 16; the body is then its XML instead of the sentence.
    pub precondition: Option<&'static str>,
    /// What the resource allows instead.
    pub allow: Option<&'static str>,
    /// The request's body was not read to its end, so the connection cannot serve another request.
    pub close: bool,
}

impl Refused {
    /// A refusal with a sentence.
    pub fn new(status: StatusCode, sentence: impl Into<Cow<'static, str>>) -> Self {
        Self {
            status,
            sentence: sentence.into(),
            precondition: None,
            allow: None,
            close: false,
        }
    }

    /// The same with a precondition.
    #[must_use]
    pub fn because(self, precondition: &'static str) -> Self {
        Self {
            precondition: Some(precondition),
            ..self
        }
    }

    /// The same with what is allowed.
    #[must_use]
    pub fn allowing(self, allow: &'static str) -> Self {
        Self {
            allow: Some(allow),
            ..self
        }
    }

    /// The same, with the connection to be closed or not.
    #[must_use]
    pub fn closing(self, close: bool) -> Self {
        Self { close, ..self }
    }

    /// The whole answer.
    pub fn into_response(self) -> Response<Body> {
        let (body, media_type) = match self.precondition {
            Some(name) => (
                Bytes::from(format!(
                    "<?xml version=\"1.0\" encoding=\"utf-8\"?><D:error xmlns:D=\"DAV:\"><D:{name}/></D:error>"
                )),
                "application/xml; charset=utf-8",
            ),
            None => (
                Bytes::from(format!("{}\n", self.sentence)),
                "text/plain; charset=utf-8",
            ),
        };
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(media_type));
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        if self.close {
            headers.insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl From<Refused> for Refusal {
    fn from(refused: Refused) -> Self {
        Self::Refused(Box::new(refused))
    }
}

//! The selected representation of a file (RFC 9110 section 3.2) and the heads of answers about it.
//!
//! Everything comes from the entry, nothing from the CDN, so that GET, HEAD, 304 and PROPFIND agree.

use std::borrow::Cow;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    LAST_MODIFIED,
};
use http::{Response, StatusCode};

use super::multipart::Multipart;
use super::range::ByteRange;
use crate::body::Body;
use crate::date;
use crate::drive::Entry;
use crate::media_type::content_type;
use crate::spare;

/// What is said about a file in every answer.
#[derive(Debug)]
pub struct Representation {
    file: Arc<Entry>,
    said: OnceLock<Said>,
    /// `None` where the drive does not know it.
    pub modified: Option<SystemTime>,
    /// Bytes, where known.
    pub size: Option<u64>,
}

/// Made where an answer needs it: a redirect does not.
#[derive(Debug)]
struct Said {
    media_type: Cow<'static, str>,
    content_type: Option<HeaderValue>,
    etag: Option<HeaderValue>,
    last_modified: Option<HeaderValue>,
}

impl Representation {
    /// That of a file.
    pub fn of(file: Arc<Entry>) -> Self {
        Self {
            said: OnceLock::new(),
            modified: u64::try_from(file.modified)
                .ok()
                .filter(|&seconds| seconds > 0)
                .map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)),
            size: file.size,
            file,
        }
    }

    fn said(&self) -> &Said {
        self.said.get_or_init(|| {
            let media_type = content_type(&self.file.name);
            Said {
                content_type: HeaderValue::from_str(&media_type).ok(),
                media_type,
                etag: self.file.etag().and_then(|etag| HeaderValue::try_from(etag).ok()),
                last_modified: self.modified.and_then(date::header),
            }
        })
    }

    /// By the name.
    pub fn media_type(&self) -> &Cow<'static, str> {
        &self.said().media_type
    }

    /// Strong, with its quotes.
    pub fn etag(&self) -> Option<&str> {
        self.said().etag.as_ref()?.to_str().ok()
    }

    /// 200 for the whole file of `size` bytes; no `Content-Length` where that is unknown.
    pub fn whole(&self, size: Option<u64>, body: Body) -> Response<Body> {
        let mut response = self.head(StatusCode::OK, body);
        if let Some(size) = size {
            response.headers_mut().insert(CONTENT_LENGTH, size.into());
        }
        response
    }

    /// 206 for a part of a file of `size` bytes.
    pub fn part(&self, range: ByteRange, size: u64, body: Body) -> Response<Body> {
        let mut response = self.head(StatusCode::PARTIAL_CONTENT, body);
        response
            .headers_mut()
            .insert(CONTENT_LENGTH, range.length().into());
        put(&mut response, CONTENT_RANGE, range.content_range(size));
        response
    }

    /// 206 for several parts.
    pub fn parts(&self, body: Multipart) -> Response<Body> {
        let (media_type, length) = (body.media_type(), body.length());
        let mut response = self.head(StatusCode::PARTIAL_CONTENT, Body::stream(body));
        put(&mut response, CONTENT_TYPE, media_type);
        response.headers_mut().insert(CONTENT_LENGTH, length.into());
        response
    }

    /// 304: no body, and the headers by which a cache keeps what it has (RFC 9110 15.4.5).
    pub fn not_modified(&self) -> Response<Body> {
        let mut response = self.head(StatusCode::NOT_MODIFIED, Body::Empty);
        response.headers_mut().remove(CONTENT_TYPE);
        response
    }

    /// 412.
    pub fn precondition_failed(&self) -> Response<Body> {
        sentence(
            StatusCode::PRECONDITION_FAILED,
            "The file is not the version that the request names; fetch its properties again.",
        )
    }

    /// 416, with the size by which the client can ask better.
    pub fn unsatisfiable(&self, size: Option<u64>) -> Response<Body> {
        let mut response = sentence(
            StatusCode::RANGE_NOT_SATISFIABLE,
            "The file has no such bytes; it is shorter than the range asks for.",
        );
        if let Some(size) = size {
            put(&mut response, CONTENT_RANGE, format!("bytes */{size}"));
        }
        put(&mut response, ACCEPT_RANGES, "bytes".to_owned());
        response
    }

    fn head(&self, status: StatusCode, body: Body) -> Response<Body> {
        let mut response = Response::new(body);
        *response.status_mut() = status;
        *response.headers_mut() = spare::headers();
        let headers = response.headers_mut();
        let said = self.said();
        let known = [
            (CONTENT_TYPE, &said.content_type),
            (ETAG, &said.etag),
            (LAST_MODIFIED, &said.last_modified),
        ];
        for (name, value) in known {
            if let Some(value) = value {
                headers.insert(name, value.clone());
            }
        }
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        // Files are private to the user, and may change: a cache asks again, which costs a 304.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        response
    }
}

fn put(response: &mut Response<Body>, name: HeaderName, value: String) {
    if let Ok(value) = HeaderValue::try_from(value) {
        response.headers_mut().insert(name, value);
    }
}

fn sentence(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(format!("{text}\n")));
    *response.status_mut() = status;
    put(
        &mut response,
        CONTENT_TYPE,
        "text/plain; charset=utf-8".to_owned(),
    );
    put(&mut response, CONTENT_LENGTH, (text.len() + 1).to_string());
    response
}

//! The selected representation of a file (RFC 9110 section 3.2) and the heads of answers about it.
//!
//! Everything comes from the entry, nothing from the CDN, so that GET, HEAD, 304 and PROPFIND agree.

use std::borrow::Cow;
use std::sync::OnceLock;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName, HeaderValue,
    LAST_MODIFIED,
};
use http::{Response, StatusCode};

use super::multipart::Multipart;
use super::range::ByteRange;
use crate::body::Body;
use crate::drive::Entry;
use crate::media_type::content_type;

/// Headers of an answer, about.
pub const HEADERS: usize = 12;

/// What is said about a file in every answer.
#[derive(Debug)]
pub struct Representation<'a> {
    file: &'a Entry,
    media_type: OnceLock<Cow<'static, str>>,
    etag: OnceLock<Option<String>>,
    /// `None` where the drive does not know it.
    pub modified: Option<SystemTime>,
    /// Bytes, where known.
    pub size: Option<u64>,
}

impl<'a> Representation<'a> {
    /// That of a file.
    pub fn of(file: &'a Entry) -> Self {
        Self {
            file,
            media_type: OnceLock::new(),
            etag: OnceLock::new(),
            modified: u64::try_from(file.modified)
                .ok()
                .filter(|&seconds| seconds > 0)
                .map(|seconds| UNIX_EPOCH + Duration::from_secs(seconds)),
            size: file.size,
        }
    }

    /// By the name; looked up where an answer needs it.
    pub fn media_type(&self) -> &Cow<'static, str> {
        self.media_type.get_or_init(|| content_type(&self.file.name))
    }

    /// Strong, with its quotes; made where an answer needs it.
    pub fn etag(&self) -> Option<&str> {
        self.etag.get_or_init(|| self.file.etag()).as_deref()
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
        let headers = response.headers_mut();
        // With what others add: no growing in between.
        headers.reserve(HEADERS);
        if let Ok(media_type) = HeaderValue::from_str(self.media_type()) {
            headers.insert(CONTENT_TYPE, media_type);
        }
        headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
        // Files are private to the user, and may change: a cache asks again, which costs a 304.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        if let Some(etag) = self.etag().and_then(|etag| HeaderValue::from_str(etag).ok()) {
            headers.insert(ETAG, etag);
        }
        if let Some(modified) = self.modified.filter(|time| in_calendar(*time)) {
            put(&mut response, LAST_MODIFIED, httpdate::fmt_http_date(modified));
        }
        response
    }
}

/// Whether a time can be said as an HTTP date: those have four digits for the year, and the formatter panics beyond.
pub fn in_calendar(time: SystemTime) -> bool {
    const YEAR_10000: u64 = 253_402_300_800;
    time.duration_since(UNIX_EPOCH)
        .is_ok_and(|d| d.as_secs() < YEAR_10000)
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

//! The signed 302 to a configured proxy, and the call by which that proxy asks for the link.
//!
//! URL, signature and call are those of the OpenList proxy workers (peers.md 1.2 and 1.3), so that a deployed
//! one works with dav123 as its origin. Unlike there, signatures end, and errors have true HTTP statuses.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use super::referer::Referers;
use crate::body::Body;
use crate::config::{Delivery, Strategy};
use crate::drive::{Entry, Error, ErrorKind, Link, Retry};
use crate::tree::{Mount, TreePath};

/// How long a signature is good.
pub const SIGNED_FOR: Duration = Duration::from_secs(4 * 3600);
/// The asked path is short; a longer body is not the call.
const MAX_BODY: usize = 64 * 1024;

/// Left alone in a segment (peers.md 1.2).
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~')
    .remove(b'$')
    .remove(b'&')
    .remove(b'+')
    .remove(b':')
    .remove(b'=')
    .remove(b'@');

/// The signed URL of a file: `path` is the whole path of the tree, `until` whole seconds.
pub fn signed(base: &str, token: &SecretString, path: &TreePath, until: SystemTime) -> String {
    let expires = until.duration_since(UNIX_EPOCH).map_or(1, |d| d.as_secs());
    let mut url = base.trim_end_matches('/').to_owned();
    for segment in path.segments() {
        url.push('/');
        url.extend(utf8_percent_encode(segment, SEGMENT));
    }
    url.push_str("?sign=");
    url.push_str(&sign(token, &path.to_string(), expires));
    url
}

fn sign(token: &SecretString, path: &str, expires: u64) -> String {
    // A key of any length is taken, so that the error cannot come; an empty signature never verifies.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(token.expose_secret().as_bytes()) else {
        return String::new();
    };
    mac.update(format!("{path}:{expires}").as_bytes());
    format!("{}:{expires}", URL_SAFE.encode(mac.finalize().into_bytes()))
}

/// Why a signed URL is not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unsigned {
    /// No signature, or not one of this path and key.
    Wrong,
    /// It was right, and its time is over.
    Expired,
}

/// Checks the signature of a path: `sign` is the value of the query as written. A time of 0 never ends.
///
/// # Errors
/// See [`Unsigned`]; whether the time is over is told only to those who have a right signature.
pub fn verify(token: &SecretString, path: &TreePath, sign: &str, now: SystemTime) -> Result<(), Unsigned> {
    let sign = percent_decode_str(sign).decode_utf8_lossy();
    let until = sign.rsplit_once(':').and_then(|(_, until)| until.parse().ok());
    let Some(until) = until else {
        return Err(Unsigned::Wrong);
    };
    let right = self::sign(token, &path.to_string(), until);
    if right.is_empty() || !bool::from(right.as_bytes().ct_eq(sign.as_bytes())) {
        return Err(Unsigned::Wrong);
    }
    let now = now.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    if until != 0 && until <= now {
        return Err(Unsigned::Expired);
    }
    Ok(())
}

/// Whether the files of a mount may be asked for with this token.
pub fn opens(delivery: &Delivery, token: &str) -> bool {
    let equal = delivery.proxy_secret.as_ref().map_or(Choice::from(0), |secret| {
        secret.expose_secret().as_bytes().ct_eq(token.as_bytes())
    });
    bool::from(equal) && hands_out(delivery)
}

/// Whether some client of a mount is sent to the proxy.
pub fn hands_out(delivery: &Delivery) -> bool {
    delivery.strategy == Strategy::ProxyUrl
        || delivery
            .clients
            .iter()
            .any(|rule| rule.strategy == Strategy::ProxyUrl)
}

/// Whether any mount may be asked for with this token; looks at all of them, so that the time taken
/// says nothing about which.
pub fn opens_any<'a>(mounts: impl Iterator<Item = &'a Mount>, token: &str) -> bool {
    mounts.fold(false, |known, mount| {
        opens(&mount.settings.delivery, token) | known
    })
}

/// What a worker asks for.
#[derive(Debug)]
pub struct Asked {
    /// The file.
    pub path: TreePath,
    /// A link that the CDN refused: said by another dav123, not by the OpenList family.
    pub refused: Option<Arc<Link>>,
}

/// Reads a call.
///
/// # Errors
/// `BadName` where the body is not `{"path": "/…"}`.
pub fn asked(body: &Bytes) -> Result<Asked, Error> {
    #[derive(serde::Deserialize)]
    struct Call {
        path: String,
        refused: Option<String>,
    }
    let call: Option<Call> = (body.len() <= MAX_BODY)
        .then(|| serde_json::from_slice(body).ok())
        .flatten();
    call.and_then(|call| {
        let refused = call.refused.map(|url| {
            Arc::new(Link {
                url: url.into(),
                until: UNIX_EPOCH,
                referers: Vec::new(),
                headers: Vec::new(),
                open_to_all: false,
            })
        });
        let path = TreePath::from_decoded(&call.path).ok()?;
        Some(Asked { path, refused })
    })
    .ok_or_else(|| {
        Error::new(
            ErrorKind::BadName,
            "The body must be a JSON object whose path is that of a file.",
        )
    })
}

/// The answer with the link, and the headers that the CDN demands. Beside them, for another dav123: what is known of
/// the file, and until when the link is good.
pub fn granted(link: &Link, file: &Entry, referers: &Referers) -> Response<Body> {
    let mut header = serde_json::Map::new();
    let referers: Vec<&str> = referers.order(link).into_iter().flatten().collect();
    if let Some(referer) = referers.first() {
        header.insert("Referer".to_owned(), serde_json::json!([referer]));
    }
    let about = About {
        size: file.size,
        md5: file.md5.map(u128::from_be_bytes).map(|md5| format!("{md5:032x}")),
        modified: file.modified,
        until: link.until.duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs()),
        referers: referers.into_iter().map(str::to_owned).collect(),
    };
    let data = serde_json::json!({ "url": link.expose(), "header": header, "file": about });
    envelope(StatusCode::OK, "success", data)
}

/// The answer to a call that fails, with the true status.
pub fn refused(error: &Error) -> Response<Body> {
    let status = match error.kind() {
        ErrorKind::NotFound | ErrorKind::NotAFolder | ErrorKind::Gone => StatusCode::NOT_FOUND,
        ErrorKind::IsAFolder | ErrorKind::BadName => StatusCode::BAD_REQUEST,
        ErrorKind::Forbidden | ErrorKind::TrafficUsedUp => StatusCode::FORBIDDEN,
        ErrorKind::Busy | ErrorKind::SignIn | ErrorKind::RiskControl => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        _ => StatusCode::BAD_GATEWAY,
    };
    let mut response = envelope(status, error.sentence(), serde_json::Value::Null);
    if let Retry::After(wait) = error.retry() {
        let seconds = HeaderValue::from(wait.as_secs().max(1));
        response.headers_mut().insert(RETRY_AFTER, seconds);
    }
    response
}

/// What one dav123 tells another of a file.
#[derive(Debug, Clone, serde::Serialize, serde::Deserialize)]
pub struct About {
    /// Bytes.
    pub size: Option<u64>,
    /// In hex.
    pub md5: Option<String>,
    /// Unix seconds, 0 where unknown.
    pub modified: i64,
    /// Unix seconds when the link ends.
    pub until: u64,
    /// All that the CDN may want as `Referer`, the likeliest first: workers try one only.
    #[serde(default)]
    pub referers: Vec<String>,
}

/// The answer to a call that nobody may make here.
pub fn unauthorized() -> Response<Body> {
    envelope(
        StatusCode::UNAUTHORIZED,
        "The Authorization header must be the proxy_secret of a mount with strategy proxy-url.",
        serde_json::Value::Null,
    )
}

fn envelope(status: StatusCode, message: &str, data: serde_json::Value) -> Response<Body> {
    let text = serde_json::json!({ "code": status.as_u16(), "message": message, "data": data });
    let mut response = Response::new(Body::from(text.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
#[path = "proxy_url_tests.rs"]
mod tests;

//! The signed 302 to a configured proxy, and the call by which that proxy asks for the link.
//!
//! URL, signature and call are those of the OpenList proxy workers (peers.md 1.2 and 1.3), so that a deployed
//! one works with dav123 as its origin. Unlike there, signatures end, and errors have true HTTP statuses.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE;
use bytes::Bytes;
use hmac::{Hmac, KeyInit, Mac};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::{Choice, ConstantTimeEq};

use super::referer::Referers;
use crate::body::Body;
use crate::config::{Delivery, Strategy};
use crate::drive::{Error, ErrorKind, Link};
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

/// The path that a call asks for.
///
/// # Errors
/// `BadName` where the body is not `{"path": "/…"}`.
pub fn asked_path(body: &Bytes) -> Result<TreePath, Error> {
    #[derive(serde::Deserialize)]
    struct Call {
        path: String,
    }
    let call: Option<Call> = (body.len() <= MAX_BODY)
        .then(|| serde_json::from_slice(body).ok())
        .flatten();
    call.and_then(|call| TreePath::from_decoded(&call.path).ok())
        .ok_or_else(|| {
            Error::new(
                ErrorKind::BadName,
                "The body must be a JSON object whose path is that of a file.",
            )
        })
}

/// The answer with the link, and the headers that the CDN demands.
pub fn granted(link: &Link, referers: &Referers) -> Response<Body> {
    let mut header = serde_json::Map::new();
    if let Some(Some(referer)) = referers.order(link).first() {
        header.insert("Referer".to_owned(), serde_json::json!([referer]));
    }
    let data = serde_json::json!({ "url": link.expose(), "header": header });
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
    envelope(status, error.sentence(), serde_json::Value::Null)
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
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    #[test]
    fn the_signature_is_that_of_the_openlist_family() {
        let token = SecretString::from("openlist-test-token");
        for (path, expires, expected) in [
            (
                "/123/plain.txt",
                0,
                "_rTWJMKGEjI6uD5V-bwOguj25jIrL9Fo1j2tib4KVyE=:0",
            ),
            (
                "/123/电影/a b.mkv",
                0,
                "Jcx3Th1gWhPFILvd9eQrVXsyMH9tHTk3KhS58yabNik=:0",
            ),
            (
                "/123/电影/a b.mkv",
                1_893_456_000,
                "wofozl8710EpUPWk4nZaMcWmL32MV1l5KqMvAU-O7K8=:1893456000",
            ),
        ] {
            assert_eq!(sign(&token, path, expires), expected);
        }
        let path = TreePath::from_decoded("/123/电影/a b.mkv").unwrap();
        let until = UNIX_EPOCH + Duration::from_secs(1_893_456_000);
        assert_eq!(
            signed("https://proxy.example.com/", &token, &path, until),
            "https://proxy.example.com/123/%E7%94%B5%E5%BD%B1/a%20b.mkv\
             ?sign=wofozl8710EpUPWk4nZaMcWmL32MV1l5KqMvAU-O7K8=:1893456000"
        );
    }

    #[test]
    fn the_path_is_encoded_as_the_workers_expect() {
        let path = TreePath::from_decoded("/a/$&+:=@-_.~ #%?'!*(),;").unwrap();
        let url = signed("https://w", &"t".into(), &path, UNIX_EPOCH);
        let encoded = url.split("?sign=").next().unwrap();
        assert_eq!(encoded, "https://w/a/$&+:=@-_.~%20%23%25%3F%27%21%2A%28%29%2C%3B");
    }

    #[test]
    fn a_token_opens_only_mounts_that_are_handed_to_a_proxy() {
        let mut delivery = Delivery {
            strategy: Strategy::ProxyUrl,
            proxy_secret: Some("token".into()),
            ..Delivery::default()
        };
        assert!(opens(&delivery, "token"));
        assert!(!opens(&delivery, "Token"));
        assert!(!opens(&delivery, ""));
        delivery.strategy = Strategy::Proxy;
        assert!(!opens(&delivery, "token"));
        assert!(!opens(&Delivery::default(), ""));
    }

    #[test]
    fn a_call_names_one_path() {
        let path = |text: &'static str| asked_path(&Bytes::from_static(text.as_bytes()));
        assert_eq!(
            path(r#"{"path":"/123/a b","password":""}"#).unwrap().to_string(),
            "/123/a b"
        );
        for bad in ["", "{}", "{\"path\":1}", "{\"path\":\"/../x\"}"] {
            assert_eq!(path(bad).unwrap_err().kind(), ErrorKind::BadName, "{bad}");
        }
    }

    #[tokio::test]
    async fn an_answer_has_arrays_of_headers_and_a_true_status() {
        let link = Link {
            url: "https://cdn/x?t=1".into(),
            until: SystemTime::now(),
            referers: vec!["https://host/".to_owned(), "https://other/".to_owned()],
            open_to_all: false,
        };
        let text = |response: Response<Body>| async {
            let bytes = response.into_body().collect().await.unwrap().to_bytes();
            serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()
        };
        assert_eq!(
            text(granted(&link, &Referers::new())).await,
            serde_json::json!({"code": 200, "message": "success", "data": {
                "url": "https://cdn/x?t=1", "header": {"Referer": ["https://host/"]}}})
        );
        let response = refused(&Error::new(ErrorKind::NotFound, "No."));
        assert_eq!(response.status(), 404);
        assert_eq!(text(response).await["code"], 404);
        assert_eq!(unauthorized().status(), 401);
    }
}

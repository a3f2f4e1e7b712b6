//! The `Destination` header (RFC 4918 10.3): a URL of this server, or a path.
//!
//! dav-server does not look at the host (T15) and refuses raw UTF-8, which some clients send. So it is read here, and
//! handed on as an encoded path.

use http::header::HOST;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, Uri};

use super::refusal::Refused;
use crate::tree::{PathError, TreePath};

/// Where something is to be copied or moved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Destination {
    /// The path of the URL below the prefix: as the user sees it.
    pub(super) path: TreePath,
    /// The header for dav-server.
    pub(super) header: HeaderValue,
}

/// Reads the header, if there is one. `prefix` is the URL path of the tree.
///
/// # Errors
/// 502 for another server and for what lies outside the tree, 403 for what climbs out of it, 400 for what is no URL.
pub(super) fn read(head: &Parts, prefix: &TreePath) -> Result<Option<Destination>, Refused> {
    let Some(value) = head.headers.get("destination") else {
        return Ok(None);
    };
    let bad = || {
        Refused::new(
            StatusCode::BAD_REQUEST,
            "The Destination header is neither a URL nor a path.",
        )
    };
    let text = std::str::from_utf8(value.as_bytes()).map_err(|_| bad())?.trim();
    let path = if text.starts_with('/') {
        text
    } else {
        let (_, rest) = text.split_once("://").ok_or_else(bad)?;
        let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if !is_us(&head.headers, &head.uri, host) {
            return Err(Refused::new(
                StatusCode::BAD_GATEWAY,
                "The Destination is on another server; only this one can be copied and moved to.",
            ));
        }
        path
    };
    let path = path.split(['?', '#']).next().unwrap_or_default();
    let folder = path.ends_with('/');
    let whole = TreePath::parse(path).map_err(|error| match error {
        PathError::AboveRoot => Refused::new(StatusCode::FORBIDDEN, error.to_string()),
        error => Refused::new(StatusCode::BAD_REQUEST, error.to_string()),
    })?;
    let below = whole.below(prefix).ok_or_else(|| {
        Refused::new(
            StatusCode::BAD_GATEWAY,
            "The Destination is outside of the tree that this server serves.",
        )
    })?;
    let mut encoded = whole.encoded();
    if folder && !whole.is_root() {
        encoded.push('/');
    }
    Ok(Some(Destination {
        path: below,
        header: HeaderValue::from_str(&encoded).map_err(|_| bad())?,
    }))
}

/// Whether `host` names this server: the one the request was sent to, or that a reverse proxy got it for.
fn is_us(headers: &HeaderMap, uri: &Uri, host: &str) -> bool {
    let bare = |host: &str| {
        let host = host
            .rsplit('@')
            .next()
            .unwrap_or(host)
            .trim()
            .to_ascii_lowercase();
        host.strip_suffix(":80")
            .or_else(|| host.strip_suffix(":443"))
            .unwrap_or(&host)
            .to_owned()
    };
    let ours = [headers.get(HOST), headers.get("x-forwarded-host")];
    ours.into_iter()
        .flatten()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .chain(uri.authority().map(http::uri::Authority::as_str))
        .any(|ours| bare(ours) == bare(host))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn destination(headers: &[(&str, &str)], prefix: &str) -> Result<Option<(String, String)>, u16> {
        let mut request = http::Request::builder().uri("/dav/x");
        for (name, value) in headers {
            request = request.header(*name, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let (head, ()) = request.body(()).unwrap().into_parts();
        read(&head, &TreePath::parse(prefix).unwrap())
            .map(|read| read.map(|to| (to.path.to_string(), to.header.to_str().unwrap().to_owned())))
            .map_err(|refused| refused.status.as_u16())
    }

    #[test]
    fn a_url_of_ours_and_a_path_are_the_same() {
        let host = ("host", "nas.lan:8123");
        let forwarded = ("x-forwarded-host", "a.example, Dav.Example");
        for to in [
            "/dav/a%20%E7%94%B5/",
            "/dav/a 电/",
            "http://nas.lan:8123/dav/a%20电/",
            "https://me@NAS.lan:8123/dav//x/../a%20电/?q#f",
            "https://dav.example:443/dav/a%20电/",
        ] {
            let wanted = ("/a 电".to_owned(), "/dav/a%20%E7%94%B5/".to_owned());
            assert_eq!(
                destination(&[host, forwarded, ("destination", to)], "/dav"),
                Ok(Some(wanted)),
                "{to}"
            );
        }
        assert_eq!(destination(&[host], "/dav"), Ok(None));
        let root = ("/".to_owned(), "/".to_owned());
        assert_eq!(
            destination(&[host, ("destination", "http://nas.lan:8123")], "/"),
            Ok(Some(root))
        );
        // A path is a path, whatever is in it.
        let path = ("/x:/y".to_owned(), "/dav/x%3A/y".to_owned());
        assert_eq!(
            destination(&[host, ("destination", "/dav/x://y")], "/dav"),
            Ok(Some(path))
        );
    }

    #[test]
    fn other_servers_and_what_is_outside_are_refused() {
        for (to, status) in [
            ("http://other.lan:8123/dav/x", 502),
            ("http://nas.lan/dav/x", 502),
            ("http://nas.lan:8123/davx", 502),
            ("/davx/y", 502),
            ("/x", 502),
            ("/dav/../x", 502),
            ("/dav/../../x", 403),
            ("http://nas.lan:8123/%2e%2e/x", 403),
            ("dav/x", 400),
            ("", 400),
            ("/dav/%ff", 400),
            ("/dav/a%2Fb", 400),
        ] {
            let headers = [("host", "nas.lan:8123"), ("destination", to)];
            assert_eq!(destination(&headers, "/dav"), Err(status), "{to}");
        }
    }
}

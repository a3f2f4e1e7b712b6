//! The way to the tree: folders above the configured prefix, which hold nothing but the next step.
//!
//! Explorer walks a URL like a file share and looks at each step of it (webdav-clients section 2).

use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::encode::text;
use super::refusal::Refused;
use super::request::Depth;
use crate::body::Body;
use crate::tree::TreePath;

/// The 207 of a folder above `prefix`.
///
/// # Errors
/// A `Depth` that is not served.
pub fn step(headers: &HeaderMap, path: &TreePath, prefix: &TreePath) -> Result<Response<Body>, Refused> {
    let mut xml = bytes::BytesMut::new();
    xml.extend_from_slice(b"<?xml version=\"1.0\" encoding=\"utf-8\"?><D:multistatus xmlns:D=\"DAV:\">");
    let mut shown = vec![path.clone()];
    if Depth::of(headers)? == Depth::One
        && let Some(next) = prefix
            .below(path)
            .as_ref()
            .and_then(|rest| rest.segments().next())
    {
        shown.push(path.child(next));
    }
    for folder in shown {
        let slash = if folder.is_root() { "" } else { "/" };
        xml.extend_from_slice(b"<D:response><D:href>");
        xml.extend_from_slice(folder.encoded().as_bytes());
        xml.extend_from_slice(slash.as_bytes());
        xml.extend_from_slice(b"</D:href><D:propstat><D:prop><D:displayname>");
        text(folder.name().unwrap_or("/"), &mut xml);
        xml.extend_from_slice(
            b"</D:displayname><D:resourcetype><D:collection/></D:resourcetype></D:prop>\
              <D:status>HTTP/1.1 200 OK</D:status></D:propstat></D:response>",
        );
    }
    xml.extend_from_slice(b"</D:multistatus>");
    let mut response = Response::new(Body::from(xml.freeze()));
    *response.status_mut() = StatusCode::MULTI_STATUS;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/xml; charset=utf-8"),
    );
    Ok(response)
}

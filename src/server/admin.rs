//! What lies under `/.dav123/`, outside the tree: health, metrics, the status page.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};

use super::pages::status::{Seen, status};
use super::{answer, governor};
use crate::body::Body;
use crate::metrics::Metrics;

/// The first path segment that is ours.
pub(super) const RESERVED: &str = ".dav123";

/// `ok` while serving; asked without a sign-in.
pub(super) fn health(method: &Method) -> Response<Body> {
    page(method, "text/plain; charset=utf-8", "ok\n".to_owned())
}

/// A page for a signed-in user.
pub(super) async fn answer(method: &Method, name: &str, seen: Seen<'_>, metrics: &Metrics) -> Response<Body> {
    let tree = seen.tree;
    match name {
        "metrics" => {
            let (entries, links) = tree.cached();
            metrics
                .listing_entries
                .set(i64::try_from(entries).unwrap_or(i64::MAX));
            metrics.links.set(i64::try_from(links).unwrap_or(i64::MAX));
            metrics.running.set(seen.place.running());
            governor::measure(tree, metrics);
            match metrics.text() {
                Ok(text) => page(
                    method,
                    "application/openmetrics-text; version=1.0.0; charset=utf-8",
                    text,
                ),
                Err(_) => answer::sentence(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "The metrics could not be written.",
                ),
            }
        }
        "" | "status" => match *method {
            Method::GET => status(seen).await,
            Method::HEAD => super::pages::head(),
            _ => only_read(),
        },
        _ => answer::sentence(StatusCode::NOT_FOUND, "There is no such page."),
    }
}

fn only_read() -> Response<Body> {
    answer::sentence(StatusCode::METHOD_NOT_ALLOWED, "This page can only be read.")
}

fn page(method: &Method, content_type: &'static str, text: String) -> Response<Body> {
    if method != Method::GET && method != Method::HEAD {
        return only_read();
    }
    let length = text.len();
    let mut response = Response::new(if method == Method::HEAD {
        Body::Empty
    } else {
        Body::from(text)
    });
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(http::header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

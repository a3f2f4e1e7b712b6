//! What lies under `/.dav123/`, outside the tree: health, metrics, the status page.

use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Method, Response, StatusCode};

use super::{answer, governor};
use crate::body::Body;
use crate::metrics::Metrics;
use crate::tree::Tree;

/// The first path segment that is ours.
pub(super) const RESERVED: &str = ".dav123";

/// `ok` while serving; asked without a sign-in.
pub(super) fn health(method: &Method) -> Response<Body> {
    page(method, "text/plain; charset=utf-8", "ok\n".to_owned())
}

/// A page for a signed-in user.
pub(super) fn answer(method: &Method, name: &str, tree: &Tree, metrics: &Metrics) -> Response<Body> {
    match name {
        "metrics" => {
            let (entries, links) = tree.cached();
            metrics
                .listing_entries
                .set(i64::try_from(entries).unwrap_or(i64::MAX));
            metrics.links.set(i64::try_from(links).unwrap_or(i64::MAX));
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
        "" | "status" => page(method, "text/html; charset=utf-8", status(tree)),
        _ => answer::sentence(StatusCode::NOT_FOUND, "There is no such page."),
    }
}

fn page(method: &Method, content_type: &'static str, text: String) -> Response<Body> {
    if method != Method::GET && method != Method::HEAD {
        return answer::sentence(StatusCode::METHOD_NOT_ALLOWED, "This page can only be read.");
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
    headers.insert(
        http::header::CONTENT_SECURITY_POLICY,
        HeaderValue::from_static("default-src 'none'; style-src 'unsafe-inline'"),
    );
    response
}

/// The status page: one row a mount.
fn status(tree: &Tree) -> String {
    use std::fmt::Write;
    let (entries, links) = tree.cached();
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
         content=\"width=device-width\"><meta name=\"robots\" content=\"noindex\"><title>dav123</title>\
         <style>:root{color-scheme:light dark}body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;\
         margin:2rem auto;padding:0 1rem}table{border-collapse:collapse;width:100%}th,td{text-align:left;\
         padding:.4rem .8rem;border-bottom:1px solid #8884}</style><h1>dav123</h1>\
         <table><tr><th>Mount</th><th>Kind</th><th>Strategy</th><th>Access</th></tr>",
    );
    for mount in tree.mounts() {
        let access = match mount.settings.access {
            crate::config::Access::ReadWrite if mount.drive.capability().write => "read-write",
            _ => "read-only",
        };
        page.push_str("<tr><td>");
        page.push_str(&super::pages::escaped(&mount.path.to_string()));
        // Writing to a String cannot fail.
        let _ = write!(
            page,
            "</td><td>{}</td><td>{}</td><td>{access}</td></tr>",
            mount.settings.source.kind(),
            mount.settings.delivery.strategy.name(),
        );
    }
    let (files, bytes) = tree.waiting();
    if files > 0 {
        let bytes = bytesize::ByteSize(bytes);
        let _ = write!(
            page,
            "</table><p>{files} files ({bytes}) are received and wait to be sent to 123pan.</p><table>"
        );
    }
    page.push_str("</table>");
    page.push_str(&governor::shown(tree));
    let _ = write!(
        page,
        "<p>{entries} entries and {links} links are remembered. Version {}. \
         <a href=\"metrics\">Metrics</a></p></html>",
        env!("CARGO_PKG_VERSION")
    );
    page
}

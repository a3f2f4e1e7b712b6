//! Pages for people: a folder in a browser, and the state of the server.
//!
//! A page is one answer: its style and its script stand in it, and its policy names both by their hash, so that nothing
//! else runs and nothing else is loaded but the drive's own files. Names are 123pan's users' text and never markup. Links
//! are relative, so that the pages work behind a reverse proxy that changes the prefix.

mod folder;
mod kind;
mod order;
mod plot;
pub(super) mod status;
mod status_words;
mod subtitle;
#[cfg(test)]
mod tests;
mod thumbnail;
mod words;

use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::BytesMut;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderName, HeaderValue, Response};
use sha2::{Digest, Sha256};

use crate::body::Body;

pub use folder::{View, folder};
pub use order::Order;
pub use subtitle::subtitle;
pub use thumbnail::thumbnail;
pub use words::Language;

/// The style of all pages.
const STYLE: &str = include_str!("style.css");
/// The script of the folder page.
const SCRIPT: &str = include_str!("folder.js");
/// The script of the status page.
const STATUS_SCRIPT: &str = include_str!("status.js");

/// Headers of every page but its policy.
const HEADERS: [(HeaderName, &str); 5] = [
    (CONTENT_TYPE, "text/html; charset=utf-8"),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (CACHE_CONTROL, "private, no-cache"),
    (VARY, "accept-language"),
];

/// What a page may do (CSP Level 3). Films and music come from the CDN where a mount redirects: `media-src` is open.
static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
    let hash = |text: &str| STANDARD.encode(Sha256::digest(text.as_bytes()));
    let policy = format!(
        "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}' 'sha256-{}'; img-src 'self' data:; \
         media-src 'self' http: https:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
        hash(STYLE),
        hash(SCRIPT),
        hash(STATUS_SCRIPT),
    );
    // Letters, digits and signs of ASCII.
    HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
});

/// What a HEAD of a folder is answered with: the headers of its page, for which nothing is listed.
pub fn head() -> Response<Body> {
    respond(Body::Empty)
}

/// A file of the drive that a browser would run is shown without its scripts, and as of another origin (CSP Level 3,
/// `sandbox`): it is not ours, and could act with the sign-in of whoever opens it. Our own pages have their policy.
pub fn confined(mut response: Response<Body>) -> Response<Body> {
    const RUN: [&str; 5] = [
        "text/html",
        "application/xhtml+xml",
        "image/svg+xml",
        "text/xml",
        "application/xml",
    ];
    let headers = response.headers_mut();
    let runs = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    if runs.is_some_and(|runs| RUN.iter().any(|kind| runs.starts_with(kind))) {
        headers
            .entry(CONTENT_SECURITY_POLICY)
            .or_insert(HeaderValue::from_static("sandbox"));
    }
    response
}

fn respond(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers.insert(CONTENT_SECURITY_POLICY, POLICY.clone());
    response
}

/// The head of a page, up to and with the opening of its body; `title` is text.
fn begin(language: &str, title: &str, body: &str) -> String {
    format!(
        "<!DOCTYPE html><html lang=\"{language}\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"robots\" content=\"noindex\"><title>{}</title>\
         <style>{STYLE}</style></head><body{body}>",
        escaped(title),
    )
}

/// Appends text as HTML, good inside quoted attributes too. Control characters, which HTML forbids even as
/// references, and those that turn the direction of what follows (`gpj.exe` would be read as `exe.jpg`), become the
/// replacement character.
pub fn escape(text: &str, out: &mut BytesMut) {
    let mut utf8 = [0; 4];
    for character in text.chars() {
        let bytes = match character {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&quot;",
            '\'' => "&#39;",
            c if c.is_control() || is_turning(c) => "\u{fffd}",
            c => c.encode_utf8(&mut utf8),
        };
        out.extend_from_slice(bytes.as_bytes());
    }
}

/// Embeddings, overrides and isolates of the bidirectional algorithm (UAX #9, section 2).
fn is_turning(character: char) -> bool {
    matches!(character, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The same as a string.
pub fn escaped(text: &str) -> String {
    let mut out = BytesMut::new();
    escape(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// A size for people: three or four digits, in units of 1,024.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut unit = 1_024_u128;
    let mut name = UNITS[0];
    let mut tenths = 0;
    for next in UNITS {
        name = next;
        tenths = (u128::from(bytes) * 10 + unit / 2) / unit;
        if tenths < 10_240 {
            break;
        }
        unit *= 1_024;
    }
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

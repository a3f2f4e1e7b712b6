//! The 302: `Location`, and how long a client may keep it.
//!
//! `Expires` and `max-age` say for how long the link still works, less a margin. Never `no-store`: mpv and
//! ffmpeg cannot seek through a 302 that has it (webdav-clients.md section 15).

use std::borrow::Cow;
use std::time::{Duration, SystemTime};

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, EXPIRES, HeaderValue, LOCATION, REFERRER_POLICY};
use http::{Response, StatusCode};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};

use crate::body::Body;
use crate::date;
use crate::drive::{Error, ErrorKind};
use crate::spare;

/// A link with less life than this is renewed before it is handed out.
pub const TOO_SHORT: Duration = Duration::from_secs(60);
/// The client stops using the link this long before its end, or a tenth of its life if that is shorter.
const MARGIN: Duration = Duration::from_secs(60);

/// What cannot stand in a URL as it is, beside controls and what is not ASCII; `%` stays, for the link is encoded already.
const STRAYS: [u8; 10] = *b" \"<>\\^`{|}";

/// The bytes that are encoded.
const STRAY: &AsciiSet = &{
    let (mut set, mut at) = (CONTROLS.add(STRAYS[0]), 1);
    while at < STRAYS.len() {
        set = set.add(STRAYS[at]);
        at += 1;
    }
    set
};

/// Whether a byte is one of them.
const fn is_stray(byte: u8) -> bool {
    let (mut stray, mut at) = (byte < b' ' || byte > b'~', 0);
    while at < STRAYS.len() {
        stray |= byte == STRAYS[at];
        at += 1;
    }
    stray
}

/// The URL with every byte that a header or a request line cannot carry percent-encoded.
pub fn printable(url: &str) -> Cow<'_, str> {
    // Nearly all links are fine. Every byte is looked at, for then the processor takes many at once.
    if !url.bytes().fold(false, |strays, byte| strays | is_stray(byte)) {
        return Cow::Borrowed(url);
    }
    utf8_percent_encode(url, STRAY).into()
}

/// How long something that ends at `until` still lives.
pub fn remaining(until: SystemTime, now: SystemTime) -> Duration {
    until.duration_since(now).unwrap_or_default()
}

/// The 302 to `url`, which works until `until`.
///
/// # Errors
/// `Nonsense` if the URL cannot be sent at all.
pub fn found(url: &str, until: SystemTime, now: SystemTime) -> Result<Response<Body>, Error> {
    let location = HeaderValue::from_str(&printable(url)).map_err(|_| {
        Error::new(
            ErrorKind::Nonsense,
            "123pan gave a download link that cannot be sent to a client.",
        )
    })?;
    let life = remaining(until, now);
    let keep = Duration::from_secs(life.saturating_sub(MARGIN.min(life / 10)).as_secs());
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::FOUND;
    *response.headers_mut() = spare::headers();
    let headers = response.headers_mut();
    headers.insert(LOCATION, location);
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    let control = ["private, max-age=", itoa::Buffer::new().format(keep.as_secs())].concat();
    if let Ok(control) = HeaderValue::try_from(control) {
        headers.insert(CACHE_CONTROL, control);
    }
    if let Some(expires) = now.checked_add(keep).and_then(date::header) {
        headers.insert(EXPIRES, expires);
    }
    Ok(response)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::time::UNIX_EPOCH;

    fn kept(life: u64) -> (String, String) {
        let now = UNIX_EPOCH + Duration::from_secs(784_111_777);
        let response = found("https://cdn/x?t=1", now + Duration::from_secs(life), now).unwrap();
        let header = |name| response.headers()[&name].to_str().unwrap().to_owned();
        (header(CACHE_CONTROL), header(EXPIRES))
    }

    #[test]
    fn a_302_says_how_long_the_link_works_less_a_margin_and_never_no_store() {
        assert_eq!(
            kept(1800),
            (
                "private, max-age=1740".into(),
                "Sun, 06 Nov 1994 09:18:37 GMT".into()
            )
        );
        assert_eq!(kept(100).0, "private, max-age=90");
        assert_eq!(kept(0).0, "private, max-age=0");
    }

    #[test]
    fn a_302_has_no_body_and_hides_where_it_came_from() {
        let now = SystemTime::now();
        let response = found("https://cdn/电影 1.mkv?a=%41|b", now, now).unwrap();
        assert_eq!(response.status(), 302);
        assert_eq!(
            response.headers()[LOCATION],
            "https://cdn/%E7%94%B5%E5%BD%B1%201.mkv?a=%41%7Cb"
        );
        assert_eq!(response.headers()[REFERRER_POLICY], "no-referrer");
        assert_eq!(response.headers()[CONTENT_LENGTH], "0");
    }

    #[test]
    fn a_url_without_strays_is_left_alone_and_only_that() {
        for byte in 0..=u8::MAX {
            let text = String::from(char::from(byte));
            let encoded: String = utf8_percent_encode(&text, STRAY).to_string();
            assert_eq!(printable(&text), encoded);
            if byte.is_ascii() {
                assert_eq!(is_stray(byte), text != encoded, "{byte}");
            }
        }
    }

    #[test]
    fn a_link_cannot_split_the_header() {
        let now = SystemTime::now();
        let response = found("https://cdn/x\r\nSet-Cookie: a=b", now, now).unwrap();
        assert_eq!(
            response.headers()[LOCATION],
            "https://cdn/x%0D%0ASet-Cookie:%20a=b"
        );
        assert!(!response.headers().contains_key("set-cookie"));
    }
}

//! One direct URL as it goes over the wire: origin, escaped path, query.
//!
//! The URL is normalised once, when it is read: host and path as every HTTP client would send them
//! (RFC 3986 section 6.2.2: no dot segments, nothing outside ASCII), so that the path that is signed is the
//! path that the CDN sees. The query is kept byte for byte, but for characters no URL may hold; a fragment
//! is dropped, because it is never sent.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use url::{Position, Url};

/// What a query cannot hold as it is (with everything outside ASCII).
const QUERY: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'<').add(b'>');

/// The parameter that carries the signature.
const AUTH_KEY: &str = "auth_key";

/// An absolute `http` or `https` URL with a host.
#[derive(Clone, PartialEq, Eq)]
pub struct DirectUrl {
    /// `scheme://host[:port]`.
    origin: Box<str>,
    /// Escaped path; begins with `/`.
    path: Box<str>,
    /// What stands after the `?`, if there is one.
    query: Option<Box<str>>,
}

/// Why a text is not a URL we can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UrlFault {
    /// A control character, which would be lost on the way.
    #[error("the URL holds a control character")]
    Control,
    /// Neither `http` nor `https`.
    #[error("only URLs with http:// or https:// can be served")]
    Scheme,
    /// No valid host, or not a URL at all.
    #[error("the URL is not valid (is the host right?)")]
    Invalid,
    /// `user:password@`, which would be handed to every client.
    #[error("the URL holds a user name or password, which dav123 does not pass on")]
    UserInfo,
}

impl DirectUrl {
    /// Reads a URL as it stands in a list or on a command line.
    ///
    /// # Errors
    /// See [`UrlFault`].
    pub fn parse(text: &str) -> Result<Self, UrlFault> {
        let text = text.trim();
        if text.chars().any(char::is_control) {
            return Err(UrlFault::Control);
        }
        let url = Url::parse(text).map_err(|_| UrlFault::Invalid)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(UrlFault::Scheme);
        }
        if !url.has_host() {
            return Err(UrlFault::Invalid);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(UrlFault::UserInfo);
        }
        let before_fragment = text.split('#').next().unwrap_or_default();
        let query = before_fragment
            .split_once('?')
            .map(|(_, query)| Cow::from(utf8_percent_encode(query, QUERY)).into());
        Ok(Self {
            origin: url[..Position::BeforePath].into(),
            path: url.path().into(),
            query,
        })
    }

    /// The path as it is sent: escaped, with its leading `/`, without the query.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The path with its escapes undone; bytes, because nothing makes it UTF-8.
    pub fn decoded_path(&self) -> Cow<'_, [u8]> {
        percent_decode_str(&self.path).into()
    }

    /// Whether the path holds escapes, so that its two forms differ (API page 9.2).
    pub fn is_escaped(&self) -> bool {
        self.decoded_path() != self.path.as_bytes()
    }

    /// The URL without a signature of ours, whole. Not for logs.
    pub fn unsigned(&self) -> String {
        self.assemble(None)
    }

    /// The URL with `auth_key` set: the first one of the query replaced, others dropped, else appended. All
    /// other parameters stay byte for byte.
    pub fn with_auth_key(&self, value: &str) -> String {
        self.assemble(Some(value))
    }

    /// The decoded last segment of the path, with `/` and control characters replaced by `_`; `None` where
    /// the path ends in `/`. An undecodable segment is taken as written.
    pub fn file_name(&self) -> Option<String> {
        let segment = self.path.rsplit('/').next().unwrap_or_default();
        let decoded = percent_decode_str(segment)
            .decode_utf8()
            .unwrap_or(Cow::Borrowed(segment));
        let name: String = decoded
            .chars()
            .map(|c| if c == '/' || c.is_control() { '_' } else { c })
            .collect();
        // `.` and `..` cannot come here: the URL parser resolves dot segments, escaped ones too.
        (!matches!(name.as_str(), "" | "." | "..")).then_some(name)
    }

    /// The account id, from `<uid>.cdn.…` or `/<uid>/…` (API page 9.1).
    pub fn uid(&self) -> Option<u64> {
        let host = self.origin.split("://").nth(1).unwrap_or_default();
        if let Some((label, rest)) = host.split_once('.')
            && rest.starts_with("cdn.")
            && let Some(uid) = digits(label)
        {
            return Some(uid);
        }
        let mut segments = self.path.split('/').skip(1);
        let first = segments.next()?;
        segments.next()?;
        digits(first)
    }

    fn assemble(&self, auth_key: Option<&str>) -> String {
        let mut out = format!("{}{}", self.origin, self.path);
        let Some(value) = auth_key else {
            if let Some(query) = &self.query {
                out.push('?');
                out.push_str(query);
            }
            return out;
        };
        let mut mark = '?';
        let mut set = false;
        let pieces = self.query.as_deref().filter(|q| !q.is_empty());
        for piece in pieces.into_iter().flat_map(|query| query.split('&')) {
            let ours = piece.split('=').next() == Some(AUTH_KEY);
            if ours && set {
                continue;
            }
            out.push(mark);
            mark = '&';
            if ours {
                set = true;
                push_auth_key(&mut out, value);
            } else {
                out.push_str(piece);
            }
        }
        if !set {
            out.push(mark);
            push_auth_key(&mut out, value);
        }
        out
    }
}

impl fmt::Debug for DirectUrl {
    /// Without the query, which may be a signature.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DirectUrl({}{})", self.origin, self.path)
    }
}

/// The `auth_key` of a URL, if it has one.
pub(super) fn auth_key(url: &str) -> Option<&str> {
    let (_, query) = url.split_once('?')?;
    query
        .split('&')
        .find_map(|piece| piece.strip_prefix(AUTH_KEY)?.strip_prefix('='))
}

fn push_auth_key(out: &mut String, value: &str) {
    out.push_str(AUTH_KEY);
    out.push('=');
    out.push_str(value);
}

fn digits(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|uid| *uid > 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn url(text: &str) -> DirectUrl {
        DirectUrl::parse(text).unwrap()
    }

    #[test]
    fn auth_key_is_set_or_replaced_and_all_else_stays_byte_for_byte() {
        for (from, to) in [
            ("https://h/1/a", "https://h/1/a?auth_key=K"),
            ("https://h/1/a?", "https://h/1/a?auth_key=K"),
            ("https://h/1/a#part", "https://h/1/a?auth_key=K"),
            (
                "https://h/1/a?z=%7e&b=+'&b=&&y",
                "https://h/1/a?z=%7e&b=+'&b=&&y&auth_key=K",
            ),
            (
                "https://h/1/a?x=1&auth_key=old&y=2&auth_key=older",
                "https://h/1/a?x=1&auth_key=K&y=2",
            ),
            (
                "https://h/1/a?my_auth_key=1&auth_keys=2",
                "https://h/1/a?my_auth_key=1&auth_keys=2&auth_key=K",
            ),
            ("https://h/1/a?q=a b", "https://h/1/a?q=a%20b&auth_key=K"),
        ] {
            assert_eq!(url(from).with_auth_key("K"), to, "{from}");
        }
    }

    #[test]
    fn an_unsigned_url_goes_out_as_it_is() {
        for text in [
            "https://vip.123pan.cn/1812000499/a/film.mkv",
            "http://h:8080/1/%E6%88%91.txt?a=1&to=http://b/y",
            "https://h/1/a?auth_key=1-2-3-4",
        ] {
            assert_eq!(url(text).unsigned(), text);
        }
        assert_eq!(
            url("HTTPS://H/1/我 b.txt").unsigned(),
            "https://h/1/%E6%88%91%20b.txt"
        );
    }

    #[test]
    fn the_signed_path_is_the_path_that_is_sent() {
        assert_eq!(url("https://h/1/a/../b/./c").path(), "/1/b/c");
        assert!(url("https://h/1/我").is_escaped());
        assert!(!url("https://h/1/100%").is_escaped());
        assert!(!url("https://h/1/a+b?x=%20").is_escaped());
    }

    #[test]
    fn the_account_id_is_found_in_host_or_path() {
        for (text, uid) in [
            ("https://vip.123pan.cn/1812000499/a/b", Some(1812000499)),
            ("https://77.cdn.123clouddisk.com/88/b", Some(77)),
            ("https://77.cdn.123clouddisk.com/films/b", Some(77)),
            ("https://vip.123pan.cn/1812xxx499/a", None),
            ("https://own.example/123.mp4", None),
            ("https://own.example/123", None),
            ("https://own.example/", None),
            ("https://own.example/99999999999999999999/x", None),
        ] {
            assert_eq!(url(text).uid(), uid, "{text}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused() {
        for (text, fault) in [
            ("https://", UrlFault::Invalid),
            ("https://h:99999/x", UrlFault::Invalid),
            ("ftp://h/x", UrlFault::Scheme),
            ("https://me:pw@h/x", UrlFault::UserInfo),
            ("https://h/a\tb", UrlFault::Control),
        ] {
            assert_eq!(DirectUrl::parse(text), Err(fault), "{text}");
        }
    }

    #[test]
    fn debug_shows_no_query() {
        let shown = format!("{:?}", url("https://h/1/a?auth_key=secret"));
        assert_eq!(shown, "DirectUrl(https://h/1/a)");
    }
}

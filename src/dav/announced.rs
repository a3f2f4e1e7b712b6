//! What the headers of a writing request say, where dav-server does not read them or reads them as something else.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderValue, StatusCode};

use super::refusal::Refused;
use super::{if_header, patch};
use crate::hex;
use crate::tree::Put;

/// `Overwrite` (RFC 4918 10.6). dav-server takes all but `F` for `T`.
pub(super) fn overwrite(headers: &HeaderMap) -> Result<bool, Refused> {
    match headers
        .get("overwrite")
        .map(|value| value.as_bytes().trim_ascii())
    {
        None | Some(b"T" | b"t") => Ok(true),
        Some(b"F" | b"f") => Ok(false),
        Some(_) => Err(Refused::new(
            StatusCode::BAD_REQUEST,
            "The Overwrite header must be T or F.",
        )),
    }
}

/// Puts the `If` header into a form that dav-server cannot misread; the tokens in it.
pub(super) fn conditions(headers: &mut HeaderMap) -> Result<Option<Vec<String>>, Refused> {
    let bad = || Refused::new(StatusCode::BAD_REQUEST, "The If header cannot be read.");
    let mut all = headers.get_all("if").iter();
    let Some(header) = all.next() else {
        return Ok(None);
    };
    if all.next().is_some() {
        return Err(bad());
    }
    let read = if_header::read(header.as_bytes()).map_err(|_| bad())?;
    let text = HeaderValue::from_str(&read.text).map_err(|_| bad())?;
    headers.insert("if", text);
    Ok(Some(read.tokens))
}

/// The life that is wished for a lock (RFC 4918 10.7): the first wish that can be read. `Infinite`, and what
/// cannot be read, leave it to us.
pub(super) fn wish(headers: &HeaderMap) -> Option<Duration> {
    let wishes = headers.get("timeout")?.to_str().ok()?;
    let first = wishes
        .split(',')
        .map(str::trim)
        .find(|wish| *wish == "Infinite" || wish.starts_with("Second-"))?;
    let seconds = first.strip_prefix("Second-")?.parse().ok()?;
    Some(Duration::from_secs(seconds))
}

/// `Lock-Token` may come without its angle brackets (webdav-clients W5).
pub(super) fn angle_brackets(headers: &mut HeaderMap) {
    let Some(token) = headers.get("lock-token").and_then(|token| token.to_str().ok()) else {
        return;
    };
    if let Ok(token) = HeaderValue::from_str(&format!("<{}>", token.trim().trim_matches(['<', '>']))) {
        headers.insert("lock-token", token);
    }
}

/// What the headers say of the body of a PUT.
pub(super) fn announced(headers: &HeaderMap) -> Put {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    };
    let number = |name: &str| text(name).and_then(|value| value.parse().ok());
    // Other algorithms than these two are not ours to check.
    let oc_checksum = |algorithm: &str| {
        text("oc-checksum")?.split_whitespace().find_map(|sum| {
            let (name, digits) = sum.split_once(':')?;
            name.eq_ignore_ascii_case(algorithm).then_some(digits)
        })
    };
    Put {
        size: number("content-length").or_else(|| number("x-expected-entity-length")),
        md5: oc_checksum("md5").and_then(hex::md5).or_else(|| {
            let bytes = STANDARD.decode(text("content-md5")?).ok()?;
            bytes.try_into().ok()
        }),
        sha1: oc_checksum("sha1").and_then(hex::sha1),
        modified: text("x-oc-mtime").and_then(patch::seconds),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| ((*name).parse().unwrap(), value.parse().unwrap()))
            .collect()
    }

    #[test]
    fn what_a_put_announces_is_taken_as_clients_write_it() {
        let md5 = Some([0xAB; 16]);
        let hex = "ab".repeat(16);
        for (name, value, wanted) in [
            ("oc-checksum", format!("MD5:{hex}"), md5),
            ("oc-checksum", format!("SHA1:00 md5:{}", hex.to_uppercase()), md5),
            (
                "oc-checksum",
                "SHA1:da39a3ee5e6b4b0d3255bfef95601890afd80709".into(),
                None,
            ),
            ("oc-checksum", format!("MD5:{}", "+1".repeat(16)), None),
            ("oc-checksum", "MD5:ab".into(), None),
            ("content-md5", STANDARD.encode([0xAB; 16]), md5),
            ("content-md5", "rubbish".into(), None),
        ] {
            assert_eq!(announced(&headers(&[(name, &value)])).md5, wanted, "{value}");
        }
        for (value, wanted) in [
            (format!("md5:{hex} sha1:{}", "Ab".repeat(20)), Some([0xAB; 20])),
            (format!("SHA1:{hex}"), None),
            (format!("SHA256:{}", "ab".repeat(20)), None),
        ] {
            assert_eq!(
                announced(&headers(&[("oc-checksum", &value)])).sha1,
                wanted,
                "{value}"
            );
        }
        let finder = announced(&headers(&[("x-expected-entity-length", "7")]));
        assert_eq!(finder.size, Some(7));
        for (value, wanted) in [
            ("784111777.25", Some(784_111_777)),
            ("0", None),
            ("999999999999", None),
        ] {
            assert_eq!(
                announced(&headers(&[("x-oc-mtime", value)])).modified,
                wanted,
                "{value}"
            );
        }
    }

    #[test]
    fn the_first_wish_that_can_be_read_counts() {
        for (value, wanted) in [
            ("Second-3600", Some(3600)),
            ("Infinite, Second-4100000000", None),
            ("Extend-1, Second-60", Some(60)),
            ("Second-x", None),
            ("", None),
        ] {
            let wanted = wanted.map(Duration::from_secs);
            assert_eq!(wish(&headers(&[("timeout", value)])), wanted, "{value}");
        }
    }

    #[test]
    fn a_lock_token_comes_with_and_without_angle_brackets() {
        for value in ["<urn:uuid:1>", "urn:uuid:1", " <urn:uuid:1> "] {
            let mut headers = headers(&[("lock-token", value)]);
            angle_brackets(&mut headers);
            assert_eq!(headers["lock-token"], "<urn:uuid:1>");
        }
    }
}

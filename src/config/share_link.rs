//! Share links as people paste them (API page 7.1).
//!
//! `https://<host>/s/<key>[.html]`, `https://<uid>.share.123pan.cn/123pan/<key>`, with the password as
//! `?pwd=XXXX` or `?提取码:XXXX` in the query, or as `提取码：XXXX` behind the link, as the web page's copy
//! button writes it. A bare key is accepted too.

use percent_encoding::percent_decode_str;

/// What a share link holds.
#[derive(Debug, PartialEq, Eq)]
pub struct ShareLink {
    /// `abcd-EfGh`
    pub key: String,
    /// The share password (提取码).
    pub password: Option<String>,
}

/// What is accepted, for messages.
pub const EXPECTED: &str =
    "a key such as \"abcd-EfGh\", or the whole link, such as \"https://www.123pan.com/s/abcd-EfGh?pwd=x1y2\"";

/// Characters that end a password in running text.
const AFTER_PASSWORD: &[char] = &[
    '&', '#', ',', ';', ')', '"', '\'', '，', '；', '。', '）', '」', '”',
];

/// Takes key and password out of a link, a pasted text or a bare key.
pub fn parse(text: &str) -> Option<ShareLink> {
    let text = percent_decode_str(text.trim()).decode_utf8().ok()?;
    let start = match text.find("://") {
        Some(scheme) => scheme + 3,
        None => 0,
    };
    let marks = ["/s/", "/123pan/"];
    let below = marks
        .iter()
        .filter_map(|mark| text[start..].find(mark).map(|at| start + at + mark.len()));
    let link = below.min();
    if link.is_none() && text.contains('/') {
        return None;
    }
    let from_key = &text[link.unwrap_or(0)..];
    let end = from_key.find(|c: char| !c.is_ascii_alphanumeric() && c != '-' && c != '_');
    let (key, rest) = from_key.split_at(end.unwrap_or(from_key.len()));
    let after = rest.strip_prefix(".html").unwrap_or(rest);
    let ends_well = match after.chars().next() {
        None | Some('?' | '#' | '/' | '&') => true,
        Some(c) => c.is_whitespace() || !c.is_ascii(),
    };
    let password = password(rest);
    if key.is_empty() || !ends_well || (link.is_none() && !rest.is_empty() && password.is_none()) {
        return None;
    }
    Some(ShareLink {
        key: key.to_owned(),
        password,
    })
}

fn password(rest: &str) -> Option<String> {
    let by_query = ["?pwd=", "&pwd="].iter().find_map(|mark| rest.split_once(mark));
    let by_text = || rest.split_once("提取码");
    let (_, value) = by_query.or_else(by_text)?;
    let value = value.trim_start_matches(|c: char| c.is_whitespace() || matches!(c, ':' | '：' | '='));
    let end = value.find(|c: char| c.is_whitespace() || AFTER_PASSWORD.contains(&c));
    let value = &value[..end.unwrap_or(value.len())];
    (!value.is_empty()).then(|| value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_of_a_share_link_gives_key_and_password() {
        let table = [
            ("abcd-EfGh", Some(("abcd-EfGh", None))),
            ("  abcd-EfGh\n", Some(("abcd-EfGh", None))),
            ("https://www.123pan.com/s/abcd-EfGh", Some(("abcd-EfGh", None))),
            (
                "https://www.123865.com/s/abcd-EfGh.html",
                Some(("abcd-EfGh", None)),
            ),
            ("www.123pan.cn/s/abcd-EfGh", Some(("abcd-EfGh", None))),
            (
                "https://www.123pan.com/s/abcd-EfGh?pwd=x1y2",
                Some(("abcd-EfGh", Some("x1y2"))),
            ),
            (
                "https://www.123pan.com/s/abcd-EfGh.html?from=app&pwd=x1y2#",
                Some(("abcd-EfGh", Some("x1y2"))),
            ),
            (
                "https://www.123pan.com/s/abcd-EfGh?提取码:x1y2",
                Some(("abcd-EfGh", Some("x1y2"))),
            ),
            (
                "https://www.123pan.com/s/abcd-EfGh?%E6%8F%90%E5%8F%96%E7%A0%81:x1y2",
                Some(("abcd-EfGh", Some("x1y2"))),
            ),
            (
                "https://www.123pan.com/s/abcd-EfGh提取码：x1y2",
                Some(("abcd-EfGh", Some("x1y2"))),
            ),
            (
                "链接：https://www.123pan.com/s/abcd-EfGh.html 提取码：x1y2",
                Some(("abcd-EfGh", Some("x1y2"))),
            ),
            (
                "https://1812000499.share.123pan.cn/123pan/abcd-EfGh?pwd=x1y2",
                Some(("abcd-EfGh", Some("x1y2"))),
            ),
            (
                "https://www.123pan.com/s/abcd-EfGh?pwd=",
                Some(("abcd-EfGh", None)),
            ),
            ("https://www.123pan.com/s/", None),
            ("https://www.123pan.com/abcd-EfGh", None),
            ("abcd.EfGh", None),
            ("", None),
        ];
        for (text, expected) in table {
            let found = parse(text);
            let found = found
                .as_ref()
                .map(|link| (link.key.as_str(), link.password.as_deref()));
            assert_eq!(found, expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,60}") {
            let _ = parse(&text);
        }
    }
}

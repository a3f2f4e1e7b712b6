//! The `If` header (RFC 4918 10.4): read here first, and handed to dav-server in a form that it cannot misread.
//!
//! dav-server takes a header that it cannot parse for none at all, so that a condition is dropped and the change made; a
//! token or tag without its end makes it panic; and it knows resource tags only as absolute URLs. So what cannot be
//! read is a 400, and what can be is written anew: tags absolute and encoded, tokens in angle brackets, and what
//! can never be met in a form that it agrees is never met.

use crate::tree::TreePath;

/// A state token that matches nothing (RFC 4918 10.4.8).
const NO_LOCK: &str = "DAV:no-lock";
/// An entity tag that nothing here has: ours are hexadecimal.
const NO_TAG: &str = "\"!\"";

/// A header that was read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Conditions {
    /// The header for dav-server.
    pub(super) text: String,
    /// All state tokens in it: those that are submitted.
    pub(super) tokens: Vec<String>,
}

/// The header is none of RFC 4918.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Malformed;

/// Reads a header.
pub(super) fn read(header: &[u8]) -> Result<Conditions, Malformed> {
    let mut rest = std::str::from_utf8(header).map_err(|_| Malformed)?;
    let mut read = Conditions::default();
    let mut tagged = false;
    let mut lists = 0;
    loop {
        rest = rest.trim_start();
        let Some(first) = rest.chars().next() else {
            break;
        };
        match first {
            // A tag needs a list, and lists without a tag cannot come before it.
            '<' if lists > 0 && !tagged || read.text.ends_with('>') => return Err(Malformed),
            '<' => {
                let (tag, after) = rest[1..].split_once('>').ok_or(Malformed)?;
                read.text.push_str(&format!("<{}>", resource(tag)?));
                (tagged, rest) = (true, after);
            }
            '(' => {
                rest = list(&rest[1..], &mut read)?;
                lists += 1;
            }
            _ => return Err(Malformed),
        }
    }
    if lists == 0 || read.text.ends_with('>') {
        return Err(Malformed);
    }
    Ok(read)
}

/// The conditions up to the closing parenthesis; what stands behind it.
fn list<'a>(mut rest: &'a str, read: &mut Conditions) -> Result<&'a str, Malformed> {
    read.text.push('(');
    let mut conditions = 0;
    loop {
        rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(')') {
            read.text.push(')');
            return if conditions == 0 {
                Err(Malformed)
            } else {
                Ok(after)
            };
        }
        if conditions > 0 {
            read.text.push(' ');
        }
        conditions += 1;
        if let Some(word) = rest.get(..3)
            && word.eq_ignore_ascii_case("not")
            && rest[3..].starts_with([' ', '\t', '<', '['])
        {
            read.text.push_str("Not ");
            rest = rest[3..].trim_start();
        }
        if let Some(token) = rest.strip_prefix('<') {
            let (token, after) = token.split_once('>').ok_or(Malformed)?;
            add_token(token.trim(), read);
            rest = after;
        } else if let Some(tag) = rest.strip_prefix('[') {
            let (tag, after) = entity_tag(tag.trim_start())?;
            read.text.push_str(&format!("[{tag}]"));
            rest = after.trim_start().strip_prefix(']').ok_or(Malformed)?;
        } else {
            // Some clients leave out the angle brackets.
            let end = rest.find(|c: char| c.is_whitespace() || "<>()[]".contains(c));
            let (token, after) = rest.split_at(end.ok_or(Malformed)?);
            if token.is_empty() || token.eq_ignore_ascii_case("not") {
                return Err(Malformed);
            }
            add_token(token, read);
            rest = after;
        }
    }
}

fn add_token(token: &str, read: &mut Conditions) {
    let whole = token.contains(':')
        && token
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && !b"\"<".contains(&byte));
    let token = if whole { token } else { NO_LOCK };
    read.text.push_str(&format!("<{token}>"));
    read.tokens.push(token.to_owned());
}

/// An entity tag, and what stands behind it.
fn entity_tag(text: &str) -> Result<(&str, &str), Malformed> {
    let opaque = text.strip_prefix("W/").unwrap_or(text);
    let inside = opaque.strip_prefix('"').ok_or(Malformed)?;
    let (inside, after) = inside.split_once('"').ok_or(Malformed)?;
    let plain = inside.bytes().all(|byte| byte.is_ascii_graphic());
    let tag = &text[..text.len() - after.len()];
    Ok((if plain { tag } else { NO_TAG }, after))
}

/// A resource tag as an absolute URL. Its host is nobody's: dav-server looks at the path alone.
fn resource(tag: &str) -> Result<String, Malformed> {
    let tag = tag.trim();
    let path = match tag.split_once("://") {
        _ if tag.starts_with('/') => tag,
        Some((_, rest)) => rest.find('/').map_or("/", |slash| &rest[slash..]),
        None => return Err(Malformed),
    };
    let path = TreePath::parse(path.split(['?', '#']).next().unwrap_or_default()).map_err(|_| Malformed)?;
    Ok(format!("http://tree{}", path.encoded()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn text(header: &str) -> Result<String, Malformed> {
        read(header.as_bytes()).map(|read| read.text)
    }

    #[test]
    fn conditions_are_written_anew_in_one_form() {
        for (header, wanted) in [
            ("(<urn:uuid:1>)", "(<urn:uuid:1>)"),
            (
                "  ( <urn:uuid:1>\t[\"ab\"] )(Not<DAV:no-lock>)",
                "(<urn:uuid:1> [\"ab\"])(Not <DAV:no-lock>)",
            ),
            ("(not [W/\"ab\"] urn:uuid:2)", "(Not [W/\"ab\"] <urn:uuid:2>)"),
            (
                "</a b/%E7%94%B5> (<x:1>) (<x:2>)",
                "<http://tree/a%20b/%E7%94%B5>(<x:1>)(<x:2>)",
            ),
            (
                "<https://me@host:8/dav/x/?q> (<x:1>) <http://host> (<x:2>)",
                "<http://tree/dav/x>(<x:1>)<http://tree/>(<x:2>)",
            ),
            ("(<no-colon>)", "(<DAV:no-lock>)"),
            ("(<<x:1>)", "(<DAV:no-lock>)"),
            ("([\"a b\"])", "([\"!\"])"),
            ("([\"a]b\"])", "([\"a]b\"])"),
        ] {
            assert_eq!(text(header).as_deref(), Ok(wanted), "{header}");
        }
    }

    #[test]
    fn all_tokens_are_submitted() {
        let read = read(b"<http://h/a> (<x:1> [\"t\"]) (Not <x:2>)").unwrap();
        assert_eq!(read.tokens, ["x:1", "x:2"]);
    }

    #[test]
    fn what_is_no_condition_is_malformed() {
        for header in [
            "",
            " ",
            "()",
            "(",
            "(<x:1>",
            "(<x:1",
            "([\"a\")",
            "([\"a)",
            "([a])",
            "(Not)",
            "<x:1>",
            "</a>",
            "</a> </b> (<x:1>)",
            "(<x:1>) </a> (<x:1>)",
            "rubbish",
            "(<x:1>) rubbish",
            "<a> (<x:1>)",
            "</%00> (<x:1>)",
            "(<x:1>))",
        ] {
            assert_eq!(text(header), Err(Malformed), "{header}");
        }
        assert_eq!(read(b"(<x:\xff>)"), Err(Malformed));
    }

    proptest! {
        #[test]
        fn no_header_panics(header in "[ <>()\\[\\]\"NotW/:a\u{e9}]{0,40}") {
            if let Ok(read) = read(header.as_bytes()) {
                // What was written is read as the same.
                prop_assert_eq!(text(&read.text), Ok(read.text));
            }
        }
    }
}

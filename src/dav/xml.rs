//! Bodies of XML that dav-server will parse: looked at first, because its parser builds a tree by recursion, and a body of
//! 64 KiB can be nested so deep that the stack ends, and the process with it.

use http::StatusCode;
use quick_xml::Reader;
use quick_xml::events::Event;

use super::refusal::Refused;

/// Elements within elements at the most. Clients need five; values of dead properties a few more.
const DEPTH: usize = 64;

/// Lets a body through whose elements are balanced and not too deep, and that declares no document type; the rest of what
/// makes it well-formed is the parser's.
///
/// # Errors
/// 400.
pub(super) fn check(body: &[u8]) -> Result<(), Refused> {
    let bad = |sentence| Refused::new(StatusCode::BAD_REQUEST, sentence);
    let malformed = || bad("The body of the request is not well-formed XML in UTF-8.");
    let text = std::str::from_utf8(body).map_err(|_| malformed())?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_ascii().is_empty() {
        return Ok(());
    }
    let mut reader = Reader::from_str(text);
    reader.config_mut().enable_all_checks(true);
    let mut depth = 0_usize;
    loop {
        match reader.read_event().map_err(|_| malformed())? {
            Event::Start(_) => {
                depth += 1;
                if depth > DEPTH {
                    return Err(bad(
                        "The XML of the request is nested too deep; 64 levels are served.",
                    ));
                }
            }
            Event::End(_) => depth = depth.saturating_sub(1),
            Event::DocType(_) => return Err(bad("The XML of a request must not declare a document type.")),
            Event::Eof if depth == 0 => return Ok(()),
            Event::Eof => return Err(malformed()),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_is_bounded_and_what_is_not_xml_refused() {
        let nested = |depth: usize| format!("{}x{}", "<a>".repeat(depth), "</a>".repeat(depth));
        assert!(check(nested(DEPTH).as_bytes()).is_ok());
        assert!(check(nested(DEPTH + 1).as_bytes()).is_err());
        assert!(check("<a>".repeat(21_000).as_bytes()).is_err());
        for bad in ["<a>", "<a></b>", "<!DOCTYPE a><a/>"] {
            assert!(check(bad.as_bytes()).is_err(), "{bad}");
        }
        for good in [
            "",
            " \r\n",
            "\u{feff}<?xml version=\"1.0\"?><a xmlns=\"x\">&amp;<b/></a>\n",
        ] {
            assert!(check(good.as_bytes()).is_ok(), "{good}");
        }
        assert!(check(b"<a>\xff</a>").is_err());
    }
}

//! The media type of a file, guessed from its name.
//!
//! 123pan tells no media type, so the extension decides, for PROPFIND's `getcontenttype` and for the
//! `Content-Type` of a delivered file alike: a leaf that both rooms may ask.

use std::borrow::Cow;

/// What is said of a file whose name tells nothing (RFC 9110 8.3).
pub const UNKNOWN: &str = "application/octet-stream";

/// Where a film, music or subtitle collection means something else than the general table says, or the
/// table is silent: `.ts` there is a MPEG transport stream and not a program text.
const OWN: &[(&str, &str)] = &[
    ("ass", "text/x-ssa"),
    ("ssa", "text/x-ssa"),
    ("srt", "application/x-subrip"),
    ("ts", "video/mp2t"),
    ("mts", "video/mp2t"),
    ("m2ts", "video/mp2t"),
    ("m3u8", "application/vnd.apple.mpegurl"),
    ("ape", "audio/x-ape"),
    ("flac", "audio/flac"),
    ("rmvb", "application/vnd.rn-realmedia-vbr"),
    ("md", "text/markdown"),
];

/// The media type of a file named `name`, with `charset=utf-8` where it is text: texts of today are
/// UTF-8, and a browser that is told nothing falls back to the charset of its own country.
pub fn content_type(name: &str) -> Cow<'static, str> {
    let Some(extension) = extension(name) else {
        return Cow::Borrowed(UNKNOWN);
    };
    let own = OWN.iter().find(|(of, _)| extension.eq_ignore_ascii_case(of));
    let raw = match own {
        Some((_, raw)) => raw,
        None => mime_guess::from_ext(extension).first_raw().unwrap_or(UNKNOWN),
    };
    match raw {
        "text/plain" => Cow::Borrowed("text/plain; charset=utf-8"),
        "text/html" => Cow::Borrowed("text/html; charset=utf-8"),
        _ if raw.starts_with("text/") || is_named_text(raw) => Cow::Owned(format!("{raw}; charset=utf-8")),
        _ => Cow::Borrowed(raw),
    }
}

/// What stands behind the last dot of a name; `None` where there is no dot, or only a leading one.
pub fn extension(name: &str) -> Option<&str> {
    match name.rsplit_once('.') {
        Some((stem, extension)) if !stem.is_empty() && !extension.is_empty() => Some(extension),
        _ => None,
    }
}

fn is_named_text(raw: &str) -> bool {
    matches!(
        raw,
        "application/javascript" | "application/xml" | "application/x-subrip"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides_the_media_type() {
        for (name, wanted) in [
            ("film.mkv", "video/x-matroska"),
            ("FILM.MP4", "video/mp4"),
            ("record.ts", "video/mp2t"),
            ("电影.srt", "application/x-subrip; charset=utf-8"),
            ("note.txt", "text/plain; charset=utf-8"),
            ("page.html", "text/html; charset=utf-8"),
            ("style.css", "text/css; charset=utf-8"),
            ("cover.jpg", "image/jpeg"),
            ("data.json", "application/json"),
            ("archive.tar.gz", "application/gzip"),
            ("README", UNKNOWN),
            (".profile", UNKNOWN),
            ("odd.", UNKNOWN),
            ("x.no-such-thing", UNKNOWN),
        ] {
            assert_eq!(content_type(name), wanted, "{name}");
        }
    }
}

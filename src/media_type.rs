//! Media types by file name: what `Content-Type` and `getcontenttype` say.
//!
//! 123pan knows no types, so the name's extension decides. Text gets `charset=utf-8`, because players
//! and browsers otherwise guess a legacy encoding for subtitles.

/// Extensions that the common table lacks or names in a way that players do not know.
const OWN: &[(&str, &str)] = &[
    ("mkv", "video/x-matroska"),
    ("mka", "audio/x-matroska"),
    ("flac", "audio/flac"),
    ("m4a", "audio/mp4"),
    ("m4v", "video/mp4"),
    ("ts", "video/mp2t"),
    ("m2ts", "video/mp2t"),
    ("rmvb", "application/vnd.rn-realmedia-vbr"),
    ("srt", "application/x-subrip; charset=utf-8"),
    ("ass", "text/x-ssa; charset=utf-8"),
    ("ssa", "text/x-ssa; charset=utf-8"),
    ("vtt", "text/vtt; charset=utf-8"),
    ("txt", "text/plain; charset=utf-8"),
    ("md", "text/markdown; charset=utf-8"),
    ("htm", "text/html; charset=utf-8"),
    ("html", "text/html; charset=utf-8"),
    ("nfo", "text/plain; charset=utf-8"),
    ("log", "text/plain; charset=utf-8"),
];

/// What is said of a name without a known extension.
const UNKNOWN: &str = "application/octet-stream";

/// The media type of a file of this name.
pub fn content_type(name: &str) -> &'static str {
    let Some((_, extension)) = name.rsplit_once('.') else {
        return UNKNOWN;
    };
    if let Some((_, own)) = OWN
        .iter()
        .find(|(known, _)| known.eq_ignore_ascii_case(extension))
    {
        return own;
    }
    mime_guess::from_ext(extension).first_raw().unwrap_or(UNKNOWN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_decides_and_unknown_names_are_bytes() {
        assert_eq!(content_type("电影.MKV"), "video/x-matroska");
        assert_eq!(content_type("a.mp4"), "video/mp4");
        assert_eq!(content_type("a.b.txt"), "text/plain; charset=utf-8");
        assert_eq!(content_type("README"), UNKNOWN);
        assert_eq!(content_type("a.nosuchthing"), UNKNOWN);
        assert_eq!(content_type(""), UNKNOWN);
    }
}

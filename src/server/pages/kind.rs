//! What a row is, as a letter: the class that gives it its icon, and by which the script knows what can be played.

use crate::drive::Entry;
use crate::media_type;

/// The class of a row: `d` folder, `v` film, `a` music, `p` picture, `s` subtitles, `t` document, `z` archive, `f` anything else.
pub(super) fn class(entry: &Entry) -> &'static str {
    if entry.is_folder() {
        return "d";
    }
    let extension = media_type::extension(&entry.name).map(str::to_ascii_lowercase);
    match extension.as_deref() {
        Some("srt" | "vtt") => return "s",
        Some("zip" | "7z" | "rar" | "tar" | "gz" | "xz" | "bz2" | "zst" | "iso") => return "z",
        Some("pdf" | "epub" | "doc" | "docx" | "xls" | "xlsx" | "ppt" | "pptx" | "odt" | "ods") => return "t",
        _ => {}
    }
    let media_type = media_type::content_type(&entry.name);
    match media_type.split('/').next() {
        Some("video") => "v",
        // RealMedia is said to be an application, and is mostly films.
        _ if media_type.ends_with("vnd.rn-realmedia-vbr") => "v",
        Some("audio") => "a",
        Some("image") => "p",
        Some("text") => "t",
        _ => "f",
    }
}

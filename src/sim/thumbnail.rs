//! Thumbnails: rows of pictures and films name one as their `DownloadUrl` (API page, section 5.4), of 24 by 24 pixels; with
//! another size in path and query, and a `trade_key`, the same address gives that size.

use serde_json::Value;

use super::http::{Answer, Call, answer, page};
use super::store::Node;

/// First part of the paths.
pub(super) const PREFIX: &str = "/thumbnail/";
/// What is served, whatever is asked for.
const PICTURE: &[u8] = include_bytes!("media/sunset.png");
/// Names of files that have one end so.
const HAVE: [&str; 7] = ["jpg", "jpeg", "png", "gif", "webp", "mp4", "mkv"];

/// The row as a listing shows it.
pub(super) fn row(call: &Call, node: &Node) -> Value {
    let mut row = node.row();
    let extension = node.name.rsplit_once('.').map(|(_, extension)| extension);
    let has = |extension: &str| HAVE.iter().any(|have| have.eq_ignore_ascii_case(extension));
    if !node.folder && extension.is_some_and(has) {
        let host = call.host(&call.cloud.hosts.relay);
        row["DownloadUrl"] = format!("{host}{PREFIX}{}_24_24?w=24&h=24", node.id).into();
    }
    row
}

/// The picture, where path and query agree on the size.
pub(super) fn thumbnail(call: &Call) -> Answer {
    let (width, height) = (call.query.get("w"), call.query.get("h"));
    let size = format!("_{}_{}", width.unwrap_or(""), height.unwrap_or(""));
    let agreed = call.parts.uri.path().ends_with(&size);
    if !agreed || call.query.get("trade_key") != Some("123pan-thumbnail") {
        return page(403);
    }
    answer(200, "image/png", PICTURE)
}

//! The Open platform's basics: token, account, listing, details, download link (API page, section 8).
//!
//! The query keys of `detail` and `download_info` are case-sensitive: one live client found that `fileID` and `fileId`
//! cannot be swapped; for the listing another one sends lower-case keys (section 0).

use jiff::Timestamp;
use jiff::tz::Offset;
use serde_json::{Value, json};

use crate::sim::cdn;
use crate::sim::http::{Answer, Call, list as items, lock, not_found, number, ok, refused, text};
use crate::sim::options::PageRows;
use crate::sim::store::{Node, ROOT};

/// Most rows of a page.
const LIMIT: usize = 100;

pub(super) fn access_token(call: &Call) -> Answer {
    let identity = &call.cloud.identity;
    if text(&call.body, "clientID") != identity.client_id
        || text(&call.body, "clientSecret") != identity.client_secret
    {
        return refused(1, "clientID或clientSecret错误");
    }
    let (token, until) = call
        .cloud
        .gate
        .issue(call.settings, identity.uid, &identity.phone);
    ok(json!({"accessToken": token, "expiredAt": until.display_with_offset(Offset::constant(8)).to_string()}))
}

pub(super) fn user_info(call: &Call) -> Answer {
    let identity = &call.cloud.identity;
    let (_, used) = lock(&call.cloud.store).usage();
    ok(json!({
        "uid": identity.uid, "nickname": identity.username, "headImage": "", "passport": identity.phone,
        "mail": identity.mail, "spaceUsed": used, "spacePermanent": call.settings.space, "spaceTemp": 0,
        "spaceTempExpr": 0, "vip": call.settings.member, "directTraffic": 0, "isHideUID": false, "httpsCount": 0,
        "vipInfo": null, "developerInfo": null,
    }))
}

/// `YYYY-MM-DD hh:mm:ss` in UTC+8, without zone.
fn time(at: Timestamp) -> String {
    let at = Offset::constant(8).to_datetime(at);
    format!(
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02}",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute(),
        at.second()
    )
}

pub(super) fn row(node: &Node) -> Value {
    json!({
        "fileId": node.id, "filename": node.name, "parentFileId": node.parent, "type": i32::from(node.folder),
        "etag": node.etag, "size": node.size, "category": 0, "status": 0, "punishFlag": 0,
        "s3KeyFlag": node.key_flag, "storageNode": if node.folder { "" } else { "m74" },
        "trashed": i32::from(node.trashed), "createAt": time(node.created), "updateAt": time(node.updated),
    })
}

/// Listing v2: by id, from `lastFileId` on, rows in the bin included.
pub(super) fn list(call: &Call) -> Answer {
    let Some(parent) = call.query.int("parentFileId") else {
        return refused(1, "parentFileId不能为空");
    };
    let asked = call
        .query
        .int("limit")
        .and_then(|n| usize::try_from(n).ok())
        .filter(|n| *n > 0)
        .map_or(LIMIT, |n| n.min(LIMIT));
    let limit = match call.settings.page_rows {
        PageRows::Fixed(rows) => rows.max(1),
        PageRows::Limit => asked,
    };
    let after = call.query.int("lastFileId").unwrap_or(0);
    let store = lock(&call.cloud.store);
    if parent != ROOT && store.folder(parent).is_none() {
        return not_found();
    }
    let mut rows: Vec<&Node> = store
        .all_children(parent)
        .filter(|n| n.id > after)
        .take(limit + 1)
        .collect();
    let more = rows.len() > limit;
    rows.truncate(limit);
    let last = rows.last().filter(|_| more).map_or(-1, |n| n.id);
    ok(json!({"lastFileId": last, "fileList": rows.into_iter().map(row).collect::<Vec<_>>()}))
}

pub(super) fn detail(call: &Call) -> Answer {
    let store = lock(&call.cloud.store);
    let Some(node) = call
        .query
        .exact("fileID")
        .and_then(|v| v.parse().ok())
        .and_then(|id| store.get(id))
    else {
        return not_found();
    };
    let (_, _, bytes) = store.below(node.id);
    ok(json!({
        "fileID": node.id, "filename": node.name, "type": i32::from(node.folder), "size": bytes, "etag": node.etag,
        "status": 0, "parentFileID": node.parent, "createAt": time(node.created), "trashed": i32::from(node.trashed),
    }))
}

/// Rows by id, under both names that the documentation has for them: public clients read either.
pub(super) fn infos(call: &Call) -> Answer {
    let store = lock(&call.cloud.store);
    let ids = items(&call.body, "fileIds").iter().filter_map(number);
    let rows: Vec<Value> = ids.filter_map(|id| store.get(id)).map(row).collect();
    ok(json!({"fileList": rows, "list": rows}))
}

/// The URL of a file inside a direct-link space; what is answered for others no source says (here code 1).
pub(super) fn direct_link(call: &Call) -> Answer {
    let store = lock(&call.cloud.store);
    let id = call.query.exact("fileID").and_then(|v| v.parse().ok());
    let Some(node) = id
        .and_then(|id| store.get(id))
        .filter(|n| !n.folder && !store.in_bin(n.id))
    else {
        return not_found();
    };
    let mut names: Vec<&str> = store.chain(node.id).map(|n| n.name.as_str()).collect();
    names.reverse();
    if !store.chain(node.id).any(|above| store.direct.contains(&above.id)) {
        return refused(1, "直链空间");
    }
    let path: Vec<String> = names
        .iter()
        .map(|name| {
            percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
        })
        .collect();
    ok(json!({"url": format!("{}/{}/{}", call.host(&None), call.cloud.identity.uid, path.join("/"))}))
}

pub(super) fn download_info(call: &Call) -> Answer {
    let node = {
        let store = lock(&call.cloud.store);
        let id = call.query.exact("fileId").and_then(|v| v.parse().ok());
        id.and_then(|id| store.get(id)).filter(|n| !n.folder).cloned()
    };
    let Some(node) = node else {
        return not_found();
    };
    match cdn::download(call, &node.etag, &node.key_flag, &node.name) {
        Ok(url) => ok(json!({"downloadUrl": url})),
        Err(refusal) => *refusal,
    }
}

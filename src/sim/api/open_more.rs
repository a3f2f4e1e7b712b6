//! What public clients of the Open platform call and dav123 does not: many names at once, recovery, copies of one file,
//! direct-link spaces (API page, section 8.2).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::change::{Done, alive, settle};
use super::open_change::{IDS, ids, no_ids};
use crate::sim::http::{Answer, Call, int, list, lock, not_found, ok, refused};
use crate::sim::store::{Node, ROOT, name_ok};

/// Most renames of a call.
const RENAMES: usize = 30;

/// Each entry is `id|name`; one that cannot be done does not keep the others.
pub(super) fn rename_many(call: &Call) -> Answer {
    let pairs = list(&call.body, "renameList");
    if pairs.is_empty() || pairs.len() > RENAMES {
        return refused(400, "renameList");
    }
    let mut store = lock(&call.cloud.store);
    let (mut done, mut failed) = (Vec::new(), Vec::new());
    for pair in pairs {
        let Some((id, name)) = pair.as_str().and_then(|pair| pair.split_once('|')) else {
            return refused(400, "renameList");
        };
        let id = id.parse().unwrap_or(-1);
        let node = alive(&store, id).filter(|_| name_ok(name)).cloned();
        let settled = node.map(|node| settle(call, &mut store, id, node.parent, name));
        match settled {
            Some(Done::Yes) => done.push(json!({"fileID": id, "updateAt": ""})),
            _ => failed.push(json!({"fileID": id, "message": "重命名失败"})),
        }
    }
    ok(json!({"successList": done, "failList": failed}))
}

/// Out of the bin, to where it was or into a folder; told are those whose folder has gone.
pub(super) fn recover(call: &Call) -> Answer {
    let Some(ids) = ids(call, "fileIDs", IDS) else {
        return no_ids();
    };
    let mut store = lock(&call.cloud.store);
    let into = int(&call.body, "parentFileID");
    let mut lost = Vec::new();
    for id in ids {
        let Some(node) = store.get(id).filter(|n| n.trashed).cloned() else {
            continue;
        };
        let parent = into.unwrap_or(node.parent);
        if store.folder(parent).is_none() {
            lost.push(id);
            continue;
        }
        let name = store.free_name(parent, &node.name);
        store.place(id, parent, &name);
        if let Some(node) = store.get_mut(id) {
            node.trashed = false;
        }
    }
    ok(json!({"abnormalFileIDs": lost}))
}

/// One file, at once; the fields of the answer no source tells.
pub(super) fn copy_one(call: &Call) -> Answer {
    let mut store = lock(&call.cloud.store);
    let to = int(&call.body, "targetDirId").unwrap_or(-1);
    let id = int(&call.body, "fileId").unwrap_or(-1);
    if store.folder(to).is_none() || alive(&store, id).is_none() {
        return not_found();
    }
    if to != ROOT && store.is_within(to, id) {
        return refused(400, "不能复制到原目录或其子目录");
    }
    store.copy(id, to);
    ok(json!({"dirID": to}))
}

/// Makes a folder a direct-link space; the root cannot be one (section 9.1).
pub(super) fn enable(call: &Call) -> Answer {
    space(call, |spaces, id| {
        spaces.insert(id);
    })
}

pub(super) fn disable(call: &Call) -> Answer {
    space(call, |spaces, id| {
        spaces.remove(&id);
    })
}

fn space(call: &Call, change: impl FnOnce(&mut BTreeSet<i64>, i64)) -> Answer {
    let mut store = lock(&call.cloud.store);
    let id = int(&call.body, "fileID").filter(|id| *id != ROOT);
    let Some(folder) = id.and_then(|id| store.folder(id)).cloned() else {
        return not_found();
    };
    change(&mut store.direct, folder.id);
    ok(json!({"filename": folder.name}))
}

/// The listing by pages that the documentation calls the old one; a public client says that `trashed` adds the bin's rows.
pub(super) fn list_by_page(call: &Call) -> Answer {
    let number = |key| call.query.int(key).and_then(|n| usize::try_from(n).ok());
    let (page, limit) = (
        number("page").unwrap_or(1).max(1),
        number("limit").unwrap_or(100).clamp(1, 100),
    );
    let store = lock(&call.cloud.store);
    let parent = call.query.int("parentFileId").unwrap_or(ROOT);
    if parent != ROOT && store.folder(parent).is_none() {
        return not_found();
    }
    let with_bin = call.query.flag("trashed");
    let rows: Vec<&Node> = store
        .all_children(parent)
        .filter(|n| with_bin || !n.trashed)
        .collect();
    let shown: Vec<Value> = rows
        .iter()
        .skip((page - 1) * limit)
        .take(limit)
        .map(|node| {
            let mut row = super::open::row(node);
            row["fileID"] = row["fileId"].take();
            row
        })
        .collect();
    ok(json!({"total": rows.len(), "fileList": shown}))
}

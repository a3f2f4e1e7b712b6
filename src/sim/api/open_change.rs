//! What the Open platform changes: folders, names, places, the bin, copies (API page, section 8.2).
//!
//! The codes of refusals are those of section 8.5; where a text is known it is the service's.

use serde_json::{Value, json};

use super::change::{Done, alive, begin_copy, settle};
use crate::sim::http::{Answer, Call, int, list, lock, not_found, number, ok, refused, text};
use crate::sim::store::{Node, ROOT, name_ok};

/// Most ids of a call.
pub(super) const IDS: usize = 100;
/// Most ids of a copy.
const COPIES: usize = 3000;

/// Code 1 for an equal name (section 2.4); the text is known for folders, no other code is known for files.
pub(super) fn name_taken() -> Answer {
    refused(1, "该目录下已经有同名文件夹,无法进行创建")
}

/// The ids of a call; none if there are none or too many.
pub(super) fn ids(call: &Call, key: &str, most: usize) -> Option<Vec<i64>> {
    let ids: Vec<i64> = list(&call.body, key).iter().filter_map(number).collect();
    (!ids.is_empty() && ids.len() <= most).then_some(ids)
}

pub(super) fn no_ids() -> Answer {
    refused(400, "The FileIDs field is required")
}

pub(super) fn mkdir(call: &Call) -> Answer {
    let name = text(&call.body, "name");
    let Some(parent) = int(&call.body, "parentID") else {
        return refused(400, "parentID不能为空");
    };
    if !name_ok(name) {
        return refused(400, "文件名不合法");
    }
    let mut store = lock(&call.cloud.store);
    if store.folder(parent).is_none() {
        return not_found();
    }
    if store.child(parent, name).is_some() {
        return name_taken();
    }
    ok(json!({"dirID": store.insert(parent, name, None).id}))
}

pub(super) fn rename(call: &Call) -> Answer {
    let name = text(&call.body, "fileName");
    if !name_ok(name) {
        return refused(400, "文件名不合法");
    }
    let mut store = lock(&call.cloud.store);
    let id = int(&call.body, "fileId").and_then(|id| alive(&store, id));
    let Some(node) = id.cloned() else {
        return not_found();
    };
    match settle(call, &mut store, node.id, node.parent, name) {
        Done::Yes => ok(Value::Null),
        Done::Refused => name_taken(),
    }
}

pub(super) fn relocate(call: &Call) -> Answer {
    let Some(ids) = ids(call, "fileIDs", IDS) else {
        return no_ids();
    };
    let mut store = lock(&call.cloud.store);
    let to = int(&call.body, "toParentFileID").unwrap_or(-1);
    if store.folder(to).is_none() {
        return not_found();
    }
    for id in ids {
        let Some(node) = alive(&store, id).cloned() else {
            return not_found();
        };
        if to != ROOT && store.is_within(to, id) {
            return refused(400, "不能移动到自身或其子目录");
        }
        if let Done::Refused = settle(call, &mut store, id, to, &node.name) {
            return name_taken();
        }
    }
    ok(Value::Null)
}

/// Ids that are not there are no error.
pub(super) fn trash(call: &Call) -> Answer {
    let Some(ids) = ids(call, "fileIDs", IDS) else {
        return no_ids();
    };
    let mut store = lock(&call.cloud.store);
    for id in ids.into_iter().filter(|id| *id != ROOT) {
        if let Some(node) = store.get_mut(id) {
            node.trashed = true;
        }
    }
    ok(Value::Null)
}

/// What is not in the bin is not deleted.
pub(super) fn delete(call: &Call) -> Answer {
    let Some(ids) = ids(call, "fileIDs", IDS) else {
        return no_ids();
    };
    let mut store = lock(&call.cloud.store);
    if ids.iter().any(|id| !store.get(*id).is_some_and(|n| n.trashed)) {
        return not_found();
    }
    ids.into_iter().for_each(|id| store.delete(id));
    ok(Value::Null)
}

pub(super) fn copy(call: &Call) -> Answer {
    let Some(ids) = ids(call, "fileIDs", COPIES) else {
        return no_ids();
    };
    let mut store = lock(&call.cloud.store);
    let to = int(&call.body, "targetDirId").unwrap_or(-1);
    if store.folder(to).is_none() {
        return not_found();
    }
    let parents: Option<Vec<i64>> = ids
        .iter()
        .map(|id| alive(&store, *id).map(|n: &Node| n.parent))
        .collect();
    let Some(parents) = parents else {
        return not_found();
    };
    let into_itself = |id: i64| to != ROOT && store.is_within(to, id);
    if parents.contains(&to) || ids.iter().any(|id| into_itself(*id)) {
        return refused(400, "不能复制到原目录或其子目录");
    }
    ids.into_iter().for_each(|id| store.copy(id, to));
    let task = store.fresh_id();
    drop(store);
    begin_copy(call, task);
    ok(json!({"taskId": task}))
}

/// `status` 0 waiting, 1 running, 2 done: as the web's task, which is asked with GET too.
pub(super) fn copy_task(call: &Call) -> Answer {
    super::change::copy_task(call)
}

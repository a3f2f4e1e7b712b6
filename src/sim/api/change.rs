//! Changing what is there: rename, move, trash, delete, copy (API page, section 5.6).

use std::collections::HashMap;

use serde_json::{Value, json};

use super::files::ids;
use super::upload::clash;
use crate::sim::http::{Answer, Call, flag, int, list, lock, not_found, ok, refused, text};
use crate::sim::options::Clash;
use crate::sim::store::{Node, ROOT, Store, name_ok};

/// Copy tasks kept at most.
const TASKS: usize = 1_000;

/// Copy tasks by id: polls still to be answered with "pending".
pub(in crate::sim) type Copies = HashMap<i64, u32>;

/// What a rename or move does about an equal name at its target.
enum Verdict {
    /// Take this name.
    Go(String),
    /// Remove that one, take its name.
    Replace(i64),
    /// Code 0, nothing changes.
    Leave,
    Refuse(Answer),
}

fn verdict(call: &Call, store: &Store, id: i64, parent: i64, name: &str) -> Verdict {
    let Some(other) = store.children(parent).find(|n| n.name == name && n.id != id) else {
        return Verdict::Go(name.to_owned());
    };
    match (int(&call.body, "duplicate"), call.settings.clash) {
        (Some(1), _) | (_, Clash::Suffix) => Verdict::Go(store.free_name(parent, name)),
        (Some(2), _) => Verdict::Replace(other.id),
        (_, Clash::Refuse) => Verdict::Refuse(clash(other)),
        (_, Clash::NoEffect) => Verdict::Leave,
        (_, Clash::Twins) => Verdict::Go(name.to_owned()),
    }
}

/// Gives a row its place, as the verdict says.
fn place(store: &mut Store, verdict: Verdict, id: i64, parent: i64, name: &str) -> Option<Answer> {
    match verdict {
        Verdict::Go(free) => store.place(id, parent, &free),
        Verdict::Replace(other) => {
            store.delete(other);
            store.place(id, parent, name);
        }
        Verdict::Leave => {}
        Verdict::Refuse(answer) => return Some(answer),
    }
    None
}

/// How a rename or move by the Open platform ended.
pub(super) enum Done {
    /// Code 0, whatever was done.
    Yes,
    Refused,
}

/// Gives a row a folder and a name, as the settings say where the name is taken.
pub(super) fn settle(call: &Call, store: &mut Store, id: i64, parent: i64, name: &str) -> Done {
    let verdict = verdict(call, store, id, parent, name);
    match place(store, verdict, id, parent, name) {
        None => Done::Yes,
        Some(_) => Done::Refused,
    }
}

pub(super) fn rename(call: &Call) -> Answer {
    let name = text(&call.body, "fileName");
    if !name_ok(name) {
        return refused(400, "文件名不合法");
    }
    let mut store = lock(&call.cloud.store);
    let Some(node) = int(&call.body, "fileId")
        .and_then(|id| alive(&store, id))
        .cloned()
    else {
        return not_found();
    };
    let verdict = verdict(call, &store, node.id, node.parent, name);
    let refusal = place(&mut store, verdict, node.id, node.parent, name);
    refusal.unwrap_or_else(|| ok(json!({"Info": store.get(node.id).map(Node::row)})))
}

/// A row that is not the root and not in the bin.
pub(super) fn alive(store: &Store, id: i64) -> Option<&Node> {
    store.get(id).filter(|n| n.id != ROOT && !store.in_bin(id))
}

pub(super) fn relocate(call: &Call) -> Answer {
    let mut store = lock(&call.cloud.store);
    let to = int(&call.body, "parentFileId").unwrap_or(-1);
    if store.folder(to).is_none() {
        return not_found();
    }
    let mut moved = Vec::new();
    for id in ids(&call.body, "fileIdList") {
        let Some(node) = alive(&store, id).cloned() else {
            return not_found();
        };
        if to != ROOT && store.is_within(to, id) {
            return refused(400, "不能移动到自身或其子目录");
        }
        let verdict = verdict(call, &store, id, to, &node.name);
        if let Some(refusal) = place(&mut store, verdict, id, to, &node.name) {
            return refusal;
        }
        moved.extend(store.get(id).map(Node::row));
    }
    ok(json!({"Info": moved}))
}

pub(super) fn trash(call: &Call) -> Answer {
    let into_bin = flag(&call.body, "operation").unwrap_or(text(&call.body, "event") != "recycleRestore");
    let mut store = lock(&call.cloud.store);
    let (mut rows, mut abnormal) = (Vec::new(), Vec::new());
    for item in list(&call.body, "fileTrashInfoList") {
        // One live client saw that extra keys have no effect below this prefix, and answer 0 all the same.
        let extra = item.as_object().is_some_and(|o| o.len() > 1);
        if call.prefix == "/a/api" && extra {
            continue;
        }
        let Some(node) = int(item, "FileId")
            .and_then(|id| store.get(id))
            .filter(|n| n.id != ROOT)
            .cloned()
        else {
            continue;
        };
        if !into_bin && store.folder(node.parent).is_none() {
            abnormal.push(node.id);
            continue;
        }
        if let Some(node) = store.get_mut(node.id) {
            node.trashed = into_bin;
            rows.push(node.row());
        }
    }
    ok(json!({"InfoList": rows, "AbnormalFileIdList": abnormal}))
}

pub(super) fn delete(call: &Call) -> Answer {
    let mut store = lock(&call.cloud.store);
    let wanted = ids(&call.body, "fileIdList");
    if wanted.iter().any(|id| !store.get(*id).is_some_and(|n| n.trashed)) {
        return not_found();
    }
    wanted.into_iter().for_each(|id| store.delete(id));
    ok(Value::Null)
}

pub(super) fn clear_trash(call: &Call) -> Answer {
    let mut store = lock(&call.cloud.store);
    store.bin().into_iter().for_each(|id| store.delete(id));
    ok(Value::Null)
}

pub(super) fn copy(call: &Call) -> Answer {
    let mut store = lock(&call.cloud.store);
    let to = int(&call.body, "targetFileId").unwrap_or(-1);
    if store.folder(to).is_none() {
        return not_found();
    }
    let wanted = ids(&call.body, "fileList");
    for id in &wanted {
        let Some(node) = alive(&store, *id) else {
            return not_found();
        };
        if node.parent == to || (to != ROOT && store.is_within(to, *id)) {
            return refused(400, "不能复制到原目录或其子目录");
        }
    }
    wanted.into_iter().for_each(|id| store.copy(id, to));
    if call.settings.copy_polls == 0 {
        return ok(json!({"mode": 2, "taskId": 0}));
    }
    let task = store.fresh_id();
    drop(store);
    begin_copy(call, task);
    ok(json!({"mode": 1, "taskId": task}))
}

/// A task that is asked about as often as the settings say.
pub(super) fn begin_copy(call: &Call, task: i64) {
    let mut copies = lock(&call.cloud.copies);
    if copies.len() >= TASKS {
        copies.clear();
    }
    copies.insert(task, call.settings.copy_polls);
}

pub(super) fn copy_task(call: &Call) -> Answer {
    let mut copies = lock(&call.cloud.copies);
    let Some(left) = call.query.int("taskId").and_then(|id| copies.get_mut(&id)) else {
        return not_found();
    };
    // Waiting, then running, then done.
    let status = match *left {
        0 => 2,
        _ if *left == call.settings.copy_polls => 0,
        _ => 1,
    };
    *left = left.saturating_sub(1);
    ok(json!({"status": status, "reason": ""}))
}

//! Reading: listings, rows by id, details, download links (API page, sections 5.3 to 5.5, 5.8).

use serde_json::{Value, json};

use crate::sim::cdn;
use crate::sim::faults::FaultKind;
use crate::sim::http::{Answer, Call, field, int, list as items, lock, not_found, number, ok, refused, text};
use crate::sim::options::PageRows;
use crate::sim::store::{Node, ROOT, sort};
use crate::sim::thumbnail;

/// Most rows of a page that `limit` can ask for.
const LIMIT: usize = 100;

/// Ordered by name, one row in so many is lost.
const LOST: usize = 4;

pub(super) fn list(call: &Call) -> Answer {
    let query = &call.query;
    if query.get("driveId").is_none_or(str::is_empty) {
        return refused(400, "请输入DriveId");
    }
    if query.get("orderBy").is_none_or(str::is_empty) {
        return refused(400, "请输入OrderBy");
    }
    let parent = query.int("parentFileId").unwrap_or(ROOT);
    let store = lock(&call.cloud.store);
    let search = query.get("SearchData").unwrap_or("");
    let rows: Vec<&Node> = if query.flag("trashed") {
        store.bin().into_iter().filter_map(|id| store.get(id)).collect()
    } else if !search.is_empty() {
        let mut found = Vec::new();
        let mut folders = vec![parent];
        while let Some(folder) = folders.pop() {
            for node in store.children(folder) {
                if node.folder {
                    folders.push(node.id);
                }
                if node.name.contains(search) {
                    found.push(node);
                }
            }
        }
        found
    } else if store.folder(parent).is_some() {
        store.children(parent).collect()
    } else if call.settings.missing_folder_is_error {
        return not_found();
    } else {
        Vec::new()
    };
    let page = Page::cut(call, rows);
    let total = match call.fault {
        Some(FaultKind::ShiftTotal { by, .. }) => page.total.saturating_add_signed(by),
        _ => page.total,
    };
    let mut data = page.data(call);
    if let Some(data) = data.as_object_mut() {
        data.insert("Total".into(), json!(total));
    }
    ok(data)
}

/// One page of a listing.
pub(super) struct Page {
    rows: Vec<Value>,
    number: u64,
    /// Rows of all pages.
    total: u64,
    next: String,
}

impl Page {
    /// Orders the rows as the query says and takes its page.
    pub(super) fn cut(call: &Call, mut rows: Vec<&Node>) -> Page {
        let order = call.query.get("orderBy").unwrap_or("");
        sort(&mut rows, order);
        if call
            .query
            .get("orderDirection")
            .is_none_or(|d| !d.eq_ignore_ascii_case("asc"))
        {
            rows.reverse();
        }
        let total = rows.len() as u64;
        if call.settings.name_order_loses_rows && order == "file_name" {
            let mut place = 0;
            rows.retain(|_| {
                place += 1;
                place % LOST != 0
            });
        }
        let limit = match call.settings.page_rows {
            PageRows::Fixed(rows) => rows.max(1),
            PageRows::Limit => {
                let asked = call.query.int("limit").and_then(|n| usize::try_from(n).ok());
                asked.filter(|n| *n > 0).map_or(LIMIT, |n| n.min(LIMIT))
            }
        };
        let number = call
            .query
            .int("Page")
            .and_then(|n| u64::try_from(n).ok())
            .unwrap_or(1)
            .max(1);
        let skip = usize::try_from(number - 1)
            .unwrap_or(usize::MAX)
            .saturating_mul(limit);
        let last = skip.saturating_add(limit) >= rows.len();
        let mut shown: Vec<&Node> = rows.into_iter().skip(skip).take(limit).collect();
        let next = match shown.last() {
            Some(node) if !last => node.id.to_string(),
            _ => "-1".to_owned(),
        };
        match call.fault {
            Some(FaultKind::LackRows { rows, .. }) => shown.truncate(shown.len().saturating_sub(rows)),
            Some(FaultKind::RepeatRow { .. }) => shown.extend(shown.first().copied()),
            _ => {}
        }
        Page {
            rows: shown.into_iter().map(|node| thumbnail::row(call, node)).collect(),
            number,
            total,
            next,
        }
    }

    /// The page as `data`, without `Total`.
    pub(super) fn data(self, call: &Call) -> Value {
        let len = self.rows.len();
        let rows = if len == 0 && call.settings.null_lists {
            Value::Null
        } else {
            Value::Array(self.rows)
        };
        json!({"Next": self.next, "Len": len, "IsFirst": self.number == 1, "InfoList": rows})
    }
}

/// The ids in a list of `{"FileId": id}`.
pub(super) fn ids(body: &Value, key: &str) -> Vec<i64> {
    items(body, key)
        .iter()
        .filter_map(|item| int(item, "FileId").or_else(|| number(item)))
        .collect()
}

pub(super) fn info(call: &Call) -> Answer {
    if field(&call.body, "fileIdList").is_none() {
        return refused(400, "The FileIdList field is required");
    }
    let store = lock(&call.cloud.store);
    let rows: Vec<Value> = ids(&call.body, "fileIdList")
        .into_iter()
        .filter_map(|id| store.get(id))
        .map(Node::row)
        .collect();
    ok(json!({"infoList": rows}))
}

/// Counts and total size of a row, as `file/detail` gives them.
fn detail_of(call: &Call, id: i64) -> Option<Value> {
    let store = lock(&call.cloud.store);
    let node = store.get(id)?;
    let (files, folders, bytes) = store.below(id);
    Some(json!({
        "fileId": id, "fileName": node.name, "type": i32::from(node.folder),
        "fileNum": files, "dirNum": folders, "totalSize": bytes, "size": bytes,
    }))
}

pub(super) fn detail(call: &Call) -> Answer {
    call.query
        .int("fileID")
        .and_then(|id| detail_of(call, id))
        .map_or_else(not_found, ok)
}

pub(super) fn details(call: &Call) -> Answer {
    let found: Vec<Value> = ids(&call.body, "file_ids")
        .into_iter()
        .filter_map(|id| detail_of(call, id))
        .collect();
    ok(json!({"list": found}))
}

pub(super) fn get_path(call: &Call) -> Answer {
    let store = lock(&call.cloud.store);
    let Some(id) = int(&call.body, "fileId").filter(|id| store.get(*id).is_some()) else {
        return not_found();
    };
    let mut above: Vec<i64> = store.chain(id).skip(1).map(|n| n.id).collect();
    above.push(ROOT);
    above.reverse();
    ok(json!({"list": above}))
}

pub(super) fn download_info(call: &Call) -> Answer {
    let name = text(&call.body, "fileName");
    match cdn::download(
        call,
        text(&call.body, "etag"),
        text(&call.body, "s3KeyFlag"),
        name,
    ) {
        Ok(url) => ok(json!({"DownloadUrl": url})),
        Err(refusal) => *refusal,
    }
}

pub(super) fn traffic_check(call: &Call) -> Answer {
    if field(&call.body, "fids").is_none() {
        return refused(400, "The Fids field is required");
    }
    let exceeded = call.settings.traffic_used_up;
    let left: u64 = if exceeded { 0 } else { 10 << 30 };
    ok(json!({"isTrafficExceeded": exceeded, "originalRemainTraffic": left, "isBlocked": false}))
}

//! Uploading: request, presigned URLs, completion (API page, section 6).
//!
//! A session begins with `upload_request` and takes its parts at the object storage. It is stored only by
//! `upload_complete/v2` with the `isMultipart` that fits the call which made its URLs, and only if the parts are
//! whole; any other completion answers code 0 and stores nothing. The declared MD5 is not checked (section 6.2).

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use bytes::Bytes;
use jiff::tz::Offset;
use serde_json::{Value, json};

use crate::sim::content::{Blob, Content, hex};
use crate::sim::faults::FaultKind;
use crate::sim::http::{Answer, Call, coded, flag, int, lock, not_found, ok, refused, text};
use crate::sim::options::Settings;
use crate::sim::storage;
use crate::sim::store::{Node, ROOT, Store, name_ok};

/// Part size, and the one for files above [`LARGE`] (section 6.2).
const SLICE: u64 = 16 << 20;
const LARGE_SLICE: u64 = 32 << 20;
const LARGE: u64 = 160 << 20;

/// Most parts of a session.
const PARTS: i64 = 10_000;

/// Sessions kept at most; the oldest goes first.
const SESSIONS: usize = 1_000;

/// Sessions that wait for their parts, by `UploadId`.
pub(in crate::sim) type Uploads = HashMap<String, Session>;

/// A part as stored.
#[derive(Debug)]
pub(in crate::sim) struct Part {
    pub size: u64,
    pub md5: String,
    /// Empty if uploads are forgotten.
    pub bytes: Bytes,
}

/// One upload on its way.
#[derive(Debug)]
pub(in crate::sim) struct Session {
    file_id: i64,
    parent: i64,
    name: String,
    etag: String,
    size: u64,
    duplicate: i64,
    pub slice: u64,
    key: String,
    /// Which call made its URLs: one part, or several.
    multipart: Option<bool>,
    begun: Instant,
    pub parts: BTreeMap<i64, Part>,
    /// Presigned URLs: signature → part and end of life.
    pub urls: HashMap<String, (i64, Instant)>,
}

impl Session {
    /// Size that a part must have; none if there is no such part.
    pub(in crate::sim) fn part_size(&self, number: i64) -> Option<u64> {
        let before = u64::try_from(number - 1).ok()?.checked_mul(self.slice)?;
        match self.size.checked_sub(before)? {
            0 if number != 1 => None,
            rest => Some(rest.min(self.slice)),
        }
    }

    fn is_whole(&self) -> bool {
        let right = |(number, part): (&i64, &Part)| self.part_size(*number) == Some(part.size);
        self.parts.iter().all(right)
            && self.parts.values().map(|p| p.size).sum::<u64>() == self.size
            && !self.parts.is_empty()
    }
}

pub(super) fn slice_size(settings: &Settings, size: u64) -> u64 {
    settings
        .slice_size
        .unwrap_or(if size > LARGE { LARGE_SLICE } else { SLICE })
        .max(1)
}

/// Code 5060 for an equal name.
pub(super) fn clash(node: &Node) -> Answer {
    let updated = node.updated.display_with_offset(Offset::constant(8)).to_string();
    coded(
        5060,
        "检测到1个同名文件",
        json!({"etag": node.etag, "size": node.size, "updated_at": updated}),
    )
}

/// `data` of a request that needs no bytes.
fn reused(node: &Node) -> Answer {
    ok(json!({
        "AccessKeyId": null, "SecretAccessKey": null, "SessionToken": null, "Expiration": null, "Key": "",
        "Bucket": "", "FileId": node.id, "Reuse": true, "Info": node.row(), "UploadId": "", "DownloadUrl": "",
        "StorageNode": "", "EndPoint": "", "SliceSize": "0", "UploadFileStatus": 0,
    }))
}

pub(super) fn request(call: &Call) -> Answer {
    let body = &call.body;
    let parent = int(body, "parentFileId").unwrap_or(ROOT);
    let name = text(body, "fileName");
    if !name_ok(name) {
        return refused(400, "文件名不合法");
    }
    let mut store = lock(&call.cloud.store);
    if store.folder(parent).is_none() {
        return not_found();
    }
    if int(body, "type") == Some(1) {
        return make_folder(&mut store, body, parent, name);
    }
    let etag = text(body, "etag").to_ascii_lowercase();
    if etag.is_empty() {
        return refused(400, "请输入Etag");
    }
    let Some(size) = int(body, "size").and_then(|n| u64::try_from(n).ok()) else {
        return refused(400, "请输入Size");
    };
    let duplicate = int(body, "duplicate").unwrap_or(0);
    let object = store
        .object(&etag, size)
        .cloned()
        .filter(|_| call.settings.instant_upload);
    let existing = store.child(parent, name).cloned();
    if let Some(object) = object {
        // Takes precedence over 5060; the row is then beside the old one unless it is overwritten.
        return match existing.filter(|n| duplicate != 1 && !n.folder) {
            Some(old) if duplicate == 2 => store
                .overwrite(old.id, &etag, &object)
                .map_or_else(not_found, |n| reused(&n)),
            Some(old) if old.etag == etag && old.size == size => reused(&old),
            _ => {
                let free = store.free_name(parent, name);
                reused(&store.insert(parent, &free, Some((&etag, &object))))
            }
        };
    }
    if let Some(old) = existing.filter(|n| duplicate == 0 || n.folder) {
        return clash(&old);
    }
    let mut random = [0; 32];
    fastrand::fill(&mut random);
    let (id, key) = (
        hex(&random[..16]),
        format!(
            "{}/{}-0/{}",
            &etag.get(..4).unwrap_or(""),
            call.cloud.identity.uid,
            hex(&random[16..])
        ),
    );
    let session = Session {
        file_id: store.fresh_id(),
        parent,
        name: name.to_owned(),
        etag,
        size,
        duplicate,
        slice: slice_size(call.settings, size),
        key,
        multipart: None,
        begun: Instant::now(),
        parts: BTreeMap::new(),
        urls: HashMap::new(),
    };
    drop(store);
    let data = json!({
        "AccessKeyId": null, "SecretAccessKey": null, "SessionToken": null, "Expiration": null, "Key": session.key,
        "Bucket": storage::BUCKET, "FileId": session.file_id, "Reuse": false, "Info": null, "UploadId": id,
        "DownloadUrl": "", "StorageNode": storage::NODE, "EndPoint": "", "SliceSize": session.slice.to_string(),
        "UploadFileStatus": 0,
    });
    let mut uploads = lock(&call.cloud.uploads);
    make_room(&mut uploads, |session| session.begun);
    uploads.insert(id, session);
    ok(data)
}

/// Removes the oldest of too many sessions, so that one more has room.
pub(super) fn make_room<V>(sessions: &mut HashMap<String, V>, begun: impl Fn(&V) -> Instant) {
    if sessions.len() >= SESSIONS {
        let oldest = sessions.iter().min_by_key(|(_, session)| begun(session));
        let oldest = oldest.map(|(id, _)| id.clone());
        oldest.and_then(|id| sessions.remove(&id));
    }
}

fn make_folder(store: &mut Store, body: &Value, parent: i64, name: &str) -> Answer {
    let existing = store.child(parent, name).cloned();
    let not_reuse = flag(body, "NotReuse").unwrap_or(false);
    let node = match (existing, not_reuse, int(body, "duplicate").unwrap_or(0)) {
        (None, ..) => store.insert(parent, name, None),
        (Some(old), false, _) if old.folder => old,
        (Some(_), true, 1) => {
            let free = store.free_name(parent, name);
            store.insert(parent, &free, None)
        }
        (Some(old), true, 2) if old.folder => old,
        (Some(old), ..) => return clash(&old),
    };
    reused(&node)
}

/// The session that a call names by `uploadId`, `bucket`, `key` and storage node.
fn with_session<T>(call: &Call, then: impl FnOnce(&str, &mut Session) -> T) -> Option<T> {
    let body = &call.body;
    let id = text(body, "uploadId");
    let mut uploads = lock(&call.cloud.uploads);
    let session = uploads.get_mut(id).filter(|s| {
        s.key == text(body, "key")
            && text(body, "bucket") == storage::BUCKET
            && text(body, "StorageNode") == storage::NODE
    })?;
    Some(then(id, session))
}

/// Code -1: the session is gone.
fn no_session() -> Answer {
    refused(
        -1,
        "rpc error: ListParts: NoSuchKey: The specified key does not exist.",
    )
}

pub(super) fn auth(call: &Call) -> Answer {
    urls(call, false)
}

pub(super) fn prepare(call: &Call) -> Answer {
    urls(call, true)
}

/// URLs for the parts from `partNumberStart` to before `partNumberEnd`.
fn urls(call: &Call, multipart: bool) -> Answer {
    let (Some(start), Some(end)) = (
        int(&call.body, "partNumberStart"),
        int(&call.body, "partNumberEnd"),
    ) else {
        return refused(400, "参数错误");
    };
    if start < 1 || end <= start || end > PARTS + 1 {
        return refused(400, "参数错误");
    }
    let base = call.host(&call.cloud.hosts.storage);
    let until = Instant::now() + call.settings.presigned_life;
    let made = with_session(call, |id, session| {
        session.multipart = Some(multipart);
        session.urls.retain(|_, (_, until)| *until > Instant::now());
        let mut urls = serde_json::Map::new();
        for number in start..end {
            let mut random = [0; 16];
            fastrand::fill(&mut random);
            let signature = hex(&random);
            let url = format!(
                "{base}{}{}?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires={}&partNumber={number}&uploadId={id}&X-Amz-Signature={signature}",
                storage::PREFIX,
                session.key,
                call.settings.presigned_life.as_secs(),
            );
            session.urls.insert(signature, (number, until));
            urls.insert(number.to_string(), Value::String(url));
        }
        Value::Object(urls)
    });
    made.map_or_else(no_session, |urls| ok(json!({"presignedUrls": urls})))
}

pub(super) fn list_parts(call: &Call) -> Answer {
    let listed = with_session(call, |_, session| {
        let parts = session.parts.iter().map(|(number, part)| {
            json!({"PartNumber": number.to_string(), "Size": part.size.to_string(), "ETag": part.md5})
        });
        let parts: Vec<Value> = parts.collect();
        if parts.is_empty() {
            Value::Null
        } else {
            Value::Array(parts)
        }
    });
    listed.map_or_else(no_session, |parts| {
        ok(json!({"Bucket": storage::BUCKET, "Parts": parts}))
    })
}

/// Harmless: a session of several parts answers 0, one of a single part `MalformedXML` (section 2.4).
pub(super) fn multipart(call: &Call) -> Answer {
    match with_session(call, |_, session| session.multipart) {
        None => no_session(),
        Some(Some(true)) => ok(Value::Null),
        Some(_) => refused(-1, "rpc error: CompleteMultipartUpload: MalformedXML"),
    }
}

/// The old form for sessions of this kind: code 0, stores nothing.
pub(super) fn complete_old(_: &Call) -> Answer {
    ok(Value::Null)
}

pub(super) fn complete(call: &Call) -> Answer {
    let is_multipart = flag(&call.body, "isMultipart").unwrap_or(false);
    let size = int(&call.body, "fileSize").and_then(|n| u64::try_from(n).ok());
    let fits = with_session(call, |_, session| {
        session.is_whole()
            && session.multipart == Some(is_multipart)
            && int(&call.body, "fileId") == Some(session.file_id)
            && size.is_none_or(|size| size == session.size)
    });
    match fits {
        None => return no_session(),
        Some(false) => return ok(Value::Null),
        Some(true) if matches!(call.fault, Some(FaultKind::StoresNothing)) => {
            return ok(Value::Null);
        }
        Some(true) => {}
    }
    let Some(session) = lock(&call.cloud.uploads).remove(text(&call.body, "uploadId")) else {
        return no_session();
    };
    let blob = if call.settings.forget_uploads {
        Blob::from(Content::Pattern {
            seed: 0,
            len: session.size,
        })
    } else {
        Blob::from_parts(session.parts.into_values().map(|p| p.bytes))
    };
    let mut store = lock(&call.cloud.store);
    if store.folder(session.parent).is_none() {
        return not_found();
    }
    let object = store.keep(&session.etag, blob);
    let file = (session.etag.as_str(), &object);
    let existing = store
        .child(session.parent, &session.name)
        .filter(|n| !n.folder)
        .map(|n| n.id);
    let node = match existing {
        Some(id) if session.duplicate == 2 => store.overwrite(id, file.0, file.1),
        _ => {
            let free = store.free_name(session.parent, &session.name);
            Some(store.insert(session.parent, &free, Some(file)))
        }
    };
    node.map_or_else(not_found, |node| ok(json!({"file_info": node.row()})))
}

//! Uploads of the Open platform: create, slices, completion; and the single request for small files (API page,
//! section 8.3).
//!
//! Slices go to one of the servers that `create` has named, as forms, with token and platform. Each is checked
//! against its `sliceMD5`, and the whole against the declared MD5: a wrong one is told by the second question.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use bytes::Bytes;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::open_change::name_taken;
use super::upload::{make_room, slice_size};
use crate::sim::content::{Blob, Content, hex, md5_hex};
use crate::sim::faults::FaultKind;
use crate::sim::form::{self, Form};
use crate::sim::http::{Answer, Call, answer, flag, int, lock, not_found, ok, refused, text};
use crate::sim::store::{Node, Object, ROOT, Store, name_ok};

/// Largest file, and the largest in a single request.
const LARGEST: u64 = 10 << 30;
const LARGEST_SINGLE: u64 = 1 << 30;

/// Sessions by `preuploadID`.
pub(in crate::sim) type OpenUploads = HashMap<String, Session>;

/// One upload on its way.
#[derive(Debug)]
pub(in crate::sim) struct Session {
    file: File,
    slice: u64,
    begun: Instant,
    slices: BTreeMap<i64, (u64, Bytes)>,
    /// Answers of "still checking" to come; none before the first completion.
    checks: Option<u32>,
}

/// A file as announced.
#[derive(Debug, Clone)]
struct File {
    parent: i64,
    name: String,
    etag: String,
    size: u64,
    duplicate: i64,
}

/// The announced file, or why it is refused. With `containDir` the name is a path, whose folders are made.
fn announced(call: &Call, body: &Value) -> Result<File, Box<Answer>> {
    let path = text(body, "filename").trim_start_matches('/');
    let with_folders = flag(body, "containDir").unwrap_or(false);
    let (folders, name) = path
        .rsplit_once('/')
        .filter(|_| with_folders)
        .unwrap_or(("", path));
    let mut folders: Vec<&str> = folders.split('/').collect();
    folders.retain(|folder| !folder.is_empty());
    if !name_ok(name) || !folders.iter().all(|folder| name_ok(folder)) {
        return Err(Box::new(refused(400, "文件名不合法")));
    }
    let etag = text(body, "etag").to_ascii_lowercase();
    if etag.len() != 32 || !etag.bytes().all(|b| b.is_ascii_hexdigit()) {
        return Err(Box::new(refused(400, "请输入Etag")));
    }
    let size = int(body, "size").and_then(|n| u64::try_from(n).ok());
    let Some(size) = size.filter(|n| *n <= LARGEST) else {
        return Err(Box::new(refused(400, "请输入Size")));
    };
    // Empty files are said not to be taken; no source has the words.
    if size == 0 && !call.settings.open_empty_files {
        return Err(Box::new(refused(1, "size")));
    }
    let duplicate = int(body, "duplicate").unwrap_or(0);
    if !(0..=2).contains(&duplicate) {
        return Err(Box::new(refused(400, "duplicate")));
    }
    let mut parent = int(body, "parentFileID").unwrap_or(-1);
    let mut store = lock(&call.cloud.store);
    if parent != ROOT && store.folder(parent).is_none() {
        return Err(Box::new(not_found()));
    }
    for folder in folders {
        let there = store.child(parent, folder).filter(|n| n.folder).map(|n| n.id);
        parent = there.unwrap_or_else(|| store.insert(parent, folder, None).id);
    }
    drop(store);
    Ok(File {
        parent,
        name: name.to_owned(),
        etag,
        size,
        duplicate,
    })
}

/// Puts a file at its place: overwriting gives it another id.
fn place(store: &mut Store, file: &File, object: &Object) -> Node {
    let existing = store
        .child(file.parent, &file.name)
        .filter(|n| !n.folder)
        .map(|n| n.id);
    if let Some(old) = existing.filter(|_| file.duplicate == 2) {
        store.delete(old);
    }
    let free = store.free_name(file.parent, &file.name);
    store.insert(file.parent, &free, Some((&file.etag, object)))
}

pub(super) fn create(call: &Call) -> Answer {
    let file = match announced(call, &call.body) {
        Ok(file) => file,
        Err(refusal) => return *refusal,
    };
    let mut store = lock(&call.cloud.store);
    let known = store
        .object(&file.etag, file.size)
        .cloned()
        .filter(|_| call.settings.instant_upload);
    if let Some(object) = known {
        // As in the web API, it takes precedence over an equal name.
        let node = place(&mut store, &file, &object);
        return ok(
            json!({"reuse": true, "fileID": node.id, "preuploadID": "", "sliceSize": 0, "servers": null}),
        );
    }
    let clashes = |n: &Node| file.duplicate == 0 || (n.folder && file.duplicate == 2);
    if store.child(file.parent, &file.name).is_some_and(clashes) {
        return name_taken();
    }
    drop(store);
    let mut random = [0; 16];
    fastrand::fill(&mut random);
    let (id, slice) = (hex(&random), slice_size(call.settings, file.size));
    let mut uploads = lock(&call.cloud.open_uploads);
    make_room(&mut uploads, |session| session.begun);
    uploads.insert(
        id.clone(),
        Session {
            file,
            slice,
            begun: Instant::now(),
            slices: BTreeMap::new(),
            checks: None,
        },
    );
    let servers = call
        .settings
        .open_servers
        .clone()
        .unwrap_or_else(|| vec![call.host(&call.cloud.hosts.storage)]);
    ok(json!({"reuse": false, "fileID": 0, "preuploadID": id, "sliceSize": slice, "servers": servers}))
}

/// Stores a file whose content is known by its SHA-1.
pub(super) fn sha1_reuse(call: &Call) -> Answer {
    let sha1 = text(&call.body, "sha1").to_ascii_lowercase();
    if sha1.len() != 40 || !sha1.bytes().all(|b| b.is_ascii_hexdigit()) {
        return refused(400, "sha1");
    }
    let size = int(&call.body, "size").and_then(|n| u64::try_from(n).ok());
    let known = || {
        let store = lock(&call.cloud.store);
        let (etag, object) = store.object_by_sha1(&sha1, size?)?;
        Some((etag.to_owned(), object.clone()))
    };
    let Some((etag, object)) = call.settings.open_sha1.then(known).flatten() else {
        return ok(json!({"reuse": false, "fileID": 0}));
    };
    let mut body = call.body.clone();
    body["etag"] = json!(etag);
    let file = match announced(call, &body) {
        Ok(file) => file,
        Err(refusal) => return *refusal,
    };
    let mut store = lock(&call.cloud.store);
    if matches!(call.fault, Some(FaultKind::StoresNothing)) {
        return ok(json!({"reuse": true, "fileID": store.fresh_id()}));
    }
    if file.duplicate == 0 && store.child(file.parent, &file.name).is_some() {
        return name_taken();
    }
    let (file, object) = if matches!(call.fault, Some(FaultKind::CorruptPart)) {
        let wrong = Blob::from(Content::Pattern {
            seed: 0,
            len: file.size,
        });
        let etag = wrong.md5();
        let object = store.keep(&etag, wrong);
        (File { etag, ..file }, object)
    } else {
        (file, object)
    };
    let node = place(&mut store, &file, &object);
    ok(json!({"reuse": true, "fileID": node.id}))
}

/// Takes one slice.
pub(in crate::sim) async fn slice(call: &Call<'_>, body: Incoming) -> Answer {
    let form = match form::receive(call, body).await {
        Ok(form) => form,
        Err(refusal) => return *refusal,
    };
    let Some(Form {
        fields,
        file: Some(mut bytes),
    }) = Some(form).filter(|f| f.file_name == "slice").map(|f| f.form)
    else {
        return refused(400, "slice");
    };
    let number = int(&fields, "sliceNo").unwrap_or(0);
    let id = text(&fields, "preuploadID");
    if matches!(call.fault, Some(FaultKind::CorruptPart)) && !bytes.is_empty() {
        let mut wrong = bytes.to_vec();
        wrong[0] ^= 0xff;
        bytes = wrong.into();
    }
    let mut uploads = lock(&call.cloud.open_uploads);
    let Some(session) = uploads.get_mut(id) else {
        return refused(1, "preuploadID");
    };
    if session.slice_size(number) != Some(bytes.len() as u64) {
        return refused(400, "sliceNo");
    }
    if md5_hex(&bytes) != text(&fields, "sliceMD5") {
        return refused(1, "sliceMD5");
    }
    let kept = if call.settings.forget_uploads {
        Bytes::new()
    } else {
        bytes.clone()
    };
    session.slices.insert(number, (bytes.len() as u64, kept));
    if call.settings.open_silent_slices {
        return answer(200, "text/plain", "");
    }
    ok(Value::Null)
}

impl Session {
    /// Size that a slice must have; none if there is no such slice.
    fn slice_size(&self, number: i64) -> Option<u64> {
        let before = u64::try_from(number - 1).ok()?.checked_mul(self.slice)?;
        match self.file.size.checked_sub(before)? {
            0 if number != 1 => None,
            rest => Some(rest.min(self.slice)),
        }
    }

    fn is_whole(&self) -> bool {
        self.slices.values().map(|(size, _)| size).sum::<u64>() == self.file.size && !self.slices.is_empty()
    }
}

pub(super) fn complete(call: &Call) -> Answer {
    let id = text(&call.body, "preuploadID");
    let mut uploads = lock(&call.cloud.open_uploads);
    let Some(session) = uploads.get_mut(id) else {
        return refused(1, "preuploadID");
    };
    if !session.is_whole() {
        return refused(1, "分片");
    }
    if matches!(call.fault, Some(FaultKind::StoresNothing)) {
        return ok(json!({"completed": false, "fileID": 0}));
    }
    let left = session.checks.get_or_insert(call.settings.open_checks);
    if *left > 0 {
        *left -= 1;
        return refused(20103, "文件正在校验中,请间隔1秒后再试");
    }
    let Some(session) = uploads.remove(id) else {
        return not_found();
    };
    drop(uploads);
    let blob = if call.settings.forget_uploads {
        Blob::from(Content::Pattern {
            seed: 0,
            len: session.file.size,
        })
    } else {
        Blob::from_parts(session.slices.into_values().map(|(_, bytes)| bytes))
    };
    store(call, &session.file, blob)
}

/// Stores a whole file, if it is what was announced.
fn store(call: &Call, file: &File, blob: Blob) -> Answer {
    if !call.settings.forget_uploads && (blob.len() != file.size || blob.md5() != file.etag) {
        return refused(1, "文件上传失败");
    }
    let mut store = lock(&call.cloud.store);
    if store.folder(file.parent).is_none() {
        return not_found();
    }
    let object = store.keep(&file.etag, blob);
    let node = place(&mut store, file, &object);
    ok(json!({"completed": true, "fileID": node.id}))
}

pub(super) fn domain(call: &Call) -> Answer {
    ok(json!([call.host(&call.cloud.hosts.storage)]))
}

/// A small file in one request.
pub(in crate::sim) async fn single(call: &Call<'_>, body: Incoming) -> Answer {
    let form = match form::receive(call, body).await {
        Ok(form) => form,
        Err(refusal) => return *refusal,
    };
    let Some(Form {
        fields,
        file: Some(bytes),
    }) = Some(form).filter(|f| f.file_name == "file").map(|f| f.form)
    else {
        return refused(400, "file");
    };
    let file = match announced(call, &fields) {
        Ok(file) if file.size <= LARGEST_SINGLE => file,
        Ok(_) => return refused(400, "请输入Size"),
        Err(refusal) => return *refusal,
    };
    if file.duplicate == 0 && lock(&call.cloud.store).child(file.parent, &file.name).is_some() {
        return name_taken();
    }
    store(call, &file, Blob::from(Content::Bytes(bytes)))
}

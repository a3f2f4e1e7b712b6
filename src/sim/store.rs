//! The drive: rows with ids that only grow, folders, the recycle bin, and the stored objects behind the rows.
//!
//! Objects are known by MD5 and size, as the service knows them: a row may go, the object stays and can be fetched
//! or uploaded again at once (API page, sections 5.8 and 6.2). The MD5 of a row is what its uploader declared.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use jiff::tz::Offset;
use serde_json::{Value, json};

use super::content::Blob;

/// Id of the root folder.
pub(super) const ROOT: i64 = 0;

/// First id given out; above 32 bits, since ids are 64-bit.
const FIRST_ID: i64 = 5_000_000_001;

/// Most characters of a name (section 6.5).
const NAME_LIMIT: usize = 255;

/// One row.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub id: i64,
    pub parent: i64,
    pub name: String,
    pub folder: bool,
    pub size: u64,
    pub etag: String,
    pub key_flag: String,
    pub created: Timestamp,
    pub updated: Timestamp,
    pub trashed: bool,
}

impl Node {
    /// The row as a listing shows it (section 5.4).
    pub(super) fn row(&self) -> Value {
        let time = |t: Timestamp| {
            let whole = Timestamp::from_second(t.as_second()).unwrap_or(t);
            whole.display_with_offset(Offset::constant(8)).to_string()
        };
        json!({
            "FileId": self.id,
            "FileName": self.name,
            "Type": i32::from(self.folder),
            "Size": self.size,
            "ContentType": "0",
            "S3KeyFlag": self.key_flag,
            "CreateAt": time(self.created),
            "UpdateAt": time(self.updated),
            "Hidden": false,
            "Etag": self.etag,
            "Status": 0,
            "ParentFileId": self.parent,
            "Category": 0,
            "PunishFlag": 0,
            "StorageNode": if self.folder { "" } else { "m74" },
            "PinYin": "",
            "StarredStatus": 0,
            "Trashed": self.trashed,
            "DownloadUrl": "",
        })
    }
}

/// What a row's bytes are, found by MD5 and size.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub blob: Blob,
    pub key_flag: String,
}

/// A share of some rows.
#[derive(Clone, Debug)]
pub(super) struct Share {
    pub name: String,
    pub password: Option<String>,
    pub roots: Vec<i64>,
    pub expired: bool,
    pub anonymous: bool,
    pub created: Timestamp,
}

/// The whole drive.
#[derive(Debug)]
pub(super) struct Store {
    uid: i64,
    next_id: i64,
    nodes: BTreeMap<i64, Node>,
    children: HashMap<i64, BTreeSet<i64>>,
    /// Rows by folder and name, in the order they came; names need not be unique.
    names: HashMap<(i64, String), Vec<i64>>,
    /// Objects by MD5.
    objects: HashMap<String, Vec<Object>>,
    pub shares: HashMap<String, Share>,
    pub direct: BTreeSet<i64>,
}

impl Store {
    pub(super) fn new(uid: i64) -> Store {
        let now = Timestamp::now();
        let root = Node {
            id: ROOT,
            parent: ROOT,
            name: String::new(),
            folder: true,
            size: 0,
            etag: String::new(),
            key_flag: String::new(),
            created: now,
            updated: now,
            trashed: false,
        };
        Store {
            uid,
            next_id: FIRST_ID,
            nodes: BTreeMap::from([(ROOT, root)]),
            children: HashMap::new(),
            names: HashMap::new(),
            objects: HashMap::new(),
            shares: HashMap::new(),
            direct: BTreeSet::new(),
        }
    }

    /// A new id.
    pub(super) fn fresh_id(&mut self) -> i64 {
        self.next_id += 1;
        self.next_id - 1
    }

    pub(super) fn get(&self, id: i64) -> Option<&Node> {
        self.nodes.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: i64) -> Option<&mut Node> {
        self.nodes.get_mut(&id)
    }

    /// A folder that can be listed: there, a folder, and neither it nor one above it is in the bin.
    pub(super) fn folder(&self, id: i64) -> Option<&Node> {
        self.get(id).filter(|n| n.folder && !self.in_bin(id))
    }

    pub(super) fn in_bin(&self, id: i64) -> bool {
        self.chain(id).any(|n| n.trashed)
    }

    /// The row and those above it, up to but without the root.
    pub(super) fn chain(&self, id: i64) -> impl Iterator<Item = &Node> {
        let first = self.get(id).filter(|n| n.id != ROOT);
        std::iter::successors(first, |n| self.get(n.parent).filter(|p| p.id != ROOT))
    }

    /// Whether `id` is `above` or lies below it.
    pub(super) fn is_within(&self, id: i64, above: i64) -> bool {
        above == ROOT || self.chain(id).any(|n| n.id == above)
    }

    /// The rows of a folder that are not in the bin, by id.
    pub(super) fn children(&self, folder: i64) -> impl DoubleEndedIterator<Item = &Node> {
        self.children
            .get(&folder)
            .into_iter()
            .flatten()
            .filter_map(|id| self.nodes.get(id))
            .filter(|n| !n.trashed)
    }

    /// The rows of a folder, those in the bin included.
    pub(super) fn all_children(&self, folder: i64) -> impl Iterator<Item = &Node> {
        self.children
            .get(&folder)
            .into_iter()
            .flatten()
            .filter_map(|id| self.nodes.get(id))
    }

    /// The rows put into the bin themselves.
    pub(super) fn bin(&self) -> Vec<i64> {
        self.nodes.values().filter(|n| n.trashed).map(|n| n.id).collect()
    }

    /// The first row of that name in a folder.
    pub(super) fn child(&self, folder: i64, name: &str) -> Option<&Node> {
        let ids = self.names.get(&(folder, name.to_owned()))?;
        ids.iter()
            .filter_map(|id| self.nodes.get(id))
            .find(|n| !n.trashed)
    }

    /// The row at a path of names.
    pub(super) fn find(&self, path: &str) -> Option<&Node> {
        let mut at = self.get(ROOT)?;
        for name in path.split('/').filter(|s| !s.is_empty()) {
            at = self.child(at.id, name)?;
        }
        Some(at)
    }

    /// Number and size of all files.
    pub(super) fn usage(&self) -> (u64, u64) {
        let files = self.nodes.values().filter(|n| !n.folder);
        files.fold((0, 0), |(count, bytes), n| (count + 1, bytes + n.size))
    }

    /// Files, folders and bytes below a row, itself included if it is a file.
    pub(super) fn below(&self, id: i64) -> (u64, u64, u64) {
        match self.get(id) {
            Some(n) if !n.folder => (1, 0, n.size),
            Some(_) => self.children(id).fold((0, 0, 0), |sum, n| {
                let (files, folders, bytes) = self.below(n.id);
                (
                    sum.0 + files,
                    sum.1 + folders + u64::from(n.folder),
                    sum.2 + bytes,
                )
            }),
            None => (0, 0, 0),
        }
    }

    /// Keeps an object under its declared MD5, unless one of that MD5 and size is known.
    pub(super) fn keep(&mut self, etag: &str, blob: Blob) -> Object {
        if let Some(known) = self.object(etag, blob.len()) {
            return known.clone();
        }
        let object = Object {
            blob,
            key_flag: format!("{}-0", self.uid),
        };
        self.objects
            .entry(etag.to_owned())
            .or_default()
            .push(object.clone());
        object
    }

    /// The object of an MD5 and size.
    pub(super) fn object(&self, etag: &str, size: u64) -> Option<&Object> {
        self.objects.get(etag)?.iter().find(|o| o.blob.len() == size)
    }

    /// An object found by its SHA-1, with its MD5.
    pub(super) fn object_by_sha1(&self, sha1: &str, size: u64) -> Option<(&str, &Object)> {
        let all = self.objects.iter();
        let mut all = all.flat_map(|(etag, objects)| objects.iter().map(move |o| (etag.as_str(), o)));
        all.find(|(_, o)| o.blob.len() == size && o.blob.sha1() == sha1)
    }

    /// The object that a download names: by MD5 and key flag alone (section 5.8, step 1).
    pub(super) fn object_by_flag(&self, etag: &str, key_flag: &str) -> Option<&Object> {
        self.objects.get(etag)?.iter().find(|o| o.key_flag == key_flag)
    }

    /// Adds a row; the caller has checked parent and name.
    pub(super) fn insert(&mut self, parent: i64, name: &str, file: Option<(&str, &Object)>) -> Node {
        let now = Timestamp::now();
        let node = Node {
            id: self.fresh_id(),
            parent,
            name: name.to_owned(),
            folder: file.is_none(),
            size: file.map_or(0, |(_, o)| o.blob.len()),
            etag: file.map_or(String::new(), |(etag, _)| etag.to_owned()),
            key_flag: file.map_or(String::new(), |(_, o)| o.key_flag.clone()),
            created: now,
            updated: now,
            trashed: false,
        };
        self.children.entry(parent).or_default().insert(node.id);
        self.names
            .entry((parent, node.name.clone()))
            .or_default()
            .push(node.id);
        self.nodes.insert(node.id, node.clone());
        node
    }

    /// Gives a row other content, in place.
    pub(super) fn overwrite(&mut self, id: i64, etag: &str, object: &Object) -> Option<Node> {
        let node = self.nodes.get_mut(&id)?;
        node.size = object.blob.len();
        node.etag = etag.to_owned();
        node.key_flag.clone_from(&object.key_flag);
        node.updated = Timestamp::now();
        Some(node.clone())
    }

    /// Gives a row a folder and a name.
    pub(super) fn place(&mut self, id: i64, parent: i64, name: &str) {
        let Some(node) = self.nodes.get_mut(&id) else {
            return;
        };
        let old = (node.parent, std::mem::replace(&mut node.name, name.to_owned()));
        node.parent = parent;
        node.updated = Timestamp::now();
        if old.0 != parent {
            if let Some(set) = self.children.get_mut(&old.0) {
                set.remove(&id);
            }
            self.children.entry(parent).or_default().insert(id);
        }
        self.forget_name(old, id);
        self.names.entry((parent, name.to_owned())).or_default().push(id);
    }

    fn forget_name(&mut self, key: (i64, String), id: i64) {
        if let Some(ids) = self.names.get_mut(&key) {
            ids.retain(|other| *other != id);
            if ids.is_empty() {
                self.names.remove(&key);
            }
        }
    }

    /// Removes a row and all below it for good.
    pub(super) fn delete(&mut self, id: i64) {
        for child in self.children.remove(&id).unwrap_or_default() {
            self.delete(child);
        }
        if let Some(node) = self.nodes.remove(&id) {
            if let Some(set) = self.children.get_mut(&node.parent) {
                set.remove(&id);
            }
            self.forget_name((node.parent, node.name), id);
        }
        self.direct.remove(&id);
    }

    /// Copies a row and all below it into a folder.
    pub(super) fn copy(&mut self, id: i64, to: i64) {
        let Some(node) = self.get(id).cloned() else {
            return;
        };
        let name = self.free_name(to, &node.name);
        let object = self.object(&node.etag, node.size).cloned();
        let file = object
            .as_ref()
            .filter(|_| !node.folder)
            .map(|o| (node.etag.as_str(), o));
        let copy = self.insert(to, &name, file);
        let below: Vec<i64> = self
            .children(id)
            .map(|n| n.id)
            .filter(|n| *n != copy.id)
            .collect();
        for child in below {
            self.copy(child, copy.id);
        }
    }

    /// The name itself if it is free in the folder, else `name(1).ext` and so on.
    pub(super) fn free_name(&self, folder: i64, name: &str) -> String {
        if self.child(folder, name).is_none() {
            return name.to_owned();
        }
        let (stem, ext) = match name.rfind('.') {
            Some(dot) if dot > 0 => name.split_at(dot),
            _ => (name, ""),
        };
        let mut numbered = (1..).map(|n: u32| format!("{stem}({n}){ext}"));
        numbered
            .find(|n| self.child(folder, n).is_none())
            .unwrap_or_default()
    }
}

/// Whether the service takes a name (section 6.5).
pub(super) fn name_ok(name: &str) -> bool {
    !name.trim().is_empty()
        && name.chars().count() <= NAME_LIMIT
        && !name.contains(['"', '\\', '/', ':', '*', '?', '|', '>', '<'])
}

/// Sorts rows as `orderBy` says; by id for anything else.
pub(super) fn sort(rows: &mut [&Node], by: &str) {
    let key = |a: &&Node, b: &&Node| -> Ordering {
        match by {
            "file_name" => a.name.cmp(&b.name),
            "size" => a.size.cmp(&b.size),
            "create_at" => a.created.cmp(&b.created),
            "update_at" | "update_time" => a.updated.cmp(&b.updated),
            _ => Ordering::Equal,
        }
    };
    rows.sort_by(|a, b| key(a, b).then(a.id.cmp(&b.id)));
}

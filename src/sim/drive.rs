//! The drive seen by the owner of the handle: put things in, take them out, share them.

use jiff::Timestamp;

use super::Cloud;
use super::content::{Blob, Content};
use super::http::lock;
use super::store::{Node, ROOT, Share, Store};

/// How to share; see [`Cloud::add_share`].
#[derive(Clone, Debug, Default)]
pub struct ShareOptions {
    /// Name shown.
    pub name: String,
    /// Password of 4 characters.
    pub password: Option<String>,
    /// The share has ended: code 5104.
    pub expired: bool,
    /// Downloads need no login; else code 5112.
    pub anonymous: bool,
    /// The key, if it matters; else a random one.
    pub key: Option<String>,
}

impl Cloud {
    /// Makes a folder and those above it; the id of it. Existing ones are kept. `""` and `/` are the root.
    pub fn add_folder(&self, path: &str) -> i64 {
        folder(&mut lock(&self.inner.store), path)
    }

    /// Puts a file at a path, folders above it included; over an existing one, with the same id. The id of it.
    pub fn add_file(&self, path: &str, content: impl Into<Content>) -> i64 {
        let blob = Blob::from(content.into());
        let md5 = blob.md5();
        self.put(path, blob, &md5)
    }

    /// The same with a declared MD5 that is not checked, as the service does not either; saves the hashing of large
    /// patterns.
    pub fn add_file_with_etag(&self, path: &str, content: impl Into<Content>, md5: &str) -> i64 {
        self.put(path, content.into().into(), md5)
    }

    fn put(&self, path: &str, blob: Blob, md5: &str) -> i64 {
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut store = lock(&self.inner.store);
        let parent = folder(&mut store, above);
        let object = store.keep(md5, blob);
        match store.child(parent, name).map(|n| n.id) {
            Some(id) => {
                store.overwrite(id, md5, &object);
                id
            }
            None => store.insert(parent, name, Some((md5, &object))).id,
        }
    }

    /// Adds a second row of the same name beside an existing one; none if the path's folder is not there.
    pub fn add_twin(&self, path: &str, content: impl Into<Content>) -> Option<i64> {
        let blob = Blob::from(content.into());
        let md5 = blob.md5();
        let (above, name) = path.rsplit_once('/').unwrap_or(("", path));
        let mut store = lock(&self.inner.store);
        let parent = store.find(above)?.id;
        let object = store.keep(&md5, blob);
        Some(store.insert(parent, name, Some((&md5, &object))).id)
    }

    /// Removes what is at a path for good; false if nothing is there.
    pub fn remove(&self, path: &str) -> bool {
        let mut store = lock(&self.inner.store);
        let id = store.find(path).map(|n| n.id).filter(|id| *id != ROOT);
        id.inspect(|id| store.delete(*id)).is_some()
    }

    /// Moves what is at a path to another whose folder is made if need be; false if nothing is there.
    pub fn rename(&self, from: &str, to: &str) -> bool {
        let mut store = lock(&self.inner.store);
        let Some(id) = store.find(from).map(|n| n.id).filter(|id| *id != ROOT) else {
            return false;
        };
        let (above, name) = to.rsplit_once('/').unwrap_or(("", to));
        let parent = folder(&mut store, above);
        store.place(id, parent, name);
        true
    }

    /// The id at a path.
    pub fn id(&self, path: &str) -> Option<i64> {
        lock(&self.inner.store).find(path).map(|n| n.id)
    }

    /// The path of a row that is not in the bin.
    pub fn path(&self, id: i64) -> Option<String> {
        let store = lock(&self.inner.store);
        let known = store.get(id).is_some() && !store.in_bin(id);
        let mut names: Vec<&str> = store.chain(id).map(|n| n.name.as_str()).collect();
        names.reverse();
        known.then(|| format!("/{}", names.join("/")))
    }

    /// The names in a folder, sorted; folders end with `/`. None if it is not there.
    pub fn names(&self, path: &str) -> Option<Vec<String>> {
        let store = lock(&self.inner.store);
        let id = store.find(path).filter(|n| n.folder)?.id;
        let shown = |n: &Node| {
            if n.folder {
                format!("{}/", n.name)
            } else {
                n.name.clone()
            }
        };
        let mut names: Vec<String> = store.children(id).map(shown).collect();
        names.sort();
        Some(names)
    }

    /// Size and declared MD5 of a file.
    pub fn stat(&self, path: &str) -> Option<(u64, String)> {
        let store = lock(&self.inner.store);
        store
            .find(path)
            .filter(|n| !n.folder)
            .map(|n| (n.size, n.etag.clone()))
    }

    /// The bytes of a file, whole; for small ones.
    pub fn read(&self, path: &str) -> Option<Vec<u8>> {
        let blob = {
            let store = lock(&self.inner.store);
            let node = store.find(path).filter(|n| !n.folder)?;
            store.object(&node.etag, node.size)?.blob.clone()
        };
        let mut bytes = Vec::new();
        while (bytes.len() as u64) < blob.len() {
            bytes.extend_from_slice(&blob.slice(bytes.len() as u64, u64::MAX));
        }
        Some(bytes)
    }

    /// Sets the times of a row; false if nothing is at the path.
    pub fn set_times(&self, path: &str, created: Timestamp, updated: Timestamp) -> bool {
        let mut store = lock(&self.inner.store);
        let id = store.find(path).map(|n| n.id);
        let node = id.and_then(|id| store.get_mut(id));
        node.map(|n| (n.created, n.updated) = (created, updated))
            .is_some()
    }

    /// How many rows lie in the recycle bin.
    pub fn in_bin(&self) -> usize {
        lock(&self.inner.store).bin().len()
    }

    /// Shares what is at the paths, which must exist to be seen; the key.
    pub fn add_share(&self, paths: &[&str], options: ShareOptions) -> String {
        let mut store = lock(&self.inner.store);
        let key = options.key.unwrap_or_else(|| {
            let part = || (0..4).map(|_| fastrand::alphanumeric()).collect::<String>();
            format!("{}-{}", part(), part())
        });
        let share = Share {
            name: options.name,
            password: options.password,
            roots: paths.iter().filter_map(|p| store.find(p)).map(|n| n.id).collect(),
            expired: options.expired,
            anonymous: options.anonymous,
            created: Timestamp::now(),
        };
        store.shares.insert(key.clone(), share);
        key
    }

    /// Changes a share; false if there is none of that key.
    pub fn change_share(&self, key: &str, expired: bool, anonymous: bool) -> bool {
        let mut store = lock(&self.inner.store);
        let share = store.shares.get_mut(key);
        share
            .map(|s| (s.expired, s.anonymous) = (expired, anonymous))
            .is_some()
    }

    /// Ends a share: its key is unknown from now on.
    pub fn remove_share(&self, key: &str) -> bool {
        lock(&self.inner.store).shares.remove(key).is_some()
    }

    /// Makes a folder a direct-link space; false if it is not there or is the root, which cannot be one.
    pub fn enable_direct(&self, path: &str) -> bool {
        let mut store = lock(&self.inner.store);
        let id = store
            .find(path)
            .filter(|n| n.folder && n.id != ROOT)
            .map(|n| n.id);
        id.is_some_and(|id| store.direct.insert(id) || store.direct.contains(&id))
    }
}

/// The id of a folder path, made where it is missing.
fn folder(store: &mut Store, path: &str) -> i64 {
    path.split('/')
        .filter(|s| !s.is_empty())
        .fold(ROOT, |parent, name| {
            match store.child(parent, name).filter(|n| n.folder).map(|n| n.id) {
                Some(id) => id,
                None => store.insert(parent, name, None).id,
            }
        })
}

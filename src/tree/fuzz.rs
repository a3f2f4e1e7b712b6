//! What holds for any path; and a tree over a drive in memory, for the properties of whole requests.

#![allow(clippy::unwrap_used)]

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use super::spool::Spool;
use super::{Tree, TreePath};
use crate::config;
use crate::drive::{
    Begun, Capability, Drive, DriveFuture, Entry, Error, ErrorKind, Id, Kind, Link, LinkWish, Lister,
    NewFile, Page, Quota,
};
use crate::state::State;

/// URL paths and configured ones. What follows a line end is a second path, to be put below the first.
pub fn paths(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (first, second) = text.split_once('\n').unwrap_or((text, ""));
    let paths = [TreePath::parse(first), TreePath::from_decoded(first)];
    for path in paths.into_iter().flatten() {
        is_proper(&path);
        if let Ok(below) = TreePath::parse(second) {
            let joined = path.join(&below);
            assert_eq!(joined.below(&path), Some(below), "{joined} left {path}");
        }
    }
}

/// What holds for every path that there is.
pub(crate) fn is_proper(path: &TreePath) {
    for segment in path.segments() {
        assert!(!matches!(segment, "" | "." | ".."), "{path:?}");
        assert!(!segment.contains(['/', '\0']), "{path:?}");
    }
    let encoded = path.encoded();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%/".contains(&byte);
    assert!(
        encoded.starts_with('/') && encoded.bytes().all(plain),
        "{encoded}"
    );
    assert_eq!(TreePath::parse(&encoded).as_ref(), Ok(path));
    assert_eq!(TreePath::from_decoded(&path.to_string()).as_ref(), Ok(path));
    assert_eq!(path.below(&TreePath::root()).as_ref(), Some(path));
    match (path.parent(), path.name()) {
        (Some(parent), Some(name)) => {
            assert_eq!(parent.child(name), *path);
            assert_eq!(parent.depth() + 1, path.depth());
            assert_eq!(path.below(&parent).unwrap().name(), Some(name));
            assert_eq!(parent.below(path), None);
        }
        (None, None) => assert!(path.is_root()),
        other => panic!("{path:?} has {other:?}"),
    }
}

/// A tree of one account at `/drive`, whose folders are good for `list_ttl`, that takes every change and forgets it.
pub(crate) async fn tree(list_ttl: &str) -> (Arc<Tree>, config::Config, Folder) {
    let folder = Folder::new();
    let text = format!(
        "[server]\nstate_dir = {0:?}\n[cache]\nlist_ttl = {list_ttl:?}\nstale = \"0s\"\n[upload]\nspool_limit = \"1MiB\"\n\
         [[user]]\nname = \"me\"\npassword = \"secret\"\n\
         [[mount]]\npath = \"/drive\"\nkind = \"account\"\naccess_token = \"t\"\n",
        folder.0
    );
    let config = config::parse(&text, &folder.0.join("dav.toml")).unwrap();
    let state = Arc::new(State::open(&config.server.state_dir).unwrap());
    let spool = Spool::open(&config.upload.spool_dir, config.upload.spool_limit, |_| false).unwrap();
    let drives: Vec<Arc<dyn Drive>> = vec![Arc::new(Rows)];
    let tree = Tree::new(&config, drives, state, None, spool).await.unwrap();
    (tree, config, folder)
}

/// Forgets what clients have stored beside the drive.
pub(crate) async fn forget(tree: &Tree) {
    for mount in tree.mounts() {
        if tree.state.has_properties(&mount.identity()) {
            for id in 0..=NEW {
                tree.state.forget(&mount.identity(), id).await.unwrap();
            }
        }
    }
}

/// A folder of the process that goes with it.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("dav123-fuzz-{}-{number}", std::process::id());
        Self(std::env::temp_dir().join(name))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Members of a folder: `(id, name, folder)`.
const ROWS: [&[(i64, &str, bool)]; 3] = [
    &[
        (1, "folder", true),
        (2, "empty", true),
        (3, "notes.txt", false),
        (4, "电影 & <b>\"x\".mkv", false),
    ],
    &[(5, "film.mkv", false), (6, "u\u{308}ber.txt", false)],
    &[],
];
/// Id of whatever is new.
const NEW: i64 = 7;

thread_local! {
    /// Where the drive was changed: ids of folders.
    static CHANGED: RefCell<Vec<i64>> = const { RefCell::new(Vec::new()) };
}

/// The folders in which something was changed since this was asked last, by their ids: 0 is `/drive`, 1 is `/drive/folder`.
pub(crate) fn changed() -> Vec<i64> {
    CHANGED.take()
}

fn note(folder: Id) {
    CHANGED.with_borrow_mut(|changed| changed.push(folder.0));
}

#[derive(Debug)]
struct Rows;

fn entry(id: i64, name: &str, kind: Kind) -> Entry {
    let file = kind == Kind::File;
    Entry {
        id: Id(id),
        name: name.into(),
        kind,
        size: file.then_some(1000),
        modified: 784_111_777,
        created: 784_111_776,
        md5: (id == 3).then_some([0xAB; 16]),
        locator: Arc::from(""),
    }
}

struct OnePage(Option<Vec<Entry>>);

impl Lister for OnePage {
    fn next(&mut self) -> DriveFuture<'_, Option<Page>> {
        let page = self.0.take().map(|entries| Page {
            entries,
            restarted: false,
        });
        Box::pin(async move { Ok(page) })
    }
}

impl Drive for Rows {
    fn capability(&self) -> Capability {
        Capability {
            write: true,
            quota: true,
        }
    }

    fn root(&self) -> Id {
        Id(0)
    }

    fn identity(&self) -> Option<String> {
        Some("rows".into())
    }

    fn list(&self, folder: Id) -> Box<dyn Lister> {
        let rows = ROWS.get(folder.0 as usize).copied().unwrap_or_default();
        let entries = rows.iter().map(|(id, name, folder)| {
            let kind = if *folder { Kind::Folder } else { Kind::File };
            entry(*id, name, kind)
        });
        Box::new(OnePage(Some(entries.collect())))
    }

    fn link<'a>(&'a self, file: &'a Entry, _: LinkWish) -> DriveFuture<'a, Link> {
        Box::pin(async move {
            Ok(Link {
                url: format!("https://cdn.invalid/{}?auth_key=s", file.id.0).into(),
                until: SystemTime::now() + std::time::Duration::from_secs(3600),
                referers: Vec::new(),
                headers: Vec::new(),
                open_to_all: true,
            })
        })
    }

    fn quota(&self) -> DriveFuture<'_, Option<Quota>> {
        Box::pin(async {
            Ok(Some(Quota {
                used: 7,
                total: Some(9),
            }))
        })
    }

    fn create_folder<'a>(&'a self, parent: Id, name: &'a str) -> DriveFuture<'a, Entry> {
        note(parent);
        Box::pin(async move { Ok(entry(NEW, name, Kind::Folder)) })
    }

    fn relocate<'a>(&'a self, old: &'a Entry, from: Id, to: Id, name: &'a str) -> DriveFuture<'a, Entry> {
        note(from);
        note(to);
        let name = name.into();
        Box::pin(async move { Ok(Entry { name, ..old.clone() }) })
    }

    fn copy<'a>(&'a self, old: &'a Entry, _: Id, to: Id, name: &'a str) -> DriveFuture<'a, Entry> {
        note(to);
        Box::pin(async move { Ok(entry(NEW, name, old.kind)) })
    }

    fn remove<'a>(&'a self, _: &'a Entry, parent: Id) -> DriveFuture<'a, ()> {
        note(parent);
        Box::pin(async { Ok(()) })
    }

    fn begin_upload<'a>(&'a self, file: &'a NewFile) -> DriveFuture<'a, Begun> {
        note(file.parent);
        Box::pin(async move {
            if file.name.is_empty() {
                return Err(Error::new(ErrorKind::BadName, "A file has a name."));
            }
            let stored = Entry {
                size: Some(file.size),
                md5: Some(file.md5),
                ..entry(NEW, &file.name, Kind::File)
            };
            Ok(Begun::Done(stored))
        })
    }
}

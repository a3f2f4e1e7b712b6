//! The tree: paths, mounts and caches over drives. What everyone above talks to.

pub mod path;

pub use path::{PathError, TreePath, encode_segment};

use std::sync::Arc;

use crate::config;
use crate::drive::{Drive, Entry, Error, Link, LinkWish, Quota};

/// One mount of the tree.
#[derive(Debug)]
pub struct Mount {
    /// Where in the tree.
    pub path: TreePath,
    /// What stands behind it.
    pub drive: Arc<dyn Drive>,
    /// Its configuration.
    pub settings: Arc<config::Mount>,
}

/// A resource of the tree (RFC 4918): a file, a folder, or a folder that exists only because a
/// mount lies below it.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Where it is.
    pub path: TreePath,
    /// The mount it belongs to; `None` for a folder that exists only because a mount lies below it.
    pub mount: Option<Arc<Mount>>,
    /// Its row. For the root of a mount and for folders between mounts: a folder named like the
    /// last path segment.
    pub entry: Arc<Entry>,
}

impl Resource {
    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.entry.is_folder()
    }
}

/// The tree. Shared by all requests behind an `Arc`.
#[derive(Debug)]
pub struct Tree {}

impl Tree {
    /// Finds the resource of a path; asks for listings that are not known, one level after the other.
    ///
    /// # Errors
    /// `NotFound` only where a whole listing lacks the name; every failure of a drive as it is.
    pub async fn resolve(&self, path: &TreePath) -> Result<Resource, Error> {
        let _ = path;
        todo!()
    }

    /// Begins to list a folder. When this returns, the first members are in hand (or the folder is known
    /// to be empty); a failure before them is the error.
    ///
    /// # Errors
    /// `NotAFolder` for a file; every failure of a drive as it is.
    pub async fn list(&self, folder: &Resource) -> Result<Members, Error> {
        let _ = folder;
        todo!()
    }

    /// A link for the bytes of a file: remembered, and asked once for all who wait.
    ///
    /// # Errors
    /// `IsAFolder` for a folder; every failure of a drive as it is.
    pub async fn link(&self, file: &Resource, wish: LinkWish) -> Result<Arc<Link>, Error> {
        let _ = (file, wish);
        todo!()
    }

    /// The quota of the mount that the resource belongs to, where it is known; remembered for a short time.
    ///
    /// # Errors
    /// Every failure of a drive as it is.
    pub async fn quota(&self, resource: &Resource) -> Result<Option<Quota>, Error> {
        let _ = resource;
        todo!()
    }

    /// The mounts, in the order of the configuration.
    pub fn mounts(&self) -> &[Arc<Mount>] {
        todo!()
    }
}

/// The members of a folder, chunk by chunk, as pages arrive.
#[derive(Debug)]
pub struct Members {}

impl Members {
    /// The next members; `None` at the end of a whole listing. A failure means that what was given
    /// so far is not the folder: the answer built from it must break, never end well-formed.
    ///
    /// # Errors
    /// Every failure of a drive as it is.
    pub async fn next(&mut self) -> Result<Option<Chunk>, Error> {
        todo!()
    }
}

/// Some members of a folder, shared with the cache: derefs to a slice of entries.
#[derive(Debug)]
pub struct Chunk {
    entries: Arc<[Entry]>,
}

impl std::ops::Deref for Chunk {
    type Target = [Entry];
    fn deref(&self) -> &[Entry] {
        &self.entries
    }
}

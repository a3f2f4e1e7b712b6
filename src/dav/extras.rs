//! What stands beside an entry's own row: dead properties, and locks. Most folders have neither, which is found out once.

use std::sync::Arc;

use super::lock::LockTable;
use crate::drive::Entry;
use crate::tree::{DeadProperty, Mount, Resource, Tree, TreePath};

/// Where dead properties and locks of a resource and its members are looked up.
#[derive(Debug)]
pub struct Extras {
    tree: Arc<Tree>,
    locks: Arc<LockTable>,
    /// The mount, if any file in it has dead properties.
    with_properties: Option<Arc<Mount>>,
    locked: bool,
    path: TreePath,
    /// The user's root, which hrefs begin below.
    root: TreePath,
    /// The percent-encoded prefix of hrefs.
    prefix: String,
}

impl Extras {
    pub(super) fn new(
        tree: &Arc<Tree>,
        locks: &Arc<LockTable>,
        of: &Resource,
        root: &TreePath,
        prefix: &str,
    ) -> Self {
        Self {
            with_properties: of.mount.clone().filter(|mount| tree.has_properties(mount)),
            locked: !locks.is_empty(),
            tree: tree.clone(),
            locks: locks.clone(),
            path: of.path.clone(),
            root: root.clone(),
            prefix: prefix.to_owned(),
        }
    }

    /// Dead properties of the resource or of a member.
    pub(super) fn dead(&self, entry: &Entry) -> Vec<DeadProperty> {
        match &self.with_properties {
            Some(mount) => self.tree.properties_of(mount, entry),
            None => Vec::new(),
        }
    }

    /// The `D:activelock` elements of the resource (no name) or of a member.
    pub(super) fn locks(&self, member: Option<&str>) -> Vec<u8> {
        if !self.locked {
            return Vec::new();
        }
        let path = member.map_or_else(|| self.path.clone(), |name| self.path.child(name));
        self.locks.active(&path, |locked| {
            super::href(&self.prefix, &locked.below(&self.root).unwrap_or_default(), false)
        })
    }
}

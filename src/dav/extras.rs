//! What stands beside an entry's own row: dead properties, and locks. Most folders have neither, which is found out once.

use std::sync::Arc;

use super::lock::Around;
use super::lock_view::LockTable;
use crate::drive::Entry;
use crate::tree::{DeadProperty, Mount, Resource, Tree, TreePath};

/// Where dead properties and locks of a resource and its members are looked up.
#[derive(Debug)]
pub struct Extras {
    tree: Arc<Tree>,
    /// The mount, if any file in it has dead properties.
    with_properties: Option<Arc<Mount>>,
    /// The locks as they were when the listing began.
    locks: Around,
}

impl Extras {
    /// Those of a resource and its members. `root` is the user's, `prefix` (percent-encoded) what hrefs begin with.
    pub(super) fn new(
        tree: &Arc<Tree>,
        locks: &LockTable,
        of: &Resource,
        root: &TreePath,
        prefix: &str,
    ) -> Self {
        Self {
            with_properties: of.mount.clone().filter(|mount| tree.has_properties(mount)),
            locks: locks.around(&of.path, |locked| {
                super::href(prefix, &locked.below(root).unwrap_or_default(), false)
            }),
            tree: tree.clone(),
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
        member.map_or_else(|| self.locks.own.clone(), |name| self.locks.of(name))
    }
}

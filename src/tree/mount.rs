//! The mount table: which mount a path belongs to, and which mounts lie below it.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::TreePath;
use crate::config;
use crate::drive::Drive;

/// One mount of the tree.
#[derive(Debug)]
pub struct Mount {
    /// Its place in the configuration, from 0.
    pub index: usize,
    /// Names the rows behind it in caches: the `index` of the first mount of the same [`Drive::identity`].
    pub store: usize,
    /// Where in the tree.
    pub path: TreePath,
    /// What stands behind it.
    pub drive: Arc<dyn Drive>,
    /// Its configuration.
    pub settings: Arc<config::Mount>,
}

impl Mount {
    /// Names the rows behind it in the state store, across runs.
    pub fn identity(&self) -> String {
        self.drive
            .identity()
            .unwrap_or_else(|| format!("mount {}", self.path))
    }
}

/// All mounts, in the order of the configuration. Their paths are unique.
#[derive(Debug)]
pub(super) struct MountTable {
    mounts: Vec<Arc<Mount>>,
}

/// What mounts add to the members of a folder.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Below {
    /// Names at which a mount stands: they hide the drive's member of the same name.
    pub mounts: BTreeSet<String>,
    /// Names under which a mount lies deeper: shown even if the drive has no such member.
    pub bridges: BTreeSet<String>,
}

impl MountTable {
    pub(super) fn new(mounts: Vec<Arc<Mount>>) -> Self {
        Self { mounts }
    }

    pub(super) fn all(&self) -> &[Arc<Mount>] {
        &self.mounts
    }

    /// The mount with the longest path at or above `path`, and what is left of `path` below it.
    pub(super) fn owner(&self, path: &TreePath) -> Option<(&Arc<Mount>, TreePath)> {
        self.mounts
            .iter()
            .filter_map(|mount| Some((mount, path.below(&mount.path)?)))
            .max_by_key(|(mount, _)| mount.path.depth())
    }

    /// The names that mounts add directly below `folder`.
    pub(super) fn below(&self, folder: &TreePath) -> Below {
        let mut below = Below::default();
        for mount in &self.mounts {
            let Some(rest) = mount.path.below(folder) else {
                continue;
            };
            let mut segments = rest.segments();
            match (segments.next(), segments.next()) {
                (Some(name), None) => below.mounts.insert(name.to_owned()),
                (Some(name), Some(_)) => below.bridges.insert(name.to_owned()),
                (None, _) => continue,
            };
        }
        below.bridges.retain(|name| !below.mounts.contains(name));
        below
    }

    /// Whether some mount lies strictly below `path`.
    pub(super) fn any_below(&self, path: &TreePath) -> bool {
        self.mounts
            .iter()
            .any(|mount| mount.path.below(path).is_some_and(|rest| !rest.is_root()))
    }
}

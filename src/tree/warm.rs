//! Warming up: the folders below a path are listed one after the other, so that who comes later finds them known.
//!
//! What is known well enough is not asked again, so a warm-up that was cut off goes on where it was.

use std::sync::Arc;

use super::{Resource, Tree, TreePath};
use crate::drive::Error;

/// What a warm-up has seen so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Warmed {
    /// Folders that were looked at.
    pub folders: u64,
    /// Of these, folders that 123pan was asked for.
    pub asked: u64,
    /// Members in all of them.
    pub entries: u64,
}

impl Tree {
    /// Lists a folder and all below it; `seen` is told after each, and ends the walk by `false`.
    ///
    /// # Errors
    /// Failures of a drive as they are: what was listed stays known.
    pub async fn warm(
        self: &Arc<Self>,
        path: &TreePath,
        mut seen: impl FnMut(Warmed) -> bool,
    ) -> Result<Warmed, Error> {
        let mut warmed = Warmed::default();
        let mut ahead = vec![path.clone()];
        while let Some(path) = ahead.pop() {
            let folder = match self.resolve(&path).await {
                // It has gone while we came.
                Err(error) if error.kind() == crate::drive::ErrorKind::NotFound && warmed.folders > 0 => {
                    continue;
                }
                folder => folder?,
            };
            if !folder.is_folder() {
                continue;
            }
            warmed.folders += 1;
            let known = self.is_known(&folder).await;
            warmed.asked += u64::from(!known);
            if !known {
                // To its end: only a whole listing is kept.
                self.refresh(&folder);
            }
            let mut members = self.list(&folder).await?;
            let first = ahead.len();
            while let Some(chunk) = members.next().await? {
                warmed.entries += chunk.len() as u64;
                let folders = chunk.iter().filter(|entry| entry.is_folder());
                ahead.extend(folders.map(|entry| path.child(&entry.name)));
            }
            ahead[first..].reverse();
            if !seen(warmed) {
                break;
            }
        }
        Ok(warmed)
    }

    /// Whether a folder is known well enough to be shown.
    async fn is_known(&self, folder: &Resource) -> bool {
        match &folder.mount {
            Some(mount) => self.listings.is_known((mount.store, folder.entry.id)).await,
            None => true,
        }
    }
}

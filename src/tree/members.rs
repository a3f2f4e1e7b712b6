//! The members of a folder: those of mounts and of waiting files first, then the drive's as its pages arrive.

use std::collections::BTreeSet;

use super::follow::Follower;
use super::listing::Chunk;
use super::mount::Below;
use super::{Resource, Tree, folder};
use crate::drive::{Entry, Error, ErrorKind, Id};

/// The members of a folder, chunk by chunk, as pages arrive.
#[derive(Debug)]
pub struct Members {
    /// Chunks in hand, last one first.
    ahead: Vec<Chunk>,
    follower: Option<Follower>,
    /// Names given already, of mounts and waiting files: the drive's member of that name is not shown.
    hidden: BTreeSet<String>,
    /// Names that lead to a mount and have not been seen in the drive yet.
    bridges: BTreeSet<String>,
}

impl Tree {
    /// Begins to list a folder. When this returns, the first members are in hand (or the folder is known
    /// to be empty); a failure before them is the error.
    ///
    /// # Errors
    /// `NotAFolder` for a file; every failure of a drive as it is.
    pub async fn list(&self, of: &Resource) -> Result<Members, Error> {
        if !of.is_folder() {
            return Err(Error::new(ErrorKind::NotAFolder, "This is a file, not a folder."));
        }
        let Below { mounts, mut bridges } = self.mounts.below(&of.path);
        let mut first: Vec<Entry> = mounts.iter().map(|name| folder(name, Id::default())).collect();
        match &of.mount {
            // Read before the drive's listing: a file that reaches the drive meanwhile is shown once.
            Some(mount) => first.extend(
                self.pending
                    .members(mount.store, of.entry.id)
                    .into_iter()
                    .filter(|entry| !mounts.contains(&*entry.name)),
            ),
            None => {
                let bridges = std::mem::take(&mut bridges);
                first.extend(bridges.iter().map(|name| folder(name, Id::default())));
            }
        }
        let follower = match &of.mount {
            Some(mount) => {
                let source = self.listings.open((mount.store, of.entry.id), &mount.drive).await;
                Some(source.follow())
            }
            None => None,
        };
        let mut members = Members {
            ahead: Vec::new(),
            hidden: first.iter().map(|entry| entry.name.to_string()).collect(),
            bridges,
            follower,
        };
        let drives = members.drives_next().await?;
        members.ahead.extend(drives);
        if !first.is_empty() {
            members.ahead.push(first.into());
        }
        Ok(members)
    }
}

impl Members {
    /// The next members; `None` at the end of a whole listing. A failure means that what was given
    /// so far is not the folder: the answer built from it must break, never end well-formed.
    ///
    /// # Errors
    /// Every failure of a drive as it is.
    pub async fn next(&mut self) -> Result<Option<Chunk>, Error> {
        match self.ahead.pop() {
            Some(chunk) => Ok(Some(chunk)),
            None => self.drives_next().await,
        }
    }

    async fn drives_next(&mut self) -> Result<Option<Chunk>, Error> {
        while let Some(follower) = &mut self.follower {
            let Some(chunk) = follower.next().await? else {
                self.follower = None;
                break;
            };
            self.bridges
                .retain(|name| !chunk.iter().any(|entry| *entry.name == **name));
            if self.hidden.is_empty() || !chunk.iter().any(|entry| self.hidden.contains(&*entry.name)) {
                return Ok(Some(chunk));
            }
            let shown: Vec<Entry> = chunk
                .iter()
                .filter(|entry| !self.hidden.contains(&*entry.name))
                .cloned()
                .collect();
            if !shown.is_empty() {
                return Ok(Some(shown.into()));
            }
        }
        let bridges = std::mem::take(&mut self.bridges);
        if bridges.is_empty() {
            return Ok(None);
        }
        Ok(Some(
            bridges
                .iter()
                .map(|name| folder(name, Id::default()))
                .collect::<Vec<_>>()
                .into(),
        ))
    }
}

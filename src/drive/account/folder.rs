//! A folder is copied by walking through it: each folder is made, then its files are copied as the pages
//! of its listing come, then its folders follow. Nothing is kept of a folder but the ids done and its
//! folders to come. On a failure what is copied stays (RFC 4918 9.8.3 allows it); the original is never
//! touched.

use std::collections::HashSet;

use super::Account;
use super::relocate::Place;
use super::staging::Staging;
use crate::drive::{Entry, Error, Id, Lister};

/// A folder that is still to be copied.
struct Ahead {
    original: Id,
    /// The folder its copy belongs in.
    into: Id,
    name: Box<str>,
}

impl Account {
    /// Copies a folder with all that is below it.
    pub(super) async fn copy_folder(
        &self,
        folder: &Entry,
        target: Place<'_>,
        staging: &mut Staging,
    ) -> Result<Entry, Error> {
        let top = self.create_folder(target.folder, target.name).await?;
        let mut ahead = Vec::new();
        self.copy_members(folder.id, &top, &top, staging, &mut ahead)
            .await?;
        while let Some(next) = ahead.pop() {
            let copy = self.create_folder(next.into, &next.name).await?;
            self.copy_members(next.original, &copy, &top, staging, &mut ahead)
                .await?;
        }
        Ok(top)
    }

    /// Copies the files of a folder, and notes its folders.
    async fn copy_members(
        &self,
        original: Id,
        copy: &Entry,
        top: &Entry,
        staging: &mut Staging,
        ahead: &mut Vec<Ahead>,
    ) -> Result<(), Error> {
        let mut lister = self.list(original);
        // A listing that begins anew shows rows again.
        let mut seen = HashSet::new();
        while let Some(page) = lister.next().await? {
            for entry in page.entries {
                // A copy below its original would never end.
                if entry.id == top.id || !seen.insert(entry.id) {
                    continue;
                }
                if entry.is_folder() {
                    ahead.push(Ahead {
                        original: entry.id,
                        into: copy.id,
                        name: entry.name,
                    });
                } else {
                    let target = Place {
                        folder: copy.id,
                        name: &entry.name,
                    };
                    self.copy_file(&entry, original, target, staging).await?;
                }
            }
        }
        Ok(())
    }
}

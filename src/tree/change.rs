//! What changes the tree: folders made, moved, copied, removed. (Files that are put are in `put`.)
//!
//! Every change is made at the drive first and then in the cache, in place: the next PROPFIND, GET and HEAD, of
//! whoever, show it without a new listing. Each runs in a task of its own: a client that leaves in the middle does
//! not leave a half-made change behind.

use std::future::Future;
use std::sync::Arc;

use super::listing::Change;
use super::put::Put;
use super::{Mount, Resource, Tree, TreePath};
use crate::config::Access;
use crate::drive::{DriveFuture, Entry, Error, ErrorKind, Id, Urgency};

/// Where something is to be: a free or taken name in a folder that can be written to.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) path: TreePath,
    pub(super) mount: Arc<Mount>,
    pub(super) folder: Id,
    pub(super) name: String,
}

impl Tree {
    /// Makes a folder (MKCOL).
    ///
    /// # Errors
    /// `Exists`; `NotFound` where the parent is missing; `ReadOnly`; every failure of a drive as it is.
    pub async fn create_folder(self: &Arc<Self>, path: &TreePath) -> Result<Resource, Error> {
        let (tree, path) = (self.clone(), path.clone());
        finish(async move {
            let place = tree.place(&path).await?;
            if tree.member(&place).await?.is_some() {
                return Err(exists());
            }
            let entry = place.mount.drive.create_folder(place.folder, &place.name).await;
            let entry = tree.known_better(&place, entry)?;
            tree.listings.made((place.mount.store, entry.id));
            Ok(tree.shown(&place, entry))
        })
        .await
    }

    /// Removes a file, or a folder with all that is in it, in one step.
    ///
    /// # Errors
    /// `Forbidden` for the root of a mount and for folders that mounts lie in; `ReadOnly`; failures of the drive.
    pub async fn remove(self: &Arc<Self>, resource: &Resource) -> Result<(), Error> {
        let (tree, resource) = (self.clone(), resource.clone());
        finish(async move { tree.remove_now(&resource).await }).await
    }

    pub(super) async fn remove_now(self: &Arc<Self>, resource: &Resource) -> Result<(), Error> {
        let place = self.taken_place(resource).await?;
        self.cancel_pending(&resource.path).await?;
        if is_local(&resource.entry) {
            // It may have hidden the older file that it was to replace.
            return match self.drives_member(&place).await? {
                Some(old) => self.remove_from_drive(&place, &old).await,
                None => Ok(()),
            };
        }
        self.remove_from_drive(&place, &resource.entry).await
    }

    pub(super) async fn remove_from_drive(&self, place: &Place, entry: &Entry) -> Result<(), Error> {
        match place.mount.drive.remove(entry, place.folder).await {
            Ok(()) => {}
            // Somebody else was faster: what was wanted is so.
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        self.hidden_now(place, entry);
        if entry.is_folder() {
            self.listings.forget((place.mount.store, entry.id));
        }
        self.forget_state(&place.mount, entry.id).await
    }

    /// Moves a file or folder to a path; with `overwrite` what is there is replaced. Across drives it is copied and then
    /// removed.
    ///
    /// # Errors
    /// `Exists` without `overwrite`; `Forbidden` into itself and for mount roots; `ReadOnly`; failures of the drive.
    pub async fn relocate(
        self: &Arc<Self>,
        resource: &Resource,
        to: &TreePath,
        overwrite: bool,
    ) -> Result<Resource, Error> {
        let (tree, resource, to) = (self.clone(), resource.clone(), to.clone());
        finish(async move {
            let from = tree.taken_place(&resource).await?;
            let (place, aside) = tree.cleared_place(&resource, &to, overwrite).await?;
            let moved = tree.move_to(&resource, &from, &place).await;
            tree.settled(aside, moved).await
        })
        .await
    }

    async fn move_to(
        self: &Arc<Self>,
        resource: &Resource,
        from: &Place,
        place: &Place,
    ) -> Result<Resource, Error> {
        if is_local(&resource.entry) {
            return self.move_pending(resource, place).await;
        }
        if from.mount.store != place.mount.store {
            let copied = self.copy_into(resource, place, false).await?;
            self.remove_now(resource).await?;
            return Ok(copied);
        }
        let moved = from
            .mount
            .drive
            .relocate(&resource.entry, from.folder, place.folder, &place.name)
            .await;
        let moved = self.known_better(from, moved)?;
        self.hidden_now(from, &resource.entry);
        self.move_pending_below(&resource.path, &place.path).await?;
        let moved = Entry {
            modified: resource.entry.modified,
            ..moved
        };
        Ok(self.shown(place, moved))
    }

    /// Copies a file, or a folder with all that is in it (`shallow`: without), to a path.
    ///
    /// # Errors
    /// As [`Tree::relocate`].
    pub async fn copy(
        self: &Arc<Self>,
        resource: &Resource,
        to: &TreePath,
        shallow: bool,
        overwrite: bool,
    ) -> Result<Resource, Error> {
        let (tree, resource, to) = (self.clone(), resource.clone(), to.clone());
        finish(async move {
            let (place, aside) = tree.cleared_place(&resource, &to, overwrite).await?;
            let copied = tree.copy_into(&resource, &place, shallow).await;
            tree.settled(aside, copied).await
        })
        .await
    }

    async fn copy_into(
        self: &Arc<Self>,
        resource: &Resource,
        place: &Place,
        shallow: bool,
    ) -> Result<Resource, Error> {
        let copied = if resource.is_folder() && shallow {
            let made = place.mount.drive.create_folder(place.folder, &place.name).await;
            self.known_better(place, made)?
        } else {
            let same = resource
                .mount
                .as_ref()
                .filter(|mount| mount.store == place.mount.store);
            match same {
                Some(mount) if !is_local(&resource.entry) && !self.has_pending_below(&resource.path) => {
                    let from = resource.path.parent().unwrap_or_default();
                    let from = self.resolve(&from).await?.entry.id;
                    let (drive, name) = (&mount.drive, &place.name);
                    match drive.copy(&resource.entry, from, place.folder, name).await {
                        Err(error) if error.kind() == ErrorKind::Unsupported => {
                            return self.copy_bytes(resource, place).await;
                        }
                        copied => self.known_better(place, copied)?,
                    }
                }
                _ => return self.copy_bytes(resource, place).await,
            }
        };
        self.copy_state(resource, &place.mount, copied.id).await?;
        Ok(self.shown(place, copied))
    }

    /// Copies by known MD5, or by moving the bytes through the spool.
    ///
    /// Boxed, because it calls [`Tree::copy_into`] for the members of a folder.
    fn copy_bytes<'a>(
        self: &'a Arc<Self>,
        resource: &'a Resource,
        place: &'a Place,
    ) -> DriveFuture<'a, Resource> {
        Box::pin(async move {
            if resource.is_folder() {
                self.copy_members(resource, place).await
            } else {
                self.copy_file(resource, place).await
            }
        })
    }

    async fn copy_members(self: &Arc<Self>, resource: &Resource, place: &Place) -> Result<Resource, Error> {
        let made = place.mount.drive.create_folder(place.folder, &place.name).await;
        let made = self.known_better(place, made)?;
        let made = self.shown(place, made);
        let mut members = self.list(resource).await?;
        while let Some(chunk) = members.next().await? {
            for entry in chunk.iter() {
                let member = self.resolve(&resource.path.child(&entry.name)).await?;
                let inside = Place {
                    path: made.path.child(&entry.name),
                    mount: place.mount.clone(),
                    folder: made.entry.id,
                    name: entry.name.to_string(),
                };
                self.copy_into(&member, &inside, false).await?;
            }
        }
        Ok(made)
    }

    async fn copy_file(self: &Arc<Self>, file: &Resource, place: &Place) -> Result<Resource, Error> {
        let put = Put {
            size: file.entry.size,
            md5: file.entry.md5,
            sha1: None,
            modified: Some(file.entry.modified).filter(|time| *time > 0),
        };
        let mut receiving = self.receive_at(place.clone(), put).await?;
        if !receiving.is_known() {
            let mut bytes = self.read(file).await?;
            while let Some(frame) = bytes.next().await? {
                receiving.write(frame).await?;
            }
        }
        receiving.commit().await
    }

    /// The folder and name of a path that is to be written.
    ///
    /// # Errors
    /// `NotFound` where the parent is missing, `ReadOnly`, `Forbidden` for roots.
    pub(super) async fn place(&self, path: &TreePath) -> Result<Place, Error> {
        let (Some(above), Some(name)) = (path.parent(), path.name()) else {
            return Err(forbidden("The root of the tree cannot be changed."));
        };
        if self.mounts().iter().any(|mount| mount.path == *path) {
            return Err(forbidden(
                "A mount is changed in the configuration, not by a client.",
            ));
        }
        let parent = self.resolve(&above).await?;
        if !parent.is_folder() {
            return Err(Error::new(
                ErrorKind::NotAFolder,
                "A file cannot hold other files.",
            ));
        }
        let Some(mount) = parent.mount else {
            return Err(Error::new(
                ErrorKind::ReadOnly,
                "This folder only holds mounts and cannot be changed.",
            ));
        };
        if mount.settings.access == Access::ReadOnly || !mount.drive.capability().write {
            return Err(Error::new(ErrorKind::ReadOnly, "This mount can only be read."));
        }
        Ok(Place {
            path: path.clone(),
            mount,
            folder: parent.entry.id,
            name: name.to_owned(),
        })
    }

    /// The place of something that is there and is to be moved or removed.
    pub(super) async fn taken_place(&self, resource: &Resource) -> Result<Place, Error> {
        let place = self.place(&resource.path).await?;
        if resource.mount.is_none() || self.mounts.any_below(&resource.path) {
            return Err(forbidden("A mount lies in this folder, so it stays where it is."));
        }
        Ok(place)
    }

    /// The place of a target, outside the resource itself.
    pub(super) async fn target_place(&self, resource: &Resource, to: &TreePath) -> Result<Place, Error> {
        if to.below(&resource.path).is_some() {
            return Err(forbidden("A folder cannot be moved or copied into itself."));
        }
        let place = self.place(to).await?;
        place.mount.drive.accepts_name(&place.name)?;
        Ok(place)
    }

    /// What stands at a place now.
    pub(super) async fn member(&self, place: &Place) -> Result<Option<Entry>, Error> {
        self.find(&place.mount, place.folder, &place.name).await
    }

    /// Shows a row that the drive has now.
    pub(super) fn shown(&self, place: &Place, entry: Entry) -> Resource {
        self.listings
            .change((place.mount.store, place.folder), Change::Put(entry.clone()));
        Resource {
            path: place.path.clone(),
            mount: Some(place.mount.clone()),
            entry: Arc::new(entry),
        }
    }

    fn hidden_now(&self, place: &Place, entry: &Entry) {
        self.listings
            .change((place.mount.store, place.folder), Change::Remove(entry.id));
    }

    /// A drive that says `Exists` or `NotFound` against our listing knows better: the listing is asked anew next time.
    pub(super) fn known_better<T>(&self, place: &Place, outcome: Result<T, Error>) -> Result<T, Error> {
        if let Err(error) = &outcome
            && matches!(error.kind(), ErrorKind::Exists | ErrorKind::NotFound)
        {
            self.listings.forget((place.mount.store, place.folder));
        }
        outcome
    }
}

/// Runs a change to its end even when its caller is dropped.
pub(super) async fn finish<T, F>(change: F) -> Result<T, Error>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Error>> + Send + 'static,
{
    match tokio::spawn(Urgency::current().scope(change)).await {
        Ok(outcome) => outcome,
        Err(_) => Err(Error::new(
            ErrorKind::Nonsense,
            "The change was cut off; look at the folder again.",
        )),
    }
}

/// Whether an entry is only ours so far: local ids are negative, the service's are not.
pub(super) fn is_local(entry: &Entry) -> bool {
    entry.id.0 < 0
}

fn forbidden(sentence: &str) -> Error {
    Error::new(ErrorKind::Forbidden, sentence)
}

pub(super) fn exists() -> Error {
    Error::new(ErrorKind::Exists, "There is something of that name already.")
}

//! Changes onto a taken name (`Overwrite: T`, RFC 4918 10.6): what stands there is set aside under a name that nobody
//! has, and removed when the change has come through. If that fails, it is put back: at no moment is it lost.
//!
//! 123pan has no call that does this at once, and no source says what it makes of two equal names (API page, question 8).
//! After a crash in the middle the old one is in its folder as `.dav123-…-name`.

use std::sync::Arc;

use super::change::{Place, is_local};
use super::listing::Change;
use super::{Resource, Tree, TreePath};
use crate::drive::{Entry, Error, temporary_name};

/// What was set aside.
#[derive(Debug)]
pub(super) struct Aside {
    /// Where it belongs.
    home: Place,
    /// Where it is, under its name for the time being.
    resource: Resource,
    place: Place,
}

impl Tree {
    /// Sets aside what stands at a place; `None` where nothing does.
    ///
    /// # Errors
    /// `Forbidden` for roots and folders that mounts lie in; failures of the drive.
    pub(super) async fn set_aside(self: &Arc<Self>, place: &Place) -> Result<Option<Aside>, Error> {
        let Some(entry) = self.member(place).await? else {
            return Ok(None);
        };
        let target = Resource {
            path: place.path.clone(),
            mount: Some(place.mount.clone()),
            entry: Arc::new(entry),
        };
        let home = self.taken_place(&target).await?;
        let name = temporary_name(&home.name);
        let above = home.path.parent().unwrap_or_default();
        let hidden = Place {
            path: above.child(&name),
            name,
            ..home.clone()
        };
        let resource = self.rename_quietly(&target, &home, &hidden).await?;
        Ok(Some(Aside {
            home,
            resource,
            place: hidden,
        }))
    }

    /// The change has come through: what was set aside goes as the mount's `delete` setting says. That it could not be
    /// removed is no failure of the change: it stays under its other name, and is shown.
    pub(super) async fn drop_aside(self: &Arc<Self>, aside: Aside) {
        if let Err(error) = self.remove_now(&aside.resource).await {
            tracing::warn!(path = %aside.place.path, %error, "what was replaced could not be removed");
            if !is_local(&aside.resource.entry) {
                self.shown(&aside.place, Entry::clone(&aside.resource.entry));
            }
        }
    }

    /// The change has failed: what was set aside is put back. Returns what the client is to be told.
    pub(super) async fn put_aside_back(self: &Arc<Self>, aside: Aside, error: Error) -> Error {
        let Aside {
            home,
            resource,
            place,
        } = aside;
        match self.rename_quietly(&resource, &place, &home).await {
            Ok(back) => {
                if !is_local(&back.entry) {
                    self.shown(&home, Entry::clone(&back.entry));
                }
                error
            }
            Err(undo) => {
                tracing::warn!(path = %place.path, error = %undo, "what was to be replaced could not be put back");
                self.listings.forget((home.mount.store, home.folder));
                let what = format!(
                    "{} What was there before is now called \"{}\".",
                    error.sentence(),
                    place.name
                );
                Error::new(error.kind(), what).with_source(error)
            }
        }
    }

    /// Renames within a folder, shown at neither name.
    async fn rename_quietly(
        self: &Arc<Self>,
        resource: &Resource,
        from: &Place,
        to: &Place,
    ) -> Result<Resource, Error> {
        if is_local(&resource.entry) {
            return self.move_pending(resource, to).await;
        }
        let renamed = from
            .mount
            .drive
            .relocate(&resource.entry, from.folder, to.folder, &to.name)
            .await;
        let renamed = self.known_better(from, renamed)?;
        self.listings
            .change((from.mount.store, from.folder), Change::Remove(resource.entry.id));
        self.move_pending_below(&from.path, &to.path).await?;
        Ok(Resource {
            path: to.path.clone(),
            mount: Some(to.mount.clone()),
            entry: Arc::new(Entry {
                modified: resource.entry.modified,
                ..renamed
            }),
        })
    }

    /// The place of a target outside the resource itself, and what was set aside for it.
    ///
    /// # Errors
    /// `Exists` where the name is taken and may not be replaced; as [`Tree::set_aside`].
    pub(super) async fn cleared_place(
        self: &Arc<Self>,
        resource: &Resource,
        to: &TreePath,
        overwrite: bool,
    ) -> Result<(Place, Option<Aside>), Error> {
        let place = self.target_place(resource, to).await?;
        if overwrite {
            let aside = self.set_aside(&place).await?;
            return Ok((place, aside));
        }
        match self.member(&place).await? {
            Some(_) => Err(super::change::exists()),
            None => Ok((place, None)),
        }
    }

    /// Ends what was begun by [`Tree::cleared_place`], as the change has ended.
    pub(super) async fn settled<T>(
        self: &Arc<Self>,
        aside: Option<Aside>,
        outcome: Result<T, Error>,
    ) -> Result<T, Error> {
        match (outcome, aside) {
            (outcome, None) => outcome,
            (Ok(done), Some(aside)) => {
                self.drop_aside(aside).await;
                Ok(done)
            }
            (Err(error), Some(aside)) => Err(self.put_aside_back(aside, error).await),
        }
    }
}

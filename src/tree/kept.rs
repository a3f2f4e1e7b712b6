//! What 123pan does not keep: modification times that clients set, and dead properties (RFC 4918 4).
//!
//! They live in the state store under the drive's identity and the file's id, so that they follow a rename
//! and a move, and go with the file.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::SystemTime;

use super::change::is_local;
use super::listing::Change;
use super::pending::state_error;
use super::{Mount, Resource, Tree};
use crate::drive::{Entry, Error, ErrorKind, Id};

/// Namespace (empty for none) and local name of a property.
pub type PropertyName = (String, String);

/// A property that the server stores without knowing what it means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadProperty {
    /// Its name.
    pub name: PropertyName,
    /// The whole element as well-formed XML with its namespaces declared.
    pub xml: Vec<u8>,
}

/// What is kept for one file.
pub(super) struct Kept {
    modified: Option<i64>,
    properties: HashMap<PropertyName, Vec<u8>>,
}

impl Tree {
    /// Sets the modification time that is shown (`Win32LastModifiedTime`, `DAV:lastmodified`).
    ///
    /// # Errors
    /// Where the state cannot be written; `Forbidden` for folders that no drive has.
    pub async fn set_modified(self: &Arc<Self>, resource: &Resource, time: SystemTime) -> Result<(), Error> {
        let mount = owner(resource)?;
        let since = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let modified = i64::try_from(since.as_secs()).unwrap_or(0);
        self.set_time(mount, resource.entry.id, Some(modified)).await?;
        if let Some(now) = self.sent_as(resource).await? {
            self.set_time(mount, now, Some(modified)).await?;
        }
        if let Some(above) = resource.path.parent() {
            let parent = self.resolve(&above).await?;
            let entry = Entry {
                modified,
                ..(*resource.entry).clone()
            };
            if parent
                .mount
                .as_ref()
                .is_some_and(|parent| parent.store == mount.store)
                && entry.id.0 > 0
            {
                self.listings
                    .change((mount.store, parent.entry.id), Change::Put(entry));
            }
        }
        Ok(())
    }

    /// The dead properties of a resource. Costs nothing where there are none.
    pub fn properties(&self, resource: &Resource) -> Vec<DeadProperty> {
        match &resource.mount {
            Some(mount) => self.properties_of(mount, &resource.entry),
            None => Vec::new(),
        }
    }

    /// The same for a member of a folder.
    pub fn properties_of(&self, mount: &Mount, entry: &Entry) -> Vec<DeadProperty> {
        let rows = self.state.properties(&mount.identity(), entry.id.0);
        rows.into_iter()
            .map(|(name, xml)| DeadProperty { name, xml })
            .collect()
    }

    /// Whether any file of a mount has dead properties: asked once for a whole folder.
    pub fn has_properties(&self, mount: &Mount) -> bool {
        self.state.has_properties(&mount.identity())
    }

    /// Sets (`Some`) and removes (`None`) dead properties, all or none, durably when this returns.
    ///
    /// # Errors
    /// Where the state cannot be written.
    pub async fn set_properties(
        self: &Arc<Self>,
        resource: &Resource,
        changes: Vec<(PropertyName, Option<Vec<u8>>)>,
    ) -> Result<(), Error> {
        let mount = owner(resource)?;
        let id = resource.entry.id;
        self.change_properties(mount, id, changes.clone()).await?;
        match self.sent_as(resource).await? {
            Some(now) => self.change_properties(mount, now, changes).await,
            None => Ok(()),
        }
    }

    async fn change_properties(
        &self,
        mount: &Mount,
        id: Id,
        changes: Vec<(PropertyName, Option<Vec<u8>>)>,
    ) -> Result<(), Error> {
        let drive = mount.identity();
        let set = self.state.set_properties(&drive, id.0, changes);
        set.await.map_err(state_error)
    }

    /// What was changed of a file that waited may have been changed too late: it has reached 123pan, and this is its id there.
    async fn sent_as(&self, resource: &Resource) -> Result<Option<Id>, Error> {
        if !is_local(&resource.entry) || self.content(resource).is_some() {
            return Ok(None);
        }
        Ok(Some(self.resolve(&resource.path).await?.entry.id))
    }

    /// The time and the properties that are kept for a file, as they are now.
    pub(super) fn kept(&self, mount: &Mount, id: Id) -> Kept {
        let drive = mount.identity();
        Kept {
            modified: self.state.modified(&drive, id.0),
            properties: self.state.properties(&drive, id.0).into_iter().collect(),
        }
    }

    /// Makes what was changed of a file since then for another id too: what was removed is removed there.
    pub(super) async fn change_since(
        &self,
        mount: &Mount,
        from: Id,
        before: Kept,
        to: Id,
    ) -> Result<(), Error> {
        let now = self.kept(mount, from);
        if now.modified != before.modified {
            self.set_time(mount, to, now.modified).await?;
        }
        let gone = before
            .properties
            .keys()
            .filter(|name| !now.properties.contains_key(*name));
        let mut changes: Vec<_> = gone.map(|name| (name.clone(), None)).collect();
        for (name, xml) in now.properties {
            if before.properties.get(&name) != Some(&xml) {
                changes.push((name, Some(xml)));
            }
        }
        if changes.is_empty() {
            return Ok(());
        }
        self.change_properties(mount, to, changes).await
    }

    /// Sets the time of a file; `None`: the drive's own time holds.
    pub(super) async fn set_time(&self, mount: &Mount, id: Id, modified: Option<i64>) -> Result<(), Error> {
        let drive = mount.identity();
        if self.state.modified(&drive, id.0) == modified {
            return Ok(());
        }
        self.state
            .set_modified(&drive, id.0, modified)
            .await
            .map_err(state_error)
    }

    /// A file is gone.
    pub(super) async fn forget_state(&self, mount: &Mount, id: Id) -> Result<(), Error> {
        self.state
            .forget(&mount.identity(), id.0)
            .await
            .map_err(state_error)
    }

    /// A file goes on under another id.
    pub(super) async fn adopt_state(&self, mount: &Mount, from: Id, to: Id) -> Result<(), Error> {
        self.state
            .copy(&mount.identity(), from.0, to.0)
            .await
            .map_err(state_error)
    }

    /// A copy has the times and properties of its source (RFC 4918 9.8.2).
    pub(super) async fn copy_state(&self, from: &Resource, mount: &Mount, to: Id) -> Result<(), Error> {
        let properties = self.properties(from);
        if !properties.is_empty() {
            let changes = properties
                .into_iter()
                .map(|property| (property.name, Some(property.xml)))
                .collect();
            self.change_properties(mount, to, changes).await?;
        }
        Ok(())
    }
}

fn owner(resource: &Resource) -> Result<&Arc<Mount>, Error> {
    resource.mount.as_ref().ok_or_else(|| {
        Error::new(
            ErrorKind::Forbidden,
            "This folder only holds mounts and cannot be changed.",
        )
    })
}

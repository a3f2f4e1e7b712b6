//! What changes the tree: folders made, files put, moved, copied, removed.
//!
//! Every change is made at the drive first and then in the cache, in place: the next PROPFIND, GET and HEAD, of
//! whoever, show it without a new listing.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;

use super::{Resource, Tree, TreePath};
use crate::drive::{Content, Error};

/// What a client says of a file before it sends it.
#[derive(Debug, Clone, Default)]
pub struct Put {
    /// Bytes in all: `Content-Length`, or Finder's `X-Expected-Entity-Length`.
    pub size: Option<u64>,
    /// MD5 of the bytes: `OC-Checksum` or `Content-MD5`.
    pub md5: Option<[u8; 16]>,
    /// The time to show as its modification: `X-OC-Mtime`.
    pub modified: Option<SystemTime>,
}

/// A file that is being received. Dropping it gives it up: the old file is untouched.
#[derive(Debug)]
pub struct Receiving {}

impl Receiving {
    /// Whether 123pan has the announced content already (instant upload): the body is not needed, and
    /// [`Receiving::commit`] may be called at once.
    pub fn is_known(&self) -> bool {
        todo!()
    }

    /// Takes the next bytes. Waits while the spool's disk is slow.
    ///
    /// # Errors
    /// `NoSpace` when the spool is full, `TooLarge` past the announced size.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        let _ = bytes;
        todo!()
    }

    /// The file is complete: compares length and MD5 with what was announced, and stores it as the upload mode says.
    /// The call goes on when its caller is dropped.
    ///
    /// # Errors
    /// `ChecksumMismatch` where fewer bytes came than announced, or others; every failure of a drive as it is.
    pub async fn commit(self) -> Result<Resource, Error> {
        todo!()
    }
}

impl Tree {
    /// Makes a folder (MKCOL).
    ///
    /// # Errors
    /// `Exists`; `NotFound` where the parent is missing; `ReadOnly`; every failure of a drive as it is.
    pub async fn create_folder(self: &Arc<Self>, path: &TreePath) -> Result<Resource, Error> {
        let _ = path;
        todo!()
    }

    /// Removes a file, or a folder with all that is in it, in one step.
    ///
    /// # Errors
    /// `Forbidden` for the root of a mount and for folders that mounts lie in; `ReadOnly`; failures of the drive.
    pub async fn remove(self: &Arc<Self>, resource: &Resource) -> Result<(), Error> {
        let _ = resource;
        todo!()
    }

    /// Moves a file or folder to a path that is free. Across mounts files are copied and then removed.
    ///
    /// # Errors
    /// `Exists`; `Forbidden` into itself and for mount roots; `ReadOnly`; failures of the drive.
    pub async fn relocate(self: &Arc<Self>, resource: &Resource, to: &TreePath) -> Result<Resource, Error> {
        let _ = (resource, to);
        todo!()
    }

    /// Copies a file, or a folder with all that is in it (`shallow`: without), to a path that is free.
    ///
    /// # Errors
    /// As [`Tree::relocate`].
    pub async fn copy(
        self: &Arc<Self>,
        resource: &Resource,
        to: &TreePath,
        shallow: bool,
    ) -> Result<Resource, Error> {
        let _ = (resource, to, shallow);
        todo!()
    }

    /// Begins to receive a file. Nothing changes before [`Receiving::commit`].
    ///
    /// # Errors
    /// `NotFound` where the parent is missing, `IsAFolder`, `BadName`, `ReadOnly`, `NoSpace` where the announced size
    /// does not fit.
    pub async fn receive(self: &Arc<Self>, path: &TreePath, put: Put) -> Result<Receiving, Error> {
        let _ = (path, put);
        todo!()
    }

    /// Shows an empty file that no drive knows: for LOCK on a free name. It becomes real when it is put, or when
    /// the client is done with it ([`Tree::settle`]).
    ///
    /// # Errors
    /// As [`Tree::receive`].
    pub async fn hold(self: &Arc<Self>, path: &TreePath) -> Result<Resource, Error> {
        let _ = path;
        todo!()
    }

    /// The client is done with a held or empty file (UNLOCK): a lock's placeholder that never got a body becomes a real empty
    /// file in a task of its own.
    pub fn settle(self: &Arc<Self>, path: &TreePath) {
        let _ = path;
        todo!()
    }

    /// The bytes of a file that waits in the spool; `None` where the drive has them.
    pub fn content(&self, file: &Resource) -> Option<Arc<dyn Content>> {
        let _ = file;
        None
    }

    /// Sets the modification time that is shown (`Win32LastModifiedTime`, `DAV:lastmodified`). 123pan keeps none.
    ///
    /// # Errors
    /// Where the state cannot be written.
    pub async fn set_modified(self: &Arc<Self>, resource: &Resource, time: SystemTime) -> Result<(), Error> {
        let _ = (resource, time);
        todo!()
    }

    /// The dead properties of a resource: pairs of namespace and name, and the whole element as XML bytes.
    ///
    /// # Errors
    /// Where the state cannot be read.
    pub fn properties(&self, resource: &Resource) -> Result<Vec<DeadProperty>, Error> {
        let _ = resource;
        Ok(Vec::new())
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
        let _ = (resource, changes);
        todo!()
    }
}

/// Namespace (empty for none) and local name of a property.
pub type PropertyName = (String, String);

/// A property that the server stores without knowing what it means (RFC 4918 4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeadProperty {
    /// Its name.
    pub name: PropertyName,
    /// The whole element as well-formed XML with its namespaces declared.
    pub xml: Vec<u8>,
}

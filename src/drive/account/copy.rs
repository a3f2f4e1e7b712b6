//! Copies that move no bytes: a file by its MD5 as an instant upload, which takes the wanted name; where
//! 123pan refuses that, by its own copy task; a folder file by file.

use super::calls::Offered;
use super::proof::Wanted;
use super::relocate::Place;
use super::staging::Staging;
use super::{Account, name};
use crate::drive::{Entry, Error, ErrorKind, Id};
use crate::hex;

impl Account {
    /// Copies a file or folder; see [`crate::drive::Drive::copy`].
    pub(super) async fn copy(&self, entry: &Entry, from: Id, to: Id, name: &str) -> Result<Entry, Error> {
        name::check(name)?;
        if entry.id == to || entry.id == Id(0) {
            let what = "A folder cannot be copied into itself.";
            return Err(Error::new(ErrorKind::Forbidden, what));
        }
        let target = Place { folder: to, name };
        let mut staging = Staging::new(self);
        let result = if entry.is_folder() {
            self.copy_folder(entry, target, &mut staging).await
        } else {
            self.copy_file(entry, from, target, &mut staging).await
        };
        staging.clear().await;
        result
    }

    /// Copies a file.
    pub(super) async fn copy_file(
        &self,
        file: &Entry,
        from: Id,
        target: Place<'_>,
        staging: &mut Staging,
    ) -> Result<Entry, Error> {
        match self.reuse(file, target).await? {
            Some(copy) => Ok(copy),
            None => staging.copy_file(file, from, target).await,
        }
    }

    /// The copy as an instant upload; `None` where 123pan wants the bytes. Such a session is forgotten:
    /// there is no call to end it (API page 6.3).
    async fn reuse(&self, file: &Entry, target: Place<'_>) -> Result<Option<Entry>, Error> {
        let (Some(md5), Some(size)) = (file.md5, file.size) else {
            return Ok(None);
        };
        let wanted = Wanted {
            parent: target.folder,
            name: target.name.to_owned(),
            size,
            md5,
        };
        let etag = hex::encode(&wanted.md5);
        match self.offer(wanted.offer(&etag, false), &wanted).await? {
            Offered::Reused(id) => Ok(Some(self.proved(id.map(Id), &wanted).await?)),
            Offered::Wanted(_) | Offered::Refused(_) => Ok(None),
        }
    }
}

//! New folders, and what is removed (API page 5.6).

use super::proof::{LOOKS, entry};
use super::{Account, name};
use crate::config::Delete;
use crate::drive::{Entry, Error, ErrorKind, Id, Kind};
use crate::pan::Reason;
use crate::pan::web::files::Row;

impl Account {
    /// Makes a folder. Where the answer is lost it is looked for by its name, which nobody had.
    pub(super) async fn create_folder(&self, parent: Id, name: &str) -> Result<Entry, Error> {
        name::check(name)?;
        let is_folder = |row: &Row| {
            let here = row.parent.is_none_or(|at| Id(at) == parent);
            entry(row).kind == Kind::Folder && here
        };
        let row = match self.calls.make_folder(parent, name).await {
            Ok(id) => {
                let looks_right = |row: Option<&Row>| row.is_some_and(is_folder);
                self.row_when(Id(id), looks_right).await?.filter(is_folder)
            }
            Err(error) if error.is_unclear() => {
                let found = self
                    .find_soon(parent, LOOKS, |row| row.name == name && is_folder(row))
                    .await?;
                return found.map(|row| entry(&row)).ok_or_else(|| error.into());
            }
            Err(error) => return Err(error.into()),
        };
        row.map(|row| entry(&row)).ok_or_else(|| {
            Error::new(
                ErrorKind::Nonsense,
                format!(
                    "123pan says that it has made the folder \"{name}\", but does not have it: try again."
                ),
            )
        })
    }

    /// Removes a file or folder, and proves that it is gone from its folder.
    pub(super) async fn remove(&self, id: Id, parent: Id, delete: Delete) -> Result<(), Error> {
        let trashed = self.calls.trash(id).await;
        if let Err(error) = &trashed
            && !error.is_unclear()
            && !matches!(error.reason, Reason::NotFound(_))
        {
            return Err(error.clone().into());
        }
        let gone = |row: Option<&Row>| row.is_none_or(|row| row.trashed);
        let row = self.any_row_when(id, gone).await?;
        if !gone(row.as_ref()) {
            return Err(match trashed {
                Err(error) => error.into(),
                Ok(()) => Error::new(
                    ErrorKind::Nonsense,
                    "123pan says that it has put this into the recycle bin, but it is still where it was: try again.",
                ),
            });
        }
        let elsewhere = row
            .as_ref()
            .and_then(|row| row.parent)
            .is_some_and(|at| Id(at) != parent);
        match delete {
            Delete::Permanent if row.is_some() && !elsewhere => self.delete_trashed(id).await,
            Delete::Permanent if elsewhere => {
                // Somebody may not know yet what he has lost.
                tracing::warn!("what was deleted had been moved meanwhile: it is left in the recycle bin");
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// Deletes what is in the recycle bin.
    async fn delete_trashed(&self, id: Id) -> Result<(), Error> {
        let Err(error) = self.calls.delete(id).await else {
            return Ok(());
        };
        // It may be gone all the same.
        match self.any_row(id).await {
            Ok(None) => Ok(()),
            _ => Err(error.into()),
        }
    }
}

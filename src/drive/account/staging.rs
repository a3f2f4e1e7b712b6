//! A private folder for copies on their way: 123pan's copy takes a folder but no name (API page 5.6).
//!
//! It is made when the first file needs it and removed with whatever is left in it, also when the copy
//! fails or is given up.

use std::time::Duration;

use super::Account;
use super::proof::LOOKS;
use super::relocate::Place;
use crate::config::Delete;
use crate::drive::write::private_name;
use crate::drive::{Entry, Error, ErrorKind, Id, rows};
use crate::pan;
use crate::pan::web::copy::{Original, Task};

/// Where the folder is made: the root of the account.
const ROOT: Id = Id(0);
/// First and longest pause between two questions about a task.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));
/// How often a task is asked about: ten minutes with these pauses.
const POLLS: u32 = 64;

/// The folder, once it is needed.
pub(super) struct Staging {
    account: Account,
    folder: Option<Id>,
}

impl Staging {
    pub(super) fn new(account: &Account) -> Self {
        Self {
            account: account.clone(),
            folder: None,
        }
    }

    /// Copies a file of `from` by a task, then brings the copy to its place.
    pub(super) async fn copy_file(
        &mut self,
        file: &Entry,
        from: Id,
        target: Place<'_>,
    ) -> Result<Entry, Error> {
        let folder = self.folder().await?;
        let (etag, _) = rows::link_keys(file);
        let original = Original {
            id: file.id.0,
            name: &file.name,
            size: file.size.unwrap_or(0),
            etag: &etag,
            parent: from.0,
        };
        let account = &self.account;
        let unclear = match account.calls.copy_into(original, folder).await {
            Ok(None) => None,
            Ok(Some(task)) => {
                account.wait_for(&task).await?;
                None
            }
            Err(error) if error.is_unclear() => Some(error),
            Err(error) => return Err(error.into()),
        };
        // Nothing else is ever in this folder.
        let is_copy = |row: &pan::web::files::Row| {
            let copy = super::proof::entry(row);
            copy.size == file.size && copy.md5 == file.md5 && copy.kind == file.kind
        };
        match account.find_soon(folder, LOOKS, is_copy).await? {
            Some(row) => account.bring_out(&row, folder, target).await,
            None => Err(match unclear {
                Some(error) => error.into(),
                None => Error::new(
                    ErrorKind::Nonsense,
                    format!(
                        "123pan says that it has copied \"{}\", but there is no copy: try again.",
                        file.name
                    ),
                ),
            }),
        }
    }

    /// Removes the folder.
    pub(super) async fn clear(mut self) {
        if let Some(folder) = self.folder.take() {
            self.account.remove_staging(folder).await;
        }
    }

    async fn folder(&mut self) -> Result<Id, Error> {
        if let Some(folder) = self.folder {
            return Ok(folder);
        }
        let made = self.account.create_folder(ROOT, &private_name()).await?.id;
        self.folder = Some(made);
        Ok(made)
    }
}

/// A copy that is given up does not leave its folder behind.
impl Drop for Staging {
    fn drop(&mut self) {
        if let Some(folder) = self.folder.take()
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let account = self.account.clone();
            runtime.spawn(async move { account.remove_staging(folder).await });
        }
    }
}

impl Account {
    async fn remove_staging(&self, folder: Id) {
        if let Err(error) = self.remove(folder, ROOT, Delete::Permanent).await {
            tracing::warn!(%error, "a private folder for copies (.dav123-…) could not be removed from the account's root");
        }
    }

    async fn wait_for(&self, task: &Task) -> Result<(), Error> {
        let (mut pause, longest) = PAUSES;
        for _ in 0..POLLS {
            if self.calls.copy_done(task).await? {
                return Ok(());
            }
            self.pause(pause).await;
            pause = pause.mul_f64(1.5).min(longest);
        }
        Err(Error::new(
            ErrorKind::Timeout,
            "123pan has not finished the copy after ten minutes: it was given up.",
        ))
    }
}

//! The drive of an account: everything a signed-in user has, by one API or the other ([`calls`]).
//!
//! What changes something is never believed: an answer may be lost although the call was carried out,
//! and a success may have done nothing, or something else (questions 7, 8, 16 and 21). So every change
//! ends with a look at the row it is about ([`proof`]), and an unclear failure too.

pub(super) mod calls;
mod change;
mod copy;
mod folder;
mod name;
mod proof;
mod relocate;
mod staging;
mod upload;

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::added::added;
use super::listing::RowLister;
use super::thumbnails::Thumbnails;
use super::{
    Begun, Capability, Drive, DriveFuture, Entry, Error, ErrorKind, Governor, Id, Link, LinkWish, Lister,
    NewFile, Quota,
};
use crate::config::Delete;
use crate::pan::pace::scaled;

use self::calls::Calls;

/// An account, or a folder of it.
pub struct AccountDrive {
    account: Account,
    root: Id,
    delete: Delete,
    identity: String,
    thumbnails: Arc<Thumbnails>,
}

/// The account itself, whatever of it is mounted: where the changes are made. Cheap to clone, so that
/// what must not be cut off can run on its own.
#[derive(Clone)]
struct Account {
    calls: Arc<dyn Calls>,
}

impl AccountDrive {
    /// A drive over a client, which all mounts of the account share. `root` is shown as
    /// the mount's root; `identity` names the account, see [`Drive::identity`].
    pub fn new(calls: impl Calls + 'static, root: i64, identity: impl Into<String>) -> Self {
        Self {
            account: Account {
                calls: Arc::new(calls),
            },
            root: Id(root),
            delete: Delete::Trash,
            identity: identity.into(),
            thumbnails: Arc::default(),
        }
    }

    /// The same drive with another way of removing than into the recycle bin.
    #[must_use]
    pub fn with_delete(self, delete: Delete) -> Self {
        Self { delete, ..self }
    }

    /// The mount's root is not for sale, nor is the account's.
    fn guard_root(&self, id: Id) -> Result<(), Error> {
        if id == self.root || id == Id(0) {
            let what = "The folder that this mount shows as its root cannot be moved or removed.";
            return Err(Error::new(ErrorKind::Forbidden, what));
        }
        Ok(())
    }
}

impl Account {
    fn list(&self, folder: Id) -> RowLister {
        RowLister::new(self.calls.pages(folder))
    }

    /// Waits for a time at the built-in pace.
    async fn pause(&self, time: Duration) {
        tokio::time::sleep(scaled(time, self.calls.rate())).await;
    }
}

impl Drive for AccountDrive {
    fn capability(&self) -> Capability {
        Capability {
            write: true,
            quota: true,
        }
    }

    fn root(&self) -> Id {
        self.root
    }

    fn identity(&self) -> Option<String> {
        Some(self.identity.clone())
    }

    fn accepts_name(&self, name: &str) -> Result<(), Error> {
        name::check(name)
    }

    fn list(&self, folder: Id) -> Box<dyn Lister> {
        Box::new(self.account.list(folder).noting(&self.thumbnails))
    }

    fn thumbnails(&self) -> Option<&Thumbnails> {
        Some(&self.thumbnails)
    }

    fn list_added<'a>(&'a self, folder: Id, known: &'a [Entry]) -> DriveFuture<'a, Option<Vec<Entry>>> {
        Box::pin(async move {
            let calls = &self.account.calls;
            if !calls.newest_first() {
                return Ok(None);
            }
            added(&calls.pages(folder), known).await
        })
    }

    fn link<'a>(&'a self, file: &'a Entry, wish: LinkWish) -> DriveFuture<'a, Link> {
        self.account.calls.link(file, wish)
    }

    fn quota(&self) -> DriveFuture<'_, Option<Quota>> {
        Box::pin(async {
            let info = self.account.calls.user_info().await?;
            Ok(Some(Quota {
                used: info.used(),
                total: info.total(),
            }))
        })
    }

    fn sign_in(&self) -> DriveFuture<'_, ()> {
        Box::pin(async {
            self.account.calls.user_info().await?;
            Ok(())
        })
    }

    fn governor(&self) -> Governor {
        Governor::of(self.account.calls.session())
    }

    fn resume(&self) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(self.account.calls.session().resume())
    }

    /// Two calls.
    fn create_folder<'a>(&'a self, parent: Id, name: &'a str) -> DriveFuture<'a, Entry> {
        Box::pin(self.account.create_folder(parent, name))
    }

    /// Two calls for a rename or a move, four for both.
    fn relocate<'a>(&'a self, entry: &'a Entry, from: Id, to: Id, name: &'a str) -> DriveFuture<'a, Entry> {
        Box::pin(async move {
            self.guard_root(entry.id)?;
            self.account.relocate(entry, from, to, name).await
        })
    }

    /// Two calls for a file that 123pan's instant upload takes.
    fn copy<'a>(&'a self, entry: &'a Entry, from: Id, to: Id, name: &'a str) -> DriveFuture<'a, Entry> {
        Box::pin(self.account.copy(entry, from, to, name))
    }

    /// Two calls; one more to delete for good.
    fn remove<'a>(&'a self, entry: &'a Entry, parent: Id) -> DriveFuture<'a, ()> {
        Box::pin(async move {
            self.guard_root(entry.id)?;
            self.account.remove(entry.id, parent, self.delete).await
        })
    }

    /// One call, and one for the proof where the content is known.
    fn begin_upload<'a>(&'a self, file: &'a NewFile) -> DriveFuture<'a, Begun> {
        Box::pin(self.account.begin_upload(file))
    }
}

impl fmt::Debug for AccountDrive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountDrive")
            .field("root", &self.root)
            .field("delete", &self.delete)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

//! Drives: what stands behind a mount, in terms of ids, pages and links.
//!
//! A [`Drive`] knows one source at 123pan (an account, a share, a list of direct links, the Open
//! platform). It speaks of folders by id and of members as [`Entry`] rows; it knows neither paths
//! nor HTTP. Paths, caches and mounts are the tree's business, which is written once for all drives.

pub mod account;
mod added;
pub mod build;
mod convert;
pub mod direct_link;
pub mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod governor;
mod listing;
pub mod open;
mod rows;
pub mod share;
mod thumbnails;
mod web;
pub mod write;

pub use build::BuildError;
pub use error::{Error, ErrorKind, Retry};
pub use governor::{Governor, Standing, Urgency, in_background};
pub use thumbnails::Thumbnails;
pub use write::{Begun, Content, NewFile, Upload, temporary_name};

use std::fmt::{self, Write as _};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};

use crate::hex;

/// The future of a drive's call. Dropping it gives the call up.
pub type DriveFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, Error>> + Send + 'a>>;

/// The id of a file or folder inside one drive. 123pan uses positive 64-bit integers, 0 is the root.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Id(pub i64);

/// File or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A file: has bytes and a size.
    File,
    /// A folder: has members.
    Folder,
}

/// One row of a folder (API page 5.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Stable across rename and move.
    pub id: Id,
    /// Last path segment as shown to clients: not empty, not `.` or `..`, no `/`, no NUL.
    pub name: Box<str>,
    /// File or folder.
    pub kind: Kind,
    /// Size in bytes; `None` where the drive does not know it (a direct link that could not be asked).
    pub size: Option<u64>,
    /// Unix seconds of the last modification; 0 where unknown.
    pub modified: i64,
    /// Unix seconds of the creation; 0 where unknown.
    pub created: i64,
    /// MD5 of the content, where the drive knows it. `None` for folders.
    pub md5: Option<[u8; 16]>,
    /// What the drive needs beside the id to make a link (`S3KeyFlag` at 123pan), shared between
    /// the rows of a listing because it is nearly always the same.
    pub locator: Arc<str>,
}

impl Entry {
    /// Whether the entry is a folder.
    pub fn is_folder(&self) -> bool {
        self.kind == Kind::Folder
    }

    /// The strong entity tag with its quotes (RFC 9110 8.8.3): the MD5 where it is known, else made of
    /// id, size and time. `None` for folders and for files whose size is not known.
    pub fn etag(&self) -> Option<String> {
        if self.is_folder() {
            return None;
        }
        if let Some(md5) = &self.md5 {
            let mut tag = String::with_capacity(2 * md5.len() + 2);
            tag.push('"');
            hex::encode_to(md5, &mut tag);
            tag.push('"');
            return Some(tag);
        }
        let size = self.size?;
        // Three numbers of 64 bits: no growing in between.
        let mut tag = String::with_capacity(3 * 16 + 4);
        let _ = write!(tag, "\"{:x}-{size:x}-{:x}\"", self.id.0, self.modified);
        Some(tag)
    }
}

/// One page of a listing, in the order in which the drive delivers it.
#[derive(Debug, Default)]
pub struct Page {
    /// Rows that were not in an earlier page of this pass.
    pub entries: Vec<Entry>,
    /// The listing was found inconsistent and begins anew with this page: rows of earlier pages
    /// count only if they come again.
    pub restarted: bool,
}

/// A listing under way. Each call fetches one page; `None` after the last one, and only if the
/// listing is whole (API page 5.3: unique ids, as many rows as `Total` says).
pub trait Lister: Send {
    /// The next page.
    fn next(&mut self) -> DriveFuture<'_, Option<Page>>;
}

/// Bytes used and, where known, bytes in all (API page 5.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// Used bytes; may exceed `total`.
    pub used: u64,
    /// Bytes of space in all.
    pub total: Option<u64>,
}

impl Quota {
    /// Bytes still free, never below 0.
    pub fn available(&self) -> Option<u64> {
        self.total.map(|total| total.saturating_sub(self.used))
    }
}

/// What a drive can do; asked before an operation, not found out by failing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Capability {
    /// Files and folders can be created, renamed, moved and deleted.
    pub write: bool,
    /// [`Drive::quota`] can answer.
    pub quota: bool,
}

/// What a link is wanted for.
#[derive(Debug, Clone, Default)]
pub struct LinkWish {
    /// The link should live at least this long, if the drive can choose.
    pub at_least: Duration,
    /// This link was refused by the CDN just now: make another one, in another way if there is one.
    pub refused: Option<Arc<Link>>,
}

/// A URL that is good for bytes until a moment. Never logged: its query is a signature.
#[derive(Clone)]
pub struct Link {
    /// Absolute `http` or `https` URL.
    pub url: SecretString,
    /// When the link stops working.
    pub until: SystemTime,
    /// `Referer` values the CDN may ask for, in the order in which they should be tried
    /// (API page 5.8 and question 11). Empty: send none.
    pub referers: Vec<String>,
    /// Further headers that the CDN wants, as names and values; secrets, as the URL is.
    pub headers: Vec<(String, String)>,
    /// The CDN takes this link from any network and with any headers (paid direct links,
    /// `webdav-clients.md` R1 and R2).
    pub open_to_all: bool,
}

impl Link {
    /// The URL, for the one who fetches or hands it out. Not for logs.
    pub fn expose(&self) -> &str {
        self.url.expose_secret()
    }

    /// The URL without its query, for logs.
    pub fn loggable(&self) -> &str {
        self.expose().split(['?', '#']).next().unwrap_or_default()
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("url", &self.loggable())
            .field("until", &self.until)
            .field("open_to_all", &self.open_to_all)
            .finish_non_exhaustive()
    }
}

/// A source at 123pan. Ids in, entries out; every error is [`Error`].
pub trait Drive: fmt::Debug + Send + Sync {
    /// What this drive can do.
    fn capability(&self) -> Capability;

    /// The folder that the mount shows as its root.
    fn root(&self) -> Id;

    /// Names the rows behind this drive, across runs: two mounts of one account say the same, so that what is written
    /// through one shows in the other. `None`: nobody else has these rows, and they are not written to.
    fn identity(&self) -> Option<String> {
        None
    }

    /// Names the rows behind this drive across runs for whoever keeps listings; `None`: they are not worth keeping.
    fn listing_identity(&self) -> Option<String> {
        self.identity()
    }

    /// The rows that were added to a folder since `known` was its whole listing, at the least cost; `None`: that cannot
    /// be told, or more has happened, and the folder must be listed whole.
    fn list_added<'a>(&'a self, folder: Id, known: &'a [Entry]) -> DriveFuture<'a, Option<Vec<Entry>>> {
        let _ = (folder, known);
        Box::pin(async { Ok(None) })
    }

    /// Whether a member may have this name, asked before its bytes are taken.
    ///
    /// # Errors
    /// `BadName`, with a sentence that names the character.
    fn accepts_name(&self, name: &str) -> Result<(), Error> {
        let _ = name;
        Ok(())
    }

    /// Begins the listing of a folder. Nothing is asked before the first [`Lister::next`].
    ///
    /// `folder` is [`Drive::root`] or the id of a folder that a listing of this drive has shown.
    fn list(&self, folder: Id) -> Box<dyn Lister>;

    /// A link for the bytes of a file. Costs calls: the tree remembers and shares it.
    fn link<'a>(&'a self, file: &'a Entry, wish: LinkWish) -> DriveFuture<'a, Link>;

    /// The small pictures that its listings have lately named; `None` where they name none.
    fn thumbnails(&self) -> Option<&Thumbnails> {
        None
    }

    /// Space used and left, where [`Capability::quota`] says so; `None` elsewhere.
    fn quota(&self) -> DriveFuture<'_, Option<Quota>> {
        Box::pin(async { Ok(None) })
    }

    /// Signs in, or proves in another way that the drive works; for `check` and the start.
    fn sign_in(&self) -> DriveFuture<'_, ()> {
        Box::pin(async { Ok(()) })
    }

    /// What holds its calls back: for the status page and the metrics.
    fn governor(&self) -> Governor {
        Governor::default()
    }

    /// Lets calls go on that were stopped (risk control, a ban), because a person says so; whether they had been.
    fn resume(&self) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(async { false })
    }

    /// Makes a folder (MKCOL). An equal name is `Exists`, never a silent success.
    fn create_folder<'a>(&'a self, parent: Id, name: &'a str) -> DriveFuture<'a, Entry> {
        let _ = (parent, name);
        write::refused()
    }

    /// Renames and moves `entry` from folder `from` to `name` in folder `to`, where the name is free. What was done of it
    /// when it fails is undone; what cannot be undone is said in the error's sentence.
    fn relocate<'a>(&'a self, entry: &'a Entry, from: Id, to: Id, name: &'a str) -> DriveFuture<'a, Entry> {
        let _ = (entry, from, to, name);
        write::refused()
    }

    /// Copies `entry` from folder `from` as `name` into folder `to`, where the name is free: without moving
    /// bytes. A folder is copied with all that is below it. `Unsupported`: the bytes must be moved.
    fn copy<'a>(&'a self, entry: &'a Entry, from: Id, to: Id, name: &'a str) -> DriveFuture<'a, Entry> {
        let _ = (entry, from, to, name);
        write::refused()
    }

    /// Removes `entry`, a member of `parent`, as the mount's `delete` setting says; proves that it is gone.
    fn remove<'a>(&'a self, entry: &'a Entry, parent: Id) -> DriveFuture<'a, ()> {
        let _ = (entry, parent);
        write::refused()
    }

    /// Offers a new file: done at once where the content is known, else the bytes are wanted.
    fn begin_upload<'a>(&'a self, file: &'a NewFile) -> DriveFuture<'a, Begun> {
        let _ = file;
        write::refused()
    }
}

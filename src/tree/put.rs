//! Files that are put: received into the spool, then stored as the upload mode says.
//!
//! The MD5 of the whole file must be known before 123pan takes the first byte (API page 6.1), so a body is always
//! received whole first, unless the client announces an MD5 that 123pan knows (instant upload). An empty body is
//! not sent at once: Explorer, Finder and RaiDrive put an empty file before the real one (webdav-clients W1, M2).
//! It is shown, and becomes real when nothing follows.
//!
//! Storing runs in a task of its own and is joined by a client that repeats the same PUT after its own time-out.
//! Files of one name are stored one after the other; the last one that was complete wins.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use md5::{Digest, Md5};

use super::change::{Place, exists, finish, is_local};
use super::pending::Parked;
use super::spool::{Incoming, Spooled};
use super::{Resource, Tree, TreePath};
use crate::config::UploadMode;
use crate::drive::{Begun, Content, Entry, Error, ErrorKind, NewFile};

/// What a client says of a file before it sends it.
#[derive(Debug, Clone, Default)]
pub struct Put {
    /// Bytes in all: `Content-Length`, or Finder's `X-Expected-Entity-Length`.
    pub size: Option<u64>,
    /// MD5 of the bytes: `OC-Checksum` or `Content-MD5`.
    pub md5: Option<[u8; 16]>,
    /// SHA-1 of the bytes: `OC-Checksum`.
    pub sha1: Option<[u8; 20]>,
    /// The time to show as its modification, in Unix seconds: `X-OC-Mtime`.
    pub modified: Option<i64>,
}

/// A file that is being received. Dropping it gives it up: the old file is untouched.
#[derive(Debug)]
pub struct Receiving {
    tree: Arc<Tree>,
    place: Place,
    put: Put,
    state: State,
    parked: Parked,
}

enum State {
    /// 123pan had it: it is stored.
    Known(Entry),
    /// Bytes are wanted.
    Open {
        incoming: Box<Incoming>,
        begun: Option<Begun>,
    },
}

impl std::fmt::Debug for State {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Known(_) => "Known",
            Self::Open { .. } => "Open",
        })
    }
}

/// Bytes of a file that is there, for copying.
pub(super) struct Reading {
    frames: FileStream,
}

impl Reading {
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Error> {
        self.frames.next().await.transpose().map_err(|error| {
            Error::new(ErrorKind::Unreachable, "The file could not be read to its end.").with_source(error)
        })
    }
}

/// What a store of one file is joined by: the same bytes for the same name.
pub(super) type StoreKey = (usize, i64, String, [u8; 16], u64);

/// The bytes of a file from the first to the last, as they come.
pub type FileStream = Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>;

/// Reads the bytes of files that a drive has; given by the delivery, which knows the CDN.
pub trait Fetch: Send + Sync + std::fmt::Debug {
    /// The bytes of a file.
    fn fetch<'a>(&'a self, file: &'a Resource) -> crate::drive::DriveFuture<'a, FileStream>;
}

impl Receiving {
    /// Whether 123pan has the announced content already (instant upload): the body is not needed, and
    /// [`Receiving::commit`] may be called at once.
    pub fn is_known(&self) -> bool {
        matches!(self.state, State::Known(_))
    }

    /// Takes the next bytes. Waits while the spool's disk is slow.
    ///
    /// # Errors
    /// `NoSpace` when the spool is full, `TooLarge` past the announced size.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        match &mut self.state {
            State::Known(_) => Ok(()),
            State::Open { incoming, .. } => incoming.write(bytes).await,
        }
    }

    /// The file is complete: compares length, MD5 and SHA-1 with what was announced, and stores it as the upload mode says.
    /// The call goes on when its caller is dropped.
    ///
    /// # Errors
    /// `ChecksumMismatch` where fewer bytes came than announced, or others; every failure of a drive as it is.
    pub async fn commit(self) -> Result<Resource, Error> {
        let Self {
            tree,
            place,
            put,
            state,
            parked,
        } = self;
        let (incoming, begun) = match state {
            State::Known(entry) => {
                return finish(async move {
                    let _parked = parked;
                    tree.stored(&place, entry, None, put.modified).await
                })
                .await;
            }
            State::Open { incoming, begun } => (incoming, begun),
        };
        let spooled = incoming.finish(put.md5).await?;
        if spooled.size() == 0 || tree.mode == UploadMode::Back {
            drop(parked);
            return finish(async move { tree.queue(place, spooled, put.modified).await }).await;
        }
        let key: StoreKey = (
            place.mount.store,
            place.folder.0,
            place.name.clone(),
            spooled.md5(),
            spooled.size(),
        );
        let task = tree.clone();
        tree.stores
            .join(
                key,
                || None,
                move || async move {
                    let _parked = parked;
                    task.store(&place, Arc::new(spooled), put.modified, begun).await
                },
            )
            .await
    }
}

impl Tree {
    /// Begins to receive a file. Nothing changes before [`Receiving::commit`], but where the announced content is
    /// known to 123pan: then the file is stored when this returns.
    ///
    /// # Errors
    /// `NotFound` where the parent is missing, `IsAFolder`, `BadName`, `ReadOnly`, `NoSpace` where the announced size
    /// does not fit.
    pub async fn receive(self: &Arc<Self>, path: &TreePath, put: Put) -> Result<Receiving, Error> {
        let place = self.place(path).await?;
        self.receive_at(place, put).await
    }

    pub(super) async fn receive_at(self: &Arc<Self>, place: Place, put: Put) -> Result<Receiving, Error> {
        place.mount.drive.accepts_name(&place.name)?;
        if self.member(&place).await?.is_some_and(|entry| entry.is_folder()) {
            return Err(Error::new(
                ErrorKind::IsAFolder,
                "There is a folder of that name.",
            ));
        }
        let parked = Parked::new(self, &place);
        let mut begun = None;
        if let (Some(size @ 1..), Some(md5)) = (put.size, put.md5) {
            match self.offer(&place, size, md5).await {
                Ok(Begun::Done(entry)) => {
                    let tree = self.clone();
                    return Ok(Receiving {
                        tree,
                        place,
                        put,
                        state: State::Known(entry),
                        parked,
                    });
                }
                Ok(wanted) => begun = Some(wanted),
                // The body is received all the same; storing it will say what is wrong.
                Err(error) => tracing::debug!(%error, "the announced content could not be offered"),
            }
        }
        let incoming = Box::new(self.spool.receive(put.size).await?.with_sha1(put.sha1));
        Ok(Receiving {
            tree: self.clone(),
            place,
            put,
            state: State::Open { incoming, begun },
            parked,
        })
    }

    /// Asks for instant upload; an earlier upload of the same name ends first.
    async fn offer(self: &Arc<Self>, place: &Place, size: u64, md5: [u8; 16]) -> Result<Begun, Error> {
        let (tree, place) = (self.clone(), place.clone());
        finish(async move {
            let _turn = tree.turns.wait(&place).await;
            tree.begin(&place, size, md5).await
        })
        .await
    }

    async fn begin(&self, place: &Place, size: u64, md5: [u8; 16]) -> Result<Begun, Error> {
        let old = self.drives_member(place).await?;
        if old.as_ref().is_some_and(|entry| entry.is_folder()) {
            return Err(Error::new(
                ErrorKind::IsAFolder,
                "There is a folder of that name.",
            ));
        }
        let file = NewFile {
            parent: place.folder,
            name: place.name.clone(),
            size,
            md5,
            replaces: old.map(Arc::new),
        };
        let begun = place.mount.drive.begin_upload(&file).await;
        match self.known_better(place, begun) {
            Err(error) if error.kind() == ErrorKind::Exists && file.replaces.is_none() => {
                // Our listing was too old: the name is taken. Look again, once.
                let old = self.drives_member(place).await?.ok_or_else(exists)?;
                let file = NewFile {
                    replaces: Some(Arc::new(old)),
                    ..file
                };
                place.mount.drive.begin_upload(&file).await
            }
            begun => begun,
        }
    }

    /// Stores a file that is complete in the spool.
    pub(super) async fn store(
        self: &Arc<Self>,
        place: &Place,
        content: Arc<Spooled>,
        modified: Option<i64>,
        begun: Option<Begun>,
    ) -> Result<Resource, Error> {
        let _turn = self.turns.wait(place).await;
        let old = self.drives_member(place).await?;
        let begun = match begun {
            Some(begun) => begun,
            None => self.begin(place, content.size(), content.md5()).await?,
        };
        let entry = match begun {
            Begun::Done(entry) => entry,
            Begun::Wanted(upload) => upload.send(content, self.upload_parts).await?,
        };
        self.stored(place, entry, old, modified).await
    }

    /// The drive has the file now: its times and properties follow, and it is shown.
    async fn stored(
        self: &Arc<Self>,
        place: &Place,
        entry: Entry,
        old: Option<Entry>,
        modified: Option<i64>,
    ) -> Result<Resource, Error> {
        if let Some(old) = old.filter(|old| old.id != entry.id) {
            self.adopt_state(&place.mount, old.id, entry.id).await?;
        }
        self.replace_pending(place, &entry).await?;
        self.set_time(&place.mount, entry.id, modified).await?;
        let entry = Entry {
            modified: modified.unwrap_or(entry.modified),
            ..entry
        };
        Ok(self.shown(place, entry))
    }

    /// The row that the drive itself has at a place.
    pub(super) async fn drives_member(&self, place: &Place) -> Result<Option<Entry>, Error> {
        self.find_in_drive(&place.mount, place.folder, &place.name).await
    }

    /// The bytes of a file, from the spool or from its drive.
    pub(super) async fn read(&self, file: &Resource) -> Result<Reading, Error> {
        if let Some(content) = self.content(file) {
            let size = content.size();
            return Ok(Reading {
                frames: content.read(0, size),
            });
        }
        if file.entry.size == Some(0) {
            return Ok(Reading {
                frames: Box::pin(stream::empty()),
            });
        }
        let fetch = self
            .fetch
            .get()
            .and_then(std::sync::Weak::upgrade)
            .ok_or_else(|| {
                Error::new(
                    ErrorKind::Unsupported,
                    "This copy would move the bytes, which is not possible here.",
                )
            })?;
        Ok(Reading {
            frames: fetch.fetch(file).await?,
        })
    }

    /// Names who reads the bytes of files that a drive has. Later calls change nothing.
    pub fn fetch_by(&self, fetch: std::sync::Weak<dyn Fetch>) {
        let _ = self.fetch.set(fetch);
    }

    /// The bytes of a file that waits in the spool; `None` where the drive has them.
    pub fn content(&self, file: &Resource) -> Option<Arc<dyn Content>> {
        if is_local(&file.entry) {
            self.pending.content(file.entry.id)
        } else {
            None
        }
    }
}

/// MD5 of no bytes at all.
pub(super) fn md5_of_nothing() -> [u8; 16] {
    Md5::digest(b"").into()
}

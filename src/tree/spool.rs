//! The spool: bodies on their way up, one file each.
//!
//! A body is written and hashed as it comes. A thread of the blocking pool writes while the next bytes are awaited; at most
//! one batch is under way, so a slow disk slows the client down. Space is reserved before the first byte, against the
//! configured limit and against the disk. A file that is not finished, or not wanted any more, is removed when its
//! handle is dropped.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::{Bytes, BytesMut};
use bytesize::ByteSize;
use futures_util::{Stream, stream};
use tokio::task::JoinHandle;

use super::disk::free_space;
use super::flight::lock;
use super::sums::Sums;
use crate::drive::{Content, Error, ErrorKind};
use crate::private;

/// Bytes gathered before they are written.
const BATCH: usize = 512 * 1024;
/// Bytes read at once.
const FRAME: usize = 256 * 1024;
/// Reserved at a time where nothing was announced.
const STEP: u64 = 16 << 20;
/// Left free on the disk.
const RESERVE: u64 = 64 << 20;

/// A directory for bodies, with a limit.
#[derive(Debug, Clone)]
pub struct Spool(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    dir: PathBuf,
    limit: u64,
    used: AtomicU64,
    /// Bytes of `used` that are on the disk already.
    written: AtomicU64,
}

/// Bytes of the limit that are taken; given back when dropped.
#[derive(Debug)]
struct Reserved {
    spool: Spool,
    bytes: u64,
    /// How many of them are on the disk.
    written: u64,
}

/// A body that is being received.
#[derive(Debug)]
pub struct Incoming {
    reserved: Reserved,
    expected: Option<u64>,
    received: u64,
    sums: Sums,
    batch: BytesMut,
    file: Option<Arc<Mutex<File>>>,
    path: Option<Removed>,
    writing: Option<JoinHandle<io::Result<()>>>,
}

/// A file that is removed when its handle is dropped, unless it is kept.
#[derive(Debug)]
struct Removed {
    path: PathBuf,
    keep: AtomicBool,
}

/// A whole body.
#[derive(Debug)]
pub struct Spooled {
    size: u64,
    md5: [u8; 16],
    sha1: Option<[u8; 20]>,
    /// `None` for no bytes.
    file: Option<Arc<Removed>>,
    _reserved: Reserved,
}

impl Spool {
    /// Opens a directory, which is made if need be; files that `wanted` does not name are removed.
    ///
    /// # Errors
    /// Where the directory cannot be made or read.
    pub fn open(dir: &Path, limit: u64, wanted: impl Fn(&str) -> bool) -> io::Result<Self> {
        private::folder(dir)?;
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            let name = entry.file_name();
            let ours = name.to_str().filter(|name| name.ends_with(SUFFIX));
            if ours.is_some_and(|name| !wanted(name)) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(Self(Arc::new(Inner {
            dir: dir.to_owned(),
            limit,
            used: AtomicU64::new(0),
            written: AtomicU64::new(0),
        })))
    }

    /// Files and bytes in a directory that another process may be using; `None` where there are none.
    pub fn waiting_in(dir: &Path) -> Option<(usize, u64)> {
        let ours = std::fs::read_dir(dir).ok()?.filter_map(|entry| {
            let entry = entry.ok()?;
            let ours = entry
                .file_name()
                .to_str()
                .is_some_and(|name| name.ends_with(SUFFIX));
            Some(entry.metadata().ok()?.len()).filter(|_| ours)
        });
        let (files, bytes) = ours.fold((0, 0), |(files, bytes), size| (files + 1, bytes + size));
        (files > 0).then_some((files, bytes))
    }

    /// Bytes taken of the limit.
    pub fn used(&self) -> u64 {
        self.0.used.load(Ordering::Relaxed)
    }

    /// Begins to receive a body of this size, if it is known.
    ///
    /// # Errors
    /// `NoSpace`.
    pub async fn receive(&self, expected: Option<u64>) -> Result<Incoming, Error> {
        let mut reserved = Reserved {
            spool: self.clone(),
            bytes: 0,
            written: 0,
        };
        reserved.grow_to(expected.unwrap_or(0))?;
        Ok(Incoming {
            reserved,
            expected,
            received: 0,
            sums: Sums::default(),
            batch: BytesMut::new(),
            file: None,
            path: None,
            writing: None,
        })
    }

    /// A body that was kept by an earlier run; `None` if it is not there or not whole.
    pub fn reopen(&self, name: &str, size: u64, md5: [u8; 16]) -> Option<Spooled> {
        let mut reserved = Reserved {
            spool: self.clone(),
            bytes: 0,
            written: 0,
        };
        let whole = |file, reserved| Spooled {
            size,
            md5,
            sha1: None,
            file,
            _reserved: reserved,
        };
        if size == 0 {
            return Some(whole(None, reserved));
        }
        if !name.ends_with(SUFFIX) || name.contains(['/', '\\']) {
            return None;
        }
        let path = self.0.dir.join(name);
        if std::fs::metadata(&path).ok()?.len() != size {
            return None;
        }
        // It is there already, whatever the limit says now.
        reserved.bytes = size;
        self.0.used.fetch_add(size, Ordering::Relaxed);
        reserved.wrote(size);
        let file = Removed {
            path,
            keep: AtomicBool::new(true),
        };
        Some(whole(Some(Arc::new(file)), reserved))
    }
}

/// Ends the names of our files; others in the directory are left alone.
const SUFFIX: &str = ".upload";

impl Reserved {
    fn grow_to(&mut self, bytes: u64) -> Result<(), Error> {
        let Some(more @ 1..) = bytes.checked_sub(self.bytes) else {
            return Ok(());
        };
        let inner = &self.spool.0;
        let before = inner.used.fetch_add(more, Ordering::Relaxed);
        self.bytes += more;
        let refused = self.room(more, before);
        if refused.is_err() {
            inner.used.fetch_sub(more, Ordering::Relaxed);
            self.bytes -= more;
        }
        refused
    }

    fn room(&self, more: u64, before: u64) -> Result<(), Error> {
        let inner = &self.spool.0;
        if before.saturating_add(more) > inner.limit {
            return Err(self.refuse(
                more,
                inner.limit.saturating_sub(before),
                "upload.spool_limit allows",
            ));
        }
        // What others were promised and have not written yet is not free.
        let promised = before.saturating_sub(inner.written.load(Ordering::Relaxed));
        if let Some(free) = free_space(&inner.dir).map(|free| free.saturating_sub(promised))
            && more.saturating_add(RESERVE) > free
        {
            return Err(self.refuse(
                more,
                free.saturating_sub(RESERVE),
                "the disk of upload.spool_dir has",
            ));
        }
        Ok(())
    }

    fn wrote(&mut self, bytes: u64) {
        self.written += bytes;
        self.spool.0.written.fetch_add(bytes, Ordering::Relaxed);
    }

    fn refuse(&self, needed: u64, there: u64, who: &str) -> Error {
        let (needed, there) = (ByteSize(needed), ByteSize(there));
        Error::new(
            ErrorKind::NoSpace,
            format!("The file needs {needed} in the spool, and {who} {there} more."),
        )
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.spool.0.used.fetch_sub(self.bytes, Ordering::Relaxed);
        self.spool.0.written.fetch_sub(self.written, Ordering::Relaxed);
    }
}

impl Incoming {
    /// Compares the body with an announced SHA-1 too; before the first byte.
    pub fn with_sha1(mut self, announced: Option<[u8; 20]>) -> Self {
        self.sums = self.sums.with_sha1(announced);
        self
    }

    /// Takes the next bytes.
    ///
    /// # Errors
    /// `TooLarge` past the announced size, `NoSpace` where the spool is full.
    pub async fn write(&mut self, bytes: Bytes) -> Result<(), Error> {
        self.received += bytes.len() as u64;
        match self.expected {
            Some(expected) if self.received > expected => {
                let sentence = "The body is longer than was announced; nothing was changed.";
                return Err(Error::new(ErrorKind::TooLarge, sentence));
            }
            Some(_) => {}
            None if self.received > self.reserved.bytes => {
                // A whole step where there is room for one, else just what is needed.
                let step = self.received.div_ceil(STEP) * STEP;
                if self.reserved.grow_to(step).is_err() {
                    self.reserved.grow_to(self.received)?;
                }
            }
            None => {}
        }
        self.sums.update(&bytes);
        self.batch.extend_from_slice(&bytes);
        if self.batch.len() >= BATCH {
            self.flush().await
        } else {
            Ok(())
        }
    }

    /// Hands the batch to the writing thread, after the one before it.
    async fn flush(&mut self) -> Result<(), Error> {
        self.settle().await?;
        let file = match &self.file {
            Some(file) => file.clone(),
            None => self.create()?,
        };
        let batch = std::mem::take(&mut self.batch);
        self.reserved.wrote(batch.len() as u64);
        self.writing = Some(tokio::task::spawn_blocking(move || lock(&file).write_all(&batch)));
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), Error> {
        let Some(writing) = self.writing.take() else {
            return Ok(());
        };
        match writing.await {
            Ok(written) => written.map_err(disk),
            Err(_) => Err(disk(io::Error::other("the writing thread has ended"))),
        }
    }

    fn create(&mut self) -> Result<Arc<Mutex<File>>, Error> {
        let name = format!("{}{SUFFIX}", uuid::Uuid::new_v4().simple());
        let path = self.reserved.spool.0.dir.join(name);
        let file = Arc::new(Mutex::new(private::create(&path).map_err(disk)?));
        self.path = Some(Removed {
            path,
            keep: AtomicBool::new(false),
        });
        self.file = Some(file.clone());
        Ok(file)
    }

    /// The body is complete: compares length and sums with what was announced.
    ///
    /// # Errors
    /// `ChecksumMismatch`; what writing the last bytes gives.
    pub async fn finish(mut self, announced: Option<[u8; 16]>) -> Result<Spooled, Error> {
        if let Some(expected) = self.expected.filter(|expected| *expected != self.received) {
            let sentence = format!(
                "Only {} of the announced {expected} bytes came; nothing was changed.",
                self.received
            );
            return Err(Error::new(ErrorKind::ChecksumMismatch, sentence));
        }
        let (md5, sha1) = std::mem::take(&mut self.sums).finish(announced)?;
        if !self.batch.is_empty() {
            self.flush().await?;
        }
        self.settle().await?;
        self.reserved
            .spool
            .0
            .used
            .fetch_sub(self.reserved.bytes - self.received, Ordering::Relaxed);
        self.reserved.bytes = self.received;
        let file = self.path.take().map(Arc::new);
        Ok(Spooled {
            size: self.received,
            md5,
            sha1,
            file,
            _reserved: self.reserved,
        })
    }
}

fn disk(error: io::Error) -> Error {
    let sentence = match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            "The disk of upload.spool_dir is full; make room and try again."
        }
        _ => "The spool cannot be written; look at the disk of upload.spool_dir and its rights.",
    };
    Error::new(ErrorKind::NoSpace, sentence).with_source(error)
}

impl Spooled {
    /// MD5 of the bytes.
    pub fn md5(&self) -> [u8; 16] {
        self.md5
    }

    /// Name of the file in the spool; empty for no bytes.
    pub fn name(&self) -> String {
        let name = self
            .file
            .as_ref()
            .and_then(|file| file.path.file_name()?.to_str());
        name.unwrap_or_default().to_owned()
    }

    /// Puts the bytes and the name on the disk, and keeps the file beyond this handle, until [`Spooled::discard`].
    ///
    /// # Errors
    /// `NoSpace` where the disk fails.
    pub async fn sync(&self) -> Result<(), Error> {
        let Some(file) = self.file.clone() else {
            return Ok(());
        };
        let synced = tokio::task::spawn_blocking(move || {
            File::open(&file.path)?.sync_all()?;
            if let Some(dir) = file.path.parent() {
                File::open(dir)?.sync_all()?;
            }
            file.keep.store(true, Ordering::Relaxed);
            Ok(())
        });
        synced
            .await
            .unwrap_or_else(|_| Err(io::Error::other("the thread has ended")))
            .map_err(disk)
    }

    /// The file is not wanted any more: it goes when its last reader does.
    pub fn discard(&self) {
        if let Some(file) = &self.file {
            file.keep.store(false, Ordering::Relaxed);
        }
    }
}

impl Content for Spooled {
    fn size(&self) -> u64 {
        self.size
    }

    fn sha1(&self) -> Option<[u8; 20]> {
        self.sha1
    }

    fn read(&self, offset: u64, length: u64) -> Pin<Box<dyn Stream<Item = io::Result<Bytes>> + Send + Sync>> {
        let Some(file) = self.file.clone() else {
            return Box::pin(stream::empty());
        };
        let end = offset.saturating_add(length).min(self.size);
        let begin = (Reading { file, open: None }, offset);
        Box::pin(stream::try_unfold(begin, move |(mut reading, at)| {
            SyncFuture(Box::pin(async move {
                let length = usize::try_from(end.saturating_sub(at))
                    .unwrap_or(FRAME)
                    .min(FRAME);
                if length == 0 {
                    return Ok(None);
                }
                let read = tokio::task::spawn_blocking(move || {
                    let bytes = reading.next(at, length)?;
                    Ok::<_, io::Error>((reading, bytes))
                });
                let (reading, bytes) = read
                    .await
                    .unwrap_or_else(|_| Err(io::Error::other("the thread has ended")))?;
                Ok(Some((bytes, (reading, at + length as u64))))
            }))
        }))
    }
}

type Next = Option<(Bytes, (Reading, u64))>;

/// A future that is only ever polled through `&mut`, and so may be shared.
struct SyncFuture(Pin<Box<dyn Future<Output = io::Result<Next>> + Send + Sync>>);

impl Future for SyncFuture {
    type Output = io::Result<Next>;
    fn poll(mut self: Pin<&mut Self>, cx: &mut std::task::Context<'_>) -> std::task::Poll<Self::Output> {
        self.0.as_mut().poll(cx)
    }
}

/// One reader of a file.
struct Reading {
    /// Held so that the file is not removed under the reader.
    file: Arc<Removed>,
    open: Option<File>,
}

impl Reading {
    fn next(&mut self, at: u64, length: usize) -> io::Result<Bytes> {
        use std::io::{Read, Seek, SeekFrom};
        let file = match &mut self.open {
            Some(file) => file,
            None => {
                let mut file = File::open(&self.file.path)?;
                file.seek(SeekFrom::Start(at))?;
                self.open.insert(file)
            }
        };
        let mut bytes = vec![0; length];
        file.read_exact(&mut bytes)?;
        Ok(bytes.into())
    }
}

impl Drop for Removed {
    fn drop(&mut self) {
        if !*self.keep.get_mut() {
            // It may have been removed by hand.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
#[path = "spool_tests.rs"]
mod tests;

//! What must outlive the process, in one crash-safe file: modification times and dead properties that 123pan does
//! not keep, and the queue of uploads.
//!
//! Rows are keyed by the drive's identity and the file's id. Everything is read from memory. One thread writes: it takes
//! what is waiting and commits it in one transaction, so that many changes at once share one fsync; what could be
//! committed is put into memory then, so nobody ever sees a change that the disk has refused. Tokens are not here but in
//! files of their own, so that `dav123 login` can write one while a server runs.

pub mod listings;
mod memory;
mod rows;
pub mod traffic;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

use self::memory::Memory;
use self::rows::Properties;
use self::writer::{Request, Writer};
use crate::private;

/// (drive, file) → Unix seconds.
const TIMES: TableDefinition<(&str, i64), i64> = TableDefinition::new("times");
/// (drive, file) → dead properties.
const PROPERTIES: TableDefinition<(&str, i64), &[u8]> = TableDefinition::new("properties");
/// Sequence → a file that waits to be sent, as JSON.
const QUEUE: TableDefinition<u64, &[u8]> = TableDefinition::new("queue");

/// Bytes of dead properties that one resource may have.
const PROPERTY_BOUND: usize = 64 * 1024;

/// Bytes of the file that are cached at the most: everything is read from our own memory.
const CACHE: usize = 8 << 20;

/// Why the state cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StateError {
    /// Another process has it.
    #[error("{} is in use by another dav123; stop that one first, or give this one a state_dir of its own", .0.display())]
    InUse(PathBuf),
    /// The file is damaged or the disk fails.
    #[error("{} cannot be read ({source}); if it is damaged, copy the spool_dir (files that were not sent yet lie there) and move this file away: times and properties are lost then", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A change could not be written.
    #[error("the state could not be written: {0}")]
    Write(String),
    /// The properties of one resource would be too large.
    #[error("the properties of this resource would be larger than 64 KiB")]
    TooLarge,
}

/// Namespace and local name.
pub type Name = (String, String);

/// A file that is in the spool and waits to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pending {
    /// Identity of the drive it goes to.
    pub drive: String,
    /// Path of the mount when it was received.
    pub mount: String,
    /// Id of its folder.
    pub parent: i64,
    /// Its decoded path in the tree.
    pub path: String,
    /// Its name.
    pub name: String,
    /// Bytes.
    pub size: u64,
    /// MD5 of the bytes.
    pub md5: [u8; 16],
    /// The time to show as its modification, in Unix seconds.
    pub modified: Option<i64>,
    /// When it was received, in Unix seconds.
    pub received: i64,
    /// Name of its file in the spool; empty for no bytes.
    pub spool: String,
}

/// The state of a server.
#[derive(Debug)]
pub struct State {
    /// Only the writer's thread changes it.
    memory: Arc<RwLock<Memory>>,
    writer: Writer,
    fresh: bool,
}

impl State {
    /// Opens the state in a directory, which is made if need be (mode 0700).
    ///
    /// # Errors
    /// See [`StateError`].
    pub fn open(dir: &Path) -> Result<Self, StateError> {
        let path = dir.join("state.redb");
        let fail = |source: Box<dyn std::error::Error + Send + Sync>| StateError::Open {
            path: path.clone(),
            source,
        };
        private::folder(dir).map_err(|error| fail(error.into()))?;
        let fresh = !path.exists();
        if fresh {
            give_birth(dir, &path).map_err(fail)?;
        }
        let database = match open(&path) {
            Ok(database) => database,
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => return Err(StateError::InUse(path)),
            Err(error) => return Err(fail(error.into())),
        };
        private::close(&path).map_err(|error| fail(error.into()))?;
        let memory = Arc::new(RwLock::new(read(&database).map_err(fail)?));
        Ok(Self {
            memory: memory.clone(),
            writer: Writer::start(database, path, memory),
            fresh,
        })
    }

    /// Whether there was no state before: then nothing is known of what an earlier one may have left in the spool.
    pub fn is_fresh(&self) -> bool {
        self.fresh
    }

    /// The time that was set for a file.
    pub fn modified(&self, drive: &str, file: i64) -> Option<i64> {
        self.read().times.get(drive)?.get(&file).copied()
    }

    /// Puts the times that were set into rows: pairs of a file's id and its time.
    pub fn stamp<'a>(&self, drive: &str, rows: impl Iterator<Item = (i64, &'a mut i64)>) {
        let memory = self.read();
        let Some(times) = memory.times.get(drive).filter(|times| !times.is_empty()) else {
            return;
        };
        for (file, modified) in rows {
            if let Some(time) = times.get(&file) {
                *modified = *time;
            }
        }
    }

    /// Sets the time of a file; `None` removes it.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn set_modified(&self, drive: &str, file: i64, time: Option<i64>) -> Result<(), StateError> {
        let drive = drive.to_owned();
        self.writer.write(Request::Time { drive, file, time }).await?;
        Ok(())
    }

    /// The dead properties of a file: costs a look-up where there are none.
    pub fn properties(&self, drive: &str, file: i64) -> Vec<(Name, Vec<u8>)> {
        let memory = self.read();
        let properties = memory.properties.get(drive).and_then(|files| files.get(&file));
        properties.map(Properties::all).unwrap_or_default()
    }

    /// Whether any file of a drive has dead properties.
    pub fn has_properties(&self, drive: &str) -> bool {
        self.read()
            .properties
            .get(drive)
            .is_some_and(|files| !files.is_empty())
    }

    /// Sets (`Some`) and removes (`None`) dead properties, all or none.
    ///
    /// # Errors
    /// `TooLarge`; where it cannot be written.
    pub async fn set_properties(
        &self,
        drive: &str,
        file: i64,
        changes: Vec<(Name, Option<Vec<u8>>)>,
    ) -> Result<(), StateError> {
        let drive = drive.to_owned();
        let request = Request::Properties { drive, file, changes };
        self.writer.write(request).await?;
        Ok(())
    }

    /// A file is gone.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn forget(&self, drive: &str, file: i64) -> Result<(), StateError> {
        let drive = drive.to_owned();
        self.writer.write(Request::Forget { drive, file }).await?;
        Ok(())
    }

    /// A file goes on under another id: times and properties are copied, and stay under the old id for those who still
    /// look there.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn copy(&self, drive: &str, from: i64, to: i64) -> Result<(), StateError> {
        let drive = drive.to_owned();
        self.writer.write(Request::Copy { drive, from, to }).await?;
        Ok(())
    }

    /// Puts a file into the queue; its sequence.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn push(&self, row: Pending) -> Result<u64, StateError> {
        self.writer.write(Request::Push(row)).await
    }

    /// Changes a file of the queue, unless it was sent meanwhile.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn update(&self, sequence: u64, row: Pending) -> Result<(), StateError> {
        self.writer.write(Request::Update(sequence, row)).await?;
        Ok(())
    }

    /// Takes a file out of the queue.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn done(&self, sequence: u64) -> Result<(), StateError> {
        self.writer.write(Request::Done(sequence)).await?;
        Ok(())
    }

    /// The queue, oldest first.
    pub fn pending(&self) -> Vec<(u64, Pending)> {
        self.read()
            .queue
            .iter()
            .map(|(sequence, row)| (*sequence, row.clone()))
            .collect()
    }

    fn read(&self) -> RwLockReadGuard<'_, Memory> {
        self.memory.read().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes an empty state beside its place and puts it there: a crash in the middle leaves no half-made file behind.
fn give_birth(dir: &Path, path: &Path) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let unborn = dir.join("state.redb.new");
    match std::fs::remove_file(&unborn) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => {}
    }
    let database = open(&unborn)?;
    read(&database)?;
    drop(database);
    std::fs::rename(&unborn, path)?;
    // Not every system can sync a directory.
    let _ = private::sync_folder(dir);
    Ok(())
}

/// Opens the file, and reads it whole to see that it is not damaged: it is small.
fn open(path: &Path) -> Result<Database, redb::DatabaseError> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    builder.create(path)
}

fn read(database: &Database) -> Result<Memory, Box<dyn std::error::Error + Send + Sync>> {
    let mut memory = Memory::default();
    // Opening a table for writing makes it.
    let write = database.begin_write()?;
    {
        for row in write.open_table(TIMES)?.iter()? {
            let (key, time) = row?;
            let (drive, file) = key.value();
            memory
                .times
                .entry(drive.to_owned())
                .or_default()
                .insert(file, time.value());
        }
        for row in write.open_table(PROPERTIES)?.iter()? {
            let (key, bytes) = row?;
            let (drive, file) = key.value();
            let properties = Properties::decode(bytes.value()).ok_or("a row of properties is damaged")?;
            memory
                .properties
                .entry(drive.to_owned())
                .or_default()
                .insert(file, properties);
        }
        for row in write.open_table(QUEUE)?.iter()? {
            let (sequence, bytes) = row?;
            let row: Pending = serde_json::from_slice(bytes.value())?;
            memory.queue.insert(sequence.value(), row);
        }
    }
    write.commit()?;
    drop(database.begin_read()?);
    // Files that waited had negative ids, which are given again: what such a file left behind is not its successor's.
    let waits = |id: i64| id >= 0 || u64::try_from(-id - 1).is_ok_and(|at| memory.queue.contains_key(&at));
    memory
        .times
        .values_mut()
        .for_each(|times| times.retain(|id, _| waits(*id)));
    memory
        .properties
        .values_mut()
        .for_each(|files| files.retain(|id, _| waits(*id)));
    memory.next = memory.queue.keys().next_back().map_or(1, |last| last + 1);
    Ok(memory)
}

#[cfg(test)]
mod tests;

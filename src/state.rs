//! What must outlive the process, in one crash-safe file: modification times and dead properties that 123pan does
//! not keep, and the queue of uploads.
//!
//! Rows are keyed by the drive's identity and the file's id. Everything is read from memory; a change is in memory and on
//! the disk when its future returns. One thread writes: it takes what is waiting and commits it in one transaction,
//! so that many changes at once share one fsync. Tokens are not here but in files of their own, so that
//! `dav123 login` can write one while a server runs.

mod rows;
mod writer;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition};
use serde::{Deserialize, Serialize};

use self::rows::Properties;
use self::writer::{Change, Writer};

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
    #[error("{} cannot be read ({source}); if it is damaged, move it away: times and properties are lost then, files are not", path.display())]
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
    memory: RwLock<Memory>,
    writer: Writer,
    fresh: bool,
}

#[derive(Debug, Default)]
struct Memory {
    times: HashMap<String, HashMap<i64, i64>>,
    properties: HashMap<String, HashMap<i64, Properties>>,
    queue: BTreeMap<u64, Pending>,
    /// The next sequence.
    next: u64,
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
        make_private(dir).map_err(|error| fail(error.into()))?;
        let fresh = !path.exists();
        let database = match open(&path) {
            Ok(database) => database,
            Err(redb::DatabaseError::DatabaseAlreadyOpen) => return Err(StateError::InUse(path)),
            Err(error) => return Err(fail(error.into())),
        };
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let private = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&path, private).map_err(|error| fail(error.into()))?;
        }
        let memory = read(&database).map_err(fail)?;
        Ok(Self {
            memory: RwLock::new(memory),
            writer: Writer::start(database, path),
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
        let written = {
            let mut memory = self.write();
            let times = memory.times.entry(drive.to_owned()).or_default();
            match time {
                Some(time) => times.insert(file, time),
                None => times.remove(&file),
            };
            self.writer
                .write(vec![Change::Time(drive.to_owned(), file, time)])
        };
        written.await
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
        let written = {
            let mut memory = self.write();
            let files = memory.properties.entry(drive.to_owned()).or_default();
            let mut properties = files.get(&file).cloned().unwrap_or_default();
            for (name, xml) in changes {
                properties.set(name, xml);
            }
            let bytes = properties.encode();
            if bytes.len() > PROPERTY_BOUND {
                return Err(StateError::TooLarge);
            }
            let bytes = if properties.is_empty() {
                files.remove(&file);
                None
            } else {
                files.insert(file, properties);
                Some(bytes)
            };
            self.writer
                .write(vec![Change::Properties(drive.to_owned(), file, bytes)])
        };
        written.await
    }

    /// A file is gone.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn forget(&self, drive: &str, file: i64) -> Result<(), StateError> {
        let written = {
            let mut memory = self.write();
            let time = memory
                .times
                .get_mut(drive)
                .and_then(|times| times.remove(&file))
                .is_some();
            let properties = memory
                .properties
                .get_mut(drive)
                .and_then(|files| files.remove(&file))
                .is_some();
            if !time && !properties {
                return Ok(());
            }
            self.writer.write(vec![
                Change::Time(drive.to_owned(), file, None),
                Change::Properties(drive.to_owned(), file, None),
            ])
        };
        written.await
    }

    /// A file goes on under another id: times and properties are copied, and stay under the old id for those who still
    /// look there.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn copy(&self, drive: &str, from: i64, to: i64) -> Result<(), StateError> {
        let written = {
            let mut memory = self.write();
            let mut changes = Vec::new();
            if let Some(times) = memory.times.get_mut(drive)
                && let Some(time) = times.get(&from).copied()
            {
                times.insert(to, time);
                changes.push(Change::Time(drive.to_owned(), to, Some(time)));
            }
            if let Some(files) = memory.properties.get_mut(drive)
                && let Some(properties) = files.get(&from).cloned()
            {
                // What the other id has already stays, unless this one names it too.
                let mut merged = files.remove(&to).unwrap_or_default();
                for (name, xml) in properties.all() {
                    merged.set(name, Some(xml));
                }
                changes.push(Change::Properties(drive.to_owned(), to, Some(merged.encode())));
                files.insert(to, merged);
            }
            if changes.is_empty() {
                return Ok(());
            }
            self.writer.write(changes)
        };
        written.await
    }

    /// Puts a file into the queue; its sequence.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn push(&self, row: Pending) -> Result<u64, StateError> {
        let (sequence, written) = {
            let mut memory = self.write();
            let sequence = memory.next;
            memory.next += 1;
            memory.queue.insert(sequence, row.clone());
            (
                sequence,
                self.writer
                    .write(vec![Change::Queue(sequence, Some(encode(&row)))]),
            )
        };
        if let Err(error) = written.await {
            self.write().queue.remove(&sequence);
            return Err(error);
        }
        Ok(sequence)
    }

    /// Changes a file of the queue.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn update(&self, sequence: u64, row: Pending) -> Result<(), StateError> {
        let written = {
            let bytes = encode(&row);
            match self.write().queue.get_mut(&sequence) {
                Some(known) => *known = row,
                // It was sent meanwhile.
                None => return Ok(()),
            }
            self.writer.write(vec![Change::Queue(sequence, Some(bytes))])
        };
        written.await
    }

    /// Takes a file out of the queue.
    ///
    /// # Errors
    /// Where it cannot be written.
    pub async fn done(&self, sequence: u64) -> Result<(), StateError> {
        let written = {
            if self.write().queue.remove(&sequence).is_none() {
                return Ok(());
            }
            self.writer.write(vec![Change::Queue(sequence, None)])
        };
        written.await
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

    fn write(&self) -> RwLockWriteGuard<'_, Memory> {
        self.memory.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes a directory that only its owner can look into.
pub fn make_private(dir: &Path) -> std::io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

/// Opens the file, and reads it whole to see that it is not damaged: it is small.
fn open(path: &Path) -> Result<Database, redb::DatabaseError> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    builder.create(path)
}

fn encode(row: &Pending) -> Vec<u8> {
    // Strings and numbers only: it cannot fail.
    serde_json::to_vec(row).unwrap_or_default()
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

//! Listings over restarts, in a file of their own: what is in it can be read from 123pan again, so it is thrown away
//! where it is damaged, and a crash may lose the last seconds.
//!
//! One row a folder, keyed by the drive's identity and the folder's id.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use redb::{Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableDefinition};
use serde::{Deserialize, Serialize};

/// (drive, folder) → [`StoredListing`], behind one byte of [`VERSION`].
const LISTINGS: TableDefinition<(&str, i64), &[u8]> = TableDefinition::new("listings");
/// Form of the rows; those of another one are not read.
const VERSION: u8 = 1;
/// Bytes of the file that are cached at the most: a row is read once and then kept in memory as a listing, so there is
/// little to gain.
const CACHE: usize = 1 << 17;

/// A member of a folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredRow<'a> {
    /// The drive's id.
    pub id: i64,
    /// Name.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// Whether it is a folder.
    pub folder: bool,
    /// Bytes.
    pub size: Option<u64>,
    /// Unix seconds.
    pub modified: i64,
    /// Unix seconds.
    pub created: i64,
    /// MD5 of the content.
    pub md5: Option<[u8; 16]>,
    /// Place in [`StoredListing::locators`].
    pub locator: u32,
}

/// A whole folder.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredListing<'a> {
    /// When it was read, in Unix seconds.
    pub read_at: i64,
    /// When every row of it was read, in Unix seconds.
    pub whole_at: i64,
    /// What the drive needs beside ids, each once.
    #[serde(borrow)]
    pub locators: Vec<Cow<'a, str>>,
    /// The members, sorted by name.
    #[serde(borrow)]
    pub rows: Vec<StoredRow<'a>>,
}

impl<'a> StoredListing<'a> {
    /// The listing of a row; `None` where the bytes are none, or of another version.
    pub fn decode(bytes: &'a [u8]) -> Option<Self> {
        let (version, rows) = bytes.split_first()?;
        if *version != VERSION {
            return None;
        }
        postcard::from_bytes(rows).ok()
    }

    /// Its row in the file.
    pub fn encode(&self) -> Vec<u8> {
        // Strings and numbers only: it cannot fail.
        postcard::to_extend(self, vec![VERSION]).unwrap_or_default()
    }
}

/// What is to be written: [`StoredListing::encode`]; `None` removes the folder.
pub type ListingChange = ((String, i64), Option<Vec<u8>>);

/// The file of listings.
#[derive(Debug)]
pub struct ListingStore {
    path: PathBuf,
    /// `None` after a failure that could not be mended: nothing is kept any more.
    database: Mutex<Option<Database>>,
}

impl ListingStore {
    /// Opens the store in the state directory; a damaged one is replaced by an empty one. At most `bound` entries are
    /// kept: of more, the folders that were read longest ago go. `None` where it cannot be used at all; that is logged.
    pub fn open(dir: &Path, bound: u64) -> Option<Self> {
        let path = dir.join("listings.redb");
        let opened = open(&path).or_else(|error| {
            tracing::warn!(%error, "the kept listings cannot be read: they are thrown away");
            std::fs::remove_file(&path)?;
            open(&path)
        });
        let database = opened
            .inspect_err(|error| tracing::warn!(%error, "listings are not kept over restarts"))
            .ok()?;
        if let Err(error) = prune(&database, bound) {
            tracing::warn!(%error, "the kept listings could not be pruned");
        }
        Some(Self {
            path,
            database: Mutex::new(Some(database)),
        })
    }

    /// The row of a folder, if it is kept, for [`StoredListing::decode`]. Reads the disk.
    pub fn read(&self, drive: &str, folder: i64) -> Option<Vec<u8>> {
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let read = || -> Result<Option<Vec<u8>>, redb::Error> {
            let Some(database) = &*database else {
                return Ok(None);
            };
            let table = database.begin_read()?.open_table(LISTINGS)?;
            Ok(table.get((drive, folder))?.map(|row| row.value().to_vec()))
        };
        read()
            .inspect_err(|error| tracing::warn!(%error, "a kept listing cannot be read"))
            .ok()?
    }

    /// Writes changes in one transaction. A failure is logged: it costs a listing after the next start.
    pub fn write(&self, changes: &[ListingChange]) {
        let mut database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(open_one) = database.take() else { return };
        match write(&open_one, changes) {
            Ok(()) => *database = Some(open_one),
            Err(error) => {
                tracing::warn!(%error, "listings could not be kept");
                // What is there may now be older than what was seen: it must not come back.
                drop(open_one);
                let emptied = std::fs::remove_file(&self.path).map_err(redb::DatabaseError::from);
                *database = emptied.and_then(|()| open(&self.path)).ok();
            }
        }
    }

    /// Folders kept.
    pub fn len(&self) -> u64 {
        let database = self.database.lock().unwrap_or_else(PoisonError::into_inner);
        let len = || -> Result<u64, redb::Error> {
            let Some(database) = &*database else { return Ok(0) };
            Ok(database.begin_read()?.open_table(LISTINGS)?.len()?)
        };
        len().unwrap_or(0)
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn open(path: &Path) -> Result<Database, redb::DatabaseError> {
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE).set_check_integrity_on_open(true);
    let database = builder.create(path)?;
    crate::private::close(path)?;
    Ok(database)
}

fn write(database: &Database, changes: &[ListingChange]) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    {
        let mut table = write.open_table(LISTINGS)?;
        for ((drive, folder), listing) in changes {
            let key = (drive.as_str(), *folder);
            match listing {
                Some(listing) => drop(table.insert(key, listing.as_slice())?),
                None => drop(table.remove(key)?),
            }
        }
    }
    write.commit()?;
    Ok(())
}

/// Removes what is over the bound, what was read longest ago first, and makes the table if it is not there.
fn prune(database: &Database, bound: u64) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    {
        let mut table = write.open_table(LISTINGS)?;
        let mut folders = Vec::new();
        for row in table.iter()? {
            let (key, bytes) = row?;
            let (drive, folder) = key.value();
            let (read_at, rows) = StoredListing::decode(bytes.value())
                .map_or((i64::MIN, u64::MAX / 2), |l| (l.read_at, l.rows.len() as u64 + 1));
            folders.push((read_at, rows, drive.to_owned(), folder));
        }
        folders.sort_unstable_by_key(|(read_at, ..)| std::cmp::Reverse(*read_at));
        let mut weight = 0_u64;
        for (_, rows, drive, folder) in folders {
            weight = weight.saturating_add(rows);
            if weight > bound {
                table.remove((drive.as_str(), folder))?;
            }
        }
    }
    write.commit()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use proptest::prelude::*;

    fn listing(read_at: i64, rows: usize) -> StoredListing<'static> {
        StoredListing {
            read_at,
            whole_at: read_at,
            locators: vec!["1-0".into()],
            rows: (0..rows)
                .map(|n| StoredRow {
                    id: i64::try_from(n).unwrap(),
                    name: format!("名 {n}").into(),
                    folder: n % 2 == 0,
                    size: Some(7),
                    modified: 1,
                    created: 2,
                    md5: Some([3; 16]),
                    locator: 0,
                })
                .collect(),
        }
    }

    #[test]
    fn what_was_written_is_there_after_a_restart_and_within_the_bound() {
        let dir = tempfile::TempDir::new().unwrap();
        let store = ListingStore::open(dir.path(), 1000).unwrap();
        let key = |n: i64| ("d".to_owned(), n);
        store.write(&[
            (key(1), Some(listing(10, 50).encode())),
            (key(2), Some(listing(30, 50).encode())),
            (key(3), Some(listing(20, 50).encode())),
        ]);
        store.write(&[(key(2), None), (key(4), Some(listing(40, 9).encode()))]);
        let row = store.read("d", 1).unwrap();
        assert_eq!(StoredListing::decode(&row), Some(listing(10, 50)));
        assert_eq!((store.read("d", 2), store.read("e", 1)), (None, None));
        drop(store);
        let store = ListingStore::open(dir.path(), 65).unwrap();
        assert_eq!(store.len(), 2, "the one that was read longest ago has gone");
        assert_eq!(store.read("d", 1), None);
    }

    #[test]
    fn a_damaged_file_is_thrown_away() {
        let dir = tempfile::TempDir::new().unwrap();
        std::fs::write(dir.path().join("listings.redb"), b"no database").unwrap();
        let store = ListingStore::open(dir.path(), 10).unwrap();
        assert!(store.is_empty());
        store.write(&[(("d".to_owned(), 1), Some(listing(1, 1).encode()))]);
        assert_eq!(store.len(), 1);
    }

    proptest! {
        #[test]
        fn rubbish_is_no_listing(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
            let _ = StoredListing::decode(&bytes);
        }
    }
}

//! One folder's listing: whole, sorted by name, immutable while it is shared; and what our own writes do to it.

use std::ops::{Deref, Range};
use std::sync::Arc;

use tokio::time::Instant;
use unicode_normalization::UnicodeNormalization;

use crate::drive::{Entry, Id};

/// Members handed on at once from a kept listing.
const CHUNK: usize = 256;

/// A folder of a mount.
pub(super) type Key = (usize, Id);

/// A whole listing, sorted by name.
#[derive(Debug, Clone)]
pub(super) struct Listing {
    pub(super) entries: Arc<Vec<Entry>>,
    /// When it was read in this run.
    pub(super) read_at: Option<Instant>,
    /// When it is to be asked for again.
    pub(super) due: Instant,
    /// When it was read, in Unix seconds.
    pub(super) stamp: i64,
    /// When every row of it was read, in Unix seconds: rows that were only added to it are newer.
    pub(super) whole_stamp: i64,
}

/// What one of our own writes did to a folder. Making it twice is the same as making it once.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// This row is there now; a row of its id or name is gone.
    Put(Entry),
    /// The row of this id is gone.
    Remove(Id),
}

impl Change {
    pub(super) fn make(&self, entries: &mut Vec<Entry>) {
        match self {
            Self::Put(new) => {
                entries.retain(|entry| entry.id != new.id && entry.name != new.name);
                let at = entries.partition_point(|entry| entry.name < new.name);
                entries.insert(at, new.clone());
            }
            Self::Remove(id) => entries.retain(|entry| entry.id != *id),
        }
    }
}

impl Listing {
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    pub(super) fn find(&self, name: &str) -> Option<&Entry> {
        let at = self
            .entries
            .binary_search_by(|entry| (*entry.name).cmp(name))
            .ok()?;
        self.entries.get(at)
    }

    /// The same, or a name that is equal after composition: Finder sends names decomposed (webdav-clients M11).
    pub(super) fn find_composed(&self, name: &str) -> Option<&Entry> {
        if let Some(entry) = self.find(name) {
            return Some(entry);
        }
        if name.is_ascii() {
            return None;
        }
        let composed = compose(name);
        // Compared as it is composed: a name that differs costs its first character.
        let same = |entry: &&Entry| entry.name.nfc().eq(composed.chars());
        self.entries().iter().find(same)
    }

    /// Some members from the `from`th.
    pub(super) fn chunk(&self, from: usize) -> Chunk {
        let range = from..self.entries.len().min(from + CHUNK);
        Chunk {
            entries: self.entries.clone(),
            range,
        }
    }

    /// What it counts in the cache: its entries, and one for itself.
    pub(super) fn weight(&self) -> u64 {
        self.entries.len() as u64 + 1
    }
}

/// The composed form (NFC) of a name.
fn compose(name: &str) -> String {
    name.nfc().collect()
}

/// Some members of a folder, shared with the cache: derefs to a slice of entries.
#[derive(Debug, Clone)]
pub struct Chunk {
    entries: Arc<Vec<Entry>>,
    range: Range<usize>,
}

impl From<Vec<Entry>> for Chunk {
    fn from(entries: Vec<Entry>) -> Self {
        Self {
            range: 0..entries.len(),
            entries: Arc::new(entries),
        }
    }
}

impl Deref for Chunk {
    type Target = [Entry];
    fn deref(&self) -> &[Entry] {
        self.entries.get(self.range.clone()).unwrap_or_default()
    }
}

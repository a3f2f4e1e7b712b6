//! The shelf: listings that outlive the process.
//!
//! What changes in the cache is written a little later, many folders in one go, so that a crash costs the last seconds.
//! A folder is taken from the shelf when it is wanted first.

use std::borrow::Cow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::known::Cache;
use super::listing::{Key, Listing};
use crate::drive::{Entry, Id, Kind};
use crate::state::listings::{ListingStore, StoredListing, StoredRow};

/// Between a change and its writing: changes of this time are written together.
const DELAY: Duration = Duration::from_secs(2);
/// Entries in one transaction at the most, but for one larger folder.
const BATCH: usize = 4_000;

/// Listings on the disk.
#[derive(Debug)]
pub(super) struct Shelf {
    store: Arc<ListingStore>,
    /// By store: what names its rows across runs; `None`: they are not kept.
    identities: Vec<Option<String>>,
    turn: tokio::sync::Mutex<()>,
    writing: tokio::sync::Mutex<()>,
    /// What was not taken yet must be asked anew first.
    distrusted: AtomicBool,
    started: Instant,
}

impl Shelf {
    pub(super) fn new(store: ListingStore, identities: Vec<Option<String>>) -> Self {
        Self {
            store: Arc::new(store),
            identities,
            turn: tokio::sync::Mutex::default(),
            writing: tokio::sync::Mutex::default(),
            distrusted: AtomicBool::new(false),
            started: Instant::now(),
        }
    }

    /// Who holds it may take a folder.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    /// What is on the shelf now must be asked anew before it is served.
    pub(super) fn distrust(&self) {
        self.distrusted.store(true, Ordering::Relaxed);
    }

    /// The listing of a folder, and whether it may be served before it is asked anew.
    pub(super) async fn load(&self, key: Key) -> (Option<Listing>, bool) {
        let trusted = !self.distrusted.load(Ordering::Relaxed);
        let Some(identity) = self.identity(key) else {
            return (None, trusted);
        };
        let (store, started) = (self.store.clone(), self.started);
        let read = tokio::task::spawn_blocking(move || {
            let row = store.read(&identity, key.1.0)?;
            Some(taken(StoredListing::decode(&row)?, started))
        });
        (read.await.ok().flatten(), trusted)
    }

    /// Writes what changes, as long as the cache lives.
    pub(super) fn keep_up(self: Arc<Self>, cache: Weak<Cache>) {
        tokio::spawn(async move {
            loop {
                let Some(changed) = cache.upgrade().map(|cache| cache.look().soiled.clone()) else {
                    return;
                };
                // The cache may be dropped meanwhile: then nobody wakes us, and nothing is held.
                changed.notified().await;
                tokio::time::sleep(DELAY).await;
                let Some(cache) = cache.upgrade() else { return };
                self.flush(&cache).await;
            }
        });
    }

    /// Writes all that has changed.
    pub(super) async fn flush(&self, cache: &Cache) {
        let _alone = self.writing.lock().await;
        let mut keys: Vec<(Key, u64)> = cache.look().dirty.iter().map(|(key, at)| (*key, *at)).collect();
        while !keys.is_empty() {
            let mut batch = Vec::new();
            {
                let state = cache.look();
                let mut entries = 0;
                while entries < BATCH
                    && let Some((key, at)) = keys.pop()
                {
                    let known = state.known(key);
                    entries += known.as_ref().map_or(1, |known| known.entries().len() + 1);
                    batch.push((key, at, known));
                }
            }
            let changes: Vec<_> = batch
                .iter()
                .filter_map(|(key, _, known)| Some((self.identity(*key)?, key.1.0, known.clone())))
                .collect();
            let store = self.store.clone();
            let write = move || {
                let changes: Vec<_> = changes
                    .into_iter()
                    .map(|(identity, folder, known)| {
                        ((identity, folder), known.map(|known| stored(&known).encode()))
                    })
                    .collect();
                store.write(&changes);
            };
            // It cannot panic but by redb; then the rows stay as they are.
            let _ = tokio::task::spawn_blocking(write).await;
            let mut state = cache.manage();
            for (key, at, _) in batch {
                if state.dirty.get(&key) == Some(&at) {
                    state.dirty.remove(&key);
                }
            }
        }
    }

    fn identity(&self, key: Key) -> Option<String> {
        self.identities.get(key.0)?.clone()
    }
}

/// A listing as it goes onto the shelf.
fn stored(listing: &Listing) -> StoredListing<'_> {
    let mut locators: Vec<Cow<'_, str>> = Vec::new();
    let rows = listing.entries().iter().map(|entry| {
        // Nearly always the last one.
        let known = locators.iter().rposition(|known| *known == *entry.locator);
        let locator = known.unwrap_or_else(|| {
            locators.push(Cow::Borrowed(&entry.locator));
            locators.len() - 1
        });
        StoredRow {
            id: entry.id.0,
            name: Cow::Borrowed(&entry.name),
            folder: entry.is_folder(),
            size: entry.size,
            modified: entry.modified,
            created: entry.created,
            md5: entry.md5,
            locator: u32::try_from(locator).unwrap_or(0),
        }
    });
    let rows = rows.collect();
    StoredListing {
        read_at: listing.stamp,
        whole_at: listing.whole_stamp,
        locators,
        rows,
    }
}

/// A listing as it comes from the shelf. It is due for asking: the last seconds before a crash may be missing in it.
fn taken(stored: StoredListing<'_>, started: Instant) -> Listing {
    let locators: Vec<Arc<str>> = stored
        .locators
        .into_iter()
        .map(|locator| Arc::from(&*locator))
        .collect();
    let none: Arc<str> = Arc::from("");
    let entries = stored.rows.into_iter().map(|row| Entry {
        id: Id(row.id),
        name: row.name.into(),
        kind: if row.folder { Kind::Folder } else { Kind::File },
        size: row.size,
        modified: row.modified,
        created: row.created,
        md5: row.md5,
        locator: locators.get(row.locator as usize).unwrap_or(&none).clone(),
    });
    let entries = Arc::new(entries.collect());
    Listing {
        entries,
        read_at: None,
        due: started,
        stamp: stored.read_at,
        whole_stamp: stored.whole_at,
    }
}

//! Listings: read once for all who ask, kept for a time, bounded in number.
//!
//! A folder that is not known is read by one task, page by page, and every request that wants it follows the
//! growing pages: a PROPFIND passes them on as they come, a lookup stops at the page that holds its name.
//! The task goes on when its first client leaves, because each page has cost a call. Only a whole
//! listing is kept; it is sorted by name then, and immutable.
//!
//! When the drive finds its listing inconsistent it begins anew (`Page::restarted`). A follower that has passed
//! members on goes on with those that are new to it; if at the end one that it gave away is
//! not in the listing, it fails: a folder that is not true is never ended well-formed.

use std::collections::HashMap;
use std::ops::{Deref, Range};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::flight::lock;
use super::follow::Source;
use crate::drive::{Drive, Entry, Error, ErrorKind, Id};
use crate::metrics::waited::waiting;

/// Members handed on at once from a kept listing.
const CHUNK: usize = 256;

/// A folder of a mount.
pub(super) type Key = (usize, Id);

/// A whole listing, sorted by name.
#[derive(Debug, Clone)]
pub(super) struct Listing {
    entries: Arc<Vec<Entry>>,
    read_at: Instant,
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
    fn make(&self, entries: &mut Vec<Entry>) {
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

    /// Some members from the `from`th.
    pub(super) fn chunk(&self, from: usize) -> Chunk {
        let range = from..self.entries.len().min(from + CHUNK);
        Chunk {
            entries: self.entries.clone(),
            range,
        }
    }

    fn is_fresh(&self, ttl: Duration) -> bool {
        self.read_at.elapsed() < ttl
    }
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

/// A listing that is being read.
#[derive(Debug)]
pub(super) struct Growing {
    state: Mutex<Grown>,
    /// Counts changes of `state`.
    changed: watch::Sender<u64>,
}

#[derive(Debug, Default)]
pub(super) struct Grown {
    pub(super) pages: Vec<Chunk>,
    /// Raised when the drive begins anew; `pages` are those of this pass.
    pub(super) pass: u32,
    pub(super) outcome: Option<Result<Arc<Listing>, Error>>,
}

/// The cache of listings.
#[derive(Debug)]
pub(super) struct Listings {
    state: Arc<Mutex<State>>,
    ttl: Duration,
    stamp: Stamp,
}

/// Puts times that we keep ourselves into the rows of a store, before anyone sees them.
#[derive(Clone)]
pub(super) struct Stamp(pub(super) Arc<StampRows>);

/// Takes a store and its rows.
type StampRows = dyn Fn(usize, &mut [Entry]) + Send + Sync;

impl std::fmt::Debug for Stamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Stamp")
    }
}

#[derive(Debug)]
struct State {
    slots: HashMap<Key, Slot>,
    /// Weight of all kept listings.
    weight: u64,
    bound: u64,
    /// Counts uses, for the choice of what goes first.
    clock: u64,
}

#[derive(Debug, Default)]
struct Slot {
    kept: Option<Arc<Listing>>,
    growing: Option<Arc<Growing>>,
    /// Changes made since `growing` began.
    noted: Vec<Change>,
    used: u64,
}

impl Listings {
    /// `bound` counts entries over all folders; a folder itself counts as one.
    pub(super) fn new(ttl: Duration, bound: u64, stamp: Stamp) -> Self {
        let state = State {
            slots: HashMap::new(),
            weight: 0,
            bound,
            clock: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            ttl,
            stamp,
        }
    }

    /// The listing of a folder: kept, growing, or begun now.
    pub(super) fn open(&self, key: Key, drive: &Arc<dyn Drive>) -> Source {
        let mut state = lock(&self.state);
        state.clock += 1;
        let now = state.clock;
        let slot = state.slots.entry(key).or_default();
        slot.used = now;
        if let Some(kept) = slot.kept.as_ref().filter(|kept| kept.is_fresh(self.ttl)) {
            return Source::Kept(kept.clone());
        }
        if let Some(growing) = slot.growing.clone() {
            return match slot.noted.is_empty() {
                true => Source::Growing(growing),
                false => Source::Awaited(growing),
            };
        }
        let growing = Arc::new(Growing {
            state: Mutex::default(),
            changed: watch::Sender::new(0),
        });
        slot.growing = Some(growing.clone());
        drop(state);
        let reader = Reader {
            cache: self.state.clone(),
            key,
            growing: growing.clone(),
            stamp: self.stamp.clone(),
        };
        tokio::spawn(reader.run(drive.clone()));
        Source::Growing(growing)
    }

    /// Makes one of our own changes.
    pub(super) fn change(&self, key: Key, change: Change) {
        let mut state = lock(&self.state);
        let Some(slot) = state.slots.get_mut(&key) else {
            return;
        };
        if slot.growing.is_some() {
            slot.noted.push(change.clone());
        }
        let Some(kept) = slot.kept.take() else { return };
        let before = kept.entries.len() as u64;
        let mut listing = Arc::unwrap_or_clone(kept);
        change.make(Arc::make_mut(&mut listing.entries));
        let after = listing.entries.len() as u64;
        slot.kept = Some(Arc::new(listing));
        state.weight = state.weight + after - before;
    }

    /// A folder that we have just made is empty: that needs no call.
    pub(super) fn made(&self, key: Key) {
        let listing = Listing {
            entries: Arc::default(),
            read_at: Instant::now(),
        };
        let mut state = lock(&self.state);
        state.clock += 1;
        let now = state.clock;
        state.slots.entry(key).or_default().used = now;
        state.keep(key, Arc::new(listing));
    }

    /// Forgets a folder that is gone.
    pub(super) fn forget(&self, key: Key) {
        let mut state = lock(&self.state);
        if let Some(kept) = state.slots.remove(&key).and_then(|slot| slot.kept) {
            state.weight -= kept.entries.len() as u64 + 1;
        }
    }

    /// A kept listing, however old it is.
    pub(super) fn kept(&self, key: Key) -> Option<Arc<Listing>> {
        lock(&self.state).slots.get(&key)?.kept.clone()
    }

    /// Entries and folders kept.
    pub(super) fn weight(&self) -> u64 {
        lock(&self.state).weight
    }

    /// Forgets every kept listing (SIGHUP, refresh).
    pub(super) fn clear(&self) {
        let mut state = lock(&self.state);
        state.slots.retain(|_, slot| {
            slot.kept = None;
            slot.growing.is_some()
        });
        state.weight = 0;
    }
}

impl State {
    fn keep(&mut self, key: Key, listing: Arc<Listing>) {
        let weight = |listing: &Listing| listing.entries.len() as u64 + 1;
        let slot = self.slots.entry(key).or_default();
        self.weight += weight(&listing);
        if let Some(old) = slot.kept.replace(listing) {
            self.weight -= weight(&old);
        }
        while self.weight > self.bound {
            let oldest = self
                .slots
                .iter()
                .filter(|(_, slot)| slot.kept.is_some())
                .min_by_key(|(_, slot)| slot.used);
            let Some((&key, _)) = oldest else { break };
            if let Some(slot) = self.slots.get_mut(&key) {
                if let Some(old) = slot.kept.take() {
                    self.weight -= weight(&old);
                }
                if slot.growing.is_none() {
                    self.slots.remove(&key);
                }
            }
        }
    }
}

/// The task that reads one folder.
struct Reader {
    cache: Arc<Mutex<State>>,
    key: Key,
    growing: Arc<Growing>,
    stamp: Stamp,
}

impl Reader {
    async fn run(self, drive: Arc<dyn Drive>) {
        let read_at = Instant::now();
        let outcome = self.read(&*drive).await;
        self.end(outcome, read_at);
    }

    async fn read(&self, drive: &dyn Drive) -> Result<Vec<Entry>, Error> {
        let mut lister = drive.list(self.key.1);
        while let Some(mut page) = lister.next().await? {
            if page.entries.is_empty() && !page.restarted {
                continue;
            }
            self.stamp.0(self.key.0, &mut page.entries);
            let chunk = Chunk::from(page.entries);
            self.growing.change(|grown| {
                if page.restarted {
                    grown.pages.clear();
                    grown.pass += 1;
                }
                grown.pages.push(chunk);
            });
        }
        let mut entries = Vec::new();
        {
            let grown = lock(&self.growing.state);
            entries.reserve_exact(grown.pages.iter().map(|page| page.len()).sum());
            for page in &grown.pages {
                entries.extend_from_slice(page);
            }
        }
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        Ok(entries)
    }

    fn end(&self, outcome: Result<Vec<Entry>, Error>, read_at: Instant) {
        let mut state = lock(&self.cache);
        let slot = state.slots.get_mut(&self.key);
        // A folder that was forgotten meanwhile has no slot, or another reader in it.
        let ours = slot.filter(|slot| {
            slot.growing
                .as_ref()
                .is_some_and(|g| Arc::ptr_eq(g, &self.growing))
        });
        let current = ours.is_some();
        let noted = ours.map(|slot| {
            slot.growing = None;
            std::mem::take(&mut slot.noted)
        });
        let outcome = outcome.map(|mut entries| {
            for change in noted.iter().flatten() {
                change.make(&mut entries);
            }
            Arc::new(Listing {
                entries: Arc::new(entries),
                read_at,
            })
        });
        if current {
            match &outcome {
                // Kept before the flight ends: whoever comes in between finds it.
                Ok(listing) => state.keep(self.key, listing.clone()),
                Err(_) if state.slots.get(&self.key).is_some_and(|slot| slot.kept.is_none()) => {
                    state.slots.remove(&self.key);
                }
                Err(_) => {}
            }
        }
        drop(state);
        self.growing.change(|grown| {
            if grown.outcome.is_none() {
                grown.outcome = Some(outcome);
            }
        });
    }
}

impl Drop for Reader {
    /// Ends the flight for its followers even after a panic of the drive.
    fn drop(&mut self) {
        if lock(&self.growing.state).outcome.is_none() {
            self.end(
                Err(Error::new(ErrorKind::Nonsense, "The listing was cut off.")),
                Instant::now(),
            );
        }
    }
}

impl Growing {
    fn change(&self, change: impl FnOnce(&mut Grown)) {
        change(&mut lock(&self.state));
        self.changed.send_modify(|count| *count += 1);
    }

    /// Waits until `look` finds what it wants; `look` sees the state after each change.
    pub(super) async fn wait<T>(&self, mut look: impl FnMut(&Grown) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(found) = look(&lock(&self.state)) {
                return found;
            }
            if waiting(changed.changed()).await.is_err() {
                // The sender lives in `self`.
                std::future::pending::<()>().await;
            }
        }
    }
}

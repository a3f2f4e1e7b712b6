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

use std::collections::{HashMap, HashSet};
use std::ops::{Deref, Range};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::flight::lock;
use crate::drive::{Drive, Entry, Error, ErrorKind, Id};

/// Members handed on at once from a kept listing.
const CHUNK: usize = 256;

/// A folder of a mount.
pub(super) type Key = (usize, Id);

/// A whole listing, sorted by name.
#[derive(Debug)]
pub(super) struct Listing {
    entries: Arc<[Entry]>,
    read_at: Instant,
}

impl Listing {
    pub(super) fn find(&self, name: &str) -> Option<&Entry> {
        let at = self
            .entries
            .binary_search_by(|entry| (*entry.name).cmp(name))
            .ok()?;
        self.entries.get(at)
    }

    fn is_fresh(&self, ttl: Duration) -> bool {
        self.read_at.elapsed() < ttl
    }
}

/// Some members of a folder, shared with the cache: derefs to a slice of entries.
#[derive(Debug, Clone)]
pub struct Chunk {
    entries: Arc<[Entry]>,
    range: Range<usize>,
}

impl From<Vec<Entry>> for Chunk {
    fn from(entries: Vec<Entry>) -> Self {
        Self {
            range: 0..entries.len(),
            entries: entries.into(),
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
struct Grown {
    pages: Vec<Chunk>,
    /// Raised when the drive begins anew; `pages` are those of this pass.
    pass: u32,
    outcome: Option<Result<Arc<Listing>, Error>>,
}

/// The cache of listings.
#[derive(Debug)]
pub(super) struct Listings {
    state: Arc<Mutex<State>>,
    ttl: Duration,
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
    used: u64,
}

/// Where the members of a folder come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Kept(Arc<Listing>),
    Growing(Arc<Growing>),
}

impl Listings {
    /// `bound` counts entries over all folders; a folder itself counts as one.
    pub(super) fn new(ttl: Duration, bound: u64) -> Self {
        let state = State {
            slots: HashMap::new(),
            weight: 0,
            bound,
            clock: 0,
        };
        Self {
            state: Arc::new(Mutex::new(state)),
            ttl,
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
        if let Some(growing) = &slot.growing {
            return Source::Growing(growing.clone());
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
        };
        tokio::spawn(reader.run(drive.clone()));
        Source::Growing(growing)
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
}

impl Reader {
    async fn run(self, drive: Arc<dyn Drive>) {
        let outcome = self.read(&*drive).await;
        if let Ok(listing) = &outcome {
            // Kept before the flight ends: whoever comes in between finds it.
            lock(&self.cache).keep(self.key, listing.clone());
        }
        self.end(outcome);
    }

    async fn read(&self, drive: &dyn Drive) -> Result<Arc<Listing>, Error> {
        let read_at = Instant::now();
        let mut lister = drive.list(self.key.1);
        while let Some(page) = lister.next().await? {
            if page.entries.is_empty() && !page.restarted {
                continue;
            }
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
        Ok(Arc::new(Listing {
            entries: entries.into(),
            read_at,
        }))
    }

    fn end(&self, outcome: Result<Arc<Listing>, Error>) {
        let mut state = lock(&self.cache);
        if let Some(slot) = state.slots.get_mut(&self.key)
            && slot
                .growing
                .as_ref()
                .is_some_and(|growing| Arc::ptr_eq(growing, &self.growing))
        {
            slot.growing = None;
            if slot.kept.is_none() {
                state.slots.remove(&self.key);
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
            self.end(Err(Error::new(ErrorKind::Nonsense, "The listing was cut off.")));
        }
    }
}

impl Growing {
    fn change(&self, change: impl FnOnce(&mut Grown)) {
        change(&mut lock(&self.state));
        self.changed.send_modify(|count| *count += 1);
    }

    /// Waits until `look` finds what it wants; `look` sees the state after each change.
    async fn wait<T>(&self, mut look: impl FnMut(&Grown) -> Option<T>) -> T {
        let mut changed = self.changed.subscribe();
        loop {
            changed.mark_unchanged();
            if let Some(found) = look(&lock(&self.state)) {
                return found;
            }
            if changed.changed().await.is_err() {
                // The sender lives in `self`.
                std::future::pending::<()>().await;
            }
        }
    }
}

impl Source {
    /// The member of that name. `None` only from a whole listing.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Entry>, Error> {
        match self {
            Self::Kept(listing) => Ok(listing.find(name).cloned()),
            Self::Growing(growing) => {
                let mut seen = (0, 0);
                growing
                    .wait(|grown| {
                        if seen.0 != grown.pass {
                            seen = (grown.pass, 0);
                        }
                        let new = grown.pages.get(seen.1..).unwrap_or_default();
                        seen.1 = grown.pages.len();
                        if let Some(entry) = new.iter().flat_map(|p| p.iter()).find(|e| *e.name == *name) {
                            return Some(Ok(Some(entry.clone())));
                        }
                        match &grown.outcome {
                            Some(Ok(_)) => Some(Ok(None)),
                            Some(Err(error)) => Some(Err(error.clone())),
                            None => None,
                        }
                    })
                    .await
            }
        }
    }

    /// The whole listing, when it is read.
    pub(super) async fn whole(&self) -> Result<Arc<Listing>, Error> {
        match self {
            Self::Kept(listing) => Ok(listing.clone()),
            Self::Growing(growing) => growing.wait(|grown| grown.outcome.clone()).await,
        }
    }

    pub(super) fn follow(self) -> Follower {
        Follower {
            source: self,
            at: 0,
            pass: 0,
            given: HashSet::new(),
            missing: 0,
        }
    }
}

impl Listing {
    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }
}

/// Reads the members of a folder from the first to the last, as they come.
#[derive(Debug)]
pub(super) struct Follower {
    source: Source,
    /// Entries (kept) or pages (growing) given so far.
    at: usize,
    pass: u32,
    /// Ids given in all passes of a growing listing.
    given: HashSet<Id>,
    /// After a restart: given ids that have not come again yet.
    missing: usize,
}

impl Follower {
    pub(super) async fn next(&mut self) -> Result<Option<Chunk>, Error> {
        let growing = match &self.source {
            Source::Kept(listing) => {
                let range = self.at..listing.entries.len().min(self.at + CHUNK);
                self.at = range.end;
                let chunk = Chunk {
                    entries: listing.entries.clone(),
                    range,
                };
                return Ok(Some(chunk).filter(|chunk| !chunk.is_empty()));
            }
            Source::Growing(growing) => growing.clone(),
        };
        loop {
            let (at, pass) = (self.at, self.pass);
            let (pass, page) = growing
                .wait(|grown| {
                    let at = if grown.pass == pass { at } else { 0 };
                    match (grown.pages.get(at), &grown.outcome) {
                        (Some(page), _) => Some(Ok((grown.pass, Some(page.clone())))),
                        (None, Some(Ok(_))) => Some(Ok((grown.pass, None))),
                        (None, Some(Err(error))) => Some(Err(error.clone())),
                        (None, None) => None,
                    }
                })
                .await?;
            if pass != self.pass {
                self.pass = pass;
                self.at = 0;
                self.missing = self.given.len();
            }
            let Some(page) = page else {
                if self.missing > 0 {
                    let sentence = "The folder changed while it was listed; list it again.";
                    return Err(Error::new(ErrorKind::Busy, sentence));
                }
                return Ok(None);
            };
            self.at += 1;
            if self.missing == 0 {
                self.given.extend(page.iter().map(|entry| entry.id));
                if !page.is_empty() {
                    return Ok(Some(page));
                }
                continue;
            }
            let mut new = Vec::new();
            for entry in page.iter() {
                if self.given.insert(entry.id) {
                    new.push(entry.clone());
                } else {
                    self.missing -= 1;
                }
            }
            if !new.is_empty() {
                return Ok(Some(new.into()));
            }
        }
    }
}

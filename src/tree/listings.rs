//! The cache of listings: read once for all who ask, kept for a time, bounded in number.
//!
//! A folder that is not known is read by one task, page by page (`growing`). What is known and not older than `list_ttl` is
//! served as it is. For `stale` after that it is served at once too, while it is read anew behind; a name that it
//! lacks waits for the new reading, so that nothing is called missing on old knowledge. Older than that, the new
//! reading is waited for, and the old one serves only while 123pan does not answer. A listing is never served where
//! the drive says that the folder is gone or forbidden.
//!
//! Listings outlive the process (`shelf`): after a start they count as past their `list_ttl`, so that the tree can be browsed
//! at once and is compared with 123pan folder by folder as it is used.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use foldhash::fast::RandomState;
use tokio::sync::{Notify, Semaphore};
use tokio::time::Instant;

use super::follow::Source;
use super::growing::{Growing, Reader};
use super::known::Cache;
use super::listing::{Change, Key, Listing};
use super::shelf::Shelf;
use super::told::Hits;
use crate::clock::unix_now;
use crate::drive::{Drive, Entry, Error, ErrorKind};

/// After a reading that failed, a known folder is not read again so soon.
const PAUSE: Duration = Duration::from_secs(3);
/// Folders that are read behind at once.
const BEHIND: usize = 2;
/// A folder of so many entries is asked for its new rows first, before it is read whole: 50 calls (API page 5.3).
const LARGE: usize = 5000;
/// A listing that is so new is not asked anew on a client's `no-cache`.
const JUST_READ: Duration = Duration::from_secs(1);

/// How long listings are good.
#[derive(Debug, Clone, Copy)]
pub(super) struct Life {
    /// Served without asking; zero: always ask.
    pub(super) ttl: Duration,
    /// So long after that, served and asked behind.
    pub(super) stale: Duration,
}

impl Life {
    /// That a folder has only grown is taken for true no longer than an old listing is.
    fn trusts_rows_of(self, whole_stamp: i64) -> bool {
        let age = u64::try_from(unix_now() - whole_stamp).ok();
        age.is_some_and(|age| Duration::from_secs(age) < self.ttl + self.stale)
    }
}

/// The cache of listings.
#[derive(Debug)]
pub(super) struct Listings {
    pub(super) cache: Arc<Cache>,
    life: Life,
    stamp: Stamp,
    shelf: Option<Arc<Shelf>>,
    /// Turns of those that are read behind.
    behind: Arc<Semaphore>,
    /// How often a listing was at hand.
    pub(super) hits: Hits,
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
pub(super) struct State {
    slots: HashMap<Key, Slot, RandomState>,
    /// Weight of all kept listings.
    weight: u64,
    bound: u64,
    /// Counts uses, for the choice of what goes first.
    clock: AtomicU64,
    /// There is a shelf.
    shelved: bool,
    /// Folders whose row on the shelf is not what is known now, with the use at which that came to be.
    pub(super) dirty: HashMap<Key, u64>,
    /// Tells that there are some.
    pub(super) soiled: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Slot {
    kept: Option<Arc<Listing>>,
    growing: Option<Arc<Growing>>,
    /// Changes made since `growing` began.
    noted: Vec<Change>,
    /// What it must be read anew after, for a person has asked for it.
    expired: bool,
    /// The last reading's failure.
    failed: Option<(Instant, Error)>,
    /// The shelf has been looked at.
    looked: bool,
    used: AtomicU64,
}

impl Listings {
    /// `bound` counts entries over all folders; a folder itself counts as one.
    pub(super) fn new(life: Life, bound: u64, stamp: Stamp, shelf: Option<Arc<Shelf>>) -> Self {
        let cache = Arc::new(Cache::new(State {
            slots: HashMap::default(),
            weight: 0,
            bound,
            clock: AtomicU64::default(),
            shelved: shelf.is_some(),
            dirty: HashMap::new(),
            soiled: Arc::default(),
        }));
        if let Some(shelf) = &shelf {
            shelf.clone().keep_up(Arc::downgrade(&cache));
        }
        Self {
            cache,
            life,
            stamp,
            shelf,
            behind: Arc::new(Semaphore::new(BEHIND)),
            hits: Hits::default(),
        }
    }

    /// The listing of a folder: kept, growing, or begun now.
    pub(super) async fn open(&self, key: Key, drive: &Arc<dyn Drive>) -> Source {
        let kept = self.cache.look().fresh(key, Instant::now()).cloned();
        if let Some(kept) = kept {
            self.hits.count(true);
            return Source::Kept(kept);
        }
        self.look_on_the_shelf(key).await;
        let source = self.source(key, drive);
        let waits = matches!(
            source,
            Source::Growing(_) | Source::Awaited(_) | Source::Overdue(..)
        );
        self.hits.count(!waits);
        source
    }

    fn source(&self, key: Key, drive: &Arc<dyn Drive>) -> Source {
        let mut state = self.cache.manage();
        let now = Instant::now();
        let slot = state.slot(key);
        if let Some(kept) = slot.fresh(now) {
            return Source::Kept(kept.clone());
        }
        let kept = slot.kept.clone();
        if let (Some(kept), None, Some((at, error))) = (&kept, &slot.growing, &slot.failed)
            && now < *at + PAUSE
        {
            return Source::Doubted(kept.clone(), error.clone());
        }
        let served = !self.life.ttl.is_zero() && !slot.expired;
        let good = kept
            .as_ref()
            .is_some_and(|kept| served && now < kept.due + self.life.stale);
        let reading = match slot.growing.as_ref().filter(|growing| !growing.is_abandoned()) {
            Some(growing) if slot.noted.is_empty() => Source::Growing(growing.join()),
            Some(growing) => Source::Awaited(growing.join()),
            None => {
                let growing = Arc::new(Growing::new(good));
                slot.growing = Some(growing.clone());
                slot.noted.clear();
                let base = kept
                    .clone()
                    .filter(|kept| served && kept.entries().len() >= LARGE)
                    .filter(|kept| self.life.trusts_rows_of(kept.whole_stamp));
                let reader = Reader {
                    cache: self.cache.clone(),
                    key,
                    growing: growing.clone(),
                    stamp: self.stamp.clone(),
                    ttl: self.life.ttl,
                    base,
                    behind: good.then(|| self.behind.clone()),
                    // Who is shown an old listing leaves, but would like to see a new one next time.
                    while_wanted: kept.is_none(),
                };
                let joined = growing.join();
                tokio::spawn(reader.run(drive.clone()));
                Source::Growing(joined)
            }
        };
        match kept {
            Some(kept) if good => Source::Stale(kept, Box::new(reading)),
            Some(kept) => Source::Overdue(kept, Box::new(reading.wanted())),
            None => reading.wanted(),
        }
    }

    /// Makes one of our own changes.
    pub(super) fn change(&self, key: Key, change: Change) {
        let mut state = self.cache.alter();
        state.soil(key);
        let Some(slot) = state.slots.get_mut(&key) else {
            return;
        };
        if slot.growing.is_some() {
            slot.noted.push(change.clone());
        }
        let Some(kept) = slot.kept.take() else { return };
        let before = kept.weight();
        let mut listing = Arc::unwrap_or_clone(kept);
        change.make(Arc::make_mut(&mut listing.entries));
        let after = listing.weight();
        slot.kept = Some(Arc::new(listing));
        state.weight = state.weight + after - before;
    }

    /// A folder that we have just made is empty: that needs no call.
    pub(super) fn made(&self, key: Key) {
        let (now, stamp) = (Instant::now(), unix_now());
        let listing = Listing {
            entries: Arc::default(),
            read_at: Some(now),
            due: now + self.life.ttl,
            stamp,
            whole_stamp: stamp,
        };
        let mut state = self.cache.alter();
        state.slot(key).looked = true;
        state.keep(key, Arc::new(listing));
    }

    /// Forgets a folder that is gone, or that is not what we think.
    pub(super) fn forget(&self, key: Key) {
        let mut state = self.cache.alter();
        state.soil(key);
        if let Some(kept) = state.slots.remove(&key).and_then(|slot| slot.kept) {
            state.weight -= kept.weight();
        }
    }

    /// A known listing, however old it is.
    pub(super) async fn kept(&self, key: Key) -> Option<Arc<Listing>> {
        self.look_on_the_shelf(key).await;
        self.cache.look().known(key)
    }

    /// Entries and folders kept.
    pub(super) fn weight(&self) -> u64 {
        self.cache.look().weight
    }

    /// Every folder is asked anew when it is wanted next (SIGHUP).
    pub(super) fn expire_all(&self) {
        let mut state = self.cache.alter();
        state.slots.values_mut().for_each(Slot::expire);
        drop(state);
        if let Some(shelf) = &self.shelf {
            shelf.distrust();
        }
    }

    /// A folder is asked anew when it is wanted next, unless it was read just now.
    pub(super) fn expire(&self, key: Key) {
        let mut state = self.cache.alter();
        let slot = state.slot(key);
        let read_at = slot.kept.as_ref().and_then(|kept| kept.read_at);
        if read_at.is_none_or(|at| at.elapsed() >= JUST_READ) {
            slot.expire();
        }
    }

    /// Whether a folder was read, in this run or before, so lately that it may be shown.
    pub(super) async fn is_known(&self, key: Key) -> bool {
        self.look_on_the_shelf(key).await;
        let state = self.cache.look();
        let slot = state.slots.get(&key).filter(|slot| !slot.expired);
        let kept = slot.and_then(|slot| slot.kept.as_ref());
        kept.is_some_and(|kept| Instant::now() < kept.due || self.life.trusts_rows_of(kept.stamp))
    }

    /// Puts what is known onto the shelf; for the end of the process.
    pub(super) async fn put_by(&self) {
        if let Some(shelf) = &self.shelf {
            shelf.flush(&self.cache).await;
        }
    }

    /// Takes a listing from the shelf, once for each folder.
    async fn look_on_the_shelf(&self, key: Key) {
        let Some(shelf) = &self.shelf else { return };
        let needless = |state: &State| {
            let known = |slot: &Slot| slot.looked || slot.kept.is_some();
            state.slots.get(&key).is_some_and(known) || state.dirty.contains_key(&key)
        };
        if !needless(&self.cache.look()) {
            Box::pin(self.take_off(shelf, key, needless)).await;
        }
    }

    async fn take_off(&self, shelf: &Shelf, key: Key, needless: impl Fn(&State) -> bool) {
        // One after the other: many who want one folder wait for one reading.
        let _turn = shelf.turn().await;
        if needless(&self.cache.look()) {
            return;
        }
        let (found, trusted) = shelf.load(key).await;
        let mut state = self.cache.alter();
        if needless(&state) {
            return;
        }
        let slot = state.slot(key);
        slot.looked = true;
        slot.expired |= !trusted;
        if let Some(mut found) = found {
            let rows: &mut Vec<Entry> = Arc::make_mut(&mut found.entries);
            self.stamp.0(key.0, rows);
            let expired = slot.expired;
            state.put(key, Arc::new(found));
            state.slot(key).expired = expired;
        }
    }
}

impl Slot {
    fn fresh(&self, now: Instant) -> Option<&Arc<Listing>> {
        self.kept.as_ref().filter(|kept| !self.expired && now < kept.due)
    }

    fn expire(&mut self) {
        self.expired = true;
        self.failed = None;
    }
}

impl State {
    /// The slot of a folder that is used now.
    fn slot(&mut self, key: Key) -> &mut Slot {
        let now = self.tick();
        let slot = self.slots.entry(key).or_default();
        *slot.used.get_mut() = now;
        slot
    }

    /// A listing that is used now and need not be asked for.
    pub(super) fn fresh(&self, key: Key, now: Instant) -> Option<&Arc<Listing>> {
        let slot = self.slots.get(&key)?;
        let kept = slot.fresh(now)?;
        slot.used.store(self.tick(), Ordering::Relaxed);
        Some(kept)
    }

    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The row on the shelf is not true any more.
    fn soil(&mut self, key: Key) {
        if !self.shelved {
            return;
        }
        let now = self.tick();
        self.dirty.insert(key, now);
        self.soiled.notify_one();
    }

    /// What is known of a folder now.
    pub(super) fn known(&self, key: Key) -> Option<Arc<Listing>> {
        self.slots.get(&key)?.kept.clone()
    }

    /// Ends a reading; the changes made meanwhile, or `None` if the folder was forgotten.
    pub(super) fn land(&mut self, key: Key, growing: &Arc<Growing>) -> Option<Vec<Change>> {
        let slot = self.slots.get_mut(&key)?;
        slot.growing.take_if(|running| Arc::ptr_eq(running, growing))?;
        Some(std::mem::take(&mut slot.noted))
    }

    /// A reading was given up, because nobody wanted it.
    pub(super) fn given_up(&mut self, key: Key) {
        if self.slots.get(&key).is_some_and(|slot| slot.kept.is_none()) {
            self.slots.remove(&key);
        }
    }

    /// A reading has failed. What is known stays if it may still be true.
    pub(super) fn failed(&mut self, key: Key, error: &Error) {
        let Some(slot) = self.slots.get_mut(&key) else {
            return;
        };
        if slot.kept.is_some() && is_outage(error.kind()) {
            if slot.failed.is_none() {
                tracing::warn!(%error, "a folder cannot be asked anew: what was known of it is shown");
            }
            slot.failed = Some((Instant::now(), error.clone()));
            return;
        }
        if let Some(kept) = slot.kept.take() {
            self.weight -= kept.weight();
        }
        self.slots.remove(&key);
        self.soil(key);
    }

    /// Keeps a listing that was read.
    pub(super) fn keep(&mut self, key: Key, listing: Arc<Listing>) {
        self.soil(key);
        self.put(key, listing);
    }

    fn put(&mut self, key: Key, listing: Arc<Listing>) {
        let slot = self.slots.entry(key).or_default();
        slot.expired = false;
        slot.failed = None;
        self.weight += listing.weight();
        if let Some(old) = slot.kept.replace(listing) {
            self.weight -= old.weight();
        }
        while self.weight > self.bound {
            let oldest = self
                .slots
                .iter()
                .filter(|(_, slot)| slot.kept.is_some())
                .min_by_key(|(_, slot)| slot.used.load(Ordering::Relaxed));
            let Some((&key, _)) = oldest else { break };
            if let Some(slot) = self.slots.get_mut(&key) {
                if let Some(old) = slot.kept.take() {
                    self.weight -= old.weight();
                }
                if slot.growing.is_none() {
                    self.slots.remove(&key);
                }
            }
            self.soil(key);
        }
    }
}

/// Whether an error says nothing of the folder: what was known of it may still be true.
pub(super) fn is_outage(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::Busy
            | ErrorKind::Unreachable
            | ErrorKind::Timeout
            | ErrorKind::Nonsense
            | ErrorKind::RiskControl
            | ErrorKind::SignIn
    )
}

//! What was found, and is true until something changes: who asks for the same again need not look again.
//!
//! Players ask for ranges of one film all the time. A look takes the lock of all listings and holds what it finds, which
//! two cores that do it in turn pay for more than for the rest of it.

use std::ops::Deref;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use super::flight::lock;
use super::listings::{Listings, State};
use super::{Resource, Tree, TreePath};
use crate::drive::{Entry, Id};

/// So long a resource is taken for known at the most: its folders are used meanwhile, and do not show it.
const LONGEST: Duration = Duration::from_secs(1);

/// The state of the listings behind its lock.
#[derive(Debug)]
pub(super) struct Cache {
    state: Mutex<State>,
    version: Version,
}

/// Counts those who came to change what is known. It has a cache line of its own, because the lock's is written by each look.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Version(AtomicU64);

/// The state, which stays as it is.
pub(super) struct Look<'a>(MutexGuard<'a, State>);

/// How long a resource that was found is what its path leads to.
#[derive(Debug)]
pub struct Freshness {
    version: u64,
    until: Instant,
    /// Listings that were looked into, and those that need not be since. Counted here, for all cores share one counter.
    looks: u64,
    saved: AtomicU64,
}

impl Cache {
    pub(super) fn new(state: State) -> Self {
        Self {
            state: Mutex::new(state),
            version: Version::default(),
        }
    }

    /// For a look.
    pub(super) fn look(&self) -> Look<'_> {
        Look(lock(&self.state))
    }

    /// For what no look shows: who reads a folder, and what is on the disk.
    pub(super) fn manage(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// For a change: what was found before has to be found again.
    pub(super) fn alter(&self) -> MutexGuard<'_, State> {
        let state = lock(&self.state);
        self.version.0.fetch_add(1, Ordering::Release);
        state
    }

    fn version(&self) -> u64 {
        self.version.0.load(Ordering::Acquire)
    }
}

impl Deref for Look<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl Listings {
    /// The entry of a path below a folder of a store, where all folders on the way are known and need not be asked for.
    fn at_hand(&self, store: usize, mut folder: Id, path: &TreePath) -> Option<(Entry, Freshness)> {
        let mut names = path.segments().peekable();
        let now = Instant::now();
        let (mut until, mut looks) = (now + LONGEST, 0);
        // Under one lock, so that it was all true at one moment.
        let state = self.cache.look();
        loop {
            let name = names.next()?;
            let listing = state.fresh((store, folder), now)?;
            until = until.min(listing.due);
            let entry = listing.find(name)?;
            looks += 1;
            match names.peek() {
                None => {
                    self.hits.had(looks);
                    let freshness = Freshness {
                        version: self.cache.version(),
                        until,
                        looks,
                        saved: AtomicU64::default(),
                    };
                    return Some((entry.clone(), freshness));
                }
                Some(_) if entry.is_folder() => folder = entry.id,
                Some(_) => return None,
            }
        }
    }

    fn is_fresh(&self, found: &Freshness) -> bool {
        let fresh = found.version == self.cache.version() && Instant::now() < found.until;
        if fresh {
            found.saved.fetch_add(found.looks, Ordering::Relaxed);
        }
        fresh
    }
}

impl Tree {
    /// Finds the resource of a path below a mount where nobody need be asked, nor waited for.
    pub(super) fn at_hand(&self, path: &TreePath) -> Option<(Resource, Freshness)> {
        // Files that wait to be sent stand before what is listed. They are asked for first, because one that was sent is
        // listed before it waits no more.
        if !self.pending.is_empty() {
            return None;
        }
        let (mount, rest) = self.mounts.owner(path)?;
        let (entry, freshness) = self.listings.at_hand(mount.store, mount.drive.root(), &rest)?;
        let resource = Resource {
            path: path.clone(),
            mount: Some(mount.clone()),
            entry: Arc::new(entry),
        };
        Some((resource, freshness))
    }

    /// Whether a look would find the same again.
    pub fn is_fresh(&self, found: &Freshness) -> bool {
        // In this order: see `at_hand`.
        self.pending.is_empty() && self.listings.is_fresh(found)
    }

    /// Counts the looks that this has saved, as looks into what was known.
    pub fn count(&self, found: &Freshness) {
        self.listings.hits.had(found.saved.swap(0, Ordering::Relaxed));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::drive::Kind;
    use crate::tree::listing::Change;
    use crate::tree::listings::{Life, Stamp};

    const ROOT: Id = Id(1);
    const FOLDER: Id = Id(2);

    fn entry(id: Id, name: &str, kind: Kind) -> Entry {
        Entry {
            id,
            name: name.into(),
            kind,
            size: Some(1),
            modified: 0,
            created: 0,
            md5: None,
            locator: "".into(),
        }
    }

    /// `/f/a`, with folders that are good for so long, in milliseconds.
    fn listings(ttl: u64, bound: u64) -> Listings {
        let life = Life {
            ttl: Duration::from_millis(ttl),
            stale: Duration::ZERO,
        };
        let listings = Listings::new(life, bound, Stamp(Arc::new(|_, _| {})), None);
        listings.made((0, ROOT));
        listings.change((0, ROOT), Change::Put(entry(FOLDER, "f", Kind::Folder)));
        listings.made((0, FOLDER));
        listings.change((0, FOLDER), Change::Put(entry(Id(3), "a", Kind::File)));
        listings
    }

    fn find(listings: &Listings, path: &str) -> Option<(Entry, Freshness)> {
        listings.at_hand(0, ROOT, &TreePath::from_decoded(path).unwrap())
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_found_is_fresh_until_a_folder_on_the_way_has_to_be_asked_for_again() {
        for (ttl, good_for) in [(300, 300), (60_000, 1000)] {
            let listings = listings(ttl, 100);
            let (found, freshness) = find(&listings, "/f/a").unwrap();
            assert_eq!(found.id, Id(3));
            tokio::time::advance(Duration::from_millis(good_for - 1)).await;
            assert!(listings.is_fresh(&freshness));
            tokio::time::advance(Duration::from_millis(1)).await;
            assert!(!listings.is_fresh(&freshness));
            assert_eq!(find(&listings, "/f/a").is_some(), good_for < ttl);
        }
        assert!(find(&listings(0, 100), "/f/a").is_none());
        for missing in ["/f/b", "/f/a/x", "/x", "/"] {
            assert!(find(&listings(300, 100), missing).is_none(), "{missing}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_is_fresh_after_a_change() {
        type Make = fn(&Listings);
        let changes: [Make; 6] = [
            |listings| listings.change((0, FOLDER), Change::Remove(Id(3))),
            |listings| listings.change((0, ROOT), Change::Remove(FOLDER)),
            |listings| listings.forget((0, FOLDER)),
            |listings| listings.made((0, FOLDER)),
            |listings| listings.expire_all(),
            // Which takes the place of an older one.
            |listings| (4..30).for_each(|id| listings.made((0, Id(id)))),
        ];
        for change in changes {
            let listings = listings(60_000, 20);
            let (_, freshness) = find(&listings, "/f/a").unwrap();
            assert!(listings.is_fresh(&freshness));
            change(&listings);
            assert!(!listings.is_fresh(&freshness));
            assert!(find(&listings, "/f/a").is_none());
        }
    }
}

//! What the tree tells of itself to people: files that wait, space, and how often it knew the answer.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::flight::lock;
use super::{Mount, Resource, Tree, TreePath, folder};
use crate::drive::Quota;

/// A file that waits to be sent.
#[derive(Debug, Clone)]
pub struct WaitingFile {
    /// Where it is shown.
    pub path: TreePath,
    /// Bytes.
    pub size: u64,
    /// It is being sent now.
    pub running: bool,
    /// Attempts that failed.
    pub attempts: u32,
    /// The time until it is tried; zero where it only waits for its turn.
    pub due_in: Duration,
}

/// How often a cache had what was wanted.
#[derive(Debug, Default)]
pub(super) struct Hits {
    hits: AtomicU64,
    misses: AtomicU64,
}

/// The counts of the caches since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheHits {
    /// Listings that were at hand.
    pub listings: u64,
    /// Listings that were waited for.
    pub listings_asked: u64,
    /// Links that were at hand.
    pub links: u64,
    /// Links that were asked for.
    pub links_asked: u64,
}

impl Hits {
    pub(super) fn count(&self, hit: bool) {
        let counter = if hit { &self.hits } else { &self.misses };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// It had what was wanted so often.
    pub(super) fn had(&self, times: u64) {
        self.hits.fetch_add(times, Ordering::Relaxed);
    }

    fn counts(&self) -> (u64, u64) {
        let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        (load(&self.hits), load(&self.misses))
    }
}

impl Tree {
    /// The files that wait below a path, those that came first before the others, `most` at the most.
    pub fn waiting_files(&self, below: &TreePath, most: usize) -> Vec<WaitingFile> {
        let mut waiting = self.pending.below(below);
        waiting.sort_unstable_by_key(|waiting| waiting.sequence);
        let now = Instant::now();
        let told = waiting.iter().take(most).map(|waiting| {
            let times = lock(&waiting.times);
            WaitingFile {
                path: waiting.place.path.clone(),
                size: waiting.entry.size.unwrap_or_default(),
                running: times.running,
                attempts: times.attempts,
                due_in: times.due.saturating_duration_since(now),
            }
        });
        told.collect()
    }

    /// The quota of a mount, if it is known within `wait`; else the last one that was known. With a `wait` of zero, and
    /// while calls are stopped, nobody is asked.
    pub async fn known_quota(self: &Arc<Self>, mount: &Mount, wait: Duration) -> Option<Quota> {
        // Mounts of one account have one quota.
        let mount = self.mounts().iter().find(|other| other.store == mount.store)?;
        if mount.drive.capability().quota && !wait.is_zero() && mount.drive.governor().halted.is_none() {
            let root = Resource {
                path: mount.path.clone(),
                mount: Some(mount.clone()),
                entry: Arc::new(folder("", mount.drive.root())),
            };
            if let Ok(Ok(quota)) = timeout(wait, self.quota(&root)).await {
                return quota;
            }
        }
        let (_, quota) = lock(&self.quotas).get(mount.index).copied().flatten()?;
        quota
    }

    /// How often the caches had what was wanted.
    pub fn hits(&self) -> CacheHits {
        let (listings, listings_asked) = self.listings.hits.counts();
        let (links, links_asked) = self.links.hits.counts();
        CacheHits {
            listings,
            listings_asked,
            links,
            links_asked,
        }
    }
}

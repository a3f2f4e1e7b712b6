//! A listing that is being read: one task fills it page by page, everybody who wants the folder follows.
//!
//! The task goes on when its clients leave, because each page has cost a call; if they leave before the first one was asked for,
//! it leaves the queue of calls. When the drive finds its listing
//! inconsistent it begins anew (`Page::restarted`). A follower that has passed members on goes on with those that are
//! new to it; if at the end one that it gave away is not in the listing, it fails: a folder that is not true is never
//! ended well-formed.

use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use super::flight::lock;
use super::known::Cache;
use super::listing::{Chunk, Key, Listing};
use super::listings::Stamp;
use crate::clock::unix_now;
use crate::drive::{Drive, DriveFuture, Entry, Error, ErrorKind, Urgency};
use crate::metrics::waited::waiting;

/// A listing that is being read.
#[derive(Debug)]
pub(super) struct Growing {
    state: Mutex<Grown>,
    /// Counts changes of `state`.
    changed: watch::Sender<u64>,
    urgency: Urgency,
    /// Its receivers are those who are interested in it.
    interest: watch::Sender<()>,
}

/// A reading that somebody is interested in, as long as he holds this.
#[derive(Debug, Clone)]
pub(super) struct Joined {
    growing: Arc<Growing>,
    _interest: watch::Receiver<()>,
}

impl Deref for Joined {
    type Target = Growing;
    fn deref(&self) -> &Growing {
        &self.growing
    }
}

#[derive(Debug, Default)]
pub(super) struct Grown {
    pub(super) pages: Vec<Chunk>,
    /// Raised when the drive begins anew; `pages` are those of this pass.
    pub(super) pass: u32,
    pub(super) outcome: Option<Result<Arc<Listing>, Error>>,
}

impl Growing {
    /// A reading; `behind`: nobody waits for it.
    pub(super) fn new(behind: bool) -> Self {
        Self {
            state: Mutex::default(),
            changed: watch::Sender::new(0),
            urgency: match behind {
                true => Urgency::nobody(),
                false => Urgency::of_its_own(),
            },
            interest: watch::Sender::new(()),
        }
    }

    /// Takes an interest.
    pub(super) fn join(self: &Arc<Self>) -> Joined {
        Joined {
            growing: self.clone(),
            _interest: self.interest.subscribe(),
        }
    }

    /// Whether all who were interested have left, and it was given up.
    pub(super) fn is_abandoned(&self) -> bool {
        self.urgency.is_abandoned()
    }

    /// The running task waits for it: it does not step back for others any more.
    pub(super) fn want(&self) {
        self.urgency.joined();
    }

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

/// The task that reads one folder.
pub(super) struct Reader {
    pub(super) cache: Arc<Cache>,
    pub(super) key: Key,
    pub(super) growing: Arc<Growing>,
    pub(super) stamp: Stamp,
    pub(super) ttl: Duration,
    /// What may only have grown: then just the new rows are asked for.
    pub(super) base: Option<Arc<Listing>>,
    /// Where nobody waits for it: few are read behind at once, so that each is soon done.
    pub(super) behind: Option<Arc<Semaphore>>,
    /// It may be given up when all have left who were interested.
    pub(super) while_wanted: bool,
}

/// The rows that were read, and when.
struct Found {
    entries: Vec<Entry>,
    read_at: Instant,
    stamp: i64,
    whole_stamp: i64,
}

impl Reader {
    pub(super) async fn run(self, drive: Arc<dyn Drive>) {
        let urgency = self.growing.urgency.clone();
        urgency.scope(self.work(drive)).await;
    }

    async fn work(self, drive: Arc<dyn Drive>) {
        let _turn = match &self.behind {
            Some(turns) => tokio::select! {
                turn = turns.acquire() => turn.ok(),
                () = self.growing.urgency.hurried() => None,
            },
            None => None,
        };
        let outcome = self.read(&*drive).await;
        self.end(outcome);
    }

    async fn read(&self, drive: &dyn Drive) -> Result<Found, Error> {
        let (read_at, stamp) = (Instant::now(), unix_now());
        if let Some(base) = &self.base
            && let Some(entries) = self.grown(drive, base).await?
        {
            return Ok(Found {
                entries,
                read_at,
                stamp,
                whole_stamp: base.whole_stamp,
            });
        }
        Ok(Found {
            entries: self.read_whole(drive).await?,
            read_at,
            stamp,
            whole_stamp: stamp,
        })
    }

    /// The folder, if rows were only added to it.
    async fn grown(&self, drive: &dyn Drive, base: &Listing) -> Result<Option<Vec<Entry>>, Error> {
        let Some(mut added) = drive.list_added(self.key.1, base.entries()).await? else {
            return Ok(None);
        };
        self.stamp.0(self.key.0, &mut added);
        let mut entries = base.entries().to_vec();
        entries.append(&mut added);
        entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        let chunk = Chunk::from(entries.clone());
        self.growing.change(|grown| grown.pages.push(chunk));
        Ok(Some(entries))
    }

    async fn read_whole(&self, drive: &dyn Drive) -> Result<Vec<Entry>, Error> {
        let mut lister = drive.list(self.key.1);
        let mut first = self.while_wanted;
        loop {
            let page = if std::mem::take(&mut first) {
                self.while_wanted(lister.next()).await?
            } else {
                lister.next().await?
            };
            let Some(mut page) = page else { break };
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

    /// A call that leaves the queue when nobody is interested any more; one that is under way ends.
    async fn while_wanted<T>(&self, mut call: DriveFuture<'_, T>) -> Result<T, Error> {
        tokio::select! {
            biased;
            done = &mut call => return done,
            () = self.growing.interest.closed() => self.growing.urgency.abandon(),
        }
        call.await
    }

    fn end(&self, outcome: Result<Found, Error>) {
        let mut state = self.cache.alter();
        // A folder that was forgotten meanwhile has no slot, or another reader in it.
        let noted = state.land(self.key, &self.growing);
        let outcome = outcome.map(|mut found| {
            for change in noted.iter().flatten() {
                change.make(&mut found.entries);
            }
            Arc::new(Listing {
                entries: Arc::new(found.entries),
                read_at: Some(found.read_at),
                due: found.read_at + self.ttl,
                stamp: found.stamp,
                whole_stamp: found.whole_stamp,
            })
        });
        if noted.is_some() {
            match &outcome {
                // Kept before the flight ends: whoever comes in between finds it.
                Ok(listing) => state.keep(self.key, listing.clone()),
                Err(_) if self.growing.is_abandoned() => state.given_up(self.key),
                Err(error) => state.failed(self.key, error),
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

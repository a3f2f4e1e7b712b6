//! The table of files that wait: by folder and name for those who look, by time for the one who sends.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::TreePath;
use super::change::Place;
use super::flight::lock;
use super::spool::Spooled;
use crate::drive::{Content, Entry, Id};
use crate::state::Pending as Row;

/// The files that wait, by folder and name.
#[derive(Debug, Default)]
pub(super) struct Pending {
    table: Mutex<Table>,
    /// How many wait: mostly none, which every lookup wants to know.
    count: AtomicUsize,
    pub(super) changed: Notify,
}

#[derive(Debug, Default)]
struct Table {
    folders: HashMap<(usize, Id), BTreeMap<String, Arc<Waiting>>>,
    by_id: HashMap<Id, Arc<Waiting>>,
}

/// One file that waits.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) sequence: u64,
    pub(super) place: Place,
    pub(super) entry: Entry,
    pub(super) content: Arc<Spooled>,
    pub(super) row: Row,
    pub(super) times: Mutex<Times>,
    /// Cancelled when the file is removed, moved or replaced: a running upload stops before it completes.
    pub(super) cancelled: CancellationToken,
}

#[derive(Debug)]
pub(super) struct Times {
    pub(super) due: Instant,
    pub(super) running: bool,
    pub(super) attempts: u32,
}

impl Pending {
    /// The file waiting at a name.
    pub(super) fn at(&self, store: usize, folder: Id, name: &str) -> Option<Entry> {
        let table = self.some()?;
        table
            .folders
            .get(&(store, folder))?
            .get(name)
            .map(|waiting| waiting.entry.clone())
    }

    /// The files waiting in a folder.
    pub(super) fn members(&self, store: usize, folder: Id) -> Vec<Entry> {
        let table = lock(&self.table);
        let members = table.folders.get(&(store, folder));
        members
            .into_iter()
            .flatten()
            .map(|(_, waiting)| waiting.entry.clone())
            .collect()
    }

    /// The bytes of a file that waits.
    pub(super) fn content(&self, id: Id) -> Option<Arc<dyn Content>> {
        let waiting = self.some()?.by_id.get(&id)?.clone();
        Some(waiting.content.clone())
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    /// The table, where something is in it.
    fn some(&self) -> Option<MutexGuard<'_, Table>> {
        (!self.is_empty()).then(|| lock(&self.table))
    }

    /// How many wait, and their bytes.
    pub(super) fn len(&self) -> (usize, u64) {
        let table = lock(&self.table);
        (
            table.by_id.len(),
            table.by_id.values().map(|waiting| waiting.content.size()).sum(),
        )
    }

    /// The file that another one replaces which was just stored at its place: not that one itself.
    pub(super) fn replaced_by(&self, place: &Place, stored: &Entry) -> Option<Arc<Waiting>> {
        let table = lock(&self.table);
        let waiting = table
            .folders
            .get(&(place.mount.store, place.folder))?
            .get(&place.name)?;
        let same = waiting.entry.md5 == stored.md5 && waiting.entry.size == stored.size;
        (!same).then(|| waiting.clone())
    }

    /// An empty file whose body is being received is not sent before that has ended.
    pub(super) fn park(&self, place: &Place, wait: Duration) {
        let table = lock(&self.table);
        let waiting = table
            .folders
            .get(&(place.mount.store, place.folder))
            .and_then(|n| n.get(&place.name));
        if let Some(waiting) = waiting.filter(|waiting| waiting.content.size() == 0) {
            lock(&waiting.times).due = Instant::now() + wait;
        }
        drop(table);
        self.changed.notify_one();
    }

    pub(super) fn insert(&self, waiting: Arc<Waiting>) -> Option<Arc<Waiting>> {
        let mut table = lock(&self.table);
        let folder = (waiting.place.mount.store, waiting.place.folder);
        table.by_id.insert(waiting.entry.id, waiting.clone());
        let old = table
            .folders
            .entry(folder)
            .or_default()
            .insert(waiting.place.name.clone(), waiting);
        if let Some(old) = &old {
            table.by_id.remove(&old.entry.id);
            old.cancelled.cancel();
        }
        self.count.store(table.by_id.len(), Ordering::Release);
        drop(table);
        self.changed.notify_one();
        old
    }

    /// The file of a local id.
    pub(super) fn by_id(&self, id: Id) -> Option<Arc<Waiting>> {
        lock(&self.table).by_id.get(&id).cloned()
    }

    pub(super) fn remove(&self, waiting: &Arc<Waiting>) {
        let mut table = lock(&self.table);
        table.by_id.remove(&waiting.entry.id);
        self.count.store(table.by_id.len(), Ordering::Release);
        let folder = (waiting.place.mount.store, waiting.place.folder);
        if let Some(names) = table.folders.get_mut(&folder) {
            if names
                .get(&waiting.place.name)
                .is_some_and(|found| Arc::ptr_eq(found, waiting))
            {
                names.remove(&waiting.place.name);
            }
            if names.is_empty() {
                table.folders.remove(&folder);
            }
        }
    }

    pub(super) fn below(&self, path: &TreePath) -> Vec<Arc<Waiting>> {
        let table = lock(&self.table);
        table
            .by_id
            .values()
            .filter(|waiting| waiting.place.path.below(path).is_some())
            .cloned()
            .collect()
    }

    /// The oldest file that is due, or the moment to look again.
    pub(super) fn due(&self) -> Result<Arc<Waiting>, Option<Instant>> {
        let table = lock(&self.table);
        let now = Instant::now();
        let mut next = None;
        let mut found: Option<&Arc<Waiting>> = None;
        for waiting in table.by_id.values() {
            let times = lock(&waiting.times);
            if times.running {
                continue;
            }
            if times.due <= now {
                if found.is_none_or(|found| waiting.sequence < found.sequence) {
                    found = Some(waiting);
                }
            } else if next.is_none_or(|next| times.due < next) {
                next = Some(times.due);
            }
        }
        let found = found.ok_or(next)?;
        lock(&found.times).running = true;
        Ok(found.clone())
    }

    pub(super) fn hurry(&self, path: &TreePath, only_empty: bool) {
        for waiting in self.below(path) {
            if !only_empty || waiting.content.size() == 0 {
                lock(&waiting.times).due = Instant::now();
            }
        }
        self.changed.notify_one();
    }
}

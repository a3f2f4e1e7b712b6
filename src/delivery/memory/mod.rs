//! Beginnings and ends of files, remembered for a while.
//!
//! Players and media libraries read the same few megabytes again and again: the head with the codecs, the end with
//! the index. What a streamed download brings of them is kept, within one bound over all files; who asks next is
//! served from here. Who asks for bytes that another download is about to bring waits a moment for them in place
//! of asking too; not for long, because the other's client may be slow.
//!
//! A file is named by what it holds (its MD5 and size), so that one that was overwritten shows no old byte; files
//! without an MD5 are not kept.

mod extents;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::HeaderValue;
use tokio::sync::watch;
use tokio::time::Instant;

use self::extents::Extents;
use crate::drive::{Entry, Id};
use crate::tree::Mount;

/// Bytes kept of each end of a file at the most.
const EDGE: u64 = 4 << 20;
/// Files that nobody read for so long are forgotten.
const KEPT: Duration = Duration::from_secs(10 * 60);
/// How often is looked for them.
const SWEEP: Duration = Duration::from_secs(60);
/// Bytes that another download may still be away from those that are waited for.
const NEAR: u64 = 1 << 20;
/// A download that brought nothing for so long is not waited for: its client may have paused.
const ALIVE: Duration = Duration::from_secs(2);
/// The number of a download that brings nothing that is kept.
const NONE: u64 = 0;

/// The memory of all files.
#[derive(Debug)]
pub struct Blocks {
    limit: u64,
    edge: u64,
    inner: Mutex<Inner>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    store: usize,
    id: Id,
    md5: [u8; 16],
    size: u64,
}

#[derive(Debug, Default)]
struct Inner {
    files: HashMap<Key, File>,
    held: u64,
    /// Tells downloads apart.
    leads: u64,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct File {
    extents: Extents,
    /// The CDN's entity tag of these bytes.
    etag: Option<HeaderValue>,
    leaders: Vec<Leader>,
    news: watch::Sender<()>,
    used: Instant,
}

/// A download under way.
#[derive(Debug)]
struct Leader {
    lead: u64,
    at: u64,
    end: u64,
    /// When it began or last brought something.
    moved: Instant,
}

impl Leader {
    /// Whether it is about to bring the byte at `at`.
    fn brings(&self, at: u64, now: Instant) -> bool {
        self.at <= at && at < self.end && at - self.at <= NEAR && now < self.moved + ALIVE
    }
}

/// The memory of one file.
#[derive(Debug, Clone)]
pub struct Memory {
    blocks: Arc<Blocks>,
    key: Arc<Key>,
}

/// What the memory has for a reader.
#[derive(Debug)]
pub enum Look {
    /// Some of the next bytes, and the CDN's entity tag with which they came.
    Bytes(Bytes, Option<HeaderValue>),
    /// Another download will bring them; something has happened when this changes, or fails.
    Coming(watch::Receiver<()>),
    /// Nobody has them: they are to be fetched, and given to this.
    Lead(Lead),
}

/// One download that fills the memory; nobody waits for it once it is dropped.
#[derive(Debug)]
pub struct Lead {
    memory: Memory,
    lead: u64,
    at: u64,
    end: u64,
    etag: Option<HeaderValue>,
}

impl Blocks {
    /// A memory of at most `limit` bytes; 0 keeps nothing.
    pub fn new(limit: u64) -> Arc<Self> {
        Arc::new(Self {
            limit,
            // So that several files have room.
            edge: EDGE.min(limit / 8),
            inner: Mutex::default(),
        })
    }

    /// The memory of a file; `None` where it is not kept.
    pub fn of(self: &Arc<Self>, mount: &Mount, file: &Entry) -> Option<Memory> {
        let key = Key {
            store: mount.store,
            id: file.id,
            md5: file.md5?,
            size: file.size?,
        };
        (self.edge > 0).then(|| Memory {
            blocks: Arc::clone(self),
            key: Arc::new(key),
        })
    }

    /// Bytes held.
    #[cfg(test)]
    pub fn held(&self) -> u64 {
        self.lock().held
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing panics while it is held; if something did, what is there is still right.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    /// What there is of `at..end`, of which the first byte comes next. `follow`: the reader may wait.
    pub fn look(&self, at: u64, end: u64, follow: bool) -> Look {
        if self.kept(at) >= end {
            return Look::Lead(self.lead(NONE, at, end));
        }
        let mut inner = self.blocks.lock();
        let now = Instant::now();
        inner.sweep(now);
        if self.kept(at) == at
            && let Some(file) = inner.files.get_mut(&*self.key)
        {
            file.used = now;
            if let Some(bytes) = file.extents.get(at, end) {
                return Look::Bytes(bytes, file.etag.clone());
            }
            if follow && file.leaders.iter().any(|leader| leader.brings(at, now)) {
                return Look::Coming(file.news.subscribe());
            }
        }
        inner.leads += 1;
        let lead = inner.leads;
        let file = inner
            .files
            .entry((*self.key).clone())
            .or_insert_with(|| File::new(now, None));
        let moved = now;
        file.leaders.push(Leader { lead, at, end, moved });
        Look::Lead(self.lead(lead, at, end))
    }

    /// Forgets what there is of the file.
    pub fn forget(&self) {
        self.blocks.lock().forget(&self.key);
    }

    fn lead(&self, lead: u64, at: u64, end: u64) -> Lead {
        Lead {
            memory: self.clone(),
            lead,
            at,
            end,
            etag: None,
        }
    }

    /// The first position from `at` on that is kept; the file's size where there is none.
    fn kept(&self, at: u64) -> u64 {
        let (size, edge) = (self.key.size, self.blocks.edge);
        if at < edge {
            at
        } else {
            at.max(size.saturating_sub(edge)).min(size)
        }
    }
}

impl Lead {
    /// Tells with which entity tag the bytes will come. What the memory holds with another one is forgotten.
    pub fn opened(&mut self, etag: Option<&HeaderValue>) {
        self.etag = etag.cloned();
        if self.lead == NONE {
            return;
        }
        let mut inner = self.memory.blocks.lock();
        let inner = &mut *inner;
        if let Some(file) = inner.files.get_mut(&*self.memory.key)
            && file.etag != self.etag
        {
            inner.held -= file.extents.cost();
            file.extents = Extents::default();
            file.etag.clone_from(&self.etag);
        }
    }

    /// Gives the next bytes to the memory.
    pub fn bring(&mut self, data: &[u8]) {
        if self.lead == NONE {
            return;
        }
        let (from, until) = (self.at, self.at + data.len() as u64);
        self.at = until;
        let (edge, size) = (self.memory.blocks.edge, self.memory.key.size);
        let head = from..until.min(edge);
        let tail = from.max(size.saturating_sub(edge)).max(head.end.max(from))..until;
        if head.is_empty() && tail.is_empty() {
            return;
        }
        let mut inner = self.memory.blocks.lock();
        let now = Instant::now();
        let inner = &mut *inner;
        let file = inner
            .files
            .entry((*self.memory.key).clone())
            .or_insert_with(|| File::new(now, self.etag.clone()));
        if file.etag != self.etag {
            return;
        }
        let before = file.extents.cost();
        for part in [head, tail] {
            if let (Ok(first), Ok(last)) = (
                usize::try_from(part.start - from),
                usize::try_from(part.end.saturating_sub(from)),
            ) && let Some(data) = data.get(first..last)
            {
                file.extents.put(part.start, data);
            }
        }
        inner.held += file.extents.cost() - before;
        file.used = now;
        match file.leaders.iter_mut().find(|leader| leader.lead == self.lead) {
            Some(leader) => (leader.at, leader.moved) = (until, now),
            // The file was forgotten meanwhile.
            None => file.leaders.push(Leader {
                lead: self.lead,
                at: until,
                end: self.end,
                moved: now,
            }),
        }
        file.news.send_replace(());
        inner.shrink(self.memory.blocks.limit);
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        if self.lead == NONE {
            return;
        }
        let mut inner = self.memory.blocks.lock();
        let Some(file) = inner.files.get_mut(&*self.memory.key) else {
            return;
        };
        file.leaders.retain(|leader| leader.lead != self.lead);
        file.news.send_replace(());
        if file.leaders.is_empty() && file.extents.cost() == 0 {
            inner.files.remove(&*self.memory.key);
        }
    }
}

impl File {
    fn new(now: Instant, etag: Option<HeaderValue>) -> Self {
        Self {
            extents: Extents::default(),
            etag,
            leaders: Vec::new(),
            news: watch::Sender::new(()),
            used: now,
        }
    }
}

impl Inner {
    /// Forgets the files that were longest not read, until the rest has room.
    fn shrink(&mut self, limit: u64) {
        while self.held > limit {
            let Some(oldest) = self
                .files
                .iter()
                .filter(|(_, file)| file.extents.cost() > 0)
                .min_by_key(|(_, file)| file.used)
                .map(|(key, _)| key.clone())
            else {
                return;
            };
            self.forget(&oldest);
        }
    }

    /// Forgets the files that nobody read for long.
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now < swept + SWEEP) {
            return;
        }
        self.swept = Some(now);
        let old: Vec<Key> = self
            .files
            .iter()
            .filter(|(_, file)| file.leaders.is_empty() && now >= file.used + KEPT)
            .map(|(key, _)| key.clone())
            .collect();
        for key in old {
            self.forget(&key);
        }
    }

    fn forget(&mut self, key: &Key) {
        if let Some(file) = self.files.remove(key) {
            self.held -= file.extents.cost();
        }
    }
}

#[cfg(test)]
mod tests;

//! The lock table (RFC 4918 6 and 7): ours, because dav-server's own locks never end (T9).
//!
//! One table for all users, on paths of the tree. A lock ends at its time; a client that vanished blocks nobody
//! longer. dav-server sees the table through a [`LockView`], which knows the user's root: paths that it speaks of
//! are those that the user sees. Locks live in memory: after a restart clients find out by a 412 and lock anew.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use dav_server::davpath::DavPath;
use dav_server::ls::{DavLock, DavLockSystem, LsFuture};
use tokio::time::Instant;
use xmltree::{Element, EmitterConfig};

use crate::tree::{Tree, TreePath};

/// Locks at the most; who wants one more is refused as if the resource were locked.
const BOUND: usize = 8192;
/// The life of a lock without a wish, and the longest one.
const LONGEST: Duration = Duration::from_secs(3600);

/// All locks.
#[derive(Debug, Default)]
pub struct LockTable {
    locks: Mutex<HashMap<String, Lock>>,
}

#[derive(Debug, Clone)]
struct Lock {
    path: TreePath,
    principal: Option<String>,
    owner: Option<Box<Element>>,
    timeout: Duration,
    until: Instant,
    shared: bool,
    deep: bool,
}

impl Lock {
    /// Whether the lock covers a path: itself, or what is below it.
    fn covers(&self, path: &TreePath) -> bool {
        self.path == *path || (self.deep && path.below(&self.path).is_some())
    }
}

impl LockTable {
    fn live(&self) -> MutexGuard<'_, HashMap<String, Lock>> {
        let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        locks.retain(|_, lock| lock.until > now);
        locks
    }

    /// Whether anything is locked at all.
    pub fn is_empty(&self) -> bool {
        self.live().is_empty()
    }

    /// The `D:activelock` elements of a resource; `href` makes the URL path of a locked path.
    pub fn active(&self, path: &TreePath, href: impl Fn(&TreePath) -> String) -> Vec<u8> {
        let mut xml = Vec::new();
        for (token, lock) in self.live().iter().filter(|(_, lock)| lock.covers(path)) {
            let scope = if lock.shared { "shared" } else { "exclusive" };
            let depth = if lock.deep { "infinity" } else { "0" };
            let left = lock.until.saturating_duration_since(Instant::now()).as_secs();
            xml.extend_from_slice(
                format!(
                    "<D:activelock><D:lockscope><D:{scope}/></D:lockscope><D:locktype><D:write/></D:locktype>\
                     <D:depth>{depth}</D:depth>"
                )
                .as_bytes(),
            );
            if let Some(owner) = &lock.owner {
                let config = EmitterConfig::new().write_document_declaration(false);
                // Into memory: it fails only for names that no parser lets through.
                let _ = owner.write_with_config(&mut xml, config);
            }
            let mut root = bytes::BytesMut::new();
            super::encode::text(&href(&lock.path), &mut root);
            xml.extend_from_slice(format!("<D:timeout>Second-{left}</D:timeout>").as_bytes());
            xml.extend_from_slice(
                format!("<D:locktoken><D:href>{token}</D:href></D:locktoken><D:lockroot><D:href>").as_bytes(),
            );
            xml.extend_from_slice(&root);
            xml.extend_from_slice(b"</D:href></D:lockroot></D:activelock>");
        }
        xml
    }
}

/// The table as one user's requests see it.
#[derive(Debug, Clone)]
pub struct LockView {
    table: Arc<LockTable>,
    tree: Arc<Tree>,
    root: TreePath,
}

impl LockView {
    /// A view for users whose root is `root`.
    pub fn new(table: Arc<LockTable>, tree: Arc<Tree>, root: TreePath) -> Self {
        Self { table, tree, root }
    }

    /// The path of the tree; `None` for bytes that are no path, which nobody can have locked.
    fn path(&self, path: &DavPath) -> Option<TreePath> {
        tree_path(&self.root, path)
    }

    fn shown(&self, token: &str, lock: &Lock) -> DavLock {
        let below = lock.path.below(&self.root).unwrap_or_default();
        // An encoded path is always one that dav-server reads.
        let path = DavPath::new(&below.encoded()).or_else(|_| DavPath::new("/"));
        DavLock {
            token: token.to_owned(),
            path: Box::new(path.unwrap_or_else(|_| unreachable!("a slash is a path"))),
            principal: lock.principal.clone(),
            owner: lock.owner.clone(),
            timeout_at: Some(SystemTime::now() + lock.until.saturating_duration_since(Instant::now())),
            timeout: Some(lock.timeout),
            shared: lock.shared,
            deep: lock.deep,
        }
    }

    /// The first lock that is in the way of a change at `path`, or of a new lock that allows `shared` ones beside it.
    fn conflict(&self, path: &TreePath, who: &Who<'_>, deep: bool, shared_ok: bool) -> Option<DavLock> {
        let locks = self.table.live();
        let held = |token: &String, lock: &Lock| {
            who.tokens.contains(token)
                && who
                    .principal
                    .is_none_or(|name| lock.principal.as_deref() == Some(name))
        };
        let mut holds = false;
        let mut shared = None;
        for (token, lock) in locks.iter() {
            if lock.covers(path) {
                if held(token, lock) {
                    holds = true;
                } else if !lock.shared {
                    return Some(self.shown(token, lock));
                } else if !shared_ok {
                    shared = Some(self.shown(token, lock));
                }
            } else if deep
                && lock.path.below(path).is_some()
                && !held(token, lock)
                && !(lock.shared && shared_ok)
            {
                return Some(self.shown(token, lock));
            }
        }
        // One of several shared locks is enough.
        shared.filter(|_| !holds)
    }
}

/// Who asks, and which tokens were submitted. No principal: any holder of a token will do.
struct Who<'a> {
    principal: Option<&'a str>,
    tokens: &'a [String],
}

/// The path of the tree that a request's path means for a user.
pub(super) fn tree_path(root: &TreePath, path: &DavPath) -> Option<TreePath> {
    let text = std::str::from_utf8(path.as_bytes()).ok()?;
    Some(root.join(&TreePath::from_decoded(text).ok()?))
}

fn ready<'a, T: Send + 'a>(value: T) -> LsFuture<'a, T> {
    Box::pin(std::future::ready(value))
}

impl DavLockSystem for LockView {
    fn lock(
        &self,
        path: &DavPath,
        principal: Option<&str>,
        owner: Option<&Element>,
        timeout: Option<Duration>,
        shared: bool,
        deep: bool,
    ) -> LsFuture<'_, Result<DavLock, DavLock>> {
        let timeout = timeout.unwrap_or(LONGEST).min(LONGEST);
        let lock = Lock {
            path: self.path(path).unwrap_or_default(),
            principal: principal.map(str::to_owned),
            owner: owner.cloned().map(Box::new),
            timeout,
            until: Instant::now() + timeout,
            shared,
            deep,
        };
        let nobody = Who {
            principal: None,
            tokens: &[],
        };
        if let Some(conflict) = self.conflict(&lock.path, &nobody, deep, shared) {
            return ready(Err(conflict));
        }
        let token = uuid::Uuid::new_v4().urn().to_string();
        let shown = self.shown(&token, &lock);
        let mut locks = self.table.live();
        if locks.len() >= BOUND {
            return ready(Err(shown));
        }
        locks.insert(token, lock);
        ready(Ok(shown))
    }

    fn unlock(&self, path: &DavPath, token: &str) -> LsFuture<'_, Result<(), ()>> {
        let Some(path) = self.path(path) else {
            return ready(Err(()));
        };
        let mut locks = self.table.live();
        if !locks.get(token).is_some_and(|lock| lock.covers(&path)) {
            return ready(Err(()));
        }
        locks.remove(token);
        drop(locks);
        // A name that was only locked becomes a real, empty file.
        self.tree.settle(&path);
        ready(Ok(()))
    }

    fn refresh(
        &self,
        path: &DavPath,
        token: &str,
        timeout: Option<Duration>,
    ) -> LsFuture<'_, Result<DavLock, ()>> {
        let Some(path) = self.path(path) else {
            return ready(Err(()));
        };
        let mut locks = self.table.live();
        let Some(lock) = locks.get_mut(token).filter(|lock| lock.covers(&path)) else {
            return ready(Err(()));
        };
        lock.timeout = timeout.unwrap_or(LONGEST).min(LONGEST);
        lock.until = Instant::now() + lock.timeout;
        let lock = lock.clone();
        drop(locks);
        ready(Ok(self.shown(token, &lock)))
    }

    fn check(
        &self,
        path: &DavPath,
        principal: Option<&str>,
        ignore_principal: bool,
        deep: bool,
        submitted_tokens: &[String],
    ) -> LsFuture<'_, Result<(), DavLock>> {
        let Some(path) = self.path(path) else {
            return ready(Ok(()));
        };
        let principal = if ignore_principal { None } else { principal };
        let who = Who {
            principal,
            tokens: submitted_tokens,
        };
        ready(match self.conflict(&path, &who, deep, false) {
            Some(conflict) => Err(conflict),
            None => Ok(()),
        })
    }

    fn discover(&self, path: &DavPath) -> LsFuture<'_, Vec<DavLock>> {
        let Some(path) = self.path(path) else {
            return ready(Vec::new());
        };
        let locks = self.table.live();
        let covering = locks.iter().filter(|(_, lock)| lock.covers(&path));
        ready(covering.map(|(token, lock)| self.shown(token, lock)).collect())
    }

    fn delete(&self, path: &DavPath) -> LsFuture<'_, Result<(), ()>> {
        if let Some(path) = self.path(path) {
            self.table
                .live()
                .retain(|_, lock| lock.path.below(&path).is_none());
        }
        ready(Ok(()))
    }
}

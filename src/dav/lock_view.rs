//! The lock table as dav-server sees it: for one root of users, and for the request that is at work.
//!
//! dav-server speaks of paths as the user sees them, cuts the wished life of a lock down to ten minutes, does not say who
//! unlocks, and cannot say that a table is full. What it leaves out is in the request's [`Work`], which
//! [`AT_WORK`] carries around it: everything that dav-server asks, it asks inside the one future that answers the request.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use dav_server::davpath::DavPath;
use dav_server::ls::{DavLock, DavLockSystem, LsFuture};
use tokio::time::Instant;
use xmltree::Element;

use super::adapter::Work;
use super::lock::{Around, Change, LONGEST, Lock, Locks, NoLock, NoUnlock, Who};
use crate::drive::{Error, ErrorKind};
use crate::tree::{Tree, TreePath};

tokio::task_local! {
    /// The request that this task answers.
    pub(super) static AT_WORK: Work;
}

/// The one table, shared.
#[derive(Debug, Default)]
pub struct LockTable(Mutex<Locks>);

impl LockTable {
    fn locks(&self) -> MutexGuard<'_, Locks> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The locks of a folder and of its members, for one listing. `href` makes the URL path of a locked path.
    pub fn around(&self, folder: &TreePath, href: impl Fn(&TreePath) -> String) -> Around {
        self.locks().around(folder, Instant::now(), href)
    }
}

/// The table as one user's requests see it.
#[derive(Debug, Clone)]
pub struct LockView {
    table: Arc<LockTable>,
    tree: Arc<Tree>,
    root: TreePath,
    /// The URL path of the tree, decoded.
    prefix: Arc<str>,
}

impl LockView {
    /// A view for users whose root is `root`.
    pub fn new(table: Arc<LockTable>, tree: Arc<Tree>, root: TreePath, prefix: &str) -> Self {
        Self {
            table,
            tree,
            root,
            prefix: prefix.into(),
        }
    }

    /// The path of the tree; `None` for bytes that are no path, which nobody can have locked.
    fn path(&self, path: &DavPath) -> Option<TreePath> {
        tree_path(&self.root, path)
    }

    fn shown(&self, token: String, lock: Lock) -> DavLock {
        let below = lock.path.below(&self.root).unwrap_or_default();
        let url = TreePath::from_decoded(&self.prefix)
            .unwrap_or_default()
            .join(&below);
        let path = DavPath::new(&url.encoded()).and_then(|mut path| {
            path.set_prefix(&self.prefix)?;
            Ok(path)
        });
        // An encoded path is always one that dav-server reads.
        let path = path.or_else(|_| DavPath::new("/"));
        DavLock {
            token,
            path: Box::new(path.unwrap_or_else(|_| unreachable!("a slash is a path"))),
            timeout_at: Some(SystemTime::now() + lock.until.saturating_duration_since(Instant::now())),
            timeout: Some(lock.timeout),
            principal: lock.principal,
            owner: lock.owner,
            shared: lock.shared,
            deep: lock.deep,
        }
    }
}

/// The path of the tree that a request's path means for a user.
pub(super) fn tree_path(root: &TreePath, path: &DavPath) -> Option<TreePath> {
    let text = std::str::from_utf8(path.as_bytes()).ok()?;
    Some(root.join(&TreePath::from_decoded(text).ok()?))
}

/// What the request that is at work does to a path.
fn change(path: &TreePath) -> Change {
    let changed = at_work(|work| {
        let method = work.method().as_str();
        Some(matches!(method, "DELETE" | "MOVE" | "COPY" | "MKCOL") || work.is_missing(path))
    });
    match changed {
        Some(true) => Change::Membership,
        _ => Change::Content,
    }
}

fn at_work<T>(ask: impl FnOnce(&Work) -> Option<T>) -> Option<T> {
    AT_WORK.try_with(ask).ok().flatten()
}

fn refuse(kind: ErrorKind, sentence: &str) {
    let _ = AT_WORK.try_with(|work| work.refuse(Error::new(kind, sentence)));
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
        let wish = at_work(Work::wish).or(timeout);
        let timeout = wish.unwrap_or(LONGEST).min(LONGEST);
        let now = Instant::now();
        let lock = Lock {
            path: self.path(path).unwrap_or_default(),
            principal: principal.map(str::to_owned),
            owner: owner.cloned().map(Box::new),
            timeout,
            until: now + timeout,
            shared,
            deep,
        };
        let tokens = at_work(|work| Some(work.tokens().to_vec())).unwrap_or_default();
        let who = Who {
            principal,
            tokens: &tokens,
        };
        let token = uuid::Uuid::new_v4().urn().to_string();
        let added = {
            let mut locks = self.table.locks();
            // A lock of a free name makes a member of the folder.
            let folder = lock
                .path
                .parent()
                .filter(|_| change(&lock.path) == Change::Membership);
            let conflict =
                folder.and_then(|folder| locks.conflict(&folder, who, false, Change::Content, now));
            match conflict {
                Some((token, lock)) => Err(NoLock::Conflict(token, Box::new(lock))),
                None => locks.add(lock.clone(), token.clone(), now),
            }
        };
        ready(match added {
            Ok(()) => Ok(self.shown(token, lock)),
            Err(NoLock::Conflict(token, lock)) => Err(self.shown(token, *lock)),
            Err(NoLock::Full) => {
                refuse(
                    ErrorKind::Busy,
                    "Too many resources are locked; unlock some, or wait until their locks end.",
                );
                Err(self.shown(token, lock))
            }
        })
    }

    fn unlock(&self, path: &DavPath, token: &str) -> LsFuture<'_, Result<(), ()>> {
        let Some(path) = self.path(path) else {
            return ready(Err(()));
        };
        let principal = at_work(|work| Some(work.user().to_owned()));
        let removed = self
            .table
            .locks()
            .remove(&path, token, principal.as_deref(), Instant::now());
        ready(match removed {
            Ok(()) => {
                // A name that was only locked becomes a real, empty file.
                self.tree.settle(&path);
                Ok(())
            }
            Err(NoUnlock::Unknown) => Err(()),
            Err(NoUnlock::Foreign) => {
                refuse(
                    ErrorKind::Forbidden,
                    "The lock is somebody else's; only who locked can unlock.",
                );
                Err(())
            }
        })
    }

    fn refresh(
        &self,
        path: &DavPath,
        token: &str,
        timeout: Option<Duration>,
    ) -> LsFuture<'_, Result<DavLock, ()>> {
        let wish = at_work(Work::wish).or(timeout);
        let refreshed = self
            .path(path)
            .and_then(|path| self.table.locks().refresh(&path, token, wish, Instant::now()));
        ready(match refreshed {
            Some(lock) => Ok(self.shown(token.to_owned(), lock)),
            None => Err(()),
        })
    }

    /// dav-server asks two things by this: whether a change may be made, and (ignoring who asks) whether the one
    /// token of a condition in an `If` header is that of a lock here. A token of no lock is a condition that is not met, so
    /// that a client whose lock has ended does not overwrite what others have done since (RFC 4918 10.4.4).
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
        let now = Instant::now();
        let conflict = if ignore_principal {
            let mut locks = self.table.locks();
            let met = submitted_tokens
                .iter()
                .any(|token| locks.is_locked_with(&path, token, now));
            (!met).then(|| {
                let none = Lock {
                    path,
                    principal: None,
                    owner: None,
                    timeout: Duration::ZERO,
                    shared: false,
                    deep,
                    until: now,
                };
                (String::new(), none)
            })
        } else {
            let who = Who {
                principal,
                tokens: submitted_tokens,
            };
            self.table.locks().conflict(&path, who, deep, change(&path), now)
        };
        ready(match conflict {
            Some((token, lock)) => Err(self.shown(token, lock)),
            None => Ok(()),
        })
    }

    fn discover(&self, path: &DavPath) -> LsFuture<'_, Vec<DavLock>> {
        let covering = self
            .path(path)
            .map(|path| self.table.locks().covering(&path, Instant::now()));
        let shown = covering.into_iter().flatten();
        ready(shown.map(|(token, lock)| self.shown(token, lock)).collect())
    }

    fn delete(&self, path: &DavPath) -> LsFuture<'_, Result<(), ()>> {
        if let Some(path) = self.path(path) {
            self.table.locks().delete(&path);
        }
        ready(Ok(()))
    }
}

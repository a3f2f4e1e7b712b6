//! The lock table (RFC 4918 6 and 7): ours, because dav-server's own locks never end (T9).
//!
//! One table for all users, on paths of the tree; pure: the time comes in from outside. A lock ends at its time, so a
//! client that vanished blocks nobody longer. dav-server sees the table through a `LockView`. Locks live in
//! memory: after a restart a client finds out by a 412 that its token means nothing, and locks anew.
//!
//! A lock covers its resource and, if it is deep, what is below. A lock of a folder alone (depth 0) covers besides which
//! members the folder has (RFC 4918 7.4): [`Change::Membership`].

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;
use xmltree::{Element, EmitterConfig};

use crate::tree::TreePath;

/// Locks at the most, for all users together.
pub const BOUND: usize = 8192;
/// The life of a lock without a wish, and the longest one.
pub const LONGEST: Duration = Duration::from_secs(3600);

/// A lock that is there, or that is wanted.
#[derive(Debug, Clone)]
pub struct Lock {
    /// What is locked.
    pub path: TreePath,
    /// Whose it is.
    pub principal: Option<String>,
    /// What the client says of itself: an XML element.
    pub owner: Option<Box<Element>>,
    /// The life it was given.
    pub timeout: Duration,
    /// Shared, else exclusive.
    pub shared: bool,
    /// Depth infinity, else 0.
    pub deep: bool,
    /// When it ends.
    pub until: Instant,
}

/// What a change does to a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// The content or the properties of what is there.
    Content,
    /// The name appears in its folder, or goes from it.
    Membership,
}

/// Who asks, and which tokens were submitted. No principal: any holder of a token will do.
#[derive(Debug, Clone, Copy)]
pub struct Who<'a> {
    /// The user.
    pub principal: Option<&'a str>,
    /// The tokens of the `If` header.
    pub tokens: &'a [String],
}

impl Who<'_> {
    fn holds(&self, token: &str, lock: &Lock) -> bool {
        self.tokens.iter().any(|submitted| submitted == token)
            && self
                .principal
                .is_none_or(|name| lock.principal.as_deref() == Some(name))
    }
}

/// Why there is no new lock.
#[derive(Debug)]
pub enum NoLock {
    /// This one is in the way.
    Conflict(String, Box<Lock>),
    /// The table is full.
    Full,
}

/// Why a lock was not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoUnlock {
    /// No lock of that token covers the path.
    Unknown,
    /// It is somebody else's (RFC 4918 6.4: only its creator uses a token).
    Foreign,
}

/// All locks, by token. Methods that are given `now` see only those that have not ended.
#[derive(Debug, Default)]
pub struct Locks(HashMap<String, Lock>);

impl Locks {
    fn sweep(&mut self, now: Instant) {
        self.0.retain(|_, lock| lock.until > now);
    }

    /// Takes a new lock in, under its token.
    ///
    /// # Errors
    /// See [`NoLock`].
    pub fn add(&mut self, lock: Lock, token: String, now: Instant) -> Result<(), NoLock> {
        self.sweep(now);
        // No token helps: an exclusive lock is alone, even of one user.
        let nobody = Who {
            principal: None,
            tokens: &[],
        };
        if let Some((token, other)) =
            self.in_the_way(&lock.path, nobody, lock.deep, lock.shared, Change::Content)
        {
            return Err(NoLock::Conflict(token.to_owned(), Box::new(other.clone())));
        }
        if self.0.len() >= BOUND {
            return Err(NoLock::Full);
        }
        self.0.insert(token, lock);
        Ok(())
    }

    /// Ends a lock that covers `path`.
    ///
    /// # Errors
    /// See [`NoUnlock`].
    pub fn remove(
        &mut self,
        path: &TreePath,
        token: &str,
        principal: Option<&str>,
        now: Instant,
    ) -> Result<(), NoUnlock> {
        self.sweep(now);
        let lock = self.0.get(token).filter(|lock| lock.covers(path));
        let lock = lock.ok_or(NoUnlock::Unknown)?;
        if principal.is_some_and(|name| lock.principal.as_deref() != Some(name)) {
            return Err(NoUnlock::Foreign);
        }
        self.0.remove(token);
        Ok(())
    }

    /// Lets a lock that covers `path` begin its life anew; with its old length, unless another is wished.
    pub fn refresh(
        &mut self,
        path: &TreePath,
        token: &str,
        wish: Option<Duration>,
        now: Instant,
    ) -> Option<Lock> {
        self.sweep(now);
        let lock = self.0.get_mut(token).filter(|lock| lock.covers(path))?;
        lock.timeout = wish.unwrap_or(lock.timeout).min(LONGEST);
        lock.until = now + lock.timeout;
        Some(lock.clone())
    }

    /// Whether `token` is that of a lock that covers `path`: what a condition of an `If` header asks.
    pub fn is_locked_with(&mut self, path: &TreePath, token: &str, now: Instant) -> bool {
        self.sweep(now);
        self.0.get(token).is_some_and(|lock| lock.covers(path))
    }

    /// A lock that is in the way of a change at `path` (`deep`: and of all below it).
    pub fn conflict(
        &mut self,
        path: &TreePath,
        who: Who<'_>,
        deep: bool,
        change: Change,
        now: Instant,
    ) -> Option<(String, Lock)> {
        self.sweep(now);
        let (token, lock) = self.in_the_way(path, who, deep, false, change)?;
        Some((token.to_owned(), lock.clone()))
    }

    /// `shared_too`: shared locks are in nobody's way.
    fn in_the_way(
        &self,
        path: &TreePath,
        who: Who<'_>,
        deep: bool,
        shared_too: bool,
        change: Change,
    ) -> Option<(&str, &Lock)> {
        let folder = path.parent().filter(|_| change == Change::Membership);
        // Of several shared locks of one resource one token is enough.
        let mut shared: Vec<(&str, &Lock)> = Vec::new();
        let mut held: Vec<&TreePath> = Vec::new();
        for (token, lock) in &self.0 {
            let concerns = lock.covers(path)
                || (deep && lock.path.below(path).is_some())
                || folder.as_ref() == Some(&lock.path);
            if !concerns {
                continue;
            }
            if who.holds(token, lock) {
                held.push(&lock.path);
            } else if !lock.shared {
                return Some((token, lock));
            } else if !shared_too {
                shared.push((token, lock));
            }
        }
        shared.into_iter().find(|(_, lock)| !held.contains(&&lock.path))
    }

    /// The locks that cover a path.
    pub fn covering(&mut self, path: &TreePath, now: Instant) -> Vec<(String, Lock)> {
        self.sweep(now);
        let covering = self.0.iter().filter(|(_, lock)| lock.covers(path));
        covering
            .map(|(token, lock)| (token.clone(), lock.clone()))
            .collect()
    }

    /// Ends all locks at a path and below it: it was removed, or moved away.
    pub fn delete(&mut self, path: &TreePath) {
        self.0.retain(|_, lock| lock.path.below(path).is_none());
    }

    /// The locks of a folder and of its members, for one listing. `href` makes the URL path of a locked path.
    pub fn around(&mut self, folder: &TreePath, now: Instant, href: impl Fn(&TreePath) -> String) -> Around {
        self.sweep(now);
        let mut around = Around::default();
        for (token, lock) in &self.0 {
            if lock.covers(folder) {
                let xml = lock.active(token, now, &href);
                if lock.deep {
                    around.inherited.extend_from_slice(&xml);
                }
                around.own.extend_from_slice(&xml);
            } else if lock.path.parent().as_ref() == Some(folder)
                && let Some(name) = lock.path.name()
            {
                let member = around.members.entry(name.to_owned()).or_default();
                member.extend_from_slice(&lock.active(token, now, &href));
            }
        }
        around
    }
}

/// The `D:activelock` elements of a folder and of its members.
#[derive(Debug, Default)]
pub struct Around {
    /// Those of the folder itself.
    pub own: Vec<u8>,
    /// Those that all members have from above.
    inherited: Vec<u8>,
    /// Those that members have beside them.
    members: HashMap<String, Vec<u8>>,
}

impl Around {
    /// Those of a member.
    pub fn of(&self, name: &str) -> Vec<u8> {
        let own = self.members.get(name).map_or(&[][..], Vec::as_slice);
        [&self.inherited, own].concat()
    }
}

impl Lock {
    /// Whether it covers a path: itself, or what is below it.
    fn covers(&self, path: &TreePath) -> bool {
        self.path == *path || (self.deep && path.below(&self.path).is_some())
    }

    /// The `D:activelock` element (RFC 4918 14.1).
    fn active(&self, token: &str, now: Instant, href: impl Fn(&TreePath) -> String) -> Vec<u8> {
        let scope = if self.shared { "shared" } else { "exclusive" };
        let depth = if self.deep { "infinity" } else { "0" };
        let left = self.until.saturating_duration_since(now).as_secs();
        let mut xml = format!(
            "<D:activelock><D:lockscope><D:{scope}/></D:lockscope><D:locktype><D:write/></D:locktype>\
             <D:depth>{depth}</D:depth>"
        )
        .into_bytes();
        if let Some(owner) = &self.owner {
            let config = EmitterConfig::new().write_document_declaration(false);
            // Into memory: it fails only for names that no parser lets through.
            let _ = owner.write_with_config(&mut xml, config);
        }
        let mut root = bytes::BytesMut::new();
        super::encode::text(&href(&self.path), &mut root);
        xml.extend_from_slice(
            format!(
                "<D:timeout>Second-{left}</D:timeout><D:locktoken><D:href>{token}</D:href></D:locktoken>\
                 <D:lockroot><D:href>"
            )
            .as_bytes(),
        );
        xml.extend_from_slice(&root);
        xml.extend_from_slice(b"</D:href></D:lockroot></D:activelock>");
        xml
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn path(path: &str) -> TreePath {
        TreePath::parse(path).unwrap()
    }

    struct Table {
        locks: Locks,
        now: Instant,
    }

    impl Table {
        fn new() -> Self {
            Self {
                locks: Locks::default(),
                now: Instant::now(),
            }
        }

        fn add(&mut self, at: &str, token: &str, user: &str, shared: bool, deep: bool) -> Result<(), NoLock> {
            let lock = Lock {
                path: path(at),
                principal: Some(user.to_owned()),
                owner: None,
                timeout: Duration::from_secs(60),
                shared,
                deep,
                until: self.now + Duration::from_secs(60),
            };
            self.locks.add(lock, token.to_owned(), self.now)
        }

        fn blocked(&mut self, at: &str, user: &str, tokens: &[&str], deep: bool, change: Change) -> bool {
            let tokens: Vec<String> = tokens.iter().map(|&token| token.to_owned()).collect();
            let who = Who {
                principal: Some(user),
                tokens: &tokens,
            };
            let conflict = self.locks.conflict(&path(at), who, deep, change, self.now);
            conflict.is_some()
        }
    }

    #[test]
    fn an_exclusive_lock_is_alone_and_shared_ones_are_together() {
        let mut table = Table::new();
        table.add("/f/a", "t1", "me", false, true).unwrap();
        for (at, shared, deep) in [
            ("/f/a", false, false),
            ("/f/a", true, false),
            ("/f", false, true),
            ("/f/a/b", true, true),
        ] {
            let refused = table.add(at, "t", "me", shared, deep);
            assert!(matches!(refused, Err(NoLock::Conflict(token, _)) if token == "t1"));
        }
        table.add("/f", "t2", "me", false, false).unwrap();
        table.add("/s", "t3", "me", true, false).unwrap();
        table.add("/s", "t4", "you", true, true).unwrap();
        assert!(table.add("/s", "t5", "me", false, false).is_err());
        assert!(table.add("/", "t5", "me", false, true).is_err());
    }

    #[test]
    fn who_holds_the_token_passes_and_nobody_else() {
        let mut table = Table::new();
        table.add("/f", "t1", "me", false, true).unwrap();
        for at in ["/f", "/f/a", "/f/a/b"] {
            assert!(table.blocked(at, "me", &[], false, Change::Content));
            assert!(table.blocked(at, "you", &["t1"], false, Change::Content));
            assert!(!table.blocked(at, "me", &["t0", "t1"], false, Change::Content));
        }
        assert!(!table.blocked("/fa", "you", &[], true, Change::Membership));
        assert!(!table.blocked("/", "you", &[], false, Change::Content));
        assert!(table.blocked("/", "you", &[], true, Change::Content));
    }

    #[test]
    fn one_token_of_several_shared_locks_is_enough() {
        let mut table = Table::new();
        table.add("/f/a", "t1", "me", true, false).unwrap();
        table.add("/f/a", "t2", "you", true, false).unwrap();
        table.add("/f/b", "t3", "you", true, false).unwrap();
        assert!(!table.blocked("/f/a", "me", &["t1"], false, Change::Content));
        assert!(table.blocked("/f/a", "me", &["t2"], false, Change::Content));
        assert!(table.blocked("/f", "me", &["t1"], true, Change::Content));
        assert!(!table.blocked("/f", "you", &["t2", "t3"], true, Change::Content));
    }

    #[test]
    fn a_lock_of_a_folder_alone_covers_which_members_it_has() {
        let mut table = Table::new();
        table.add("/f", "t1", "me", false, false).unwrap();
        assert!(table.blocked("/f/a", "you", &[], false, Change::Membership));
        assert!(!table.blocked("/f/a", "me", &["t1"], false, Change::Membership));
        assert!(!table.blocked("/f/a", "you", &[], false, Change::Content));
        assert!(!table.blocked("/f/a/b", "you", &[], false, Change::Membership));
    }

    #[test]
    fn a_lock_ends_at_its_time_and_not_before() {
        let mut table = Table::new();
        let a = path("/a");
        table.add("/a", "t1", "me", false, false).unwrap();
        table.now += Duration::from_secs(59);
        assert!(table.blocked("/a", "you", &[], false, Change::Content));
        assert!(table.locks.is_locked_with(&a, "t1", table.now));
        let refreshed = table.locks.refresh(&a, "t1", None, table.now).unwrap();
        assert_eq!(refreshed.timeout, Duration::from_secs(60));
        table.now += Duration::from_secs(59);
        assert!(table.blocked("/a", "you", &[], false, Change::Content));
        table.now += Duration::from_secs(1);
        assert!(!table.blocked("/a", "you", &[], false, Change::Content));
        assert!(!table.locks.is_locked_with(&a, "t1", table.now));
        assert!(table.locks.refresh(&a, "t1", None, table.now).is_none());
        let removed = table.locks.remove(&a, "t1", Some("me"), table.now);
        assert_eq!(removed, Err(NoUnlock::Unknown));
        table.add("/a", "t2", "you", false, false).unwrap();
        let long = table.locks.refresh(&a, "t2", Some(Duration::MAX), table.now);
        assert_eq!(long.unwrap().timeout, LONGEST);
    }

    #[test]
    fn a_lock_is_ended_by_its_owner_where_it_covers() {
        let mut table = Table::new();
        table.add("/f", "t1", "me", false, true).unwrap();
        let now = table.now;
        let mut remove = |at: &str, token: &str, user: &str| {
            let path = path(at);
            table.locks.remove(&path, token, Some(user), now)
        };
        assert_eq!(remove("/g", "t1", "me"), Err(NoUnlock::Unknown));
        assert_eq!(remove("/f", "t0", "me"), Err(NoUnlock::Unknown));
        assert_eq!(remove("/f/a", "t1", "you"), Err(NoUnlock::Foreign));
        assert_eq!(remove("/f/a", "t1", "me"), Ok(()));
        assert_eq!(remove("/f", "t1", "me"), Err(NoUnlock::Unknown));
    }

    #[test]
    fn what_goes_away_takes_its_locks_along() {
        let mut table = Table::new();
        table.add("/f/a", "t1", "me", false, false).unwrap();
        table.add("/fa", "t2", "me", false, false).unwrap();
        table.add("/", "t3", "me", false, false).unwrap();
        table.locks.delete(&path("/f"));
        assert!(table.locks.covering(&path("/f/a"), table.now).is_empty());
        assert_eq!(table.locks.covering(&path("/fa"), table.now).len(), 1);
        assert_eq!(table.locks.covering(&path("/"), table.now).len(), 1);
    }

    #[test]
    fn the_number_of_locks_is_bounded() {
        let mut table = Table::new();
        let until = table.now + Duration::from_secs(60);
        for at in 0..BOUND {
            let lock = Lock {
                path: path(&at.to_string()),
                principal: None,
                owner: None,
                timeout: LONGEST,
                shared: false,
                deep: false,
                until,
            };
            table.locks.0.insert(at.to_string(), lock);
        }
        let refused = table.add("/x", "x", "me", false, false);
        assert!(matches!(refused, Err(NoLock::Full)));
        table.now = until;
        table.add("/x", "x", "me", false, false).unwrap();
    }

    #[test]
    fn a_listing_shows_the_locks_of_the_folder_and_of_its_members() {
        let mut table = Table::new();
        table.add("/f", "t1", "me", true, true).unwrap();
        table.add("/f/a b", "t2", "me", true, false).unwrap();
        table.add("/f/c/d", "t3", "me", true, false).unwrap();
        let around = table.locks.around(&path("/f"), table.now, TreePath::encoded);
        let text = |xml: &[u8]| String::from_utf8(xml.to_vec()).unwrap();
        assert_eq!(
            text(&around.own),
            "<D:activelock><D:lockscope><D:shared/></D:lockscope><D:locktype><D:write/></D:locktype>\
             <D:depth>infinity</D:depth><D:timeout>Second-60</D:timeout><D:locktoken><D:href>t1</D:href></D:locktoken>\
             <D:lockroot><D:href>/f</D:href></D:lockroot></D:activelock>"
        );
        let member = text(&around.of("a b"));
        assert!(member.contains("t1") && member.contains("t2"), "{member}");
        assert!(member.contains("/f/a%20b"), "{member}");
        assert_eq!(text(&around.of("c")), text(&around.own));
        let below = table.locks.around(&path("/f/c"), table.now, TreePath::encoded);
        assert!(text(&below.own).contains("t1") && text(&below.of("d")).contains("t3"));
    }
}

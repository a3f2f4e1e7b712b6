//! Who is it: signs users in by Basic (RFC 7617).
//!
//! A name and password that were right are remembered by a keyed digest, so that an argon2 check (some 20 ms
//! and 19 MiB) is not made for each request of a scan. An address that was wrong waits before its next attempt
//! is looked at: each wrong sign-in doubles the wait. Remembered sign-ins pass at once, so
//! that a household behind one address is not locked out by one wrong device.

mod slow;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use argon2::{Argon2, PasswordHash, PasswordVerifier};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::ExposeSecret;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use self::slow::Slow;
use crate::config::{Access, Password, User};
use crate::tree::{PathError, TreePath};

/// How long a right sign-in is remembered.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Right sign-ins remembered at the most.
const REMEMBERED_BOUND: usize = 1024;
/// argon2 checks at once: each takes 19 MiB.
const CHECKS: usize = 2;

/// Someone who is signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// Name; `anonymous` without a sign-in.
    pub name: Arc<str>,
    /// The subtree seen as root.
    pub root: TreePath,
    /// Whether writing methods may be tried.
    pub access: Access,
}

/// Why somebody is not signed in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// No, wrong or unreadable credentials: ask for them.
    Unknown,
    /// Too many wrong attempts from this address: come back after this time.
    TooMany(Duration),
}

type Digest = [u8; 32];

/// Signs users in.
#[derive(Debug)]
pub struct Auth {
    users: Vec<Account>,
    anonymous: Option<Principal>,
    key: [u8; 32],
    known: Mutex<HashMap<Digest, (Instant, usize)>>,
    slow: Slow,
    checks: Semaphore,
}

#[derive(Debug)]
struct Account {
    principal: Principal,
    password: Password,
}

impl Auth {
    /// # Errors
    /// A user's root that is not a path of the tree.
    pub fn new(users: &[User], anonymous: Option<Access>) -> Result<Self, PathError> {
        let users = users
            .iter()
            .map(|user| {
                let root = TreePath::from_decoded(&user.root)?;
                let principal = Principal {
                    name: Arc::from(&*user.name),
                    root,
                    access: user.access,
                };
                Ok(Account {
                    principal,
                    password: user.password.clone(),
                })
            })
            .collect::<Result<Vec<_>, PathError>>()?;
        let mut key = [0; 32];
        if getrandom::fill(&mut key).is_err() {
            // Only the memory of right sign-ins hangs on it, and it never leaves the process.
            key.fill_with(|| fastrand::u8(..));
        }
        Ok(Self {
            users,
            anonymous: anonymous.map(|access| Principal {
                name: Arc::from("anonymous"),
                root: TreePath::root(),
                access,
            }),
            key,
            known: Mutex::default(),
            slow: Slow::default(),
            checks: Semaphore::new(CHECKS),
        })
    }

    /// Signs in whoever sent these headers from this address.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn sign_in(&self, headers: &HeaderMap, peer: IpAddr) -> Result<Principal, Refused> {
        let Some(header) = headers.get(AUTHORIZATION) else {
            return self.anonymous.clone().ok_or(Refused::Unknown);
        };
        let Some((name, password)) = header.to_str().ok().and_then(basic) else {
            return Err(Refused::Unknown);
        };
        let digest = self.digest(&name, &password);
        if let Some(at) = self.remembered(&digest) {
            return self
                .users
                .get(at)
                .map(|user| user.principal.clone())
                .ok_or(Refused::Unknown);
        }
        self.slow.wait(peer).await.map_err(Refused::TooMany)?;
        match self.check(&name, password).await {
            Some(at) => {
                self.remember(digest, at);
                self.slow.forgive(peer);
                self.users
                    .get(at)
                    .map(|user| user.principal.clone())
                    .ok_or(Refused::Unknown)
            }
            None => {
                self.slow.punish(peer);
                tracing::warn!(%peer, "a wrong sign-in");
                Err(Refused::Unknown)
            }
        }
    }

    /// The index of the user whom name and password prove.
    async fn check(&self, name: &str, password: String) -> Option<usize> {
        // Explorer may send `DOMAIN\user` (webdav-clients W8).
        let short = name.rsplit('\\').next().unwrap_or(name);
        let at = self
            .users
            .iter()
            .position(|user| *user.principal.name == *name)
            .or_else(|| self.users.iter().position(|user| *user.principal.name == *short));
        let right = match at.and_then(|at| self.users.get(at)).map(|user| &user.password) {
            // Compared by digest, so that neither length nor place of a difference shows.
            Some(Password::Plain(right)) => {
                let (given, right) = (
                    self.mac(password.as_bytes()),
                    self.mac(right.expose_secret().as_bytes()),
                );
                bool::from(given.ct_eq(&right))
            }
            Some(Password::Hash(hash)) => {
                let hash = hash.expose_secret().to_owned();
                let permit = self.checks.acquire().await.ok()?;
                let check = tokio::task::spawn_blocking(move || {
                    PasswordHash::new(&hash).is_ok_and(|hash| {
                        Argon2::default()
                            .verify_password(password.as_bytes(), &hash)
                            .is_ok()
                    })
                });
                let right = check.await.unwrap_or(false);
                drop(permit);
                right
            }
            None => false,
        };
        at.filter(|_| right)
    }

    fn mac(&self, bytes: &[u8]) -> Digest {
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else {
            return [0; 32];
        };
        mac.update(bytes);
        mac.finalize().into_bytes().into()
    }

    fn digest(&self, name: &str, password: &str) -> Digest {
        let mut bytes = Vec::with_capacity(name.len() + password.len() + 9);
        bytes.extend_from_slice(&(name.len() as u64).to_le_bytes());
        bytes.extend_from_slice(name.as_bytes());
        bytes.extend_from_slice(password.as_bytes());
        self.mac(&bytes)
    }

    fn remembered(&self, digest: &Digest) -> Option<usize> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let &(until, at) = known.get(digest)?;
        if until > Instant::now() {
            return Some(at);
        }
        known.remove(digest);
        None
    }

    fn remember(&self, digest: Digest, at: usize) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        if known.len() >= REMEMBERED_BOUND {
            known.retain(|_, (until, _)| *until > now);
            if known.len() >= REMEMBERED_BOUND {
                known.clear();
            }
        }
        known.insert(digest, (now + REMEMBERED, at));
    }
}

/// Name and password of a Basic `Authorization` value.
fn basic(header: &str) -> Option<(String, String)> {
    let (scheme, value) = header.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let decoded = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const PEER: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7));

    fn auth(password: Password) -> Auth {
        let user = User {
            name: "me".into(),
            password,
            root: "/drive".into(),
            access: Access::ReadOnly,
        };
        Auth::new(&[user], None).unwrap()
    }

    fn headers(pair: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(
            AUTHORIZATION,
            format!("Basic {}", STANDARD.encode(pair)).parse().unwrap(),
        );
        headers
    }

    #[tokio::test(start_paused = true)]
    async fn a_right_password_signs_in_and_a_wrong_one_does_not() {
        let auth = auth(Password::Plain("se:cret".into()));
        let me = auth.sign_in(&headers("me:se:cret"), PEER).await.unwrap();
        assert_eq!(me.root.to_string(), "/drive");
        assert!(auth.sign_in(&headers("DOMAIN\\me:se:cret"), PEER).await.is_ok());
        for wrong in ["me:", "me:se", "me:se:cret ", "you:se:cret", ":se:cret", "me"] {
            assert_eq!(
                auth.sign_in(&headers(wrong), PEER).await,
                Err(Refused::Unknown),
                "{wrong}"
            );
        }
        assert_eq!(auth.sign_in(&HeaderMap::new(), PEER).await, Err(Refused::Unknown));
    }

    #[tokio::test(start_paused = true)]
    async fn wrong_sign_ins_are_slowed_down_per_address_and_known_ones_are_not() {
        let auth = auth(Password::Plain("right".into()));
        auth.sign_in(&headers("me:right"), PEER).await.unwrap();
        let begun = Instant::now();
        for _ in 0..6 {
            let _ = auth.sign_in(&headers("me:wrong"), PEER).await;
        }
        assert!(begun.elapsed() > Duration::from_secs(3), "{:?}", begun.elapsed());
        let begun = Instant::now();
        auth.sign_in(&headers("me:right"), PEER).await.unwrap();
        let other = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 8));
        let _ = auth.sign_in(&headers("me:wrong"), other).await;
        assert!(begun.elapsed() < Duration::from_millis(10));
    }

    #[tokio::test(start_paused = true)]
    async fn many_attempts_at_once_are_refused_without_a_look() {
        let auth = Arc::new(auth(Password::Plain("right".into())));
        let mut attempts = tokio::task::JoinSet::new();
        for n in 0..200 {
            let auth = auth.clone();
            attempts.spawn(async move { auth.sign_in(&headers(&format!("me:{n}")), PEER).await });
        }
        let answers = attempts.join_all().await;
        assert!(answers.iter().any(|a| matches!(a, Err(Refused::TooMany(_)))));
    }
}

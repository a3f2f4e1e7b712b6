//! Who is it: signs users in by Basic (RFC 7617) and Digest (RFC 7616).
//!
//! Explorer gives a password by Basic over TLS only, by Digest over plain HTTP too (webdav-clients W7). So Digest is
//! offered beside Basic where the connection is plain and some user can use it: the password must be in the
//! configuration, or the hash that Digest takes for it. Who has only a slow hash is taken by Basic: after a wrong Digest
//! Basic alone is offered then, to everybody alike, so that nobody learns which names there are.
//!
//! A name and password that were right by Basic are remembered by a keyed hash, so that an argon2 check (some 20 ms
//! and 19 MiB) is not made for each request of a scan. An address that was wrong waits before its next attempt
//! is looked at: each wrong sign-in doubles the wait; so do the attempts on one name, from wherever they come. What is
//! remembered of an address passes at once, so that a household is not locked out by one wrong device, nor a user by
//! strangers who try its name.

mod digest;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod memory;
mod nonce;
mod slow;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use argon2::{Argon2, PasswordHash, PasswordVerifier};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use http::header::AUTHORIZATION;
use http::{HeaderMap, HeaderValue, Method, Uri};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use tokio::sync::Semaphore;

use self::digest::Given;
use self::memory::Memory;
use self::nonce::Nonces;
use self::slow::{Attempt, Measure, Slow, network};
use crate::config::{Access, Algorithm, Password, REALM, User};
use crate::tree::{PathError, TreePath};

/// How long a right sign-in by Basic is remembered.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Right sign-ins remembered at the most.
const REMEMBERED_BOUND: usize = 1024;
/// How long it is remembered from which addresses a user has signed in.
const AT_HOME: Duration = Duration::from_secs(24 * 3600);
/// Pairs of user and address remembered at the most.
const AT_HOME_BOUND: usize = 4096;
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
    /// No, wrong or unreadable credentials: ask for them by [`Auth::challenges`].
    Unknown(Ask),
    /// Too many wrong attempts from this address or on this name: come back after this time.
    TooMany(Duration),
}

/// How to ask for credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ask {
    /// By all that this server offers.
    All,
    /// The password was right, the nonce is not: the client can go on without its user.
    Stale,
    /// By Basic alone: the client's Digest did not do.
    Basic,
}

/// What there is of a request.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its target.
    pub uri: &'a Uri,
    /// Its headers.
    pub headers: &'a HeaderMap,
    /// The client's address.
    pub peer: IpAddr,
}

/// A keyed hash whose key never leaves the process.
#[derive(Debug)]
struct Keyed(Hmac<Sha256>);

type Mark = [u8; 32];

impl Keyed {
    fn new() -> Self {
        let mut key = [0; 64];
        if getrandom::fill(&mut key).is_err() {
            key.fill_with(|| fastrand::u8(..));
        }
        Self(Hmac::new(&key.into()))
    }

    /// Of parts, each with its length.
    fn mac(&self, parts: &[&[u8]]) -> Mark {
        let mut mac = self.0.clone();
        for part in parts {
            mac.update(&(part.len() as u64).to_le_bytes());
            mac.update(part);
        }
        mac.finalize().into_bytes().into()
    }
}

/// Signs users in.
#[derive(Debug)]
pub struct Auth {
    users: Vec<Account>,
    anonymous: Option<Principal>,
    key: Keyed,
    /// Name, password and address that were right by Basic: the user.
    known: Memory<Mark, usize>,
    /// From where users have signed in.
    at_home: Memory<(usize, IpAddr), ()>,
    addresses: Slow<IpAddr>,
    names: Slow<Mark>,
    checks: Semaphore,
    nonces: Nonces,
    /// What Digest is offered with, if at all.
    offered: Option<Algorithm>,
    /// Whether each user can sign in by that.
    for_all: bool,
    /// Stands for the password of users who do not exist.
    decoy: SecretString,
    /// A slow hash that a wrong sign-in is checked against where it had none of its own.
    slow_decoy: Option<SecretString>,
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
        let key = Keyed::new();
        let offered = offered(&users);
        let serves_all = |user: &Account| offered.is_none_or(|with| user.password.serves(with));
        Ok(Self {
            for_all: users.iter().all(serves_all),
            offered,
            decoy: Algorithm::Sha256
                .hash(&STANDARD.encode(key.mac(&[b"decoy"])))
                .into(),
            slow_decoy: users.iter().find_map(|user| match &user.password {
                Password::Hash(hash) => Some(hash.clone()),
                _ => None,
            }),
            users,
            anonymous: anonymous.map(|access| Principal {
                name: Arc::from("anonymous"),
                root: TreePath::root(),
                access,
            }),
            key,
            known: Memory::new(REMEMBERED, REMEMBERED_BOUND),
            at_home: Memory::new(AT_HOME, AT_HOME_BOUND),
            addresses: Slow::new(Measure::ADDRESS),
            names: Slow::new(Measure::NAME),
            checks: Semaphore::new(CHECKS),
            nonces: Nonces::new(),
        })
    }

    /// Signs in whoever sent this request.
    ///
    /// # Errors
    /// See [`Refused`].
    pub async fn sign_in(&self, asked: Asked<'_>) -> Result<Principal, Refused> {
        let Some(header) = asked.headers.get(AUTHORIZATION) else {
            return self.anonymous.clone().ok_or(Refused::Unknown(Ask::All));
        };
        let header = std::str::from_utf8(header.as_bytes()).unwrap_or_default();
        let at = if let Some((name, password)) = basic(header) {
            self.by_basic(&name, password, asked.peer).await?
        } else {
            Box::pin(self.by_digest(header, asked)).await?
        };
        let user = self.users.get(at).map(|user| user.principal.clone());
        user.ok_or(Refused::Unknown(Ask::All))
    }

    /// The values of `WWW-Authenticate`, best first. `tls`: whether the client came by TLS; Basic is all it takes then.
    pub fn challenges(&self, ask: Ask, tls: bool) -> Vec<HeaderValue> {
        let mut challenges = Vec::with_capacity(2);
        if let Some(with) = self.offered
            && ask != Ask::Basic
            && (!tls || ask == Ask::Stale)
        {
            let stale = if ask == Ask::Stale { ", stale=true" } else { "" };
            let nonce = self.nonces.issue(&self.key);
            let name = with.name();
            challenges.extend(HeaderValue::try_from(format!(
                "Digest realm=\"{REALM}\", qop=\"auth\", algorithm={name}, nonce=\"{nonce}\"{stale}, charset=UTF-8"
            )));
        }
        if ask != Ask::Stale {
            challenges.extend(HeaderValue::try_from(format!(
                "Basic realm=\"{REALM}\", charset=\"UTF-8\""
            )));
        }
        challenges
    }

    /// Whether a secret that is no user's is right, as `right` says: who gives wrong ones is slowed down as by wrong passwords.
    ///
    /// # Errors
    /// The time to come back after.
    pub async fn takes(&self, peer: IpAddr, right: impl FnOnce() -> bool) -> Result<bool, Duration> {
        let peer = network(peer);
        let attempt = self.addresses.wait(peer).await?;
        let right = right();
        if right {
            self.addresses.forgive(peer);
        } else {
            attempt.punish();
        }
        Ok(right)
    }

    async fn by_basic(&self, name: &str, password: String, peer: IpAddr) -> Result<usize, Refused> {
        let peer = network(peer);
        let address: &[u8] = match &peer {
            IpAddr::V4(v4) => &v4.octets(),
            IpAddr::V6(v6) => &v6.octets(),
        };
        let mark = self
            .key
            .mac(&[b"basic", name.as_bytes(), password.as_bytes(), address]);
        match self.known.get(&mark) {
            Some(at) => Ok(at),
            // Seldom, and large: most requests need not carry it.
            None => Box::pin(self.by_new_basic(name, password, peer, mark)).await,
        }
    }

    async fn by_new_basic(
        &self,
        name: &str,
        password: String,
        peer: IpAddr,
        mark: Mark,
    ) -> Result<usize, Refused> {
        // Explorer may send `DOMAIN\user` (webdav-clients W8).
        let user = self.user(name, name.rsplit('\\').next().unwrap_or(name));
        let turn = self.turn(user, name, peer).await?;
        match user {
            Some(at) if self.check(at, password.clone()).await => {
                self.known.put(mark, at);
                self.right(at, peer);
                Ok(at)
            }
            _ => {
                self.take_as_long(user, password).await;
                turn.wrong();
                tracing::warn!(%peer, "a wrong sign-in");
                Err(Refused::Unknown(Ask::All))
            }
        }
    }

    async fn by_digest(&self, header: &str, asked: Asked<'_>) -> Result<usize, Refused> {
        let Some(given) = &Given::read(header) else {
            return Err(Refused::Unknown(self.after_wrong_digest()));
        };
        let peer = network(asked.peer);
        let user = self.user(&given.name, given.short_name());
        let nonce = self.nonces.read(&self.key, &given.nonce);
        let right = self.proves(user, given, asked.method);
        let known = |at| nonce.is_some_and(|nonce| self.nonces.is_known(nonce, at, peer));
        let user = match user {
            Some(at) if right && known(at) => at,
            _ => {
                let turn = self.turn(user, &given.name, peer).await?;
                match user {
                    Some(at) if right => at,
                    _ => {
                        turn.wrong();
                        tracing::warn!(%peer, "a wrong sign-in");
                        return Err(Refused::Unknown(self.after_wrong_digest()));
                    }
                }
            }
        };
        if !given.is_for(asked.uri) {
            // Something between has rewritten the path: Digest cannot work there.
            return Err(Refused::Unknown(Ask::Basic));
        }
        match nonce {
            Some(nonce) if self.nonces.accept(nonce, given.count, user, peer) => {
                self.right(user, peer);
                Ok(user)
            }
            _ => Err(Refused::Unknown(Ask::Stale)),
        }
    }

    fn after_wrong_digest(&self) -> Ask {
        if self.for_all { Ask::All } else { Ask::Basic }
    }

    /// The user by the whole name, else by the one without a domain.
    fn user(&self, name: &str, short: &str) -> Option<usize> {
        let find = |name: &str| self.users.iter().position(|user| *user.principal.name == *name);
        find(name).or_else(|| find(short))
    }

    /// Waits until this attempt may be looked at.
    async fn turn(&self, user: Option<usize>, name: &str, peer: IpAddr) -> Result<Turn<'_>, Refused> {
        let address = self.addresses.wait(peer).await.map_err(Refused::TooMany)?;
        let name = self.mark_of(user, name);
        // Who is at home is not slowed down by what strangers do, but being wrong counts as theirs does.
        let name = match user.and_then(|at| self.at_home.get(&(at, peer))) {
            Some(()) => self.names.enter(name),
            None => self.names.wait(name).await.map_err(Refused::TooMany)?,
        };
        Ok(Turn { address, name })
    }

    fn right(&self, user: usize, peer: IpAddr) {
        self.addresses.forgive(peer);
        if self.at_home.put((user, peer), ()) {
            self.names.forgive(self.mark_of(Some(user), ""));
        }
    }

    /// Of the user's name, else of the one that was given.
    fn mark_of(&self, user: Option<usize>, given: &str) -> Mark {
        let user = user.and_then(|at| self.users.get(at));
        let name = user.map_or(given, |user| &user.principal.name);
        self.key.mac(&[b"name", name.as_bytes()])
    }

    /// Whether this password is the user's.
    async fn check(&self, at: usize, password: String) -> bool {
        let Some(user) = self.users.get(at) else {
            return false;
        };
        match &user.password {
            Password::Hash(hash) => self.slowly(hash.clone(), password).await,
            _ => self.is_at_once(user, &password),
        }
    }

    /// The same for passwords without a slow hash.
    fn is_at_once(&self, user: &Account, password: &str) -> bool {
        match &user.password {
            Password::Plain(right) => self.equal(password, right.expose_secret()),
            Password::Ha1(algorithm, right) => {
                let given = algorithm.ha1(&user.principal.name, REALM, &password.into());
                self.equal(given.expose_secret(), right.expose_secret())
            }
            Password::Hash(_) => false,
        }
    }

    /// A wrong sign-in takes as long for a name that does not exist as for one that does.
    async fn take_as_long(&self, user: Option<usize>, password: String) {
        let user = user.and_then(|at| self.users.get(at));
        if let Some(hash) = &self.slow_decoy
            && !matches!(user.map(|user| &user.password), Some(Password::Hash(_)))
        {
            self.slowly(hash.clone(), password).await;
        }
    }

    async fn slowly(&self, hash: SecretString, password: String) -> bool {
        let Ok(permit) = self.checks.acquire().await else {
            return false;
        };
        let check = tokio::task::spawn_blocking(move || {
            PasswordHash::new(hash.expose_secret()).is_ok_and(|hash| {
                Argon2::default()
                    .verify_password(password.as_bytes(), &hash)
                    .is_ok()
            })
        });
        let right = check.await.unwrap_or(false);
        drop(permit);
        right
    }

    /// Compared by their hashes, so that neither length nor place of a difference shows.
    fn equal(&self, given: &str, right: &str) -> bool {
        let (given, right) = (
            self.key.mac(&[given.as_bytes()]),
            self.key.mac(&[right.as_bytes()]),
        );
        bool::from(given.ct_eq(&right))
    }

    /// Whether a Digest is this user's. As much is computed for nobody as for somebody.
    fn proves(&self, user: Option<usize>, given: &Given, method: &Method) -> bool {
        let user = user.and_then(|at| self.users.get(at));
        let (password, exists) = match user.map(|user| &user.password) {
            Some(Password::Ha1(algorithm, ha1)) if *algorithm == given.algorithm => {
                return given.realm == REALM && given.is_by(ha1, method);
            }
            Some(Password::Plain(password)) => (password, true),
            _ => (&self.decoy, false),
        };
        // Which form of a name with a domain a client hashes is its affair.
        let short = given.short_name();
        let right = [given.name.as_str(), given.raw_name.as_str(), short]
            .into_iter()
            .map(|name| given.is_by(&given.algorithm.ha1(name, REALM, password), method))
            .fold(false, |any, right| any | right);
        right && exists && given.realm == REALM
    }
}

/// An attempt that may be looked at.
struct Turn<'a> {
    address: Attempt<'a, IpAddr>,
    name: Attempt<'a, Mark>,
}

impl Turn<'_> {
    fn wrong(self) {
        self.address.punish();
        self.name.punish();
    }
}

/// What Digest is offered with: the best-known way that serves all who can use Digest at all; for a mixture what every client
/// knows. One way alone: of several challenges curl takes the first, FFmpeg the last, and fails if that is SHA-256.
/// A client that uses the other one unasked is served too.
fn offered(users: &[Account]) -> Option<Algorithm> {
    let able = |user: &&Account| Algorithm::ALL.iter().any(|with| user.password.serves(*with));
    let able: Vec<&Account> = users.iter().filter(able).collect();
    if able.is_empty() {
        return None;
    }
    let serves_all = |with: &Algorithm| able.iter().all(|user| user.password.serves(*with));
    Some(
        Algorithm::ALL
            .into_iter()
            .find(serves_all)
            .unwrap_or(Algorithm::Md5),
    )
}

/// Whether these credentials are of Basic.
pub fn is_basic(header: &HeaderValue) -> bool {
    std::str::from_utf8(header.as_bytes()).is_ok_and(|header| encoded(header).is_some())
}

fn encoded(header: &str) -> Option<&str> {
    let (scheme, value) = header.split_once(' ')?;
    scheme.eq_ignore_ascii_case("basic").then_some(value)
}

/// Name and password of a Basic `Authorization` value.
fn basic(header: &str) -> Option<(String, String)> {
    let value = encoded(header)?;
    let decoded = String::from_utf8(STANDARD.decode(value.trim()).ok()?).ok()?;
    let (name, password) = decoded.split_once(':')?;
    Some((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests;

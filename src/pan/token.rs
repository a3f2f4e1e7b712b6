//! The session of an account: which token is used, and when another one is got.
//!
//! A token is looked for in this order: kept in the state directory, configured, signed in for.
//! When the service refuses the one in use, one task looks for the next while everybody else waits
//! for it; it runs on when the request that began it is gone. One that is known to end soon is
//! replaced while it still works ([`ahead`]), and nobody waits for that. What must not be repeated is
//! remembered: after a risk-control message, a ban or a refused password the session is halted, and
//! every call fails at once until a person acts ([`super::halt`]).

mod ahead;
mod grant;

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::HeaderValue;
use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::error::{Error, Reason, Said};
use super::halt::{Halted, Switch};
use super::http::{Client, HttpError};
use super::kept::{KeptToken, Token, Turn};
use super::pace::{Gates, scaled};
use super::web::login;
use crate::config::Endpoints;

pub use ahead::lasting;
pub use grant::{Credentials, Grant};

/// How many refused tokens are remembered, so that none is tried twice.
const REFUSED_KEPT: usize = 16;
/// After "too many sign-ins": minutes, says the service.
const PAUSE_BUSY: Duration = Duration::from_secs(300);
/// After a sign-in that failed for reasons of the network.
const PAUSE_BROKEN: Duration = Duration::from_secs(10);
/// After one that was not sent because no connection came about.
const PAUSE_UNSENT: Duration = Duration::from_secs(3);
/// After a token was refused right after its sign-in.
const PAUSE_FRESH: Duration = Duration::from_secs(600);
/// More sign-ins than this many ...
const SIGN_INS: usize = 6;
/// ... in this time are two programs that push each other out (API page 5.1: three devices).
const SIGN_INS_PER: Duration = Duration::from_secs(600);

/// The session of one account, or of nobody. Shared by all mounts of the account.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

/// A token in use.
#[derive(Clone)]
pub struct Held {
    token: Token,
    bearer: HeaderValue,
    hash: [u8; 32],
    generation: u64,
    signed_in: bool,
    proved: Arc<AtomicBool>,
    /// The next one is being got, or was tried to be got lately.
    replacing: Arc<AtomicBool>,
}

struct Inner {
    http: Client,
    endpoints: Endpoints,
    /// `None`: nobody.
    credentials: Option<Credentials>,
    kept: Option<KeptToken>,
    /// Held while a token is being got: that is the single flight. Taken before `state`.
    flight: Mutex<()>,
    state: Mutex<State>,
    switch: Switch,
    gates: Gates,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    generation: u64,
    refused: VecDeque<[u8; 32]>,
    /// What the service said when it refused the last token.
    said: Said,
    /// No sign-in before this moment, and why.
    pause: Option<(Instant, Error)>,
    sign_ins: VecDeque<Instant>,
}

impl Held {
    /// The value of the Authorization header, marked as sensitive.
    pub fn bearer(&self) -> HeaderValue {
        self.bearer.clone()
    }

    /// The token has worked.
    pub fn prove(&self) {
        self.proved.store(true, Ordering::Relaxed);
    }
}

impl Session {
    /// The session of an account. `kept` is where its token outlives this run.
    pub fn new(
        http: Client,
        endpoints: Endpoints,
        credentials: Credentials,
        kept: Option<KeptToken>,
    ) -> Self {
        Self::build(http, endpoints, Some(credentials), kept)
    }

    /// Nobody's session: no token, but halted like any other after a ban.
    pub fn anonymous(http: Client, endpoints: Endpoints) -> Self {
        Self::build(http, endpoints, None, None)
    }

    fn build(
        http: Client,
        endpoints: Endpoints,
        credentials: Option<Credentials>,
        kept: Option<KeptToken>,
    ) -> Self {
        let gates = Gates::new(endpoints.rate);
        let switch = Switch::new(endpoints.rate);
        Self(Arc::new(Inner {
            http,
            gates,
            switch,
            endpoints,
            credentials,
            kept,
            flight: Mutex::default(),
            state: Mutex::default(),
        }))
    }

    /// Whether there is an account behind it.
    pub fn is_anonymous(&self) -> bool {
        self.0.credentials.is_none()
    }

    /// The gates of the account, at the rate of its own mount: whoever calls in its name passes them.
    pub fn gates(&self) -> &Gates {
        &self.0.gates
    }

    /// The token to use; waits while one is being got. `None` for nobody.
    ///
    /// # Errors
    /// Where the session is halted or no token can be had.
    pub async fn token(&self) -> Result<Option<Held>, Error> {
        self.check().await?;
        if self.is_anonymous() {
            return Ok(None);
        }
        let held = self.0.state.lock().await.held.clone();
        match held {
            Some(held) => {
                self.look_ahead(&held);
                Ok(Some(held))
            }
            None => self.obtain(None).await.map(Some),
        }
    }

    /// Another token than `refused`, which the service does not accept.
    ///
    /// # Errors
    /// As [`Session::token`]; also where `refused` was fresh from a sign-in.
    pub async fn renew(&self, refused: &Held, said: Said) -> Result<Held, Error> {
        self.obtain(Some((refused.clone(), said))).await
    }

    /// Stops every further call of this session, for `error`; that error as it is to be handed on.
    pub fn halt(&self, error: Error) -> Error {
        let seen = self.0.kept.as_ref().map(KeptToken::stamp);
        self.0.switch.halt(error, seen)
    }

    /// Fails while the session is halted and no trial is due. A new token in the state directory
    /// ends that.
    ///
    /// # Errors
    /// The error that halted it.
    pub async fn check(&self) -> Result<(), Error> {
        let Err(error) = self.0.switch.check() else {
            return Ok(());
        };
        // A small file, read only while halted.
        let changed = match (&self.0.kept, self.0.switch.seen()) {
            (Some(kept), Some(seen)) => kept.stamp() != seen && kept.read().is_some(),
            _ => false,
        };
        if !changed {
            return Err(error);
        }
        let mut state = self.0.state.lock().await;
        if self.0.switch.resume() {
            tracing::info!("the token in the state directory has changed: calls to 123pan go on");
            state.held = None;
            state.pause = None;
        }
        Ok(())
    }

    /// The last look before a call is made: of all that wait while a ban is tried, one goes.
    ///
    /// # Errors
    /// The error that halted the session.
    pub fn enter(&self) -> Result<(), Error> {
        self.0.switch.enter()
    }

    /// The service has answered a call: no ban is in the way.
    pub fn answered(&self) {
        self.0.switch.answered();
    }

    /// Lets calls go on because a person says so; whether they had stopped. The token in use is used
    /// again, and signing in is tried again.
    pub async fn resume(&self) -> bool {
        let mut state = self.0.state.lock().await;
        let resumed = self.0.switch.resume();
        if resumed {
            state.pause = None;
            tracing::info!("resumed: calls to 123pan go on");
        }
        resumed
    }

    /// Why calls have stopped, if they have.
    pub fn halted(&self) -> Option<Halted> {
        self.0.switch.halted()
    }

    /// Runs the search for a token in a task of its own, so that a caller who leaves does not cut it.
    async fn obtain(&self, refused: Option<(Held, Said)>) -> Result<Held, Error> {
        let session = self.clone();
        tokio::spawn(async move { session.search(refused).await })
            .await
            .unwrap_or_else(|_| {
                let reason = Reason::Nonsense("signing in was cut off");
                Err(Error::new(login::CALL, reason))
            })
    }

    async fn search(self, refused: Option<(Held, Said)>) -> Result<Held, Error> {
        let _flight = self.0.flight.lock().await;
        let mut state = self.0.state.lock().await;
        let fresh_refused = match (&state.held, refused) {
            (Some(held), Some((refused, said))) if held.generation == refused.generation => {
                let fresh = held.signed_in && !held.proved.load(Ordering::Relaxed);
                state.refuse(refused.hash, said);
                fresh
            }
            (Some(held), _) => return Ok(held.clone()),
            (None, _) => false,
        };
        self.check_halted_again()?;
        self.next_token(&mut state, fresh_refused).await
    }

    /// The halt may have come while we waited for the lock: who waited for a sign-in shares its
    /// end, as he does by [`State::pause`]. Healing is left to [`Session::check`].
    fn check_halted_again(&self) -> Result<(), Error> {
        self.0.switch.check()
    }

    async fn next_token(&self, state: &mut State, fresh_refused: bool) -> Result<Held, Error> {
        let inner = &self.0;
        let fail = |reason| Error::new(login::CALL, reason);
        let Some(credentials) = &inner.credentials else {
            return Err(fail(Reason::LoginNeeded(state.said.clone())));
        };
        let mut unusable = false;
        let kept = inner.kept.as_ref().and_then(KeptToken::read);
        let configured = credentials.access_token.clone().map(Token::from);
        for token in kept.into_iter().chain(configured) {
            match state.hold(&token, false) {
                Some(held) => return Ok(held),
                None => unusable |= bearer(&token.secret).is_none(),
            }
        }
        let rate = inner.endpoints.rate;
        if fresh_refused {
            let error = fail(Reason::FreshTokenRefused(state.said.clone()));
            state.pause = Some((Instant::now() + scaled(PAUSE_FRESH, rate), error.clone()));
            return Err(error);
        }
        let Some(grant) = &credentials.grant else {
            return Err(fail(if unusable {
                Reason::BadCredentials
            } else if state.refused.is_empty() {
                Reason::NotSignedIn
            } else {
                Reason::NoPassword(state.said.clone())
            }));
        };
        state.may_sign_in(rate)?;
        let (_turn, got_meanwhile) = self.turn(state).await;
        if let Some(held) = got_meanwhile {
            state.sign_ins.pop_back();
            return Ok(held);
        }
        match grant.token(&inner.http, &inner.endpoints).await {
            Ok(token) => {
                tracing::info!("signed in to 123pan");
                self.keep(&token).await;
                state.refused.retain(|hash| *hash != digest(&token.secret));
                state
                    .hold(&token, true)
                    .ok_or_else(|| fail(Reason::BadCredentials))
            }
            Err(mut error) => {
                match &error.reason {
                    Reason::Risk(_) | Reason::Banned { .. } | Reason::PasswordRefused { .. } => {
                        error = self.halt(error.clone());
                    }
                    Reason::Busy { after, .. } => {
                        let pause = after.unwrap_or_default().max(scaled(PAUSE_BUSY, rate));
                        state.pause = Some((Instant::now() + pause, error.clone()));
                    }
                    Reason::Http(HttpError::Connect) => {
                        state.pause = Some((Instant::now() + scaled(PAUSE_UNSENT, rate), error.clone()));
                    }
                    _ => state.pause = Some((Instant::now() + scaled(PAUSE_BROKEN, rate), error.clone())),
                }
                Err(error.with_after(state.pause_left()))
            }
        }
    }

    /// Waits until no other process signs in to the account; then what it got, if it is new to us, is better than a
    /// sign-in of our own, and is not overwritten by one.
    async fn turn(&self, state: &mut State) -> (Option<Turn>, Option<Held>) {
        let Some(kept) = &self.0.kept else {
            return (None, None);
        };
        let turn = kept.turn().await;
        let held = kept.read().and_then(|token| state.hold(&token, false));
        (turn, held)
    }

    /// Writes the token down; a disk that refuses costs a sign-in at the next start, no more.
    async fn keep(&self, token: &Token) {
        let Some(kept) = self.0.kept.clone() else { return };
        let token = token.clone();
        let written = tokio::task::spawn_blocking(move || kept.write(&token)).await;
        if let Ok(Err(error)) = written {
            tracing::warn!(%error, "the 123pan token cannot be kept in the state directory");
        }
    }
}

impl State {
    /// Takes a token into use, unless it was refused before or cannot be sent.
    fn hold(&mut self, token: &Token, signed_in: bool) -> Option<Held> {
        let hash = digest(&token.secret);
        if self.refused.contains(&hash) {
            return None;
        }
        self.generation += 1;
        let held = Held {
            token: token.clone(),
            bearer: bearer(&token.secret)?,
            hash,
            generation: self.generation,
            signed_in,
            proved: Arc::default(),
            replacing: Arc::default(),
        };
        self.held = Some(held.clone());
        Some(held)
    }

    fn refuse(&mut self, hash: [u8; 32], said: Said) {
        self.held = None;
        self.said = said;
        if self.refused.len() == REFUSED_KEPT {
            self.refused.pop_front();
        }
        self.refused.push_back(hash);
    }

    fn may_sign_in(&mut self, rate: f64) -> Result<(), Error> {
        let now = Instant::now();
        if let Some((until, error)) = &self.pause {
            if *until > now {
                return Err(error.clone().with_after(Some(*until - now)));
            }
            self.pause = None;
        }
        let window = scaled(SIGN_INS_PER, rate);
        while self.sign_ins.front().is_some_and(|at| now - *at >= window) {
            self.sign_ins.pop_front();
        }
        if let Some(first) = self.sign_ins.front().filter(|_| self.sign_ins.len() >= SIGN_INS) {
            let said = Said::new(
                None,
                "this account was signed in too often, perhaps by two programs in turn",
            );
            let after = Some(*first + window - now);
            return Err(Error::new(login::CALL, Reason::Busy { said, after }));
        }
        self.sign_ins.push_back(now);
        Ok(())
    }

    fn pause_left(&self) -> Option<Duration> {
        let (until, _) = self.pause.as_ref()?;
        Some(until.saturating_duration_since(Instant::now()))
    }
}

fn digest(token: &SecretString) -> [u8; 32] {
    Sha256::digest(plain(token).as_bytes()).into()
}

/// The token without what people paste along with it.
fn plain(token: &SecretString) -> &str {
    let token = token.expose_secret().trim();
    token.strip_prefix("Bearer ").unwrap_or(token).trim()
}

fn bearer(token: &SecretString) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(&format!("Bearer {}", plain(token))).ok()?;
    value.set_sensitive(true);
    (!plain(token).is_empty()).then_some(value)
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("credentials", &self.0.credentials)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Held")
            .field("generation", &self.generation)
            .field("signed_in", &self.signed_in)
            .finish_non_exhaustive()
    }
}

//! The next token, got while the one in use still works.
//!
//! The Open platform tells when a token ends (API page 8.1). Nobody waits for the next one, and where it cannot be had
//! the old one goes on being used: the search that follows its refusal says what is wrong.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Error, Held, Session, digest};
use crate::pan::kept::{KeptToken, Token};
use crate::pan::pace::scaled;

/// So long before its end a token is replaced; it lives for 30 days.
const AHEAD: Duration = Duration::from_secs(3600);
/// A failed try is followed by another.
const AGAIN: Duration = Duration::from_secs(600);

impl Session {
    /// Begins to get the next token if this one ends soon.
    pub(super) fn look_ahead(&self, held: &Held) {
        let grants = self.0.credentials.as_ref().is_some_and(|c| c.grant.is_some());
        let rate = self.0.endpoints.rate;
        if !grants
            || !held.token.ends_within(scaled(AHEAD, rate))
            || held.replacing.swap(true, Ordering::Relaxed)
        {
            return;
        }
        let (session, held) = (self.clone(), held.clone());
        tokio::spawn(async move {
            if let Err(error) = session.replace(&held).await {
                tracing::warn!(%error, "the 123pan token ends soon, and the next one cannot be had yet");
                tokio::time::sleep(scaled(AGAIN, rate)).await;
                held.replacing.store(false, Ordering::Relaxed);
            }
        });
    }

    /// Gets the next token, unless somebody else has. Taken from the state directory if another process put it there.
    async fn replace(&self, held: &Held) -> Result<(), Error> {
        let inner = &self.0;
        let Some(grant) = inner.credentials.as_ref().and_then(|c| c.grant.as_ref()) else {
            return Ok(());
        };
        let _flight = inner.flight.lock().await;
        {
            let mut state = inner.state.lock().await;
            if state.generation != held.generation {
                return Ok(());
            }
            state.may_sign_in(inner.endpoints.rate)?;
        }
        let _turn = match &inner.kept {
            Some(kept) => kept.turn().await,
            None => None,
        };
        let kept = inner.kept.as_ref().and_then(KeptToken::read);
        let (token, signed_in) = match kept.filter(|token| digest(&token.secret) != held.hash) {
            Some(token) => {
                inner.state.lock().await.sign_ins.pop_back();
                (token, false)
            }
            None => {
                let token = grant.token(&inner.http, &inner.endpoints).await?;
                self.keep(&token).await;
                tracing::info!("a new token of 123pan replaces the one that ends soon");
                (token, true)
            }
        };
        inner.state.lock().await.hold(&token, signed_in);
        Ok(())
    }
}

/// A new token as it is to be kept. One that seems to end at once comes from a clock that is wrong, here or there: it is
/// not replaced by time, or that would go on for ever.
pub fn lasting(token: Token, rate: f64) -> Token {
    if token.ends_within(scaled(2 * AHEAD, rate)) {
        return Token { until: 0, ..token };
    }
    token
}

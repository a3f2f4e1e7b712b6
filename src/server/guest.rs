//! One connection: what its requests have in common.
//!
//! A request holds its connection and nothing that all connections hold: counters of holders which two cores change in
//! turn cost more than all that they guard.

use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::header::AUTHORIZATION;
use http::{Request, Response};
use hyper::body::Incoming;
use prometheus_client::metrics::counter::Counter;
use secrecy::{ExposeSecret, SecretSlice};
use subtle::ConstantTimeEq;
use tokio::time::Instant;

use super::access::Logged;
use super::auth::{Asked, Auth, Principal, Refused, is_basic};
use super::crowd::Place;
use super::last::LastFile;
use super::service::{Peer, Service};
use super::transfers::lock;
use crate::metrics::Answered;

/// So long a connection's last sign-in by Basic need not be looked up again.
const REMEMBERED: Duration = Duration::from_secs(30);

/// A connection. Each has cache lines of its own, because the next one's worker is another core.
#[repr(align(128))]
pub(super) struct Guest {
    service: Arc<Service>,
    pub(super) peer: Peer,
    pub(super) place: Arc<Place>,
    signed_in: Mutex<Option<SignedIn>>,
    pub(super) last: LastFile,
    /// What was answered last, and its counter: mostly the next one's too.
    counted: Mutex<Option<(Answered, Counter)>>,
}

/// Who has signed in last, and how.
struct SignedIn {
    by: SecretSlice<u8>,
    from: IpAddr,
    until: Instant,
    principal: Principal,
}

impl Guest {
    pub(super) fn new(service: Arc<Service>, peer: Peer, place: Arc<Place>) -> Arc<Self> {
        Arc::new(Self {
            service,
            peer,
            place,
            signed_in: Mutex::default(),
            last: LastFile::default(),
            counted: Mutex::default(),
        })
    }

    /// Answers a request that came on this connection.
    pub(super) async fn answer(self: Arc<Self>, request: Box<Request<Incoming>>) -> Response<Logged> {
        self.service.answer(request, &self).await
    }

    /// Counts an answer, and the bytes of its body.
    pub(super) fn count(&self, answered: Answered, bytes: u64) {
        let metrics = &self.service.metrics;
        if bytes > 0 {
            metrics.sent.inc_by(bytes);
        }
        let mut last = lock(&self.counted);
        match &*last {
            Some((like, counter)) if *like == answered => {
                counter.inc();
            }
            _ => {
                let counter = metrics.requests.get_or_create_owned(&answered);
                counter.inc();
                *last = Some((answered, counter));
            }
        }
    }

    /// Who sent this request. What was right a moment ago on this connection, from the same address, is right.
    ///
    /// # Errors
    /// Those of [`Auth::sign_in`].
    pub(super) async fn sign_in(&self, auth: &Auth, asked: Asked<'_>) -> Result<Principal, Refused> {
        let given = asked.headers.get(AUTHORIZATION);
        let again = |last: &SignedIn| {
            last.from == asked.peer
                && Instant::now() < last.until
                && given.is_some_and(|given| given.as_bytes().ct_eq(last.by.expose_secret()).into())
        };
        if let Some(last) = lock(&self.signed_in).as_ref().filter(|last| again(last)) {
            return Ok(last.principal.clone());
        }
        let principal = Box::pin(auth.sign_in(asked)).await?;
        if let Some(by) = given.filter(|given| is_basic(given)) {
            *lock(&self.signed_in) = Some(SignedIn {
                by: by.as_bytes().to_vec().into(),
                from: asked.peer,
                until: Instant::now() + REMEMBERED,
                // A copy of its own.
                principal: Principal {
                    name: Arc::from(&*principal.name),
                    ..principal.clone()
                },
            });
        }
        Ok(principal)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.last.close(&self.service.tree);
    }
}

//! One call, from the first attempt to an answer or a reason to stop.
//!
//! The order matters: first a working token (nobody queues with a dead one), then a place at the
//! endpoint's gate, then the attempt. What follows a failure: another token after an expired one,
//! the next host after a failed connection, patience after "too fast", and no call at all any more
//! after a risk-control message.

use http::header;
use serde::de::DeserializeOwned;

use super::envelope;
use super::error::{Error, Reason, Said};
use super::hosts::Hosts;
use super::http::{Client, HttpError, Request};
use super::retry::{Advice, Patience};
use super::token::{Held, Session};

/// Tokens tried within one call: kept, configured, signed in for.
const TOKENS: u32 = 3;

/// No answer is longer; a page of 500 rows has about 400 KiB.
pub(super) const ANSWER_LIMIT: usize = 8 << 20;

/// What every call of one client goes through.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) session: Session,
    pub(super) hosts: Hosts,
    http: Client,
    rate: f64,
}

impl Caller {
    pub(super) fn new(http: Client, session: Session, hosts: &[String], rate: f64) -> Self {
        Self {
            session,
            hosts: Hosts::new(hosts),
            http,
            rate,
        }
    }

    /// Calls until there is an answer. `path` names the gate; `repeatable` says that asking twice
    /// does the same as asking once; `prepare` makes the request for a base URL, without the
    /// token, anew for each attempt.
    pub(super) async fn call<T: DeserializeOwned>(
        &self,
        path: &'static str,
        repeatable: bool,
        prepare: impl Fn(&str) -> Result<Request, Reason>,
    ) -> Result<T, Error> {
        let patience = Patience::new(self.rate, repeatable);
        self.call_patiently(path, patience, prepare).await
    }

    /// The same with another patience: an upload may take long.
    pub(super) async fn call_patiently<T: DeserializeOwned>(
        &self,
        path: &'static str,
        mut patience: Patience,
        prepare: impl Fn(&str) -> Result<Request, Reason>,
    ) -> Result<T, Error> {
        let fail = |reason| Error::new(path, reason);
        let gate = self.session.gates().gate(path);
        let mut tokens = 0;
        let mut switches = 1;
        loop {
            self.session.token().await?;
            let passed = gate.pass(patience.deadline()).await.map_err(|wait| {
                fail(Reason::Busy {
                    said: Said::default(),
                    after: Some(wait),
                })
            })?;
            // Things may have changed in the queue: a new token, or a halt.
            let token = self.session.token().await?;
            self.session.enter()?;
            let (host, base) = self.hosts.current();
            let request = prepare(base).map_err(fail)?;
            let reason = match self.attempt(request, token.as_ref()).await {
                Ok(value) => {
                    gate.answered(passed);
                    self.session.answered();
                    if let Some(token) = &token {
                        token.prove();
                    }
                    return Ok(value);
                }
                Err(reason) => reason,
            };
            if reason.is_answer() {
                gate.answered(passed);
                self.session.answered();
            }
            match (&reason, &token) {
                (Reason::Session(said), Some(held)) if tokens < TOKENS => {
                    tokens += 1;
                    self.session.renew(held, said.clone()).await?;
                    continue;
                }
                (Reason::Session(said), None) => return Err(fail(Reason::LoginNeeded(said.clone()))),
                (Reason::Risk(_) | Reason::Banned { .. }, _) => {
                    return Err(self.session.halt(fail(reason)));
                }
                // Not sent at all, so any call may go to the next host.
                (Reason::Http(HttpError::Connect), _) if switches < self.hosts.count() => {
                    switches += 1;
                    self.hosts.leave(host);
                    continue;
                }
                _ => {}
            }
            match patience.after(&reason) {
                Advice::PushGate(pause) => gate.slow(passed, pause),
                Advice::Sleep(pause) => tokio::time::sleep(pause).await,
                Advice::GiveUp => {
                    let error = fail(reason);
                    let Reason::Busy { after, .. } = error.reason else {
                        return Err(error);
                    };
                    // The gate stays shut for those behind: they would be told the same.
                    let pause = patience.rest(after);
                    gate.slow(passed, pause);
                    return Err(error.with_after(Some(pause)));
                }
            }
        }
    }

    async fn attempt<T: DeserializeOwned>(
        &self,
        mut request: Request,
        token: Option<&Held>,
    ) -> Result<T, Reason> {
        if let Some(token) = token {
            request.headers.insert(header::AUTHORIZATION, token.bearer());
        }
        let is_upload = request.upload.is_some();
        let answer = self.http.ask(request, ANSWER_LIMIT).await.map_err(Reason::Http)?;
        // Seen of upload servers (API page 8.3); whether it arrived is proved in the end.
        if is_upload && answer.status.is_success() && answer.body.is_empty() {
            return serde_json::from_str("null").map_err(|_| Reason::Nonsense("the answer is empty"));
        }
        envelope::read(answer.status, &answer.headers, &answer.body, envelope::OK)
    }
}

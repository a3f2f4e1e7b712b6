//! The web API: what the page itself speaks (API page 3 to 7), with the identity of a web client.
//!
//! [`Web::call`] is the one way in: token, gate, signature, attempt, envelope, and what follows a
//! failure: another token after an expired one, the service's clock after a refused signature, the
//! next host after a failed connection, patience after "too fast", and no call at all any more
//! after a risk-control message.

pub mod download;
pub mod files;
pub mod login;
pub mod quota;
pub mod share;

use http::{HeaderMap, HeaderValue, Method, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::form_urlencoded;

use super::envelope;
use super::error::{Error, Reason};
use super::hosts::Hosts;
use super::http::{Client, HttpError, Request};
use super::lenient;
use super::pace::Gates;
use super::retry::{Advice, Patience};
use super::sign;
use super::token::{Held, Session};
use crate::config::Endpoints;

/// No answer of the API is longer; a page of 500 rows has about 400 KiB.
const ANSWER_LIMIT: usize = 8 << 20;
/// Whole time of one attempt, beside the limits on connecting and on silence.
const ATTEMPT_TIME: std::time::Duration = std::time::Duration::from_secs(60);
/// Tokens tried within one call: kept, configured, signed in for.
const TOKENS: u32 = 3;
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A client of the web API: one account (or nobody) at one list of hosts.
#[derive(Debug)]
pub struct Web {
    http: Client,
    endpoints: Endpoints,
    hosts: Hosts,
    gates: Gates,
    clock: sign::Clock,
    /// Held while the clock is set; counts how often it was.
    clock_set: tokio::sync::Mutex<u64>,
    session: Session,
    referers: download::Referers,
}

/// A call about to be made.
#[derive(Debug)]
pub(crate) struct Call {
    /// Path below the API's base; names the gate too.
    pub(crate) path: &'static str,
    /// Query parameters.
    pub(crate) query: Vec<(&'static str, String)>,
    /// JSON body: makes it a POST.
    pub(crate) body: Option<Value>,
    /// Asking twice does the same as asking once.
    pub(crate) repeatable: bool,
}

impl Call {
    /// A GET that changes nothing.
    pub(crate) fn get(path: &'static str, query: Vec<(&'static str, String)>) -> Self {
        Self {
            path,
            query,
            body: None,
            repeatable: true,
        }
    }

    /// A POST that asks and changes nothing.
    pub(crate) fn ask(path: &'static str, body: Value) -> Self {
        Self {
            path,
            query: Vec::new(),
            body: Some(body),
            repeatable: true,
        }
    }
}

/// The headers every web request carries (API page 3.1).
fn identity(endpoints: &Endpoints) -> Result<HeaderMap, Reason> {
    let origin = endpoints.origin.trim_end_matches('/');
    let value = |text: String| HeaderValue::try_from(text).map_err(|_| Reason::Http(HttpError::Request));
    let mut headers = HeaderMap::new();
    headers.insert(header::ORIGIN, value(origin.to_owned())?);
    headers.insert(header::REFERER, value(format!("{origin}/"))?);
    headers.insert("platform", HeaderValue::from_static("web"));
    headers.insert("app-version", HeaderValue::from_static("3"));
    Ok(headers)
}

impl Web {
    /// A client for a session. Mounts of the same account share one, and with it the gates.
    pub fn new(http: Client, endpoints: Endpoints, session: Session) -> Self {
        Self {
            hosts: Hosts::new(&endpoints.api),
            gates: Gates::new(endpoints.rate),
            clock: sign::Clock::default(),
            clock_set: tokio::sync::Mutex::new(0),
            referers: download::Referers::default(),
            http,
            endpoints,
            session,
        }
    }

    /// Whose calls these are.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// Where it calls.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Makes a call until it has an answer or there is a reason to stop.
    pub(crate) async fn call<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Error> {
        let fail = |reason| Error::new(call.path, reason);
        let gate = self.gates.gate(call.path);
        let mut patience = Patience::new(self.endpoints.rate, call.repeatable);
        let mut tokens = 0;
        let mut switches = 1;
        let mut resynced = false;
        loop {
            // First a working token, then a place in the queue: nobody queues with a dead token.
            self.session.token().await?;
            gate.pass(patience.deadline()).await.map_err(|wait| {
                fail(Reason::Busy {
                    said: super::Said::default(),
                    after: Some(wait),
                })
            })?;
            let token = self.session.token().await?;
            let clock_version = *self.clock_set.lock().await;
            let (host, base) = self.hosts.current();
            let reason = match self.attempt(base, call, token.as_ref()).await {
                Ok(value) => {
                    if let Some(token) = &token {
                        token.prove();
                    }
                    return Ok(value);
                }
                Err(reason) => reason,
            };
            match (&reason, &token) {
                (Reason::Session(said), Some(held)) if tokens < TOKENS => {
                    tokens += 1;
                    self.session.renew(held, said.clone()).await?;
                    continue;
                }
                (Reason::Session(said), None) => return Err(fail(Reason::LoginNeeded(said.clone()))),
                (Reason::Risk(_) | Reason::Banned(_), _) => {
                    let error = fail(reason);
                    self.session.halt(error.clone());
                    return Err(error);
                }
                (Reason::Signature(_), _) if !resynced => {
                    resynced = true;
                    self.set_clock(base, clock_version).await;
                    continue;
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
                Advice::PushGate(pause) => gate.push(pause),
                Advice::Sleep(pause) => tokio::time::sleep(pause).await,
                Advice::GiveUp => return Err(self.give_up(call.path, &patience, reason)),
            }
        }
    }

    /// The last word of a call; one that was told "too fast" holds the gate for those behind it.
    fn give_up(&self, path: &'static str, patience: &Patience, reason: Reason) -> Error {
        let error = Error::new(path, reason);
        if let Reason::Busy { after, .. } = error.reason {
            let pause = patience.busy_pause(after);
            self.gates.gate(path).push(pause);
            return error.with_after(Some(pause));
        }
        error
    }

    async fn attempt<T: DeserializeOwned>(
        &self,
        base: &str,
        call: &Call,
        token: Option<&Held>,
    ) -> Result<T, Reason> {
        let mut headers = identity(&self.endpoints)?;
        if let Some(token) = token {
            headers.insert(header::AUTHORIZATION, token.bearer());
        }
        let mut request = Request {
            url: self.signed_url(base, call)?,
            ..Request::default()
        };
        if let Some(body) = &call.body {
            headers.insert(header::CONTENT_TYPE, JSON);
            request.method = Method::POST;
            request.body = Some(body.to_string().into());
        }
        request.headers = headers;
        let answer = async {
            let response = self.http.send(request).await?;
            let (status, headers) = (response.status(), response.headers().clone());
            Ok((status, headers, response.bytes(ANSWER_LIMIT).await?))
        };
        let (status, headers, body) = tokio::time::timeout(ATTEMPT_TIME, answer)
            .await
            .unwrap_or(Err(HttpError::Timeout))
            .map_err(Reason::Http)?;
        envelope::read(status, &headers, &body, envelope::OK)
    }

    fn signed_url(&self, base: &str, call: &Call) -> Result<String, Reason> {
        let mut url = url::Url::parse(&format!("{base}/{}", call.path))
            .map_err(|_| Reason::Http(HttpError::Request))?;
        let (name, value) = sign::parameter(self.clock.now(), sign::random(), url.path());
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(call.query.iter().map(|(k, v)| (*k, v.as_str())));
        query.append_pair(&name, &value);
        url.set_query(Some(&query.finish()));
        Ok(url.into())
    }

    /// Takes over the service's time (API page 1.3), unless somebody has since `version`. Where it
    /// cannot be had the clock stays as it is.
    async fn set_clock(&self, base: &str, version: u64) {
        let mut set = self.clock_set.lock().await;
        if *set != version {
            return;
        }
        *set += 1;
        let mut places = vec![format!("{base}/get/server/time")];
        if let Ok(url) = url::Url::parse(base) {
            places.push(format!(
                "{}/api/get/server/time",
                url.origin().ascii_serialization()
            ));
        }
        for place in places {
            if let Some(theirs) = self.server_time(place).await {
                self.clock.set(theirs);
                return;
            }
        }
    }

    async fn server_time(&self, url: String) -> Option<i64> {
        #[derive(serde::Deserialize)]
        struct Data {
            #[serde(default, deserialize_with = "lenient::time")]
            timestamp: i64,
        }
        let request = Request {
            url,
            headers: identity(&self.endpoints).ok()?,
            ..Request::default()
        };
        let response = self.http.send(request).await.ok()?;
        let (status, headers) = (response.status(), response.headers().clone());
        let body = response.bytes(ANSWER_LIMIT).await.ok()?;
        let data: Option<Data> = envelope::read(status, &headers, &body, envelope::OK).ok();
        data.map(|data| data.timestamp).filter(|at| *at > 0).or_else(|| {
            let date = headers.get(header::DATE)?.to_str().ok()?;
            let at = httpdate::parse_http_date(date).ok()?;
            let since = at.duration_since(std::time::UNIX_EPOCH).ok()?;
            i64::try_from(since.as_secs()).ok()
        })
    }
}

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;

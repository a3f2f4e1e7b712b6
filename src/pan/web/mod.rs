//! The web API: what the page itself speaks (API page 3 to 7), with the identity of a web client.
//!
//! [`Web::call`] is the one way in: it adds the signature to what [`super::call`] does, and takes
//! over the service's clock when a signature is refused.

pub mod change;
pub mod copy;
pub mod download;
pub mod files;
pub mod login;
pub mod qr;
pub mod quota;
pub mod share;
pub mod storage;
pub mod upload;

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Method, header};
use serde::de::DeserializeOwned;
use serde_json::Value;
use url::form_urlencoded;

use super::call::{ANSWER_LIMIT, Caller};
use super::envelope;
use super::error::{Error, Reason};
use super::http::{Client, HttpError, Request};
use super::lenient;
use super::relay::Relay;
use super::sign;
use super::token::Session;
use crate::config::Endpoints;

/// Seconds by which clocks may differ without a word in the log.
const CLOCK_TOLERANCE: i64 = 60;
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A client of the web API: one account (or nobody) at one list of hosts.
#[derive(Debug)]
pub struct Web {
    http: Client,
    endpoints: Endpoints,
    caller: Caller,
    clock: Arc<sign::Clock>,
    /// Held while the clock is set; counts how often it was.
    clock_set: tokio::sync::Mutex<u64>,
    relay: Relay,
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

    /// A POST that changes something: not made again while it is unclear whether it was carried out.
    pub(crate) fn change(path: &'static str, body: Value) -> Self {
        Self {
            repeatable: false,
            ..Self::ask(path, body)
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
        let clock: Arc<sign::Clock> = Arc::default();
        Self {
            caller: Caller::new(http.clone(), session, &endpoints.api, endpoints.rate),
            clock: Arc::clone(&clock),
            clock_set: tokio::sync::Mutex::new(0),
            relay: Relay::new(http.clone(), &endpoints, clock),
            http,
            endpoints,
        }
    }

    /// Whose calls these are.
    pub fn session(&self) -> &Session {
        &self.caller.session
    }

    /// Where it calls.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Makes a call until it has an answer or there is a reason to stop. A refused signature sets
    /// the clock by the service's, once.
    pub(crate) async fn call<T: DeserializeOwned>(&self, call: &Call) -> Result<T, Error> {
        let mut resynced = false;
        loop {
            let version = *self.clock_set.lock().await;
            let prepare = |base: &str| self.request(base, call);
            let result = self.caller.call(call.path, call.repeatable, prepare).await;
            match result {
                Err(error) if !resynced && matches!(error.reason, Reason::Signature(_)) => {
                    resynced = true;
                    self.set_clock(self.caller.hosts.current().1, version).await;
                }
                other => return other,
            }
        }
    }

    /// The request of a call, signed for this moment.
    fn request(&self, base: &str, call: &Call) -> Result<Request, Reason> {
        let mut request = Request {
            url: self.signed_url(base, call)?,
            headers: identity(&self.endpoints)?,
            ..Request::default()
        };
        if let Some(body) = &call.body {
            request.headers.insert(header::CONTENT_TYPE, JSON);
            request.method = Method::POST;
            request.body = Some(body.to_string().into());
        }
        Ok(request)
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
                let ahead = self.clock.set(theirs);
                if ahead.abs() > CLOCK_TOLERANCE {
                    tracing::warn!(
                        "This machine's clock differs from 123pan's by {} s ({}): calls are signed with 123pan's time; set the clock right.",
                        ahead.abs(),
                        if ahead > 0 { "it is slow" } else { "it is fast" }
                    );
                }
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
        let answer = self.http.ask(request, ANSWER_LIMIT).await.ok()?;
        let data: Option<Data> =
            envelope::read(answer.status, &answer.headers, &answer.body, envelope::OK).ok();
        data.map(|data| data.timestamp).filter(|at| *at > 0).or_else(|| {
            let date = answer.headers.get(header::DATE)?.to_str().ok()?;
            let at = httpdate::parse_http_date(date).ok()?;
            let since = at.duration_since(std::time::UNIX_EPOCH).ok()?;
            i64::try_from(since.as_secs()).ok()
        })
    }
}

#[cfg(test)]
#[path = "call_tests.rs"]
mod tests;

//! From the URL that 123pan gives for a file to the URL of its bytes (API page 5.8).
//!
//! The first URL is a relay's, which hides the next URL in its base64 `params`; that one answers
//! with a redirect, with JSON, with a page, or with the bytes themselves. The chain is followed by
//! hand, three hops at the most, and never a byte of the file is read: metering counts requests,
//! and the bytes are for somebody else.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderValue, header};
use secrecy::SecretString;
use serde::Deserialize;
use url::Url;

use super::envelope;
use super::error::{Error, Reason, Said};
use super::http::{Client, HttpError, Request, Response};
use super::lenient;
use super::retry::{Advice, Patience};
use super::sign::Clock;
use crate::config::Endpoints;

/// Longest chain behind the first URL.
const HOPS: usize = 3;
/// Longest JSON or page that can be a hop.
const HOP_LIMIT: usize = 1 << 20;
/// How long a link without `t=` is trusted, in seconds.
const LIFE_UNKNOWN: i64 = 15 * 60;
/// No link lives longer (API page 5.8), in seconds.
const LIFE_MAX: i64 = 24 * 3600;
/// Hosts whose Referer is remembered.
const HOSTS_KEPT: usize = 64;
/// The CDN's code for a refused Referer or city.
const STEAL_LINK: i64 = 1010;
/// Padding or none, either is taken.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Follows chains for one client.
#[derive(Debug)]
pub(crate) struct Relay {
    http: Client,
    /// The page's address with its slash, as a Referer.
    page: String,
    rate: f64,
    /// The service's: `t=` is its time.
    clock: Arc<Clock>,
    referers: Referers,
}

/// A URL good for bytes.
#[derive(Debug, Clone)]
pub struct FinalLink {
    /// The URL. Its query is a signature.
    pub url: SecretString,
    /// Unix seconds, by this machine's clock, when it stops working.
    pub until: i64,
    /// Referers to try, in order (question 11).
    pub referers: Vec<String>,
}

/// Which Referer a host's relay took, as a place in the list of candidates; bounded.
#[derive(Debug, Default)]
struct Referers(Mutex<HashMap<String, usize>>);

/// Where one request of the chain leads.
enum Hop {
    Onward(Url),
    /// The URL asked is the final one.
    Here,
}

impl FinalLink {
    /// When it stops working.
    pub fn until(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_secs(u64::try_from(self.until).unwrap_or(0))
    }
}

impl Relay {
    pub(crate) fn new(http: Client, endpoints: &Endpoints, clock: Arc<Clock>) -> Self {
        Self {
            http,
            page: format!("{}/", endpoints.origin.trim_end_matches('/')),
            rate: endpoints.rate,
            clock,
            referers: Referers::default(),
        }
    }

    /// A link out of `outer`, if it names a relay; else `outer` is the link, without a request.
    pub(crate) async fn follow_params(
        &self,
        call: &'static str,
        outer: &str,
        size: u64,
    ) -> Result<FinalLink, Error> {
        match web_url(outer) {
            Some(url) if inner(&url).is_none() => Ok(FinalLink {
                until: self.until(&url),
                url: SecretString::from(String::from(url)),
                referers: Vec::new(),
            }),
            _ => self.follow(call, outer, size).await,
        }
    }

    /// Follows the chain that begins with `outer`, the answer of `call`.
    pub(crate) async fn follow(
        &self,
        call: &'static str,
        outer: &str,
        size: u64,
    ) -> Result<FinalLink, Error> {
        let fail = |reason| Error::new(call, reason);
        let outer = web_url(outer).ok_or_else(|| fail(Reason::Nonsense("the answer has no download URL")))?;
        let mut url = match inner(&outer) {
            None => outer.clone(),
            Some(Some(inner)) => inner,
            Some(None) => return Err(fail(Reason::Nonsense("the download URL's params hold no URL"))),
        };
        let referers = [root(&outer), root(&url), self.page.clone()];
        let mut hops = 0;
        loop {
            if hops == HOPS {
                return Err(fail(Reason::Nonsense("the download URL leads on and on")));
            }
            hops += 1;
            match self.hop(&url, &referers, size).await.map_err(fail)? {
                Hop::Here => break,
                Hop::Onward(next) => {
                    let Some(nested) = inner(&next) else {
                        url = next;
                        break;
                    };
                    url = nested.ok_or_else(|| fail(Reason::Nonsense("the relay's params hold no URL")))?;
                }
            }
        }
        let mut ordered: Vec<String> = Vec::with_capacity(referers.len());
        for referer in referers {
            if !ordered.contains(&referer) {
                ordered.push(referer);
            }
        }
        Ok(FinalLink {
            until: self.until(&url),
            url: SecretString::from(String::from(url)),
            referers: ordered,
        })
    }

    fn until(&self, url: &Url) -> i64 {
        self.clock.local(expiry(url, self.clock.now()))
    }

    /// One request of the chain; where its Referer is refused, the others are tried once each.
    async fn hop(&self, url: &Url, referers: &[String; 3], size: u64) -> Result<Hop, Reason> {
        let host = root(url);
        // The page's own address first, as the page does; then outer, inner, none.
        let [outer, inner, origin] = referers;
        let candidates = [Some(origin), Some(outer), Some(inner), None];
        let known = self.referers.of(&host);
        let order = known
            .into_iter()
            .chain((0..candidates.len()).filter(|n| Some(*n) != known));
        let mut refused = Reason::Nonsense("no Referer was tried");
        for n in order {
            let referer = candidates.get(n).copied().flatten().map(String::as_str);
            match self.hop_with(url, referer, size).await {
                Err(reason @ Reason::Referer(_)) => refused = reason,
                Err(reason) => return Err(reason),
                Ok(hop) => {
                    self.referers.remember(host, n);
                    return Ok(hop);
                }
            }
        }
        Err(refused)
    }

    async fn hop_with(&self, url: &Url, referer: Option<&str>, size: u64) -> Result<Hop, Reason> {
        let mut patience = Patience::new(self.rate, true);
        loop {
            let mut request = Request {
                url: url.as_str().to_owned(),
                ..Request::default()
            };
            if let Some(value) = referer.and_then(|r| HeaderValue::from_str(r).ok()) {
                request.headers.insert(header::REFERER, value);
            }
            let result = match self.http.send(request).await {
                Ok(response) => read_hop(url, response, size).await,
                Err(error) => Err(Reason::Http(error)),
            };
            let Err(reason) = result else { return result };
            match patience.after(&reason) {
                Advice::Sleep(pause) | Advice::PushGate(pause) => tokio::time::sleep(pause).await,
                Advice::GiveUp => return Err(reason),
            }
        }
    }
}

impl Referers {
    fn of(&self, host: &str) -> Option<usize> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(host)
            .copied()
    }

    fn remember(&self, host: String, n: usize) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= HOSTS_KEPT && !known.contains_key(&host) {
            known.clear();
        }
        known.insert(host, n);
    }
}

/// Reads what a relay answers, and nothing of what is the file itself.
async fn read_hop(url: &Url, response: Response, size: u64) -> Result<Hop, Reason> {
    let status = response.status();
    let headers = response.headers().clone();
    // As UTF-8: a Location may name a file in Chinese without escapes.
    let text = |name| {
        headers
            .get(name)
            .map(|v: &HeaderValue| String::from_utf8_lossy(v.as_bytes()))
            .unwrap_or_default()
    };
    if status.is_redirection() {
        let next = url.join(&text(header::LOCATION)).ok().filter(is_web);
        return match next {
            Some(next) if !text(header::LOCATION).is_empty() => Ok(Hop::Onward(next)),
            _ => Err(Reason::Nonsense("a redirect that leads nowhere")),
        };
    }
    let kind = text(header::CONTENT_TYPE).to_ascii_lowercase();
    let is_text = kind.contains("json") || kind.starts_with("text/") || kind.is_empty();
    let length: Option<u64> = text(header::CONTENT_LENGTH).parse().ok();
    // A JSON or HTML file of the user's is told apart by its length or its disposition.
    let is_file = !is_text || headers.contains_key(header::CONTENT_DISPOSITION) || length == Some(size);
    if status.is_success() && is_file && status.as_u16() != 210 {
        return Ok(Hop::Here);
    }
    let body = match response.bytes(HOP_LIMIT).await {
        Ok(body) => body,
        Err(HttpError::TooLong(_)) if status.is_success() => return Ok(Hop::Here),
        Err(error) => return Err(Reason::Http(error)),
    };
    match onward(&body) {
        Some(Ok(next)) if status.is_success() => return Ok(Hop::Onward(next)),
        Some(Err(reason)) => return Err(reason),
        // A short text file sent in pieces.
        None if status.is_success() && body.len() as u64 == size => return Ok(Hop::Here),
        _ => {}
    }
    match status.as_u16() {
        429 => Err(Reason::Busy {
            said: Said::default(),
            after: envelope::retry_after(&headers),
        }),
        500.. => Err(Reason::Status(status.as_u16())),
        _ => Err(Reason::Nonsense(
            "the relay's answer is neither a link nor the file",
        )),
    }
}

/// The next URL in a relay's JSON or page, or the refusal in it.
fn onward(body: &[u8]) -> Option<Result<Url, Reason>> {
    #[derive(Deserialize)]
    struct Answer {
        #[serde(default, deserialize_with = "lenient::opt_int")]
        code: Option<i64>,
        #[serde(default, deserialize_with = "lenient::text")]
        message: String,
        #[serde(default)]
        data: Option<Redirect>,
    }
    #[derive(Deserialize)]
    struct Redirect {
        #[serde(default, alias = "redirectUrl", deserialize_with = "lenient::text")]
        redirect_url: String,
    }
    if envelope::is_html(body) {
        return href(&String::from_utf8_lossy(body)).map(Ok);
    }
    let answer: Answer = serde_json::from_slice(body).ok()?;
    if let Some(url) = answer.data.and_then(|d| web_url(&d.redirect_url)) {
        return Some(Ok(url));
    }
    let code = answer.code.filter(|code| *code != 0)?;
    let said = Said::new(Some(code), &answer.message);
    Some(Err(match code {
        STEAL_LINK if answer.message.contains("realc") => Reason::City(said),
        STEAL_LINK if answer.message.contains("referer") => Reason::Referer(said),
        5113 | 5114 => Reason::Traffic(said),
        _ => Reason::Refused(said),
    }))
}

/// The first absolute link of a page.
fn href(page: &str) -> Option<Url> {
    page.match_indices("href=").find_map(|(at, word)| {
        let rest = page.get(at + word.len()..)?;
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'))?;
        let link = rest.get(1..)?.split(quote).next()?;
        web_url(&link.replace("&amp;", "&"))
    })
}

/// What the `params` of a relay URL hold: nothing there, a URL, or no URL.
fn inner(outer: &Url) -> Option<Option<Url>> {
    let raw = outer
        .query()?
        .split('&')
        .find_map(|pair| pair.strip_prefix("params="))
        .filter(|value| !value.is_empty())?;
    Some(decode_params(raw))
}

/// Decodes `params`: standard or URL-safe alphabet, padded or not, a `+` that became a space.
fn decode_params(raw: &str) -> Option<Url> {
    let text: String = percent_encoding::percent_decode_str(raw)
        .decode_utf8()
        .ok()?
        .chars()
        .map(|c| match c {
            ' ' | '-' => '+',
            '_' => '/',
            c => c,
        })
        .collect();
    let bytes = LENIENT.decode(text.trim_end_matches('=')).ok()?;
    web_url(std::str::from_utf8(&bytes).ok()?)
}

fn web_url(text: &str) -> Option<Url> {
    Url::parse(text.trim()).ok().filter(is_web)
}

fn is_web(url: &Url) -> bool {
    matches!(url.scheme(), "http" | "https") && url.has_host()
}

/// `scheme://host[:port]/`.
fn root(url: &Url) -> String {
    format!("{}/", url.origin().ascii_serialization())
}

/// When a link stops working: its `t=`, as far as that can be true.
fn expiry(url: &Url, now: i64) -> i64 {
    url.query_pairs()
        .find(|(name, _)| name == "t")
        .and_then(|(_, value)| value.parse::<i64>().ok())
        // A time that has passed says that our clock is wrong, not that the link is dead.
        .filter(|t| *t > now)
        .map_or(now + LIFE_UNKNOWN, |t| t.min(now + LIFE_MAX))
}

#[cfg(test)]
#[path = "relay_tests.rs"]
mod tests;

//! The access log: one line a request, written when its transfer ends, with what was really sent.
//!
//! Times are milliseconds since the head of the request was there: `upstream_ms` was spent waiting for 123pan, its CDN or
//! the origin before the answer began; `first_byte_ms` is when the first byte of the body, or the head of an answer
//! without one, was handed to the connection; `ms` is the end.
//!
//! `request` is the number of the request, which the answer carries as `x-request-id`: what a person sees can be found in the
//! log. One that a reverse proxy gave is kept.
//!
//! Queries are left out: they may hold signatures.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use http::{Method, Request, Response, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::time::Instant;

use super::guest::Guest;
use crate::body::Body;
use crate::config::Strategy;
use crate::hex;
use crate::metrics::Answered;

/// Names the request, in both directions.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Characters of an id from outside at the most.
const LONGEST_ID: usize = 64;

/// What is known of a request when its answer ends. Dropping it writes the line.
pub(super) struct AccessLine {
    id: Id,
    method: Method,
    path: String,
    agent: String,
    user: Option<Arc<str>>,
    peer: SocketAddr,
    begun: Instant,
    status: StatusCode,
    delivery: Option<Strategy>,
    upstream: Duration,
    first_byte: Option<Duration>,
    sent: u64,
    whole: bool,
    /// Its connection, which is at work until the end.
    guest: Arc<Guest>,
}

impl AccessLine {
    pub(super) fn begin<B>(request: &Request<B>, peer: SocketAddr, guest: Arc<Guest>) -> Self {
        let begun = Instant::now();
        guest.place.begin(begun);
        let logged = tracing::enabled!(target: "dav123::access", tracing::Level::INFO);
        let agent = request
            .headers()
            .get(USER_AGENT)
            .and_then(|agent| agent.to_str().ok());
        Self {
            id: Id::of(request.headers()),
            method: request.method().clone(),
            path: if logged {
                request.uri().path().to_owned()
            } else {
                String::new()
            },
            agent: if logged {
                agent.unwrap_or("-").to_owned()
            } else {
                String::new()
            },
            user: None,
            peer,
            begun,
            status: StatusCode::OK,
            delivery: None,
            upstream: Duration::ZERO,
            first_byte: None,
            sent: 0,
            whole: false,
            guest,
        }
    }

    /// The number of the request.
    pub(super) fn id(&self) -> &Id {
        &self.id
    }

    pub(super) fn user(&mut self, name: &Arc<str>) {
        self.user = Some(name.clone());
    }

    /// The way that a file took to the client.
    pub(super) fn delivered(&mut self, strategy: Option<Strategy>) {
        self.delivery = strategy;
    }

    /// Takes from the head of the answer what the line tells; `upstream` was spent waiting for others.
    pub(super) fn answered(&mut self, response: &Response<Body>, upstream: Duration) {
        self.status = response.status();
        self.upstream = upstream;
    }

    fn sent(&mut self, bytes: u64) {
        let now = Instant::now();
        self.guest.place.moved(now);
        self.sent += bytes;
        if bytes > 0 {
            self.first_byte.get_or_insert(now - self.begun);
        }
    }
}

impl Drop for AccessLine {
    fn drop(&mut self) {
        let method = known(&self.method);
        let answered = Answered {
            method,
            status: self.status.as_u16(),
        };
        self.guest.count(answered, self.sent);
        let now = Instant::now();
        self.guest.place.end(now);
        let ended = now - self.begun;
        let delivery = self.delivery.map_or("-", Strategy::name);
        tracing::info!(
            target: "dav123::access",
            request = %self.id.shown(),
            peer = %address(self.peer),
            user = %self.user.as_deref().unwrap_or("-"),
            method = %self.method,
            path = %self.path,
            status = self.status.as_u16(),
            delivery = %delivery,
            bytes = self.sent,
            whole = self.whole,
            upstream_ms = milliseconds(self.upstream),
            first_byte_ms = milliseconds(self.first_byte.unwrap_or(ended)),
            ms = milliseconds(ended),
            agent = %self.agent,
        );
    }
}

/// The number of a request. Not a secret.
pub(super) enum Id {
    /// The request brought it.
    Brought(HeaderValue),
    /// Hexadecimal digits.
    Made([[u8; 2]; 8]),
}

impl Id {
    /// The id that the request brings, where it is one; else a new one.
    fn of(headers: &HeaderMap) -> Self {
        let is_id = |id: &&HeaderValue| {
            let bytes = id.as_bytes();
            let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
            (1..=LONGEST_ID).contains(&bytes.len()) && bytes.iter().all(allowed)
        };
        match headers.get(REQUEST_ID).filter(is_id) {
            Some(brought) => Self::Brought(brought.clone()),
            None => Self::Made(fastrand::u64(..).to_be_bytes().map(hex::pair)),
        }
    }

    /// As text.
    pub(super) fn shown(&self) -> &str {
        let text = match self {
            Self::Brought(id) => id.to_str().ok(),
            Self::Made(digits) => std::str::from_utf8(digits.as_flattened()).ok(),
        };
        text.unwrap_or("-")
    }

    /// As the value of a header.
    pub(super) fn header(&self) -> HeaderValue {
        let value = match self {
            Self::Brought(id) => Ok(id.clone()),
            Self::Made(digits) => HeaderValue::from_bytes(digits.as_flattened()),
        };
        value.unwrap_or_else(|_| HeaderValue::from_static("-"))
    }
}

/// Behind a proxy the port is seldom known.
fn address(peer: SocketAddr) -> String {
    match peer.port() {
        0 => peer.ip().to_string(),
        _ => peer.to_string(),
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The method as a metric's label: strangers must not make new ones.
fn known(method: &Method) -> &'static str {
    const KNOWN: [&str; 16] = [
        "GET",
        "HEAD",
        "OPTIONS",
        "PROPFIND",
        "PUT",
        "MKCOL",
        "DELETE",
        "MOVE",
        "COPY",
        "PROPPATCH",
        "LOCK",
        "UNLOCK",
        "POST",
        "PATCH",
        "TRACE",
        "CONNECT",
    ];
    KNOWN
        .into_iter()
        .find(|name| *name == method.as_str())
        .unwrap_or("other")
}

/// A body that counts what is sent.
pub(super) struct Logged {
    body: Body,
    line: AccessLine,
}

impl Logged {
    pub(super) fn new(body: Body, mut line: AccessLine) -> Self {
        line.whole = body.is_end_stream();
        Self { body, line }
    }
}

impl HttpBody for Logged {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                this.line
                    .sent(frame.data_ref().map_or(0, |data| data.len() as u64));
                this.line.whole = this.body.is_end_stream();
            }
            Poll::Ready(None) => this.line.whole = true,
            Poll::Ready(Some(Err(error))) => {
                tracing::warn!(request = %this.line.id.shown(), path = %this.line.path, %error, "the answer was broken off");
            }
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

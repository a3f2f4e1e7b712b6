//! The clients that fetch from 123pan's CDN, and what they say and follow.
//!
//! HTTP/1.1 only: measured at twice the speed of HTTP/2 for large bodies. Two clients, because speed and
//! memory pull apart: the *wide* one reads with large buffers and serves the first streams, the *narrow* one
//! reads 20 KiB at a time, so that a thousand slow readers fit into little memory.
//!
//! A request carries `Range`, `Referer` and whatever else the link demands, our own `User-Agent` and `Accept`; nothing
//! of the client's: neither credentials nor cookies nor conditions. Redirects are followed by hand, a few.

use std::error::Error as StdError;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    ACCEPT, ACCEPT_ENCODING, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST,
    HeaderName, HeaderValue, LOCATION, RANGE, REFERER, TE, TRANSFER_ENCODING, UPGRADE, USER_AGENT,
};
use http::{Method, Request, Response};
use hyper::client::conn::http1;
use hyper_rustls::HttpsConnectorBuilder;
use hyper_util::client::legacy::connect::HttpConnector;
use rustls_platform_verifier::Verifier;
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::connect::Connect;
use super::pool::{Arriving, Content, Failure, Pool};
use super::target::Target;
use crate::config::Outbound;
use crate::drive::{Error, ErrorKind};
use crate::metrics::waited::waiting;

/// Streams that read with large buffers (about 1.2 MB each when the client is slow).
const WIDE_STREAMS: usize = 16;
/// Memory of all downloads over several connections, in KiB: further ones use one connection.
const WINDOWS: u32 = 256 * 1024;
/// Read buffer of all further streams.
const NARROW_BUFFER: usize = 20 * 1024;
/// Redirects followed for one request (direct links, API page 9.3).
const MAX_HOPS: usize = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How we present ourselves.
const OURS: HeaderValue = HeaderValue::from_static(concat!("dav123/", env!("CARGO_PKG_VERSION")));
/// Headers that are said by the connection and the range, never by a link.
const OUR_CONCERN: [HeaderName; 8] = [
    ACCEPT_ENCODING,
    CONNECTION,
    CONTENT_LENGTH,
    HOST,
    RANGE,
    TE,
    TRANSFER_ENCODING,
    UPGRADE,
];

/// The two clients.
#[derive(Debug)]
pub struct Cdn {
    wide: Pool,
    narrow: Pool,
    /// Wide streams that run.
    wide_streams: Arc<AtomicUsize>,
    windows: Arc<Semaphore>,
    /// How long the head of an answer may take.
    head_timeout: Duration,
    through_proxy: bool,
}

/// Which client a transfer uses, from its first request to its last. Free again when dropped.
#[derive(Debug)]
pub struct Lane {
    /// Where it is counted, if it is wide.
    wide: Option<Arc<AtomicUsize>>,
    _window: Option<OwnedSemaphorePermit>,
}

impl Drop for Lane {
    fn drop(&mut self) {
        if let Some(running) = &self.wide {
            running.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// One request to the CDN. Has no `Debug`, because of the URL.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// Where to.
    pub to: &'a Target,
    /// Value of `Range`.
    pub range: Option<&'a str>,
    /// Value of `Referer`.
    pub referer: Option<&'a str>,
    /// What the link wants beside that ([`crate::drive::Link::headers`]).
    pub headers: &'a [(String, String)],
}

impl Cdn {
    /// The clients, which go through a proxy if there is one; nothing is connected yet. Trusted are this machine's roots, or
    /// those that `SSL_CERT_FILE` and `SSL_CERT_DIR` name, beside the public ones: a container may have none of its own.
    ///
    /// # Errors
    /// `Unsupported` if the TLS library refuses its own defaults, or the proxy's address is none.
    pub fn new(head_timeout: Duration, outbound: Option<&Outbound>) -> Result<Self, Error> {
        let tls = tls()
            .map_err(|error| Error::new(ErrorKind::Unsupported, "TLS cannot be used.").with_source(error))?;
        let connector = || {
            let mut http = HttpConnector::new();
            http.enforce_http(false);
            http.set_nodelay(true);
            http.set_connect_timeout(Some(CONNECT_TIMEOUT));
            let connect = Connect::new(http, outbound).ok_or_else(|| {
                let sentence = format!("The proxy {outbound:?} of outbound cannot be used.");
                Error::new(ErrorKind::Unsupported, sentence)
            })?;
            Ok::<_, Error>(
                HttpsConnectorBuilder::new()
                    .with_tls_config(tls.clone())
                    .https_or_http()
                    .enable_http1()
                    .wrap_connector(connect),
            )
        };
        let mut narrow = http1::Builder::new();
        narrow.read_buf_exact_size(Some(NARROW_BUFFER));
        Ok(Self {
            wide: Pool::new(connector()?, http1::Builder::new()),
            narrow: Pool::new(connector()?, narrow),
            wide_streams: Arc::default(),
            windows: Arc::new(Semaphore::new(WINDOWS as usize)),
            head_timeout,
            through_proxy: outbound.is_some(),
        })
    }

    /// A lane for a transfer: wide while there is room.
    pub fn lane(&self) -> Lane {
        let running = &self.wide_streams;
        let one_more = |count| (count < WIDE_STREAMS).then_some(count + 1);
        let counted = running.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more);
        Lane {
            wide: counted.is_ok().then(|| Arc::clone(running)),
            _window: None,
        }
    }

    /// The narrow lane: for what is small.
    pub fn narrow(&self) -> Lane {
        Lane {
            wide: None,
            _window: None,
        }
    }

    /// A lane for a download over several connections that keeps up to `window` bytes; `None` where others keep so much
    /// already that there is no room.
    pub fn several(&self, window: u64) -> Option<Lane> {
        let room = u32::try_from(window.div_ceil(1024))
            .unwrap_or(WINDOWS)
            .min(WINDOWS);
        let permit = Arc::clone(&self.windows).try_acquire_many_owned(room).ok()?;
        Some(Lane {
            wide: None,
            _window: Some(permit),
        })
    }

    /// Sends a GET and returns the first answer that is not a redirect, whatever its status.
    ///
    /// # Errors
    /// `Unreachable`, `Timeout`; `Nonsense` for a URL that is none and for too many redirects.
    pub async fn get(&self, lane: &Lane, ask: Ask<'_>) -> Result<Response<Arriving>, Error> {
        let mut hop: Option<Target> = None;
        let mut home = true;
        for _ in 0..=MAX_HOPS {
            let to = hop.as_ref().unwrap_or(ask.to);
            let response = self.send(lane, to, ask, home).await?;
            let status = response.status().as_u16();
            let Some(location) = response.headers().get(LOCATION) else {
                return Ok(response);
            };
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            let next = to.follow(location)?;
            home &= next.uri().authority() == to.uri().authority();
            hop = Some(next);
        }
        Err(Error::new(
            ErrorKind::Nonsense,
            "123pan's CDN redirects in a circle; try again later.",
        ))
    }

    /// Sends a POST of JSON to another dav123, and follows no redirect: `authorization` is for that one alone.
    ///
    /// # Errors
    /// `Unreachable`, `Timeout`; `Nonsense` for a URL that is none and a value that is no header.
    pub async fn post(
        &self,
        url: &str,
        authorization: &SecretString,
        body: Bytes,
    ) -> Result<Response<Arriving>, Error> {
        let mut authorization = HeaderValue::from_str(authorization.expose_secret()).map_err(|_| {
            let sentence = "The secret of the other dav123 cannot be sent as a header.";
            Error::new(ErrorKind::Nonsense, sentence)
        })?;
        authorization.set_sensitive(true);
        let mut request = Request::new(Content::new(body));
        *request.method_mut() = Method::POST;
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, OURS);
        headers.insert(AUTHORIZATION, authorization);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        self.request(&self.narrow, request, &Target::parse(url)?).await
    }

    async fn send(
        &self,
        lane: &Lane,
        to: &Target,
        ask: Ask<'_>,
        home: bool,
    ) -> Result<Response<Arriving>, Error> {
        let mut request = Request::new(Content::default());
        let headers = request.headers_mut();
        headers.insert(USER_AGENT, OURS);
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        for (name, value) in ask.headers {
            let header = (HeaderName::try_from(name), HeaderValue::from_str(value));
            if let (Ok(name), Ok(value)) = header
                && !OUR_CONCERN.contains(&name)
                && (home || ![AUTHORIZATION, COOKIE].contains(&name))
            {
                headers.insert(name, value);
            }
        }
        for (name, value) in [(RANGE, ask.range), (REFERER, ask.referer)] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(name, value);
            }
        }
        let pool = if lane.wide.is_some() {
            &self.wide
        } else {
            &self.narrow
        };
        self.request(pool, request, to).await
    }

    async fn request(
        &self,
        pool: &Pool,
        request: Request<Content>,
        to: &Target,
    ) -> Result<Response<Arriving>, Error> {
        match waiting(pool.send(request, to, self.head_timeout)).await {
            Ok(response) => Ok(response),
            Err(Failure::Late) => Err(Error::new(
                ErrorKind::Timeout,
                "123pan's CDN did not answer in time; try again.",
            )),
            Err(error @ Failure::Connect(_)) => Err(Error::new(
                ErrorKind::Unreachable,
                if distrusts(&error) {
                    "The certificate of 123pan's CDN is not trusted here; check this machine's clock and its root certificates."
                } else if self.through_proxy {
                    "No connection to 123pan's CDN could be made through the proxy of outbound; check that proxy."
                } else {
                    "No connection to 123pan's CDN could be made; check this machine's network."
                },
            )
            .with_source(error)),
            Err(error @ Failure::Exchange(_)) => Err(Error::new(
                ErrorKind::Unreachable,
                "The connection to 123pan's CDN broke before it answered; try again.",
            )
            .with_source(error)),
        }
    }
}

/// The clients for each way to 123pan, made when they are first needed; as many as there are values of `outbound`.
#[derive(Debug)]
pub struct Cdns {
    direct: Arc<Cdn>,
    through: Mutex<Vec<(Outbound, Arc<Cdn>)>>,
}

impl Cdns {
    /// The clients for the direct way.
    ///
    /// # Errors
    /// As [`Cdn::new`].
    pub fn new(head_timeout: Duration) -> Result<Self, Error> {
        Ok(Self::over(Arc::new(Cdn::new(head_timeout, None)?)))
    }

    /// The same over clients that there are.
    pub fn over(direct: Arc<Cdn>) -> Self {
        Self {
            direct,
            through: Mutex::default(),
        }
    }

    /// The clients for a mount's way.
    ///
    /// # Errors
    /// As [`Cdn::new`].
    pub fn of(&self, outbound: Option<&Outbound>) -> Result<Arc<Cdn>, Error> {
        let Some(outbound) = outbound else {
            return Ok(Arc::clone(&self.direct));
        };
        let mut through = self.through.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, cdn)) = through.iter().find(|(way, _)| way == outbound) {
            return Ok(Arc::clone(cdn));
        }
        let cdn = Arc::new(Cdn::new(self.direct.head_timeout, Some(outbound))?);
        through.push((outbound.clone(), Arc::clone(&cdn)));
        Ok(cdn)
    }
}

fn tls() -> Result<rustls::ClientConfig, rustls::Error> {
    let public = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new_with_extra_roots(public, Arc::clone(&provider))?;
    Ok(rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        // Its name warns of verifiers that do less than the usual one; this one asks the platform.
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// Whether a connection failed because of the other side's certificate.
fn distrusts(error: &(dyn StdError + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
            return true;
        }
        // An I/O error does not count what it wraps among its sources.
        next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
            Some(wrapped) => Some(wrapped),
            None => error.source(),
        };
    }
    false
}

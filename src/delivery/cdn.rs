//! The clients that fetch from 123pan's CDN, and what they say and follow.
//!
//! HTTP/1.1 only: measured at twice the speed of HTTP/2 for large bodies. Two clients, because speed and
//! memory pull apart: the *wide* one reads with large buffers and serves the first streams, the *narrow* one
//! reads 32 KiB at a time, so that a thousand slow readers fit into little memory.
//!
//! A request carries `Range`, `Referer` where the link demands one, our own `User-Agent` and `Accept`; nothing
//! of the client's: neither credentials nor cookies nor conditions. Redirects are followed by hand, a few.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, HeaderValue, LOCATION, RANGE, REFERER, USER_AGENT};
use http::{Request, Response, Uri};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::redirect::printable;
use crate::drive::{Error, ErrorKind};

/// Streams that read with large buffers (about 1.2 MB each when the client is slow).
const WIDE_STREAMS: usize = 32;
/// Read buffer of all further streams.
const NARROW_BUFFER: usize = 32 * 1024;
/// Redirects followed for one request (direct links, API page 9.3).
const MAX_HOPS: usize = 4;
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
const IDLE_CONNECTION: Duration = Duration::from_secs(50);
/// Idle connections kept to one host.
const IDLE_PER_HOST: usize = 32;

type HyperClient = Client<HttpsConnector<HttpConnector>, Empty<Bytes>>;

/// The two clients.
#[derive(Debug)]
pub struct Cdn {
    wide: HyperClient,
    narrow: HyperClient,
    wide_streams: Arc<Semaphore>,
    /// How long the head of an answer may take.
    head_timeout: Duration,
}

/// Which client a transfer uses, from its first request to its last. Free again when dropped.
#[derive(Debug)]
pub struct Lane(Option<OwnedSemaphorePermit>);

/// One request to the CDN. Has no `Debug`, because of the URL.
#[derive(Clone, Copy)]
pub struct Ask<'a> {
    /// Absolute URL; a secret.
    pub url: &'a str,
    /// Value of `Range`.
    pub range: Option<&'a str>,
    /// Value of `Referer`.
    pub referer: Option<&'a str>,
}

impl Cdn {
    /// The clients, with the public roots of trust; nothing is connected yet.
    ///
    /// # Errors
    /// `Unsupported` if the TLS library refuses its own defaults.
    pub fn new(head_timeout: Duration) -> Result<Self, Error> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add_parsable_certificates(webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter().cloned());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| Error::new(ErrorKind::Unsupported, "TLS cannot be used.").with_source(error))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let connector = || {
            let mut http = HttpConnector::new();
            http.enforce_http(false);
            http.set_nodelay(true);
            http.set_connect_timeout(Some(CONNECT_TIMEOUT));
            HttpsConnectorBuilder::new()
                .with_tls_config(tls.clone())
                .https_or_http()
                .enable_http1()
                .wrap_connector(http)
        };
        let builder = || {
            let mut builder = Client::builder(TokioExecutor::new());
            builder
                .pool_timer(TokioTimer::new())
                .pool_idle_timeout(IDLE_CONNECTION)
                .pool_max_idle_per_host(IDLE_PER_HOST);
            builder
        };
        Ok(Self {
            wide: builder().build(connector()),
            narrow: builder()
                .http1_read_buf_exact_size(NARROW_BUFFER)
                .build(connector()),
            wide_streams: Arc::new(Semaphore::new(WIDE_STREAMS)),
            head_timeout,
        })
    }

    /// A lane for a transfer: wide while there is room.
    pub fn lane(&self) -> Lane {
        Lane(Arc::clone(&self.wide_streams).try_acquire_owned().ok())
    }

    /// The narrow lane: for one of many connections.
    pub fn narrow(&self) -> Lane {
        Lane(None)
    }

    /// Sends a GET and returns the first answer that is not a redirect, whatever its status.
    ///
    /// # Errors
    /// `Unreachable`, `Timeout`; `Nonsense` for a URL that is none and for too many redirects.
    pub async fn get(&self, lane: &Lane, ask: Ask<'_>) -> Result<Response<Incoming>, Error> {
        let mut uri = parse(ask.url)?;
        for _ in 0..=MAX_HOPS {
            let response = self.send(lane, uri.clone(), ask).await?;
            let status = response.status().as_u16();
            let Some(location) = response.headers().get(LOCATION) else {
                return Ok(response);
            };
            if !matches!(status, 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            uri = follow(&uri, location)?;
        }
        Err(Error::new(
            ErrorKind::Nonsense,
            "123pan's CDN redirects in a circle; try again later.",
        ))
    }

    async fn send(&self, lane: &Lane, uri: Uri, ask: Ask<'_>) -> Result<Response<Incoming>, Error> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(
            USER_AGENT,
            HeaderValue::from_static(concat!("dav123/", env!("CARGO_PKG_VERSION"))),
        );
        headers.insert(ACCEPT, HeaderValue::from_static("*/*"));
        for (name, value) in [(RANGE, ask.range), (REFERER, ask.referer)] {
            if let Some(value) = value.and_then(|value| HeaderValue::from_str(value).ok()) {
                headers.insert(name, value);
            }
        }
        let client = if lane.0.is_some() {
            &self.wide
        } else {
            &self.narrow
        };
        match tokio::time::timeout(self.head_timeout, client.request(request)).await {
            Err(_) => Err(Error::new(
                ErrorKind::Timeout,
                "123pan's CDN did not answer in time; try again.",
            )),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_connect() => Err(Error::new(
                ErrorKind::Unreachable,
                "No connection to 123pan's CDN could be made; check this machine's network.",
            )
            .with_source(error)),
            Ok(Err(error)) => Err(Error::new(
                ErrorKind::Unreachable,
                "The connection to 123pan's CDN broke before it answered; try again.",
            )
            .with_source(error)),
        }
    }
}

fn no_url() -> Error {
    Error::new(
        ErrorKind::Nonsense,
        "123pan gave a download link that is not a web address.",
    )
}

fn parse(url: &str) -> Result<Uri, Error> {
    let uri: Uri = printable(url).parse().map_err(|_| no_url())?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some() => Ok(uri),
        _ => Err(no_url()),
    }
}

fn follow(from: &Uri, location: &HeaderValue) -> Result<Uri, Error> {
    let location = std::str::from_utf8(location.as_bytes()).map_err(|_| no_url())?;
    if let Ok(uri) = parse(location) {
        return Ok(uri);
    }
    let base = url::Url::parse(&from.to_string()).map_err(|_| no_url())?;
    parse(base.join(location).map_err(|_| no_url())?.as_str())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_a_web_address_and_stray_bytes_are_escaped() {
        let uri = parse("http://cdn/电影 a.mkv?x=%20~&y=+").unwrap();
        assert_eq!(uri.path(), "/%E7%94%B5%E5%BD%B1%20a.mkv");
        assert_eq!(uri.query(), Some("x=%20~&y=+"));
        for bad in ["/relative", "ftp://cdn/x", "file:///etc/passwd", ""] {
            assert_eq!(parse(bad).unwrap_err().kind(), ErrorKind::Nonsense, "{bad}");
        }
    }

    #[test]
    fn a_location_may_be_relative_but_never_leaves_http() {
        let from = parse("https://cdn/a/b?c").unwrap();
        let to = |location: &str| follow(&from, &HeaderValue::from_bytes(location.as_bytes()).unwrap());
        assert_eq!(to("../d?e").unwrap().to_string(), "https://cdn/d?e");
        assert_eq!(to("//other/f").unwrap().to_string(), "https://other/f");
        assert_eq!(to("http://x:1/é").unwrap().to_string(), "http://x:1/%C3%A9");
        assert!(to("file:///etc/passwd").is_err());
    }
}

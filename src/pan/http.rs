//! The HTTP client for everything that is said to 123pan, except the bytes of downloads.
//!
//! No system proxy, no cookies, no compression, no redirects (the download chain is followed by hand,
//! API page 5.8). Errors never carry a URL: links and signatures are secrets.
//!
//! Calls and uploads go through two reqwest clients, because `read_timeout` runs from the first byte
//! sent to the head of the answer: a part on a slow line takes longer than a call may. [`Client::put`]
//! watches the progress of the bytes instead.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode, header};

use super::outgoing::{Frames, Outgoing};
use crate::config::{Outbound, Protocol};
use crate::metrics::waited::waiting;

/// How long a connection may take to come about.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the service may be silent while an answer is awaited or read.
const READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Whole time of one request and its answer in [`Client::ask`].
const ANSWER_TIME: Duration = Duration::from_secs(60);

/// How we name ourselves: the vendor asked for a recognisable name (API page 3.1).
pub const USER_AGENT: &str = concat!("dav123/", env!("CARGO_PKG_VERSION"));

/// Why no answer came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HttpError {
    /// No connection: the request was not sent.
    #[error("no connection could be made")]
    Connect,
    /// Nothing came in time; the request may have been carried out.
    #[error("no answer came in time")]
    Timeout,
    /// The connection broke; the request may have been carried out.
    #[error("the connection broke")]
    Broken,
    /// The answer was longer than allowed.
    #[error("the answer was longer than {0} bytes")]
    TooLong(usize),
    /// The URL or a header is not one.
    #[error("the request could not be built")]
    Request,
    /// The bytes that were to be sent could not be read, or were fewer than announced.
    #[error("the bytes to be sent could not be read")]
    Source,
}

/// How long an upload may take.
#[derive(Debug, Clone, Copy)]
pub struct Times {
    /// From the first byte to the answer.
    pub whole: Duration,
    /// Without a byte being taken by the other side, or without an answer after the last one.
    pub stall: Duration,
}

/// A client, cheap to clone; its connections are shared.
#[derive(Debug, Clone)]
pub struct Client {
    inner: reqwest::Client,
    uploads: reqwest::Client,
    outbound: Option<Outbound>,
}

/// A request about to be sent.
#[derive(Default)]
pub struct Request {
    /// GET unless set.
    pub method: Method,
    /// Absolute URL. Never logged.
    pub url: String,
    /// Headers beside `User-Agent`.
    pub headers: HeaderMap,
    /// Body bytes; small ones only.
    pub body: Option<Bytes>,
    /// The body of an upload, in place of these.
    pub upload: Option<Upload>,
}

/// A body that streams.
pub struct Upload {
    /// Bytes in all: goes out as `Content-Length`, never chunked; object storage refuses that.
    pub length: u64,
    /// They.
    pub frames: Frames,
    /// How long it may take.
    pub times: Times,
}

/// An answer whose body has not been read yet. Dropping it closes the connection.
pub struct Response {
    inner: reqwest::Response,
}

/// A whole answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

/// The host alone: paths and queries hold signatures, bodies hold passwords.
impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let host = url::Url::parse(&self.url)
            .ok()
            .and_then(|u| u.host_str().map(str::to_owned));
        f.debug_struct("Request")
            .field("method", &self.method)
            .field("host", &host)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Response")
            .field("status", &self.inner.status())
            .finish_non_exhaustive()
    }
}

impl Client {
    /// Builds a client that connects by itself.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn new() -> Result<Self, HttpError> {
        Self::through(None)
    }

    /// Builds a client that connects through a proxy, if there is one.
    ///
    /// # Errors
    /// Where TLS cannot be set up.
    pub fn through(outbound: Option<&Outbound>) -> Result<Self, HttpError> {
        provide_tls();
        let builder = || {
            let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS
                .iter()
                .filter_map(|der| reqwest::Certificate::from_der(der).ok());
            let mut builder = reqwest::Client::builder().no_proxy();
            if let Some(outbound) = outbound {
                builder = builder.proxy(proxy(outbound)?);
            }
            let builder = builder
                .redirect(reqwest::redirect::Policy::none())
                .connect_timeout(CONNECT_TIMEOUT)
                .user_agent(USER_AGENT)
                .tls_certs_merge(roots);
            Ok(builder)
        };
        let inner = builder()?
            .read_timeout(READ_TIMEOUT)
            .build()
            .map_err(|_| HttpError::Request)?;
        let uploads = builder()?.build().map_err(|_| HttpError::Request)?;
        Ok(Self {
            inner,
            uploads,
            outbound: outbound.cloned(),
        })
    }

    /// Sends a request and waits for the head of the answer. An upload's body is not looked at.
    ///
    /// # Errors
    /// See [`HttpError`].
    pub async fn send(&self, request: Request) -> Result<Response, HttpError> {
        let mut builder = self
            .inner
            .request(request.method, &request.url)
            .headers(request.headers);
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let inner = waiting(builder.send())
            .await
            .map_err(|error| self.classify(error))?;
        Ok(Response { inner })
    }

    /// Sends a request and reads the whole answer, at most `limit` bytes of body, within a minute, or within the times
    /// of its upload.
    ///
    /// # Errors
    /// See [`HttpError`]; [`HttpError::Source`] where an upload's bytes fail or are not as many as announced.
    pub async fn ask(&self, mut request: Request, limit: usize) -> Result<Answer, HttpError> {
        if let Some(upload) = request.upload.take() {
            return self.upload(request, upload, limit).await;
        }
        let answer = async {
            let response = self.send(request).await?;
            Ok(Answer {
                status: response.status(),
                headers: response.headers().clone(),
                body: response.bytes(limit).await?,
            })
        };
        tokio::time::timeout(ANSWER_TIME, answer)
            .await
            .unwrap_or(Err(HttpError::Timeout))
    }

    /// Puts `length` bytes at a URL, as they come from `frames`, and reads the answer, at most `limit`
    /// bytes of it.
    ///
    /// # Errors
    /// See [`HttpError`]; [`HttpError::Source`] where `frames` fails or does not have `length` bytes.
    pub async fn put(
        &self,
        url: &str,
        length: u64,
        frames: Frames,
        times: Times,
        limit: usize,
    ) -> Result<Answer, HttpError> {
        let request = Request {
            method: Method::PUT,
            url: url.to_owned(),
            ..Request::default()
        };
        let upload = Upload {
            length,
            frames,
            times,
        };
        self.upload(request, upload, limit).await
    }

    async fn upload(&self, request: Request, upload: Upload, limit: usize) -> Result<Answer, HttpError> {
        let Upload {
            length,
            frames,
            times,
        } = upload;
        let outgoing = Outgoing::new(length, frames);
        let progress = outgoing.progress();
        let request = self
            .uploads
            .request(request.method, &request.url)
            .headers(request.headers)
            .header(header::CONTENT_LENGTH, length)
            .body(reqwest::Body::wrap(outgoing));
        let sending = async {
            let inner = waiting(request.send())
                .await
                .map_err(|error| self.classify(error))?;
            let response = Response { inner };
            Ok(Answer {
                status: response.status(),
                headers: response.headers().clone(),
                body: response.bytes(limit).await?,
            })
        };
        let result = tokio::select! {
            result = tokio::time::timeout(times.whole, sending) => result.unwrap_or(Err(HttpError::Timeout)),
            () = progress.stalled(times.stall) => Err(HttpError::Timeout),
        };
        if result.is_err() && progress.source_failed() {
            return Err(HttpError::Source);
        }
        result
    }

    /// What stopped the request. A proxy that does not connect is named in the log: the user's own, not 123pan.
    fn classify(&self, error: reqwest::Error) -> HttpError {
        let error = classify(error);
        if let (HttpError::Connect, Some(outbound)) = (error, &self.outbound) {
            tracing::warn!(%outbound, "No connection to 123pan comes about through the proxy of `outbound`: is it up, and are its name and password right?");
        }
        error
    }
}

impl Response {
    /// The status.
    pub fn status(&self) -> StatusCode {
        self.inner.status()
    }

    /// The headers.
    pub fn headers(&self) -> &HeaderMap {
        self.inner.headers()
    }

    /// Reads the whole body, at most `limit` bytes.
    ///
    /// # Errors
    /// [`HttpError::TooLong`] past the limit; transport errors as they are.
    pub async fn bytes(mut self, limit: usize) -> Result<Bytes, HttpError> {
        let mut out = bytes::BytesMut::new();
        while let Some(chunk) = self.inner.chunk().await.map_err(classify)? {
            if out.len() + chunk.len() > limit {
                return Err(HttpError::TooLong(limit));
            }
            out.extend_from_slice(&chunk);
        }
        Ok(out.freeze())
    }
}

/// Names are resolved by a SOCKS proxy (`socks5h`): 123pan's hosts differ by region.
fn proxy(outbound: &Outbound) -> Result<reqwest::Proxy, HttpError> {
    let scheme = match outbound.protocol() {
        Protocol::Socks5 => "socks5h",
        Protocol::Http => "http",
    };
    let proxy = reqwest::Proxy::all(format!("{scheme}://{}", outbound.authority()))
        .map_err(|_| HttpError::Request)?;
    Ok(match outbound.credentials() {
        Some((user, password)) => proxy.basic_auth(user, password),
        None => proxy,
    })
}

/// Says which cryptography TLS uses. Must come before a client of the `reqwest` crate is built; more calls change nothing.
pub fn provide_tls() {
    // Another part of the program may have done so already: that is no error.
    let _ = rustls::crypto::ring::default_provider().install_default();
}

fn classify(error: reqwest::Error) -> HttpError {
    if error.is_connect() {
        HttpError::Connect
    } else if error.is_timeout() {
        HttpError::Timeout
    } else if error.is_builder() {
        HttpError::Request
    } else {
        HttpError::Broken
    }
}

#[cfg(test)]
#[path = "put_tests.rs"]
mod tests;

//! A CDN as fast as one thread can be: one file of 8 GiB out of one shared buffer, with `Range`. Prints its URL, then waits.
//! With the files of a certificate and its key it speaks TLS.
//!
//! The simulated cloud's CDN judges every request (links, faults, counters); a proxy measured in front of that may wait
//! for it rather than show its own speed.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::header::{ACCEPT_RANGES, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue, RANGE};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// Size of the file.
const SIZE: u64 = 8 << 30;
/// Bytes of a frame.
const FRAME: usize = 256 * 1024;

/// Slices of the one buffer.
struct Slices {
    buffer: Bytes,
    left: u64,
}

impl Body for Slices {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = usize::try_from(self.left).unwrap_or(FRAME).min(FRAME);
        self.left -= length as u64;
        Poll::Ready((length > 0).then(|| Ok(Frame::data(self.buffer.slice(..length)))))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// First byte and byte after the last of `bytes=A-B` or `bytes=A-`.
fn wanted(range: &str) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let end = match last {
        "" => SIZE,
        last => last.parse::<u64>().ok()?.saturating_add(1).min(SIZE),
    };
    let first = first.parse().ok()?;
    (first < end).then_some((first, end))
}

fn answer<B>(request: &Request<B>, buffer: &Bytes) -> Response<Slices> {
    let range = request.headers().get(RANGE).and_then(|range| range.to_str().ok());
    let part = range.and_then(wanted);
    let (first, end) = part.unwrap_or((0, SIZE));
    let mut response = Response::new(Slices {
        buffer: buffer.clone(),
        left: end - first,
    });
    if part.is_some() {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        if let Ok(range) = HeaderValue::try_from(format!("bytes {first}-{}/{SIZE}", end - 1)) {
            response.headers_mut().insert(CONTENT_RANGE, range);
        }
    }
    let headers = response.headers_mut();
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    headers.insert(ETAG, HeaderValue::from_static("\"one\""));
    response
}

async fn converse(stream: impl AsyncRead + AsyncWrite + Unpin, buffer: Bytes) {
    let service = service_fn(move |request| {
        let response = answer(&request, &buffer);
        async move { Ok::<_, Infallible>(response) }
    });
    // An error is a client that left.
    let _ = hyper::server::conn::http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

fn acceptor(certificate: &str, key: &str) -> io::Result<TlsAcceptor> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect)
        .map_err(io::Error::other)?;
    let key = PrivateKeyDer::from_pem_file(key).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, key))
        .map_err(io::Error::other)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve() -> io::Result<()> {
    let words: Vec<_> = std::env::args().collect();
    let tls = match &words[..] {
        [_, certificate, key] => Some(acceptor(certificate, key)?),
        _ => None,
    };
    let buffer = Bytes::from(vec![b'x'; FRAME]);
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    println!("{scheme}://{}/film.bin", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        let _ = stream.set_nodelay(true);
        let (buffer, tls) = (buffer.clone(), tls.clone());
        tokio::spawn(async move {
            match tls {
                None => converse(stream, buffer).await,
                Some(tls) => {
                    if let Ok(stream) = tls.accept(stream).await {
                        converse(stream, buffer).await;
                    }
                }
            }
        });
    }
}

fn main() -> io::Result<()> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?
        .block_on(serve())
}

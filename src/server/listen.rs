//! Sockets: one task a connection, on one of the [`Workers`]; TLS where it is configured, a graceful end.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt};
use futures_util::stream::{FuturesUnordered, StreamExt};
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::crowd::{Crowd, Place};
use super::guest::Guest;
use super::owed::Owed;
use super::service::{Peer, Service};
use super::tls::Certificate;
use super::workers::Workers;

/// How long a client may take to send the next request's head, or to finish the TLS handshake.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// Write buffer of a connection: small, because pass-through of frames does not need it and a thousand slow
/// readers do (rust-stack.md section 3).
const BUFFER: usize = 16 * 1024;
/// Pause between two looks at the first bytes of a connection.
const PEEK_PAUSE: Duration = Duration::from_millis(20);
/// Wait after `accept` failed, for instance because no descriptor is left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// A bound socket.
pub(super) struct Listener {
    socket: TcpListener,
    pub(super) address: SocketAddr,
    certificate: Option<Arc<Certificate>>,
}

impl Listener {
    pub(super) async fn bind(address: &str, certificate: Option<Arc<Certificate>>) -> io::Result<Self> {
        Self::of(TcpListener::bind(address).await?, certificate)
    }

    /// Those that a service manager has bound and hands over, as sd_listen_fds(3) describes; none where it does not.
    ///
    /// # Errors
    /// What was handed over is no socket that listens for TCP.
    pub(super) fn handed_over(certificate: Option<&Arc<Certificate>>) -> io::Result<Vec<Self>> {
        let mut handed = listenfd::ListenFd::from_env();
        let mut listeners = Vec::new();
        for index in 0..handed.len() {
            if let Some(socket) = handed.take_tcp_listener(index)? {
                socket.set_nonblocking(true)?;
                listeners.push(Self::of(TcpListener::from_std(socket)?, certificate.cloned())?);
            }
        }
        Ok(listeners)
    }

    fn of(socket: TcpListener, certificate: Option<Arc<Certificate>>) -> io::Result<Self> {
        Ok(Self {
            address: socket.local_addr()?,
            socket,
            certificate,
        })
    }

    pub(super) fn scheme(&self) -> &'static str {
        if self.certificate.is_some() {
            "https"
        } else {
            "http"
        }
    }

    /// Its URL for somebody on this machine, without a slash at the end; `None` under TLS.
    pub(super) fn local_url(&self) -> Option<String> {
        if self.certificate.is_some() {
            return None;
        }
        let mut address = self.address;
        if address.ip().is_unspecified() {
            address.set_ip(match address.ip() {
                IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
                IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
            });
        }
        Some(format!("http://{address}"))
    }

    /// Accepts until `stop`, then lets running transfers end within `grace`.
    pub(super) async fn serve(
        self,
        service: Arc<Service>,
        crowd: Arc<Crowd>,
        workers: Arc<Workers>,
        stop: CancellationToken,
        grace: Duration,
    ) {
        let guests = TaskTracker::new();
        loop {
            let accepted = tokio::select! {
                accepted = self.socket.accept() => accepted,
                () = stop.cancelled() => break,
            };
            // Its worker registers it with a runtime of its own.
            let accepted = accepted.and_then(|(stream, address)| Ok((stream.into_std()?, address)));
            let (stream, address) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            let Some(place) = crowd.enter() else {
                tracing::debug!(%address, "turned away: all connections are at work");
                continue;
            };
            let peer = Peer {
                address,
                tls: self.certificate.is_some(),
            };
            let guest = Guest::new(service.clone(), peer, place);
            let stop = stop.clone();
            match &self.certificate {
                None => workers.serve(guests.track_future(plain(stream, guest, stop))),
                Some(certificate) => {
                    workers.serve(guests.track_future(tls(certificate.acceptor(), stream, guest, stop)));
                }
            }
        }
        drop(self.socket);
        guests.close();
        if tokio::time::timeout(grace, guests.wait()).await.is_err() {
            tracing::warn!("transfers that were still running have been cut off");
        }
    }
}

/// Serves an accepted connection without TLS.
async fn plain(stream: std::net::TcpStream, guest: Arc<Guest>, stop: CancellationToken) {
    let begun = begin("nothing was asked", &guest, &stop, async {
        let stream = registered(stream)?;
        let http2 = speaks_http2(&stream).await?;
        Ok((stream, http2))
    });
    if let Some((stream, http2)) = begun.await {
        connection(stream, http2, guest, stop).await;
    }
}

/// Serves an accepted connection with TLS.
async fn tls(acceptor: TlsAcceptor, stream: std::net::TcpStream, guest: Arc<Guest>, stop: CancellationToken) {
    let begun = begin("no TLS handshake", &guest, &stop, async {
        acceptor.accept(registered(stream)?).await
    });
    if let Some(stream) = begun.await {
        let http2 = stream.get_ref().1.alpn_protocol() == Some(b"h2");
        connection(stream, http2, guest, stop).await;
    }
}

/// Registers a socket with the runtime of this thread.
fn registered(stream: std::net::TcpStream) -> io::Result<TcpStream> {
    let stream = TcpStream::from_std(stream)?;
    // A socket that refuses this option still works.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// What comes before the first request; `None` where it does not come in time, or the connection has to end before.
/// `missing` is what the log says then.
async fn begin<T>(
    missing: &str,
    guest: &Guest,
    stop: &CancellationToken,
    first: impl Future<Output = io::Result<T>>,
) -> Option<T> {
    let address = guest.peer.address;
    let first = tokio::select! {
        first = tokio::time::timeout(HEAD_TIMEOUT, first) => first,
        () = guest.place.cut.cancelled() => return None,
        () = stop.cancelled() => return None,
    };
    match first {
        Ok(Ok(begun)) => return Some(begun),
        Ok(Err(error)) => tracing::debug!(%address, %error, "{missing}"),
        Err(_) => tracing::debug!(%address, "{missing} in time"),
    }
    None
}

/// Whether a plain connection begins as one of HTTP/2 does (RFC 9113 section 3.4), without taking anything from it. Waits
/// for the first byte.
async fn speaks_http2(stream: &TcpStream) -> io::Result<bool> {
    const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    let mut seen = [0; PREFACE.len()];
    loop {
        let count = stream.peek(&mut seen).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if !PREFACE.starts_with(&seen[..count]) {
            return Ok(false);
        }
        if count == PREFACE.len() {
            return Ok(true);
        }
        // Not to be told before more comes; what is there already makes peek return at once.
        tokio::time::sleep(PEEK_PAUSE).await;
    }
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a connection ends before its client ends it.
enum End {
    /// The server stops: requests that run are still answered.
    Stop,
    /// It makes room for another.
    Cut,
    /// Nothing has been asked for a while.
    Idle,
}

/// Answers what is asked on a connection until it ends.
pub(super) async fn connection<S>(stream: S, http2: bool, guest: Arc<Guest>, stop: CancellationToken)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (address, place) = (guest.peer.address, guest.place.clone());
    let answer = move |request| guest.clone().answer(request);
    if let Err(error) = serve(stream, http2, place, stop, answer).await {
        // The peer left, or a body that had to break did: neither needs a person.
        tracing::debug!(%address, %error, "connection ended");
    }
}

async fn serve<S, F, R, B>(
    stream: S,
    http2: bool,
    place: Arc<Place>,
    stop: CancellationToken,
    answer: F,
) -> Result<(), BoxError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Box<Request<Incoming>>) -> R,
    R: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    // The time for the first head begins now, however long the handshake took.
    place.moved(Instant::now());
    // These wake the connection when it is to end, and are not looked at each time that it does something.
    let ends = FuturesUnordered::new();
    ends.push(stop.cancelled_owned().map(|()| End::Stop).boxed());
    ends.push(place.cut.clone().cancelled_owned().map(|()| End::Cut).boxed());
    if !http2 {
        let place = place.clone();
        ends.push(
            async move { place.idle(HEAD_TIMEOUT).await }
                .map(|()| End::Idle)
                .boxed(),
        );
    }
    let io = TokioIo::new(Owed::new(stream, place));
    let service = service_fn(move |request| {
        // Boxed, because each step that hands it on would copy it. hyper keeps room for the rest as long as the
        // connection lives, so what is seldom and large is boxed in `service` too.
        let answering = answer(Box::new(request));
        async move { Ok::<_, std::convert::Infallible>(answering.await) }
    });
    if http2 {
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .keep_alive_interval(Some(Duration::from_secs(30)))
            .max_concurrent_streams(128)
            .adaptive_window(true);
        Box::pin(until(ends, builder.serve_connection(io, service))).await
    } else {
        // Without a timer of its own for each head: `idle` is one for all.
        let mut builder = http1::Builder::new();
        builder.max_buf_size(BUFFER);
        until(ends, builder.serve_connection(io, service)).await
    }
}

/// Lets a connection run until it ends, or something ends it.
async fn until<C>(mut ends: FuturesUnordered<BoxFuture<'static, End>>, connection: C) -> Result<(), BoxError>
where
    C: GracefulConnection<Error = hyper::Error>,
{
    let mut connection = pin!(connection);
    std::future::poll_fn(|cx| {
        while let Poll::Ready(Some(end)) = ends.poll_next_unpin(cx) {
            match end {
                End::Stop => connection.as_mut().graceful_shutdown(),
                End::Cut => return Poll::Ready(Err("it made room for another".into())),
                End::Idle => return Poll::Ready(Err("nothing was asked for a while".into())),
            }
        }
        connection.as_mut().poll(cx).map_err(BoxError::from)
    })
    .await
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use http_body_util::Full;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const ASKED: &[u8] = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n";
    const LARGE: usize = 1 << 20;

    /// A connection on which each answer has so many bytes.
    fn answering(
        length: usize,
    ) -> (
        tokio::io::DuplexStream,
        impl Future<Output = Result<(), BoxError>>,
    ) {
        let (client, stream) = tokio::io::duplex(1 << 12);
        let place = Crowd::new().enter().unwrap();
        let answer = move |_| async move { Response::new(Full::new(Bytes::from(vec![0; length]))) };
        (
            client,
            serve(stream, false, place, CancellationToken::new(), answer),
        )
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_not_cut_whose_client_takes_its_time() {
        let (mut client, serving) = answering(LARGE);
        let serving = tokio::spawn(serving);
        client.write_all(ASKED).await.unwrap();
        let mut some = [0; 1000];
        client.read_exact(&mut some).await.unwrap();
        tokio::time::sleep(HEAD_TIMEOUT * 20).await;
        let (mut rest, begun) = (Vec::new(), Instant::now());
        // It ends by itself when nothing else is asked.
        client.read_to_end(&mut rest).await.unwrap();
        assert!(rest.len() > LARGE - some.len(), "{}", rest.len());
        assert_eq!(begun.elapsed().as_secs(), HEAD_TIMEOUT.as_secs());
        assert!(serving.await.unwrap().is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn half_a_head_is_waited_for_as_long_as_nothing_at_all() {
        for sent in [&ASKED[..20], b""] {
            let (mut client, serving) = answering(1);
            client.write_all(sent).await.unwrap();
            let begun = Instant::now();
            assert!(serving.await.is_err());
            assert_eq!(begun.elapsed(), HEAD_TIMEOUT);
        }
    }
}

//! Connections to the CDN's hosts: kept when an answer was read to its end, and driven by whoever reads from them.
//!
//! No connection has a task of its own. While it is read from, it runs in the task of its reader, so that the bytes stay on
//! one core, nobody is woken in between, and a reader that waits holds the connection back. While it is kept nothing runs;
//! whether the other side has closed it is seen when the next request is to go out on it.

use std::collections::VecDeque;
use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::{Handle, Id};
use tokio::time::{Instant, Sleep};
use tower_service::Service;

use super::connect::Connect;
use super::target::{Host, Target};

/// How long a connection is kept that nobody uses.
const KEPT_FOR: Duration = Duration::from_secs(50);
/// Connections kept at the most: to one host, and in all.
const KEPT_OF_HOST: usize = 32;
const KEPT: usize = 128;

/// How long a connection is kept for the runtime where it was made.
pub(super) const AT_HOME: Duration = Duration::from_millis(100);

/// The body of a request.
pub type Content = Full<Bytes>;
type BoxError = Box<dyn StdError + Send + Sync>;
type Stream = MaybeHttpsStream<TokioIo<TcpStream>>;

/// The connections of one client.
pub struct Pool {
    connector: HttpsConnector<Connect>,
    builder: http1::Builder,
    shelf: Arc<Shelf>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No connection could be made.
    #[error("no connection")]
    Connect(#[source] BoxError),
    /// The connection broke before the answer.
    #[error("no answer")]
    Exchange(#[source] hyper::Error),
    /// The head of the answer did not come in time.
    #[error("no answer in time")]
    Late,
}

/// The body of an answer. Reading it drives its connection, which is kept when all was read, and else closed.
pub struct Arriving {
    body: Incoming,
    /// `None` once the other side has closed it: what it brought before is in the body.
    connection: Option<Box<Connection>>,
    ended: bool,
    shelf: Arc<Shelf>,
}

struct Connection {
    host: Host,
    sender: http1::SendRequest<Content>,
    driver: http1::Connection<Stream, Content>,
    alarm: Alarm,
    /// The runtime where its socket is registered: the thread of another one is woken there to wake this one.
    home: Id,
}

/// One timer for all that is waited for on a connection, because setting one for each answer costs more than many answers
/// do: it is moved only when it rings, or would ring too late.
#[derive(Default)]
struct Alarm(Option<Pin<Box<Sleep>>>);

/// What is kept, the oldest first.
#[derive(Default)]
struct Shelf(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    connections: VecDeque<(Instant, Box<Connection>)>,
    /// Somebody closes what has become old.
    tended: bool,
}

impl Pool {
    /// No connection yet.
    pub fn new(connector: HttpsConnector<Connect>, builder: http1::Builder) -> Self {
        Self {
            connector,
            builder,
            shelf: Arc::default(),
        }
    }

    /// Sends a request to an address, and returns the answer once its head is here, within `patience`. A kept
    /// connection that turns out to be closed before anything was sent is replaced.
    ///
    /// # Errors
    /// [`Failure`]: of a request that was sent nobody knows what became of it.
    pub async fn send(
        &self,
        mut request: Request<Content>,
        to: &Target,
        patience: Duration,
    ) -> Result<Response<Arriving>, Failure> {
        let deadline = Instant::now() + patience;
        to.address(&mut request);
        loop {
            let kept = self.shelf.take(to.host());
            let fresh = kept.is_none();
            let connection = match kept {
                Some(connection) => connection,
                None => {
                    let connecting = Box::pin(self.connect(to));
                    let connected = tokio::time::timeout_at(deadline, connecting).await;
                    connected.unwrap_or(Err(Failure::Late))?
                }
            };
            match self.exchange(connection, request, deadline).await {
                None => return Err(Failure::Late),
                Some(Ok(answer)) => return Ok(answer),
                Some(Err(mut failed)) => match failed.take_message() {
                    Some(unsent) if !fresh => request = unsent,
                    _ => return Err(Failure::Exchange(failed.into_error())),
                },
            }
        }
    }

    async fn connect(&self, to: &Target) -> Result<Box<Connection>, Failure> {
        let mut connector = self.connector.clone();
        let connecting = async {
            std::future::poll_fn(|cx| connector.poll_ready(cx)).await?;
            connector.call(to.uri().clone()).await
        };
        let stream = connecting.await.map_err(Failure::Connect)?;
        let made = self.builder.handshake(stream).await;
        let (sender, driver) = made.map_err(Failure::Exchange)?;
        Ok(Box::new(Connection {
            host: to.host().clone(),
            sender,
            driver,
            alarm: Alarm::default(),
            home: Handle::current().id(),
        }))
    }

    /// The answer; `None` where it did not come in time.
    async fn exchange(
        &self,
        mut connection: Box<Connection>,
        request: Request<Content>,
        deadline: Instant,
    ) -> Option<Result<Response<Arriving>, TrySendError<Request<Content>>>> {
        let mut answer = std::pin::pin!(connection.sender.try_send_request(request));
        let mut connection = Some(connection);
        let answered = std::future::poll_fn(|cx| {
            // How it ended is told with the answer.
            run(&mut connection, cx);
            if let Poll::Ready(answer) = answer.as_mut().poll(cx) {
                return Poll::Ready(Some(answer));
            }
            ring(&mut connection, cx, deadline).map(|()| None)
        });
        let answer = answered.await?;
        let arriving = |body: Incoming| Arriving {
            ended: body.is_end_stream(),
            body,
            connection,
            shelf: Arc::clone(&self.shelf),
        };
        Some(answer.map(|answer| answer.map(arriving)))
    }
}

impl Shelf {
    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection to this host that was used last: one of this runtime, or one that its own has left for a while. It may
    /// have been closed since.
    fn take(&self, host: &Host) -> Option<Box<Connection>> {
        let here = Handle::current().id();
        let mut kept = self.lock();
        let last = |may: &dyn Fn(&Connection, Instant) -> bool| {
            let mut kept = kept.connections.iter();
            kept.rposition(|(since, kept)| may(kept, *since))
        };
        let own = last(&|kept, _| kept.home == here && kept.host == *host);
        let at = own.or_else(|| last(&|kept, since| kept.host == *host && since.elapsed() >= AT_HOME))?;
        kept.connections.remove(at).map(|(_, connection)| connection)
    }

    /// Keeps a connection, whatever state it is in.
    fn keep(self: &Arc<Self>, connection: Box<Connection>) {
        // Without a runtime nobody would close it in time.
        let Ok(runtime) = Handle::try_current() else {
            return;
        };
        let mut kept = self.lock();
        let same = |(_, kept): &(Instant, Box<Connection>)| kept.host == connection.host;
        let surplus = if kept.connections.iter().filter(|kept| same(kept)).count() >= KEPT_OF_HOST {
            kept.connections.iter().position(same)
        } else {
            (kept.connections.len() >= KEPT).then_some(0)
        };
        let surplus = surplus.and_then(|at| kept.connections.remove(at));
        kept.connections.push_back((Instant::now(), connection));
        if !std::mem::replace(&mut kept.tended, true) {
            runtime.spawn(tend(Arc::downgrade(self)));
        }
        drop(kept);
        drop(surplus);
    }
}

/// Closes connections that nobody has used for long, until there are none.
async fn tend(shelf: Weak<Shelf>) {
    let mut pause = KEPT_FOR;
    loop {
        tokio::time::sleep(pause).await;
        let Some(shelf) = shelf.upgrade() else { return };
        let mut kept = shelf.lock();
        let old = kept
            .connections
            .partition_point(|(since, _)| since.elapsed() >= KEPT_FOR);
        let old: Vec<_> = kept.connections.drain(..old).collect();
        match kept.connections.front() {
            Some((since, _)) => pause = KEPT_FOR.saturating_sub(since.elapsed()),
            None => kept.tended = false,
        }
        let done = !kept.tended;
        drop(kept);
        drop(old);
        if done {
            return;
        }
    }
}

/// Lets a connection do what it can; `None` once it is closed.
fn run(connection: &mut Option<Box<Connection>>, cx: &mut Context<'_>) {
    if let Some(open) = connection
        && Pin::new(&mut open.driver).poll(cx).is_ready()
    {
        // With it goes a request that it had not begun with: its sender gets it back.
        *connection = None;
    }
}

/// Rings at a time; at once where there is no connection to wait for, which never is: with it goes what it was to bring.
fn ring(connection: &mut Option<Box<Connection>>, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
    match connection {
        Some(open) => open.alarm.poll(cx, at),
        None => Poll::Ready(()),
    }
}

impl Alarm {
    fn poll(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        let timer = self
            .0
            .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(at)));
        if timer.deadline() > at {
            timer.as_mut().reset(at);
        }
        loop {
            ready!(timer.as_mut().poll(cx));
            // It was set for an earlier wait.
            if Instant::now() >= at {
                return Poll::Ready(());
            }
            timer.as_mut().reset(at);
        }
    }
}

impl Arriving {
    /// Ready at a time: for who waits for the next frame until then.
    pub fn poll_late(&mut self, cx: &mut Context<'_>, at: Instant) -> Poll<()> {
        ring(&mut self.connection, cx, at)
    }
}

impl HttpBody for Arriving {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<hyper::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let mut polled = Pin::new(&mut this.body).poll_frame(cx);
        if polled.is_pending() {
            run(&mut this.connection, cx);
            polled = Pin::new(&mut this.body).poll_frame(cx);
        }
        let frame = ready!(polled);
        this.ended = frame.is_none() || this.body.is_end_stream();
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Arriving {
    fn drop(&mut self) {
        if self.ended
            && let Some(connection) = self.connection.take()
        {
            self.shelf.keep(connection);
        }
    }
}

impl fmt::Debug for Arriving {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Arriving")
            .field("ended", &self.ended)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

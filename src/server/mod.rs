//! Build and run: listeners, reload, graceful stop.

mod access;
mod actions;
mod admin;
mod answer;
mod auth;
pub mod control;
mod crowd;
mod forwarded;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod governor;
mod guest;
mod last;
mod listen;
mod notify;
mod owed;
pub mod pages;
mod service;
mod tls;
mod transfers;
mod workers;

use std::collections::HashSet;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use self::auth::Auth;
use self::control::Secret;
use self::crowd::Crowd;
use self::listen::Listener;
use self::service::Service;
use self::tls::Certificate;
use self::workers::Workers;
use crate::config::{Config, Tls, Upload};
use crate::delivery::Delivery;
use crate::drive::Drive;
use crate::metrics::Metrics;
use crate::state::listings::ListingStore;
use crate::state::{State, StateError};
use crate::tree::spool::Spool;
use crate::tree::{Fetch, PathError, Tree};

/// Why the server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// A socket cannot be bound.
    #[error("Cannot listen on {address}: {source}.")]
    Listen {
        /// The address as configured.
        address: String,
        /// Why.
        source: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("Cannot use the TLS certificate: {0}.")]
    Certificate(io::Error),
    /// TLS towards the CDN cannot be set up.
    #[error("{0}")]
    Cdn(crate::drive::Error),
    /// There is no thread to serve connections with.
    #[error("Cannot start a thread: {0}.")]
    Workers(io::Error),
    /// Signals cannot be waited for.
    #[error("Cannot wait for signals: {0}.")]
    Signals(io::Error),
    /// The state directory cannot be used.
    #[error("The state cannot be used: {0}.")]
    State(#[from] StateError),
    /// The spool directory cannot be used.
    #[error("The spool {} cannot be used: {source}.", dir.display())]
    Spool {
        /// `upload.spool_dir`
        dir: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A configured path is not a path of the tree.
    #[error("A configured path cannot be used: {0}")]
    Path(#[from] PathError),
}

/// A server whose sockets are bound and that waits to run.
pub struct Server {
    listeners: Vec<Listener>,
    service: Arc<Service>,
    config: Config,
    certificate: Option<Arc<Certificate>>,
    workers: Arc<Workers>,
    signals: Signals,
    stop: CancellationToken,
}

impl Server {
    /// Binds the sockets and builds the tree over `drives`, which stand in the order of the mounts.
    ///
    /// # Errors
    /// See [`StartError`].
    pub async fn bind(config: Config, drives: Vec<Arc<dyn Drive>>) -> Result<Self, StartError> {
        let certificate = match &config.server.tls {
            Some(tls) => {
                let certificate = Certificate::read(tls).map_err(StartError::Certificate)?;
                Some(Arc::new(certificate))
            }
            None => None,
        };
        let mut listeners =
            Listener::handed_over(certificate.as_ref()).map_err(|source| StartError::Listen {
                address: "the socket that was handed over".to_owned(),
                source,
            })?;
        let own: &[String] = if listeners.is_empty() {
            &config.server.listen
        } else {
            &[]
        };
        for address in own {
            let listener = Listener::bind(address, certificate.clone()).await;
            listeners.push(listener.map_err(|source| StartError::Listen {
                address: address.clone(),
                source,
            })?);
        }
        let state = Arc::new(State::open(&config.server.state_dir)?);
        let kept: HashSet<String> = state.pending().into_iter().map(|(_, row)| row.spool).collect();
        let Upload {
            spool_dir,
            spool_limit,
            ..
        } = &config.upload;
        // With a new state nobody knows what lies in the spool: it may be what an older one had acknowledged.
        let spool = Spool::open(spool_dir, *spool_limit, |name| {
            state.is_fresh() || kept.contains(name)
        })
        .map_err(|source| StartError::Spool {
            dir: spool_dir.clone(),
            source,
        })?;
        let listings = ListingStore::open(&config.server.state_dir, config.cache.list_entries);
        let tree = Tree::new(&config, drives, state, listings, spool).await?;
        let metrics = Arc::new(Metrics::default());
        tree.count_by(&metrics);
        let auth = Auth::new(&config.users, config.server.anonymous)?;
        let delivery = Arc::new(
            Delivery::new(
                tree.clone(),
                config.proxy.as_ref(),
                config.cache.blocks,
                metrics.clone(),
            )
            .map_err(StartError::Cdn)?
            .counting_in(&config.server.state_dir),
        );
        let fetch: Weak<dyn Fetch> = Arc::<Delivery>::downgrade(&delivery);
        tree.fetch_by(fetch);
        let url = listeners.iter().find_map(Listener::local_url);
        let secret = Secret::new(&config.server.state_dir, url.as_deref());
        let service = Arc::new(Service::new(&config, auth, secret, tree, delivery, metrics)?);
        Ok(Self {
            listeners,
            service,
            config,
            certificate,
            workers: Workers::start().map_err(StartError::Workers)?,
            // Before anybody is told that we serve: a SIGTERM right after that must find us listening.
            signals: Signals::new().map_err(StartError::Signals)?,
            stop: CancellationToken::new(),
        })
    }

    /// The URL of the tree on each listener, with the port that is really bound.
    pub fn urls(&self) -> Vec<String> {
        let prefix = crate::tree::TreePath::from_decoded(&self.config.server.prefix).unwrap_or_default();
        let path = if prefix.is_root() {
            String::new()
        } else {
            prefix.encoded()
        };
        self.listeners
            .iter()
            .map(|l| format!("{}://{}{path}/", l.scheme(), l.address))
            .collect()
    }

    /// Stops [`Server::run`] when cancelled.
    pub fn stopper(&self) -> CancellationToken {
        self.stop.clone()
    }

    /// Serves until SIGINT, SIGTERM or the stopper; running transfers get the configured grace.
    pub async fn run(self) {
        let mut signals = self.signals;
        let mut serving = JoinSet::new();
        let crowd = Crowd::new();
        for listener in self.listeners {
            let (service, stop) = (self.service.clone(), self.stop.clone());
            let grace = self.config.server.shutdown_grace;
            let workers = Arc::clone(&self.workers);
            serving.spawn(listener.serve(service, crowd.clone(), workers, stop, grace));
        }
        let following = async {
            match &self.certificate {
                Some(certificate) => certificate.follow().await,
                None => std::future::pending().await,
            }
        };
        let mut following = std::pin::pin!(following);
        notify::ready();
        self.service.warm_up(&self.config.cache.warm);
        self.service.keep_counts();
        loop {
            tokio::select! {
                signal = signals.next() => match signal {
                    Signal::Stop => break,
                    Signal::Reload => {
                        notify::reloading();
                        reload(&self.service, self.certificate.as_deref()).await;
                        notify::ready();
                    }
                },
                () = &mut following => {}
                () = self.stop.cancelled() => break,
            }
        }
        tracing::info!("stopping");
        notify::stopping();
        self.stop.cancel();
        tokio::select! {
            () = async { while serving.join_next().await.is_some() {} } => {}
            // A second signal does not wait for transfers.
            () = signals.stop() => {}
        }
        self.service.put_by().await;
    }
}

/// Whether a certificate and its key can be served with.
///
/// # Errors
/// A file that cannot be read or does not hold what it should; the message names it.
pub fn usable(tls: &Tls) -> io::Result<()> {
    Certificate::read(tls).map(drop)
}

/// SIGHUP: listings are asked anew, calls that were stopped go on, the certificate is read again; a broken one
/// changes nothing.
async fn reload(service: &Service, certificate: Option<&Certificate>) {
    service.forget_listings();
    service.resume().await;
    if let Some(certificate) = certificate {
        certificate.reread();
    }
    tracing::info!("reloaded");
}

enum Signal {
    Stop,
    /// SIGHUP; there is none on Windows.
    #[cfg_attr(not(unix), allow(dead_code))]
    Reload,
}

#[cfg(unix)]
struct Signals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hang_up: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hang_up: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) -> Signal {
        tokio::select! {
            _ = self.interrupt.recv() => Signal::Stop,
            _ = self.terminate.recv() => Signal::Stop,
            _ = self.hang_up.recv() => Signal::Reload,
        }
    }

    async fn stop(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn next(&mut self) -> Signal {
        self.stop().await;
        Signal::Stop
    }

    async fn stop(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

//! The simulated 123pan cloud: what the demonstration and all tests run against.
//!
//! One HTTP service plays the web API, the object storage for uploads, the download relay, the CDN, the share API,
//! the direct-link CDN and the Open platform, as far as public sources describe them (API page,
//! sections 1 to 11). It is strict where a server may be strict, and where sources disagree the behaviour is a
//! setting. It shares no code with the client side: an error in one of them cannot hide in the other.
//!
//! A request passes `server` (which listener, which endpoint), `faults` and `gate` (ban, pace, platform, signature,
//! token), and then one function below `api`, or `cdn`, `direct`, `storage`. Everything is held in memory.
//!
//! Endpoint names, for counters, faults and intervals: `sign_in`, `logout`, `qr_generate`, `qr_result`, `qr_scan`, `qr_login`,
//! `qr_deny`, `dydomain`,
//! `server_time`, `user_info`, `list`, `file_info`, `file_detail`, `file_details`, `get_path`, `download_info`,
//! `traffic_check`, `share_info`, `share_get`, `share_download`, `upload_request`, `upload_auth`, `upload_prepare`,
//! `upload_list`, `upload_multipart`, `upload_complete`, `put_part`, `rename`, `move`, `trash`, `delete`,
//! `trash_clear`, `copy`, `copy_task`, `relay`, `inner`, `cdn`, `cdn_head`, `direct`, `direct_head`; those of the
//! Open platform begin with `open_`. `leaked_authorization` counts tokens sent to hosts that must not see them.

mod api;
mod cdn;
mod content;
mod counters;
mod direct;
mod drive;
mod faults;
mod form;
mod gate;
mod http;
mod options;
mod seed;
mod serve;
mod server;
mod sign;
mod storage;
mod store;
#[cfg(test)]
mod tests;
mod thumbnail;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;

pub use self::content::Content;
pub use self::counters::Counters;
pub use self::drive::ShareOptions;
pub use self::faults::{Fault, FaultKind};
pub use self::options::{
    AuthError, CityRule, Clash, DirectAuth, DirectHead, LinkForm, Options, PageRows, Phone, RefererRule,
    Relay, Risk, Settings, SignatureRule, TooFast,
};
pub use self::seed::{SEED, Seed};

use self::api::open_upload::OpenUploads;
use self::api::qr::QrCodes;
use self::api::upload::Uploads;
use self::cdn::Links;
use self::faults::Faults;
use self::gate::Gate;
use self::http::lock;
use self::store::Store;

/// A running simulated cloud; it stops when dropped.
#[derive(Debug)]
pub struct Cloud {
    inner: Arc<Inner>,
    /// Of all hosts, the API first.
    addresses: Vec<SocketAddr>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
}

/// Base addresses of the hosts that are not the API; none = the host that the caller used.
#[derive(Debug, Default)]
struct Hosts {
    relay: Option<String>,
    inner: Option<String>,
    cdn: Option<String>,
    storage: Option<String>,
}

/// What all endpoints share.
#[derive(Debug)]
struct Inner {
    identity: Options,
    base: String,
    hosts: Hosts,
    settings: Mutex<Settings>,
    store: Mutex<Store>,
    gate: Gate,
    faults: Faults,
    counters: Counters,
    links: Links,
    uploads: Mutex<Uploads>,
    open_uploads: Mutex<OpenUploads>,
    qr: Mutex<QrCodes>,
    copies: Mutex<api::change::Copies>,
}

impl Cloud {
    /// Binds the listeners and serves until the handle is dropped.
    ///
    /// # Errors
    /// When the address of the API cannot be bound. The other hosts fall back to it.
    pub async fn start(options: Options) -> io::Result<Cloud> {
        let api = TcpListener::bind(options.listen).await?;
        let address = api.local_addr()?;
        let mut listeners = vec![api];
        let mut hosts = Hosts::default();
        let slots = [
            &mut hosts.relay,
            &mut hosts.inner,
            &mut hosts.cdn,
            &mut hosts.storage,
        ];
        if options.spread && address.ip().is_loopback() && address.is_ipv4() {
            for (slot, last) in slots.into_iter().zip(2u8..) {
                // Only Linux has the whole of 127/8 by default.
                let ip = IpAddr::V4(Ipv4Addr::new(127, 0, 0, last));
                let Ok(listener) = TcpListener::bind((ip, 0)).await else {
                    break;
                };
                *slot = Some(format!("http://{}", listener.local_addr()?));
                listeners.push(listener);
            }
        }
        let shown = if address.ip().is_unspecified() {
            SocketAddr::from((Ipv4Addr::LOCALHOST, address.port()))
        } else {
            address
        };
        let inner = Arc::new(Inner {
            base: format!("http://{shown}"),
            hosts,
            settings: Mutex::new(options.settings.clone()),
            store: Mutex::new(Store::new(options.uid)),
            gate: Gate::default(),
            faults: Faults::default(),
            counters: Counters::default(),
            links: Links::default(),
            uploads: Mutex::default(),
            open_uploads: Mutex::default(),
            qr: Mutex::default(),
            copies: Mutex::default(),
            identity: options,
        });
        let addresses = listeners
            .iter()
            .map(TcpListener::local_addr)
            .collect::<io::Result<_>>()?;
        let cloud = Cloud {
            inner,
            addresses,
            tasks: Mutex::default(),
        };
        cloud.serve_on(listeners);
        if cloud.inner.identity.seeded {
            cloud.seed();
        }
        Ok(cloud)
    }

    fn serve_on(&self, listeners: Vec<TcpListener>) {
        // Each task owns its listener and its connections.
        let run = |listener| tokio::spawn(server::run(self.inner.clone(), listener));
        *lock(&self.tasks) = listeners.into_iter().map(run).collect();
    }

    /// Goes away: connections break, new ones are refused. Everything else is kept.
    pub fn vanish(&self) {
        for task in lock(&self.tasks).drain(..) {
            task.abort();
        }
    }

    /// Comes back at the same addresses.
    ///
    /// # Errors
    /// When an address has been taken meanwhile.
    pub async fn come_back(&self) -> io::Result<()> {
        let mut listeners = Vec::new();
        for address in &self.addresses {
            listeners.push(bind_again(*address).await?);
        }
        self.serve_on(listeners);
        Ok(())
    }

    /// The address of the API, without a slash at its end: `http://127.0.0.1:PORT`. Web calls are below `/api`,
    /// `/a/api` and `/b/api`, the Open platform below `/open`, direct links below `/<uid>/`.
    pub fn base(&self) -> String {
        self.inner.base.clone()
    }

    /// Base of the direct links: `http://127.0.0.1:PORT/<uid>`.
    pub fn direct_base(&self) -> String {
        format!("{}/{}", self.inner.base, self.inner.identity.uid)
    }

    /// How it was started; account, password and ids are here.
    pub fn options(&self) -> &Options {
        &self.inner.identity
    }

    /// The behaviour, to be changed while the cloud runs. Calls wait while the guard is held.
    pub fn settings(&self) -> MutexGuard<'_, Settings> {
        lock(&self.inner.settings)
    }

    /// How often each endpoint was called.
    pub fn counters(&self) -> &Counters {
        &self.inner.counters
    }

    /// Calls that came too early, of all endpoints.
    pub fn violations(&self) -> u64 {
        self.inner.gate.violations(None)
    }

    /// Calls of one endpoint that came too early.
    pub fn violations_of(&self, endpoint: &str) -> u64 {
        self.inner.gate.violations(Some(endpoint))
    }

    /// Whether the caller is banned.
    pub fn is_banned(&self) -> bool {
        self.inner.gate.is_banned()
    }

    /// Forgets violations, ban and sign-ins so far.
    pub fn pardon(&self) {
        self.inner.gate.pardon();
    }

    /// Adds a fault.
    pub fn fault(&self, fault: Fault) {
        self.inner.faults.add(fault);
    }

    /// Removes all faults and lets stalled bodies go on.
    pub fn clear_faults(&self) {
        self.inner.faults.clear();
    }

    /// Lets stalled bodies go on.
    pub fn release(&self) {
        self.inner.faults.release();
    }

    /// A token as sign-in would give, without a call.
    pub fn issue_token(&self) -> String {
        let identity = &self.inner.identity;
        self.inner
            .gate
            .issue(&self.settings().clone(), identity.uid, &identity.phone)
            .0
    }

    /// Ends all tokens.
    pub fn expire_tokens(&self) {
        self.inner.gate.revoke(None);
    }

    /// How many tokens live.
    pub fn live_tokens(&self) -> usize {
        self.inner.gate.live()
    }

    /// Ends all CDN links handed out so far.
    pub fn expire_links(&self) {
        self.inner.links.expire();
    }
}

impl Drop for Cloud {
    fn drop(&mut self) {
        self.inner.faults.release();
        self.vanish();
    }
}

/// Binds where a listener was closed just now: its task may not have ended yet.
async fn bind_again(address: SocketAddr) -> io::Result<TcpListener> {
    let mut tries = 0;
    loop {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && tries < 100 => {
                tries += 1;
                tokio::time::sleep(std::time::Duration::from_millis(10)).await;
            }
            bound => return bound,
        }
    }
}

//! What is counted of deliveries: ways taken, bytes, running streams, and what happened on the way.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::body::Body;
use crate::config::Strategy;
use crate::metrics::{Delivered, Metrics, OfMount};
use crate::tree::Mount;

/// The counters of one mount, as [`Metrics`] has them.
#[derive(Debug, Default)]
pub struct Counts {
    /// Streams opened again where they broke.
    pub resumes: Counter,
    /// The CDN asked whether it redirects a client.
    pub probes: Counter,
    /// Links that the CDN refused.
    pub refusals: Counter,
    redirects: Way,
    signed: Way,
    streamed: Way,
    running: Gauge,
}

/// The counters of one way that a delivery takes.
#[derive(Debug, Default)]
struct Way {
    deliveries: Counter,
    bytes: Counter,
}

impl Counts {
    fn of(metrics: &Metrics, mount: &str) -> Self {
        let way = |strategy: Strategy| {
            let way = Delivered {
                mount: mount.to_owned(),
                strategy: strategy.name(),
            };
            Way {
                deliveries: metrics.deliveries.get_or_create_owned(&way),
                bytes: metrics.delivered.get_or_create_owned(&way),
            }
        };
        let mount = OfMount {
            mount: mount.to_owned(),
        };
        Self {
            resumes: metrics.resumes.get_or_create_owned(&mount),
            probes: metrics.probes.get_or_create_owned(&mount),
            refusals: metrics.refusals.get_or_create_owned(&mount),
            redirects: way(Strategy::Redirect),
            signed: way(Strategy::ProxyUrl),
            streamed: way(Strategy::Proxy),
            running: metrics.streams.get_or_create_owned(&mount),
        }
    }

    /// Notes that a GET was answered in this way, and what the client was sent elsewhere for.
    pub fn delivered(&self, strategy: Strategy, elsewhere: u64) {
        let way = match strategy {
            Strategy::Redirect => &self.redirects,
            Strategy::ProxyUrl => &self.signed,
            Strategy::Proxy | Strategy::Auto => &self.streamed,
        };
        way.deliveries.inc();
        if elsewhere > 0 {
            way.bytes.inc_by(elsewhere);
        }
    }
}

/// The counters of all mounts.
#[derive(Debug)]
pub struct Tally {
    metrics: Arc<Metrics>,
    /// By the index of the mount; one more for any other.
    mounts: Vec<OnceLock<Arc<Counts>>>,
    other: OnceLock<Arc<Counts>>,
}

impl Tally {
    /// Nothing counted yet, of so many mounts.
    pub fn new(metrics: Arc<Metrics>, mounts: usize) -> Self {
        Self {
            metrics,
            mounts: vec![OnceLock::new(); mounts],
            other: OnceLock::new(),
        }
    }

    /// The counters of a mount, made when they are first wanted.
    pub fn of(&self, mount: &Mount) -> &Arc<Counts> {
        let counts = self.mounts.get(mount.index).unwrap_or(&self.other);
        counts.get_or_init(|| Arc::new(Counts::of(&self.metrics, &mount.settings.path)))
    }
}

/// A streamed body whose bytes are counted, and which is running until it is dropped.
pub struct Counted {
    body: Body,
    counts: Arc<Counts>,
}

impl Counted {
    /// Counts for a mount.
    pub fn new(body: Body, counts: Arc<Counts>) -> Self {
        counts.running.inc();
        Self { body, counts }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.counts.running.dec();
    }
}

impl HttpBody for Counted {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(data) = frame.data_ref()
        {
            this.counts.streamed.bytes.inc_by(data.len() as u64);
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

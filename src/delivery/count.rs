//! What is counted of deliveries: ways taken, bytes, running streams, and what happened on the way.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;

use crate::body::Body;
use crate::config::Strategy;
use crate::metrics::{Delivered, Metrics, OfMount};

/// The counters of one mount, as [`Metrics`] has them.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Streams opened again where they broke.
    pub resumes: Counter,
    /// The CDN asked whether it redirects a client.
    pub probes: Counter,
    /// Links that the CDN refused.
    pub refusals: Counter,
}

impl Counts {
    /// Those of a mount, by its path as configured.
    pub fn of(metrics: &Metrics, mount: &str) -> Self {
        let mount = OfMount {
            mount: mount.to_owned(),
        };
        Self {
            resumes: metrics.resumes.get_or_create_owned(&mount),
            probes: metrics.probes.get_or_create_owned(&mount),
            refusals: metrics.refusals.get_or_create_owned(&mount),
        }
    }
}

/// Notes that a GET was answered in this way, and what the client was sent elsewhere for.
pub fn delivered(metrics: &Metrics, mount: &str, strategy: Strategy, elsewhere: u64) {
    let way = way(mount, strategy);
    metrics.deliveries.get_or_create(&way).inc();
    if elsewhere > 0 {
        metrics.delivered.get_or_create(&way).inc_by(elsewhere);
    }
}

fn way(mount: &str, strategy: Strategy) -> Delivered {
    Delivered {
        mount: mount.to_owned(),
        strategy: strategy.name(),
    }
}

/// A streamed body whose bytes are counted, and which is running until it is dropped.
pub struct Counted {
    body: Body,
    bytes: Counter,
    running: Gauge,
}

impl Counted {
    /// Counts for a mount.
    pub fn new(body: Body, metrics: &Metrics, mount: &str) -> Self {
        let running = metrics.streams.get_or_create_owned(&OfMount {
            mount: mount.to_owned(),
        });
        running.inc();
        Self {
            body,
            bytes: metrics
                .delivered
                .get_or_create_owned(&way(mount, Strategy::Proxy)),
            running,
        }
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.running.dec();
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
            this.bytes.inc_by(data.len() as u64);
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

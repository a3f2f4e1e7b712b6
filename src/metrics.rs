//! Every metric: name, unit, labels, in one list. Served as Prometheus text at `/.dav123/metrics`.

pub mod waited;

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Labels of a request that was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Answered {
    /// Method, or `other` for methods nobody knows.
    pub method: &'static str,
    /// Status code.
    pub status: u16,
}

/// Labels of an endpoint of 123pan, as a mount calls it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Endpoint {
    /// Path of the mount.
    pub mount: String,
    /// The endpoint, as the API names it.
    pub call: &'static str,
}

/// Labels of the calls that wait at an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Queue {
    /// Path of the mount.
    pub mount: String,
    /// The endpoint, as the API names it.
    pub call: &'static str,
    /// `foreground`: somebody waits for them; `background`: nobody does.
    pub urgency: &'static str,
}

/// Labels of a delivery.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Delivered {
    /// Path of the mount as configured.
    pub mount: String,
    /// The way that was taken: `redirect`, `proxy` or `proxy-url`.
    pub strategy: &'static str,
}

/// The label of what is counted by mount.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfMount {
    /// Path of the mount as configured, or `[proxy]`.
    pub mount: String,
}

/// All metrics of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// `dav123_requests_total`: answers by method and status.
    pub requests: Family<Answered, Counter>,
    /// `dav123_sent_bytes_total`: body bytes sent to clients.
    pub sent: Counter,
    /// `dav123_requests_running`: requests whose answer has not ended, when that is asked.
    pub running: Gauge,
    /// `dav123_wrong_sign_ins_total`: wrong names or passwords.
    pub wrong_sign_ins: Counter,
    /// `dav123_deliveries_total`: GETs of files by mount and the way taken.
    pub deliveries: Family<Delivered, Counter>,
    /// `dav123_delivered_bytes_total`: bytes streamed, or for which a client was sent elsewhere.
    pub delivered: Family<Delivered, Counter>,
    /// `dav123_streams_running`: downloads that are being streamed.
    pub streams: Family<OfMount, Gauge>,
    /// `dav123_link_calls_total`: links asked from 123pan, or from the origin of a proxy.
    pub link_calls: Family<OfMount, Counter>,
    /// `dav123_resumes_total`: streams opened again at the byte where they broke.
    pub resumes: Family<OfMount, Counter>,
    /// `dav123_probes_total`: questions to the CDN whether a redirected client would get the file.
    pub probes: Family<OfMount, Counter>,
    /// `dav123_refusals_total`: links that the CDN refused.
    pub refusals: Family<OfMount, Counter>,
    /// `dav123_listing_entries`: entries and folders in the listing cache.
    pub listing_entries: Gauge,
    /// `dav123_links`: links in the link cache.
    pub links: Gauge,
    /// `dav123_call_interval_seconds`: time between two calls of an endpoint, now.
    pub pace: Family<Endpoint, Gauge<f64, AtomicU64>>,
    /// `dav123_calls_waiting`: calls that wait for their turn at an endpoint.
    pub waiting: Family<Queue, Gauge>,
    /// `dav123_calls_halted`: 1 while risk control or a ban stops a mount's calls.
    pub halted: Family<OfMount, Gauge>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("dav123"),
            requests: Family::default(),
            sent: Counter::default(),
            running: Gauge::default(),
            wrong_sign_ins: Counter::default(),
            deliveries: Family::default(),
            delivered: Family::default(),
            streams: Family::default(),
            link_calls: Family::default(),
            resumes: Family::default(),
            probes: Family::default(),
            refusals: Family::default(),
            listing_entries: Gauge::default(),
            links: Gauge::default(),
            pace: Family::default(),
            waiting: Family::default(),
            halted: Family::default(),
        };
        let registry = &mut metrics.registry;
        registry.register(
            "requests",
            "Answers by method and status",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "sent",
            "Body bytes sent to clients",
            Unit::Bytes,
            metrics.sent.clone(),
        );
        registry.register(
            "requests_running",
            "Requests whose answer has not ended",
            metrics.running.clone(),
        );
        registry.register(
            "wrong_sign_ins",
            "Wrong names or passwords",
            metrics.wrong_sign_ins.clone(),
        );
        registry.register(
            "deliveries",
            "GETs of files by mount and the way taken",
            metrics.deliveries.clone(),
        );
        registry.register_with_unit(
            "delivered",
            "File bytes streamed, or asked for by a client that was sent elsewhere",
            Unit::Bytes,
            metrics.delivered.clone(),
        );
        registry.register(
            "streams_running",
            "Downloads that are being streamed",
            metrics.streams.clone(),
        );
        for (name, help, family) in [
            (
                "link_calls",
                "Links asked from 123pan or from the origin",
                &metrics.link_calls,
            ),
            (
                "resumes",
                "Streams opened again at the byte where they broke",
                &metrics.resumes,
            ),
            (
                "probes",
                "Questions to the CDN whether a redirected client would get the file",
                &metrics.probes,
            ),
            ("refusals", "Links that the CDN refused", &metrics.refusals),
        ] {
            registry.register(name, help, family.clone());
        }
        registry.register(
            "listing_entries",
            "Entries and folders in the listing cache",
            metrics.listing_entries.clone(),
        );
        registry.register("links", "Links in the link cache", metrics.links.clone());
        registry.register_with_unit(
            "call_interval",
            "Time between two calls of an endpoint, now",
            Unit::Seconds,
            metrics.pace.clone(),
        );
        registry.register(
            "calls_waiting",
            "Calls that wait for their turn at an endpoint",
            metrics.waiting.clone(),
        );
        registry.register(
            "calls_halted",
            "1 while risk control or a ban stops a mount's calls",
            metrics.halted.clone(),
        );
        metrics
    }
}

impl Metrics {
    /// The whole text in the OpenMetrics format.
    ///
    /// # Errors
    /// Where a label cannot be written.
    pub fn text(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

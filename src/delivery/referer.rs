//! What is learned about the CDN's Referer rule (API page 5.8 and question 11).
//!
//! Which `Referer` a CDN host takes is not settled, so a link brings several to try, and what worked is
//! remembered by host. So is, for a minute, which links were refused as soon as they were made. Whether the links of a mount work with none at all, as a redirected client sends
//! them, is found out by one probe per mount and host and remembered until a refusal.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;

use super::recent::Recent;
use crate::drive::Link;

/// Hosts remembered at the most.
const HOSTS: usize = 256;
/// How long a probe counts that found links free of the rule.
const FREE_FOR: Duration = Duration::from_secs(6 * 3600);
/// How long a probe counts that was refused or failed.
const BOUND_FOR: Duration = Duration::from_secs(10 * 60);

/// Links remembered at the most that were refused as soon as they were made.
const LINKS: usize = 256;
/// How long such a link rests: after two refused links a third one would be refused too.
const REST: Duration = Duration::from_secs(60);

/// Mount path and CDN host.
type Place = (String, String);

/// The memory, shared by all transfers.
#[derive(Debug)]
pub struct Referers {
    worked: Recent<String, String>,
    free: Recent<Place, Arc<OnceCell<bool>>>,
    /// By URL.
    resting: Recent<String, ()>,
}

impl Referers {
    /// Nothing learned yet.
    pub fn new() -> Self {
        Self {
            worked: Recent::new(HOSTS),
            free: Recent::new(HOSTS),
            resting: Recent::new(LINKS),
        }
    }

    /// The values to try for a link, the one that worked at this host before the others; never empty.
    pub fn order<'a>(&self, link: &'a Link) -> Vec<Option<&'a str>> {
        let mut order: Vec<Option<&str>> = link.referers.iter().map(|referer| Some(&**referer)).collect();
        match order.len() {
            0 => order.push(None),
            1 => {}
            _ => {
                if let Some((worked, _)) = self.worked.get(host(link.expose()))
                    && let Some(at) = order.iter().position(|referer| *referer == Some(&*worked))
                {
                    order[..=at].rotate_right(1);
                }
            }
        }
        order
    }

    /// Notes the value that worked for a link.
    pub fn note(&self, link: &Link, referer: Option<&str>) {
        let Some(referer) = referer.filter(|_| link.referers.len() > 1) else {
            return;
        };
        let host = host(link.expose()).to_owned();
        if self
            .worked
            .get(&*host)
            .is_none_or(|(worked, _)| worked != referer)
        {
            self.worked.insert(host, referer.to_owned());
        }
    }

    /// Whether the links of a mount at this link's host work without `Referer`. `probe` is run once for
    /// all who ask at the same time.
    pub async fn free<F>(&self, mount: &str, link: &Link, probe: impl FnOnce() -> F) -> bool
    where
        F: Future<Output = bool>,
    {
        let still_counts = |cell: &Arc<OnceCell<bool>>, age: Duration| {
            age < if cell.get() == Some(&false) {
                BOUND_FOR
            } else {
                FREE_FOR
            }
        };
        let place = (mount.to_owned(), host(link.expose()).to_owned());
        let cell = self.free.get_or_insert(&place, still_counts, Arc::default);
        *cell.get_or_init(probe).await
    }

    /// A link was refused that had just been made in place of a refused one; how long it rests now.
    pub fn refused_fresh(&self, link: &Link) -> Duration {
        self.resting.insert(link.expose().to_owned(), ());
        REST
    }

    /// How long this link, so refused lately, rests still: 123pan is not asked for another meanwhile.
    pub fn rests(&self, link: &Link) -> Option<Duration> {
        let ((), age) = self.resting.get(link.expose())?;
        REST.checked_sub(age).filter(|left| !left.is_zero())
    }

    /// A link was refused: what the probe found counts no longer.
    pub fn refused(&self, mount: &str, link: &Link) {
        self.free
            .remove(&(mount.to_owned(), host(link.expose()).to_owned()));
    }
}

/// Host and port of a URL.
pub fn host(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    authority.rsplit('@').next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::SystemTime;

    fn link(url: &str, referers: &[&str]) -> Link {
        Link {
            url: url.into(),
            until: SystemTime::now(),
            referers: referers.iter().map(|referer| (*referer).to_owned()).collect(),
            headers: Vec::new(),
            open_to_all: false,
        }
    }

    #[test]
    fn the_referer_that_worked_at_a_host_is_tried_first_there() {
        let referers = Referers::new();
        let here = link("https://u:p@cdn:30443/a?b", &["1", "2", "3"]);
        assert_eq!(host(here.expose()), "cdn:30443");
        assert_eq!(referers.order(&here), [Some("1"), Some("2"), Some("3")]);
        referers.note(&here, Some("3"));
        assert_eq!(referers.order(&here), [Some("3"), Some("1"), Some("2")]);
        let there = link("https://other/a", &["1", "3"]);
        assert_eq!(referers.order(&there), [Some("1"), Some("3")]);
        assert_eq!(referers.order(&link("https://cdn:30443/a", &[])), [None]);
    }

    #[tokio::test(start_paused = true)]
    async fn one_probe_answers_for_a_host_until_a_refusal_or_its_age() {
        let referers = Referers::new();
        let probes = &AtomicUsize::new(0);
        let link = link("https://cdn/a", &[]);
        let ask = |answer: bool| {
            referers.free("/drive", &link, move || async move {
                probes.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                answer
            })
        };
        assert_eq!(tokio::join!(ask(true), ask(true)), (true, true));
        assert!(ask(false).await);
        assert_eq!(probes.load(Ordering::Relaxed), 1);
        referers.refused("/drive", &link);
        assert!(!ask(false).await);
        assert!(!ask(true).await);
        assert_eq!(probes.load(Ordering::Relaxed), 2);
        tokio::time::advance(BOUND_FOR).await;
        assert!(ask(true).await);
        assert_eq!(probes.load(Ordering::Relaxed), 3);
    }
}

//! The one place that decides how a GET is answered, and says why.
//!
//! The first `[[mount.client]]` rule that matches the User-Agent decides, else the mount's own strategy.
//! `auto` redirects only where everything speaks for it (webdav-clients.md section 13): the file is not
//! small, 123pan is reached without a proxy of ours, the client is known to follow, it did not come back at once after the last 302, it is in our own
//! network, and the link suits it. What costs nothing is asked first, a probe of the CDN last.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::cdn::Cdns;
use super::client::{Client, Habit, Lessons};
use super::count::Counts;
use super::redirect::{TOO_SHORT, remaining};
use super::referer::Referers;
use super::upstream::{self, Links, works_without_referer};
use crate::config::{Delivery, Strategy};
use crate::drive::{Error, Link, LinkWish};
use crate::tree::TreePath;

/// With less life than this, a client that never comes back is streamed to.
const OUTLIVES_A_FILM: Duration = Duration::from_secs(3 * 3600);

/// One GET that has to go some way.
pub struct Case<'a> {
    /// What the mount is told to do.
    pub delivery: &'a Delivery,
    /// Path of the mount.
    pub mount: &'a str,
    /// Path of the file.
    pub file: &'a TreePath,
    /// Its size, where known.
    pub size: Option<u64>,
    /// Whether the first byte is asked for.
    pub from_start: bool,
    /// Who asks.
    pub client: Client<'a>,
    /// Where links of the file come from.
    pub links: &'a Arc<dyn Links>,
    /// What is counted.
    pub counts: &'a Counts,
}

/// What decisions build on and add to.
#[derive(Debug)]
pub struct Experience {
    /// For the bytes and the probe.
    pub cdns: Cdns,
    /// About the CDN.
    pub referers: Arc<Referers>,
    /// About clients.
    pub lessons: Lessons,
}

/// The way a GET is answered.
#[derive(Debug)]
pub enum Way {
    /// 302 to this link.
    Redirect(Arc<Link>),
    /// Streamed; the link in hand, if there is one.
    Proxy(Option<Arc<Link>>),
    /// 302 to the configured proxy.
    ProxyUrl,
}

impl Way {
    /// What it is called.
    pub fn strategy(&self) -> Strategy {
        match self {
            Self::Redirect(_) => Strategy::Redirect,
            Self::Proxy(_) => Strategy::Proxy,
            Self::ProxyUrl => Strategy::ProxyUrl,
        }
    }
}

/// Decides one case, with the reason for the log.
///
/// # Errors
/// What asking for a link gives.
pub async fn decide(case: &Case<'_>, experience: &Experience) -> Result<(Way, &'static str), Error> {
    let (strategy, why) = configured(case.delivery, case.client.agent);
    Ok(match strategy {
        Strategy::Redirect => (Way::Redirect(link_to_hand_out(case).await?), why),
        Strategy::Proxy => (Way::Proxy(None), why),
        Strategy::ProxyUrl => (Way::ProxyUrl, why),
        Strategy::Auto => Box::pin(auto(case, experience)).await?,
    })
}

async fn auto(case: &Case<'_>, experience: &Experience) -> Result<(Way, &'static str), Error> {
    let client = &case.client;
    if let Some(why) = against_before_link(case.delivery, case.size, client) {
        return Ok((Way::Proxy(None), why));
    }
    if experience
        .lessons
        .does_not_follow(client, case.file, case.from_start)
    {
        return Ok((Way::Proxy(None), "the client did not follow a 302"));
    }
    let link = link_to_hand_out(case).await?;
    if let Some(why) = against_link(client, &link, SystemTime::now()) {
        return Ok((Way::Proxy(Some(link)), why));
    }
    if !link.open_to_all {
        let cdn = experience.cdns.of(case.delivery.outbound.as_ref())?;
        let probe = || {
            case.counts.probes.inc();
            works_without_referer(&cdn, &link, case.size)
        };
        if !experience.referers.free(case.mount, &link, probe).await {
            return Ok((Way::Proxy(Some(link)), "the CDN demands a Referer"));
        }
    }
    if case.from_start {
        experience.lessons.redirected(client, case.file);
    }
    Ok((Way::Redirect(link), "the client follows and the link is free"))
}

/// A link for a client, renewed if it is about to end.
async fn link_to_hand_out(case: &Case<'_>) -> Result<Arc<Link>, Error> {
    let at_least = case.client.link_life();
    let link = upstream::link(case.links, at_least).await?;
    if remaining(link.until, SystemTime::now()) >= TOO_SHORT {
        return Ok(link);
    }
    let wish = LinkWish {
        at_least,
        refused: Some(link),
    };
    Arc::clone(case.links).link(wish).await
}

/// The strategy that the configuration gives this client.
fn configured(delivery: &Delivery, agent: &str) -> (Strategy, &'static str) {
    match delivery
        .clients
        .iter()
        .find(|rule| rule.user_agent.matches(agent))
    {
        Some(rule) => (rule.strategy, "a client rule says so"),
        None => (delivery.strategy, "the mount says so"),
    }
}

/// What speaks against a 302 under `auto` before a link is asked for; `None`: nothing.
fn against_before_link(delivery: &Delivery, size: Option<u64>, client: &Client<'_>) -> Option<&'static str> {
    if size.is_some_and(|size| size < delivery.auto_proxy_below) {
        return Some("the file is small");
    }
    if delivery.outbound.is_some() {
        return Some("123pan sees another address than the client's: links are bound to that of outbound");
    }
    if client.habit == Habit::Unknown {
        return Some("the client is not known to follow");
    }
    None
}

/// What speaks against handing this link to this client under `auto`, the CDN's Referer rule aside;
/// `None`: nothing.
fn against_link(client: &Client<'_>, link: &Link, now: SystemTime) -> Option<&'static str> {
    let life = remaining(link.until, now);
    if !link.open_to_all {
        if client.habit == Habit::SendsReferer {
            return Some("the client sends a Referer");
        }
        if !client.shares_our_network() {
            return Some("the client is in another network");
        }
    }
    if client.https && !link.expose().starts_with("https:") {
        return Some("the link is not https");
    }
    if life < TOO_SHORT {
        return Some("the link is about to end");
    }
    if client.habit == Habit::StaysOnLink && life < OUTLIVES_A_FILM {
        return Some("the link would end before the film");
    }
    None
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config::ClientRule;
    use wildmatch::WildMatch;

    fn client(agent: &'static str, peer: &str) -> Client<'static> {
        Client {
            agent,
            habit: super::super::client::habit(agent),
            peer: peer.parse().unwrap(),
            https: false,
            behind: false,
        }
    }

    fn link(url: &str, life: u64, open_to_all: bool) -> Link {
        Link {
            url: url.into(),
            until: SystemTime::UNIX_EPOCH + Duration::from_secs(life),
            referers: Vec::new(),
            headers: Vec::new(),
            open_to_all,
        }
    }

    #[test]
    fn the_first_client_rule_that_matches_decides_and_case_does_not_count() {
        let rule = |glob: &str, strategy| ClientRule {
            user_agent: WildMatch::new_case_insensitive(glob),
            strategy,
        };
        let delivery = Delivery {
            clients: vec![
                rule("Microsoft-WebDAV-MiniRedir*", Strategy::Proxy),
                rule("*", Strategy::Auto),
            ],
            ..Delivery::default()
        };
        assert_eq!(
            configured(&delivery, "microsoft-webdav-miniredir/10").0,
            Strategy::Proxy
        );
        assert_eq!(configured(&delivery, "curl/8").0, Strategy::Auto);
        assert_eq!(configured(&Delivery::default(), "curl/8").0, Strategy::Redirect);
    }

    #[test]
    fn small_files_and_unknown_clients_are_streamed_without_asking_for_a_link() {
        let delivery = Delivery::default();
        let against = |size, agent| against_before_link(&delivery, size, &client(agent, "127.0.0.1"));
        assert_eq!(against(Some(1 << 20), "libmpv"), None);
        assert_eq!(against(None, "libmpv"), None);
        assert!(against(Some((1 << 20) - 1), "libmpv").is_some());
        assert!(against(Some(1 << 30), "curl/8").is_some());
        let elsewhere = Delivery {
            outbound: crate::config::Outbound::parse("socks5://h:1"),
            ..Delivery::default()
        };
        assert!(against_before_link(&elsewhere, None, &client("libmpv", "127.0.0.1")).is_some());
    }

    #[test]
    fn a_link_is_handed_out_only_where_it_will_work() {
        let now = SystemTime::UNIX_EPOCH;
        let https = link("https://cdn/x", 4 * 3600, false);
        let free = link("https://cdn/x", 4 * 3600, true);
        let home = client("libmpv", "192.168.1.5");
        let abroad = client("libmpv", "8.8.8.8");
        assert_eq!(against_link(&home, &https, now), None);
        assert!(against_link(&abroad, &https, now).is_some());
        assert_eq!(against_link(&abroad, &free, now), None);
        let rclone = client("rclone/v1", "127.0.0.1");
        assert!(against_link(&rclone, &https, now).is_some());
        assert_eq!(against_link(&rclone, &free, now), None);

        let secure = Client { https: true, ..home };
        assert_eq!(against_link(&secure, &https, now), None);
        assert!(against_link(&secure, &link("http://cdn/x", 9999, true), now).is_some());
        assert!(against_link(&home, &link("https://cdn/x", 59, true), now).is_some());

        let kodi = client("Kodi/21", "127.0.0.1");
        assert_eq!(kodi.link_life(), Duration::from_secs(6 * 3600));
        assert_eq!(against_link(&kodi, &https, now), None);
        let half_hour = link("https://cdn/x", 1800, true);
        assert!(against_link(&kodi, &half_hour, now).is_some());
        assert!(against_link(&home, &half_hour, now).is_some());
        let wget = client("Wget/1.21", "127.0.0.1");
        assert_eq!(against_link(&wget, &half_hour, now), None);
    }
}

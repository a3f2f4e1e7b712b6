//! What is known of a client: its habits with a 302 by User-Agent, its network, and what it taught us.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use http::HeaderName;
use http::header::{ACCEPT, FORWARDED, HeaderMap, USER_AGENT, VIA};
use http::request::Parts;

use super::recent::Recent;
use crate::tree::TreePath;

/// What a redirected client's link should live at least.
const LINK_LIFE: Duration = Duration::from_secs(5 * 60);
/// The same for a client that never comes back for a new link.
const LONG_LINK_LIFE: Duration = Duration::from_secs(6 * 3600);
/// Asking for the same first bytes within this time of a 302 means that it was not followed.
const CAME_BACK: Duration = Duration::from_secs(5);
/// How long such a client is streamed to.
const REMEMBERED: Duration = Duration::from_secs(3600);
/// 302s and clients remembered at the most.
const CLIENTS: usize = 1024;

/// What proxies add to a request on its way. The server takes them away where it knows the proxy, and with it the client.
pub const FORWARDS: [HeaderName; 3] = [FORWARDED, VIA, HeaderName::from_static("x-forwarded-for")];

/// What a client does with a 302.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// Follows it, and asks us again when it needs another link.
    Follows,
    /// Follows it and cannot be relied on to come back for another link. Measured: Kodi, gvfs and VLC jump on the old
    /// one, mpv and ffmpeg come back without the password. Of other players nobody knows better.
    StaysOnLink,
    /// Follows it with a `Referer` of ours, which only a link open to all survives (measured: rclone).
    SendsReferer,
    /// Follows it where it navigates: with `Accept: text/html`.
    Browser,
    /// Does not follow it, or nobody knows.
    Unknown,
}

/// Habits by User-Agent, letters compared without case; the first that matches counts. Evidence:
/// webdav-clients.md sections 13 and 15. Clients of unknown or mixed habits are left out on purpose.
const AGENTS: &[(Match, &str, Habit)] = &[
    // `Kodi/21.0` upstream, `KodifromDebian/20.1` in Debian.
    (Match::Begins, "kodi", Habit::StaysOnLink),
    (Match::Begins, "xbmc", Habit::StaysOnLink),
    (Match::Begins, "gvfs/", Habit::StaysOnLink),
    (Match::Begins, "mpv", Habit::StaysOnLink),
    (Match::Begins, "libmpv", Habit::StaysOnLink),
    (Match::Begins, "lavf/", Habit::StaysOnLink),
    (Match::Begins, "vlc/", Habit::StaysOnLink),
    (Match::Begins, "mplayer", Habit::StaysOnLink),
    (Match::Begins, "gstreamer souphttpsrc", Habit::StaysOnLink),
    (Match::Contains, "infuse", Habit::StaysOnLink),
    (Match::Contains, "fileball", Habit::StaysOnLink),
    (Match::Contains, "senplayer", Habit::StaysOnLink),
    (Match::Contains, "vidhub", Habit::StaysOnLink),
    (Match::Contains, "filmly", Habit::StaysOnLink),
    (Match::Contains, "conflux", Habit::StaysOnLink),
    (Match::Contains, "nplayer", Habit::StaysOnLink),
    (Match::Contains, "potplayer", Habit::StaysOnLink),
    (Match::Begins, "daum", Habit::StaysOnLink),
    (Match::Begins, "wget/", Habit::Follows),
    (Match::Begins, "aria2/", Habit::Follows),
    (Match::Begins, "rclone/", Habit::SendsReferer),
    (Match::Begins, "mozilla/", Habit::Browser),
];

#[derive(Debug, Clone, Copy)]
enum Match {
    Begins,
    Contains,
}

/// The client of a GET, as far as it matters for the way.
#[derive(Debug, Clone, Copy)]
pub struct Client<'a> {
    /// `User-Agent`, empty where there is none.
    pub agent: &'a str,
    /// What is known of it.
    pub habit: Habit,
    /// Its address.
    pub peer: IpAddr,
    /// Whether it came by https.
    pub https: bool,
    /// The address is that of a reverse proxy that nobody has told us to trust: where the client is, is not known.
    pub behind: bool,
}

/// What 302s have taught.
#[derive(Debug)]
pub struct Lessons {
    redirected: Recent<(IpAddr, String, TreePath), ()>,
    does_not_follow: Recent<(IpAddr, String), ()>,
}

impl<'a> Client<'a> {
    /// Reads the client off a request.
    pub fn of(request: &'a Parts, peer: IpAddr, https: bool) -> Self {
        let agent = text(&request.headers, &USER_AGENT);
        let habit = match habit(agent) {
            Habit::Browser if !text(&request.headers, &ACCEPT).contains("text/html") => Habit::Unknown,
            habit => habit,
        };
        Self {
            agent,
            habit,
            peer,
            https,
            behind: request.headers.keys().any(|name| FORWARDS.contains(name)),
        }
    }

    /// Whether a link that 123pan gave to our address works from its own: see [`shares_our_network`].
    pub fn shares_our_network(&self) -> bool {
        !self.behind && shares_our_network(self.peer)
    }

    /// How long a link should live that is handed to this client.
    pub fn link_life(&self) -> Duration {
        if self.habit == Habit::StaysOnLink {
            LONG_LINK_LIFE
        } else {
            LINK_LIFE
        }
    }
}

impl Lessons {
    /// Nothing learned yet.
    pub fn new() -> Self {
        Self {
            redirected: Recent::new(CLIENTS),
            does_not_follow: Recent::new(CLIENTS),
        }
    }

    /// Notes a 302 that answers a read from the first byte.
    pub fn redirected(&self, client: &Client<'_>, file: &TreePath) {
        self.redirected
            .insert((client.peer, client.agent.to_owned(), file.clone()), ());
    }

    /// Whether this client is known not to follow, or shows it by this read from the first byte.
    pub fn does_not_follow(&self, client: &Client<'_>, file: &TreePath, from_start: bool) -> bool {
        let who = (client.peer, client.agent.to_owned());
        if self
            .does_not_follow
            .get(&who)
            .is_some_and(|(_, age)| age < REMEMBERED)
        {
            return true;
        }
        let what = (client.peer, client.agent.to_owned(), file.clone());
        let came_back = from_start && self.redirected.get(&what).is_some_and(|(_, age)| age < CAME_BACK);
        if came_back {
            self.does_not_follow.insert(who, ());
        }
        came_back
    }
}

/// Whether a client of this address leaves for the internet where we do: this machine, the local network, a
/// VPN or carrier-grade NAT (RFC 1918, 4193, 6598, 3927, 4291).
fn shares_our_network(peer: IpAddr) -> bool {
    match peer.to_canonical() {
        IpAddr::V4(v4) => {
            let [a, b, ..] = v4.octets();
            v4.is_loopback()
                || v4.is_private()
                || v4.is_link_local()
                || v4 == Ipv4Addr::UNSPECIFIED
                || (a == 100 && b & 0xc0 == 64)
        }
        IpAddr::V6(v6) => {
            v6.is_loopback()
                || v6.is_unique_local()
                || v6.is_unicast_link_local()
                || v6 == Ipv6Addr::UNSPECIFIED
        }
    }
}

pub(super) fn habit(agent: &str) -> Habit {
    let agent = agent.to_ascii_lowercase();
    AGENTS
        .iter()
        .find(|(how, what, _)| match how {
            Match::Begins => agent.starts_with(what),
            Match::Contains => agent.contains(what),
        })
        .map_or(Habit::Unknown, |(_, _, habit)| *habit)
}

fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> &'a str {
    headers
        .get(name)
        .and_then(|value| value.to_str().ok())
        .unwrap_or_default()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn client(agent: &'static str, peer: &str) -> Client<'static> {
        Client {
            agent,
            habit: habit(agent),
            peer: peer.parse().unwrap(),
            https: false,
            behind: false,
        }
    }

    #[test]
    fn the_agent_table_knows_who_follows() {
        for (agent, expected) in [
            ("Kodi/21.0 (X11; Linux)", Habit::StaysOnLink),
            ("KodifromDebian/20.1 (X11; Linux x86_64)", Habit::StaysOnLink),
            ("gvfs/1.50.3", Habit::StaysOnLink),
            ("libmpv", Habit::StaysOnLink),
            ("Lavf/59.27.100", Habit::StaysOnLink),
            ("VLC/3.0.24 LibVLC/3.0.24", Habit::StaysOnLink),
            ("Infuse-Direct/8.1", Habit::StaysOnLink),
            ("Wget/1.21.3", Habit::Follows),
            ("rclone/v1.60", Habit::SendsReferer),
            ("Mozilla/5.0 (X11)", Habit::Browser),
            ("curl/8.0", Habit::Unknown),
            ("davfs2/1.6.1 neon/0.32.5", Habit::Unknown),
            ("Microsoft-WebDAV-MiniRedir/10.0", Habit::Unknown),
            ("WebDAVFS/3.0", Habit::Unknown),
            ("python-requests/2", Habit::Unknown),
            ("", Habit::Unknown),
        ] {
            assert_eq!(habit(agent), expected, "{agent}");
        }
    }

    #[test]
    fn a_browser_counts_as_one_where_it_navigates() {
        let request = |accept: &str| {
            http::Request::builder()
                .header(USER_AGENT, "Mozilla/5.0")
                .header(ACCEPT, accept)
                .body(())
                .unwrap()
                .into_parts()
                .0
        };
        let of = |accept| Client::of(&request(accept), Ipv4Addr::LOCALHOST.into(), false).habit;
        assert_eq!(of("text/html,*/*"), Habit::Browser);
        assert_eq!(of("*/*"), Habit::Unknown);
    }

    #[test]
    fn where_a_client_behind_an_unknown_proxy_is_nobody_knows() {
        for (header, ours) in [
            ("x-request-id", true),
            ("x-forwarded-for", false),
            ("via", false),
            ("forwarded", false),
        ] {
            let request = http::Request::builder().header(header, "x").body(()).unwrap();
            let request = request.into_parts().0;
            let client = Client::of(&request, Ipv4Addr::LOCALHOST.into(), false);
            assert_eq!(client.shares_our_network(), ours, "{header}");
        }
    }

    #[test]
    fn local_addresses_share_our_network() {
        for (peer, ours) in [
            ("127.0.0.1", true),
            ("10.1.2.3", true),
            ("172.31.0.1", true),
            ("169.254.1.1", true),
            ("100.64.0.1", true),
            ("100.128.0.1", false),
            ("::1", true),
            ("fe80::1", true),
            ("fd00::1", true),
            ("::ffff:192.168.0.1", true),
            ("::ffff:8.8.8.8", false),
            ("2001:4860::1", false),
            ("203.0.113.1", false),
        ] {
            assert_eq!(shares_our_network(peer.parse().unwrap()), ours, "{peer}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_comes_back_at_once_is_streamed_to_for_a_while() {
        let lessons = Lessons::new();
        let file = TreePath::from_decoded("/a.mkv").unwrap();
        let other = TreePath::from_decoded("/b.mkv").unwrap();
        let mpv = client("libmpv", "127.0.0.1");
        lessons.redirected(&mpv, &file);
        assert!(!lessons.does_not_follow(&mpv, &other, true));
        assert!(!lessons.does_not_follow(&mpv, &file, false));
        assert!(!lessons.does_not_follow(&client("libmpv", "127.0.0.2"), &file, true));
        tokio::time::advance(Duration::from_secs(4)).await;
        assert!(lessons.does_not_follow(&mpv, &file, true));
        assert!(lessons.does_not_follow(&mpv, &other, false));
        tokio::time::advance(REMEMBERED).await;
        assert!(!lessons.does_not_follow(&mpv, &file, true));
    }
}

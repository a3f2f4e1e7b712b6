//! Who asks behind a reverse proxy: `X-Forwarded-For` and `X-Forwarded-Proto`, else `Forwarded` (RFC 7239).
//!
//! Anybody can write these headers. So they are read only where the connection comes from an address of
//! `server.trusted_proxies`, and from the right: each proxy adds at the end what it has seen, and the first address that is
//! no trusted proxy is the client's, whatever stands before it.

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use http::header::FORWARDED;

use super::service::Peer;
use crate::config::Network;
use crate::delivery::FORWARDS;

/// The addresses whose word is taken.
#[derive(Debug)]
pub(super) struct Trusted(Vec<Network>);

/// One step of the way: who came, and how where that is said.
#[derive(Debug)]
struct Step {
    address: Option<SocketAddr>,
    tls: Option<bool>,
}

impl Trusted {
    pub(super) fn new(networks: Vec<Network>) -> Self {
        Self(networks)
    }

    fn has(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Where a request really comes from. The port is 0 where no header tells it.
    pub(super) fn client(&self, peer: Peer, headers: &HeaderMap) -> Peer {
        let mut client = peer;
        if !self.has(peer.address.ip()) {
            return client;
        }
        for step in way(headers).into_iter().rev() {
            // "unknown" and names that a proxy hides addresses behind: it is the last that we know.
            let Some(address) = step.address else { break };
            client = Peer {
                address,
                tls: step.tls.unwrap_or(client.tls),
            };
            if !self.has(address.ip()) {
                break;
            }
        }
        if let Some(scheme) = list(headers, "x-forwarded-proto").last() {
            client.tls = scheme.eq_ignore_ascii_case("https");
        }
        client
    }

    /// Takes away what a trusted proxy has answered for: headers that stay say that there is a proxy nobody knows.
    pub(super) fn take_away(&self, peer: Peer, headers: &mut HeaderMap) {
        if self.has(peer.address.ip()) {
            for name in FORWARDS {
                headers.remove(name);
            }
        }
    }
}

/// The steps from the client to the last proxy.
fn way(headers: &HeaderMap) -> Vec<Step> {
    let simple = list(headers, "x-forwarded-for");
    if !simple.is_empty() {
        let step = |text: &&str| Step {
            address: address(text),
            tls: None,
        };
        return simple.iter().map(step).collect();
    }
    list(headers, FORWARDED.as_str())
        .into_iter()
        .map(element)
        .collect()
}

/// The parts of all headers of a name, split at commas. No quoted string of ours has one in it.
fn list<'a>(headers: &'a HeaderMap, name: &str) -> Vec<&'a str> {
    let values = headers.get_all(name).into_iter();
    let values = values.map(|value| value.to_str().unwrap_or("?"));
    let parts = values.flat_map(|value| value.split(',')).map(str::trim);
    parts.filter(|part| !part.is_empty()).collect()
}

/// `for="[2001:db8::1]:4711";proto=https;by=…`
fn element(text: &str) -> Step {
    let mut step = Step {
        address: None,
        tls: None,
    };
    for pair in text.split(';') {
        let Some((name, value)) = pair.split_once('=') else {
            continue;
        };
        let value = value.trim().trim_matches('"');
        match name.trim().to_ascii_lowercase().as_str() {
            "for" => step.address = address(value),
            "proto" => step.tls = Some(value.eq_ignore_ascii_case("https")),
            _ => {}
        }
    }
    step
}

/// An address with or without a port, an IPv6 one with or without brackets.
fn address(text: &str) -> Option<SocketAddr> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(address);
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    let ip: IpAddr = bare.unwrap_or(text).parse().ok()?;
    Some(SocketAddr::new(ip, 0))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn client(from: &str, headers: &[(&'static str, &'static str)]) -> (String, bool) {
        let trusted = ["127.0.0.1", "10.0.0.0/8", "::1"].map(|text| Network::parse(text).unwrap());
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        let peer = Peer {
            address: SocketAddr::new(from.parse().unwrap(), 9),
            tls: false,
        };
        let client = Trusted::new(trusted.to_vec()).client(peer, &map);
        (client.address.ip().to_string(), client.tls)
    }

    #[test]
    fn a_trusted_proxy_says_who_asks_and_others_do_not() {
        const FOR: &str = "x-forwarded-for";
        const PROTO: &str = "x-forwarded-proto";
        for (from, headers, address, tls) in [
            ("127.0.0.1", vec![], "127.0.0.1", false),
            (
                "127.0.0.1",
                vec![(FOR, "203.0.113.9"), (PROTO, "https")],
                "203.0.113.9",
                true,
            ),
            (
                "::ffff:127.0.0.1",
                vec![(FOR, "203.0.113.9:4711")],
                "203.0.113.9",
                false,
            ),
            (
                "192.0.2.1",
                vec![(FOR, "203.0.113.9"), (PROTO, "https")],
                "192.0.2.1",
                false,
            ),
            // Only what trusted proxies have added counts.
            (
                "127.0.0.1",
                vec![(FOR, "1.1.1.1, 203.0.113.9, 10.1.2.3")],
                "203.0.113.9",
                false,
            ),
            (
                "127.0.0.1",
                vec![(FOR, "1.1.1.1"), (FOR, "203.0.113.9")],
                "203.0.113.9",
                false,
            ),
            ("127.0.0.1", vec![(PROTO, "https, http")], "127.0.0.1", false),
            ("127.0.0.1", vec![(FOR, "10.1.2.3, 10.4.5.6")], "10.1.2.3", false),
            (
                "127.0.0.1",
                vec![(FOR, "203.0.113.9, rubbish, 10.1.2.3")],
                "10.1.2.3",
                false,
            ),
            ("127.0.0.1", vec![(FOR, "unknown")], "127.0.0.1", false),
            ("::1", vec![(FOR, "[2001:db8::1]")], "2001:db8::1", false),
            ("::1", vec![(FOR, "2001:db8::1")], "2001:db8::1", false),
            (
                "127.0.0.1",
                vec![(
                    "forwarded",
                    "for=1.1.1.1, for=\"[2001:db8::1]:4711\";Proto=https;by=_x, for=10.0.0.1;proto=http",
                )],
                "2001:db8::1",
                true,
            ),
            (
                "127.0.0.1",
                vec![("forwarded", "for=_hidden;proto=https")],
                "127.0.0.1",
                false,
            ),
            (
                "127.0.0.1",
                vec![("forwarded", "for=1.1.1.1"), (FOR, "203.0.113.9")],
                "203.0.113.9",
                false,
            ),
        ] {
            assert_eq!(client(from, &headers), (address.to_owned(), tls), "{headers:?}");
        }
    }
}

//! What holds for whole requests as they come over a connection, and for what proxies say of a client.

#![allow(clippy::unwrap_used)]

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;

pub use super::auth::fuzz::sign_in;

use super::auth::Auth;
use super::control::Secret;
use super::crowd::Crowd;
use super::forwarded::Trusted;
use super::guest::Guest;
use super::listen::connection;
use super::service::{Peer, Service};
use crate::config::Network;
use crate::dav::fuzz::{WORLD, World};
use crate::delivery::Delivery;
use crate::metrics::Metrics;
use crate::tree::fuzz::forget;

/// How long a connection may last on which nothing comes any more.
const LONGEST: std::time::Duration = std::time::Duration::from_secs(900);
/// How often that is waited for.
const PATIENCE: u32 = 100;
/// Bytes of all answers to one input that are read.
const READ: u64 = 1 << 22;

fn peer(address: Ipv4Addr) -> Peer {
    Peer {
        address: SocketAddr::new(IpAddr::V4(address), 9),
        tls: false,
    }
}

thread_local! {
    static DELIVERY: Arc<Delivery> = WORLD.with(|world| {
        let _inside = world.runtime.enter();
        Arc::new(Delivery::new(world.tree.clone(), None, 1 << 20, Arc::default()).unwrap())
    });
}

/// Requests on one connection, as bytes. Line ends may be LF alone in the heads of seeds.
pub fn requests(data: &[u8]) {
    WORLD.with(|world| {
        let delivery = DELIVERY.with(Arc::clone);
        let answers = world.runtime.block_on(answers(world, delivery, data));
        world.runtime.block_on(forget(&world.tree));
        if let Some(head) = answers
            .split(|byte| *byte == b'\r')
            .next()
            .filter(|head| !head.is_empty())
        {
            is_answered(&answers, head);
        }
    });
}

async fn answers(world: &World, delivery: Arc<Delivery>, data: &[u8]) -> Vec<u8> {
    let config = &world.config;
    let auth = Auth::new(&config.users, None).unwrap();
    let secret = Secret::new(&config.server.state_dir, None);
    let metrics = Arc::new(Metrics::default());
    let service = Service::new(config, auth, secret, world.tree.clone(), delivery, metrics).unwrap();
    let service = Arc::new(service);
    let place = Crowd::new().enter().unwrap();
    let guest = Guest::new(service, peer(Ipv4Addr::new(192, 0, 2, 7)), place);
    let (mut client, server) = tokio::io::duplex(1 << 16);
    let connection = connection(server, false, guest, CancellationToken::new());
    let mut read = Vec::new();
    let asking = async {
        let (reader, mut writer) = tokio::io::split(&mut client);
        let mut reader = reader.take(READ);
        // The clock stands still until nothing more can happen: then the connection ends by its own timeout.
        let (_, _) = tokio::join!(writer.write_all(data), reader.read_to_end(&mut read));
    };
    let mut both = Box::pin(async { tokio::join!(connection, asking) });
    let mut ended = false;
    for _ in 0..PATIENCE {
        if tokio::time::timeout(LONGEST, &mut both).await.is_ok() {
            ended = true;
            break;
        }
        // The clock runs on while another thread writes the state: it gets its time.
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    drop(both);
    let so_far = || String::from_utf8_lossy(&read).into_owned();
    assert!(ended, "a silent client holds its connection: {}", so_far());
    read
}

/// The first answer is one of ours, or hyper's to what is no request.
fn is_answered(answers: &[u8], line: &[u8]) {
    let line = std::str::from_utf8(line).unwrap();
    let status: u16 = line.split(' ').nth(1).unwrap().parse().unwrap();
    assert!(
        line.starts_with("HTTP/1.") && (200..600).contains(&status),
        "{line}"
    );
    assert!(!matches!(status, 500 | 501 | 503 | 504), "{line}");
    let end = answers.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    let head = String::from_utf8_lossy(&answers[..end]).to_ascii_lowercase();
    let mut headers = head
        .split("\r\n")
        .skip(1)
        .map(|line| line.split_once(": ").unwrap_or((line, "")));
    for (name, _) in headers.clone() {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        assert!(!name.is_empty() && name.bytes().all(plain), "{head}");
    }
    let server = headers.any(|header| header == ("server", "dav123"));
    assert!(server || matches!(status, 400 | 408 | 414 | 431), "{head}");
    // Files alone are redirected to (A1).
    if (300..400).contains(&status) && status != 304 {
        let from = head.contains("location: https://cdn.invalid/") || head.contains("location: ");
        assert!(from, "{head}");
    }
}

/// An address, and lines of headers that proxies write.
pub fn forwarded(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let mut headers = HeaderMap::new();
    for line in text.lines() {
        if let Some((name, value)) = line.split_once(':')
            && let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), value.trim().parse::<HeaderValue>())
        {
            headers.append(name, value);
        }
    }
    let networks = ["127.0.0.0/8", "10.0.0.0/8", "fd00::/8"];
    let networks: Vec<Network> = networks
        .iter()
        .map(|text| Network::parse(text).unwrap())
        .collect();
    let trusted = Trusted::new(networks.clone());
    let is_trusted = |address: IpAddr| networks.iter().any(|network| network.contains(address));
    // A stranger's word counts for nothing.
    let stranger = peer(Ipv4Addr::new(192, 0, 2, 7));
    let seen = trusted.client(stranger, &headers);
    assert_eq!((seen.address, seen.tls), (stranger.address, stranger.tls));
    // A proxy's does; where it names nobody, the proxy itself is who asks.
    let proxy = peer(Ipv4Addr::LOCALHOST);
    let client = trusted.client(proxy, &headers);
    if client.address != proxy.address && !is_trusted(client.address.ip()) {
        // What the client has written before it changes nothing.
        let names_somebody =
            |value: &HeaderValue| value.as_bytes().iter().any(|byte| !b", \t".contains(byte));
        let name = match headers.get_all("x-forwarded-for").iter().any(names_somebody) {
            true => "x-forwarded-for",
            false => "forwarded",
        };
        if let Some(value) = headers.get(name).cloned() {
            let mut more = headers.clone();
            let forged = if name == "forwarded" {
                "for=203.0.113.9;proto=https"
            } else {
                "203.0.113.9"
            };
            let rest: Vec<HeaderValue> = headers.get_all(name).iter().skip(1).cloned().collect();
            let Ok(longer) = HeaderValue::try_from([forged.as_bytes(), b", ", value.as_bytes()].concat())
            else {
                return;
            };
            more.insert(name, longer);
            for value in rest {
                more.append(name, value);
            }
            assert_eq!(trusted.client(proxy, &more).address, client.address, "{more:?}");
        }
    }
}

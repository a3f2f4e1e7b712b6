//! Behind a reverse proxy: whose address and scheme count.

use std::future::ready;
use std::pin::pin;
use std::time::{Duration, Instant};

use futures_util::StreamExt;

use crate::world::{PASSWORD, USER, World, account, eventually, head, header, options};

async fn behind(trusted: &str) -> World {
    World::configured(
        options(),
        |cloud| {
            cloud.add_file("/a.mkv", vec![7; 2 << 20]);
        },
        |cloud, dir| {
            let server = format!("[server]\ntrusted_proxies = {trusted}\n");
            head(dir).replace("[server]\n", &server) + &account(cloud, "/drive", "strategy = \"auto\"")
        },
    )
    .await
}

/// The answer to a GET by mpv, as a proxy hands it on for a client.
async fn get_for(world: &World, client: &str, scheme: &str, password: &str, name: &str) -> reqwest::Response {
    let get = world.http.get(world.url("/drive/a.mkv"));
    get.basic_auth(name, Some(password))
        .header("user-agent", "libmpv")
        .header("x-forwarded-for", client)
        .header("x-forwarded-proto", scheme)
        .send()
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trusted_proxy_tells_the_client_s_address_and_scheme() {
    let world = behind("[\"127.0.0.0/8\", \"::1\"]").await;
    // `auto` redirects a neighbour; the link is bound to our city, so the others get the bytes.
    for (client, delivery) in [("192.168.1.7", "redirect"), ("203.0.113.9", "proxy")] {
        let answer = get_for(&world, client, "http", PASSWORD, USER).await;
        assert_eq!(header(&answer, "x-dav123-delivery"), delivery, "{client}");
        answer.bytes().await.unwrap();
        eventually("the line in the access log", || {
            let log = world.server.log();
            log.lines()
                .any(|line| line.contains("dav123::access") && line.contains(client))
        })
        .await;
    }
    // Over TLS, which ends at the proxy, Basic is all it takes.
    for (scheme, challenges) in [("http", 2), ("https", 1)] {
        let answer = get_for(&world, "192.168.1.7", scheme, "wrong", USER).await;
        assert_eq!(answer.status(), 401);
        assert_eq!(
            answer.headers().get_all("www-authenticate").iter().count(),
            challenges
        );
    }
    // One address is slowed down until it is refused, another is not.
    let names: Vec<String> = (0..60).map(|n| format!("nobody{n}")).collect();
    let flood = names
        .iter()
        .map(|name| get_for(&world, "203.0.113.10", "http", "x", name));
    let flood = futures_util::stream::iter(flood).buffer_unordered(60);
    let mut refused = pin!(flood.filter(|answer| ready(answer.status() == 429)));
    assert!(refused.next().await.is_some());
    let begun = Instant::now();
    let answer = get_for(&world, "203.0.113.11", "http", "x", "nobody").await;
    assert_eq!(answer.status(), 401);
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn others_cannot_tell_what_they_like() {
    for trusted in ["\"10.0.0.0/8\"", "[\"192.168.0.0/16\", \"::1\"]"] {
        let world = behind(trusted).await;
        let answer = get_for(&world, "203.0.113.9", "https", PASSWORD, USER).await;
        // Somebody has passed it on: where the client is, nobody knows.
        assert_eq!(header(&answer, "x-dav123-delivery"), "proxy");
        let answer = get_for(&world, "203.0.113.9", "https", "wrong", USER).await;
        assert_eq!(answer.headers().get_all("www-authenticate").iter().count(), 2);
        // A line may be written after its answer has come.
        eventually("both lines in the access log", || {
            world.server.log().matches("dav123::access").count() >= 2
        })
        .await;
        let log = world.server.log();
        let mut access = log.lines().filter(|line| line.contains("dav123::access"));
        assert!(access.all(|line| !line.contains("203.0.113.9")), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_changes_host_says_which_one_it_was() {
    let world = behind("\"127.0.0.1\"").await;
    let copy = |forwarded: &'static str| {
        world
            .request("MOVE", "/drive/a.mkv")
            .header("destination", "https://dav.example/drive/b.mkv")
            .header("x-forwarded-host", forwarded)
            .send()
    };
    assert_eq!(copy("other.example").await.unwrap().status(), 502);
    assert_eq!(copy("dav.example").await.unwrap().status(), 201);
    assert_eq!(world.cloud.names("/").unwrap(), ["b.mkv"]);
}

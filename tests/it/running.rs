//! `serve` as a process: listeners, TLS, signals.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dav123::sim::Content;

use crate::world::{PASSWORD, USER, World, account, binary, eventually, head, options, run};

const LARGE: Content = Content::Pattern {
    seed: 5,
    len: 1 << 20,
};

/// A streamed file that takes about two seconds.
async fn slow(grace: &str) -> World {
    World::configured(
        options(),
        |cloud| {
            cloud.add_file("/slow.bin", LARGE);
            cloud.settings().throttle = Some(512 << 10);
        },
        |cloud, dir| {
            head(dir).replace("[server]\n", &format!("[server]\nshutdown_grace = \"{grace}\"\n"))
                + &account(cloud, "/drive", "strategy = \"proxy\"")
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn sigterm_lets_running_transfers_end_takes_no_new_ones_and_ends_with_0() {
    let mut world = slow("30s").await;
    let mut answer = world.get("/drive/slow.bin").await;
    let mut bytes = answer.chunk().await.unwrap().unwrap().to_vec();
    world.server.signal("TERM");
    let address = world.server.address();
    eventually("the socket is closed", || {
        std::net::TcpStream::connect(&address).is_err()
    })
    .await;
    while let Some(chunk) = answer.chunk().await.unwrap() {
        bytes.extend_from_slice(&chunk);
    }
    assert!(bytes == LARGE.read(0, 1 << 20));
    assert_eq!(world.server.wait(Duration::from_secs(10)), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_are_cut_when_the_grace_is_over() {
    let mut world = slow("200ms").await;
    world.cloud.settings().throttle = Some(64 << 10);
    let mut answer = world.get("/drive/slow.bin").await;
    answer.chunk().await.unwrap();
    world.server.signal("INT");
    let begun = Instant::now();
    assert_eq!(world.server.wait(Duration::from_secs(10)), Some(0));
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(answer.bytes().await.is_err(), "cut, and not ended as if whole");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_server_ends_at_once() {
    let mut world = World::account(|_| {}).await;
    assert_eq!(world.propfind("/", "0").await.0, 207);
    world.server.signal("TERM");
    assert_eq!(world.server.wait(Duration::from_secs(5)), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_says_nothing_by_tls_holds_no_server_up() {
    let mut world = tls().await;
    let address = world
        .server
        .url
        .trim_start_matches("https://")
        .trim_end_matches('/');
    let silent = std::net::TcpStream::connect(address).unwrap();
    // Accepted before this one is.
    trusting(false)
        .get(world.url("/.dav123/health"))
        .send()
        .await
        .unwrap();
    world.server.signal("TERM");
    assert_eq!(world.server.wait(Duration::from_secs(5)), Some(0));
    drop(silent);
}

#[test]
fn serve_prints_one_line_for_each_listener_with_the_port_really_bound() {
    let dir = tempfile::TempDir::new().unwrap();
    let config = dir.path().join("dav.toml");
    let text = head(dir.path()).replace("\"127.0.0.1:0\"", "[\"127.0.0.1:0\", \"127.0.0.2:0\"]");
    std::fs::write(&config, text).unwrap();
    let mut child = Command::new(binary())
        .args(["serve", "--config"])
        .arg(&config)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap()).lines();
    for ip in ["127.0.0.1", "127.0.0.2"] {
        let line = out.next().unwrap().unwrap();
        let rest = line
            .strip_prefix(&format!("dav123: serving on http://{ip}:"))
            .unwrap();
        let port: u16 = rest.strip_suffix('/').unwrap().parse().unwrap();
        assert_ne!(port, 0);
        std::net::TcpStream::connect((ip, port)).unwrap();
    }
    Command::new("kill").arg(child.id().to_string()).status().unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(out.next().is_none(), "nothing else on standard output");
}

#[test]
fn an_address_in_use_is_named_and_is_no_success() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let dir = tempfile::TempDir::new().unwrap();
    let config = dir.path().join("dav.toml");
    std::fs::write(&config, head(dir.path()).replace("127.0.0.1:0", &address)).unwrap();
    let ran = run(&["serve", "--config", config.to_str().unwrap()], "");
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(
        ran.err.contains(&format!("Cannot listen on {address}")),
        "{ran:?}"
    );
    assert!(ran.out.is_empty());
}

/// A file of the tests' certificate.
pub fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/world")
        .join(name)
}

/// A world with TLS, its certificate in the world's own folder.
pub async fn tls() -> World {
    World::configured(
        options(),
        |cloud| {
            cloud.add_file("/a.txt", "hello");
        },
        |cloud, dir| {
            for name in ["cert.pem", "key.pem"] {
                std::fs::copy(pem(name), dir.join(name)).unwrap();
            }
            let tls = "[server]\ntls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\n";
            head(dir).replace("[server]\n", tls) + &account(cloud, "/drive", "strategy = \"proxy\"")
        },
    )
    .await
}

/// A client that trusts the tests' certificate alone.
pub fn trusting(http2: bool) -> reqwest::Client {
    crate::world::client();
    let certificate = std::fs::read(pem("cert.pem")).unwrap();
    let builder = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([reqwest::Certificate::from_pem(&certificate).unwrap()]);
    let builder = if http2 { builder } else { builder.http1_only() };
    builder.build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_serves_http_1_and_http_2_under_https() {
    let world = tls().await;
    assert!(
        world.server.url.starts_with("https://127.0.0.1:"),
        "{}",
        world.server.url
    );
    for (http2, version) in [
        (true, reqwest::Version::HTTP_2),
        (false, reqwest::Version::HTTP_11),
    ] {
        let client = trusting(http2);
        let propfind = reqwest::Method::from_bytes(b"PROPFIND").unwrap();
        let listed = client
            .request(propfind, world.url("/drive"))
            .header("depth", "1")
            .basic_auth(USER, Some(PASSWORD))
            .send()
            .await
            .unwrap();
        assert_eq!(listed.version(), version);
        assert!(listed.text().await.unwrap().contains("/drive/a.txt"));
        let file = client
            .get(world.url("/drive/a.txt"))
            .basic_auth(USER, Some(PASSWORD))
            .send()
            .await
            .unwrap();
        assert_eq!(file.text().await.unwrap(), "hello");
    }
    // Who does not speak TLS gets nothing.
    let plain = world.server.url.replace("https:", "http:");
    assert!(world.http.get(plain).send().await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_reads_the_certificate_again_and_a_broken_one_changes_nothing() {
    let world = tls().await;
    let health = world.url("/.dav123/health");
    std::fs::write(world.dir.path().join("cert.pem"), "broken").unwrap();
    world.server.signal("HUP");
    eventually("the broken one is told", || {
        world
            .server
            .log()
            .contains("the TLS certificate was not replaced")
    })
    .await;
    assert_eq!(trusting(true).get(&health).send().await.unwrap().status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_replaced_on_sighup_and_soon_after_its_files_change() {
    let world = tls().await;
    let health = world.url("/.dav123/health");
    let path = |name: &str| world.dir.path().join(name);
    let ok = |client: reqwest::Client| {
        let asked = client.get(&health).send();
        async move { asked.await.is_ok_and(|answer| answer.status() == 200) }
    };
    // Another certificate, from the demonstration.
    let other = tempfile::TempDir::new().unwrap();
    let mut command = std::process::Command::new(crate::world::binary());
    command
        .args(["demo", "--tls", "--listen", "127.0.0.1:0", "--dir"])
        .arg(other.path());
    drop(crate::world::Server::spawn(command));
    let new = |name: &str| std::fs::read(other.path().join(name)).unwrap();
    let pem = reqwest::Certificate::from_pem(&new("demo-cert.pem")).unwrap();
    let trusts_new = || {
        crate::world::client();
        let builder = reqwest::Client::builder().no_proxy();
        builder.tls_certs_only([pem.clone()]).build().unwrap()
    };
    assert!(ok(trusting(true)).await && !ok(trusts_new()).await);
    // Not at once: between the two they do not fit, and the old pair is kept.
    std::fs::write(path("cert.pem"), new("demo-cert.pem")).unwrap();
    eventually("the half that has changed is told", || {
        world
            .server
            .log()
            .contains("the TLS certificate was not replaced")
    })
    .await;
    assert!(ok(trusting(true)).await && !ok(trusts_new()).await);
    std::fs::write(path("key.pem"), new("demo-key.pem")).unwrap();
    let replaced = || world.server.log().matches("certificate was read again").count();
    eventually("the new one is read", || replaced() == 1).await;
    assert!(!ok(trusting(true)).await && ok(trusts_new()).await);
    // And back, without waiting.
    for name in ["cert.pem", "key.pem"] {
        std::fs::copy(self::pem(name), path(name)).unwrap();
    }
    world.server.signal("HUP");
    eventually("the old one is read", || replaced() == 2).await;
    assert!(ok(trusting(true)).await && !ok(trusts_new()).await);
}

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let dir = tempfile::TempDir::new().unwrap();
    let config = dir.path().join("dav.toml");
    std::fs::write(dir.path().join("cert.pem"), "broken").unwrap();
    std::fs::copy(pem("key.pem"), dir.path().join("key.pem")).unwrap();
    let tls = "[server]\ntls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\n";
    std::fs::write(&config, head(dir.path()).replace("[server]\n", tls)).unwrap();
    let ran = run(&["serve", "--config", config.to_str().unwrap()], "");
    assert!(ran.code == 1 || ran.code == 2, "{ran:?}");
    assert!(ran.err.contains("cert.pem"), "{ran:?}");
    let ran = run(&["check", "--config", config.to_str().unwrap()], "");
    assert_eq!(ran.code, 2, "{ran:?}");
    assert!(
        ran.err.contains("cert.pem") && ran.err.contains("take both keys out"),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn under_https_auto_hands_out_no_http_link() {
    let world = World::configured(
        options(),
        |cloud| {
            cloud.add_file(
                "/film.mkv",
                Content::Pattern {
                    seed: 1,
                    len: 2 << 20,
                },
            );
        },
        |cloud, dir| {
            for name in ["cert.pem", "key.pem"] {
                std::fs::copy(pem(name), dir.join(name)).unwrap();
            }
            let tls = "[server]\ntls_cert = \"cert.pem\"\ntls_key = \"key.pem\"\n";
            head(dir).replace("[server]\n", tls) + &account(cloud, "/drive", "strategy = \"auto\"")
        },
    )
    .await;
    let answer = trusting(true)
        .get(world.url("/drive/film.mkv"))
        .header("user-agent", "libmpv")
        .basic_auth(USER, Some(PASSWORD))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.headers()["x-dav123-delivery"], "proxy");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_listing_resets_its_stream_under_http_2_too() {
    let world = tls().await;
    for n in 0..250 {
        world.cloud.add_file(&format!("/big/{n}.txt"), "");
    }
    let client = trusting(true);
    let propfind = |path: &str| {
        client
            .request(reqwest::Method::from_bytes(b"PROPFIND").unwrap(), world.url(path))
            .header("depth", "1")
            .basic_auth(USER, Some(PASSWORD))
            .send()
    };
    propfind("/drive").await.unwrap().bytes().await.unwrap();
    let kind = dav123::sim::FaultKind::GarbageJson;
    world
        .cloud
        .fault(dav123::sim::Fault::forever("list", kind).after(1));
    // The reset may overtake the head of the answer: then there is no answer at all, which is as good.
    if let Ok(broken) = propfind("/drive/big").await {
        assert_eq!(broken.status(), 207);
        assert_eq!(broken.version(), reqwest::Version::HTTP_2);
        assert!(broken.bytes().await.is_err());
    }
    // The connection itself goes on.
    world.cloud.clear_faults();
    let whole = propfind("/drive/big").await.unwrap().text().await.unwrap();
    assert_eq!(crate::world::hrefs(&whole).len(), 251);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_works_beside_a_running_server_and_a_second_server_is_told_why_it_cannot() {
    let world = World::account(|cloud| {
        cloud.add_file("/a.txt", "a");
    })
    .await;
    world.members("/drive").await;
    let config = world.dir.path().join("dav.toml").display().to_string();
    let file = config.clone();
    let checked = tokio::task::spawn_blocking(move || run(&["check", "--config", &file], ""));
    let ran = checked.await.unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert_eq!(world.calls("sign_in"), 1, "with the token of the server");
    let second = tokio::task::spawn_blocking(move || run(&["serve", "--config", &config], ""));
    let ran = second.await.unwrap();
    assert_eq!(ran.code, 1, "{ran:?}");
    assert!(ran.err.contains("state") && ran.out.is_empty(), "{ran:?}");
    assert_eq!(world.members("/drive").await, ["/drive/a.txt"]);
}

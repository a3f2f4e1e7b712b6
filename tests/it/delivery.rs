//! How a GET is answered: redirect, proxy-url and auto, client by client; and what costs nothing.

use std::time::{Duration, SystemTime};

use dav123::sim::{Cloud, Content, RefererRule};
use serde_json::Value;

use super::KIND;
use crate::world::{World, header, options};

const LARGE: Content = Content::Pattern {
    seed: 1,
    len: 3 << 20,
};

/// An account mount with more lines, over `/film.mkv` of 3 MiB and a few small files.
async fn world(more: &str) -> World {
    World::start(
        options(),
        |cloud| {
            cloud.add_file("/film.mkv", LARGE);
            cloud.add_file("/a.txt", "hello world");
            cloud.add_file("/empty.txt", "");
        },
        |cloud| KIND.mount(cloud, "/drive", more),
    )
    .await
}

async fn get_as(world: &World, path: &str, agent: &str) -> reqwest::Response {
    world
        .request("GET", path)
        .header("user-agent", agent)
        .send()
        .await
        .unwrap()
}

/// `t=` of a CDN link, in Unix seconds.
fn expiry(link: &str) -> u64 {
    let url = url::Url::parse(link).unwrap();
    let t = url.query_pairs().find(|(name, _)| name == "t").unwrap().1;
    t.parse().unwrap()
}

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

fn max_age(answer: &reqwest::Response) -> u64 {
    let control = header(answer, "cache-control");
    assert!(control.starts_with("private, max-age="), "{control}");
    assert!(!control.contains("no-store"), "{control}");
    control.rsplit_once('=').unwrap().1.parse().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_says_how_long_it_is_good_and_sends_no_referrer() {
    let world = world("").await;
    for _ in 0..3 {
        let answer = world.get("/drive/film.mkv").await;
        assert_eq!(answer.status(), 302);
        assert_eq!(header(&answer, "x-dav123-delivery"), "redirect");
        assert_eq!(header(&answer, "referrer-policy"), "no-referrer");
        assert_eq!(header(&answer, "content-length"), "0");
        let link = header(&answer, "location");
        let (age, life) = (max_age(&answer), expiry(&link) - now());
        assert!(age >= 1 && age <= life && age + 120 > life, "{age} of {life}");
        let expires = httpdate::parse_http_date(&header(&answer, "expires")).unwrap();
        let ahead = expires.duration_since(SystemTime::now()).unwrap().as_secs();
        assert!(ahead.abs_diff(age) <= 2, "{ahead} {age}");
    }
    assert_eq!(world.calls("download_info"), 1, "the link is remembered");
    assert_eq!(world.calls("cdn"), 0, "and the CDN is not touched");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_range_is_redirected_like_the_whole() {
    let world = world("").await;
    let answer = world
        .request("GET", "/drive/film.mkv")
        .header("range", "bytes=100-199")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_lived_link_is_still_handed_out_with_a_truthful_age() {
    let world = world("").await;
    world.cloud.settings().link_life = Duration::from_secs(10);
    let answer = world.get("/drive/film.mkv").await;
    assert_eq!(answer.status(), 302);
    let age = max_age(&answer);
    assert!((1..10).contains(&age), "{age}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_about_to_end_is_renewed_before_it_is_handed_out() {
    let world = world("").await;
    world.cloud.settings().link_life = Duration::from_secs(62);
    let begun = std::time::Instant::now();
    let mut calls = 0;
    while calls < 2 {
        assert!(begun.elapsed() < Duration::from_secs(15), "never renewed");
        let answer = world.get("/drive/film.mkv").await;
        assert_eq!(answer.status(), 302);
        assert!(expiry(&header(&answer, "location")) >= now() + 59);
        calls = world.calls("download_info");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    // A second or two old, and not with each request.
    assert!(begun.elapsed() > Duration::from_millis(500));
}

#[tokio::test(flavor = "multi_thread")]
async fn head_304_412_416_and_empty_files_cost_no_call() {
    for strategy in ["redirect", "proxy", "auto"] {
        let world = world(&format!("strategy = \"{strategy}\"")).await;
        let head = world.request("HEAD", "/drive/a.txt").send().await.unwrap();
        assert_eq!(head.status(), 200, "{strategy}");
        assert_eq!(header(&head, "content-length"), "11");
        assert_eq!(header(&head, "accept-ranges"), "bytes");
        assert_eq!(header(&head, "content-type"), "text/plain; charset=utf-8");
        let (etag, modified) = (header(&head, "etag"), header(&head, "last-modified"));
        assert_eq!(etag, "\"5eb63bbbe01eeed093cb22bb8f5acdc3\"");
        for (name, value, status) in [
            ("if-none-match", etag.as_str(), 304),
            ("if-none-match", "*", 304),
            ("if-modified-since", &modified, 304),
            ("if-match", "\"other\"", 412),
            ("if-unmodified-since", "Sun, 06 Nov 1994 08:49:37 GMT", 412),
            ("range", "bytes=11-", 416),
            ("range", "bytes=500-600", 416),
        ] {
            let answer = world
                .request("GET", "/drive/a.txt")
                .header(name, value)
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), status, "{strategy} {name}: {value}");
            match status {
                304 => assert_eq!(header(&answer, "etag"), etag),
                416 => assert_eq!(header(&answer, "content-range"), "bytes */11"),
                _ => {}
            }
        }
        let empty = world.get("/drive/empty.txt").await;
        assert_eq!(empty.status(), 200, "{strategy}");
        assert_eq!(header(&empty, "content-length"), "0");
        assert_eq!(empty.bytes().await.unwrap().len(), 0);
        for endpoint in ["download_info", "cdn", "cdn_head", "inner", "relay"] {
            assert_eq!(world.calls(endpoint), 0, "{strategy}: {endpoint}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_client_rule_that_matches_decides_else_the_mount_s_strategy() {
    let rules = "strategy = \"redirect\"\n\
         [[mount.client]]\nuser_agent = \"Microsoft-WebDAV-MiniRedir*\"\nstrategy = \"proxy\"\n\
         [[mount.client]]\nuser_agent = \"Micro*\"\nstrategy = \"redirect\"\n";
    let world = world(rules).await;
    for (agent, status) in [
        ("Microsoft-WebDAV-MiniRedir/10.0.19045", 200),
        ("Microscope", 302),
        ("curl/8", 302),
    ] {
        assert_eq!(
            get_as(&world, "/drive/film.mkv", agent).await.status(),
            status,
            "{agent}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_redirects_clients_known_to_follow_and_streams_to_all_others() {
    for (agent, delivery) in [
        ("libmpv", "redirect"),
        ("Lavf/59.27.100", "redirect"),
        ("Kodi/21.0", "redirect"),
        ("VLC/3.0.24 LibVLC/3.0.24", "redirect"),
        ("SomethingNew/1.0", "proxy"),
        ("davfs2/1.6.1 neon/0.32.5", "proxy"),
        ("Microsoft-WebDAV-MiniRedir/10.0", "proxy"),
        ("python-requests/2.34.2", "proxy"),
        ("rclone/v1.60", "proxy"),
        ("", "proxy"),
    ] {
        let world = world("strategy = \"auto\"").await;
        let answer = get_as(&world, "/drive/film.mkv", agent).await;
        assert_eq!(header(&answer, "x-dav123-delivery"), delivery, "{agent}");
        if delivery == "proxy" {
            assert!(
                answer.bytes().await.unwrap() == LARGE.read(0, u64::MAX),
                "{agent}"
            );
        }
        // Small files are streamed to everybody.
        let small = get_as(&world, "/drive/a.txt", agent).await;
        assert_eq!(header(&small, "x-dav123-delivery"), "proxy", "{agent}");
        assert_eq!(world.calls("leaked_authorization"), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_streams_to_everybody_where_the_cdn_demands_a_referer() {
    let world = world("strategy = \"auto\"").await;
    world.cloud.settings().referer = RefererRule::Outer;
    let answer = get_as(&world, "/drive/film.mkv", "libmpv").await;
    assert_eq!(header(&answer, "x-dav123-delivery"), "proxy");
    assert!(answer.bytes().await.unwrap() == LARGE.read(0, u64::MAX));
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_streams_to_a_client_that_came_back_at_once_after_a_302() {
    let world = world("strategy = \"auto\"").await;
    let deliveries = ["redirect", "proxy", "proxy"];
    for delivery in deliveries {
        let answer = get_as(&world, "/drive/film.mkv", "Infuse-Library/7").await;
        assert_eq!(header(&answer, "x-dav123-delivery"), delivery);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_gives_a_player_no_link_that_would_end_before_the_film() {
    let world = world("strategy = \"auto\"").await;
    world.cloud.settings().link_life = Duration::from_secs(1800);
    for player in ["Kodi/21.0", "VLC/3.0.24 LibVLC/3.0.24", "libmpv", "Infuse/8"] {
        let answer = get_as(&world, "/drive/film.mkv", player).await;
        assert_eq!(header(&answer, "x-dav123-delivery"), "proxy", "{player}");
    }
    let wget = get_as(&world, "/drive/film.mkv", "Wget/1.21.3").await;
    assert_eq!(header(&wget, "x-dav123-delivery"), "redirect");
}

fn worker(cloud: &Cloud) -> String {
    let more =
        "strategy = \"proxy-url\"\nproxy_url = \"https://worker.example\"\nproxy_secret = \"worker-key\"";
    KIND.mount(cloud, "/drive", more)
}

#[tokio::test(flavor = "multi_thread")]
async fn proxy_url_redirects_to_the_signed_worker_without_a_call_for_a_link() {
    use base64::Engine;
    use hmac::{Hmac, KeyInit, Mac};
    let fill = |cloud: &Cloud| {
        cloud.add_file("/电影/a b.mkv", "film");
    };
    let world = World::start(options(), fill, worker).await;
    let answer = world.get("/drive/电影/a b.mkv").await;
    assert_eq!(answer.status(), 302);
    assert_eq!(header(&answer, "x-dav123-delivery"), "proxy-url");
    let location = header(&answer, "location");
    let (url, sign) = location.split_once("?sign=").unwrap();
    assert_eq!(url, "https://worker.example/drive/%E7%94%B5%E5%BD%B1/a%20b.mkv");
    let sign = percent_encoding::percent_decode_str(sign).decode_utf8().unwrap();
    let (mac, expires) = sign.rsplit_once(':').unwrap();
    let mut wanted = Hmac::<sha2::Sha256>::new_from_slice(b"worker-key").unwrap();
    wanted.update(format!("/drive/电影/a b.mkv:{expires}").as_bytes());
    let wanted = base64::engine::general_purpose::URL_SAFE.encode(wanted.finalize().into_bytes());
    assert_eq!(mac, wanted);
    assert!(expires.parse::<u64>().unwrap() > now());
    assert!(max_age(&answer) >= 1);
    assert_eq!(world.calls("download_info"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_gets_a_link_for_the_mount_s_secret_alone() {
    let fill = |cloud: &Cloud| {
        cloud.add_file("/film.mkv", "film");
        cloud.settings().referer = RefererRule::Outer;
    };
    let world = World::start(options(), fill, |cloud| {
        worker(cloud) + &KIND.mount(cloud, "/other", "")
    })
    .await;
    let ask = async |token: &str, path: &str| {
        let answer = world
            .http
            .post(world.url("/api/fs/link"))
            .header("authorization", token)
            .body(serde_json::json!({ "path": path }).to_string())
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        let body: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        (status, body)
    };
    let (status, body) = ask("worker-key", "/drive/film.mkv").await;
    assert_eq!((status, &body["code"]), (200, &Value::from(200)), "{body}");
    let url = body["data"]["url"].as_str().unwrap();
    let mut fetch = world.http.get(url);
    for (name, values) in body["data"]["header"].as_object().unwrap() {
        for value in values.as_array().unwrap() {
            fetch = fetch.header(name, value.as_str().unwrap());
        }
    }
    assert_eq!(fetch.send().await.unwrap().text().await.unwrap(), "film");
    for wrong in ["", "worker-kez", "Bearer worker-key", "Basic bWU6eA=="] {
        let (status, body) = ask(wrong, "/drive/film.mkv").await;
        assert_eq!(status, 401, "{wrong}: {body}");
        assert!(body["data"].is_null(), "{body}");
    }
    let (status, body) = ask("worker-key", "/other/film.mkv").await;
    assert_eq!(status, 403, "{body}");
    let (status, _) = ask("worker-key", "/drive/nothing").await;
    assert_eq!(status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_proxy_url_mount_there_is_no_link_for_workers() {
    let world = world("").await;
    let answer = world
        .http
        .post(world.url("/api/fs/link"))
        .header("authorization", "x")
        .body("{\"path\":\"/drive/a.txt\"}")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn past_its_budget_a_mount_answers_403_with_a_sentence_until_the_period_ends() {
    let world = world("strategy = \"proxy\"\nbudget = { bytes = \"4MiB\", per = \"month\" }").await;
    for _ in 0..2 {
        let answer = world.get("/drive/film.mkv").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.bytes().await.unwrap().len(), 3 << 20);
    }
    let refused = world.get("/drive/film.mkv").await;
    assert_eq!(refused.status(), 403);
    let body = refused.text().await.unwrap();
    assert!(body.contains("month"), "{body}");
    assert_eq!(
        world
            .request("HEAD", "/drive/film.mkv")
            .send()
            .await
            .unwrap()
            .status(),
        200
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_budget_that_is_used_up_is_so_after_a_restart() {
    for (strategy, signal) in [("proxy", "TERM"), ("redirect", "KILL")] {
        let budget = "budget = { bytes = \"5MiB\", per = \"month\" }";
        let mut world = world(&format!("strategy = \"{strategy}\"\n{budget}")).await;
        for _ in 0..2 {
            let answer = world.get("/drive/film.mkv").await;
            assert!(answer.status().as_u16() < 400, "{strategy}");
            answer.bytes().await.unwrap();
        }
        let refused = world.get("/drive/film.mkv").await.status();
        assert_eq!(refused, 403, "{strategy}: counted by size");
        if signal == "KILL" {
            let file = world.dir.path().join("state/traffic.json");
            let whole = format!("\"bytes\":{}", 6 << 20);
            let written = || std::fs::read_to_string(&file).is_ok_and(|text| text.contains(&whole));
            crate::world::eventually("the count is written", written).await;
        }
        world.server.signal(signal);
        world
            .server
            .wait(std::time::Duration::from_secs(20))
            .unwrap_or_default();
        world.restart();
        let refused = world.get("/drive/film.mkv").await.status();
        assert_eq!(refused, 403, "{strategy}: after SIG{signal}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webdav_method_is_never_answered_with_a_3xx() {
    let world = world("").await;
    for method in ["PROPFIND", "OPTIONS", "HEAD", "LOCK", "MKCOL", "PROPPATCH"] {
        for path in ["/drive", "/drive/film.mkv", "/", "/drive/", "/drive/film.mkv/"] {
            let status = world
                .request(method, path)
                .header("depth", "0")
                .send()
                .await
                .unwrap()
                .status();
            assert!(!status.is_redirection(), "{method} {path}: {status}");
        }
    }
}

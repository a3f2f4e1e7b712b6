//! Bytes streamed through: exact, resumed, refused where they are not the file.

use std::time::Duration;

use dav123::sim::{CityRule, Cloud, Content, Fault, FaultKind, LinkForm, RefererRule, Relay};

use super::KIND;
use crate::world::kind::Kind;
use crate::world::{World, add_large, eventually, header, options};

const LEN: u64 = 3_000_001;

const FILE: Content = Content::Pattern { seed: 7, len: LEN };

/// Nothing is remembered, so that each request shows what the CDN does to it.
const FORGETFUL: &str = "[cache]\nblocks = \"0B\"\n";

/// A proxied account over `/film.mkv`.
async fn world(fill: impl FnOnce(&Cloud)) -> World {
    World::start_with(
        options(),
        FORGETFUL,
        |cloud| {
            cloud.add_file("/film.mkv", FILE);
            fill(cloud);
        },
        |cloud| KIND.mount(cloud, "/drive", "strategy = \"proxy\""),
    )
    .await
}

async fn ranged(world: &World, range: &str) -> reqwest::Response {
    world
        .request("GET", "/drive/film.mkv")
        .header("range", range)
        .send()
        .await
        .unwrap()
}

/// The whole film, as it is.
async fn assert_whole(world: &World, why: &str) {
    let answer = world.get("/drive/film.mkv").await;
    assert_eq!(answer.status(), 200, "{why}");
    let bytes = answer.bytes().await.unwrap_or_else(|e| panic!("{why}: {e}"));
    assert!(bytes == FILE.read(0, LEN), "{why}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_comes_whole_with_length_type_tag_and_time() {
    let world = world(|_| {}).await;
    let answer = world.get("/drive/film.mkv").await;
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "content-length"), LEN.to_string());
    assert_eq!(header(&answer, "accept-ranges"), "bytes");
    assert_eq!(header(&answer, "transfer-encoding"), "");
    assert_eq!(header(&answer, "content-type"), "video/x-matroska");
    assert_eq!(header(&answer, "etag"), format!("\"{}\"", FILE.md5()));
    assert!(header(&answer, "last-modified").ends_with(" GMT"));
    assert_eq!(header(&answer, "x-dav123-delivery"), "proxy");
    assert!(answer.bytes().await.unwrap() == FILE.read(0, LEN));
    assert_eq!(world.calls("cdn"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn any_range_gives_exactly_its_bytes() {
    let world = world(|_| {}).await;
    for ignores in [false, true] {
        world.cloud.settings().ignore_range = ignores;
        for n in 0..30 {
            let first = fastrand::u64(..LEN);
            let last = match n % 3 {
                0 => fastrand::u64(first..LEN),
                1 => first + fastrand::u64(..2000),
                _ => u64::from(u32::MAX) + fastrand::u64(..1000),
            };
            let answer = ranged(&world, &format!("bytes={first}-{last}")).await;
            let end = last.min(LEN - 1);
            assert_eq!(answer.status(), 206, "{first}-{last}");
            assert_eq!(
                header(&answer, "content-range"),
                format!("bytes {first}-{end}/{LEN}")
            );
            assert_eq!(header(&answer, "content-length"), (end + 1 - first).to_string());
            let bytes = answer.bytes().await.unwrap();
            assert!(
                bytes == FILE.read(first, end + 1 - first),
                "{first}-{last} {ignores}"
            );
        }
        for (range, first, length) in [
            ("bytes=0-0", 0, 1),
            ("bytes=0-", 0, LEN),
            ("bytes=3000000-", LEN - 1, 1),
            ("bytes=-1", LEN - 1, 1),
            ("bytes=-5000", LEN - 5000, 5000),
            ("bytes=-99999999", 0, LEN),
        ] {
            let answer = ranged(&world, range).await;
            assert_eq!(answer.status(), 206, "{range}");
            let last = first + length - 1;
            assert_eq!(
                header(&answer, "content-range"),
                format!("bytes {first}-{last}/{LEN}")
            );
            assert!(
                answer.bytes().await.unwrap() == FILE.read(first, length),
                "{range}"
            );
        }
    }
    assert_eq!(world.calls("download_info"), 1, "one link for all");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_usable_range_gives_the_whole() {
    let world = world(|_| {}).await;
    for odd in ["bytes=abc", "items=0-1", "bytes=5-3", "bytes="] {
        let answer = ranged(&world, odd).await;
        assert_eq!(answer.status(), 200, "{odd}");
        assert!(answer.bytes().await.unwrap() == FILE.read(0, LEN), "{odd}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn if_range_gives_the_part_only_of_the_same_file() {
    let world = world(|_| {}).await;
    let head = world.request("HEAD", "/drive/film.mkv").send().await.unwrap();
    for (tag, status) in [
        (header(&head, "etag"), 206),
        ("\"other\"".to_owned(), 200),
        (format!("W/{}", header(&head, "etag")), 200),
        ("Sun, 06 Nov 1994 08:49:37 GMT".to_owned(), 200),
        (header(&head, "last-modified"), 206),
    ] {
        let answer = world
            .request("GET", "/drive/film.mkv")
            .header("range", "bytes=10-19")
            .header("if-range", &tag)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{tag}");
        let wanted = if status == 206 {
            FILE.read(10, 10)
        } else {
            FILE.read(0, LEN)
        };
        assert!(answer.bytes().await.unwrap() == wanted, "{tag}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_file_is_502_and_never_a_file() {
    let md5 = "0123456789abcdef0123456789abcdef";
    let world = world(|cloud| {
        // Two objects of one MD5: the download gives the first for both.
        cloud.add_file_with_etag("/short", Content::Pattern { seed: 1, len: 100 }, md5);
        cloud.add_file_with_etag("/long", Content::Pattern { seed: 1, len: 200 }, md5);
    })
    .await;
    let answer = world.get("/drive/long").await;
    assert_eq!(answer.status(), 502, "another length");
    assert!(answer.text().await.unwrap().contains("not the file"));
    let part = world
        .request("GET", "/drive/long")
        .header("range", "bytes=0-9")
        .send()
        .await
        .unwrap();
    assert_eq!(part.status(), 502, "a part of a file of another length");
    world.cloud.settings().anti_leech = true;
    let answer = world.get("/drive/film.mkv").await;
    assert_eq!(answer.status(), 502, "an anti-leech page");
    world.cloud.settings().anti_leech = false;
    for kind in [
        FaultKind::Html,
        FaultKind::GarbageJson,
        FaultKind::Status(500, None),
        FaultKind::Code(1010.into(), "download err: 50001".into()),
        FaultKind::Status(204, None),
    ] {
        world.fault(Fault::forever("cdn", kind.clone()));
        let answer = world.get("/drive/film.mkv").await;
        assert_eq!(answer.status(), 502, "{kind:?}");
        assert!(!answer.text().await.unwrap().is_empty());
        world.cloud.clear_faults();
    }
    world.fault(Fault::forever("cdn", FaultKind::Status(429, Some(7))));
    let answer = world.get("/drive/film.mkv").await;
    assert_eq!(answer.status(), 503);
    assert_eq!(header(&answer, "retry-after"), "7");
    world.cloud.clear_faults();
    world.fault(Fault::forever("cdn", FaultKind::Drop));
    assert_eq!(world.get("/drive/film.mkv").await.status(), 504);
    world.cloud.clear_faults();
    assert_whole(&world, "well again").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_is_resumed_at_its_byte_and_the_client_sees_nothing() {
    let world = world(|_| {}).await;
    for after in [0, 1, 700_000, LEN - 1] {
        world.fault(Fault::once("cdn", FaultKind::Truncate(after)));
        assert_whole(&world, &format!("broken after {after}")).await;
    }
    world.fault(Fault::once("cdn", FaultKind::Truncate(900_000)).times(3));
    assert_whole(&world, "broken three times").await;
    world.fault(Fault::once("cdn", FaultKind::Truncate(1_000)));
    let answer = ranged(&world, "bytes=500-9999").await;
    assert!(answer.bytes().await.unwrap() == FILE.read(500, 9500));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_ends_in_the_middle_is_replaced_and_the_stream_goes_on() {
    let world = world(|_| {}).await;
    world.fault(Fault::once("cdn", FaultKind::Truncate(800_000)));
    world.fault(Fault::once("cdn", FaultKind::Status(403, None)));
    assert_whole(&world, "403 in the middle").await;
    assert_eq!(world.calls("download_info"), 2);
    assert_eq!(world.calls("cdn"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_never_gets_on_breaks_and_never_ends_short() {
    let world = world(|_| {}).await;
    world.fault(Fault::forever("cdn", FaultKind::Truncate(10)));
    let answer = world.get("/drive/film.mkv").await;
    assert!(answer.bytes().await.is_err());
    assert!(world.calls("cdn") < 20, "{}", world.calls("cdn"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stall_is_sat_out() {
    let world = world(|_| {}).await;
    world.fault(Fault::once(
        "cdn",
        FaultKind::Stall {
            after: 600_000,
            lasting: Some(Duration::from_secs(1)),
        },
    ));
    assert_whole(&world, "stalled").await;
    assert_eq!(world.calls("cdn"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_link_is_replaced_once() {
    for status in [403, 404, 410] {
        let world = world(|cloud| cloud.settings().expired_status = status).await;
        assert_whole(&world, "fresh").await;
        world.cloud.expire_links();
        assert_whole(&world, &format!("expired by {status}")).await;
        assert_eq!(world.calls("download_info"), 2, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_referer_rule_of_the_cdn_is_met_and_remembered() {
    for rule in [
        RefererRule::Off,
        RefererRule::Outer,
        RefererRule::Inner,
        RefererRule::Origin,
    ] {
        for status in [403, 200] {
            let world = World::start_with(
                options(),
                FORGETFUL,
                |cloud| {
                    cloud.add_file("/film.mkv", FILE);
                    cloud.settings().referer = rule;
                    cloud.settings().refusal_status = status;
                },
                |cloud| {
                    let base = cloud.base();
                    KIND.mount(cloud, "/drive", "strategy = \"proxy\"").replace(
                        &format!("origin = \"{base}\""),
                        "origin = \"https://yun.123pan.cn\"",
                    )
                },
            )
            .await;
            assert_whole(&world, &format!("{rule:?} {status}")).await;
            let before = world.calls("cdn");
            assert_whole(&world, &format!("{rule:?} {status} again")).await;
            assert_eq!(
                world.calls("cdn"),
                before + 1,
                "{rule:?}: what worked is tried first"
            );
            assert_eq!(world.calls("download_info"), 1, "{rule:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_of_another_city_is_streamed_from_here_and_where_even_that_fails_it_is_said() {
    let world = world(|cloud| cloud.settings().city = CityRule::SameAddress).await;
    assert_whole(&world, "same address").await;
    for status in [403, 200] {
        world.cloud.settings().city = CityRule::Nowhere;
        world.cloud.settings().refusal_status = status;
        let answer = world.get("/drive/film.mkv").await;
        assert_eq!(answer.status(), 502, "{status}");
        assert!(answer.text().await.unwrap().contains("city"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_form_of_link_and_relay_leads_to_the_bytes() {
    let forms = [
        LinkForm::Standard,
        LinkForm::StandardEscaped,
        LinkForm::UrlSafe,
        LinkForm::Plain,
    ];
    let relays = [
        Relay::Redirect,
        Relay::Json200,
        Relay::Json210,
        Relay::Bytes,
        Relay::Html,
    ];
    let world = World::start(
        options(),
        |cloud| {
            for form in forms {
                for relay in relays {
                    let name = format!("{form:?}-{relay:?}");
                    cloud.add_file(&format!("/{name}"), name.into_bytes());
                }
            }
        },
        |cloud| {
            KIND.mount(cloud, "/proxy", "strategy = \"proxy\"")
                + &KIND.mount(cloud, "/redirect", "strategy = \"redirect\"")
        },
    )
    .await;
    for form in forms {
        for relay in relays {
            if KIND == Kind::Open && form == LinkForm::Plain {
                // What the Open platform gives plainly is the last link, taken as it is.
                continue;
            }
            world.cloud.settings().link_form = form;
            world.cloud.settings().relay = relay;
            let name = format!("{form:?}-{relay:?}");
            let streamed = world.get(&format!("/proxy/{name}")).await;
            assert_eq!(streamed.status(), 200, "{name}");
            assert_eq!(streamed.text().await.unwrap(), name);
            let redirected = world.get(&format!("/redirect/{name}")).await;
            assert_eq!(redirected.status(), 302, "{name}");
            let link = header(&redirected, "location");
            // One hop: what is handed out gives the bytes at once.
            let bytes = world.http.get(link).send().await.unwrap();
            assert_eq!(bytes.status(), 200, "{name}");
            assert_eq!(bytes.text().await.unwrap(), name);
        }
    }
    assert_eq!(world.calls("leaked_authorization"), 0);
}

/// Connections to a port that are open now, by either end.
pub fn open_connections(port: u16) -> usize {
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    let port = format!(":{port:04X}");
    table
        .lines()
        .skip(1)
        .map(|line| line.split_whitespace().collect::<Vec<_>>())
        .filter(|row| row[2].ends_with(&port) && row[3] == "01")
        .count()
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn the_upstream_is_dropped_the_moment_the_client_goes() {
    let world = World::start(
        options(),
        |cloud| {
            add_large(cloud);
            cloud.settings().throttle = Some(2 << 20);
        },
        |cloud| KIND.mount(cloud, "/drive", "strategy = \"proxy\"") + &KIND.mount(cloud, "/redirect", ""),
    )
    .await;
    let link = header(&world.get("/redirect/large.bin").await, "location");
    let port = url::Url::parse(&link).unwrap().port().unwrap();
    let mut answer = world.get("/drive/large.bin").await;
    assert!(!answer.chunk().await.unwrap().unwrap().is_empty());
    assert_eq!(open_connections(port), 1);
    drop(answer);
    eventually("the upstream is closed", || open_connections(port) == 0).await;
    eventually("the access log tells it", || {
        world.server.log().contains("whole=false")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_client_holds_the_upstream_back_and_costs_little_memory() {
    let world = World::start(
        options(),
        |cloud| {
            add_large(cloud);
        },
        |cloud| KIND.mount(cloud, "/drive", "strategy = \"proxy\""),
    )
    .await;
    let mut answers = Vec::new();
    for _ in 0..8 {
        let mut answer = world.get("/drive/large.bin").await;
        answer.chunk().await.unwrap();
        answers.push(answer);
    }
    // Read one on: the others stand still meanwhile.
    let mut read = 0;
    while read < 100 << 20 {
        read += answers[0].chunk().await.unwrap().unwrap().len();
    }
    let peak = world.server.peak_memory();
    assert!(peak < 64 << 20, "{} MiB", peak >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_token_and_no_client_header_reaches_the_cdn() {
    let world = world(|_| {}).await;
    let answer = world
        .request("GET", "/drive/film.mkv")
        .header("cookie", "a=b")
        .header("referer", "http://evil.example/")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 200);
    assert_whole(&world, "again").await;
    assert_eq!(world.calls("leaked_authorization"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_cold_downloads_of_one_file_cost_one_link_call() {
    let world = world(|_| {}).await;
    let all = (0..50).map(|n| {
        let world = &world;
        async move { ranged(world, &format!("bytes={n}-{}", n + 9)).await.bytes().await }
    });
    for (n, bytes) in futures_util::future::join_all(all).await.into_iter().enumerate() {
        assert!(bytes.unwrap() == FILE.read(n as u64, 10), "{n}");
    }
    assert_eq!(world.calls("list"), 1);
    assert_eq!(world.calls("download_info"), 1);
    assert_eq!(world.calls("cdn"), 50);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_in_use_is_renewed_before_it_ends_and_nobody_waits_for_it() {
    let world = world(|cloud| cloud.settings().link_life = Duration::from_secs(10)).await;
    assert_eq!(ranged(&world, "bytes=0-9").await.status(), 206);
    let slow = FaultKind::Delay(Duration::from_secs(20));
    world.fault(Fault::once("download_info", slow));
    let begun = std::time::Instant::now();
    while world.calls("download_info") < 2 {
        assert!(begun.elapsed() < Duration::from_secs(30), "never renewed");
        let bytes = ranged(&world, "bytes=10-19").await.bytes().await.unwrap();
        assert!(bytes == FILE.read(10, 10));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(begun.elapsed() < Duration::from_secs(20), "somebody waited");
    let bytes = ranged(&world, "bytes=20-29").await.bytes().await.unwrap();
    assert!(bytes == FILE.read(20, 10));
    assert_eq!(world.calls("download_info"), 2, "and once");
}

//! Downloads over one, four and sixteen connections, from a CDN that does to them what a CDN can do.

use std::time::Duration;

use dav123::sim::{CityRule, Cloud, Content, Fault, FaultKind, RefererRule};

use crate::proxy::open_connections;
use crate::world::{World, account, add_large, eventually, header, options};

const LEN: u64 = 5_000_003;
const FILE: Content = Content::Pattern { seed: 11, len: LEN };
const MOUNTS: [(&str, usize); 3] = [("/one", 1), ("/four", 4), ("/sixteen", 16)];

/// The same account three times, with as many connections as the mounts say.
async fn world(fill: impl FnOnce(&Cloud)) -> World {
    World::start_with(
        options(),
        "[cache]\nblocks = \"0B\"\n",
        |cloud| {
            cloud.add_file("/film.mkv", FILE);
            fill(cloud);
        },
        mounts,
    )
    .await
}

fn mounts(cloud: &Cloud) -> String {
    MOUNTS
        .map(|(path, connections)| {
            let more = format!("strategy = \"proxy\"\nproxy_connections = {connections}");
            account(cloud, path, &more).replace(
                &format!("origin = \"{}\"", cloud.base()),
                "origin = \"https://yun.123pan.cn\"",
            )
        })
        .concat()
}

/// A download and some seeks through one mount; what came must be the file's bytes, and all of them unless the
/// connection broke. True if nothing broke.
async fn watch(world: &World, mount: &str, why: &str) -> bool {
    let path = format!("{mount}/film.mkv");
    let mut well = true;
    let answer = world.get(&path).await;
    if answer.status() == 200 {
        well &= right(answer, 0, LEN, why).await;
    } else {
        assert!(answer.status().is_server_error(), "{why}: {}", answer.status());
        assert!(!answer.text().await.unwrap().is_empty(), "{why}");
        well = false;
    }
    for (first, last) in [(LEN - 700_000, LEN - 1), (1_234_567, 4_000_000), (10, 10)] {
        let answer = world
            .request("GET", &path)
            .header("range", format!("bytes={first}-{last}"))
            .send()
            .await
            .unwrap();
        if answer.status() == 206 {
            assert_eq!(
                header(&answer, "content-range"),
                format!("bytes {first}-{last}/{LEN}")
            );
            well &= right(answer, first, last + 1 - first, why).await;
        } else {
            assert!(answer.status().is_server_error(), "{why}: {}", answer.status());
            well = false;
        }
    }
    well
}

/// Whether a body came whole; never anything but the file's bytes, and never an end before the last.
async fn right(mut answer: reqwest::Response, first: u64, length: u64, why: &str) -> bool {
    assert_eq!(header(&answer, "content-length"), length.to_string(), "{why}");
    let wanted = FILE.read(first, length);
    let mut at = 0;
    loop {
        match answer.chunk().await {
            Ok(Some(bytes)) => {
                assert!(wanted[at..].starts_with(&bytes), "{why}: a wrong byte after {at}");
                at += bytes.len();
            }
            Ok(None) => {
                assert_eq!(at, wanted.len(), "{why}: an end too early");
                return true;
            }
            Err(_) => return false,
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_healthy_cdn_gives_the_file_and_more_connections_are_more_requests() {
    let world = world(|_| {}).await;
    for (mount, connections) in MOUNTS {
        let before = world.calls("cdn");
        assert!(watch(&world, mount, mount).await, "{mount}");
        let calls = world.calls("cdn") - before;
        assert_eq!(connections > 1, calls > 4, "{mount}: {calls}");
    }
    assert_eq!(world.calls("download_info"), 1, "one link for all");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_breaks_is_resumed_and_the_client_sees_nothing() {
    let world = world(|_| {}).await;
    let stall = |after| FaultKind::Stall {
        after,
        lasting: Some(Duration::from_millis(300)),
    };
    for (mount, _) in MOUNTS {
        for kind in [
            FaultKind::Truncate(0),
            FaultKind::Truncate(100_001),
            stall(0),
            stall(70_000),
            FaultKind::Drop,
            FaultKind::Status(503, None),
            FaultKind::Status(403, None),
            FaultKind::Delay(Duration::from_millis(50)),
        ] {
            for skip in [0, 1, 3] {
                let fault = Fault::once("cdn", kind.clone()).after(skip).times(2);
                world.cloud.fault(fault);
                let why = format!("{mount} {kind:?} after {skip}");
                let well = watch(&world, mount, &why).await;
                // Two refusals in a row of the first request are an honest 502; over one connection each is the first.
                let refused = matches!(kind, FaultKind::Status(..) | FaultKind::Drop);
                let may_fail = refused && (skip == 0 || mount == "/one");
                assert!(well || may_fail, "{why}");
                world.cloud.clear_faults();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_ends_in_the_middle_is_replaced_for_all_connections() {
    let world = world(|cloud| cloud.settings().throttle = Some(4 << 20)).await;
    for (mount, _) in MOUNTS {
        let path = format!("{mount}/film.mkv");
        let before = world.calls("download_info");
        let mut answer = world.get(&path).await;
        let first = answer.chunk().await.unwrap().unwrap();
        assert!(FILE.read(0, LEN).starts_with(&first));
        world.cloud.expire_links();
        let mut got = first.to_vec();
        while let Some(bytes) = answer.chunk().await.unwrap() {
            got.extend_from_slice(&bytes);
        }
        assert!(got == FILE.read(0, LEN), "{mount}");
        assert!(world.calls("download_info") - before <= 2, "{mount}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_file_is_never_part_of_it() {
    let world = world(|_| {}).await;
    for (mount, _) in MOUNTS {
        for kind in [
            FaultKind::Html,
            FaultKind::GarbageJson,
            FaultKind::Status(500, None),
            FaultKind::Status(204, None),
            FaultKind::Code(1010.into(), "download err: 50001".into()),
        ] {
            world.cloud.fault(Fault::forever("cdn", kind.clone()));
            let why = format!("{mount} {kind:?}");
            assert!(!watch(&world, mount, &why).await, "{why}");
            world.cloud.clear_faults();
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_the_file_ends_a_download_that_has_begun_when_patience_does() {
    // That takes its time: for all at once, each in a world of its own.
    let tried = MOUNTS.map(|(mount, _)| async move {
        let world = world(|_| {}).await;
        world.cloud.fault(Fault::forever("cdn", FaultKind::Html).after(2));
        let cut = Fault::once("cdn", FaultKind::Truncate(50_000)).times(2);
        world.cloud.fault(cut);
        assert!(!watch(&world, mount, mount).await, "{mount}");
        world.cloud.clear_faults();
        assert!(watch(&world, mount, "well again").await);
    });
    futures_util::future::join_all(tried).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cdn_that_ignores_ranges_is_read_on_one_stream() {
    let world = world(|cloud| cloud.settings().ignore_range = true).await;
    for (mount, _) in MOUNTS {
        let before = world.calls("cdn");
        assert!(watch(&world, mount, mount).await, "{mount}");
        assert_eq!(world.calls("cdn") - before, 4, "{mount}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn referer_and_city_are_met_by_every_connection() {
    let rules = [RefererRule::Outer, RefererRule::Inner, RefererRule::Origin];
    for rule in rules {
        let world = world(|cloud| {
            cloud.settings().referer = rule;
            cloud.settings().city = CityRule::SameAddress;
        })
        .await;
        for (mount, _) in MOUNTS {
            assert!(watch(&world, mount, mount).await, "{mount} {rule:?}");
        }
    }
    let world = world(|cloud| cloud.settings().city = CityRule::Nowhere).await;
    for (mount, _) in MOUNTS {
        let answer = world.get(&format!("{mount}/film.mkv")).await;
        assert_eq!(answer.status(), 502);
        assert!(answer.text().await.unwrap().contains("city"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_throttled_cdn_is_read_by_all_connections() {
    let world = World::start(
        options(),
        |cloud| {
            add_large(cloud);
            cloud.settings().throttle = Some(1 << 20);
        },
        mounts,
    )
    .await;
    for (mount, connections) in MOUNTS {
        let before = world.calls("cdn");
        let mut answer = world.get(&format!("{mount}/large.bin")).await;
        while world.calls("cdn") - before < connections as u64 {
            assert!(!answer.chunk().await.unwrap().unwrap().is_empty());
        }
        drop(answer);
        let told = || world.server.log().matches("whole=false").count();
        let gone = MOUNTS.iter().position(|(path, _)| *path == mount).unwrap() + 1;
        eventually("the access log tells it", || told() == gone).await;
    }
}

/// A film that is too large to be read, behind a mount and behind one that shows its link.
async fn large(more: &str) -> World {
    World::start(
        options(),
        |cloud| {
            add_large(cloud);
        },
        |cloud| {
            let more = format!("strategy = \"proxy\"\n{more}");
            account(cloud, "/drive", &more) + &account(cloud, "/redirect", "")
        },
    )
    .await
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn all_connections_are_dropped_the_moment_the_client_goes() {
    let world = large("proxy_connections = 16").await;
    let link = header(&world.get("/redirect/large.bin").await, "location");
    let port = url::Url::parse(&link).unwrap().port().unwrap();
    let stall = FaultKind::Stall {
        after: 1000,
        lasting: None,
    };
    world.cloud.fault(Fault::forever("cdn", stall).after(12));
    let mut answer = world.get("/drive/large.bin").await;
    while world.calls("cdn") < 16 {
        let wait = tokio::time::timeout(Duration::from_millis(50), answer.chunk());
        // All that is left to come stalls.
        let _ = wait.await;
    }
    let open = open_connections(port);
    drop(answer);
    // Those that brought their range are kept for the next download.
    eventually("the stalled ones are closed", || {
        open_connections(port) + 4 <= open
    })
    .await;
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn clients_that_do_not_read_hold_no_more_than_their_windows() {
    let world = large("proxy_connections = 16\nproxy_window = \"4MiB\"").await;
    let mut answers = Vec::new();
    for _ in 0..5 {
        let mut answer = world.get("/drive/large.bin").await;
        let mut read = 0;
        while read < 12 << 20 {
            read += answer.chunk().await.unwrap().unwrap().len();
        }
        answers.push(answer);
    }
    let mut read = 0;
    while read < 100 << 20 {
        read += answers[0].chunk().await.unwrap().unwrap().len();
    }
    let peak = world.server.peak_memory();
    assert!(peak < 80 << 20, "{} MiB", peak >> 20);
}

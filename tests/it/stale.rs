//! Folders that are known: shown at once though they are old, though 123pan is silent, and after a restart.

use std::time::{Duration, Instant};

use dav123::sim::{Cloud, Fault, FaultKind};

use super::KIND;
use crate::world::{PASSWORD, USER, World, eventually, options};

pub async fn cached(cache: &str, fill: impl FnOnce(&Cloud)) -> World {
    let sections = format!("[cache]\n{cache}\n");
    World::start_with(options(), &sections, fill, |cloud| {
        KIND.mount(cloud, "/drive", "")
    })
    .await
}

fn tree(cloud: &Cloud) {
    cloud.add_file("/f/a.txt", "a");
    cloud.add_folder("/unknown");
}

/// Waits until listings are older than a `list_ttl` of 1 s.
pub async fn past_ttl() {
    tokio::time::sleep(Duration::from_millis(1100)).await;
}

fn hang() -> Fault {
    Fault::forever("list", FaultKind::Delay(Duration::from_secs(600)))
}

fn down() -> Fault {
    Fault::forever("list", FaultKind::Status(503, None))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_listing_is_shown_at_once_and_read_anew_behind() {
    let world = cached("list_ttl = \"1s\"", tree).await;
    world.members("/drive").await;
    assert_eq!(world.members("/drive/f").await, ["/drive/f/a.txt"]);
    world.cloud.add_file("/f/b.txt", "b");
    past_ttl().await;
    world.fault(hang());
    let begun = Instant::now();
    assert_eq!(world.members("/drive/f").await, ["/drive/f/a.txt"]);
    assert_eq!(world.propfind("/drive/f/a.txt", "0").await.0, 207);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_listing_lacks_is_not_called_missing_before_123pan_was_asked() {
    let world = cached("list_ttl = \"1s\"", tree).await;
    world.members("/drive/f").await;
    world.cloud.add_file("/f/b.txt", "b");
    assert_eq!(world.propfind("/drive/f/b.txt", "0").await.0, 404);
    past_ttl().await;
    assert_eq!(world.propfind("/drive/f/b.txt", "0").await.0, 207);
    past_ttl().await;
    world.fault(down());
    let (status, text) = world.propfind("/drive/f/c.txt", "0").await;
    assert!((500..600).contains(&status), "{status} {text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn known_folders_are_shown_while_123pan_is_down_and_the_unknown_is_503() {
    for stale in ["0s", "1h"] {
        let world = cached(&format!("list_ttl = \"1s\"\nstale = \"{stale}\""), tree).await;
        world.members("/drive/f").await;
        past_ttl().await;
        for fault in [
            down(),
            Fault::forever("list", FaultKind::Html),
            Fault::forever("list", FaultKind::Code(429.into(), "操作频繁".to_owned())),
        ] {
            world.cloud.clear_faults();
            world.fault(fault);
            for _ in 0..3 {
                assert_eq!(world.members("/drive/f").await, ["/drive/f/a.txt"]);
                assert_eq!(world.propfind("/drive/f/a.txt", "0").await.0, 207);
            }
            let answer = world
                .request("PROPFIND", "/drive/unknown")
                .header("depth", "1")
                .send()
                .await
                .unwrap();
            let status = answer.status().as_u16();
            assert!([502, 503].contains(&status), "{status}");
            assert_eq!(status == 503, answer.headers().contains_key("retry-after"));
        }
        world.cloud.clear_faults();
        world.cloud.add_file("/f/b.txt", "b");
        let begun = Instant::now();
        while world.members("/drive/f").await.len() < 2 {
            assert!(begun.elapsed() < Duration::from_secs(10), "it does not recover");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_known_is_shown_after_a_restart_before_123pan_is_asked() {
    let mut world = cached("list_ttl = \"1s\"", |cloud| {
        tree(cloud);
        for n in 0..250 {
            cloud.add_file(&format!("/many/{n}.txt"), format!("{n}").into_bytes());
        }
    })
    .await;
    world.members("/drive").await;
    world.members("/drive/f").await;
    assert_eq!(world.members("/drive/many").await.len(), 250);
    let put = world.request("PUT", "/drive/f/new.txt").body("new").send().await;
    assert_eq!(put.unwrap().status(), 201);
    // A stop in good order writes what is known.
    world.server.signal("TERM");
    world.server.wait(Duration::from_secs(20));
    world.fault(hang());
    world.restart();
    let begun = Instant::now();
    assert_eq!(world.members("/drive/many").await.len(), 250);
    assert_eq!(
        world.members("/drive/f").await,
        ["/drive/f/a.txt", "/drive/f/new.txt"]
    );
    let (_, text) = world.propfind("/drive/f/a.txt", "0").await;
    assert!(text.contains("0cc175b9c0f1b6a831c399e269772661"), "{text}");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    world.cloud.clear_faults();
    world.cloud.add_file("/f/later.txt", "later");
    world.restart();
    let begun = Instant::now();
    while world.members("/drive/f").await.len() < 3 {
        assert!(begun.elapsed() < Duration::from_secs(10), "it is not compared");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_costs_seconds_of_listings_and_never_shows_what_was_removed_before() {
    let mut world = cached("", tree).await;
    let kept = world.dir.path().join("state/listings.redb");
    let written = || std::fs::metadata(&kept).unwrap().modified().unwrap();
    let before = written();
    world.members("/drive/f").await;
    eventually("the listings are on the disk", || written() > before).await;
    for n in 0..20 {
        let put = world
            .request("PUT", &format!("/drive/f/{n}.txt"))
            .body(format!("{n}"))
            .send();
        assert_eq!(put.await.unwrap().status(), 201);
        if n % 5 == 0 {
            tokio::time::sleep(Duration::from_millis(fastrand::u64(0..2500))).await;
            world.restart();
        }
        let begun = Instant::now();
        while world.members("/drive/f").await.len() < 2 + n {
            assert!(begun.elapsed() < Duration::from_secs(10), "{n}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_can_ask_anew() {
    let world = cached("", tree).await;
    world.members("/drive/f").await;
    world.cloud.add_file("/f/b.txt", "b");
    past_ttl().await;
    assert_eq!(world.members("/drive/f").await.len(), 1);
    let anew = |path: &str, depth: &str, agent: &str| {
        world
            .request("PROPFIND", path)
            .header("depth", depth)
            .header("user-agent", agent)
            .header("cache-control", "max-age=0, no-cache")
            .send()
    };
    let explorer = "Microsoft-WebDAV-MiniRedir/10.0.19045";
    let text = anew("/drive/f", "1", explorer)
        .await
        .unwrap()
        .text()
        .await
        .unwrap();
    assert!(!text.contains("b.txt"), "Explorer says so without meaning it");
    let text = anew("/drive/f", "1", "curl").await.unwrap().text().await.unwrap();
    assert!(text.contains("b.txt"), "{text}");
    world.cloud.add_file("/f/c.txt", "c");
    past_ttl().await;
    assert_eq!(anew("/drive/f/c.txt", "0", "curl").await.unwrap().status(), 207);
    // And the page's way.
    world.cloud.add_file("/f/d.txt", "d");
    past_ttl().await;
    let post = || {
        let url = world.url("/.dav123/refresh") + "?path=%2Fdrive";
        world.http.post(url).basic_auth(USER, Some(PASSWORD))
    };
    let refreshed = post().send();
    let refreshed = refreshed.await.unwrap();
    assert_eq!(refreshed.status(), 200);
    assert!(refreshed.text().await.unwrap().contains("3 folders"));
    assert_eq!(world.members("/drive/f").await.len(), 4);
    let foreign = post().header("sec-fetch-site", "cross-site");
    assert_eq!(foreign.send().await.unwrap().status(), 403);
    let read = world.get("/.dav123/refresh").await;
    assert_eq!(read.status(), 405);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_up_lists_all_below_once() {
    let fill = |cloud: &Cloud| {
        for n in 0..12 {
            cloud.add_file(&format!("/films/{}/{n}.mkv", n % 4), format!("{n}").into_bytes());
        }
        tree(cloud);
    };
    let world = cached("", fill).await;
    let warm = || {
        tokio::process::Command::new(env!("CARGO_BIN_EXE_dav123"))
            .args(["warm", "/drive/films", "--config"])
            .arg(world.dir.path().join("dav.toml"))
            .output()
    };
    let output = warm().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{output:?}");
    assert!(
        text.contains("done: 5 folders (5 asked for), 16 entries"),
        "{text}"
    );
    let calls = world.calls("list");
    world.members("/drive/films/3").await;
    let again = warm().await.unwrap();
    assert!(String::from_utf8_lossy(&again.stdout).contains("done: 5 folders (0 asked for)"));
    assert_eq!(world.calls("list"), calls);
    world.fault(down());
    let refused = tokio::process::Command::new(env!("CARGO_BIN_EXE_dav123"))
        .args(["warm", "/drive/nothing", "--config"])
        .arg(world.dir.path().join("dav.toml"))
        .output()
        .await
        .unwrap();
    assert_eq!(refused.status.code(), Some(1));

    let world = cached("warm = [\"/drive/films\"]", fill).await;
    eventually("warmed up", || world.server.log().contains("warmed up")).await;
    let calls = world.calls("list");
    assert_eq!(world.members("/drive/films/3").await.len(), 3);
    assert_eq!(world.calls("list"), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_nobody_waits_for_any_more_is_not_asked_for() {
    let world = World::start_with(options(), "", tree, |cloud| {
        KIND.mount(cloud, "/drive", "")
            .replace("rate = 100.0", "rate = 1.0")
    })
    .await;
    world.members("/drive").await;
    // The gate is shut for 700 ms: all but the last leave before it opens.
    for n in 0..5 {
        let request = world.request("PROPFIND", "/drive/unknown").header("depth", "1");
        let left = tokio::time::timeout(Duration::from_millis(20), request.send()).await;
        assert!(left.is_err(), "{n}");
    }
    let before = world.calls("list");
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(world.calls("list"), before, "all had left");
    assert_eq!(world.members("/drive/unknown").await.len(), 0);
    assert_eq!(world.calls("list"), before + 1);
}

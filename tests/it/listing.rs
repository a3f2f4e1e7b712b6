//! Listings: whole or broken, page by page, once for all who ask.

use std::time::Duration;

use dav123::sim::{Fault, FaultKind, PageRows};
use futures_util::StreamExt;

use crate::world::{World, account, eventually, options};

fn many(cloud: &dav123::sim::Cloud, folder: &str, count: usize) {
    for n in 0..count {
        cloud.add_file_with_etag(
            &format!("{folder}/{n:05} 很长的中文文件名.mkv"),
            "x",
            "9dd4e461268c8034f5c8564e155c67a6",
        );
    }
}

fn responses(body: &str) -> usize {
    body.matches("<D:response>").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_ten_thousand_costs_a_hundred_calls_and_little_memory() {
    let world = World::account(|cloud| many(cloud, "/big", 10_000)).await;
    let (status, body) = world.propfind("/drive/big", "1").await;
    assert_eq!(status, 207);
    assert_eq!(responses(&body), 10_001);
    assert!(body.ends_with("</D:multistatus>"));
    // The root, then a hundred pages.
    assert_eq!(world.calls("list"), 101);
    let (_, again) = world.propfind("/drive/big", "1").await;
    assert_eq!(responses(&again), 10_001);
    assert_eq!(world.calls("list"), 101, "a known folder costs no call");
    let peak = world.server.peak_memory();
    assert!(peak < 64 << 20, "{} MiB", peak >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_entries_are_sent_while_the_second_page_is_awaited() {
    let world = World::account(|cloud| many(cloud, "/f", 250)).await;
    // The first call lists the root, the second the first page.
    let hang = FaultKind::Stall {
        after: 0,
        lasting: None,
    };
    world.cloud.fault(Fault::forever("list", hang).after(2));
    let answer = world
        .request("PROPFIND", "/drive/f")
        .header("depth", "1")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 207);
    let mut body = answer.bytes_stream();
    let mut seen = String::new();
    while responses(&seen) < 101 {
        let frame = tokio::time::timeout(Duration::from_secs(5), body.next())
            .await
            .expect("nothing came");
        seen.push_str(&String::from_utf8_lossy(&frame.unwrap().unwrap()));
    }
    assert!(!seen.contains("</D:multistatus>"));
    world.cloud.clear_faults();
    while let Some(frame) = body.next().await {
        seen.push_str(&String::from_utf8_lossy(&frame.unwrap()));
    }
    assert_eq!(responses(&seen), 251);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_fails_later_breaks_the_transfer_and_is_not_remembered() {
    let world = World::account(|cloud| many(cloud, "/f", 350)).await;
    world
        .cloud
        .fault(Fault::forever("list", FaultKind::Html).after(3));
    let (status, body) = world.propfind("/drive/f", "1").await;
    assert_eq!(status, 207);
    assert!(
        body.starts_with("broken: "),
        "a well-formed shorter folder: {} entries",
        responses(&body)
    );
    world.cloud.clear_faults();
    let (_, body) = world.propfind("/drive/f", "1").await;
    assert_eq!(responses(&body), 351);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_lacking_are_noticed_by_the_total() {
    let world = World::account(|cloud| many(cloud, "/f", 350)).await;
    world
        .cloud
        .fault(Fault::once("list", FaultKind::LackRows { page: 2, rows: 7 }).after(1));
    let (_, body) = world.propfind("/drive/f", "1").await;
    assert_eq!(responses(&body), 351, "{}", world.server.log());
    let world = World::account(|cloud| many(cloud, "/f", 350)).await;
    world
        .cloud
        .fault(Fault::once("list", FaultKind::RepeatRow { page: 3 }).after(1));
    world
        .cloud
        .fault(Fault::once("list", FaultKind::ShiftTotal { page: 2, by: 1 }).after(1));
    let (_, body) = world.propfind("/drive/f", "1").await;
    assert_eq!(responses(&body), 351, "{}", world.server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_may_have_any_number_of_rows() {
    for rows in [PageRows::Limit, PageRows::Fixed(500), PageRows::Fixed(37)] {
        let mut options = options();
        options.settings.page_rows = rows;
        let world = World::start(options, |c| many(c, "/f", 620), |c| account(c, "/drive", "")).await;
        let (_, body) = world.propfind("/drive/f", "1").await;
        assert_eq!(responses(&body), 621, "{rows:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_at_once_share_one_listing() {
    let world = World::account(|cloud| many(cloud, "/f", 300)).await;
    let all = futures_util::future::join_all((0..30).map(|_| world.propfind("/drive/f", "1"))).await;
    assert!(
        all.iter()
            .all(|(status, body)| *status == 207 && responses(body) == 301)
    );
    assert_eq!(world.calls("list"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_is_served_for_its_time_and_then_asked_anew() {
    let config = |cloud: &dav123::sim::Cloud| account(cloud, "/drive", "");
    let world = World::start_with(options(), "[cache]\nlist_ttl = \"0s\"\n", |_| {}, config).await;
    world.cloud.add_file("/one.txt", "1");
    assert_eq!(responses(&world.propfind("/drive", "1").await.1), 2);
    world.cloud.add_file("/two.txt", "2");
    assert_eq!(responses(&world.propfind("/drive", "1").await.1), 3);

    let world = World::account(|cloud| {
        cloud.add_file("/one.txt", "1");
    })
    .await;
    assert_eq!(responses(&world.propfind("/drive", "1").await.1), 2);
    world.cloud.add_file("/two.txt", "2");
    assert_eq!(responses(&world.propfind("/drive", "1").await.1), 2, "remembered");
    world.server.signal("HUP");
    eventually("SIGHUP is heard", || world.server.log().contains("reloaded")).await;
    assert_eq!(
        responses(&world.propfind("/drive", "1").await.1),
        3,
        "asked anew after SIGHUP"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_kept_is_bounded() {
    let config = |cloud: &dav123::sim::Cloud| account(cloud, "/drive", "");
    let fill = |cloud: &dav123::sim::Cloud| {
        for folder in ["/a", "/b", "/c"] {
            many(cloud, folder, 40);
        }
    };
    let world = World::start_with(options(), "[cache]\nlist_entries = 100\n", fill, config).await;
    for folder in ["/a", "/b", "/c", "/a"] {
        assert_eq!(
            responses(&world.propfind(&format!("/drive{folder}"), "1").await.1),
            41
        );
    }
    // The root, three folders, and the first one again, which had to make room.
    assert!(world.calls("list") >= 5, "{}", world.calls("list"));
}

#[tokio::test(flavor = "multi_thread")]
async fn probe_files_cost_no_call_in_a_known_folder() {
    let world = World::account(|cloud| {
        cloud.add_file("/f/a.txt", "1");
    })
    .await;
    world.propfind("/drive/f", "1").await;
    let calls = world.calls("list");
    for name in [".DS_Store", "desktop.ini", "._a.txt", "Thumbs.db", "nothing.txt"] {
        assert_eq!(world.propfind(&format!("/drive/f/{name}"), "0").await.0, 404);
        assert_eq!(world.get(&format!("/drive/f/{name}")).await.status(), 404);
    }
    assert_eq!(world.calls("list"), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn mounts_nest_and_hide_what_the_drive_has_of_that_name() {
    let world = World::start(
        options(),
        |cloud| {
            cloud.add_file("/films/hidden.txt", "no");
            cloud.add_file("/other/shown.txt", "yes");
            cloud.add_file("/music/a.mp3", "la");
        },
        |cloud| {
            let music = cloud.id("/music").unwrap();
            let all = account(cloud, "/", "");
            let nested = account(cloud, "/films", &format!("root_id = {music}"));
            let deep = account(cloud, "/a/b/c", &format!("root_id = {music}"));
            format!("{all}{nested}{deep}")
        },
    )
    .await;
    let (_, root) = world.propfind("/", "1").await;
    for name in ["/films/", "/other/", "/music/", "/a/"] {
        assert_eq!(
            root.matches(&format!("<D:href>{name}</D:href>")).count(),
            1,
            "{name} in {root}"
        );
    }
    let (_, films) = world.propfind("/films/", "1").await;
    assert!(
        films.contains("/films/a.mp3") && !films.contains("hidden"),
        "{films}"
    );
    assert!(
        world
            .propfind("/a/", "1")
            .await
            .1
            .contains("<D:href>/a/b/</D:href>")
    );
    assert!(world.propfind("/a/b/c", "1").await.1.contains("/a/b/c/a.mp3"));
    assert_eq!(world.propfind("/a/nothing", "1").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn equal_names_are_both_shown_under_names_that_stay() {
    let world = World::account(|cloud| {
        cloud.add_file("/f/twin.txt", "one");
        cloud.add_twin("/f/twin.txt", "three").unwrap();
    })
    .await;
    let (_, body) = world.propfind("/drive/f", "1").await;
    assert_eq!(responses(&body), 3, "{body}");
    let newer = world.request("HEAD", "/drive/f/twin.txt").send().await.unwrap();
    assert_eq!(
        newer.headers()["content-length"],
        "5",
        "the newer one keeps the name"
    );
}

//! Folders of many pages: streamed as they come, whole or broken, at the cost of their pages.

use dav123::sim::{Cloud, Fault, FaultKind, PageRows};

use super::KIND;
use crate::world::kind::Kind;
use crate::world::{World, brief, eventually, head, hrefs, options};

/// A folder `/big` of `count` empty files, `0.txt` and so on.
fn big(count: usize) -> impl FnOnce(&Cloud) {
    move |cloud| {
        for n in 0..count {
            cloud.add_file(&format!("/big/{n}.txt"), "");
        }
    }
}

/// A world whose root is listed already, so that all further list calls are for `/big`.
pub async fn world(count: usize) -> World {
    let world = KIND.world(big(count)).await;
    assert_eq!(world.members("/drive").await, ["/drive/big/"]);
    world.cloud.counters().reset();
    world
}

pub fn expected(count: usize) -> Vec<String> {
    let mut names: Vec<String> = (0..count).map(|n| format!("/drive/big/{n}.txt")).collect();
    names.sort();
    names
}

pub async fn sorted(world: &World) -> Vec<String> {
    let mut members = world.members("/drive/big").await;
    members.sort();
    members
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_of_10_000_entries_is_whole_costs_100_list_calls_and_little_memory() {
    let world = world(10_000).await;
    assert_eq!(sorted(&world).await, expected(10_000));
    assert_eq!(world.calls("list"), 100);
    // From the cache, and many at once: no further call, and the same members.
    let scans = (0..8).map(|_| world.members("/drive/big"));
    for members in futures_util::future::join_all(scans).await {
        assert_eq!(members.len(), 10_000);
    }
    assert_eq!(world.calls("list"), 100);
    let peak = world.server.peak_memory();
    assert!(peak < 64 << 20, "{} MiB", peak >> 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_page_is_sent_while_the_second_is_not_there_yet() {
    let world = world(300).await;
    let stall = FaultKind::Stall {
        after: 0,
        lasting: None,
    };
    world.fault(Fault::once("list", stall).after(1));
    let mut answer = world
        .request("PROPFIND", "/drive/big")
        .header("depth", "1")
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 207);
    let mut body = Vec::new();
    // An account's rows come with the largest id first, those of the Open platform with the smallest.
    let (last, next) = match KIND {
        Kind::Account => ("/200.txt<", "/199.txt<"),
        Kind::Open => ("/99.txt<", "/100.txt<"),
    };
    while !String::from_utf8_lossy(&body).contains(last) {
        body.extend_from_slice(&answer.chunk().await.unwrap().unwrap());
    }
    assert!(!String::from_utf8_lossy(&body).contains(next));
    eventually("the second page is asked for", || world.calls("list") == 2).await;
    body.extend_from_slice(&world.releasing(answer.bytes()).await.unwrap());
    assert_eq!(hrefs(&String::from_utf8(body).unwrap()).len(), 301);
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_may_have_any_number_of_rows() {
    for (rows, calls) in [(500, 3), (37, 33), (1_201, 1)] {
        let world = world(1_201).await;
        world.cloud.settings().page_rows = PageRows::Fixed(rows);
        assert_eq!(sorted(&world).await, expected(1_201));
        assert_eq!(world.calls("list"), calls);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_folder_is_empty_whether_its_list_is_null_or_empty() {
    for null in [true, false] {
        let world = KIND
            .world(|cloud| {
                cloud.settings().null_lists = null;
                cloud.add_folder("/empty");
            })
            .await;
        assert!(world.members("/drive/empty").await.is_empty());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_comes_twice_is_shown_once() {
    let world = world(250).await;
    world.fault(Fault::forever("list", FaultKind::RepeatRow { page: 2 }));
    assert_eq!(sorted(&world).await, expected(250));
    assert_eq!(world.calls("list"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_the_first_page_is_an_error_and_no_multistatus() {
    let world = world(250).await;
    world.fault(Fault::once("list", FaultKind::GarbageJson));
    let (status, body) = world.propfind("/drive/big", "1").await;
    assert_eq!(status, 502, "{body}");
    assert!(!body.contains("multistatus"), "{}", brief(&body));
    assert_eq!(sorted(&world).await, expected(250));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_a_later_page_breaks_the_transfer_and_nothing_is_kept() {
    for kind in [
        FaultKind::GarbageJson,
        FaultKind::Html,
        FaultKind::Drop,
        FaultKind::Status(500, None),
        FaultKind::Code(99.into(), "no".into()),
    ] {
        let world = world(450).await;
        world.fault(Fault::forever("list", kind.clone()).after(2));
        let (status, body) = world.propfind("/drive/big", "1").await;
        assert_eq!(status, 207, "{kind:?}: the first page was in hand");
        assert!(body.starts_with("broken: "), "{kind:?}: {}", brief(&body));
        // A browser's page of the same folder breaks too.
        let page = world.get("/drive/big/").await;
        assert!(page.status() != 200 || page.text().await.is_err(), "{kind:?}");
        world.cloud.clear_faults();
        assert_eq!(sorted(&world).await, expected(450), "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_listing_closes_the_stream_of_http_1_without_a_last_chunk() {
    let world = world(450).await;
    world.fault(Fault::forever("list", FaultKind::GarbageJson).after(2));
    let sent = world.raw("PROPFIND", "/drive/big").await;
    assert!(sent.starts_with("HTTP/1.1 207 "), "{sent}");
    assert!(
        !sent.ends_with("0\r\n\r\n") && !sent.contains("</D:multistatus>"),
        "{sent}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_propfinds_of_a_cold_folder_share_one_flight() {
    let world = world(350).await;
    let scans = (0..30).map(|_| world.members("/drive/big"));
    for members in futures_util::future::join_all(scans).await {
        assert_eq!(members.len(), 350);
    }
    assert_eq!(world.calls("list"), 4);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pace_of_123pan_is_kept_by_all_who_ask_together() {
    let mut strict = options();
    // Not much faster than it is: a busy machine holds calls up by more than a tenth of a short interval.
    strict.settings.pace_scale = 0.5;
    let world = World::start(
        strict,
        |cloud| {
            for folder in 0..12 {
                cloud.add_file(&format!("/{folder}/a.txt"), "");
            }
        },
        |cloud| {
            KIND.mount(cloud, "/drive", "")
                .replace("rate = 100.0", "rate = 2.0")
        },
    )
    .await;
    let paths: Vec<String> = (0..12).map(|n| format!("/drive/{n}")).collect();
    let scans = paths.iter().map(|path| world.members(path));
    for members in futures_util::future::join_all(scans).await {
        assert_eq!(members.len(), 1);
    }
    assert_eq!(world.calls("list"), 13);
    assert_eq!(world.cloud.violations(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn list_entries_bounds_what_is_kept_and_the_longest_unused_folder_goes_first() {
    let world = World::configured(
        options(),
        |cloud| {
            for folder in ["a", "b", "c"] {
                for n in 0..40 {
                    cloud.add_file(&format!("/{folder}/{n}"), "");
                }
            }
        },
        |cloud, dir| {
            format!(
                "[cache]\nlist_entries = 100\n{}{}",
                head(dir),
                KIND.mount(cloud, "/drive", "")
            )
        },
    )
    .await;
    // The root (3 entries and itself) and two folders (41 each) fit.
    for folder in ["a", "b", "a", "b"] {
        world.members(&format!("/drive/{folder}")).await;
    }
    assert_eq!(world.calls("list"), 3);
    world.members("/drive/c").await;
    world.members("/drive/c").await;
    world.members("/drive/b").await;
    assert_eq!(world.calls("list"), 4);
    world.members("/drive/a").await;
    assert_eq!(world.calls("list"), 5, "a was forgotten");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_who_leaves_does_not_cut_the_listing_that_has_cost_calls() {
    let world = world(300).await;
    let stall = FaultKind::Stall {
        after: 0,
        lasting: None,
    };
    world.fault(Fault::once("list", stall).after(1));
    let mut first = world
        .request("PROPFIND", "/drive/big")
        .header("depth", "1")
        .send()
        .await
        .unwrap();
    first.chunk().await.unwrap().unwrap();
    drop(first);
    eventually("the second page is asked for", || world.calls("list") == 2).await;
    assert_eq!(world.releasing(sorted(&world)).await, expected(300));
    assert_eq!(world.calls("list"), 3);
}

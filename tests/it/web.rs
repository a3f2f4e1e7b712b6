//! What only the web API has: totals of listings, several hosts, signatures by the clock, the newest rows first.

use std::time::{Duration, Instant};

use dav123::sim::{Fault, FaultKind};

use crate::faults::code;
use crate::paging::{expected, sorted, world};
use crate::stale::{cached, past_ttl};
use crate::world::{World, account, brief, endpoints, options};

/// A folder of three pages comes whole, in spite of these faults of its listing, by two passes.
async fn comes_whole_by_two_passes(faults: impl IntoIterator<Item = Fault>) {
    let world = world(250).await;
    for fault in faults {
        world.cloud.fault(fault);
    }
    assert_eq!(sorted(&world).await, expected(250));
    assert_eq!(world.calls("list"), 6, "two passes of three pages");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_lacks_rows_is_begun_anew_until_it_is_whole() {
    comes_whole_by_two_passes([Fault::once("list", FaultKind::LackRows { page: 2, rows: 3 })]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_that_is_always_wrong_is_outvoted_by_two_equal_passes() {
    let wrong = |page| Fault::forever("list", FaultKind::ShiftTotal { page, by: 5 });
    comes_whole_by_two_passes((1..=3).map(wrong)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_that_changes_between_pages_begins_the_listing_anew() {
    comes_whole_by_two_passes([Fault::once("list", FaultKind::ShiftTotal { page: 3, by: 1 })]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_that_never_fits_is_given_up_after_3_restarts_and_never_ends_well_formed() {
    let world = world(250).await;
    // Other rows are lacking in each pass.
    for rows in 1..=4 {
        let kind = FaultKind::LackRows { page: 2, rows };
        world.cloud.fault(Fault::once("list", kind));
    }
    let (status, body) = world.propfind("/drive/big", "1").await;
    assert_eq!(status, 207);
    assert!(body.starts_with("broken: "), "{}", brief(&body));
    assert_eq!(world.calls("list"), 12, "four passes of three pages");
    assert_eq!(sorted(&world).await, expected(250), "nothing was kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_total_that_wavers_always_is_outvoted_by_two_equal_passes() {
    let world = world(250).await;
    world
        .cloud
        .fault(Fault::forever("list", FaultKind::ShiftTotal { page: 2, by: 1 }));
    assert_eq!(sorted(&world).await, expected(250));
    assert!(world.calls("list") <= 12, "{}", world.calls("list"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_wrong_is_set_once_by_the_time_call_or_else_by_the_date_of_its_answer() {
    for (ahead, how, time_call) in [
        (7200, "it is slow", true),
        (-7200, "it is fast", true),
        (86_400 * 3, "it is slow", false),
    ] {
        let world = World::account(|cloud| {
            for n in 0..20 {
                cloud.add_file(&format!("/{n}/a.txt"), "a");
            }
            cloud.settings().clock_ahead = ahead;
        })
        .await;
        if !time_call {
            world.cloud.fault(Fault::forever("server_time", FaultKind::Html));
        }
        world.members("/drive").await;
        assert_eq!(world.calls("server_time"), 1, "{ahead}");
        let log = world.server.log();
        assert!(log.contains(how) && log.contains("set the clock right"), "{log}");
        let world_ref = &world;
        let refused = world.calls("list");
        let all = (0..20).map(|n| async move { world_ref.propfind(&format!("/drive/{n}"), "1").await });
        for (status, body) in futures_util::future::join_all(all).await {
            assert_eq!(status, 207, "{body}");
        }
        assert_eq!(world.calls("list"), refused + 20, "every signature is right now");
        assert_eq!(world.calls("server_time"), 1);
        let answer = world.get("/drive/3/a.txt").await;
        assert_eq!(answer.status(), 302);
        // The link's `t=` is the cloud's time: by ours it lives a day, not three more and not none.
        let life = crate::world::header(&answer, "cache-control");
        let life: u64 = life.rsplit('=').next().unwrap().parse().unwrap();
        assert!((80_000..=86_400).contains(&life), "{ahead} {life}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_signature_of_a_slow_clock_is_a_sentence_about_the_clock() {
    let world = World::account(|cloud| {
        cloud.add_file("/a.txt", "a");
        cloud.add_folder("/unknown");
    })
    .await;
    world.cloud.fault(Fault::once(
        "list",
        code(400, "签名错误:ak illegality, check the time"),
    ));
    assert_eq!(
        world.members("/drive").await.len(),
        2,
        "the clock was set, then it works"
    );
    assert_eq!(world.calls("server_time"), 1);
    world
        .cloud
        .fault(Fault::forever("list", code(400, "签名错误:ak illegality")));
    let (status, body) = world.propfind("/drive/unknown", "1").await;
    assert_eq!(status, 502);
    assert!(body.contains("clock"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_api_host_is_taken_when_the_first_cannot_be_connected_to() {
    // A port that was free a moment ago: nobody answers there.
    let dead = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let world = World::start(
        options(),
        |cloud| {
            cloud.add_file("/a.txt", "a");
        },
        |cloud| {
            let base = cloud.base();
            account(cloud, "/drive", "").replace(
                &endpoints(cloud),
                &endpoints(cloud).replace(
                    &format!("api = \"{base}/b/api\""),
                    &format!("api = [\"http://{dead}/b/api\", \"{base}/b/api\"]"),
                ),
            )
        },
    )
    .await;
    assert_eq!(world.members("/drive").await, ["/drive/a.txt"]);
    assert_eq!(world.get("/drive/a.txt").await.status(), 302);
    let changes = world.server.log().matches("taking the next one").count();
    assert_eq!(changes, 1, "the host that answers is kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_folder_that_has_grown_costs_one_call() {
    let world = cached("list_ttl = \"1s\"", |cloud| {
        for n in 0..5000 {
            cloud.add_file(&format!("/many/{n}.txt"), "x");
        }
    })
    .await;
    assert_eq!(world.members("/drive/many").await.len(), 5000);
    let before = world.calls("list");
    world.cloud.add_file("/many/new.txt", "new");
    past_ttl().await;
    assert_eq!(world.propfind("/drive/many/new.txt", "0").await.0, 207);
    let calls = world.calls("list") - before;
    assert!(calls < 20, "the root's and one more, not {calls}");
    assert_eq!(world.members("/drive/many").await.len(), 5001);
    world.cloud.remove("/many/7.txt");
    past_ttl().await;
    let begun = Instant::now();
    while world.members("/drive/many").await.len() == 5001 {
        assert!(begun.elapsed() < Duration::from_secs(20));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert!(
        world.calls("list") - before > 50,
        "what is gone calls for all pages"
    );
}

//! Beginnings and ends of files that were streamed are remembered for a while.

use dav123::sim::{Cloud, Content};
use futures_util::future::join_all;

use super::KIND;
use crate::world::{World, header, options};

const LEN: u64 = 30_000_001;
const FILE: Content = Content::Pattern { seed: 5, len: LEN };

async fn world(more: &str) -> World {
    let mounts = |cloud: &Cloud| KIND.mount(cloud, "/drive", &format!("strategy = \"proxy\"\n{more}"));
    World::start(
        options(),
        |cloud| {
            let _ = cloud.add_file("/film.mkv", FILE);
        },
        mounts,
    )
    .await
}

async fn part(world: &World, path: &str, first: u64, last: u64) -> Vec<u8> {
    let answer = world
        .request("GET", path)
        .header("range", format!("bytes={first}-{last}"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 206);
    answer.bytes().await.unwrap().to_vec()
}

/// What a media library reads of a film: the head, the index at the end, the head again.
async fn scan(world: &World) {
    for (first, last) in [
        (0, 65_535),
        (LEN - 200_000, LEN - 1),
        (0, 1_000_000),
        (LEN - 1, LEN - 1),
    ] {
        let got = part(world, "/drive/film.mkv", first, last).await;
        assert!(got == FILE.read(first, last + 1 - first), "{first}-{last}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_library_that_scans_again_and_again_costs_one_scan() {
    for more in ["", "proxy_connections = 4"] {
        let world = world(more).await;
        scan(&world).await;
        let before = world.calls("cdn");
        for _ in 0..5 {
            scan(&world).await;
        }
        assert_eq!(world.calls("cdn"), before);
        // Not even a link is asked for any more.
        world.cloud.expire_links();
        join_all((0..10).map(|_| scan(&world))).await;
        assert_eq!(world.calls("cdn"), before);
        assert_eq!(world.calls("download_info"), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_who_ask_for_the_same_at_once_cost_one_read() {
    let world = world("").await;
    let all = (0..50).map(|_| part(&world, "/drive/film.mkv", 0, 99_999));
    for got in join_all(all).await {
        assert!(got == FILE.read(0, 100_000));
    }
    assert_eq!(world.calls("cdn"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_overwritten_is_the_new_one() {
    let world = world("").await;
    let old = vec![b'o'; 5000];
    for content in [old.clone(), vec![b'n'; 5000], old] {
        let put = world.request("PUT", "/drive/a.bin").body(content.clone());
        assert!(put.send().await.unwrap().status().is_success());
        for _ in 0..2 {
            let answer = world.get("/drive/a.bin").await;
            assert_eq!(header(&answer, "content-length"), "5000");
            assert!(answer.bytes().await.unwrap() == content);
            assert_eq!(part(&world, "/drive/a.bin", 10, 19).await, content[10..20]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn zero_bytes_switch_it_off() {
    let world = World::start_with(
        options(),
        "[cache]\nblocks = \"0B\"\n",
        |cloud| {
            let _ = cloud.add_file("/film.mkv", FILE);
        },
        |cloud| KIND.mount(cloud, "/drive", "strategy = \"proxy\""),
    )
    .await;
    for calls in [4, 8] {
        scan(&world).await;
        assert_eq!(world.calls("cdn"), calls);
    }
}

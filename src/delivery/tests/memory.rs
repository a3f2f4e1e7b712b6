//! Beginnings and ends of files that were streamed lately.

use futures_util::future::join_all;

use super::*;

/// A file behind an engine that remembers.
async fn world(size: usize, script: impl IntoIterator<Item = Act>) -> World {
    World::new(size, script).await.blocks(64 * MIB)
}

async fn part(world: &World, first: usize, last: usize) {
    let size = world.resource.entry.size.unwrap() as usize;
    let response = world.get(&[("range", &format!("bytes={first}-{last}"))]).await;
    assert_eq!(response.status(), 206);
    assert_eq!(
        header(&response, "content-range"),
        format!("bytes {first}-{last}/{size}")
    );
    assert_eq!(header(&response, "x-dav123-delivery"), "proxy");
    assert!(read(response).await.unwrap() == bytes(size)[first..=last]);
}

#[tokio::test]
async fn a_repeated_scan_costs_nothing() {
    for connections in [1, 4] {
        let world = world(12 * MIB, [])
            .await
            .delivery(|delivery| delivery.proxy_connections = connections);
        let scan = async || {
            part(&world, 0, 300_000).await;
            part(&world, 12 * MIB - 500_000, 12 * MIB - 1).await;
            part(&world, 1000, 200_000).await;
            part(&world, 12 * MIB - 1, 12 * MIB - 1).await;
        };
        scan().await;
        let before = world.calls();
        scan().await;
        assert_eq!(world.calls(), before);
        // A reader from the beginning who leaves within what is known costs nothing either.
        let mut body = world.get(&[]).await.into_body();
        let frame = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(bytes(MIB).starts_with(&frame));
        drop(body);
        assert_eq!(world.calls(), before);
        // One who goes on gets the rest from the CDN, from there on.
        part(&world, 5, 6 * MIB).await;
        let first = world.cdn.ranges().into_iter().map(|(first, _)| first);
        assert_eq!(first.filter(|&first| first == 300_001).count(), 1);
        // What lies in the middle is not kept.
        let before = world.cdn.heads().len();
        part(&world, 5 * MIB, 5 * MIB + 9).await;
        assert_eq!(world.cdn.heads().len(), before + 1);
    }
}

#[tokio::test]
async fn a_small_file_is_read_once_and_its_head_is_the_same_each_time() {
    let world = world(3000, []).await;
    let first = world.get(&[]).await;
    let heads = first.headers().clone();
    assert!(read(first).await.unwrap() == bytes(3000));
    for _ in 0..3 {
        let again = world.get(&[]).await;
        assert_eq!((again.status().as_u16(), again.headers()), (200, &heads));
        assert!(read(again).await.unwrap() == bytes(3000));
    }
    assert_eq!(world.calls(), 2);
}

#[tokio::test]
async fn a_file_that_was_overwritten_shows_no_old_byte() {
    let mut world = world(3000, []).await;
    whole(&world).await;
    // The CDN serves the same bytes: what counts is that they are asked for.
    for (calls, md5) in [(2, 0xcd), (3, 0xab), (3, 0xcd)] {
        world = world.entry(|entry| entry.md5 = Some([md5; 16]));
        whole(&world).await;
        let expected = if md5 == 0xab || calls == 3 { 2 } else { calls };
        assert_eq!(world.cdn.heads().len(), expected, "{md5:x}");
    }
    // Without an MD5 nobody knows whether it is the same.
    world = world.entry(|entry| entry.md5 = None);
    for calls in [3, 4] {
        whole(&world).await;
        assert_eq!(world.cdn.heads().len(), calls);
    }
}

#[tokio::test]
async fn readers_of_the_same_bytes_at_the_same_time_cost_one_read() {
    for script in [
        vec![],
        vec![Act::Trickle(20_000)],
        vec![Act::Cut(100_000), Act::Cut(7)],
    ] {
        let breaks = script.iter().filter(|act| matches!(act, Act::Cut(_))).count();
        let mut world = world(MIB, script).await;
        world.engine.limits.follow = Duration::from_secs(30);
        join_all((0..20).map(|_| whole(&world))).await;
        assert_eq!(world.cdn.heads().len(), 1 + breaks);
    }
    // And where they read different parts of it, no byte is asked for twice.
    let mut world = world(MIB, []).await;
    world.engine.limits.follow = Duration::from_secs(30);
    join_all((0..20).map(|n| part(&world, n * 10, 500_000 + n * 10))).await;
    let asked: usize = world
        .cdn
        .ranges()
        .iter()
        .map(|(first, last)| last + 1 - first)
        .sum();
    assert_eq!(asked, 500_191);
}

#[tokio::test]
async fn a_slow_reader_does_not_hold_the_others_back() {
    let world = world(8 * MIB, []).await;
    let mut slow = world.get(&[]).await.into_body();
    slow.frame().await.unwrap().unwrap();
    tokio::time::timeout(Duration::from_secs(20), whole(&world))
        .await
        .unwrap();
    assert_eq!(world.cdn.heads().len(), 2);
    // It was not cut off for that.
    let rest = slow.collect().await.unwrap().to_bytes();
    assert!(bytes(8 * MIB).ends_with(&rest));
}

#[tokio::test]
async fn who_waits_for_a_download_that_fails_or_leaves_goes_on_alone() {
    let refusals = vec![Act::Say(403, "text/plain", "no"); 2];
    let world = world(MIB, refusals).await;
    let all = join_all((0..5).map(|_| world.ask("GET", &[]))).await;
    let (well, ill): (Vec<_>, Vec<_>) = all.into_iter().partition(Result::is_ok);
    assert_eq!((well.len(), ill.len()), (4, 1));
    for response in well {
        assert!(read(response.unwrap()).await.unwrap() == bytes(MIB));
    }
    let world = super::memory::world(4 * MIB, []).await;
    let mut first = world.get(&[]).await.into_body();
    first.frame().await.unwrap().unwrap();
    let leaves = async {
        tokio::time::sleep(LIMITS.follow / 10).await;
        drop(first);
    };
    tokio::join!(whole(&world), leaves);
    assert_eq!(world.cdn.heads().len(), 2);
}

#[tokio::test]
async fn a_look_at_the_end_disturbs_nobody() {
    let world = world(16 * MIB, []).await;
    let mut playing = world.get(&[]).await.into_body();
    let mut got = Vec::new();
    while got.len() < MIB {
        got.extend_from_slice(&playing.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    for _ in 0..3 {
        part(&world, 16 * MIB - 65_536, 16 * MIB - 1).await;
    }
    got.extend_from_slice(&playing.collect().await.unwrap().to_bytes());
    assert!(got == bytes(16 * MIB));
    assert_eq!(world.cdn.heads().len(), 2);
}

#[tokio::test]
async fn what_comes_from_memory_counts_for_the_budget_too() {
    let world = world(1000, []).await.delivery(|delivery| {
        delivery.budget = Some(config::Budget {
            bytes: 1500,
            per: config::Period::Month,
        });
    });
    whole(&world).await;
    whole(&world).await;
    assert_eq!(world.cdn.heads().len(), 1);
    assert_eq!(world.failure().await, ErrorKind::Forbidden);
}

#[tokio::test]
async fn a_stream_that_fails_after_what_is_remembered_breaks() {
    let mut acts = vec![Act::Serve];
    acts.extend(vec![Act::Say(404, "text/plain", "gone"); 4]);
    let world = world(12 * MIB, acts).await;
    part(&world, 0, 99_999).await;
    let mut body = world.get(&[]).await.into_body();
    let mut got = 0;
    let error = loop {
        match body.frame().await.unwrap() {
            Ok(frame) => got += frame.into_data().unwrap().len(),
            Err(error) => break error,
        }
    };
    assert_eq!(got, 100_000);
    assert!(
        error.to_string().contains("refused a fresh download link"),
        "{error}"
    );
}

/// Reads to the end or the error; how many right bytes came before that.
async fn as_far_as_it_goes(world: &World) -> (usize, Option<String>) {
    let size = world.resource.entry.size.unwrap() as usize;
    let mut body = world.get(&[]).await.into_body();
    let mut got = Vec::new();
    let mut why = None;
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => got.extend_from_slice(&frame.into_data().unwrap()),
            Err(error) => why = Some(error.to_string()),
        }
    }
    assert!(bytes(size).starts_with(&got));
    (got.len(), why)
}

#[tokio::test]
async fn a_refusal_after_what_is_remembered_is_not_asked_about_again_and_again() {
    let mut acts = vec![Act::Serve];
    acts.extend(vec![Act::Say(403, "text/plain", "no"); 40]);
    let mut world = world(12 * MIB, acts).await;
    world.engine.limits.outage = Duration::from_millis(300);
    part(&world, 0, 99_999).await;
    let before = world.asked();
    let reading = tokio::time::timeout(LIMITS.outage + Duration::from_secs(2), as_far_as_it_goes(&world));
    // A refused fresh link asks for a pause longer than this test.
    assert!(reading.await.is_err());
    assert!(world.asked() - before <= 3, "{}", world.asked() - before);
}

#[tokio::test]
async fn a_version_that_the_cdn_has_no_more_is_forgotten_at_once() {
    let mut world = world(12 * MIB, [Act::Tagged("a")]).await;
    world.engine.limits.outage = Duration::from_secs(90);
    part(&world, 0, 99_999).await;
    world.cdn.tag("b");
    let reading = tokio::time::timeout(Duration::from_secs(10), as_far_as_it_goes(&world));
    let (got, why) = reading.await.unwrap();
    assert_eq!(got, 100_000);
    assert!(why.unwrap().contains("changed"));
    whole(&world).await;
}

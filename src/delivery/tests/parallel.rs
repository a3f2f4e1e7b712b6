//! Downloads over several connections.

use super::*;

const PART: usize = LIMITS.part as usize;

/// A file behind an engine with so many connections.
async fn world(connections: usize, size: usize, script: impl IntoIterator<Item = Act>) -> World {
    World::new(size, script).await.delivery(|delivery| {
        delivery.proxy_connections = connections;
        delivery.proxy_window = MIB as u64;
    })
}

#[tokio::test]
async fn ranges_side_by_side_make_the_file_and_no_byte_is_asked_twice() {
    for connections in [2, 4, 16] {
        let world = world(connections, 3 * MIB + 5, []).await;
        let response = world.get(&[]).await;
        assert_eq!(response.status(), 200);
        assert_eq!(header(&response, "content-length"), (3 * MIB + 5).to_string());
        assert!(read(response).await.unwrap() == bytes(3 * MIB + 5));
        let mut ranges = world.cdn.ranges();
        assert_eq!(ranges[0], (0, PART - 1), "the first is short");
        let used = world.cdn.connections();
        assert!(used > 1 && used <= connections, "{used} connections");
        ranges.sort_unstable();
        let ends = ranges.iter().map(|(_, last)| last + 1);
        let begins = ranges.iter().map(|(first, _)| *first).skip(1);
        assert!(ends.eq(begins.chain([3 * MIB + 5])), "{ranges:?}");
    }
}

#[tokio::test]
async fn a_part_of_the_file_is_fetched_so_too() {
    let world = world(4, 2 * MIB, []).await;
    let response = world.get(&[("range", "bytes=100000-1999999")]).await;
    assert_eq!(response.status(), 206);
    assert_eq!(
        header(&response, "content-range"),
        format!("bytes 100000-1999999/{}", 2 * MIB)
    );
    assert!(read(response).await.unwrap() == bytes(2 * MIB)[100_000..2_000_000]);
    assert!(world.cdn.connections() > 1);
    // A small part takes one request.
    let before = world.cdn.heads().len();
    let response = world.get(&[("range", "bytes=7-20006")]).await;
    assert!(read(response).await.unwrap() == bytes(MIB)[7..20_007]);
    assert_eq!(world.cdn.heads().len(), before + 1);
}

#[tokio::test]
async fn a_cdn_that_ignores_ranges_is_read_once() {
    let world = world(4, MIB, [Act::IgnoreRange]).await;
    whole(&world).await;
    assert_eq!(world.cdn.heads().len(), 1);
    let response = {
        let ignores = vec![Act::IgnoreRange; 9];
        super::parallel::world(4, MIB, ignores).await
    };
    let part = response.get(&[("range", "bytes=300000-")]).await;
    assert!(read(part).await.unwrap() == bytes(MIB)[300_000..]);
    assert_eq!(response.cdn.heads().len(), 1);
}

#[tokio::test]
async fn a_cdn_that_begins_to_ignore_ranges_is_read_to_the_end_by_one() {
    for connections in [2, 16] {
        let mut acts = vec![Act::Serve; 3];
        acts.extend(vec![Act::IgnoreRange; 40]);
        let world = world(connections, 4 * MIB, acts).await;
        whole(&world).await;
        // Each connection may find out for itself, and the one that is left reads on.
        assert!(
            world.cdn.heads().len() <= 3 + connections + 2,
            "{}",
            world.cdn.heads().len()
        );
    }
}

/// Position after the last byte asked for.
fn farthest(world: &World) -> usize {
    let ends = world.cdn.ranges().into_iter().map(|(_, last)| last + 1);
    ends.max().unwrap()
}

#[tokio::test]
async fn nothing_is_read_past_the_window_of_a_client_that_does_not_read() {
    let world = world(16, 16 * MIB, []).await;
    let mut response = world.get(&[]).await;
    let mut got = 0;
    while got < 8 * MIB {
        got += response
            .body_mut()
            .frame()
            .await
            .unwrap()
            .unwrap()
            .into_data()
            .unwrap()
            .len();
        let farthest = farthest(&world);
        assert!(farthest <= got + MIB, "{farthest} asked for, {got} taken");
    }
    // Waiting for the client is no stall.
    tokio::time::sleep(2 * LIMITS.stall).await;
    assert!(farthest(&world) <= got + MIB);
    assert!(read(response).await.is_ok());
}

#[tokio::test]
async fn a_client_that_looks_and_leaves_costs_one_request() {
    let world = world(16, 16 * MIB, []).await;
    let mut response = world.get(&[]).await;
    response.body_mut().frame().await.unwrap().unwrap();
    drop(response);
    assert_eq!(world.cdn.ranges(), [(0, PART - 1)]);
}

#[tokio::test]
async fn every_connection_is_dropped_when_the_client_leaves() {
    let mut acts = vec![Act::Serve];
    acts.extend(vec![Act::Stall(1); 50]);
    let world = world(4, 8 * MIB, acts).await;
    let mut response = world.get(&[]).await;
    let body = response.body_mut();
    let meanwhile = async {
        loop {
            // The first range comes, the others stall; all four are asked for.
            if body.frame().await.is_none() || world.cdn.heads().len() >= 4 {
                return;
            }
        }
    };
    let _ = tokio::time::timeout(LIMITS.stall / 2, meanwhile).await;
    let stalled = world.cdn.heads().len() - 1;
    assert!(stalled >= 1);
    drop(response);
    tokio::time::timeout(Duration::from_secs(5), world.cdn.was_left_by(stalled))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_slow_connection_loses_its_range_to_the_others() {
    for act in [Act::Trickle(20), Act::Stall(9_000), Act::Stall(0)] {
        let world = world(4, 2 * MIB, [Act::Serve, act]).await;
        whole(&world).await;
        let ranges = world.cdn.ranges();
        let (first, last) = ranges[1];
        let taken = ranges[2..].iter().any(|(from, _)| (first..=last).contains(from));
        assert!(taken, "{act:?}: {ranges:?}");
    }
}

#[tokio::test]
async fn connections_of_the_same_pace_share_the_end() {
    let world = world(4, 9 * PART, vec![Act::Trickle(301); 60]).await;
    whole(&world).await;
    let ranges = world.cdn.ranges();
    let inside = |n: usize| {
        let (first, last) = ranges[n];
        let around = |(from, until): &(usize, usize)| *from < first && last <= *until;
        ranges[..n].iter().any(around)
    };
    assert!((0..ranges.len()).any(inside), "{ranges:?}");
}

#[tokio::test]
async fn each_range_goes_on_at_the_byte_where_it_broke() {
    for connections in [2, 4, 16] {
        for act in [Act::Cut(5000), Act::Reset(5000), Act::Cut(0)] {
            let acts = [vec![act; 3], vec![Act::Serve; 2]].concat().repeat(4);
            let world = world(connections, MIB, acts).await;
            whole(&world).await;
        }
    }
}

#[tokio::test]
async fn a_refused_link_is_renewed_for_all_connections() {
    let mut acts = vec![Act::Serve; 2];
    acts.push(Act::Say(403, "text/plain", "expired"));
    let world = world(4, 2 * MIB, acts).await;
    whole(&world).await;
    assert_eq!(world.links.refused.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn connections_that_the_cdn_does_not_grant_are_done_without() {
    for act in [
        Act::Say(429, "text/plain", "slow"),
        Act::Say(403, "text/plain", "too many"),
        Act::Say(503, "text/plain", "ill"),
    ] {
        let mut acts = vec![Act::Serve];
        acts.extend(vec![act; 3]);
        let world = world(4, MIB, acts).await;
        assert!(read(world.get(&[]).await).await.unwrap() == bytes(MIB), "{act:?}");
    }
}

#[tokio::test]
async fn what_never_gets_on_ends_in_an_error_after_a_bounded_number_of_requests() {
    for act in [
        Act::Cut(10),
        Act::Say(403, "text/plain", "no"),
        Act::Say(200, "text/html", "<html>"),
    ] {
        let acts = [vec![Act::Serve], vec![act; 400]].concat();
        let world = world(16, MIB, acts).await;
        let mut body = world.get(&[]).await.into_body();
        let mut got = Vec::new();
        let error = loop {
            match body.frame().await {
                Some(Ok(frame)) => got.extend_from_slice(&frame.into_data().unwrap()),
                Some(Err(error)) => break Some(error),
                None => break None,
            }
        };
        assert!(error.is_some(), "{act:?}");
        assert!(bytes(MIB).starts_with(&got) && got.len() < MIB, "{act:?}");
        assert!(
            world.cdn.heads().len() < 120,
            "{act:?}: {}",
            world.cdn.heads().len()
        );
    }
}

#[tokio::test]
async fn ranges_of_another_file_are_never_mixed_in() {
    let acts = [vec![Act::Tagged("\"a\""); 3], vec![Act::Tagged("\"b\"")]].concat();
    let world = world(4, MIB, acts).await;
    let error = read(world.get(&[]).await).await.unwrap_err();
    assert!(error.to_string().contains("changed"), "{error}");
}

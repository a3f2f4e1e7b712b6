//! Connections to the CDN between two answers.

use super::*;

/// Waits until so few connections are open at the CDN.
async fn open_at_the_most(world: &World, most: usize) {
    let down = async {
        while world.cdn.connections_open() > most {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(5), down).await;
    assert!(
        waited.is_ok(),
        "{} connections are open",
        world.cdn.connections_open()
    );
}

#[tokio::test]
async fn a_connection_is_kept_when_all_was_read_and_closed_when_not() {
    let world = World::new(64 * MIB, []).await;
    whole(&world).await;
    whole(&world).await;
    assert_eq!((world.cdn.connections(), world.cdn.connections_open()), (1, 1));
    let mut response = world.get(&[]).await;
    response.body_mut().frame().await.unwrap().unwrap();
    drop(response);
    open_at_the_most(&world, 0).await;
    whole(&world).await;
    assert_eq!(world.cdn.connections(), 2);
}

#[tokio::test]
async fn a_kept_connection_that_the_cdn_closes_costs_no_link_and_no_answer() {
    for quiet in [true, false] {
        let world = World::new(MIB, [Act::Cut(MIB), Act::Cut(MIB)]).await;
        for _ in 0..2 {
            whole(&world).await;
            if quiet {
                open_at_the_most(&world, 0).await;
            }
        }
        whole(&world).await;
        assert_eq!((world.cdn.heads().len(), world.asked()), (3, 3));
        assert_eq!(world.cdn.connections(), 3);
    }
}

#[tokio::test]
async fn however_many_kept_ones_are_closed_the_next_download_begins() {
    let world = World::new(1000, [Act::Cut(1000); 8]).await;
    let mut answers = Vec::new();
    for _ in 0..8 {
        answers.push(world.get(&[]).await);
    }
    for answer in answers {
        assert!(read(answer).await.unwrap() == bytes(1000));
    }
    open_at_the_most(&world, 0).await;
    whole(&world).await;
    assert_eq!((world.cdn.heads().len(), world.cdn.connections()), (9, 9));
}

#[tokio::test]
async fn no_more_than_some_are_kept_and_none_for_long() {
    let world = World::new(1000, []).await;
    let mut answers = Vec::new();
    for _ in 0..60 {
        answers.push(world.get(&[]).await);
    }
    assert_eq!(world.cdn.connections_open(), 60);
    for answer in answers {
        assert!(read(answer).await.unwrap() == bytes(1000));
    }
    // 16 of the wide client and 32 of the narrow one.
    open_at_the_most(&world, 48).await;
    later(49).await;
    whole(&world).await;
    assert_eq!((world.cdn.connections(), world.cdn.connections_open()), (60, 48));
    // The one that was used is as new.
    later(2).await;
    open_at_the_most(&world, 1).await;
    later(50).await;
    open_at_the_most(&world, 0).await;
    whole(&world).await;
    assert_eq!(world.cdn.connections(), 61);
}

#[tokio::test]
async fn a_connection_is_for_its_own_runtime_until_that_has_left_it_for_a_while() {
    let world = Arc::new(World::new(1000, []).await);
    let [other, third] = [(); 2].map(|()| {
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        runtime.worker_threads(1).enable_all().build().unwrap()
    });
    let whole_in = |runtime: &tokio::runtime::Runtime| {
        let world = Arc::clone(&world);
        runtime.spawn(async move { whole(&world).await })
    };
    // One round would do, if this machine did not sleep within it.
    for _ in 0..50 {
        whole(&world).await;
        whole_in(&other).await.unwrap();
    }
    assert_eq!(world.cdn.connections(), 2);
    tokio::time::sleep(pool::AT_HOME * 2).await;
    whole_in(&third).await.unwrap();
    assert_eq!(world.cdn.connections(), 2);
    other.shutdown_background();
    third.shutdown_background();
}

/// So many seconds go by at once.
async fn later(seconds: u64) {
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(seconds)).await;
    tokio::time::resume();
}

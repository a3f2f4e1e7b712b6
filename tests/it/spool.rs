//! What waits in the spool: bounded, shown, and safe.

use dav123::sim::{Fault, FaultKind};

use super::write::{put, raw, spool, world};
use crate::world::{World, eventually, options};

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_the_spool_is_refused_before_its_body() {
    let sections = "[upload]\nspool_limit = \"1MiB\"\n";
    let world = World::start_with(
        options(),
        sections,
        |_| {},
        |cloud| super::KIND.mount(cloud, "/drive", ""),
    )
    .await;
    // The client waits for `100 Continue`, and never gets it.
    let head = "PUT /drive/big.bin HTTP/1.1\r\nContent-Length: 2000000\r\nExpect: 100-continue\r\n";
    let answer = raw(&world, head, b"");
    assert!(
        answer.starts_with("HTTP/1.1 507") && answer.contains("spool_limit"),
        "{answer}"
    );
    assert_eq!(put(&world, "/drive/small.bin", vec![1; 500_000]).await, 201);
    let chunked = reqwest::Body::wrap_stream(futures_util::stream::iter(
        (0..40).map(|_| Ok::<_, std::io::Error>(vec![5; 100_000])),
    ));
    assert_eq!(put(&world, "/drive/endless.bin", chunked).await, 507);
    assert_eq!(spool(&world), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_spool_acknowledged_survives_a_kill_and_is_readable_meanwhile() {
    let mut world = world("back", |_| {}).await;
    world.propfind("/drive", "1").await;
    world.fault(Fault::forever("upload_request", FaultKind::Status(502, None)));
    let bytes = vec![9; 200_000];
    for n in 0..5 {
        assert_eq!(put(&world, &format!("/drive/{n}.bin"), bytes.clone()).await, 201);
    }
    let answer = world
        .request("GET", "/drive/3.bin")
        .header("range", "bytes=199990-")
        .send()
        .await
        .unwrap();
    assert_eq!(
        (answer.status().as_u16(), answer.bytes().await.unwrap().len()),
        (206, 10)
    );
    let moved = world
        .request("MOVE", "/drive/1.bin")
        .header("destination", world.url("/drive/moved.bin"));
    assert_eq!(moved.send().await.unwrap().status(), 201);
    assert_eq!(
        world
            .request("DELETE", "/drive/2.bin")
            .send()
            .await
            .unwrap()
            .status(),
        204
    );
    world.restart();
    let (_, body) = world.propfind("/drive", "1").await;
    for (name, shown) in [
        ("0.bin", true),
        ("1.bin", false),
        ("2.bin", false),
        ("moved.bin", true),
    ] {
        assert_eq!(
            body.contains(&format!("/drive/{name}<")),
            shown,
            "{name} in {body}"
        );
    }
    assert_eq!(world.get("/drive/moved.bin").await.bytes().await.unwrap(), bytes);
    world.cloud.clear_faults();
    world.restart();
    for name in ["/0.bin", "/3.bin", "/4.bin", "/moved.bin"] {
        eventually(name, || {
            world.cloud.read(name).is_some_and(|stored| stored == bytes)
        })
        .await;
    }
    assert!(world.cloud.stat("/2.bin").is_none() && world.cloud.stat("/1.bin").is_none());
    eventually("the spool is empty", || spool(&world) == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_puts_of_one_name_the_later_wins_and_a_repeated_one_joins() {
    let world = world("through", |_| {}).await;
    let (one, two) = (vec![1; 150_000], vec![2; 150_000]);
    world.cloud.settings().upload_rate = Some(200_000);
    let (first, second, repeated) = tokio::join!(
        put(&world, "/drive/a.bin", one.clone()),
        put(&world, "/drive/b.bin", two.clone()),
        put(&world, "/drive/b.bin", two.clone()),
    );
    assert!(
        [first, second, repeated]
            .iter()
            .all(|status| [201, 204].contains(status))
    );
    assert_eq!(world.cloud.read("/b.bin").unwrap(), two);
    // Three parts for each of two files: the repeated one has sent none.
    assert_eq!(world.calls("put_part"), 6);
    let (first, second) = tokio::join!(
        put(&world, "/drive/c.bin", one.clone()),
        put(&world, "/drive/c.bin", two.clone())
    );
    assert!(first < 300 && second < 300);
    let stored = world.cloud.read("/c.bin").unwrap();
    assert!(stored == one || stored == two, "a mixture");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_first_put_is_shown_but_not_sent_until_the_client_is_done() {
    let world = world("through", |cloud| {
        if super::KIND == crate::world::kind::Kind::Open {
            // Refused otherwise: see `open`.
            cloud.settings().open_empty_files = true;
            cloud.add_file("/nothing", "");
        }
    })
    .await;
    assert_eq!(put(&world, "/drive/new.txt", "").await, 201);
    let head = world.request("HEAD", "/drive/new.txt").send().await.unwrap();
    assert_eq!(
        (head.status().as_u16(), &head.headers()["content-length"]),
        (200, &"0".parse().unwrap())
    );
    assert!(world.propfind("/drive", "1").await.1.contains("new.txt"));
    assert_eq!(world.calls("upload_request"), 0);
    assert_eq!(put(&world, "/drive/new.txt", "the real one").await, 204);
    assert_eq!(world.cloud.read("/new.txt").unwrap(), b"the real one");
    assert_eq!(world.calls("upload_complete"), 1);
    assert_eq!(put(&world, "/drive/empty.txt", "").await, 201);
    eventually("it becomes real when nothing follows", || {
        world.cloud.stat("/empty.txt").is_some()
    })
    .await;
}

//! Changes onto a taken name: the old one is lost at no moment, and gone when it should be.

use std::time::Duration;

use dav123::sim::{Cloud, Fault, FaultKind};

use super::write::{put, world};
use crate::world::{World, eventually, options};

fn change(world: &World, method: &str, from: &str, to: &str) -> reqwest::RequestBuilder {
    world.request(method, from).header("destination", world.url(to))
}

fn fill(cloud: &Cloud) {
    cloud.add_file("/new.txt", "new");
    cloud.add_file("/in/old.txt", "old");
    cloud.add_folder("/folder");
    cloud.add_file("/folder/x.txt", "x");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_is_replaced_in_one_step_and_goes_to_the_bin() {
    let world = world("through", fill).await;
    world.propfind("/drive/in", "1").await;
    for method in ["COPY", "MOVE"] {
        let bin = world.cloud.in_bin();
        let answer = change(&world, method, "/drive/new.txt", "/drive/in/old.txt");
        assert_eq!(answer.send().await.unwrap().status(), 204, "{method}");
        assert_eq!(world.cloud.read("/in/old.txt").unwrap(), b"new");
        assert_eq!(world.cloud.in_bin(), bin + 1);
        assert_eq!(world.cloud.names("/in").unwrap(), ["old.txt"]);
        assert_eq!(world.members("/drive/in").await, ["/drive/in/old.txt"]);
        assert_eq!(world.get("/drive/in/old.txt").await.text().await.unwrap(), "new");
    }
    assert_eq!(world.cloud.read("/new.txt"), None);
    let answer = change(&world, "MOVE", "/drive/in/old.txt", "/drive/folder");
    assert_eq!(answer.send().await.unwrap().status(), 204);
    assert_eq!(world.cloud.read("/folder").unwrap(), b"new");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_fails_puts_the_target_back() {
    let fails = || FaultKind::Code(5000.into(), "internal".to_owned());
    for delete in ["trash", "permanent"] {
        let world = World::start(options(), fill, |cloud| {
            super::KIND.mount(cloud, "/drive", &format!("delete = \"{delete}\""))
        })
        .await;
        // The target's rename comes first, then the steps of the change itself.
        for (method, faults) in [
            ("MOVE", vec![Fault::once("move", fails())]),
            ("MOVE", vec![Fault::once("rename", fails())]),
            ("MOVE", vec![Fault::once("rename", fails()).after(1)]),
            (
                "COPY",
                vec![
                    Fault::once("upload_request", fails()),
                    Fault::once("copy", fails()),
                ],
            ),
        ] {
            let what = format!("{method} {faults:?} {delete}");
            faults.into_iter().for_each(|fault| world.fault(fault));
            let answer = change(&world, method, "/drive/new.txt", "/drive/in/old.txt");
            let status = answer.send().await.unwrap().status();
            assert!(status.is_server_error() || status == 403, "{what}: {status}");
            world.cloud.clear_faults();
            assert_eq!(world.cloud.read("/in/old.txt").unwrap(), b"old", "{what}");
            assert_eq!(world.cloud.read("/new.txt").unwrap(), b"new", "{what}");
            assert_eq!(world.cloud.in_bin(), 0, "{what}");
            assert_eq!(world.cloud.names("/in").unwrap(), ["old.txt"], "{what}");
            assert_eq!(world.members("/drive/in").await, ["/drive/in/old.txt"], "{what}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_put_back_is_named() {
    let world = world("through", fill).await;
    let fails = || FaultKind::Code(5000.into(), "internal".to_owned());
    world.fault(Fault::forever("rename", fails()).after(1));
    world.fault(Fault::forever("move", fails()));
    let answer = change(&world, "MOVE", "/drive/new.txt", "/drive/in/old.txt");
    let text = answer.send().await.unwrap().text().await.unwrap();
    let names = world.cloud.names("/in").unwrap();
    let [name] = names.as_slice() else {
        panic!("{names:?}")
    };
    assert!(
        name.starts_with(".dav123-") && name.ends_with("-old.txt"),
        "{name}"
    );
    assert!(text.contains(name.as_str()), "{text}");
    assert_eq!(world.members("/drive/in").await, [format!("/drive/in/{name}")]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_file_takes_the_one_it_replaces_with_it() {
    let world = world("back", fill).await;
    world.fault(Fault::forever("upload_request", FaultKind::Status(502, None)));
    assert_eq!(put(&world, "/drive/in/old.txt", "newer").await, 204);
    let moved = change(&world, "MOVE", "/drive/in/old.txt", "/drive/in/moved.txt");
    assert_eq!(moved.send().await.unwrap().status(), 201);
    assert_eq!(world.members("/drive/in").await, ["/drive/in/moved.txt"]);
    assert_eq!(
        world.get("/drive/in/moved.txt").await.text().await.unwrap(),
        "newer"
    );
    assert_eq!(put(&world, "/drive/new.txt", "newest").await, 204);
    let gone = world.request("DELETE", "/drive/new.txt").send().await.unwrap();
    assert_eq!(gone.status(), 204);
    assert_eq!(world.propfind("/drive/new.txt", "0").await.0, 404);
    assert_eq!(world.cloud.read("/new.txt"), None);
    // One that waits is replaced by another one, and put back where that fails.
    assert_eq!(put(&world, "/drive/folder/x.txt", "other").await, 204);
    let onto = change(&world, "MOVE", "/drive/folder/x.txt", "/drive/in/moved.txt");
    assert_eq!(onto.send().await.unwrap().status(), 204);
    assert_eq!(
        world.get("/drive/in/moved.txt").await.text().await.unwrap(),
        "other"
    );
    assert_eq!(world.members("/drive/folder").await, Vec::<String>::new());
    world.cloud.clear_faults();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_waiting_file_that_could_not_be_moved_is_sent_all_the_same() {
    let world = world("back", fill).await;
    // Its upload has begun and does not end.
    let long = FaultKind::Delay(Duration::from_secs(60));
    world.fault(Fault::once("upload_request", long));
    assert_eq!(put(&world, "/drive/in/old.txt", "newer").await, 204);
    eventually("it is being sent", || world.calls("upload_request") > 0).await;
    // The older one cannot be removed.
    let fails = FaultKind::Code(5000.into(), "internal".to_owned());
    world.fault(Fault::once("trash", fails));
    let moved = change(&world, "MOVE", "/drive/in/old.txt", "/drive/in/moved.txt");
    assert!(!moved.send().await.unwrap().status().is_success());
    eventually("it is sent", || {
        world
            .cloud
            .read("/in/old.txt")
            .is_some_and(|stored| stored == b"newer")
    })
    .await;
    assert_eq!(world.members("/drive/in").await, ["/drive/in/old.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_destination_outside_is_refused() {
    let world = world("through", fill).await;
    for to in [
        "/../etc/passwd",
        "/drive/../../x",
        "/drive/%2e%2e/%2E%2E/x",
        "/drive/a/..%2f..%2f..%2fx",
    ] {
        let answer = world.request("MOVE", "/drive/new.txt").header("destination", to);
        let status = answer.send().await.unwrap().status().as_u16();
        assert!([400, 403].contains(&status), "{to}: {status}");
    }
    assert_eq!(world.cloud.read("/new.txt").unwrap(), b"new");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_arrives_while_it_is_being_replaced_is_replaced_too() {
    for method in ["COPY", "MOVE"] {
        let world = world("back", fill).await;
        world.members("/drive").await;
        world.members("/drive/in").await;
        // 123pan has the file, and its answer does not come.
        let stall = FaultKind::Stall {
            after: 0,
            lasting: None,
        };
        world.fault(Fault::once("upload_complete", stall));
        assert_eq!(put(&world, "/drive/in/late.txt", "late").await, 201);
        eventually("it has arrived", || world.cloud.read("/in/late.txt").is_some()).await;
        let answer = change(&world, method, "/drive/new.txt", "/drive/in/late.txt");
        let answer = answer.send().await.unwrap();
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(status, 204, "{method}: {text}");
        assert_eq!(world.cloud.read("/in/late.txt").unwrap(), b"new", "{method}");
        let mut members = world.members("/drive/in").await;
        members.sort();
        assert_eq!(members, ["/drive/in/late.txt", "/drive/in/old.txt"], "{method}");
    }
}

//! A body with a SHA-1 in `OC-Checksum`, for a mount of the Open platform: where 123pan knows it, nothing is sent.

use std::time::Duration;

use dav123::sim::{Cloud, Fault, FaultKind};
use sha1::{Digest, Sha1};

use crate::world::{World, eventually, open, options};
use crate::write::spool;

/// Nothing is known by its MD5; `known` is what is known by its SHA-1.
async fn world(mode: &str, known: &[Vec<u8>]) -> World {
    let mut strict = options();
    strict.settings.slice_size = Some(1000);
    strict.settings.open_checks = 0;
    strict.settings.instant_upload = false;
    strict.settings.open_sha1 = !known.is_empty();
    let fill = |cloud: &Cloud| {
        cloud.add_folder("/new");
        cloud.add_file("/new/old.bin", "to be replaced");
        for (n, bytes) in known.iter().enumerate() {
            cloud.add_file(&format!("/known/{n}"), bytes.clone());
        }
    };
    let sections = format!("[upload]\nmode = \"{mode}\"\n");
    let mount = |cloud: &Cloud| open(cloud, "/drive", "strategy = \"proxy\"");
    World::start_with(strict, &sections, fill, mount).await
}

fn content(seed: u8) -> Vec<u8> {
    (0..5_000 + usize::from(seed))
        .map(|n| (n % 251) as u8 ^ seed)
        .collect()
}

fn digits(sum: impl AsRef<[u8]>) -> String {
    sum.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

fn sha1(bytes: &[u8]) -> String {
    format!("SHA1:{}", digits(Sha1::digest(bytes)))
}

fn md5(bytes: &[u8]) -> String {
    format!("MD5:{}", digits(<md5::Md5 as md5::Digest>::digest(bytes)))
}

async fn put(world: &World, name: &str, sums: &str, bytes: &[u8]) -> u16 {
    let request = world.request("PUT", &format!("/drive/new/{name}"));
    let answer = request.header("oc-checksum", sums).body(bytes.to_vec());
    answer.send().await.unwrap().status().as_u16()
}

/// Questions by SHA-1, and slices.
fn calls(world: &World) -> (u64, u64) {
    (world.calls("open_sha1"), world.calls("open_slice"))
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_is_known_by_its_sha1_alone_is_not_sent() {
    for mode in ["through", "back"] {
        let (one, two, three) = (content(1), content(2), content(3));
        let world = world(mode, &[one.clone(), two.clone(), three.clone()]).await;
        let both = format!("{} {}", md5(&two), sha1(&two));
        let files = [
            ("a.bin", sha1(&one), &one, 201),
            ("both.bin", both, &two, 201),
            ("old.bin", sha1(&three), &three, 204),
        ];
        for (asked, (name, sums, bytes, status)) in (1..).zip(files) {
            assert_eq!(put(&world, name, &sums, bytes).await, status, "{mode} {name}");
            let path = format!("/new/{name}");
            let stored = || world.cloud.read(&path).as_ref() == Some(bytes);
            eventually("stored", stored).await;
            eventually("the spool is empty", || spool(&world) == 0).await;
            let read = world.get(&format!("/drive{path}")).await.bytes().await.unwrap();
            assert!(read == *bytes, "{mode} {name}");
            assert_eq!(calls(&world), (asked, 0), "{mode} {name}");
        }
        assert_eq!(world.calls("open_complete"), 0);
        assert_eq!(world.cloud.names("/new").unwrap().len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_is_not_known_is_asked_about_once_and_sent() {
    let world = world("through", &[]).await;
    let bytes = content(1);
    assert_eq!(put(&world, "a.bin", &sha1(&bytes), &bytes).await, 201);
    assert!(world.cloud.read("/new/a.bin").unwrap() == bytes);
    assert_eq!(calls(&world), (1, 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_announced_sha1_of_more_than_a_slice_is_asked_about() {
    let (large, small) = (content(1), vec![7; 1000]);
    let world = world("through", &[large.clone(), small.clone()]).await;
    assert_eq!(put(&world, "small.bin", &sha1(&small), &small).await, 201);
    assert_eq!(put(&world, "md5.bin", &md5(&large), &large).await, 201);
    assert_eq!(put(&world, "none.bin", "SHA256:00", &large).await, 201);
    // Nor a wrong one, though 123pan has what it belongs to.
    assert_eq!(put(&world, "wrong.bin", &sha1(&large), &content(2)).await, 400);
    let named = ["md5.bin", "none.bin", "old.bin", "small.bin"];
    let mut names = world.cloud.names("/new").unwrap();
    names.sort();
    assert_eq!(names, named);
    assert_eq!(calls(&world), (0, 1 + 6 + 6));
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_becomes_of_the_question_the_right_bytes_are_stored_once() {
    // Whether the file is there by the question, whose answer is lost.
    let faults = [
        (FaultKind::Status(500, None), false),
        (FaultKind::Status(429, None), false),
        (FaultKind::Drop, false),
        (FaultKind::Html, false),
        (FaultKind::Code(1.into(), "内部错误".to_owned()), false),
        (FaultKind::StoresNothing, false),
        (FaultKind::LoseAnswer, true),
        (FaultKind::GarbageJson, false),
    ];
    let known = [content(1), content(2)];
    for (fault, stored) in faults {
        let what = format!("{fault:?}");
        let world = world("through", &known).await;
        world.cloud.fault(Fault::forever("open_sha1", fault));
        for (name, status, bytes) in [("a.bin", 201, &known[0]), ("old.bin", 204, &known[1])] {
            let (asked, sent) = calls(&world);
            assert_eq!(
                put(&world, name, &sha1(bytes), bytes).await,
                status,
                "{what} {name}"
            );
            assert!(
                world.cloud.read(&format!("/new/{name}")).unwrap() == *bytes,
                "{what} {name}"
            );
            let slices = if stored { 0 } else { 6 };
            assert_eq!(calls(&world), (asked + 1, sent + slices), "{what} {name}");
        }
        assert_eq!(world.cloud.names("/new").unwrap().len(), 2, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_content_of_the_same_sha1_is_never_said_to_be_stored() {
    let known = [content(1), content(2)];
    let world = world("through", &known).await;
    let wrong = Fault::forever("open_sha1", FaultKind::CorruptPart);
    world.cloud.fault(wrong);
    let right =
        |name: &str, bytes: &Vec<u8>| world.cloud.read(&format!("/new/{name}")).as_ref() == Some(bytes);
    assert_eq!(put(&world, "old.bin", &sha1(&known[0]), &known[0]).await, 204);
    assert!(right("old.bin", &known[0]));
    // Where nothing was to be replaced, the name is taken now; sent again, the file replaces what took it.
    let status = put(&world, "a.bin", &sha1(&known[1]), &known[1]).await;
    assert!(
        (400..600).contains(&status) && !right("a.bin", &known[1]),
        "{status}"
    );
    let again = put(&world, "a.bin", &sha1(&known[1]), &known[1]).await;
    assert!([201, 204].contains(&again), "{again}");
    assert!(right("a.bin", &known[1]));
    assert_eq!(world.cloud.names("/new").unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_members_questions_keep_their_own_pace() {
    let mut strict = options();
    strict.settings.pace_scale = 1.0;
    strict.settings.jitter = Some(Duration::from_millis(250));
    strict.settings.member = true;
    strict.settings.slice_size = Some(2000);
    let fill = |cloud: &Cloud| {
        cloud.add_folder("/new");
    };
    let mount = |cloud: &Cloud| open(cloud, "/drive", "").replace("rate = 100.0", "rate = 1.0");
    let world = &World::start(strict, fill, mount).await;
    // What kind of account it is, is known from the first answer about its space.
    let space = "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:quota-used-bytes/></D:prop></D:propfind>";
    let asked = world.request("PROPFIND", "/drive").header("depth", "0");
    assert_eq!(asked.body(space).send().await.unwrap().status(), 207);
    let puts = (0..10).map(|n| async move {
        let bytes = content(n);
        put(world, &format!("{n}.bin"), &sha1(&bytes), &bytes).await
    });
    assert_eq!(futures_util::future::join_all(puts).await, [201; 10]);
    let asked = world.calls("open_sha1");
    assert!((4..=10).contains(&asked), "{asked}");
    assert_eq!(world.cloud.violations_of("open_sha1"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_too_fast_nobody_asks_for_the_time_that_123pan_wants() {
    let world = &world("through", &[]).await;
    world
        .cloud
        .fault(Fault::once("open_sha1", FaultKind::Status(429, Some(30))));
    let wave = async |first: u8| {
        let puts = (first..first + 8).map(|n| async move {
            let (name, bytes) = (format!("{n}.bin"), content(n));
            let status = put(world, &name, &sha1(&bytes), &bytes).await;
            (status, world.cloud.read(&format!("/new/{name}")) == Some(bytes))
        });
        assert_eq!(futures_util::future::join_all(puts).await, [(201, true); 8]);
        world.calls("open_sha1")
    };
    // Some of the first may be on their way when it comes.
    let asked = wave(0).await;
    assert!((1..=8).contains(&asked), "{asked}");
    assert_eq!(wave(8).await, asked);
    let log = world.server.log();
    assert_eq!(log.matches("asks to slow down").count(), 1, "{log}");
}

//! Copies by instant upload and by task, of files and folders.

use super::*;
use crate::sim::Clash;

async fn go(world: &World, from: &str, to: &str) -> Result<Entry, Error> {
    let (entry, folder) = world.entry(from).await;
    let (above, name) = to.rsplit_once('/').unwrap();
    world.drive.copy(&entry, folder, world.folder(above), name).await
}

#[tokio::test]
async fn a_file_is_copied_by_its_md5_in_two_calls() {
    let world = World::calm().await;
    world.cloud.add_file("/a/x.bin", "content");
    let copy = go(&world, "/a/x.bin", "/a/y.bin").await.unwrap();
    assert_eq!(world.cloud.counters().total(), 2);
    assert_ne!(copy.id, world.folder("/a/x.bin"));
    assert_eq!(world.names("/a"), ["x.bin", "y.bin"]);
    assert_eq!(world.cloud.read("/a/y.bin").unwrap(), b"content");
}

#[tokio::test]
async fn where_reuse_is_refused_a_task_copies_and_its_folder_is_removed() {
    for (polls, to) in [(0, "/a/y.bin"), (3, "/b/x.bin"), (1, "/b/y.bin"), (1, "/y.bin")] {
        let world = World::start(|s| {
            s.instant_upload = false;
            s.copy_polls = polls;
        })
        .await;
        world.cloud.add_file("/a/x.bin", "content");
        world.cloud.add_folder("/b");
        let original = world.folder("/a/x.bin");
        let copy = go(&world, "/a/x.bin", to).await.unwrap();
        assert_eq!(world.folder(to), copy.id);
        assert_eq!(world.folder("/a/x.bin"), original);
        assert_eq!(world.cloud.read(to).unwrap(), b"content");
        assert!(!world.names("/").iter().any(|n| n.contains("dav123")));
        assert_eq!(world.cloud.in_bin(), 0);
    }
}

#[tokio::test]
async fn a_copy_that_fails_leaves_no_staging_folder_and_the_original() {
    let refused = FaultKind::Code(1.into(), "no".to_owned());
    let failed = FaultKind::Drop;
    for (at, kind) in [
        ("copy", refused.clone()),
        ("copy_task", refused.clone()),
        ("rename", refused.clone()),
        ("move", refused),
        ("copy", failed),
    ] {
        let world = World::start(|s| s.instant_upload = false).await;
        world.cloud.add_file("/a/x", "content");
        world.cloud.add_folder("/b");
        world.strike(Fault::forever(at, kind));
        go(&world, "/a/x", "/b/y").await.unwrap_err();
        assert_eq!(world.names("/"), ["a/", "b/"], "{at}");
        assert_eq!(world.names("/a"), ["x"]);
        assert_eq!(world.names("/b"), [""; 0]);
    }
}

#[tokio::test]
async fn a_copy_that_is_given_up_leaves_no_staging_folder() {
    let world = World::start(|s| {
        s.instant_upload = false;
        s.copy_polls = 1_000_000;
    })
    .await;
    world.cloud.add_file("/a/x", "content");
    let (entry, folder) = world.entry("/a/x").await;
    {
        let mut copy = world.drive.copy(&entry, folder, Id(0), "y");
        while world.calls("copy_task") == 0 {
            let _ = tokio::time::timeout(Duration::from_millis(5), &mut copy).await;
        }
        assert_eq!(world.names("/").len(), 2);
    }
    let gone = async {
        while world.names("/").len() > 1 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), gone).await.unwrap();
}

#[tokio::test]
async fn a_copy_task_whose_answer_is_lost_is_found_by_its_copy() {
    let world = World::start(|s| s.instant_upload = false).await;
    world.cloud.add_file("/a/x", "content");
    world.fault("copy", FaultKind::LoseAnswer);
    go(&world, "/a/x", "/y").await.unwrap();
    assert_eq!(world.calls("copy"), 1);
    assert_eq!(world.names("/"), ["a/", "y"]);
}

#[tokio::test]
async fn a_target_name_that_is_taken_is_refused_and_kept() {
    for instant in [true, false] {
        for clash in [Clash::Refuse, Clash::Suffix, Clash::NoEffect] {
            let world = World::start(|s| {
                s.instant_upload = instant;
                s.clash = clash;
            })
            .await;
            world.cloud.add_file("/a/x", "content");
            world.cloud.add_file("/a/y", "theirs");
            let error = go(&world, "/a/x", "/a/y").await.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Exists, "{error}");
            assert_eq!(world.names("/a"), ["x", "y"]);
            assert_eq!(world.cloud.read("/a/y").unwrap(), b"theirs");
            assert_eq!(world.names("/"), ["a/"]);
        }
    }
}

/// Names below a folder, with paths.
fn tree(world: &World, top: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut ahead = vec![String::new()];
    while let Some(at) = ahead.pop() {
        for name in world.names(&format!("{top}{at}")) {
            found.push(format!("{at}/{name}"));
            if let Some(folder) = name.strip_suffix('/') {
                ahead.push(format!("{at}/{folder}"));
            }
        }
    }
    found.sort();
    found
}

async fn with_tree(instant: bool, files: u32) -> World {
    let world = World::start(|s| {
        s.instant_upload = instant;
        s.copy_polls = 0;
        s.page_rows = crate::sim::PageRows::Fixed(7);
    })
    .await;
    for n in 0..files {
        world
            .cloud
            .add_file(&format!("/src/many/{n}.txt"), bytes(10, n.into()));
    }
    world.cloud.add_file("/src/one/two/three/deep.bin", "deep");
    world.cloud.add_file("/src/empty.bin", "");
    world.cloud.add_folder("/src/nothing");
    world.cloud.add_folder("/dst");
    world
}

#[tokio::test]
async fn a_folder_is_copied_with_all_that_is_below_it() {
    for (instant, files) in [(true, 23), (false, 9)] {
        let world = with_tree(instant, files).await;
        let copy = go(&world, "/src", "/dst/copy").await.unwrap();
        assert_eq!((world.folder("/dst/copy"), &*copy.name), (copy.id, "copy"));
        assert_eq!(tree(&world, "/dst/copy"), tree(&world, "/src"));
        assert_eq!(tree(&world, "/src").len(), files as usize + 7);
        assert_eq!(
            world.cloud.read("/dst/copy/one/two/three/deep.bin").unwrap(),
            b"deep"
        );
        assert_eq!(
            world.cloud.read("/dst/copy/many/5.txt"),
            world.cloud.read("/src/many/5.txt")
        );
        assert_eq!(world.names("/"), ["dst/", "src/"]);
    }
}

#[tokio::test]
async fn a_folder_copy_that_fails_is_an_error_and_leaves_the_original() {
    let world = with_tree(true, 12).await;
    let before = tree(&world, "/src");
    let refused = FaultKind::Code(1.into(), "no".to_owned());
    world.strike(Fault::once("upload_request", refused).after(8));
    go(&world, "/src", "/dst/copy").await.unwrap_err();
    assert_eq!(tree(&world, "/src"), before);
}

#[tokio::test]
async fn a_folder_is_not_copied_into_itself_for_ever() {
    let world = with_tree(true, 2).await;
    let error = go(&world, "/src", "/src/copy").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    // Below itself: the caller refuses that; here it at least comes to an end.
    go(&world, "/src", "/src/one/copy").await.unwrap();
    assert_eq!(world.cloud.id("/src/one/copy/one/copy"), None);
}

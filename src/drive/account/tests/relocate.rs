//! Rename and move, with names that are taken on the way and calls that fail.

use super::*;
use crate::sim::Clash;

/// `/a/x` and `/a/other`, and a folder `/b`.
pub(super) async fn two_folders(clash: Clash) -> World {
    let world = World::start(|s| s.clash = clash).await;
    world.cloud.add_file("/a/x", "x");
    world.cloud.add_file("/a/other", "other");
    world.cloud.add_folder("/b");
    world
}

pub(super) async fn go(world: &World, from: &str, to: &str) -> Result<Entry, Error> {
    let (entry, folder) = world.entry(from).await;
    let (above, name) = to.rsplit_once('/').unwrap();
    world
        .drive
        .relocate(&entry, folder, world.folder(above), name)
        .await
}

#[tokio::test]
async fn only_what_is_needed_is_called() {
    for (to, calls) in [
        (
            "/a/y",
            [("rename", 1), ("move", 0), ("list", 0), ("file_info", 1)],
        ),
        (
            "/b/x",
            [("rename", 0), ("move", 1), ("list", 0), ("file_info", 1)],
        ),
        (
            "/b/y",
            [("rename", 1), ("move", 1), ("list", 1), ("file_info", 1)],
        ),
        (
            "/a/x",
            [("rename", 0), ("move", 0), ("list", 0), ("file_info", 1)],
        ),
    ] {
        let world = two_folders(Clash::Refuse).await;
        let id = world.folder("/a/x");
        let entry = go(&world, "/a/x", to).await.unwrap();
        assert_eq!((entry.id, world.folder(to)), (id, id));
        assert_eq!(Some(&*entry.name), to.rsplit('/').next());
        for (endpoint, count) in calls {
            assert_eq!(world.calls(endpoint), count, "{to} {endpoint}");
        }
    }
}

#[tokio::test]
async fn a_folder_is_renamed_and_moved_like_a_file() {
    let world = two_folders(Clash::Refuse).await;
    let moved = go(&world, "/a", "/b/c").await.unwrap();
    assert!(moved.is_folder());
    assert_eq!(world.names("/b/c"), ["other", "x"]);
}

#[tokio::test]
async fn names_taken_on_the_way_touch_nobody() {
    for clash in [Clash::Refuse, Clash::Suffix, Clash::NoEffect, Clash::Twins] {
        let world = two_folders(clash).await;
        // So that one page of a listing does not show it all.
        world.cloud.settings().page_rows = crate::sim::PageRows::Fixed(1);
        // The old name is taken in the target folder, the new one in the old folder.
        world.cloud.add_file("/b/x", "theirs");
        world.cloud.add_file("/b/z", "newer");
        let id = world.folder("/a/x");
        let entry = go(&world, "/a/x", "/b/other").await.unwrap();
        assert_eq!(entry.id, id);
        assert_eq!(world.names("/a"), ["other"]);
        assert_eq!(world.names("/b"), ["other", "x", "z"]);
        assert_eq!(world.cloud.read("/b/x").unwrap(), b"theirs");
        assert_eq!(world.cloud.read("/a/other").unwrap(), b"other");
    }
}

#[tokio::test]
async fn a_name_of_other_case_in_the_target_folder_counts_as_taken() {
    let world = two_folders(Clash::Refuse).await;
    world.cloud.add_file("/b/X", "theirs");
    go(&world, "/a/x", "/b/y").await.unwrap();
    assert_eq!(world.calls("rename"), 2);
}

#[tokio::test]
async fn a_target_name_that_is_taken_after_all_leaves_everything_as_it_was() {
    for clash in [Clash::Refuse, Clash::Suffix, Clash::NoEffect] {
        for to in ["/a/taken", "/b/x", "/b/taken"] {
            let world = two_folders(clash).await;
            world.cloud.add_file("/a/taken", "theirs");
            world.cloud.add_file("/b/x", "theirs");
            world.cloud.add_file("/b/taken", "theirs");
            let id = world.folder("/a/x");
            let error = go(&world, "/a/x", to).await.unwrap_err();
            let kind = match clash {
                Clash::NoEffect => ErrorKind::Nonsense,
                _ => ErrorKind::Exists,
            };
            assert_eq!(error.kind(), kind, "{clash:?} {to}: {error}");
            assert_eq!(world.folder("/a/x"), id, "{clash:?} {to}");
            assert_eq!(world.names("/a"), ["other", "taken", "x"], "{clash:?} {to}");
            assert_eq!(world.names("/b"), ["taken", "x"], "{clash:?} {to}");
            assert_eq!(world.cloud.read(to).unwrap(), b"theirs");
        }
    }
}

#[tokio::test]
async fn a_fault_at_any_call_ends_in_success_or_in_the_old_state() {
    // Target, whether its folder has the old name, and the calls: their name and how many pass first.
    let cases = [
        ("/a/y", false, &[("rename", 0)][..]),
        ("/b/x", false, &[("move", 0)]),
        ("/b/y", false, &[("move", 0), ("rename", 0)]),
        ("/b/y", true, &[("rename", 0), ("move", 0), ("rename", 1)]),
    ];
    for (to, taken, calls) in cases {
        for (at, skip) in calls {
            for kind in mishaps() {
                let world = two_folders(Clash::Refuse).await;
                if taken {
                    world.cloud.add_file("/b/x", "theirs");
                }
                let id = world.cloud.id("/a/x");
                world.strike(Fault::once(at, kind.clone()).after(*skip));
                let result = go(&world, "/a/x", to).await;
                let place = if result.is_ok() { to } else { "/a/x" };
                assert_eq!(world.cloud.id(place), id, "{to} {at} {kind:?}: {result:?}");
                let carried_out = matches!(
                    kind,
                    FaultKind::LoseAnswer | FaultKind::Truncate(_) | FaultKind::Status(429, _)
                );
                assert_eq!(result.is_ok(), carried_out, "{to} {at} {kind:?}: {result:?}");
            }
        }
    }
}

#[tokio::test]
async fn what_somebody_else_has_moved_is_not_moved_back() {
    let world = two_folders(Clash::Refuse).await;
    let (entry, folder) = world.entry("/a/x").await;
    world.cloud.rename("/a/x", "/b/x");
    let error = world
        .drive
        .relocate(&entry, folder, folder, "y")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert_eq!(world.names("/b"), ["x"]);
}

#[tokio::test]
async fn what_cannot_be_undone_is_said() {
    let world = two_folders(Clash::Refuse).await;
    let refused = || FaultKind::Code(1.into(), "no".to_owned());
    world.strike(Fault::forever("rename", refused()));
    world.strike(Fault::forever("move", refused()).after(1));
    let error = go(&world, "/a/x", "/b/y").await.unwrap_err();
    assert!(
        error.sentence().contains("\"x\" and is in the new folder"),
        "{error}"
    );
    assert_eq!(world.names("/b"), ["x"]);
}

#[tokio::test]
async fn a_change_that_cannot_be_verified_is_no_success() {
    let world = two_folders(Clash::Refuse).await;
    world.strike(Fault::forever("file_info", FaultKind::Status(500, None)));
    let error = go(&world, "/a/x", "/a/y").await.unwrap_err();
    assert!(error.sentence().contains("look before"), "{error}");
}

#[tokio::test]
async fn a_call_whose_fate_cannot_be_read_says_so() {
    let world = two_folders(Clash::Refuse).await;
    world.fault("rename", FaultKind::LoseAnswer);
    world.strike(Fault::forever("file_info", FaultKind::Status(500, None)));
    let error = go(&world, "/a/x", "/a/y").await.unwrap_err();
    assert!(
        error.sentence().contains("not known whether it is still \"x\""),
        "{error}"
    );
    assert_eq!(world.calls("rename"), 1);
}

#[tokio::test]
async fn bad_names_and_a_folder_into_itself_cost_no_call() {
    let world = two_folders(Clash::Refuse).await;
    let error = go(&world, "/a/x", "/b/y*").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadName);
    let error = go(&world, "/a", "/a/a").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert_eq!(world.cloud.counters().total(), 0);
}

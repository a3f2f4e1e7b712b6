//! Folders made, entries removed.

use super::*;
use crate::drive::Kind;

#[tokio::test]
async fn a_folder_is_made_once_and_an_equal_name_is_refused() {
    let world = World::calm().await;
    world.cloud.add_file("/file", "x");
    let made = world.drive.create_folder(Id(0), "新 folder").await.unwrap();
    assert_eq!((made.kind, &*made.name), (Kind::Folder, "新 folder"));
    assert_eq!(Id(world.cloud.id("/新 folder").unwrap()), made.id);
    assert_eq!(world.cloud.counters().total(), 2);
    for name in ["新 folder", "file"] {
        let error = world.drive.create_folder(Id(0), name).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists, "{name}");
    }
    assert_eq!(world.names("/"), ["file", "新 folder/"]);
}

#[tokio::test]
async fn a_folder_name_that_123pan_refuses_costs_no_call() {
    let world = World::calm().await;
    let error = world.drive.create_folder(Id(0), "a?").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadName);
    assert!(error.sentence().contains('?'));
    assert_eq!(world.cloud.counters().total(), 0);
}

#[tokio::test]
async fn a_folder_is_there_or_an_error_is_told_whatever_happens_to_the_call() {
    for kind in mishaps() {
        let world = World::calm().await;
        world.fault("make_folder", kind.clone());
        let result = world.drive.create_folder(Id(0), "f").await;
        match kind {
            FaultKind::LoseAnswer | FaultKind::Truncate(_) | FaultKind::Status(429, _) => {
                let made = result.unwrap();
                assert_eq!(Id(world.cloud.id("/f").unwrap()), made.id);
            }
            _ => {
                result.unwrap_err();
                assert_eq!(world.cloud.id("/f"), None);
            }
        }
    }
}

#[tokio::test]
async fn what_is_removed_lies_in_the_recycle_bin_or_nowhere() {
    for (delete, left) in [(Delete::Trash, 2), (Delete::Permanent, 0)] {
        let mut world = World::calm().await;
        world.drive = world.drive.with_delete(delete);
        world.cloud.add_file("/d/a", "x");
        world.cloud.add_file("/d/sub/b", "y");
        for name in ["a", "sub"] {
            let (entry, folder) = world.entry(&format!("/d/{name}")).await;
            world.drive.remove(&entry, folder).await.unwrap();
        }
        assert_eq!(world.names("/d"), [""; 0]);
        assert_eq!(world.cloud.in_bin(), left);
    }
}

#[tokio::test]
async fn a_removal_is_proved_or_an_error() {
    for kind in mishaps() {
        let world = World::calm().await;
        world.cloud.add_file("/a", "x");
        let (entry, folder) = world.entry("/a").await;
        world.fault("trash", kind);
        let result = world.drive.remove(&entry, folder).await;
        assert_eq!(result.is_ok(), world.cloud.id("/a").is_none());
    }
}

#[tokio::test]
async fn a_deletion_for_good_that_fails_is_told_and_can_be_repeated() {
    let mut world = World::calm().await;
    world.drive = world.drive.with_delete(Delete::Permanent);
    world.cloud.add_file("/a", "x");
    let (entry, folder) = world.entry("/a").await;
    world.fault("delete", FaultKind::Code(1.into(), "x".to_owned()));
    world.drive.remove(&entry, folder).await.unwrap_err();
    assert_eq!(world.cloud.in_bin(), 1);
    world.drive.remove(&entry, folder).await.unwrap();
    assert_eq!(world.cloud.in_bin(), 0);
    world.cloud.add_file("/b", "x");
    let (entry, folder) = world.entry("/b").await;
    world.fault("delete", FaultKind::LoseAnswer);
    world.drive.remove(&entry, folder).await.unwrap();
    assert_eq!(world.cloud.in_bin(), 0);
}

#[tokio::test]
async fn what_somebody_else_has_removed_is_gone() {
    let world = World::calm().await;
    world.cloud.add_file("/a", "x");
    let (entry, folder) = world.entry("/a").await;
    world.cloud.remove("/a");
    world.drive.remove(&entry, folder).await.unwrap();
}

#[tokio::test]
async fn the_root_of_the_mount_and_of_the_account_are_never_removed_or_moved() {
    let mut world = World::calm().await;
    world.cloud.add_file("/mounted/a", "x");
    let (mounted, above) = world.entry("/mounted").await;
    world.drive.root = mounted.id;
    let account = Entry {
        id: Id(0),
        ..mounted.clone()
    };
    for entry in [mounted, account] {
        let removed = world.drive.remove(&entry, above).await.unwrap_err();
        let moved = world.drive.relocate(&entry, above, above, "b").await.unwrap_err();
        assert_eq!(
            (removed.kind(), moved.kind()),
            (ErrorKind::Forbidden, ErrorKind::Forbidden)
        );
    }
    assert_eq!(world.cloud.counters().total(), 0);
    assert_eq!(world.names("/mounted"), ["a"]);
}

#[tokio::test]
async fn what_was_moved_meanwhile_is_not_deleted_for_good() {
    let mut world = World::calm().await;
    world.drive = world.drive.with_delete(Delete::Permanent);
    world.cloud.add_file("/a", "x");
    let (entry, folder) = world.entry("/a").await;
    world.cloud.rename("/a", "/kept/a");
    world.drive.remove(&entry, folder).await.unwrap();
    assert_eq!(world.cloud.in_bin(), 1);
}

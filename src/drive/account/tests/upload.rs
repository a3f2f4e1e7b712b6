//! Uploads: with and without bytes, over another file, through every fault.

use super::*;

#[tokio::test]
async fn known_content_is_there_after_two_calls_and_without_its_bytes() {
    let world = World::calm().await;
    let old = bytes(5000, 1);
    world.cloud.add_file("/elsewhere/a.bin", old.clone());
    let folder = Id(world.cloud.add_folder("/in"));
    let file = new_file(folder, "b.bin", &old, None);
    let Begun::Done(entry) = world.drive.begin_upload(&file).await.unwrap() else {
        panic!("the bytes are wanted")
    };
    assert_eq!(
        (&*entry.name, entry.size, entry.md5),
        ("b.bin", Some(5000), Some(file.md5))
    );
    assert_eq!(Id(world.cloud.id("/in/b.bin").unwrap()), entry.id);
    assert!(!entry.locator.is_empty());
    assert_eq!(world.cloud.counters().total(), 2);
}

#[tokio::test]
async fn a_small_file_goes_in_one_part_and_a_large_one_in_many() {
    for (length, parts) in [(1, 1), (1000, 1), (1001, 2), (24_321, 25)] {
        let world = World::start(|s| {
            s.slice_size = Some(1000);
            s.open_checks = 0;
        })
        .await;
        let content = bytes(length, 2);
        let file = new_file(Id(0), "a.bin", &content, None);
        let entry = world.put(&file, &content).await.unwrap();
        assert_eq!(Id(world.cloud.id("/a.bin").unwrap()), entry.id);
        assert_eq!(world.cloud.read("/a.bin").unwrap(), content);
        assert_eq!(world.calls("put_part"), parts);
        assert_eq!(world.calls("upload_complete"), 1);
        assert_eq!(world.calls("leaked_authorization"), 0);
        assert_eq!((entry.size, entry.md5), (Some(file.size), Some(file.md5)));
    }
}

#[tokio::test]
async fn an_overwrite_keeps_the_id_and_the_old_content_until_the_end() {
    let world = World::start(|s| s.slice_size = Some(1000)).await;
    world.cloud.add_file("/a.bin", "old");
    let (old, _) = world.entry("/a.bin").await;
    let content = bytes(2500, 3);
    let file = new_file(Id(0), "a.bin", &content, Some(old.clone()));
    let Begun::Wanted(upload) = world.drive.begin_upload(&file).await.unwrap() else {
        panic!("known content")
    };
    assert_eq!(world.cloud.read("/a.bin").unwrap(), b"old");
    let new = upload
        .send(Arc::new(Memory(content.clone().into())), 2)
        .await
        .unwrap();
    assert_eq!((new.id == old.id, new.size), (World::KEEPS_ID, Some(2500)));
    assert_eq!(world.cloud.read("/a.bin").unwrap(), content);
    // Known content takes the place of a file as well.
    world.cloud.add_file("/known", "known");
    let again = world
        .put(&new_file(Id(0), "a.bin", b"known", Some(new)), b"")
        .await
        .unwrap();
    assert_eq!(again.id == old.id, World::KEEPS_ID);
    assert_eq!(world.cloud.read("/a.bin").unwrap(), b"known");
    assert_eq!(world.names("/"), ["a.bin", "known"]);
}

#[tokio::test]
async fn an_upload_that_is_dropped_stores_nothing() {
    let world = World::calm().await;
    world.cloud.add_file("/a.bin", "old");
    let (old, _) = world.entry("/a.bin").await;
    let file = new_file(Id(0), "a.bin", b"new", Some(old));
    drop(world.drive.begin_upload(&file).await.unwrap());
    assert_eq!(world.cloud.read("/a.bin").unwrap(), b"old");
}

#[tokio::test]
async fn a_name_that_is_taken_is_refused_and_nothing_is_left_beside_it() {
    let world = World::calm().await;
    world.cloud.add_file("/a.bin", "old");
    world.cloud.add_file("/sub/known", "known");
    for content in ["unknown", "known"] {
        let error = world
            .put(
                &new_file(Id(0), "a.bin", content.as_bytes(), None),
                content.as_bytes(),
            )
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Exists, "{content}");
        assert_eq!(world.names("/"), ["a.bin", "sub/"]);
        assert_eq!(world.cloud.read("/a.bin").unwrap(), b"old");
    }
}

#[tokio::test]
async fn a_name_that_123pan_refuses_costs_no_call() {
    let world = World::calm().await;
    let error = world
        .put(&new_file(Id(0), "a:b", b"x", None), b"x")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::BadName);
    assert_eq!(world.cloud.counters().total(), 0);
}

/// Runs one overwrite through a fault. Whatever comes: the file is the old one or the new one, whole,
/// and the new one where success is said.
pub(super) async fn through(
    at: &'static str,
    kind: FaultKind,
    times: u64,
    length: usize,
) -> Result<Entry, Error> {
    let world = World::start(|s| s.slice_size = Some(1000)).await;
    world.cloud.add_file("/a.bin", "old");
    let (old, _) = world.entry("/a.bin").await;
    let content = bytes(length, 4);
    world.strike(Fault::once(at, kind.clone()).times(times));
    let file = new_file(Id(0), "a.bin", &content, Some(old.clone()));
    let result = world.put(&file, &content).await;
    let stored = world.cloud.read("/a.bin").unwrap();
    match &result {
        Ok(entry) => {
            assert_eq!((entry.id == old.id, entry.md5), (World::KEEPS_ID, Some(file.md5)));
            assert_eq!(stored, content, "{at} {kind:?}");
        }
        Err(_) => assert!(stored == b"old" || stored == content, "{at} {kind:?}"),
    }
    assert_eq!(world.names("/"), ["a.bin"]);
    result
}

#[tokio::test]
async fn one_fault_at_any_step_ends_in_the_right_bytes_or_in_an_error_with_the_old_ones() {
    for at in [
        "upload_request",
        "upload_auth",
        "upload_prepare",
        "put_part",
        "upload_complete",
        "file_info",
    ] {
        if !World::KEEPS_ID && ["upload_auth", "upload_prepare"].contains(&at) {
            // Slices are sent without asking where.
            continue;
        }
        let length = if at == "upload_auth" { 900 } else { 2500 };
        for kind in mishaps() {
            let understood = matches!(kind, FaultKind::Code(..));
            let unreadable = matches!(kind, FaultKind::Html | FaultKind::GarbageJson);
            let result = through(at, kind.clone(), 1, length).await;
            // What was lost on the way is made good; what was said clearly, or makes no sense where
            // nothing tells the state, is an error.
            let survives = match at {
                "put_part" => true,
                "upload_request" => !understood,
                "upload_complete" => matches!(
                    kind,
                    FaultKind::LoseAnswer | FaultKind::Truncate(_) | FaultKind::Status(429, _)
                ),
                _ => !understood && !unreadable && !matches!(kind, FaultKind::Truncate(_)),
            };
            match result {
                Ok(_) => {}
                Err(error) => {
                    assert!(!survives, "{at} {kind:?}: {error}");
                    assert_ne!(error.kind(), ErrorKind::Exists);
                }
            }
        }
    }
}

#[tokio::test]
async fn a_fault_that_stays_ends_in_an_error() {
    for at in ["upload_request", "put_part", "upload_complete"] {
        for kind in [FaultKind::Drop, FaultKind::Status(500, None), FaultKind::Html] {
            let error = through(at, kind.clone(), u64::MAX, 2500).await.unwrap_err();
            assert!(
                matches!(error.kind(), ErrorKind::Unreachable | ErrorKind::Nonsense),
                "{at} {kind:?}: {error:?}"
            );
        }
    }
}

#[tokio::test]
async fn a_part_that_arrives_wrong_is_sent_again_and_never_completed_wrong() {
    for kind in [FaultKind::WrongPartEtag, FaultKind::CorruptPart] {
        through("put_part", kind.clone(), 1, 2500).await.unwrap();
        if !World::KEEPS_ID && matches!(kind, FaultKind::WrongPartEtag) {
            // The service itself compares.
            continue;
        }
        let error = through("put_part", kind, u64::MAX, 2500).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Nonsense);
    }
}

#[tokio::test]
async fn a_new_file_whose_completion_got_lost_is_found() {
    let world = World::start(|s| s.open_checks = 0).await;
    world.fault("upload_complete", FaultKind::LoseAnswer);
    let entry = world
        .put(&new_file(Id(0), "a", b"abc", None), b"abc")
        .await
        .unwrap();
    assert_eq!(Id(world.cloud.id("/a").unwrap()), entry.id);
    assert_eq!(world.calls("upload_complete"), 1);
}

#[tokio::test]
async fn an_instant_upload_whose_answer_got_lost_is_found_and_not_offered_again() {
    let world = World::calm().await;
    world.cloud.add_file("/sub/known", "known");
    world.fault("upload_request", FaultKind::LoseAnswer);
    let entry = world
        .put(&new_file(Id(0), "a", b"known", None), b"")
        .await
        .unwrap();
    assert_eq!(Id(world.cloud.id("/a").unwrap()), entry.id);
    assert_eq!(world.calls("upload_request"), 1);
}

#[tokio::test]
async fn bytes_of_another_length_than_announced_are_not_sent() {
    let world = World::calm().await;
    let error = world
        .put(&new_file(Id(0), "a", b"abc", None), b"abcd")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ChecksumMismatch);
    assert_eq!(world.calls("put_part"), 0);
}

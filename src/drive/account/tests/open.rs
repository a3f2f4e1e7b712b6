//! The tests by the Open platform.

use super::*;

type World = Tested<true>;

#[path = "change.rs"]
mod change;
#[path = "copy.rs"]
mod copy;
#[path = "relocate.rs"]
mod relocate;
#[path = "upload.rs"]
mod upload;

#[tokio::test]
async fn an_empty_file_is_stored_where_it_is_known_and_refused_clearly_elsewhere() {
    for taken in [true, false] {
        let world = World::start(|s| s.open_empty_files = taken).await;
        world.cloud.add_file("/other", "");
        let result = world.put(&new_file(Id(0), "empty", b"", None), b"").await;
        assert_eq!(world.cloud.id("/empty").is_some(), taken);
        match result {
            Ok(entry) => assert_eq!((taken, entry.size), (true, Some(0))),
            Err(error) => {
                assert_eq!((taken, error.kind()), (false, ErrorKind::Unsupported));
                assert!(error.sentence().contains("empty files") && error.sentence().contains("x-traceID"));
            }
        }
        assert_eq!(world.calls("put_part"), 0);
    }
    // Taken, but not known: its bytes would be wanted, and there are none.
    let world = World::start(|s| s.open_empty_files = true).await;
    let error = world
        .put(&new_file(Id(0), "empty", b"", None), b"")
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[tokio::test]
async fn a_completion_is_awaited_while_the_service_checks() {
    for checks in [0, 5, 30] {
        let world = World::start(|s| s.open_checks = checks).await;
        world.fault("upload_complete", FaultKind::StoresNothing);
        let file = new_file(Id(0), "a", b"abc", None);
        let entry = world.put(&file, b"abc").await.unwrap();
        assert_eq!(Id(world.cloud.id("/a").unwrap()), entry.id);
        assert_eq!(world.calls("upload_complete"), u64::from(checks) + 2);
    }
}

#[tokio::test]
async fn content_that_is_not_what_was_announced_is_an_error_and_not_stored() {
    let world = World::start(|s| s.slice_size = Some(2)).await;
    world.cloud.add_file("/a", "old");
    let (old, _) = world.entry("/a").await;
    let file = new_file(Id(0), "a", b"abc", Some(old));
    let error = world.put(&file, b"xyz").await.unwrap_err();
    assert!(error.sentence().contains("文件上传失败"), "{error}");
    assert_eq!(world.cloud.read("/a").unwrap(), b"old");
    assert_eq!(world.calls("upload_complete"), 2);
}

#[tokio::test]
async fn the_next_server_takes_the_slices_when_one_cannot_be_reached() {
    let world = World::start(|s| s.slice_size = Some(1000)).await;
    let good = world.cloud.base();
    world.cloud.settings().open_servers = Some(vec!["http://127.0.0.1:9".to_owned(), good]);
    world.cloud.settings().open_silent_slices = true;
    let content = bytes(3001, 7);
    let file = new_file(Id(0), "a", &content, None);
    world.put(&file, &content).await.unwrap();
    assert_eq!(world.cloud.read("/a").unwrap(), content);
    assert_eq!(world.calls("put_part"), 4);
}

#[tokio::test]
async fn a_token_that_ends_between_slices_ends_the_upload_with_a_sign_in_error() {
    let world = World::start(|s| s.slice_size = Some(1000)).await;
    let content = bytes(2000, 8);
    let file = new_file(Id(0), "a", &content, None);
    let Begun::Wanted(upload) = world.drive.begin_upload(&file).await.unwrap() else {
        panic!("known content")
    };
    world.cloud.expire_tokens();
    let error = upload
        .send(Arc::new(Memory(content.into())), 1)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SignIn);
    assert_eq!(world.names("/"), [""; 0]);
}

#[tokio::test]
async fn a_question_whose_answer_is_lost_while_the_service_checks_is_asked_again() {
    let world = World::start(|s| s.open_checks = 3).await;
    world.fault("upload_complete", FaultKind::LoseAnswer);
    let file = new_file(Id(0), "a", b"abc", None);
    world.put(&file, b"abc").await.unwrap();
    assert_eq!(world.names("/"), ["a"]);
    assert_eq!(world.calls("upload_complete"), 4);
}

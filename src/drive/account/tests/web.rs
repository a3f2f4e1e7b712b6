//! The tests by the web API.

use super::*;
use crate::pan::canned;
use crate::sim::Clash;

type World = Tested<false>;

#[path = "change.rs"]
mod change;
#[path = "copy.rs"]
mod copy;
#[path = "relocate.rs"]
mod relocate;
#[path = "upload.rs"]
mod upload;

use relocate::{go, two_folders};
use upload::through;

#[tokio::test]
async fn one_of_two_twins_moves_under_the_name_it_is_shown_with() {
    let world = two_folders(Clash::Refuse).await;
    let older = world.folder("/a/x");
    world.cloud.add_twin("/a/x", "twin").unwrap();
    let shown = format!("x ({})", older.0);
    let entry = go(&world, &format!("/a/{shown}"), &format!("/b/{shown}"))
        .await
        .unwrap();
    assert_eq!((entry.id, &*entry.name), (older, &*shown));
    assert_eq!(world.names("/a"), ["other", "x"]);
}

#[tokio::test]
async fn an_expired_url_is_renewed_and_one_that_expires_at_once_is_an_error() {
    through("put_part", FaultKind::Status(403, None), 2, 2500)
        .await
        .unwrap();
    let world = World::start(|s| s.presigned_life = Duration::ZERO).await;
    let file = new_file(Id(0), "a", b"abc", None);
    assert!(world.put(&file, b"abc").await.is_err());
    assert_eq!(world.names("/"), [""; 0]);
    assert_eq!(world.calls("put_part"), 3);
}

#[tokio::test]
async fn a_completion_that_stores_nothing_is_no_success() {
    let error = through("upload_complete", FaultKind::StoresNothing, 1, 2500)
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Nonsense);
    assert!(error.sentence().contains("stored nothing"));
}

#[tokio::test]
async fn an_empty_file_is_stored_whether_it_is_known_or_not() {
    for instant in [true, false] {
        let world = World::start(|s| s.instant_upload = instant).await;
        if instant {
            world.cloud.add_file("/other", "");
        }
        let entry = world
            .put(&new_file(Id(0), "empty", b"", None), b"")
            .await
            .unwrap();
        assert_eq!(entry.size, Some(0));
        assert_eq!(world.cloud.read("/empty").unwrap(), b"");
        assert_eq!(world.calls("put_part"), u64::from(!instant));
    }
}

/// A drive over canned answers.
async fn canned_drive(data: &'static str) -> AccountDrive {
    let server = canned::Canned::start(move |_| canned::Answer::json(data)).await;
    let endpoints = Endpoints {
        api: vec![server.url],
        rate: 5000.0,
        ..Endpoints::default()
    };
    let http = Client::new().unwrap();
    let credentials = Credentials {
        access_token: Some("t".into()),
        ..Credentials::default()
    };
    let session = Session::new(http.clone(), endpoints.clone(), credentials, None);
    AccountDrive::new(Arc::new(Web::new(http, endpoints, session)), 0, "test")
}

#[tokio::test]
async fn credentials_instead_of_urls_are_refused_with_a_sentence() {
    let drive = canned_drive(
        r#"{"code":0,"data":{"Key":"k","SliceSize":"9","AccessKeyId":"a","SecretAccessKey":"s3cret","SessionToken":"t"}}"#,
    )
    .await;
    let error = drive.begin_upload(&new_file(Id(0), "a", b"abc", None)).await;
    let error = error.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(!format!("{error:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_full_account_is_told_apart() {
    let drive = canned_drive(r#"{"code":1,"message":"您的空间不足"}"#).await;
    let error = drive.begin_upload(&new_file(Id(0), "a", b"abc", None)).await;
    assert_eq!(error.err().unwrap().kind(), ErrorKind::NoSpace);
}

#[tokio::test]
async fn a_reuse_that_is_nowhere_to_be_found_is_no_success() {
    let drive =
        canned_drive(r#"{"code":0,"data":{"Reuse":true,"Info":{"FileId":5},"infoList":[],"Next":"-1"}}"#)
            .await;
    let error = drive.begin_upload(&new_file(Id(0), "a", b"abc", None)).await;
    assert_eq!(error.err().unwrap().kind(), ErrorKind::Nonsense);
}

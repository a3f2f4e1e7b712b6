//! Uploads and changes against canned answers: the forms of the calls, and what is made twice.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use md5::{Digest, Md5};
use serde_json::{Value, from_str};

use super::*;
use crate::config::Endpoints;
use crate::hex;
use crate::pan::canned::{self, Asked, Canned};
use crate::pan::http::{Client, HttpError};
use crate::pan::outgoing::Frames;
use crate::pan::parts::Reader;
use crate::pan::token::{Credentials, Session as Account};

const OK: &str = r#"{"code":0,"message":"ok","data":null}"#;

/// What the canned storage does to a PUT: its number among all PUTs and its part.
type Fault = Box<dyn Fn(u64, &str) -> Option<canned::Answer> + Send + Sync>;

fn web(server: &Canned) -> Web {
    let http = Client::new().unwrap();
    let endpoints = Endpoints {
        api: vec![format!("{}/b/api", server.url)],
        rate: 1000.0,
        ..Endpoints::default()
    };
    let credentials = Credentials {
        access_token: Some("token".into()),
        ..Credentials::default()
    };
    let account = Account::new(http.clone(), endpoints.clone(), credentials, None);
    Web::new(http, endpoints, account)
}

fn md5(bytes: &str) -> String {
    hex::encode(&Md5::digest(bytes.as_bytes()))
}

fn offer<'a>(bytes: &str, etag: &'a str) -> Offer<'a> {
    Offer {
        parent: 7,
        name: "a.bin",
        size: bytes.len() as u64,
        etag,
        replace: false,
    }
}

/// Reads a text, in frames of three bytes.
fn source(text: &'static str) -> Reader {
    Arc::new(move |offset, length| -> Frames {
        let (from, to) = (offset as usize, (offset + length) as usize);
        let frames: Vec<_> = text.as_bytes()[from..to]
            .chunks(3)
            .map(|c| Ok(Bytes::copy_from_slice(c)))
            .collect();
        Box::pin(stream::iter(frames))
    })
}

/// Wants everything in parts of 4 bytes.
async fn storage(fault: Fault) -> Canned {
    let (puts, versions) = (AtomicU64::new(0), AtomicU64::new(0));
    Canned::start(move |asked: &Asked| {
        let path = asked.target.split('?').next().unwrap();
        if let Some(part) = path.strip_prefix("/put/") {
            let n = puts.fetch_add(1, Ordering::SeqCst);
            return fault(n, part).unwrap_or_else(|| canned::Answer {
                headers: vec![("etag", format!("\"{}\"", md5(&asked.body)))],
                ..canned::Answer::status(200, "")
            });
        }
        if path.ends_with("upload_request") {
            return canned::Answer::json(
                r#"{"code":0,"data":{"Reuse":false,"FileId":9,"Bucket":"b","Key":"k","UploadId":"u",
                "StorageNode":"m7","SliceSize":"4","AccessKeyId":"","SecretAccessKey":null}}"#,
            );
        }
        if path.ends_with("auth") || path.ends_with("parts_batch") {
            let body: Value = from_str(&asked.body).unwrap();
            let host = asked.header("host").unwrap();
            let version = versions.fetch_add(1, Ordering::SeqCst);
            let (start, end) = (&body["partNumberStart"], &body["partNumberEnd"]);
            let urls: serde_json::Map<String, Value> = (start.as_u64().unwrap()..end.as_u64().unwrap())
                .map(|n| (n.to_string(), format!("http://{host}/put/{n}?v={version}").into()))
                .collect();
            return canned::Answer::json(json!({"code": 0, "data": {"presignedUrls": urls}}).to_string());
        }
        canned::Answer::json(OK)
    })
    .await
}

fn sound() -> Fault {
    Box::new(|_, _| None)
}

async fn session(web: &Web, text: &str) -> Session {
    match web.offer(&offer(text, &md5(text))).await.unwrap() {
        Offered::Session(session) => session,
        other => unreachable!("{other:?}"),
    }
}

/// The ranges of parts for which URLs were asked.
fn ranges(server: &Canned, call: &str) -> Vec<(u64, u64)> {
    let asked = server.asked(call);
    let body = |a: &Asked| from_str::<Value>(&a.body).unwrap();
    asked
        .iter()
        .map(body)
        .map(|b| {
            let bound = |name: &str| b[name].as_u64().unwrap();
            (bound("partNumberStart"), bound("partNumberEnd"))
        })
        .collect()
}

/// What arrived last of each part, in order.
fn arrived(server: &Canned) -> String {
    let mut parts = std::collections::BTreeMap::new();
    for put in server.asked("/put/") {
        let number: u64 = put.target["/put/".len()..]
            .split('?')
            .next()
            .unwrap()
            .parse()
            .unwrap();
        parts.insert(number, put.body);
    }
    parts.into_values().collect()
}

const LONG: &str =
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789abcdefghijklmnopqrstuvwxyz-x";

#[tokio::test]
async fn an_offer_is_made_as_the_page_makes_it() {
    let server = storage(sound()).await;
    let web = web(&server);
    session(&web, "abc").await;
    let replacing = Offer {
        replace: true,
        ..offer("abc", "e")
    };
    web.offer(&replacing).await.unwrap();
    let asked = server.asked("upload_request");
    let body: Value = from_str(&asked[0].body).unwrap();
    let etag = "900150983cd24fb0d6963f7d28e17f72";
    assert_eq!(
        body,
        json!({"RequestSource": null, "driveId": 0, "etag": etag, "fileName": "a.bin", "parentFileId": 7, "size": 3, "type": 0})
    );
    let body: Value = from_str(&asked[1].body).unwrap();
    assert_eq!(body["duplicate"], 2);
}

#[tokio::test]
async fn known_content_credentials_and_a_missing_slice_size_are_told_apart() {
    let cases = [
        (
            r#"{"Reuse":true,"Info":{"FileId":5},"FileId":4611686018427387904}"#,
            "Reused(Some(5))",
        ),
        (
            r#"{"Reuse":true,"Info":null,"FileId":4611686018427387904}"#,
            "Reused(None)",
        ),
        (r#"{"Reuse":false,"Key":"","FileId":0}"#, "Reused(None)"),
        (
            r#"{"Key":"k","AccessKeyId":"a","SecretAccessKey":"s","SessionToken":"t"}"#,
            "Credentials",
        ),
    ];
    for (data, expected) in cases {
        let server =
            Canned::start(move |_| canned::Answer::json(format!(r#"{{"code":0,"data":{data}}}"#))).await;
        let offered = web(&server).offer(&offer("abc", "e")).await.unwrap();
        assert_eq!(format!("{offered:?}"), expected);
    }
    let server = Canned::start(|_| canned::Answer::json(r#"{"code":0,"data":{"Key":"k"}}"#)).await;
    let error = web(&server).offer(&offer("abc", "e")).await.unwrap_err();
    assert!(matches!(error.reason, Reason::Nonsense(_)));
}

#[tokio::test]
async fn what_fits_into_one_slice_goes_as_a_single_part() {
    for text in ["", "abcd"] {
        let server = storage(sound()).await;
        let web = web(&server);
        let session = session(&web, text).await;
        web.send_parts(&session, &source(text), 3).await.unwrap();
        assert!(web.complete(&session).await.unwrap().is_none());
        assert_eq!(ranges(&server, "s3_upload_object/auth"), [(1, 2)]);
        assert_eq!(server.count("s3_repare"), 0);
        let put = &server.asked("/put/")[0];
        assert_eq!(put.body, text);
        assert_eq!(
            put.header("content-length"),
            Some(text.len().to_string().as_str())
        );
        for name in ["authorization", "platform", "transfer-encoding", "origin"] {
            assert_eq!(put.header(name), None, "{name}");
        }
        let body: Value = from_str(&server.asked("upload_complete/v2")[0].body).unwrap();
        assert_eq!(
            body,
            json!({"StorageNode": "m7", "bucket": "b", "fileId": 9, "fileSize": text.len(), "isMultipart": false, "key": "k", "uploadId": "u"})
        );
    }
}

#[tokio::test]
async fn urls_are_fetched_for_ten_parts_at_most_and_the_end_is_exclusive() {
    let server = storage(sound()).await;
    let web = web(&server);
    let session = session(&web, LONG).await;
    web.send_parts(&session, &source(LONG), 3).await.unwrap();
    web.complete(&session).await.unwrap();
    assert_eq!(
        ranges(&server, "s3_repare_upload_parts_batch"),
        [(1, 11), (11, 21), (21, 24)]
    );
    assert_eq!(arrived(&server), LONG);
    let lengths: Vec<usize> = server.asked("/put/").iter().map(|p| p.body.len()).collect();
    assert_eq!(lengths.iter().filter(|l| **l == 4).count(), 22);
    let body: Value = from_str(&server.asked("upload_complete/v2")[0].body).unwrap();
    assert_eq!(body["isMultipart"], true);
}

#[tokio::test]
async fn expired_urls_are_fetched_again_once_for_all_parts_of_the_batch() {
    let expired = |n, _: &str| {
        (n < 3).then(|| canned::Answer {
            delay: Duration::from_millis(50),
            ..canned::Answer::status(403, "expired")
        })
    };
    let server = storage(Box::new(expired)).await;
    let web = web(&server);
    let session = session(&web, &LONG[..16]).await;
    web.send_parts(&session, &source(LONG), 3).await.unwrap();
    assert_eq!(ranges(&server, "parts_batch"), [(1, 5), (1, 5)]);
    assert_eq!(arrived(&server), LONG[..16]);
}

#[tokio::test]
async fn a_part_is_tried_three_times_and_then_the_upload_fails() {
    let refused =
        |status| move |_: u64, part: &str| (part == "2").then(|| canned::Answer::status(status, ""));
    let damaged = |_: u64, part: &str| {
        (part == "2").then(|| canned::Answer {
            headers: vec![("etag", format!("\"{}\"", md5("other")))],
            ..canned::Answer::status(200, "")
        })
    };
    let broken = |_: u64, part: &str| {
        (part == "2").then(|| canned::Answer {
            broken: true,
            ..canned::Answer::default()
        })
    };
    let cases: [(Fault, Reason, usize); 5] = [
        (Box::new(refused(403)), Reason::Status(403), 3),
        (Box::new(refused(503)), Reason::Status(503), 3),
        (Box::new(refused(400)), Reason::Nonsense("a part is refused"), 1),
        (
            Box::new(damaged),
            Reason::Nonsense("other bytes arrived than were sent"),
            3,
        ),
        (Box::new(broken), Reason::Http(HttpError::Broken), 3),
    ];
    for (fault, reason, tries) in cases {
        let server = storage(fault).await;
        let web = web(&server);
        let session = session(&web, &LONG[..12]).await;
        let error = web.send_parts(&session, &source(LONG), 1).await.unwrap_err();
        assert_eq!(error.reason, reason);
        assert_eq!(server.count("/put/2"), tries);
        assert_eq!(server.count("/put/3"), 0);
    }
}

#[tokio::test]
async fn a_part_that_fails_once_is_sent_again() {
    for what in 0..4 {
        let fault = move |n: u64, _: &str| {
            (n == 1).then(|| match what {
                0 => canned::Answer::status(500, ""),
                1 => canned::Answer::status(429, ""),
                2 => canned::Answer::status(200, "no etag"),
                _ => canned::Answer {
                    broken: true,
                    ..canned::Answer::default()
                },
            })
        };
        let server = storage(Box::new(fault)).await;
        let web = web(&server);
        let session = session(&web, &LONG[..12]).await;
        web.send_parts(&session, &source(LONG), 2).await.unwrap();
        assert_eq!(arrived(&server), LONG[..12]);
        assert_eq!(server.count("/put/"), 4);
    }
}

#[tokio::test]
async fn a_single_part_must_have_the_md5_that_was_announced() {
    let server = storage(sound()).await;
    let web = web(&server);
    let session = session(&web, "abc").await;
    let error = web.send_parts(&session, &source("abX"), 1).await.unwrap_err();
    assert_eq!(error.reason, Reason::Http(HttpError::Source));
}

#[tokio::test]
async fn no_more_parts_are_under_way_than_allowed() {
    let slow = |_: u64, _: &str| None;
    let server = storage(Box::new(slow)).await;
    let web = web(&server);
    let session = session(&web, LONG).await;
    let open = Arc::new(AtomicU64::new(0));
    let most = Arc::new(Mutex::new(0));
    struct Open(Arc<AtomicU64>);
    impl Drop for Open {
        fn drop(&mut self) {
            self.0.fetch_sub(1, Ordering::SeqCst);
        }
    }
    let (counter, high) = (Arc::clone(&open), Arc::clone(&most));
    let inner = source(LONG);
    let counted: Reader = Arc::new(move |offset, length| -> Frames {
        let now = counter.fetch_add(1, Ordering::SeqCst) + 1;
        let mut high = high.lock().unwrap();
        *high = now.max(*high);
        let guard = Open(Arc::clone(&counter));
        let frames = inner(offset, length);
        Box::pin(futures_util::StreamExt::map(frames, move |frame| {
            let _ = &guard;
            frame
        }))
    });
    web.send_parts(&session, &counted, 3).await.unwrap();
    let most = *most.lock().unwrap();
    assert!((2..=3).contains(&most), "{most}");
    assert_eq!(open.load(Ordering::SeqCst), 0);
}

/// Answers `upload_complete` in turn.
async fn completing(answers: Vec<canned::Answer>) -> (Canned, Web, Session) {
    let answers = Mutex::new(answers.into_iter());
    let server = Canned::start(move |asked: &Asked| {
        if asked.target.contains("upload_request") {
            return canned::Answer::json(r#"{"code":0,"data":{"Key":"k","SliceSize":4}}"#);
        }
        answers.lock().unwrap().next().unwrap()
    })
    .await;
    let web = web(&server);
    let session = session(&web, "abc").await;
    (server, web, session)
}

#[tokio::test]
async fn completion_is_asked_again_while_the_content_is_checked() {
    let checking = || canned::Answer::json(r#"{"code":20103,"message":"文件正在校验中,请间隔1秒后再试"}"#);
    let done = canned::Answer::json(r#"{"code":0,"data":{"file_info":{"FileId":"12","Size":3}}}"#);
    let (server, web, session) = completing(vec![checking(), checking(), done]).await;
    assert_eq!(web.complete(&session).await.unwrap().unwrap().id, 12);
    assert_eq!(server.count("upload_complete"), 3);
}

#[tokio::test]
async fn completion_is_never_repeated_when_its_fate_is_unclear() {
    let broken = canned::Answer {
        broken: true,
        ..canned::Answer::default()
    };
    for answer in [broken, canned::Answer::status(502, ""), canned::Answer::json("{")] {
        let (server, web, session) = completing(vec![answer]).await;
        let error = web.complete(&session).await.unwrap_err();
        assert!(error.is_unclear(), "{error}");
        assert_eq!(server.count("upload_complete"), 1);
    }
}

#[tokio::test]
async fn changes_have_the_least_body_and_need_no_data_in_the_answer() {
    let server = Canned::start(|_| canned::Answer::json(OK)).await;
    let web = web(&server);
    web.rename(5, "b").await.unwrap();
    web.move_into(5, 6).await.unwrap();
    web.trash(5).await.unwrap();
    web.delete(5).await.unwrap();
    for (call, body) in [
        ("file/rename", json!({"driveId": 0, "fileId": 5, "fileName": "b"})),
        (
            "file/mod_pid",
            json!({"fileIdList": [{"FileId": 5}], "parentFileId": 6}),
        ),
        (
            "file/trash",
            json!({"fileTrashInfoList": [{"FileId": 5}], "event": "intoRecycle"}),
        ),
        (
            "file/delete",
            json!({"fileIdList": [{"FileId": 5}], "event": "recycleDelete"}),
        ),
    ] {
        assert_eq!(from_str::<Value>(&server.asked(call)[0].body).unwrap(), body);
    }
}

#[tokio::test]
async fn a_change_is_repeated_after_too_fast_and_not_after_a_broken_connection() {
    for (first, asked) in [
        (canned::Answer::status(429, ""), 2),
        (canned::Answer::status(500, ""), 1),
        (
            canned::Answer {
                broken: true,
                ..canned::Answer::default()
            },
            1,
        ),
    ] {
        let first = Mutex::new(Some(first));
        let server = Canned::start(move |_| {
            first
                .lock()
                .unwrap()
                .take()
                .unwrap_or_else(|| canned::Answer::json(OK))
        })
        .await;
        let result = web(&server).rename(5, "b").await;
        assert_eq!(result.is_ok(), asked == 2);
        assert_eq!(server.count("file/rename"), asked);
    }
}

#[tokio::test]
async fn a_folder_is_made_without_reuse_and_its_id_is_taken_from_either_place() {
    for data in [r#"{"Info":{"FileId":8},"FileId":0}"#, r#"{"FileId":"8"}"#] {
        let server =
            Canned::start(move |_| canned::Answer::json(format!(r#"{{"code":0,"data":{data}}}"#))).await;
        assert_eq!(web(&server).make_folder(3, "f").await.unwrap(), 8);
        assert_eq!(
            from_str::<Value>(&server.asked("upload_request")[0].body).unwrap(),
            json!({"driveId": 0, "etag": "", "fileName": "f", "parentFileId": 3, "size": 0, "type": 1, "NotReuse": true})
        );
    }
}

#[tokio::test]
async fn a_copy_task_is_pending_done_or_failed() {
    use crate::pan::web::copy::Original;
    for (status, expected) in [
        (0, Some(false)),
        (1, Some(false)),
        (4, Some(false)),
        (2, Some(true)),
        (3, None),
    ] {
        let server = Canned::start(move |asked: &Asked| {
            canned::Answer::json(if asked.target.contains("async") {
                r#"{"code":0,"data":{"mode":1,"taskId":77}}"#.to_owned()
            } else {
                format!(r#"{{"code":0,"data":{{"status":{status},"reason":"no"}}}}"#)
            })
        })
        .await;
        let web = web(&server);
        let original = Original {
            id: 1,
            name: "a",
            size: 2,
            etag: "e",
            parent: 3,
        };
        let task = web.copy_into(&original, 4).await.unwrap().unwrap();
        assert_eq!(web.copy_done(&task).await.ok(), expected);
        assert!(server.asked("copy/task")[0].target.contains("taskId=77"));
    }
}

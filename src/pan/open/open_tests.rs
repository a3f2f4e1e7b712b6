//! The Open platform against canned answers.

#![allow(clippy::unwrap_used)]

use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;
use crate::pan::canned::{Answer, Asked, Canned};
use crate::pan::token::{Credentials, Grant};

/// Takes the tokens it gave last only; the first of them is outdated.
async fn service(answer: &'static str) -> Canned {
    let given = AtomicUsize::new(0);
    Canned::start(move |asked: &Asked| {
        assert_eq!(asked.header("platform"), Some("open_platform"));
        if asked.target.contains("access_token") {
            let n = given.fetch_add(1, Ordering::SeqCst) + 1;
            return Answer::json(format!(
                r#"{{"code":0,"message":"ok","data":{{"accessToken":"T{n}","expiredAt":"2026-01-01T00:00:00+08:00"}},"x-traceID":"x"}}"#
            ));
        }
        match asked.header("authorization") {
            Some("Bearer T1") => Answer::json(answer),
            _ => Answer::json(r#"{"code":401,"message":"access Token Invalid"}"#),
        }
    })
    .await
}

fn open(service: &Canned, token: Option<&str>, client: bool) -> Open {
    let http = Client::new().unwrap();
    let endpoints = Endpoints {
        open: service.url.clone(),
        rate: 1000.0,
        ..Endpoints::default()
    };
    let credentials = Credentials {
        grant: client.then(|| Grant::Client("id".to_owned(), "secret".into())),
        access_token: token.map(SecretString::from),
    };
    let session = Session::new(http.clone(), endpoints.clone(), credentials, None);
    Open::new(http, &endpoints, session)
}

#[tokio::test]
async fn a_token_is_got_once_and_renewed_once_after_401() {
    let service =
        service(r#"{"code":0,"data":{"uid":1,"spaceUsed":3,"spacePermanent":5,"spaceTemp":2}}"#).await;
    let open = open(&service, Some("outdated"), true);
    let info = open.user_info().await.unwrap();
    assert_eq!((info.used(), info.total()), (3, Some(7)));
    open.user_info().await.unwrap();
    assert_eq!(
        (service.count("access_token"), service.count("user/info")),
        (1, 3)
    );
    assert_eq!(
        serde_json::from_str::<serde_json::Value>(&service.asked("access_token")[0].body).unwrap(),
        json!({"clientID":"id","clientSecret":"secret"})
    );
}

#[tokio::test]
async fn an_outdated_token_without_a_client_id_is_an_error() {
    let service = service("").await;
    let error = open(&service, Some("outdated"), false)
        .user_info()
        .await
        .unwrap_err();
    assert!(matches!(error.reason, Reason::NoPassword(_)), "{error}");
    assert_eq!(service.count(""), 1);
}

#[tokio::test]
async fn a_refused_client_is_not_sent_again() {
    let service = Canned::start(|_| Answer::json(r#"{"code":1,"message":"client invalid"}"#)).await;
    let open = open(&service, None, true);
    for _ in 0..3 {
        let error = open.user_info().await.unwrap_err();
        assert!(matches!(error.reason, Reason::PasswordRefused { .. }), "{error}");
        assert!(error.sentence().contains("client_secret"));
    }
    assert_eq!(service.count(""), 1);
}

#[tokio::test]
async fn parameters_have_the_documented_casing() {
    let service = service(r#"{"code":0,"data":{"lastFileId":-1,"fileList":[{"fileId":4,"filename":"a","trashed":1}],"downloadUrl":"https://h/x?t=1"}}"#).await;
    let open = open(&service, Some("T1"), false);
    let page = open.list(5, 9).await.unwrap();
    assert!(page.is_last());
    assert_eq!((page.rows[0].id, page.rows[0].trashed), (4, true));
    assert!(service.count("/api/v2/file/list?parentFileId=5&limit=100&lastFileId=9") == 1);
    let link = open.link(4, 5).await.unwrap();
    assert_eq!(link.url.expose_secret(), "https://h/x?t=1");
    assert!(service.count("/api/v1/file/download_info?fileId=4") == 1);
}

#[tokio::test]
async fn a_member_may_call_more_often() {
    let service = service(r#"{"code":0,"data":{"uid":1,"vip":true}}"#).await;
    let open = open(&service, Some("T1"), true);
    let pace = |open: &Open| {
        let standing = open.session().gates().standing();
        standing.iter().find(|s| s.call == change::MKDIR).unwrap().pace
    };
    let free = pace(&open);
    open.user_info().await.unwrap();
    assert!(pace(&open) < free / 3);
}

#[tokio::test]
async fn a_taken_name_has_code_1_and_a_word() {
    let taken = r#"{"code":1,"message":"该目录下已经有同名文件夹,无法进行创建","x-traceID":"t-1"}"#;
    let open = open(&service(taken).await, Some("T1"), true);
    let error = open.make_folder(0, "a").await.unwrap_err();
    assert!(matches!(error.reason, Reason::Exists(_)) && error.sentence().contains("x-traceID t-1"));
    let other = Canned::start(|_| Answer::json(r#"{"code":1,"message":"内部错误"}"#)).await;
    let open = self::open(&other, Some("T1"), true);
    assert!(matches!(
        open.make_folder(0, "a").await.unwrap_err().reason,
        Reason::Refused(_)
    ));
}

#[tokio::test]
async fn rows_by_id_come_under_either_name() {
    for key in ["fileList", "list"] {
        let answer =
            format!(r#"{{"code":0,"data":{{"{key}":[{{"fileId":4,"filename":"a","parentFileId":9}}]}}}}"#);
        let service = Canned::start(move |_| Answer::json(answer.clone())).await;
        let open = open(&service, Some("T1"), false);
        assert_eq!(open.info(4).await.unwrap().parent, Some(9));
        assert!(matches!(
            open.info(5).await.unwrap_err().reason,
            Reason::NotFound(_)
        ));
        assert_eq!(service.asked("infos")[0].body, r#"{"fileIds":[4]}"#);
    }
}

//! Signing in, listing, downloading, sharing.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{cloud, get, page, send, signed, web};
use crate::sim::{
    AuthError, CityRule, Cloud, Content, DirectAuth, Fault, FaultKind, LinkForm, Options, PageRows,
    RefererRule, Relay, Settings, ShareOptions, TooFast, sign,
};

async fn token(cloud: &Cloud) -> String {
    let url = format!("{}/api/user/sign_in", cloud.base());
    let body = json!({"passport": cloud.options().phone, "password": cloud.options().password, "remember": true});
    let answer = send("POST", &url, &[("platform", "web")], body.to_string())
        .await
        .unwrap();
    assert_eq!(answer.code(), 200);
    answer.json()["data"]["token"].as_str().unwrap().to_owned()
}

/// The download URL of a file, and the inner link in it.
async fn link(cloud: &Cloud, token: &str, path: &str) -> (String, String) {
    let (_, etag) = cloud.stat(path).unwrap();
    let flag = format!("{}-0", cloud.options().uid);
    let body = json!({"driveId": 0, "etag": etag, "fileId": 1, "fileName": "n", "s3keyFlag": flag, "size": 0, "type": 0});
    let url = web(cloud, token, "POST", "/file/download_info", &body)
        .await
        .json()["data"]["DownloadUrl"]
        .clone();
    let url = url.as_str().unwrap().to_owned();
    let params = url
        .split_once("params=")
        .unwrap()
        .1
        .split('&')
        .next()
        .unwrap();
    let inner = String::from_utf8(STANDARD.decode(params).unwrap()).unwrap();
    (url, inner)
}

async fn cdn_url(cloud: &Cloud, token: &str, path: &str) -> String {
    let (_, inner) = link(cloud, token, path).await;
    get(&inner, &[]).await.header("location").to_owned()
}

#[tokio::test]
async fn sign_in_takes_phone_and_mail_and_refuses_a_wrong_password() {
    let cloud = cloud().await;
    token(&cloud).await;
    let url = format!("{}/b/api/user/sign_in", cloud.base());
    let mail =
        json!({"mail": cloud.options().mail, "password": cloud.options().password, "type": 2})
            .to_string();
    assert_eq!(
        send("POST", &url, &[("platform", "web")], mail.clone())
            .await
            .unwrap()
            .code(),
        200
    );
    assert_eq!(
        send("POST", &url, &[], mail).await.unwrap().code(),
        1,
        "platform is missing"
    );
    let wrong = json!({"passport": cloud.options().phone, "password": "no"}).to_string();
    let answer = send("POST", &url, &[("platform", "web")], wrong)
        .await
        .unwrap();
    assert_ne!(answer.code(), 200);
    assert!(!answer.json()["message"].as_str().unwrap().is_empty());
    assert_eq!(cloud.counters().get("sign_in"), 4);
}

#[tokio::test]
async fn a_fourth_sign_in_ends_the_first_token() {
    let cloud = cloud().await;
    let first = token(&cloud).await;
    let mut last = String::new();
    for _ in 0..3 {
        last = token(&cloud).await;
    }
    assert_eq!(cloud.live_tokens(), 3);
    assert_eq!(
        web(&cloud, &first, "GET", "/user/info", &Value::Null)
            .await
            .status,
        401
    );
    assert_eq!(
        web(&cloud, &last, "GET", "/user/info", &Value::Null)
            .await
            .code(),
        0
    );
    cloud.expire_tokens();
    for (rule, status, code) in [
        (AuthError::Code401, 401, 401),
        (AuthError::Code2, 401, 2),
        (AuthError::Code20101, 200, 20101),
    ] {
        cloud.settings().auth_error = rule;
        let answer = web(&cloud, &last, "GET", "/user/info", &Value::Null).await;
        assert_eq!((answer.status, answer.code()), (status, json!(code)));
    }
}

#[tokio::test]
async fn unsigned_and_wrongly_signed_calls_are_refused() {
    let cloud = cloud().await;
    let auth = format!("Bearer {}", cloud.issue_token());
    let headers = [("platform", "web"), ("authorization", auth.as_str())];
    let good = signed(&cloud, "/user/info");
    assert_eq!(get(&good, &headers).await.code(), 0);
    assert_eq!(
        get(&good, &headers[1..]).await.code(),
        1,
        "platform is missing"
    );
    for bad in [
        format!("{}/b/api/user/info", cloud.base()),
        good.replace("/b/api", "/a/api"),
    ] {
        let answer = get(&bad, &headers).await;
        assert_eq!(answer.json()["message"], "签名错误:ak illegality");
    }
}

#[tokio::test]
async fn listing_by_id_is_whole_and_listing_by_name_is_not() {
    let cloud = cloud().await;
    let token = cloud.issue_token();
    for n in 0..250 {
        cloud.add_file(&format!("/many/f{n:03}"), "x");
    }
    let parent = cloud.id("/many").unwrap();
    let mut seen = Vec::new();
    for n in 1..=3 {
        let data = page(&cloud, &token, parent, n).await["data"].clone();
        assert_eq!(data["Total"], 250);
        assert_eq!(data["Next"] == "-1", n == 3);
        seen.extend(
            data["InfoList"]
                .as_array()
                .unwrap()
                .iter()
                .map(|r| r["FileId"].as_i64().unwrap()),
        );
    }
    assert!(seen.windows(2).all(|w| w[0] > w[1]) && seen.len() == 250);
    let by_name =
        "/file/list/new?driveId=0&limit=100&orderBy=file_name&orderDirection=asc&parentFileId=";
    let data = web(
        &cloud,
        &token,
        "GET",
        &format!("{by_name}{parent}&Page=3"),
        &Value::Null,
    )
    .await
    .json();
    assert_eq!(data["data"]["Total"], 250);
    assert!(
        data["data"]["InfoList"]
            .as_array()
            .is_none_or(|rows| rows.len() < 50)
    );
    cloud.settings().page_rows = PageRows::Fixed(500);
    assert_eq!(page(&cloud, &token, parent, 1).await["data"]["Len"], 250);
    for (left_out, message) in [
        ("driveId=0&", "请输入DriveId"),
        ("orderBy=file_name&", "请输入OrderBy"),
    ] {
        let path = format!("{}0", by_name.replace(left_out, ""));
        let answer = web(&cloud, &token, "GET", &path, &Value::Null).await.json();
        assert_eq!(
            (answer["code"].clone(), answer["message"].clone()),
            (json!(400), json!(message))
        );
    }
}

#[tokio::test]
async fn a_listing_that_comes_too_early_is_a_violation_and_many_are_a_ban() {
    let settings = Settings {
        ban_after: Some(3),
        retry_after: Some(2),
        ..Settings::default()
    };
    let cloud = Cloud::start(Options {
        settings,
        ..Options::default()
    })
    .await
    .unwrap();
    let token = cloud.issue_token();
    let path = "/file/list/new?driveId=0&orderBy=file_id&parentFileId=0&Page=1";
    assert_eq!(
        web(&cloud, &token, "GET", path, &Value::Null).await.code(),
        0
    );
    let early = web(&cloud, &token, "GET", path, &Value::Null).await;
    assert_eq!((early.status, early.header("retry-after")), (429, "2"));
    cloud.settings().too_fast = TooFast::Text;
    let early = web(&cloud, &token, "GET", path, &Value::Null).await;
    assert!(
        early.json()["message"]
            .as_str()
            .unwrap()
            .contains("操作频繁")
    );
    assert_eq!(cloud.violations_of("list"), 2);
    let banned = web(&cloud, &token, "GET", path, &Value::Null).await;
    assert_eq!(banned.code(), "403");
    assert!(cloud.is_banned());
    assert_eq!(
        web(&cloud, &token, "GET", "/user/info", &Value::Null)
            .await
            .code(),
        "403"
    );
    cloud.pardon();
    assert_eq!(
        web(&cloud, &token, "GET", path, &Value::Null).await.code(),
        0
    );
}

#[tokio::test]
async fn a_download_goes_by_relay_and_inner_link_to_the_bytes() {
    let cloud = cloud().await;
    let token = cloud.issue_token();
    let content = Content::Pattern {
        seed: 3,
        len: 3_000_000,
    };
    cloud.add_file("/big.bin", content.clone());
    let (outer, inner) = link(&cloud, &token, "/big.bin").await;
    assert_eq!(get(&outer, &[]).await.header("location"), inner);
    let place = get(&inner, &[]).await.header("location").to_owned();
    assert!(place.contains("t="));
    for (relay, status) in [(Relay::Json200, 200), (Relay::Json210, 210)] {
        cloud.settings().relay = relay;
        let answer = get(&inner, &[]).await;
        assert_eq!(
            (
                answer.status,
                answer.json()["data"]["redirect_url"] == place
            ),
            (status, true)
        );
    }
    cloud.settings().relay = Relay::Bytes;
    assert!(get(&inner, &[]).await.body == content.read(0, u64::MAX));
    let whole = get(&place, &[]).await;
    assert!(whole.status == 200 && whole.body == content.read(0, u64::MAX));
    let part = get(&place, &[("range", "bytes=2000000-2000009")]).await;
    assert_eq!(
        (part.status, part.header("content-range")),
        (206, "bytes 2000000-2000009/3000000")
    );
    assert_eq!(part.body, content.read(2_000_000, 10));
    assert_eq!(
        get(&place, &[("range", "bytes=3000000-")]).await.status,
        416
    );
    let tag = whole.header("etag").to_owned();
    assert_eq!(
        get(&place, &[("range", "bytes=0-0"), ("if-range", &tag)])
            .await
            .status,
        206
    );
    assert_eq!(
        get(&place, &[("range", "bytes=0-0"), ("if-range", "\"other\"")])
            .await
            .status,
        200
    );
    let head = send("HEAD", &place, &[], "").await.unwrap();
    assert_eq!(
        (head.status, head.header("content-length"), head.body.len()),
        (200, "3000000", 0)
    );
    assert_eq!(
        (
            cloud.counters().get("cdn"),
            cloud.counters().get("cdn_head")
        ),
        (5, 1)
    );
    let leaked = get(&place, &[("authorization", "Bearer x")]).await;
    assert_eq!(
        (leaked.status, cloud.counters().get("leaked_authorization")),
        (400, 1)
    );
    cloud.expire_links();
    assert_eq!(get(&place, &[]).await.status, 403);
    cloud.settings().link_form = LinkForm::UrlSafe;
    let body = json!({"etag": cloud.stat("/big.bin").unwrap().1, "S3KeyFlag": format!("{}-0", cloud.options().uid)});
    let url = web(&cloud, &token, "POST", "/file/download_info", &body)
        .await
        .json()["data"]["DownloadUrl"]
        .clone();
    let params = url
        .as_str()
        .unwrap()
        .split_once("params=")
        .unwrap()
        .1
        .split('&')
        .next()
        .unwrap()
        .to_owned();
    assert!(params.contains('-') && params.contains('_') && !params.contains('='));
}

#[tokio::test]
async fn the_cdn_refuses_by_referer_and_by_city() {
    let cloud = cloud().await;
    let token = cloud.issue_token();
    cloud.add_file("/a.txt", "abc");
    let place = cdn_url(&cloud, &token, "/a.txt").await;
    let (outer, inner) = link(&cloud, &token, "/a.txt").await;
    let host = |url: &str| {
        format!(
            "{}/",
            url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/")
        )
    };
    let values = [
        host(&outer),
        host(&inner),
        "https://yun.123pan.cn/".to_owned(),
    ];
    for (n, rule) in [RefererRule::Outer, RefererRule::Inner, RefererRule::Origin]
        .into_iter()
        .enumerate()
    {
        cloud.settings().referer = rule;
        let none = get(&place, &[]).await;
        assert_eq!((none.status, none.code()), (403, json!(1010)));
        for (m, value) in values.iter().enumerate() {
            // Without other loopback hosts, outer and inner are the same.
            let same = values[n] == *value || n == m;
            assert_eq!(
                get(&place, &[("referer", value)]).await.status == 200,
                same,
                "{rule:?} {value}"
            );
        }
    }
    cloud.settings().referer = RefererRule::Off;
    cloud.settings().refusal_status = 200;
    cloud.settings().city = CityRule::Nowhere;
    let refused = get(&place, &[]).await;
    assert_eq!((refused.status, refused.code()), (200, json!(1010)));
    assert!(
        refused.json()["message"]
            .as_str()
            .unwrap()
            .starts_with("forbidden realc:")
    );
}

#[tokio::test]
async fn shares_ask_for_password_and_login() {
    let cloud = cloud().await;
    cloud.add_file("/s/sub/a.txt", "abc");
    cloud.add_file("/own/b.txt", "b");
    let options = ShareOptions {
        name: "x".into(),
        password: Some("Ab12".into()),
        ..ShareOptions::default()
    };
    let key = cloud.add_share(&["/s"], options);
    let list = |parent: i64, pwd: &str| {
        format!(
            "/share/get?limit=100&next=0&orderBy=file_id&orderDirection=desc&parentFileId={parent}&Page=1&shareKey={key}&SharePwd={pwd}"
        )
    };
    assert_eq!(
        web(&cloud, "", "GET", &list(0, "nope"), &Value::Null)
            .await
            .code(),
        5103
    );
    let root = web(&cloud, "", "GET", &list(0, "aB12"), &Value::Null)
        .await
        .json();
    assert!(root["data"].get("Total").is_none());
    assert_eq!(root["data"]["InfoList"][0]["FileName"], "s");
    let own = cloud.id("/own").unwrap();
    let other = web(&cloud, "", "GET", &list(own, "Ab12"), &Value::Null)
        .await
        .json();
    assert!(other["data"]["InfoList"].is_null());
    let token = cloud.issue_token();
    let bug = web(&cloud, &token, "GET", &list(own, "Ab12"), &Value::Null)
        .await
        .json();
    assert_eq!(bug["data"]["InfoList"][0]["FileName"], "b.txt");
    let row = web(
        &cloud,
        "",
        "GET",
        &list(cloud.id("/s/sub").unwrap(), "Ab12"),
        &Value::Null,
    )
    .await
    .json();
    let row = row["data"]["InfoList"][0].clone();
    let mut body = json!({"shareKey": key, "SharePwd": "Ab12", "etag": row["Etag"], "fileId": row["FileId"],
        "s3keyFlag": row["S3KeyFlag"], "size": row["Size"]});
    assert_eq!(
        web(&cloud, "", "POST", "/share/download/info", &body)
            .await
            .code(),
        5112
    );
    let signed_in = web(&cloud, &token, "POST", "/share/download/info", &body).await;
    assert!(
        signed_in.json()["data"]["DownloadURL"]
            .as_str()
            .unwrap()
            .contains("params=")
    );
    cloud.change_share(&key, false, true);
    assert_eq!(
        web(&cloud, "", "POST", "/share/download/info", &body)
            .await
            .code(),
        0
    );
    body["size"] = json!(99);
    assert_eq!(
        web(&cloud, "", "POST", "/share/download/info", &body)
            .await
            .code(),
        5066
    );
    cloud.change_share(&key, true, true);
    assert_eq!(
        web(&cloud, "", "GET", &list(0, "Ab12"), &Value::Null)
            .await
            .code(),
        5104
    );
}

#[tokio::test]
async fn direct_links_are_signed_over_the_decoded_or_the_written_path() {
    let cloud = cloud().await;
    cloud.add_file("/直链/a b.txt", "abc");
    cloud.add_file("/other/c.txt", "abc");
    let uid = cloud.options().uid;
    let written = format!("/{uid}/%E7%9B%B4%E9%93%BE/a%20b.txt");
    let url = format!("{}{written}", cloud.base());
    assert_eq!(get(&url, &[]).await.status, 404, "not enabled yet");
    assert!(cloud.enable_direct("/直链"));
    assert_eq!(get(&url, &[]).await.body, b"abc");
    assert_eq!(
        get(&format!("{}/other/c.txt", cloud.direct_base()), &[])
            .await
            .status,
        404
    );
    let key = cloud.settings().direct_key.clone();
    let auth = |path: &str| {
        let hash = sign::direct_hash(path, 9_999_999_999, "7", uid, &key);
        format!("{url}?auth_key=9999999999-7-{uid}-{hash}")
    };
    let (decoded, raw) = (auth(&format!("/{uid}/直链/a b.txt")), auth(&written));
    for (rule, good, bad) in [
        (DirectAuth::Decoded, &decoded, &raw),
        (DirectAuth::AsWritten, &raw, &decoded),
    ] {
        cloud.settings().direct_auth = rule;
        assert_eq!(get(good, &[("range", "bytes=1-1")]).await.body, b"b");
        assert_eq!(get(bad, &[]).await.status, 403);
        assert_eq!(get(&url, &[]).await.status, 403);
    }
}

#[tokio::test]
async fn faults_strike_where_and_as_often_as_asked() {
    let cloud = cloud().await;
    let token = cloud.issue_token();
    cloud.add_file(
        "/a.bin",
        Content::Pattern {
            seed: 1,
            len: 1_000_000,
        },
    );
    let place = cdn_url(&cloud, &token, "/a.bin").await;
    cloud.fault(Fault::once("cdn", FaultKind::Truncate(300_001)).after(1));
    assert!(get(&place, &[]).await.whole);
    let cut = get(&place, &[]).await;
    assert_eq!(
        (cut.status, cut.whole, cut.body.len()),
        (200, false, 300_001)
    );
    assert!(get(&place, &[]).await.whole);
    cloud.fault(Fault::once("cdn", FaultKind::Drop));
    assert!(send("GET", &place, &[], "").await.is_none());
    cloud.fault(Fault::once(
        "cdn",
        FaultKind::Stall {
            after: 10,
            lasting: None,
        },
    ));
    let stalled = get(&place, &[]);
    tokio::pin!(stalled);
    tokio::select! {
        _ = &mut stalled => panic!("the body must stop"),
        () = tokio::time::sleep(Duration::from_millis(100)) => {}
    }
    cloud.release();
    assert!(stalled.await.whole);
    cloud.fault(Fault::once("user_info", FaultKind::Status(503, Some(1))));
    cloud.fault(Fault::once("user_info", FaultKind::Html));
    cloud.fault(Fault::once(
        "user_info",
        FaultKind::Code(json!("403"), "no".into()),
    ));
    let ask = || web(&cloud, &token, "GET", "/user/info", &Value::Null);
    assert_eq!(ask().await.status, 503);
    assert!(ask().await.body.starts_with(b"<!DOCTYPE"));
    assert_eq!(ask().await.code(), "403");
    assert_eq!(ask().await.code(), 0);
    cloud.fault(Fault::forever(
        "list",
        FaultKind::LackRows { page: 1, rows: 1 },
    ));
    let short = page(&cloud, &token, 0, 1).await;
    assert_eq!(
        (short["data"]["Total"].clone(), short["data"]["Len"].clone()),
        (json!(1), json!(0))
    );
    cloud.clear_faults();
    assert_eq!(page(&cloud, &token, 0, 1).await["data"]["Len"], 1);
}

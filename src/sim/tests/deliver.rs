//! From link to bytes, and faults on the way.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::{cloud, get, page, send, web};
use crate::sim::{
    CityRule, Cloud, Content, DirectAuth, Fault, FaultKind, LinkForm, RefererRule, Relay, sign,
};

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
    let params = url.split_once("params=").unwrap().1.split('&').next().unwrap();
    let inner = String::from_utf8(STANDARD.decode(params).unwrap()).unwrap();
    (url, inner)
}

async fn cdn_url(cloud: &Cloud, token: &str, path: &str) -> String {
    let (_, inner) = link(cloud, token, path).await;
    get(&inner, &[]).await.header("location").to_owned()
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
            (answer.status, answer.json()["data"]["redirect_url"] == place),
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
    assert_eq!(get(&place, &[("range", "bytes=3000000-")]).await.status, 416);
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
        (cloud.counters().get("cdn"), cloud.counters().get("cdn_head")),
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
    let body =
        json!({"etag": cloud.stat("/big.bin").unwrap().1, "S3KeyFlag": format!("{}-0", cloud.options().uid)});
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
    let host = |url: &str| format!("{}/", url.splitn(4, '/').take(3).collect::<Vec<_>>().join("/"));
    let values = [host(&outer), host(&inner), "https://yun.123pan.cn/".to_owned()];
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
    assert_eq!((cut.status, cut.whole, cut.body.len()), (200, false, 300_001));
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
    cloud.fault(Fault::forever("list", FaultKind::LackRows { page: 1, rows: 1 }));
    let short = page(&cloud, &token, 0, 1).await;
    assert_eq!(
        (short["data"]["Total"].clone(), short["data"]["Len"].clone()),
        (json!(1), json!(0))
    );
    cloud.clear_faults();
    assert_eq!(page(&cloud, &token, 0, 1).await["data"]["Len"], 1);
}

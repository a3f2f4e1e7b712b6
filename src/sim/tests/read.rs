//! Signing in, listing, sharing.

use serde_json::{Value, json};

use super::{cloud, get, page, send, signed, web};
use crate::sim::{AuthError, Cloud, Options, PageRows, Settings, ShareOptions, TooFast};

async fn token(cloud: &Cloud) -> String {
    let url = format!("{}/api/user/sign_in", cloud.base());
    let body =
        json!({"passport": cloud.options().phone, "password": cloud.options().password, "remember": true});
    let answer = send("POST", &url, &[("platform", "web")], body.to_string())
        .await
        .unwrap();
    assert_eq!(answer.code(), 200);
    answer.json()["data"]["token"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn sign_in_takes_phone_and_mail_and_refuses_a_wrong_password() {
    let cloud = cloud().await;
    token(&cloud).await;
    let url = format!("{}/b/api/user/sign_in", cloud.base());
    let mail =
        json!({"mail": cloud.options().mail, "password": cloud.options().password, "type": 2}).to_string();
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
    let answer = send("POST", &url, &[("platform", "web")], wrong).await.unwrap();
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
        web(&cloud, &last, "GET", "/user/info", &Value::Null).await.code(),
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
    assert_eq!(get(&good, &headers[1..]).await.code(), 1, "platform is missing");
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
    let by_name = "/file/list/new?driveId=0&limit=100&orderBy=file_name&orderDirection=asc&parentFileId=";
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
    assert_eq!(web(&cloud, &token, "GET", path, &Value::Null).await.code(), 0);
    let early = web(&cloud, &token, "GET", path, &Value::Null).await;
    assert_eq!((early.status, early.header("retry-after")), (429, "2"));
    cloud.settings().too_fast = TooFast::Text;
    let early = web(&cloud, &token, "GET", path, &Value::Null).await;
    assert!(early.json()["message"].as_str().unwrap().contains("操作频繁"));
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
    assert_eq!(web(&cloud, &token, "GET", path, &Value::Null).await.code(), 0);
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
async fn the_open_platform_lists_what_is_in_the_bin_too() {
    let cloud = cloud().await;
    cloud.add_file("/d/a.txt", "abc");
    let open = format!("{}/open/api", cloud.base());
    let id = cloud.options();
    let body = json!({"clientID": id.client_id, "clientSecret": id.client_secret}).to_string();
    let platform = ("platform", "open_platform");
    let url = format!("{open}/v1/access_token");
    let token = send("POST", &url, &[platform], body).await.unwrap().json()["data"]["accessToken"].clone();
    let auth = format!("Bearer {}", token.as_str().unwrap());
    let headers = [platform, ("authorization", auth.as_str())];
    let list = format!(
        "{open}/v2/file/list?parentFileId={}&limit=100",
        cloud.id("/d").unwrap()
    );
    let row = get(&list, &headers).await.json()["data"]["fileList"][0].clone();
    assert_eq!(
        (row["filename"].clone(), row["trashed"].clone()),
        (json!("a.txt"), json!(0))
    );
    let link = |key: &str| format!("{open}/v1/file/download_info?{key}={}", row["fileId"]);
    assert_eq!(
        get(&link("fileID"), &headers).await.code(),
        5066,
        "the casing matters"
    );
    let url = get(&link("fileId"), &headers).await.json()["data"]["downloadUrl"].clone();
    assert!(url.as_str().unwrap().contains("params="));
    let bin = json!({"fileTrashInfoList": [{"FileId": row["fileId"]}], "operation": true});
    let web_token = cloud.issue_token();
    web(&cloud, &web_token, "POST", "/file/trash", &bin).await;
    assert_eq!(
        get(&list, &headers).await.json()["data"]["fileList"][0]["trashed"],
        1
    );
    assert_eq!(get(&list, &headers[..1]).await.code(), 401);
}

//! Signing in by QR code.

use serde_json::{Value, json};

use super::{cloud, get, web};
use crate::sim::{Cloud, Phone};

const PAGE: [(&str, &str); 1] = [("platform", "web")];

async fn generate(cloud: &Cloud) -> String {
    let answer = get(&format!("{}/api/user/qr-code/generate", cloud.base()), &PAGE).await;
    assert_eq!(answer.code(), 0);
    let data = &answer.json()["data"];
    assert!(data["url"].as_str().unwrap().starts_with("http://"));
    data["uniID"].as_str().unwrap().to_owned()
}

/// Code, status and token.
async fn poll(cloud: &Cloud, id: &str) -> (Value, Value, Value) {
    let url = format!("{}/api/user/qr-code/result?uniID={id}", cloud.base());
    let answer = get(&url, &PAGE).await.json();
    let data = &answer["data"];
    (
        answer["code"].clone(),
        data["loginStatus"].clone(),
        data["token"].clone(),
    )
}

#[tokio::test]
async fn a_code_gives_its_token_once_it_is_scanned_and_confirmed_and_never_again() {
    let cloud = cloud().await;
    let bare = get(&format!("{}/api/user/qr-code/generate", cloud.base()), &[]).await;
    assert_eq!(bare.code(), 1, "platform is missing");
    let id = generate(&cloud).await;
    assert_eq!(poll(&cloud, &id).await, (json!(0), json!(0), Value::Null));
    assert_eq!(cloud.qr_confirm(), 0, "not scanned yet");
    assert_eq!(cloud.qr_scan(), 1);
    assert_eq!(poll(&cloud, &id).await, (json!(0), json!(1), Value::Null));
    assert_eq!(cloud.qr_confirm(), 1);
    let (code, status, token) = poll(&cloud, &id).await;
    assert_eq!((code, status), (json!(200), json!(3)));
    let info = web(&cloud, token.as_str().unwrap(), "GET", "/user/info", &Value::Null).await;
    assert_eq!(info.code(), 0);
    assert_eq!(poll(&cloud, &id).await, (json!(0), json!(4), Value::Null));
    assert_eq!(poll(&cloud, "unknown").await.1, json!(4));
    assert_eq!(cloud.live_tokens(), 1);
}

#[tokio::test]
async fn a_client_that_is_signed_in_scans_confirms_and_denies_in_this_order_only() {
    let cloud = cloud().await;
    let token = cloud.issue_token();
    let act = async |path: &str, body: Value| {
        let path = format!("/user/qr-code/{path}");
        web(&cloud, &token, "POST", &path, &body).await.code()
    };
    let (one, two) = (generate(&cloud).await, generate(&cloud).await);
    assert_ne!(act("login", json!({"uniID": one})).await, 0, "not scanned");
    assert_ne!(
        act("scan", json!({"uniID": one})).await,
        0,
        "scanPlatform is missing"
    );
    assert_ne!(act("scan", json!({"uniID": "x", "scanPlatform": 7})).await, 0);
    for id in [&one, &two] {
        assert_eq!(act("scan", json!({"uniID": id, "scanPlatform": 4})).await, 0);
    }
    assert_eq!(act("login", json!({"uniID": one})).await, 0);
    assert_eq!(act("deny", json!({"uniID": two})).await, 0);
    assert_eq!(poll(&cloud, &one).await.1, json!(3));
    assert_eq!(poll(&cloud, &two).await.1, json!(2));
    let refused = web(
        &cloud,
        "",
        "POST",
        "/user/qr-code/scan",
        &json!({"uniID": one, "scanPlatform": 7}),
    )
    .await;
    assert_eq!(refused.code(), 401);
}

#[tokio::test]
async fn the_automatic_phone_moves_on_with_each_poll() {
    let cloud = cloud().await;
    for (phone, states) in [
        (Phone::Confirms, [0, 1, 3]),
        (Phone::Denies, [0, 1, 2]),
        (Phone::Lost, [0, 4, 4]),
        (Phone::ByHand, [0, 0, 0]),
    ] {
        cloud.settings().phone = phone;
        let id = generate(&cloud).await;
        for state in states {
            assert_eq!(poll(&cloud, &id).await.1, json!(state), "{phone:?}");
        }
    }
}

//! The signed URL and the call, against worked values.

#![allow(clippy::unwrap_used)]

use super::*;
use http_body_util::BodyExt;

#[test]
fn the_signature_is_that_of_the_openlist_family() {
    let token = SecretString::from("openlist-test-token");
    for (path, expires, expected) in [
        (
            "/123/plain.txt",
            0,
            "_rTWJMKGEjI6uD5V-bwOguj25jIrL9Fo1j2tib4KVyE=:0",
        ),
        (
            "/123/电影/a b.mkv",
            0,
            "Jcx3Th1gWhPFILvd9eQrVXsyMH9tHTk3KhS58yabNik=:0",
        ),
        (
            "/123/电影/a b.mkv",
            1_893_456_000,
            "wofozl8710EpUPWk4nZaMcWmL32MV1l5KqMvAU-O7K8=:1893456000",
        ),
    ] {
        assert_eq!(sign(&token, path, expires), expected);
    }
    let path = TreePath::from_decoded("/123/电影/a b.mkv").unwrap();
    let until = UNIX_EPOCH + Duration::from_secs(1_893_456_000);
    assert_eq!(
        signed("https://proxy.example.com/", &token, &path, until),
        "https://proxy.example.com/123/%E7%94%B5%E5%BD%B1/a%20b.mkv\
         ?sign=wofozl8710EpUPWk4nZaMcWmL32MV1l5KqMvAU-O7K8=:1893456000"
    );
}

#[test]
fn the_path_is_encoded_as_the_workers_expect() {
    let path = TreePath::from_decoded("/a/$&+:=@-_.~ #%?'!*(),;").unwrap();
    let url = signed("https://w", &"t".into(), &path, UNIX_EPOCH);
    let encoded = url.split("?sign=").next().unwrap();
    assert_eq!(encoded, "https://w/a/$&+:=@-_.~%20%23%25%3F%27%21%2A%28%29%2C%3B");
}

#[test]
fn a_token_opens_only_mounts_that_are_handed_to_a_proxy() {
    let mut delivery = Delivery {
        strategy: Strategy::ProxyUrl,
        proxy_secret: Some("token".into()),
        ..Delivery::default()
    };
    assert!(opens(&delivery, "token"));
    assert!(!opens(&delivery, "Token"));
    assert!(!opens(&delivery, ""));
    delivery.strategy = Strategy::Proxy;
    assert!(!opens(&delivery, "token"));
    assert!(!opens(&Delivery::default(), ""));
}

#[test]
fn a_call_names_one_path() {
    let path = |text: &'static str| asked(&Bytes::from_static(text.as_bytes()));
    assert_eq!(
        path(r#"{"path":"/123/a b","password":""}"#)
            .unwrap()
            .path
            .to_string(),
        "/123/a b"
    );
    for bad in ["", "{}", "{\"path\":1}", "{\"path\":\"/../x\"}"] {
        assert_eq!(path(bad).unwrap_err().kind(), ErrorKind::BadName, "{bad}");
    }
}

#[tokio::test]
async fn an_answer_has_arrays_of_headers_and_a_true_status() {
    let link = Link {
        url: "https://cdn/x?t=1".into(),
        until: UNIX_EPOCH + Duration::from_secs(1_893_456_000),
        referers: vec!["https://host/".to_owned(), "https://other/".to_owned()],
        headers: Vec::new(),
        open_to_all: false,
    };
    let file = Entry {
        id: crate::drive::Id(1),
        name: "x".into(),
        kind: crate::drive::Kind::File,
        size: Some(7),
        modified: 9,
        created: 0,
        md5: Some(std::array::from_fn(|n| n as u8)),
        locator: Arc::from(""),
    };
    let text = |response: Response<Body>| async {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        serde_json::from_slice::<serde_json::Value>(&bytes).unwrap()
    };
    assert_eq!(
        text(granted(&link, &file, &Referers::new())).await,
        serde_json::json!({"code": 200, "message": "success", "data": {
            "url": "https://cdn/x?t=1", "header": {"Referer": ["https://host/"]},
            "file": {"size": 7, "md5": "000102030405060708090a0b0c0d0e0f", "modified": 9,
                "until": 1_893_456_000, "referers": ["https://host/", "https://other/"]}}})
    );
    let response = refused(&Error::new(ErrorKind::NotFound, "No."));
    assert_eq!(response.status(), 404);
    assert_eq!(text(response).await["code"], 404);
    assert_eq!(unauthorized().status(), 401);
}

#[test]
fn only_the_right_signature_of_the_path_opens_and_only_until_its_time() {
    let token = SecretString::from("openlist-test-token");
    let path = TreePath::from_decoded("/123/电影/a b.mkv").unwrap();
    let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
    let check = |path: &TreePath, sign: &str, now| verify(&token, path, sign, at(now));
    let ends = "wofozl8710EpUPWk4nZaMcWmL32MV1l5KqMvAU-O7K8=:1893456000";
    assert_eq!(check(&path, ends, 1_893_455_999), Ok(()));
    assert_eq!(check(&path, ends, 1_893_456_000), Err(Unsigned::Expired));
    let escaped = "wofozl8710EpUPWk4nZaMcWmL32MV1l5KqMvAU-O7K8%3D%3A1893456000";
    assert_eq!(check(&path, escaped, 0), Ok(()));
    let never = "Jcx3Th1gWhPFILvd9eQrVXsyMH9tHTk3KhS58yabNik=:0";
    assert_eq!(check(&path, never, u64::from(u32::MAX)), Ok(()));
    let other = TreePath::from_decoded("/123/电影/a c.mkv").unwrap();
    assert_eq!(check(&other, ends, 0), Err(Unsigned::Wrong));
    for wrong in [
        "",
        ":",
        "0",
        ":0",
        "Jcx3Th1gWhPFILvd9eQrVXsyMH9tHTk3KhS58yabNik=",
        "Jcx3Th1gWhPFILvd9eQrVXsyMH9tHTk3KhS58yabNik=:",
        "Jcx3Th1gWhPFILvd9eQrVXsyMH9tHTk3KhS58yabNik=:00",
        "Jcx3Th1gWhPFILvd9eQrVXsyMH9tHTk3KhS58yabNik=:+0",
        "Jcx3Th1gWhPFILvd9eQrVXsyMH9tHTk3KhS58yabNik=:-1",
        "Jcx3Th1gWhPFILvd9eQrVXsyMH9tHTk3KhS58yabNik=:1893456000",
        "wofozl8710EpUPWk4nZaMcWmL32MV1l5KqMvAU-O7K8=:1893456001",
    ] {
        assert_eq!(check(&path, wrong, 0), Err(Unsigned::Wrong), "{wrong}");
        assert_eq!(
            check(&path, wrong, u64::MAX >> 2),
            Err(Unsigned::Wrong),
            "{wrong}"
        );
    }
}

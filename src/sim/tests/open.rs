//! The Open platform's writing side.

use serde_json::{Value, json};

use super::{Received, cloud, send};
use crate::sim::content::md5_hex;
use crate::sim::{Cloud, Content};

const PLATFORM: (&str, &str) = ("platform", "open_platform");

async fn call(cloud: &Cloud, method: &str, path: &str, body: Value) -> Value {
    let auth = format!("Bearer {}", cloud.issue_token());
    let url = format!("{}/open{path}", cloud.base());
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    let answer = send(method, &url, &[PLATFORM, ("authorization", &auth)], body).await;
    let json = answer.unwrap().json();
    assert!(
        json["x-traceID"].as_str().is_some_and(|id| !id.is_empty()),
        "{json}"
    );
    json
}

async fn form(cloud: &Cloud, url: &str, fields: &[(&str, &str)], file: (&str, &[u8])) -> Received {
    let auth = format!("Bearer {}", cloud.issue_token());
    let mut body = Vec::new();
    for (name, value) in fields {
        body.extend(
            format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n").bytes(),
        );
    }
    let (name, bytes) = file;
    body.extend(
        format!("--B\r\nContent-Disposition: form-data; name=\"{name}\"; filename=\"x\"\r\n\r\n").bytes(),
    );
    body.extend(bytes);
    body.extend(b"\r\n--B--\r\n");
    let headers = [
        PLATFORM,
        ("authorization", auth.as_str()),
        ("content-type", "multipart/form-data; boundary=B"),
    ];
    send("POST", url, &headers, body).await.unwrap()
}

fn announced(name: &str, bytes: &[u8]) -> Value {
    json!({"parentFileID": 0, "filename": name, "etag": md5_hex(bytes), "size": bytes.len(), "containDir": false})
}

#[tokio::test]
async fn slices_are_checked_one_by_one_and_as_a_whole() {
    let cloud = cloud().await;
    cloud.settings().slice_size = Some(1000);
    cloud.settings().open_checks = 2;
    let bytes = Content::Pattern { seed: 3, len: 2500 }.read(0, 2500);
    let made = call(
        &cloud,
        "POST",
        "/upload/v2/file/create",
        announced("n.bin", &bytes),
    )
    .await["data"]
        .clone();
    assert_eq!(
        (made["reuse"].clone(), made["sliceSize"].clone()),
        (json!(false), json!(1000))
    );
    let url = format!("{}/upload/v2/file/slice", made["servers"][0].as_str().unwrap());
    let id = made["preuploadID"].as_str().unwrap();
    let done = json!({"preuploadID": id});
    for (n, part) in bytes.chunks(1000).enumerate() {
        let early = call(&cloud, "POST", "/upload/v2/file/upload_complete", done.clone()).await;
        assert_eq!(early["code"], 1, "not whole yet");
        let n = (n + 1).to_string();
        let md5 = md5_hex(part);
        for (number, sum, code) in [
            (n.as_str(), md5_hex(b"x").as_str(), 1),
            ("9", &md5, 400),
            (&n, &md5, 0),
        ] {
            let fields = [("preuploadID", id), ("sliceNo", number), ("sliceMD5", sum)];
            assert_eq!(form(&cloud, &url, &fields, ("slice", part)).await.code(), code);
        }
    }
    for expected in [20103, 20103, 0] {
        let answer = call(&cloud, "POST", "/upload/v2/file/upload_complete", done.clone()).await;
        assert_eq!(answer["code"], expected);
        assert_eq!(cloud.id("/n.bin").is_some(), expected == 0);
    }
    assert_eq!(cloud.read("/n.bin").unwrap(), bytes);
    // Known by now: there at once, under another id, beside or instead of the first.
    let first = cloud.id("/n.bin").unwrap();
    let mut again = announced("n.bin", &bytes);
    again["duplicate"] = json!(2);
    let reused = call(&cloud, "POST", "/upload/v2/file/create", again).await["data"].clone();
    assert_eq!(reused["reuse"], true);
    assert_ne!(reused["fileID"], first);
    assert_eq!(cloud.names("/").unwrap(), ["n.bin"]);
}

#[tokio::test]
async fn a_wrong_md5_of_the_whole_fails_after_the_check() {
    let cloud = cloud().await;
    let mut wrong = announced("n", b"abc");
    wrong["etag"] = json!(md5_hex(b"other"));
    let made = call(&cloud, "POST", "/upload/v2/file/create", wrong).await["data"].clone();
    let url = format!("{}/upload/v2/file/slice", made["servers"][0].as_str().unwrap());
    let sum = md5_hex(b"abc");
    let fields = [
        ("preuploadID", made["preuploadID"].as_str().unwrap()),
        ("sliceNo", "1"),
        ("sliceMD5", &sum),
    ];
    assert_eq!(form(&cloud, &url, &fields, ("slice", b"abc")).await.code(), 0);
    let done = json!({"preuploadID": made["preuploadID"]});
    for (code, message) in [(20103, "校验"), (1, "文件上传失败")] {
        let answer = call(&cloud, "POST", "/upload/v2/file/upload_complete", done.clone()).await;
        assert_eq!(answer["code"], code);
        assert!(answer["message"].as_str().unwrap().contains(message));
    }
    assert_eq!(cloud.names("/").unwrap(), [""; 0]);
}

#[tokio::test]
async fn a_small_file_goes_in_one_request_and_an_empty_one_not_at_all() {
    let cloud = cloud().await;
    let domain = call(&cloud, "GET", "/upload/v2/file/domain", Value::Null).await["data"][0].clone();
    let url = format!("{}/upload/v2/file/single/create", domain.as_str().unwrap());
    for (bytes, code) in [(&b"abc"[..], 0), (b"", 1)] {
        let (etag, size) = (md5_hex(bytes), bytes.len().to_string());
        let fields = [
            ("parentFileID", "0"),
            ("filename", "s"),
            ("etag", &etag),
            ("size", &size),
            ("duplicate", "1"),
        ];
        assert_eq!(form(&cloud, &url, &fields, ("file", bytes)).await.code(), code);
    }
    assert_eq!(cloud.names("/").unwrap(), ["s"]);
    assert_eq!(
        call(&cloud, "POST", "/upload/v2/file/create", announced("e", b"")).await["code"],
        1
    );
}

#[tokio::test]
async fn folders_names_places_and_the_bin_go_by_id() {
    let cloud = cloud().await;
    let a = cloud.add_file("/a", "a");
    let mkdir = json!({"parentID": 0, "name": "d"});
    let d = call(&cloud, "POST", "/upload/v1/file/mkdir", mkdir.clone()).await["data"]["dirID"].clone();
    let again = call(&cloud, "POST", "/upload/v1/file/mkdir", mkdir).await;
    assert_eq!(again["code"], 1);
    assert!(again["message"].as_str().unwrap().contains("同名"));
    let name = json!({"fileId": a, "fileName": "b"});
    assert_eq!(call(&cloud, "PUT", "/api/v1/file/name", name).await["code"], 0);
    let place = json!({"fileIDs": [a], "toParentFileID": d});
    assert_eq!(call(&cloud, "POST", "/api/v1/file/move", place).await["code"], 0);
    assert_eq!(cloud.path(a).unwrap(), "/d/b");
    let ids = json!({"fileIDs": [a]});
    assert_eq!(
        call(&cloud, "POST", "/api/v1/file/delete", ids.clone()).await["code"],
        5066
    );
    let unknown = json!({"fileIDs": [a, 7]});
    assert_eq!(
        call(&cloud, "POST", "/api/v1/file/trash", unknown).await["code"],
        0
    );
    assert_eq!(cloud.in_bin(), 1);
    assert_eq!(call(&cloud, "POST", "/api/v1/file/delete", ids).await["code"], 0);
    assert_eq!(cloud.in_bin(), 0);
    let many = json!({"fileIDs": vec![1; 101]});
    assert_eq!(
        call(&cloud, "POST", "/api/v1/file/trash", many).await["code"],
        400
    );
}

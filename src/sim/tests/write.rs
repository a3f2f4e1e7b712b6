//! Uploading and changing.

use std::time::Duration;

use serde_json::{Value, json};

use super::{cloud, send, web};
use crate::sim::content::md5_hex;
use crate::sim::{Clash, Cloud, Content, Fault, FaultKind};

async fn post(cloud: &Cloud, path: &str, body: Value) -> Value {
    let token = cloud.issue_token();
    web(cloud, &token, "POST", path, &body).await.json()
}

fn request(name: &str, bytes: &[u8]) -> Value {
    json!({"driveId": 0, "etag": md5_hex(bytes), "fileName": name, "parentFileId": "0", "size": bytes.len(), "type": 0})
}

/// The body that all calls of a session share.
fn session(data: &Value) -> Value {
    json!({"StorageNode": data["StorageNode"], "bucket": data["Bucket"], "key": data["Key"], "uploadId": data["UploadId"]})
}

fn with(mut body: Value, more: Value) -> Value {
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    body
}

async fn urls(cloud: &Cloud, data: &Value, call: &str, end: u64) -> Vec<String> {
    let body = with(session(data), json!({"partNumberStart": 1, "partNumberEnd": end}));
    let answer = post(cloud, call, body).await;
    let urls = answer["data"]["presignedUrls"].as_object().unwrap().clone();
    (1..end)
        .map(|n| urls[&n.to_string()].as_str().unwrap().to_owned())
        .collect()
}

async fn complete(cloud: &Cloud, data: &Value, size: usize, multipart: bool) -> Value {
    let more = json!({"fileId": data["FileId"], "fileSize": size, "isMultipart": multipart});
    post(cloud, "/file/upload_complete/v2", with(session(data), more)).await
}

#[tokio::test]
async fn parts_are_stored_only_by_the_right_completion() {
    let cloud = cloud().await;
    cloud.settings().slice_size = Some(1000);
    let bytes = Content::Pattern { seed: 9, len: 2500 }.read(0, 2500);
    let data = post(&cloud, "/file/upload_request", request("n.bin", &bytes)).await["data"].clone();
    assert_eq!(
        (data["Reuse"].clone(), data["SliceSize"].clone()),
        (json!(false), json!("1000"))
    );
    let urls = urls(&cloud, &data, "/file/s3_repare_upload_parts_batch", 4).await;
    let leaked = send(
        "PUT",
        &urls[0],
        &[("authorization", "Bearer x")],
        bytes[..1000].to_vec(),
    )
    .await
    .unwrap();
    assert_eq!(
        (leaked.status, cloud.counters().get("leaked_authorization")),
        (400, 1)
    );
    for (n, part) in bytes.chunks(1000).enumerate() {
        assert!(
            complete(&cloud, &data, 2500, true).await["data"].is_null(),
            "not whole yet"
        );
        let put = send("PUT", &urls[n], &[], part.to_vec()).await.unwrap();
        assert_eq!(
            (put.status, put.header("etag")),
            (200, format!("\"{}\"", md5_hex(part)).as_str())
        );
    }
    let listed = post(&cloud, "/file/s3_list_upload_parts", session(&data)).await;
    assert_eq!(
        listed["data"]["Parts"][2],
        json!({"PartNumber": "3", "Size": "500", "ETag": md5_hex(&bytes[2000..])})
    );
    assert_eq!(
        complete(&cloud, &data, 2500, false).await,
        json!({"code": 0, "message": "ok", "data": null})
    );
    cloud.fault(Fault::once("upload_complete", FaultKind::StoresNothing));
    assert!(complete(&cloud, &data, 2500, true).await["data"].is_null());
    assert!(cloud.id("/n.bin").is_none());
    let done = complete(&cloud, &data, 2500, true).await;
    assert_eq!(done["data"]["file_info"]["FileName"], "n.bin");
    assert_eq!(cloud.read("/n.bin").unwrap(), bytes);
    assert_eq!(complete(&cloud, &data, 2500, true).await["code"], -1);
}

#[tokio::test]
async fn an_equal_name_is_refused_numbered_or_overwritten_in_place() {
    let cloud = cloud().await;
    let old = cloud.add_file("/n.txt", "old");
    let answer = post(&cloud, "/file/upload_request", request("n.txt", b"new")).await;
    assert_eq!(
        (answer["code"].clone(), answer["data"]["size"].clone()),
        (json!(5060), json!(3))
    );
    for (duplicate, name) in [(1, "/n(1).txt"), (2, "/n.txt")] {
        let bytes = format!("new {duplicate}");
        let body = with(
            request("n.txt", bytes.as_bytes()),
            json!({"duplicate": duplicate}),
        );
        let data = post(&cloud, "/file/upload_request", body).await["data"].clone();
        let url = &urls(&cloud, &data, "/file/s3_upload_object/auth", 2).await[0];
        assert_eq!(send("PUT", url, &[], bytes.clone()).await.unwrap().status, 200);
        let done = complete(&cloud, &data, bytes.len(), false).await;
        assert_eq!(done["data"]["file_info"]["FileId"] == old, duplicate == 2);
        assert_eq!(cloud.read(name).unwrap(), bytes.as_bytes());
    }
    let known = with(request("n.txt", b"new 1"), json!({"duplicate": 2}));
    let reused = post(&cloud, "/file/upload_request", known).await["data"].clone();
    assert_eq!(
        (reused["Reuse"].clone(), reused["Info"]["FileId"].clone()),
        (json!(true), json!(old))
    );
    assert_eq!(cloud.read("/n.txt").unwrap(), b"new 1");
}

#[tokio::test]
async fn a_presigned_url_expires_and_an_empty_file_can_be_put() {
    let cloud = cloud().await;
    cloud.settings().presigned_life = Duration::ZERO;
    let data = post(&cloud, "/file/upload_request", request("e", b"")).await["data"].clone();
    let url = urls(&cloud, &data, "/file/s3_upload_object/auth", 2)
        .await
        .remove(0);
    assert_eq!(
        send("PUT", &url, &[("content-length", "0")], "")
            .await
            .unwrap()
            .status,
        403
    );
    cloud.settings().presigned_life = Duration::from_secs(60);
    let url = urls(&cloud, &data, "/file/s3_upload_object/auth", 2)
        .await
        .remove(0);
    assert_eq!(
        send("PUT", &url, &[("content-length", "0")], "")
            .await
            .unwrap()
            .status,
        200
    );
    complete(&cloud, &data, 0, false).await;
    assert_eq!(cloud.stat("/e").unwrap().0, 0);
}

#[tokio::test]
async fn folders_are_ensured_or_refused() {
    let cloud = cloud().await;
    let plain = json!({"driveId": 0, "etag": "", "fileName": "d", "parentFileId": 0, "size": 0, "type": 1});
    let made = post(&cloud, "/file/upload_request", plain.clone()).await["data"]["Info"]["FileId"].clone();
    assert_eq!(made, cloud.id("/d").unwrap());
    assert_eq!(
        post(&cloud, "/file/upload_request", plain.clone()).await["data"]["Info"]["FileId"],
        made
    );
    let strict = with(plain, json!({"NotReuse": true}));
    assert_eq!(post(&cloud, "/file/upload_request", strict).await["code"], 5060);
}

#[tokio::test]
async fn rename_move_trash_restore_delete_and_copy_work_by_id() {
    let cloud = cloud().await;
    let a = cloud.add_file("/a.txt", "a");
    cloud.add_file("/d/b.txt", "b");
    let d = cloud.id("/d").unwrap();
    assert_eq!(
        post(
            &cloud,
            "/file/rename",
            json!({"driveId": 0, "fileId": a, "fileName": "b.txt"})
        )
        .await["code"],
        0
    );
    let relocate = json!({"fileIdList": [{"FileId": a}], "parentFileId": d});
    assert_eq!(
        post(&cloud, "/file/mod_pid", relocate.clone()).await["code"],
        5060
    );
    cloud.settings().clash = Clash::Suffix;
    assert_eq!(post(&cloud, "/file/mod_pid", relocate).await["code"], 0);
    assert_eq!(cloud.path(a).unwrap(), "/d/b(1).txt");
    let ids = json!([{"FileId": a}]);
    assert_eq!(
        post(&cloud, "/file/delete", json!({"fileIdList": ids})).await["code"],
        5066,
        "not in the bin"
    );
    let bin = |operation| json!({"fileTrashInfoList": ids, "operation": operation});
    post(&cloud, "/file/trash", bin(true)).await;
    assert_eq!((cloud.id("/d/b(1).txt"), cloud.in_bin()), (None, 1));
    post(&cloud, "/file/trash", bin(false)).await;
    assert_eq!(cloud.id("/d/b(1).txt"), Some(a));
    let copy = |to: i64| json!({"fileList": [{"fileId": d, "type": 1}], "targetFileId": to});
    assert_eq!(
        post(&cloud, "/restful/goapi/v1/file/copy/async", copy(0)).await["code"],
        400,
        "same parent"
    );
    let target = cloud.add_folder("/t");
    let task =
        post(&cloud, "/restful/goapi/v1/file/copy/async", copy(target)).await["data"]["taskId"].clone();
    let token = cloud.issue_token();
    let mut seen = Vec::new();
    while seen.last() != Some(&2) {
        let path = format!("/restful/goapi/v1/file/copy/task?taskId={task}");
        seen.push(
            web(&cloud, &token, "GET", &path, &Value::Null).await.json()["data"]["status"]
                .as_i64()
                .unwrap(),
        );
    }
    assert_eq!(seen, [0, 1, 2]);
    assert_eq!(cloud.names("/t/d").unwrap(), ["b(1).txt", "b.txt"]);
    post(&cloud, "/file/trash", bin(true)).await;
    assert_eq!(
        post(&cloud, "/file/delete", json!({"fileIdList": ids})).await["code"],
        0
    );
    assert_eq!(cloud.in_bin(), 0);
    assert!(cloud.id("/t/d/b(1).txt").is_some());
}

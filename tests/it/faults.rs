//! What a client is told when 123pan fails: never that something does not exist, never a shorter folder.

use dav123::sim::{Fault, FaultKind};
use serde_json::Value;

use super::KIND;
use crate::world::{World, endpoints, options};

/// A fault of 123pan, the answer to a client, and a piece of its sentence.
struct Row {
    fault: FaultKind,
    status: u16,
    /// Whether a `Retry-After` is there.
    retry_after: bool,
    says: &'static str,
}

fn row(fault: FaultKind, status: u16, retry_after: bool, says: &'static str) -> Row {
    Row {
        fault,
        status,
        retry_after,
        says,
    }
}

pub fn code(code: impl Into<Value>, message: &str) -> FaultKind {
    FaultKind::Code(code.into(), message.to_owned())
}

fn table() -> Vec<Row> {
    vec![
        row(FaultKind::Status(429, None), 503, true, "slow down"),
        row(code(429, "请求太频繁"), 503, true, "请求太频繁"),
        row(code(1, "操作频繁，请稍后再试"), 503, true, "操作频繁"),
        row(FaultKind::Status(500, None), 502, false, "HTTP status 500"),
        row(FaultKind::Status(503, None), 502, false, "HTTP status 503"),
        row(FaultKind::Html, 502, false, "makes no sense"),
        row(FaultKind::GarbageJson, 502, false, "makes no sense"),
        row(FaultKind::Status(404, None), 502, false, "makes no sense"),
        row(FaultKind::Drop, 504, false, "cannot be reached"),
        row(FaultKind::Truncate(20), 504, false, "cannot be reached"),
        row(
            code("403", "123pan-global-slb forbidden client ip 1.2.3.4"),
            503,
            true,
            "banned",
        ),
        row(code(400, "请进行验证"), 503, true, "123pan's web page"),
        row(
            code(401, "当前账号存在安全风险，请使用短信验证码或者微信进行登录"),
            503,
            true,
            "sign in once on 123pan's web page",
        ),
        row(
            code(1, "Please include the platform field"),
            502,
            false,
            "refuses the call",
        ),
        row(code(401, "cookie token is empty"), 503, true, "token"),
        row(code(20101, "请登录"), 503, true, "token"),
        row(code(2, "token is expired"), 503, true, "token"),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retry_after_of_123pan_that_no_client_would_wait_for_is_handed_on() {
    let world = KIND
        .world(|cloud| {
            cloud.add_file("/a.txt", "a");
        })
        .await;
    world.fault(Fault::forever("list", FaultKind::Status(429, Some(60))));
    let answer = world.request("PROPFIND", "/drive").send().await.unwrap();
    assert_eq!(answer.status(), 503);
    let seconds: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((50..=60).contains(&seconds), "{seconds}");
    assert!(answer.text().await.unwrap().contains("slow down"));
    assert_eq!(world.calls("list"), 1);
}

/// Every fault hits every kind of request.
#[tokio::test(flavor = "multi_thread")]
async fn a_fault_of_123pan_is_never_404_nor_an_empty_folder_and_says_what_to_do() {
    for Row {
        fault,
        status,
        retry_after,
        says,
    } in table()
    {
        let world = KIND
            .world(|cloud| {
                cloud.add_file("/dir/a.txt", "a");
            })
            .await;
        // The root is known, the folder is not.
        assert_eq!(world.propfind("/drive", "1").await.0, 207);
        world.fault(Fault::forever("list", fault.clone()));
        for (method, path) in [
            ("PROPFIND", "/drive/dir"),
            ("PROPFIND", "/drive/dir/a.txt"),
            ("GET", "/drive/dir/a.txt"),
            ("GET", "/drive/dir/"),
        ] {
            let answer = world
                .request(method, path)
                .header("depth", "1")
                .send()
                .await
                .unwrap();
            let got = answer.status().as_u16();
            let after = answer.headers().get("retry-after").cloned();
            let body = answer.text().await.unwrap();
            assert_eq!(got, status, "{fault:?} {method} {path}: {body}");
            assert_eq!(
                after.is_some(),
                retry_after,
                "{fault:?} {method} {path}: {after:?}"
            );
            // Who comes while the gate is held hears of the queue instead.
            let queued = status == 503 && body.contains("few calls per second");
            let first = path == "/drive/dir" && method == "PROPFIND";
            let fits = body.contains(says) || (queued && !first);
            assert!(fits, "{fault:?} {method} {path}: {body}");
            assert_eq!(body.trim_end().lines().count(), 1, "one sentence: {body}");
        }
        assert_eq!(
            world
                .request("HEAD", "/drive/dir/a.txt")
                .send()
                .await
                .unwrap()
                .status(),
            status
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fault_while_a_link_is_asked_is_never_404() {
    for Row {
        fault,
        status,
        retry_after,
        says,
    } in table()
    {
        // A cut answer of a download call is the same as of any other.
        let world = KIND
            .world(|cloud| {
                cloud.add_file("/a.txt", "a");
            })
            .await;
        assert_eq!(world.propfind("/drive", "1").await.0, 207);
        world.fault(Fault::forever("download_info", fault.clone()));
        let answer = world.get("/drive/a.txt").await;
        let got = answer.status().as_u16();
        let after = answer.headers().contains_key("retry-after");
        let body = answer.text().await.unwrap();
        assert_eq!(got, status, "{fault:?}: {body}");
        assert_eq!(after, retry_after, "{fault:?}: {body}");
        assert!(body.contains(says), "{fault:?}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn used_up_traffic_is_403_with_a_sentence() {
    let world = KIND
        .world(|cloud| {
            cloud.add_file("/a.txt", "a");
            cloud.settings().traffic_used_up = true;
        })
        .await;
    let answer = world.get("/drive/a.txt").await;
    assert_eq!(answer.status(), 403);
    let body = answer.text().await.unwrap();
    assert!(
        body.contains("traffic") && body.contains("本月免费流量不足"),
        "{body}"
    );
    // The folder is still listed.
    assert_eq!(world.members("/drive").await, ["/drive/a.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passing_fault_is_waited_out_and_the_client_sees_nothing_of_it() {
    for fault in [
        FaultKind::Status(429, Some(1)),
        FaultKind::Status(502, None),
        FaultKind::Drop,
        code(429, "请求太频繁"),
    ] {
        let world = KIND
            .world(|cloud| {
                cloud.add_file("/a.txt", "a");
            })
            .await;
        world.fault(Fault::once("list", fault.clone()));
        world.fault(Fault::once("download_info", fault));
        assert_eq!(world.members("/drive").await, ["/drive/a.txt"]);
        assert_eq!(world.get("/drive/a.txt").await.status(), 302);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute: the patience for a silent 123pan"]
async fn a_silent_123pan_is_504() {
    let world = KIND
        .world(|cloud| {
            cloud.add_file("/a.txt", "a");
        })
        .await;
    let silence = FaultKind::Delay(std::time::Duration::from_secs(300));
    world.fault(Fault::forever("list", silence));
    let (status, body) = world.propfind("/drive", "1").await;
    assert_eq!(status, 504, "{body}");
    assert!(body.contains("in time"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banned_address_is_left_in_peace() {
    let world = KIND
        .world(|cloud| {
            cloud.add_file("/a.txt", "1");
        })
        .await;
    let ban = code("403", "123pan-global-slb forbidden client ip 192.0.2.1");
    world.fault(Fault::forever("list", ban));
    assert_eq!(world.propfind("/drive", "1").await.0, 503);
    let calls = world.cloud.counters().total();
    for _ in 0..20 {
        assert_eq!(world.propfind("/drive", "1").await.0, 503);
    }
    assert_eq!(world.cloud.counters().total(), calls);
    // What is known goes on: the mount itself shows in the root.
    assert_eq!(world.members("/").await, ["/drive/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_cloud_is_a_gateway_timeout() {
    let world = World::start(
        options(),
        |_| {},
        |cloud| {
            // Nothing listens on the discard port.
            let dead = endpoints(cloud).replace(&cloud.base(), "http://127.0.0.1:9");
            KIND.mount(cloud, "/drive", "").replace(&endpoints(cloud), &dead)
        },
    )
    .await;
    assert_eq!(world.propfind("/drive", "1").await.0, 504);
}

//! What a client is told when 123pan fails: never 404, never an empty folder.

use std::time::Duration;

use dav123::sim::{Fault, FaultKind};
use serde_json::json;

use crate::world::{World, account, endpoints, options};

fn code(code: serde_json::Value, message: &str) -> FaultKind {
    FaultKind::Code(code, message.into())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_the_drive_is_never_404_and_never_an_empty_folder() {
    let table = [
        (FaultKind::Status(429, Some(1)), 503),
        (code(json!(429), "请求太频繁"), 503),
        (code(json!(1), "操作频繁，请稍后再试"), 503),
        (code(json!(1), "123pan rate limit type min"), 503),
        (FaultKind::Status(502, None), 504),
        (FaultKind::Html, 502),
        (FaultKind::GarbageJson, 502),
        (FaultKind::Drop, 504),
        (
            code(json!("403"), "123pan-global-slb forbidden client ip 192.0.2.1"),
            503,
        ),
        (
            code(json!(1), "当前账号存在安全风险，请使用短信验证码或者微信进行登录"),
            503,
        ),
        (code(json!(1), "请进行验证"), 503),
        (code(json!(1), "something nobody has seen"), 502),
    ];
    for (kind, expected) in table {
        let world = World::account(|cloud| {
            cloud.add_file("/f/a.txt", "1");
        })
        .await;
        world.cloud.fault(Fault::forever("list", kind.clone()));
        let answer = world
            .request("PROPFIND", "/drive/f")
            .header("depth", "1")
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        let retry = answer.headers().get("retry-after").cloned();
        let sentence = answer.text().await.unwrap();
        let close = if expected == 504 {
            [504, 502]
        } else {
            [expected, expected]
        };
        assert!(close.contains(&status), "{kind:?}: {status} {sentence}");
        assert!(
            sentence.len() > 20 && sentence.trim().ends_with('.'),
            "{kind:?}: {sentence}"
        );
        if expected == 503 {
            assert!(retry.is_some(), "{kind:?} must say when to come back");
        }
        assert_eq!(
            world.get("/drive/f/a.txt").await.status().as_u16(),
            status,
            "{kind:?}"
        );
        // What is known goes on: the mount itself shows in the root.
        assert!(world.propfind("/", "1").await.1.contains("/drive/"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_short_failure_is_bridged() {
    for kind in [
        FaultKind::Status(429, None),
        FaultKind::Status(503, None),
        FaultKind::Drop,
    ] {
        let world = World::account(|cloud| {
            cloud.add_file("/f/a.txt", "1");
        })
        .await;
        world.cloud.fault(Fault::once("list", kind.clone()).times(2));
        let (status, body) = world.propfind("/drive/f", "1").await;
        assert_eq!(status, 207, "{kind:?}: {body}");
        assert!(body.contains("a.txt"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_host_is_tried_when_one_cannot_be_connected_to() {
    let world = World::start(
        options(),
        |cloud| {
            cloud.add_file("/a.txt", "1");
        },
        |cloud| {
            let real = format!("api = \"{}/b/api\"", cloud.base());
            // Nothing listens on the discard port.
            let both = format!("api = [\"http://127.0.0.1:9/b/api\", \"{}/b/api\"]", cloud.base());
            account(cloud, "/drive", "").replace(&real, &both)
        },
    )
    .await;
    assert!(world.propfind("/drive", "1").await.1.contains("a.txt"));
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_keep_the_pace_of_the_service() {
    let mut options = dav123::sim::Options::default();
    // A seventh of the real pace, on both sides.
    options.settings.pace_scale = 1.0 / 7.0;
    options.settings.ban_after = Some(3);
    let world = World::start(
        options,
        |cloud| {
            for n in 0..12 {
                cloud.add_file(&format!("/{n}/a.txt"), "1");
            }
        },
        |cloud| account(cloud, "/drive", "").replace("rate = 100.0", "rate = 6.5"),
    )
    .await;
    let begun = std::time::Instant::now();
    let paths: Vec<String> = (0..12).map(|n| format!("/drive/{n}")).collect();
    let all = futures_util::future::join_all(paths.iter().map(|path| world.propfind(path, "1"))).await;
    assert!(
        all.iter()
            .all(|(status, body)| *status == 207 && body.contains("a.txt"))
    );
    assert_eq!(world.cloud.violations(), 0);
    assert_eq!(world.calls("list"), 13);
    assert!(
        begun.elapsed() >= Duration::from_millis(1200),
        "{:?}",
        begun.elapsed()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_banned_address_is_left_in_peace() {
    let world = World::account(|cloud| {
        cloud.add_file("/a.txt", "1");
    })
    .await;
    let ban = code(json!("403"), "123pan-global-slb forbidden client ip 192.0.2.1");
    world.cloud.fault(Fault::forever("list", ban));
    assert_eq!(world.propfind("/drive", "1").await.0, 503);
    let calls = world.cloud.counters().total();
    for _ in 0..20 {
        assert_eq!(world.propfind("/drive", "1").await.0, 503);
    }
    assert_eq!(world.cloud.counters().total(), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn traffic_that_is_used_up_is_said_plainly() {
    let world = World::account(|cloud| {
        cloud.add_file("/a.txt", "1");
    })
    .await;
    world.cloud.settings().traffic_used_up = true;
    let answer = world.get("/drive/a.txt").await;
    assert_eq!(answer.status(), 403);
    assert!(answer.text().await.unwrap().contains("traffic"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_cloud_is_a_gateway_timeout() {
    let world = World::start(
        options(),
        |_| {},
        |cloud| {
            let dead = endpoints(cloud).replace(&cloud.base(), "http://127.0.0.1:9");
            account(cloud, "/drive", "").replace(&endpoints(cloud), &dead)
        },
    )
    .await;
    assert_eq!(world.propfind("/drive", "1").await.0, 504);
}

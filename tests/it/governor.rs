//! What holds calls to 123pan back: slowing down, stopping, going on.

use std::time::{Duration, Instant};

use dav123::sim::{Cloud, Fault, FaultKind};

use crate::world::{PASSWORD, USER, World, account, eventually, head, options};

const BAN: &str = "123pan-global-slb forbidden client ip 192.0.2.1";
const RISK: &str = "当前账号存在安全风险，请使用短信验证码或者微信进行登录";

fn code(code: impl Into<serde_json::Value>, message: &str) -> FaultKind {
    FaultKind::Code(code.into(), message.to_owned())
}

/// An account mount whose pauses are divided by `rate`, and a reader beside the usual user.
async fn world(rate: u32) -> World {
    World::configured(
        options(),
        |cloud| {
            cloud.add_file("/dir/a.txt", "a");
            for n in 0..8 {
                cloud.add_file(&format!("/{n}/{n}.txt"), "x");
            }
        },
        |cloud, dir| {
            let reader =
                format!("[[user]]\nname = \"reader\"\npassword = \"{PASSWORD}\"\naccess = \"read-only\"\n\n");
            let mount = account(cloud, "/drive", "").replace("rate = 100.0", &format!("rate = {rate}.0"));
            head(dir) + &reader + &mount
        },
    )
    .await
}

fn stop(cloud: &Cloud, fault: FaultKind) {
    cloud.fault(Fault::forever("list", fault));
}

async fn page(world: &World, path: &str) -> String {
    world.get(path).await.text().await.unwrap()
}

/// How often the log has a text.
fn logged(world: &World, text: &str) -> usize {
    world.server.log().matches(text).count()
}

async fn resume(world: &World, user: &str, headers: &[(&str, &str)]) -> reqwest::Response {
    let mut request = world
        .http
        .post(world.url("/.dav123/resume"))
        .basic_auth(user, Some(PASSWORD));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_account_is_said_once_and_a_person_lets_it_go_on() {
    for (fault, says) in [(code("403", BAN), BAN), (code(401, RISK), RISK)] {
        let world = world(1).await;
        stop(&world.cloud, fault);
        let (status, body) = world.propfind("/drive", "1").await;
        assert_eq!(status, 503, "{body}");
        assert!(
            body.contains(says) && body.contains("/.dav123/") && body.contains("SIGHUP"),
            "{body}"
        );
        let calls = world.cloud.counters().total();
        for _ in 0..10 {
            assert_eq!(world.propfind("/drive/dir", "1").await, (503, body.clone()));
        }
        assert_eq!(world.cloud.counters().total(), calls, "every call fails at once");
        // The reader of the log may be behind.
        eventually("all is logged", || logged(&world, says) > 11).await;
        assert_eq!(
            logged(&world, says),
            1 + 11,
            "once as an error, and in the fine print of each request"
        );
        assert_eq!(logged(&world, "ERROR"), 1);
        // The other one is about the rights of the configuration file.
        assert_eq!(logged(&world, "WARN"), 1, "{}", world.server.log());
        let shown = page(&world, "/.dav123/").await;
        assert!(
            shown.contains(says) && shown.contains("no calls are made"),
            "{shown}"
        );
        let metrics = page(&world, "/.dav123/metrics").await;
        assert!(
            metrics.contains("dav123_calls_halted{mount=\"/drive\"} 1"),
            "{metrics}"
        );

        assert_eq!(resume(&world, "reader", &[]).await.status(), 403);
        assert_eq!(
            resume(&world, USER, &[("sec-fetch-site", "cross-site")])
                .await
                .status(),
            403
        );
        assert_eq!(world.get("/.dav123/resume").await.status(), 405);
        assert_eq!(world.propfind("/drive", "1").await.0, 503);
        assert_eq!(world.cloud.counters().total(), calls);

        // The ban is still there: one call finds out.
        let answer = resume(&world, USER, &[("sec-fetch-site", "same-origin")]).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(
            answer.text().await.unwrap().trim(),
            "Calls to 123pan go on for /drive."
        );
        for _ in 0..3 {
            assert_eq!(world.propfind("/drive", "1").await.0, 503);
        }
        assert_eq!(world.cloud.counters().total(), calls + 1);
        world.cloud.clear_faults();
        let answer = resume(&world, USER, &[("accept", "text/html,*/*")]).await;
        assert_eq!(answer.status(), 303);
        assert_eq!(answer.headers()["location"], "/.dav123/");
        assert_eq!(world.members("/drive").await.len(), 9);
        let again = resume(&world, USER, &[]).await.text().await.unwrap();
        assert_eq!(again.trim(), "No calls were stopped.");
        assert!(!page(&world, "/.dav123/").await.contains("no calls are made"));
        assert_eq!(world.calls("sign_in"), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signal_lets_calls_go_on() {
    let world = world(1).await;
    stop(&world.cloud, code(401, RISK));
    assert_eq!(world.propfind("/drive", "1").await.0, 503);
    world.cloud.clear_faults();
    assert_eq!(world.propfind("/drive", "1").await.0, 503);
    world.server.signal("HUP");
    eventually("reloaded", || world.server.log().contains("reloaded")).await;
    assert_eq!(world.members("/drive").await.len(), 9);
    assert_eq!(world.calls("sign_in"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_is_tried_after_a_growing_pause_by_one_call_and_risk_control_never() {
    // Half an hour is half a second.
    const FIRST: Duration = Duration::from_millis(500);
    let world = world(3600).await;
    assert_eq!(world.members("/drive").await.len(), 9);
    stop(&world.cloud, code("403", BAN));
    // Between which moments each call was made.
    let banned = Instant::now();
    assert_eq!(world.propfind("/drive/dir", "1").await.0, 503);
    let mut calls = vec![(banned, Instant::now())];
    while calls.len() < 3 {
        let (before, begun) = (world.calls("list"), Instant::now());
        // Many ask at once: one of them tries it.
        let asked = (0..8).map(|n| world.request("PROPFIND", &format!("/drive/{n}")).send());
        for answer in futures_util::future::join_all(asked).await {
            assert_eq!(answer.unwrap().status(), 503);
        }
        let more = world.calls("list") - before;
        assert!(more <= 1, "{more} calls");
        if more == 1 {
            calls.push((begun, Instant::now()));
        }
        assert!(calls[0].0.elapsed() < Duration::from_secs(30), "never tried");
    }
    assert!(calls[1].1 - calls[0].0 >= FIRST && calls[2].1 - calls[1].0 >= FIRST * 2);
    world.cloud.clear_faults();
    let begun = Instant::now();
    while world.propfind("/drive/dir", "1").await.0 != 207 {
        assert!(begun.elapsed() < Duration::from_secs(30), "never over");
    }
    assert!(world.server.log().contains("123pan answers again"));
    assert_eq!(world.calls("sign_in"), 1);

    stop(&world.cloud, code(1, "请进行验证"));
    world.server.signal("HUP");
    eventually("reloaded", || world.server.log().contains("reloaded")).await;
    assert_eq!(world.propfind("/drive/5", "1").await.0, 503);
    let calls = world.cloud.counters().total();
    let begun = Instant::now();
    while begun.elapsed() < FIRST * 4 {
        assert_eq!(world.propfind("/drive/5", "1").await.0, 503);
    }
    assert_eq!(world.cloud.counters().total(), calls);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_fast_slows_down_at_once_and_the_pace_comes_back_step_by_step() {
    let world = World::account(|cloud| {
        for n in 0..12 {
            cloud.add_folder(&format!("/{n}"));
        }
    })
    .await;
    let interval = async || -> f64 {
        let metrics = page(&world, "/.dav123/metrics").await;
        let name = "dav123_call_interval_seconds{mount=\"/drive\",call=\"file/list/new\"} ";
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.parse().unwrap()
    };
    world.members("/drive").await;
    assert_eq!(interval().await, 0.007);
    world
        .cloud
        .fault(Fault::once("list", FaultKind::Status(429, Some(1))));
    let begun = Instant::now();
    assert_eq!(world.propfind("/drive/0", "1").await.0, 207);
    assert!(begun.elapsed() >= Duration::from_secs(1), "as 123pan asks");
    assert_eq!(world.calls("list"), 3);
    // Half the speed, and one step of sixteen for the answer.
    let mut last = interval().await;
    assert!((last - 0.007 * 16.0 / 9.0).abs() < 1e-6, "{last}");
    let shown = page(&world, "/.dav123/").await;
    assert!(shown.contains("asked to slow down"), "{shown}");
    for n in 1..8 {
        assert_eq!(world.propfind(&format!("/drive/{n}"), "1").await.0, 207);
        let now = interval().await;
        assert!(now < last, "{now} after {last}");
        last = now;
    }
    assert_eq!(last, 0.007);
    for n in 8..12 {
        assert_eq!(world.propfind(&format!("/drive/{n}"), "1").await.0, 207);
    }
    assert_eq!(interval().await, 0.007, "never faster");
    assert_eq!(logged(&world, "123pan asks to slow down: calls go slower"), 1);
    assert_eq!(logged(&world, "at their full pace again"), 1);
    assert!(!page(&world, "/.dav123/").await.contains("asked to slow down"));
}

#[tokio::test(flavor = "multi_thread")]
async fn uploads_sent_behind_wait_in_the_background() {
    let world = World::start_with(
        options(),
        "[upload]\nmode = \"back\"\n",
        |_| {},
        |cloud| account(cloud, "/drive", "").replace("rate = 100.0", "rate = 2.0"),
    )
    .await;
    for n in 0..4 {
        let path = format!("/drive/{n}.txt");
        assert_eq!(crate::write::put(&world, &path, format!("text {n}")).await, 201);
    }
    let behind = "call=\"file/upload_request\",urgency=\"background\"} 1";
    let begun = Instant::now();
    while !page(&world, "/.dav123/metrics").await.contains(behind) {
        assert!(begun.elapsed() < Duration::from_secs(30), "never waits behind");
    }
    eventually("all are sent", || {
        (0..4).all(|n| world.cloud.read(&format!("/{n}.txt")).is_some())
    })
    .await;
}

/// A host that nobody listens at is left for the next one, once, also by calls that change something; a slow or
/// confused one is not (API page 1.3).
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_cannot_be_connected_to_is_left_for_the_next() {
    let world = World::start(
        options(),
        |cloud| {
            cloud.add_file("/dir/a.txt", "a");
        },
        |cloud| {
            let api = format!("api = \"{}/b/api\"", cloud.base());
            // Nothing listens on the discard port.
            let both = format!("api = [\"http://127.0.0.1:9/b/api\", \"{}/b/api\"]", cloud.base());
            account(cloud, "/drive", "").replace(&api, &both)
        },
    )
    .await;
    assert_eq!(
        world
            .request("MKCOL", "/drive/new")
            .send()
            .await
            .unwrap()
            .status(),
        201
    );
    assert_eq!(world.members("/drive").await.len(), 2);
    assert_eq!(logged(&world, "taking the next one"), 1);
    for fault in [FaultKind::Html, FaultKind::Status(500, None)] {
        world.cloud.fault(Fault::once("list", fault).times(3));
        assert_eq!(world.propfind("/drive/dir", "1").await.0, 502);
        world.cloud.clear_faults();
    }
    assert_eq!(world.propfind("/drive/dir", "1").await.0, 207);
    assert_eq!(logged(&world, "taking the next one"), 1, "it is kept");
}

/// At one call in 700 ms: the links that nobody waits for any more cost no turn.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_who_leaves_takes_its_call_out_of_the_queue() {
    let world = world(1).await;
    for n in 0..8 {
        assert_eq!(world.propfind(&format!("/drive/{n}"), "1").await.0, 207);
    }
    assert_eq!(world.get("/drive/0/0.txt").await.status(), 302);
    let left = (1..7).map(|n| {
        let path = format!("/drive/{n}/{n}.txt");
        let request = world.request("GET", &path).timeout(Duration::from_millis(200));
        async move { request.send().await.is_err() }
    });
    let left = futures_util::future::join_all(left).await;
    let gone = left.iter().filter(|left| **left).count();
    assert!(gone >= 5, "one may have had its turn: {left:?}");
    let begun = Instant::now();
    assert_eq!(world.get("/drive/7/7.txt").await.status(), 302);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
    assert!(
        world.calls("download_info") <= 3,
        "{}",
        world.calls("download_info")
    );
}

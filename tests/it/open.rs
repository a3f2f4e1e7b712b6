//! Mounts of the Open platform: what is theirs alone. What they write is tested in `by_open`.

use std::time::{Duration, Instant};

use dav123::sim::{Cloud, DirectAuth, Fault, FaultKind};

use crate::world::{World, endpoints, eventually, header, options};
use crate::write::put;

fn open(cloud: &Cloud, secret: &str, more: &str) -> String {
    format!(
        "[[mount]]\npath = \"/official\"\nkind = \"open\"\nclient_id = \"{}\"\nclient_secret = \"{secret}\"\n{more}\n{}",
        cloud.options().client_id,
        endpoints(cloud)
    )
}

fn fill(cloud: &Cloud) {
    for n in 0..230 {
        cloud.add_file(&format!("/films/{n}.mkv"), vec![1; n]);
    }
    cloud.add_file("/films/inner/a b#.txt", "hello");
}

async fn world(more: &str) -> World {
    World::start(options(), fill, |cloud| {
        open(cloud, &cloud.options().client_secret, more)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_mount_is_listed_whole_and_read_by_both_strategies() {
    for strategy in ["redirect", "proxy"] {
        let world = world(&format!("strategy = \"{strategy}\"")).await;
        assert_eq!(world.members("/official").await, ["/official/films/"]);
        assert_eq!(world.members("/official/films").await.len(), 231);
        let answer = world.get("/official/films/inner/a b#.txt").await;
        let text = if strategy == "proxy" {
            answer.text().await.unwrap()
        } else {
            assert_eq!(answer.status(), 302);
            let link = header(&answer, "location");
            world.http.get(link).send().await.unwrap().text().await.unwrap()
        };
        assert_eq!(text, "hello", "{strategy}");
        assert_eq!(world.calls("open_access_token"), 1);
        assert_eq!(world.cloud.counters().get("sign_in"), 0, "that is the web API's");
        assert_eq!(world.calls("leaked_authorization"), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_open_token_costs_one_new_one_for_all() {
    let world = world("").await;
    world.members("/official").await;
    world.cloud.expire_tokens();
    world.server.signal("HUP");
    crate::world::eventually("reloaded", || world.server.log().contains("reloaded")).await;
    let paths = ["/official", "/official/films", "/official/films/inner"];
    let asked = paths
        .into_iter()
        .cycle()
        .take(30)
        .map(|path| world.propfind(path, "1"));
    for (status, body) in futures_util::future::join_all(asked).await {
        assert_eq!(status, 207, "{body}");
    }
    assert_eq!(world.calls("open_access_token"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_client_secret_is_tried_once_and_said() {
    let world = World::start(options(), fill, |cloud| open(cloud, "not-the-secret", "")).await;
    for _ in 0..3 {
        let (status, sentence) = world.propfind("/official", "1").await;
        assert_eq!(status, 503, "{sentence}");
        assert!(sentence.contains("client_secret"), "{sentence}");
        assert!(!sentence.contains("not-the-secret"), "{sentence}");
    }
    assert_eq!(world.calls("open_access_token"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_file_that_123pan_refuses_waits_in_the_spool_and_is_filled_later() {
    let mut world = world("strategy = \"proxy\"").await;
    assert_eq!(put(&world, "/official/empty.txt", "").await, 201);
    let refused = "does not take empty files";
    eventually("it was offered", || world.server.log().contains(refused)).await;
    world.restart();
    let head = world.request("HEAD", "/official/empty.txt").send().await.unwrap();
    assert_eq!(
        (head.status().as_u16(), header(&head, "content-length")),
        (200, "0".into())
    );
    assert_eq!(world.cloud.stat("/empty.txt"), None);
    assert_eq!(put(&world, "/official/empty.txt", "filled").await, 204);
    assert_eq!(world.cloud.read("/empty.txt").unwrap(), b"filled");
    assert_eq!(world.members("/official").await.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_and_the_log_tell_the_trace_id() {
    let world = world("").await;
    world.cloud.settings().traffic_used_up = true;
    let answer = world.get("/official/films/inner/a b#.txt").await;
    let (status, sentence) = (answer.status(), answer.text().await.unwrap());
    assert_eq!(status, 403, "{sentence}");
    let trace = sentence.split("x-traceID ").nth(1).unwrap();
    let trace: String = trace
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || *c == '-')
        .collect();
    assert!(trace.starts_with("sim-"), "{sentence}");
    eventually("logged", || world.server.log().contains(&trace)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_many_sizes_arrive_and_a_known_one_without_its_bytes() {
    let mut strict = options();
    strict.settings.slice_size = Some(1000);
    strict.settings.open_checks = 5;
    let world = World::start(strict, fill, |cloud| {
        open(cloud, &cloud.options().client_secret, "")
    })
    .await;
    for (size, slices) in [(1, 1), (1000, 1), (1001, 2), (24_999, 25)] {
        let bytes: Vec<u8> = (0..size).map(|n: u32| (n % 249) as u8).collect();
        let (sent, asked) = (world.calls("open_slice"), world.calls("open_complete"));
        assert_eq!(
            put(&world, &format!("/official/{size}"), bytes.clone()).await,
            201
        );
        assert_eq!(world.cloud.read(&format!("/{size}")).unwrap(), bytes);
        assert_eq!(world.calls("open_slice") - sent, slices);
        assert_eq!(world.calls("open_complete") - asked, 6);
        assert_eq!(put(&world, &format!("/official/again {size}"), bytes).await, 201);
        assert_eq!(world.calls("open_slice") - sent, slices);
    }
    assert_eq!(world.calls("leaked_authorization"), 0);
    let quota = "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:quota-used-bytes/></D:prop></D:propfind>";
    let asked = world
        .request("PROPFIND", "/official")
        .header("depth", "0")
        .body(quota);
    let answer = asked.send().await.unwrap().text().await.unwrap();
    assert!(answer.contains("<D:quota-used-bytes>"), "{answer}");
    assert_eq!(world.calls("open_user_info"), 1);
}

/// Folders to list, files to change; 123pan's pace is kept, ours as configured by `rate`.
async fn paced(rate: u32, pace: f64, member: bool) -> World {
    let mut strict = options();
    strict.settings.pace_scale = pace;
    strict.settings.member = member;
    // A busy machine brings a call late, and the next one seems early: over time no rate may be exceeded all the same.
    strict.settings.jitter = Some(Duration::from_millis(250));
    let fill = |cloud: &Cloud| {
        for n in 0..64 {
            cloud.add_file(&format!("/many/{n}/x.txt"), "x");
            cloud.add_file(&format!("/old/{n}.txt"), "x");
        }
        cloud.add_folder("/there");
    };
    let mount = |cloud: &Cloud| {
        open(cloud, &cloud.options().client_secret, "").replace("rate = 100.0", &format!("rate = {rate}.0"))
    };
    let world = World::start(strict, fill, mount).await;
    world.members("/official/many").await;
    world.members("/official/old").await;
    world
}

const SPACE: &str = "<D:propfind xmlns:D=\"DAV:\"><D:prop><D:quota-used-bytes/></D:prop></D:propfind>";

/// What one of many clients does: each of eight something else.
fn one_of_eight(world: &World, n: usize) -> reqwest::RequestBuilder {
    let old = format!("/official/old/{n}.txt");
    let to = |path: &str| world.request("MOVE", &old).header("destination", world.url(path));
    match n % 8 {
        0 => world.request("MKCOL", &format!("/official/new {n}")),
        1 => world
            .request("PUT", &format!("/official/put {n}"))
            .body(format!("content {n}")),
        2 => world.request("DELETE", &old),
        3 => to(&format!("/official/old/renamed {n}.txt")),
        4 => to(&format!("/official/there/{n}.txt")),
        5 => world.request("GET", &old),
        6 => world
            .request("PROPFIND", &format!("/official/many/{n}"))
            .header("depth", "1"),
        _ => world
            .request("PROPFIND", &format!("/official/many/{n}"))
            .header("depth", "1")
            .body(SPACE),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn of_64_clients_at_once_none_makes_a_call_too_early() {
    let drill = |member| async move {
        let world = &paced(1, 1.0, member).await;
        if member {
            // What kind of account it is, is known from the first answer about its space.
            let asked = world.request("PROPFIND", "/official").header("depth", "0");
            assert_eq!(asked.body(SPACE).send().await.unwrap().status(), 207);
        }
        let clients = (0..64).map(|n| async move {
            let answer = one_of_eight(world, n).send().await.unwrap();
            (n, answer.status().as_u16(), answer.text().await.unwrap())
        });
        let begun = Instant::now();
        for (n, status, body) in futures_util::future::join_all(clients).await {
            assert!([201, 204, 207, 302].contains(&status), "{n}: {status} {body}");
        }
        for (endpoint, calls) in [
            ("open_user_info", 1),
            ("open_list", 16),
            ("open_mkdir", 8),
            ("open_create", 8),
            ("open_slice", 8),
            ("open_complete", 8),
            ("open_trash", 8),
            ("open_rename", 8),
            ("open_move", 8),
            ("open_download_info", 8),
            ("open_infos", 40),
        ] {
            assert!(
                world.calls(endpoint) >= calls,
                "{endpoint}: {}",
                world.calls(endpoint)
            );
        }
        let called = world.cloud.counters().all();
        let early = called.keys().filter(|name| world.cloud.violations_of(name) > 0);
        assert_eq!(early.collect::<Vec<_>>(), [&""; 0], "member: {member}");
        begun.elapsed()
    };
    let (free, member) = tokio::join!(drill(false), drill(true));
    assert!(member < free, "a member's calls are faster: {member:?}, {free:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_429_costs_one_pause_and_one_call_for_all() {
    let world = &paced(100, 0.0, false).await;
    let before = world.calls("open_list");
    world
        .cloud
        .fault(Fault::once("open_list", FaultKind::Status(429, Some(1))));
    let begun = Instant::now();
    let clients = (0..64).map(|n| async move { world.propfind(&format!("/official/many/{n}"), "1").await.0 });
    let statuses = futures_util::future::join_all(clients).await;
    assert_eq!(statuses, [207; 64]);
    assert!(begun.elapsed() >= Duration::from_secs(1));
    // Those that were on their way when it came may be told the same.
    assert_eq!(world.calls("open_list") - before, 65);
    assert_eq!(world.server.log().matches("asks to slow down").count(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_in_a_direct_link_folder_get_signed_paid_links_and_others_do_not() {
    let direct = "link = \"direct\"\nprivate_key = \"direct-private-key\"";
    for auth in [DirectAuth::Decoded, DirectAuth::AsWritten] {
        let world = world(direct).await;
        world.cloud.add_file("/space/in/电影 a+b.mkv", "film");
        world.cloud.add_file("/space/plain.mkv", "film");
        world.cloud.enable_direct("/space");
        world.cloud.settings().direct_auth = auth;
        for path in ["/official/space/plain.mkv", "/official/space/in/电影 a+b.mkv"] {
            let link = header(&world.get(path).await, "location");
            assert!(
                link.starts_with(&world.cloud.direct_base()) && link.contains("auth_key="),
                "{link}"
            );
            let answer = world.http.get(&link).send().await.unwrap();
            assert_eq!(
                (answer.status().as_u16(), answer.text().await.unwrap()),
                (200, "film".into()),
                "{auth:?} {path}"
            );
        }
        assert_eq!(world.calls("open_download_info"), 0);
        let link = header(&world.get("/official/films/inner/a b#.txt").await, "location");
        assert!(!link.contains("auth_key="), "{link}");
        assert_eq!(
            world.http.get(&link).send().await.unwrap().text().await.unwrap(),
            "hello"
        );
        assert_eq!(
            (world.calls("open_direct_link"), world.calls("open_download_info")),
            (3, 1)
        );
        assert_eq!(world.calls("open_user_info"), 1);
        assert!(!world.server.log().contains("direct-private-key"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_paid_links_are_unsigned_and_without_the_setting_not_asked_for() {
    for more in ["link = \"direct\"", "link = \"download\"", ""] {
        let world = world(more).await;
        world.cloud.add_file("/space/a.mkv", "film");
        world.cloud.enable_direct("/space");
        let link = header(&world.get("/official/space/a.mkv").await, "location");
        let is_direct = more.contains("direct");
        assert_eq!(link.starts_with(&world.cloud.direct_base()), is_direct, "{link}");
        assert!(!link.contains("auth_key="), "{link}");
        assert_eq!(
            world.http.get(&link).send().await.unwrap().text().await.unwrap(),
            "film"
        );
        assert_eq!(world.calls("open_direct_link"), u64::from(is_direct));
        assert_eq!(world.calls("open_user_info"), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_direct_link_that_cannot_be_asked_for_is_an_error_and_not_another_link() {
    let world = world("link = \"direct\"").await;
    world
        .cloud
        .fault(Fault::forever("open_direct_link", FaultKind::Status(502, None)));
    let answer = world.get("/official/films/inner/a b#.txt").await;
    assert_eq!(answer.status(), 502);
    assert_eq!(world.calls("open_download_info"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paid_link_is_signed_anew_before_it_ends_and_when_it_is_refused() {
    let more =
        "strategy = \"proxy\"\nlink = \"direct\"\nprivate_key = \"direct-private-key\"\nvalid_for = \"2s\"";
    let fill = |cloud: &Cloud| {
        cloud.add_file("/space/a.mkv", "film");
        cloud.enable_direct("/space");
        cloud.settings().direct_auth = DirectAuth::Decoded;
    };
    // What was read is not remembered.
    let world = World::start_with(options(), "[cache]\nblocks = \"0B\"\n", fill, |cloud| {
        open(cloud, &cloud.options().client_secret, more)
    })
    .await;
    let film = async || world.get("/official/space/a.mkv").await.text().await.unwrap();
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        assert_eq!(film().await, "film");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let signed = world.calls("open_direct_link");
    // They end at whole seconds, so that one may live for only one; its last fifth is not used.
    let most = begun.elapsed().as_secs() + 1;
    assert!((3..=most).contains(&signed), "{signed} links of 2 s in 5 s");
    // A link in use that is refused though it should be good is asked for anew, and the client sees nothing of it.
    film().await;
    let refusal = Fault::once("direct", FaultKind::Status(403, None));
    world.cloud.fault(refusal);
    assert_eq!(film().await, "film");
    assert!(world.calls("open_direct_link") > signed);
    assert_eq!(world.calls("open_download_info"), 0);
}

//! Share mounts.

use dav123::sim::ShareOptions;

use crate::world::{World, account, options, share};

fn fill(cloud: &dav123::sim::Cloud, password: Option<&str>, anonymous: bool) -> String {
    cloud.add_file("/films/欢迎.txt", "welcome");
    cloud.add_file("/films/deep/a.mkv", "film");
    cloud.add_file("/secret/own.txt", "not shared");
    let options = ShareOptions {
        name: "films".into(),
        password: password.map(str::to_owned),
        anonymous,
        ..ShareOptions::default()
    };
    cloud.add_share(&["/films"], options)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_is_listed_and_read_without_an_account() {
    let world = World::start(
        options(),
        |_| {},
        |cloud| share(cloud, "/s", &fill(cloud, None, true), ""),
    )
    .await;
    assert!(world.propfind("/s", "1").await.1.contains("/s/films/"));
    assert!(
        world
            .propfind("/s/films", "1")
            .await
            .1
            .contains("%E6%AC%A2%E8%BF%8E.txt")
    );
    let answer = world.get("/s/films/deep/a.mkv").await;
    assert_eq!(answer.status(), 302, "{}", answer.text().await.unwrap());
    assert_eq!(world.calls("sign_in"), 0);
    assert_eq!(world.calls("share_download"), 1);
    assert_eq!(world.propfind("/s/secret", "0").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_link_with_its_password_is_a_share_key() {
    for form in [
        "https://www.123pan.com/s/KEY?pwd=x1Y2",
        "https://www.123865.com/s/KEY.html?提取码:x1Y2",
    ] {
        let world = World::start(
            options(),
            |_| {},
            |cloud| {
                let key = fill(cloud, Some("x1Y2"), true);
                share(cloud, "/s", &form.replace("KEY", &key), "")
            },
        )
        .await;
        let (status, body) = world.propfind("/s", "1").await;
        assert_eq!(status, 207, "{form}: {body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_passwords_ended_and_unknown_shares_are_said_plainly() {
    let wrong = World::start(
        options(),
        |_| {},
        |cloud| {
            let key = fill(cloud, Some("x1y2"), true);
            share(cloud, "/s", &key, "share_password = \"nope\"")
        },
    )
    .await;
    let (status, sentence) = wrong.propfind("/s", "1").await;
    assert_eq!(status, 403, "{sentence}");
    assert!(sentence.contains("password"), "{sentence}");

    let ended = World::start(
        options(),
        |_| {},
        |cloud| share(cloud, "/s", &fill(cloud, None, true), ""),
    )
    .await;
    assert_eq!(ended.propfind("/s", "1").await.0, 207);
    let key = {
        let text = std::fs::read_to_string(ended.dir.path().join("dav.toml")).unwrap();
        text.split("share_key = \"")
            .nth(1)
            .unwrap()
            .split('"')
            .next()
            .unwrap()
            .to_owned()
    };
    ended.cloud.change_share(&key, true, true);
    let (status, sentence) = ended.propfind("/s/films", "1").await;
    assert_eq!(status, 410, "{sentence}");

    let unknown = World::start(options(), |_| {}, |cloud| share(cloud, "/s", "none-None", "")).await;
    let (status, sentence) = unknown.propfind("/s", "1").await;
    assert!([403, 410].contains(&status), "{status} {sentence}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_download_that_needs_a_login_says_so_and_works_with_an_account() {
    let alone = World::start(
        options(),
        |_| {},
        |cloud| share(cloud, "/s", &fill(cloud, None, false), ""),
    )
    .await;
    let answer = alone.get("/s/films/deep/a.mkv").await;
    assert_eq!(answer.status(), 403);
    let sentence = answer.text().await.unwrap();
    assert!(sentence.contains("account"), "{sentence}");

    let signed = World::start(
        options(),
        |_| {},
        |cloud| {
            let key = fill(cloud, None, false);
            account(cloud, "/drive", "") + &share(cloud, "/s", &key, "account = \"/drive\"")
        },
    )
    .await;
    let answer = signed.get("/s/films/deep/a.mkv").await;
    assert_eq!(answer.status(), 302, "{}", answer.text().await.unwrap());
    assert_eq!(signed.calls("sign_in"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_folder_of_a_share_can_be_the_root_and_nothing_can_be_written() {
    let world = World::start(
        options(),
        |_| {},
        |cloud| {
            let key = fill(cloud, None, true);
            let root = cloud.id("/films/deep").unwrap();
            share(cloud, "/s", &key, &format!("root_id = {root}"))
        },
    )
    .await;
    assert!(world.propfind("/s", "1").await.1.contains("/s/a.mkv"));
    for method in ["PUT", "DELETE", "MKCOL", "MOVE", "COPY", "PROPPATCH", "LOCK"] {
        let answer = world.request(method, "/s/a.mkv").send().await.unwrap();
        assert_eq!(answer.status(), 403, "{method}");
        let allow = answer.headers()["allow"].to_str().unwrap().to_owned();
        assert!(allow.contains("PROPFIND") && !allow.contains("PUT"), "{allow}");
        assert!(answer.text().await.unwrap().len() > 20);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_way_a_share_can_fail_has_its_status_and_its_sentence() {
    let right = ("share_password = \"x1y2\"", "x1y2");
    for (case, status, says) in [
        ("wrong password", 403, "share_password"),
        ("no password", 403, "share_password"),
        ("expired", 410, "ended"),
        ("unknown", 410, "ended"),
        ("malformed", 403, "share_key"),
    ] {
        let world = World::start(
            options(),
            |_| {},
            |cloud| {
                let key = fill(cloud, Some(right.1), true);
                cloud.change_share(&key, case == "expired", true);
                let password = match case {
                    "wrong password" => "share_password = \"nope\"",
                    "no password" => "",
                    _ => right.0,
                };
                let key = match case {
                    "unknown" => "none-None",
                    "malformed" => "nothyphen",
                    _ => &key,
                };
                share(cloud, "/s", key, password)
            },
        )
        .await;
        for path in ["/s", "/s/films", "/s/films/deep/a.mkv"] {
            let (got, sentence) = world.propfind(path, "1").await;
            assert_eq!(got, status, "{case} {path}: {sentence}");
            assert!(sentence.contains(says), "{case}: {sentence}");
            assert!(
                !sentence.contains("x1y2") && !sentence.contains("nope"),
                "{sentence}"
            );
        }
        assert_eq!(world.get("/s/films/deep/a.mkv").await.status(), status, "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_password_is_taken_in_any_case_of_letters() {
    let world = World::start(
        options(),
        |_| {},
        |cloud| {
            let key = fill(cloud, Some("x1Y2"), true);
            share(cloud, "/s", &key, "share_password = \"X1y2\"")
        },
    )
    .await;
    assert_eq!(world.members("/s").await, ["/s/films/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_id_is_only_reached_by_listing_from_the_root() {
    let world = World::start(
        options(),
        |_| {},
        |cloud| {
            let key = fill(cloud, None, true);
            account(cloud, "/drive", "") + &share(cloud, "/s", &key, "account = \"/drive\"")
        },
    )
    .await;
    // 123pan would list any folder of the caller's own drive here.
    let secret = world.cloud.id("/secret").unwrap();
    for path in [
        format!("/s/{secret}"),
        format!("/s/films/{secret}"),
        format!("/s/{secret}/own.txt"),
        format!("/s/films/..%2f{secret}"),
    ] {
        let answer = world.raw("PROPFIND", &path).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{path}: {answer}");
        assert!(!answer.contains("own.txt"), "{path}: {answer}");
    }
    assert_eq!(world.members("/s").await, ["/s/films/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_s_files_are_streamed_through_too_and_cost_one_link_call() {
    let world = World::start(
        options(),
        |_| {},
        |cloud| {
            let key = fill(cloud, None, true);
            share(cloud, "/s", &key, "strategy = \"proxy\"")
        },
    )
    .await;
    for _ in 0..3 {
        let answer = world.get("/s/films/deep/a.mkv").await;
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.text().await.unwrap(), "film");
    }
    assert_eq!(world.calls("share_download"), 1);
    assert_eq!(world.calls("leaked_authorization"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_that_has_ended_is_not_shown_any_more() {
    let mut key = String::new();
    let world = World::start_with(
        options(),
        "[cache]\nlist_ttl = \"1s\"\n",
        |cloud| {
            cloud.add_file("/s/a.txt", "a");
        },
        |cloud| {
            key = cloud.add_share(
                &["/s"],
                ShareOptions {
                    anonymous: true,
                    ..Default::default()
                },
            );
            share(cloud, "/share", &key, "")
        },
    )
    .await;
    assert_eq!(world.members("/share").await, ["/share/s/"]);
    world.cloud.change_share(&key, true, true);
    crate::stale::past_ttl().await;
    let begun = std::time::Instant::now();
    loop {
        let (status, _) = world.propfind("/share", "1").await;
        if status != 207 {
            assert!(status < 500 && status != 404, "{status}");
            break;
        }
        assert!(begun.elapsed() < std::time::Duration::from_secs(10));
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

//! Signing in to 123pan: as rarely as can be. Signing in to dav123: Basic.

use dav123::sim::{AuthError, Risk};

use crate::world::{PASSWORD, Server, USER, World, account, endpoints, head, options};

#[tokio::test(flavor = "multi_thread")]
async fn fifty_requests_under_an_expired_token_make_one_sign_in() {
    for error in [AuthError::Code401, AuthError::Code20101, AuthError::Code2] {
        let world = World::account(|cloud| {
            for n in 0..50 {
                cloud.add_file(&format!("/{n}/a.txt"), "1");
            }
        })
        .await;
        world.cloud.settings().auth_error = error;
        world.propfind("/drive", "1").await;
        assert_eq!(world.calls("sign_in"), 1);
        world.cloud.expire_tokens();
        let paths: Vec<String> = (0..50).map(|n| format!("/drive/{n}")).collect();
        let all = futures_util::future::join_all(paths.iter().map(|path| world.propfind(path, "1"))).await;
        assert!(all.iter().all(|(status, _)| *status == 207), "{error:?}");
        assert_eq!(world.calls("sign_in"), 2, "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_kept_privately_and_used_after_a_restart() {
    let mut world = World::account(|cloud| {
        cloud.add_file("/a.txt", "1");
    })
    .await;
    world.propfind("/drive", "1").await;
    let tokens = world.dir.path().join("state/tokens");
    let kept: Vec<_> = std::fs::read_dir(&tokens)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(kept.len(), 1);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(
            std::fs::metadata(&kept[0]).unwrap().permissions().mode() & 0o777,
            0o600
        );
    }
    world.restart();
    assert_eq!(world.propfind("/drive", "1").await.0, 207);
    assert_eq!(world.calls("sign_in"), 1);
    std::fs::write(&kept[0], "rubbish").unwrap();
    world.restart();
    assert_eq!(world.propfind("/drive", "1").await.0, 207);
    assert_eq!(world.calls("sign_in"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn risk_control_is_shown_at_once_and_nothing_is_tried_again() {
    for risk in [Risk::Login, Risk::Every] {
        let mut options = options();
        options.settings.risk = risk;
        let world = World::start(
            options,
            |cloud| {
                cloud.add_file("/a.txt", "1");
            },
            |cloud| account(cloud, "/drive", "") + &account(cloud, "/again", ""),
        )
        .await;
        for round in 0..3 {
            let asked = ["/drive", "/again", "/drive/a.txt"].into_iter().cycle().take(50);
            let all = futures_util::future::join_all(asked.map(|path| world.propfind(path, "0"))).await;
            let (status, sentence) = &all[2];
            assert_eq!(*status, 503, "round {round}: {sentence}");
            assert!(
                sentence.contains("安全风险") && sentence.contains("web page"),
                "{sentence}"
            );
        }
        assert_eq!(world.calls("sign_in"), 1, "{risk:?}");
        assert!(
            world.server.log().contains("ERROR"),
            "a person must be told in the log"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_password_is_tried_once() {
    let world = World::start(
        options(),
        |_| {},
        |cloud| account(cloud, "/drive", "").replace(&cloud.options().password, "wrong-password-1"),
    )
    .await;
    for _ in 0..5 {
        let (status, sentence) = world.propfind("/drive", "1").await;
        assert_eq!(status, 503, "{sentence}");
    }
    assert_eq!(world.calls("sign_in"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_alone_is_enough_until_it_ends() {
    let world = World::start(
        options(),
        |cloud| {
            cloud.add_file("/a.txt", "1");
        },
        |cloud| {
            let token = cloud.issue_token();
            let at = endpoints(cloud);
            format!("[[mount]]\npath = \"/drive\"\nkind = \"account\"\naccess_token = \"{token}\"\n{at}")
        },
    )
    .await;
    assert_eq!(world.propfind("/drive", "1").await.0, 207);
    assert_eq!(world.calls("sign_in"), 0);
    world.cloud.expire_tokens();
    world.server.signal("HUP");
    crate::world::eventually("SIGHUP", || world.server.log().contains("reloaded")).await;
    let (status, sentence) = world.propfind("/drive", "1").await;
    assert_eq!(status, 503, "{sentence}");
    assert!(sentence.contains("token"), "{sentence}");
    assert_eq!(world.calls("sign_in"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mail_address_signs_in_too() {
    let world = World::start(
        options(),
        |_| {},
        |cloud| account(cloud, "/drive", "").replace(&cloud.options().phone, &cloud.options().mail),
    )
    .await;
    assert_eq!(world.propfind("/drive", "1").await.0, 207);
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_get_nothing() {
    let world = World::account(|cloud| {
        cloud.add_file("/a.txt", "1");
    })
    .await;
    for method in ["GET", "HEAD", "PROPFIND", "PUT", "DELETE", "LOCK"] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let stranger = world.http.request(method.clone(), world.url("/drive/a.txt"));
        let answer = stranger.send().await.unwrap();
        assert_eq!(answer.status(), 401, "{method}");
        assert!(
            answer.headers()["www-authenticate"]
                .to_str()
                .unwrap()
                .starts_with("Basic")
        );
    }
    for page in ["/.dav123/metrics", "/.dav123/", "/.dav123/status"] {
        assert_eq!(
            world.http.get(world.url(page)).send().await.unwrap().status(),
            401,
            "{page}"
        );
    }
    let wrong = world
        .http
        .get(world.url("/drive/a.txt"))
        .basic_auth(USER, Some("wrong"));
    assert_eq!(wrong.send().await.unwrap().status(), 401);
    assert_eq!(world.cloud.counters().total(), 0);
    let health = world.http.get(world.url("/.dav123/health")).send().await.unwrap();
    assert_eq!(
        (health.status().as_u16(), health.text().await.unwrap().trim()),
        (200, "ok")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn users_see_their_root_below_the_prefix() {
    let world = World::account(|cloud| {
        cloud.add_file("/mine/deep/a.txt", "1");
    })
    .await;
    let other = tempfile::TempDir::new().unwrap();
    let config = other.path().join("dav.toml");
    let text = head(other.path())
        .replace(
            "listen =",
            "anonymous = \"read-only\"\nprefix = \"/web/dav\"\nlisten =",
        )
        .replace("password =", "root = \"/drive/mine\"\npassword =");
    std::fs::write(&config, text + &account(&world.cloud, "/drive", "")).unwrap();
    let server = Server::serve(&config);
    assert!(server.url.ends_with("/web/dav/"), "{}", server.url);
    let at = |path: &str| format!("{}{path}", server.url);
    let propfind = || reqwest::Method::from_bytes(b"PROPFIND").unwrap();
    let mine = world
        .http
        .request(propfind(), at(""))
        .header("depth", "1")
        .basic_auth(USER, Some(PASSWORD));
    let body = mine.send().await.unwrap().text().await.unwrap();
    assert!(body.contains("<D:href>/web/dav/</D:href>") && body.contains("<D:href>/web/dav/deep/</D:href>"));
    assert!(!body.contains("/mine"), "{body}");
    let up = world
        .http
        .get(at("%2e%2e/"))
        .basic_auth(USER, Some(PASSWORD))
        .send()
        .await
        .unwrap();
    assert!(up.status().is_client_error());
    let anybody = world
        .http
        .request(propfind(), at(""))
        .header("depth", "1")
        .send()
        .await
        .unwrap();
    assert!(
        anybody.text().await.unwrap().contains("/web/dav/drive/"),
        "anonymous sees the whole tree"
    );
    let write = world
        .http
        .request(reqwest::Method::PUT, at("drive/b.txt"))
        .body("x")
        .send()
        .await
        .unwrap();
    assert_eq!(write.status(), 403);
    // The way to the prefix exists, as Explorer wants it.
    let step = world
        .http
        .request(propfind(), server.url.replace("/web/dav/", "/"))
        .header("depth", "1");
    assert!(
        step.send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
            .contains("<D:href>/web/</D:href>")
    );
    let lookalike = world
        .http
        .request(propfind(), server.url.replace("/dav/", "/davfoo"))
        .send()
        .await
        .unwrap();
    assert_eq!(lookalike.status(), 404);
}

//! Signing in: to 123pan as seldom as can be, to dav123 by name and password.

use std::time::{Duration, Instant};

use dav123::sim::{AuthError, Cloud, Risk};

use crate::world::{USER, World, account, endpoints, head, options};

/// Fifty folders, so that fifty requests make fifty calls.
fn fifty(cloud: &Cloud) {
    for n in 0..50 {
        cloud.add_file(&format!("/{n}/a.txt"), "a");
    }
}

async fn fifty_propfinds(world: &World) -> Vec<(u16, String)> {
    let paths: Vec<String> = (0..50).map(|n| format!("/drive/{n}")).collect();
    futures_util::future::join_all(paths.iter().map(|path| world.propfind(path, "1"))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_requests_under_an_expired_token_cost_one_sign_in() {
    for how in [AuthError::Code401, AuthError::Code20101, AuthError::Code2] {
        let world = World::account(|cloud| {
            fifty(cloud);
            cloud.settings().auth_error = how;
        })
        .await;
        world.members("/drive").await;
        assert_eq!(world.calls("sign_in"), 1);
        world.cloud.expire_tokens();
        // Slower than our pace, so that many are under way with the old token at once.
        world.cloud.settings().latency = Duration::from_millis(80);
        for (status, body) in fifty_propfinds(&world).await {
            assert_eq!(status, 207, "{how:?}: {body}");
        }
        assert_eq!(world.calls("sign_in"), 2, "{how:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_first_requests_cost_one_sign_in() {
    let world = World::account(fifty).await;
    for (status, body) in fifty_propfinds(&world).await {
        assert_eq!(status, 207, "{body}");
    }
    assert_eq!(world.calls("sign_in"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_is_kept_for_its_owner_alone_and_used_after_a_restart() {
    let mut world = World::account(|cloud| {
        cloud.add_file("/a.txt", "a");
    })
    .await;
    world.members("/drive").await;
    let (file, token) = world.kept_token().unwrap();
    assert!(token.len() > 40);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = |path: &std::path::Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&file), 0o600);
        assert_eq!(mode(file.parent().unwrap()), 0o700);
    }
    world.restart();
    assert_eq!(world.members("/drive").await, ["/drive/a.txt"]);
    assert_eq!(world.calls("sign_in"), 1);
    // Expired while we were away: one more.
    world.cloud.expire_tokens();
    world.restart();
    assert_eq!(world.members("/drive").await, ["/drive/a.txt"]);
    assert_eq!(world.calls("sign_in"), 2);
    assert_ne!(world.kept_token().unwrap().1, token);
    // A file that was spoilt counts as none.
    std::fs::write(&file, "rubbish").unwrap();
    world.restart();
    assert_eq!(world.members("/drive").await, ["/drive/a.txt"]);
    assert_eq!(world.calls("sign_in"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn risk_control_at_sign_in_costs_one_sign_in_for_the_rest_of_the_run() {
    let world = World::account(|cloud| {
        fifty(cloud);
        cloud.settings().risk = Risk::Login;
    })
    .await;
    for _ in 0..2 {
        for (status, body) in fifty_propfinds(&world).await {
            assert_eq!(status, 503, "{body}");
            for part in [
                "短信验证码",
                "123pan's web page",
                "change the password",
                "access_token",
            ] {
                assert!(body.contains(part), "{part}: {body}");
            }
        }
    }
    assert_eq!(world.calls("sign_in"), 1);
    // It has gone at 123pan; we do not find out by trying.
    world.cloud.settings().risk = Risk::Off;
    assert_eq!(world.propfind("/drive/3", "1").await.0, 503);
    assert_eq!(world.cloud.counters().total(), 1);
    let log = world.server.log();
    assert!(log.contains("risk control"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn risk_control_of_every_call_stops_all_calls_until_the_token_changes() {
    let world = World::account(fifty).await;
    world.members("/drive").await;
    world.cloud.settings().risk = Risk::Every;
    world.cloud.counters().reset();
    assert_eq!(world.propfind("/drive/0", "1").await.0, 503);
    let after_first = world.cloud.counters().total();
    for (status, _) in fifty_propfinds(&world).await {
        assert_eq!(status, 503);
    }
    assert_eq!(world.cloud.counters().total(), after_first);
    assert_eq!(world.calls("sign_in"), 0);
    // What is remembered is still served.
    assert_eq!(world.members("/drive").await.len(), 50);
    // A person has put it right: there is a new token.
    world.cloud.settings().risk = Risk::Off;
    let (file, _) = world.kept_token().unwrap();
    let token = world.cloud.issue_token();
    std::fs::write(file, format!("{{\"token\":\"{token}\"}}")).unwrap();
    assert_eq!(world.members("/drive/1").await, ["/drive/1/a.txt"]);
    assert_eq!(world.calls("sign_in"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn mounts_of_one_account_share_its_fate_under_risk_control() {
    let world = World::start(
        options(),
        |cloud| {
            cloud.add_file("/a.txt", "1");
            cloud.settings().risk = Risk::Every;
        },
        |cloud| account(cloud, "/drive", "") + &account(cloud, "/again", ""),
    )
    .await;
    for _ in 0..3 {
        let asked = ["/drive", "/again", "/drive/a.txt"].into_iter().cycle().take(30);
        for (status, body) in
            futures_util::future::join_all(asked.map(|path| world.propfind(path, "1"))).await
        {
            assert_eq!(status, 503, "{body}");
            assert!(body.contains("安全风险") && body.contains("web page"), "{body}");
        }
    }
    assert_eq!(world.calls("sign_in"), 1);
    assert!(world.server.log().contains("ERROR"), "a person must be told");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_of_the_account_is_tried_once_and_said_with_its_remedy() {
    let world = World::start(options(), fifty, |cloud| {
        account(cloud, "/drive", "").replace("demo-password", "wrong-password")
    })
    .await;
    for (status, body) in fifty_propfinds(&world).await {
        assert_eq!(status, 503, "{body}");
        assert!(
            body.contains("password") && body.contains("用户名或密码错误"),
            "{body}"
        );
        assert!(!body.contains("wrong-password"), "{body}");
    }
    assert_eq!(world.propfind("/drive", "1").await.0, 503);
    assert_eq!(world.calls("sign_in"), 1);
    let answer = world.request("PROPFIND", "/drive").send().await.unwrap();
    assert_eq!(answer.headers()["retry-after"], "3600");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_right_after_its_sign_in_is_no_reason_for_a_second_one() {
    let world = World::account(|cloud| {
        fifty(cloud);
        cloud.settings().token_life = Duration::ZERO;
    })
    .await;
    for (status, body) in fifty_propfinds(&world).await {
        assert_eq!(status, 503, "{body}");
    }
    assert_eq!(world.calls("sign_in"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_e_mail_address_signs_in_too() {
    let world = World::start(
        options(),
        |cloud| {
            cloud.add_file("/a.txt", "a");
        },
        |cloud| {
            let options = cloud.options();
            account(cloud, "/drive", "").replace(&options.phone, &options.mail)
        },
    )
    .await;
    assert_eq!(world.members("/drive").await, ["/drive/a.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_alone_is_enough_and_a_dead_one_is_said_with_its_remedy() {
    let world = World::start(options(), fifty, |cloud| {
        let token = cloud.issue_token();
        format!(
            "[[mount]]\npath = \"/drive\"\nkind = \"account\"\naccess_token = \"{token}\"\n{}",
            endpoints(cloud)
        )
    })
    .await;
    assert_eq!(world.members("/drive").await.len(), 50);
    assert_eq!(world.calls("sign_in"), 0);
    world.cloud.expire_tokens();
    let (status, body) = world.propfind("/drive/1", "1").await;
    assert_eq!(status, 503);
    assert!(body.contains("access_token"), "{body}");
    assert_eq!(world.calls("sign_in"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_or_with_a_wrong_sign_in_nothing_is_told() {
    let world = World::account(|cloud| {
        cloud.add_file("/a.txt", "a");
    })
    .await;
    for path in ["/", "/drive/a.txt", "/nowhere", "/.dav123/metrics", "/.dav123/"] {
        for method in ["GET", "HEAD", "PROPFIND", "PUT", "DELETE", "MKCOL", "LOCK"] {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let answer = world
                .http
                .request(method.clone(), world.url(path))
                .send()
                .await
                .unwrap();
            assert_eq!(answer.status(), 401, "{method} {path}");
            let wanted = answer.headers().get_all("www-authenticate");
            let schemes: Vec<&str> = wanted
                .iter()
                .map(|value| value.to_str().unwrap().split(", ").next().unwrap())
                .collect();
            let (digest, basic) = ("Digest realm=\"dav123\"", "Basic realm=\"dav123\"");
            assert_eq!(schemes, [digest, basic]);
        }
    }
    let answer = world
        .http
        .get(world.url("/drive/a.txt"))
        .basic_auth(USER, Some("wrong"))
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(world.cloud.counters().total(), 0, "and 123pan is not asked");
    assert_eq!(world.get("/drive/a.txt").await.status(), 302);
    let health = world.http.get(world.url("/.dav123/health")).send().await.unwrap();
    assert_eq!(health.text().await.unwrap().trim(), "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_sign_ins_are_slowed_down_and_right_ones_are_not() {
    let world = World::account(|_| {}).await;
    assert_eq!(world.propfind("/", "0").await.0, 207);
    let begun = Instant::now();
    for n in 0..5 {
        let answer = world
            .http
            .get(world.url("/"))
            .basic_auth(USER, Some(format!("wrong{n}")))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 401);
    }
    // The first is free, then 250 ms, and twice that, and again.
    assert!(begun.elapsed().as_millis() >= 1750, "{:?}", begun.elapsed());
    let begun = Instant::now();
    assert_eq!(world.propfind("/", "0").await.0, 207);
    assert!(begun.elapsed().as_millis() < 1500, "{:?}", begun.elapsed());
    // A flood is not even looked at.
    let flood = (0..60).map(|n| {
        world
            .http
            .get(world.url("/"))
            .basic_auth(USER, Some(format!("flood{n}")))
            .timeout(Duration::from_secs(4))
            .send()
    });
    let answers = futures_util::future::join_all(flood).await;
    let refused: Vec<_> = answers
        .into_iter()
        .flatten()
        .filter(|a| a.status() == 429)
        .collect();
    assert!(!refused.is_empty());
    assert!(refused.iter().all(|a| a.headers().contains_key("retry-after")));
}

#[tokio::test(flavor = "multi_thread")]
async fn options_needs_no_sign_in_on_any_path() {
    let world = World::configured(
        options(),
        |_| {},
        |cloud, dir| {
            head(dir).replace("[server]\n", "[server]\nprefix = \"/dav\"\n") + &account(cloud, "/drive", "")
        },
    )
    .await;
    for path in ["/", "/dav", "/dav/", "/dav/drive", "/dav/nowhere/at/all"] {
        let answer = world
            .http
            .request(reqwest::Method::OPTIONS, world.url(path))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(answer.headers()["dav"], "1, 2, 3", "{path}");
        assert_eq!(answer.headers()["ms-author-via"], "DAV", "{path}");
        let allow = answer.headers()["allow"].to_str().unwrap();
        assert!(
            allow.contains("PROPFIND") && allow.contains("GET"),
            "{path}: {allow}"
        );
    }
    assert_eq!(world.cloud.counters().total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn below_a_prefix_the_tree_begins_and_the_way_to_it_can_be_walked() {
    let world = World::configured(
        options(),
        |cloud| {
            cloud.add_file("/a.txt", "a");
        },
        |cloud, dir| {
            head(dir).replace("[server]\n", "[server]\nprefix = \"/remote.php/dav\"\n")
                + &account(cloud, "/drive", "")
        },
    )
    .await;
    assert!(
        world.server.url.ends_with("/remote.php/dav/"),
        "{}",
        world.server.url
    );
    // Explorer looks at each step of the way.
    assert_eq!(world.members("/").await, ["/remote.php/"]);
    assert_eq!(world.members("/remote.php").await, ["/remote.php/dav/"]);
    assert_eq!(
        world.members("/remote.php/dav/").await,
        ["/remote.php/dav/drive/"]
    );
    assert_eq!(
        world.members("/remote.php/dav/drive").await,
        ["/remote.php/dav/drive/a.txt"]
    );
    assert_eq!(world.get("/remote.php/dav/drive/a.txt").await.status(), 302);
    for outside in ["/drive/a.txt", "/remote.php/other", "/x"] {
        assert_eq!(world.get(outside).await.status(), 404, "{outside}");
        assert_eq!(world.propfind(outside, "0").await.0, 404, "{outside}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn anonymous_read_only_reads_and_does_not_write() {
    let world = World::configured(
        options(),
        |cloud| {
            cloud.add_file("/a.txt", "a");
        },
        |cloud, dir| {
            let server = format!(
                "[server]\nlisten = \"127.0.0.1:0\"\nanonymous = \"read-only\"\nstate_dir = \"{}\"\n",
                dir.join("state").display()
            );
            server + &account(cloud, "/drive", "")
        },
    )
    .await;
    let ask = |method: &str, path: &str| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        world.http.request(method, world.url(path)).body("x").send()
    };
    assert_eq!(
        ask("PROPFIND", "/drive").await.unwrap().status(),
        400,
        "a body that is no XML"
    );
    assert_eq!(
        world
            .http
            .get(world.url("/drive/a.txt"))
            .send()
            .await
            .unwrap()
            .status(),
        302
    );
    for (method, path) in [
        ("PUT", "/drive/new.txt"),
        ("DELETE", "/drive/a.txt"),
        ("MKCOL", "/drive/new"),
    ] {
        let answer = world
            .http
            .request(
                reqwest::Method::from_bytes(method.as_bytes()).unwrap(),
                world.url(path),
            )
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 403, "{method}");
        assert!(!answer.text().await.unwrap().is_empty());
    }
    assert_eq!(world.cloud.names("/").unwrap(), ["a.txt"]);
    // Who gives a wrong name is not taken for nobody.
    let wrong = world
        .http
        .get(world.url("/"))
        .basic_auth("x", Some("y"))
        .send()
        .await
        .unwrap();
    assert_eq!(wrong.status(), 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_sees_only_the_subtree_that_is_its_root() {
    let world = World::configured(
        options(),
        |cloud| {
            cloud.add_file("/kids/a.txt", "a");
            cloud.add_file("/private/b.txt", "b");
        },
        |cloud, dir| {
            head(dir)
                + "[[user]]\nname = \"kid\"\npassword = \"kid-password\"\nroot = \"/drive/kids\"\naccess = \"read-only\"\n"
                + &account(cloud, "/drive", "")
        },
    )
    .await;
    let kid = |method: &str, path: &str| {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        world
            .http
            .request(method, world.url(path))
            .basic_auth("kid", Some("kid-password"))
            .header("depth", "1")
            .send()
    };
    let body = kid("PROPFIND", "/").await.unwrap().text().await.unwrap();
    assert_eq!(crate::world::hrefs(&body), ["/", "/a.txt"]);
    assert_eq!(kid("GET", "/a.txt").await.unwrap().status(), 302);
    for outside in [
        "/drive/private/b.txt",
        "/private/b.txt",
        "/../private/b.txt",
        "/%2e%2e/private/b.txt",
    ] {
        let status = kid("GET", outside).await.unwrap().status();
        assert!(status == 404 || status == 403, "{outside}: {status}");
    }
    assert_eq!(kid("PUT", "/new.txt").await.unwrap().status(), 403);
    // The other user sees all.
    let mut all = world.members("/drive").await;
    all.sort();
    assert_eq!(all, ["/drive/kids/", "/drive/private/"]);
}

//! No secret leaves the process but where it must: a broad run at level trace, then a search in all that was said.

use dav123::sim::{CityRule, Fault, FaultKind, RefererRule, Risk, ShareOptions};

use crate::world::{PASSWORD, USER, World, account, endpoints, head, header, links, options, run, share};

const SHARE_PASSWORD: &str = "q7Zx";
const PROXY_SECRET: &str = "secret-of-the-worker";
const LINK_KEY: &str = "key-of-the-direct-links";
const OPEN_SECRET: &str = "demo-client-secret";

/// All kinds of mount, all strategies.
async fn world() -> World {
    World::configured(
        options(),
        |cloud| {
            cloud.add_file("/space/film.mkv", vec![7; 2 << 20]);
            cloud.add_file("/note.txt", "note");
            cloud.enable_direct("/space");
            let mut settings = cloud.settings();
            settings.direct_auth = dav123::sim::DirectAuth::Decoded;
            LINK_KEY.clone_into(&mut settings.direct_key);
        },
        |cloud, dir| {
            let key = cloud.add_share(
                &["/space"],
                ShareOptions {
                    password: Some(SHARE_PASSWORD.to_owned()),
                    ..ShareOptions::default()
                },
            );
            let (base, options) = (cloud.direct_base(), cloud.options());
            [
                head(dir),
                account(cloud, "/drive", ""),
                account(cloud, "/proxied", "strategy = \"proxy\""),
                account(cloud, "/auto", "strategy = \"auto\""),
                account(
                    cloud,
                    "/worker",
                    &format!(
                        "strategy = \"proxy-url\"\nproxy_url = \"https://w.example\"\nproxy_secret = \"{PROXY_SECRET}\""
                    ),
                ),
                share(
                    cloud,
                    "/shared",
                    &key,
                    &format!("share_password = \"{SHARE_PASSWORD}\"\naccount = \"/drive\""),
                ),
                share(
                    cloud,
                    "/refused",
                    &format!("https://www.123pan.com/s/{key}?pwd=wr0ng"),
                    "",
                ),
                links(
                    cloud,
                    "/links",
                    &format!("private_key = \"{LINK_KEY}\""),
                    &format!("{base}/space/film.mkv\n1:{base}/space/gone.mkv"),
                ),
                links(
                    cloud,
                    "/badlinks",
                    "private_key = \"another-key-of-links\"",
                    &format!("{base}/space/film.mkv?sign=signed-by-somebody"),
                ),
                format!(
                    "[[mount]]\npath = \"/open\"\nkind = \"open\"\nclient_id = \"{}\"\nclient_secret = \"{OPEN_SECRET}\"\n{}",
                    options.client_id,
                    endpoints(cloud)
                ),
            ]
            .concat()
        },
    )
    .await
}

/// Asks everything of every mount; gives all that was answered with an error, as text.
async fn ask_all(world: &World) -> String {
    let mut errors = String::new();
    for mount in [
        "drive", "proxied", "auto", "worker", "shared", "refused", "links", "badlinks", "open",
    ] {
        for path in [
            "",
            "/space",
            "/space/film.mkv",
            "/film.mkv",
            "/note.txt",
            "/gone.mkv",
        ] {
            let path = format!("/{mount}{path}");
            for method in ["PROPFIND", "GET"] {
                let answer = world
                    .request(method, &path)
                    .header("depth", "1")
                    .header("user-agent", "libmpv")
                    .send()
                    .await
                    .unwrap();
                let status = answer.status();
                // A redirect is where a link must go.
                if !status.is_redirection() {
                    errors.push_str(&format!("{:?}", answer.headers()));
                }
                let body = answer.bytes().await;
                if !status.is_success() && !status.is_redirection() {
                    errors.push_str(&String::from_utf8_lossy(&body.unwrap_or_default()));
                }
            }
        }
    }
    errors
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_is_in_the_log_at_any_level_nor_in_errors_metrics_or_pages() {
    let world = world().await;
    let mut said = ask_all(&world).await;
    let link = header(&world.get("/drive/note.txt").await, "location");
    assert!(link.contains("t="), "{link}");
    let tokens = world.kept_tokens();
    assert_eq!(tokens.len(), 2, "of the account and of the developer");
    let issued = world.cloud.issue_token();
    // Everything that can go wrong on the way to a file.
    for kind in [
        FaultKind::Html,
        FaultKind::GarbageJson,
        FaultKind::Drop,
        FaultKind::Status(500, None),
        FaultKind::Code(99.into(), format!("see {link}")),
        FaultKind::Code(5113.into(), "used up".into()),
    ] {
        for at in [
            "list",
            "download_info",
            "inner",
            "cdn",
            "direct",
            "share_download",
            "open_list",
        ] {
            world.cloud.fault(Fault::forever(at, kind.clone()));
        }
        world.server.signal("HUP");
        world.cloud.expire_links();
        said += &ask_all(&world).await;
        world.cloud.clear_faults();
    }
    world
        .cloud
        .fault(Fault::forever("cdn", FaultKind::Truncate(1000)));
    let _ = world.get("/proxied/space/film.mkv").await.bytes().await;
    world.cloud.clear_faults();
    world.cloud.settings().referer = RefererRule::Outer;
    said += &ask_all(&world).await;
    world.cloud.settings().city = CityRule::Nowhere;
    said += &ask_all(&world).await;
    world.cloud.expire_tokens();
    said += &ask_all(&world).await;
    for (name, password) in [(USER, "wr0ng-password"), ("nobody", PASSWORD)] {
        world
            .http
            .get(world.url("/drive"))
            .basic_auth(name, Some(password))
            .send()
            .await
            .unwrap();
    }
    for secret in [PROXY_SECRET, "wr0ng-secret"] {
        world
            .http
            .post(world.url("/api/fs/link"))
            .header("authorization", secret)
            .body("{\"path\":\"/worker/note.txt\"}")
            .send()
            .await
            .unwrap();
    }
    world
        .http
        .get(format!(
            "{}drive/note.txt?sign=query-of-a-client",
            world.server.url
        ))
        .send()
        .await
        .unwrap();
    let newer = world.kept_tokens();
    world.cloud.settings().risk = Risk::Every;
    world.server.signal("HUP");
    said += &ask_all(&world).await;
    for page in ["/.dav123/metrics", "/.dav123/", "/.dav123/health"] {
        said += &world.get(page).await.text().await.unwrap();
    }
    let log = world.server.log();
    assert!(
        log.contains("TRACE") || log.contains("DEBUG"),
        "the log is at its finest"
    );
    assert!(
        log.len() > 20_000 && said.len() > 20_000,
        "{} {}",
        log.len(),
        said.len()
    );
    let options = world.cloud.options();
    let basic = |password: &str| {
        base64::Engine::encode(
            &base64::engine::general_purpose::STANDARD,
            format!("{USER}:{password}"),
        )
    };
    let secrets = [
        PASSWORD.to_owned(),
        "wr0ng".to_owned(),
        basic(PASSWORD),
        basic("wr0ng-password"),
        options.password.clone(),
        issued,
        "Bearer ".to_owned(),
        SHARE_PASSWORD.to_owned(),
        PROXY_SECRET.to_owned(),
        LINK_KEY.to_owned(),
        "another-key-of-links".to_owned(),
        OPEN_SECRET.to_owned(),
        "signed-by-somebody".to_owned(),
        "query-of-a-client".to_owned(),
        "auth_key".to_owned(),
        "params=".to_owned(),
        "&t=".to_owned(),
        "?sign=".to_owned(),
        "?v=5".to_owned(),
    ];
    for secret in secrets.into_iter().chain(tokens).chain(newer) {
        for (place, text) in [("the log", &log), ("what was answered", &said)] {
            if let Some(at) = text.find(&secret) {
                let from = text[..at].rfind('\n').map_or(0, |n| n + 1);
                let line: String = text[from..].chars().take(400).collect();
                panic!("{secret} is in {place}: {line}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_frames_of_http_2_and_the_records_of_tls_are_not_in_the_log() {
    let world = crate::running::tls().await;
    let client = crate::running::trusting(true);
    for password in [PASSWORD, "wr0ng-password"] {
        client
            .get(world.url("/drive/a.txt"))
            .basic_auth(USER, Some(password))
            .header("cookie", "session=cookie-of-a-client")
            .send()
            .await
            .unwrap()
            .bytes()
            .await
            .unwrap();
    }
    crate::world::eventually("both are logged", || {
        world.server.log().matches("dav123::access").count() >= 2
    })
    .await;
    let log = world.server.log();
    for secret in [PASSWORD, "wr0ng", "Basic ", "cookie-of-a-client", "authorization"] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_prints_no_secret_either() {
    let world = world().await;
    let config = world.dir.path().join("dav.toml");
    for risk in [Risk::Off, Risk::Every] {
        world.cloud.settings().risk = risk;
        for json in [&["--json"][..], &[]] {
            let config = config.display().to_string();
            let ran = tokio::task::spawn_blocking(move || {
                let mut arguments = vec!["check", "--log-level", "trace", "--config", &config];
                arguments.extend(json);
                run(&arguments, "")
            })
            .await
            .unwrap();
            let said = ran.out + &ran.err;
            assert!(said.len() > 500, "{said}");
            let tokens = world.kept_tokens();
            let secrets = [
                PASSWORD,
                SHARE_PASSWORD,
                PROXY_SECRET,
                LINK_KEY,
                OPEN_SECRET,
                "wr0ng",
                "demo-password",
                "auth_key",
                "&t=",
                "params=",
            ];
            for secret in secrets.into_iter().chain(tokens.iter().map(String::as_str)) {
                assert!(!said.contains(secret), "{secret}: {said}");
            }
        }
    }
}

#[test]
fn a_wrong_configuration_is_told_without_its_secrets() {
    let dir = tempfile::TempDir::new().unwrap();
    let config = dir.path().join("dav.toml");
    for line in [
        "password = [\"se-cret\"]",
        "pasword = \"se-cret\"",
        "password = \"se-cret",
        "access_token = { a = \"se-cret\" }\npassword = \"se-cret\"",
    ] {
        let text = format!(
            "[[user]]\nname = \"me\"\n{line}\n\n[[mount]]\npath = \"/a\"\nkind = \"account\"\nusername = 1\n{line}\n"
        );
        std::fs::write(&config, text).unwrap();
        let ran = run(&["check", "--config", config.to_str().unwrap()], "");
        assert_eq!(ran.code, 2, "{line}: {ran:?}");
        assert!(!format!("{ran:?}").contains("se-cret"), "{line}: {ran:?}");
    }
}

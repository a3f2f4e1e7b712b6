//! `dav123 login`: by QR code, by password, with a token; the running server takes it over.

use dav123::sim::{Cloud, Fault, FaultKind, Phone, Risk};

use crate::world::session::Session;
use crate::world::{World, account, endpoints, eventually, options, run, share};

/// An account that a person signs in to.
fn nobody(cloud: &Cloud, path: &str) -> String {
    let phone = &cloud.options().phone;
    format!(
        "[[mount]]\npath = \"{path}\"\nkind = \"account\"\nusername = \"{phone}\"\n{}",
        endpoints(cloud)
    )
}

/// A cloud with one file, and a server that nobody has signed in for.
async fn world() -> World {
    World::start(
        options(),
        |cloud| {
            cloud.add_file("/a.txt", "a");
        },
        |cloud| nobody(cloud, "/drive"),
    )
    .await
}

fn config(world: &World) -> String {
    world.dir.path().join("dav.toml").display().to_string()
}

fn kept(world: &World) -> bool {
    world.kept_token().is_some()
}

/// What a phone reads off plain text: its light modules are drawn.
fn scan(said: &str) -> String {
    let lines: Vec<Vec<char>> = said
        .lines()
        .filter(|line| line.chars().count() > 20 && line.chars().all(|c| " █▀▄".contains(c)))
        .map(|line| line.chars().collect())
        .collect();
    let light = |x: usize, y: usize| match lines[y / 2][x] {
        '█' => true,
        '▀' => y.is_multiple_of(2),
        '▄' => !y.is_multiple_of(2),
        _ => false,
    };
    let grey = |x: usize, y: usize| if light(x / 4, y / 4) { 255 } else { 0 };
    let mut image = rqrr::PreparedImage::prepare_from_greyscale(lines[0].len() * 4, lines.len() * 8, grey);
    image.detect_grids()[0].decode().unwrap().1
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scanned_and_confirmed_code_signs_the_running_server_in_with_one_token() {
    let world = world().await;
    let (status, body) = world.propfind("/drive", "1").await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("dav123 login MOUNT"), "{body}");
    assert!(world.server.log().contains("run dav123 login /drive"));
    assert_eq!(world.cloud.counters().total(), 0, "there is nothing to ask with");

    let config = config(&world);
    let login = Session::piped(&["login", "/drive", "--log-level", "trace", "--config", &config]);
    login.says("Waiting", 1).await;
    let shown = scan(&login.said());
    assert!(login.said().contains(&shown), "the address is there as text too");
    let id = &world.cloud.qr_waiting()[0];
    assert!(
        shown.ends_with(&format!("?env=production&uniID={id}&source=123pan&type=login")),
        "{shown}"
    );
    assert_eq!(world.cloud.qr_scan(), 1);
    login.says("Scanned: confirm on the phone", 1).await;
    assert!(!kept(&world));
    assert_eq!(world.cloud.qr_confirm(), 1);
    let (code, said) = login.end().await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("Signed in as 模拟用户 (13800000000)"), "{said}");
    assert!(!said.contains('\x1b'), "no terminal, no escapes");
    let (file, token) = world.kept_token().unwrap();
    assert!(!said.contains(&token) && !said.contains("Bearer"), "{said}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    }

    assert_eq!(world.members("/drive").await, ["/drive/a.txt"]);
    assert_eq!(world.calls("sign_in"), 0);
    assert_eq!(world.calls("qr_generate"), 1);
    assert_eq!(world.cloud.live_tokens(), 1);
    assert_eq!(world.calls("logout"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denied_code_changes_nothing() {
    let world = world().await;
    world.cloud.settings().phone = Phone::Denies;
    let login = Session::piped(&["login", "/drive", "--config", &config(&world)]);
    let (code, said) = login.end().await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("denied on the phone"), "{said}");
    assert!(!kept(&world));
    assert_eq!(world.calls("qr_generate"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_codes_are_replaced_twice_and_no_more() {
    let world = world().await;
    world.cloud.settings().phone = Phone::Lost;
    let (code, said) = Session::piped(&["login", "/drive", "--config", &config(&world)])
        .end()
        .await;
    assert_eq!(code, 1, "{said}");
    assert_eq!(said.matches("Here is a new one").count(), 2, "{said}");
    assert!(said.contains("3 codes have expired"), "{said}");
    assert_eq!(world.calls("qr_generate"), 3);

    world.cloud.settings().phone = Phone::ByHand;
    let login = Session::piped(&["login", "/drive", "--config", &config(&world)]);
    login.says("Waiting", 1).await;
    world.cloud.qr_scan();
    login.says("Scanned", 1).await;
    world.cloud.qr_expire();
    login.says("Waiting", 2).await;
    world.cloud.qr_scan();
    login.says("Scanned", 2).await;
    world.cloud.qr_confirm();
    let (code, said) = login.end().await;
    assert_eq!(code, 0, "{said}");
    assert!(kept(&world));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_signs_in_too_the_configured_or_a_typed_one() {
    let world = World::start(
        options(),
        |cloud| {
            cloud.add_file("/a.txt", "a");
        },
        |cloud| {
            account(cloud, "/mine", "") + &nobody(cloud, "/other").replace("13800000000", "demo@example.com")
        },
    )
    .await;
    let config = config(&world);
    let (code, said) = Session::piped(&["login", "/mine", "--password", "--config", &config])
        .end()
        .await;
    assert_eq!(code, 0, "{said}");
    let first = world.kept_token().unwrap().1;
    assert_eq!(world.members("/mine").await, ["/mine/a.txt"]);
    assert_eq!(world.calls("sign_in"), 1);
    for (password, expected) in [("wrong-password", 1), ("", 1), ("demo-password", 0)] {
        let mut login = Session::piped(&["login", "other", "--password", "--config", &config]);
        login.types(password);
        let (code, said) = login.end().await;
        assert_eq!(code, expected, "{said}");
        assert!(!said.contains("wrong-password") && !said.contains("demo-password"));
    }
    assert_eq!(world.members("/other").await, ["/other/a.txt"]);
    assert_eq!(world.calls("sign_in"), 3);
    let kept = world.kept_tokens();
    assert_eq!(kept.len(), 2, "each account has its own");
    assert!(kept.contains(&first));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_from_a_browser_is_tried_with_one_call_and_kept_if_it_works() {
    let world = world().await;
    let config = config(&world);
    let login = |line: String| {
        let config = config.clone();
        tokio::task::spawn_blocking(move || run(&["login", "/drive", "--token", "--config", &config], &line))
    };
    for (line, sentence) in [
        ("eyJ-no-token-of-ours\n", "does not accept this token"),
        ("\n", "There is no token"),
        ("", "There is no token"),
        ("two\u{7f}words\n", "characters"),
    ] {
        let ran = login(line.to_owned()).await.unwrap();
        assert_eq!(ran.code, 1, "{ran:?}");
        assert!(ran.err.contains(sentence), "{ran:?}");
        assert!(!ran.err.contains("of-ours"), "{ran:?}");
        assert!(!kept(&world));
    }
    let token = world.cloud.issue_token();
    world.cloud.counters().reset();
    let ran = login(format!("Bearer {token}\r\n")).await.unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(!format!("{ran:?}").contains(&token));
    assert_eq!(world.calls("user_info"), 1);
    assert_eq!(world.cloud.counters().total(), 1);
    assert_eq!(world.kept_token().unwrap().1, token);
    assert_eq!(world.members("/drive").await, ["/drive/a.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_cannot_be_tried_now_is_kept_only_if_somebody_just_signed_in() {
    let world = world().await;
    let config = config(&world);
    world
        .cloud
        .fault(Fault::forever("user_info", FaultKind::Status(502, None)));
    let mut login = Session::piped(&["login", "/drive", "--token", "--config", &config]);
    login.types(&world.cloud.issue_token());
    let (code, said) = login.end().await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("Nothing has changed"), "{said}");
    assert!(!kept(&world));
    world.cloud.settings().phone = Phone::Confirms;
    let (code, said) = Session::piped(&["login", "/drive", "--config", &config])
        .end()
        .await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("could not be tried"), "{said}");
    assert!(kept(&world));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_busy_service_is_asked_again_and_a_banned_address_is_not() {
    let world = world().await;
    let config = config(&world);
    world
        .cloud
        .fault(Fault::once("qr_result", FaultKind::Status(503, None)).times(3));
    world.cloud.settings().phone = Phone::Denies;
    let (code, said) = Session::piped(&["login", "/drive", "--config", &config])
        .end()
        .await;
    assert!(
        code == 1 && said.contains("trying on") && said.contains("denied"),
        "{said}"
    );
    world.cloud.counters().reset();
    let banned = FaultKind::Code(
        "403".into(),
        "123pan-global-slb forbidden client ip 1.2.3.4".into(),
    );
    world.cloud.fault(Fault::forever("qr_result", banned));
    let (code, said) = Session::piped(&["login", "/drive", "--config", &config])
        .end()
        .await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("has banned this network address"), "{said}");
    assert_eq!(world.calls("qr_result"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn another_account_than_the_configured_is_not_kept() {
    let world = World::start(
        options(),
        |_| {},
        |cloud| nobody(cloud, "/drive").replace("13800000000", "13911111111"),
    )
    .await;
    world.cloud.settings().phone = Phone::Confirms;
    let (code, said) = Session::piped(&["login", "/drive", "--config", &config(&world)])
        .end()
        .await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("configured for 13911111111"), "{said}");
    assert!(!kept(&world));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_without_a_username_stays_with_the_account_that_signed_in_first() {
    let anybody = |cloud: &Cloud| nobody(cloud, "/drive").replace("username = \"13800000000\"\n", "");
    let mut other = options();
    other.uid += 1;
    let world = World::start(other, |_| {}, anybody).await;
    world.cloud.settings().phone = Phone::Confirms;
    let config = config(&world);
    for _ in 0..2 {
        let (code, said) = Session::piped(&["login", "/drive", "--config", &config])
            .end()
            .await;
        assert_eq!(code, 0, "{said}");
    }
    // The mount was somebody else's before.
    let (file, token) = world.kept_token().unwrap();
    let parts: Vec<&str> = token.split('.').collect();
    let base64 = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let theirs = base64::Engine::encode(&base64, r#"{"id":42}"#);
    let before = format!("{{\"token\":\"{}.{theirs}.{}\"}}", parts[0], parts[2]);
    std::fs::write(&file, &before).unwrap();
    let (code, said) = Session::piped(&["login", "/drive", "--config", &config])
        .end()
        .await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("give the mount its username"), "{said}");
    assert_eq!(std::fs::read_to_string(file).unwrap(), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mount_without_an_account_is_told_with_those_that_have_one() {
    let world = World::start(
        options(),
        |_| {},
        |cloud| {
            nobody(cloud, "/drive")
                + &share(cloud, "/films", "abcd-EfGh", "account = \"/drive\"")
                + &share(cloud, "/free", "abcd-EfGi", "")
        },
    )
    .await;
    let config = config(&world);
    for (mount, sentence) in [
        (
            "/nowhere",
            "There is no mount /nowhere. Mounts of kind \"account\": /drive.",
        ),
        ("/films", "run dav123 login /drive"),
        ("/free", "has kind \"share\" and no account to sign in to"),
    ] {
        let (code, said) = Session::piped(&["login", mount, "--config", &config]).end().await;
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(sentence), "{said}");
    }
    let (code, said) = Session::piped(&["login", "/drive", "--config", "/nowhere.toml"])
        .end()
        .await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("/nowhere.toml"), "{said}");
    assert_eq!(world.cloud.counters().total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn login_ends_the_halt_of_risk_control_without_a_restart() {
    let world = World::account(|cloud| {
        cloud.add_file("/a.txt", "a");
        cloud.settings().risk = Risk::Login;
        cloud.settings().phone = Phone::Confirms;
    })
    .await;
    let (status, body) = world.propfind("/drive", "1").await;
    assert_eq!(status, 503, "{body}");
    assert!(body.contains("dav123 login MOUNT"), "{body}");
    let (code, said) = Session::piped(&["login", "/drive", "--config", &config(&world)])
        .end()
        .await;
    assert_eq!(code, 0, "{said}");
    assert_eq!(world.members("/drive").await, ["/drive/a.txt"]);
    assert_eq!(world.calls("sign_in"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_token_is_used_before_the_password_when_the_old_one_is_refused() {
    let world = World::account(|cloud| {
        for n in 0..3 {
            cloud.add_file(&format!("/{n}/a.txt"), "a");
        }
        cloud.settings().phone = Phone::Confirms;
    })
    .await;
    world.members("/drive").await;
    assert_eq!(world.calls("sign_in"), 1);
    world.cloud.expire_tokens();
    let (code, said) = Session::piped(&["login", "/drive", "--config", &config(&world)])
        .end()
        .await;
    assert_eq!(code, 0, "{said}");
    let token = world.kept_token().unwrap().1;
    assert_eq!(world.members("/drive/1").await, ["/drive/1/a.txt"]);
    assert_eq!(world.calls("sign_in"), 1);
    assert_eq!(world.kept_token().unwrap().1, token);
    assert_eq!(world.cloud.live_tokens(), 1);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs script"]
async fn in_a_terminal_the_states_share_a_line_and_the_code_is_black_on_white() {
    let world = world().await;
    let config = config(&world);
    let login = Session::terminal(&["login", "/drive", "--config", &config]);
    login.says("Waiting", 1).await;
    assert!(login.said().contains("\x1b[38;5;16;48;5;231m"));
    assert_eq!(world.cloud.qr_scan(), 1);
    login.says("\r\x1b[KScanned: confirm on the phone", 1).await;
    world.cloud.qr_expire();
    login.says("The code has expired. Here is a new one.", 1).await;
    login.says("\r\x1b[KWaiting", 2).await;
    world.cloud.qr_scan();
    login.says("\r\x1b[KScanned", 2).await;
    world.cloud.qr_confirm();
    let (code, said) = login.end().await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("Signed in as"), "{said}");
    assert!(kept(&world));

    let login = Session::terminal(&["login", "/drive", "--config", &config]);
    login.says("Waiting", 1).await;
    world.cloud.qr_scan();
    login.says("Scanned", 1).await;
    world.cloud.qr_deny();
    let (code, said) = login.end().await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("denied"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs script"]
async fn in_a_terminal_secrets_are_typed_unseen() {
    let world = world().await;
    let config = config(&world);
    let mut login = Session::terminal(&["login", "/drive", "--password", "--config", &config]);
    login.says("Password (it is not shown): ", 1).await;
    login.types("demo-password");
    let (code, said) = login.end().await;
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains("demo-password"), "{said}");
    let token = world.cloud.issue_token();
    let mut login = Session::terminal(&["login", "/drive", "--token", "--config", &config]);
    login.says("Token (it is not shown): ", 1).await;
    login.types(&token);
    let (code, said) = login.end().await;
    assert_eq!(code, 0, "{said}");
    assert!(!said.contains(&token[..30]), "{said}");
    eventually("the token is kept", || {
        world.kept_token().is_some_and(|(_, kept)| kept == token)
    })
    .await;
}

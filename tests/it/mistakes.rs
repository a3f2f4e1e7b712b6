//! What `check` says to a newcomer: about the example as it stands, an import, and the mistakes that people make.

use std::path::Path;

use dav123::sim::Cloud;

use crate::world::{Ran, account, endpoints, head, links, options, run, run_in, share};

const USER: &str = "[[user]]\nname = \"me\"\npassword = \"p\"\n";

/// A configuration of a user and, from line 4, `more`; nothing that can be reached.
fn check(more: &str) -> Ran {
    let dir = tempfile::TempDir::new().unwrap();
    let state = dir.path().join("state");
    let text = format!("{USER}{more}").replace("STATE", state.to_str().unwrap());
    std::fs::write(dir.path().join("dav.toml"), text).unwrap();
    run_in(dir.path(), &["check"], "")
}

/// Runs it apart from the threads of the cloud.
async fn checked(dir: &Path) -> Ran {
    let dir = dir.to_owned();
    tokio::task::spawn_blocking(move || run_in(&dir, &["check"], ""))
        .await
        .unwrap()
}

#[test]
fn the_example_as_it_stands_asks_nobody_and_names_what_is_still_the_example_s() {
    let dir = tempfile::TempDir::new().unwrap();
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("dav.example.toml");
    let text = std::fs::read_to_string(example).unwrap();
    let text = text.replace("#state_dir = \"state\"", "state_dir = \"state\"");
    // Nobody listens there: an attempt would be named.
    let text = text.replace(
        "#[mount.endpoints]",
        "[mount.endpoints]\nlogin = \"http://127.0.0.1:9\"\napi = \"http://127.0.0.1:9\"",
    );
    std::fs::write(dir.path().join("dav.toml"), text).unwrap();
    let ran = run_in(dir.path(), &["check"], "");
    assert_eq!(ran.code, 1, "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    for (line, (mount, own)) in lines.iter().zip([
        ("/drive account", "username and password"),
        ("/shared-films share", "share_key"),
        ("/links direct-link", "uid, private_key and links"),
    ]) {
        assert!(
            line.starts_with(&format!("FAIL {mount}: it still has the ")),
            "{line}"
        );
        assert!(
            line.contains(own) && line.contains("take this mount out"),
            "{line}"
        );
    }
    assert_eq!(lines.len(), 3, "{ran:?}");
    assert!(
        ran.err
            .contains("The user me still has the password of dav.example.toml"),
        "{}",
        ran.err
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_is_well_once_its_clouds_are_there() {
    let cloud = Cloud::start(options()).await.unwrap();
    cloud.add_file("/films/a.mkv", "film");
    let (phone, password) = (cloud.options().phone.clone(), cloud.options().password.clone());
    let own = serde_json::json!({"username": phone, "password": password, "root_folder_id": "0"});
    let export = serde_json::json!({"storages": [{"mount_path": "/123", "driver": "123Pan", "addition": own.to_string(),
        "webdav_policy": "native_proxy"}]});
    let dir = tempfile::TempDir::new().unwrap();
    let backup = dir.path().join("backup.json");
    std::fs::write(&backup, export.to_string()).unwrap();
    let imported = run(&["import-openlist", backup.to_str().unwrap()], "");
    // As it stands, what is missing is said in words that lead on.
    let file = dir.path().join("dav.toml");
    std::fs::write(&file, &imported.out).unwrap();
    let ran = checked(dir.path()).await;
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains("user: missing; expected one [[user]]"),
        "{}",
        ran.err
    );
    let whole = format!("{}{}{}", head(dir.path()), imported.out, endpoints(&cloud));
    std::fs::write(&file, whole).unwrap();
    let ran = checked(dir.path()).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out.starts_with("ok  /123  account  proxy  1 entry"),
        "{ran:?}"
    );
}

#[test]
fn slips_of_the_file_are_answered_with_what_to_type() {
    let account = "[[mount]]\npath = \"/d\"\nkind = \"account\"\nusername = \"1\"\n";
    let with = |line: &str| format!("{account}{line}\n");
    for (text, says) in [
        (
            with("password = secret"),
            "dav.toml:8: not valid TOML: string values must be quoted",
        ),
        (
            with("password = secret"),
            "between straight quotes, as in key = \"value\"",
        ),
        (with("password = “secret”"), "dav.toml:8: "),
        (
            with("password = “secret”"),
            "typographic or full-width characters",
        ),
        (with("password ＝ \"x\""), "typographic or full-width characters"),
        (with("password: \"x\""), "joined by =, as in key = \"value\""),
        (
            "[server]\ntls_cert = \"C:\\certs\\cert.pem\"\n".into(),
            "single quotes, as in 'C:\\certs\\cert.pem'",
        ),
        (
            with("password = \"x\"\nstrategy = \"302\""),
            "expected \"redirect\", \"proxy\", \"proxy-url\" or \"auto\"",
        ),
        (
            with("password = \"x\"\nusername = 138"),
            "dav.toml:9: not valid TOML: duplicate key",
        ),
        (
            account.replace("\"1\"", "13800000000"),
            "dav.toml:7: mount.username: expected a phone number or e-mail in quotes",
        ),
        (
            with("password = \"x\"\n[[mount.client]]\nuser_agent = \"x\"\nstrategy = \"proxy\"\nroot_id = 5"),
            "dav.toml:12: mount.client.root_id: unknown key; expected user_agent or strategy; keys of the mount itself stand above",
        ),
        (
            "[mount]\npath = \"/d\"\n".into(),
            "dav.toml:4: mount: expected [[mount]], in double brackets",
        ),
        (
            "[[mount]]\npath = \"d\"\nkind = \"account\"\n".into(),
            "expected a path that begins with \"/\"",
        ),
        (
            "[[mount]]\npath = \"/s\"\nkind = \"share\"\nshare_key = \"abcd-1\"\naccount = \"/drive\"\n"
                .into(),
            "dav.toml:8: mount.account: there is no mount \"/drive\"",
        ),
        (
            with("password_env = \"DAV_NOT_THERE\""),
            "the environment variable DAV_NOT_THERE is not set",
        ),
        (
            "[[mount]]\npath = \"/l\"\nkind = \"direct-link\"\nlinks = \"\"\"\nfilms\n\"\"\"\n".into(),
            "mount /l: links, line 1: it has no URL",
        ),
    ] {
        let ran = check(&text);
        assert_eq!(ran.code, 2, "{text}: {ran:?}");
        assert!(ran.err.contains(says), "{text}: {says}: {}", ran.err);
        assert!(!ran.err.contains("secret\u{201d}"), "{}", ran.err);
    }
}

#[test]
fn a_file_that_is_not_there_or_no_text_is_answered_with_what_to_do() {
    let dir = tempfile::TempDir::new().unwrap();
    let ran = run_in(dir.path(), &["check"], "");
    assert_eq!(ran.code, 2);
    assert!(
        ran.err
            .contains("dav.toml: there is no such file; copy dav.example.toml"),
        "{}",
        ran.err
    );
    let utf16: Vec<u8> = USER.encode_utf16().flat_map(u16::to_le_bytes).collect();
    std::fs::write(
        dir.path().join("dav.toml"),
        [b"\xff\xfe".as_slice(), &utf16].concat(),
    )
    .unwrap();
    let ran = run_in(dir.path(), &["check"], "");
    assert_eq!(ran.code, 2);
    assert!(
        ran.err.contains("dav.toml: not UTF-8 text; save it"),
        "{}",
        ran.err
    );
    // What Windows' editor puts in front of UTF-8 does no harm.
    std::fs::write(
        dir.path().join("dav.toml"),
        format!("\u{feff}[server]\nstate_dir = \"s\"\n{USER}"),
    )
    .unwrap();
    let ran = run_in(dir.path(), &["check"], "");
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.err.contains("no [[mount]]"), "{ran:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_123pan_does_not_take_is_answered_with_what_to_compare() {
    let cloud = Cloud::start(options()).await.unwrap();
    cloud.add_file("/films/a.mkv", "film");
    cloud.enable_direct("/films");
    cloud.settings().direct_auth = dav123::sim::DirectAuth::Decoded;
    let locked = cloud.add_share(
        &["/films"],
        dav123::sim::ShareOptions {
            password: Some("x1y2".into()),
            anonymous: true,
            ..Default::default()
        },
    );
    let line = format!("4:{}/films/a.mkv", cloud.direct_base());
    let away = account(&cloud, "/a", "").replace(cloud.base().as_str(), "http://127.0.0.1:9");
    for (mount, says) in [
        (
            account(&cloud, "/a", "").replace("demo-password", "wrong"),
            "password",
        ),
        (account(&cloud, "/a", "root_id = 999999999"), "list: "),
        (away, "may it reach that host? Through a proxy: set outbound."),
        (
            share(&cloud, "/s", &locked, "share_password = \"nope\""),
            "compare share_key and share_password",
        ),
        (
            links(&cloud, "/l", "private_key = \"wrong\"", &line),
            "compare uid and private_key with the direct-link page",
        ),
    ] {
        let dir = tempfile::TempDir::new().unwrap();
        std::fs::write(dir.path().join("dav.toml"), head(dir.path()) + &mount).unwrap();
        let ran = checked(dir.path()).await;
        assert!(ran.out.contains(says), "{says}: {ran:?}");
        assert!(
            ran.out.starts_with("FAIL ") || ran.out.starts_with("warn "),
            "{ran:?}"
        );
    }
}

//! The commands that end by themselves: check, sign, passwd; and what a wrong configuration is told.

use std::path::{Path, PathBuf};

use dav123::sim::{Cloud, RefererRule, Risk, ShareOptions};
use serde_json::Value;

use crate::running::pem;
use crate::world::{Ran, account, head, links, options, run, run_in, share};

struct Setup {
    cloud: Cloud,
    dir: tempfile::TempDir,
}

/// A cloud with something in it, and a folder; nothing runs yet.
async fn setup() -> Setup {
    let cloud = Cloud::start(options()).await.unwrap();
    cloud.add_file("/films/a.mkv", "film");
    cloud.add_file("/note.txt", "note");
    cloud.enable_direct("/films");
    Setup {
        cloud,
        dir: tempfile::TempDir::new().unwrap(),
    }
}

impl Setup {
    fn write(&self, mounts: &str) -> PathBuf {
        let file = self.dir.path().join("dav.toml");
        std::fs::write(&file, head(self.dir.path()) + mounts).unwrap();
        file
    }

    async fn check(&self, mounts: &str, more: &[&str]) -> Ran {
        checked(&self.write(mounts), more).await
    }

    /// The same with lines of `[server]`.
    async fn check_with(&self, server: &str, mounts: &str) -> Ran {
        let file = self.write(mounts);
        let text = std::fs::read_to_string(&file).unwrap();
        let text = text.replacen("[server]\n", &format!("[server]\n{server}"), 1);
        std::fs::write(&file, text).unwrap();
        checked(&file, &[]).await
    }

    fn all_kinds(&self) -> String {
        let key = self.cloud.add_share(
            &["/films"],
            ShareOptions {
                anonymous: true,
                ..ShareOptions::default()
            },
        );
        let line = format!("4:{}/films/a.mkv", self.cloud.direct_base());
        account(&self.cloud, "/drive", "")
            + &share(&self.cloud, "/shared", &key, "strategy = \"proxy\"")
            + &links(
                &self.cloud,
                "/links",
                "private_key = \"direct-private-key\"",
                &line,
            )
    }
}

/// Runs it apart from the threads of the cloud.
async fn checked(file: &Path, more: &[&str]) -> Ran {
    let file = file.display().to_string();
    let mut arguments = vec!["check".to_owned(), "--config".to_owned(), file];
    arguments.extend(more.iter().map(|a| (*a).to_owned()));
    tokio::task::spawn_blocking(move || {
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        run(&arguments, "")
    })
    .await
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn check_prints_a_line_for_each_mount_and_ends_with_0_when_all_are_well() {
    let setup = setup().await;
    let ran = setup.check(&setup.all_kinds(), &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines.len(), 3, "{ran:?}");
    for (line, parts) in lines.iter().zip([
        [
            "/drive",
            "account",
            "redirect",
            "2 entries",
            "2048 GiB",
            "sign-in",
            "link",
        ],
        ["/shared", "share", "proxy", "1 entry", "sign-in", "list", "link"],
        [
            "/links",
            "direct-link",
            "redirect",
            "1 entry",
            "list",
            "link",
            "ms",
        ],
    ]) {
        assert!(line.starts_with("ok "), "{line}");
        for part in parts {
            assert!(line.contains(part), "{part}: {line}");
        }
    }
    assert_eq!(setup.cloud.counters().get("sign_in"), 1);
    // The token is kept for the server, or for the next check.
    setup.check(&account(&setup.cloud, "/drive", ""), &[]).await;
    assert_eq!(setup.cloud.counters().get("sign_in"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_warns_of_direct_links_that_everybody_may_use() {
    let setup = setup().await;
    let warns = |ran: &Ran| {
        ran.out
            .lines()
            .filter(|line| line.contains("server.anonymous"))
            .count()
    };
    let mounts = setup.all_kinds();
    let ran = setup.check(&mounts, &[]).await;
    assert_eq!(warns(&ran), 0, "{ran:?}");
    let ran = setup.check_with("anonymous = \"read-only\"\n", &mounts).await;
    assert_eq!((warns(&ran), ran.code), (1, 0), "{ran:?}");
    assert!(
        ran.out.contains("warn  /links  ") && !ran.out.contains('\x1b'),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn check_warns_of_a_proxy_url_without_tls_under_https() {
    let setup = setup().await;
    let (certificate, key) = (pem("cert.pem"), pem("key.pem"));
    let tls = format!("tls_cert = {certificate:?}\ntls_key = {key:?}\n");
    let warned = async |server: &str, scheme: &str, strategy: &str| {
        let proxy = format!(
            "strategy = \"{strategy}\"\nproxy_url = \"{scheme}://proxy.example\"\nproxy_secret = \"key-of-the-proxy\""
        );
        let ran = setup
            .check_with(server, &account(&setup.cloud, "/drive", &proxy))
            .await;
        assert_eq!(ran.code, 0, "{ran:?}");
        ran.out.contains("warn  /drive  ")
    };
    assert!(warned(&tls, "http", "proxy-url").await);
    assert!(!warned(&tls, "https", "proxy-url").await);
    assert!(!warned(&tls, "http", "redirect").await);
    assert!(!warned("", "http", "proxy-url").await);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_names_what_fails_and_ends_with_1() {
    let setup = setup().await;
    let wrong = account(&setup.cloud, "/drive", "").replace("demo-password", "not-the-password");
    let ran = setup
        .check(&(wrong + &share(&setup.cloud, "/shared", "none-None", "")), &[])
        .await;
    assert_eq!(ran.code, 1, "{ran:?}");
    let lines: Vec<&str> = ran.out.lines().collect();
    assert!(
        lines[0].starts_with("FAIL /drive account: ") && lines[0].contains("password"),
        "{ran:?}"
    );
    assert!(
        lines[1].starts_with("FAIL /shared share: ") && lines[1].contains("ended"),
        "{ran:?}"
    );
    assert!(!format!("{ran:?}").contains("not-the-password"));
    setup.cloud.settings().risk = Risk::Login;
    let ran = setup.check(&account(&setup.cloud, "/drive", ""), &[]).await;
    assert_eq!(ran.code, 1);
    assert!(
        ran.out.contains("短信验证码") && ran.out.contains("web page"),
        "{ran:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn check_json_is_an_array_of_objects() {
    let setup = setup().await;
    let mounts = setup.all_kinds() + &share(&setup.cloud, "/gone", "none-None", "");
    let ran = setup.check(&mounts, &["--json"]).await;
    assert_eq!(ran.code, 1);
    let found: Value = serde_json::from_str(&ran.out).unwrap();
    let found = found.as_array().unwrap();
    assert_eq!(found.len(), 4);
    assert_eq!(found[0]["mount"], "/drive");
    assert_eq!(found[0]["kind"], "account");
    assert_eq!(found[0]["ok"], true);
    assert_eq!(found[0]["entries"], 2);
    assert_eq!(found[0]["quota"]["used"], 8);
    assert!(found[0]["list_ms"].is_u64() && found[0]["link_ms"].is_u64());
    assert_eq!(found[3]["ok"], false);
    assert_eq!(found[3]["errors"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn check_says_when_a_redirect_would_be_refused() {
    let setup = setup().await;
    setup.cloud.settings().referer = RefererRule::Outer;
    let ran = setup.check(&account(&setup.cloud, "/drive", ""), &[]).await;
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(ran.out.starts_with("warn "), "{ran:?}");
    assert!(
        ran.out.contains("redirect would be refused") && ran.out.contains("Referer"),
        "{ran:?}"
    );
    let proxied = account(&setup.cloud, "/drive", "strategy = \"proxy\"");
    let ran = setup.check(&proxied, &[]).await;
    assert!(ran.out.starts_with("ok "), "{ran:?}");
}

#[test]
fn a_wrong_configuration_names_file_line_and_key_and_ends_with_2() {
    let dir = tempfile::TempDir::new().unwrap();
    let user = "[[user]]\nname = \"me\"\npassword = \"p\"\n";
    for (text, says) in [
        (
            "[server]\nlisen = \"x\"\n".to_owned() + user,
            "dav.toml:2: server.lisen",
        ),
        (
            "[server]\nlisten = 8123\n".to_owned() + user,
            "dav.toml:2: server.listen",
        ),
        (
            "[cache]\nlist_ttl = \"soon\"\n".to_owned() + user,
            "dav.toml:2: cache.list_ttl",
        ),
        (
            "[upload]\nparts = 0\n".to_owned() + user,
            "dav.toml:2: upload.parts",
        ),
        (String::new(), "user"),
        (
            format!("{user}[[mount]]\npath = \"/a\"\nkind = \"acount\"\n"),
            "dav.toml:6:",
        ),
        (
            format!(
                "{user}[[mount]]\npath = \"/a\"\nkind = \"account\"\nstrategy = \"fast\"\nusername = \"u\"\npassword = \"p\"\n"
            ),
            "dav.toml:7:",
        ),
        (format!("{user}[mount\n"), "dav.toml:4"),
    ] {
        std::fs::write(dir.path().join("dav.toml"), &text).unwrap();
        for command in ["check", "serve"] {
            // Without --config it is ./dav.toml.
            let ran = run_in(dir.path(), &[command], "");
            assert_eq!(ran.code, 2, "{command} {text}: {ran:?}");
            assert!(ran.err.contains(says), "{says}: {}", ran.err);
            assert!(ran.out.is_empty(), "{ran:?}");
        }
    }
    std::fs::remove_file(dir.path().join("dav.toml")).unwrap();
    let ran = run_in(dir.path(), &["serve"], "");
    assert_eq!(ran.code, 2);
    assert!(ran.err.contains("dav.toml"), "{ran:?}");
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let dir = tempfile::TempDir::new().unwrap();
    let text = "[server]\nlisen = 1\nprefix = \"dav\"\n[[user]]\nname = \"me\"\npasword = \"p\"\n";
    std::fs::write(dir.path().join("dav.toml"), text).unwrap();
    let ran = run_in(dir.path(), &["check"], "");
    for line in [2, 3, 6] {
        assert!(
            ran.err.contains(&format!("dav.toml:{line}: ")),
            "{line}: {}",
            ran.err
        );
    }
}

#[test]
fn sign_prints_the_signed_link_alone() {
    let url = "https://vip.123pan.cn/1812000499/a/film.mkv";
    let sign = |key: &str| {
        run(
            &[
                "sign",
                url,
                "--uid",
                "1812000499",
                "--private-key",
                key,
                "--valid",
                "1h",
            ],
            "",
        )
    };
    let ran = sign("k");
    assert_eq!(ran.code, 0, "{ran:?}");
    let key = ran
        .out
        .trim_end()
        .strip_prefix(&format!("{url}?auth_key="))
        .unwrap();
    let parts: Vec<&str> = key.split('-').collect();
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    assert!((now + 3590..=now + 3600).contains(&parts[0].parse().unwrap()));
    use md5::Digest;
    let text = format!("/1812000499/a/film.mkv-{}-{}-1812000499-k", parts[0], parts[1]);
    let wanted: String = md5::Md5::digest(text)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    assert_eq!(parts[2..], ["1812000499", &wanted]);
    assert_eq!(sign(" ").code, 2);
    assert_eq!(run(&["sign", url], "").code, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn passwd_prints_a_line_that_signs_in() {
    let ran = run(&["passwd"], "my pass wörd\n");
    assert_eq!(ran.code, 0, "{ran:?}");
    let line = ran.out.trim_end();
    assert!(line.starts_with("password_hash = \"$argon2id$"), "{line}");
    assert!(!ran.out.contains("wörd"));
    let dir = tempfile::TempDir::new().unwrap();
    let config: PathBuf = dir.path().join("dav.toml");
    let state = dir.path().join("state");
    let text = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nstate_dir = \"{}\"\n[[user]]\nname = \"me\"\n{line}\n",
        state.display()
    );
    std::fs::write(&config, text).unwrap();
    let server = crate::world::Server::serve(Path::new(&config));
    let client = crate::world::client();
    for (password, status) in [("my pass wörd", 200), ("my pass", 401)] {
        let answer = client
            .get(&server.url)
            .basic_auth("me", Some(password))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), status, "{password}");
    }
    assert_ne!(run(&["passwd"], "\n").code, 0);
    // With a name on the second line there are lines for Digest too, and all of them together are still one key.
    let ran = run(&["passwd"], "my pass wörd\nme\n");
    assert_eq!(ran.code, 0, "{ran:?}");
    let count = |text: &str| ran.out.lines().filter(|line| line.starts_with(text)).count();
    assert_eq!(count("password_hash = \"$argon2id$"), 1, "{ran:?}");
    assert_eq!(count("#password_hash = \"digest-md5:"), 1);
    assert_eq!(count("#password_hash = \"digest-sha256:"), 1);
    assert_eq!(count("#") + 1, ran.out.lines().count());
}

#[test]
fn help_and_version_are_everywhere() {
    for command in ["serve", "demo", "check", "sign", "passwd"] {
        for flag in ["--help", "--version"] {
            let ran = run(&[command, flag], "");
            assert_eq!(ran.code, 0, "{command} {flag}");
            assert!(!ran.out.is_empty());
        }
        assert!(
            run(&[command, "--help"], "").out.contains("--log-level"),
            "{command}"
        );
    }
    assert_eq!(run(&["serve", "--log-level", "loud"], "").code, 2);
}

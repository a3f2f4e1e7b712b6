//! What right configurations become; the contract's examples.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::ExposeSecret;

use super::file::parse_in;
use super::*;

mod example;
mod wrong;

const USER: &str = "[[user]]\nname = \"me\"\npassword = \"secret\"\n";

fn environment(name: &str) -> Option<String> {
    match name {
        "HOME" => Some("/home/me".into()),
        "DAV_PASSWORD" => Some("from-environment".into()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

fn read(text: &str) -> Result<Config, Error> {
    parse_in(text, Path::new("dav.toml"), &environment).map(|(config, _)| config)
}

const CONTRACT: &str = r#"
[server]
listen = ["127.0.0.1:8123"]       # one string or a list; default this
prefix = "/"                      # the tree's URL path, e.g. "/dav"
tls_cert = "cert.pem"             # both or neither; PEM; re-read on SIGHUP
tls_key = "key.pem"
state_dir = "state"               # tokens, dead properties, pending uploads; default $XDG_STATE_HOME/dav123
shutdown_grace = "30s"

[cache]
list_ttl = "5m"                   # how long a folder listing is served without asking again; "0s" always asks
list_entries = 1000000            # entries kept over all folders
blocks = "32MiB"                  # memory for beginnings and ends of streamed files

[upload]
mode = "through"                  # "through": a PUT is answered when 123pan has the file
spool_dir = "state/spool"
spool_limit = "50GiB"             # a PUT that would not fit gets 507, nothing half-written
parts = 3                         # parts of one file uploaded at once

[[user]]                          # at least one, unless server.anonymous = "read-only" | "read-write"
name = "me"
password = "secret"               # or password_env / password_file / password_hash
root = "/"                        # the subtree this user sees as its root
access = "read-write"             # or "read-only"

[[mount]]
path = "/drive"                   # where in the tree; unique; nesting is allowed; "/" too
kind = "account"                  # account | share | direct-link | open
strategy = "redirect"             # redirect (default) | proxy | proxy-url | auto
access = "read-write"             # or "read-only"
username = "13800000000"          # phone number or e-mail
password = "…"                    # or password_env / password_file
access_token = "…"                # instead of, or beside, a password; or access_token_env / _file
root_id = 0                       # folder shown as the mount's root; the last number in the web page's URL
delete = "trash"                  # or "permanent"

[[mount]]
path = "/shared-films"
kind = "share"
share_key = "abcd-1234"           # a whole share link is accepted too
share_password = "x1y2"           # optional
root_id = 0                       # 0: everything in the share
account = "/drive"                # optional: sign share requests with this mount's token

[[mount]]
path = "/links"
kind = "direct-link"
uid = 1812000499
private_key = "…"                 # or _env / _file; without it links are handed on unsigned
valid_for = "30m"
links = """                       # or links_file = "links.txt"
films:
  127451136:1694101621:https://vip.123pan.cn/1812000499/a/film.mkv
"""

[[mount]]
path = "/official"
kind = "open"                     # 123pan's Open platform
client_id = "…"
client_secret = "…"               # or _env / _file; or access_token alone
root_id = 0

strategy = "proxy-url"
proxy_url = "https://worker.example/"  # for proxy-url; see reference/peers.md for the URL and its signature
proxy_secret = "…"                     # HMAC key of that signature; or _env / _file
proxy_connections = 1                  # proxy: parallel range requests for one download, 1 to 16
proxy_window = "16MiB"                 # proxy: bytes held in memory for one download at the most
auto_proxy_below = "1MiB"              # auto: smaller files are always streamed; "0B" switches it off
budget = { bytes = "200GiB", per = "day" }   # optional; hour, day or month
[[mount.client]]                       # the first that matches decides, else the mount's own strategy
user_agent = "Microsoft-WebDAV-MiniRedir*"
strategy = "proxy"
[mount.endpoints]
login = "https://login.123pan.com/api/"     # …/user/sign_in
api = "https://www.123pan.cn/b/api//"       # …/file/list/new, …/share/get
open = "https://open-api.123pan.com"        # …/api/v1/access_token
origin = "https://yun.123pan.cn"            # what the Origin and Referer headers say
rate = 1.0                                  # factor on the built-in pace of calls; tests use 100
"#;

#[test]
fn the_examples_of_the_contract_are_read() {
    let config = read(CONTRACT).unwrap();
    assert_eq!(config.server.listen, ["127.0.0.1:8123"]);
    assert_eq!(config.server.prefix, "");
    assert_eq!(config.server.tls.unwrap().cert, PathBuf::from("cert.pem"));
    assert_eq!(config.server.state_dir, PathBuf::from("state"));
    assert_eq!(config.cache.list_ttl, Duration::from_secs(300));
    assert_eq!(config.cache.stale, Duration::from_secs(3600));
    assert!(config.cache.warm.is_empty());
    assert_eq!(config.cache.blocks, 32 << 20);
    assert_eq!(
        (config.upload.mode, config.upload.spool_limit),
        (UploadMode::Through, 50 << 30)
    );
    assert!(matches!(&config.users[0].password, Password::Plain(p) if p.expose_secret() == "secret"));
    let kinds: Vec<&str> = config.mounts.iter().map(|mount| mount.source.kind()).collect();
    assert_eq!(kinds, ["account", "share", "direct-link", "open"]);
    let Source::DirectLink(links) = &config.mounts[2].source else {
        panic!()
    };
    assert_eq!(links.uid, Some(1_812_000_499));
    assert!(
        links
            .links
            .expose_secret()
            .contains("\n  127451136:1694101621:https://")
    );
    let open = &config.mounts[3];
    assert_eq!(open.delivery.proxy_url.as_deref(), Some("https://worker.example"));
    assert_eq!(
        open.delivery.budget,
        Some(Budget {
            bytes: 200 << 30,
            per: Period::Day
        })
    );
    let rule = &open.delivery.clients[0];
    assert!(
        rule.user_agent.matches("microsoft-webdav-miniredir/10.0"),
        "case does not matter"
    );
    assert_eq!(rule.strategy, Strategy::Proxy);
    let Source::Open(source) = &open.source else {
        panic!()
    };
    assert_eq!(source.endpoints.login, "https://login.123pan.com/api");
    assert_eq!(source.endpoints.api, ["https://www.123pan.cn/b/api"]);
}

#[test]
fn an_open_mount_may_ask_for_paid_links() {
    let open = |more: &str| {
        let text = format!("{USER}[[mount]]\npath = \"/\"\nkind = \"open\"\naccess_token = \"t\"\n{more}");
        match &read(&text).unwrap().mounts[0].source {
            Source::Open(open) => open.clone(),
            _ => panic!(),
        }
    };
    assert!(open("").paid_links.is_none() && open("link = \"download\"").paid_links.is_none());
    assert_eq!(open("delete = \"permanent\"").delete, Delete::Permanent);
    let paid = open("link = \"direct\"\nprivate_key = \"k\"\nvalid_for = \"2h\"")
        .paid_links
        .unwrap();
    assert_eq!(paid.valid_for, Duration::from_secs(7200));
    assert!(paid.private_key.is_some());
}

#[test]
fn what_is_absent_has_the_default_of_the_contract() {
    let text = format!("{USER}[[mount]]\npath = \"/\"\nkind = \"account\"\naccess_token = \"t\"\n");
    let config = read(&text).unwrap();
    assert_eq!(config.server.listen, ["127.0.0.1:8123"]);
    assert_eq!(
        config.server.state_dir,
        PathBuf::from("/home/me/.local/state/dav123")
    );
    assert_eq!(config.server.shutdown_grace, Duration::from_secs(30));
    assert_eq!(
        config.upload.spool_dir,
        PathBuf::from("/home/me/.local/state/dav123/spool")
    );
    assert_eq!((config.cache.list_entries, config.upload.parts), (1_000_000, 3));
    assert_eq!(config.cache.blocks, 64 << 20);
    let mount = &config.mounts[0];
    assert_eq!((mount.path.as_str(), mount.access), ("/", Access::ReadWrite));
    assert_eq!(mount.delivery.strategy, Strategy::Redirect);
    assert_eq!(
        (mount.delivery.proxy_window, mount.delivery.auto_proxy_below),
        (16 << 20, 1 << 20)
    );
    let Source::Account(account) = &mount.source else {
        panic!()
    };
    assert_eq!(account.endpoints, Endpoints::default());
    assert_eq!(account.delete, Delete::Trash);
}

#[test]
fn an_account_that_is_signed_in_to_by_a_person_needs_no_password() {
    for more in ["", "username = \"13800000000\"\n"] {
        let text = format!("{USER}[[mount]]\npath = \"/\"\nkind = \"account\"\n{more}");
        let config = read(&text).unwrap();
        let Source::Account(account) = &config.mounts[0].source else {
            panic!("an account")
        };
        assert!(account.password.is_none() && account.access_token.is_none());
    }
    // Elsewhere is another account.
    let elsewhere = "[mount.endpoints]\nlogin = \"http://127.0.0.1:1/api\"\n";
    let text = format!(
        "{USER}[[mount]]\npath = \"/a\"\nkind = \"account\"\n[[mount]]\npath = \"/b\"\nkind = \"account\"\n{elsewhere}"
    );
    assert!(read(&text).is_ok());
}

#[test]
fn xdg_state_home_is_where_state_goes_when_it_is_set() {
    let with_xdg = |name: &str| (name == "XDG_STATE_HOME").then(|| "/var/state".to_owned());
    let (config, _) = parse_in(USER, Path::new("dav.toml"), &with_xdg).unwrap();
    assert_eq!(config.server.state_dir, PathBuf::from("/var/state/dav123"));
    let error = parse_in(USER, Path::new("dav.toml"), &|_| None)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("dav.toml:1: server.state_dir: missing; without HOME"),
        "{error}"
    );
}

#[test]
fn paths_are_relative_to_the_file_and_one_newline_is_cut_from_a_secret() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("pw"), " s3cret \r\n").unwrap();
    std::fs::write(dir.path().join("links.txt"), "http://h/x\n").unwrap();
    let text = "[server]\nstate_dir = \"s\"\n[upload]\nspool_dir = \"t/u\"\n\
        [[user]]\nname = \"a\"\npassword_file = \"pw\"\n\
        [[user]]\nname = \"b\"\npassword_env = \"DAV_PASSWORD\"\n\
        [[mount]]\npath = \"/l\"\nkind = \"direct-link\"\nlinks_file = \"links.txt\"\n";
    let path = dir.path().join("dav.toml");
    let (config, holds_secret) = parse_in(text, &path, &environment).unwrap();
    assert!(!holds_secret, "the file itself holds none");
    assert_eq!(config.server.state_dir, dir.path().join("s"));
    assert_eq!(config.upload.spool_dir, dir.path().join("t/u"));
    assert!(matches!(&config.users[0].password, Password::Plain(p) if p.expose_secret() == " s3cret "));
    assert!(
        matches!(&config.users[1].password, Password::Plain(p) if p.expose_secret() == "from-environment")
    );
    let Source::DirectLink(links) = &config.mounts[0].source else {
        panic!()
    };
    assert_eq!(links.links.expose_secret(), "http://h/x\n");
    assert_eq!(
        links.links_from,
        dir.path().join("links.txt").display().to_string()
    );
}

#[test]
fn the_share_password_of_the_file_wins_over_that_of_the_link() {
    let password = |more: &str| {
        let link = "share_key = \"https://www.123pan.com/s/abcd-EfGh.html?pwd=link\"";
        let text = format!("{USER}[[mount]]\npath = \"/s/t\"\nkind = \"share\"\n{link}\n{more}");
        let (config, holds_secret) = parse_in(&text, Path::new("dav.toml"), &environment).unwrap();
        assert!(holds_secret);
        let Source::Share(share) = &config.mounts[0].source else {
            panic!()
        };
        assert_eq!(share.key, "abcd-EfGh");
        assert_eq!(config.mounts[0].access, Access::ReadOnly);
        share.password.as_ref().unwrap().expose_secret().to_owned()
    };
    assert_eq!(password(""), "link");
    assert_eq!(password("share_password = \"file\"\n"), "file");
}

#[test]
fn no_secret_is_in_the_debug_output() {
    let text = CONTRACT.replace("client_id = \"…\"", "client_id = \"id\"");
    let text = text
        .replace("\"…\"", "\"hush-hush\"")
        .replace("\"secret\"", "\"hush-hush\"");
    let shown = format!("{:?}", read(&text.replace("x1y2", "hush-hush")).unwrap());
    assert!(!shown.contains("hush-hush"), "{shown}");
    assert!(
        !shown.contains("vip.123pan.cn"),
        "an unsigned link costs its owner money: {shown}"
    );
}

#[test]
fn a_proxy_alone_needs_neither_user_nor_mount() {
    let config =
        read("[proxy]\norigin = \"https://home.example:8123/\"\nsecret_env = \"DAV_PASSWORD\"\n").unwrap();
    assert!(config.only_proxy());
    let proxy = config.proxy.unwrap();
    assert_eq!(proxy.origin, "https://home.example:8123");
    assert_eq!(proxy.secret.expose_secret(), "from-environment");
    // Beside mounts it is one more thing, and somebody must be able to sign in.
    let mount = "[[mount]]\npath = \"/d\"\nkind = \"account\"\naccess_token = \"t\"\n";
    let both = format!("[proxy]\norigin = \"http://h\"\nsecret = \"s\"\n{mount}");
    assert!(read(&both).unwrap_err().to_string().contains("user: missing"));
    assert!(!read(&format!("{USER}{both}")).unwrap().only_proxy());
}

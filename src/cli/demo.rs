//! `dav123 demo`: a simulated 123pan on a loopback port, served under every kind of mount.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::config::{
    Access, Account, Cache, Config, Delete, Delivery, DirectLink, Endpoints, Mount, Open, Password, Server,
    Share, Source, Strategy, Tls, Upload, UploadMode, User,
};

use crate::private;
use crate::sim::{self, Cloud, DirectAuth, SEED};
use crate::tree::TreePath;

use super::certificate;
use super::paste::{Paste, pasteables};
use super::serve::{announce, until_stopped};
use super::{Failure, say};

/// Name of the one user.
const USER: &str = "demo";
/// The account mount that is streamed through dav123.
const PROXIED: &str = "drive-proxy";
/// A film of the seeded drive.
const FILM: &str = "/电影/测试影片 (2026)/测试影片.mp4";
/// Letters of a password that can be read aloud: none that look alike.
const LETTERS: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";

/// Arguments of `demo`.
#[derive(Debug, Args)]
pub struct Options {
    /// Where to serve
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:8123")]
    listen: String,
    /// Where the simulated cloud listens; other 123pan clients can be pointed at it
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0")]
    cloud: std::net::SocketAddr,
    /// Keep password, tokens and uploads here; without it a temporary folder is used and removed
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Serve HTTPS, with a certificate made for it and signed by nobody else
    #[arg(long)]
    tls: bool,
}

/// What the simulated cloud knows and a client needs.
#[derive(Debug)]
struct Known {
    /// `http://127.0.0.1:PORT`
    base: String,
    /// Phone number of the account.
    account: String,
    password: String,
    uid: u64,
    client_id: String,
    client_secret: String,
    /// Key of the share that needs no password.
    share_key: String,
    /// Key and password of the one that does, and that is only downloaded from with an account.
    locked_share: (String, String),
    /// Key of the direct links.
    private_key: String,
    /// The list of direct links, as a direct-link mount takes it.
    links: String,
    /// A film of the drive, percent-encoded, with a slash before it.
    film: String,
}

/// Starts the cloud and serves it until a signal.
pub async fn run(options: Options) -> Result<ExitCode, Failure> {
    let folder = Folder::open(options.dir)?;
    let password = folder.password()?;
    // The cloud lives as long as its handle.
    let (_cloud, known) = start_cloud(options.cloud).await?;
    let tls = options
        .tls
        .then(|| certificate::make(&folder.path, &options.listen));
    let tls = tls.transpose()?;
    let cert = tls.as_ref().map(|tls| tls.cert.display().to_string());
    let config = config(&known, options.listen, tls, &folder.path, &password);
    let ready = |urls: &[String]| {
        announce(urls);
        say(&introduction(&known));
        if let Some(url) = urls.first() {
            let film = format!("drive{}", known.film);
            let (user, password, film) = (USER, password.as_str(), Some(film.as_str()));
            say(&format!(
                "\n{}",
                pasteables(&Paste {
                    url,
                    user,
                    password,
                    proxied: PROXIED,
                    film,
                    cert: cert.as_deref(),
                })
            ));
        }
    };
    until_stopped(config, ready).await?;
    Ok(ExitCode::SUCCESS)
}

/// Starts the simulated cloud, and shares a folder of it.
async fn start_cloud(listen: std::net::SocketAddr) -> Result<(Cloud, Known), Failure> {
    let mut options = sim::Options {
        listen,
        ..sim::Options::demo()
    };
    // The owner of direct links has switched the authentication on, as everybody should.
    options.settings.direct_auth = DirectAuth::Decoded;
    let cloud = Cloud::start(options)
        .await
        .with_context(|| format!("the simulated cloud cannot listen on {listen}"))?;
    let options = cloud.options();
    let known = Known {
        base: cloud.base(),
        account: options.phone.clone(),
        password: options.password.clone(),
        uid: options.uid.unsigned_abs(),
        client_id: options.client_id.clone(),
        client_secret: options.client_secret.clone(),
        share_key: SEED.open_share.to_owned(),
        locked_share: (SEED.locked_share.to_owned(), SEED.share_password.to_owned()),
        private_key: cloud.settings().direct_key.clone(),
        links: links(&cloud.direct_base()),
        film: TreePath::from_decoded(FILM).unwrap_or_default().encoded(),
    };
    Ok((cloud, known))
}

/// The list of direct links, with and without size.
fn links(base: &str) -> String {
    let folder = TreePath::from_decoded(SEED.direct_folder).unwrap_or_default();
    let mut list = String::from("links:\n");
    for name in SEED.direct_files {
        list.push_str(&format!("  {base}{}\n", folder.child(name).encoded()));
    }
    list
}

/// The line for the cloud, then what it knows.
fn introduction(known: &Known) -> String {
    let Known {
        base,
        account,
        password,
        uid,
        client_id,
        client_secret,
        share_key,
        locked_share: (locked, share_password),
        private_key,
        links,
        ..
    } = known;
    let mut text = format!(
        "dav123: simulated 123pan at {base}
  other clients: login = {base}/api   api = {base}/b/api   open = {base}/open
  account {account}   password {password}   uid {uid}
  share {share_key}   share {locked} with the password {share_password}
  client id {client_id}   client secret {client_secret}
  direct links, private key {private_key}:"
    );
    for line in links.lines() {
        text.push_str("\n    ");
        text.push_str(line);
    }
    text
}

/// The configuration of the demonstration: an account twice, two shares, direct links, the Open platform.
fn config(known: &Known, listen: String, tls: Option<Tls>, dir: &Path, password: &str) -> Config {
    let endpoints = Endpoints {
        login: format!("{}/api", known.base),
        api: vec![format!("{}/b/api", known.base)],
        open: format!("{}/open", known.base),
        origin: known.base.clone(),
        // The cloud asks for no pace.
        rate: 100.0,
        outbound: None,
    };
    let account = Account {
        username: Some(known.account.clone()),
        password: Some(known.password.clone().into()),
        access_token: None,
        root_id: 0,
        delete: Delete::Trash,
        endpoints: endpoints.clone(),
    };
    let share = |key: &str, password: Option<&str>, account: Option<&str>| {
        Source::Share(Share {
            key: key.to_owned(),
            password: password.map(Into::into),
            root_id: 0,
            account: account.map(str::to_owned),
            endpoints: endpoints.clone(),
        })
    };
    let (locked, share_password) = &known.locked_share;
    let open = Open {
        client: Some((known.client_id.clone(), known.client_secret.clone().into())),
        access_token: None,
        root_id: 0,
        delete: Delete::Trash,
        paid_links: None,
        endpoints: endpoints.clone(),
    };
    let links = DirectLink {
        uid: Some(known.uid),
        private_key: Some(known.private_key.clone().into()),
        valid_for: Duration::from_secs(30 * 60),
        links: known.links.clone().into(),
        links_from: "links".into(),
    };
    let mount = |name: &str, source, strategy| Mount {
        path: format!("/{name}"),
        access: if matches!(source, Source::Account(_) | Source::Open(_)) {
            Access::ReadWrite
        } else {
            Access::ReadOnly
        },
        source,
        delivery: Delivery {
            strategy,
            ..Delivery::default()
        },
    };
    Config {
        server: Server {
            listen: vec![listen],
            prefix: String::new(),
            tls,
            state_dir: dir.join("state"),
            shutdown_grace: Duration::from_secs(5),
            anonymous: None,
            trusted_proxies: Vec::new(),
        },
        cache: Cache {
            list_ttl: Duration::from_secs(300),
            stale: Duration::from_secs(3600),
            warm: Vec::new(),
            list_entries: 1_000_000,
            blocks: 64 << 20,
        },
        upload: Upload {
            mode: UploadMode::Through,
            spool_dir: dir.join("spool"),
            spool_limit: 50 << 30,
            parts: 3,
        },
        users: vec![User {
            name: USER.into(),
            password: Password::Plain(password.into()),
            root: "/".into(),
            access: Access::ReadWrite,
        }],
        proxy: None,
        mounts: vec![
            mount("drive", Source::Account(account.clone()), Strategy::Redirect),
            mount(PROXIED, Source::Account(account), Strategy::Proxy),
            mount("shared", share(&known.share_key, None, None), Strategy::Redirect),
            mount(
                "shared-locked",
                share(locked, Some(share_password), Some("/drive")),
                Strategy::Auto,
            ),
            mount("links", Source::DirectLink(links), Strategy::Redirect),
            mount("official", Source::Open(open), Strategy::Proxy),
        ],
    }
}

/// Where the demonstration keeps its things; removed at the end where nobody named it.
#[derive(Debug)]
struct Folder {
    path: PathBuf,
    keep: bool,
}

impl Folder {
    fn open(named: Option<PathBuf>) -> anyhow::Result<Self> {
        let keep = named.is_some();
        let temporary =
            || std::env::temp_dir().join(format!("dav123-demo-{}", uuid::Uuid::new_v4().simple()));
        let path = named.unwrap_or_else(temporary);
        private::folder(&path).with_context(|| format!("The folder {} cannot be made", path.display()))?;
        Ok(Self { path, keep })
    }

    /// The password kept here, else a new one.
    fn password(&self) -> anyhow::Result<String> {
        let file = self.path.join("demo-password");
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        if !kept.trim().is_empty() {
            return Ok(kept.trim().to_owned());
        }
        let mut bytes = [0u8; 10];
        getrandom::fill(&mut bytes)
            .map_err(|error| anyhow::anyhow!("No random password can be made: {error}"))?;
        let letter = |byte: u8| char::from(LETTERS[usize::from(byte) % LETTERS.len()]);
        let password: String = bytes.into_iter().map(letter).collect();
        if self.keep {
            private::write(&file, password.as_bytes())
                .with_context(|| format!("The file {} cannot be written", file.display()))?;
        }
        Ok(password)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if !self.keep {
            let _ = std::fs::remove_dir_all(&self.path);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn known() -> Known {
        Known {
            base: "http://127.0.0.1:4000".into(),
            account: "13800000000".into(),
            password: "demo-password".into(),
            uid: 1_812_000_499,
            client_id: "demo-client-id".into(),
            client_secret: "demo-client-secret".into(),
            share_key: "abcd-EfGh".into(),
            locked_share: ("ijkl-MnOp".into(), "x1y2".into()),
            private_key: "key".into(),
            links: "films:\n  http://127.0.0.1:4000/1812000499/a.mp4\n".into(),
            film: "/film.mp4".into(),
        }
    }

    #[test]
    fn the_demo_points_every_mount_at_its_cloud() {
        let config = config(&known(), "127.0.0.1:0".into(), None, Path::new("/d"), "pw");
        let mounts: Vec<_> = config
            .mounts
            .iter()
            .map(|m| (m.path.as_str(), m.source.kind(), m.delivery.strategy.name()))
            .collect();
        assert_eq!(
            mounts,
            [
                ("/drive", "account", "redirect"),
                ("/drive-proxy", "account", "proxy"),
                ("/shared", "share", "redirect"),
                ("/shared-locked", "share", "auto"),
                ("/links", "direct-link", "redirect"),
                ("/official", "open", "proxy"),
            ]
        );
        let Source::Share(share) = &config.mounts[2].source else {
            panic!()
        };
        assert_eq!(share.endpoints.api, ["http://127.0.0.1:4000/b/api"]);
        assert_eq!(share.endpoints.login, "http://127.0.0.1:4000/api");
        assert!(share.account.is_none(), "a share is read without an account");
    }

    #[test]
    fn one_line_names_the_cloud_and_those_below_say_what_it_knows() {
        let text = introduction(&known());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "dav123: simulated 123pan at http://127.0.0.1:4000");
        assert_eq!(text.matches("dav123: ").count(), 1);
        for known in [
            "13800000000",
            "demo-password",
            "abcd-EfGh",
            "x1y2",
            "demo-client-id",
            "1812000499/a.mp4",
        ] {
            assert!(text.contains(known), "{known}");
        }
    }

    #[test]
    fn a_named_folder_keeps_its_password_and_another_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        let named = || Folder::open(Some(dir.path().join("demo"))).unwrap();
        let first = named().password().unwrap();
        assert_eq!((named().password().unwrap(), first.len()), (first, 10));
        let temporary = Folder::open(None).unwrap();
        let path = temporary.path.clone();
        assert!(path.is_dir());
        drop(temporary);
        assert!(!path.exists());
    }
}

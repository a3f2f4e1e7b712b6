//! Two servers: an origin with strategy proxy-url, and the dav123 that is its proxy.

use std::sync::atomic::{AtomicU32, Ordering};

use base64::Engine;
use dav123::sim::{Cloud, Content};
use hmac::{Hmac, KeyInit, Mac};
use tempfile::TempDir;

use super::kind::Kind;
use super::{PASSWORD, Server, USER, World, header, options};

/// Bytes of the film.
pub const LEN: u64 = 3_000_001;
/// `/电影/a b.mkv` of the cloud.
pub const FILM: Content = Content::Pattern { seed: 7, len: LEN };
/// The secret of both.
pub const KEY: &str = "key-of-the-worker";

/// An origin, and its proxy.
pub struct Pair {
    /// The cloud and the origin, with strategy proxy-url on `/drive`.
    pub world: World,
    /// The proxy.
    pub proxy: Server,
    _dir: TempDir,
}

/// An address that is free: the origin must know the proxy's before that one starts, and the other way round. Its port is one
/// that the kernel gives to nobody (`ip_local_port_range` begins at 32768): between here and its use it stays free, however many
/// connections are made meanwhile.
pub fn free_address() -> String {
    const PORTS: std::ops::Range<u32> = 10_000..32_768;
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    // Other runs of tests beside this one begin elsewhere.
    let begin = std::process::id().wrapping_mul(97);
    loop {
        let next = begin.wrapping_add(TAKEN.fetch_add(1, Ordering::Relaxed));
        let port = PORTS.start + next % PORTS.len() as u32;
        let address = format!("127.0.0.1:{port}");
        if std::net::TcpListener::bind(&address).is_ok() {
            return address;
        }
    }
}

impl Pair {
    /// Both, over a cloud prepared by `fill`.
    pub async fn start(fill: impl FnOnce(&Cloud)) -> Self {
        Self::of(Kind::Account, fill).await
    }

    /// The same with a mount of a kind.
    pub async fn of(kind: Kind, fill: impl FnOnce(&Cloud)) -> Self {
        let address = free_address();
        let more =
            format!("strategy = \"proxy-url\"\nproxy_url = \"http://{address}\"\nproxy_secret = \"{KEY}\"");
        let world = World::start(
            options(),
            |cloud| {
                cloud.add_file("/电影/a b.mkv", FILM);
                fill(cloud);
            },
            |cloud| kind.mount(cloud, "/drive", &more),
        )
        .await;
        let dir = TempDir::new().unwrap();
        // For its metrics.
        let user = format!("[[user]]\nname = \"{USER}\"\npassword = \"{PASSWORD}\"\n");
        let proxy = serve_proxy(&dir, &address, &world.server.url, KEY, &user);
        Self {
            world,
            proxy,
            _dir: dir,
        }
    }

    /// The signed address that the origin sends a client to.
    pub async fn signed(&self, path: &str) -> String {
        let answer = self.world.get(path).await;
        assert_eq!(answer.status(), 302);
        assert_eq!(header(&answer, "x-dav123-delivery"), "proxy-url");
        header(&answer, "location")
    }

    /// What the proxy answers to an address, with more headers.
    pub async fn ask(&self, method: &str, url: &str, headers: &[(&str, &str)]) -> reqwest::Response {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.world.http.request(method, url);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.send().await.unwrap()
    }

    /// The answer of the proxy to a GET.
    pub async fn get(&self, url: &str) -> reqwest::Response {
        self.ask("GET", url, &[]).await
    }

    /// The proxy's metrics.
    pub async fn metrics(&self) -> String {
        let url = format!("{}.dav123/metrics", self.proxy.url);
        let asked = self.world.http.get(url).basic_auth(USER, Some(PASSWORD));
        asked.send().await.unwrap().text().await.unwrap()
    }

    /// An address signed by the test.
    pub fn sign(&self, path: &str, expires: &str, key: &str) -> String {
        let mut url = url::Url::parse(&self.proxy.url).unwrap();
        url.set_path(path);
        format!("{url}?sign={}", signature(path, expires, key))
    }
}

/// Serves `[proxy]` at an address, with more sections.
pub fn serve_proxy(dir: &TempDir, address: &str, origin: &str, key: &str, more: &str) -> Server {
    let config = dir.path().join("dav.toml");
    let state = dir.path().join("state");
    let text = format!(
        "[server]\nlisten = \"{address}\"\nstate_dir = \"{}\"\n[proxy]\norigin = \"{origin}\"\nsecret = \"{key}\"\n{more}",
        state.display()
    );
    std::fs::write(&config, text).unwrap();
    Server::serve(&config)
}

/// What stands behind `sign=`.
pub fn signature(path: &str, expires: &str, key: &str) -> String {
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(key.as_bytes()).unwrap();
    mac.update(format!("{path}:{expires}").as_bytes());
    let mac = base64::engine::general_purpose::URL_SAFE.encode(mac.finalize().into_bytes());
    format!("{mac}:{expires}")
}

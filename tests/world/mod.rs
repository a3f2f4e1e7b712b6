//! A simulated cloud, the built server in a process of its own, and a raw client. Everything on port 0.

pub mod kind;
pub mod pair;
#[cfg(target_os = "linux")]
pub mod proxy;
pub mod session;
pub mod worker;

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use dav123::sim::{Cloud, Content, Options};
use tempfile::{NamedTempFile, TempDir};

/// The user of the servers in tests.
pub const USER: &str = "me";
/// Its password.
pub const PASSWORD: &str = "secret-of-the-test-user";

/// A cloud and a server in front of it.
pub struct World {
    /// The cloud, in this process.
    pub cloud: Cloud,
    /// The server, in its own.
    pub server: Server,
    /// Where the configuration and the state are.
    pub dir: TempDir,
    /// Follows no redirect.
    pub http: reqwest::Client,
    /// Whose endpoints [`World::calls`] and [`World::fault`] mean: that of the first mount.
    pub kind: kind::Kind,
}

impl World {
    /// A cloud with the default (strict) options, not paced, prepared by `fill`, and a server with one account mount at
    /// `/drive`.
    pub async fn account(fill: impl FnOnce(&Cloud)) -> Self {
        Self::start(options(), fill, |cloud| account(cloud, "/drive", "")).await
    }

    /// A cloud prepared by `fill`, and a server with the mounts that `mounts` writes as TOML.
    pub async fn start(
        options: Options,
        fill: impl FnOnce(&Cloud),
        mounts: impl FnOnce(&Cloud) -> String,
    ) -> Self {
        Self::configured(options, fill, |cloud, dir| {
            format!("{}{}", head(dir), mounts(cloud))
        })
        .await
    }

    /// A cloud prepared by `fill`, and a server with the whole configuration that `config` writes.
    pub async fn configured(
        options: Options,
        fill: impl FnOnce(&Cloud),
        config: impl FnOnce(&Cloud, &Path) -> String,
    ) -> Self {
        let cloud = Cloud::start(options).await.unwrap();
        fill(&cloud);
        let dir = TempDir::new().unwrap();
        let text = config(&cloud, dir.path());
        let kind = kind::Kind::of_first(&text);
        let config = dir.path().join("dav.toml");
        std::fs::write(&config, text).unwrap();
        let server = Server::serve(&config);
        Self {
            cloud,
            server,
            dir,
            http: client(),
            kind,
        }
    }

    /// The same with more sections before the mounts.
    pub async fn start_with(
        options: Options,
        sections: &str,
        fill: impl FnOnce(&Cloud),
        mounts: impl FnOnce(&Cloud) -> String,
    ) -> Self {
        Self::start(options, fill, |cloud| format!("{sections}\n{}", mounts(cloud))).await
    }

    /// Stops the server (SIGKILL) and starts it again with the same configuration.
    pub fn restart(&mut self) {
        self.server.kill();
        self.server = Server::serve(&self.dir.path().join("dav.toml"));
    }

    /// The URL of a decoded path; `path` begins with `/`.
    pub fn url(&self, path: &str) -> String {
        let mut url = url::Url::parse(&self.server.url).unwrap();
        url.set_path(path);
        url.into()
    }

    /// A request, signed in.
    pub fn request(&self, method: &str, path: &str) -> reqwest::RequestBuilder {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        self.http
            .request(method, self.url(path))
            .basic_auth(USER, Some(PASSWORD))
    }

    /// The answer to a GET.
    pub async fn get(&self, path: &str) -> reqwest::Response {
        self.request("GET", path).send().await.unwrap()
    }

    /// The body of a PROPFIND, and its status.
    pub async fn propfind(&self, path: &str, depth: &str) -> (u16, String) {
        let answer = self
            .request("PROPFIND", path)
            .header("depth", depth)
            .send()
            .await
            .unwrap();
        let status = answer.status().as_u16();
        (
            status,
            answer
                .text()
                .await
                .unwrap_or_else(|error| format!("broken: {error}")),
        )
    }

    /// The answer, as text, to a request whose target is sent exactly as it stands. Signed in.
    pub async fn raw(&self, method: &str, target: &str) -> String {
        use base64::Engine;
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
        let head = format!(
            "{method} {target} HTTP/1.1\r\nhost: x\r\ndepth: 1\r\nconnection: close\r\n\
             authorization: Basic {basic}\r\n\r\n"
        );
        let mut stream = tokio::net::TcpStream::connect(self.server.address())
            .await
            .unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        // A broken answer may end in a reset.
        let _ = stream.read_to_end(&mut answer).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    /// The members that a PROPFIND of depth 1 shows: paths as in the URL, decoded, the folder itself left out.
    pub async fn members(&self, path: &str) -> Vec<String> {
        let (status, body) = self.propfind(path, "1").await;
        assert_eq!(status, 207, "{}", brief(&body));
        assert!(body.ends_with("</D:multistatus>"), "{}", brief(&body));
        let mut hrefs = hrefs(&body);
        assert_eq!(hrefs.remove(0).trim_end_matches('/'), path.trim_end_matches('/'));
        hrefs
    }

    /// Lets stalled bodies go on until `work` is done. Again and again: a body that was asked for, and is counted,
    /// may not be at its stall yet.
    pub async fn releasing<T>(&self, work: impl Future<Output = T>) -> T {
        let release = async {
            loop {
                self.cloud.release();
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::select! {
            done = work => done,
            () = release => unreachable!(),
        }
    }

    /// The file that keeps the account's token, and the token.
    pub fn kept_token(&self) -> Option<(PathBuf, String)> {
        let folder = std::fs::read_dir(self.dir.path().join("state/tokens")).ok()?;
        let file = folder
            .map(|file| file.unwrap().path())
            .find(|file| is_token(file))?;
        let text = std::fs::read_to_string(&file).ok()?;
        let content: serde_json::Value = serde_json::from_str(&text).ok()?;
        Some((file, content["token"].as_str()?.to_owned()))
    }

    /// All tokens that are kept, of every account and developer.
    pub fn kept_tokens(&self) -> Vec<String> {
        let folder = std::fs::read_dir(self.dir.path().join("state/tokens")).unwrap();
        folder
            .map(|file| file.unwrap().path())
            .filter(|file| is_token(file))
            .map(|file| {
                let text = std::fs::read(file).unwrap();
                let content: serde_json::Value = serde_json::from_slice(&text).unwrap();
                content["token"].as_str().unwrap().to_owned()
            })
            .collect()
    }

    /// How often the cloud's endpoint was called.
    pub fn calls(&self, endpoint: &'static str) -> u64 {
        self.cloud.counters().get(self.kind.named(endpoint))
    }
}

/// Beside the tokens are the locks of their accounts.
fn is_token(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "json")
}

/// Adds a file that is too large to be read, `/large.bin`.
pub fn add_large(cloud: &Cloud) {
    let content = Content::Pattern {
        seed: 3,
        len: 1 << 30,
    };
    // Nobody hashes it.
    cloud.add_file_with_etag("/large.bin", content, "0123456789abcdef0123456789abcdef");
}

/// The beginning and the end of a long text, for messages.
pub fn brief(text: &str) -> String {
    let (count, side) = (text.chars().count(), 300);
    if count <= 2 * side {
        return text.to_owned();
    }
    let begin: String = text.chars().take(side).collect();
    let end: String = text.chars().skip(count - side).collect();
    format!("{begin} … {end}")
}

/// The hrefs of a multistatus body, decoded.
pub fn hrefs(body: &str) -> Vec<String> {
    let after = body.split("<D:href>").skip(1);
    after
        .map(|rest| {
            let href = rest.split("</D:href>").next().unwrap();
            percent_encoding::percent_decode_str(href)
                .decode_utf8()
                .unwrap()
                .into_owned()
        })
        .collect()
}

/// What a command of the binary did.
#[derive(Debug)]
pub struct Ran {
    /// Exit code.
    pub code: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

/// Runs the binary to its end, with `stdin` as its input.
pub fn run(arguments: &[&str], stdin: &str) -> Ran {
    run_in(Path::new("."), arguments, stdin)
}

/// The same in a folder.
pub fn run_in(folder: &Path, arguments: &[&str], stdin: &str) -> Ran {
    let mut child = Command::new(binary())
        .current_dir(folder)
        .args(arguments)
        .env_remove("DAV123_LOG")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that does not read its input may be gone already.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        out: String::from_utf8_lossy(&output.stdout).into_owned(),
        err: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Strict and not paced: for tests that are not about the pace.
pub fn options() -> Options {
    let mut options = Options::default();
    options.settings.pace_scale = 0.0;
    options
}

/// The sections before the mounts.
pub fn head(dir: &Path) -> String {
    format!(
        "[server]\nlisten = \"127.0.0.1:0\"\nstate_dir = \"{}\"\n\n\
         [[user]]\nname = \"{USER}\"\npassword = \"{PASSWORD}\"\n\n",
        dir.join("state").display()
    )
}

/// Where the cloud is, as `[mount.endpoints]`.
pub fn endpoints(cloud: &Cloud) -> String {
    let base = cloud.base();
    format!(
        "[mount.endpoints]\nlogin = \"{base}/api\"\napi = \"{base}/b/api\"\nopen = \"{base}/open\"\n\
         origin = \"{base}\"\nrate = 100.0\n\n"
    )
}

/// A direct-link mount of the cloud's account: more lines, then the links.
pub fn links(cloud: &Cloud, path: &str, more: &str, links: &str) -> String {
    let uid = cloud.options().uid;
    format!(
        "[[mount]]\npath = \"{path}\"\nkind = \"direct-link\"\nuid = {uid}\n{more}\nlinks = \"\"\"\n{links}\n\"\"\"\n\n"
    )
}

/// An account mount with more lines (before its endpoints).
pub fn account(cloud: &Cloud, path: &str, more: &str) -> String {
    let (phone, password) = (&cloud.options().phone, &cloud.options().password);
    format!(
        "[[mount]]\npath = \"{path}\"\nkind = \"account\"\nusername = \"{phone}\"\npassword = \"{password}\"\n{more}\n{}",
        endpoints(cloud)
    )
}

/// A mount of the Open platform with more lines (before its endpoints).
pub fn open(cloud: &Cloud, path: &str, more: &str) -> String {
    let (id, secret) = (&cloud.options().client_id, &cloud.options().client_secret);
    format!(
        "[[mount]]\npath = \"{path}\"\nkind = \"open\"\nclient_id = \"{id}\"\nclient_secret = \"{secret}\"\n{more}\n{}",
        endpoints(cloud)
    )
}

/// A share mount with more lines (before its endpoints).
pub fn share(cloud: &Cloud, path: &str, key: &str, more: &str) -> String {
    format!(
        "[[mount]]\npath = \"{path}\"\nkind = \"share\"\nshare_key = \"{key}\"\n{more}\n{}",
        endpoints(cloud)
    )
}

/// The text of a header, empty where it is missing.
pub fn header(answer: &reqwest::Response, name: &str) -> String {
    let value = answer.headers().get(name);
    value.map(|v| v.to_str().unwrap().to_owned()).unwrap_or_default()
}

/// A client that follows no redirect and keeps no proxy.
pub fn client() -> reqwest::Client {
    client_with(reqwest::redirect::Policy::none())
}

/// The same, but it follows redirects.
pub fn client_that_follows() -> reqwest::Client {
    client_with(reqwest::redirect::Policy::limited(5))
}

fn client_with(redirects: reqwest::redirect::Policy) -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let roots = webpki_root_certs::TLS_SERVER_ROOT_CERTS
        .iter()
        .filter_map(|der| reqwest::Certificate::from_der(der).ok());
    reqwest::Client::builder()
        .no_proxy()
        .redirect(redirects)
        .tls_certs_merge(roots)
        .build()
        .unwrap()
}

/// The binary under test.
pub fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_dav123"))
}

fn written(log: &NamedTempFile) -> String {
    String::from_utf8_lossy(&std::fs::read(log.path()).unwrap()).into_owned()
}

/// A running `dav123 serve` or `demo`; killed when dropped.
pub struct Server {
    child: Child,
    /// The URL it printed, with a slash at its end.
    pub url: String,
    /// A file: what was written before an answer came is there then.
    log: NamedTempFile,
    out: Arc<Mutex<String>>,
}

impl Server {
    /// Serves a configuration, logging at `trace`.
    pub fn serve(config: &Path) -> Self {
        let mut command = Command::new(binary());
        command
            .arg("serve")
            .arg("--config")
            .arg(config)
            .args(["--log-level", "trace"]);
        Self::spawn(command)
    }

    /// Starts a command and waits for its line `dav123: serving on URL`.
    pub fn spawn(mut command: Command) -> Self {
        let log = NamedTempFile::new().unwrap();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(log.reopen().unwrap())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let url = loop {
            match lines.next() {
                Some(Ok(line)) => {
                    if let Some(url) = line.strip_prefix("dav123: serving on ") {
                        break url.to_owned();
                    }
                }
                _ => {
                    let status = child.wait().unwrap();
                    panic!("the server did not start, {status}: {}", written(&log));
                }
            }
        };
        // Whatever else it prints must not fill the pipe.
        let out = Arc::new(Mutex::new(String::new()));
        let into = out.clone();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut out = into.lock().unwrap();
                out.push_str(&line);
                out.push('\n');
            }
        });
        Self { child, url, log, out }
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> String {
        let url = url::Url::parse(&self.url).unwrap();
        format!(
            "{}:{}",
            url.host_str().unwrap(),
            url.port_or_known_default().unwrap()
        )
    }

    /// Everything logged so far.
    pub fn log(&self) -> String {
        written(&self.log)
    }

    /// Everything printed since its first URL.
    pub fn printed(&self) -> String {
        self.out.lock().unwrap().clone()
    }

    /// Process id, for signals and `/proc`.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Largest resident memory so far, in bytes (Linux).
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() * 1024
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Sends a signal by name, with the `kill` program.
    pub fn signal(&self, name: &str) {
        Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid().to_string())
            .status()
            .unwrap();
    }

    /// Waits for the end of the process, at most `limit`; its exit code.
    pub fn wait(&mut self, limit: Duration) -> Option<i32> {
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Waits until `condition` holds, at most half a minute: machines are busy.
pub async fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(30), "never: {what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

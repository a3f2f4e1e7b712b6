//! `[server]`, `[cache]`, `[upload]` and `[[user]]`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::section::{At, Section, quoted};
use super::{Access, Cache, Network, Password, Server, Tls, Upload, UploadMode, User, secret};

/// Keys of `[server]`.
pub const SERVER: &[&str] = &[
    "listen",
    "prefix",
    "tls_cert",
    "tls_key",
    "state_dir",
    "shutdown_grace",
    "anonymous",
    "trusted_proxies",
];
/// Keys of `[cache]`.
pub const CACHE: &[&str] = &["list_ttl", "stale", "list_entries", "warm", "blocks"];
/// Keys of `[upload]`.
pub const UPLOAD: &[&str] = &["mode", "spool_dir", "spool_limit", "parts"];
/// Keys of `[[user]]`.
pub const USER: &[&str] = &[
    "name",
    "password",
    "password_env",
    "password_file",
    "password_hash",
    "root",
    "access",
];

/// The words for [`Access`].
pub const ACCESS: &[(&str, Access)] = &[("read-only", Access::ReadOnly), ("read-write", Access::ReadWrite)];
/// What a path of the tree looks like, for messages.
pub const TREE_PATH: &str = "a path that begins with \"/\" and has no \"..\", such as \"/films\"";

/// First segment of the pages that are no part of the tree.
const OWN_PAGES: &str = ".dav123";

/// Where `listen` is absent.
pub const LISTEN: &str = "127.0.0.1:8123";

/// Reads `[server]`.
pub fn server(mut section: Section<'_>) -> Server {
    section.refuse_others(SERVER);
    let listen = listen(&mut section);
    let prefix = section.parsed(
        "prefix",
        "a path that begins with \"/\", such as \"/dav\"",
        tree_path,
    );
    let prefix = prefix.unwrap_or_default();
    if begins_with_own_pages(&prefix) {
        section.problem(
            "prefix",
            "the path /.dav123 is taken by dav123's own pages; expected another one",
        );
    }
    let mut file = |key| section.text(key, "the path of a PEM file").map(|at| at.value);
    let (cert, key) = (file("tls_cert"), file("tls_key"));
    for (there, missing) in [("tls_cert", "tls_key"), ("tls_key", "tls_cert")] {
        if section.has(there) && !section.has(missing) {
            let sentence = format!("given without {missing}; expected both, or neither for plain HTTP");
            section.problem(there, sentence);
        }
    }
    let path = |written: String| section.reader.path(&written);
    let tls = cert.zip(key).map(|(cert, key)| Tls {
        cert: path(cert),
        key: path(key),
    });
    Server {
        listen,
        prefix: if prefix == "/" { String::new() } else { prefix },
        tls,
        state_dir: state_dir(&mut section),
        shutdown_grace: section
            .duration("shutdown_grace")
            .unwrap_or(Duration::from_secs(30)),
        anonymous: section.choice("anonymous", "access", ACCESS),
        trusted_proxies: trusted_proxies(&mut section),
    }
}

fn trusted_proxies(section: &mut Section<'_>) -> Vec<Network> {
    const KEY: &str = "trusted_proxies";
    let mut networks = Vec::new();
    for At { line, value } in section.texts(KEY, Network::EXPECTED).unwrap_or_default() {
        match Network::parse(&value) {
            Some(network) => networks.push(network),
            None => {
                let sentence = format!(
                    "{} is not understood; expected {}",
                    quoted(&value),
                    Network::EXPECTED
                );
                section.reader.problem(line, section.full(KEY), sentence);
            }
        }
    }
    networks
}

fn listen(section: &mut Section<'_>) -> Vec<String> {
    const EXPECTED: &str = "host:port, such as \"127.0.0.1:8123\" or \"[::]:8123\", or a list of these";
    let mut listen: Vec<String> = Vec::new();
    for At { line, value } in section.texts("listen", EXPECTED).unwrap_or_default() {
        if !is_host_and_port(&value) {
            let sentence = format!("{} is not understood; expected {EXPECTED}", quoted(&value));
            section.reader.problem(line, section.full("listen"), sentence);
        } else if listen.contains(&value) && !value.ends_with(":0") {
            let sentence = format!("{} is there twice; expected each address once", quoted(&value));
            section.reader.problem(line, section.full("listen"), sentence);
        } else {
            listen.push(value);
        }
    }
    if listen.is_empty() {
        listen.push(LISTEN.to_owned());
    }
    listen
}

/// `127.0.0.1:80`, `[::1]:80` or `name:80`.
fn is_host_and_port(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let digits = !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let host = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => host.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            !host.is_empty() && host.chars().all(named)
        }
    };
    host && digits && port.parse::<u16>().is_ok()
}

/// `state_dir` as written, else as the XDG base directory specification has it.
fn state_dir(section: &mut Section<'_>) -> PathBuf {
    if section.has("state_dir") {
        let written = section
            .text("state_dir", "the path of a folder")
            .map(|at| at.value);
        return section.reader.path(&written.unwrap_or_default());
    }
    let reader = section.reader;
    let absolute = |name| {
        reader
            .environment(name)
            .map(PathBuf::from)
            .filter(|path| path.is_absolute())
    };
    let state = absolute("XDG_STATE_HOME").or_else(|| {
        let home = absolute("HOME").or_else(|| absolute("USERPROFILE"));
        home.map(|home| home.join(".local").join("state"))
    });
    match state {
        Some(state) => state.join("dav123"),
        None => {
            section.problem(
                "state_dir",
                "missing; without HOME and XDG_STATE_HOME in the environment a path is expected here",
            );
            PathBuf::new()
        }
    }
}

/// Reads `[cache]`.
pub fn cache(mut section: Section<'_>) -> Cache {
    section.refuse_others(CACHE);
    Cache {
        list_ttl: section.duration("list_ttl").unwrap_or(Duration::from_secs(300)),
        stale: section.duration("stale").unwrap_or(Duration::from_secs(3600)),
        list_entries: at_least_one(&mut section, "list_entries").unwrap_or(1_000_000),
        warm: warm(&mut section),
        blocks: section.size("blocks").unwrap_or(64 << 20),
    }
}

fn warm(section: &mut Section<'_>) -> Vec<String> {
    let mut paths = Vec::new();
    for At { line, value } in section.texts("warm", TREE_PATH).unwrap_or_default() {
        match tree_path(&value) {
            Some(path) => paths.push(path),
            None => {
                let sentence = format!("{} is not understood; expected {TREE_PATH}", quoted(&value));
                section.reader.problem(line, section.full("warm"), sentence);
            }
        }
    }
    paths
}

/// Reads `[upload]`.
pub fn upload(mut section: Section<'_>, state_dir: &Path) -> Upload {
    section.refuse_others(UPLOAD);
    let modes = &[("through", UploadMode::Through), ("back", UploadMode::Back)];
    let spool = section.text("spool_dir", "the path of a folder");
    let limit = section.size("spool_limit");
    if limit == Some(0) {
        section.problem(
            "spool_limit",
            "\"0B\" leaves no room for uploads; expected more than 0 bytes",
        );
    }
    Upload {
        mode: section
            .choice("mode", "mode", modes)
            .unwrap_or(UploadMode::Through),
        spool_dir: spool.map_or_else(|| state_dir.join("spool"), |at| section.reader.path(&at.value)),
        spool_limit: limit.unwrap_or(50 << 30),
        parts: at_least_one(&mut section, "parts")
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(3),
    }
}

fn at_least_one(section: &mut Section<'_>, key: &str) -> Option<u64> {
    section
        .integer(key, 1, i64::MAX)
        .and_then(|number| u64::try_from(number).ok())
}

/// Reads all `[[user]]`.
pub fn users(sections: Vec<Section<'_>>) -> Vec<User> {
    let mut names: Vec<At<String>> = Vec::new();
    let mut users = Vec::with_capacity(sections.len());
    for mut section in sections {
        section.refuse_others(USER);
        section.require("name", "expected the name with which the user signs in");
        let name = section.text("name", "a name without \":\"");
        if let Some(At { line, value }) = &name {
            if value.contains(|c: char| c == ':' || c.is_control()) {
                section.problem(
                    "name",
                    "a name cannot hold \":\" or control characters; expected another name",
                );
            }
            if let Some(first) = names.iter().find(|other| other.value == *value) {
                let sentence = format!(
                    "{} is there already on line {}; expected each name once",
                    quoted(value),
                    first.line
                );
                section.problem("name", sentence);
            } else {
                names.push(At {
                    line: *line,
                    value: value.clone(),
                });
            }
        }
        let password = password(&mut section);
        let root = section
            .parsed("root", TREE_PATH, tree_path)
            .unwrap_or_else(|| "/".into());
        let access = section
            .choice("access", "access", ACCESS)
            .unwrap_or(Access::ReadWrite);
        if let (Some(name), Some(password)) = (name, password) {
            users.push(User {
                name: name.value,
                password,
                root,
                access,
            });
        }
    }
    users
}

fn password(section: &mut Section<'_>) -> Option<Password> {
    const KEYS: &[&str] = &["password", "password_env", "password_file", "password_hash"];
    if !KEYS.iter().any(|key| section.has(key)) {
        section.problem(
            "password",
            "missing; expected password, password_env, password_file or password_hash",
        );
        return None;
    }
    if section.has("password_hash") {
        secret::only_one(section, KEYS);
        let hash = section
            .text("password_hash", "the line that \"dav123 passwd\" prints")?
            .value;
        let read = Password::from_hash(&hash);
        if read.is_none() {
            section.problem(
                "password_hash",
                "neither an argon2 hash nor a Digest one; expected a line that \"dav123 passwd\" prints",
            );
        }
        return read;
    }
    secret::read(section, "password").map(Password::Plain)
}

/// A path of the tree without a trailing slash (but for `/`), or `None`.
pub fn tree_path(text: &str) -> Option<String> {
    let below = text.strip_prefix('/')?;
    let mut path = String::with_capacity(text.len());
    for segment in below.split('/').filter(|segment| !segment.is_empty()) {
        if matches!(segment, "." | "..") || segment.contains(char::is_control) {
            return None;
        }
        path.push('/');
        path.push_str(segment);
    }
    Some(if path.is_empty() { "/".into() } else { path })
}

/// Whether a path of the tree would hide the pages under `/.dav123/`.
pub fn begins_with_own_pages(path: &str) -> bool {
    path.split('/').nth(1) == Some(OWN_PAGES)
}

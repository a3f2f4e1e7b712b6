//! One storage as a `[[mount]]`.

use std::fmt::Write;

use super::export::{Export, Fields, Kind, Storage};

/// A section, and what is to be said about it.
pub struct Written {
    /// Path of the mount.
    pub path: String,
    /// The TOML, from `[[mount]]` on.
    pub body: String,
    /// Comments that stand above it: what has no counterpart.
    pub notes: Vec<String>,
    /// Why it is switched off.
    pub off: Option<String>,
}

impl Written {
    fn text(&mut self, key: &str, value: &str) {
        let _ = writeln!(self.body, "{key} = {}", quoted(value));
    }

    fn plain(&mut self, key: &str, value: impl std::fmt::Display) {
        let _ = writeln!(self.body, "{key} = {value}");
    }

    fn note(&mut self, note: impl Into<String>) {
        self.notes.push(note.into());
    }

    /// A secret; a server that hides secrets exports stars.
    fn secret(&mut self, key: &str, value: Option<String>) {
        let Some(value) = value else { return };
        if value.chars().all(|c| c == '*') {
            self.note(format!("{key} was hidden in the export: put the real one in."));
        }
        self.text(key, &value);
    }
}

/// A storage of 123pan; `None` for all others.
///
/// # Errors
/// The rest of a sentence, as [`super::export::read`] has it.
pub fn write(storage: &Storage, export: &Export) -> Result<Option<Written>, String> {
    let Some(kind) = storage.kind() else {
        return Ok(None);
    };
    let mut written = Written {
        path: storage.mount_path.clone(),
        body: "[[mount]]\n".into(),
        notes: vec![format!("{} at {}", storage.driver, storage.mount_path)],
        off: storage.disabled.then(|| "it was disabled there".into()),
    };
    if let Some((path, _)) = storage.mount_path.split_once(".balance") {
        written.path = path.to_owned();
        written.note("Balancing between storages of one path (\".balance\") has no counterpart here.");
    }
    let path = written.path.clone();
    written.text("path", &path);
    let own = &storage.own;
    match kind {
        Kind::Account => account(&mut written, own),
        Kind::Share => share(&mut written, storage, export),
        Kind::DirectLink => direct_link(&mut written, own),
        Kind::Open => open(&mut written, own),
    }
    strategy(&mut written, kind, &storage.common, export.token.as_deref());
    common(&mut written, &storage.common);
    Ok(Some(written))
}

fn account(written: &mut Written, own: &Fields) {
    written.text("kind", "account");
    let username = own.text("username");
    if let Some(username) = &username {
        written.text("username", username);
    }
    written.secret("password", own.exact("password"));
    written.secret("access_token", own.text("AccessToken"));
    root_id(written, own);
    if let Some(platform) = own.text("platform").filter(|platform| platform != "web") {
        written.note(format!(
            "platform = {} has no counterpart: dav123 speaks as the web page does.",
            quoted(&platform)
        ));
    }
    upload_threads(written, own);
}

fn share(written: &mut Written, storage: &Storage, export: &Export) {
    let own = &storage.own;
    written.text("kind", "share");
    if let Some(key) = own.text("sharekey") {
        written.text("share_key", &key);
    }
    written.secret("share_password", own.text("sharepassword"));
    root_id(written, own);
    let accounts: Vec<&str> = export
        .storages
        .iter()
        .filter(|other| other.kind() == Some(Kind::Account) && !other.disabled)
        .map(|other| other.mount_path.as_str())
        .collect();
    // A storage borrows the sign-in of another by a first line "ref:/path" of its remark.
    let remark = storage.common.text("remark").unwrap_or_default();
    let borrowed = remark.lines().next().and_then(|line| line.strip_prefix("ref:"));
    let has_token = own.text("accesstoken").is_some();
    match (borrowed.map(str::trim), accounts.as_slice()) {
        (Some(path), accounts) if accounts.contains(&path) => written.text("account", path),
        (Some(_), _) => written.note(
            "It borrowed the sign-in of a storage that is not taken over; name an account mount by account = \"/…\".",
        ),
        (None, [one]) if has_token => {
            written.note("Its accesstoken has no counterpart: the account mount signs instead.");
            written.text("account", one);
        }
        (None, _) if has_token => written.note(
            "Its accesstoken has no counterpart: where the share wants a sign-in, name an account mount by account = \"/…\".",
        ),
        (None, _) => {}
    }
}

fn direct_link(written: &mut Written, own: &Fields) {
    written.text("kind", "direct-link");
    if let Some(uid) = own.number("uid").filter(|uid| *uid > 0) {
        written.plain("uid", uid);
    }
    let key = own.text("private_key");
    if key.is_none() {
        written.note("Without private_key links go out unsigned: whoever has one can use up the traffic.");
    }
    written.secret("private_key", key);
    match own.number("valid_duration") {
        None | Some(30) => {}
        Some(minutes) if minutes > 0 => written.text("valid_for", &format!("{minutes}m")),
        Some(minutes) => written.note(format!(
            "valid_duration = {minutes} makes no link that works; the default of 30m is taken."
        )),
    }
    if let Some(links) = own.exact("origin_urls") {
        let _ = writeln!(written.body, "links = {}", lines(&links));
    }
}

fn open(written: &mut Written, own: &Fields) {
    written.text("kind", "open");
    let client = own.text("ClientID").zip(own.text("ClientSecret"));
    let token = own.text("AccessToken");
    if own.text("RefreshToken").is_some() {
        written.note("RefreshToken has no counterpart: dav123 asks no foreign server for tokens.");
    }
    if client.is_none() && token.is_none() {
        written.off =
            Some("client_id and client_secret, or access_token, are missing in the export".to_owned());
    }
    if let Some((id, secret)) = client {
        written.text("client_id", &id);
        written.secret("client_secret", Some(secret));
    }
    written.secret("access_token", token);
    root_id(written, own);
    if own.is_on("DirectLink") || own.is_on("UseDirectLink") {
        written.text("link", "direct");
        written.note(
            "DirectLink: give it the private_key of 123pan's direct-link page too, if you have set one there; unsigned links can \
             be used by whoever has one.",
        );
    }
    upload_threads(written, own);
}

fn root_id(written: &mut Written, own: &Fields) {
    let Some(id) = own.text("root_folder_id").filter(|id| id != "0") else {
        return;
    };
    match id.parse::<i64>() {
        Ok(number) if number > 0 => written.plain("root_id", number),
        _ => written.note(format!(
            "root_folder_id = {} is no number of a folder; the whole drive is shown.",
            quoted(&id)
        )),
    }
}

fn upload_threads(written: &mut Written, own: &Fields) {
    if let Some(threads) = own.number("UploadThread").filter(|threads| *threads != 3) {
        written.note(format!(
            "UploadThread = {threads}: here it is one setting for all mounts, parts in [upload] (default 3)."
        ));
    }
}

/// The WebDAV policy (peers 1.1).
fn strategy(written: &mut Written, kind: Kind, common: &Fields, token: Option<&str>) {
    let urls = common.text("down_proxy_url").unwrap_or_default();
    let mut urls = urls.lines().map(|url| url.trim().trim_end_matches('/'));
    let url = urls.next().filter(|url| !url.is_empty());
    if urls.any(|url| !url.is_empty()) {
        written.note("Only the first address of down_proxy_url is taken.");
    }
    let policy = common.text("webdav_policy");
    match (policy.as_deref(), url, token) {
        (Some("use_proxy_url"), Some(url), Some(token)) => {
            written.text("strategy", "proxy-url");
            written.text("proxy_url", url);
            written.secret("proxy_secret", Some(token.to_owned()));
            written.note("The proxy's ADDRESS must become the address of dav123; its TOKEN stays.");
            if common.is_on("disable_proxy_sign") {
                written
                    .note("dav123 always signs; a proxy that does not ask for it (DISABLE_SIGN) works too.");
            }
        }
        (Some("use_proxy_url"), Some(url), None) => {
            written.note(format!(
                "The export has no setting \"token\", the key of the proxy {url}; with it: strategy = \"proxy-url\", proxy_url, \
                 proxy_secret."
            ));
            written.text("strategy", "proxy");
        }
        // Without an address it streams there too.
        (Some("use_proxy_url" | "native_proxy"), _, _) => written.text("strategy", "proxy"),
        _ => {
            written.text("strategy", "redirect");
            if kind != Kind::DirectLink {
                written.note(
                    "\"auto\" is safer than \"redirect\": 123pan may refuse its links to a client in another city.",
                );
            }
            if common.is_on("web_proxy") {
                written.note(
                    "web_proxy (browsers get the bytes) would be a [[mount.client]] with user_agent = \"Mozilla/*\" and \
                     strategy = \"proxy\".",
                );
            }
        }
    }
}

fn common(written: &mut Written, common: &Fields) {
    if let Some(minutes) = common.number("cache_expiration").filter(|m| ![5, 30].contains(m)) {
        written.note(format!(
            "cache_expiration = {minutes} (minutes): here it is one setting for all mounts, list_ttl in [cache] (default \"5m\")."
        ));
    }
    let none: Vec<&str> = ["custom_cache_policies", "extract_folder"]
        .into_iter()
        .filter(|key| common.text(key).is_some())
        .chain(
            ["proxy_range", "enable_sign"]
                .into_iter()
                .filter(|key| common.is_on(key)),
        )
        .collect();
    if !none.is_empty() {
        written.note(format!("No counterpart, and not needed: {}.", none.join(", ")));
    }
    let remark = common.text("remark").filter(|remark| !remark.starts_with("ref:"));
    if let Some(remark) = remark {
        written.note(format!("Remark: {remark}"));
    }
}

/// A string of TOML.
pub fn quoted(text: &str) -> String {
    format!("\"{}\"", escaped(text).replace('\n', "\\n"))
}

/// A string of TOML that shows its lines.
fn lines(text: &str) -> String {
    let text: Vec<&str> = text.lines().map(str::trim_end).collect();
    format!("\"\"\"\n{}\n\"\"\"", escaped(&text.join("\n")))
}

/// Escapes all but line ends.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '"' | '\\' => escaped.extend(['\\', c]),
            '\n' => escaped.push(c),
            c if c.is_control() => {
                let _ = write!(escaped, "\\u{:04x}", u32::from(c));
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// What may stand in a comment: one line, without control characters.
pub fn comment(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect()
}

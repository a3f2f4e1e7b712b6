//! `[[mount]]`: what each kind needs, and what does not belong to it.

use std::time::Duration;

use super::delivery::{DELIVERY, delivery, endpoints};
use super::section::{Reader, Section, or, quoted};
use super::server::{ACCESS, TREE_PATH, begins_with_own_pages, tree_path};
use super::{
    Access, Account, Delete, DirectLink, Mount, Open, PaidLinks, Share, Source, outbound, secret, share_link,
};

/// Keys of every mount, beside those of the delivery.
pub const EVERY: &[&str] = &["path", "kind", "access"];

/// Kinds with their own keys.
pub const KINDS: &[(&str, &[&str])] = &[
    (
        "account",
        &[
            "username",
            "password",
            "password_env",
            "password_file",
            "access_token",
            "access_token_env",
            "access_token_file",
            "root_id",
            "delete",
            "outbound",
            "outbound_env",
            "outbound_file",
            "endpoints",
        ],
    ),
    (
        "share",
        &[
            "share_key",
            "share_password",
            "share_password_env",
            "share_password_file",
            "root_id",
            "account",
            "outbound",
            "outbound_env",
            "outbound_file",
            "endpoints",
        ],
    ),
    (
        "direct-link",
        &[
            "uid",
            "private_key",
            "private_key_env",
            "private_key_file",
            "valid_for",
            "links",
            "links_file",
        ],
    ),
    (
        "open",
        &[
            "client_id",
            "client_secret",
            "client_secret_env",
            "client_secret_file",
            "access_token",
            "access_token_env",
            "access_token_file",
            "root_id",
            "delete",
            "link",
            "private_key",
            "private_key_env",
            "private_key_file",
            "valid_for",
            "outbound",
            "outbound_env",
            "outbound_file",
            "endpoints",
        ],
    ),
];

/// Where a mount stands, even if the rest of it is wrong.
struct Place {
    path: String,
    kind: Option<&'static str>,
    line: usize,
}

/// Reads all `[[mount]]`. `prefix` is that of the server.
pub fn mounts(sections: Vec<Section<'_>>, prefix: &str) -> Vec<Mount> {
    let mut places: Vec<Place> = Vec::new();
    let mut accounts_named = Vec::new();
    let mut nameless: Vec<(String, usize)> = Vec::new();
    let mut mounts: Vec<Mount> = Vec::with_capacity(sections.len());
    let mut lines = Vec::new();
    for mut section in sections {
        let kind = kind(&mut section);
        refuse_others(&section, kind);
        let path = path(&mut section, kind, prefix, &mut places);
        let delivery = delivery(&mut section);
        let access = access(&mut section, kind);
        let source = match kind {
            Some("account") => account(&mut section).map(|account| {
                told_apart(&section, &account, &mut nameless);
                Source::Account(account)
            }),
            Some("share") => share(&mut section).map(|share| {
                if let Some(named) = &share.account {
                    let at = (section.line_of("account"), section.full("account"));
                    accounts_named.push((section.reader, at, named.clone()));
                }
                Source::Share(share)
            }),
            Some("direct-link") => direct_link(&mut section).map(Source::DirectLink),
            Some("open") => open(&mut section).map(Source::Open),
            _ => None,
        };
        if let (Some(path), Some(mut source)) = (path, source) {
            if let Some(endpoints) = source.endpoints_mut() {
                endpoints.outbound = outbound::read(&mut section);
            }
            lines.push((
                section.reader,
                section.line_of("outbound"),
                section.full("outbound"),
            ));
            mounts.push(Mount {
                path,
                source,
                access,
                delivery,
            });
        }
    }
    share_outbound(&mut mounts, &lines);
    for (reader, (line, key), named) in accounts_named {
        let place = places.iter().find(|place| place.path == named);
        let sentence = match place.map(|place| place.kind) {
            Some(Some("account") | None) => continue,
            Some(Some(kind)) => format!("the mount {} has kind {}", quoted(&named), quoted(kind)),
            None => format!("there is no mount {}", quoted(&named)),
        };
        reader.problem(
            line,
            key,
            format!("{sentence}; expected the path of a mount of kind \"account\""),
        );
    }
    mounts
}

/// One account has one address (API page 10): a share goes the way of the account that signs for it, and bytes go the
/// way of the calls (5.8). `lines` are those of each mount's key.
fn share_outbound(mounts: &mut [Mount], lines: &[(&Reader<'_>, usize, String)]) {
    for at in 0..mounts.len() {
        let own = mounts[at].source.endpoints().and_then(|e| e.outbound.clone());
        let account = match &mounts[at].source {
            Source::Share(share) => share.account.as_ref(),
            _ => None,
        };
        let account = account.and_then(|path| mounts.iter().find(|mount| mount.path == *path));
        let signing = account.and_then(|mount| mount.source.endpoints());
        let outbound = match signing.map(|endpoints| endpoints.outbound.clone()) {
            Some(signing) if own.is_some() && own != signing => {
                if let Some((reader, line, key)) = lines.get(at) {
                    let sentence = "another way than that of the account that signs for the share; expected the same, or none here";
                    reader.problem(*line, key.clone(), sentence);
                }
                own
            }
            Some(signing) => signing,
            None => own,
        };
        mounts[at].delivery.outbound.clone_from(&outbound);
        if let Some(endpoints) = mounts[at].source.endpoints_mut() {
            endpoints.outbound = outbound;
        }
    }
}

fn kind(section: &mut Section<'_>) -> Option<&'static str> {
    let words: Vec<(&str, &'static str)> = KINDS.iter().map(|(name, _)| (*name, *name)).collect();
    section.require(
        "kind",
        "expected \"account\", \"share\", \"direct-link\" or \"open\"",
    );
    section.choice("kind", "kind", &words)
}

/// Notes unknown keys, and keys of another kind with the kind that has them.
fn refuse_others(section: &Section<'_>, kind: Option<&'static str>) {
    let own = KINDS
        .iter()
        .find(|(name, _)| Some(*name) == kind)
        .map_or(&[][..], |(_, keys)| keys);
    for key in section.others(&[EVERY, DELIVERY, own]) {
        let having = KINDS.iter().filter(|(_, keys)| keys.contains(&key.as_str()));
        let having: Vec<String> = having.map(|(name, _)| quoted(name)).collect();
        match kind {
            _ if having.is_empty() => {
                let known = EVERY.iter().chain(own).chain(DELIVERY).copied();
                section.problem(&key, format!("unknown key; expected {}", or(known)));
            }
            Some(kind) => {
                let having = or(having.iter().map(String::as_str));
                let sentence = format!(
                    "this key is for kind {having}; this mount has kind {}",
                    quoted(kind)
                );
                section.problem(&key, sentence);
            }
            // The kind is wrong itself: its keys cannot be judged.
            None => {}
        }
    }
}

fn path(
    section: &mut Section<'_>,
    kind: Option<&'static str>,
    prefix: &str,
    places: &mut Vec<Place>,
) -> Option<String> {
    section.require(
        "path",
        "expected where the mount stands in the tree, such as \"/drive\"",
    );
    let path = section.parsed("path", TREE_PATH, tree_path)?;
    if prefix.is_empty() && begins_with_own_pages(&path) {
        section.problem(
            "path",
            "the path /.dav123 is taken by dav123's own pages; expected another one",
        );
    }
    if let Some(first) = places.iter().find(|place| place.path == path) {
        let sentence = format!(
            "a mount stands at {} already on line {}; expected each path once",
            quoted(&path),
            first.line
        );
        section.problem("path", sentence);
    } else {
        places.push(Place {
            path: path.clone(),
            kind,
            line: section.line_of("path"),
        });
    }
    Some(path)
}

fn access(section: &mut Section<'_>, kind: Option<&'static str>) -> Access {
    let access = section.choice("access", "access", ACCESS);
    match (kind, access) {
        (Some(kind @ ("share" | "direct-link")), Some(Access::ReadWrite)) => {
            let sentence = format!(
                "a mount of kind {} can only be read; expected \"read-only\"",
                quoted(kind)
            );
            section.problem("access", sentence);
            Access::ReadOnly
        }
        (Some("share" | "direct-link"), _) => Access::ReadOnly,
        (_, access) => access.unwrap_or(Access::ReadWrite),
    }
}

fn account(section: &mut Section<'_>) -> Option<Account> {
    let has_password = secret::is_given(section, "password");
    let has_name = section.has("username");
    if has_password && !has_name {
        section.problem(
            "username",
            "missing; the password needs the account's phone number or e-mail",
        );
    }
    Some(Account {
        username: section
            .text("username", "a phone number or e-mail in quotes")
            .map(|at| at.value),
        password: secret::read(section, "password"),
        access_token: secret::read(section, "access_token"),
        root_id: root_id(section),
        delete: delete(section),
        endpoints: endpoints(section.table_or_empty("endpoints")),
    })
}

/// Notes a second account without username and token at one sign-in host: `dav123 login` keeps a token by the account's
/// name, so these two would get each other's.
fn told_apart(section: &Section<'_>, account: &Account, nameless: &mut Vec<(String, usize)>) {
    let named = section.has("username") || secret::is_given(section, "access_token");
    // The password's problem is noted already.
    if named || secret::is_given(section, "password") {
        return;
    }
    let login = &account.endpoints.login;
    match nameless.iter().find(|(host, _)| host == login) {
        Some((_, line)) => section.problem(
            "username",
            format!(
                "missing; the account mount on line {line} has none either: give both, so that dav123 login can tell the accounts apart"
            ),
        ),
        None => nameless.push((login.clone(), section.line)),
    }
}

fn share(section: &mut Section<'_>) -> Option<Share> {
    section.require("share_key", &format!("expected {}", share_link::EXPECTED));
    let link = share_key(section);
    let password = secret::read(section, "share_password");
    let root_id = root_id(section);
    let account = section.parsed("account", "the path of a mount of kind \"account\"", tree_path);
    let endpoints = endpoints(section.table_or_empty("endpoints"));
    let link = link?;
    let password = password.or_else(|| {
        let in_link = link.password.map(Into::into);
        in_link.inspect(|_| section.reader.note_secret())
    });
    Some(Share {
        key: link.key,
        password,
        root_id,
        account,
        endpoints,
    })
}

/// The value is not repeated where it is wrong: a link may hold the password.
fn share_key(section: &mut Section<'_>) -> Option<share_link::ShareLink> {
    let text = section.text("share_key", share_link::EXPECTED)?.value;
    let link = share_link::parse(&text);
    if link.is_none() {
        section.problem(
            "share_key",
            format!("no share link and no key; expected {}", share_link::EXPECTED),
        );
    }
    link
}

fn direct_link(section: &mut Section<'_>) -> Option<DirectLink> {
    if secret::is_given(section, "private_key") {
        section.require("uid", "signing with private_key needs the account's number");
    }
    secret::only_one(section, &["links", "links_file"]);
    let valid_for = valid_for(section);
    let uid = section
        .integer("uid", 1, i64::MAX)
        .and_then(|uid| u64::try_from(uid).ok());
    let private_key = secret::read(section, "private_key");
    let (links, links_from) = if section.has("links") {
        (
            section.text("links", "a list of links")?.value,
            "links".to_owned(),
        )
    } else if section.has("links_file") {
        let written = section.text("links_file", "the path of a file")?.value;
        let path = section.reader.path(&written);
        (
            secret::text_of(section, "links_file", &path)?,
            path.display().to_string(),
        )
    } else {
        section.problem(
            "links",
            "missing; expected the list itself, or its file as links_file",
        );
        return None;
    };
    Some(DirectLink {
        uid,
        private_key,
        valid_for,
        links: links.into(),
        links_from,
    })
}

fn open(section: &mut Section<'_>) -> Option<Open> {
    let has_id = section.has("client_id");
    let has_secret = secret::is_given(section, "client_secret");
    let has_token = secret::is_given(section, "access_token");
    match (has_id, has_secret) {
        (true, false) => section.problem("client_secret", "missing; 123pan gives it together with the client_id: client_secret, client_secret_env or client_secret_file"),
        (false, true) => section.problem("client_id", "missing; 123pan gives it together with the client_secret"),
        (false, false) if !has_token => {
            let sentence = "missing; the Open platform needs client_id and client_secret, or access_token";
            section.problem("client_id", sentence);
        }
        _ => {}
    }
    let id = section.text("client_id", "a string in quotes").map(|at| at.value);
    let secret = secret::read(section, "client_secret");
    Some(Open {
        client: id.zip(secret),
        access_token: secret::read(section, "access_token"),
        root_id: root_id(section),
        delete: delete(section),
        paid_links: paid_links(section),
        endpoints: endpoints(section.table_or_empty("endpoints")),
    })
}

/// `link = "direct"`, and what goes with it.
fn paid_links(section: &mut Section<'_>) -> Option<PaidLinks> {
    let ways = &[("download", false), ("direct", true)];
    let is_direct = section.choice("link", "way to read files", ways).unwrap_or(false);
    for (key, given) in [
        ("private_key", secret::is_given(section, "private_key")),
        ("valid_for", section.has("valid_for")),
    ] {
        if given && !is_direct {
            section.problem(key, "this key needs link = \"direct\" beside it");
        }
    }
    let links = PaidLinks {
        private_key: secret::read(section, "private_key"),
        valid_for: valid_for(section),
    };
    is_direct.then_some(links)
}

/// Longer, a signature is as good as none.
const LONGEST_VALID: Duration = Duration::from_secs(10 * 366 * 24 * 3600);

/// How long a signed direct link is good.
fn valid_for(section: &mut Section<'_>) -> Duration {
    let valid_for = section.duration("valid_for");
    if valid_for.is_some_and(|valid| valid.as_secs() == 0) {
        section.problem(
            "valid_for",
            "links would never be valid; expected one second or more",
        );
    }
    if valid_for.is_some_and(|valid| valid > LONGEST_VALID) {
        section.problem(
            "valid_for",
            "links would be open for ever; expected ten years or less",
        );
    }
    valid_for.unwrap_or(Duration::from_secs(30 * 60))
}

fn delete(section: &mut Section<'_>) -> Delete {
    let ways = &[("trash", Delete::Trash), ("permanent", Delete::Permanent)];
    section
        .choice("delete", "way to delete", ways)
        .unwrap_or(Delete::Trash)
}

fn root_id(section: &mut Section<'_>) -> i64 {
    section.integer("root_id", 0, i64::MAX).unwrap_or(0)
}

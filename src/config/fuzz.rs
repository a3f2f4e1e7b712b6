//! What holds for any configuration and any share link.

#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::Path;

use toml::{Table, Value};

use super::file::parse_in;
use super::share_link;
use super::{Config, Source};

/// What every variable of the environment holds that a configuration names.
const FROM_ENVIRONMENT: &str = "of-the-environment-5b1f";
/// Keys whose values no message repeats.
const SECRET: [&str; 10] = [
    "password",
    "password_hash",
    "access_token",
    "private_key",
    "client_secret",
    "proxy_secret",
    "share_password",
    "secret",
    "outbound",
    "links",
];
/// Shorter ones may stand in a sentence by chance.
const SHORTEST: usize = 8;

/// The text of a configuration file.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    // Files are read where the text names some: only such as are not there.
    if ["/dev", "/proc", "/sys", "\\u", "\\U", "\\x"]
        .iter()
        .any(|odd| text.contains(odd))
        && text.contains("_file")
    {
        return;
    }
    let environment = |name: &str| match name {
        "HOME" => Some("/home/me".to_owned()),
        "XDG_STATE_HOME" => None,
        _ => Some(FROM_ENVIRONMENT.to_owned()),
    };
    let (text, secrets) = marked(text);
    let read = parse_in(&text, Path::new("/nowhere/at/all/dav.toml"), &environment);
    match &read {
        Ok((config, _)) => {
            is_proper(config);
            let shown = format!("{config:?}");
            for secret in &secrets {
                assert!(!shown.contains(secret), "{secret:?} is shown by {shown}");
            }
        }
        Err(error) => {
            let sentences = error.to_string();
            let lines = text.matches('\n').count() + 1;
            assert!(!error.problems().is_empty());
            for problem in error.problems() {
                assert!(
                    (1..=lines).contains(&problem.line),
                    "{problem:?} of {lines} lines"
                );
                assert!(!problem.sentence.is_empty());
            }
            for secret in secrets.iter().map(String::as_str).chain([FROM_ENVIRONMENT]) {
                assert!(
                    text.contains(FROM_ENVIRONMENT) || !sentences.contains(secret),
                    "{secret:?}: {sentences}"
                );
            }
        }
    }
}

/// The text with other secrets in it, which nobody can have guessed; and these.
fn marked(text: &str) -> (String, Vec<String>) {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let hash = hasher.finish();
    let mut marked = text.to_owned();
    let mut marks = Vec::new();
    for (at, secret) in secrets(text).into_iter().enumerate() {
        let mark = format!("{:016x}", hash.wrapping_add(at as u64));
        if marked.matches(&secret).count() == 1 {
            marked = marked.replace(&secret, &mark);
            marks.push(mark);
        }
    }
    (marked, marks)
}

/// The values of secret keys that stand in the text once and nowhere else, so that a message can have them from there alone.
fn secrets(text: &str) -> Vec<String> {
    let Ok(table) = text.parse::<Table>() else {
        return unparsed(text);
    };
    let mut found = Vec::new();
    gather(&Value::Table(table), &mut found);
    found.retain(|secret| {
        let long = secret.chars().count() >= SHORTEST && !secret.contains(['\n', '\\', '"']);
        long && text.matches(secret.as_str()).count() == 1
    });
    found
}

fn gather(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Table(table) => {
            for (key, value) in table {
                match value {
                    Value::String(text) if SECRET.contains(&key.as_str()) => found.push(text.clone()),
                    other => gather(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, found)),
        _ => {}
    }
}

/// Of a text that is no TOML: what stands between quotes after a secret key and `=`, all on one line.
fn unparsed(text: &str) -> Vec<String> {
    let of_line = |line: &str| {
        let (key, value) = line.split_once('=')?;
        let value = value.trim().strip_prefix('"')?;
        let value = value.split('"').next()?;
        let long = value.chars().count() >= SHORTEST && !value.contains('\\');
        (SECRET.contains(&key.trim()) && long && text.matches(value).count() == 1).then(|| value.to_owned())
    };
    text.lines().filter_map(of_line).collect()
}

/// What the rest of the program may take for granted.
fn is_proper(config: &Config) {
    let path =
        |path: &str| path == "/" || (path.starts_with('/') && !path.ends_with('/') && !path.contains("/../"));
    assert!(!config.server.listen.is_empty());
    assert!(config.server.prefix.is_empty() || path(&config.server.prefix));
    assert!(config.cache.warm.iter().all(|warm| path(warm)));
    assert!(config.upload.parts > 0 && config.upload.spool_limit > 0);
    let mut names = HashSet::new();
    for user in &config.users {
        assert!(!user.name.contains([':', '\n']) && names.insert(&user.name));
        assert!(path(&user.root));
    }
    let mut paths = HashSet::new();
    for mount in &config.mounts {
        assert!(path(&mount.path) && paths.insert(&mount.path), "{}", mount.path);
        assert!((1..=16).contains(&mount.delivery.proxy_connections));
        if let Some(endpoints) = mount.source.endpoints() {
            assert!(endpoints.rate > 0.0 && endpoints.rate.is_finite());
        }
        if let Source::Share(share) = &mount.source {
            is_key(&share.key);
        }
    }
    assert!(!config.users.is_empty() || config.server.anonymous.is_some() || config.only_proxy());
}

/// A share link, or a text with one in it.
pub fn share_link(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Some(link) = share_link::parse(text) else {
        return;
    };
    is_key(&link.key);
    if let Some(password) = &link.password {
        assert!(!password.is_empty() && !password.contains(char::is_whitespace));
    }
    // Written as 123pan writes it, it is the same.
    let (key, password) = (&link.key, link.password.as_deref());
    let plain = password.is_none_or(|password| !password.contains('%'));
    if plain {
        let query = password
            .map(|password| format!("?pwd={password}"))
            .unwrap_or_default();
        let again = share_link::parse(&format!("https://www.123pan.com/s/{key}{query}"));
        assert_eq!(again.as_ref(), Some(&link));
    }
}

fn is_key(key: &str) {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    assert!(!key.is_empty() && key.chars().all(plain), "{key}");
}

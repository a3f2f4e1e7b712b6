//! What holds for any file that is imported.

#![allow(clippy::unwrap_used)]

use serde_json::Value;

use super::export::Kind;
use super::{export, import};

/// Keys of an export whose values are secrets.
const SECRET: [&str; 8] = [
    "password",
    "AccessToken",
    "accesstoken",
    "sharepassword",
    "private_key",
    "ClientSecret",
    "RefreshToken",
    "addition",
];

/// The bytes of an export.
pub fn import_file(data: &[u8]) {
    let secrets = secrets(data);
    let silent = |sentence: &str| {
        for secret in &secrets {
            assert!(!sentence.contains(secret.as_str()), "{secret:?} in {sentence:?}");
        }
    };
    let export = match export::read(data) {
        Ok(export) => export,
        Err(fault) => return silent(&fault),
    };
    let imported = match import("export.json", &export) {
        Ok(imported) => imported,
        Err(fault) => return silent(&fault),
    };
    imported.remarks.iter().for_each(|remark| silent(remark));
    // What is printed is TOML, with one section for each storage of ours that is not switched off.
    let read: toml::Table = imported
        .text
        .parse()
        .unwrap_or_else(|error| panic!("{error}: {}", imported.text));
    let known = ["mount"];
    assert!(
        read.keys().all(|key| known.contains(&key.as_str())),
        "{}",
        imported.text
    );
    let mounts = read
        .get("mount")
        .and_then(toml::Value::as_array)
        .map_or(0, Vec::len);
    let ours = export.storages.iter().filter(|storage| storage.kind().is_some());
    assert!(mounts <= ours.clone().count());
    for mount in read
        .get("mount")
        .and_then(toml::Value::as_array)
        .into_iter()
        .flatten()
    {
        let kind = mount.get("kind").and_then(toml::Value::as_str).unwrap();
        let kinds = [Kind::Account, Kind::Share, Kind::DirectLink, Kind::Open];
        let name = |kind: &Kind| match kind {
            Kind::Account => "account",
            Kind::Share => "share",
            Kind::DirectLink => "direct-link",
            Kind::Open => "open",
        };
        assert!(kinds.iter().any(|known| name(known) == kind));
        let path = mount.get("path").and_then(toml::Value::as_str).unwrap();
        let is_its =
            |path: &str, written: &str| path == written || path.starts_with(&format!("{written}.balance"));
        assert!(
            ours.clone().any(|storage| is_its(&storage.mount_path, path)),
            "{path:?}"
        );
    }
}

/// Values of secret keys, of storages and of the settings within them, that stand in the file once.
fn secrets(data: &[u8]) -> Vec<String> {
    let Ok(text) = std::str::from_utf8(data) else {
        return Vec::new();
    };
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return Vec::new();
    };
    let mut found = Vec::new();
    gather(&value, &mut found);
    found.retain(|secret| {
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '-';
        secret.len() >= 8 && secret.chars().all(plain) && text.matches(secret.as_str()).count() == 1
    });
    found
}

fn gather(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (key, value) in object {
                match value {
                    Value::String(text) if SECRET.contains(&key.as_str()) => {
                        found.push(text.clone());
                        if let Ok(inner) = serde_json::from_str::<Value>(text) {
                            gather(&inner, found);
                        }
                    }
                    other => gather(other, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| gather(item, found)),
        _ => {}
    }
}

//! What OpenList and AList export: one JSON object with lists of settings, users and storages (peers 1.1, 1.8). A storage's own
//! settings are JSON again, as a string in `addition`. An answer of their storage list is read too.
//!
//! No message repeats a value: it may be a secret.

use serde_json::{Map, Value};

/// What is expected, for messages.
pub const EXPECTED: &str = "the JSON file that the page \"Backup & Restore\" of OpenList or AList saves";

/// What an export tells.
#[derive(Debug, Default)]
pub struct Export {
    /// In their order.
    pub storages: Vec<Storage>,
    /// Those who can sign in.
    pub users: Vec<User>,
    /// The key with which proxy addresses are signed there.
    pub token: Option<String>,
}

/// A user of the other server.
#[derive(Debug)]
pub struct User {
    /// Its name.
    pub name: String,
    /// The folder that it sees as its root.
    pub root: String,
}

/// A storage of the other server.
#[derive(Debug)]
pub struct Storage {
    /// Its place in the tree.
    pub mount_path: String,
    /// The driver's name.
    pub driver: String,
    /// Whether it is switched off.
    pub disabled: bool,
    /// Settings that every driver has.
    pub common: Fields,
    /// The driver's own settings; empty for drivers that are not ours.
    pub own: Fields,
}

/// The drivers that have a counterpart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `123Pan`
    Account,
    /// `123PanShare`
    Share,
    /// `123PanLink`
    DirectLink,
    /// `123 Open`
    Open,
}

impl Storage {
    /// Which kind of mount it becomes.
    pub fn kind(&self) -> Option<Kind> {
        let plain = self.driver.chars().filter(|c| c.is_alphanumeric());
        match plain.collect::<String>().to_lowercase().as_str() {
            "123pan" => Some(Kind::Account),
            "123panshare" => Some(Kind::Share),
            "123panlink" => Some(Kind::DirectLink),
            "123open" => Some(Kind::Open),
            _ => None,
        }
    }
}

/// Settings by name. Numbers are sometimes strings.
#[derive(Debug, Default)]
pub struct Fields(Map<String, Value>);

impl Fields {
    /// A string or number that is not empty, without space around it.
    pub fn text(&self, key: &str) -> Option<String> {
        let text = match self.0.get(key)? {
            Value::String(text) => text.trim().to_owned(),
            Value::Number(number) => number.to_string(),
            _ => return None,
        };
        (!text.is_empty()).then_some(text)
    }

    /// A string as it stands, spaces too; `None` where it is empty.
    pub fn exact(&self, key: &str) -> Option<String> {
        let text = self.0.get(key)?.as_str()?;
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// A whole number.
    pub fn number(&self, key: &str) -> Option<i64> {
        self.text(key)?.parse().ok()
    }

    /// Whether it is switched on.
    pub fn is_on(&self, key: &str) -> bool {
        self.0.get(key).and_then(Value::as_bool).unwrap_or_default()
    }
}

/// Reads an export.
///
/// # Errors
/// The rest of a sentence whose first word is the file's name, without the full stop.
pub fn read(bytes: &[u8]) -> Result<Export, String> {
    if bytes.starts_with(b"SQLite format 3") {
        return Err(format!("is a database, not an export; expected {EXPECTED}"));
    }
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(format!("is empty; expected {EXPECTED}"));
    }
    let value: Value = serde_json::from_slice(bytes).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        if error.is_eof() {
            format!("ends in the middle (line {line}): it is damaged, export it again")
        } else {
            format!("is not JSON (line {line}, column {column}); expected {EXPECTED}")
        }
    })?;
    if is_encrypted(&value) {
        return Err("is encrypted; export it again with the password field left empty".into());
    }
    let list = storages(&value).ok_or_else(|| format!("has no list \"storages\"; expected {EXPECTED}"))?;
    let storages = list.iter().enumerate().map(|(at, value)| storage(at + 1, value));
    Ok(Export {
        storages: storages.collect::<Result<_, _>>()?,
        users: users(&value),
        token: token(&value),
    })
}

fn is_encrypted(value: &Value) -> bool {
    let mark = value.get("encrypted").and_then(Value::as_str);
    mark.is_some_and(|mark| !mark.is_empty())
}

/// The list in a whole export, in an answer of `/api/admin/storage/list`, or alone.
fn storages(value: &Value) -> Option<&Vec<Value>> {
    let places = ["/storages", "/data/content", "/content", ""];
    places
        .iter()
        .find_map(|place| value.pointer(place).and_then(Value::as_array))
}

fn storage(number: usize, value: &Value) -> Result<Storage, String> {
    let damaged = |what: &str| format!("is damaged: storage {number} {what}; export it again");
    let common = Fields(
        value
            .as_object()
            .cloned()
            .ok_or_else(|| damaged("is no object"))?,
    );
    let mount_path = common
        .text("mount_path")
        .ok_or_else(|| damaged("has no mount_path"))?;
    let driver = common.text("driver").ok_or_else(|| damaged("has no driver"))?;
    let mut storage = Storage {
        mount_path,
        driver,
        disabled: common.is_on("disabled"),
        common,
        own: Fields::default(),
    };
    if storage.kind().is_some() {
        let path = &storage.mount_path;
        let own = match storage.common.0.get("addition") {
            Some(Value::Object(own)) => Some(own.clone()),
            Some(Value::String(text)) => serde_json::from_str(text).ok(),
            _ => None,
        };
        let sentence = || damaged(&format!("({path}) has an addition that is no JSON object"));
        storage.own = Fields(own.ok_or_else(sentence)?);
    }
    Ok(storage)
}

/// Role 1 is the guest, who has no password.
fn users(value: &Value) -> Vec<User> {
    let list = value.get("users").and_then(Value::as_array);
    let objects = list.into_iter().flatten().filter_map(Value::as_object);
    let fields = objects.map(|object| Fields(object.clone()));
    fields
        .filter(|user| !user.is_on("disabled") && user.number("role") != Some(1))
        .filter_map(|user| {
            Some(User {
                name: user.text("username")?,
                root: user.text("base_path").unwrap_or_else(|| "/".into()),
            })
        })
        .collect()
}

fn token(value: &Value) -> Option<String> {
    let list = value.get("settings").and_then(Value::as_array)?;
    let token = list
        .iter()
        .find(|setting| setting.get("key").and_then(Value::as_str) == Some("token"));
    let token = token?.get("value")?.as_str()?;
    (!token.is_empty()).then(|| token.to_owned())
}

//! The house rules of the sources: who may know whom, where a library may be named, how long a file may be.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Lines of a file at the most, its tests included.
const LINES: usize = 500;

/// Rooms and leaves, and what each may use beside itself.
const MAY_USE: &[(&str, &[&str])] = &[
    (
        "cli",
        &["server", "dav", "delivery", "tree", "drive", "pan", "sim"],
    ),
    ("server", &["dav", "delivery", "tree", "drive"]),
    ("dav", &["tree", "drive"]),
    ("delivery", &["tree", "drive"]),
    ("tree", &["drive"]),
    ("drive", &["pan"]),
    ("pan", &[]),
    ("sim", &[]),
    // Lists the properties that the rooms have of their own.
    (
        "fuzz",
        &["cli", "server", "dav", "delivery", "tree", "drive", "pan"],
    ),
];

/// Known by all, knowing no room; among each other only as [`LEAVES_MAY_USE`] says.
const LEAVES: &[&str] = &[
    "config",
    "clock",
    "date",
    "body",
    "state",
    "metrics",
    "media_type",
    "hex",
    "private",
    "spare",
];

const LEAVES_MAY_USE: &[(&str, &str)] = &[
    ("config", "hex"),
    ("state", "config"),
    ("state", "private"),
    ("state", "clock"),
    ("body", "metrics"),
];

/// Libraries that only one place may name.
const NAMED_IN: &[(&str, &[&str])] = &[
    ("dav_server::", &["dav/", "body.rs"]),
    ("reqwest::", &["pan/http.rs", "cli/warm.rs"]),
    ("redb::", &["state.rs", "state/"]),
    ("hyper_util::client", &["delivery/cdn.rs", "delivery/connect.rs"]),
];

/// All sources below `src`, with their paths from there and the code before their tests.
fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&src, &mut paths);
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let text = std::fs::read_to_string(&path).unwrap();
            let name = path
                .strip_prefix(&src)
                .unwrap()
                .to_str()
                .unwrap()
                .replace('\\', "/");
            (name, text)
        })
        .collect()
}

/// Test modules may look into other rooms.
fn is_test(name: &str) -> bool {
    name.contains("tests") || name.ends_with("/fake_cdn.rs")
}

fn without_tests(text: &str) -> &str {
    let tests = [
        "#[cfg(test)]\nmod tests {",
        "#[cfg(test)]\n#[allow",
        "#[cfg(test)]\npub(crate) mod tests {",
    ];
    let end = tests.iter().filter_map(|mark| text.find(mark)).min();
    &text[..end.unwrap_or(text.len())]
}

/// The modules at the top of the library that a text names by `crate::`.
fn named(text: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for line in text.lines().filter(|l| !l.trim_start().starts_with("//")) {
        for rest in line.split("crate::").skip(1) {
            if let Some(group) = rest.strip_prefix('{') {
                let inner = group.split('}').next().unwrap_or_default();
                found.extend(inner.split(',').map(first_word).filter(|w| !w.is_empty()));
            } else {
                found.insert(first_word(rest));
            }
        }
    }
    found
}

fn first_word(text: &str) -> String {
    text.trim()
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect()
}

fn room(name: &str) -> &str {
    name.split(['/', '.']).next().unwrap()
}

#[test]
fn arrows_run_one_way() {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for (name, text) in sources() {
        let room = room(&name).to_owned();
        seen.insert(room.clone());
        if is_test(&name) || ["lib", "main"].contains(&room.as_str()) {
            continue;
        }
        for other in named(without_tests(&text)) {
            let leaf = LEAVES.contains(&other.as_str());
            let allowed = match MAY_USE.iter().find(|(own, _)| *own == room) {
                Some((own, others)) => {
                    (leaf && *own != "sim") || other == room || others.contains(&other.as_str())
                }
                None => {
                    let pair = (room.as_str(), other.as_str());
                    LEAVES.contains(&room.as_str()) && (other == room || LEAVES_MAY_USE.contains(&pair))
                }
            };
            // Only the demonstration knows the simulated cloud.
            let demo = other != "sim" || room == "sim" || name == "cli/demo.rs";
            if !allowed || !demo {
                wrong.push(format!("{name} uses crate::{other}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    for (own, _) in MAY_USE {
        assert!(seen.contains(*own), "there is no {own} any more");
    }
}

#[test]
fn a_library_is_named_only_where_it_may_be() {
    let mut wrong = Vec::new();
    for (name, text) in sources() {
        if is_test(&name) {
            continue;
        }
        for (library, places) in NAMED_IN {
            let code = without_tests(&text)
                .lines()
                .any(|l| !l.trim_start().starts_with("//") && l.contains(library));
            if code && !places.iter().any(|place| name.starts_with(place)) {
                wrong.push(format!("{name} names {library}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn no_source_file_is_longer_than_500_lines() {
    let long: Vec<String> = sources()
        .into_iter()
        .map(|(name, text)| (name, text.lines().count()))
        .filter(|(_, lines)| *lines > LINES)
        .map(|(name, lines)| format!("{name}: {lines}"))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn every_module_begins_with_what_it_is() {
    let bare: Vec<String> = sources()
        .into_iter()
        .filter(|(name, text)| !is_test(name) && !text.starts_with("//!"))
        .map(|(name, _)| name)
        .collect();
    assert!(bare.is_empty(), "{bare:#?}");
}

#[test]
fn the_names_that_a_text_uses_are_found() {
    let found =
        named("use crate::{body, tree::Tree};\nlet x = crate::config::load();\n// crate::pan is not code");
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["body", "config", "tree"]);
}

//! dav.example.toml is right and whole.

use std::path::Path;

use super::super::{
    delivery,
    file::{TOP, parse_in},
    mount, proxy, server,
};
use super::environment;

/// Every key that the readers know, as `key = `.
fn known_keys() -> Vec<&'static str> {
    let sections = [
        server::SERVER,
        server::CACHE,
        server::UPLOAD,
        server::USER,
        proxy::PROXY,
        mount::EVERY,
    ];
    let delivery = [
        delivery::DELIVERY,
        delivery::CLIENT,
        delivery::BUDGET,
        delivery::ENDPOINTS,
    ];
    let kinds = mount::KINDS.iter().map(|(_, keys)| *keys);
    let keys = sections
        .into_iter()
        .chain(delivery)
        .chain(kinds)
        .flatten()
        .copied();
    keys.filter(|key| !matches!(*key, "client" | "endpoints"))
        .collect()
}

const EXAMPLE: &str = include_str!("../../../dav.example.toml");

#[test]
fn the_example_file_is_read_as_it_is_and_with_every_comment_taken_away() {
    let (config, _) = parse_in(EXAMPLE, Path::new("dav.toml"), &environment).unwrap();
    assert!(!config.mounts.is_empty());

    let dir = tempfile::tempdir().unwrap();
    let mut open = String::new();
    for line in EXAMPLE.lines() {
        let setting = line
            .strip_prefix('#')
            .filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '['));
        open.push_str(setting.unwrap_or(line));
        open.push('\n');
    }
    for file in [
        "me.password",
        "123pan.password",
        "123pan.token",
        "share.password",
        "link.key",
        "open.secret",
        "open.token",
        "worker.key",
        "outbound.url",
    ] {
        std::fs::write(dir.path().join(file), "x\n").unwrap();
    }
    let every = |_: &str| Some("/x".to_owned());
    let error = parse_in(&open, &dir.path().join("dav.toml"), &every).unwrap_err();
    for problem in error.problems() {
        assert!(
            problem.sentence.contains("; keep one of "),
            "only alternatives may clash: {problem:?}"
        );
    }
}

#[test]
fn the_example_file_shows_every_key() {
    for key in known_keys() {
        let shown = EXAMPLE.lines().any(|line| {
            let line = line.strip_prefix('#').unwrap_or(line);
            line.starts_with(&format!("{key} = "))
                || line.contains(&format!("{{ {key} = "))
                || line.contains(&format!(", {key} = "))
        });
        assert!(shown, "{key}");
    }
    for header in TOP.iter().copied().chain(["mount.client", "mount.endpoints"]) {
        assert!(EXAMPLE.contains(&format!("[{header}]")), "{header}");
    }
}

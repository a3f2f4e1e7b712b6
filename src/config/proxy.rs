//! `[proxy]`: what makes this dav123 the proxy of another one.

use super::delivery::{URL, base_url};
use super::section::Section;
use super::{Proxy, secret};

/// Keys of `[proxy]`.
pub const PROXY: &[&str] = &["origin", "secret", "secret_env", "secret_file"];

/// Reads `[proxy]`; `None` where something is missing or wrong, which is noted.
pub fn proxy(mut section: Section<'_>) -> Option<Proxy> {
    section.refuse_others(PROXY);
    section.require(
        "origin",
        "expected the address of the dav123 whose files are served, such as \"https://home.example:8123\"",
    );
    if !secret::is_given(&section, "secret") {
        section.problem(
            "secret",
            "missing; expected secret, secret_env or secret_file: the proxy_secret of the origin's mount",
        );
    }
    let origin = section.parsed("origin", URL, base_url);
    let secret = secret::read(&mut section, "secret");
    Some(Proxy {
        origin: origin?,
        secret: secret?,
    })
}

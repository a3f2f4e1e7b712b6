//! Real clients against the built server. Ignored where their program is not installed: `tests/run` installs them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::duplicate_mod, missing_docs)]

#[path = "../world/mod.rs"]
#[allow(dead_code)]
mod world;

mod browser;
mod by_open;
mod chromium;
mod curl;
mod demo;
mod film;
mod governor;
mod gvfs;
mod mounts;
mod open_clients;
mod players;
mod program;
mod rclone;
mod replay;
mod schemes;
mod seeking;
mod sequences;
mod unit;
mod write;

/// The kind of mount of the tests that are made for two; [`by_open`] has the other.
const KIND: world::kind::Kind = world::kind::Kind::Account;

//! Tests through the front door: HTTP against the built server, in front of the simulated cloud.
// The tests of what two kinds of mount do alike are written once and made for each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::duplicate_mod, missing_docs)]

#[path = "../world/mod.rs"]
#[allow(dead_code)]
mod world;

mod arrows;
mod by_open;
mod codes;
mod commands;
mod confined;
mod connections;
mod costs;
mod delivery;
mod demo;
mod direct;
mod faults;
mod floods;
mod forwarded;
mod governor;
mod import;
mod kill;
mod limits;
mod listing;
mod locks;
mod login;
mod memory;
mod metrics;
mod mistakes;
mod open;
mod open_sha1;
mod open_token;
mod operation;
mod outage;
#[cfg(target_os = "linux")]
mod outbound;
mod pages;
mod paging;
mod parts;
mod proxy;
mod read;
mod replace;
mod role;
mod rules;
mod running;
mod secrets;
mod share;
mod sign_in;
mod spool;
mod stale;
mod status;
mod trust;
mod upload_faults;
mod web;
mod worker;
mod write;

/// The kind of mount of the tests that are made for two; [`by_open`] has the other.
const KIND: world::kind::Kind = world::kind::Kind::Account;

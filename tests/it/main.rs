//! Tests through the front door: HTTP against the built server, in front of the simulated cloud.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../world/mod.rs"]
#[allow(dead_code)]
mod world;

mod arrows;
mod codes;
mod commands;
mod confined;
mod connections;
mod costs;
mod delivery;
mod direct;
mod faults;
mod forwarded;
mod governor;
mod kill;
mod limits;
mod listing;
mod login;
mod memory;
mod metrics;
mod open;
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
mod worker;
mod write;

//! Tests through the front door: HTTP against the built server, in front of the simulated cloud.
#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

#[path = "../world/mod.rs"]
#[allow(dead_code)]
mod world;

mod arrows;
mod commands;
mod connections;
mod delivery;
mod direct;
mod faults;
mod kill;
mod listing;
mod memory;
mod open;
mod pages;
mod paging;
mod parts;
mod proxy;
mod read;
mod rules;
mod running;
mod secrets;
mod share;
mod sign_in;
mod spool;
mod write;

//! dav123: a WebDAV server for the 123pan cloud drive.
//!
//! Where a request goes: [`server`] signs the user in and cuts the prefix; [`dav`] answers
//! PROPFIND and the writing methods, [`delivery`] answers GET and HEAD; both ask the [`tree`],
//! which knows paths, mounts and caches; the tree asks a [`drive`], which knows one kind of source;
//! a drive speaks to 123pan through [`pan`]. Arrows never run the other way.

pub mod body;
pub mod cli;
pub mod clock;
pub mod config;
pub mod date;
pub mod dav;
pub mod delivery;
pub mod drive;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod hex;
pub mod media_type;
pub mod metrics;
pub mod pan;
pub mod private;
pub mod server;
pub mod sim;
pub mod spare;
pub mod state;
pub mod tree;

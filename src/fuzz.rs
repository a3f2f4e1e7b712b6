//! What must hold for any input from outside, whoever made it: one function for each kind of input, which panics where it does
//! not hold.
//!
//! The functions are called in two ways. `fuzz/run` lets libFuzzer look for inputs that break one, guided by coverage. The
//! tests here call them with the inputs of `fuzz/seeds`, which clients and services really send, and with mutations of
//! them. This module and those below it are in no build that users get.

pub use crate::cli::import_file;
pub use crate::config::fuzz::{config, share_link};
pub use crate::dav::fuzz::{depth, destination, if_header, xml};
pub use crate::delivery::fuzz::range;
pub use crate::drive::fuzz::answers;
pub use crate::pan::direct::fuzz::links;
pub use crate::server::fuzz::{forwarded, requests, sign_in};
pub use crate::tree::fuzz::paths;

#[cfg(test)]
mod tests;

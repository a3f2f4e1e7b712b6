//! What is spoken with 123pan: the web API, shares, direct links, the Open platform.
//!
//! Each call's request and answer are one struct in one place: lenient on what comes in, strict on
//! what goes out. Sections named in the docs are those of the API page (`reference/123pan-api.md`).
//!
//! A call goes: [`halt`] says whether any is made, [`token`] gives the account's token, [`pace`] lets
//! it through, those that somebody waits for first ([`urgency`]), [`sign`] signs it, [`http`] sends it
//! to one of the [`hosts`], [`envelope`] reads the answer, [`retry`] says whether it is tried again.
//! [`web::Web`] is where these meet.

mod call;
pub mod direct;
pub mod envelope;
pub mod error;
pub mod halt;
pub mod hosts;
pub mod http;
pub mod kept;
pub mod lenient;
mod minutes;
pub mod open;
pub mod outgoing;
pub mod pace;
pub mod parts;
pub mod relay;
pub mod retry;
mod sentence;
pub mod sign;
pub mod token;
pub mod urgency;
pub mod web;

#[cfg(test)]
pub(crate) mod canned;

pub use error::{Error, Reason, Said};
pub use urgency::{Urgency, in_background};

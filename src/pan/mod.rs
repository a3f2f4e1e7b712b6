//! What is spoken with 123pan: the web API, shares, direct links, the Open platform.
//!
//! Each call's request and answer are one struct in one place: lenient on what comes in, strict on
//! what goes out. Sections named in the docs are those of the API page (`reference/123pan-api.md`).

pub mod direct;
pub mod http;

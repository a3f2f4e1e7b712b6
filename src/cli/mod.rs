//! cli

pub mod sign;

//! Round trips over sockets, as a client sees the cloud.
#![allow(clippy::unwrap_used, clippy::expect_used)]

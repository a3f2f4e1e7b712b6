//! The tests of writing once more, for a mount of the Open platform.

const KIND: crate::world::kind::Kind = crate::world::kind::Kind::Open;

#[path = "replace.rs"]
mod replace;
#[path = "spool.rs"]
mod spool;
#[path = "write.rs"]
mod write;

//! The tests of listing, delivery and writing once more, for a mount of the Open platform.

const KIND: crate::world::kind::Kind = crate::world::kind::Kind::Open;

#[path = "costs.rs"]
mod costs;
#[path = "delivery.rs"]
mod delivery;
#[path = "faults.rs"]
mod faults;
#[path = "kill.rs"]
mod kill;
#[path = "listing.rs"]
mod listing;
#[path = "memory.rs"]
mod memory;
#[path = "paging.rs"]
mod paging;
#[path = "parts.rs"]
mod parts;
#[path = "proxy.rs"]
mod proxy;
#[path = "read.rs"]
mod read;
#[path = "replace.rs"]
mod replace;
#[path = "spool.rs"]
mod spool;
#[path = "stale.rs"]
mod stale;
#[path = "upload_faults.rs"]
mod upload_faults;
#[path = "write.rs"]
mod write;

//! Clients that read and write once more, for a mount of the Open platform. Players that are played on from outside
//! (`seeking`) are not among them: what they see of a kind is its links, which `players` and the delivery tests cover.

const KIND: crate::world::kind::Kind = crate::world::kind::Kind::Open;

#[path = "mounts.rs"]
mod mounts;
#[path = "players.rs"]
mod players;
#[path = "rclone.rs"]
mod rclone;
#[path = "write.rs"]
mod write;

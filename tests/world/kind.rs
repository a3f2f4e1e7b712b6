//! The kinds of mount that can be written to: the same tests for each.

use dav123::sim::{Cloud, Fault};

use super::{World, account, open};

/// A kind of mount, and the API behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `kind = "account"`, the web API.
    Account,
    /// `kind = "open"`, the Open platform.
    Open,
}

impl Kind {
    /// A mount of this kind with more lines (before its endpoints).
    pub fn mount(self, cloud: &Cloud, path: &str, more: &str) -> String {
        match self {
            Self::Account => account(cloud, path, more),
            Self::Open => open(cloud, path, more),
        }
    }

    /// The counter name of an endpoint of the web API, or of what the Open platform has in its place.
    pub fn named(self, endpoint: &'static str) -> &'static str {
        if self == Self::Account {
            return endpoint;
        }
        match endpoint {
            "upload_request" => "open_create",
            "put_part" => "open_slice",
            "upload_complete" => "open_complete",
            "file_info" => "open_infos",
            "list" => "open_list",
            "rename" => "open_rename",
            "move" => "open_move",
            "trash" => "open_trash",
            "delete" => "open_delete",
            "copy" => "open_copy",
            other => other,
        }
    }
}

impl World {
    /// The same world, whose endpoints are those of a kind.
    pub fn of(mut self, kind: Kind) -> Self {
        self.kind = kind;
        self
    }

    /// Adds a fault at an endpoint, by its name in the web API.
    pub fn fault(&self, fault: Fault) {
        self.cloud.fault(Fault {
            at: self.kind.named(fault.at),
            ..fault
        });
    }
}

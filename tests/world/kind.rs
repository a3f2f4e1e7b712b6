//! The kinds of mount that can be written to: the same tests for each.

use dav123::sim::{Cloud, Fault};

use super::{World, account, open, options};

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

    /// The kind of the first mount of a configuration; an account where it is neither.
    pub fn of_first(config: &str) -> Self {
        let first = config.lines().find(|line| line.starts_with("kind = "));
        if first == Some("kind = \"open\"") {
            Self::Open
        } else {
            Self::Account
        }
    }

    /// A cloud as of [`options`], prepared by `fill`, and a server with one mount of this kind at `/drive`.
    pub async fn world(self, fill: impl FnOnce(&Cloud)) -> World {
        World::start(options(), fill, |cloud| self.mount(cloud, "/drive", "")).await
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
            "mkdir" => "open_mkdir",
            "copy" => "open_copy",
            "download_info" => "open_download_info",
            "user_info" => "open_user_info",
            "sign_in" => "open_access_token",
            other => other,
        }
    }
}

impl World {
    /// Adds a fault at an endpoint, by its name in the web API.
    pub fn fault(&self, fault: Fault) {
        self.cloud.fault(Fault {
            at: self.kind.named(fault.at),
            ..fault
        });
    }
}

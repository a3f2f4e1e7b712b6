//! Which client asks: a few are told the same things in another way.

use http::HeaderMap;
use http::header::USER_AGENT;

use super::property::Property::{
    ContentLength, ContentType, CreationDate, DisplayName, Etag, LastModified, LockDiscovery, ResourceType,
    SupportedLock,
};
use super::property::Set;

/// What an agent needs to be told differently. An agent that does not name itself gets the standard (A14).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Agent {
    /// Any of Microsoft's: its `allprop` is kept small (W10).
    microsoft: bool,
    /// Explorer's redirector: its creation dates are RFC 1123 (W13).
    redirector: bool,
}

impl Agent {
    /// The agent that says so in these headers.
    pub fn of(headers: &HeaderMap) -> Self {
        let agent = headers
            .get(USER_AGENT)
            .and_then(|agent| agent.to_str().ok())
            .unwrap_or_default();
        Self {
            microsoft: agent.contains("Microsoft"),
            redirector: agent.contains("Microsoft-WebDAV"),
        }
    }

    /// Explorer's redirector.
    pub(super) fn is_redirector(self) -> bool {
        self.redirector
    }

    /// What `allprop` gives: those of RFC 4918 15, as 9.1 wants, without RFC 4331's (its section 3 and 4).
    /// Explorer reads at most a megabyte of properties for a folder, so it gets none of locks (W10).
    pub fn all(self) -> Set {
        const SMALL: Set = Set::of(&[
            ResourceType,
            DisplayName,
            ContentLength,
            LastModified,
            CreationDate,
            Etag,
            ContentType,
        ]);
        const LOCKS: Set = Set::of(&[SupportedLock, LockDiscovery]);
        if self.microsoft { SMALL } else { SMALL.or(LOCKS) }
    }
}

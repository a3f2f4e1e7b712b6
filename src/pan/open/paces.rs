//! How often the Open platform may be called: each endpoint by itself, members more often (API page 8.4).
//!
//! Where the table has no figure for a developer's token, it is that for OAuth tokens or what a widely used client runs at,
//! whichever is less; what nobody says goes once a second.

use std::time::Duration;

use super::{DIRECT_LINK, DOWNLOAD, LIST, USER, change, upload};
use crate::pan::pace::Gates;

/// An endpoint, and its calls a second for free and for member accounts.
const PER_SECOND: [(&str, f64, f64); 16] = [
    (LIST, 5.0, 10.0),
    (USER, 10.0, 10.0),
    (DOWNLOAD, 5.0, 5.0),
    (DIRECT_LINK, 5.0, 5.0),
    (change::INFOS, 5.0, 10.0),
    (change::MKDIR, 5.0, 20.0),
    (change::NAME, 1.0, 1.0),
    (change::MOVE, 3.0, 10.0),
    (change::TRASH, 2.0, 5.0),
    (change::DELETE, 1.0, 10.0),
    (change::COPY, 1.0, 1.0),
    (change::COPY_TASK, 1.0, 1.0),
    (upload::CREATE, 2.0, 5.0),
    (upload::SHA1_REUSE, 2.0, 2.0),
    (upload::SLICE, 20.0, 20.0),
    (upload::COMPLETE, 5.0, 5.0),
];
/// The interval is longer by this factor: of two calls the second one may travel faster.
const MARGIN: f64 = 1.02;

/// Gives the endpoints their paces.
pub(super) fn set(gates: &Gates, member: bool) {
    for (endpoint, free, members) in PER_SECOND {
        let rate = if member { members } else { free };
        gates.set(endpoint, Duration::from_secs_f64(MARGIN / rate));
    }
}

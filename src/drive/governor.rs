//! What holds the calls of a drive back: the pace of each endpoint, and whether calls are made at all.

pub use crate::pan::pace::Standing;
pub use crate::pan::urgency::{Urgency, in_background};

use crate::pan::token::Session;

/// How the calls behind a drive stand. Drives of one account say the same.
#[derive(Debug, Clone, Default)]
pub struct Governor {
    /// The endpoints called so far, by name.
    pub calls: Vec<Standing>,
}

impl Governor {
    pub(super) fn of(session: &Session) -> Self {
        Self {
            calls: session.gates().standing(),
        }
    }
}

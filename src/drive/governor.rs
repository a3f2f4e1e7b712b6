//! What holds the calls of a drive back: the pace of each endpoint, and whether calls are made at all.

pub use crate::pan::pace::Standing;
pub use crate::pan::urgency::{Urgency, in_background};

use std::time::Duration;

use crate::pan::token::Session;

/// How the calls behind a drive stand. Drives of one account say the same.
#[derive(Debug, Clone, Default)]
pub struct Governor {
    /// Equal for drives that share their gates; 0 where a drive has none.
    pub gates: u64,
    /// The endpoints called so far, by name.
    pub calls: Vec<Standing>,
    /// Why no call is made, if so.
    pub halted: Option<Halted>,
}

/// Why no call is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halted {
    /// One plain sentence: what went wrong, what to do.
    pub sentence: String,
    /// The time until it is tried again; `None` where a person must act.
    pub wait: Option<Duration>,
}

impl Governor {
    pub(super) fn of(session: &Session) -> Self {
        Self {
            gates: session.gates().id,
            calls: session.gates().standing(),
            halted: session.halted().map(|halted| Halted {
                sentence: halted.error.sentence(),
                wait: halted.wait,
            }),
        }
    }
}

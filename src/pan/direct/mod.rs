//! Direct links (API page section 9): the list a user writes, the signature a link needs, and what the
//! CDN says about a file.
//!
//! The list holds unsigned URLs; they are parsed once ([`list`]) and signed for each use ([`sign`]),
//! so that what goes out works for minutes and what is kept never leaves the process.

#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod line;
pub mod list;
pub mod probe;
pub mod sign;
mod url;

pub use line::LineFault;
pub use list::{Content, FileLine, LineError, LinkList, Node};
pub use probe::{Answer, Facts, Failure};
pub use sign::{PathForm, SignError, Signer};
pub use url::{DirectUrl, UrlFault};

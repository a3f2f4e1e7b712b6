//! The one error a drive returns.
//!
//! Its [`ErrorKind`] is what a caller can act on, its [`Retry`] says whether trying again can
//! help, its sentence is for a person. It is cheap to clone because one failed call to 123pan is
//! handed to every request that was waiting for it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What went wrong, in the terms a caller can act on. Each kind has one row in `server/answer.rs`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The resource does not exist: the drive said so, or a whole listing lacks the name.
    NotFound,
    /// A member of that name exists already (123pan code 5060).
    Exists,
    /// A folder was needed and the resource is a file.
    NotAFolder,
    /// A file was needed and the resource is a folder.
    IsAFolder,
    /// The drive forbids it to this user: wrong share password, login or payment needed.
    Forbidden,
    /// The mount cannot be written to.
    ReadOnly,
    /// Signing in to 123pan failed (wrong password, too many devices): a person must act.
    SignIn,
    /// 123pan wants an interactive check, or has banned this address: every further call is
    /// stopped (API page 2.5).
    RiskControl,
    /// 123pan asks to slow down (HTTP 429, `操作频繁`).
    Busy,
    /// The account's download traffic is used up (codes 5113 and 5114).
    TrafficUsedUp,
    /// The drive has no space left, or the spool's disk has none.
    NoSpace,
    /// The file is larger than can be stored.
    TooLarge,
    /// 123pan does not accept the name.
    BadName,
    /// The bytes do not have the checksum that was announced.
    ChecksumMismatch,
    /// The share or link has ended (code 5104).
    Gone,
    /// The drive cannot do this at all.
    Unsupported,
    /// The service answered something that is not an answer: HTML, broken JSON, a wrong length.
    Nonsense,
    /// No connection could be made, or it broke.
    Unreachable,
    /// The service took too long.
    Timeout,
}

/// Whether, and when, the same call may succeed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retry {
    /// Not before a person changes something.
    Never,
    /// Not before this time has passed.
    After(Duration),
    /// At once or a little later.
    Soon,
}

/// An error of a drive. One pointer; cloning shares it.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    sentence: String,
    retry: Retry,
    source: Option<Arc<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A new error with the retry advice that goes with its kind.
    ///
    /// `sentence` is one plain sentence (what went wrong, what to do), without secrets.
    pub fn new(kind: ErrorKind, sentence: impl Into<String>) -> Self {
        let retry = match kind {
            ErrorKind::Busy => Retry::After(Duration::from_secs(5)),
            ErrorKind::Unreachable | ErrorKind::Timeout | ErrorKind::Nonsense => Retry::Soon,
            _ => Retry::Never,
        };
        Self(Arc::new(Inner {
            kind,
            sentence: sentence.into(),
            retry,
            source: None,
        }))
    }

    /// The same error with other retry advice.
    #[must_use]
    pub fn with_retry(self, retry: Retry) -> Self {
        let inner = &self.0;
        Self(Arc::new(Inner {
            kind: inner.kind,
            sentence: inner.sentence.clone(),
            retry,
            source: inner.source.clone(),
        }))
    }

    /// The same error with its cause, which must not print secrets.
    #[must_use]
    pub fn with_source(self, source: impl std::error::Error + Send + Sync + 'static) -> Self {
        let inner = &self.0;
        Self(Arc::new(Inner {
            kind: inner.kind,
            sentence: inner.sentence.clone(),
            retry: inner.retry,
            source: Some(Arc::new(source)),
        }))
    }

    /// What a caller can act on.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether trying again can help.
    pub fn retry(&self) -> Retry {
        self.0.retry
    }

    /// One plain sentence for a person.
    pub fn sentence(&self) -> &str {
        &self.0.sentence
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.sentence)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("sentence", &self.0.sentence)
            .field("retry", &self.0.retry)
            .field("source", &self.0.source)
            .finish()
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.0
            .source
            .as_deref()
            .map(|s| s as &(dyn std::error::Error + 'static))
    }
}

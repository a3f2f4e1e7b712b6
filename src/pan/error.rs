//! Why a call to 123pan gave no result.
//!
//! Each [`Reason`] is something a caller acts on differently. What the service said is kept as it
//! said it (it writes Chinese); nothing here holds a URL, a token or a password, so an error can
//! be logged and shown. It is cloned to everybody who waited for the same call.

use std::fmt;
use std::time::Duration;

use super::http::HttpError;

/// Longest piece of a service's message that is kept, in characters.
const MESSAGE_LIMIT: usize = 200;

/// Longest trace id that is kept.
const TRACE_LIMIT: usize = 64;

/// A failed call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    /// The call as the API names it, such as `file/list/new`.
    pub call: &'static str,
    /// What went wrong.
    pub reason: Reason,
}

/// What the service said, made safe to print.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Said {
    /// The envelope's code, where there was one.
    pub code: Option<i64>,
    /// The envelope's message: one line, at most 200 characters.
    pub text: String,
    /// The Open platform's `x-traceID`, which its support asks for (API page 2.1); empty elsewhere.
    pub trace: String,
}

/// What went wrong (API page 2.4).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The token is missing, wrong or too old (codes 401, 20101, 2; HTTP 401).
    Session(Said),
    /// The token has gone and there is no password to get another one with.
    NoPassword(Said),
    /// There is no token and nothing to get one with: nobody has signed in yet.
    NotSignedIn,
    /// A token was refused right after the sign-in that had given it.
    FreshTokenRefused(Said),
    /// The account's token or password cannot be sent in a header or body.
    BadCredentials,
    /// Signing in was refused.
    PasswordRefused {
        /// The service's words.
        said: Said,
        /// The password has more characters than the 16 that 123pan is said to keep (API page 5.1).
        long: bool,
    },
    /// 123pan wants a person to prove himself (API page 2.5).
    Risk(Said),
    /// This network address is banned at the load balancer.
    Banned {
        /// The service's words.
        said: Said,
        /// When it is tried whether the ban is over.
        after: Option<Duration>,
    },
    /// Asked to slow down.
    Busy {
        /// The service's words; empty where our own queue is too long.
        said: Said,
        /// When to come again, where that is known.
        after: Option<Duration>,
    },
    /// A member of that name exists (5060).
    Exists(Said),
    /// No such file (5066).
    NotFound(Said),
    /// Wrong share key or share password (5103).
    SharePassword(Said),
    /// The share has ended (5104, `Expired`), or its key is dead.
    ShareGone(Said),
    /// Login or payment needed for this share (5112).
    LoginNeeded(Said),
    /// Download traffic used up (5113, 5114).
    Traffic(Said),
    /// The query signature was refused (`签名错误`).
    Signature(Said),
    /// The CDN refuses the Referer (1010).
    Referer(Said),
    /// The CDN gives this link to another city's addresses only (1010).
    City(Said),
    /// Any other refusal.
    Refused(Said),
    /// Something that is not an answer of this API: HTML, broken JSON, missing fields.
    Nonsense(&'static str),
    /// A server error without a usable envelope.
    Status(u16),
    /// No answer at all.
    Http(HttpError),
}

impl Error {
    /// An error of a call.
    pub fn new(call: &'static str, reason: Reason) -> Self {
        Self { call, reason }
    }

    /// Whether the call may have been carried out all the same: the state must be read before it is
    /// made again (API page 2.3).
    pub fn is_unclear(&self) -> bool {
        matches!(
            self.reason,
            Reason::Nonsense(_)
                | Reason::Status(_)
                | Reason::Http(HttpError::Timeout | HttpError::Broken | HttpError::TooLong(_))
        )
    }

    /// The same error with the time to wait, where the reason is [`Reason::Busy`] or [`Reason::Banned`].
    #[must_use]
    pub fn with_after(mut self, wait: Option<Duration>) -> Self {
        if let Reason::Busy { after, .. } | Reason::Banned { after, .. } = &mut self.reason {
            *after = wait.or(*after);
        }
        self
    }
}

impl Reason {
    /// Whether the service has understood the call and answered it, be it with a refusal: neither the
    /// pace nor a ban was in the way.
    pub fn is_answer(&self) -> bool {
        !matches!(
            self,
            Self::Busy { .. }
                | Self::Banned { .. }
                | Self::Risk(_)
                | Self::Nonsense(_)
                | Self::Status(_)
                | Self::Http(_)
        )
    }
}

impl Reason {
    /// The same with the id under which the service has noted it.
    #[must_use]
    pub(super) fn traced(mut self, trace: &str) -> Self {
        if let Some(said) = self.said_mut() {
            let allowed = |c: &char| c.is_ascii_alphanumeric() || "-_.".contains(*c);
            said.trace = trace.chars().filter(allowed).take(TRACE_LIMIT).collect();
        }
        self
    }

    fn said_mut(&mut self) -> Option<&mut Said> {
        match self {
            Self::Session(said)
            | Self::NoPassword(said)
            | Self::FreshTokenRefused(said)
            | Self::PasswordRefused { said, .. }
            | Self::Risk(said)
            | Self::Banned { said, .. }
            | Self::Busy { said, .. }
            | Self::Exists(said)
            | Self::NotFound(said)
            | Self::SharePassword(said)
            | Self::ShareGone(said)
            | Self::LoginNeeded(said)
            | Self::Traffic(said)
            | Self::Signature(said)
            | Self::Referer(said)
            | Self::City(said)
            | Self::Refused(said) => Some(said),
            Self::NotSignedIn
            | Self::BadCredentials
            | Self::Nonsense(_)
            | Self::Status(_)
            | Self::Http(_) => None,
        }
    }
}

impl Said {
    /// Keeps a message: control characters become spaces, what is too long is cut.
    pub fn new(code: Option<i64>, text: &str) -> Self {
        let mut kept: String = text
            .trim()
            .chars()
            .map(|c| if c.is_control() { ' ' } else { c })
            .take(MESSAGE_LIMIT)
            .collect();
        // An answer that quotes a link must not carry its signature into a log.
        if let Some(start) = kept.find("://")
            && let Some(query) = kept[start..].find('?')
        {
            kept.truncate(start + query);
        }
        Self {
            code,
            text: kept,
            trace: String::new(),
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.text.is_empty() {
            match self.code {
                Some(code) => write!(f, "code {code}")?,
                None => f.write_str("no reason given")?,
            }
        } else {
            write!(f, "\"{}\"", self.text)?;
            if let Some(code) = self.code {
                write!(f, " (code {code})")?;
            }
        }
        if !self.trace.is_empty() {
            write!(f, ", x-traceID {}", self.trace)?;
        }
        Ok(())
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(said) => write!(f, "the token is not accepted: {said}"),
            Self::NoPassword(said) => {
                write!(f, "the token is not accepted and there is no password: {said}")
            }
            Self::NotSignedIn => f.write_str("nobody is signed in"),
            Self::FreshTokenRefused(said) => write!(f, "a new token is not accepted: {said}"),
            Self::BadCredentials => f.write_str("the token cannot be sent"),
            Self::PasswordRefused { said, .. } => write!(f, "signing in was refused: {said}"),
            Self::Risk(said) => write!(f, "risk control: {said}"),
            Self::Banned { said, .. } => write!(f, "this address is banned: {said}"),
            Self::Busy { said, .. } => write!(f, "too many calls: {said}"),
            Self::Exists(said) => write!(f, "the name exists: {said}"),
            Self::NotFound(said) => write!(f, "no such file: {said}"),
            Self::SharePassword(said) => write!(f, "wrong share key or password: {said}"),
            Self::ShareGone(said) => write!(f, "the share has ended: {said}"),
            Self::LoginNeeded(said) => write!(f, "sign-in needed: {said}"),
            Self::Traffic(said) => write!(f, "download traffic used up: {said}"),
            Self::Signature(said) => write!(f, "the signature was refused: {said}"),
            Self::Referer(said) => write!(f, "the referer was refused: {said}"),
            Self::City(said) => write!(f, "the link is bound to another city: {said}"),
            Self::Refused(said) => write!(f, "refused: {said}"),
            Self::Nonsense(what) => f.write_str(what),
            Self::Status(status) => write!(f, "HTTP status {status}"),
            Self::Http(error) => error.fmt(f),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.reason)
    }
}

impl std::error::Error for Error {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_one_line_without_the_query_of_a_link() {
        let said = Said::new(Some(1), "a\nb https://h/x?auth_key=secret");
        assert_eq!(said.text, "a b https://h/x");
        assert_eq!(Said::new(None, &"长".repeat(900)).text.chars().count(), 200);
    }
}

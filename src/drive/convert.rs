//! The one place where an error of 123pan's API becomes an error of a drive.

use super::error::{Error, ErrorKind, Retry};
use crate::pan;
use crate::pan::Reason;
use crate::pan::http::HttpError;

/// The service's code for "forbidden".
const FORBIDDEN: i64 = 403;

impl From<pan::Error> for Error {
    fn from(error: pan::Error) -> Self {
        let (kind, retry) = meaning(&error.reason);
        let converted = Self::new(kind, error.sentence()).with_source(error);
        match retry {
            Some(retry) => converted.with_retry(retry),
            None => converted,
        }
    }
}

/// The kind, and the retry advice where it is not the kind's own.
fn meaning(reason: &Reason) -> (ErrorKind, Option<Retry>) {
    match reason {
        Reason::Session(_)
        | Reason::NoPassword(_)
        | Reason::NotSignedIn
        | Reason::FreshTokenRefused(_)
        | Reason::BadCredentials
        | Reason::PasswordRefused { .. } => (ErrorKind::SignIn, None),
        Reason::Risk(_) => (ErrorKind::RiskControl, None),
        Reason::Banned { after, .. } => (ErrorKind::RiskControl, after.map(Retry::After)),
        Reason::Busy { after, .. } => (ErrorKind::Busy, after.map(Retry::After)),
        Reason::Exists(_) => (ErrorKind::Exists, None),
        Reason::NotFound(_) => (ErrorKind::NotFound, None),
        Reason::SharePassword(_) | Reason::LoginNeeded(_) | Reason::Referer(_) | Reason::City(_) => {
            (ErrorKind::Forbidden, None)
        }
        Reason::ShareGone(_) => (ErrorKind::Gone, None),
        Reason::Traffic(_) => (ErrorKind::TrafficUsedUp, None),
        Reason::Refused(said) if said.code == Some(FORBIDDEN) => (ErrorKind::Forbidden, None),
        // Understood and refused: the same request will be refused again.
        Reason::Signature(_) | Reason::Refused(_) => (ErrorKind::Nonsense, Some(Retry::Never)),
        Reason::Nonsense(_) | Reason::Status(_) => (ErrorKind::Nonsense, None),
        Reason::Http(HttpError::Timeout) => (ErrorKind::Timeout, None),
        Reason::Http(HttpError::Connect | HttpError::Broken) => (ErrorKind::Unreachable, None),
        Reason::Http(HttpError::TooLong(_) | HttpError::Source) => (ErrorKind::Nonsense, None),
        Reason::Http(HttpError::Request) => (ErrorKind::Nonsense, Some(Retry::Never)),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::pan::Said;

    fn convert(reason: Reason) -> Error {
        pan::Error::new("file/list/new", reason).into()
    }

    #[test]
    fn a_risk_message_is_quoted_and_comes_with_its_remedy() {
        let error = convert(Reason::Risk(Said::new(Some(400), "请进行验证")));
        assert_eq!(error.kind(), ErrorKind::RiskControl);
        assert_eq!(error.retry(), Retry::Never);
        for part in [
            "请进行验证",
            "dav123 login MOUNT",
            "web page",
            "change the password",
            "access_token",
        ] {
            assert!(error.sentence().contains(part), "{}", error.sentence());
        }
    }

    #[test]
    fn busy_says_when_to_come_again() {
        let after = Duration::from_secs(7);
        let said = Said::new(Some(429), "请求太频繁");
        let error = convert(Reason::Busy {
            said,
            after: Some(after),
        });
        assert_eq!(
            (error.kind(), error.retry()),
            (ErrorKind::Busy, Retry::After(after))
        );
    }

    #[test]
    fn a_long_refused_password_gets_the_hint_of_16_characters() {
        let refused = |long| {
            let said = Said::new(Some(401), "账号或密码错误");
            convert(Reason::PasswordRefused { said, long })
        };
        assert_eq!(refused(true).kind(), ErrorKind::SignIn);
        assert!(refused(true).sentence().contains("16 characters"));
        assert!(!refused(false).sentence().contains("16 characters"));
    }

    #[test]
    fn a_share_that_needs_a_login_says_how() {
        let error = convert(Reason::LoginNeeded(Said::new(Some(5112), "请登录后下载")));
        assert_eq!(error.kind(), ErrorKind::Forbidden);
        assert!(error.sentence().contains("`account`"));
    }
}

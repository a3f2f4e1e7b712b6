//! The account itself: space, and the proof that its token works (API page 5.2).

use serde::Deserialize;

use super::{Call, Web};
use crate::pan::error::Error;
use crate::pan::lenient;

/// What of `user/info` is used.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct UserInfo {
    /// Numeric account id.
    #[serde(default, rename = "UID", alias = "uid", deserialize_with = "lenient::int")]
    pub uid: i64,
    /// The name that others see.
    #[serde(
        default,
        rename = "Nickname",
        alias = "nickname",
        deserialize_with = "lenient::text"
    )]
    pub nickname: String,
    /// Phone number.
    #[serde(
        default,
        rename = "Passport",
        alias = "passport",
        deserialize_with = "lenient::text"
    )]
    pub passport: String,
    /// E-mail address.
    #[serde(default, rename = "Mail", alias = "mail", deserialize_with = "lenient::text")]
    pub mail: String,
    /// Bytes used.
    #[serde(
        default,
        rename = "SpaceUsed",
        alias = "spaceUsed",
        deserialize_with = "lenient::int"
    )]
    pub space_used: i64,
    /// Bytes of the account for good.
    #[serde(
        default,
        rename = "SpacePermanent",
        alias = "spacePermanent",
        deserialize_with = "lenient::opt_int"
    )]
    pub space_permanent: Option<i64>,
    /// Bytes of the account for a time.
    #[serde(
        default,
        rename = "SpaceTemp",
        alias = "spaceTemp",
        deserialize_with = "lenient::int"
    )]
    pub space_temporary: i64,
    /// The account is a member's.
    #[serde(default, rename = "Vip", alias = "vip", deserialize_with = "lenient::flag")]
    pub member: bool,
}

impl UserInfo {
    /// Bytes used.
    pub fn used(&self) -> u64 {
        u64::try_from(self.space_used).unwrap_or(0)
    }

    /// Bytes in all, where the answer says so.
    pub fn total(&self) -> Option<u64> {
        let permanent = self.space_permanent?;
        u64::try_from(permanent.saturating_add(self.space_temporary)).ok()
    }
}

impl Web {
    /// The account's space; the cheapest call that needs a token.
    ///
    /// # Errors
    /// See [`crate::pan::Reason`].
    pub async fn user_info(&self) -> Result<UserInfo, Error> {
        self.call(&Call::get("user/info", Vec::new())).await
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn total_is_permanent_plus_temporary_space() {
        let info: UserInfo =
            serde_json::from_str(r#"{"UID":5,"SpaceUsed":"7","SpacePermanent":10,"SpaceTemp":3,"Vip":true}"#)
                .unwrap();
        assert_eq!((info.uid, info.used(), info.total()), (5, 7, Some(13)));
        let none: UserInfo = serde_json::from_str("{}").unwrap();
        assert_eq!(none.total(), None);
    }
}

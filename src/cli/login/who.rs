//! Whose token it is: tried with one call, and not kept where it is another account's than the mount shows.

use anyhow::bail;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use secrecy::{ExposeSecret, SecretString};

use super::Way;
use super::screen::Screen;
use crate::config::Account;
use crate::pan::http::Client;
use crate::pan::token::{Credentials, Session};
use crate::pan::web::Web;
use crate::pan::web::quota::UserInfo;
use crate::pan::{self, Reason};

/// Tries the token with one call; ` as …` for the sentence at the end. A token just signed in for is kept even when
/// the service cannot be asked now; a pasted one must have worked. `before` is the token that the mount had.
pub async fn who(
    http: &Client,
    account: &Account,
    token: &SecretString,
    before: Option<SecretString>,
    way: Way,
    screen: &mut Screen,
) -> anyhow::Result<String> {
    let credentials = Credentials {
        access_token: Some(token.clone()),
        ..Credentials::default()
    };
    let endpoints = account.endpoints.clone();
    let session = Session::new(http.clone(), endpoints.clone(), credentials, None);
    match Web::new(http.clone(), endpoints, session).user_info().await {
        Ok(info) => {
            if let Some(other) = account.username.as_deref().filter(|name| is_other(name, &info)) {
                bail!(
                    "This is the account {}, and the mount is configured for {other}; nothing has changed. \
                     Sign in with the right account, or correct username.",
                    shown(&info)
                );
            }
            // Listings, properties and waiting uploads are kept by the account's name: one without a name stays what it is.
            let before = before.filter(|_| account.username.is_none());
            if before
                .as_ref()
                .and_then(user_of)
                .is_some_and(|id| info.uid != 0 && id != info.uid)
            {
                bail!(
                    "This is the account {}, and this mount was signed in to as another one; nothing has changed. \
                     For this account, give the mount its username.",
                    shown(&info)
                );
            }
            Ok(format!(" as {}", shown(&info)))
        }
        Err(error) => match (&error.reason, way) {
            (Reason::NoPassword(said) | Reason::Session(said), Way::Pasted) => bail!(
                "123pan does not accept this token ({said}); nothing has changed. Copy it again: a request's \
                 Authorization header, behind \"Bearer \"."
            ),
            (Reason::NoPassword(said) | Reason::Session(said), _) => bail!(
                "123pan does not accept the token that it gave a moment ago ({said}); nothing has changed."
            ),
            (_, Way::Pasted) | (Reason::Risk(_) | Reason::Banned { .. } | Reason::BadCredentials, _) => {
                bail!("{} Nothing has changed.", error.sentence())
            }
            _ => {
                screen.say(&unproved(&error));
                Ok(String::new())
            }
        },
    }
}

/// The user id that a token says it is for (API page 5.1: it is a JWT).
fn user_of(token: &SecretString) -> Option<i64> {
    #[derive(serde::Deserialize)]
    struct Payload {
        id: i64,
    }
    let payload = token.expose_secret().split('.').nth(1)?;
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('=')).ok()?;
    serde_json::from_slice(&payload).ok().map(|Payload { id }| id)
}

fn unproved(error: &pan::Error) -> String {
    format!("The token could not be tried: {}", error.sentence())
}

/// Name, and number or address.
fn shown(info: &UserInfo) -> String {
    let name = [&info.passport, &info.mail]
        .into_iter()
        .find(|text| !text.is_empty());
    match (info.nickname.trim(), name) {
        ("", None) => info.uid.to_string(),
        ("", Some(name)) => name.clone(),
        (nickname, None) => nickname.to_owned(),
        (nickname, Some(name)) => format!("{nickname} ({name})"),
    }
}

/// Whether the account certainly is another one than the configured. What is missing or masked proves nothing.
fn is_other(username: &str, info: &UserInfo) -> bool {
    if username.contains('@') {
        let mail = info.mail.trim();
        return mail.contains('@') && !mail.contains('*') && !mail.eq_ignore_ascii_case(username.trim());
    }
    let digits = |text: &str| -> Option<String> {
        let plain = text
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, '+' | '-' | ' '));
        let digits: String = text.chars().filter(char::is_ascii_digit).collect();
        (plain && digits.len() > 5).then_some(digits)
    };
    match (digits(username), digits(&info.passport)) {
        // With or without the country's code.
        (Some(own), Some(theirs)) => !own.ends_with(&theirs) && !theirs.ends_with(&own),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_says_whose_it_is_or_nothing() {
        let token = |payload: &str| SecretString::from(format!("h.{}.s", URL_SAFE_NO_PAD.encode(payload)));
        assert_eq!(
            user_of(&token(r#"{"exp":1,"id":1812000499,"username":7}"#)),
            Some(1_812_000_499)
        );
        for odd in ["{}", r#"{"id":"x"}"#, "no json"] {
            assert_eq!(user_of(&token(odd)), None, "{odd}");
        }
        assert_eq!(user_of(&"opaque".into()), None);
    }

    #[test]
    fn an_account_is_another_one_only_where_that_is_certain() {
        let info = |passport: &str, mail: &str| UserInfo {
            passport: passport.to_owned(),
            mail: mail.to_owned(),
            ..UserInfo::default()
        };
        for (name, passport, mail, other) in [
            ("13800000000", "13800000000", "", false),
            ("13800000000", "+86 138 0000 0000", "", false),
            ("8613800000000", "13800000000", "a@b.cn", false),
            ("13800000000", "13900000000", "", true),
            ("13800000000", "139****0000", "", false),
            ("13800000000", "", "a@b.cn", false),
            ("A@b.cn", "13900000000", "a@B.cn", false),
            ("a@b.cn", "13900000000", "c@b.cn", true),
            ("a@b.cn", "13900000000", "", false),
            ("a@b.cn", "", "c***@b.cn", false),
        ] {
            assert_eq!(
                is_other(name, &info(passport, mail)),
                other,
                "{name} {passport} {mail}"
            );
        }
    }
}

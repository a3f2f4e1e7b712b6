//! Signing in by QR code (API page 5.1): a code is asked for and shown, a phone scans and confirms it, and we ask
//! for the result meanwhile.
//!
//! Only `dav123 login` does this: it needs a person. Nothing is repeated here.

use http::Method;
use secrecy::SecretString;
use serde::Deserialize;
use url::{Url, form_urlencoded};

use super::identity;
use crate::config::Endpoints;
use crate::pan::envelope;
use crate::pan::error::{Error, Reason};
use crate::pan::http::{Client, HttpError, Request};
use crate::pan::lenient;

/// The call that gives a code.
pub const GENERATE: &str = "user/qr-code/generate";
/// The call that tells what became of it.
pub const RESULT: &str = "user/qr-code/result";
/// No answer is longer.
const ANSWER_LIMIT: usize = 256 << 10;

/// A code that waits to be scanned. Who knows its id gets the token, so there is no `Debug`.
pub struct Code {
    id: String,
    url: String,
}

/// What became of a code (`loginStatus`).
#[derive(Debug)]
pub enum State {
    /// Nobody has scanned it (0).
    Waiting,
    /// Scanned; the phone asks its owner (1).
    Scanned,
    /// Its owner said no (2).
    Denied,
    /// Its owner said yes (3): the token. It is given once.
    SignedIn(SecretString),
    /// Too old (4).
    Expired,
}

#[derive(Deserialize)]
struct Generated {
    #[serde(
        default,
        rename = "uniID",
        alias = "uniId",
        deserialize_with = "lenient::text"
    )]
    id: String,
    #[serde(default, deserialize_with = "lenient::text")]
    url: String,
}

#[derive(Deserialize)]
struct Outcome {
    #[serde(default, rename = "loginStatus", deserialize_with = "lenient::opt_int")]
    status: Option<i64>,
    #[serde(default, deserialize_with = "lenient::text")]
    token: String,
}

impl Code {
    /// What the code says: the address that the phone opens.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// Asks for a code.
///
/// # Errors
/// Refusals and transport errors as they are.
pub async fn generate(http: &Client, endpoints: &Endpoints) -> Result<Code, Error> {
    let fail = |reason| Error::new(GENERATE, reason);
    let data: Generated = get(http, endpoints, GENERATE, "").await.map_err(fail)?;
    let url = shown(&data.url, &data.id).map_err(fail)?;
    Ok(Code { id: data.id, url })
}

/// Asks what became of a code.
///
/// # Errors
/// Refusals and transport errors as they are.
pub async fn result(http: &Client, endpoints: &Endpoints, code: &Code) -> Result<State, Error> {
    let mut query = form_urlencoded::Serializer::new("?".to_owned());
    query.append_pair("uniID", &code.id);
    let query = query.finish();
    let outcome = get(http, endpoints, RESULT, &query).await;
    outcome
        .and_then(state)
        .map_err(|reason| Error::new(RESULT, reason))
}

fn state(outcome: Outcome) -> Result<State, Reason> {
    match outcome.status {
        _ if !outcome.token.is_empty() => Ok(State::SignedIn(outcome.token.into())),
        Some(0) => Ok(State::Waiting),
        Some(1) => Ok(State::Scanned),
        Some(2) => Ok(State::Denied),
        Some(3) => Err(Reason::Nonsense("the answer has no token")),
        Some(4) => Ok(State::Expired),
        _ => Err(Reason::Nonsense("the answer has no loginStatus that is known")),
    }
}

/// The address in the code, with what 123pan's page adds to it.
fn shown(url: &str, id: &str) -> Result<String, Reason> {
    let none = || Reason::Nonsense("the answer has no code to show");
    let mut url = Url::parse(url).map_err(|_| none())?;
    if id.is_empty() || !matches!(url.scheme(), "http" | "https") {
        return Err(none());
    }
    url.query_pairs_mut()
        .append_pair("env", "production")
        .append_pair("uniID", id)
        .append_pair("source", "123pan")
        .append_pair("type", "login");
    Ok(url.into())
}

/// One GET at the sign-in host. The result's success code is 200 once confirmed and 0 before (API page 2.2).
async fn get<T: serde::de::DeserializeOwned>(
    http: &Client,
    endpoints: &Endpoints,
    call: &str,
    query: &str,
) -> Result<T, Reason> {
    let request = Request {
        method: Method::GET,
        url: format!("{}/{call}{query}", endpoints.login.trim_end_matches('/')),
        headers: identity(endpoints)?,
        body: None,
        ..Request::default()
    };
    let answer = http.ask(request, ANSWER_LIMIT).await.map_err(Reason::Http)?;
    let read = |success| envelope::read(answer.status, &answer.headers, &answer.body, success);
    match read(envelope::OK) {
        Err(Reason::Refused(said)) if call == RESULT && said.code == Some(envelope::SIGNED_IN) => {
            read(envelope::SIGNED_IN)
        }
        other => other,
    }
}

/// Whether asking again in a moment may help.
pub fn may_pass(error: &Error) -> bool {
    matches!(
        error.reason,
        Reason::Busy { .. }
            | Reason::Status(_)
            | Reason::Http(HttpError::Connect | HttpError::Timeout | HttpError::Broken)
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use secrecy::ExposeSecret;

    use super::*;

    fn outcome(json: &str) -> Result<State, Reason> {
        state(serde_json::from_str(json).unwrap())
    }

    #[test]
    fn each_login_status_has_its_state() {
        assert!(matches!(outcome(r#"{"loginStatus":0}"#), Ok(State::Waiting)));
        assert!(matches!(
            outcome(r#"{"loginStatus":"1","scanPlatform":7}"#),
            Ok(State::Scanned)
        ));
        assert!(matches!(
            outcome(r#"{"loginStatus":2,"token":""}"#),
            Ok(State::Denied)
        ));
        assert!(matches!(outcome(r#"{"loginStatus":4}"#), Ok(State::Expired)));
        for json in [r#"{"loginStatus":3,"token":"t"}"#, r#"{"token":"t"}"#] {
            let Ok(State::SignedIn(token)) = outcome(json) else {
                panic!("{json}")
            };
            assert_eq!(token.expose_secret(), "t");
        }
        for nonsense in [
            "{}",
            r#"{"loginStatus":3}"#,
            r#"{"loginStatus":9}"#,
            r#"{"loginStatus":null}"#,
        ] {
            assert!(
                matches!(outcome(nonsense), Err(Reason::Nonsense(_))),
                "{nonsense}"
            );
        }
    }

    #[test]
    fn the_code_holds_the_address_with_the_id_and_nothing_but_a_web_address_is_shown() {
        assert_eq!(
            shown("https://www.123pan.com/wx-app-login.html", "a b").unwrap(),
            "https://www.123pan.com/wx-app-login.html?env=production&uniID=a+b&source=123pan&type=login"
        );
        for (url, id) in [
            ("https://h/x", ""),
            ("", "i"),
            ("javascript:alert(1)", "i"),
            ("/relative", "i"),
        ] {
            assert!(shown(url, id).is_err(), "{url}");
        }
    }
}

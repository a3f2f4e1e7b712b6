//! Signing in by password (API page 5.1 and 3.2). One request, never repeated here: every sign-in
//! counts as a device, and a refused one makes the next more suspicious.

use http::{HeaderMap, Method, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::identity;
use crate::config::Endpoints;
use crate::pan::envelope;
use crate::pan::error::{Error, Reason};
use crate::pan::http::{Client, Request};
use crate::pan::lenient;

/// The call's name.
pub const CALL: &str = "user/sign_in";
/// No answer is longer.
const ANSWER_LIMIT: usize = 256 << 10;
/// Characters of a password that the site is said to keep.
const PASSWORD_KEPT: usize = 16;

#[derive(Deserialize)]
struct Data {
    #[serde(default, alias = "Token", deserialize_with = "lenient::text")]
    token: String,
}

/// Signs in and returns the token.
///
/// # Errors
/// [`Reason::Risk`], [`Reason::Banned`], [`Reason::Busy`]; [`Reason::PasswordRefused`] for every other
/// refusal; transport errors as they are.
pub async fn sign_in(
    http: &Client,
    endpoints: &Endpoints,
    username: &str,
    password: &SecretString,
) -> Result<SecretString, Error> {
    let fail = |reason| Error::new(CALL, reason);
    let secret = password.expose_secret();
    let body = if username.contains('@') {
        json!({ "mail": username, "password": secret, "type": 2 })
    } else {
        json!({ "passport": username, "password": secret, "remember": true })
    };
    let headers = identity(endpoints).map_err(fail)?;
    let url = format!("{}/{CALL}", endpoints.login.trim_end_matches('/'));
    let read = ask(http, url, headers, &body, envelope::SIGNED_IN).await;
    let data: Data = read.map_err(|reason| {
        let long = secret.chars().count() > PASSWORD_KEPT;
        fail(refused(reason, long))
    })?;
    if data.token.is_empty() {
        return Err(fail(Reason::Nonsense("the answer has no token")));
    }
    Ok(SecretString::from(data.token))
}

/// Asks for a token, once.
pub(in crate::pan) async fn ask<T: DeserializeOwned>(
    http: &Client,
    url: String,
    mut headers: HeaderMap,
    body: &Value,
    success: i64,
) -> Result<T, Reason> {
    headers.insert(header::CONTENT_TYPE, super::JSON);
    let request = Request {
        method: Method::POST,
        url,
        headers,
        body: Some(body.to_string().into()),
        ..Request::default()
    };
    let answer = http.ask(request, ANSWER_LIMIT).await.map_err(Reason::Http)?;
    envelope::read(answer.status, &answer.headers, &answer.body, success)
}

/// A refusal that is no other known thing is taken for a wrong password: that stops further tries.
pub(in crate::pan) fn refused(reason: Reason, long: bool) -> Reason {
    match reason {
        Reason::Risk(_)
        | Reason::Banned { .. }
        | Reason::Busy { .. }
        | Reason::Nonsense(_)
        | Reason::Status(_)
        | Reason::Http(_) => reason,
        Reason::Refused(said)
        | Reason::Session(said)
        | Reason::NotFound(said)
        | Reason::Exists(said)
        | Reason::Signature(said)
        | Reason::LoginNeeded(said) => Reason::PasswordRefused { said, long },
        other => other,
    }
}

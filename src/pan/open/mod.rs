//! The Open platform: 123pan's documented developer API (API page 8). No signature, a token by
//! client id and secret, a pace of its own for each endpoint.

pub mod change;
pub mod paces;
pub mod upload;

use http::{HeaderMap, HeaderValue, Method, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::call::Caller;
use super::envelope;
use super::error::{Error, Reason};
use super::http::{Client, HttpError, Request};
use super::kept::Token;
use super::lenient;
use super::relay::{FinalLink, Relay};
use super::token::{self, Session};
use super::web::download::Addressed;
use super::web::files::Row;
use super::web::login;
use super::web::quota::UserInfo;
use crate::config::Endpoints;

/// The call that gives a token.
pub const TOKEN_CALL: &str = "api/v1/access_token";
const LIST: &str = "api/v2/file/list";
const DOWNLOAD: &str = "api/v1/file/download_info";
const DIRECT_LINK: &str = "api/v1/direct-link/url";
const USER: &str = "api/v1/user/info";
/// Rows asked for in one page, the most there are.
const PAGE_SIZE: u32 = 100;
/// `lastFileId` of the last page.
const END: i64 = -1;
/// Code 1 has many meanings; this word tells that a name is taken (API page 2.4).
const SAME_NAME: &str = "同名";

/// A client of the Open platform: one developer's token.
#[derive(Debug)]
pub struct Open {
    http: Client,
    endpoints: Endpoints,
    caller: Caller,
    relay: Relay,
}

/// One page of a folder.
#[derive(Debug, Default, Deserialize)]
pub struct OpenPage {
    /// Where the next page begins; negative on the last one.
    #[serde(
        default = "end",
        rename = "lastFileId",
        alias = "lastFileID",
        deserialize_with = "lenient::int"
    )]
    pub last_id: i64,
    /// Rows, those in the recycle bin among them.
    #[serde(default, rename = "fileList", deserialize_with = "lenient::list")]
    pub rows: Vec<Row>,
}

impl OpenPage {
    /// Whether no page follows.
    pub fn is_last(&self) -> bool {
        self.last_id <= END
    }
}

fn end() -> i64 {
    END
}

/// Gets a token. At most 3 live at a time, more push old ones out, so it is kept, with its end (API page 8.1).
///
/// # Errors
/// [`Reason::PasswordRefused`] for every refusal that is not another known thing.
pub async fn access_token(
    http: &Client,
    endpoints: &Endpoints,
    id: &str,
    secret: &SecretString,
) -> Result<Token, Error> {
    #[derive(Deserialize)]
    struct Data {
        #[serde(default, rename = "accessToken", deserialize_with = "lenient::text")]
        token: String,
        #[serde(default, rename = "expiredAt", deserialize_with = "lenient::time")]
        until: i64,
    }
    let fail = |reason| Error::new(TOKEN_CALL, reason);
    let body = json!({ "clientID": id, "clientSecret": secret.expose_secret() });
    let url = format!("{}/{TOKEN_CALL}", endpoints.open.trim_end_matches('/'));
    let read = login::ask(http, url, identity(), &body, envelope::OK).await;
    let data: Data = read.map_err(|reason| fail(login::refused(reason, false)))?;
    if data.token.is_empty() {
        return Err(fail(Reason::Nonsense("the answer has no token")));
    }
    let token = Token {
        secret: SecretString::from(data.token),
        until: data.until,
    };
    Ok(token::lasting(token, endpoints.rate))
}

fn identity() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("platform", HeaderValue::from_static("open_platform"));
    headers
}

impl Open {
    /// A client for a session.
    pub fn new(http: Client, endpoints: &Endpoints, session: Session) -> Self {
        paces::set(session.gates(), false);
        let caller = Caller::new(
            http.clone(),
            session,
            std::slice::from_ref(&endpoints.open),
            endpoints.rate,
        );
        let relay = Relay::new(http.clone(), endpoints, std::sync::Arc::default());
        Self {
            http,
            endpoints: endpoints.clone(),
            caller,
            relay,
        }
    }

    /// Where it calls.
    pub fn endpoints(&self) -> &Endpoints {
        &self.endpoints
    }

    /// Whose calls these are.
    pub fn session(&self) -> &Session {
        &self.caller.session
    }

    /// The page of a folder after `last_id`; 0 for the first.
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn list(&self, folder: i64, last_id: i64) -> Result<OpenPage, Error> {
        let mut query = vec![
            ("parentFileId", folder.to_string()),
            ("limit", PAGE_SIZE.to_string()),
        ];
        if last_id > 0 {
            query.push(("lastFileId", last_id.to_string()));
        }
        self.get(LIST, &query).await
    }

    /// A link for a file. The URL is taken as it is unless it names a relay.
    ///
    /// # Errors
    /// [`Reason::Traffic`], [`Reason::NotFound`], and all others. An answer without a URL, seen
    /// where no traffic is left (API page 2.6) but not surely that, is nonsense.
    pub async fn link(&self, id: i64, size: u64) -> Result<FinalLink, Error> {
        if size == 0 {
            return Err(Error::new(
                DOWNLOAD,
                Reason::Nonsense("an empty file has no link"),
            ));
        }
        let answer: Addressed = self.get(DOWNLOAD, &[("fileId", id.to_string())]).await?;
        self.relay.follow_params(DOWNLOAD, &answer.url, size).await
    }

    /// The account's space. It tells, too, whether it is a member's, which may call more often.
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn user_info(&self) -> Result<UserInfo, Error> {
        let info: UserInfo = self.get(USER, &[]).await?;
        paces::set(self.session().gates(), info.member);
        Ok(info)
    }

    /// The unsigned direct link of a file; its traffic is paid for (API page 9.1).
    ///
    /// # Errors
    /// [`Reason::Refused`] where the file is in no direct-link space; see [`Reason`].
    pub async fn direct_link(&self, id: i64) -> Result<SecretString, Error> {
        #[derive(Deserialize)]
        struct Data {
            #[serde(default)]
            url: SecretString,
        }
        let data: Data = self.get(DIRECT_LINK, &[("fileID", id.to_string())]).await?;
        Ok(data.url)
    }

    async fn get<T: DeserializeOwned>(
        &self,
        path: &'static str,
        query: &[(&'static str, String)],
    ) -> Result<T, Error> {
        let prepare = |base: &str| {
            let mut url =
                url::Url::parse(&format!("{base}/{path}")).map_err(|_| Reason::Http(HttpError::Request))?;
            if !query.is_empty() {
                let mut encoded = form_urlencoded::Serializer::new(String::new());
                encoded.extend_pairs(query.iter().map(|(k, v)| (*k, v.as_str())));
                url.set_query(Some(&encoded.finish()));
            }
            Ok(Request {
                url: url.into(),
                headers: identity(),
                ..Request::default()
            })
        };
        self.caller.call(path, true, prepare).await
    }

    /// A POST that asks and changes nothing.
    async fn ask<T: DeserializeOwned>(&self, path: &'static str, body: &Value) -> Result<T, Error> {
        let prepare = |base: &str| Ok(json_request(Method::POST, base, path, body));
        self.caller.call(path, true, prepare).await
    }

    /// A call that changes something: not made again while it is unclear whether it was carried out.
    async fn change<T: DeserializeOwned>(
        &self,
        method: &Method,
        path: &'static str,
        body: &Value,
    ) -> Result<T, Error> {
        let prepare = |base: &str| Ok(json_request(method.clone(), base, path, body));
        let result = self.caller.call(path, false, prepare).await;
        result.map_err(|error: Error| match error.reason {
            Reason::Refused(said) if said.text.contains(SAME_NAME) => Error::new(path, Reason::Exists(said)),
            reason => Error::new(path, reason),
        })
    }
}

fn json_request(method: Method, base: &str, path: &str, body: &Value) -> Request {
    let mut headers = identity();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Request {
        method,
        url: format!("{base}/{path}"),
        headers,
        body: Some(body.to_string().into()),
        ..Request::default()
    }
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;

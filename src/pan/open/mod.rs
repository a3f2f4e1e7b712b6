//! The Open platform: 123pan's documented developer API (API page 8). No signature, a token by
//! client id and secret, a pace of its own for each endpoint.

use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method, header};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use url::form_urlencoded;

use super::call::{ANSWER_LIMIT, Caller};
use super::envelope;
use super::error::{Error, Reason};
use super::http::{Client, HttpError, Request};
use super::lenient;
use super::relay::{FinalLink, Relay};
use super::token::Session;
use super::web::download::Addressed;
use super::web::files::Row;
use super::web::login;
use super::web::quota::UserInfo;
use crate::config::Endpoints;

/// The call that gives a token.
pub const TOKEN_CALL: &str = "api/v1/access_token";
const LIST: &str = "api/v2/file/list";
const DOWNLOAD: &str = "api/v1/file/download_info";
const USER: &str = "api/v1/user/info";
/// Rows asked for in one page, the most there are.
const PAGE_SIZE: u32 = 100;
/// `lastFileId` of the last page.
const END: i64 = -1;
/// Below what free developers may call (API page 8.4): 3 lists, 5 links, 1 user info a second.
const PACES: [(&str, Duration); 3] = [
    (LIST, Duration::from_millis(334)),
    (DOWNLOAD, Duration::from_millis(200)),
    (USER, Duration::from_millis(1000)),
];

/// A client of the Open platform: one developer's token.
#[derive(Debug)]
pub struct Open {
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

/// Gets a token. At most 3 live at a time, more push old ones out, so it is kept (API page 8.1).
///
/// # Errors
/// [`Reason::PasswordRefused`] for every refusal that is not another known thing.
pub async fn access_token(
    http: &Client,
    endpoints: &Endpoints,
    id: &str,
    secret: &SecretString,
) -> Result<SecretString, Error> {
    #[derive(Deserialize)]
    struct Data {
        #[serde(default, rename = "accessToken", deserialize_with = "lenient::text")]
        token: String,
    }
    let fail = |reason| Error::new(TOKEN_CALL, reason);
    let mut headers = identity();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let body = json!({ "clientID": id, "clientSecret": secret.expose_secret() });
    let request = Request {
        method: Method::POST,
        url: format!("{}/{TOKEN_CALL}", endpoints.open.trim_end_matches('/')),
        headers,
        body: Some(body.to_string().into()),
    };
    let answer = http
        .ask(request, ANSWER_LIMIT)
        .await
        .map_err(|e| fail(Reason::Http(e)))?;
    let data: Data = envelope::read(answer.status, &answer.headers, &answer.body, envelope::OK)
        .map_err(|reason| fail(login::refused(reason, false)))?;
    if data.token.is_empty() {
        return Err(fail(Reason::Nonsense("the answer has no token")));
    }
    Ok(SecretString::from(data.token))
}

fn identity() -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert("platform", HeaderValue::from_static("open_platform"));
    headers
}

impl Open {
    /// A client for a session.
    pub fn new(http: Client, endpoints: &Endpoints, session: Session) -> Self {
        for (endpoint, interval) in PACES {
            session.gates().set(endpoint, interval);
        }
        let caller = Caller::new(
            http.clone(),
            session,
            std::slice::from_ref(&endpoints.open),
            endpoints.rate,
        );
        let relay = Relay::new(http, endpoints, std::sync::Arc::default());
        Self { caller, relay }
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

    /// The account's space.
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn user_info(&self) -> Result<UserInfo, Error> {
        self.get(USER, &[]).await
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
}

#[cfg(test)]
#[path = "open_tests.rs"]
mod tests;

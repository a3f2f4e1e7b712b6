//! Asking another dav123 (or an OpenList server) for links: the client's side of `POST /api/fs/link` (peers.md 1.3).
//!
//! What it grants is remembered for a minute and asked once for all who want the same file. The origin keeps its own
//! links, so that asking again is cheap; a link that the CDN refused is named to it, so that it makes another one.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use http::header::RETRY_AFTER;
use http_body_util::{BodyExt, Limited};
use prometheus_client::metrics::counter::Counter;
use secrecy::SecretString;

use super::cdn::Cdn;
use super::proxy_url::About;
use super::recent::Recent;
use crate::config::Proxy;
use crate::drive::{Entry, Error, ErrorKind, Id, Kind, Link, LinkWish, Retry};
use crate::hex;
use crate::tree::{Flights, TreePath};

/// How long a grant is used without asking again.
const REMEMBERED: Duration = Duration::from_secs(60);
/// With less life than this left, a link is asked anew.
const TOO_SHORT: Duration = Duration::from_secs(2);
/// Grants remembered at the most; about 1 KiB each.
const GRANTS: usize = 4096;
/// An answer is a URL and a few headers.
const MAX_ANSWER: usize = 64 * 1024;
/// How long its body may take.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);
/// Characters shown of the origin's own sentence.
const SENTENCE: usize = 300;

/// A link, and the file as the origin knows it.
#[derive(Debug, Clone)]
pub struct Grant {
    /// For the bytes.
    pub link: Arc<Link>,
    /// Size, MD5 and time where the origin says them: a dav123 does, others do not.
    pub file: Arc<Entry>,
}

/// The server whose files are proxied.
#[derive(Debug, Clone)]
pub struct Origin(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    url: String,
    secret: SecretString,
    cdn: Arc<Cdn>,
    /// Counts the calls.
    calls: Counter,
    grants: Recent<TreePath, Grant>,
    /// By whether a link was refused: who has a dead one must not be given it again.
    flights: Flights<(TreePath, bool), Grant>,
}

impl Origin {
    /// Nothing is connected yet.
    pub fn new(proxy: &Proxy, cdn: Arc<Cdn>, calls: Counter) -> Self {
        Self(Arc::new(Inner {
            url: format!("{}/api/fs/link", proxy.origin),
            secret: proxy.secret.clone(),
            cdn,
            calls,
            grants: Recent::new(GRANTS),
            flights: Flights::default(),
        }))
    }

    /// Whether the origin answers, and takes the secret. The root is no file, so that this costs no call to 123pan.
    ///
    /// # Errors
    /// `Unreachable`, `Timeout`, `Busy` and `Nonsense` of the origin.
    pub async fn check(&self) -> Result<(), Error> {
        let (status, answer, wait) = self.0.exchange(&TreePath::root(), None).await?;
        match status {
            401 | 429 | 502..=504 => Err(said(status, &answer.message, wait)),
            _ => Ok(()),
        }
    }

    /// A link for a file; another one than `wish.refused`.
    ///
    /// # Errors
    /// `NotFound`, `IsAFolder`, `Forbidden`, `Busy`, `Timeout` as the origin says; `Unreachable` and `Nonsense` of the origin.
    pub async fn grant(&self, path: &TreePath, wish: LinkWish) -> Result<Grant, Error> {
        let inner = &self.0;
        let is_refused =
            |grant: &Grant| matches!(&wish.refused, Some(link) if link.expose() == grant.link.expose());
        if inner
            .grants
            .get(path)
            .is_some_and(|(grant, _)| is_refused(&grant))
        {
            inner.grants.remove(path);
        }
        let known = || {
            let (grant, age) = inner.grants.get(path)?;
            let usable = age < REMEMBERED && SystemTime::now() + TOO_SHORT < grant.link.until;
            usable.then_some(grant)
        };
        let (asking, to, refused) = (Arc::clone(inner), path.clone(), wish.refused.clone());
        let call = || async move {
            let grant = asking.ask(&to, refused.as_deref()).await?;
            asking.grants.insert(to, grant.clone());
            Ok(grant)
        };
        let key = (path.clone(), wish.refused.is_some());
        inner.flights.join(key, known, call).await
    }
}

impl Inner {
    async fn ask(&self, path: &TreePath, refused: Option<&Link>) -> Result<Grant, Error> {
        let (status, answer, wait) = self.exchange(path, refused).await?;
        if status != 200 {
            return Err(said(status, &answer.message, wait));
        }
        let data = answer.data.ok_or_else(nonsense)?;
        Ok(granted(path, data, SystemTime::now()))
    }

    /// One call: the status, what was said, and how long to wait before the next.
    async fn exchange(
        &self,
        path: &TreePath,
        refused: Option<&Link>,
    ) -> Result<(i64, Answer, Option<Duration>), Error> {
        self.calls.inc();
        let mut call = serde_json::json!({ "path": path.to_string() });
        if let (Some(call), Some(link)) = (call.as_object_mut(), refused) {
            call.insert("refused".to_owned(), link.expose().into());
        }
        let call = Bytes::from(call.to_string());
        let post = || self.cdn.post(&self.url, &self.secret, call.clone());
        let answer = match post().await {
            // A kept connection that the origin had closed.
            Err(error) if error.kind() == ErrorKind::Unreachable => post().await,
            answer => answer,
        };
        let (head, body) = answer.map_err(|error| unreachable(&error))?.into_parts();
        let body = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, MAX_ANSWER).collect()).await;
        let text = match body {
            Err(_) => return Err(silent()),
            Ok(body) => body.map_err(|_| nonsense())?.to_bytes(),
        };
        let answer: Answer = serde_json::from_slice(&text).map_err(|_| nonsense())?;
        // Of the OpenList family the status is always 200, and the code tells.
        let status = match head.status.as_u16() {
            200 => answer.code,
            status => i64::from(status),
        };
        let wait = head.headers.get(RETRY_AFTER);
        let wait = wait.and_then(|value| value.to_str().ok()?.parse().ok());
        Ok((status, answer, wait.map(Duration::from_secs)))
    }
}

#[derive(serde::Deserialize)]
struct Answer {
    code: i64,
    #[serde(default)]
    message: String,
    data: Option<Data>,
}

#[derive(serde::Deserialize)]
struct Data {
    url: String,
    #[serde(default)]
    header: Option<std::collections::BTreeMap<String, Vec<String>>>,
    file: Option<About>,
}

fn granted(path: &TreePath, data: Data, now: SystemTime) -> Grant {
    let (mut referers, mut headers) = (Vec::new(), Vec::new());
    for (name, values) in data.header.unwrap_or_default() {
        // Several values of one name are one list (RFC 9110 5.3).
        let value = values.join(", ");
        if name.eq_ignore_ascii_case("referer") {
            referers.push(value);
        } else {
            headers.push((name, value));
        }
    }
    let about = data.file;
    if let Some(all) = about.as_ref().map(|about| &about.referers)
        && !all.is_empty()
    {
        referers.clone_from(all);
    }
    let link = Link {
        url: data.url.into(),
        until: match &about {
            Some(about) => UNIX_EPOCH + Duration::from_secs(about.until.min(u64::from(u32::MAX))),
            None => now + REMEMBERED,
        },
        referers,
        headers,
        open_to_all: false,
    };
    Grant {
        link: Arc::new(link),
        file: Arc::new(Entry {
            id: Id::default(),
            name: path.name().unwrap_or_default().into(),
            kind: Kind::File,
            size: about.as_ref().and_then(|about| about.size),
            modified: about.as_ref().map_or(0, |about| about.modified),
            created: 0,
            md5: about.as_ref().and_then(|about| hex::md5(about.md5.as_deref()?)),
            locator: Arc::from(""),
        }),
    }
}

/// An answer other than 200, in our own terms.
fn said(status: i64, message: &str, wait: Option<Duration>) -> Error {
    let message: String = message
        .chars()
        .filter(|c| !c.is_control())
        .take(SENTENCE)
        .collect();
    let kind = match status {
        400 | 405 => ErrorKind::IsAFolder,
        401 => {
            return Error::new(
                ErrorKind::Nonsense,
                "The origin refuses this proxy; compare proxy.secret with proxy_secret of its mount.",
            )
            .with_retry(Retry::Never);
        }
        403 => ErrorKind::Forbidden,
        404 => ErrorKind::NotFound,
        429 | 503 => ErrorKind::Busy,
        504 => ErrorKind::Timeout,
        _ => ErrorKind::Nonsense,
    };
    let error = Error::new(kind, format!("The origin says: {message}"));
    match wait.filter(|_| kind == ErrorKind::Busy) {
        Some(wait) => error.with_retry(Retry::After(wait)),
        None => error,
    }
}

fn unreachable(error: &Error) -> Error {
    match error.kind() {
        ErrorKind::Unreachable => Error::new(
            ErrorKind::Unreachable,
            "The origin cannot be reached; look whether it runs, and at proxy.origin.",
        )
        .with_source(error.clone()),
        ErrorKind::Timeout => silent(),
        _ => Error::new(
            ErrorKind::Nonsense,
            "The origin cannot be asked; look at proxy.origin and proxy.secret.",
        )
        .with_retry(Retry::Never),
    }
}

fn silent() -> Error {
    Error::new(
        ErrorKind::Timeout,
        "The origin did not answer in time; try again.",
    )
}

fn nonsense() -> Error {
    Error::new(
        ErrorKind::Nonsense,
        "The origin answered with something that is no link; look at proxy.origin.",
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn grant(data: &str) -> Grant {
        let path = TreePath::from_decoded("/a/b.mkv").unwrap();
        granted(&path, serde_json::from_str(data).unwrap(), UNIX_EPOCH)
    }

    #[test]
    fn what_an_openlist_server_grants_is_a_link_with_headers_for_a_minute() {
        let grant = grant(
            r#"{"url":"https://cdn/x","header":{"Referer":["https://h/"],"User-Agent":["pan"],"Cookie":["a=1"]},
                "concurrency":0}"#,
        );
        assert_eq!(grant.link.expose(), "https://cdn/x");
        assert_eq!(grant.link.until, UNIX_EPOCH + REMEMBERED);
        assert_eq!(grant.link.referers, ["https://h/"]);
        let headers = [("Cookie", "a=1"), ("User-Agent", "pan")];
        assert_eq!(
            grant.link.headers,
            headers.map(|(name, value)| (name.to_owned(), value.to_owned()))
        );
        assert_eq!((grant.file.size, grant.file.etag()), (None, None));
        assert_eq!(&*grant.file.name, "b.mkv");
        assert!(
            self::grant(r#"{"url":"u","header":null}"#)
                .link
                .headers
                .is_empty()
        );
    }

    #[test]
    fn another_dav123_says_what_the_file_is() {
        let grant = grant(
            r#"{"url":"https://cdn/x","header":{},
                "file":{"size":7,"md5":"000102030405060708090a0b0c0d0e0f","modified":9,"until":100,
                "referers":["https://a/","https://b/"]}}"#,
        );
        assert_eq!(grant.link.referers, ["https://a/", "https://b/"]);
        assert_eq!(grant.file.size, Some(7));
        assert_eq!(grant.file.modified, 9);
        assert_eq!(grant.file.etag().unwrap(), "\"000102030405060708090a0b0c0d0e0f\"");
        assert_eq!(grant.link.until, UNIX_EPOCH + Duration::from_secs(100));
    }

    #[test]
    fn a_refusal_keeps_its_meaning() {
        for (status, kind) in [
            (400, ErrorKind::IsAFolder),
            (401, ErrorKind::Nonsense),
            (403, ErrorKind::Forbidden),
            (404, ErrorKind::NotFound),
            (500, ErrorKind::Nonsense),
            (502, ErrorKind::Nonsense),
            (503, ErrorKind::Busy),
            (504, ErrorKind::Timeout),
        ] {
            assert_eq!(said(status, "No.", None).kind(), kind, "{status}");
        }
        let busy = said(503, "Slow\ndown.", Some(Duration::from_secs(7)));
        assert_eq!(busy.retry(), Retry::After(Duration::from_secs(7)));
        assert_eq!(busy.sentence(), "The origin says: Slowdown.");
    }
}

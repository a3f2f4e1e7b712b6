//! Uploads: the offer by MD5, the slices, the end (API page 8.3, version 2).
//!
//! Slices are forms, sent with the token to a server that the offer's answer names; each carries its own MD5, so a slice
//! is read twice: for its MD5, and to be sent. The service checks the whole before it makes the file of them, and asks
//! to be asked again meanwhile.
//!
//! Content whose MD5 is not known may be known by its SHA-1 (`sha1_reuse`), which some clients announce in `OC-Checksum`. It
//! is asked about once, after the bytes have come and were found to have that sum, so that no sum is offered of what is
//! not at hand. It is asked where the file has more than one slice: the one who tried it for real was always refused, so
//! the question must cost little beside what it may save, and one slice is one call, as the question is. It waits for its
//! turn for two seconds at the most and is never repeated, and after "too fast" the endpoint rests as any other: the
//! slices are sent instead, as they are where the file that it made is another or none. The session of the offer by MD5
//! stays; where it is not needed, it lapses. A file that waits to be sent behind the client keeps the sum as long as the
//! server runs; the state store has no place for it.
//!
//! Another way in is not taken. A small file may go in one request (`single/create`), which is two calls and a second
//! less. But it is sent whole where an offer would have told that its content is known; no source tells how often it may
//! be called, nor what follows where its answer says that the file is not complete: there is no id to ask by, so that a
//! lost answer cannot be asked for again, as the end of a session can.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use http::{HeaderValue, Method, header};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::{Open, identity, json_request};
use crate::pan::call::Caller;
use crate::pan::error::{Error, Reason};
use crate::pan::http::{HttpError, Request, Upload};
use crate::pan::lenient;
use crate::pan::outgoing::Frames;
use crate::pan::pace::scaled;
use crate::pan::parts::{Cut, PATIENCE, Passing, Reader, TRIES, times};
use crate::pan::retry::Patience;
use crate::pan::web::upload::Offer;

pub(super) const CREATE: &str = "upload/v2/file/create";
pub(super) const SHA1_REUSE: &str = "upload/v2/file/sha1_reuse";
pub(super) const SLICE: &str = "upload/v2/file/slice";
pub(super) const COMPLETE: &str = "upload/v2/file/upload_complete";
/// Largest file, in bytes.
pub const LARGEST: u64 = 10 << 30;
/// The code for "still being checked, ask again in a second" (API page 2.4).
const STILL_CHECKING: i64 = 20103;
/// The code for an internal error.
const INTERNAL: i64 = 1;
/// Time between two questions whether a file is there.
const CHECK_PAUSE: Duration = Duration::from_secs(1);
/// How often it is asked: clients give up after 60 to 120 times.
const CHECKS: u32 = 120;

/// How long the question about a SHA-1 may wait for its turn.
const SHA1_PATIENCE: Duration = Duration::from_secs(2);

/// The answer to an offer.
#[derive(Debug)]
pub enum Offered {
    /// The content is known and the file is there; its id, where the answer tells it.
    Reused(Option<i64>),
    /// The bytes are wanted.
    Session(Session),
}

/// An upload that waits for its bytes.
#[derive(Debug)]
pub struct Session {
    id: String,
    cut: Cut,
    /// MD5 of the file, lower-case hex.
    etag: String,
    /// Calls go to the servers for slices.
    caller: Caller,
}

#[derive(Deserialize)]
struct Created {
    #[serde(default, deserialize_with = "lenient::flag")]
    reuse: bool,
    #[serde(
        default,
        rename = "fileID",
        alias = "fileId",
        deserialize_with = "lenient::int"
    )]
    file_id: i64,
    #[serde(
        default,
        rename = "preuploadID",
        alias = "preuploadId",
        deserialize_with = "lenient::text"
    )]
    id: String,
    #[serde(default, rename = "sliceSize", deserialize_with = "lenient::int")]
    slice_size: i64,
    #[serde(default, deserialize_with = "lenient::list")]
    servers: Vec<String>,
}

#[derive(Deserialize)]
struct Completed {
    #[serde(default, deserialize_with = "lenient::flag")]
    completed: bool,
    #[serde(
        default,
        rename = "fileID",
        alias = "fileId",
        deserialize_with = "lenient::int"
    )]
    file_id: i64,
}

impl Session {
    /// How many slices the file has.
    pub fn slices(&self) -> u64 {
        self.cut.count()
    }
}

impl Open {
    /// Offers a file. Without `replace` an equal name is [`Reason::Exists`]; with it the file gets another id.
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn offer(&self, offer: &Offer<'_>) -> Result<Offered, Error> {
        let mut body = json!({
            "parentFileID": offer.parent,
            "filename": offer.name,
            "etag": offer.etag,
            "size": offer.size,
            "containDir": false,
        });
        if offer.replace {
            body["duplicate"] = json!(2);
        }
        let answer: Created = self.change(&Method::POST, CREATE, &body).await?;
        if answer.reuse {
            return Ok(Offered::Reused(Some(answer.file_id).filter(|id| *id > 0)));
        }
        let nonsense = |what| Error::new(CREATE, Reason::Nonsense(what));
        let slice = u64::try_from(answer.slice_size).unwrap_or(0);
        if slice == 0 || answer.id.is_empty() {
            return Err(nonsense("an upload without preuploadID or sliceSize"));
        }
        let is_secure = self.endpoints.open.starts_with("https:");
        let servers: Vec<String> = answer
            .servers
            .iter()
            .filter_map(|at| server(at, is_secure))
            .collect();
        if servers.is_empty() {
            return Err(nonsense("an upload without a server"));
        }
        Ok(Offered::Session(Session {
            id: answer.id,
            cut: Cut {
                size: offer.size,
                slice,
            },
            etag: offer.etag.to_owned(),
            caller: Caller::new(
                self.http.clone(),
                self.session().clone(),
                &servers,
                self.endpoints.rate,
            ),
        }))
    }

    /// Offers a file by its SHA-1 (lower-case hex), once: its id where the content is known and the file is there, 0
    /// where the answer does not tell it.
    ///
    /// # Errors
    /// [`Reason::Busy`] also where its turn would come too late; see [`Reason`].
    pub async fn offer_by_sha1(&self, offer: &Offer<'_>, sha1: &str) -> Result<Option<i64>, Error> {
        let mut body = json!({
            "parentFileID": offer.parent,
            "filename": offer.name,
            "sha1": sha1,
            "size": offer.size,
        });
        if offer.replace {
            body["duplicate"] = json!(2);
        }
        let patience = Patience::within(SHA1_PATIENCE, self.endpoints.rate, false).once();
        let prepare = |base: &str| Ok(json_request(Method::POST, base, SHA1_REUSE, &body));
        let answer: Created = self.caller.call_patiently(SHA1_REUSE, patience, prepare).await?;
        Ok(answer.reuse.then_some(answer.file_id))
    }

    /// Sends all slices of an upload, `at_once` at a time.
    ///
    /// # Errors
    /// The first slice that could not be sent; see [`Reason`].
    pub async fn send_slices(&self, session: &Session, source: &Reader, at_once: usize) -> Result<(), Error> {
        let send = |number| self.send_slice(session, number, source, at_once);
        session.cut.each(at_once, send).await
    }

    /// A slice that was sent may be sent again: it is the same.
    async fn send_slice(
        &self,
        session: &Session,
        number: u64,
        source: &Reader,
        at_once: usize,
    ) -> Result<(), Error> {
        let (offset, length) = session.cut.part(number);
        let changed = || Error::new(SLICE, Reason::Http(HttpError::Source));
        let md5 = md5_of(source(offset, length)).await.map_err(|()| changed())?;
        if session.slices() == 1 && md5 != session.etag {
            return Err(changed());
        }
        let boundary = format!("dav123-{:032x}", fastrand::u128(..));
        let number = number.to_string();
        let fields = [
            ("preuploadID", session.id.as_str()),
            ("sliceNo", number.as_str()),
            ("sliceMD5", md5.as_str()),
        ];
        let head = form_head(&boundary, &fields);
        let tail = Bytes::from(format!("\r\n--{boundary}--\r\n"));
        let kind = HeaderValue::try_from(format!("multipart/form-data; boundary={boundary}"))
            .map_err(|_| Error::new(SLICE, Reason::Http(HttpError::Request)))?;
        let mut tries = 0;
        loop {
            tries += 1;
            let passing = Passing::default();
            let prepare = |base: &str| {
                let passing = passing.restarted();
                let ends = |bytes: &Bytes| stream::iter([Ok(bytes.clone())]);
                let frames = ends(&head)
                    .chain(passing.watch(source(offset, length)))
                    .chain(ends(&tail));
                let mut headers = identity();
                headers.insert(header::CONTENT_TYPE, kind.clone());
                Ok(Request {
                    method: Method::POST,
                    url: format!("{base}/{SLICE}"),
                    headers,
                    upload: Some(Upload {
                        length: head.len() as u64 + length + tail.len() as u64,
                        frames: Box::pin(frames),
                        times: times(length, at_once),
                    }),
                    ..Request::default()
                })
            };
            let patience = Patience::within(PATIENCE, self.endpoints.rate, true);
            match session
                .caller
                .call_patiently::<IgnoredAny>(SLICE, patience, prepare)
                .await
            {
                // What was sent is not what was hashed: the spool's disk gives other bytes than before.
                Ok(_) if passing.md5() != md5 => return Err(changed()),
                Ok(_) => return Ok(()),
                Err(error) if may_be_sent_again(&error.reason) && tries < TRIES => {
                    tracing::debug!(%error, "a slice is sent again");
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Makes the file of its slices; its id. Asked again only while the service says that it is not done with it.
    ///
    /// # Errors
    /// [`Reason::Refused`] where the content is not what was announced; a time-out where it is not done after minutes;
    /// see [`Reason`].
    pub async fn complete(&self, session: &Session) -> Result<i64, Error> {
        let body = json!({ "preuploadID": session.id });
        for _ in 0..CHECKS {
            match self.change::<Completed>(&Method::POST, COMPLETE, &body).await {
                Ok(done) if done.completed && done.file_id > 0 => return Ok(done.file_id),
                Ok(_) => {}
                Err(Error {
                    reason: Reason::Refused(said),
                    ..
                }) if said.code == Some(STILL_CHECKING) => {}
                Err(error) => return Err(error),
            }
            tokio::time::sleep(scaled(CHECK_PAUSE, self.endpoints.rate)).await;
        }
        Err(Error::new(COMPLETE, Reason::Http(HttpError::Timeout)))
    }
}

/// A slice with another MD5 than it says has no code of its own; an answer that makes no sense says nothing of it.
fn may_be_sent_again(reason: &Reason) -> bool {
    match reason {
        Reason::Refused(said) => said.code == Some(INTERNAL),
        Reason::Nonsense(_) => true,
        _ => false,
    }
}

/// A server for slices. They get the token, so they are spoken to as safely as the API is (API page 8.3).
fn server(named: &str, is_secure: bool) -> Option<String> {
    let named = named.trim().trim_end_matches('/');
    let rest = match named.split_once("://") {
        Some(("https", _)) => return Some(named.to_owned()),
        Some(("http", rest)) => rest,
        _ => return None,
    };
    let scheme = if is_secure { "https" } else { "http" };
    (!rest.is_empty()).then(|| format!("{scheme}://{rest}"))
}

/// The form up to the bytes of the slice.
fn form_head(boundary: &str, fields: &[(&str, &str)]) -> Bytes {
    let mut head = String::new();
    for (name, value) in fields {
        head.push_str(&format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n"
        ));
    }
    head.push_str(&format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"slice\"; filename=\"slice\"\r\nContent-Type: application/octet-stream\r\n\r\n"
    ));
    head.into()
}

async fn md5_of(frames: Frames) -> Result<String, ()> {
    let hash = Passing::default();
    let each = |frame: Bytes| {
        hash.update(&frame);
        futures_util::future::ready(Ok(()))
    };
    frames.try_for_each(each).await.map_err(|_: std::io::Error| ())?;
    Ok(hash.md5())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_spoken_to_as_safely_as_the_api() {
        for (named, is_secure, used) in [
            ("http://a.example", true, Some("https://a.example")),
            ("https://a.example/", true, Some("https://a.example")),
            ("http://127.0.0.1:9/", false, Some("http://127.0.0.1:9")),
            ("ftp://a", true, None),
            ("a.example", true, None),
        ] {
            assert_eq!(server(named, is_secure).as_deref(), used, "{named}");
        }
    }
}

//! The parts of an upload on their way to the object storage (API page 6.3).
//!
//! URLs are fetched for at most 10 parts at a time, right before they are used, because nobody knows how
//! long they live; when one has expired, the batch is fetched again, once for all its parts. Each part is
//! hashed while it is sent, and the storage's `ETag` must be that MD5: nothing else on the way compares
//! the bytes with what was meant. No part is ever held in memory, a part that is sent again is read again.

use std::collections::{BTreeMap, BTreeSet};

use http::header;
use secrecy::{ExposeSecret, SecretString};

use super::Web;
use super::upload::Session;
use crate::pan::envelope;
use crate::pan::error::{Error, Reason, Said};
use crate::pan::http::{Answer, HttpError};
use crate::pan::outgoing::Frames;
use crate::pan::parts::{PATIENCE, Passing, Reader, TRIES, times};
use crate::pan::retry::{Advice, Patience};

/// How the object storage is named in errors.
const CALL: &str = "the object storage";
/// Most URLs fetched by one call.
const BATCH: u64 = 10;
/// Longest answer of the storage that is read.
const ANSWER_LIMIT: usize = 64 << 10;
/// HTTP status of a URL that has expired.
const EXPIRED: u16 = 403;

/// The URLs of the parts that are not there yet, in batches.
struct Urls<'a> {
    web: &'a Web,
    session: &'a Session,
    /// Held while a batch is fetched: that is the single flight.
    batches: tokio::sync::Mutex<BTreeMap<u64, Batch>>,
}

struct Batch {
    /// How often it was fetched.
    version: u32,
    urls: BTreeMap<u64, SecretString>,
    left: BTreeSet<u64>,
}

/// Why a part did not arrive.
enum Missed {
    /// The URL is refused: it has expired.
    Expired,
    /// Other bytes arrived than were sent.
    Damaged,
    Because(Reason),
}

impl Web {
    /// Sends all parts of an upload, `at_once` at a time.
    ///
    /// # Errors
    /// The first part that could not be sent; see [`Reason`].
    pub async fn send_parts(&self, session: &Session, source: &Reader, at_once: usize) -> Result<(), Error> {
        let at_once = at_once.max(1);
        let urls = Urls {
            web: self,
            session,
            batches: tokio::sync::Mutex::default(),
        };
        let send = |number| self.send_part(&urls, number, source, at_once);
        session.cut.each(at_once, send).await
    }

    async fn send_part(
        &self,
        urls: &Urls<'_>,
        number: u64,
        source: &Reader,
        at_once: usize,
    ) -> Result<(), Error> {
        let (offset, length) = urls.session.cut.part(number);
        let mut patience = Patience::within(PATIENCE, self.endpoints().rate, true);
        let (mut expired, mut damaged) = (0, 0);
        let mut known = None;
        loop {
            let (version, url) = urls.of(number, known).await?;
            let frames = source(offset, length);
            let reason = match self.put_part(urls.session, &url, length, frames, at_once).await {
                Ok(()) => {
                    urls.done(number).await;
                    return Ok(());
                }
                Err(Missed::Expired) if expired + 1 < TRIES => {
                    expired += 1;
                    known = Some(version);
                    continue;
                }
                Err(Missed::Damaged) if damaged + 1 < TRIES => {
                    damaged += 1;
                    continue;
                }
                Err(Missed::Expired) => Reason::Status(EXPIRED),
                Err(Missed::Damaged) => Reason::Nonsense("other bytes arrived than were sent"),
                Err(Missed::Because(reason)) => reason,
            };
            // A storage that refuses a URL may close before its answer is read.
            if reason == Reason::Http(HttpError::Broken) {
                known = Some(version);
            }
            match patience.after(&reason) {
                Advice::Sleep(pause) | Advice::PushGate(pause) if reason != Reason::Status(EXPIRED) => {
                    tokio::time::sleep(pause).await;
                }
                _ => return Err(Error::new(CALL, reason)),
            }
        }
    }

    /// Sends one part once.
    async fn put_part(
        &self,
        session: &Session,
        url: &SecretString,
        length: u64,
        frames: Frames,
        at_once: usize,
    ) -> Result<(), Missed> {
        let passing = Passing::default();
        let frames = passing.watch(frames);
        let times = times(length, at_once);
        let answer = self
            .http
            .put(url.expose_secret(), length, frames, times, ANSWER_LIMIT)
            .await
            .map_err(|error| Missed::Because(Reason::Http(error)))?;
        let sent = passing.md5();
        judge(&answer, &sent)?;
        // What the spool gave is what was stored, but not what the MD5 was taken of.
        if !session.can_be(&sent) {
            return Err(Missed::Because(Reason::Http(HttpError::Source)));
        }
        Ok(())
    }
}

impl Urls<'_> {
    /// The URL of a part and its version; another version than `known`.
    async fn of(&self, number: u64, known: Option<u32>) -> Result<(u32, SecretString), Error> {
        let index = (number - 1) / BATCH;
        let mut batches = self.batches.lock().await;
        let batch = batches.entry(index).or_insert_with(|| {
            let first = index * BATCH + 1;
            let end = (first + BATCH).min(self.session.parts() + 1);
            Batch {
                version: 0,
                urls: BTreeMap::new(),
                left: (first..end).collect(),
            }
        });
        if batch.version == 0 || known == Some(batch.version) {
            let first = batch.left.first().copied().unwrap_or(number);
            let end = batch.left.last().copied().unwrap_or(number) + 1;
            batch.urls = self.web.part_urls(self.session, first..end).await?;
            batch.version += 1;
        }
        match batch.urls.get(&number) {
            Some(url) => Ok((batch.version, url.clone())),
            None => Err(Error::new(CALL, Reason::Nonsense("no URL for a part"))),
        }
    }

    /// A part is there; a batch with nothing left is forgotten.
    async fn done(&self, number: u64) {
        let index = (number - 1) / BATCH;
        let mut batches = self.batches.lock().await;
        if let Some(batch) = batches.get_mut(&index) {
            batch.left.remove(&number);
            if batch.left.is_empty() {
                batches.remove(&index);
            }
        }
    }
}

/// What the storage's answer says of a part whose MD5 is `sent`.
fn judge(answer: &Answer, sent: &str) -> Result<(), Missed> {
    match answer.status.as_u16() {
        200..300 => {
            let etag = answer.headers.get(header::ETAG);
            let etag = etag.and_then(|value| value.to_str().ok()).unwrap_or_default();
            if etag.trim().trim_matches('"').eq_ignore_ascii_case(sent) {
                Ok(())
            } else {
                Err(Missed::Damaged)
            }
        }
        EXPIRED => Err(Missed::Expired),
        429 => Err(Missed::Because(Reason::Busy {
            said: Said::default(),
            after: envelope::retry_after(&answer.headers),
        })),
        status @ 500.. => Err(Missed::Because(Reason::Status(status))),
        _ => Err(Missed::Because(Reason::Nonsense("a part is refused"))),
    }
}

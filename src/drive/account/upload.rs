//! New files (API page 6 and 8.3): offered by their MD5, sent where the bytes are wanted, proved in the end.

use std::sync::Arc;

use super::calls::{Offered, Sending};
use super::proof::{LOOKS, LOOKS_PATIENT, Wanted};
use super::{Account, name};
use crate::drive::{Begun, Content, DriveFuture, Entry, Error, ErrorKind, Id, NewFile, Retry, Upload};
use crate::hex;
use crate::pan;
use crate::pan::Reason;
use crate::pan::http::HttpError;
use crate::pan::parts::Reader;
use crate::pan::web::upload::Offer;

/// How often an offer is made whose fate is unclear.
const OFFERS: u32 = 3;
/// How often a question after a completed upload may stay unanswered.
const QUESTIONS: u32 = 3;
/// The service's words for a full drive; no source gives the code.
const FULL: [&str; 3] = ["空间不足", "容量不足", "空间已满"];

/// An upload that waits for its bytes.
struct AccountUpload {
    account: Account,
    sending: Box<dyn Sending>,
    wanted: Wanted,
    /// The file that is replaced keeps its id.
    replaces: Option<Id>,
}

impl Account {
    /// Offers a new file; see [`crate::drive::Drive::begin_upload`].
    pub(super) async fn begin_upload(&self, file: &NewFile) -> Result<Begun, Error> {
        name::check(&file.name)?;
        let wanted = Wanted {
            parent: file.parent,
            name: file.name.clone(),
            size: file.size,
            md5: file.md5,
        };
        let etag = hex::encode(&wanted.md5);
        let offer = wanted.offer(&etag, file.replaces.is_some());
        let replaces = file.replaces.as_ref().map(|entry| entry.id);
        match self.offer(offer, &wanted).await? {
            Offered::Reused(id) => {
                let id = id.map(Id).or(replaces);
                Ok(Begun::Done(self.proved(id, &wanted).await?))
            }
            Offered::Refused(error) => Err(error),
            Offered::Wanted(sending) => Ok(Begun::Wanted(Box::new(AccountUpload {
                account: self.clone(),
                sending,
                wanted,
                replaces,
            }))),
        }
    }

    /// Makes an offer. Where its fate is unclear the file may be there; else it is made again: an
    /// offer that was not taken leaves nothing behind.
    pub(super) async fn offer(&self, offer: Offer<'_>, wanted: &Wanted) -> Result<Offered, Error> {
        let mut offers = 1;
        loop {
            match self.calls.offer(offer).await {
                Err(error) if error.is_unclear() && offers < OFFERS => {
                    offers += 1;
                    if let Some(row) = self.find(wanted.parent, |row| wanted.is(row)).await? {
                        return Ok(Offered::Reused(Some(row.id)));
                    }
                }
                Ok(offered) => return Ok(offered),
                Err(error) => return Err(upload_error(error)),
            }
        }
    }
}

impl Upload for AccountUpload {
    fn send(self: Box<Self>, content: Arc<dyn Content>, parts: usize) -> DriveFuture<'static, Entry> {
        Box::pin(async move {
            if content.size() != self.wanted.size {
                let what = "The bytes in the spool are not those that were announced: send the file again.";
                return Err(Error::new(ErrorKind::ChecksumMismatch, what));
            }
            if let Some(sha1) = content.sha1()
                && let Some(entry) = self.offer_by_sha1(sha1).await?
            {
                return Ok(entry);
            }
            let source: Reader = Arc::new(move |offset, length| content.read(offset, length));
            self.sending.send(&source, parts).await.map_err(upload_error)?;
            self.complete().await
        })
    }
}

impl AccountUpload {
    /// The file, if it is there because its SHA-1 is known. No failure of the question ends the upload: the bytes are at
    /// hand. But a file that is there must not be sent once more, beside itself.
    async fn offer_by_sha1(&self, sha1: [u8; 20]) -> Result<Option<Entry>, Error> {
        let (account, wanted) = (&self.account, &self.wanted);
        let etag = hex::encode(&wanted.md5);
        let offer = wanted.offer(&etag, self.replaces.is_some());
        match self.sending.offer_by_sha1(offer, sha1).await {
            Ok(None) => Ok(None),
            Ok(Some(id)) => {
                let id = Some(Id(id)).filter(|id| id.0 > 0);
                match account.proved(id.or(self.replaces), wanted).await {
                    Err(error) if error.kind() == ErrorKind::Nonsense => {
                        tracing::warn!(%error, "an offer by SHA-1 stored something else, or nothing: the bytes are sent");
                        Ok(None)
                    }
                    proved => proved.map(Some),
                }
            }
            Err(error) => {
                tracing::debug!(%error, "an offer by SHA-1 failed");
                if !error.is_unclear() {
                    return Ok(None);
                }
                let row = account.find(wanted.parent, |row| wanted.is(row)).await?;
                Ok(row.map(|row| super::proof::entry(&row)))
            }
        }
    }

    /// Completes; whatever is answered, the stored row decides. Made again only by an API where that is a question.
    async fn complete(&self) -> Result<Entry, Error> {
        let account = &self.account;
        let mut unclear = 0;
        loop {
            match self.sending.complete().await {
                Ok(Some(id)) => {
                    let id = Some(Id(id)).filter(|id| id.0 > 0);
                    return account.proved(id.or(self.replaces), &self.wanted).await;
                }
                Ok(None) => return self.stored(LOOKS).await?.ok_or_else(|| {
                    Error::new(
                        ErrorKind::Nonsense,
                        "123pan says that the upload is complete, but it has stored nothing: send the file again.",
                    )
                }),
                Err(error) if error.is_unclear() => {
                    unclear += 1;
                    // The parts of a large file may still be put together.
                    let late = error.reason == Reason::Http(HttpError::Timeout);
                    let looks = if late { LOOKS_PATIENT } else { LOOKS };
                    if let Some(entry) = self.stored(looks).await? {
                        return Ok(entry);
                    }
                    if late || unclear == QUESTIONS || !self.sending.complete_is_a_question() {
                        return Err(error.into());
                    }
                }
                // The question before may have been the last.
                Err(error) if unclear > 0 => {
                    return self.stored(LOOKS).await?.ok_or_else(|| upload_error(error));
                }
                Err(error) => return Err(upload_error(error)),
            }
        }
    }

    /// The file, if it is there.
    async fn stored(&self, looks: u32) -> Result<Option<Entry>, Error> {
        let (account, wanted) = (&self.account, &self.wanted);
        // It replaces a file of the same name, under its id or another: the folder shows either.
        let found = account
            .find_soon(wanted.parent, looks, |row| wanted.is(row))
            .await?;
        Ok(found.map(|row| super::proof::entry(&row)))
    }
}

/// An error of an upload: a full drive, or a session that has gone, where another one may do.
fn upload_error(error: pan::Error) -> Error {
    let refused = match &error.reason {
        Reason::Refused(said) => Some(said.clone()),
        _ => None,
    };
    let converted = Error::from(error);
    match refused {
        Some(said) if FULL.iter().any(|word| said.text.contains(word)) => Error::new(
            ErrorKind::NoSpace,
            format!("The account has no space left for this file ({said})."),
        )
        .with_source(converted),
        Some(_) if converted.kind() == ErrorKind::Nonsense => converted.with_retry(Retry::Soon),
        _ => converted,
    }
}

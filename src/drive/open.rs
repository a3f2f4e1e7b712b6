//! 123pan's Open platform as the model of an account calls it (API page 8): what a developer's token can do.

use std::sync::{Arc, Mutex, PoisonError};

use super::account::calls::{Called, Calls, Offered, Sending};
use super::direct_link::PaidLinks;
use super::listing::Source;
use super::web::{link, with_file};
use super::{DriveFuture, Entry, Error, ErrorKind, Id, Link, LinkWish};
use crate::hex;
use crate::pan::Reason;
use crate::pan::open::Open;
use crate::pan::open::upload::{self, LARGEST};
use crate::pan::parts::Reader;
use crate::pan::token::Session;
use crate::pan::web::copy::{Original, Task};
use crate::pan::web::files::{ListPage, Row};
use crate::pan::web::quota::UserInfo;
use crate::pan::web::upload::Offer;

/// A session of an upload and who sends it.
struct OpenUpload {
    open: Arc<Open>,
    session: upload::Session,
}

/// A developer's access to a drive.
pub struct OpenCalls {
    open: Arc<Open>,
    paid: Option<PaidLinks>,
}

impl OpenCalls {
    /// Calls by a client; files in a direct-link space get links by `paid`, if any.
    pub fn new(open: Arc<Open>, paid: Option<PaidLinks>) -> Self {
        Self { open, paid }
    }
}

impl Calls for OpenCalls {
    fn session(&self) -> &Session {
        self.open.session()
    }

    fn rate(&self) -> f64 {
        self.open.endpoints().rate
    }

    /// Pages follow each other by the last id, so the id of the page before is remembered here; page 1 is asked for again
    /// when a listing begins anew, and the same page after an error.
    fn pages(&self, folder: Id) -> Source {
        let open = Arc::clone(&self.open);
        let ends: Arc<Mutex<Vec<i64>>> = Arc::default();
        Box::new(move |page| {
            let (open, ends) = (Arc::clone(&open), Arc::clone(&ends));
            let before = page.saturating_sub(1) as usize;
            Box::pin(async move {
                let after = {
                    let mut ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
                    ends.truncate(before);
                    ends.last().copied().unwrap_or(0)
                };
                let found = open.list(folder.0, after).await?;
                ends.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(found.last_id);
                Ok(ListPage {
                    next: if found.is_last() {
                        "-1".to_owned()
                    } else {
                        found.last_id.to_string()
                    },
                    total: None,
                    rows: found.rows,
                    expired: false,
                })
            })
        })
    }

    /// No source tells the order of the rows.
    fn newest_first(&self) -> bool {
        false
    }

    fn info(&self, id: Id) -> Called<'_, Row> {
        Box::pin(self.open.info(id.0))
    }

    fn user_info(&self) -> Called<'_, UserInfo> {
        Box::pin(self.open.user_info())
    }

    fn link<'a>(&'a self, file: &'a Entry, wish: LinkWish) -> DriveFuture<'a, Link> {
        Box::pin(async move {
            if let Some(paid) = &self.paid
                && file.size != Some(0)
                && let Some(link) = paid.link(&self.open, file, &wish).await?
            {
                return Ok(link);
            }
            let found = with_file(file, async |file| self.open.link(file.id, file.size).await).await?;
            Ok(link(found))
        })
    }

    fn make_folder<'a>(&'a self, parent: Id, name: &'a str) -> Called<'a, i64> {
        Box::pin(self.open.make_folder(parent.0, name))
    }

    fn rename<'a>(&'a self, id: Id, name: &'a str) -> Called<'a, ()> {
        Box::pin(self.open.rename(id.0, name))
    }

    fn move_into(&self, id: Id, folder: Id) -> Called<'_, ()> {
        Box::pin(self.open.move_into(id.0, folder.0))
    }

    fn trash(&self, id: Id) -> Called<'_, ()> {
        Box::pin(self.open.trash(id.0))
    }

    fn delete(&self, id: Id) -> Called<'_, ()> {
        Box::pin(self.open.delete(id.0))
    }

    fn copy_into<'a>(&'a self, file: Original<'a>, folder: Id) -> Called<'a, Option<Task>> {
        Box::pin(self.open.copy_into(file.id, folder.0))
    }

    fn copy_done<'a>(&'a self, task: &'a Task) -> Called<'a, bool> {
        Box::pin(self.open.copy_done(task))
    }

    /// Empty files are said not to be taken (question 27): they are offered by their MD5, and refused clearly where
    /// that does not do.
    fn offer<'a>(&'a self, offer: Offer<'a>) -> Called<'a, Offered> {
        Box::pin(async move {
            if offer.size > LARGEST {
                let what = "123pan's Open platform takes files of 10 GiB at the most: upload this one through a mount of kind \"account\".";
                return Ok(Offered::Refused(Error::new(ErrorKind::TooLarge, what)));
            }
            match self.open.offer(&offer).await {
                Ok(upload::Offered::Reused(id)) => Ok(Offered::Reused(id)),
                Ok(upload::Offered::Session(session)) if offer.size > 0 => {
                    Ok(Offered::Wanted(Box::new(OpenUpload {
                        open: Arc::clone(&self.open),
                        session,
                    })))
                }
                Ok(upload::Offered::Session(_)) => Ok(Offered::Refused(empty("it wants its bytes"))),
                Err(error) => match &error.reason {
                    Reason::Refused(said) if offer.size == 0 => {
                        Ok(Offered::Refused(empty(&said.to_string()).with_source(error)))
                    }
                    _ => Err(error),
                },
            }
        })
    }
}

impl Sending for OpenUpload {
    /// Not for a file of one slice: that is sent by one call too, and "not known" is the usual answer.
    fn offer_by_sha1<'a>(&'a self, offer: Offer<'a>, sha1: [u8; 20]) -> Called<'a, Option<i64>> {
        Box::pin(async move {
            if self.session.slices() < 2 {
                return Ok(None);
            }
            self.open.offer_by_sha1(&offer, &hex::encode(&sha1)).await
        })
    }

    fn send<'a>(&'a self, source: &'a Reader, at_once: usize) -> Called<'a, ()> {
        Box::pin(self.open.send_slices(&self.session, source, at_once))
    }

    fn complete(&self) -> Called<'_, Option<i64>> {
        Box::pin(async { Ok(Some(self.open.complete(&self.session).await?)) })
    }

    fn complete_is_a_question(&self) -> bool {
        true
    }
}

/// The refusal of an empty file.
fn empty(said: &str) -> Error {
    Error::new(
        ErrorKind::Unsupported,
        format!(
            "123pan's Open platform does not take empty files ({said}): put something in, or upload it through a mount of kind \"account\"."
        ),
    )
}

//! The web API as the model of an account calls it (API page 5 and 6).

use std::sync::Arc;

use super::account::calls::{Called, Calls, Offered, Sending};
use super::listing::Source;
use super::{DriveFuture, Entry, Error, ErrorKind, Id, Link, LinkWish, rows};
use crate::pan::parts::Reader;
use crate::pan::relay::FinalLink;
use crate::pan::token::Session;
use crate::pan::web::Web;
use crate::pan::web::copy::{Original, Task};
use crate::pan::web::download::FileRef;
use crate::pan::web::files::Row;
use crate::pan::web::quota::UserInfo;
use crate::pan::web::upload::{self, Offer, PARTS_MAX};

/// A session of an upload and who sends it.
struct WebUpload {
    web: Arc<Web>,
    session: upload::Session,
}

impl Calls for Arc<Web> {
    fn session(&self) -> &Session {
        Web::session(self)
    }

    fn rate(&self) -> f64 {
        self.endpoints().rate
    }

    fn pages(&self, folder: Id) -> Source {
        let web = Arc::clone(self);
        Box::new(move |page| {
            let web = Arc::clone(&web);
            Box::pin(async move { Ok(web.list(folder.0, page).await?) })
        })
    }

    fn newest_first(&self) -> bool {
        true
    }

    fn info(&self, id: Id) -> Called<'_, Row> {
        Box::pin(Web::info(self, id.0))
    }

    fn user_info(&self) -> Called<'_, UserInfo> {
        Box::pin(Web::user_info(self))
    }

    /// Two calls. There is one way to a link only, so a refused one is asked for anew.
    fn link<'a>(&'a self, file: &'a Entry, _wish: LinkWish) -> DriveFuture<'a, Link> {
        Box::pin(async move {
            let found = with_file(file, async |file| Web::link(self, &file).await).await?;
            Ok(link(found))
        })
    }

    fn make_folder<'a>(&'a self, parent: Id, name: &'a str) -> Called<'a, i64> {
        Box::pin(Web::make_folder(self, parent.0, name))
    }

    fn rename<'a>(&'a self, id: Id, name: &'a str) -> Called<'a, ()> {
        Box::pin(Web::rename(self, id.0, name))
    }

    fn move_into(&self, id: Id, folder: Id) -> Called<'_, ()> {
        Box::pin(Web::move_into(self, id.0, folder.0))
    }

    fn trash(&self, id: Id) -> Called<'_, ()> {
        Box::pin(Web::trash(self, id.0))
    }

    fn delete(&self, id: Id) -> Called<'_, ()> {
        Box::pin(Web::delete(self, id.0))
    }

    fn copy_into<'a>(&'a self, file: Original<'a>, folder: Id) -> Called<'a, Option<Task>> {
        Box::pin(async move { Web::copy_into(self, &file, folder.0).await })
    }

    fn copy_done<'a>(&'a self, task: &'a Task) -> Called<'a, bool> {
        Box::pin(Web::copy_done(self, task))
    }

    fn offer<'a>(&'a self, offer: Offer<'a>) -> Called<'a, Offered> {
        Box::pin(async move {
            Ok(match Web::offer(self, &offer).await? {
                upload::Offered::Reused(id) => Offered::Reused(id),
                upload::Offered::Credentials => Offered::Refused(Error::new(
                    ErrorKind::Unsupported,
                    "123pan wants this upload through an S3 client with credentials, which dav123 does not speak: please report it, and upload this file on the web page meanwhile.",
                )),
                upload::Offered::Session(session) if session.parts() > PARTS_MAX => {
                    Offered::Refused(Error::new(
                        ErrorKind::TooLarge,
                        format!("This file would need more than the {PARTS_MAX} parts that 123pan takes."),
                    ))
                }
                upload::Offered::Session(session) => Offered::Wanted(Box::new(WebUpload {
                    web: Arc::clone(self),
                    session,
                })),
            })
        })
    }
}

impl Sending for WebUpload {
    fn send<'a>(&'a self, source: &'a Reader, at_once: usize) -> Called<'a, ()> {
        Box::pin(self.web.send_parts(&self.session, source, at_once))
    }

    fn complete(&self) -> Called<'_, Option<i64>> {
        Box::pin(async {
            let row = self.web.complete(&self.session).await?;
            Ok(row.map(|row| row.id.max(0)))
        })
    }
}

/// Asks for the link of an entry.
pub(super) async fn with_file<T>(
    entry: &Entry,
    ask: impl AsyncFnOnce(FileRef<'_>) -> Result<T, crate::pan::Error>,
) -> Result<T, Error> {
    if entry.is_folder() {
        return Err(Error::new(ErrorKind::IsAFolder, "A folder has no bytes."));
    }
    let (etag, s3_key_flag) = rows::link_keys(entry);
    let file = FileRef {
        id: entry.id.0,
        name: &entry.name,
        size: entry.size.unwrap_or(0),
        etag: &etag,
        s3_key_flag,
    };
    Ok(ask(file).await?)
}

/// A link of the web API. It is bound to the network that asked, and to a Referer (API page 5.8).
pub(super) fn link(found: FinalLink) -> Link {
    Link {
        until: found.until(),
        url: found.url,
        referers: found.referers,
        headers: Vec::new(),
        open_to_all: false,
    }
}

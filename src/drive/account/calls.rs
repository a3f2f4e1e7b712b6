//! What the model of an account needs of an API: the calls, each made once, without any belief in their answers.
//!
//! There are two: the web API ([`crate::drive::web`]) and the Open platform ([`crate::drive::open`]).

use std::pin::Pin;

use crate::drive::listing::Source;
use crate::drive::{DriveFuture, Entry, Error, Id, Link, LinkWish};
use crate::pan;
use crate::pan::parts::Reader;
use crate::pan::token::Session;
use crate::pan::web::copy::{Original, Task};
use crate::pan::web::files::Row;
use crate::pan::web::quota::UserInfo;
use crate::pan::web::upload::Offer;

/// The future of a call.
pub type Called<'a, T> = Pin<Box<dyn Future<Output = Result<T, pan::Error>> + Send + 'a>>;

/// The answer to an offer.
pub enum Offered {
    /// The content is known and the file is there; its id, where the answer tells it.
    Reused(Option<i64>),
    /// The bytes are wanted.
    Wanted(Box<dyn Sending>),
    /// It cannot be taken in this way, and why.
    Refused(Error),
}

/// An upload that waits for its bytes.
pub trait Sending: Send + Sync {
    /// Offers the same file by its SHA-1, once, where the API can and that is less than to send it: its id where the content
    /// is known and the file is there, 0 where that is not told. The bytes can be sent whatever comes of it.
    fn offer_by_sha1<'a>(&'a self, _: Offer<'a>, _sha1: [u8; 20]) -> Called<'a, Option<i64>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Sends all parts, so many at once.
    fn send<'a>(&'a self, source: &'a Reader, at_once: usize) -> Called<'a, ()>;

    /// Makes the file of them, once. `None`: nothing was stored; its id otherwise, 0 where that is not told.
    fn complete(&self) -> Called<'_, Option<i64>>;

    /// Whether completing is asking whether the file is there, which is done again and again anyhow.
    fn complete_is_a_question(&self) -> bool {
        false
    }
}

/// One API of an account. A change whose fate is unclear is never made again here.
pub trait Calls: Send + Sync {
    /// Whose calls these are.
    fn session(&self) -> &Session;

    /// The factor on the built-in pace.
    fn rate(&self) -> f64;

    /// The pages of a folder by number, to be asked for from the first one on.
    fn pages(&self, folder: Id) -> Source;

    /// Whether the first page has the newest rows and tells how many there are.
    fn newest_first(&self) -> bool;

    /// The row of an id, also of one in the recycle bin; [`pan::Reason::NotFound`] where there is none.
    fn info(&self, id: Id) -> Called<'_, Row>;

    /// The account's space.
    fn user_info(&self) -> Called<'_, UserInfo>;

    /// A link for a file.
    fn link<'a>(&'a self, file: &'a Entry, wish: LinkWish) -> DriveFuture<'a, Link>;

    /// Makes a folder; its id. An equal name is [`pan::Reason::Exists`].
    fn make_folder<'a>(&'a self, parent: Id, name: &'a str) -> Called<'a, i64>;

    /// Gives an entry another name in its folder.
    fn rename<'a>(&'a self, id: Id, name: &'a str) -> Called<'a, ()>;

    /// Moves an entry into another folder.
    fn move_into(&self, id: Id, folder: Id) -> Called<'_, ()>;

    /// Moves an entry into the recycle bin.
    fn trash(&self, id: Id) -> Called<'_, ()>;

    /// Removes for good what is in the recycle bin.
    fn delete(&self, id: Id) -> Called<'_, ()>;

    /// Begins to copy a file into a folder, under its own name; `None` where it is done already.
    fn copy_into<'a>(&'a self, file: Original<'a>, folder: Id) -> Called<'a, Option<Task>>;

    /// Whether a copy is done.
    fn copy_done<'a>(&'a self, task: &'a Task) -> Called<'a, bool>;

    /// Offers a file by its MD5.
    fn offer<'a>(&'a self, offer: Offer<'a>) -> Called<'a, Offered>;
}

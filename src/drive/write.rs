//! What changes a drive: the words that [`super::Drive`]'s writing methods use.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::Stream;

use super::{DriveFuture, Entry, Error, ErrorKind, Id};

/// Bytes at hand that can be read again from any offset: a file of the spool.
pub trait Content: fmt::Debug + Send + Sync {
    /// Bytes in all.
    fn size(&self) -> u64;

    /// `length` bytes from `offset`, in frames, as fast as the reader takes them.
    fn read(
        &self,
        offset: u64,
        length: u64,
    ) -> Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send + Sync>>;
}

/// A file that is to be in a drive.
#[derive(Debug, Clone)]
pub struct NewFile {
    /// The folder it belongs in.
    pub parent: Id,
    /// Its name there.
    pub name: String,
    /// Bytes in all.
    pub size: u64,
    /// MD5 of all bytes: needed before 123pan takes the first one (API page 6.1).
    pub md5: [u8; 16],
    /// The file of the same name that it replaces. It stays whole until the new one is complete.
    pub replaces: Option<Arc<Entry>>,
}

/// What a drive says to a new file.
pub enum Begun {
    /// It knows the content: the file is there (instant upload).
    Done(Entry),
    /// It wants the bytes.
    Wanted(Box<dyn Upload>),
}

/// An upload that waits for its bytes. Dropping it gives it up; nothing is stored then.
pub trait Upload: Send + Sync {
    /// Sends the bytes, `parts` parts at once, completes, and proves that the stored row has the size and the MD5.
    fn send(self: Box<Self>, content: Arc<dyn Content>, parts: usize) -> DriveFuture<'static, Entry>;
}

/// The refusal of a drive that can only be read.
pub(super) fn refused<'a, T>() -> DriveFuture<'a, T> {
    Box::pin(async { Err(Error::new(ErrorKind::ReadOnly, "This mount can only be read.")) })
}

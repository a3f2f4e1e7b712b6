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

    /// SHA-1 of all bytes, where who sent them announced one and it was found right.
    fn sha1(&self) -> Option<[u8; 20]> {
        None
    }

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

/// Longest name, in characters: the smaller of the two figures that 123pan gives (API page 6.5, question 10).
pub(super) const LONGEST_NAME: usize = 255;

/// A name that nobody has, which still says what it is for.
pub fn temporary_name(name: &str) -> String {
    let mark = format!("{}-", private_name());
    let room = LONGEST_NAME - mark.chars().count();
    // The end of a name tells more: it has the extension.
    let skipped = name.chars().count().saturating_sub(room);
    mark + &name.chars().skip(skipped).collect::<String>()
}

/// A hidden name that nobody has.
pub(super) fn private_name() -> String {
    format!(".dav123-{:016x}", fastrand::u64(..))
}

/// The refusal of a drive that can only be read.
pub(super) fn refused<'a, T>() -> DriveFuture<'a, T> {
    Box::pin(async { Err(Error::new(ErrorKind::ReadOnly, "This mount can only be read.")) })
}

#[cfg(test)]
mod tests {
    #[test]
    fn temporary_names_can_be_stored_and_keep_the_extension() {
        for name in ["a.txt".to_owned(), format!("{}.txt", "长".repeat(251))] {
            let temporary = super::temporary_name(&name);
            assert!(temporary.chars().count() <= super::LONGEST_NAME);
            assert!(temporary.ends_with(".txt") && temporary != super::temporary_name(&name));
        }
    }
}

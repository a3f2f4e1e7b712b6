//! Looking at what is stored: after every change, and after every call whose fate is unclear.
//!
//! A row is read by its id where that is known, which costs one call whatever the folder's size; else
//! the folder is listed until the row is found. Search is never used: its index lags
//! behind (API page 5.5).

use std::time::Duration;

use super::Account;
use crate::config::Delete;
use crate::drive::rows::{self, Locators, Names};
use crate::drive::{Entry, Error, ErrorKind, Id, Kind};
use crate::pan;
use crate::pan::Reason;
use crate::pan::web::files::Row;
use crate::pan::web::upload::Offer;

/// How often a row is read until it is as it should be.
pub(super) const LOOKS: u32 = 3;
/// The same where the service may still be at work on it: half a minute.
pub(super) const LOOKS_PATIENT: u32 = 8;
/// The pause before the second look; doubled each time.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// The longest pause between two looks.
const LOOK_PAUSE_MAX: Duration = Duration::from_secs(10);
/// Most pages of a folder that are read for one row.
const PAGES: u32 = 10_000;
/// The same while it is awaited, where the API gives pages in no known order.
const PAGES_SOON: u32 = 5;
/// `Next` of the last page.
pub(super) const END: &str = "-1";

/// What a stored file must be.
#[derive(Debug, Clone)]
pub(super) struct Wanted {
    pub(super) parent: Id,
    pub(super) name: String,
    pub(super) size: u64,
    pub(super) md5: [u8; 16],
}

impl Wanted {
    /// The same as an offer; `etag` is its MD5 in hex.
    pub(super) fn offer<'a>(&'a self, etag: &'a str, replace: bool) -> Offer<'a> {
        Offer {
            parent: self.parent.0,
            name: &self.name,
            size: self.size,
            etag,
            replace,
        }
    }

    /// Whether a row holds these bytes in this folder. Its name is looked at where it must tell the
    /// row from others.
    pub(super) fn is_content_of(&self, row: &Row) -> bool {
        let entry = entry(row);
        let here = row.parent.is_none_or(|parent| Id(parent) == self.parent);
        let same_bytes = entry.size == Some(self.size) && entry.md5 == Some(self.md5);
        entry.kind == Kind::File && !row.trashed && here && same_bytes
    }

    pub(super) fn is(&self, row: &Row) -> bool {
        row.name == self.name && self.is_content_of(row)
    }
}

impl Account {
    /// The row of an id, also of one in the recycle bin; `None` where there is none.
    pub(super) async fn any_row(&self, id: Id) -> Result<Option<Row>, pan::Error> {
        match self.calls.info(id).await {
            Ok(row) => Ok(Some(row)),
            Err(error) if matches!(error.reason, Reason::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// The same without the recycle bin.
    pub(super) async fn row(&self, id: Id) -> Result<Option<Row>, pan::Error> {
        Ok(self.any_row(id).await?.filter(|row| !row.trashed))
    }

    /// Reads a row until it is as it should be, three times at the most: what it was at last.
    pub(super) async fn any_row_when(
        &self,
        id: Id,
        good: impl Fn(Option<&Row>) -> bool,
    ) -> Result<Option<Row>, pan::Error> {
        let mut look = 1;
        loop {
            let row = self.any_row(id).await?;
            if good(row.as_ref()) || look == LOOKS {
                return Ok(row);
            }
            self.pause_after(look).await;
            look += 1;
        }
    }

    /// The same without the recycle bin.
    pub(super) async fn row_when(
        &self,
        id: Id,
        good: impl Fn(Option<&Row>) -> bool,
    ) -> Result<Option<Row>, pan::Error> {
        let row = self
            .any_row_when(id, |row| good(row.filter(|row| !row.trashed)))
            .await?;
        Ok(row.filter(|row| !row.trashed))
    }

    /// The newest row of a folder that is as wanted.
    pub(super) async fn find(&self, folder: Id, wanted: impl Fn(&Row) -> bool) -> Result<Option<Row>, Error> {
        self.find_in(folder, PAGES, wanted).await
    }

    /// A row that may come a little late: as long as it is awaited only the first page is read, where
    /// new ids are, or some pages where they may be on any; in the end the whole folder.
    pub(super) async fn find_soon(
        &self,
        folder: Id,
        looks: u32,
        wanted: impl Fn(&Row) -> bool,
    ) -> Result<Option<Row>, Error> {
        let pages = if self.calls.newest_first() { 1 } else { PAGES_SOON };
        for look in 1..looks {
            let row = self.find_in(folder, pages, &wanted).await?;
            if row.is_some() {
                return Ok(row);
            }
            self.pause_after(look).await;
        }
        self.find(folder, wanted).await
    }

    async fn find_in(
        &self,
        folder: Id,
        pages: u32,
        wanted: impl Fn(&Row) -> bool,
    ) -> Result<Option<Row>, Error> {
        let source = self.calls.pages(folder);
        for page in 1..=pages {
            let found = source(page).await?;
            let last = found.next == END || found.rows.is_empty();
            let row = found.rows.into_iter().find(|row| !row.trashed && wanted(row));
            if row.is_some() || last {
                return Ok(row);
            }
        }
        Ok(None)
    }

    /// The pause after a look in vain.
    async fn pause_after(&self, look: u32) {
        let pause = LOOK_PAUSE.saturating_mul(1 << (look - 1).min(16));
        self.pause(pause.min(LOOK_PAUSE_MAX)).await;
    }

    /// The entry of a stored row, unless its name shows that another had the wanted one already: an
    /// instant upload is put beside it under a number (API page 6.2). It is taken away again.
    async fn named(&self, row: Row, wanted: &Wanted) -> Result<Entry, Error> {
        if is_numbered(&row.name, &wanted.name) {
            if let Err(error) = self.remove(Id(row.id), wanted.parent, Delete::Trash).await {
                tracing::warn!(%error, name = row.name, "a file that 123pan has stored under a number is left");
            }
            return Err(Error::new(
                ErrorKind::Exists,
                format!("123pan has an entry \"{}\" in this folder already.", wanted.name),
            ));
        }
        if row.name != wanted.name {
            tracing::warn!(stored = row.name, "123pan has stored a file under another name");
        }
        Ok(entry(&row))
    }

    /// The entry of a file that is said to be stored, by its id where that is known.
    pub(super) async fn proved(&self, id: Option<Id>, wanted: &Wanted) -> Result<Entry, Error> {
        if let Some(id) = id {
            let row = self
                .row_when(id, |row| row.is_some_and(|row| wanted.is_content_of(row)))
                .await?;
            if let Some(row) = row.filter(|row| wanted.is_content_of(row)) {
                return self.named(row, wanted).await;
            }
        }
        match self.find(wanted.parent, |row| wanted.is(row)).await? {
            Some(row) => Ok(entry(&row)),
            None => Err(Error::new(
                ErrorKind::Nonsense,
                format!(
                    "123pan says that \"{}\" is stored, but its folder has no file with that size and MD5: send it again.",
                    wanted.name
                ),
            )),
        }
    }
}

/// Whether `stored` is `a(1).txt` where `wanted` is `a.txt`.
pub(super) fn is_numbered(stored: &str, wanted: &str) -> bool {
    let (stem, extension) = match wanted.rfind('.') {
        Some(dot) if dot > 0 => wanted.split_at(dot),
        _ => (wanted, ""),
    };
    stored
        .strip_prefix(stem)
        .and_then(|rest| rest.strip_suffix(extension))
        .and_then(|rest| rest.trim_start().strip_prefix('(')?.strip_suffix(')'))
        .is_some_and(|digits| !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
}

/// The entry of a single row.
pub(super) fn entry(row: &Row) -> Entry {
    rows::entry(row, &mut Names::default(), &mut Locators::default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbered_names_are_known() {
        for (stored, wanted) in [
            ("a(1).txt", "a.txt"),
            ("a (12).txt", "a.txt"),
            ("a(1)", "a"),
            (".x(1)", ".x"),
        ] {
            assert!(is_numbered(stored, wanted), "{stored}");
        }
        for (stored, wanted) in [
            ("a.txt", "a.txt"),
            ("a().txt", "a.txt"),
            ("a(x).txt", "a.txt"),
            ("b(1).txt", "a.txt"),
        ] {
            assert!(!is_numbered(stored, wanted), "{stored}");
        }
    }
}

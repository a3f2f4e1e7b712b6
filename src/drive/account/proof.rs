//! Looking at what is stored: after every change, and after every call whose fate is unclear.
//!
//! A row is read by its id where that is known, which costs one call whatever the folder's size; else
//! the folder is listed, newest first, until the row is found. Search is never used: its index lags
//! behind (API page 5.5).

use std::time::Duration;

use super::Account;
use crate::drive::rows::{self, Locators, Names};
use crate::drive::{Entry, Error, ErrorKind, Id, Kind};
use crate::pan;
use crate::pan::Reason;
use crate::pan::web::files::Row;

/// How often a row is read until it is as it should be.
const LOOKS: u32 = 3;
/// The pause before the second look; doubled each time.
const LOOK_PAUSE: Duration = Duration::from_millis(500);
/// Most pages of a folder that are read for one row.
const PAGES: u32 = 10_000;
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
    /// The row of an id; `None` where there is none, or where it is in the recycle bin.
    pub(super) async fn row(&self, id: Id) -> Result<Option<Row>, pan::Error> {
        match self.web.info(id.0).await {
            Ok(row) if row.trashed => Ok(None),
            Ok(row) => Ok(Some(row)),
            Err(error) if matches!(error.reason, Reason::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Reads a row until it is as it should be, three times at the most: what it was at last.
    pub(super) async fn row_when(
        &self,
        id: Id,
        good: impl Fn(Option<&Row>) -> bool,
    ) -> Result<Option<Row>, pan::Error> {
        let mut look = 1;
        loop {
            let row = self.row(id).await?;
            if good(row.as_ref()) || look == LOOKS {
                return Ok(row);
            }
            self.pause(LOOK_PAUSE * (1 << (look - 1))).await;
            look += 1;
        }
    }

    /// The newest row of a folder that is as wanted.
    pub(super) async fn find(
        &self,
        folder: Id,
        wanted: impl Fn(&Row) -> bool,
    ) -> Result<Option<Row>, pan::Error> {
        for page in 1..=PAGES {
            let found = self.web.list(folder.0, page).await?;
            let last = found.next == END || found.rows.is_empty();
            let row = found.rows.into_iter().find(|row| !row.trashed && wanted(row));
            if row.is_some() || last {
                return Ok(row);
            }
        }
        Ok(None)
    }

    /// The same, asked three times at the most: a row may come a little late.
    pub(super) async fn find_soon(
        &self,
        folder: Id,
        wanted: impl Fn(&Row) -> bool,
    ) -> Result<Option<Row>, pan::Error> {
        let mut look = 1;
        loop {
            let row = self.find(folder, &wanted).await?;
            if row.is_some() || look == LOOKS {
                return Ok(row);
            }
            self.pause(LOOK_PAUSE * (1 << (look - 1))).await;
            look += 1;
        }
    }

    /// The entry of a file that is said to be stored, by its id where that is known.
    pub(super) async fn proved(&self, id: Option<Id>, wanted: &Wanted) -> Result<Entry, Error> {
        if let Some(id) = id {
            let row = self
                .row_when(id, |row| row.is_some_and(|row| wanted.is_content_of(row)))
                .await?;
            if let Some(row) = row.filter(|row| wanted.is_content_of(row)) {
                if row.name != wanted.name {
                    tracing::warn!(stored = row.name, "123pan has stored a file under another name");
                }
                return Ok(entry(&row));
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

/// The entry of a single row.
pub(super) fn entry(row: &Row) -> Entry {
    rows::entry(row, &mut Names::default(), &mut Locators::default())
}

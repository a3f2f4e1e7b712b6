//! Rename and move (API page 5.6).
//!
//! 123pan has one call for each, and no source says what they do where the name is taken (question 8):
//! refuse, number the name, or nothing. So both together must not pass through a name that somebody has:
//! the entry moves first if its old name is free in the target folder, which one page of a listing
//! shows; else it gets a name that nobody has for the way. In the end the row is read: if it is not
//! what was wanted, it is put back where it was.

use super::proof::{END, entry as entry_of, is_numbered};
use super::{Account, name as names};
use crate::drive::{Entry, Error, ErrorKind, Id, temporary_name};
use crate::pan;
use crate::pan::web::files::Row;

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Rename(String),
    Move(Id),
}

/// Where an entry is and how it is called.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) folder: Id,
    pub(super) name: &'a str,
}

impl Place<'_> {
    fn holds(self, row: &Row) -> bool {
        self.is_folder_of(row) && row.name == self.name
    }

    fn is_folder_of(self, row: &Row) -> bool {
        row.parent.is_none_or(|parent| Id(parent) == self.folder)
    }
}

impl Account {
    /// Renames and moves an entry; see [`crate::drive::Drive::relocate`].
    pub(super) async fn relocate(&self, entry: &Entry, from: Id, to: Id, name: &str) -> Result<Entry, Error> {
        if to == entry.id {
            let what = "A folder cannot be moved into itself.";
            return Err(Error::new(ErrorKind::Forbidden, what));
        }
        if name != &*entry.name {
            names::check(name)?;
        }
        let old = Place {
            folder: from,
            name: &entry.name,
        };
        let new = Place { folder: to, name };
        let steps = match (from == to, *name == *entry.name) {
            (true, true) => Vec::new(),
            (false, true) => vec![Step::Move(to)],
            (true, false) => vec![Step::Rename(name.to_owned())],
            (false, false) if self.is_surely_free(to, &entry.name).await? => {
                vec![Step::Move(to), Step::Rename(name.to_owned())]
            }
            (false, false) => vec![
                Step::Rename(temporary_name(name)),
                Step::Move(to),
                Step::Rename(name.to_owned()),
            ],
        };
        self.carry_out(entry.id, &steps, old, new).await
    }

    /// The same where the steps are known to pass through no taken name: out of a private folder.
    pub(super) async fn bring_out(&self, row: &Row, from: Id, new: Place<'_>) -> Result<Entry, Error> {
        let mut steps = Vec::new();
        if row.name != new.name {
            steps.push(Step::Rename(new.name.to_owned()));
        }
        steps.push(Step::Move(new.folder));
        let old = Place {
            folder: from,
            name: &row.name,
        };
        self.carry_out(Id(row.id), &steps, old, new).await
    }

    async fn carry_out(
        &self,
        id: Id,
        steps: &[Step],
        old: Place<'_>,
        new: Place<'_>,
    ) -> Result<Entry, Error> {
        for (n, step) in steps.iter().enumerate() {
            if let Err(error) = self.step(id, step).await {
                let touched = n > 0 || error.is_unclear();
                let error = Error::from(error);
                return Err(if touched {
                    self.put_back(id, old, steps, error).await
                } else {
                    error
                });
            }
        }
        let good = |row: Option<&Row>| row.is_some_and(|row| new.holds(row));
        let mut row = self.look(id, new, good).await?;
        // One of two entries of the same name is shown under another one than it has.
        if let Some(found) = &row
            && new.is_folder_of(found)
            && found.name != new.name
            && matches!(steps, [Step::Move(_)])
            && self.step(id, &Step::Rename(new.name.to_owned())).await.is_ok()
        {
            row = self.look(id, new, good).await?;
        }
        match row {
            Some(row) if new.holds(&row) => Ok(entry_of(&row)),
            Some(row) => {
                let error = unwanted(&row, old, new, steps);
                Err(self.put_back(id, old, steps, error).await)
            }
            None => Err(Error::new(
                ErrorKind::NotFound,
                "123pan does not have this any more: somebody else has removed it.",
            )),
        }
    }

    async fn look(
        &self,
        id: Id,
        new: Place<'_>,
        good: impl Fn(Option<&Row>) -> bool,
    ) -> Result<Option<Row>, Error> {
        self.row_when(id, good).await.map_err(|error| {
            let kind = Error::from(error.clone()).kind();
            Error::new(
                kind,
                format!(
                    "123pan has accepted the change to \"{}\", but does not tell whether it was carried out ({error}): look before trying again.",
                    new.name
                ),
            )
            .with_source(error)
        })
    }

    /// One step; where its fate is unclear the row tells it.
    async fn step(&self, id: Id, step: &Step) -> Result<(), pan::Error> {
        let result = match step {
            Step::Rename(name) => self.calls.rename(id, name).await,
            Step::Move(folder) => self.calls.move_into(id, *folder).await,
        };
        let Err(error) = result else { return Ok(()) };
        if !error.is_unclear() {
            return Err(error);
        }
        let done = |row: Option<&Row>| {
            row.is_some_and(|row| match step {
                Step::Rename(name) => row.name == *name,
                Step::Move(folder) => row.parent == Some(folder.0),
            })
        };
        match self.row_when(id, done).await {
            Ok(row) if done(row.as_ref()) => Ok(()),
            _ => Err(error),
        }
    }

    /// Puts an entry back where it was after `error`; the error to be told. Where it was not to be
    /// moved it stays in its folder: then somebody else has moved it.
    async fn put_back(&self, id: Id, old: Place<'_>, steps: &[Step], error: Error) -> Error {
        let stays = |what: String| {
            let sentence = format!("{} {what}", error.sentence());
            Error::new(error.kind(), sentence).with_source(error.clone())
        };
        let moved = match self.row(id).await {
            Ok(Some(row)) if old.holds(&row) => return error,
            Ok(Some(row)) => row,
            Ok(None) => return error,
            Err(_) => {
                return stays(format!(
                    "It is not known whether it is still \"{}\" where it was.",
                    old.name
                ));
            }
        };
        let old = match moved.parent {
            Some(parent) if !steps.iter().any(|step| matches!(step, Step::Move(_))) => Place {
                folder: Id(parent),
                ..old
            },
            _ => old,
        };
        // First home, then its name: elsewhere that may be taken.
        let mut undone = Ok(());
        if !old.is_folder_of(&moved) {
            undone = self.step(id, &Step::Move(old.folder)).await;
        }
        if undone.is_ok() && moved.name != old.name {
            undone = self.step(id, &Step::Rename(old.name.to_owned())).await;
        }
        if let Err(undo) = &undone {
            tracing::warn!(error = %undo, "a change that failed half-way could not be undone");
        }
        match self.row(id).await {
            Ok(Some(row)) if old.holds(&row) => error,
            Ok(Some(row)) => stays(format!(
                "What was done of it could not be undone: it is now called \"{}\" and is in {}.",
                row.name,
                match old.is_folder_of(&row) {
                    true => "its old folder",
                    false => "the new folder",
                }
            )),
            Ok(None) => error,
            Err(_) => stays("Whether that could be undone is not known.".to_owned()),
        }
    }

    /// Whether one page shows that a folder has no such name.
    async fn is_surely_free(&self, folder: Id, name: &str) -> Result<bool, Error> {
        let page = (self.calls.pages(folder))(1).await?;
        let whole = page.next == END || page.rows.is_empty();
        // Whether 123pan tells names of other case apart is not known (question 9).
        let lower = name.to_lowercase();
        let taken = page.rows.iter().any(|row| row.name.to_lowercase() == lower);
        Ok(whole && !taken)
    }
}

/// Why a row that is not where or what it should be is an error.
fn unwanted(row: &Row, old: Place<'_>, new: Place<'_>, steps: &[Step]) -> Error {
    let wanted = new.name;
    // A call has been answered with success and has done nothing.
    let has_moved = steps.iter().any(|step| matches!(step, Step::Move(_)));
    let a_name_it_had = row.name == old.name
        || steps
            .iter()
            .any(|s| matches!(s, Step::Rename(n) if *n == row.name));
    if a_name_it_had && (new.is_folder_of(row) || has_moved) {
        return Error::new(
            ErrorKind::Nonsense,
            format!(
                "123pan says that this is now \"{wanted}\", but it is not; perhaps the name is taken: look, then try again."
            ),
        );
    }
    if !new.is_folder_of(row) {
        return Error::new(
            ErrorKind::NotFound,
            "123pan has this in another folder: somebody else has moved it.",
        );
    }
    if is_numbered(&row.name, wanted) {
        return Error::new(
            ErrorKind::Exists,
            format!("123pan has an entry \"{wanted}\" in the target folder already."),
        );
    }
    Error::new(
        ErrorKind::BadName,
        format!(
            "123pan changes the name \"{wanted}\" into \"{}\": choose another name.",
            row.name
        ),
    )
}

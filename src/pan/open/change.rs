//! Folders made, files and folders renamed, moved, removed and copied, and rows by their id (API page 8.2).
//!
//! None of the changes is made twice blindly, and their success is no proof: see [`crate::pan::web::change`].

use http::Method;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use super::Open;
use crate::pan::error::{Error, Reason, Said};
use crate::pan::lenient;
use crate::pan::web::copy::{Begun, State, Task};
use crate::pan::web::files::Row;

pub(super) const INFOS: &str = "api/v1/file/infos";
pub(super) const MKDIR: &str = "upload/v1/file/mkdir";
pub(super) const NAME: &str = "api/v1/file/name";
pub(super) const MOVE: &str = "api/v1/file/move";
pub(super) const TRASH: &str = "api/v1/file/trash";
pub(super) const DELETE: &str = "api/v1/file/delete";
pub(super) const COPY: &str = "api/v1/file/async/copy";
pub(super) const COPY_TASK: &str = "api/v1/file/async/copy/process";

impl Open {
    /// The row of one file or folder, also of one in the recycle bin.
    ///
    /// # Errors
    /// [`Reason::NotFound`] where there is none of that id.
    pub async fn info(&self, id: i64) -> Result<Row, Error> {
        /// The documentation names the rows in two ways.
        #[derive(Deserialize)]
        struct Rows {
            #[serde(default, rename = "fileList", deserialize_with = "lenient::list")]
            files: Vec<Row>,
            #[serde(default, deserialize_with = "lenient::list")]
            list: Vec<Row>,
        }
        let found: Rows = self.ask(INFOS, &json!({ "fileIds": [id] })).await?;
        let mut rows = found.files.into_iter().chain(found.list);
        rows.find(|row| row.id == id)
            .ok_or_else(|| Error::new(INFOS, Reason::NotFound(Said::new(None, ""))))
    }

    /// Makes a folder; its id. An equal name is [`Reason::Exists`].
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn make_folder(&self, parent: i64, name: &str) -> Result<i64, Error> {
        #[derive(Deserialize)]
        struct Made {
            #[serde(default, rename = "dirID", alias = "dirId", deserialize_with = "lenient::int")]
            id: i64,
        }
        let body = json!({ "name": name, "parentID": parent });
        let made: Made = self.change(&Method::POST, MKDIR, &body).await?;
        Some(made.id)
            .filter(|id| *id > 0)
            .ok_or(Error::new(MKDIR, Reason::Nonsense("a new folder without an id")))
    }

    /// Gives a file or folder another name in its folder.
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn rename(&self, id: i64, name: &str) -> Result<(), Error> {
        let body = json!({ "fileId": id, "fileName": name });
        let _: IgnoredAny = self.change(&Method::PUT, NAME, &body).await?;
        Ok(())
    }

    /// Moves a file or folder into another folder.
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn move_into(&self, id: i64, folder: i64) -> Result<(), Error> {
        let body = json!({ "fileIDs": [id], "toParentFileID": folder });
        let _: IgnoredAny = self.change(&Method::POST, MOVE, &body).await?;
        Ok(())
    }

    /// Moves a file or folder into the recycle bin. One that is not there is no error.
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn trash(&self, id: i64) -> Result<(), Error> {
        let _: IgnoredAny = self
            .change(&Method::POST, TRASH, &json!({ "fileIDs": [id] }))
            .await?;
        Ok(())
    }

    /// Removes for good what is in the recycle bin.
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn delete(&self, id: i64) -> Result<(), Error> {
        let _: IgnoredAny = self
            .change(&Method::POST, DELETE, &json!({ "fileIDs": [id] }))
            .await?;
        Ok(())
    }

    /// Begins to copy a file into a folder, under its own name; `None` where it is done already.
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn copy_into(&self, id: i64, folder: i64) -> Result<Option<Task>, Error> {
        let body = json!({ "fileIDs": [id], "targetDirId": folder });
        let begun: Begun = self.change(&Method::POST, COPY, &body).await?;
        begun.task(COPY)
    }

    /// Whether a copy is done.
    ///
    /// # Errors
    /// [`Reason::Refused`] where the copy has failed; others.
    pub async fn copy_done(&self, task: &Task) -> Result<bool, Error> {
        let state: State = self.get(COPY_TASK, &[("taskId", task.0.clone())]).await?;
        state.is_done(COPY_TASK)
    }
}

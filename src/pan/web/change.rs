//! Folders made, files and folders renamed, moved and removed (API page 5.6).
//!
//! None of these calls may be made twice blindly: where it is unclear whether one was carried out, the
//! caller reads the state. Their success is no proof either (questions 8 and 21).

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::{Value, json};

use super::files::Row;
use super::{Call, Web};
use crate::pan::error::{Error, Reason};
use crate::pan::lenient;

/// The answer to a new folder.
#[derive(Deserialize)]
struct Made {
    #[serde(default, rename = "Info", alias = "info")]
    info: Option<Row>,
    #[serde(
        default,
        rename = "FileId",
        alias = "fileId",
        deserialize_with = "lenient::int"
    )]
    id: i64,
}

impl Web {
    /// Makes a folder; its id. An equal name is [`Reason::Exists`].
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn make_folder(&self, parent: i64, name: &str) -> Result<i64, Error> {
        const CALL: &str = "file/upload_request";
        // Without NotReuse an existing folder would be a success.
        let body = json!({
            "driveId": 0,
            "etag": "",
            "fileName": name,
            "parentFileId": parent,
            "size": 0,
            "type": 1,
            "NotReuse": true,
        });
        let made: Made = self.call(&Call::change(CALL, body)).await?;
        made.info
            .map(|row| row.id)
            .filter(|id| *id > 0)
            .or(Some(made.id).filter(|id| *id > 0))
            .ok_or(Error::new(CALL, Reason::Nonsense("a new folder without an id")))
    }

    /// Gives a file or folder another name in its folder.
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn rename(&self, id: i64, name: &str) -> Result<(), Error> {
        let body = json!({ "driveId": 0, "fileId": id, "fileName": name });
        self.change("file/rename", body).await
    }

    /// Moves a file or folder into another folder.
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn move_into(&self, id: i64, folder: i64) -> Result<(), Error> {
        let body = json!({ "fileIdList": [{ "FileId": id }], "parentFileId": folder });
        self.change("file/mod_pid", body).await
    }

    /// Moves a file or folder into the recycle bin. The body is the least there can be: with more in it
    /// the call has been seen to do nothing (API page 5.6).
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn trash(&self, id: i64) -> Result<(), Error> {
        let body = json!({ "fileTrashInfoList": [{ "FileId": id }], "event": "intoRecycle" });
        self.change("file/trash", body).await
    }

    /// Removes for good what is in the recycle bin.
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn delete(&self, id: i64) -> Result<(), Error> {
        let body = json!({ "fileIdList": [{ "FileId": id }], "event": "recycleDelete" });
        self.change("file/delete", body).await
    }

    async fn change(&self, path: &'static str, body: Value) -> Result<(), Error> {
        let _: IgnoredAny = self.call(&Call::change(path, body)).await?;
        Ok(())
    }
}

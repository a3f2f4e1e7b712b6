//! The service's own copy: a task that is asked about until it is done (API page 5.6).
//!
//! It takes a folder to copy into, but no name: the copy is called like the original.

use serde::Deserialize;
use serde_json::json;

use super::{Call, Web};
use crate::pan::error::{Error, Reason, Said};
use crate::pan::lenient;

/// `mode` of a copy that is done at once.
const DONE_AT_ONCE: i64 = 2;
/// `status` of a task that is done.
const DONE: i64 = 2;
/// `status` of a task that goes on: 123pan's page knows 0 and 1, another client calls 4 waiting.
const PENDING: [i64; 3] = [0, 1, 4];

/// The file to copy, as listed.
#[derive(Debug, Clone, Copy)]
pub struct Original<'a> {
    /// Its id.
    pub id: i64,
    /// Its name.
    pub name: &'a str,
    /// Bytes.
    pub size: u64,
    /// MD5 in hex, as listed.
    pub etag: &'a str,
    /// The folder it is in.
    pub parent: i64,
}

/// A copy under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task(pub(crate) String);

#[derive(Deserialize)]
pub(crate) struct Begun {
    #[serde(default, deserialize_with = "lenient::int")]
    mode: i64,
    #[serde(
        default,
        rename = "taskId",
        alias = "taskID",
        alias = "TaskId",
        deserialize_with = "lenient::text"
    )]
    task: String,
}

#[derive(Deserialize)]
pub(crate) struct State {
    #[serde(default, deserialize_with = "lenient::opt_int")]
    status: Option<i64>,
    #[serde(default, deserialize_with = "lenient::text")]
    reason: String,
}

impl Begun {
    /// The task; `None` where the copy is done already.
    pub(crate) fn task(self, call: &'static str) -> Result<Option<Task>, Error> {
        if self.mode == DONE_AT_ONCE {
            return Ok(None);
        }
        if self.task.is_empty() {
            return Err(Error::new(call, Reason::Nonsense("a copy without a task")));
        }
        Ok(Some(Task(self.task)))
    }
}

impl State {
    pub(crate) fn is_done(&self, call: &'static str) -> Result<bool, Error> {
        match self.status {
            Some(DONE) => Ok(true),
            Some(status) if PENDING.contains(&status) => Ok(false),
            Some(status) => Err(Error::new(
                call,
                Reason::Refused(Said::new(Some(status), &self.reason)),
            )),
            None => Err(Error::new(call, Reason::Nonsense("a task without a status"))),
        }
    }
}

impl Web {
    /// Begins to copy a file into a folder; `None` where it is done already.
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn copy_into(&self, file: &Original<'_>, folder: i64) -> Result<Option<Task>, Error> {
        const CALL: &str = "restful/goapi/v1/file/copy/async";
        let body = json!({
            "fileList": [{
                "fileId": file.id,
                "size": file.size,
                "etag": file.etag,
                "type": 0,
                "parentFileId": file.parent,
                "fileName": file.name,
                "driveId": 0,
            }],
            "targetFileId": folder,
        });
        let begun: Begun = self.call(&Call::change(CALL, body)).await?;
        begun.task(CALL)
    }

    /// Whether a copy is done.
    ///
    /// # Errors
    /// [`Reason::Refused`] where the copy has failed; others.
    pub async fn copy_done(&self, task: &Task) -> Result<bool, Error> {
        const CALL: &str = "restful/goapi/v1/file/copy/task";
        let query = vec![("taskId", task.0.clone())];
        let state: State = self.call(&Call::get(CALL, query)).await?;
        state.is_done(CALL)
    }
}

//! Uploads: the offer, the presigned URLs, the end (API page 6).
//!
//! A file is offered with its MD5. If the service has the content somewhere, it makes the file at once;
//! else it opens a session, and the bytes go in parts of its `SliceSize` to presigned URLs of the object
//! storage ([`super::storage`]). `upload_complete/v2` makes the file of them. Nothing of this is proof:
//! the caller looks at the stored row.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use secrecy::SecretString;
use serde::Deserialize;
use serde_json::json;

use super::files::Row;
use super::{Call, Web};
use crate::pan::error::{Error, Reason};
use crate::pan::lenient;
use crate::pan::pace::scaled;
use crate::pan::parts::Cut;

/// Most parts of one file (API page 6.3).
pub const PARTS_MAX: u64 = 10_000;
/// The code for "still being checked, ask again in a second" (API page 2.4).
const STILL_CHECKING: i64 = 20103;
/// Time between two questions then.
const CHECK_PAUSE: Duration = Duration::from_secs(1);
/// How often it is asked.
const CHECKS: u32 = 60;

/// A file to be stored.
#[derive(Debug, Clone, Copy)]
pub struct Offer<'a> {
    /// The folder it belongs in.
    pub parent: i64,
    /// Its name.
    pub name: &'a str,
    /// Bytes.
    pub size: u64,
    /// MD5 of the bytes, lower-case hex.
    pub etag: &'a str,
    /// A file of that name is to be replaced; without it an equal name is [`Reason::Exists`].
    pub replace: bool,
}

/// The answer to an offer.
#[derive(Debug)]
pub enum Offered {
    /// The content is known and the file is there; its id, where the answer tells it.
    Reused(Option<i64>),
    /// The bytes are wanted.
    Session(Session),
    /// The bytes are wanted in a way that is not spoken here (API page 6.4).
    Credentials,
}

/// An upload that waits for its bytes.
#[derive(Debug, Clone)]
pub struct Session {
    /// The id that `upload_complete/v2` wants; the file may get another one.
    file_id: i64,
    bucket: String,
    key: String,
    upload_id: String,
    storage_node: String,
    pub(super) cut: Cut,
    /// MD5 of the file, lower-case hex.
    etag: String,
}

#[derive(Deserialize)]
struct Answer {
    #[serde(
        default,
        rename = "Reuse",
        alias = "reuse",
        deserialize_with = "lenient::flag"
    )]
    reuse: bool,
    #[serde(default, rename = "Info", alias = "info")]
    info: Option<Row>,
    #[serde(
        default,
        rename = "FileId",
        alias = "fileId",
        deserialize_with = "lenient::int"
    )]
    file_id: i64,
    #[serde(
        default,
        rename = "Bucket",
        alias = "bucket",
        deserialize_with = "lenient::text"
    )]
    bucket: String,
    #[serde(default, rename = "Key", alias = "key", deserialize_with = "lenient::text")]
    key: String,
    #[serde(
        default,
        rename = "UploadId",
        alias = "uploadId",
        deserialize_with = "lenient::text"
    )]
    upload_id: String,
    #[serde(
        default,
        rename = "StorageNode",
        alias = "storageNode",
        deserialize_with = "lenient::text"
    )]
    storage_node: String,
    #[serde(
        default,
        rename = "SliceSize",
        alias = "sliceSize",
        deserialize_with = "lenient::int"
    )]
    slice_size: i64,
    // Secrets: only whether they are there is looked at.
    #[serde(default, rename = "AccessKeyId", deserialize_with = "lenient::text")]
    access_key_id: String,
    #[serde(default, rename = "SecretAccessKey", deserialize_with = "lenient::text")]
    secret_access_key: String,
    #[serde(default, rename = "SessionToken", deserialize_with = "lenient::text")]
    session_token: String,
}

#[derive(Deserialize)]
struct Urls {
    #[serde(default, rename = "presignedUrls", alias = "PresignedUrls")]
    urls: BTreeMap<String, SecretString>,
}

#[derive(Deserialize)]
struct Completed {
    #[serde(default, rename = "file_info", alias = "fileInfo", alias = "FileInfo")]
    file_info: Option<Row>,
}

impl Session {
    /// Whether bytes of this MD5 can be those of a part: known where it is the whole file.
    pub(super) fn can_be(&self, md5: &str) -> bool {
        self.parts() > 1 || md5 == self.etag
    }

    /// How many parts the file has; an empty file has one.
    pub fn parts(&self) -> u64 {
        self.cut.count()
    }
}

impl Web {
    /// Offers a file.
    ///
    /// # Errors
    /// [`Reason::Exists`] where the name is taken; see [`Reason`].
    pub async fn offer(&self, offer: &Offer<'_>) -> Result<Offered, Error> {
        const CALL: &str = "file/upload_request";
        let mut body = json!({
            "RequestSource": null,
            "driveId": 0,
            "etag": offer.etag,
            "fileName": offer.name,
            "parentFileId": offer.parent,
            "size": offer.size,
            "type": 0,
        });
        if offer.replace {
            // Overwrites in place: the old content stays until the end, and the id for good.
            body["duplicate"] = json!(2);
        }
        let answer: Answer = self.call(&Call::change(CALL, body)).await?;
        if answer.reuse || answer.key.is_empty() {
            let id = answer.info.map(|row| row.id).filter(|id| *id > 0);
            return Ok(Offered::Reused(id));
        }
        let credentials = [
            &answer.access_key_id,
            &answer.secret_access_key,
            &answer.session_token,
        ];
        if credentials.iter().all(|text| !text.is_empty()) {
            return Ok(Offered::Credentials);
        }
        let slice = u64::try_from(answer.slice_size).unwrap_or(0);
        if slice == 0 {
            return Err(Error::new(
                CALL,
                Reason::Nonsense("an upload without a SliceSize"),
            ));
        }
        Ok(Offered::Session(Session {
            file_id: answer.file_id,
            bucket: answer.bucket,
            key: answer.key,
            upload_id: answer.upload_id,
            storage_node: answer.storage_node,
            cut: Cut {
                size: offer.size,
                slice,
            },
            etag: offer.etag.to_owned(),
        }))
    }

    /// Presigned URLs for a range of parts, by their numbers.
    pub(super) async fn part_urls(
        &self,
        session: &Session,
        numbers: Range<u64>,
    ) -> Result<BTreeMap<u64, SecretString>, Error> {
        // What prepared a session decides how it must be completed (API page 6.3).
        let call = if session.parts() == 1 {
            "file/s3_upload_object/auth"
        } else {
            "file/s3_repare_upload_parts_batch"
        };
        let body = json!({
            "StorageNode": session.storage_node,
            "bucket": session.bucket,
            "key": session.key,
            "partNumberStart": numbers.start,
            "partNumberEnd": numbers.end,
            "uploadId": session.upload_id,
        });
        let answer: Urls = self.call(&Call::ask(call, body)).await?;
        let numbered = answer
            .urls
            .into_iter()
            .filter_map(|(number, url)| Some((number.trim().parse().ok()?, url)));
        Ok(numbered.collect())
    }

    /// Makes the file of the parts that were sent; its row, where the answer has one: without it
    /// nothing was stored (API page 6.3). Made once, except that the service asks for a repetition
    /// while it checks the content.
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn complete(&self, session: &Session) -> Result<Option<Row>, Error> {
        let body = json!({
            "StorageNode": session.storage_node,
            "bucket": session.bucket,
            "fileId": session.file_id,
            "fileSize": session.cut.size,
            "isMultipart": session.parts() > 1,
            "key": session.key,
            "uploadId": session.upload_id,
        });
        let call = Call::change("file/upload_complete/v2", body);
        let mut checks = 0;
        loop {
            match self.call::<Option<Completed>>(&call).await {
                Ok(answer) => return Ok(answer.and_then(|answer| answer.file_info)),
                Err(Error {
                    reason: Reason::Refused(said),
                    ..
                }) if said.code == Some(STILL_CHECKING) && checks < CHECKS => {
                    checks += 1;
                    tokio::time::sleep(scaled(CHECK_PAUSE, self.endpoints().rate)).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

#[cfg(test)]
#[path = "upload_tests.rs"]
mod tests;

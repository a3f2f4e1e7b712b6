//! Links for the files of an account (API page 5.8, steps 1 to 3).

use serde::Deserialize;
use serde_json::json;

use super::{Call, Web};
use crate::pan::error::{Error, Reason};
use crate::pan::lenient;
use crate::pan::relay::FinalLink;

/// What of a file a link is asked with.
#[derive(Debug, Clone, Copy)]
pub struct FileRef<'a> {
    /// Its id.
    pub id: i64,
    /// Its name; the service does not look at it.
    pub name: &'a str,
    /// Bytes, more than 0.
    pub size: u64,
    /// MD5 in hex, as listed.
    pub etag: &'a str,
    /// As listed.
    pub s3_key_flag: &'a str,
}

/// The data of `download_info`, in both casings.
#[derive(Deserialize)]
pub(crate) struct Addressed {
    #[serde(
        default,
        rename = "DownloadUrl",
        alias = "DownloadURL",
        alias = "downloadUrl",
        alias = "downloadURL",
        deserialize_with = "lenient::text"
    )]
    pub(crate) url: String,
}

impl FileRef<'_> {
    /// An empty file has no link and needs none.
    pub(super) fn check(&self, call: &'static str) -> Result<(), Error> {
        if self.size == 0 {
            return Err(Error::new(call, Reason::Nonsense("an empty file has no link")));
        }
        if self.etag.is_empty() || self.s3_key_flag.is_empty() {
            let what = "the listing gave no Etag or S3KeyFlag for this file";
            return Err(Error::new(call, Reason::Nonsense(what)));
        }
        Ok(())
    }
}

impl Web {
    /// A link for a file of the account.
    ///
    /// # Errors
    /// [`Reason::Traffic`], [`Reason::NotFound`], and all others.
    pub async fn link(&self, file: &FileRef<'_>) -> Result<FinalLink, Error> {
        const CALL: &str = "file/download_info";
        file.check(CALL)?;
        let body = json!({
            "driveId": 0,
            "etag": file.etag,
            "fileId": file.id,
            "fileName": file.name,
            "s3keyFlag": file.s3_key_flag,
            "size": file.size,
            "type": 0,
        });
        let answer: Addressed = self.call(&Call::ask(CALL, body)).await?;
        self.relay.follow(CALL, &answer.url, file.size).await
    }
}

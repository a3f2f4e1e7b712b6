//! Shares (API page 7.2): listing works for anybody, files mostly for signed-in users only.

use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::download::{Addressed, FileRef};
use super::files::{ListPage, PAGE_SIZE};
use super::{Call, Web};
use crate::pan::error::Error;
use crate::pan::relay::FinalLink;

/// Key and password of a share.
#[derive(Debug, Clone)]
pub struct ShareKey {
    /// `abcd-EfGh`.
    pub key: String,
    /// Share password (提取码).
    pub password: Option<SecretString>,
}

impl ShareKey {
    fn password(&self) -> String {
        self.password
            .as_ref()
            .map_or_else(String::new, |p| p.expose_secret().to_owned())
    }
}

impl Web {
    /// Page `page` (from 1) of a folder of a share.
    ///
    /// `folder` must come from a listing of this share: the service lists any folder of the
    /// caller's own drive as well (API page 7.2).
    ///
    /// # Errors
    /// [`crate::pan::Reason::SharePassword`], [`crate::pan::Reason::ShareGone`], and all others.
    pub async fn share_list(&self, share: &ShareKey, folder: i64, page: u32) -> Result<ListPage, Error> {
        let query = vec![
            ("limit", PAGE_SIZE.to_string()),
            ("next", "0".to_owned()),
            ("orderBy", "file_id".to_owned()),
            ("orderDirection", "desc".to_owned()),
            ("parentFileId", folder.to_string()),
            ("Page", page.to_string()),
            ("shareKey", share.key.clone()),
            ("SharePwd", share.password()),
        ];
        self.call(&Call::get("share/get", query)).await
    }

    /// A link for a file of a share.
    ///
    /// # Errors
    /// [`crate::pan::Reason::LoginNeeded`] where the service wants an account, and all others.
    pub async fn share_link(&self, share: &ShareKey, file: &FileRef<'_>) -> Result<FinalLink, Error> {
        const CALL: &str = "share/download/info";
        file.check(CALL)?;
        let body = json!({
            "shareKey": share.key,
            "SharePwd": share.password(),
            "etag": file.etag,
            "fileId": file.id,
            "s3keyFlag": file.s3_key_flag,
            "size": file.size,
        });
        let answer: Addressed = self.call(&Call::ask(CALL, body)).await?;
        self.relay.follow(CALL, &answer.url, file.size).await
    }
}

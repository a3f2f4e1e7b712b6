//! Folders and files of an account (API page 5.3 to 5.5).

use serde::Deserialize;
use serde_json::json;

use super::{Call, Web};
use crate::pan::error::{Error, Reason};
use crate::pan::lenient;

/// Rows asked for in one page. The service may give another number: see [`ListPage`].
pub const PAGE_SIZE: u32 = 100;

/// A file or folder as listed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
pub struct Row {
    /// 64-bit id; 0 where the answer has none.
    #[serde(
        default,
        rename = "FileId",
        alias = "fileId",
        alias = "fileID",
        alias = "FileID",
        deserialize_with = "lenient::int"
    )]
    pub id: i64,
    /// Name as stored.
    #[serde(
        default,
        rename = "FileName",
        alias = "fileName",
        alias = "filename",
        deserialize_with = "lenient::text"
    )]
    pub name: String,
    /// 0 file, 1 folder.
    #[serde(default, rename = "Type", alias = "type", deserialize_with = "lenient::int")]
    pub kind: i64,
    /// Bytes; for folders a sum or 0.
    #[serde(default, rename = "Size", alias = "size", deserialize_with = "lenient::int")]
    pub size: i64,
    /// MD5 in hex; empty for folders.
    #[serde(default, rename = "Etag", alias = "etag", deserialize_with = "lenient::text")]
    pub etag: String,
    /// Needed for a link.
    #[serde(
        default,
        rename = "S3KeyFlag",
        alias = "s3KeyFlag",
        alias = "s3keyFlag",
        deserialize_with = "lenient::text"
    )]
    pub s3_key_flag: String,
    /// Unix seconds, 0 unknown.
    #[serde(
        default,
        rename = "CreateAt",
        alias = "createAt",
        deserialize_with = "lenient::time"
    )]
    pub created: i64,
    /// Unix seconds, 0 unknown.
    #[serde(
        default,
        rename = "UpdateAt",
        alias = "updateAt",
        deserialize_with = "lenient::time"
    )]
    pub modified: i64,
    /// The folder it is in, where the answer says so; 0 is the account's root.
    #[serde(
        default,
        rename = "ParentFileId",
        alias = "parentFileId",
        alias = "parentFileID",
        deserialize_with = "lenient::opt_int"
    )]
    pub parent: Option<i64>,
    /// Address of a small picture of it, for pictures and films in listings; else empty. No download link.
    #[serde(
        default,
        rename = "DownloadUrl",
        alias = "downloadUrl",
        deserialize_with = "lenient::text"
    )]
    pub thumbnail: String,
    /// In the recycle bin.
    #[serde(
        default,
        rename = "Trashed",
        alias = "trashed",
        deserialize_with = "lenient::flag"
    )]
    pub trashed: bool,
}

/// One page of a listing. How many rows it has says nothing about the number of pages (question 5).
#[derive(Debug, Default, Deserialize)]
pub struct ListPage {
    /// `-1` on the last page.
    #[serde(default, rename = "Next", alias = "next", deserialize_with = "lenient::text")]
    pub next: String,
    /// Rows of all pages; shares do not say.
    #[serde(
        default,
        rename = "Total",
        alias = "total",
        deserialize_with = "lenient::opt_int"
    )]
    pub total: Option<i64>,
    /// The rows.
    #[serde(
        default,
        rename = "InfoList",
        alias = "infoList",
        deserialize_with = "lenient::list"
    )]
    pub rows: Vec<Row>,
    /// A share that has ended.
    #[serde(
        default,
        rename = "Expired",
        alias = "expired",
        deserialize_with = "lenient::flag"
    )]
    pub expired: bool,
}

impl Web {
    /// Page `page` (from 1) of a folder, newest id first: any other order loses rows.
    ///
    /// # Errors
    /// See [`Reason`].
    pub async fn list(&self, folder: i64, page: u32) -> Result<ListPage, Error> {
        let query = vec![
            ("driveId", "0".to_owned()),
            ("limit", PAGE_SIZE.to_string()),
            ("next", "0".to_owned()),
            ("orderBy", "file_id".to_owned()),
            ("orderDirection", "desc".to_owned()),
            ("parentFileId", folder.to_string()),
            ("trashed", "false".to_owned()),
            ("SearchData", String::new()),
            ("Page", page.to_string()),
            ("OnlyLookAbnormalFile", "0".to_owned()),
            ("event", "homeListFile".to_owned()),
            ("operateType", "4".to_owned()),
            ("inDirectSpace", "false".to_owned()),
        ];
        self.call(&Call::get("file/list/new", query)).await
    }

    /// The row of one file or folder.
    ///
    /// # Errors
    /// [`Reason::NotFound`] where there is none of that id.
    pub async fn info(&self, id: i64) -> Result<Row, Error> {
        const CALL: &str = "file/info";
        let call = Call::ask(CALL, json!({ "fileIdList": [{ "fileId": id }] }));
        let found: ListPage = self.call(&call).await?;
        found
            .rows
            .into_iter()
            .find(|row| row.id == id)
            .ok_or_else(|| Error::new(CALL, Reason::NotFound(crate::pan::Said::new(None, ""))))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_row_is_read_in_either_casing() {
        let web = r#"{"FileId":7,"FileName":"a","Type":0,"Size":3,"Etag":"E","S3KeyFlag":"1-0",
            "CreateAt":"2026-01-02T03:04:05+08:00","UpdateAt":"1767294245","Trashed":false,"Hidden":0}"#;
        let other = r#"{"fileId":"7","filename":"a","type":0,"size":"3","etag":"E","s3KeyFlag":"1-0",
            "createAt":1767294245,"updateAt":"2026-01-02 03:04:05","trashed":0}"#;
        let row: Row = serde_json::from_str(web).unwrap();
        assert_eq!(row, serde_json::from_str(other).unwrap());
        assert_eq!((row.id, row.size, row.created), (7, 3, 1_767_294_245));
        assert_eq!(row.created, row.modified);
    }

    #[test]
    fn a_page_may_have_null_for_rows_and_no_total() {
        let page: ListPage = serde_json::from_str(r#"{"Next":"-1","InfoList":null}"#).unwrap();
        assert_eq!((page.next.as_str(), page.total, page.rows.len()), ("-1", None, 0));
        let page: ListPage = serde_json::from_str(r#"{"Next":-1,"Total":"5","infoList":[{}]}"#).unwrap();
        assert_eq!(
            (page.next.as_str(), page.total, page.rows.len()),
            ("-1", Some(5), 1)
        );
    }
}

//! What holds for any answer of 123pan.

#![allow(clippy::unwrap_used)]

use std::collections::HashSet;

use http::header::RETRY_AFTER;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::rows::{self, Locators, Names};
use super::{Entry, Error};
use crate::pan;
use crate::pan::envelope::{OK, read};
use crate::pan::open::OpenPage;
use crate::pan::web::download::Addressed;
use crate::pan::web::files::{ListPage, Row};

/// The largest sentence of ours with the 200 characters of the service's that are quoted in it.
const LONGEST_SENTENCE: usize = 1000;

/// Characters of an id in a name, at the most, where another row has the name.
const ADDED: usize = 23;

/// A status, a space, the kind of answer (`list`, `open`, `link` or `any`), a line end, and the body.
pub fn answers(data: &[u8]) {
    let line = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let head = std::str::from_utf8(&data[..line]).unwrap_or_default();
    let body = data.get(line + 1..).unwrap_or_default();
    let (status, rest) = head.split_once(' ').unwrap_or(("200", head));
    let Ok(status) = StatusCode::from_bytes(status.as_bytes()) else {
        return;
    };
    let (kind, after) = rest.split_once(' ').unwrap_or((rest, ""));
    let mut headers = HeaderMap::new();
    if let Ok(after) = HeaderValue::from_str(after) {
        headers.insert(RETRY_AFTER, after);
    }
    match kind {
        "list" => {
            if let Some(page) = data_of::<ListPage>(status, &headers, body) {
                assert!(page.next.len() <= body.len());
                entries(&page.rows);
            }
        }
        "open" => {
            if let Some(page) = data_of::<OpenPage>(status, &headers, body) {
                entries(&page.rows);
            }
        }
        "link" => {
            data_of::<Addressed>(status, &headers, body);
        }
        _ => {
            data_of::<Value>(status, &headers, body);
        }
    }
}

/// The data of a success, which has its code; else an error with a sentence that can be shown.
fn data_of<T: DeserializeOwned>(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Option<T> {
    match read::<T>(status, headers, body, OK) {
        Ok(data) => {
            // What is not read may be less than JSON.
            let Ok(whole) = serde_json::from_slice::<Value>(body) else {
                return Some(data);
            };
            let code = ["code", "Code"]
                .iter()
                .find_map(|key| whole.get(key).filter(|code| !code.is_null()));
            let zero = |code: &Value| {
                let number = |text: &str| text.trim().trim_start_matches(['+', '-', '0']).is_empty();
                code.as_f64() == Some(0.0)
                    || code.as_bool() == Some(false)
                    || code.as_str().is_some_and(number)
            };
            assert!(
                whole.is_array() || code.is_some_and(zero) || twice(body),
                "{whole}"
            );
            Some(data)
        }
        Err(reason) => {
            let error: Error = pan::Error::new("file/list/new", reason).into();
            let sentence = error.sentence();
            assert!(
                !sentence.is_empty() && sentence.chars().count() <= LONGEST_SENTENCE,
                "{sentence}"
            );
            assert!(!sentence.contains(char::is_control), "{sentence:?}");
            None
        }
    }
}

/// Whether the envelope's own names stand in the body more than once: which of them counts is the parser's affair.
fn twice(body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body).to_ascii_lowercase();
    text.matches("code").count() > 1 || text.contains("\\u")
}

/// Rows of one page become entries that a tree can hold.
fn entries(rows: &[Row]) {
    let (mut names, mut locators) = (Names::default(), Locators::default());
    let mut given: HashSet<Box<str>> = HashSet::new();
    for row in rows {
        let entry: Entry = rows::entry(row, &mut names, &mut locators);
        let odd = matches!(&*entry.name, "" | "." | "..") || entry.name.contains(['/', '\0']);
        assert!(!odd, "{entry:?}");
        let longest = row.name.chars().count().max(1) + ADDED * rows.len();
        assert!(entry.name.chars().count() <= longest, "{entry:?}");
        assert!(entry.modified >= 0 && entry.created >= 0, "{entry:?}");
        assert!(
            !entry.is_folder() || (entry.size.is_none() && entry.md5.is_none()),
            "{entry:?}"
        );
        if let Some(tag) = entry.etag() {
            let plain = tag.bytes().all(|byte| byte.is_ascii_graphic());
            assert!(
                plain && tag.len() > 2 && tag.starts_with('"') && tag.ends_with('"'),
                "{tag}"
            );
            assert_eq!(tag.matches('"').count(), 2);
        }
        assert!(given.insert(entry.name), "two of {}", row.name);
    }
}

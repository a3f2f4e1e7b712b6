//! From 123pan's rows to entries: names that are safe and unique, locators that are shared.
//!
//! 123pan may have two entries of one name in a folder (question 7 of the API page), and names that
//! no path can hold. Rows come with the largest id first, so the first of a name keeps it and the
//! others get their id into it: the same names every time.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use super::{Entry, Id, Kind};
use crate::hex;
use crate::pan::web::files::Row;

/// The `Type` of a folder.
const FOLDER: i64 = 1;
/// Different locators shared at a time; nearly always there is one.
const LOCATORS: usize = 8;
/// Between an unusual Etag and the `S3KeyFlag` in a locator.
const SEPARATOR: char = '\n';

/// The names given out in one pass, as 64-bit hashes: a folder may have 100,000.
#[derive(Debug, Default)]
pub(super) struct Names(HashSet<u64>);

/// Locators given out in one listing.
#[derive(Debug, Default)]
pub(super) struct Locators(Vec<Arc<str>>);

impl Names {
    /// A name for a row that no earlier row of this pass has.
    pub(super) fn place(&mut self, name: &str, id: i64, kind: Kind) -> Box<str> {
        let mut name = safe(name, id);
        while !self.0.insert(hash(&name)) {
            name = with_id(&name, id, kind);
        }
        name.into_boxed_str()
    }
}

impl Locators {
    fn share(&mut self, locator: &str) -> Arc<str> {
        if let Some(known) = self.0.iter().find(|l| &***l == locator) {
            return Arc::clone(known);
        }
        let new: Arc<str> = Arc::from(locator);
        if self.0.len() == LOCATORS {
            self.0.remove(0);
        }
        self.0.push(Arc::clone(&new));
        new
    }
}

/// The entry of a row.
pub(super) fn entry(row: &Row, names: &mut Names, locators: &mut Locators) -> Entry {
    let kind = if row.kind == FOLDER {
        Kind::Folder
    } else {
        Kind::File
    };
    let is_file = kind == Kind::File;
    let md5 = if is_file { hex::md5(row.etag.trim()) } else { None };
    let locator = if is_file && md5.is_none() && !row.etag.is_empty() {
        locators.share(&format!("{}{SEPARATOR}{}", row.etag, row.s3_key_flag))
    } else if is_file {
        locators.share(&row.s3_key_flag)
    } else {
        locators.share("")
    };
    Entry {
        id: Id(row.id),
        name: names.place(&row.name, row.id, kind),
        kind,
        size: is_file.then(|| u64::try_from(row.size).unwrap_or(0)),
        modified: row.modified,
        created: row.created,
        md5,
        locator,
    }
}

/// Etag and `S3KeyFlag` of an entry, as a link is asked with them.
pub(super) fn link_keys(entry: &Entry) -> (String, &str) {
    match (&entry.md5, entry.locator.split_once(SEPARATOR)) {
        (Some(md5), _) => (hex::encode(md5), &entry.locator),
        (None, Some((etag, flag))) => (etag.to_owned(), flag),
        (None, None) => (String::new(), &entry.locator),
    }
}

/// The name with everything that a path segment cannot hold in a form that looks like it.
fn safe(name: &str, id: i64) -> String {
    match name {
        "" => id.to_string(),
        "." => "．".to_owned(),
        ".." => "．．".to_owned(),
        _ => name.chars().map(visible).collect(),
    }
}

fn visible(c: char) -> char {
    match c {
        '/' => '／',
        // The pictures of control characters: ␀ to ␟, and ␡.
        '\0'..='\u{1f}' => char::from_u32(0x2400 + u32::from(c)).unwrap_or('\u{fffd}'),
        '\u{7f}' => '␡',
        '\u{80}'..='\u{9f}' => '\u{fffd}',
        c => c,
    }
}

/// `film (17).mkv`; a folder has no extension, and a name that only begins with a dot neither.
fn with_id(name: &str, id: i64, kind: Kind) -> String {
    match name.rfind('.') {
        Some(dot) if dot > 0 && kind == Kind::File => format!("{} ({id}){}", &name[..dot], &name[dot..]),
        _ => format!("{name} ({id})"),
    }
}

fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn file(id: i64, name: &str, etag: &str) -> Row {
        Row {
            id,
            name: name.into(),
            etag: etag.into(),
            s3_key_flag: "18-0".into(),
            size: 3,
            ..Row::default()
        }
    }

    fn one(row: &Row) -> Entry {
        entry(row, &mut Names::default(), &mut Locators::default())
    }

    #[test]
    fn the_largest_id_keeps_the_name_and_the_others_carry_theirs() {
        let mut names = Names::default();
        assert_eq!(&*names.place("a.txt", 9, Kind::File), "a.txt");
        assert_eq!(&*names.place("a.txt", 5, Kind::File), "a (5).txt");
        assert_eq!(&*names.place("a (5).txt", 4, Kind::File), "a (5) (4).txt");
        assert_eq!(&*names.place("a.txt", 3, Kind::Folder), "a.txt (3)");
        assert_eq!(&*names.place(".x", 2, Kind::File), ".x");
        assert_eq!(&*names.place(".x", 1, Kind::File), ".x (1)");
    }

    #[test]
    fn names_that_no_path_can_hold_are_replaced_visibly() {
        let safe = |name: &str| safe(name, 7);
        assert_eq!(safe("a/b\0c\nd\u{7f}"), "a／b␀c␊d␡");
        assert_eq!(safe("."), "．");
        assert_eq!(safe(".."), "．．");
        assert_eq!(safe(""), "7");
        assert_eq!(safe("…"), "…");
    }

    #[test]
    fn an_md5_is_read_and_given_back_in_lower_case() {
        let entry = one(&file(1, "a", "D41D8CD98F00B204E9800998ECF8427E"));
        assert_eq!(entry.etag().unwrap(), "\"d41d8cd98f00b204e9800998ecf8427e\"");
        assert_eq!(
            link_keys(&entry),
            ("d41d8cd98f00b204e9800998ecf8427e".to_owned(), "18-0")
        );
    }

    #[test]
    fn an_unusual_etag_still_makes_a_link() {
        let entry = one(&file(1, "a", "abc-2"));
        assert_eq!(entry.md5, None);
        assert_eq!(link_keys(&entry), ("abc-2".to_owned(), "18-0"));
    }

    #[test]
    fn the_locator_is_shared_by_the_rows_of_a_listing() {
        let (mut names, mut locators) = (Names::default(), Locators::default());
        let md5 = "d41d8cd98f00b204e9800998ecf8427e";
        let a = entry(&file(2, "a", md5), &mut names, &mut locators);
        let b = entry(&file(1, "b", md5), &mut names, &mut locators);
        assert!(Arc::ptr_eq(&a.locator, &b.locator));
    }

    proptest! {
        #[test]
        fn placed_names_are_safe_and_unique(given in proptest::collection::vec("[a/.\\x00-\\x1f ()1-3]{0,4}", 1..40)) {
            let mut names = Names::default();
            let mut seen = HashSet::new();
            for (n, name) in given.iter().enumerate() {
                let kind = if n % 3 == 0 { Kind::Folder } else { Kind::File };
                let placed = names.place(name, 1000 - n as i64, kind);
                prop_assert!(!placed.is_empty() && &*placed != "." && &*placed != "..");
                prop_assert!(!placed.contains(['/', '\0']) && !placed.chars().any(char::is_control));
                prop_assert!(seen.insert(placed));
            }
        }
    }
}

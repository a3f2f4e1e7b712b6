//! The addresses of thumbnails, as listings name them for pictures and films (API page 5.4).
//!
//! They are kept beside the rows and not in them: a library of a million rows must not hold a million addresses, and how long
//! one holds good is not known. Who has listed long ago, or has its listings from the disk, has none, and shows an icon.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use url::Url;

use super::Entry;
use crate::pan::web::files::Row;

/// Addresses kept at the most; the oldest go.
const KEPT: usize = 4096;
/// Bytes of an address at the most.
const LONGEST: usize = 1024;
/// The size in which rows name them, and the one that is fetched, as OpenList does (API page 5.4).
const NAMED: &str = "_24_24";
const FETCHED: (&str, &str) = ("_70_70", "70");

/// Addresses by the file's id.
#[derive(Debug, Default)]
pub struct Thumbnails(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    addresses: HashMap<i64, Box<str>>,
    order: VecDeque<i64>,
}

impl std::fmt::Debug for Kept {
    /// Without the addresses, which open a picture to whoever has them.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} addresses", self.addresses.len())
    }
}

impl Thumbnails {
    /// Keeps what these rows name.
    pub(super) fn note(&self, rows: &[Row]) {
        let named = |row: &&Row| !row.thumbnail.is_empty() && row.thumbnail.len() <= LONGEST;
        let mut kept = self.kept();
        for row in rows.iter().filter(named) {
            if kept
                .addresses
                .insert(row.id, row.thumbnail.as_str().into())
                .is_none()
            {
                kept.order.push_back(row.id);
            }
            if kept.order.len() > KEPT
                && let Some(oldest) = kept.order.pop_front()
            {
                kept.addresses.remove(&oldest);
            }
        }
    }

    /// Whether there is one for a file.
    pub fn has(&self, file: &Entry) -> bool {
        self.kept().addresses.contains_key(&file.id.0)
    }

    /// The address of a picture of 70 pixels of a file; a secret.
    pub fn address(&self, file: &Entry) -> Option<String> {
        larger(self.kept().addresses.get(&file.id.0)?, &file.name)
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn larger(address: &str, name: &str) -> Option<String> {
    let mut url = Url::parse(address).ok()?;
    if !matches!(url.scheme(), "http" | "https") {
        return None;
    }
    let (suffix, pixels) = FETCHED;
    if let Some(path) = url.path().strip_suffix(NAMED).map(str::to_owned) {
        url.set_path(&(path + suffix));
    }
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    let mut query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    query.retain(|(key, _)| key != "w" && key != "h");
    query.extend(["w", "h"].map(|key| (key.to_owned(), pixels.to_owned())));
    for (key, value) in [("type", extension), ("trade_key", "123pan-thumbnail")] {
        if !query.iter().any(|(known, _)| known == key) {
            query.push((key.to_owned(), value.to_owned()));
        }
    }
    url.query_pairs_mut().clear().extend_pairs(query);
    Some(url.into())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_asked_for_70_pixels_and_says_what_is_missing() {
        let cases = [
            (
                "https://h/a_24_24?w=24&h=24&s=1",
                "https://h/a_70_70?s=1&w=70&h=70&type=jpg&trade_key=123pan-thumbnail",
            ),
            (
                "https://h/a?type=png&trade_key=x",
                "https://h/a?type=png&trade_key=x&w=70&h=70",
            ),
        ];
        for (named, wanted) in cases {
            assert_eq!(larger(named, "b.jpg").as_deref(), Some(wanted));
        }
        for bad in ["file:///etc/passwd", "javascript:1", "no address"] {
            assert_eq!(larger(bad, "b.jpg"), None, "{bad}");
        }
    }

    #[test]
    fn no_more_than_the_bound_are_kept_and_the_oldest_go() {
        let thumbnails = Thumbnails::default();
        let row = |id: i64, thumbnail: String| Row {
            id,
            thumbnail,
            ..Row::default()
        };
        let last = i64::try_from(KEPT).unwrap();
        for _ in 0..2 {
            let rows: Vec<Row> = (0..=last).map(|id| row(id, format!("https://h/{id}"))).collect();
            thumbnails.note(&rows);
        }
        thumbnails.note(&[row(-1, String::new()), row(-2, "x".repeat(LONGEST + 1))]);
        let kept = thumbnails.kept();
        assert_eq!(kept.addresses.len(), KEPT);
        let has = |id| kept.addresses.contains_key(&id);
        assert!(has(last) && !has(-1) && !has(-2));
    }
}

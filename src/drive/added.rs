//! What was added to a large folder, without reading all of it.
//!
//! 123pan lists the largest id first (API page 5.3), and what is new has a larger id than what was there. So the first
//! page or two hold all that was added since a listing, and `Total` tells whether anything went. That rests on two
//! assumptions that no source states: that ids only grow, and that nothing else of importance happened. What a page
//! shows of known rows must therefore be as it was; a rename, or another content, of an older row is found
//! only by the next whole listing, which the tree makes often enough.

use std::collections::{HashMap, HashSet};

use super::listing::Source;
use super::rows::{self, Locators, Names};
use super::{Entry, Error};

/// Pages that are worth reading: with more, the whole listing is not much dearer.
const PAGES: u32 = 10;

/// The rows that a folder has beside `known`, or `None` where that cannot be told.
pub(super) async fn added(source: &Source, known: &[Entry]) -> Result<Option<Vec<Entry>>, Error> {
    let by_id: HashMap<i64, &Entry> = known.iter().map(|entry| (entry.id.0, entry)).collect();
    let Some(newest) = by_id.keys().max().copied() else {
        return Ok(None);
    };
    let taken: HashSet<&str> = known.iter().map(|entry| &*entry.name).collect();
    let (mut names, mut locators) = (Names::default(), Locators::default());
    let mut added: Vec<Entry> = Vec::new();
    let mut last = i64::MAX;
    for page in 1..=PAGES {
        let page = source(page).await?;
        let mut met = false;
        for row in &page.rows {
            if row.id >= last || row.id <= 0 || row.trashed {
                return Ok(None);
            }
            last = row.id;
            let entry = rows::entry(row, &mut names, &mut locators);
            match by_id.get(&row.id) {
                Some(before) if is_same(before, &entry) => {
                    if !met && row.id != newest {
                        return Ok(None);
                    }
                    met = true;
                }
                None if !met && row.id > newest && !taken.contains(&*entry.name) => added.push(entry),
                _ => return Ok(None),
            }
        }
        if met {
            let total = page.total.and_then(|total| usize::try_from(total).ok());
            return Ok((total == Some(known.len() + added.len())).then_some(added));
        }
        if page.rows.is_empty() {
            break;
        }
    }
    Ok(None)
}

/// Times are left out: those that a client has set are ours.
fn is_same(one: &Entry, other: &Entry) -> bool {
    one.name == other.name && one.kind == other.kind && one.size == other.size && one.md5 == other.md5
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::drive::{Id, Kind};
    use crate::pan::web::files::{ListPage, Row};

    fn entry(id: i64) -> Entry {
        Entry {
            id: Id(id),
            name: format!("n{id}").into(),
            kind: Kind::File,
            size: Some(0),
            modified: 5,
            created: 0,
            md5: None,
            locator: "".into(),
        }
    }

    async fn ask(known: &[i64], pages: Vec<(Vec<i64>, i64)>) -> Option<Vec<i64>> {
        let source: Source = Box::new(move |n| {
            let (ids, total) = pages.get(n as usize - 1).cloned().unwrap_or_default();
            let rows = ids.iter().map(|id| Row {
                id: *id,
                name: if *id == 6 {
                    "renamed".to_owned()
                } else {
                    format!("n{id}")
                },
                ..Row::default()
            });
            let page = ListPage {
                next: "x".to_owned(),
                total: Some(total),
                rows: rows.collect(),
                expired: false,
            };
            Box::pin(async move { Ok(page) })
        });
        let known: Vec<Entry> = known.iter().copied().map(entry).collect();
        let added = added(&source, &known).await.unwrap()?;
        Some(added.iter().map(|entry| entry.id.0).collect())
    }

    #[tokio::test]
    async fn what_is_new_is_found_with_the_first_page_that_meets_the_old() {
        let known = [1, 2, 3, 4];
        assert_eq!(ask(&known, vec![(vec![4, 3], 4)]).await, Some(vec![]));
        assert_eq!(ask(&known, vec![(vec![9, 4], 5)]).await, Some(vec![9]));
        assert_eq!(
            ask(&known, vec![(vec![9, 8], 6), (vec![4, 3], 6)]).await,
            Some(vec![9, 8])
        );
    }

    #[tokio::test]
    async fn everything_else_calls_for_the_whole_listing() {
        let known = [1, 2, 3, 4];
        for (why, pages) in [
            ("one is gone", vec![(vec![4, 3], 3)]),
            ("the newest is gone and another one came", vec![(vec![9, 3], 4)]),
            ("an old one came back", vec![(vec![4, 0, 3], 5)]),
            ("not in order", vec![(vec![4, 9], 5)]),
            ("an unknown one among the old", vec![(vec![9, 4, 3], 6)]),
            ("nothing is met", vec![(vec![9, 8], 6)]),
        ] {
            assert_eq!(ask(&known, pages).await, None, "{why}");
        }
        assert_eq!(ask(&[1, 6], vec![(vec![6, 1], 2)]).await, None, "renamed");
        assert_eq!(ask(&[], vec![(vec![1], 1)]).await, None, "nothing to go by");
    }
}

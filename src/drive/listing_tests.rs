//! Listings against a made-up folder that changes while it is read.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;

use super::*;
use crate::pan::web::files::Row;

fn row(id: i64) -> Row {
    Row {
        id,
        name: format!("n{id}"),
        ..Row::default()
    }
}

/// A page with these ids.
fn page(ids: &[i64], next: &str, total: Option<i64>) -> ListPage {
    ListPage {
        next: next.to_owned(),
        total,
        rows: ids.iter().copied().map(row).collect(),
        expired: false,
    }
}

/// Serves these pages one after the other, whatever is asked; notes what is asked.
fn script(pages: Vec<ListPage>) -> (RowLister, Arc<Mutex<Vec<u32>>>) {
    let pages = Mutex::new(pages.into_iter());
    let asked: Arc<Mutex<Vec<u32>>> = Arc::default();
    let log = Arc::clone(&asked);
    let lister = RowLister::new(Box::new(move |n| {
        log.lock().unwrap().push(n);
        let page = pages.lock().unwrap().next();
        Box::pin(async move { page.ok_or_else(|| Error::new(ErrorKind::Unreachable, "no more pages")) })
    }));
    (lister, asked)
}

/// All that a caller ends up with, or the error's kind.
async fn whole(lister: &mut RowLister) -> Result<BTreeSet<i64>, ErrorKind> {
    let mut ids = BTreeSet::new();
    while let Some(page) = lister.next().await.map_err(|e| e.kind())? {
        if page.restarted {
            ids.clear();
        }
        for entry in page.entries {
            assert!(ids.insert(entry.id.0), "an id came twice");
        }
    }
    Ok(ids)
}

fn set(ids: &[i64]) -> BTreeSet<i64> {
    ids.iter().copied().collect()
}

#[tokio::test]
async fn pages_are_asked_until_next_says_the_end() {
    let (mut lister, asked) = script(vec![
        page(&[5, 4], "a", Some(5)),
        page(&[3], "b", Some(5)),
        page(&[2, 1], "-1", Some(5)),
    ]);
    assert_eq!(whole(&mut lister).await, Ok(set(&[1, 2, 3, 4, 5])));
    assert_eq!(*asked.lock().unwrap(), [1, 2, 3]);
    assert!(lister.next().await.unwrap().is_none());
}

#[tokio::test]
async fn an_empty_page_is_the_end_too() {
    let (mut lister, _) = script(vec![page(&[2, 1], "a", None), page(&[], "b", None)]);
    assert_eq!(whole(&mut lister).await, Ok(set(&[1, 2])));
    let (mut lister, _) = script(vec![page(&[], "-1", Some(0))]);
    assert_eq!(whole(&mut lister).await, Ok(set(&[])));
}

#[tokio::test]
async fn a_listing_that_does_not_fit_begins_anew() {
    let good = || vec![page(&[3, 2], "a", Some(3)), page(&[1], "-1", Some(3))];
    for (bad, pages_before) in [
        (vec![page(&[3, 2], "-1", Some(3))], 1),
        (vec![page(&[3, 0], "a", Some(3))], 1),
        (vec![page(&[3, 2], "a", Some(3)), page(&[2, 1], "-1", Some(4))], 2),
        (vec![page(&[3], "a", Some(3)), page(&[2], "a", Some(3))], 2),
        (vec![page(&[3, 2], "a", Some(3)), page(&[3, 2], "b", Some(3))], 2),
        (vec![page(&[3, 2], "a", Some(3)), page(&[-7], "-1", Some(3))], 2),
    ] {
        let (mut lister, asked) = script(bad.into_iter().chain(good()).collect());
        assert_eq!(whole(&mut lister).await, Ok(set(&[1, 2, 3])));
        assert_eq!(asked.lock().unwrap().len(), pages_before + 2);
    }
}

#[tokio::test]
async fn only_rows_that_were_handed_on_are_taken_back() {
    let (mut lister, _) = script(vec![
        page(&[3], "-1", Some(2)),
        page(&[3, 2], "a", Some(3)),
        page(&[1], "-1", Some(9)),
        page(&[4], "-1", Some(1)),
    ]);
    assert!(!lister.next().await.unwrap().unwrap().restarted);
    let page = lister.next().await.unwrap().unwrap();
    assert!(page.restarted);
    assert_eq!(page.entries[0].id.0, 4);
}

#[tokio::test]
async fn two_passes_with_the_same_ids_outweigh_a_wrong_total() {
    let pass = || vec![page(&[3, 2], "a", Some(7)), page(&[1], "-1", Some(7))];
    let (mut lister, asked) = script(pass().into_iter().chain(pass()).collect());
    assert_eq!(whole(&mut lister).await, Ok(set(&[1, 2, 3])));
    assert_eq!(asked.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn a_total_that_wavers_in_every_pass_is_outweighed_too() {
    let pass = || vec![page(&[3, 2], "a", Some(3)), page(&[1], "-1", Some(4))];
    let pages = (0..4).flat_map(|_| pass()).collect();
    let (mut lister, asked) = script(pages);
    assert_eq!(whole(&mut lister).await, Ok(set(&[1, 2, 3])));
    assert_eq!(asked.lock().unwrap().len(), 8);
}

#[tokio::test]
async fn after_three_restarts_without_agreement_it_is_nonsense() {
    let pages = (1..=9).map(|n| page(&[n], "-1", Some(5))).collect();
    let (mut lister, asked) = script(pages);
    assert_eq!(whole(&mut lister).await, Err(ErrorKind::Nonsense));
    assert_eq!(asked.lock().unwrap().len(), 4);
}

#[tokio::test]
async fn rows_in_the_recycle_bin_are_left_out_whether_total_counts_them_or_not() {
    for total in [2, 3] {
        let mut first = page(&[3, 2, 1], "-1", Some(total));
        first.rows[1].trashed = true;
        let (mut lister, asked) = script(vec![first]);
        assert_eq!(whole(&mut lister).await, Ok(set(&[1, 3])));
        assert_eq!(asked.lock().unwrap().len(), 1);
    }
}

#[tokio::test]
async fn an_error_does_not_lose_the_place() {
    let (mut lister, asked) = script(vec![page(&[2], "a", Some(2))]);
    lister.next().await.unwrap();
    assert_eq!(lister.next().await.unwrap_err().kind(), ErrorKind::Unreachable);
    assert_eq!(lister.next().await.unwrap_err().kind(), ErrorKind::Unreachable);
    assert_eq!(*asked.lock().unwrap(), [1, 2, 2]);
}

/// A folder by page numbers, newest id first, which gains and loses rows before given calls.
fn living(size: i64, per_page: usize, changes: Vec<(usize, bool)>) -> RowLister {
    let state = Mutex::new(((1..=size).collect::<Vec<i64>>(), 0_usize));
    RowLister::new(Box::new(move |n| {
        let mut guard = state.lock().unwrap();
        let (ids, calls) = &mut *guard;
        for (at, grows) in &changes {
            if at == calls {
                if *grows {
                    ids.push(1_000_000 + i64::try_from(*at).unwrap());
                } else if !ids.is_empty() {
                    ids.remove(ids.len() / 2);
                }
            }
        }
        *calls += 1;
        let start = (n as usize - 1) * per_page;
        let rows: Vec<i64> = ids.iter().rev().skip(start).take(per_page).copied().collect();
        let next = if start + per_page >= ids.len() {
            "-1".to_owned()
        } else {
            format!("n{n}")
        };
        let found = page(&rows, &next, Some(i64::try_from(ids.len()).unwrap()));
        Box::pin(async move { Ok(found) })
    }))
}

proptest! {
    #[test]
    fn a_folder_that_changes_is_read_whole_or_not_at_all(
        size in 0_i64..60,
        per_page in 1_usize..9,
        changes in proptest::collection::vec((0_usize..40, any::<bool>()), 0..4),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let calm = changes.is_empty();
        let removed = changes.iter().filter(|c| !c.1).count();
        let result = runtime.block_on(whole(&mut living(size, per_page, changes)));
        match result {
            Ok(ids) => {
                let old = ids.iter().filter(|id| **id <= size).count();
                let least = usize::try_from(size).unwrap().saturating_sub(removed);
                prop_assert!(old >= least, "{} rows of {}", old, size);
            }
            Err(kind) => prop_assert!(!calm && kind == ErrorKind::Nonsense),
        }
    }
}

//! A folder of many pages, read so that it is whole or an error (API page 5.3).
//!
//! A folder that changes while it is read moves rows between pages: some come twice, some not at
//! all. So each pass is checked: ids are positive, pages go forward, `Total` stays and in the end
//! counts the rows. A pass that fails is read again, three times at the most. `Total` is not always
//! right (question 6), so two passes with the very same ids outweigh it. The rows of a page are
//! handed on as soon as it is there, but those of the last page only after the check.

use std::collections::HashSet;
use std::sync::Arc;

use super::rows::{self, Locators, Names};
use super::thumbnails::Thumbnails;
use super::{DriveFuture, Entry, Error, ErrorKind, Lister, Page};
use crate::pan::web::files::ListPage;

/// How often a listing is begun anew.
const RESTARTS: usize = 3;
/// `Next` of the last page.
const END: &str = "-1";

/// Fetches a page by its number, from 1.
pub(super) type Source = Box<dyn Fn(u32) -> DriveFuture<'static, ListPage> + Send + Sync>;

/// A listing under way.
pub(super) struct RowLister {
    source: Source,
    reading: Reading,
    done: bool,
    /// Where addresses of thumbnails are kept.
    thumbnails: Option<Arc<Thumbnails>>,
}

/// What is to be done after a page.
#[derive(Debug)]
enum Step {
    /// Hand these on and read on.
    More(Page),
    /// Hand these on, they are the last.
    Last(Page),
    /// The pass is no good: nothing to hand on, read page 1 again.
    Again,
    /// Too many passes were no good.
    GiveUp,
}

/// The checks, without any waiting.
#[derive(Debug, Default)]
struct Reading {
    pass: Pass,
    locators: Locators,
    restarts: usize,
    /// What whole passes that disagreed with `Total` held.
    whole: Vec<Fingerprint>,
    /// Rows of an earlier pass were handed on.
    stale_rows: bool,
}

/// One pass over the pages.
#[derive(Debug, Default)]
struct Pass {
    pages: u32,
    ids: HashSet<i64>,
    sum: u64,
    visible: usize,
    total: Option<i64>,
    /// `Total` was another one on a later page.
    wavers: bool,
    nexts: HashSet<String>,
    names: Names,
}

/// A set of ids in a few bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Fingerprint {
    count: usize,
    sum: u64,
}

impl RowLister {
    pub(super) fn new(source: Source) -> Self {
        Self {
            source,
            reading: Reading::default(),
            done: false,
            thumbnails: None,
        }
    }

    /// Keeps the addresses of thumbnails, which entries do not hold.
    pub(super) fn noting(mut self, thumbnails: &Arc<Thumbnails>) -> Self {
        self.thumbnails = Some(Arc::clone(thumbnails));
        self
    }
}

impl Lister for RowLister {
    fn next(&mut self) -> DriveFuture<'_, Option<Page>> {
        Box::pin(async move {
            // Nothing is noted before a page is there, so a dropped call can be made again.
            while !self.done {
                let page = (self.source)(self.reading.pass.pages + 1).await?;
                if let Some(thumbnails) = &self.thumbnails {
                    thumbnails.note(&page.rows);
                }
                match self.reading.feed(page) {
                    Step::More(page) => return Ok(Some(page)),
                    Step::Last(page) => {
                        self.done = true;
                        return Ok(Some(page));
                    }
                    Step::Again => {}
                    Step::GiveUp => {
                        self.done = true;
                        return Err(Error::new(
                            ErrorKind::Nonsense,
                            "123pan gave this folder's pages four times without their fitting together; perhaps it is being changed: try again later.",
                        ));
                    }
                }
            }
            Ok(None)
        })
    }
}

impl Reading {
    fn feed(&mut self, page: ListPage) -> Step {
        let last = page.next == END || page.rows.is_empty();
        // The last two passes go on though `Total` wavers: they may still agree with each other.
        let strict = self.restarts + 1 < RESTARTS;
        let Some(entries) = self.pass.take(page, last, strict, &mut self.locators) else {
            return self.again();
        };
        if last && !self.pass.agrees_with_total() {
            let found = self.pass.fingerprint();
            let out_of_restarts = self.restarts == RESTARTS;
            let seen = self.whole.last() == Some(&found) || (out_of_restarts && self.whole.contains(&found));
            if !seen {
                self.whole.push(found);
                return self.again();
            }
            tracing::warn!(
                total = self.pass.total,
                rows = found.count,
                "123pan's Total disagrees with the rows of a folder, which came twice the same: they are taken"
            );
        }
        let page = Page {
            entries,
            restarted: std::mem::take(&mut self.stale_rows),
        };
        if last { Step::Last(page) } else { Step::More(page) }
    }

    fn again(&mut self) -> Step {
        // Of this pass every page but the present one was handed on.
        self.stale_rows |= self.pass.pages > 1;
        self.pass = Pass::default();
        if self.restarts == RESTARTS {
            return Step::GiveUp;
        }
        self.restarts += 1;
        Step::Again
    }
}

impl Pass {
    /// The new entries of the next page; `None` if it does not go on from the others.
    fn take(
        &mut self,
        page: ListPage,
        last: bool,
        strict: bool,
        locators: &mut Locators,
    ) -> Option<Vec<Entry>> {
        self.pages += 1;
        if self.pages == 1 {
            self.total = page.total;
        }
        // An empty page beyond the end may say nothing about the whole.
        self.wavers |= page.total != self.total && !(page.rows.is_empty() && self.pages > 1);
        let before = self.ids.len();
        let mut entries = Vec::with_capacity(page.rows.len());
        for row in &page.rows {
            if row.id <= 0 {
                return None;
            }
            if !self.ids.insert(row.id) {
                continue;
            }
            self.sum = self.sum.wrapping_add(mixed(row.id));
            if !row.trashed {
                self.visible += 1;
                entries.push(rows::entry(row, &mut self.names, locators));
            }
        }
        let goes_forward =
            last || (self.ids.len() > before && (page.next.is_empty() || self.nexts.insert(page.next)));
        (goes_forward && !(strict && self.wavers)).then_some(entries)
    }

    /// Whether all rows are there; `Total` may or may not count those in the recycle bin.
    fn agrees_with_total(&self) -> bool {
        if self.wavers {
            return false;
        }
        let Some(total) = self.total else { return true };
        usize::try_from(total).is_ok_and(|total| total == self.ids.len() || total == self.visible)
    }

    fn fingerprint(&self) -> Fingerprint {
        Fingerprint {
            count: self.ids.len(),
            sum: self.sum,
        }
    }
}

/// Spreads the bits of an id (the finisher of splitmix64), so that sums of different sets differ.
fn mixed(id: i64) -> u64 {
    let mut x = id.cast_unsigned().wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
#[path = "listing_tests.rs"]
mod tests;

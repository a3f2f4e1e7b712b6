//! The order of a folder's rows.
//!
//! A folder that is known, or soon read, is shown with its folders first and its names in natural order. What takes longer is
//! shown as it comes, unless the reader asks for an order: then the head of the page goes out, and the rows follow when the
//! listing is whole. Sorting moves row numbers; the rows stay in the cache's own chunks, so that a page costs 8 bytes
//! an entry beside them.

use std::cmp::Ordering;
use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use crate::dav::frames::Source;
use crate::drive::{Entry, Error};

/// So long, and so many entries, are waited for to sort a folder that nobody asked to be sorted.
const SOON: Duration = Duration::from_millis(300);
const FEW: usize = 5_000;
/// Rows handed on at once.
const CHUNK: usize = 256;
/// More rows than this are sorted beside the threads that answer requests.
const ASIDE: usize = 10_000;

/// What rows are ordered by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Column {
    /// The name, numbers in it by their value.
    Name,
    /// The size in bytes.
    Size,
    /// The time of the last modification.
    Date,
}

/// An order of rows. Folders stand before files in all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Order {
    /// Ordered by.
    pub column: Column,
    /// The largest first.
    pub descending: bool,
}

impl Order {
    /// The one that is used unasked.
    pub const NATURAL: Self = Self {
        column: Column::Name,
        descending: false,
    };

    /// The order that a query asks for: `sort=name|size|date`, `order=asc|desc`. `None` where it asks for none.
    pub fn of(query: &str) -> Option<Self> {
        let value = |wanted: &str| {
            url::form_urlencoded::parse(query.as_bytes())
                .find(|(key, _)| key == wanted)
                .map(|(_, value)| value)
        };
        let column = match &*value("sort")? {
            "name" => Column::Name,
            "size" => Column::Size,
            "date" => Column::Date,
            _ => return None,
        };
        Some(Self {
            column,
            descending: value("order").is_some_and(|order| order == "desc"),
        })
    }

    fn compare(self, a: &Entry, b: &Entry) -> Ordering {
        let by = match self.column {
            Column::Name => Ordering::Equal,
            Column::Size => a.size.cmp(&b.size),
            Column::Date => a.modified.cmp(&b.modified),
        };
        let by = by.then_with(|| natural(&a.name, &b.name));
        let by = if self.descending { by.reverse() } else { by };
        b.is_folder().cmp(&a.is_folder()).then(by)
    }
}

/// Names as people order them: without regard to case, and numbers by their value.
fn natural(a: &str, b: &str) -> Ordering {
    let (mut left, mut right) = (a.chars().peekable(), b.chars().peekable());
    loop {
        let (Some(&x), Some(&y)) = (left.peek(), right.peek()) else {
            let ended = left.peek().is_some().cmp(&right.peek().is_some());
            return ended.then_with(|| a.cmp(b));
        };
        let by = if x.is_ascii_digit() && y.is_ascii_digit() {
            let number = |digits: &mut std::iter::Peekable<std::str::Chars<'_>>| {
                while digits.next_if_eq(&'0').is_some() {}
                let mut rest = digits.clone();
                let mut length = 0_usize;
                while rest.next_if(char::is_ascii_digit).is_some() {
                    length += 1;
                }
                length
            };
            // The longer number is the larger one; equal ones are compared digit by digit.
            let (x, y) = (number(&mut left), number(&mut right));
            let mut by = x.cmp(&y);
            for _ in 0..x.min(y) {
                by = by.then(left.next().cmp(&right.next()));
            }
            by
        } else {
            left.next();
            right.next();
            x.to_lowercase().cmp(y.to_lowercase())
        };
        if by != Ordering::Equal {
            return by;
        }
    }
}

/// Members in an order.
pub(super) struct Ordered<S: Source> {
    source: S,
    /// Taken from the source.
    taken: VecDeque<S::Chunk>,
    /// The source has ended.
    whole: bool,
    order: Option<Order>,
    /// Chunk and row of each member, the last one first, once they are sorted.
    sorted: Option<Vec<(u32, u32)>>,
}

impl<S: Source> Ordered<S> {
    /// Members in the order that was asked for; or in the natural one, where that costs no wait.
    ///
    /// # Errors
    /// Those of the source.
    pub(super) async fn new(source: S, asked: Option<Order>) -> Result<Self, Error> {
        let mut ordered = Self {
            source,
            taken: VecDeque::new(),
            whole: false,
            order: asked,
            sorted: None,
        };
        if asked.is_none() {
            let (deadline, mut entries) = (Instant::now() + SOON, 0);
            // A wait that is given up loses nothing: the source hands on what it has in one step.
            while entries <= FEW
                && let Ok(next) = timeout_at(deadline, ordered.source.next()).await
            {
                let Some(chunk) = next? else {
                    ordered.whole = true;
                    ordered.order = Some(Order::NATURAL);
                    break;
                };
                entries += chunk.len();
                ordered.taken.push_back(chunk);
            }
        }
        Ok(ordered)
    }

    /// The order of the rows; `None`: as they come.
    pub(super) fn order(&self) -> Option<Order> {
        self.order
    }

    async fn sort(&mut self, order: Order) -> Result<Vec<(u32, u32)>, Error> {
        while !self.whole {
            match self.source.next().await? {
                Some(chunk) => self.taken.push_back(chunk),
                None => self.whole = true,
            }
        }
        let taken = std::mem::take(&mut self.taken);
        let entries: usize = taken.iter().map(|chunk| chunk.len()).sum();
        let work = move || {
            let mut rows = Vec::with_capacity(entries);
            for (chunk, at) in taken.iter().zip(0..) {
                rows.extend((0..).zip(chunk.iter()).map(|(row, _)| (at, row)));
            }
            let entry = |&(chunk, row): &(u32, u32)| entry(&taken, chunk, row);
            rows.sort_by(|a, b| match (entry(b), entry(a)) {
                (Some(b), Some(a)) => order.compare(b, a),
                _ => Ordering::Equal,
            });
            (taken, rows)
        };
        let (taken, rows) = if entries > ASIDE {
            let cut_off = |_| {
                let sentence = "The folder could not be sorted; try again.";
                Error::new(crate::drive::ErrorKind::Nonsense, sentence)
            };
            tokio::task::spawn_blocking(work).await.map_err(cut_off)?
        } else {
            work()
        };
        self.taken = taken;
        Ok(rows)
    }
}

fn entry<C: std::ops::Deref<Target = [Entry]>>(taken: &VecDeque<C>, chunk: u32, row: u32) -> Option<&Entry> {
    taken.get(chunk as usize)?.get(row as usize)
}

/// A chunk of the source, or rows of several in order.
pub(super) enum Rows<C> {
    AsTheyCome(C),
    Sorted(Vec<Entry>),
}

impl<C: std::ops::Deref<Target = [Entry]>> std::ops::Deref for Rows<C> {
    type Target = [Entry];
    fn deref(&self) -> &[Entry] {
        match self {
            Self::AsTheyCome(chunk) => chunk,
            Self::Sorted(rows) => rows,
        }
    }
}

impl<S: Source> Source for Ordered<S>
where
    S::Chunk: Sync + 'static,
{
    type Chunk = Rows<S::Chunk>;

    async fn next(&mut self) -> Result<Option<Self::Chunk>, Error> {
        let Some(order) = self.order else {
            return match self.taken.pop_front() {
                Some(chunk) => Ok(Some(Rows::AsTheyCome(chunk))),
                None => Ok(self.source.next().await?.map(Rows::AsTheyCome)),
            };
        };
        if self.sorted.is_none() {
            self.sorted = Some(self.sort(order).await?);
        }
        let Some(sorted) = &mut self.sorted else {
            return Ok(None);
        };
        let next = sorted.split_off(sorted.len().saturating_sub(CHUNK));
        let rows: Vec<Entry> = next
            .iter()
            .rev()
            .filter_map(|&(chunk, row)| entry(&self.taken, chunk, row).cloned())
            .collect();
        Ok((!rows.is_empty()).then_some(Rows::Sorted(rows)))
    }
}

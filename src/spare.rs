//! Tables of headers that were used and will be used again: a new one for an answer costs two allocations, the larger of
//! which is beyond what malloc gives quickly.

use std::cell::RefCell;

use http::HeaderMap;

/// Headers of an answer, about, with those that hyper adds.
const USUAL: usize = 12;
/// A larger table is not kept.
const LARGEST: usize = 4 * USUAL;
/// Tables that a thread keeps.
const KEPT: usize = 8;

thread_local! {
    static TABLES: RefCell<Vec<HeaderMap>> = const { RefCell::new(Vec::new()) };
}

/// An empty table with room for the headers of an answer.
pub fn headers() -> HeaderMap {
    let kept = TABLES.with_borrow_mut(Vec::pop);
    kept.unwrap_or_else(|| HeaderMap::with_capacity(USUAL))
}

/// Takes a table that is not needed any more. What is in it is dropped at once.
pub fn keep(mut headers: HeaderMap) {
    // Further lines of one name have a table of their own, which nobody can measure.
    let plain = headers.len() == headers.keys_len();
    headers.clear();
    if plain && (USUAL..=LARGEST).contains(&headers.capacity()) {
        TABLES.with_borrow_mut(|tables| {
            if tables.len() < KEPT {
                tables.push(headers);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{HOST, HeaderValue};

    #[test]
    fn a_table_is_empty_when_it_is_used_again_and_few_are_kept() {
        for capacity in [USUAL, 1, 10 * LARGEST] {
            let mut used = HeaderMap::with_capacity(capacity);
            used.insert(HOST, HeaderValue::from_static("secret"));
            keep(used);
        }
        let mut twice = HeaderMap::with_capacity(USUAL);
        twice.append(HOST, HeaderValue::from_static("one"));
        twice.append(HOST, HeaderValue::from_static("two"));
        keep(twice);
        assert_eq!(TABLES.with_borrow(Vec::len), 1);
        let again = headers();
        assert!(again.is_empty() && again.capacity() >= USUAL);
        for _ in 0..2 * KEPT {
            keep(HeaderMap::with_capacity(USUAL));
        }
        assert_eq!(TABLES.with_borrow(Vec::len), KEPT);
    }
}

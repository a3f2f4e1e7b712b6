//! Bytes of one file that are in memory: pieces by position, which do not overlap.

use std::collections::BTreeMap;

use bytes::{Bytes, BytesMut};

/// A piece grows by what follows it up to this length.
const PIECE: usize = 64 * 1024;
/// What a piece costs beside its bytes, about.
const OVERHEAD: u64 = 96;

/// The pieces.
#[derive(Debug, Default)]
pub struct Extents {
    pieces: BTreeMap<u64, Bytes>,
    cost: u64,
}

impl Extents {
    /// Memory held.
    pub fn cost(&self) -> u64 {
        self.cost
    }

    /// The bytes from `at` on, before `end`, that are at hand in one piece.
    pub fn get(&self, at: u64, end: u64) -> Option<Bytes> {
        let (from, piece) = self.pieces.range(..=at).next_back()?;
        let skip = usize::try_from(at - from)
            .ok()
            .filter(|&skip| skip < piece.len())?;
        let length = usize::try_from(end.saturating_sub(at)).unwrap_or(usize::MAX);
        let bytes = piece.slice(skip..skip.saturating_add(length).min(piece.len()));
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Keeps a copy of the bytes at `at` that are not there yet.
    pub fn put(&mut self, mut at: u64, mut data: &[u8]) {
        while !data.is_empty() {
            if let Some(known) = self.get(at, at + data.len() as u64) {
                at += known.len() as u64;
                data = &data[known.len()..];
                continue;
            }
            let free = self
                .pieces
                .range(at..)
                .next()
                .and_then(|(from, _)| usize::try_from(from - at).ok())
                .unwrap_or(usize::MAX);
            let (new, rest) = data.split_at(free.min(data.len()));
            self.add(at, new);
            at += new.len() as u64;
            data = rest;
        }
    }

    fn add(&mut self, at: u64, data: &[u8]) {
        self.cost += data.len() as u64;
        if let Some((_, piece)) = self.pieces.range_mut(..at).next_back()
            && let Some(from) = at.checked_sub(piece.len() as u64)
            && piece.len() + data.len() <= PIECE
            && self.pieces.contains_key(&from)
        {
            if let Some(piece) = self.pieces.get_mut(&from) {
                let mut longer = BytesMut::with_capacity(piece.len() + data.len());
                longer.extend_from_slice(piece);
                longer.extend_from_slice(data);
                *piece = longer.freeze();
            }
            return;
        }
        self.cost += OVERHEAD;
        self.pieces.insert(at, Bytes::copy_from_slice(data));
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_follows_makes_a_piece_longer() {
        let mut extents = Extents::default();
        extents.put(10, b"abc");
        extents.put(13, b"def");
        extents.put(5, b"xyz");
        assert_eq!(extents.get(11, 100).unwrap(), "bcdef");
        assert_eq!(extents.get(5, 7).unwrap(), "xy");
        assert_eq!(extents.get(8, 9), None);
        assert_eq!(extents.get(16, 99), None);
        assert_eq!(extents.get(5, 5), None);
        assert_eq!(extents.cost(), 9 + 2 * OVERHEAD);
    }

    proptest! {
        #[test]
        fn every_byte_is_the_one_that_was_put_and_counted_once(
            puts in proptest::collection::vec((0usize..3000, 1usize..400), 0..40),
        ) {
            let file: Vec<u8> = (0..4000usize).map(|i| (i * 7 + i / 256) as u8).collect();
            let mut known = vec![false; file.len()];
            let mut extents = Extents::default();
            for (at, length) in puts {
                extents.put(at as u64, &file[at..at + length]);
                known[at..at + length].fill(true);
            }
            for at in 0..file.len() {
                match extents.get(at as u64, u64::MAX) {
                    Some(bytes) => {
                        prop_assert!(file[at..].starts_with(&bytes));
                        prop_assert!(known[at..at + bytes.len()].iter().all(|&known| known));
                    }
                    None => prop_assert!(!known[at]),
                }
            }
            let bytes = known.iter().filter(|&&known| known).count() as u64;
            prop_assert_eq!(extents.cost(), bytes + OVERHEAD * extents.pieces.len() as u64);
        }
    }
}

//! What files hold: given bytes, a pattern of any length, or the parts of an upload.
//!
//! A pattern is one block of pseudo-random bytes repeated. The block's length is a prime near 1 MiB, so that reading
//! from a wrong multiple of any power of two is noticed, and serving it hands out slices of the one block without a
//! copy, however many GiB the file is said to have.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use bytes::Bytes;
use md5::{Digest, Md5};
use sha1::Sha1;

/// Length of a pattern's block: the largest prime below 1 MiB.
const BLOCK: usize = 1_048_573;

/// How many blocks are kept for the next file with the same seed.
const BLOCKS_KEPT: usize = 32;

/// The content of a file put into the store.
#[derive(Clone, Debug)]
pub enum Content {
    /// These bytes.
    Bytes(Bytes),
    /// `len` bytes that depend on `seed` and the offset alone.
    Pattern {
        /// Chooses the bytes.
        seed: u64,
        /// Length in bytes.
        len: u64,
    },
}

impl Content {
    /// The length in bytes.
    pub fn len(&self) -> u64 {
        match self {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::Pattern { len, .. } => *len,
        }
    }

    /// Whether the length is 0.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Up to `len` bytes from `offset`, fewer at the end; for tests to compare with.
    pub fn read(&self, offset: u64, len: u64) -> Vec<u8> {
        let blob = Blob::from(self.clone());
        let end = offset.saturating_add(len).min(blob.len());
        let mut out = Vec::new();
        let mut at = offset;
        while at < end {
            let piece = blob.slice(at, end - at);
            at += piece.len() as u64;
            out.extend_from_slice(&piece);
        }
        out
    }

    /// The MD5 of the whole, lower-case hex, computed by streaming.
    pub fn md5(&self) -> String {
        Blob::from(self.clone()).md5()
    }
}

impl From<&'static str> for Content {
    fn from(text: &'static str) -> Self {
        Content::Bytes(Bytes::from_static(text.as_bytes()))
    }
}

impl From<Vec<u8>> for Content {
    fn from(bytes: Vec<u8>) -> Self {
        Content::Bytes(bytes.into())
    }
}

/// Content ready to be served: any offset gives a slice without a copy.
#[derive(Clone, Debug)]
pub(super) enum Blob {
    Whole(Bytes),
    Repeat { block: Bytes, len: u64 },
    Parts { parts: Arc<Vec<(u64, Bytes)>>, len: u64 },
}

impl Blob {
    /// Joins parts, in order, without copying them.
    pub(super) fn from_parts(parts: impl IntoIterator<Item = Bytes>) -> Blob {
        let mut len = 0;
        let mut placed = Vec::new();
        for part in parts {
            let start = len;
            len += part.len() as u64;
            if !part.is_empty() {
                placed.push((start, part));
            }
        }
        Blob::Parts {
            parts: Arc::new(placed),
            len,
        }
    }

    pub(super) fn len(&self) -> u64 {
        match self {
            Blob::Whole(bytes) => bytes.len() as u64,
            Blob::Repeat { len, .. } | Blob::Parts { len, .. } => *len,
        }
    }

    /// A piece of at least one and at most `max` bytes from `offset`; empty only past the end or for `max` 0.
    pub(super) fn slice(&self, offset: u64, max: u64) -> Bytes {
        let max = max.min(self.len().saturating_sub(offset));
        if max == 0 {
            return Bytes::new();
        }
        let (piece, within) = match self {
            Blob::Whole(bytes) => (bytes, offset),
            Blob::Repeat { block, .. } => (block, offset % block.len() as u64),
            Blob::Parts { parts, .. } => {
                let index = parts
                    .partition_point(|(start, _)| *start <= offset)
                    .saturating_sub(1);
                match parts.get(index) {
                    Some((start, bytes)) => (bytes, offset - start),
                    None => return Bytes::new(),
                }
            }
        };
        let within = usize::try_from(within).unwrap_or(usize::MAX).min(piece.len());
        let take = usize::try_from(max)
            .unwrap_or(usize::MAX)
            .min(piece.len() - within);
        piece.slice(within..within + take)
    }

    pub(super) fn md5(&self) -> String {
        let mut hash = Md5::new();
        self.pieces().for_each(|piece| hash.update(&piece));
        hex(&hash.finalize())
    }

    pub(super) fn sha1(&self) -> String {
        let mut hash = <Sha1 as sha1::Digest>::new();
        self.pieces()
            .for_each(|piece| sha1::Digest::update(&mut hash, &piece));
        hex(&sha1::Digest::finalize(hash))
    }

    /// All of it, from the begin.
    fn pieces(&self) -> impl Iterator<Item = Bytes> {
        let mut at = 0;
        std::iter::from_fn(move || {
            let piece = self.slice(at, u64::MAX);
            at += piece.len() as u64;
            (!piece.is_empty()).then_some(piece)
        })
    }
}

impl From<Content> for Blob {
    fn from(content: Content) -> Self {
        match content {
            Content::Bytes(bytes) => Blob::Whole(bytes),
            Content::Pattern { seed, len } => Blob::Repeat {
                block: block(seed),
                len,
            },
        }
    }
}

/// The block of a seed, from the last few made.
fn block(seed: u64) -> Bytes {
    static MADE: OnceLock<Mutex<HashMap<u64, Bytes>>> = OnceLock::new();
    let mut made = MADE
        .get_or_init(Mutex::default)
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    if let Some(block) = made.get(&seed) {
        return block.clone();
    }
    if made.len() >= BLOCKS_KEPT {
        made.clear();
    }
    let mut bytes = vec![0; BLOCK];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    let block = Bytes::from(bytes);
    made.insert(seed, block.clone());
    block
}

/// The MD5 of bytes, lower-case hex.
pub(super) fn md5_hex(bytes: &[u8]) -> String {
    hex(&Md5::digest(bytes))
}

/// Lower-case hex of bytes.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut out, b| {
            // Writing to a String cannot fail.
            let _ = write!(out, "{b:02x}");
            out
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_reads_the_same_in_one_piece_and_in_many() {
        let content = Content::Pattern {
            seed: 7,
            len: 3 * BLOCK as u64 + 11,
        };
        let whole = content.read(0, u64::MAX);
        assert_eq!(whole.len() as u64, content.len());
        let mut pieces = Vec::new();
        while (pieces.len() as u64) < content.len() {
            pieces.extend(content.read(pieces.len() as u64, 700_001));
        }
        assert!(whole == pieces);
        assert_eq!(content.md5(), md5_hex(&whole));
        assert_ne!(
            content.read(0, 64),
            content.read(1 << 20, 64),
            "a shift by 1 MiB shows"
        );
    }

    #[test]
    fn parts_join_without_gap_or_overlap() {
        let blob = Blob::from_parts([
            Bytes::from_static(b"abc"),
            Bytes::new(),
            Bytes::from_static(b"defg"),
        ]);
        assert_eq!(blob.len(), 7);
        assert_eq!(&blob.slice(2, 9)[..], b"c");
        assert_eq!(&blob.slice(3, 9)[..], b"defg");
        assert_eq!(&blob.slice(5, 1)[..], b"f");
        assert!(blob.slice(7, 1).is_empty());
        assert_eq!(blob.md5(), md5_hex(b"abcdefg"));
    }
}

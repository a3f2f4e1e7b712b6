//! The parts of an upload, whoever takes them: how a file is cut, how long a part may take, and its MD5 while it passes.
//!
//! No part is ever held in memory: a part that is sent again is read again.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt, TryStreamExt, stream};
use md5::{Digest, Md5};

use super::error::Error;
use super::http::Times;
use super::outgoing::Frames;
use crate::hex;

/// Least time for a part.
const TIME_MIN: Duration = Duration::from_secs(300);
/// Time for each MiB of a part, where that is more.
const TIME_PER_MIB: Duration = Duration::from_secs(2);
/// A part that makes no headway for so long is given up. The kernel's send buffer may hold some MiB
/// that a slow line needs minutes for.
const STALL: Duration = Duration::from_secs(120);
/// Time for all tries of a part together.
pub(super) const PATIENCE: Duration = Duration::from_secs(24 * 3600);
/// Tries of a part that arrives wrong.
pub(super) const TRIES: u32 = 3;

/// Reads `length` bytes from `offset` of a file.
pub type Reader = Arc<dyn Fn(u64, u64) -> Frames + Send + Sync>;

/// A file cut into parts of one size; the last one has the rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cut {
    /// Bytes of the file.
    pub size: u64,
    /// Bytes of every part but the last; more than 0.
    pub slice: u64,
}

impl Cut {
    /// How many parts there are; an empty file has one.
    pub fn count(self) -> u64 {
        self.size.div_ceil(self.slice.max(1)).max(1)
    }

    /// Offset and length of a part, numbered from 1.
    pub fn part(self, number: u64) -> (u64, u64) {
        let offset = number.saturating_sub(1).saturating_mul(self.slice);
        (offset, self.slice.min(self.size.saturating_sub(offset)))
    }

    /// Sends all parts, `at_once` at a time; the first error ends it.
    pub(super) async fn each<F>(self, at_once: usize, send: impl Fn(u64) -> F) -> Result<(), Error>
    where
        F: Future<Output = Result<(), Error>>,
    {
        stream::iter(1..=self.count())
            .map(send)
            .buffer_unordered(at_once.max(1))
            .try_collect::<()>()
            .await
    }
}

/// How long a part may take. Parts that share the line get the time of all of them.
pub(super) fn times(length: u64, at_once: usize) -> Times {
    let mebibytes = u32::try_from(length >> 20).unwrap_or(u32::MAX);
    let alone = TIME_MIN.max(TIME_PER_MIB.saturating_mul(mebibytes));
    Times {
        whole: alone.saturating_mul(u32::try_from(at_once.max(1)).unwrap_or(u32::MAX)),
        stall: STALL,
    }
}

/// The MD5 of what has passed.
#[derive(Clone, Default)]
pub(super) struct Passing(Arc<Mutex<Md5>>);

impl Passing {
    /// The same frames, hashed as they are taken.
    pub(super) fn watch(&self, frames: Frames) -> Frames {
        let hash = self.clone();
        Box::pin(frames.inspect_ok(move |frame| hash.update(frame)))
    }

    /// Begins anew.
    pub(super) fn restarted(&self) -> &Self {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Md5::new();
        self
    }

    pub(super) fn update(&self, bytes: &[u8]) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .update(bytes);
    }

    /// In lower-case hex.
    pub(super) fn md5(&self) -> String {
        let hash = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        hex::encode(&hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_cut_without_gap_or_overlap() {
        for (size, parts) in [
            (0, vec![(0, 0)]),
            (1, vec![(0, 1)]),
            (4, vec![(0, 4)]),
            (5, vec![(0, 4), (4, 1)]),
            (12, vec![(0, 4), (4, 4), (8, 4)]),
        ] {
            let cut = Cut { size, slice: 4 };
            assert_eq!((1..=cut.count()).map(|n| cut.part(n)).collect::<Vec<_>>(), parts);
        }
    }
}

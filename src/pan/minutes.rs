//! How many calls went in each of the last sixty minutes.

use std::time::Duration;

use tokio::time::Instant;

const MINUTE: Duration = Duration::from_secs(60);
/// Minutes that are remembered.
pub const KEPT: usize = 60;

/// Counts by minute, the running one last. Minutes are counted from the first call on.
#[derive(Debug)]
pub(super) struct Minutes {
    counts: [u32; KEPT],
    /// When the last one began.
    since: Instant,
}

impl Minutes {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            counts: [0; KEPT],
            since: now,
        }
    }

    /// Counts a call.
    pub(super) fn count(&mut self, now: Instant) {
        self.roll(now);
        if let Some(last) = self.counts.last_mut() {
            *last = last.saturating_add(1);
        }
    }

    /// The counts as they are now.
    pub(super) fn counts(&mut self, now: Instant) -> [u32; KEPT] {
        self.roll(now);
        self.counts
    }

    fn roll(&mut self, now: Instant) {
        let passed = now.saturating_duration_since(self.since).as_secs() / MINUTE.as_secs();
        let Ok(passed) = u32::try_from(passed) else { return };
        if passed == 0 {
            return;
        }
        self.since += MINUTE * passed;
        let gone = (passed as usize).min(KEPT);
        self.counts.copy_within(gone.., 0);
        self.counts[KEPT - gone..].fill(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_are_counted_in_their_minute_and_forgotten_after_an_hour() {
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        let mut minutes = Minutes::new(begin);
        for second in [0, 1, 59, 60, 200] {
            minutes.count(at(second));
        }
        assert_eq!(minutes.counts(at(239))[56..], [3, 1, 0, 1]);
        assert_eq!(minutes.counts(at(3599))[..4], [3, 1, 0, 1]);
        assert_eq!(minutes.counts(at(3600))[..3], [1, 0, 1]);
        assert_eq!(minutes.counts(at(100_000)), [0; KEPT]);
    }
}

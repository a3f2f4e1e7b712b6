//! How a download is cut into ranges, pure: how far ahead, how large, and what an idle connection takes over.

use std::ops::Range;
use std::time::Duration;

/// Largest range.
const MAX_PART: u64 = 8 << 20;
/// A connection so many times slower than another loses all that it has left.
const MUCH_SLOWER: f64 = 4.0;

/// How many connections, and how many bytes between the client and the farthest of them.
#[derive(Debug, Clone, Copy)]
pub struct Plan {
    connections: usize,
    window: u64,
    /// Smallest range, and the first one.
    part: u64,
}

impl Plan {
    /// A plan by the settings; `None` where `length` bytes are better fetched by one connection.
    pub fn of(connections: usize, window: u64, part: u64, length: u64) -> Option<Self> {
        let room = usize::try_from(window / part).unwrap_or(usize::MAX);
        let connections = connections.min(room);
        (connections > 1 && length >= 2 * part).then_some(Self {
            connections,
            window,
            part,
        })
    }

    /// Connections at the most.
    pub fn connections(self) -> usize {
        self.connections
    }

    /// Bytes between the client and the farthest connection at the most.
    pub fn window(self) -> u64 {
        self.window
    }

    /// How far ahead of a client that took `delivered` bytes may be fetched. What is fetched and not taken is
    /// traffic for nothing, and players look and jump: so no more than was taken, and a first range.
    fn ahead(self, delivered: u64) -> u64 {
        self.part.saturating_add(delivered).min(self.window)
    }

    /// Where the range ends that begins at `front`, the first byte that nobody was sent for; `None` while the
    /// client, who is at `next`, must take more first.
    pub fn part(self, front: u64, next: u64, delivered: u64, end: u64) -> Option<u64> {
        let ahead = self.ahead(delivered);
        let even = ahead / (2 * self.connections as u64);
        let length = even
            .clamp(self.part, MAX_PART.max(self.part))
            .min(end.checked_sub(front)?);
        let until = front + length;
        (length > 0 && until <= next.saturating_add(ahead)).then_some(until)
    }

    /// From where on an idle connection takes over a range of which `rest` is still to come.
    ///
    /// `theirs` and `ours` are bytes per second; `slow` is how long the rest may take. The rest is shared by pace; all
    /// of it goes where the other is much slower.
    pub fn takes_over(self, rest: Range<u64>, theirs: f64, ours: f64, slow: Duration) -> Option<u64> {
        let left = rest.end.checked_sub(rest.start).filter(|&left| left > 0)?;
        if left as f64 <= theirs * slow.as_secs_f64() {
            return None;
        }
        // Where nothing is known of us, we may be as fast.
        let ours = if ours > 0.0 { ours } else { theirs };
        let share = if theirs + ours > 0.0 {
            theirs / (theirs + ours)
        } else {
            0.0
        };
        let keeps = (left as f64 * share) as u64;
        let least = self.part / 4;
        if keeps >= least && left - keeps >= least {
            Some(rest.start + keeps)
        } else {
            (ours >= theirs * MUCH_SLOWER).then_some(rest.start)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MIB: u64 = 1 << 20;
    const SECOND: Duration = Duration::from_secs(1);
    const PART: u64 = MIB / 4;

    fn plan(connections: usize, window: u64) -> Plan {
        Plan::of(connections, window, PART, 1 << 40).unwrap()
    }

    #[test]
    fn one_connection_is_enough_for_little() {
        assert!(Plan::of(1, 16 * MIB, PART, 1 << 30).is_none());
        assert!(Plan::of(4, 16 * MIB, PART, 2 * PART - 1).is_none());
        assert!(Plan::of(4, 1, PART, 1 << 30).is_none());
        assert_eq!(plan(16, MIB).connections(), 4);
    }

    #[test]
    fn nothing_is_fetched_ahead_of_a_client_that_took_nothing_and_the_window_at_last() {
        let plan = plan(4, 16 * MIB);
        assert_eq!(plan.part(PART, 0, 0, 1 << 30), None);
        let half = PART / 2;
        assert_eq!(plan.part(PART, half, half, 1 << 30), Some(2 * PART));
        let much = 64 * MIB;
        assert_eq!(plan.part(much, much, much, 1 << 30), Some(much + 2 * MIB));
        assert_eq!(plan.part(much + 15 * MIB, much, much, 1 << 30), None);
    }

    #[test]
    fn what_would_take_long_is_shared_by_pace_and_a_standstill_loses_all() {
        let plan = plan(4, 16 * MIB);
        assert_eq!(plan.takes_over(0..MIB, 2e6, 2e6, SECOND), None);
        assert_eq!(plan.takes_over(0..MIB, 5e5, 5e5, SECOND), Some(MIB / 2));
        assert_eq!(plan.takes_over(0..MIB, 0.0, 1e6, SECOND), Some(0));
        assert_eq!(plan.takes_over(0..MIB, 0.0, 0.0, SECOND), Some(0));
        assert_eq!(plan.takes_over(0..90_000, 5e4, 6e4, SECOND), None);
        assert_eq!(plan.takes_over(7..90_007, 5e4, 2e6, SECOND), Some(7));
        assert_eq!(plan.takes_over(7..7, 0.0, 2e6, SECOND), None);
    }

    proptest! {
        #[test]
        fn every_range_lies_in_the_window(
            connections in 2usize..17,
            window in 2 * PART..64 * MIB,
            delivered in 0u64..256 * MIB,
            beyond in 0u64..64 * MIB,
        ) {
            let plan = plan(connections, window);
            let (next, end) = (delivered, 1 << 40);
            let front = next + beyond.min(window);
            if let Some(until) = plan.part(front, next, delivered, end) {
                prop_assert!(front < until && until - next <= window);
            } else {
                prop_assert!(front > next, "a client is never left without a range");
            }
        }
    }
}

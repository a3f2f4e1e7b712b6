//! The hosts of the web API: the next one is taken when one cannot be connected to, and kept
//! (API page 1.3). Slow answers and refusals change nothing: another host would say the same, and
//! changing between hosts looks like an attack.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Base URLs in their order, and the one in use.
#[derive(Debug)]
pub struct Hosts {
    bases: Vec<String>,
    current: AtomicUsize,
}

impl Hosts {
    /// Takes base URLs; trailing slashes are dropped.
    pub fn new(bases: &[String]) -> Self {
        Self {
            bases: bases.iter().map(|b| b.trim_end_matches('/').to_owned()).collect(),
            current: AtomicUsize::new(0),
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.bases.len()
    }

    /// The one in use: its number and its base URL, `""` where none is configured.
    pub fn current(&self) -> (usize, &str) {
        let n = self.current.load(Ordering::Relaxed);
        (n, self.bases.get(n).map_or("", String::as_str))
    }

    /// Number `n` cannot be connected to: take the next, unless somebody has done so already.
    pub fn leave(&self, n: usize) {
        let next = (n + 1) % self.bases.len().max(1);
        if next != n
            && self
                .current
                .compare_exchange(n, next, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            let (_, base) = self.current();
            tracing::warn!(
                host = base,
                "a 123pan host cannot be connected to; taking the next one"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_host_is_taken_once_for_all_who_failed_and_kept() {
        let hosts = Hosts::new(&["http://a/".into(), "http://b".into()]);
        assert_eq!(hosts.current(), (0, "http://a"));
        hosts.leave(0);
        hosts.leave(0);
        assert_eq!(hosts.current(), (1, "http://b"));
        hosts.leave(1);
        assert_eq!(hosts.current(), (0, "http://a"));
    }

    #[test]
    fn a_single_host_is_never_left() {
        let hosts = Hosts::new(&["http://a".into()]);
        hosts.leave(0);
        assert_eq!(hosts.current().0, 0);
    }
}

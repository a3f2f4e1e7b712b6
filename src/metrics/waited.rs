//! How long a request has waited for others: for 123pan, its CDN, or the origin of a proxy.
//!
//! The time goes along with the task that answers the request, so that whoever waits need not know for whom. What a
//! task of its own does for several requests is waited for, and counted, by each of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

tokio::task_local! {
    static WAITED: Waited;
}

/// What a request has waited so far.
#[derive(Debug, Clone, Default)]
pub struct Waited(Arc<AtomicU64>);

impl Waited {
    /// The time in all.
    pub fn time(&self) -> Duration {
        Duration::from_micros(self.0.load(Ordering::Relaxed))
    }

    fn add(&self, time: Duration) {
        let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        self.0.fetch_add(micros, Ordering::Relaxed);
    }
}

/// The work of one request, whose waiting is counted. No `async fn`, which would hold the work twice.
pub fn counting<T>(work: impl Future<Output = T>) -> (Waited, impl Future<Output = T>) {
    let waited = Waited::default();
    (waited.clone(), WAITED.scope(waited, work))
}

/// Counts the time until `other` has answered; outside of [`counting`] it counts nothing.
pub async fn waiting<T>(other: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let answer = other.await;
    // Outside of a request there is nobody to tell.
    let _ = WAITED.try_with(|waited| waited.add(begun.elapsed()));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_waited_for_one_after_the_other_adds_up_and_own_work_does_not_count() {
        let pause = Duration::from_millis(20);
        let (waited, work) = counting(async {
            waiting(tokio::time::sleep(pause)).await;
            tokio::time::sleep(10 * pause).await;
            waiting(async {
                tokio::time::sleep(pause).await;
                7
            })
            .await
        });
        assert_eq!(work.await, 7);
        let waited = waited.time();
        assert!(waited >= 2 * pause && waited < 10 * pause, "{waited:?}");
        assert_eq!(waiting(async { 8 }).await, 8);
    }
}

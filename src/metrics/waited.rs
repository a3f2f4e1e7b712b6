//! How long a request has waited for others: for 123pan, its CDN, or the origin of a proxy.
//!
//! The time goes along with the task that answers the request, so that whoever waits need not know for whom. What a
//! task of its own does for several requests is waited for, and counted, by each of them.

use std::cell::Cell;
use std::time::{Duration, Instant};

use futures_util::FutureExt;

tokio::task_local! {
    static WAITED: Cell<Duration>;
}

/// The work of one request, with the time that it has waited. No `async fn`, which would hold the work twice.
pub fn counting<T>(work: impl Future<Output = T>) -> impl Future<Output = (T, Duration)> {
    let counted = work.map(|done| (done, WAITED.with(Cell::get)));
    WAITED.scope(Cell::default(), counted)
}

/// Counts the time until `other` has answered; outside of [`counting`] it counts nothing.
pub async fn waiting<T>(other: impl Future<Output = T>) -> T {
    let begun = Instant::now();
    let answer = other.await;
    // Outside of a request there is nobody to tell.
    let _ = WAITED.try_with(|waited| waited.set(waited.get() + begun.elapsed()));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_waited_for_one_after_the_other_adds_up_and_own_work_does_not_count() {
        let pause = Duration::from_millis(20);
        let work = counting(async {
            waiting(tokio::time::sleep(pause)).await;
            tokio::time::sleep(10 * pause).await;
            waiting(async {
                tokio::time::sleep(pause).await;
                7
            })
            .await
        });
        let (done, waited) = work.await;
        assert_eq!(done, 7);
        assert!(waited >= 2 * pause && waited < 10 * pause, "{waited:?}");
        assert_eq!(waiting(async { 8 }).await, 8);
    }
}

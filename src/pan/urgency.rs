//! Who waits for a call: a person, or nobody.
//!
//! What nobody waits for (uploads sent behind, warming up) goes through the same gates, but steps
//! back for what somebody waits for. The urgency belongs to the task and everything it awaits; a task
//! that is spawned must be given it: [`Urgency::scope`]. When somebody joins work that was begun in
//! the background, [`Urgency::joined`] makes it urgent from then on.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;

tokio::task_local! {
    static CURRENT: Urgency;
}

/// The urgency of a piece of work. The default: somebody waits for it.
#[derive(Debug, Clone, Default)]
pub struct Urgency(
    /// `None`: urgent from the beginning. Else whether it has become so.
    Option<Arc<watch::Sender<bool>>>,
);

/// Runs work that nobody waits for: its calls to 123pan go after all others, and are given up after a
/// patience of their own.
pub async fn in_background<F: Future>(work: F) -> F::Output {
    Urgency(Some(Arc::new(watch::Sender::new(false))))
        .scope(work)
        .await
}

impl Urgency {
    /// The urgency of the running task.
    pub fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }

    /// Whether nobody waits for it.
    pub fn is_background(&self) -> bool {
        self.0.as_ref().is_some_and(|hurried| !*hurried.borrow())
    }

    /// Runs work under this urgency: for a task that is spawned on behalf of another.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// The running task waits for this work from now on: where somebody waits for the task, the
    /// work becomes urgent for good.
    pub fn joined(&self) {
        if let Some(hurried) = &self.0
            && !Self::current().is_background()
        {
            hurried.send_replace(true);
        }
    }

    /// Returns when somebody waits for it.
    pub(super) async fn hurried(&self) {
        if let Some(hurried) = &self.0 {
            // The sender is ours, so it is there.
            let _ = hurried.subscribe().wait_for(|hurried| *hurried).await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn background_work_becomes_urgent_when_somebody_joins_it_and_not_when_nobody_does() {
        assert!(!Urgency::current().is_background());
        in_background(async {
            let work = Urgency::current();
            assert!(work.is_background());
            in_background(async { work.joined() }).await;
            assert!(work.is_background());
            let spawned = tokio::spawn(work.clone().scope(async { Urgency::current().is_background() }));
            assert_eq!(spawned.await.ok(), Some(true));
            let other = work.clone();
            let _ = tokio::spawn(async move { other.joined() }).await;
            work.hurried().await;
            assert!(!work.is_background());
        })
        .await;
    }
}

//! Who waits for a call: a person, or nobody.
//!
//! What nobody waits for (uploads sent behind, warming up) goes through the same gates, but steps
//! back for what somebody waits for. The urgency belongs to the task and everything it awaits; a task
//! that is spawned must be given it: [`Urgency::scope`]. When somebody joins work that was begun in
//! the background, [`Urgency::joined`] makes it urgent from then on. When all who waited for it have
//! left, [`Urgency::abandon`] takes its calls out of the queues.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::watch;

tokio::task_local! {
    static CURRENT: Urgency;
}

/// The urgency of a piece of work. The default: somebody waits for it, and that does not change.
#[derive(Debug, Clone, Default)]
pub struct Urgency(Option<Arc<watch::Sender<Who>>>);

/// Who waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    Somebody,
    Nobody,
    /// Nobody any more: it need not be done.
    Gone,
}

/// Runs work that nobody waits for: its calls to 123pan go after all others, and are given up after a
/// patience of their own.
pub async fn in_background<F: Future>(work: F) -> F::Output {
    Urgency::nobody().scope(work).await
}

impl Urgency {
    fn new(who: Who) -> Self {
        Self(Some(Arc::new(watch::Sender::new(who))))
    }

    /// For work that is begun though nobody waits for it.
    pub fn nobody() -> Self {
        Self::new(Who::Nobody)
    }

    /// The urgency of the running task.
    pub fn current() -> Self {
        CURRENT.try_with(Clone::clone).unwrap_or_default()
    }

    /// For work that is begun on behalf of the running task and may be joined or abandoned apart from
    /// it.
    pub fn of_its_own() -> Self {
        Self::new(match Self::current().is_background() {
            true => Who::Nobody,
            false => Who::Somebody,
        })
    }

    fn who(&self) -> Who {
        self.0.as_ref().map_or(Who::Somebody, |who| *who.borrow())
    }

    /// Whether nobody waits for it.
    pub fn is_background(&self) -> bool {
        self.who() != Who::Somebody
    }

    /// Whether all who waited have left, and nobody has come since.
    pub fn is_abandoned(&self) -> bool {
        self.who() == Who::Gone
    }

    /// Runs work under this urgency: for a task that is spawned on behalf of another.
    pub async fn scope<F: Future>(self, work: F) -> F::Output {
        CURRENT.scope(self, work).await
    }

    /// The running task waits for this work from now on: where somebody waits for the task, the
    /// work becomes urgent.
    pub fn joined(&self) {
        if let Some(who) = &self.0 {
            let joining = Self::current().who();
            who.send_if_modified(|who| {
                let changes = *who == Who::Gone || (*who == Who::Nobody && joining == Who::Somebody);
                if changes {
                    *who = joining;
                }
                changes
            });
        }
    }

    /// All who waited have left: calls that wait for their turn are not made, unless somebody joins
    /// before they notice.
    pub fn abandon(&self) {
        if let Some(who) = &self.0 {
            who.send_replace(Who::Gone);
        }
    }

    /// Returns when somebody waits for it.
    pub async fn hurried(&self) {
        self.becomes(Who::Somebody).await;
    }

    /// Returns when it is abandoned.
    pub(super) async fn abandoned(&self) {
        self.becomes(Who::Gone).await;
    }

    async fn becomes(&self, wanted: Who) {
        match &self.0 {
            // The sender is ours, so it is there.
            Some(who) => drop(who.subscribe().wait_for(|who| *who == wanted).await),
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn background_work_becomes_urgent_when_somebody_joins_it_and_not_when_nobody_does() {
        assert!(!Urgency::current().is_background());
        assert!(!Urgency::of_its_own().is_background());
        in_background(async {
            let work = Urgency::of_its_own();
            assert!(work.is_background());
            in_background(async { work.joined() }).await;
            assert!(work.is_background());
            let spawned = tokio::spawn(work.clone().scope(async { Urgency::current().is_background() }));
            assert_eq!(spawned.await.ok(), Some(true));
            let other = work.clone();
            let _ = tokio::spawn(async move { other.joined() }).await;
            work.hurried().await;
            assert!(!work.is_background());
            work.abandon();
            work.abandoned().await;
            assert!(work.is_background());
            work.joined();
            assert_eq!(work.who(), Who::Nobody);
        })
        .await;
    }
}

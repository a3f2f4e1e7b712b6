//! Which form of an escaped path the CDN hashes (API page 9.2, question 25).
//!
//! Decoded until something else is found out. A probe that the CDN accepts proves a form; a refused link
//! flips it once for the run of the process, and the next escaped path asks the CDN again.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::time::{Duration, Instant};

use crate::pan::direct::PathForm;

/// What is known about the form.
#[derive(Debug, Default)]
pub(super) struct FormMemory {
    state: Mutex<State>,
    /// Held by the one who asks the CDN for the form.
    pub(super) deciding: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    form: PathForm,
    proven: bool,
    flipped: bool,
    /// When the question had no answer the last time.
    unanswered: Option<Instant>,
}

impl FormMemory {
    /// The form to sign with.
    pub(super) fn current(&self) -> PathForm {
        self.lock().form
    }

    /// Whether the CDN has accepted a path signed in it.
    pub(super) fn is_proven(&self) -> bool {
        self.lock().proven
    }

    /// The CDN accepted an escaped path signed in `form`.
    pub(super) fn prove(&self, form: PathForm) {
        let mut state = self.lock();
        state.form = form;
        state.proven = true;
    }

    /// Whether the CDN should be asked now.
    pub(super) fn is_open(&self, pause: Duration) -> bool {
        let state = self.lock();
        !state.proven && state.unanswered.is_none_or(|at| at.elapsed() >= pause)
    }

    /// The CDN was asked, and its answer says nothing about the form.
    pub(super) fn unanswered(&self) {
        self.lock().unanswered = Some(Instant::now());
    }

    /// A link signed in `refused` was refused: turns to the other form, the first time.
    pub(super) fn flip(&self, refused: PathForm) {
        let mut state = self.lock();
        if state.form == refused && !state.flipped {
            state.form = refused.other();
            state.proven = false;
            state.flipped = true;
            state.unanswered = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_flips_the_form_once_and_only_from_the_form_refused() {
        let memory = FormMemory::default();
        memory.flip(PathForm::AsWritten);
        assert_eq!(memory.current(), PathForm::Decoded);
        memory.flip(PathForm::Decoded);
        assert_eq!(memory.current(), PathForm::AsWritten);
        memory.flip(PathForm::Decoded);
        assert_eq!(memory.current(), PathForm::AsWritten);
        memory.flip(PathForm::AsWritten);
        assert_eq!(memory.current(), PathForm::AsWritten);
    }

    #[test]
    fn an_unanswered_question_waits_and_a_proof_closes_it() {
        let memory = FormMemory::default();
        assert!(memory.is_open(Duration::from_secs(60)));
        memory.unanswered();
        assert!(!memory.is_open(Duration::from_secs(60)));
        assert!(memory.is_open(Duration::ZERO));
        memory.prove(PathForm::AsWritten);
        assert!(!memory.is_open(Duration::ZERO));
        assert!(memory.is_proven());
    }
}

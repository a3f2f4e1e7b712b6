//! Sizes and times that the list does not give: asked from the CDN once, when their folder is listed.
//!
//! One cell a file that misses something; its lock makes two listings share one question. At most
//! [`AT_ONCE`] questions are out over the whole drive. What was found stays for the run of the process; a
//! failure is not repeated before [`Timing::retry`]. A pass that gets nothing but silence stops asking after
//! [`Timing::patience`], so that a dead CDN costs a listing seconds, not minutes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::Semaphore;
use tokio::time::{Duration, Instant, timeout, timeout_at};

use super::cdn::Cdn;
use crate::pan::direct::{Answer, Content, Facts, Failure, FileLine, LinkList};

/// Questions to the CDN at the same time, over the whole drive.
pub(super) const AT_ONCE: usize = 4;

/// How long things may take, and when they are tried again.
#[derive(Debug, Clone, Copy)]
pub(super) struct Timing {
    /// One file's questions together.
    pub(super) probe: Duration,
    /// A pass without any good answer.
    pub(super) patience: Duration,
    /// From a failure to the next try.
    pub(super) retry: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            probe: Duration::from_secs(10),
            patience: Duration::from_secs(12),
            retry: Duration::from_secs(60),
        }
    }
}

/// What was found out, by node number.
#[derive(Debug)]
pub(super) struct FactTable {
    cells: HashMap<usize, Cell>,
    permits: Semaphore,
    /// When a pass gave up for lack of answers.
    silent: Mutex<Option<Instant>>,
    timing: Timing,
}

#[derive(Debug, Default)]
struct Cell {
    flight: tokio::sync::Mutex<()>,
    found: Mutex<Found>,
}

#[derive(Debug, Clone, Copy, Default)]
enum Found {
    #[default]
    Unasked,
    Known(Facts),
    Failed(Instant),
}

impl FactTable {
    /// A table with a cell for each file whose line leaves something open.
    pub(super) fn new(list: &LinkList, timing: Timing) -> Self {
        let cells = list
            .files()
            .filter(|(_, _, file)| file.size.is_none() || file.modified.is_none())
            .map(|(number, _, _)| (number, Cell::default()))
            .collect();
        Self {
            cells,
            permits: Semaphore::new(AT_ONCE),
            silent: Mutex::new(None),
            timing,
        }
    }

    /// Size and time of a file, as far as the list and the CDN have told them.
    pub(super) fn of(&self, number: usize, file: &FileLine) -> Facts {
        let given = Facts {
            size: file.size,
            modified: file.modified,
        };
        let Some(Found::Known(found)) = self.cells.get(&number).map(Cell::found) else {
            return given;
        };
        if file.lone_time
            && found.size.is_some()
            && found.size == file.modified.and_then(|n| n.try_into().ok())
        {
            return found;
        }
        Facts {
            size: given.size.or(found.size),
            modified: given.modified.or(found.modified),
        }
    }

    /// Asks for what is not known about these nodes, and returns when that is known or will not be.
    pub(super) async fn complete(&self, numbers: &[usize], list: &LinkList, cdn: &Cdn) {
        if self.silence().is_some_and(|at| at.elapsed() < self.timing.retry) {
            return;
        }
        let mut asked: FuturesUnordered<_> = numbers
            .iter()
            .filter_map(|&number| {
                let cell = self.cells.get(&number)?;
                let node = list.nodes().get(number)?;
                match &node.content {
                    Content::File(file) if cell.is_due(self.timing.retry) => {
                        Some(self.ask(cell, &node.name, file, cdn))
                    }
                    _ => None,
                }
            })
            .collect();
        let mut deadline = Instant::now() + self.timing.patience;
        loop {
            match timeout_at(deadline, asked.next()).await {
                Ok(Some(true)) => deadline = Instant::now() + self.timing.patience,
                Ok(Some(false)) => {}
                Ok(None) => return,
                Err(_) => {
                    tracing::warn!(
                        "The CDN of the direct links does not answer: sizes and times that the list does not give are missing."
                    );
                    *self.silence() = Some(Instant::now());
                    return;
                }
            }
        }
    }

    /// Asks for one file; true if there was an answer.
    async fn ask(&self, cell: &Cell, name: &str, file: &FileLine, cdn: &Cdn) -> bool {
        let _flight = cell.flight.lock().await;
        if !cell.is_due(self.timing.retry) {
            return matches!(cell.found(), Found::Known(_));
        }
        let Ok(_permit) = self.permits.acquire().await else {
            return false;
        };
        let answer = timeout(self.timing.probe, cdn.probe(name, file))
            .await
            .unwrap_or(Answer::Failed(Failure::NoAnswer));
        let found = match answer {
            // A size that stays open is worth another try later.
            Answer::Accepted(facts) if facts.size.is_some() || file.size.is_some() => {
                if let (Some(listed), Some(real)) = (file.size, facts.size)
                    && listed != real
                {
                    tracing::warn!(
                        "Line {} of the direct links says {listed} bytes, the CDN says {real}: correct the list.",
                        file.line
                    );
                }
                Found::Known(facts)
            }
            _ => Found::Failed(Instant::now()),
        };
        cell.set(found);
        matches!(found, Found::Known(_))
    }

    fn silence(&self) -> MutexGuard<'_, Option<Instant>> {
        self.silent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Cell {
    fn found(&self) -> Found {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, found: Found) {
        *self.found.lock().unwrap_or_else(PoisonError::into_inner) = found;
    }

    fn is_due(&self, retry: Duration) -> bool {
        match self.found() {
            Found::Unasked => true,
            Found::Known(_) => false,
            Found::Failed(at) => at.elapsed() >= retry,
        }
    }
}

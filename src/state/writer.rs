//! The one thread that writes: it commits what is waiting in one transaction, puts it into memory, and then tells all
//! who wait.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use redb::Database;
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::sync::oneshot;

use super::memory::{Change, Draft, Memory};
use super::{Name, PROPERTIES, Pending, QUEUE, StateError, TIMES};

/// Requests that may wait; who comes later waits for a place.
const QUEUE_BOUND: usize = 1024;
/// Pause between two tries to open the file again.
const PAUSE: Duration = Duration::from_secs(1);
/// Requests in one transaction at the most.
const GROUP: usize = 256;

/// What is to be changed. What it means depends on what was committed before it.
#[derive(Debug, Clone)]
pub(super) enum Request {
    Time {
        drive: String,
        file: i64,
        time: Option<i64>,
    },
    Properties {
        drive: String,
        file: i64,
        changes: Vec<(Name, Option<Vec<u8>>)>,
    },
    Forget {
        drive: String,
        file: i64,
    },
    Copy {
        drive: String,
        from: i64,
        to: i64,
    },
    Push(Pending),
    Update(u64, Pending),
    Done(u64),
}

/// Why a request was not carried out.
#[derive(Debug, Clone)]
pub(super) enum Refusal {
    TooLarge,
    Write(String),
}

impl From<Refusal> for StateError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::TooLarge => Self::TooLarge,
            Refusal::Write(why) => Self::Write(why),
        }
    }
}

struct Job {
    request: Request,
    done: oneshot::Sender<Result<u64, Refusal>>,
}

/// The way to the thread. Dropping it ends the thread after what is waiting.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: Sender<Job>,
}

impl Writer {
    pub(super) fn start(database: Database, path: PathBuf, memory: Arc<RwLock<Memory>>) -> Self {
        let (jobs, waiting) = channel(QUEUE_BOUND);
        std::thread::spawn(move || run(database, &path, &memory, waiting));
        Self { jobs }
    }

    /// Carries a request out, after all that were made before it; ends when it is on the disk and in memory.
    pub(super) async fn write(&self, request: Request) -> Result<u64, StateError> {
        let ended = || StateError::Write("the writer has ended".to_owned());
        let (done, outcome) = oneshot::channel();
        let job = Job { request, done };
        self.jobs.send(job).await.map_err(|_| ended())?;
        Ok(outcome.await.map_err(|_| ended())??)
    }
}

fn run(mut database: Database, path: &Path, memory: &RwLock<Memory>, mut waiting: Receiver<Job>) {
    while let Some(first) = waiting.blocking_recv() {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(next) = waiting.try_recv()
        {
            group.push(next);
        }
        let mut outcomes = carry_out(&database, memory, requests(&group));
        if outcomes.is_err() {
            // After a failure of the disk redb wants the file to be opened again; the disk may have room by now.
            drop(database);
            database = reopen(path, &mut group);
            outcomes = carry_out(&database, memory, requests(&group));
        }
        match outcomes {
            Ok(outcomes) => {
                for (job, outcome) in group.into_iter().zip(outcomes) {
                    // Whoever waited may have gone.
                    let _ = job.done.send(outcome);
                }
            }
            Err(error) => refuse(&mut group, &error.to_string()),
        }
    }
}

/// Opens the file again, as often as it takes. Those who wait are told after the first failure.
fn reopen(path: &Path, group: &mut Vec<Job>) -> Database {
    loop {
        match super::open(path) {
            Ok(database) => return database,
            Err(error) => {
                tracing::error!(%error, "the state cannot be opened again");
                refuse(group, &error.to_string());
                std::thread::sleep(PAUSE);
            }
        }
    }
}

fn refuse(group: &mut Vec<Job>, why: &str) {
    for job in group.drain(..) {
        let _ = job.done.send(Err(Refusal::Write(why.to_owned())));
    }
}

fn requests(group: &[Job]) -> impl Iterator<Item = Request> {
    group.iter().map(|job| job.request.clone())
}

/// Commits what a group asks for, then shows it; the outcome of each.
pub(super) fn carry_out(
    database: &Database,
    memory: &RwLock<Memory>,
    group: impl Iterator<Item = Request>,
) -> Result<Vec<Result<u64, Refusal>>, redb::Error> {
    let (outcomes, changes) = {
        let memory = memory.read().unwrap_or_else(PoisonError::into_inner);
        let mut draft = Draft::new(&memory);
        let outcomes: Vec<_> = group.map(|request| draft.add(request)).collect();
        (outcomes, draft.into_changes())
    };
    if !changes.is_empty() {
        commit(database, &changes)?;
        let mut memory = memory.write().unwrap_or_else(PoisonError::into_inner);
        changes.into_iter().for_each(|change| memory.apply(change));
    }
    Ok(outcomes)
}

fn commit(database: &Database, changes: &[Change]) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    {
        let mut times = write.open_table(TIMES)?;
        let mut properties = write.open_table(PROPERTIES)?;
        let mut queue = write.open_table(QUEUE)?;
        for change in changes {
            match change {
                Change::Time(drive, file, Some(time)) => drop(times.insert((drive.as_str(), *file), time)?),
                Change::Time(drive, file, None) => drop(times.remove((drive.as_str(), *file))?),
                Change::Properties(drive, file, Some(rows)) => {
                    drop(properties.insert((drive.as_str(), *file), rows.encode().as_slice())?);
                }
                Change::Properties(drive, file, None) => {
                    drop(properties.remove((drive.as_str(), *file))?);
                }
                Change::Queue(sequence, Some(row)) => {
                    // Strings and numbers only: it cannot fail.
                    let bytes = serde_json::to_vec(row).unwrap_or_default();
                    drop(queue.insert(sequence, bytes.as_slice())?);
                }
                Change::Queue(sequence, None) => drop(queue.remove(sequence)?),
            }
        }
    }
    write.commit()?;
    Ok(())
}

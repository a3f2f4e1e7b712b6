//! The one thread that writes: it commits what is waiting in one transaction and then tells all who wait.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::time::Duration;

use redb::Database;
use tokio::sync::oneshot;

use super::{PROPERTIES, QUEUE, StateError, TIMES};

/// Changes that may wait; who comes later waits for a place.
const QUEUE_BOUND: usize = 1024;
/// Pause between two tries to open the file again.
const PAUSE: Duration = Duration::from_secs(1);
/// Changes in one transaction at the most.
const GROUP: usize = 256;

/// One change of one row.
#[derive(Debug)]
pub(super) enum Change {
    Time(String, i64, Option<i64>),
    Properties(String, i64, Option<Vec<u8>>),
    Queue(u64, Option<Vec<u8>>),
}

struct Job {
    changes: Vec<Change>,
    done: oneshot::Sender<Result<(), String>>,
}

/// The way to the thread. Dropping it ends the thread after what is waiting.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: SyncSender<Job>,
}

impl Writer {
    pub(super) fn start(database: Database, path: PathBuf) -> Self {
        let (jobs, waiting) = sync_channel(QUEUE_BOUND);
        std::thread::spawn(move || run(database, &path, &waiting));
        Self { jobs }
    }

    /// Takes the changes in the order of the calls; the future ends when they are on the disk.
    pub(super) fn write(
        &self,
        changes: Vec<Change>,
    ) -> impl Future<Output = Result<(), StateError>> + Send + use<> {
        let (done, outcome) = oneshot::channel();
        let sent = self.jobs.send(Job { changes, done });
        async move {
            sent.map_err(|_| StateError::Write("the writer has ended".to_owned()))?;
            match outcome.await {
                Ok(outcome) => outcome.map_err(StateError::Write),
                Err(_) => Err(StateError::Write("the writer has ended".to_owned())),
            }
        }
    }
}

fn run(mut database: Database, path: &Path, waiting: &Receiver<Job>) {
    while let Ok(first) = waiting.recv() {
        let mut group = vec![first];
        while group.len() < GROUP
            && let Ok(next) = waiting.try_recv()
        {
            group.push(next);
        }
        let mut outcome = commit(&database, &group).map_err(|error| error.to_string());
        if outcome.is_err() {
            // After a failure of the disk redb wants the file to be opened again; the disk may have room by now.
            drop(database);
            database = reopen(path, &mut group);
            outcome = commit(&database, &group).map_err(|error| error.to_string());
        }
        for job in group {
            // Whoever waited may have gone.
            let _ = job.done.send(outcome.clone());
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
                for job in group.drain(..) {
                    let _ = job.done.send(Err(error.to_string()));
                }
                std::thread::sleep(PAUSE);
            }
        }
    }
}

fn commit(database: &Database, group: &[Job]) -> Result<(), redb::Error> {
    let write = database.begin_write()?;
    {
        let mut times = write.open_table(TIMES)?;
        let mut properties = write.open_table(PROPERTIES)?;
        let mut queue = write.open_table(QUEUE)?;
        for change in group.iter().flat_map(|job| &job.changes) {
            match change {
                Change::Time(drive, file, Some(time)) => drop(times.insert((drive.as_str(), *file), time)?),
                Change::Time(drive, file, None) => drop(times.remove((drive.as_str(), *file))?),
                Change::Properties(drive, file, Some(bytes)) => {
                    drop(properties.insert((drive.as_str(), *file), bytes.as_slice())?);
                }
                Change::Properties(drive, file, None) => {
                    drop(properties.remove((drive.as_str(), *file))?);
                }
                Change::Queue(sequence, Some(bytes)) => drop(queue.insert(sequence, bytes.as_slice())?),
                Change::Queue(sequence, None) => drop(queue.remove(sequence)?),
            }
        }
    }
    write.commit()?;
    Ok(())
}

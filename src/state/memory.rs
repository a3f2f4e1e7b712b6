//! The rows as they are on the disk, and the changes that lead from one state of them to the next.

use std::collections::{BTreeMap, HashMap};

use super::rows::Properties;
use super::writer::{Refusal, Request};
use super::{PROPERTY_BOUND, Pending};

/// All rows that were committed.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) times: HashMap<String, HashMap<i64, i64>>,
    pub(super) properties: HashMap<String, HashMap<i64, Properties>>,
    pub(super) queue: BTreeMap<u64, Pending>,
    /// The next sequence.
    pub(super) next: u64,
}

/// A change of one row; `None` removes it.
#[derive(Debug)]
pub(super) enum Change {
    Time(String, i64, Option<i64>),
    Properties(String, i64, Option<Properties>),
    Queue(u64, Option<Pending>),
}

impl Memory {
    /// Takes over a change that was committed.
    pub(super) fn apply(&mut self, change: Change) {
        match change {
            Change::Time(drive, file, Some(time)) => {
                self.times.entry(drive).or_default().insert(file, time);
            }
            Change::Time(drive, file, None) => {
                self.times.entry(drive).or_default().remove(&file);
            }
            Change::Properties(drive, file, Some(properties)) => {
                self.properties.entry(drive).or_default().insert(file, properties);
            }
            Change::Properties(drive, file, None) => {
                self.properties.entry(drive).or_default().remove(&file);
            }
            Change::Queue(sequence, Some(row)) => {
                self.next = self.next.max(sequence + 1);
                self.queue.insert(sequence, row);
            }
            Change::Queue(sequence, None) => {
                self.queue.remove(&sequence);
            }
        }
    }
}

/// The rows as they will be when the changes so far are committed.
#[derive(Debug)]
pub(super) struct Draft<'a> {
    memory: &'a Memory,
    changes: Vec<Change>,
    next: u64,
}

impl<'a> Draft<'a> {
    pub(super) fn new(memory: &'a Memory) -> Self {
        Self {
            memory,
            changes: Vec::new(),
            next: memory.next,
        }
    }

    pub(super) fn into_changes(self) -> Vec<Change> {
        self.changes
    }

    /// Adds what a request asks for; the sequence where it puts a file into the queue.
    pub(super) fn add(&mut self, request: Request) -> Result<u64, Refusal> {
        match request {
            Request::Time { drive, file, time } => self.changes.push(Change::Time(drive, file, time)),
            Request::Properties { drive, file, changes } => {
                let mut properties = self.properties(&drive, file).cloned().unwrap_or_default();
                for (name, xml) in changes {
                    properties.set(name, xml);
                }
                if properties.encode().len() > PROPERTY_BOUND {
                    return Err(Refusal::TooLarge);
                }
                let properties = Some(properties).filter(|properties| !properties.is_empty());
                self.changes.push(Change::Properties(drive, file, properties));
            }
            Request::Forget { drive, file } => {
                if self.time(&drive, file).is_some() {
                    self.changes.push(Change::Time(drive.clone(), file, None));
                }
                if self.properties(&drive, file).is_some() {
                    self.changes.push(Change::Properties(drive, file, None));
                }
            }
            Request::Copy { drive, from, to } => self.copy(drive, from, to),
            Request::Push(row) => {
                let sequence = self.next;
                self.next += 1;
                self.changes.push(Change::Queue(sequence, Some(row)));
                return Ok(sequence);
            }
            Request::Update(sequence, row) => {
                if self.has_queued(sequence) {
                    self.changes.push(Change::Queue(sequence, Some(row)));
                }
            }
            Request::Done(sequence) => {
                if self.has_queued(sequence) {
                    self.changes.push(Change::Queue(sequence, None));
                }
            }
        }
        Ok(0)
    }

    fn copy(&mut self, drive: String, from: i64, to: i64) {
        if let Some(time) = self.time(&drive, from) {
            self.changes.push(Change::Time(drive.clone(), to, Some(time)));
        }
        let Some(properties) = self.properties(&drive, from).cloned() else {
            return;
        };
        // What the other id has already stays, unless this one names it too.
        let mut merged = self.properties(&drive, to).cloned().unwrap_or_default();
        for (name, xml) in properties.all() {
            merged.set(name, Some(xml));
        }
        self.changes.push(Change::Properties(drive, to, Some(merged)));
    }

    fn time(&self, of: &str, at: i64) -> Option<i64> {
        for change in self.changes.iter().rev() {
            match change {
                Change::Time(drive, file, time) if *file == at && drive == of => return *time,
                _ => {}
            }
        }
        self.memory.times.get(of)?.get(&at).copied()
    }

    fn properties(&self, of: &str, at: i64) -> Option<&Properties> {
        for change in self.changes.iter().rev() {
            match change {
                Change::Properties(drive, file, properties) if *file == at && drive == of => {
                    return properties.as_ref();
                }
                _ => {}
            }
        }
        self.memory.properties.get(of)?.get(&at)
    }

    fn has_queued(&self, at: u64) -> bool {
        for change in self.changes.iter().rev() {
            match change {
                Change::Queue(sequence, row) if *sequence == at => return row.is_some(),
                _ => {}
            }
        }
        self.memory.queue.contains_key(&at)
    }
}

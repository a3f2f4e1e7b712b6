//! Files that are ours alone so far: received, shown and readable, but not at 123pan yet.
//!
//! Each has a row in the state store and, unless it is empty, a file in the spool; both are on the disk before the
//! client is answered, so that a crash loses nothing. They are shown as entries with negative ids, in front of the drive's
//! entry of the same name. One task sends them, oldest first, two at once, with a growing pause after a failure:
//! nothing that was acknowledged is ever given up.

use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::change::Place;
use super::flight::lock;
use super::put::md5_of_nothing;
use super::spool::Spooled;
use super::waiting::{Times, Waiting};
use super::{Resource, Tree, TreePath};
use crate::clock::unix_now;
use crate::drive::{Content, Entry, Error, ErrorKind, Id, Kind, in_background};
use crate::state::Pending as Row;

/// How long an empty file waits for the body that Explorer and Finder put behind it.
const EMPTY_WAIT: Duration = Duration::from_secs(5);
/// How long an empty file waits whose name is locked: until UNLOCK, or this.
const LOCKED_WAIT: Duration = Duration::from_secs(600);
/// The longest that the body of a file may take while its empty forerunner is kept back.
const LONGEST_BODY: Duration = Duration::from_secs(24 * 3600);
/// How long the properties of a file that was sent stay under its old id.
const STRAGGLERS: Duration = Duration::from_secs(30);
/// Files sent at once.
const AT_ONCE: usize = 2;
/// Pause after the first failure; doubled by each further one.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
/// The longest pause between two tries.
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// Keeps an empty file back while its body is received; dropping it lets it go.
#[derive(Debug)]
pub(super) struct Parked {
    tree: Arc<Tree>,
    place: Place,
}

impl Parked {
    pub(super) fn new(tree: &Arc<Tree>, place: &Place) -> Self {
        tree.pending.park(place, LONGEST_BODY);
        Self {
            tree: tree.clone(),
            place: place.clone(),
        }
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        self.tree.pending.park(&self.place, EMPTY_WAIT);
    }
}

impl Tree {
    /// Shows a file that is complete in the spool, and sends it behind.
    pub(super) async fn queue(
        self: &Arc<Self>,
        place: Place,
        content: Spooled,
        modified: Option<i64>,
    ) -> Result<Resource, Error> {
        let wait = first_wait(&content);
        self.queue_for(place, content, modified, wait).await
    }

    async fn queue_for(
        self: &Arc<Self>,
        place: Place,
        content: Spooled,
        modified: Option<i64>,
        wait: Duration,
    ) -> Result<Resource, Error> {
        content.sync().await?;
        let row = Row {
            drive: place.mount.identity(),
            mount: place.mount.path.to_string(),
            parent: place.folder.0,
            path: place.path.to_string(),
            name: place.name.clone(),
            size: content.size(),
            md5: content.md5(),
            modified,
            received: unix_now(),
            spool: content.name(),
        };
        let sequence = self.state.push(row.clone()).await.map_err(state_error)?;
        Ok(self.wait_for(sequence, place, Arc::new(content), row, wait).await)
    }

    async fn wait_for(
        self: &Arc<Self>,
        sequence: u64,
        place: Place,
        content: Arc<Spooled>,
        row: Row,
        wait: Duration,
    ) -> Resource {
        let entry = Entry {
            id: Id(-i64::try_from(sequence).unwrap_or(i64::MAX) - 1),
            name: place.name.as_str().into(),
            kind: Kind::File,
            size: Some(content.size()),
            modified: row.modified.unwrap_or(row.received),
            created: row.received,
            md5: Some(content.md5()),
            locator: Arc::from(""),
        };
        let waiting = Arc::new(Waiting {
            sequence,
            place: place.clone(),
            entry: entry.clone(),
            content,
            row,
            times: Mutex::new(Times {
                due: Instant::now() + wait,
                running: false,
                attempts: 0,
            }),
            cancelled: CancellationToken::new(),
        });
        if let Some(old) = self.pending.insert(waiting)
            && let Err(error) = self.hand_over(&old, entry.id).await
        {
            tracing::warn!(%error, "the properties of a replaced file were lost");
        }
        Resource {
            path: place.path,
            mount: Some(place.mount),
            entry: Arc::new(entry),
        }
    }

    /// Shows an empty file that no drive knows: for LOCK on a free name. It becomes real when it is put, or when
    /// the client is done with it ([`Tree::settle`]).
    ///
    /// # Errors
    /// As [`Tree::receive`]; `Exists` where the name is taken.
    pub async fn hold(self: &Arc<Self>, path: &TreePath) -> Result<Resource, Error> {
        let place = self.place(path).await?;
        place.mount.drive.accepts_name(&place.name)?;
        if self.member(&place).await?.is_some() {
            return Err(super::change::exists());
        }
        let nothing = self
            .spool
            .receive(Some(0))
            .await?
            .finish(Some(md5_of_nothing()))
            .await?;
        self.queue_for(place, nothing, None, LOCKED_WAIT).await
    }

    /// The client is done with a held or empty file (UNLOCK): it becomes a real empty file now.
    pub fn settle(&self, path: &TreePath) {
        self.pending.hurry(path, true);
    }

    /// A file was stored at a place: what waited there before is done with.
    pub(super) async fn replace_pending(
        self: &Arc<Self>,
        place: &Place,
        stored: &Entry,
    ) -> Result<(), Error> {
        if let Some(old) = self.pending.replaced_by(place, stored) {
            self.hand_over(&old, stored.id).await?;
        }
        Ok(())
    }

    /// A file goes on under another id: its properties follow. They are copied before it is hidden, so that nobody sees
    /// it without them, and what was changed in between is changed when it is. Whoever changes one later sees
    /// that the file has gone, and follows it himself (`kept`).
    async fn hand_over(self: &Arc<Self>, waiting: &Arc<Waiting>, to: Id) -> Result<(), Error> {
        let mount = waiting.place.mount.clone();
        let id = waiting.entry.id;
        let before = self.kept(&mount, id);
        self.adopt_state(&mount, id, to).await?;
        waiting.cancelled.cancel();
        self.pending.remove(waiting);
        let followed = self.change_since(&mount, id, before, to).await;
        self.give_up(waiting).await;
        // Whoever found the file under its old id may still be reading.
        let tree = self.clone();
        tokio::spawn(async move {
            tokio::time::sleep(STRAGGLERS).await;
            if let Err(error) = tree.forget_state(&mount, id).await {
                tracing::warn!(%error, "the properties of a file that was sent could not be removed");
            }
        });
        followed
    }

    /// Takes a file out of the queue for good.
    async fn give_up(&self, waiting: &Arc<Waiting>) {
        waiting.cancelled.cancel();
        self.pending.remove(waiting);
        waiting.content.discard();
        if let Err(error) = self.state.done(waiting.sequence).await {
            tracing::error!(%error, "the queue of uploads could not be written");
        }
    }

    /// Takes everything at and below a path out of the queue. An upload that was being completed may have come through:
    /// the folder is asked anew then.
    pub(super) async fn cancel_pending(self: &Arc<Self>, path: &TreePath) -> Result<(), Error> {
        for waiting in self.pending.below(path) {
            self.give_up(&waiting).await;
            if lock(&waiting.times).running {
                let turn = self.turns.wait(&waiting.place).await;
                drop(turn);
                let place = &waiting.place;
                self.listings.forget((place.mount.store, place.folder));
                if let Some(late) = self.drives_member(place).await?
                    && late.md5 == waiting.entry.md5
                    && late.size == waiting.entry.size
                    && place.path == *path
                {
                    place.mount.drive.remove(&late, place.folder).await?;
                    self.listings.forget((place.mount.store, place.folder));
                }
            }
            self.forget_state(&waiting.place.mount, waiting.entry.id).await?;
        }
        Ok(())
    }

    /// Moves a file that waits.
    pub(super) async fn move_pending(
        self: &Arc<Self>,
        resource: &Resource,
        to: &Place,
    ) -> Result<Resource, Error> {
        let found = self.pending.by_id(resource.entry.id);
        let waiting = found.ok_or_else(|| {
            Error::new(
                ErrorKind::Busy,
                "The file has just reached 123pan; repeat the move.",
            )
        })?;
        // An upload of it that is under way ends. If it was being completed it may have come through.
        waiting.cancelled.cancel();
        let turn = self.turns.wait(&waiting.place).await;
        if lock(&waiting.times).running {
            let place = &waiting.place;
            self.listings.forget((place.mount.store, place.folder));
        }
        if self.pending.by_id(resource.entry.id).is_none() {
            return Err(Error::new(
                ErrorKind::Busy,
                "The file has just reached 123pan; repeat the move.",
            ));
        }
        let moved = self.moved_row(&waiting, to).await;
        self.pending.remove(&waiting);
        drop(turn);
        // Where it could not be moved, it waits on where it was.
        let (place, row) = match &moved {
            Ok(row) => (to.clone(), row.clone()),
            Err(_) => (waiting.place.clone(), waiting.row.clone()),
        };
        let (content, wait) = (waiting.content.clone(), first_wait(&waiting.content));
        let shown = self.wait_for(waiting.sequence, place, content, row, wait).await;
        moved.map(|_| shown)
    }

    /// Makes room at the old name and notes the new place; the row as it is then.
    async fn moved_row(&self, waiting: &Waiting, to: &Place) -> Result<Row, Error> {
        // Its older content, which it was to replace at its old name, goes with the name.
        if let Some(beneath) = self.drives_member(&waiting.place).await? {
            self.remove_from_drive(&waiting.place, &beneath).await?;
        }
        let row = Row {
            drive: to.mount.identity(),
            mount: to.mount.path.to_string(),
            parent: to.folder.0,
            path: to.path.to_string(),
            name: to.name.clone(),
            ..waiting.row.clone()
        };
        let noted = self.state.update(waiting.sequence, row.clone()).await;
        noted.map_err(state_error)?;
        Ok(row)
    }

    /// A folder was moved: the files that wait in it are shown at their new paths. Their folder's id is the same.
    pub(super) async fn move_pending_below(
        self: &Arc<Self>,
        from: &TreePath,
        to: &TreePath,
    ) -> Result<(), Error> {
        for waiting in self.pending.below(from) {
            let Some(rest) = waiting.place.path.below(from) else {
                continue;
            };
            let place = Place {
                path: to.join(&rest),
                ..waiting.place.clone()
            };
            let row = Row {
                path: place.path.to_string(),
                ..waiting.row.clone()
            };
            self.state
                .update(waiting.sequence, row.clone())
                .await
                .map_err(state_error)?;
            let due = lock(&waiting.times).due.saturating_duration_since(Instant::now());
            waiting.cancelled.cancel();
            self.pending.remove(&waiting);
            self.wait_for(waiting.sequence, place, waiting.content.clone(), row, due)
                .await;
        }
        Ok(())
    }

    pub(super) fn has_pending_below(&self, path: &TreePath) -> bool {
        !self.pending.below(path).is_empty()
    }

    /// Files that wait to be sent, and their bytes; for `check`, the log and the status page.
    pub fn waiting(&self) -> (usize, u64) {
        self.pending.len()
    }

    /// Takes up the files that waited when the server stopped.
    pub(super) async fn take_up(self: &Arc<Self>) {
        for (sequence, row) in self.state.pending() {
            let mount = self
                .mounts()
                .iter()
                .find(|mount| mount.identity() == row.drive)
                .cloned();
            let (Some(mount), Ok(path)) = (mount, TreePath::from_decoded(&row.path)) else {
                tracing::error!(
                    path = row.path,
                    "a file waits in the spool for a mount that is not configured any more"
                );
                continue;
            };
            let Some(content) = self.spool.reopen(&row.spool, row.size, row.md5) else {
                tracing::error!(
                    path = row.path,
                    "a file that was to be sent is missing in the spool"
                );
                if let Err(error) = self.state.done(sequence).await {
                    tracing::error!(%error, "the queue of uploads could not be written");
                }
                continue;
            };
            let place = Place {
                path,
                mount,
                folder: Id(row.parent),
                name: row.name.clone(),
            };
            self.wait_for(sequence, place, Arc::new(content), row, Duration::ZERO)
                .await;
        }
        let (files, bytes) = self.waiting();
        if files > 0 {
            tracing::info!(files, bytes, "files of the last run wait to be sent");
        }
        tokio::spawn(send_all(Arc::downgrade(self)));
    }

    async fn send(self: &Arc<Self>, waiting: &Arc<Waiting>) {
        let place = &waiting.place;
        let sent = tokio::select! {
            sent = self.store(place, waiting.content.clone(), waiting.row.modified, None) => sent,
            () = waiting.cancelled.cancelled() => return,
        };
        match sent {
            Ok(resource) => {
                if let Err(error) = self.hand_over(waiting, resource.entry.id).await {
                    tracing::warn!(%error, "the properties of a file were lost");
                }
                tracing::info!(path = %place.path, "sent");
            }
            Err(error) => {
                let mut times = lock(&waiting.times);
                let pause = FIRST_PAUSE
                    .saturating_mul(1 << times.attempts.min(10))
                    .min(LONGEST_PAUSE);
                times.attempts += 1;
                times.running = false;
                times.due = Instant::now() + pause;
                drop(times);
                if error.kind() == ErrorKind::RiskControl {
                    // Said once, when the calls were stopped.
                    tracing::debug!(path = %place.path, %error, pause = pause.as_secs(), "not sent yet");
                } else {
                    tracing::warn!(path = %place.path, %error, pause = pause.as_secs(), "not sent yet");
                }
                self.pending.changed.notify_one();
            }
        }
    }
}

/// How long a file waits before it is sent: a body may follow an empty one.
fn first_wait(content: &Spooled) -> Duration {
    if content.size() == 0 {
        EMPTY_WAIT
    } else {
        Duration::ZERO
    }
}

/// Sends what is due, as long as the tree lives.
async fn send_all(tree: Weak<Tree>) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    loop {
        let Ok(permit) = places.clone().acquire_owned().await else {
            return;
        };
        let waiting = loop {
            let Some(tree) = tree.upgrade() else { return };
            let next = match tree.pending.due() {
                Ok(waiting) => break waiting,
                Err(next) => next,
            };
            let pending = tree.pending.changed.notified();
            // The tree may be dropped while nothing is due: it is looked for again at least this often.
            let next = next.unwrap_or_else(|| Instant::now() + LONGEST_PAUSE);
            tokio::select! {
                () = pending => {}
                () = tokio::time::sleep_until(next) => {}
            }
        };
        let Some(tree) = tree.upgrade() else { return };
        tokio::spawn(async move {
            in_background(tree.send(&waiting)).await;
            drop(permit);
        });
    }
}

pub(super) fn state_error(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let sentence = "The state directory could not be written; look at its disk and its rights.";
    Error::new(ErrorKind::NoSpace, sentence).with_source(error)
}

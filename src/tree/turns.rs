//! Turns: what changes one name of one folder happens one after the other, in the order of asking.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

use tokio::sync::OwnedMutexGuard;

use super::change::Place;
use super::flight::lock;

type Name = (usize, i64, String);

/// The names that have a turn under way. Names nobody waits for are forgotten.
#[derive(Debug, Default)]
pub(super) struct Turns {
    names: Mutex<HashMap<Name, Weak<tokio::sync::Mutex<()>>>>,
}

/// Held while it is one's turn.
pub(super) type Turn = OwnedMutexGuard<()>;

impl Turns {
    /// Waits for the turn of a name.
    pub(super) async fn wait(&self, place: &Place) -> Turn {
        let turn = {
            let mut names = lock(&self.names);
            if names.len() > 256 {
                names.retain(|_, turn| turn.strong_count() > 0);
            }
            let name = (place.mount.store, place.folder.0, place.name.clone());
            match names.get(&name).and_then(Weak::upgrade) {
                Some(turn) => turn,
                None => {
                    let turn = Arc::new(tokio::sync::Mutex::new(()));
                    names.insert(name, Arc::downgrade(&turn));
                    turn
                }
            }
        };
        turn.lock_owned().await
    }
}

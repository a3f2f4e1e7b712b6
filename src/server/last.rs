//! The file that a connection was asked for last: players ask for ranges of one all the time, and it is open already.

use std::sync::{Arc, Mutex};

use super::transfers::lock;
use crate::delivery::OpenFile;
use crate::tree::{Freshness, Tree, TreePath};

/// An open file, and how long it is what its path leads to.
pub(super) struct Last {
    pub(super) file: OpenFile,
    freshness: Freshness,
}

/// The last file, where there was one.
#[derive(Default)]
pub(super) struct LastFile(Mutex<Option<Arc<Last>>>);

impl LastFile {
    /// The file of a path, where it is that one and has not changed. One that has is closed.
    pub(super) fn get(&self, tree: &Tree, path: &TreePath) -> Option<Arc<Last>> {
        let mut slot = lock(&self.0);
        let last = slot.as_ref().filter(|last| last.file.path() == path)?;
        if tree.is_fresh(&last.freshness) {
            return Some(last.clone());
        }
        tree.count(&last.freshness);
        *slot = None;
        None
    }

    /// Keeps a file that may be asked for again.
    pub(super) fn keep(&self, tree: &Tree, file: OpenFile, freshness: Freshness) -> Arc<Last> {
        let last = Arc::new(Last { file, freshness });
        if let Some(old) = lock(&self.0).replace(last.clone()) {
            tree.count(&old.freshness);
        }
        last
    }

    /// Closes it.
    pub(super) fn close(&self, tree: &Tree) {
        if let Some(last) = lock(&self.0).take() {
            tree.count(&last.freshness);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::delivery::Delivery;
    use crate::tree::fuzz;

    #[tokio::test]
    async fn a_file_is_open_until_it_changes_and_each_use_counts_as_a_look() {
        let (tree, _, _folder) = fuzz::tree("1h").await;
        let delivery = Delivery::new(tree.clone(), None, 0, Arc::default()).unwrap();
        let path = TreePath::from_decoded("/drive/folder/film.mkv").unwrap();
        let (_, freshness) = tree.resolve_with_freshness(&path).await.unwrap();
        assert!(freshness.is_none(), "123pan was asked");
        let find = async || tree.resolve_with_freshness(&path).await.unwrap();
        let (resource, freshness) = find().await;
        let last = LastFile::default();
        assert!(last.get(&tree, &path).is_none());
        let kept = last.keep(&tree, delivery.open(resource), freshness.unwrap());
        let before = tree.hits().listings;
        for _ in 0..3 {
            assert!(Arc::ptr_eq(&kept, &last.get(&tree, &path).unwrap()));
        }
        let other = TreePath::from_decoded("/drive/notes.txt").unwrap();
        assert!(last.get(&tree, &other).is_none());
        tree.refresh_all();
        assert!(last.get(&tree, &path).is_none());
        // Two folders need not have been looked into, three times.
        assert_eq!(tree.hits().listings, before + 6);
        assert!(Arc::into_inner(kept).is_some(), "it is closed");
    }
}

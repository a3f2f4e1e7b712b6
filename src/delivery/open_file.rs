//! A file that is given out, with what all answers about it have in common: whoever may be asked for it again keeps it.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use super::Engine;
use super::representation::Representation;
use super::upstream::{LinkFuture, Links, Supply};
use crate::drive::{Content, Error, Link, LinkWish};
use crate::tree::{Mount, Resource, Tree, TreePath};

/// A file of the tree, or of the origin of `[proxy]`.
pub struct OpenFile {
    pub(super) resource: Arc<Resource>,
    pub(super) links: Arc<dyn Links>,
    pub(super) shown: Representation,
    supply: OnceLock<Arc<Supply>>,
}

/// The links of one file of the tree.
struct TreeLinks {
    tree: Arc<Tree>,
    file: Arc<Resource>,
}

impl OpenFile {
    /// A file whose links come from there.
    pub(super) fn new(resource: Arc<Resource>, links: Arc<dyn Links>) -> Self {
        Self {
            shown: Representation::of(Arc::clone(&resource.entry)),
            resource,
            links,
            supply: OnceLock::new(),
        }
    }

    /// A file of the tree.
    pub(super) fn of_tree(tree: Arc<Tree>, resource: Resource) -> Self {
        let file = Arc::new(resource);
        Self::new(Arc::clone(&file), Arc::new(TreeLinks { tree, file }))
    }

    /// Where in the tree.
    pub fn path(&self) -> &TreePath {
        &self.resource.path
    }

    /// Where its bytes come from.
    ///
    /// # Errors
    /// `Unsupported` if the mount's `outbound` cannot be used.
    pub(super) fn supply(&self, engine: &Engine, mount: &Mount) -> Result<&Arc<Supply>, Error> {
        if let Some(supply) = self.supply.get() {
            return Ok(supply);
        }
        let supply = Supply {
            cdn: engine
                .experience
                .cdns
                .of(mount.settings.delivery.outbound.as_ref())?,
            links: Arc::clone(&self.links),
            referers: Arc::clone(&engine.experience.referers),
            mount: mount.settings.path.clone(),
            media_type: self.shown.media_type().clone(),
            limits: engine.limits,
            counts: Arc::clone(engine.tally.of(mount)),
            target: Mutex::default(),
        };
        Ok(self.supply.get_or_init(|| Arc::new(supply)))
    }
}

impl Links for TreeLinks {
    fn at_hand(&self, at_least: Duration) -> Option<Arc<Link>> {
        self.tree.link_at_hand(&self.file, at_least)
    }

    fn link(self: Arc<Self>, wish: LinkWish) -> LinkFuture {
        Box::pin(async move { self.tree.link(&self.file, wish).await })
    }

    fn local(&self) -> Option<Arc<dyn Content>> {
        self.tree.content(&self.file)
    }
}

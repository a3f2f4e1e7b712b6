//! The tree: paths, mounts and caches over drives. What everyone above talks to.
//!
//! There is no call from a path to an id at 123pan (API page 5.5): a path is resolved level by level through
//! listings, which are remembered. So a lookup below a known folder costs nothing, and one below
//! an unknown folder costs the pages up to the name.

mod change;
mod disk;
mod flight;
mod follow;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod growing;
mod kept;
mod known;
mod link;
mod listing;
mod listings;
mod members;
mod mount;
pub mod path;
mod pending;
mod put;
mod replace;
mod shelf;
pub mod spool;
mod sums;
mod told;
mod turns;
mod waiting;
mod warm;

pub use flight::Flights;
pub use kept::{DeadProperty, PropertyName};
pub use known::Freshness;
pub use listing::Chunk;
pub use members::Members;
pub use mount::Mount;
pub use path::{PathError, TreePath, encode_segment};
pub use put::{Fetch, FileStream, Put, Receiving};
pub use told::{CacheHits, WaitingFile};
pub use warm::Warmed;

use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use tokio::time::Instant;

use self::flight::lock;
use self::link::Links;
use self::listings::{Life, Listings, Stamp};
use self::mount::MountTable;
use self::put::StoreKey;
use self::shelf::Shelf;
use self::spool::Spool;
use self::turns::Turns;
use self::waiting::Pending;
use crate::config::{self, UploadMode};
use crate::drive::{Drive, Entry, Error, ErrorKind, Id, Kind, Link, LinkWish, Quota};
use crate::metrics::Metrics;
use crate::state::State;
use crate::state::listings::ListingStore;

/// How long a quota is shown without asking again.
const QUOTA_TTL: Duration = Duration::from_secs(60);

type AskedQuota = (Instant, Option<Quota>);

/// A resource of the tree (RFC 4918): a file, a folder, or a folder that exists only because a
/// mount lies below it.
#[derive(Debug, Clone)]
pub struct Resource {
    /// Where it is.
    pub path: TreePath,
    /// The mount it belongs to; `None` for a folder that exists only because a mount lies below it.
    pub mount: Option<Arc<Mount>>,
    /// Its row. For the root of a mount and for folders between mounts: a folder named like the
    /// last path segment.
    pub entry: Arc<Entry>,
}

impl Resource {
    /// Whether it is a folder.
    pub fn is_folder(&self) -> bool {
        self.entry.is_folder()
    }
}

/// The tree. Shared by all requests behind an `Arc`.
#[derive(Debug)]
pub struct Tree {
    mounts: MountTable,
    listings: Listings,
    links: Links,
    /// By mount: when it was asked, and what was said.
    quotas: Mutex<Vec<Option<AskedQuota>>>,
    quota_flights: Flights<usize, Option<Quota>>,
    state: Arc<State>,
    spool: Spool,
    mode: UploadMode,
    upload_parts: usize,
    pending: Pending,
    turns: Turns,
    stores: Flights<StoreKey, Resource>,
    fetch: OnceLock<Weak<dyn Fetch>>,
}

impl Tree {
    /// A tree over drives, which stand in the order of the mounts. Files that waited in the spool are taken up.
    ///
    /// # Errors
    /// A mount's path that is not a path of the tree.
    pub async fn new(
        config: &config::Config,
        drives: Vec<Arc<dyn Drive>>,
        state: Arc<State>,
        listings: Option<ListingStore>,
        spool: Spool,
    ) -> Result<Arc<Self>, PathError> {
        let mut mounts: Vec<Arc<Mount>> = Vec::new();
        for (index, (settings, drive)) in config.mounts.iter().zip(drives).enumerate() {
            let path = TreePath::from_decoded(&settings.path)?;
            let mut mount = Mount {
                index,
                store: index,
                path,
                drive,
                settings: Arc::new(settings.clone()),
            };
            if let Some(first) = mounts.iter().find(|first| first.identity() == mount.identity()) {
                mount.store = first.store;
            }
            mounts.push(Arc::new(mount));
        }
        let identities: Vec<String> = mounts.iter().map(|mount| mount.identity()).collect();
        let shelf = listings.map(|store| {
            let names = mounts.iter().map(|mount| mount.drive.listing_identity());
            Shelf::new(store, names.collect())
        });
        let times = state.clone();
        let stamp = move |store: usize, entries: &mut [Entry]| {
            let Some(drive) = identities.get(store) else {
                return;
            };
            times.stamp(
                drive,
                entries.iter_mut().map(|entry| (entry.id.0, &mut entry.modified)),
            );
        };
        let tree = Arc::new(Self {
            quotas: Mutex::new(vec![None; mounts.len()]),
            mounts: MountTable::new(mounts),
            listings: Listings::new(
                Life {
                    ttl: config.cache.list_ttl,
                    stale: config.cache.stale,
                },
                config.cache.list_entries,
                Stamp(Arc::new(stamp)),
                shelf.map(Arc::new),
            ),
            links: Links::default(),
            quota_flights: Flights::while_wanted(),
            state,
            spool,
            mode: config.upload.mode,
            upload_parts: config.upload.parts,
            pending: Pending::default(),
            turns: Turns::default(),
            stores: Flights::default(),
            fetch: OnceLock::new(),
        });
        tree.take_up().await;
        Ok(tree)
    }

    /// The mounts, in the order of the configuration.
    pub fn mounts(&self) -> &[Arc<Mount>] {
        self.mounts.all()
    }

    /// The mount with the longest path at or above `path`.
    pub fn mount_of(&self, path: &TreePath) -> Option<&Arc<Mount>> {
        self.mounts.owner(path).map(|(mount, _)| mount)
    }

    /// Finds the resource of a path; asks for listings that are not known, one level after the other.
    ///
    /// # Errors
    /// `NotFound` only where a whole listing lacks the name; every failure of a drive as it is.
    pub async fn resolve(&self, path: &TreePath) -> Result<Resource, Error> {
        Ok(self.resolve_with_freshness(path).await?.0)
    }

    /// The same; and how long it is so, where that is known.
    ///
    /// # Errors
    /// As [`Tree::resolve`].
    pub async fn resolve_with_freshness(
        &self,
        path: &TreePath,
    ) -> Result<(Resource, Option<Freshness>), Error> {
        if let Some((resource, freshness)) = self.at_hand(path) {
            return Ok((resource, Some(freshness)));
        }
        Ok((Box::pin(self.look_for(path)).await?, None))
    }

    async fn look_for(&self, path: &TreePath) -> Result<Resource, Error> {
        let bridge = || Resource {
            path: path.clone(),
            mount: None,
            entry: Arc::new(folder(path.name().unwrap_or_default(), Id::default())),
        };
        let Some((mount, rest)) = self.mounts.owner(path) else {
            // The root is there even before the first mount.
            return if path.is_root() || self.mounts.any_below(path) {
                Ok(bridge())
            } else {
                Err(not_found())
            };
        };
        let root = || folder(path.name().unwrap_or_default(), mount.drive.root());
        let (mut above, mut kind, mut last) = (mount.drive.root(), Kind::Folder, None);
        for name in rest.segments() {
            if kind != Kind::Folder {
                return Err(not_found());
            }
            match self.find(mount, above, name).await? {
                Some(found) => {
                    (above, kind) = (found.id, found.kind);
                    last = Some(found);
                }
                None if self.mounts.any_below(path) => return Ok(bridge()),
                None => return Err(not_found()),
            }
        }
        Ok(Resource {
            path: path.clone(),
            mount: Some(mount.clone()),
            entry: Arc::new(last.unwrap_or_else(root)),
        })
    }

    async fn find(&self, mount: &Arc<Mount>, folder: Id, name: &str) -> Result<Option<Entry>, Error> {
        match self.pending.at(mount.store, folder, name) {
            Some(entry) => Ok(Some(entry)),
            None => self.find_in_drive(mount, folder, name).await,
        }
    }

    async fn find_in_drive(
        &self,
        mount: &Arc<Mount>,
        folder: Id,
        name: &str,
    ) -> Result<Option<Entry>, Error> {
        let key = (mount.store, folder);
        if is_probe(name)
            && let Some(kept) = Box::pin(self.listings.kept(key)).await
        {
            return Ok(kept.find(name).cloned());
        }
        self.listings.open(key, &mount.drive).await.find(name).await
    }

    /// A link for the bytes of a file that is remembered and lives `at_least` so long.
    pub fn link_at_hand(&self, file: &Resource, at_least: Duration) -> Option<Arc<Link>> {
        let mount = file.mount.as_ref().filter(|_| !file.is_folder())?;
        self.links.at_hand(mount, &file.entry, at_least)
    }

    /// A link for the bytes of a file: remembered, and asked once for all who wait.
    ///
    /// # Errors
    /// `IsAFolder` for a folder; every failure of a drive as it is.
    pub async fn link(&self, file: &Resource, wish: LinkWish) -> Result<Arc<Link>, Error> {
        match &file.mount {
            Some(mount) if !file.is_folder() => self.links.get(mount, &file.entry, wish).await,
            _ => Err(Error::new(ErrorKind::IsAFolder, "This is a folder, not a file.")),
        }
    }

    /// The quota of the mount that the resource belongs to, where it is known; remembered for a short time.
    ///
    /// # Errors
    /// Every failure of a drive as it is.
    pub async fn quota(self: &Arc<Self>, resource: &Resource) -> Result<Option<Quota>, Error> {
        let Some(mount) = self.quota_mount(resource) else {
            return Ok(None);
        };
        let (index, tree) = (mount.index, self.clone());
        self.quota_flights
            .join(
                index,
                || {
                    let (at, quota) = lock(&self.quotas).get(index).copied().flatten()?;
                    (at.elapsed() < QUOTA_TTL).then_some(quota)
                },
                move || async move {
                    let quota = mount.drive.quota().await?;
                    if let Some(slot) = lock(&tree.quotas).get_mut(index) {
                        *slot = Some((Instant::now(), quota));
                    }
                    Ok(quota)
                },
            )
            .await
    }

    /// The mount whose quota a resource has. A folder that only holds mounts has one where it can only be one account's.
    fn quota_mount(&self, resource: &Resource) -> Option<Arc<Mount>> {
        let tells = |mount: &&Arc<Mount>| mount.drive.capability().quota;
        if let Some(mount) = &resource.mount {
            return Some(mount).filter(tells).cloned();
        }
        let mut below = self
            .mounts()
            .iter()
            .filter(|mount| mount.path.below(&resource.path).is_some())
            .filter(tells);
        let first = below.next()?;
        below
            .all(|mount| mount.store == first.store)
            .then(|| first.clone())
    }

    /// All folders are asked anew when they are wanted next (SIGHUP).
    pub fn refresh_all(&self) {
        self.listings.expire_all();
    }

    /// A folder is asked anew when it is wanted next, unless that has just been done.
    pub fn refresh(&self, folder: &Resource) {
        if let Some(mount) = &folder.mount {
            self.listings.expire((mount.store, folder.entry.id));
        }
    }

    /// The same for a folder and all that are known below it; how many. Costs no call below what is known.
    ///
    /// # Errors
    /// As [`Tree::resolve`].
    pub async fn refresh_below(&self, path: &TreePath) -> Result<u64, Error> {
        let top = self.resolve(path).await?;
        let mut ahead: Vec<(usize, Id)> = Vec::new();
        if top.is_folder() {
            ahead.extend(top.mount.as_ref().map(|mount| (mount.store, top.entry.id)));
            let below = self
                .mounts()
                .iter()
                .filter(|mount| mount.path.below(path).is_some());
            ahead.extend(below.map(|mount| (mount.store, mount.drive.root())));
        }
        ahead.sort_unstable();
        ahead.dedup();
        let mut folders = 0;
        while let Some(key) = ahead.pop() {
            folders += 1;
            if let Some(known) = self.listings.kept(key).await {
                let below = known.entries().iter().filter(|entry| entry.is_folder());
                ahead.extend(below.map(|entry| (key.0, entry.id)));
            }
            self.listings.expire(key);
        }
        Ok(folders)
    }

    /// Puts what is known of folders onto the disk; for the end of the process.
    pub async fn put_by(&self) {
        self.listings.put_by().await;
    }

    /// Counts calls for links from now on.
    pub fn count_by(&self, metrics: &Metrics) {
        let _ = self.links.calls.set(metrics.link_calls.clone());
    }

    /// Entries and folders in the cache of listings, and links in the cache of links.
    pub fn cached(&self) -> (u64, usize) {
        (self.listings.weight(), self.links.len())
    }
}

/// A folder that no drive has told us about.
fn folder(name: &str, id: Id) -> Entry {
    Entry {
        id,
        name: name.into(),
        kind: Kind::Folder,
        size: None,
        modified: 0,
        created: 0,
        md5: None,
        locator: Arc::from(""),
    }
}

fn not_found() -> Error {
    Error::new(ErrorKind::NotFound, "There is nothing of that name here.")
}

/// Names that systems look for in every folder, and that are nearly never there: an old listing is good
/// enough to deny them (webdav-clients M10 and section 2).
fn is_probe(name: &str) -> bool {
    const PROBES: [&str; 12] = [
        ".DS_Store",
        ".localized",
        ".metadata_never_index",
        ".Spotlight-V100",
        ".Trashes",
        ".hidden",
        "desktop.ini",
        "Desktop.ini",
        "Thumbs.db",
        "folder.jpg",
        "Folder.jpg",
        "autorun.inf",
    ];
    name.starts_with("._") || PROBES.contains(&name)
}

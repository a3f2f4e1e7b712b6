//! The tree: paths, mounts and caches over drives. What everyone above talks to.
//!
//! There is no call from a path to an id at 123pan (API page 5.5): a path is resolved level by level through
//! listings, which are remembered. So a lookup below a known folder costs nothing, and one below
//! an unknown folder costs the pages up to the name.

mod change;
mod flight;
mod follow;
mod link;
mod listing;
mod mount;
pub mod path;

pub use change::{DeadProperty, PropertyName, Put, Receiving};
pub use listing::Chunk;
pub use mount::Mount;
pub use path::{PathError, TreePath, encode_segment};

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use self::flight::{Flights, lock};
use self::follow::Follower;
use self::link::Links;
use self::listing::Listings;
use self::mount::{Below, MountTable};
use crate::config;
use crate::drive::{Drive, Entry, Error, ErrorKind, Id, Kind, Link, LinkWish, Quota};

/// How long a quota is shown without asking again.
const QUOTA_TTL: Duration = Duration::from_secs(60);

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
    quotas: Mutex<Vec<Option<(Instant, Option<Quota>)>>>,
    quota_flights: Flights<usize, Option<Quota>>,
}

impl Tree {
    /// A tree over drives, which stand in the order of `mounts`.
    ///
    /// # Errors
    /// A mount's path that is not a path of the tree.
    pub fn new(
        mounts: &[config::Mount],
        drives: Vec<Arc<dyn Drive>>,
        cache: &config::Cache,
    ) -> Result<Self, PathError> {
        let mounts = mounts
            .iter()
            .zip(drives)
            .enumerate()
            .map(|(index, (settings, drive))| {
                let path = TreePath::from_decoded(&settings.path)?;
                Ok(Arc::new(Mount {
                    index,
                    path,
                    drive,
                    settings: Arc::new(settings.clone()),
                }))
            })
            .collect::<Result<Vec<_>, PathError>>()?;
        Ok(Self {
            quotas: Mutex::new(vec![None; mounts.len()]),
            mounts: MountTable::new(mounts),
            listings: Listings::new(cache.list_ttl, cache.list_entries),
            links: Links::default(),
            quota_flights: Flights::default(),
        })
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
        let mut entry = folder(path.name().unwrap_or_default(), mount.drive.root());
        for name in rest.segments() {
            if !entry.is_folder() {
                return Err(not_found());
            }
            match self.find(mount, entry.id, name).await? {
                Some(found) => entry = found,
                None if self.mounts.any_below(path) => return Ok(bridge()),
                None => return Err(not_found()),
            }
        }
        Ok(Resource {
            path: path.clone(),
            mount: Some(mount.clone()),
            entry: Arc::new(entry),
        })
    }

    async fn find(&self, mount: &Arc<Mount>, folder: Id, name: &str) -> Result<Option<Entry>, Error> {
        let key = (mount.index, folder);
        if is_probe(name)
            && let Some(kept) = self.listings.kept(key)
        {
            return Ok(kept.find(name).cloned());
        }
        let source = self.listings.open(key, &mount.drive);
        if let Some(entry) = source.find(name).await? {
            return Ok(Some(entry));
        }
        if name.is_ascii() {
            return Ok(None);
        }
        // Finder sends names decomposed (webdav-clients M11): equal after composition is the same name.
        let composed = compose(name);
        let whole = source.whole().await?;
        Ok(whole
            .entries()
            .iter()
            .find(|entry| compose(&entry.name) == composed)
            .cloned())
    }

    /// Begins to list a folder. When this returns, the first members are in hand (or the folder is known
    /// to be empty); a failure before them is the error.
    ///
    /// # Errors
    /// `NotAFolder` for a file; every failure of a drive as it is.
    pub async fn list(&self, folder: &Resource) -> Result<Members, Error> {
        if !folder.is_folder() {
            return Err(Error::new(ErrorKind::NotAFolder, "This is a file, not a folder."));
        }
        let Below {
            mounts: hidden,
            bridges,
        } = self.mounts.below(&folder.path);
        let first = match &folder.mount {
            // Shadowing names first, so that the page of the drive can be filtered as it passes.
            Some(_) => hidden.clone(),
            None => hidden.union(&bridges).cloned().collect(),
        };
        let mut members = Members {
            ahead: Vec::new(),
            follower: folder.mount.as_ref().map(|mount| {
                self.listings
                    .open((mount.index, folder.entry.id), &mount.drive)
                    .follow()
            }),
            hidden,
            bridges: if folder.mount.is_some() {
                bridges
            } else {
                BTreeSet::new()
            },
        };
        let drive_first = members.from_drive().await?;
        members.ahead.extend(drive_first);
        if !first.is_empty() {
            let first: Vec<Entry> = first
                .iter()
                .map(|name| self::folder(name, Id::default()))
                .collect();
            members.ahead.push(first.into());
        }
        Ok(members)
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
        let Some(mount) = resource
            .mount
            .clone()
            .filter(|mount| mount.drive.capability().quota)
        else {
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

    /// Forgets all listings, so that the next request asks anew (SIGHUP).
    pub fn forget_listings(&self) {
        self.listings.clear();
    }

    /// Entries and folders in the cache of listings, and links in the cache of links.
    pub fn cached(&self) -> (u64, usize) {
        (self.listings.weight(), self.links.len())
    }
}

/// The members of a folder, chunk by chunk, as pages arrive.
#[derive(Debug)]
pub struct Members {
    /// Chunks in hand, last one first.
    ahead: Vec<Chunk>,
    follower: Option<Follower>,
    /// Names at which a mount stands: the drive's member of that name is not shown.
    hidden: BTreeSet<String>,
    /// Names that lead to a mount and have not been seen in the drive yet.
    bridges: BTreeSet<String>,
}

impl Members {
    /// The next members; `None` at the end of a whole listing. A failure means that what was given
    /// so far is not the folder: the answer built from it must break, never end well-formed.
    ///
    /// # Errors
    /// Every failure of a drive as it is.
    pub async fn next(&mut self) -> Result<Option<Chunk>, Error> {
        match self.ahead.pop() {
            Some(chunk) => Ok(Some(chunk)),
            None => self.from_drive().await,
        }
    }

    async fn from_drive(&mut self) -> Result<Option<Chunk>, Error> {
        while let Some(follower) = &mut self.follower {
            let Some(chunk) = follower.next().await? else {
                self.follower = None;
                break;
            };
            self.bridges
                .retain(|name| !chunk.iter().any(|entry| *entry.name == **name));
            if self.hidden.is_empty() || !chunk.iter().any(|entry| self.hidden.contains(&*entry.name)) {
                return Ok(Some(chunk));
            }
            let shown: Vec<Entry> = chunk
                .iter()
                .filter(|entry| !self.hidden.contains(&*entry.name))
                .cloned()
                .collect();
            if !shown.is_empty() {
                return Ok(Some(shown.into()));
            }
        }
        let bridges = std::mem::take(&mut self.bridges);
        if bridges.is_empty() {
            return Ok(None);
        }
        Ok(Some(
            bridges
                .iter()
                .map(|name| folder(name, Id::default()))
                .collect::<Vec<_>>()
                .into(),
        ))
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

/// The composed form (NFC) of a name.
fn compose(name: &str) -> String {
    use unicode_normalization::UnicodeNormalization;
    name.nfc().collect()
}

//! The drive of 123pan's Open platform (API page 8): what a developer's token can see.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use super::account::{link, with_file};
use super::listing::RowLister;
use super::{Capability, Drive, DriveFuture, Entry, Error, Governor, Id, Link, LinkWish, Lister, Quota};
use crate::pan::open::Open;
use crate::pan::web::files::ListPage;

/// A developer's drive, or a folder of it.
pub struct OpenDrive {
    open: Arc<Open>,
    root: Id,
}

impl OpenDrive {
    /// A drive over a client; `root` is shown as the mount's root.
    pub fn new(open: Arc<Open>, root: i64) -> Self {
        Self { open, root: Id(root) }
    }
}

impl Drive for OpenDrive {
    fn capability(&self) -> Capability {
        Capability {
            write: false,
            quota: true,
        }
    }

    fn root(&self) -> Id {
        self.root
    }

    fn governor(&self) -> Governor {
        Governor::of(self.open.session())
    }

    fn resume(&self) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(self.open.session().resume())
    }

    /// Pages follow each other by the last id, so the id of the page before is remembered here;
    /// the lister asks page 1 again when it begins anew, and the same page after an error.
    fn list(&self, folder: Id) -> Box<dyn Lister> {
        let open = Arc::clone(&self.open);
        let ends: Arc<Mutex<Vec<i64>>> = Arc::default();
        Box::new(RowLister::new(Box::new(move |page| {
            let (open, ends) = (Arc::clone(&open), Arc::clone(&ends));
            let before = page.saturating_sub(1) as usize;
            Box::pin(async move {
                let after = {
                    let mut ends = ends.lock().unwrap_or_else(PoisonError::into_inner);
                    ends.truncate(before);
                    ends.last().copied().unwrap_or(0)
                };
                let found = open.list(folder.0, after).await?;
                ends.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(found.last_id);
                Ok(ListPage {
                    next: if found.is_last() {
                        "-1".to_owned()
                    } else {
                        found.last_id.to_string()
                    },
                    total: None,
                    rows: found.rows,
                    expired: false,
                })
            })
        })))
    }

    fn link<'a>(&'a self, file: &'a Entry, _wish: LinkWish) -> DriveFuture<'a, Link> {
        Box::pin(async move {
            let found = with_file(file, async |file| self.open.link(file.id, file.size).await).await?;
            Ok(link(found))
        })
    }

    fn quota(&self) -> DriveFuture<'_, Option<Quota>> {
        Box::pin(async {
            let info = self.open.user_info().await?;
            Ok(Some(Quota {
                used: info.used(),
                total: info.total(),
            }))
        })
    }

    fn sign_in(&self) -> DriveFuture<'_, ()> {
        Box::pin(async {
            self.open.user_info().await.map_err(Error::from)?;
            Ok(())
        })
    }
}

impl fmt::Debug for OpenDrive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OpenDrive")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

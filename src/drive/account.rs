//! The drive of an account: everything a signed-in user has (API page 5).

use std::fmt;
use std::sync::Arc;

use super::listing::RowLister;
use super::{
    Capability, Drive, DriveFuture, Entry, Error, ErrorKind, Id, Link, LinkWish, Lister, Quota, rows,
};
use crate::pan::relay::FinalLink;
use crate::pan::web::Web;
use crate::pan::web::download::FileRef;

/// An account, or a folder of it.
pub struct AccountDrive {
    web: Arc<Web>,
    root: Id,
}

impl AccountDrive {
    /// A drive over an account's client, which all mounts of the account share. `root` is shown as
    /// the mount's root.
    pub fn new(web: Arc<Web>, root: i64) -> Self {
        Self { web, root: Id(root) }
    }
}

impl Drive for AccountDrive {
    fn capability(&self) -> Capability {
        Capability {
            write: false,
            quota: true,
        }
    }

    fn root(&self) -> Id {
        self.root
    }

    fn list(&self, folder: Id) -> Box<dyn Lister> {
        let web = Arc::clone(&self.web);
        Box::new(RowLister::new(Box::new(move |page| {
            let web = Arc::clone(&web);
            Box::pin(async move { Ok(web.list(folder.0, page).await?) })
        })))
    }

    /// Two calls. The drive knows one way to a link only, so a refused one is asked for anew.
    fn link<'a>(&'a self, file: &'a Entry, _wish: LinkWish) -> DriveFuture<'a, Link> {
        Box::pin(async move {
            let found = with_file(file, async |file| self.web.link(&file).await).await?;
            Ok(link(found))
        })
    }

    fn quota(&self) -> DriveFuture<'_, Option<Quota>> {
        Box::pin(async {
            let info = self.web.user_info().await?;
            Ok(Some(Quota {
                used: info.used(),
                total: info.total(),
            }))
        })
    }

    fn sign_in(&self) -> DriveFuture<'_, ()> {
        Box::pin(async {
            self.web.user_info().await?;
            Ok(())
        })
    }
}

impl fmt::Debug for AccountDrive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccountDrive")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// Asks for the link of an entry.
pub(super) async fn with_file<T>(
    entry: &Entry,
    ask: impl AsyncFnOnce(FileRef<'_>) -> Result<T, crate::pan::Error>,
) -> Result<T, Error> {
    if entry.is_folder() {
        return Err(Error::new(ErrorKind::IsAFolder, "A folder has no bytes."));
    }
    let (etag, s3_key_flag) = rows::link_keys(entry);
    let file = FileRef {
        id: entry.id.0,
        name: &entry.name,
        size: entry.size.unwrap_or(0),
        etag: &etag,
        s3_key_flag,
    };
    Ok(ask(file).await?)
}

/// A link of the web API. It is bound to the network that asked, and to a Referer (API page 5.8).
pub(super) fn link(found: FinalLink) -> Link {
    Link {
        until: found.until(),
        url: found.url,
        referers: found.referers,
        open_to_all: false,
    }
}

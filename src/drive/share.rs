//! The drive of a share link (API page 7): read by anybody who has key and password, its files
//! mostly by signed-in users only, whose traffic they then cost.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use super::listing::RowLister;
use super::thumbnails::Thumbnails;
use super::web::{link, with_file};
use super::{Capability, Drive, DriveFuture, Entry, Error, Governor, Id, Link, LinkWish, Lister};
use crate::pan::web::Web;
use crate::pan::web::files::ListPage;
use crate::pan::web::share::ShareKey;
use crate::pan::{self, Reason, Said};

/// A share, or a folder of it.
pub struct ShareDrive {
    web: Arc<Web>,
    share: Arc<ShareKey>,
    root: Id,
    thumbnails: Arc<Thumbnails>,
}

impl ShareDrive {
    /// A drive over a client that is an account's, or nobody's. `root` is shown as the mount's root.
    pub fn new(web: Arc<Web>, share: ShareKey, root: i64) -> Self {
        Self {
            web,
            share: Arc::new(share),
            root: Id(root),
            thumbnails: Arc::default(),
        }
    }

    async fn ask_link(&self, file: &Entry, again: bool) -> Result<Link, Error> {
        let signed_in = !self.web.session().is_anonymous();
        let found = with_file(file, async |file| {
            // With an account there is a second way: the rows hold all that it needs (API page 7.2).
            if signed_in
                && again
                && let Ok(found) = self.web.link(&file).await
            {
                return Ok(found);
            }
            let refused = match self.web.share_link(&self.share, &file).await {
                Err(error) if signed_in && matches!(error.reason, Reason::LoginNeeded(_)) => error,
                other => return other,
            };
            // Where the second way fails too, the first one's answer says more.
            self.web.link(&file).await.map_err(|error| match error.reason {
                Reason::Refused(_) | Reason::NotFound(_) => refused,
                _ => error,
            })
        })
        .await?;
        Ok(link(found))
    }
}

impl Drive for ShareDrive {
    fn capability(&self) -> Capability {
        Capability::default()
    }

    fn listing_identity(&self) -> Option<String> {
        Some(format!("share {}", self.share.key))
    }

    fn root(&self) -> Id {
        self.root
    }

    fn governor(&self) -> Governor {
        Governor::of(self.web.session())
    }

    fn resume(&self) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(self.web.session().resume())
    }

    fn list(&self, folder: Id) -> Box<dyn Lister> {
        let (web, share) = (Arc::clone(&self.web), Arc::clone(&self.share));
        let pages = Box::new(move |page| -> DriveFuture<'static, ListPage> {
            let (web, share) = (Arc::clone(&web), Arc::clone(&share));
            Box::pin(async move { Ok(alive(web.share_list(&share, folder.0, page).await?)?) })
        });
        Box::new(RowLister::new(pages).noting(&self.thumbnails))
    }

    fn thumbnails(&self) -> Option<&Thumbnails> {
        Some(&self.thumbnails)
    }

    fn link<'a>(&'a self, file: &'a Entry, wish: LinkWish) -> DriveFuture<'a, Link> {
        Box::pin(self.ask_link(file, wish.refused.is_some()))
    }

    /// Lists the first page: that proves key, password and, where there is one, the account.
    fn sign_in(&self) -> DriveFuture<'_, ()> {
        Box::pin(async {
            alive(self.web.share_list(&self.share, self.root.0, 1).await?)?;
            Ok(())
        })
    }
}

impl fmt::Debug for ShareDrive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ShareDrive")
            .field("root", &self.root)
            .finish_non_exhaustive()
    }
}

/// A share that has ended still answers, with `Expired` (API page 7.2).
fn alive(page: ListPage) -> Result<ListPage, pan::Error> {
    if page.expired {
        let said = Said::new(None, "Expired");
        return Err(pan::Error::new("share/get", Reason::ShareGone(said)));
    }
    Ok(page)
}

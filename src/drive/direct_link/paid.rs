//! Paid direct links for the files of a drive: asked of the Open platform one by one, signed here (API page 9).

use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};
use tokio::sync::OnceCell;

use super::cdn::Cdn;
use super::facts::Timing;
use super::{cannot_sign, handed_out};
use crate::config;
use crate::drive::{Entry, Error, ErrorKind, Link, LinkWish};
use crate::pan;
use crate::pan::Reason;
use crate::pan::direct::{DirectUrl, FileLine, Signer};
use crate::pan::http::Client;
use crate::pan::open::Open;

/// Makes links for the files of a direct-link space.
#[derive(Debug)]
pub struct PaidLinks {
    client: Client,
    key: Option<SecretString>,
    valid_for: Duration,
    timing: Timing,
    /// Made with the account's number, which is asked once.
    cdn: OnceCell<Cdn>,
}

impl PaidLinks {
    /// Links as the mount wants them; `client` asks the CDN about signatures. Nothing is asked yet.
    pub fn new(config: &config::PaidLinks, client: Client) -> Self {
        Self {
            client,
            key: config.private_key.clone(),
            valid_for: config.valid_for,
            timing: Timing::default(),
            cdn: OnceCell::new(),
        }
    }

    /// The direct link of a file; `None` where it is in no direct-link space. What is answered then no source says, so
    /// any refusal is taken for it: the way by `download_info` tells what is wrong, if something is.
    pub async fn link(&self, open: &Open, file: &Entry, wish: &LinkWish) -> Result<Option<Link>, Error> {
        let url = match open.direct_link(file.id.0).await {
            Ok(url) => url,
            Err(pan::Error {
                reason: reason @ (Reason::Refused(_) | Reason::NotFound(_)),
                ..
            }) => {
                tracing::debug!(%reason, "no direct link: the file's download link is taken");
                return Ok(None);
            }
            Err(error) => return Err(error.into()),
        };
        let url = DirectUrl::parse(url.expose_secret()).map_err(|_| {
            let what = "123pan's answer has no direct link that can be understood: try again, or take link = \"direct\" out.";
            Error::new(ErrorKind::Nonsense, what)
        })?;
        let cdn = self.cdn.get_or_try_init(|| self.cdn(open)).await?;
        let line = FileLine {
            line: 0,
            url,
            size: file.size,
            modified: None,
            lone_time: false,
        };
        let link = handed_out(cdn, &file.name, &line, self.timing, self.valid_for, wish).await?;
        Ok(Some(link))
    }

    async fn cdn(&self, open: &Open) -> Result<Cdn, Error> {
        let signer = match &self.key {
            Some(key) => {
                // Where the account hides its number, links do not have it.
                let uid = u64::try_from(open.user_info().await?.uid)
                    .ok()
                    .filter(|uid| *uid > 0);
                Some(Signer::new(uid, key.clone()).map_err(cannot_sign)?)
            }
            None => None,
        };
        Ok(Cdn::new(self.client.clone(), signer))
    }
}

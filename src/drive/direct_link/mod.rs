//! A list of paid direct links as a read-only drive (API page section 9).
//!
//! The list is parsed whole when the drive is made; folders are its own, so listing costs nothing but
//! the sizes and times it leaves open (see `facts`). Each link is signed when it is asked for, for as long as it is
//! wanted: players stay on the link that they were given (`webdav-clients.md` section 15). The id of an
//! entry is its number in the list, which is the same for the same list; 0 is the root.

mod cdn;
mod facts;
mod form;
mod paid;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub use self::paid::PaidLinks;

use self::cdn::{Cdn, unix_now};
use self::facts::{FactTable, Timing};
use super::{
    Capability, Drive, DriveFuture, Entry, Error, ErrorKind, Id, Kind, Link, LinkWish, Lister, Page,
};
use crate::config;
use crate::pan::direct::{Content, FileLine, LineError, LineFault, LinkList, Node, SignError, Signer};
use crate::pan::http::Client;

/// Rows of a page.
const PAGE: usize = 100;

/// What is added to a wished lifetime, for the way to the client and for clocks that differ.
const MARGIN: Duration = Duration::from_secs(5 * 60);

/// How long an unsigned link, which does not expire, is passed off as good.
const UNSIGNED_VALID: u64 = 24 * 60 * 60;

/// A drive over a list of direct links.
#[derive(Debug)]
pub struct DirectLinkDrive {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    list: LinkList,
    facts: FactTable,
    cdn: Cdn,
    valid_for: Duration,
    timing: Timing,
    no_locator: Arc<str>,
}

/// A pass over one folder.
#[derive(Debug)]
struct DirectLister {
    inner: Arc<Inner>,
    folder: Id,
    /// Members that earlier pages held.
    done: usize,
}

impl DirectLinkDrive {
    /// Parses the whole list. Nothing is asked over the network.
    ///
    /// # Errors
    /// One sentence for each bad line, with its number and without its URL; or what is wrong with the key.
    pub fn new(config: &config::DirectLink, client: Client) -> Result<Self, Vec<String>> {
        Self::with_timing(config, client, Timing::default())
    }

    fn with_timing(config: &config::DirectLink, client: Client, timing: Timing) -> Result<Self, Vec<String>> {
        use secrecy::ExposeSecret;

        let name_lines = |errors: Vec<LineError>| -> Vec<String> {
            errors
                .iter()
                .map(|error| format!("{}, {error}.", config.links_from))
                .collect()
        };
        let signer = match &config.private_key {
            Some(key) => Some(Signer::new(config.uid, key.clone()).map_err(|e| vec![e.to_string()])?),
            None => None,
        };
        let list = LinkList::parse(config.links.expose_secret(), SystemTime::now()).map_err(name_lines)?;
        if let Some(signer) = &signer {
            let homeless: Vec<LineError> = list
                .files()
                .filter(|(_, _, file)| signer.uid(&file.url).is_err())
                .map(|(_, _, file)| LineError {
                    line: file.line,
                    fault: LineFault::NoUid,
                })
                .collect();
            if !homeless.is_empty() {
                return Err(name_lines(homeless));
            }
        }
        let facts = FactTable::new(&list, timing);
        Ok(Self {
            inner: Arc::new(Inner {
                list,
                facts,
                cdn: Cdn::new(client, signer),
                valid_for: config.valid_for,
                timing,
                no_locator: "".into(),
            }),
        })
    }
}

impl Drive for DirectLinkDrive {
    fn capability(&self) -> Capability {
        Capability::default()
    }

    fn root(&self) -> Id {
        Id(0)
    }

    fn list(&self, folder: Id) -> Box<dyn Lister> {
        Box::new(DirectLister {
            inner: Arc::clone(&self.inner),
            folder,
            done: 0,
        })
    }

    fn link<'a>(&'a self, file: &'a Entry, wish: LinkWish) -> DriveFuture<'a, Link> {
        Box::pin(self.inner.link(file.id, wish))
    }
}

impl Lister for DirectLister {
    fn next(&mut self) -> DriveFuture<'_, Option<Page>> {
        Box::pin(async move {
            let inner = &self.inner;
            let members = inner.members(self.folder)?;
            let rest = members.get(self.done..).unwrap_or_default();
            let page = &rest[..rest.len().min(PAGE)];
            if page.is_empty() {
                return Ok(None);
            }
            inner.facts.complete(page, &inner.list, &inner.cdn).await;
            let entries = page.iter().filter_map(|&n| inner.entry(n)).collect();
            self.done += page.len();
            Ok(Some(Page {
                entries,
                restarted: false,
            }))
        })
    }
}

impl Inner {
    async fn link(&self, id: Id, wish: LinkWish) -> Result<Link, Error> {
        let (node, file) = self.file(id)?;
        handed_out(&self.cdn, &node.name, file, self.timing, self.valid_for, &wish).await
    }

    fn node(&self, id: Id) -> Result<&Node, Error> {
        usize::try_from(id.0)
            .ok()
            .and_then(|number| self.list.nodes().get(number))
            .ok_or_else(|| Error::new(ErrorKind::NotFound, "The list of direct links has no such entry."))
    }

    fn members(&self, id: Id) -> Result<&[usize], Error> {
        match &self.node(id)?.content {
            Content::Folder(members) => Ok(members),
            Content::File(_) => Err(Error::new(ErrorKind::NotAFolder, "This is a file, not a folder.")),
        }
    }

    fn file(&self, id: Id) -> Result<(&Node, &FileLine), Error> {
        let node = self.node(id)?;
        match &node.content {
            Content::File(file) => Ok((node, file)),
            Content::Folder(_) => Err(Error::new(ErrorKind::IsAFolder, "This is a folder, not a file.")),
        }
    }

    fn entry(&self, number: usize) -> Option<Entry> {
        let node = self.list.nodes().get(number)?;
        let (kind, size, modified) = match &node.content {
            Content::Folder(_) => (Kind::Folder, None, 0),
            Content::File(file) => {
                let facts = self.facts.of(number, file);
                (Kind::File, facts.size, facts.modified.unwrap_or(0))
            }
        };
        Some(Entry {
            id: Id(i64::try_from(number).ok()?),
            name: node.name.clone(),
            kind,
            size,
            modified,
            created: 0,
            md5: None,
            locator: Arc::clone(&self.no_locator),
        })
    }
}

/// The link of a file, signed where there is a key.
async fn handed_out(
    cdn: &Cdn,
    name: &str,
    file: &FileLine,
    timing: Timing,
    valid_for: Duration,
    wish: &LinkWish,
) -> Result<Link, Error> {
    let expires = match cdn.signer() {
        None => unix_now().saturating_add(UNSIGNED_VALID),
        Some(_) => {
            if let Some(refused) = &wish.refused {
                cdn.refused(refused.expose(), &file.url);
            }
            // After a refusal too: it may have had another reason than the form.
            let Timing { probe, retry, .. } = timing;
            cdn.settle_form(name, file, probe, retry).await;
            unix_now().saturating_add(lifetime(valid_for, wish.at_least).as_secs())
        }
    };
    let url = cdn.url(&file.url, expires).map_err(cannot_sign)?;
    let until = UNIX_EPOCH
        .checked_add(Duration::from_secs(expires))
        .ok_or_else(|| Error::new(ErrorKind::Unsupported, "A link cannot live that long."))?;
    Ok(Link {
        url,
        until,
        referers: Vec::new(),
        headers: Vec::new(),
        open_to_all: true,
    })
}

/// The configured validity, or the wished one with a margin where that is longer.
fn lifetime(valid_for: Duration, at_least: Duration) -> Duration {
    if at_least.is_zero() {
        return valid_for;
    }
    valid_for.max(at_least.saturating_add(MARGIN))
}

fn cannot_sign(error: SignError) -> Error {
    Error::new(ErrorKind::SignIn, error.to_string())
}

#[cfg(test)]
mod fake_cdn;
#[cfg(test)]
mod tests;

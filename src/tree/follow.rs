//! Following a listing: a lookup stops at the page that holds its name, a PROPFIND passes pages on as they come.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::growing::{Growing, Joined};
use super::listing::{Chunk, Listing};
use super::listings::is_outage;
use crate::drive::{Entry, Error, ErrorKind, Id};

/// So long a reading is waited for where an old listing could be shown instead.
const OVERDUE_WAIT: Duration = Duration::from_secs(8);

/// Where the members of a folder come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Kept(Arc<Listing>),
    Growing(Joined),
    /// Begun before one of our changes: only its end is true.
    Awaited(Joined),
    /// Good enough to be shown, and read anew behind: a name that is missing waits for that.
    Stale(Arc<Listing>, Box<Source>),
    /// Too old to be shown, but if 123pan does not answer.
    Overdue(Arc<Listing>, Box<Source>),
    /// 123pan has not answered just now: what is missing may be there.
    Doubted(Arc<Listing>, Error),
}

impl Source {
    /// The same, and somebody waits for it.
    pub(super) fn wanted(self) -> Self {
        if let Self::Growing(growing) | Self::Awaited(growing) = &self {
            growing.want();
        }
        self
    }

    /// The member of that name, or of one that is equal after composition. `None` only from a whole listing.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Entry>, Error> {
        match self {
            Self::Kept(listing) => Ok(listing.find_composed(name).cloned()),
            // What is known is asked for often, and should not carry what waits.
            Self::Growing(growing) => Box::pin(find_growing(growing, name)).await,
            Self::Awaited(growing) => {
                let listing = Box::pin(whole(growing)).await?;
                Ok(listing.find_composed(name).cloned())
            }
            Self::Stale(listing, reading) => match listing.find_composed(name) {
                Some(entry) => Ok(Some(entry.clone())),
                None => Box::pin(reading.clone().wanted().find(name)).await,
            },
            Self::Overdue(listing, reading) => {
                let error = match timeout(OVERDUE_WAIT, Box::pin(reading.find(name))).await {
                    Ok(Err(error)) if is_outage(error.kind()) => error,
                    Ok(found) => return found,
                    Err(_) => slow(),
                };
                listing
                    .find_composed(name)
                    .map_or(Err(error), |entry| Ok(Some(entry.clone())))
            }
            Self::Doubted(listing, error) => match listing.find_composed(name) {
                Some(entry) => Ok(Some(entry.clone())),
                None => Err(error.clone()),
            },
        }
    }

    pub(super) fn follow(self) -> Follower {
        let (source, fallback) = match self {
            Self::Stale(listing, _) | Self::Doubted(listing, _) => (Self::Kept(listing), None),
            Self::Overdue(listing, reading) => (*reading, Some(listing)),
            source => (source, None),
        };
        Follower {
            source,
            fallback,
            at: 0,
            pass: 0,
            given: HashSet::new(),
            missing: 0,
        }
    }
}

async fn find_growing(growing: &Growing, name: &str) -> Result<Option<Entry>, Error> {
    let mut seen = (0, 0);
    let found = growing
        .wait(|grown| {
            if seen.0 != grown.pass {
                seen = (grown.pass, 0);
            }
            let new = grown.pages.get(seen.1..).unwrap_or_default();
            seen.1 = grown.pages.len();
            if let Some(entry) = new.iter().flat_map(|p| p.iter()).find(|e| *e.name == *name) {
                return Some(Ok(Some(entry.clone())));
            }
            match &grown.outcome {
                Some(Ok(_)) => Some(Ok(None)),
                Some(Err(error)) => Some(Err(error.clone())),
                None => None,
            }
        })
        .await?;
    if found.is_some() {
        return Ok(found);
    }
    Ok(whole(growing).await?.find_composed(name).cloned())
}

/// The whole listing, when it is read.
async fn whole(growing: &Growing) -> Result<Arc<Listing>, Error> {
    growing.wait(|grown| grown.outcome.clone()).await
}

fn slow() -> Error {
    let sentence = "123pan takes long to list this folder; try again in a moment.";
    Error::new(ErrorKind::Timeout, sentence)
}

/// Reads the members of a folder from the first to the last, as they come.
#[derive(Debug)]
pub(super) struct Follower {
    source: Source,
    /// What is shown where nothing comes.
    fallback: Option<Arc<Listing>>,
    /// Entries (kept) or pages (growing) given so far.
    at: usize,
    pass: u32,
    /// Ids given in all passes of a growing listing.
    given: HashSet<Id>,
    /// After a restart: given ids that have not come again yet.
    missing: usize,
}

impl Follower {
    pub(super) async fn next(&mut self) -> Result<Option<Chunk>, Error> {
        let Some(fallback) = self.fallback.take() else {
            return self.follow().await;
        };
        // Nothing was given yet: another listing can still be shown.
        match timeout(OVERDUE_WAIT, self.follow()).await {
            Ok(Err(error)) if is_outage(error.kind()) => {}
            Ok(first) => return first,
            Err(_) => {}
        }
        self.source = Source::Kept(fallback);
        self.at = 0;
        self.follow().await
    }

    async fn follow(&mut self) -> Result<Option<Chunk>, Error> {
        if let Source::Awaited(growing) = &self.source {
            self.source = Source::Kept(whole(growing).await?);
        }
        let growing = match &self.source {
            Source::Growing(growing) => growing.clone(),
            Source::Kept(listing) => {
                let chunk = listing.chunk(self.at);
                self.at += chunk.len();
                return Ok(Some(chunk).filter(|chunk| !chunk.is_empty()));
            }
            // Made into the others by `Source::follow` and above.
            _ => return Ok(None),
        };
        loop {
            let (at, pass) = (self.at, self.pass);
            let (pass, page) = growing
                .wait(|grown| {
                    let at = if grown.pass == pass { at } else { 0 };
                    match (grown.pages.get(at), &grown.outcome) {
                        (Some(page), _) => Some(Ok((grown.pass, Some(page.clone())))),
                        (None, Some(Ok(_))) => Some(Ok((grown.pass, None))),
                        (None, Some(Err(error))) => Some(Err(error.clone())),
                        (None, None) => None,
                    }
                })
                .await?;
            if pass != self.pass {
                self.pass = pass;
                self.at = 0;
                self.missing = self.given.len();
            }
            let Some(page) = page else {
                if self.missing > 0 {
                    let sentence = "The folder changed while it was listed; list it again.";
                    return Err(Error::new(ErrorKind::Busy, sentence));
                }
                return Ok(None);
            };
            self.at += 1;
            if self.missing == 0 {
                self.given.extend(page.iter().map(|entry| entry.id));
                if !page.is_empty() {
                    return Ok(Some(page));
                }
                continue;
            }
            let mut new = Vec::new();
            for entry in page.iter() {
                if self.given.insert(entry.id) {
                    new.push(entry.clone());
                } else {
                    self.missing -= 1;
                }
            }
            if !new.is_empty() {
                return Ok(Some(new.into()));
            }
        }
    }
}

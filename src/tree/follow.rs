//! Following a listing: a lookup stops at the page that holds its name, a PROPFIND passes pages on as they come.

use std::collections::HashSet;
use std::sync::Arc;

use super::listing::{Chunk, Growing, Listing};
use crate::drive::{Entry, Error, ErrorKind, Id};

/// Where the members of a folder come from.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Kept(Arc<Listing>),
    Growing(Arc<Growing>),
    /// Begun before one of our changes: only its end is true.
    Awaited(Arc<Growing>),
}

impl Source {
    /// The member of that name. `None` only from a whole listing.
    pub(super) async fn find(&self, name: &str) -> Result<Option<Entry>, Error> {
        match self {
            Self::Kept(listing) => Ok(listing.find(name).cloned()),
            Self::Awaited(_) => Ok(self.whole().await?.find(name).cloned()),
            Self::Growing(growing) => {
                let mut seen = (0, 0);
                growing
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
                    .await
            }
        }
    }

    /// The whole listing, when it is read.
    pub(super) async fn whole(&self) -> Result<Arc<Listing>, Error> {
        match self {
            Self::Kept(listing) => Ok(listing.clone()),
            Self::Growing(growing) | Self::Awaited(growing) => {
                growing.wait(|grown| grown.outcome.clone()).await
            }
        }
    }

    pub(super) fn follow(self) -> Follower {
        Follower {
            source: self,
            at: 0,
            pass: 0,
            given: HashSet::new(),
            missing: 0,
        }
    }
}

/// Reads the members of a folder from the first to the last, as they come.
#[derive(Debug)]
pub(super) struct Follower {
    source: Source,
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
        if let Source::Awaited(_) = &self.source {
            self.source = Source::Kept(self.source.whole().await?);
        }
        let growing = match &self.source {
            Source::Kept(listing) => {
                let chunk = listing.chunk(self.at);
                self.at += chunk.len();
                return Ok(Some(chunk).filter(|chunk| !chunk.is_empty()));
            }
            Source::Growing(growing) | Source::Awaited(growing) => growing.clone(),
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

//! One streamed answer: where its bytes come from, and the head that goes before them.

use std::io;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Response;
use http::header::HeaderValue;

use super::Engine;
use super::budget::{Account, Meter};
use super::cdn::Lane;
use super::memory::Memory;
use super::multipart::Multipart;
use super::open_file::OpenFile;
use super::parallel::{Parallel, Plan};
use super::proxy::{LONGEST_ASKED, Outage, Transfer, changed, give_up};
use super::range::{ByteRange, Spec};
use super::remembered::Remembered;
use super::upstream::{Refused, Source, Supply, Want};
use crate::body::{Body, Frames};
use crate::drive::{Error, Link, Retry};
use crate::tree::Mount;

/// Opens streams of one file at the CDN.
pub struct Opener {
    supply: Arc<Supply>,
    /// Connections for one stream, and bytes held for it.
    connections: usize,
    window: u64,
    account: Option<Arc<Account>>,
    /// The CDN's entity tag of what was sent first: no other may follow in the same answer.
    version: OnceLock<HeaderValue>,
}

/// An open stream.
pub struct Stream {
    /// Its bytes.
    pub frames: Frames,
    /// Position of the first.
    pub start: u64,
    /// Position after the last.
    pub end: u64,
    /// Size of the whole file.
    pub size: u64,
    /// The CDN's entity tag.
    pub etag: Option<HeaderValue>,
}

impl Opener {
    /// Opens what is wanted, over several connections where the mount says so and it is worth it.
    ///
    /// # Errors
    /// See [`Source::open`].
    pub async fn open(&self, mut want: Want) -> Result<Stream, Refused> {
        let several = self.plan(&want).and_then(|(plan, range)| {
            let lane = self.supply.cdn.several(plan.window())?;
            Some((plan, range, lane))
        });
        let (plan, lane) = match several {
            Some((plan, range, lane)) => (Some((plan, range)), lane),
            None => (None, self.supply.cdn.lane()),
        };
        if let Some((plan, range)) = plan {
            // The first range is short, so that the others begin soon.
            let last = range.first + self.supply.limits.part - 1;
            want.spec = Some(Spec::From(range.first, Some(last.min(range.last))));
            tracing::debug!(mount = %self.supply.mount, connections = plan.connections(), "a download over several connections");
        }
        let source = self.source(lane);
        let mut opened = source.open(want).await?;
        let etag = opened.etag.clone();
        if !self.is_same(etag.as_ref()) {
            return Err(changed().into());
        }
        let meter = self.meter();
        let (start, size) = (opened.start, opened.size);
        let end = plan.map_or(opened.end, |(_, range)| range.last + 1);
        let frames: Frames = match plan {
            Some((plan, _)) if !opened.whole => Box::pin(Parallel::new(source, opened, end, plan, meter)),
            _ => {
                // A CDN that ignores ranges brings all of it at once.
                opened.end = end;
                Box::pin(Transfer::new(Arc::new(source), opened, meter))
            }
        };
        Ok(Stream {
            frames,
            start,
            end,
            size,
            etag,
        })
    }

    /// The same in the middle of an answer, which bears an outage.
    ///
    /// # Errors
    /// See [`Source::open`].
    pub async fn open_further(&self, want: Want) -> Result<Stream, Refused> {
        let (mut outage, mut tries) = (Outage::default(), 0);
        loop {
            let error = match self.open(want.clone()).await {
                Err(Refused::Failed(error)) => error,
                opened => return opened,
            };
            if error.retry() == Retry::Never || !outage.bears(&self.supply.limits) {
                return Err(Refused::Failed(error));
            }
            tracing::debug!(mount = %self.supply.mount, "a download waits: {error}");
            tries += 1;
            let asked = match error.retry() {
                Retry::After(pause) => pause.min(LONGEST_ASKED),
                _ => Duration::ZERO,
            };
            tokio::time::sleep(self.supply.limits.pause_before(tries, asked)).await;
        }
    }

    /// Whether bytes with this entity tag of the CDN may follow those that were sent.
    pub fn is_same(&self, etag: Option<&HeaderValue>) -> bool {
        etag.is_none_or(|etag| self.version.get_or_init(|| etag.clone()) == etag)
    }

    /// The end of an answer at byte `at` instead of `end`.
    pub fn give_up(&self, at: u64, end: u64, error: Error) -> io::Error {
        give_up(&self.supply.mount, at, end, error)
    }

    /// Counts bytes for the mount's budget.
    pub fn meter(&self) -> Option<Meter> {
        self.account.as_ref().map(Account::meter)
    }

    /// How long one answer may wait for what other downloads bring.
    pub fn patience(&self) -> Duration {
        self.supply.limits.follow
    }

    fn source(&self, lane: Lane) -> Source {
        let supply = Arc::clone(&self.supply);
        Source { lane, supply }
    }

    /// How several connections share the bytes that are wanted; `None` where one will do.
    fn plan(&self, want: &Want) -> Option<(Plan, ByteRange)> {
        let range = want.spec.unwrap_or(Spec::From(0, None)).resolve(want.size?)?;
        let plan = Plan::of(
            self.connections,
            self.window,
            self.supply.limits.part,
            range.length(),
        )?;
        Some((plan, range))
    }
}

impl Engine {
    fn opener(
        &self,
        file: &OpenFile,
        mount: &Mount,
        account: Option<Arc<Account>>,
    ) -> Result<Arc<Opener>, Error> {
        let delivery = &mount.settings.delivery;
        Ok(Arc::new(Opener {
            supply: Arc::clone(file.supply(self, mount)?),
            connections: delivery.proxy_connections,
            window: delivery.proxy_window,
            account,
            version: OnceLock::new(),
        }))
    }

    /// The same for several ranges of a file of `size` bytes: the first bytes of the first of them.
    pub(super) async fn stream_parts(
        &self,
        file: &OpenFile,
        mount: &Mount,
        (ranges, size): (&[ByteRange], u64),
        link: Option<Arc<Link>>,
        account: Option<Arc<Account>>,
        memory: Option<Memory>,
    ) -> Result<Response<Body>, Error> {
        let opener = self.opener(file, mount, account)?;
        let file = &file.shown;
        let part = move |range| Remembered::new(Arc::clone(&opener), memory.clone(), range, size);
        let Some(first) = ranges.first() else {
            return Ok(file.unsatisfiable(Some(size)));
        };
        let mut begun = match part(*first).begun(link).await {
            Ok(begun) => Some(begun),
            Err(Refused::Unsatisfiable(size)) => return Ok(file.unsatisfiable(size)),
            Err(Refused::Failed(error)) => return Err(error),
        };
        let open = move |range| -> Frames { Box::pin(begun.take().unwrap_or_else(|| part(range))) };
        let body = Multipart::new(ranges, size, file.media_type(), Box::new(open));
        Ok(file.parts(body))
    }

    /// Has the first bytes at hand, and only then builds the head from what we know.
    pub(super) async fn stream(
        &self,
        file: &OpenFile,
        mount: &Mount,
        want: Want,
        account: Option<Arc<Account>>,
        memory: Option<Memory>,
    ) -> Result<Response<Body>, Error> {
        let opener = self.opener(file, mount, account)?;
        let file = &file.shown;
        let partial = want.spec.is_some();
        let known = want.size.and_then(|size| {
            let range = want.spec.unwrap_or(Spec::From(0, None)).resolve(size)?;
            Some((range, size))
        });
        let answer = match (known, memory) {
            (Some((range, size)), Some(memory)) => {
                let body = Remembered::new(opener, Some(memory), range, size);
                body.begun(want.link)
                    .await
                    .map(|body| (Body::stream(body), range.first, range.last + 1, size))
            }
            _ => opener
                .open(want)
                .await
                .map(|stream| (Body::Stream(stream.frames), stream.start, stream.end, stream.size)),
        };
        let (body, start, end, size) = match answer {
            Ok(answer) => answer,
            Err(Refused::Unsatisfiable(size)) => return Ok(file.unsatisfiable(size)),
            Err(Refused::Failed(error)) => return Err(error),
        };
        Ok(if partial && start < end {
            let range = ByteRange {
                first: start,
                last: end - 1,
            };
            file.part(range, size, body)
        } else {
            file.whole(Some(size), body)
        })
    }
}

//! GET and HEAD of files: preconditions, then the way the bytes take to the client.
//!
//! HEAD, 304, 412, 416 and empty files are answered from what is known and cost no call. For the rest
//! `strategy` decides between a 302 to the CDN (`redirect`), the bytes streamed through (`download`: by
//! `proxy` over one connection, by `parallel` over several, both over `upstream` and `cdn`) and a 302 to a
//! signed proxy (`proxy_url`). Files whose size nobody could say take their length from the CDN's answer.

mod budget;
mod cdn;
mod client;
mod connect;
mod count;
mod download;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod memory;
mod multipart;
mod open_file;
mod origin;
mod parallel;
mod pool;
mod precondition;
mod proxy;
mod proxy_url;
mod range;
mod recent;
mod redirect;
mod referer;
mod remembered;
mod representation;
mod role;
mod strategy;
mod target;
#[cfg(test)]
mod tests;
mod thumbnail;
mod upstream;

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::TryStreamExt;
use http::header::{HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response};
use http_body::Frame;
use http_body_util::{BodyStream, StreamBody};
use prometheus_client::metrics::counter::Counter;

use self::budget::{Account, Budgets};
use self::cdn::{Cdn, Cdns};
pub use self::client::FORWARDS;
use self::client::{Client, Lessons};
use self::count::{Counted, Tally};
use self::memory::Blocks;
use self::multipart::Multipart;
pub use self::open_file::OpenFile;
use self::origin::Origin;
use self::precondition::Outcome;
pub use self::proxy_url::hands_out;
use self::range::{ByteRange, Spec, Wanted};
use self::referer::Referers;
use self::representation::Representation;
use self::role::Role;
use self::strategy::{Case, Experience, Way};
use self::upstream::{Limits, Probe, Want};
use crate::body::{Body, Frames};
use crate::config::{self, Budget, Strategy};
use crate::drive::{Content, DriveFuture, Error, ErrorKind, Link, LinkWish};
use crate::metrics::Metrics;
use crate::tree::{Fetch, FileStream, Mount, Resource, Tree};

/// Says on every GET that left from here which strategy answered it.
const DELIVERY: HeaderName = HeaderName::from_static("x-dav123-delivery");
/// How long the CDN may take to begin its answer.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
/// A worker fetches at once; its link need not live long.
const WORKER_LINK_LIFE: Duration = Duration::from_secs(5 * 60);

/// Asks the CDN for one byte as a redirected client would, without a Referer (webdav-clients R1); a sentence where it
/// refuses. For `check`.
pub async fn redirect_refused(link: &Link) -> Option<String> {
    let cdn = Cdn::new(HEAD_TIMEOUT, None).ok()?;
    let sentence = match upstream::probe(&cdn, link, None).await {
        Probe::Works => return None,
        Probe::Unreachable => {
            "a redirect could not be tried: the CDN cannot be reached from here; try the link from where the clients are."
        }
        Probe::Refused if link.open_to_all => {
            "a redirect would be refused: the CDN does not give this file; compare uid and private_key with the direct-link \
             page, and look whether the file is still there."
        }
        Probe::Refused => {
            "a redirect would be refused: the CDN refuses a redirected client, because it sends no Referer; set strategy = \
             \"auto\" or \"proxy\"."
        }
    };
    Some(sentence.to_owned())
}

/// Asks the origin of `[proxy]` whether it takes this proxy's secret. For `check`.
///
/// # Errors
/// What is wrong with the origin, or with the secret.
pub async fn origin_takes(proxy: &config::Proxy) -> Result<(), Error> {
    let cdn = Arc::new(Cdn::new(HEAD_TIMEOUT, None)?);
    Origin::new(proxy, cdn, Counter::default()).check().await
}

/// Answers GET and HEAD of files. Shared by all requests.
#[derive(Debug)]
pub struct Delivery {
    tree: Arc<Tree>,
    engine: Engine,
    role: Option<Role>,
}

/// All of it but the tree.
#[derive(Debug)]
struct Engine {
    experience: Experience,
    budgets: Budgets,
    blocks: Arc<Blocks>,
    limits: Limits,
    tally: Tally,
}

/// An answer to a GET or HEAD of a file, and the way that a GET took which had one.
pub type Answer = (Response<Body>, Option<Strategy>);

impl Delivery {
    /// Nothing is connected and nothing learned yet; beginnings and ends of files are kept in `blocks` bytes. With `proxy` it
    /// answers signed URLs of another dav123 too.
    ///
    /// # Errors
    /// `Unsupported` if the TLS library refuses its own defaults.
    pub fn new(
        tree: Arc<Tree>,
        proxy: Option<&config::Proxy>,
        blocks: u64,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Error> {
        let mut engine = Engine::new(HEAD_TIMEOUT, Limits::default(), blocks, Arc::clone(&metrics))?;
        engine.tally = Tally::new(Arc::clone(&metrics), tree.mounts().len());
        let cdn = engine.experience.cdns.of(None)?;
        Ok(Self {
            tree,
            role: proxy.map(|proxy| Role::new(proxy, cdn, &metrics)),
            engine,
        })
    }

    /// Keeps what is counted against budgets in the state directory, over restarts.
    #[must_use]
    pub fn counting_in(mut self, state_dir: &Path) -> Self {
        self.engine.budgets = Budgets::kept_in(state_dir);
        self
    }

    /// Writes what was counted since the last time. Waits for the disk.
    pub fn keep_counts(&self) {
        self.engine.budgets.keep();
    }

    /// Opens a file of the tree.
    pub fn open(&self, file: Resource) -> OpenFile {
        OpenFile::of_tree(Arc::clone(&self.tree), file)
    }

    /// Answers a GET or HEAD of a file. `peer` is the client's address, `https` whether it came by TLS.
    ///
    /// # Errors
    /// `IsAFolder` for a folder, `Unsupported` for another method, `Forbidden` past the mount's budget;
    /// `Nonsense`, `Busy`, `Unreachable`, `Timeout` of the CDN; what asking for a link gives.
    pub async fn get(
        &self,
        request: &Parts,
        file: &OpenFile,
        peer: IpAddr,
        https: bool,
    ) -> Result<Answer, Error> {
        let client = Client::of(request, peer, https);
        self.engine.get(request, file, client).await
    }

    /// Bytes of a mount's budget that are used, and the budget; `None` where it has none.
    pub fn spent(&self, mount: &Mount) -> Option<(u64, Budget)> {
        let budget = mount.settings.delivery.budget?;
        let account = self.engine.budgets.account(&mount.path, budget);
        Some((account.used(SystemTime::now()), budget))
    }

    /// Whether this is the `proxy_secret` of some mount with strategy proxy-url.
    pub fn knows_worker(&self, token: &str) -> bool {
        proxy_url::opens_any(self.tree.mounts().iter().map(|mount| &**mount), token)
    }

    /// The answer to a worker whose secret nobody knows.
    pub fn unknown_worker(&self) -> Response<Body> {
        let mut mounts = self.tree.mounts().iter();
        if mounts.any(|mount| proxy_url::hands_out(&mount.settings.delivery)) {
            return proxy_url::unauthorized();
        }
        proxy_url::refused(&Error::new(
            ErrorKind::NotFound,
            "No mount here has the strategy proxy-url.",
        ))
    }

    /// Answers `POST /api/fs/link`, by which a proxy of the OpenList family that [is known](Self::knows_worker) asks for a link:
    /// `token` is the raw `Authorization`, which must be the `proxy_secret` of the file's mount.
    pub async fn fs_link(&self, token: &str, body: Bytes) -> Response<Body> {
        let link = async {
            let asked = proxy_url::asked(&body)?;
            let file = self.tree.resolve(&asked.path).await?;
            let opens = |mount: &Arc<Mount>| proxy_url::opens(&mount.settings.delivery, token);
            if !file.mount.as_ref().is_some_and(opens) {
                return Err(Error::new(
                    ErrorKind::Forbidden,
                    "This proxy_secret is not that of the file's mount.",
                ));
            }
            if file.is_folder() {
                return Err(is_a_folder());
            }
            let wish = LinkWish {
                at_least: WORKER_LINK_LIFE,
                refused: asked.refused,
            };
            let link = self.tree.link(&file, wish).await?;
            Ok((link, file))
        };
        match link.await {
            Ok((link, file)) => proxy_url::granted(&link, &file.entry, &self.engine.experience.referers),
            Err(error) => proxy_url::refused(&error),
        }
    }
}

impl Fetch for Delivery {
    /// One stream, resumed where it breaks, as a `proxy` download is.
    fn fetch<'a>(&'a self, file: &'a Resource) -> DriveFuture<'a, FileStream> {
        Box::pin(async move {
            let mount = file.mount.as_ref().ok_or_else(is_a_folder)?;
            let want = Want {
                spec: None,
                size: file.entry.size,
                link: None,
            };
            let file = self.open(file.clone());
            let response = self.engine.stream(&file, mount, want, None, None).await?;
            let frames = BodyStream::new(response.into_body());
            let bytes = frames.try_filter_map(async |frame| Ok(frame.into_data().ok()));
            Ok(Box::pin(bytes) as FileStream)
        })
    }
}

impl Engine {
    fn new(
        head_timeout: Duration,
        limits: Limits,
        blocks: u64,
        metrics: Arc<Metrics>,
    ) -> Result<Self, Error> {
        Ok(Self::over(Cdns::new(head_timeout)?, limits, blocks, metrics))
    }

    fn over(cdns: Cdns, limits: Limits, blocks: u64, metrics: Arc<Metrics>) -> Self {
        Self {
            experience: Experience {
                cdns,
                referers: Arc::new(Referers::new()),
                lessons: Lessons::new(),
            },
            budgets: Budgets::default(),
            blocks: Blocks::new(blocks),
            limits,
            tally: Tally::new(metrics, 0),
        }
    }

    async fn get(&self, request: &Parts, open: &OpenFile, client: Client<'_>) -> Result<Answer, Error> {
        let OpenFile {
            resource,
            links,
            shown: file,
            ..
        } = open;
        let Some(mount) = resource.mount.as_deref().filter(|_| !resource.is_folder()) else {
            return Err(is_a_folder());
        };
        if request.method != Method::GET && request.method != Method::HEAD {
            return Err(Error::new(
                ErrorKind::Unsupported,
                "Only GET and HEAD read a file.",
            ));
        }
        let headers = &request.headers;
        let etag = if precondition::is_conditional(headers) {
            let etag = file.etag();
            match precondition::evaluate(headers, etag, file.modified) {
                Outcome::Proceed => {}
                Outcome::NotModified => return Ok((file.not_modified(), None)),
                Outcome::Failed => return Ok((file.precondition_failed(), None)),
            }
            etag
        } else {
            None
        };
        // Range means nothing to HEAD (RFC 9110 14.2).
        if request.method == Method::HEAD || file.size == Some(0) {
            return Ok((file.whole(file.size, Body::Empty), None));
        }
        let asked = range::asked(headers, etag, file.modified);
        let mut parts = None;
        let spec = match (file.size, &*asked) {
            (Some(size), asked) => match range::wanted(asked, size) {
                Wanted::Whole => None,
                Wanted::Part(range) => Some(Spec::from(range)),
                Wanted::Parts(ranges) => {
                    parts = Some((ranges, size));
                    None
                }
                Wanted::Unsatisfiable => return Ok((file.unsatisfiable(Some(size)), None)),
            },
            (None, [one]) => Some(*one),
            (None, _) => None,
        };
        if let Some(content) = links.local() {
            let response = match parts {
                Some((ranges, size)) if size == content.size() => local_parts(file, content, &ranges),
                _ => local(file, &*content, spec),
            };
            return Ok((response, None));
        }
        let delivery = &mount.settings.delivery;
        let account = delivery
            .budget
            .map(|budget| self.budgets.account(&mount.path, budget));
        if let Some(account) = &account {
            account.admit(SystemTime::now())?;
        }
        let counts = self.tally.of(mount);
        let case = Case {
            delivery,
            mount: &mount.settings.path,
            file: &resource.path,
            size: file.size,
            from_start: parts.is_none() && spec.is_none_or(|spec| matches!(spec, Spec::From(0, _))),
            client,
            links,
            counts,
        };
        let (way, why) = strategy::decide(&case, &self.experience).await?;
        let strategy = way.strategy();
        let name = strategy.name();
        tracing::debug!(file = %resource.path, agent = client.agent, delivery = name, "delivery decided: {why}");
        let now = SystemTime::now();
        let mut response = match way {
            Way::Redirect(link) => redirect::found(link.expose(), link.until, now)?,
            Way::ProxyUrl => match (&delivery.proxy_url, &delivery.proxy_secret) {
                (Some(base), Some(secret)) => {
                    let until = now + proxy_url::SIGNED_FOR;
                    let url = proxy_url::signed(base, secret, &resource.path, until);
                    redirect::found(&url, until, now)?
                }
                _ => {
                    return Err(Error::new(
                        ErrorKind::Unsupported,
                        "This mount has no proxy_url or no proxy_secret; set both, or another strategy.",
                    ));
                }
            },
            Way::Proxy(link) => {
                let want = Want {
                    spec,
                    size: file.size,
                    link,
                };
                let memory = self.blocks.of(mount, &resource.entry);
                let account = account.clone();
                let response = match &parts {
                    Some((ranges, size)) => {
                        let parts = (&**ranges, *size);
                        Box::pin(self.stream_parts(open, mount, parts, want.link, account, memory)).await?
                    }
                    None => Box::pin(self.stream(open, mount, want, account, memory)).await?,
                };
                let count = |body| Body::stream(Counted::new(body, Arc::clone(counts)));
                response.map(count)
            }
        };
        let elsewhere = match strategy {
            Strategy::Redirect | Strategy::ProxyUrl => count(account.as_deref(), file, spec, parts.as_ref()),
            _ => 0,
        };
        counts.delivered(strategy, elsewhere);
        response
            .headers_mut()
            .insert(DELIVERY, HeaderValue::from_static(name));
        Ok((response, Some(strategy)))
    }
}

/// The bytes of a file that is not at 123pan yet, from the spool.
fn local(file: &Representation, content: &dyn Content, spec: Option<Spec>) -> Response<Body> {
    let size = content.size();
    let range = spec.and_then(|spec| spec.resolve(size));
    let (from, length) = range.map_or((0, size), |range| (range.first, range.length()));
    let body = Body::stream(StreamBody::new(content.read(from, length).map_ok(Frame::data)));
    match range {
        Some(range) => file.part(range, size, body),
        None => file.whole(Some(size), body),
    }
}

/// Several ranges of such a file.
fn local_parts(file: &Representation, content: Arc<dyn Content>, ranges: &[ByteRange]) -> Response<Body> {
    let size = content.size();
    let open = move |range: ByteRange| -> Frames {
        let bytes = content.read(range.first, range.length());
        Box::pin(StreamBody::new(bytes.map_ok(Frame::data)))
    };
    file.parts(Multipart::new(ranges, size, file.media_type(), Box::new(open)))
}

/// Counts what a redirected client will fetch: all that it asked for, in bytes.
fn count(
    account: Option<&Account>,
    file: &Representation,
    spec: Option<Spec>,
    parts: Option<&(Vec<ByteRange>, u64)>,
) -> u64 {
    let Some(size) = file.size else { return 0 };
    let bytes = match (spec, parts) {
        (Some(spec), _) => spec.resolve(size).map_or(0, ByteRange::length),
        (None, Some((ranges, _))) => ranges.iter().map(|range| range.length()).sum(),
        (None, None) => size,
    };
    if let Some(account) = account {
        account.add(bytes, SystemTime::now());
    }
    bytes
}

fn is_a_folder() -> Error {
    Error::new(
        ErrorKind::IsAFolder,
        "This is a folder; only files have bytes to fetch.",
    )
}

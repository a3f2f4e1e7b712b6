//! Opening the bytes of a file at the CDN: link, request, and the judgement of what came back.
//!
//! Nothing is believed that does not fit: a ranged request needs 206 with exactly this range of a file of
//! exactly the known size, a full one needs a `Content-Length` equal to it. A CDN that ignores `Range` is
//! recognised (200, right size) and read from the start. A refusal (401, 403, 404, 410, or 123pan's JSON with
//! a `code` in place of the file) costs one fresh link, a refused `Referer` the link's next one.

use std::borrow::Cow;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Response;
use http::header::{CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderValue, RETRY_AFTER};
use http_body::Body as _;
use http_body_util::BodyExt;

use super::cdn::{Ask, Cdn, Lane};
use super::count::Counts;
use super::pool::Arriving;
use super::range::{ByteRange, Spec, parse_content_range};
use super::referer::Referers;
use super::target::Target;
use crate::drive::{Content, Error, ErrorKind, Link, LinkWish, Retry};

/// Bytes read of an answer that is not the file, to see what it says.
const PEEK: usize = 4096;
/// How long that may take.
const PEEK_TIMEOUT: Duration = Duration::from_secs(5);
/// Pauses between resumptions double up to this.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
/// How long the probe of a link may take: a client waits for the answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(5);

/// The future of [`Links::link`]; it borrows nothing, because a body asks for links too.
pub type LinkFuture = Pin<Box<dyn Future<Output = Result<Arc<Link>, Error>> + Send>>;

/// Where the links of one file come from: the tree, or a test.
pub trait Links: Send + Sync {
    /// A link for the file that is remembered and lives `at_least` so long.
    fn at_hand(&self, at_least: Duration) -> Option<Arc<Link>> {
        let _ = at_least;
        None
    }

    /// A link for the file.
    fn link(self: Arc<Self>, wish: LinkWish) -> LinkFuture;

    /// The bytes themselves, where they are ours and not at 123pan yet.
    fn local(&self) -> Option<Arc<dyn Content>> {
        None
    }
}

/// A link that lives `at_least` so long, where the drive can choose: the one at hand, else one that is asked for.
///
/// # Errors
/// What asking for a link gives.
pub async fn link(links: &Arc<dyn Links>, at_least: Duration) -> Result<Arc<Link>, Error> {
    if let Some(link) = links.at_hand(at_least) {
        return Ok(link);
    }
    let wish = LinkWish {
        at_least,
        refused: None,
    };
    Arc::clone(links).link(wish).await
}

/// Patience and measures of a transfer.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// How long no byte may come while the client waits for one.
    pub stall: Duration,
    /// Resumptions in a row that bring nothing on.
    pub resumes: u32,
    /// Pause before a second try; doubled for each further one.
    pub pause: Duration,
    /// How long a stream that has begun waits for a CDN, or 123pan, that is away.
    pub outage: Duration,
    /// How long a waiting client is left to one of several connections while another is idle.
    pub slow: Duration,
    /// How long one answer waits in all for bytes that other downloads are about to bring.
    pub follow: Duration,
    /// Smallest range that is worth a request of its own, and the first one of several. In bytes.
    pub part: u64,
}

impl Limits {
    /// The pause before a stream is opened again that was opened again so often already; `at_least` was asked for.
    pub fn pause_before(&self, resumes: u32, at_least: Duration) -> Duration {
        match resumes {
            0 => at_least,
            n => (self.pause * 2_u32.saturating_pow(n - 1))
                .min(LONGEST_PAUSE)
                .max(at_least),
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Below the 20 s after which Kodi gives up by itself (its curllowspeedtime).
            stall: Duration::from_secs(15),
            resumes: 5,
            pause: Duration::from_millis(200),
            outage: Duration::from_secs(90),
            slow: Duration::from_secs(1),
            follow: Duration::from_secs(3),
            part: 256 * 1024,
        }
    }
}

/// What one transfer needs to open its file, and to open it again after a break.
pub struct Source {
    /// Which of the clients.
    pub lane: Lane,
    /// The rest, which all answers about an open file have in common.
    pub supply: Arc<Supply>,
}

/// Where the bytes of one file come from.
pub struct Supply {
    /// The clients.
    pub cdn: Arc<Cdn>,
    /// Where links come from.
    pub links: Arc<dyn Links>,
    /// What is known about `Referer`.
    pub referers: Arc<Referers>,
    /// Path of the mount, for what is learned.
    pub mount: String,
    /// The media type that the file has by its name.
    pub media_type: Cow<'static, str>,
    /// Patience.
    pub limits: Limits,
    /// What is counted.
    pub counts: Arc<Counts>,
    /// The link that was used last, taken apart.
    pub target: Mutex<Option<(Arc<Link>, Arc<Target>)>>,
}

impl Supply {
    fn target(&self, link: &Arc<Link>) -> Result<Arc<Target>, Error> {
        let mut last = self.target.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, target)) = last.as_ref().filter(|(of, _)| Arc::ptr_eq(of, link)) {
            return Ok(Arc::clone(target));
        }
        let target = Arc::new(Target::parse(link.expose())?);
        *last = Some((Arc::clone(link), Arc::clone(&target)));
        Ok(target)
    }
}

/// Which bytes of which file.
#[derive(Debug, Clone, Default)]
pub struct Want {
    /// A part; `None`: all of it.
    pub spec: Option<Spec>,
    /// The size of the file, where it is known.
    pub size: Option<u64>,
    /// A link in hand.
    pub link: Option<Arc<Link>>,
}

/// An upstream stream that was found to be the file.
#[derive(Debug)]
pub struct Opened {
    /// Its frames; the first `skip` bytes of them come before `start`.
    pub body: Arriving,
    /// Bytes to throw away, of a CDN that ignores `Range`.
    pub skip: u64,
    /// Position of the first byte wanted.
    pub start: u64,
    /// Position after the last byte wanted.
    pub end: u64,
    /// Size of the whole file.
    pub size: u64,
    /// The CDN's own entity tag.
    pub etag: Option<HeaderValue>,
    /// The answer is the whole file, whatever was asked.
    pub whole: bool,
}

/// Why a stream could not be opened.
#[derive(Debug)]
pub enum Refused {
    /// The file, whose size was not known, has no such bytes; its size, where the CDN said it.
    Unsatisfiable(Option<u64>),
    /// All else.
    Failed(Error),
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// What an answer of the CDN is.
#[derive(Debug)]
enum Verdict {
    Opened(Opened),
    Unsatisfiable(Option<u64>),
    /// The `Referer` was not the right one.
    WrongReferer,
    /// The link does not work (any longer); the sentence says how it was refused.
    DeadLink(String),
    /// The CDN is ill; it may be well again in a moment.
    Ill(Error),
    Wrong(Error),
}

impl Source {
    /// Opens the stream: at most two links, each with all of its referers, and one second try after a fault.
    ///
    /// # Errors
    /// `Nonsense` for what is not the file and for a refused fresh link, `Busy`, `Unreachable`, `Timeout`,
    /// and what asking for a link gives.
    pub async fn open(&self, want: Want) -> Result<Opened, Refused> {
        let range = want.spec.map(Spec::header);
        let mut link = match &want.link {
            Some(link) => Arc::clone(link),
            None => self::link(&self.supply.links, Duration::ZERO).await?,
        };
        let (mut renewed, mut tried_again) = (false, false);
        loop {
            let why = match self.try_link(&link, range.as_deref(), &want).await {
                Verdict::Opened(opened) => return Ok(opened),
                Verdict::Unsatisfiable(size) => return Err(Refused::Unsatisfiable(size)),
                Verdict::Wrong(error) => return Err(error.into()),
                Verdict::Ill(error) if tried_again => return Err(error.into()),
                Verdict::Ill(error) => {
                    tried_again = true;
                    // A kept connection that the CDN had closed is no reason to wait.
                    if error.kind() != ErrorKind::Unreachable {
                        tokio::time::sleep(self.supply.limits.pause).await;
                    }
                    continue;
                }
                Verdict::WrongReferer => "it demands another Referer".to_owned(),
                Verdict::DeadLink(why) => why,
            };
            self.supply.referers.refused(&self.supply.mount, &link);
            self.supply.counts.refusals.inc();
            tracing::debug!(mount = %self.supply.mount, link = %link.loggable(), renewed, "the CDN refused a link: {why}");
            let rests = match self.supply.referers.rests(&link) {
                None if renewed => Some(self.supply.referers.refused_fresh(&link)),
                rests => rests,
            };
            if let Some(pause) = rests {
                return Err(Error::new(
                    ErrorKind::Nonsense,
                    format!("123pan's CDN refused a fresh download link ({why}); try again later."),
                )
                .with_retry(Retry::After(pause))
                .into());
            }
            renewed = true;
            let wish = LinkWish {
                refused: Some(link),
                ..LinkWish::default()
            };
            link = Arc::clone(&self.supply.links).link(wish).await?;
        }
    }

    async fn try_link(&self, link: &Arc<Link>, range: Option<&str>, want: &Want) -> Verdict {
        let target = match self.supply.target(link) {
            Ok(target) => target,
            Err(error) => return Verdict::Wrong(error),
        };
        let mut last = Verdict::WrongReferer;
        for referer in self.supply.referers.order(link) {
            let ask = Ask {
                to: &target,
                range,
                referer,
                headers: &link.headers,
            };
            let verdict = match self.supply.cdn.get(&self.lane, ask).await {
                Ok(response) => judge(response, want, &self.supply.media_type).await,
                Err(error) if error.kind() == ErrorKind::Unreachable => Verdict::Ill(error),
                Err(error) => Verdict::Wrong(error),
            };
            match verdict {
                Verdict::WrongReferer => last = verdict,
                // A page or a film about theft in place of the file is a way to refuse a Referer too.
                Verdict::Wrong(ref error) if error.kind() == ErrorKind::Nonsense => last = verdict,
                verdict => {
                    if matches!(verdict, Verdict::Opened(_)) {
                        self.supply.referers.note(link, referer);
                    }
                    return verdict;
                }
            }
        }
        last
    }
}

/// What asking for a link's first byte showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Probe {
    /// It came.
    Works,
    /// The CDN answered otherwise.
    Refused,
    /// The CDN did not answer.
    Unreachable,
}

/// Whether the link's first byte comes without any `Referer`.
pub async fn works_without_referer(cdn: &Cdn, link: &Link, size: Option<u64>) -> bool {
    probe(cdn, link, size).await == Probe::Works
}

/// Asks for the link's first byte without any `Referer`, as a redirected client does: one byte of traffic.
pub async fn probe(cdn: &Cdn, link: &Link, size: Option<u64>) -> Probe {
    let Ok(target) = Target::parse(link.expose()) else {
        return Probe::Unreachable;
    };
    let ask = Ask {
        to: &target,
        range: Some("bytes=0-0"),
        referer: None,
        headers: &[],
    };
    let want = Want {
        spec: Some(Spec::From(0, Some(0))),
        size,
        link: None,
    };
    let lane = cdn.lane();
    let asked = async {
        let Ok(response) = cdn.get(&lane, ask).await else {
            return Probe::Unreachable;
        };
        match judge(response, &want, "").await {
            Verdict::Opened(_) => Probe::Works,
            _ => Probe::Refused,
        }
    };
    let asked = tokio::time::timeout(PROBE_TIMEOUT, asked).await;
    asked.unwrap_or(Probe::Unreachable)
}

async fn judge(response: Response<Arriving>, want: &Want, media_type: &str) -> Verdict {
    let (head, body) = response.into_parts();
    let status = head.status.as_u16();
    let length = body.size_hint().exact();
    let encoded = head
        .headers
        .get(CONTENT_ENCODING)
        .is_some_and(|value| value != "identity");
    let covered = match status {
        _ if encoded => None,
        200 => {
            // Without a known size, a page in place of the file is told by its type alone.
            let page = want.size.is_none() && is_page(&head.headers, media_type);
            length
                .filter(|&length| want.size.is_none_or(|size| size == length) && !page)
                .map(|size| (None, size))
        }
        206 => head
            .headers
            .get(CONTENT_RANGE)
            .and_then(|value| parse_content_range(value.to_str().ok()?))
            .and_then(|(range, total)| Some((Some(range?), total.or(want.size)?)))
            .filter(|&(range, size)| {
                want.size.is_none_or(|known| known == size)
                    && range.is_some_and(|range| length.is_none_or(|length| length == range.length()))
            }),
        416 if want.size.is_none() => {
            let value = head
                .headers
                .get(CONTENT_RANGE)
                .and_then(|value| value.to_str().ok());
            return Verdict::Unsatisfiable(value.and_then(parse_content_range).and_then(|(_, size)| size));
        }
        429 => return Verdict::Wrong(busy(head.headers.get(RETRY_AFTER))),
        500..=599 => {
            return Verdict::Ill(Error::new(
                ErrorKind::Nonsense,
                format!("123pan's CDN failed (HTTP {status}); try again later."),
            ));
        }
        _ => None,
    };
    let Some((range, size)) = covered else {
        return not_the_file(status, body).await;
    };
    let (start, end) = match want.spec {
        None => (0, size),
        Some(spec) => match spec.resolve(size) {
            Some(ByteRange { first, last }) => (first, last + 1),
            None => return Verdict::Unsatisfiable(Some(size)),
        },
    };
    if range.is_some_and(|range| range.first != start || range.last.checked_add(1) != Some(end)) {
        return Verdict::Wrong(nonsense(status));
    }
    Verdict::Opened(Opened {
        body,
        skip: if range.is_none() { start } else { 0 },
        start,
        end,
        size,
        etag: head.headers.get(ETAG).cloned(),
        whole: range.is_none(),
    })
}

/// Tells a refusal from nonsense by the first bytes of the body.
async fn not_the_file(status: u16, body: Arriving) -> Verdict {
    let text = peek(body).await;
    let answer: Option<serde_json::Value> = serde_json::from_slice(&text).ok();
    // 123pan's codes come as numbers and as strings (API page 2.4).
    let code = answer
        .as_ref()
        .and_then(|answer| answer.get("code"))
        .and_then(|code| code.as_i64().or_else(|| code.as_str()?.parse().ok()));
    let text = String::from_utf8_lossy(&text).to_ascii_lowercase();
    if !matches!(status, 401 | 403 | 404 | 410) && code.is_none() {
        return Verdict::Wrong(nonsense(status));
    }
    if text.contains("referer") {
        return Verdict::WrongReferer;
    }
    if text.contains("realc") {
        return Verdict::DeadLink("it is bound to another city".to_owned());
    }
    Verdict::DeadLink(match code {
        Some(code) => format!("HTTP {status}, code {code}"),
        None => format!("HTTP {status}"),
    })
}

async fn peek(mut body: Arriving) -> Bytes {
    let mut text = BytesMut::new();
    let read = async {
        while let Some(Ok(frame)) = body.frame().await {
            if let Ok(data) = frame.into_data() {
                text.extend_from_slice(&data[..data.len().min(PEEK - text.len())]);
            }
            if text.len() == PEEK {
                break;
            }
        }
    };
    // Whatever came in time is enough to judge by.
    let _ = tokio::time::timeout(PEEK_TIMEOUT, read).await;
    text.freeze()
}

/// HTML or JSON where the name says something else.
fn is_page(headers: &http::HeaderMap, media_type: &str) -> bool {
    let Some(sent) = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()) else {
        return false;
    };
    ["text/html", "application/json"].iter().any(|page| {
        sent.get(..page.len())
            .is_some_and(|sent| sent.eq_ignore_ascii_case(page))
            && !media_type.starts_with(page)
    })
}

fn nonsense(status: u16) -> Error {
    Error::new(
        ErrorKind::Nonsense,
        format!(
            "123pan's CDN answered with something that is not the file (HTTP {status}); try again later."
        ),
    )
}

fn busy(retry_after: Option<&HeaderValue>) -> Error {
    let error = Error::new(
        ErrorKind::Busy,
        "123pan's CDN asks to slow down; try again later.",
    );
    match retry_after.and_then(|value| value.to_str().ok()?.parse().ok()) {
        Some(seconds) => error.with_retry(Retry::After(Duration::from_secs(seconds))),
        None => error,
    }
}

//! Faults on demand: what goes wrong, where, from which call on and how often.
//!
//! A fault waits for calls of one endpoint (by counter name), lets `skip` of them pass, and then strikes `times`
//! times. Those that replace the answer do so after the pace was judged; those that cut the body leave status and
//! headers as they are; the rest are handed to the endpoint.

use std::sync::Mutex;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::Frame;
use serde_json::Value;
use tokio::sync::watch;

use super::http::{Answer, Body, BoxError, lock};

/// How long a cut body waits before the connection is closed, so that the bytes before the cut are sent.
const FLUSH: Duration = Duration::from_millis(25);

/// A fault to come.
#[derive(Clone, Debug)]
pub struct Fault {
    /// The endpoint's counter name, or `*` for every endpoint.
    pub at: &'static str,
    /// What goes wrong.
    pub kind: FaultKind,
    /// So many calls pass first.
    pub skip: u64,
    /// So many calls are struck.
    pub times: u64,
}

impl Fault {
    /// Strikes the next call.
    pub fn once(at: &'static str, kind: FaultKind) -> Fault {
        Fault {
            at,
            kind,
            skip: 0,
            times: 1,
        }
    }

    /// Strikes every call until the faults are cleared.
    pub fn forever(at: &'static str, kind: FaultKind) -> Fault {
        Fault {
            at,
            kind,
            skip: 0,
            times: u64::MAX,
        }
    }

    /// Lets `calls` pass first.
    #[must_use]
    pub fn after(self, calls: u64) -> Fault {
        Fault { skip: calls, ..self }
    }

    /// Strikes `calls` calls.
    #[must_use]
    pub fn times(self, calls: u64) -> Fault {
        Fault { times: calls, ..self }
    }
}

/// What goes wrong.
#[derive(Clone, Debug)]
pub enum FaultKind {
    /// The answer comes later; another fault may strike the same call.
    Delay(Duration),
    /// The connection closes without an answer.
    Drop,
    /// This HTTP status, with `Retry-After` seconds if given.
    Status(u16, Option<u32>),
    /// The body breaks off after so many bytes, the connection closes.
    Truncate(u64),
    /// The body stops after `after` bytes until [`Cloud::release`](super::Cloud::release), or for a time.
    Stall {
        /// Bytes before the stop.
        after: u64,
        /// How long; none = until released.
        lasting: Option<Duration>,
    },
    /// 200 with an HTML page.
    Html,
    /// An envelope with this code (number or string) and message.
    Code(Value, String),
    /// 200 with broken JSON.
    GarbageJson,
    /// 200 with a plain text, as the load balancers speak (API page 1.4: `123pan rate limit type min`).
    Text(String),
    /// Listing: `rows` rows are missing from this page (1-based), `Total` is unchanged.
    LackRows {
        /// The page.
        page: u64,
        /// How many rows.
        rows: usize,
    },
    /// Listing: this page has its first row twice.
    RepeatRow {
        /// The page.
        page: u64,
    },
    /// Listing: `Total` of this page is off.
    ShiftTotal {
        /// The page.
        page: u64,
        /// By how much.
        by: i64,
    },
    /// Object storage: the part is stored, the `ETag` is not its MD5.
    WrongPartEtag,
    /// Object storage: one byte of the part is stored wrong, the `ETag` fits the stored bytes. `open_sha1`: other content
    /// is stored.
    CorruptPart,
    /// `upload_complete`, `open_sha1`: code 0, nothing stored.
    StoresNothing,
    /// The call is carried out, then the connection closes without an answer.
    LoseAnswer,
}

impl FaultKind {
    /// The page that a listing fault waits for.
    fn page(&self) -> Option<u64> {
        match self {
            FaultKind::LackRows { page, .. }
            | FaultKind::RepeatRow { page }
            | FaultKind::ShiftTotal { page, .. } => Some(*page),
            _ => None,
        }
    }
}

/// The faults that wait, and the gate that stalled bodies wait at.
#[derive(Debug)]
pub(super) struct Faults {
    waiting: Mutex<Vec<Fault>>,
    gate: watch::Sender<u64>,
}

impl Default for Faults {
    fn default() -> Self {
        Faults {
            waiting: Mutex::default(),
            gate: watch::channel(0).0,
        }
    }
}

impl Faults {
    pub(super) fn add(&self, fault: Fault) {
        lock(&self.waiting).push(fault);
    }

    pub(super) fn clear(&self) {
        lock(&self.waiting).clear();
        self.release();
    }

    pub(super) fn release(&self) {
        self.gate.send_modify(|n| *n += 1);
    }

    /// The fault that strikes this call of `endpoint`, which asks for `page` if it is a listing.
    pub(super) fn strike(&self, endpoint: &str, page: Option<u64>) -> Option<FaultKind> {
        let mut waiting = lock(&self.waiting);
        let mut struck = None;
        for fault in waiting.iter_mut() {
            if (fault.at != endpoint && fault.at != "*") || fault.times == 0 {
                continue;
            }
            if fault.kind.page().is_some_and(|p| Some(p) != page) {
                continue;
            }
            if fault.skip > 0 {
                fault.skip -= 1;
                continue;
            }
            if fault.times != u64::MAX {
                fault.times -= 1;
            }
            struck = Some(fault.kind.clone());
            break;
        }
        waiting.retain(|fault| fault.times > 0);
        struck
    }

    /// Lets a body break off or stop.
    pub(super) fn cut(&self, answer: Answer, kind: &FaultKind) -> Answer {
        let (after, then) = match kind {
            FaultKind::Truncate(after) => (*after, Then::Break),
            FaultKind::Stall { after, lasting } => (*after, Then::Wait(self.gate.subscribe(), *lasting)),
            _ => return answer,
        };
        answer.map(|body| cut_body(body, after, then))
    }
}

/// What happens at the cut.
enum Then {
    Break,
    Wait(watch::Receiver<u64>, Option<Duration>),
    Nothing,
}

/// A body on its way to the cut.
struct Cut {
    body: Body,
    /// Bytes until the cut.
    left: u64,
    /// What was read beyond it.
    rest: Option<Bytes>,
    then: Then,
}

impl Cut {
    async fn next(&mut self) -> Option<Result<Frame<Bytes>, BoxError>> {
        loop {
            if self.left == 0 {
                match std::mem::replace(&mut self.then, Then::Nothing) {
                    Then::Nothing => {}
                    Then::Break => {
                        tokio::time::sleep(FLUSH).await;
                        return Some(Err("the body breaks off here".into()));
                    }
                    Then::Wait(mut gate, Some(lasting)) => {
                        drop(tokio::time::timeout(lasting, gate.changed()).await)
                    }
                    Then::Wait(mut gate, None) => drop(gate.changed().await),
                }
            }
            let mut data = match self.rest.take() {
                Some(rest) => rest,
                None => match self.body.frame().await? {
                    Ok(frame) => frame.into_data().unwrap_or_default(),
                    Err(error) => return Some(Err(error)),
                },
            };
            if !matches!(self.then, Then::Nothing) {
                if data.len() as u64 > self.left {
                    self.rest = Some(data.split_off(usize::try_from(self.left).unwrap_or(0)));
                }
                self.left -= data.len() as u64;
            }
            if !data.is_empty() {
                return Some(Ok(Frame::data(data)));
            }
        }
    }
}

/// A body that passes `after` bytes and then does `then`.
fn cut_body(body: Body, after: u64, then: Then) -> Body {
    let cut = Cut {
        body,
        left: after,
        rest: None,
        then,
    };
    let frames = stream::unfold(
        cut,
        |mut cut| async move { cut.next().await.map(|item| (item, cut)) },
    );
    StreamBody::new(frames).boxed_unsync()
}

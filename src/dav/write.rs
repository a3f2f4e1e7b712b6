//! The writing methods: what we see to ourselves, around dav-server, which does the rest.
//!
//! Before: the mount may be written to; the path and `Destination` are put into one form; another host's `Destination` is
//! 502 (T15); partial PUT is refused; sizes, checksum and time are taken out of the headers, because dav-server counts after
//! `flush` (T10) and checks no checksum (T11). After: the error that dav-server could not carry (T14), and what was
//! accepted of the headers.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Buf;
use dav_server::{DavHandler, DavMethod, DavMethodSet};
use http::header::{CONTENT_LENGTH, CONTENT_RANGE, EXPECT, HOST};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode, Uri};
use http_body::{Body as HttpBody, Frame, SizeHint};
use http_body_util::Full;

use super::adapter::{Adapter, Work};
use super::lock::{LockTable, LockView};
use super::refusal::{Refusal, Refused};
use super::request::read_xml;
use super::{Ctx, times};
use crate::body::Body;
use crate::tree::{Put, Tree, TreePath};

/// One dav-server for each root that users see.
#[derive(Debug)]
pub(super) struct Writing {
    tree: Arc<Tree>,
    pub(super) locks: Arc<LockTable>,
    /// The URL path of the tree, decoded, as dav-server wants it.
    prefix: String,
    handlers: Mutex<HashMap<TreePath, Handler>>,
}

#[derive(Clone)]
struct Handler(DavHandler<Work>);

impl std::fmt::Debug for Handler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Handler")
    }
}

impl Writing {
    pub(super) fn new(tree: Arc<Tree>, prefix: &str) -> Self {
        let prefix = prefix.trim_end_matches('/').to_owned();
        Self {
            tree,
            locks: Arc::default(),
            prefix,
            handlers: Mutex::default(),
        }
    }

    fn handler(&self, root: &TreePath) -> DavHandler<Work> {
        let mut handlers = self.handlers.lock().unwrap_or_else(PoisonError::into_inner);
        let handler = handlers.entry(root.clone()).or_insert_with(|| {
            let locks = LockView::new(self.locks.clone(), self.tree.clone(), root.clone());
            let mut methods = DavMethodSet::none();
            for method in [
                DavMethod::Put,
                DavMethod::MkCol,
                DavMethod::Delete,
                DavMethod::Move,
                DavMethod::Copy,
                DavMethod::PropPatch,
                DavMethod::Lock,
                DavMethod::Unlock,
            ] {
                methods.add(method);
            }
            let mut builder = DavHandler::builder()
                .filesystem(Box::new(Adapter::new(self.tree.clone())))
                .locksystem(Box::new(locks))
                .methods(methods);
            if !self.prefix.is_empty() {
                builder = builder.strip_prefix(self.prefix.clone());
            }
            Handler(builder.build_handler())
        });
        handler.0.clone()
    }

    /// Answers a method that changes something; that it may be tried is known.
    pub(super) async fn handle<B>(&self, request: Request<B>, ctx: &Ctx) -> Result<Response<Body>, Refusal>
    where
        B: HttpBody + Send,
        B::Data: Buf + Send + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let (mut head, body) = request.into_parts();
        let method = head.method.clone();
        let slash = head.uri.path().ends_with('/');
        let encoded = TreePath::from_decoded(&self.prefix)
            .unwrap_or_default()
            .join(&ctx.relative());
        head.uri = uri(&encoded, slash)?;
        head.headers.remove("x-litmus");
        let to = self.destination_of(&head.headers, &ctx.root);
        if let Some(to) = head.headers.get("destination").cloned() {
            let to = self.destination(&head, &to)?;
            head.headers.insert("destination", to);
        }
        if head.headers.contains_key(CONTENT_RANGE) {
            let sentence = "A part of a file cannot be put; put the whole file.";
            return Err(Refused::new(StatusCode::BAD_REQUEST, sentence)
                .closing(true)
                .into());
        }
        if method == http::Method::PUT && slash {
            let sentence = "A folder cannot be put; make it with MKCOL.";
            return Err(Refused::new(StatusCode::METHOD_NOT_ALLOWED, sentence)
                .closing(true)
                .into());
        }
        if method.as_str() == "UNLOCK" {
            angle_brackets(&mut head.headers);
        }
        let put = announced(&head.headers);
        let accepted = put.modified.is_some() && matches!(method.as_str(), "PUT" | "COPY" | "MOVE");
        let shallow = head.headers.get("depth").is_some_and(|depth| depth == "0");
        let leaf = (method.as_str() == "COPY").then(|| ctx.path.clone());
        let waits = head.headers.contains_key(EXPECT);
        let work = Work::new(ctx.root.clone(), leaf, shallow, put.clone(), waits);
        let handler = self.handler(&ctx.root);
        let principal = ctx.user.to_string();
        let response = if method == http::Method::PUT {
            for name in [
                "content-length",
                "x-expected-entity-length",
                "oc-checksum",
                "content-md5",
            ] {
                head.headers.remove(name);
            }
            let body = Wanted {
                body,
                work: work.clone(),
            };
            handler
                .handle_guarded(Request::from_parts(head, Box::pin(body)), principal, work.clone())
                .await
        } else {
            let body = read_xml(head.version, body).await?;
            let body = if method.as_str() == "PROPPATCH" {
                times::rename(body)
            } else {
                body
            };
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            handler
                .handle_guarded(
                    Request::from_parts(head, Full::new(body)),
                    principal,
                    work.clone(),
                )
                .await
        };
        let status = response.status();
        if let Some(fault) = work
            .take_fault()
            .filter(|_| status.is_client_error() || status.is_server_error())
        {
            return Err(fault.into());
        }
        let mut response = response.map(Body::Dav);
        if status.is_success() && status != StatusCode::MULTI_STATUS {
            if let (true, Some(modified)) = (accepted, put.modified) {
                self.set_time(&method, to, modified).await?;
                response
                    .headers_mut()
                    .insert("x-oc-mtime", HeaderValue::from_static("accepted"));
            }
        } else if matches!(status.as_u16(), 400..) {
            return Ok(explained(response));
        }
        Ok(response)
    }

    /// COPY and MOVE with `X-OC-Mtime`: the time is set at the destination. A PUT has it in its row already.
    async fn set_time(
        &self,
        method: &http::Method,
        to: Option<TreePath>,
        modified: i64,
    ) -> Result<(), Refusal> {
        if method == http::Method::PUT {
            return Ok(());
        }
        let Some(to) = to else { return Ok(()) };
        let resource = self.tree.resolve(&to).await?;
        let seconds = std::time::Duration::from_secs(u64::try_from(modified).unwrap_or(0));
        Ok(self
            .tree
            .set_modified(&resource, std::time::SystemTime::UNIX_EPOCH + seconds)
            .await?)
    }

    /// The `Destination` (RFC 4918 10.3) in the form that dav-server reads: an encoded path.
    fn destination(&self, head: &Parts, value: &HeaderValue) -> Result<HeaderValue, Refusal> {
        let bad = |status, sentence: &'static str| Refusal::from(Refused::new(status, sentence));
        let text = std::str::from_utf8(value.as_bytes())
            .map_err(|_| bad(StatusCode::BAD_REQUEST, "The Destination header cannot be read."))?;
        let path = match text.split_once("://") {
            None => text,
            Some((_, rest)) => {
                let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
                if !is_us(&head.headers, &head.uri, host) {
                    let sentence =
                        "The Destination is on another server; only this one can be copied and moved to.";
                    return Err(bad(StatusCode::BAD_GATEWAY, sentence));
                }
                &rest[rest.len() - path.len()..]
            }
        };
        let path = path.split(['?', '#']).next().unwrap_or_default();
        let slash = path.ends_with('/');
        let path = TreePath::parse(path)
            .map_err(|error| Refusal::from(Refused::new(StatusCode::FORBIDDEN, error.to_string())))?;
        let prefix = TreePath::from_decoded(&self.prefix).unwrap_or_default();
        if path.below(&prefix).is_none() {
            let sentence = "The Destination is outside of the tree that this server serves.";
            return Err(bad(StatusCode::BAD_GATEWAY, sentence));
        }
        let encoded = uri(&path, slash)?.to_string();
        HeaderValue::from_str(&encoded)
            .map_err(|_| bad(StatusCode::BAD_REQUEST, "The Destination header cannot be read."))
    }

    /// The path of the tree that the `Destination` means, for those who need it beside dav-server.
    pub(super) fn destination_of(&self, headers: &HeaderMap, root: &TreePath) -> Option<TreePath> {
        let text = std::str::from_utf8(headers.get("destination")?.as_bytes()).ok()?;
        let path = match text.split_once("://") {
            Some((_, rest)) => rest.split_once('/').map_or("", |(_, path)| path),
            None => text,
        };
        let prefix = TreePath::from_decoded(&self.prefix).ok()?;
        let path = TreePath::parse(path.split(['?', '#']).next()?).ok()?;
        Some(root.join(&path.below(&prefix)?))
    }
}

fn uri(path: &TreePath, slash: bool) -> Result<Uri, Refusal> {
    let mut encoded = path.encoded();
    if slash && !path.is_root() {
        encoded.push('/');
    }
    encoded
        .parse()
        .map_err(|_| Refused::new(StatusCode::URI_TOO_LONG, "The path is too long.").into())
}

/// Whether `host` names this server: the one the request was sent to, or that a reverse proxy got it for.
fn is_us(headers: &HeaderMap, uri: &Uri, host: &str) -> bool {
    let bare = |host: &str| {
        let host = host.rsplit('@').next().unwrap_or(host).to_ascii_lowercase();
        host.strip_suffix(":80")
            .or_else(|| host.strip_suffix(":443"))
            .unwrap_or(&host)
            .to_owned()
    };
    let ours = [headers.get(HOST), headers.get("x-forwarded-host")];
    let ours = ours.into_iter().flatten().filter_map(|value| value.to_str().ok());
    ours.chain(uri.authority().map(http::uri::Authority::as_str))
        .any(|ours| bare(ours) == bare(host))
}

/// `Lock-Token` may come without its angle brackets (webdav-clients W5).
fn angle_brackets(headers: &mut HeaderMap) {
    let Some(token) = headers.get("lock-token").and_then(|token| token.to_str().ok()) else {
        return;
    };
    if !token.trim_start().starts_with('<')
        && let Ok(token) = HeaderValue::from_str(&format!("<{}>", token.trim()))
    {
        headers.insert("lock-token", token);
    }
}

/// What the headers say of the body of a PUT.
fn announced(headers: &HeaderMap) -> Put {
    let text = |name: &str| {
        headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .map(str::trim)
    };
    let number = |name: &str| text(name).and_then(|value| value.parse().ok());
    Put {
        size: number("content-length").or_else(|| number("x-expected-entity-length")),
        md5: text("oc-checksum").and_then(oc_checksum).or_else(|| {
            let bytes = STANDARD.decode(text("content-md5")?).ok()?;
            bytes.try_into().ok()
        }),
        modified: text("x-oc-mtime").and_then(|value| value.split('.').next()?.parse().ok()),
    }
}

/// The MD5 of an `OC-Checksum`; other algorithms are not ours to check.
fn oc_checksum(value: &str) -> Option<[u8; 16]> {
    let hex = value.split_whitespace().find_map(|sum| {
        let (name, hex) = sum.split_once(':')?;
        name.eq_ignore_ascii_case("md5").then_some(hex)
    })?;
    let mut md5 = [0; 16];
    if hex.len() != 32 || !hex.is_ascii() {
        return None;
    }
    for (at, byte) in md5.iter_mut().enumerate() {
        *byte = u8::from_str_radix(hex.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(md5)
}

/// dav-server's refusals have no text: a person gets a sentence.
fn explained(response: Response<Body>) -> Response<Body> {
    let sentence = match response.status().as_u16() {
        400 => "The request cannot be read.",
        403 => "This is not allowed here.",
        404 => "There is nothing of that name here.",
        405 => "This cannot be done with what is there already.",
        409 => "The folder that this belongs in does not exist.",
        412 => {
            "What was demanded before the change does not hold (a precondition, a lock token, or Overwrite: F)."
        }
        413 => "The body of this request is too large.",
        415 => "A body of this kind is not taken here.",
        423 => "The resource is locked by somebody else.",
        507 => "There is no space for it.",
        _ => return response,
    };
    if response.headers().contains_key(http::header::CONTENT_TYPE) {
        return response;
    }
    let mut response = response.map(|_| Body::from(format!("{sentence}\n")));
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(
        http::header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

pin_project_lite::pin_project! {
    /// The body of a PUT: at its end at once where it is not needed, so that a client that waits for `100 Continue`
    /// never has to send it.
    struct Wanted<B> {
        #[pin]
        body: B,
        work: Work,
    }
}

impl<B: HttpBody> HttpBody for Wanted<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let this = self.project();
        if this.work.skips_body() {
            Poll::Ready(None)
        } else {
            this.body.poll_frame(cx)
        }
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

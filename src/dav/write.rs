//! The writing methods: what we see to ourselves, around dav-server, which does the rest.
//!
//! Before ([`Writing::handle`], `asked`): headers that dav-server reads as if they were not there when they are odd
//! are read here and refused; the path and `Destination` are put into one form; another host's `Destination` is 502 (T15);
//! partial PUT is refused; what would destroy the target of a COPY or MOVE and then fail is found out first,
//! because dav-server removes the target before it asks for the change; sizes, checksum and time are taken out of the headers,
//! because dav-server counts after `flush` (T10) and checks no checksum (T11).
//! After: the error that dav-server could not carry (T14), what was accepted of the headers, and the rest of a
//! PUT's body, so that the answer reaches a client that sends before it reads (`upload`).

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes};
use dav_server::{DavHandler, DavMethod, DavMethodSet};
use http::header::{ALLOW, CONNECTION, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body as HttpBody;
use http_body_util::Full;

use super::adapter::{Adapter, Asked, Work};
use super::announced::{angle_brackets, announced, conditions, overwrite, wish};
use super::destination::{self, Destination};
use super::lock_view::{AT_WORK, LockTable, LockView};
use super::refusal::{Refusal, Refused};
use super::request::{drain, read_xml};
use super::upload::Incoming;
use super::{Ctx, WRITING, patch, xml};
use crate::body::Body;
use crate::drive::{Error, ErrorKind};
use crate::tree::{Resource, Tree, TreePath};

/// Bytes of the body of a LOCK at the most: its `owner` is kept in memory as long as the lock lives.
const LOCK_LIMIT: usize = 4 * 1024;

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
            let locks = LockView::new(self.locks.clone(), self.tree.clone(), root.clone(), &self.prefix);
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
        let to = match self.prepare(&mut head, ctx).await {
            Ok(to) => to,
            Err(Refusal::Refused(refused)) => {
                let close = drain(&head.headers, head.version, body).await;
                return Err(refused.closing(close).into());
            }
            Err(fault) => return Err(fault),
        };
        let (method, version) = (head.method.clone(), head.version);
        let (work, modified) = match self.asked(&mut head, ctx) {
            Ok(asked) => {
                let modified = asked.put.modified;
                (Work::new(asked), modified)
            }
            Err(refused) => {
                let close = drain(&head.headers, version, body).await;
                return Err(refused.closing(close).into());
            }
        };
        let response = if method == Method::PUT {
            let incoming = Incoming::new(body, &head.headers, version);
            let response = self.dav(head, incoming.reader(work.clone()), &work, ctx).await;
            if incoming.fell_silent() {
                let sentence = "Nothing came of the file for a minute, so it was not stored; send it again.";
                let refused = Refused::new(StatusCode::REQUEST_TIMEOUT, sentence);
                return Err(refused.closing(version < Version::HTTP_2).into());
            }
            let close = incoming.finish(work.skips_body(), response.status()).await;
            closing(response, close)
        } else {
            let body = self.body(&method, version, body).await?;
            head.headers.insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
            self.dav(head, Full::new(body), &work, ctx).await
        };
        let status = response.status();
        let done = match method.as_str() {
            // With the leaf view all is done or nothing: a multistatus would be of the target that could not be removed.
            "MOVE" | "COPY" | "DELETE" => status.is_success() && status != StatusCode::MULTI_STATUS,
            _ => status.is_success(),
        };
        if !done {
            return match work.take_fault() {
                Some(fault) => Err(not_allowed(fault)),
                None => Ok(explained(response, &method)),
            };
        }
        let mut response = response;
        if let Some(modified) = modified
            && self.accepts_time(&method, ctx, to, modified).await
        {
            response
                .headers_mut()
                .insert("x-oc-mtime", HeaderValue::from_static("accepted"));
        }
        Ok(response)
    }

    /// Hands a request to dav-server.
    async fn dav<B>(&self, head: Parts, body: B, work: &Work, ctx: &Ctx) -> Response<Body>
    where
        B: HttpBody + Send,
        B::Data: Buf + Send + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        let handler = self.handler(&ctx.root);
        let answer = handler.handle_guarded(
            Request::from_parts(head, body),
            ctx.user.to_string(),
            work.clone(),
        );
        AT_WORK.scope(work.clone(), answer).await.map(Body::Dav)
    }

    /// Puts the path and the headers into the form that dav-server reads; says where something is to be copied or moved.
    async fn prepare(&self, head: &mut Parts, ctx: &Ctx) -> Result<Option<TreePath>, Refusal> {
        let bad = |sentence: &'static str| Refusal::from(Refused::new(StatusCode::BAD_REQUEST, sentence));
        let method = head.method.as_str();
        let slash = head.uri.path().ends_with('/');
        if method == "PUT" && slash {
            let sentence = "A folder cannot be put; make it with MKCOL.";
            let refused = Refused::new(StatusCode::METHOD_NOT_ALLOWED, sentence);
            return Err(refused.allowing(WRITING).into());
        }
        if method == "PUT" && head.headers.contains_key(CONTENT_RANGE) {
            return Err(bad("A part of a file cannot be put; put the whole file."));
        }
        let to = if matches!(method, "MOVE" | "COPY") {
            let to = destination::read(head, &self.url_path())?
                .ok_or_else(|| bad("A Destination header must say where to."))?;
            let overwrite = overwrite(&head.headers)?;
            head.headers.insert(
                "overwrite",
                HeaderValue::from_static(if overwrite { "T" } else { "F" }),
            );
            let Destination { path, header } = to;
            head.headers.insert("destination", header);
            let to = ctx.root.join(&path);
            if overwrite {
                self.spare_target(method, ctx, &to).await?;
            }
            Some(to)
        } else {
            None
        };
        self.depth(head, ctx).await?;
        if method == "UNLOCK" {
            angle_brackets(&mut head.headers);
        }
        if method == "DELETE" {
            // All that is served means the same; dav-server knows no `1`, which a file may be removed with.
            head.headers.remove("depth");
        }
        head.headers.remove("x-litmus");
        head.uri = uri(&self.url_path().join(&ctx.relative()), slash)?;
        Ok(to)
    }

    /// Takes out of the headers what dav-server does not hand on.
    fn asked(&self, head: &mut Parts, ctx: &Ctx) -> Result<Asked, Refused> {
        let headers = &mut head.headers;
        let conditions = conditions(headers)?;
        let put = announced(headers);
        let wish = wish(headers);
        headers.remove("timeout");
        if head.method == Method::PUT {
            for name in [
                "content-length",
                "x-expected-entity-length",
                "oc-checksum",
                "content-md5",
            ] {
                headers.remove(name);
            }
        }
        Ok(Asked {
            method: head.method.clone(),
            user: ctx.user.clone(),
            root: ctx.root.clone(),
            leaf: (head.method.as_str() == "COPY").then(|| ctx.path.clone()),
            shallow: headers.get("depth").is_some_and(|depth| depth == "0"),
            put,
            wish,
            tokens: conditions.unwrap_or_default(),
        })
    }

    /// The body of any method but PUT, which dav-server will parse.
    async fn body<B: HttpBody>(&self, method: &Method, version: Version, body: B) -> Result<Bytes, Refused> {
        let body = read_xml(version, body).await?;
        match method.as_str() {
            "LOCK" if body.len() > LOCK_LIMIT => Err(Refused::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "The body of a LOCK can have 4 KiB; make the owner shorter.",
            )),
            "LOCK" => xml::check(&body).map(|()| body),
            "PROPPATCH" => xml::check(&body).map(|()| patch::rename(body)),
            _ => Ok(body),
        }
    }

    /// `Depth` (RFC 4918 9.6.1, 9.8.3, 9.9.2): a folder goes with all that is in it or not at all. dav-server takes rubbish for no
    /// header, and would remove all of a folder for `Depth: 0`.
    async fn depth(&self, head: &Parts, ctx: &Ctx) -> Result<(), Refusal> {
        let Some(depth) = head.headers.get("depth") else {
            return Ok(());
        };
        let depth = depth.as_bytes().trim_ascii();
        let infinity = depth.eq_ignore_ascii_case(b"infinity");
        let served = match head.method.as_str() {
            "COPY" | "LOCK" => infinity || depth == b"0",
            "MOVE" => infinity,
            "DELETE" if depth == b"0" || depth == b"1" => match self.tree.resolve(&ctx.path).await {
                Ok(resource) => !resource.is_folder(),
                Err(_) => true,
            },
            "DELETE" => infinity,
            _ => true,
        };
        if served {
            return Ok(());
        }
        let sentence = "This Depth is not served here; leave the header out, or say infinity.";
        Err(Refused::new(StatusCode::BAD_REQUEST, sentence).into())
    }

    /// Where the target is to be replaced: refuses what would fail after dav-server has removed it. That is: moves and
    /// copies into themselves (T13), onto what holds them, and of what cannot be moved; also by way of a second mount
    /// of the same drive, and of names that differ only in their Unicode form.
    async fn spare_target(&self, method: &str, ctx: &Ctx, to: &TreePath) -> Result<(), Refusal> {
        let forbidden =
            |sentence: &'static str| Err(Refusal::from(Refused::new(StatusCode::FORBIDDEN, sentence)));
        let from = &ctx.path;
        if from == to {
            return forbidden("Source and destination are the same.");
        }
        if to.below(from).is_some() {
            return forbidden("A folder cannot be moved or copied into itself.");
        }
        if from.below(to).is_some() {
            return forbidden("The destination holds the source, so it cannot be replaced by it.");
        }
        let mounts = self.tree.mounts();
        if method == "MOVE" && mounts.iter().any(|mount| mount.path.below(from).is_some()) {
            return forbidden("A mount lies here, so it stays where it is.");
        }
        // Where nothing is there, nothing is destroyed; failures are told by dav-server's own look at it.
        let Ok(target) = self.tree.resolve(to).await else {
            return Ok(());
        };
        let mut at = Some(from.clone());
        while let Some(path) = at {
            match self.tree.resolve(&path).await {
                Ok(source) if is_same(&source, &target) && path == *from => {
                    return forbidden("Source and destination are the same.");
                }
                Ok(source) if is_same(&source, &target) => {
                    return forbidden("The destination holds the source, so it cannot be replaced by it.");
                }
                _ => {}
            }
            at = path.parent();
        }
        Ok(())
    }

    /// Whether the time that `X-OC-Mtime` says holds now. A PUT has it in its row already; after COPY and MOVE it is set at the
    /// destination. That it cannot be set is no reason to call the change failed.
    async fn accepts_time(&self, method: &Method, ctx: &Ctx, to: Option<TreePath>, modified: i64) -> bool {
        let Some(to) = to else {
            return *method == Method::PUT;
        };
        let seconds = Duration::from_secs(u64::try_from(modified).unwrap_or(0));
        let set = async {
            let resource = self.tree.resolve(&to).await?;
            self.tree
                .set_modified(&resource, std::time::SystemTime::UNIX_EPOCH + seconds)
                .await
        };
        match set.await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(from = %ctx.path, %to, %error, "the time was not set");
                false
            }
        }
    }

    /// The URL path of the tree.
    fn url_path(&self) -> TreePath {
        TreePath::from_decoded(&self.prefix).unwrap_or_default()
    }

    /// The path of the tree that the `Destination` means; `None` where it cannot be read.
    pub(super) fn destination_of(&self, head: &Parts, root: &TreePath) -> Option<TreePath> {
        let to = destination::read(head, &self.url_path()).ok()??;
        Some(root.join(&to.path))
    }
}

/// Whether two resources are one row of one drive.
fn is_same(one: &Resource, other: &Resource) -> bool {
    match (&one.mount, &other.mount) {
        (Some(mount), Some(others)) => mount.store == others.store && one.entry.id == other.entry.id,
        _ => false,
    }
}

fn uri(path: &TreePath, slash: bool) -> Result<Uri, Refused> {
    let mut encoded = path.encoded();
    if slash && !path.is_root() {
        encoded.push('/');
    }
    encoded
        .parse()
        .map_err(|_| Refused::new(StatusCode::URI_TOO_LONG, "The path is too long."))
}

/// A fault whose status needs an `Allow` gets one.
fn not_allowed(fault: Error) -> Refusal {
    match fault.kind() {
        ErrorKind::Exists | ErrorKind::IsAFolder => {
            let sentence = fault.sentence().to_owned();
            Refused::new(StatusCode::METHOD_NOT_ALLOWED, sentence)
                .allowing(WRITING)
                .into()
        }
        _ => fault.into(),
    }
}

/// The answer, with the connection closed after it if it must be.
fn closing(mut response: Response<Body>, close: bool) -> Response<Body> {
    response.headers_mut().remove(CONNECTION);
    if close {
        response
            .headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// dav-server's refusals have no text: a person gets a sentence.
fn explained(mut response: Response<Body>, method: &Method) -> Response<Body> {
    let method = method.as_str();
    // Somebody else was faster than our own look at the target.
    if response.status() == StatusCode::METHOD_NOT_ALLOWED && matches!(method, "MOVE" | "COPY") {
        *response.status_mut() = StatusCode::PRECONDITION_FAILED;
    }
    let sentence = match (response.status().as_u16(), method) {
        (400, "LOCK") => "The request is neither a new lock nor the refreshing of one.",
        (400, _) => "The request cannot be read.",
        (403, _) => "This is not allowed here.",
        (404, _) => "There is nothing of that name here.",
        (405, _) => "There is something of that name already.",
        (409, "UNLOCK") => "There is no lock of this token here; it has ended, perhaps.",
        (409, _) => "The folder that this belongs in does not exist.",
        (412, _) => {
            "What was demanded before the change does not hold (a precondition, a lock token, or Overwrite: F)."
        }
        (413, _) => "The body of this request is too large.",
        (415, _) => "A body of this kind is not taken here.",
        (423, _) => "The resource is locked by somebody else.",
        (507, _) => "There is no space for it.",
        _ => return response,
    };
    if response.status() == StatusCode::METHOD_NOT_ALLOWED {
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static(WRITING));
    }
    if response.headers().contains_key(CONTENT_TYPE) {
        return response;
    }
    let mut response = response.map(|_| Body::from(format!("{sentence}\n")));
    let headers = response.headers_mut();
    headers.remove(CONTENT_LENGTH);
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}

//! One request from end to end. The steps, in order:
//!
//! 1. what lies under `/.dav123/` is ours: health needs no sign-in, the rest does;
//! 2. a signed URL is answered without a sign-in, where this is the proxy of another dav123;
//! 3. OPTIONS needs no sign-in (webdav-clients A9);
//! 4. who is it;
//! 5. which path of the tree: the URL path below the prefix, below the user's root;
//! 6. GET and HEAD go to `delivery` (files) or become a page (folders), all else goes to `dav`;
//! 7. an error becomes an answer by the table in [`super::answer`];
//! 8. the answer's body carries the access-log line, which is written when the transfer ends.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, RETRY_AFTER, SERVER, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;

use super::access::{AccessLine, Logged, REQUEST_ID};
use super::auth::{self, Ask, Asked, Auth, Principal};
use super::control::Secret;
use super::forwarded::Trusted;
use super::guest::Guest;
use super::pages::status::Seen;
use super::pages::{self, Language, Order, View};
use super::transfers::Transfers;
use super::{actions, admin, answer, governor};
use crate::body::Body;
use crate::config::{Access, Config, Strategy};
use crate::dav::{Ctx, Dav, Refusal, way};
use crate::delivery::{Answer, Delivery};
use crate::drive::{Error, ErrorKind};
use crate::metrics::Metrics;
use crate::metrics::waited::counting;
use crate::spare;
use crate::tree::{Mount, PathError, Resource, Tree, TreePath};

/// Bytes of a worker's question at the most.
const WORKER_BODY: usize = 16 * 1024;
/// How long it may take to come.
const WORKER_TIME: Duration = Duration::from_secs(10);

/// Pause between two looks at what was counted against budgets.
const COUNTS_EVERY: Duration = Duration::from_secs(3);
/// First and longest pause after a warm-up that failed.
const WARM_PAUSES: (Duration, Duration) = (Duration::from_secs(30), Duration::from_secs(1800));

/// Where a request comes from, as far as it is known: behind a trusted proxy, the client and not the proxy.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    pub(super) tls: bool,
}

/// What answers requests. Shared by all connections.
pub(super) struct Service {
    prefix: TreePath,
    auth: Auth,
    trusted: Trusted,
    /// Of commands on this machine.
    secret: Secret,
    pub(super) tree: Arc<Tree>,
    dav: Dav,
    delivery: Arc<Delivery>,
    pub(super) metrics: Arc<Metrics>,
    transfers: Arc<Transfers>,
    /// There is no tree: only signed URLs are answered.
    only_proxy: bool,
}

impl Service {
    pub(super) fn new(
        config: &Config,
        auth: Auth,
        secret: Secret,
        tree: Arc<Tree>,
        delivery: Arc<Delivery>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, PathError> {
        Ok(Self {
            prefix: TreePath::from_decoded(&config.server.prefix)?,
            only_proxy: config.only_proxy(),
            auth,
            trusted: Trusted::new(config.server.trusted_proxies.clone()),
            secret,
            dav: Dav::new(tree.clone(), &config.server.prefix),
            delivery,
            tree,
            metrics,
            transfers: Arc::default(),
        })
    }

    pub(super) fn forget_listings(&self) {
        self.tree.refresh_all();
    }

    /// Puts what outlives the process onto the disk.
    pub(super) async fn put_by(&self) {
        self.tree.put_by().await;
        let delivery = self.delivery.clone();
        let _ = tokio::task::spawn_blocking(move || delivery.keep_counts()).await;
    }

    /// Writes what is counted against budgets every few seconds.
    pub(super) fn keep_counts(&self) {
        let delivery = Arc::downgrade(&self.delivery);
        tokio::spawn(async move {
            loop {
                tokio::time::sleep(COUNTS_EVERY).await;
                let Some(delivery) = delivery.upgrade() else {
                    return;
                };
                let _ = tokio::task::spawn_blocking(move || delivery.keep_counts()).await;
            }
        });
    }

    /// Lists folders and all below them in the background, once; failures are tried again later.
    pub(super) fn warm_up(&self, paths: &[String]) {
        let paths: Vec<TreePath> = paths
            .iter()
            .filter_map(|path| TreePath::from_decoded(path).ok())
            .collect();
        let tree = Arc::downgrade(&self.tree);
        tokio::spawn(async move {
            for path in paths {
                let mut pause = WARM_PAUSES.0;
                loop {
                    let Some(tree) = tree.upgrade() else { return };
                    match tree.warm(&path, |_| true).await {
                        Ok(warmed) => {
                            tracing::info!(%path, folders = warmed.folders, entries = warmed.entries, "warmed up");
                            break;
                        }
                        Err(error) => {
                            tracing::warn!(%path, %error, pause = pause.as_secs(), "not warmed up yet")
                        }
                    }
                    drop(tree);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(WARM_PAUSES.1);
                }
            }
        });
    }

    /// Lets calls to 123pan go on that were stopped; the mounts they had been stopped for.
    pub(super) async fn resume(&self) -> Vec<String> {
        governor::resume(&self.tree).await
    }

    /// Answers a request.
    pub(super) async fn answer(
        &self,
        mut request: Box<Request<Incoming>>,
        guest: &Arc<Guest>,
    ) -> Response<Logged> {
        let peer = guest.peer;
        let client = self.trusted.client(peer, request.headers());
        self.trusted.take_away(peer, request.headers_mut());
        let peer = client;
        let mut line = AccessLine::begin(&request, peer.address, guest.clone());
        let (mut response, waited) = counting(self.route(request, peer, guest, &mut line)).await;
        response
            .headers_mut()
            .insert(SERVER, HeaderValue::from_static("dav123"));
        response.headers_mut().insert(REQUEST_ID, line.id().header());
        line.answered(&response, waited);
        response.map(|body| Logged::new(body, line))
    }

    async fn route(
        &self,
        request: Box<Request<Incoming>>,
        peer: Peer,
        guest: &Arc<Guest>,
        line: &mut AccessLine,
    ) -> Response<Body> {
        // `OPTIONS *` asks about the server as a whole.
        let path = match request.uri().path() {
            "*" => "/",
            path => path,
        };
        let path = match TreePath::parse(path) {
            Ok(path) => path,
            Err(error) => return bad_path(error),
        };
        let own = path.segments().next() == Some(admin::RESERVED);
        if own && path.segments().nth(1) == Some("health") {
            return admin::health(request.method());
        }
        if !own && (self.only_proxy || self.delivery.is_signed(&request)) {
            return Box::pin(self.signed(*request, &path, peer, line)).await;
        }
        let principal = if request.method() == Method::OPTIONS {
            // Says nothing that a stranger may not know: no path is looked up.
            self.anybody()
        } else if request.method() == Method::POST && path.segments().eq(["api", "fs", "link"]) {
            return Box::pin(self.fs_link(*request, peer)).await;
        } else if own && self.secret.is_known_to(request.headers()) {
            self.owner()
        } else {
            let asked = Asked {
                method: request.method(),
                uri: request.uri(),
                headers: request.headers(),
                peer: peer.address.ip(),
            };
            match guest.sign_in(&self.auth, asked).await {
                Ok(principal) => principal,
                Err(refused) => return self.refuse(refused, peer.tls),
            }
        };
        line.user(&principal.name);
        if own {
            return Box::pin(self.own_page(*request, &path, &principal, guest)).await;
        }
        let path = match path.into_below(&self.prefix) {
            Ok(path) => path,
            Err(path) => return Box::pin(self.above_prefix(*request, &path)).await,
        };
        let writable = principal.access == Access::ReadWrite;
        let ctx = Ctx {
            path: path.under(&principal.root),
            root: principal.root,
            writable,
            user: principal.name,
        };
        match request.method() {
            &Method::GET | &Method::HEAD => {
                let (head, _) = request.into_parts();
                let answer = self.get(&head, &ctx, guest, peer).await;
                spare::keep(head.headers);
                let (response, strategy) = match answer {
                    Ok(answer) => answer,
                    Err(error) => return self.failed(&error, line),
                };
                line.delivered(strategy);
                let response = pages::confined(response);
                if strategy != Some(Strategy::Proxy) {
                    return response;
                }
                response.map(|body| match body {
                    Body::Empty => body,
                    body => Body::stream(self.transfers.carry(body, ctx.path, ctx.user.clone(), None)),
                })
            }
            &Method::PUT => {
                let (path, user) = (ctx.path.clone(), ctx.user.clone());
                let from = Some(guest.clone());
                let request = (*request).map(|body| self.transfers.carry(body, path, user, from));
                self.handled(Box::pin(self.dav.handle(request, &ctx)).await, line)
            }
            _ => self.handled(Box::pin(self.dav.handle(*request, &ctx)).await, line),
        }
    }

    async fn signed(
        &self,
        request: Request<Incoming>,
        path: &TreePath,
        peer: Peer,
        line: &mut AccessLine,
    ) -> Response<Body> {
        let (head, _) = request.into_parts();
        let (address, tls) = (peer.address.ip(), peer.tls);
        let answer = self.delivery.signed(&head, path, address, tls).await;
        spare::keep(head.headers);
        match answer {
            Ok((response, strategy)) => {
                line.delivered(strategy);
                response
            }
            Err(error) => self.failed(&error, line),
        }
    }

    /// What lies under `/.dav123/`.
    async fn own_page(
        &self,
        request: Request<Incoming>,
        path: &TreePath,
        principal: &Principal,
        guest: &Guest,
    ) -> Response<Body> {
        let name = path.segments().nth(1).unwrap_or_default();
        let (head, _) = request.into_parts();
        if let Some(response) = actions::answer(&head, name, principal, &self.tree).await {
            return response;
        }
        let seen = Seen {
            tree: &self.tree,
            delivery: &self.delivery,
            transfers: &self.transfers,
            place: &guest.place,
            principal,
            prefix: &self.prefix,
            url_path: head.uri.path(),
            query: head.uri.query().unwrap_or_default(),
            language: Language::of(&head.headers),
        };
        admin::answer(&head.method, name, seen, &self.metrics).await
    }

    fn handled(&self, answer: Result<Response<Body>, Refusal>, line: &AccessLine) -> Response<Body> {
        match answer {
            Ok(response) => response,
            Err(Refusal::Fault(error)) => self.failed(&error, line),
            Err(Refusal::Refused(refused)) => refused.into_response(),
        }
    }

    async fn get(&self, head: &Parts, ctx: &Ctx, guest: &Guest, peer: Peer) -> Result<Answer, Error> {
        let (address, tls) = (peer.address.ip(), peer.tls);
        let query = head.uri.query().filter(|_| head.method == Method::GET);
        if query.is_none()
            && let Some(last) = guest.last.get(&self.tree, &ctx.path)
        {
            return self.delivery.get(head, &last.file, address, tls).await;
        }
        let (resource, freshness) = self.tree.resolve_with_freshness(&ctx.path).await?;
        if resource.is_folder() {
            return Ok((self.folder(head, ctx, &resource).await?, None));
        }
        if let Some(query) = query {
            let subtitle = Box::pin(pages::subtitle(&self.delivery, &resource, query));
            if let Some(subtitle) = subtitle.await? {
                return Ok((subtitle, None));
            }
            let picture = Box::pin(pages::thumbnail(&self.delivery, &resource, query));
            if let Some(picture) = picture.await? {
                return Ok((picture, None));
            }
        }
        let file = self.delivery.open(resource);
        let Some(freshness) = freshness else {
            return self.delivery.get(head, &file, address, tls).await;
        };
        let last = guest.last.keep(&self.tree, file, freshness);
        self.delivery.get(head, &last.file, address, tls).await
    }

    async fn folder(&self, head: &Parts, ctx: &Ctx, resource: &Resource) -> Result<Response<Body>, Error> {
        if head.method == Method::HEAD {
            return Ok(pages::head());
        }
        let shown = ctx.path.below(&ctx.root).unwrap_or_default();
        let writable =
            |mount: &Arc<Mount>| mount.settings.access == Access::ReadWrite && mount.drive.capability().write;
        let view = View {
            shown: &shown,
            url_path: head.uri.path(),
            order: head.uri.query().and_then(Order::of),
            writable: ctx.writable && resource.mount.as_ref().is_some_and(writable),
            language: Language::of(&head.headers),
            mount: resource.mount.clone(),
        };
        Box::pin(pages::folder(&self.tree, resource, view)).await
    }

    async fn fs_link(&self, request: Request<Incoming>, peer: Peer) -> Response<Body> {
        let (head, body) = request.into_parts();
        let token = head.headers.get(AUTHORIZATION);
        let token = token.and_then(|value| value.to_str().ok()).unwrap_or_default();
        let known = || self.delivery.knows_worker(token);
        match self.auth.takes(peer.address.ip(), known).await {
            Ok(true) => {}
            Ok(false) => return self.delivery.unknown_worker(),
            Err(wait) => return self.refuse(auth::Refused::TooMany(wait), peer.tls),
        }
        match tokio::time::timeout(WORKER_TIME, Limited::new(body, WORKER_BODY).collect()).await {
            Ok(Ok(body)) => self.delivery.fs_link(token, body.to_bytes()).await,
            Ok(Err(_)) => answer::sentence(StatusCode::PAYLOAD_TOO_LARGE, "The body is too large."),
            Err(_) => answer::sentence(StatusCode::REQUEST_TIMEOUT, "The body did not come in time."),
        }
    }

    /// Between the host's root and the prefix there is nothing but the way to the tree. Explorer looks at
    /// each step of it (webdav-clients section 2).
    async fn above_prefix(&self, request: Request<Incoming>, path: &TreePath) -> Response<Body> {
        let method = request.method().as_str();
        let on_the_way = self.prefix.below(path).is_some();
        match method {
            "PROPFIND" if on_the_way => way::step(request.headers(), path, &self.prefix)
                .unwrap_or_else(crate::dav::Refused::into_response),
            "OPTIONS" if on_the_way => {
                let ctx = Ctx {
                    root: TreePath::root(),
                    path: TreePath::root(),
                    writable: true,
                    user: Arc::from("-"),
                };
                match self.dav.handle(request, &ctx).await {
                    Ok(response) => response,
                    Err(_) => answer::sentence(StatusCode::NOT_FOUND, "There is nothing here."),
                }
            }
            _ => {
                let sentence = format!("There is nothing here; the tree begins at {}/.", self.prefix);
                answer::sentence(StatusCode::NOT_FOUND, &sentence)
            }
        }
    }

    fn anybody(&self) -> Principal {
        Principal {
            name: Arc::from("-"),
            root: TreePath::root(),
            access: Access::ReadWrite,
        }
    }

    /// Whoever may read the state directory.
    fn owner(&self) -> Principal {
        Principal {
            name: Arc::from("control"),
            ..self.anybody()
        }
    }

    fn refuse(&self, refused: auth::Refused, tls: bool) -> Response<Body> {
        match refused {
            auth::Refused::Unknown(ask) => {
                if ask != Ask::Stale {
                    self.metrics.wrong_sign_ins.inc();
                }
                let mut response = answer::sentence(
                    StatusCode::UNAUTHORIZED,
                    "Sign in with your dav123 name and password.",
                );
                for challenge in self.auth.challenges(ask, tls) {
                    response.headers_mut().append(WWW_AUTHENTICATE, challenge);
                }
                response
            }
            auth::Refused::TooMany(wait) => {
                let mut response = answer::sentence(
                    StatusCode::TOO_MANY_REQUESTS,
                    "Too many wrong sign-ins came from your address or with this name; wait a little and try again.",
                );
                let seconds = HeaderValue::from(wait.as_secs().max(1));
                response.headers_mut().insert(RETRY_AFTER, seconds);
                response
            }
        }
    }

    fn failed(&self, error: &Error, line: &AccessLine) -> Response<Body> {
        let request = line.id().shown();
        match answer::status(error.kind()) {
            // Said once, when the calls were stopped.
            _ if error.kind() == ErrorKind::RiskControl => {
                tracing::debug!(%request, kind = ?error.kind(), "{error}")
            }
            status if status.is_server_error() => tracing::warn!(%request, kind = ?error.kind(), "{error}"),
            _ => tracing::debug!(%request, kind = ?error.kind(), "{error}"),
        }
        answer::from_error(error)
    }
}

fn bad_path(error: PathError) -> Response<Body> {
    let status = match error {
        PathError::AboveRoot => StatusCode::FORBIDDEN,
        PathError::TooLong => StatusCode::URI_TOO_LONG,
        PathError::NotUtf8 | PathError::BadSegment => StatusCode::BAD_REQUEST,
    };
    answer::sentence(status, &error.to_string())
}

//! This dav123 as the proxy of another one: answers the signed URLs of the strategy `proxy-url` (peers.md 1.2).
//!
//! The signature is checked before anything else is done. Then the file is streamed by the same engine as a mount with
//! strategy `proxy`, over links that the origin gives. Unlike the workers of the OpenList family it answers with true
//! statuses. The headers for scripts of other sites are those that a web player needs, as workers send them.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::header::{
    ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ALLOW, CONTENT_RANGE, HeaderValue, RANGE,
};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use secrecy::SecretString;

use super::cdn::Cdn;
use super::client::Client;
use super::origin::Origin;
use super::proxy_url::{Unsigned, verify};
use super::upstream::{LinkFuture, Links};
use super::{Answer, Delivery, OpenFile};
use crate::body::Body;
use crate::config::{self, Access, Strategy};
use crate::drive::{
    Capability, Drive, DriveFuture, Entry, Error, ErrorKind, Id, Link, LinkWish, Lister, Page,
};
use crate::metrics::{Metrics, OfMount};
use crate::tree::{Mount, Resource, TreePath};

/// What logs and metrics call it, where a mount has its path.
const NAME: &str = "[proxy]";
const METHODS: HeaderValue = HeaderValue::from_static("GET, HEAD, OPTIONS");

/// What it takes to answer for another dav123.
#[derive(Debug)]
pub struct Role {
    secret: SecretString,
    origin: Origin,
    mount: Arc<Mount>,
}

impl Role {
    /// Nothing is asked yet.
    pub fn new(proxy: &config::Proxy, cdn: Arc<Cdn>, metrics: &Metrics) -> Self {
        // Signed paths are whole paths of the origin: it stands at the root, and has neither a drive nor rules.
        let settings = config::Mount {
            path: NAME.to_owned(),
            source: config::Source::DirectLink(config::DirectLink {
                uid: None,
                private_key: None,
                valid_for: Duration::ZERO,
                links: SecretString::default(),
                links_from: String::new(),
            }),
            access: Access::ReadOnly,
            delivery: config::Delivery {
                strategy: Strategy::Proxy,
                ..config::Delivery::default()
            },
        };
        let name = OfMount {
            mount: NAME.to_owned(),
        };
        let calls = metrics.link_calls.get_or_create_owned(&name);
        Self {
            secret: proxy.secret.clone(),
            origin: Origin::new(proxy, cdn, calls),
            mount: Arc::new(Mount {
                // Not one of the tree's.
                index: usize::MAX,
                store: 0,
                path: TreePath::root(),
                drive: Arc::new(NoDrive),
                settings: Arc::new(settings),
            }),
        }
    }
}

/// The links of one file of the origin.
struct OriginLinks {
    origin: Origin,
    path: TreePath,
}

impl Links for OriginLinks {
    fn link(self: Arc<Self>, wish: LinkWish) -> LinkFuture {
        Box::pin(async move {
            let grant = self.origin.grant(&self.path, wish).await?;
            Ok(grant.link)
        })
    }
}

/// The value of `sign` in a query, as written.
fn sign(query: Option<&str>) -> Option<&str> {
    query?.split('&').find_map(|pair| pair.strip_prefix("sign="))
}

impl Delivery {
    /// Whether a request is one for the proxy of another dav123: signed, and this is such a proxy.
    pub fn is_signed<B>(&self, request: &Request<B>) -> bool {
        self.role.is_some()
            && [Method::GET, Method::HEAD, Method::OPTIONS].contains(request.method())
            && sign(request.uri().query()).is_some()
    }

    /// Answers a signed request; `path` is its whole path.
    ///
    /// # Errors
    /// `Forbidden` for a signature that is wrong or over, and for a method that reads no file; what the origin says; what a streamed file gives.
    pub async fn signed(
        &self,
        request: &Parts,
        path: &TreePath,
        peer: IpAddr,
        https: bool,
    ) -> Result<Answer, Error> {
        let Some(role) = &self.role else {
            return Err(forbidden(Unsigned::Wrong));
        };
        if request.method == Method::OPTIONS {
            return Ok((preflight(), None));
        }
        if request.method != Method::GET && request.method != Method::HEAD {
            return Err(Error::new(
                ErrorKind::Forbidden,
                "This dav123 is the proxy of another one; it only serves files under signed addresses.",
            ));
        }
        let sign = sign(request.uri.query()).unwrap_or_default();
        verify(&role.secret, path, sign, SystemTime::now()).map_err(forbidden)?;
        let grant = role.origin.grant(path, LinkWish::default()).await?;
        let links = Arc::new(OriginLinks {
            origin: role.origin.clone(),
            path: path.clone(),
        });
        let mut file = Resource {
            path: path.clone(),
            mount: Some(Arc::clone(&role.mount)),
            entry: grant.file,
        };
        if request.method == Method::HEAD && file.entry.size.is_none() {
            let size = self.size(&file, Client::of(request, peer, https), &links).await?;
            file.entry = Arc::new(Entry {
                size,
                ..(*file.entry).clone()
            });
        }
        let client = Client::of(request, peer, https);
        let file = OpenFile::new(Arc::new(file), links);
        let (mut response, strategy) = self.engine.get(request, &file, client).await?;
        share(&mut response);
        Ok((response, strategy))
    }

    /// The size of a file that the origin does not say: from the CDN's answer for one byte.
    async fn size(
        &self,
        file: &Resource,
        client: Client<'_>,
        links: &Arc<OriginLinks>,
    ) -> Result<Option<u64>, Error> {
        let (mut request, ()) = Request::new(()).into_parts();
        request
            .headers
            .insert(RANGE, HeaderValue::from_static("bytes=0-0"));
        let links = Arc::clone(links) as Arc<dyn Links>;
        let file = OpenFile::new(Arc::new(file.clone()), links);
        let (response, _) = self.engine.get(&request, &file, client).await?;
        let range = response.headers().get(CONTENT_RANGE);
        Ok(range.and_then(|range| range.to_str().ok()?.rsplit_once('/')?.1.parse().ok()))
    }
}

/// A script's question whether it may ask (the Fetch standard's CORS preflight).
fn preflight() -> Response<Body> {
    let mut response = Response::new(Body::Empty);
    *response.status_mut() = StatusCode::NO_CONTENT;
    share(&mut response);
    let headers = response.headers_mut();
    headers.insert(ALLOW, METHODS);
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        HeaderValue::from_static("Range, If-Range, If-Match, If-None-Match, If-Modified-Since"),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("86400"));
    response
}

/// Lets scripts of any site read the answer: who has the signed URL may have the bytes.
fn share(response: &mut Response<Body>) {
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_EXPOSE_HEADERS,
        HeaderValue::from_static("Accept-Ranges, Content-Length, Content-Range, ETag"),
    );
}

fn forbidden(why: Unsigned) -> Error {
    let sentence = match why {
        Unsigned::Wrong => "The signature of this address is wrong; open the file at the origin.",
        Unsigned::Expired => "The signature of this address has ended; open the file at the origin again.",
    };
    Error::new(ErrorKind::Forbidden, sentence)
}

/// Stands where a mount has its drive: nothing is listed here, and links come from the origin.
#[derive(Debug)]
struct NoDrive;

impl Lister for NoDrive {
    fn next(&mut self) -> DriveFuture<'_, Option<Page>> {
        Box::pin(async { Ok(None) })
    }
}

impl Drive for NoDrive {
    fn capability(&self) -> Capability {
        Capability::default()
    }

    fn root(&self) -> Id {
        Id::default()
    }

    fn list(&self, _: Id) -> Box<dyn Lister> {
        Box::new(Self)
    }

    fn link<'a>(&'a self, _: &'a Entry, _: LinkWish) -> DriveFuture<'a, Link> {
        Box::pin(async { Err(Error::new(ErrorKind::Unsupported, "The origin gives the links.")) })
    }
}

//! WebDAV: every method but GET and HEAD.
//!
//! [`Dav::handle`] takes a signed-in request whose path is already one of the tree. PROPFIND and OPTIONS are answered here, from the
//! tree and from the mount table; the methods that change something go through dav-server (`write`, `adapter`).
//! A refusal travels as a [`Refusal`] to the server, which has the table of statuses for the
//! drives' errors. No answer is ever a 3xx (A1).

mod adapter;
pub mod agent;
mod announced;
pub mod asked;
mod destination;
pub mod encode;
mod extras;
pub mod frames;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod if_header;
mod lock;
mod lock_view;
pub mod multistatus;
mod patch;
pub mod property;
mod propfind;
pub mod refusal;
mod request;
mod upload;
pub mod way;
mod write;
mod xml;

use std::sync::Arc;

use http::header::{ACCEPT_RANGES, ALLOW, CONNECTION, CONTENT_LENGTH};
use http::{HeaderValue, Request, Response, StatusCode};

use crate::body::Body;
use crate::config::{Access, Source};
use crate::tree::{Mount, Tree, TreePath, encode_segment};

use self::write::Writing;

pub use refusal::{Refusal, Refused};

/// Methods where nothing can be changed.
const READING: &str = "OPTIONS, GET, HEAD, PROPFIND";
/// Methods where something can.
const WRITING: &str = "OPTIONS, GET, HEAD, PROPFIND, PUT, MKCOL, DELETE, MOVE, COPY, PROPPATCH, LOCK, UNLOCK";

/// What the server knows of a request beside its head and body.
#[derive(Debug, Clone)]
pub struct Ctx {
    /// The subtree that the user sees as its root.
    pub root: TreePath,
    /// The path of the request in the tree: `root` and, below it, the path of the URL.
    pub path: TreePath,
    /// Whether the user may write.
    pub writable: bool,
    /// The user's name: locks belong to it.
    pub user: Arc<str>,
}

impl Ctx {
    /// The path as the user sees it.
    fn relative(&self) -> TreePath {
        self.path.below(&self.root).unwrap_or_default()
    }
}

/// The WebDAV side of the server. Shared by all requests.
#[derive(Debug)]
pub struct Dav {
    tree: Arc<Tree>,
    /// URL path before the tree's, percent-encoded, without a trailing slash.
    prefix: String,
    writing: Writing,
}

/// Why nothing can be changed at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ReadOnly {
    User,
    BetweenMounts,
    Share,
    DirectLink,
    Mount,
}

impl ReadOnly {
    fn sentence(self) -> &'static str {
        match self {
            Self::User => "You may only read here; ask the owner of this server for the right to write.",
            Self::BetweenMounts => {
                "This folder only holds mounts and cannot be changed; open one of them to work in it."
            }
            Self::Share => {
                "This is a share and can only be read; save what you need to a drive of your own to change it."
            }
            Self::DirectLink => {
                "This is a list of direct links and can only be read; its entries are changed in the configuration."
            }
            Self::Mount => "This mount is read-only, so nothing in it can be changed.",
        }
    }
}

impl Dav {
    /// WebDAV on a tree. `prefix` is the decoded URL path of the tree's root: `""` or `"/dav"`.
    pub fn new(tree: Arc<Tree>, prefix: &str) -> Self {
        Self {
            writing: Writing::new(tree.clone(), prefix),
            tree,
            prefix: encoded_prefix(prefix),
        }
    }

    /// Answers any method but GET and HEAD.
    ///
    /// # Errors
    /// A [`Refusal`] with the status, or with the drive's error that has one.
    pub async fn handle<B>(&self, request: Request<B>, ctx: &Ctx) -> Result<Response<Body>, Refusal>
    where
        B: http_body::Body + Send,
        B::Data: bytes::Buf + Send + 'static,
        B::Error: std::error::Error + Send + Sync + 'static,
    {
        match request.method().as_str() {
            "PROPFIND" => self.propfind(request, ctx).await,
            "OPTIONS" => Ok(options(self.tree.mounts(), request, ctx).await),
            "PUT" | "MKCOL" | "DELETE" | "MOVE" | "COPY" | "PROPPATCH" | "LOCK" | "UNLOCK" => {
                let (head, body) = request.into_parts();
                let to = matches!(head.method.as_str(), "COPY" | "MOVE")
                    .then(|| self.writing.destination_of(&head, &ctx.root))
                    .flatten();
                let refused = |path: &TreePath| read_only(self.tree.mounts(), path, ctx.writable);
                // A COPY changes only its destination: from a share into a drive is fine.
                let reason = match to {
                    Some(to) if head.method.as_str() == "COPY" => refused(&to),
                    Some(to) => refused(&ctx.path).or_else(|| refused(&to)),
                    None => refused(&ctx.path),
                };
                let request = Request::from_parts(head, body);
                match reason {
                    None => self.writing.handle(request, ctx).await,
                    Some(reason) => Err(refuse_write(request, reason).await.into()),
                }
            }
            _ => Err(refuse_method(self.tree.mounts(), request, ctx).await.into()),
        }
    }

    /// The methods that a path allows, for `Allow`: by the mount table alone, so it holds for paths that do not
    /// exist, and asks nobody (T8).
    pub fn allow_for(&self, path: &TreePath, writable: bool) -> &'static str {
        allowed(self.tree.mounts(), path, writable)
    }
}

fn encoded_prefix(prefix: &str) -> String {
    let mut encoded = String::with_capacity(prefix.len());
    for segment in prefix.split('/').filter(|segment| !segment.is_empty()) {
        encoded.push('/');
        encode_segment(segment, &mut encoded);
    }
    encoded
}

/// The percent-encoded URL path of what the user sees at `relative`; a folder's ends in a slash (A7).
fn href(prefix: &str, relative: &TreePath, folder: bool) -> String {
    let mut href = prefix.to_owned();
    relative.encode_to(&mut href);
    if folder && !relative.is_root() {
        href.push('/');
    }
    href
}

/// OPTIONS (RFC 9110 9.3.7, RFC 4918 10.1), for paths that do not exist too. Explorer needs
/// `MS-Author-Via`, Finder the class 2 (A9).
async fn options<B>(mounts: &[Arc<Mount>], request: Request<B>, ctx: &Ctx) -> Response<Body>
where
    B: http_body::Body,
{
    let allow = allowed(mounts, &ctx.path, ctx.writable);
    let close = drain(request).await;
    let mut response = Response::new(Body::Empty);
    let headers = response.headers_mut();
    headers.insert("dav", HeaderValue::from_static("1, 2, 3"));
    headers.insert("ms-author-via", HeaderValue::from_static("DAV"));
    headers.insert(ALLOW, HeaderValue::from_static(allow));
    headers.insert(ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
    if close {
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// Refuses what would change something.
async fn refuse_write<B>(request: Request<B>, reason: ReadOnly) -> Refused
where
    B: http_body::Body,
{
    let close = drain(request).await;
    Refused::new(StatusCode::FORBIDDEN, reason.sentence())
        .allowing(READING)
        .closing(close)
}

/// Refuses a method that nothing here knows.
async fn refuse_method<B>(mounts: &[Arc<Mount>], request: Request<B>, ctx: &Ctx) -> Refused
where
    B: http_body::Body,
{
    let allow = allowed(mounts, &ctx.path, ctx.writable);
    let sentence = format!(
        "The method {} is not served here; this resource takes {allow}.",
        request.method()
    );
    let close = drain(request).await;
    Refused::new(StatusCode::METHOD_NOT_ALLOWED, sentence)
        .allowing(allow)
        .closing(close)
}

async fn drain<B>(request: Request<B>) -> bool
where
    B: http_body::Body,
{
    let (head, body) = request.into_parts();
    request::drain(&head.headers, head.version, body).await
}

fn allowed(mounts: &[Arc<Mount>], path: &TreePath, writable: bool) -> &'static str {
    match read_only(mounts, path, writable) {
        Some(_) => READING,
        None => WRITING,
    }
}

/// Why nothing can be changed at a path; `None` where it can.
fn read_only(mounts: &[Arc<Mount>], path: &TreePath, writable: bool) -> Option<ReadOnly> {
    let mount = mounts
        .iter()
        .filter(|mount| path.below(&mount.path).is_some())
        .max_by_key(|mount| mount.path.depth());
    let Some(mount) = mount else {
        return Some(ReadOnly::BetweenMounts);
    };
    match mount.settings.source {
        Source::Share(_) => Some(ReadOnly::Share),
        Source::DirectLink(_) => Some(ReadOnly::DirectLink),
        _ if mount.settings.access == Access::ReadOnly => Some(ReadOnly::Mount),
        _ if !mount.drive.capability().write => Some(ReadOnly::Mount),
        _ if !writable => Some(ReadOnly::User),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::config;
    use bytes::Bytes;
    use http_body_util::{BodyExt, Full};

    use crate::drive::{Capability, Drive, DriveFuture, Entry, Id, Link, LinkWish, Lister};

    #[derive(Debug)]
    struct Plain {
        write: bool,
    }

    impl Drive for Plain {
        fn capability(&self) -> Capability {
            Capability {
                write: self.write,
                quota: false,
            }
        }

        fn root(&self) -> Id {
            Id(0)
        }

        fn list(&self, _: Id) -> Box<dyn Lister> {
            unreachable!("the mount table is asked without a call")
        }

        fn link<'a>(&'a self, _: &'a Entry, _: LinkWish) -> DriveFuture<'a, Link> {
            unreachable!("the mount table is asked without a call")
        }
    }

    fn mount(path: &str, source: Source, access: Access) -> Arc<Mount> {
        Arc::new(Mount {
            index: 0,
            store: 0,
            path: TreePath::parse(path).unwrap(),
            drive: Arc::new(Plain { write: true }),
            settings: Arc::new(config::Mount {
                path: path.into(),
                source,
                access,
                delivery: config::Delivery::default(),
            }),
        })
    }

    fn account() -> Source {
        Source::Account(config::Account {
            username: None,
            password: None,
            access_token: Some("t".to_owned().into()),
            root_id: 0,
            delete: config::Delete::Trash,
            endpoints: config::Endpoints::default(),
        })
    }

    fn share() -> Source {
        Source::Share(config::Share {
            key: "abcd-1234".into(),
            password: None,
            root_id: 0,
            account: None,
            endpoints: config::Endpoints::default(),
        })
    }

    #[test]
    fn allow_is_honest_for_every_kind_of_place() {
        let mounts = [
            mount("/drive", account(), Access::ReadWrite),
            mount("/drive/shared", share(), Access::ReadWrite),
            mount("/old", account(), Access::ReadOnly),
        ];
        for (path, writable, wanted) in [
            ("/", true, Some(ReadOnly::BetweenMounts)),
            ("/nowhere/x", true, Some(ReadOnly::BetweenMounts)),
            ("/drive", true, None),
            ("/drive/not/there", true, None),
            ("/drive/not/there", false, Some(ReadOnly::User)),
            ("/drive/shared", true, Some(ReadOnly::Share)),
            ("/drive/shared/x", true, Some(ReadOnly::Share)),
            ("/drive/sharedx", true, None),
            ("/old/x", true, Some(ReadOnly::Mount)),
        ] {
            let path = TreePath::parse(path).unwrap();
            assert_eq!(read_only(&mounts, &path, writable), wanted, "{path}");
            let allow = if wanted.is_some() { READING } else { WRITING };
            assert_eq!(allowed(&mounts, &path, writable), allow, "{path}");
        }
    }

    #[test]
    fn a_drive_that_cannot_write_is_not_said_to_be_writable() {
        let mut mount = Arc::into_inner(mount("/drive", account(), Access::ReadWrite)).unwrap();
        mount.drive = Arc::new(Plain { write: false });
        let path = TreePath::parse("/drive/x").unwrap();
        assert_eq!(read_only(&[Arc::new(mount)], &path, true), Some(ReadOnly::Mount));
    }

    fn ctx(path: &str) -> Ctx {
        Ctx {
            root: TreePath::root(),
            path: TreePath::parse(path).unwrap(),
            writable: true,
            user: Arc::from("me"),
        }
    }

    fn request(method: &str, body: Vec<u8>) -> Request<Full<Bytes>> {
        Request::builder()
            .method(method)
            .body(Full::new(body.into()))
            .unwrap()
    }

    async fn sentence(refused: Refused) -> (Response<Body>, String) {
        let (head, body) = refused.into_response().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = String::from_utf8(bytes.to_vec()).unwrap();
        (Response::from_parts(head, Body::Empty), text)
    }

    #[tokio::test]
    async fn options_promises_classes_1_to_3_on_any_path_with_an_empty_body() {
        let mounts = [mount("/s", share(), Access::ReadWrite)];
        for path in ["/", "/s", "/s/not/there", "/nowhere"] {
            let response = options(&mounts, request("OPTIONS", Vec::new()), &ctx(path)).await;
            let headers = response.headers();
            assert_eq!(response.status(), StatusCode::OK);
            assert_eq!(headers["dav"], "1, 2, 3");
            assert_eq!(headers["ms-author-via"], "DAV");
            assert_eq!(headers[ALLOW], "OPTIONS, GET, HEAD, PROPFIND");
            assert_eq!(headers[ACCEPT_RANGES], "bytes");
            assert_eq!(headers[CONTENT_LENGTH], "0");
            assert!(!headers.contains_key(CONNECTION));
        }
    }

    #[tokio::test]
    async fn a_write_into_a_share_is_a_403_with_a_sentence_and_what_is_allowed() {
        let refused = refuse_write(request("PUT", b"short".to_vec()), ReadOnly::Share).await;
        let (response, text) = sentence(refused).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(response.headers()[ALLOW], READING);
        assert!(text.starts_with("This is a share and can only be read"), "{text}");
        assert!(!response.headers().contains_key(CONNECTION));
        let refused = refuse_write(request("PUT", vec![0; 1 << 20]), ReadOnly::Share).await;
        assert_eq!(sentence(refused).await.0.headers()[CONNECTION], "close");
    }

    #[tokio::test]
    async fn an_unknown_method_is_a_405_with_allow() {
        let mounts = [mount("/drive", account(), Access::ReadWrite)];
        let refused = refuse_method(&mounts, request("BREW", Vec::new()), &ctx("/drive/a")).await;
        let (response, text) = sentence(refused).await;
        assert_eq!(response.status(), StatusCode::METHOD_NOT_ALLOWED);
        assert_eq!(response.headers()[ALLOW], WRITING);
        assert!(text.contains("BREW"));
    }

    #[tokio::test]
    async fn infinite_depth_is_refused_with_its_precondition_as_xml() {
        let mut headers = http::HeaderMap::new();
        headers.insert("depth", HeaderValue::from_static("infinity"));
        let (response, text) = sentence(request::Depth::of(&headers).unwrap_err()).await;
        assert_eq!(response.status(), StatusCode::FORBIDDEN);
        assert_eq!(
            text,
            "<?xml version=\"1.0\" encoding=\"utf-8\"?><D:error xmlns:D=\"DAV:\"><D:propfind-finite-depth/></D:error>"
        );
    }

    #[test]
    fn hrefs_are_below_the_prefix_and_relative_to_the_root_of_the_user() {
        let relative = |root: &str, path: &str| {
            Ctx {
                root: TreePath::parse(root).unwrap(),
                ..ctx(path)
            }
            .relative()
        };
        for (prefix, root, path, folder, wanted) in [
            ("", "/", "/", true, "/"),
            ("", "/", "/a b", true, "/a%20b/"),
            ("", "/", "/a b", false, "/a%20b"),
            ("/dav", "/", "/", true, "/dav/"),
            ("/云 盘", "/", "/x", false, "/%E4%BA%91%20%E7%9B%98/x"),
            ("/dav", "/drive", "/drive", true, "/dav/"),
            ("/dav", "/drive", "/drive/x", true, "/dav/x/"),
        ] {
            assert_eq!(
                href(&encoded_prefix(prefix), &relative(root, path), folder),
                wanted
            );
        }
    }

    /// Compiles only while the answer can be made on any thread.
    #[allow(dead_code)]
    fn an_answer_is_made_on_any_thread(dav: &Dav, ctx: &Ctx) {
        fn sent(_: impl Send) {}
        sent(dav.handle(request("PROPFIND", Vec::new()), ctx));
    }
}

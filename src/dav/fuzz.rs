//! What holds for any `If`, `Depth` and `Destination`, and for any body of XML: of the functions that read them, and of the
//! whole answer of a [`Dav`] over a drive in memory.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use tokio::runtime::Runtime;
use xmltree::Element;

use super::asked::Asked;
use super::{Ctx, Dav, Refusal, destination, if_header};
use crate::body::Body;
use crate::config::Config;
use crate::drive::ErrorKind;
use crate::tree::fuzz::{Folder, changed, forget, is_proper, tree};
use crate::tree::{Tree, TreePath};

/// The path of the URL above the tree, for the properties that need one.
const PREFIX: &str = "/dav";
/// A LOCK as clients send it.
const LOCK: &[u8] =
    b"<D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/>\
    </D:locktype></D:lockinfo>";

/// A runtime whose clock stands still, and the tree. One for all inputs: it keeps nothing of them.
pub(crate) struct World {
    pub(crate) runtime: Runtime,
    pub(crate) tree: Arc<Tree>,
    pub(crate) config: Config,
    _folder: Folder,
}

thread_local! {
    pub(crate) static WORLD: World = World::new();
}

impl World {
    fn new() -> Self {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        let runtime = builder.enable_all().start_paused(true).build().unwrap();
        let (tree, config, folder) = runtime.block_on(tree("0s"));
        Self {
            runtime,
            tree,
            config,
            _folder: folder,
        }
    }
}

/// A server without locks, and what came back of it.
struct Session<'w> {
    world: &'w World,
    dav: Dav,
    root: TreePath,
}

struct Answer {
    status: u16,
    text: String,
}

/// Asks a new server; forgets what it has stored.
fn session(run: impl FnOnce(&Session<'_>)) {
    WORLD.with(|world| {
        changed();
        run(&Session {
            world,
            dav: Dav::new(world.tree.clone(), ""),
            root: TreePath::root(),
        });
        world.runtime.block_on(forget(&world.tree));
    });
}

impl Session<'_> {
    /// The answer, which is a proper one.
    fn ask(&self, method: &str, path: &str, headers: &[(&str, &[u8])], body: &[u8]) -> Option<Answer> {
        let relative = TreePath::parse(path).unwrap();
        let mut request = Request::new(Full::new(Bytes::copy_from_slice(body)));
        *request.method_mut() = Method::from_bytes(method.as_bytes()).ok()?;
        *request.uri_mut() = path.parse::<Uri>().unwrap();
        for (name, value) in headers {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            request
                .headers_mut()
                .append(name, HeaderValue::from_bytes(value).ok()?);
        }
        let ctx = Ctx {
            path: self.root.join(&relative),
            root: self.root.clone(),
            writable: true,
            user: Arc::from("me"),
        };
        let answer = async {
            match self.dav.handle(request, &ctx).await {
                Ok(response) => whole(response).await,
                Err(Refusal::Refused(refused)) => whole(refused.into_response()).await,
                Err(Refusal::Fault(error)) => {
                    // The drive never fails by itself.
                    let ours = [
                        ErrorKind::NotFound,
                        ErrorKind::Exists,
                        ErrorKind::NotAFolder,
                        ErrorKind::IsAFolder,
                        ErrorKind::BadName,
                        ErrorKind::TooLarge,
                        ErrorKind::NoSpace,
                    ];
                    assert!(ours.contains(&error.kind()), "{error:?}");
                    Answer {
                        status: if error.kind() == ErrorKind::NotFound {
                            404
                        } else {
                            409
                        },
                        text: error.sentence().to_owned(),
                    }
                }
            }
        };
        Some(self.world.runtime.block_on(answer))
    }
}

async fn whole(response: Response<Body>) -> Answer {
    let (head, body) = response.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    is_an_answer(head.status, head.headers.get(CONTENT_TYPE), &bytes);
    Answer {
        status: head.status.as_u16(),
        text: String::from_utf8_lossy(&bytes).into_owned(),
    }
}

/// What holds for every answer to a method of WebDAV: no redirect (A1), no fault of ours, XML that can be read, else one
/// sentence.
pub(crate) fn is_an_answer(status: StatusCode, media_type: Option<&HeaderValue>, body: &[u8]) {
    let known = matches!(status.as_u16(), 502 | 507);
    assert!(
        !status.is_redirection() && (known || !status.is_server_error()),
        "{status}"
    );
    let media_type = media_type
        .map(|value| value.to_str().unwrap())
        .unwrap_or_default();
    if media_type.contains("xml") && !body.is_empty() {
        // The parser does not know that an element may have this prefix (Namespaces in XML 1.0, 3).
        let text = std::str::from_utf8(body).unwrap().replace("<xml:", "<D:");
        let read = Element::parse(text.as_bytes());
        assert!(read.is_ok(), "{read:?}: {text}");
    } else if media_type.starts_with("text/plain") {
        let text = std::str::from_utf8(body).unwrap();
        let line = text.strip_suffix('\n').unwrap_or(text);
        assert!(!line.contains(char::is_control), "{text:?}");
    } else {
        assert!(
            body.is_empty(),
            "{media_type:?}: {}",
            String::from_utf8_lossy(body)
        );
    }
}

/// The value of an `If` header.
pub fn if_header(data: &[u8]) {
    let read = if_header::read(data);
    if let Ok(read) = &read {
        // dav-server gets visible characters alone, and reads what we read.
        assert!(HeaderValue::from_str(&read.text).is_ok(), "{}", read.text);
        let again = if_header::read(read.text.as_bytes());
        assert_eq!(again.as_ref(), Ok(read));
        for token in &read.tokens {
            let odd = |byte: u8| !byte.is_ascii_graphic() || b"<>".contains(&byte);
            assert!(token.contains(':') && !token.bytes().any(odd), "{token}");
        }
    }
    session(|session| {
        let Some(answer) = session.ask("DELETE", "/drive/notes.txt", &[("if", data)], b"") else {
            return;
        };
        let folders = changed();
        match &read {
            Err(_) => assert_eq!(answer.status, 400),
            Ok(read) if read.text.contains("http://tree") => {
                assert!(
                    matches!(answer.status, 204 | 412),
                    "{}: {}",
                    read.text,
                    answer.status
                );
            }
            Ok(read) => {
                let wanted = if holds(&read.text) { 204 } else { 412 };
                assert_eq!(answer.status, wanted, "{}", read.text);
            }
        }
        assert_eq!(answer.status == 204, folders == [0], "{folders:?}");
    });
}

/// Whether conditions without tags hold for `notes.txt`, which is not locked (RFC 4918 10.4.3): one list is enough, and of
/// a list all.
fn holds(text: &str) -> bool {
    let tag = format!("[\"{}\"]", "ab".repeat(16));
    let mut rest = text;
    let mut any = false;
    while let Some(list) = rest.strip_prefix('(') {
        let (mut all, mut inside) = (true, list);
        loop {
            inside = inside.trim_start();
            if let Some(after) = inside.strip_prefix(')') {
                rest = after;
                break;
            }
            let not = inside.strip_prefix("Not ");
            let condition = not.unwrap_or(inside);
            // A tag ends at its second quote; a token has no `>` in it.
            let end = match condition.find('"').filter(|_| condition.starts_with('[')) {
                Some(open) => open + 1 + condition[open + 1..].find('"').unwrap() + 2,
                None => condition.find('>').unwrap() + 1,
            };
            let (condition, after) = condition.split_at(end);
            all &= (condition == tag) != not.is_some();
            inside = after;
        }
        any |= all;
    }
    assert_eq!(rest, "");
    any
}

/// A method, a space, and the value of `Depth`; without the space there is no such header.
pub fn depth(data: &[u8]) {
    let space = data.iter().position(|byte| *byte == b' ');
    let (method, depth) = match space {
        Some(at) => (&data[..at], Some(&data[at + 1..])),
        None => (data, None),
    };
    let Ok(method) = std::str::from_utf8(method) else {
        return;
    };
    let (method, folder) = match method.strip_suffix('/') {
        Some(method) => (method, true),
        None => (method, false),
    };
    if !["PROPFIND", "COPY", "MOVE", "DELETE", "LOCK"].contains(&method) {
        return;
    }
    let path = if folder {
        "/drive/folder"
    } else {
        "/drive/notes.txt"
    };
    let given = depth.map(|depth| depth.trim_ascii().to_ascii_lowercase());
    let is = |wanted: &[&str]| {
        given
            .as_ref()
            .is_none_or(|given| wanted.iter().any(|wanted| wanted.as_bytes() == given))
    };
    // RFC 4918 9.1, 9.6.1, 9.8.3, 9.9.2, 9.10.3.
    let served = match method {
        "PROPFIND" => is(&["0", "1"]),
        "COPY" | "LOCK" => is(&["0", "infinity"]),
        "DELETE" if !folder => is(&["0", "1", "infinity"]),
        _ => is(&["infinity"]),
    };
    let mut headers: Vec<(&str, &[u8])> = vec![("destination", b"/drive/new"), ("overwrite", b"F")];
    headers.extend(depth.map(|depth| ("depth", depth)));
    session(|session| {
        let body = if method == "LOCK" { LOCK } else { b"" };
        let Some(answer) = session.ask(method, path, &headers, body) else {
            return;
        };
        let refused = match method {
            "PROPFIND" if is(&["infinity"]) => 403,
            _ => 400,
        };
        if !served {
            assert_eq!(answer.status, refused, "{method} {path} {given:?}");
            assert!(changed().is_empty());
            return;
        }
        assert!(
            (200..300).contains(&answer.status),
            "{method} {path} {given:?}: {}",
            answer.status
        );
        if method == "PROPFIND" {
            let members = if folder && given.as_deref() != Some(b"0") {
                2
            } else {
                0
            };
            assert_eq!(
                answer.text.matches("<D:response>").count(),
                1 + members,
                "{given:?}"
            );
        }
    });
}

/// `Destination`, `Host` and `X-Forwarded-Host`, a line each.
pub fn destination(data: &[u8]) {
    let mut lines = data.split(|byte| *byte == b'\n');
    let text = lines.next().unwrap_or_default();
    let mut request = Request::builder().uri("/dav/drive/folder/film.mkv");
    request = request.header("destination", text);
    for (name, value) in [HOST.as_str(), "x-forwarded-host"].into_iter().zip(lines) {
        request = request.header(name, value);
    }
    let Ok(request) = request.body(()) else {
        return;
    };
    let (mut head, ()) = request.into_parts();
    let prefix = TreePath::parse(PREFIX).unwrap();
    let read = destination::read(&head, &prefix);
    match &read {
        Ok(read) => {
            let read = read.as_ref().unwrap();
            is_proper(&read.path);
            let header = read.header.to_str().unwrap();
            assert_eq!(TreePath::parse(header), Ok(prefix.join(&read.path)), "{header}");
            assert!(
                header.parse::<Uri>().is_ok() || header.len() > usize::from(u16::MAX) / 2,
                "{header}"
            );
        }
        Err(refused) => assert!(matches!(refused.status.as_u16(), 400 | 403 | 502), "{refused:?}"),
    }
    // To a server of another name only a path can go.
    head.headers.remove("x-forwarded-host");
    head.headers
        .insert(HOST, HeaderValue::from_static("elsewhere.invalid"));
    let text = String::from_utf8_lossy(text).into_owned();
    if !text.trim().starts_with('/') && !text.to_ascii_lowercase().contains("elsewhere.invalid") {
        assert!(destination::read(&head, &prefix).is_err(), "{text}");
    }
    confined(&text, read.is_ok());
}

/// Who sees a subtree alone changes nothing outside of it, whatever the destination.
fn confined(text: &str, _: bool) {
    session(|session| {
        let session = Session {
            world: session.world,
            dav: Dav::new(session.world.tree.clone(), PREFIX),
            root: TreePath::parse("/drive/folder").unwrap(),
        };
        for method in ["COPY", "MOVE"] {
            let headers = [("destination", text.as_bytes()), ("host", b"nas.lan:8123")];
            if let Some(answer) = session.ask(method, "/film.mkv", &headers, b"") {
                let folders = changed();
                assert!(
                    folders.iter().all(|folder| *folder == 1),
                    "{method} to {text}: {folders:?}"
                );
                assert!(answer.status != 201 || !folders.is_empty(), "{method} to {text}");
            }
        }
    });
}

/// A method (PROPFIND, PROPPATCH or LOCK), a line end, and the body.
pub fn xml(data: &[u8]) {
    let line = data.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let (method, body) = (&data[..line], data.get(line + 1..).unwrap_or_default());
    session(|session| match method {
        b"PROPFIND" => {
            let Some(answer) = session.ask("PROPFIND", "/drive/", &[("depth", b"1")], body) else {
                return;
            };
            assert_eq!(answer.status, if Asked::parse(body).is_ok() { 207 } else { 400 });
            no_document_type(&answer, body);
            // Four members, and each unknown name at most once in each answer.
            assert!(
                answer.text.len() < 16 * 1024 + 24 * body.len(),
                "{} bytes",
                answer.text.len()
            );
        }
        b"PROPPATCH" => {
            let answer = session.ask("PROPPATCH", "/drive/notes.txt", &[], body).unwrap();
            assert!(
                matches!(answer.status, 207 | 400 | 409 | 413 | 415 | 507),
                "{}",
                answer.status
            );
            no_document_type(&answer, body);
            shown(session);
        }
        b"LOCK" => {
            let answer = session.ask("LOCK", "/drive/notes.txt", &[], body).unwrap();
            assert!(
                matches!(answer.status, 200 | 201 | 400 | 412 | 413 | 415),
                "{}",
                answer.status
            );
            no_document_type(&answer, body);
            shown(session);
            if answer.status == 200 {
                let put = session.ask("DELETE", "/drive/notes.txt", &[], b"").unwrap();
                assert_eq!(put.status, 423, "a lock holds off who does not name it");
            }
        }
        _ => {}
    });
}

/// What was stored is shown in answers that can be read.
fn shown(session: &Session<'_>) {
    const LOCKS: &[u8] =
        b"<propfind xmlns=\"DAV:\"><prop><lockdiscovery/><getlastmodified/></prop></propfind>";
    const NAMES: &[u8] = b"<propfind xmlns=\"DAV:\"><propname/></propfind>";
    for body in [b"".as_slice(), LOCKS, NAMES] {
        let answer = session
            .ask("PROPFIND", "/drive/", &[("depth", b"1")], body)
            .unwrap();
        assert_eq!(answer.status, 207);
    }
}

/// Nothing is served that declares a document type: entities could be declared in it.
fn no_document_type(answer: &Answer, body: &[u8]) {
    let text = String::from_utf8_lossy(body);
    let before = text.split_once("<!DOCTYPE").map(|(before, _)| before);
    // Further on, or behind a comment, it may be text.
    if before.is_some_and(|before| !before.contains('<')) {
        assert!(answer.status >= 400, "{text}");
    }
}

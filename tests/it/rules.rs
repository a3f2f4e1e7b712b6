//! The rules of the writing methods through the front door: what is destroyed by nobody, and what odd
//! headers and bodies cannot do.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dav123::sim::Cloud;
use md5::{Digest, Md5};

use crate::world::{PASSWORD, USER, World, account, options};

pub const LOCK: &str = r#"<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner>me</D:owner></D:lockinfo>"#;

pub async fn world(fill: impl FnOnce(&Cloud)) -> World {
    World::start(options(), fill, |cloud| {
        account(cloud, "/drive", "strategy = \"proxy\"")
    })
    .await
}

/// The same with one file, `/a.txt`.
pub async fn one_file() -> World {
    world(|cloud| {
        cloud.add_file("/a.txt", "a");
    })
    .await
}

pub struct Answer {
    pub status: u16,
    headers: reqwest::header::HeaderMap,
    pub text: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Sends a request with these headers.
pub async fn send(world: &World, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let mut request = world.request(method, path).body(body.to_owned());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = request.send().await.unwrap();
    Answer {
        status: answer.status().as_u16(),
        headers: answer.headers().clone(),
        text: answer.text().await.unwrap(),
    }
}

pub async fn status(world: &World, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> u16 {
    send(world, method, path, headers, body).await.status
}

/// Locks a path; the token.
pub async fn lock(world: &World, path: &str, headers: &[(&str, &str)]) -> String {
    let answer = send(world, "LOCK", path, headers, LOCK).await;
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text);
    answer.header("lock-token").trim_matches(['<', '>']).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_cannot_be_leaves_its_target_alone() {
    let world = world(|cloud| {
        cloud.add_file("/a/b/c.txt", "c");
        cloud.add_file("/a/b/d.txt", "d");
        cloud.add_file("/target.txt", "t");
    })
    .await;
    for (method, from, to) in [
        // Into itself, onto what holds it, and the root of the mount: over things that are there.
        ("MOVE", "/drive/a", "/drive/a/b"),
        ("COPY", "/drive/a", "/drive/a/b"),
        ("MOVE", "/drive/a/b", "/drive/a"),
        ("COPY", "/drive/a/b/c.txt", "/drive/a"),
        ("MOVE", "/drive", "/drive/target.txt"),
        ("MOVE", "/drive/a", "/drive/a"),
        ("MOVE", "/drive/a/b", "/drive"),
    ] {
        let answer = send(
            &world,
            method,
            from,
            &[("destination", to), ("overwrite", "T")],
            "",
        )
        .await;
        assert_eq!(answer.status, 403, "{method} {from} {to}: {}", answer.text);
    }
    assert_eq!(world.cloud.read("/a/b/c.txt").unwrap(), b"c");
    assert_eq!(world.cloud.read("/a/b/d.txt").unwrap(), b"d");
    assert_eq!(world.cloud.read("/target.txt").unwrap(), b"t");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_not_moved_onto_itself_by_another_way_to_it() {
    let world = World::start(
        options(),
        |cloud| {
            cloud.add_file("/a/b/c.txt", "c");
        },
        |cloud| {
            format!(
                "{}\n{}",
                account(cloud, "/drive", "strategy = \"proxy\""),
                account(cloud, "/again", "strategy = \"proxy\"")
            )
        },
    )
    .await;
    for (from, to) in [
        ("/drive/a/b/c.txt", "/again/a/b/c.txt"),
        ("/drive/a/b", "/again/a"),
        ("/drive/a/b/c.txt", "/again/a"),
    ] {
        let answer = send(&world, "MOVE", from, &[("destination", to)], "").await;
        assert_eq!(answer.status, 403, "{from} {to}: {}", answer.text);
    }
    assert_eq!(world.cloud.read("/a/b/c.txt").unwrap(), b"c");
}

#[tokio::test(flavor = "multi_thread")]
async fn headers_that_cannot_be_read_change_nothing() {
    let world = world(|cloud| {
        cloud.add_file("/f/a.txt", "a");
        cloud.add_file("/f/b.txt", "b");
    })
    .await;
    let to = ("destination", "/drive/f/b.txt");
    for (method, path, header) in [
        ("MOVE", "/drive/f/a.txt", ("overwrite", "perhaps")),
        ("MOVE", "/drive/f/a.txt", ("depth", "7")),
        ("DELETE", "/drive/f", ("depth", "0")),
        ("DELETE", "/drive/f", ("depth", "1")),
        ("DELETE", "/drive/f/a.txt", ("if", "(<urn:uuid:without-an-end")),
        ("DELETE", "/drive/f/a.txt", ("if", "([\"without-an-end")),
        ("DELETE", "/drive/f/a.txt", ("if", "()")),
        ("DELETE", "/drive/f/a.txt", ("if", "rubbish")),
    ] {
        let answer = send(&world, method, path, &[header, to], "").await;
        assert_eq!(answer.status, 400, "{method} {header:?}: {}", answer.text);
    }
    // A small f means the same as a large one.
    assert_eq!(
        status(&world, "MOVE", "/drive/f/a.txt", &[("overwrite", "f"), to], "").await,
        412
    );
    // A tagged list with a path instead of a URL is a condition all the same.
    let unmet = ("if", "</drive/f/b.txt> ([\"other\"])");
    assert_eq!(
        status(&world, "DELETE", "/drive/f/a.txt", &[unmet], "").await,
        412
    );
    assert_eq!(world.cloud.read("/f/a.txt").unwrap(), b"a");
    assert_eq!(world.cloud.read("/f/b.txt").unwrap(), b"b");
    assert_eq!(
        status(&world, "DELETE", "/drive/f/a.txt", &[("depth", "infinity")], "").await,
        204
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn deep_xml_is_refused_and_the_server_lives() {
    let world = one_file().await;
    let deep = "<a>".repeat(21_000);
    for (method, wanted) in [("PROPPATCH", 400), ("LOCK", 413), ("PROPFIND", 400)] {
        let body = format!("<D:x xmlns:D=\"DAV:\">{deep}lastmodified");
        assert_eq!(status(&world, method, "/drive/a.txt", &[], &body).await, wanted);
        let body = format!(
            "<D:propertyupdate xmlns:D=\"DAV:\">{}lastmodified{}</D:propertyupdate>",
            "<a>".repeat(9_000),
            "</a>".repeat(9_000)
        );
        assert_eq!(status(&world, method, "/drive/a.txt", &[], &body).await, wanted);
    }
    assert_eq!(world.propfind("/drive/a.txt", "0").await.0, 207);
}

#[tokio::test(flavor = "multi_thread")]
async fn times_beyond_the_calendar_are_not_taken_and_harm_nobody() {
    let world = world(|_| {}).await;
    for time in ["99999999999999", "9223372036854775807", "-99999999999999", "x"] {
        let answer = send(&world, "PUT", "/drive/a.txt", &[("x-oc-mtime", time)], "a").await;
        assert!(matches!(answer.status, 201 | 204), "{time}");
        assert_eq!(answer.header("x-oc-mtime"), "", "{time}");
        let body = format!(
            "<D:propertyupdate xmlns:D=\"DAV:\"><D:set><D:prop><D:lastmodified>{time}</D:lastmodified></D:prop></D:set></D:propertyupdate>"
        );
        let answer = send(&world, "PROPPATCH", "/drive/a.txt", &[], &body).await;
        assert!(answer.text.contains("409"), "{time}: {}", answer.text);
    }
    let answer = send(
        &world,
        "PUT",
        "/drive/a.txt",
        &[("x-oc-mtime", "784111777.5")],
        "a",
    )
    .await;
    assert_eq!(answer.header("x-oc-mtime"), "accepted");
    assert_eq!(answer.header("last-modified"), "Sun, 06 Nov 1994 08:49:37 GMT");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proppatch_changes_all_or_nothing() {
    let world = one_file().await;
    for (other, wanted) in [
        ("<D:lastmodified>yesterday</D:lastmodified>", "409 Conflict"),
        ("<D:displayname>other</D:displayname>", "403 Forbidden"),
        ("<D:getetag>x</D:getetag>", "403 Forbidden"),
        ("<o:checksums>MD5:00</o:checksums>", "403 Forbidden"),
        ("<D:quota-used-bytes>1</D:quota-used-bytes>", "403 Forbidden"),
    ] {
        let body = format!(
            "<D:propertyupdate xmlns:D=\"DAV:\" xmlns:o=\"http://owncloud.org/ns\" xmlns:x=\"urn:x\"><D:set><D:prop><x:kept>v</x:kept>{other}</D:prop></D:set></D:propertyupdate>"
        );
        let answer = send(&world, "PROPPATCH", "/drive/a.txt", &[], &body).await;
        assert_eq!(answer.status, 207);
        assert!(answer.text.contains(wanted), "{other}: {}", answer.text);
        assert!(
            answer.text.contains("424 Failed Dependency"),
            "{other}: {}",
            answer.text
        );
    }
    let (_, names) = world.propfind("/drive/a.txt", "0").await;
    assert!(!names.contains("kept"), "{names}");
    assert_eq!(names.matches("<D:displayname>").count(), 1);
}

/// Sends a head and then the body, all of it, before it reads the answer: as a simple client does.
fn put_all(world: &World, path: &str, headers: &str, body: &[u8]) -> String {
    let mut stream = TcpStream::connect(world.server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let basic = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    write!(
        stream,
        "PUT {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Basic {basic}\r\nContent-Length: {}\r\n{headers}\r\n",
        world.server.address(),
        body.len()
    )
    .unwrap();
    stream.write_all(body).unwrap();
    let mut answer = vec![0; 12];
    stream.read_exact(&mut answer).unwrap();
    String::from_utf8(answer).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_sends_known_content_without_waiting_gets_its_answer() {
    let bytes: Vec<u8> = (0..24_000_000u32).map(|n| (n % 251) as u8).collect();
    let known = bytes.clone();
    let world = world(move |cloud| {
        cloud.add_file("/known.bin", known);
    })
    .await;
    let sum: String = Md5::digest(&bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let headers = format!("OC-Checksum: MD5:{sum}\r\n");
    let answer = put_all(&world, "/drive/new.bin", &headers, &bytes);
    assert_eq!(answer, "HTTP/1.1 201");
    assert_eq!(world.cloud.read("/new.bin").unwrap(), bytes);
    // A refusal reaches a client whose body is short, too.
    let answer = put_all(&world, "/drive/no/such.bin", "", &bytes[..200_000]);
    assert_eq!(answer, "HTTP/1.1 409");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_allowed_says_what_is() {
    let world = world(|cloud| {
        cloud.add_file("/f/a.txt", "a");
    })
    .await;
    for (method, path) in [
        ("MKCOL", "/drive/f"),
        ("PUT", "/drive/f"),
        ("PUT", "/drive/g/"),
        ("PATCH", "/drive/f/a.txt"),
    ] {
        let answer = send(&world, method, path, &[], "").await;
        assert_eq!(answer.status, 405, "{method} {path}");
        assert!(
            answer.header("allow").contains("MKCOL"),
            "{method} {path}: {:?}",
            answer.headers
        );
        assert!(answer.text.trim_end().ends_with('.'), "{}", answer.text);
    }
    assert_eq!(status(&world, "MKCOL", "/drive/g", &[], "<a/>").await, 415);
    let answer = send(
        &world,
        "PUT",
        "/drive/f/a.txt",
        &[("content-range", "bytes 0-0/1")],
        "b",
    )
    .await;
    assert_eq!(answer.status, 400);
    let large = "x".repeat(70_000);
    assert_eq!(
        status(&world, "PROPPATCH", "/drive/f/a.txt", &[], &large).await,
        413
    );
    let owner = format!("<D:owner>{}</D:owner>", "x".repeat(9_000));
    let large = LOCK.replace("<D:owner>me</D:owner>", &owner);
    assert_eq!(status(&world, "LOCK", "/drive/f/a.txt", &[], &large).await, 413);
    let answer = send(
        &world,
        "UNLOCK",
        "/drive/f/a.txt",
        &[("lock-token", "<urn:uuid:made-up>")],
        "",
    )
    .await;
    assert_eq!(answer.status, 409);
    assert!(answer.text.contains("lock"), "{}", answer.text);
}

//! The rules of the writing methods through the front door: what is destroyed by nobody, what a lock keeps out, and what odd
//! headers and bodies cannot do.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dav123::sim::Cloud;
use md5::{Digest, Md5};

use crate::world::{PASSWORD, USER, World, account, options};

const LOCK: &str = r#"<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype><D:owner>me</D:owner></D:lockinfo>"#;

async fn world(fill: impl FnOnce(&Cloud)) -> World {
    World::start(options(), fill, |cloud| {
        account(cloud, "/drive", "strategy = \"proxy\"")
    })
    .await
}

struct Answer {
    status: u16,
    headers: reqwest::header::HeaderMap,
    text: String,
}

impl Answer {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

/// Sends a request with these headers.
async fn send(world: &World, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
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

async fn status(world: &World, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> u16 {
    send(world, method, path, headers, body).await.status
}

/// Locks a path; the token.
async fn lock(world: &World, path: &str, headers: &[(&str, &str)]) -> String {
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
    let world = world(|cloud| {
        cloud.add_file("/a.txt", "a");
    })
    .await;
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
    let world = world(|cloud| {
        cloud.add_file("/a.txt", "a");
    })
    .await;
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

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_no_lock_allows_nothing() {
    let world = world(|cloud| {
        cloud.add_file("/a.txt", "a");
    })
    .await;
    let token = lock(&world, "/drive/a.txt", &[("timeout", "Second-1")]).await;
    let held = format!("(<{token}>)");
    assert_eq!(
        status(&world, "PUT", "/drive/a.txt", &[("if", &held)], "b").await,
        204
    );
    tokio::time::sleep(Duration::from_millis(1100)).await;
    // The lock has ended: whoever holds its token finds out before he overwrites somebody else's work.
    assert_eq!(
        status(&world, "PUT", "/drive/a.txt", &[("if", &held)], "c").await,
        412
    );
    assert_eq!(
        status(
            &world,
            "PUT",
            "/drive/a.txt",
            &[("if", "(<urn:uuid:made-up>)")],
            "c"
        )
        .await,
        412
    );
    assert_eq!(
        status(
            &world,
            "PUT",
            "/drive/a.txt",
            &[("if", "(Not <urn:uuid:made-up>)")],
            "c"
        )
        .await,
        204
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_lives_as_long_as_was_asked_but_an_hour_at_the_most() {
    let world = world(|cloud| {
        cloud.add_file("/a.txt", "a");
    })
    .await;
    for (wish, granted) in [
        ("Second-3600", "Second-3600"),
        ("Second-1200", "Second-1200"),
        ("Infinite, Second-4100000000", "Second-3600"),
        ("Second-4100000000", "Second-3600"),
        ("Second-99999999999999999999", "Second-3600"),
        ("whatever", "Second-3600"),
    ] {
        let answer = send(&world, "LOCK", "/drive/a.txt", &[("timeout", wish)], LOCK).await;
        assert_eq!(answer.status, 200);
        assert!(answer.text.contains(granted), "{wish}: {}", answer.text);
        let token = answer.header("lock-token").to_owned();
        let held = format!("({token})");
        let again = send(
            &world,
            "LOCK",
            "/drive/a.txt",
            &[("if", &held), ("timeout", "Second-77")],
            "",
        )
        .await;
        assert_eq!(again.status, 200, "{}", again.text);
        assert!(again.text.contains("Second-77"), "{}", again.text);
        assert_eq!(
            status(&world, "UNLOCK", "/drive/a.txt", &[("lock-token", &token)], "").await,
            204
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_a_folder_alone_keeps_its_members_as_they_are() {
    let world = world(|cloud| {
        cloud.add_file("/f/a.txt", "a");
        cloud.add_file("/b.txt", "b");
    })
    .await;
    let token = lock(&world, "/drive/f", &[("depth", "0")]).await;
    let onto = ("destination", "/drive/f/new.txt");
    for (method, path, headers) in [
        ("PUT", "/drive/f/new.txt", &[][..]),
        ("MKCOL", "/drive/f/new", &[]),
        ("DELETE", "/drive/f/a.txt", &[]),
        ("MOVE", "/drive/b.txt", &[onto]),
        ("COPY", "/drive/b.txt", &[onto]),
        ("MOVE", "/drive/f/a.txt", &[("destination", "/drive/c.txt")]),
        ("DELETE", "/drive/f", &[]),
    ] {
        let body = if method == "PUT" { "x" } else { "" };
        assert_eq!(
            status(&world, method, path, headers, body).await,
            423,
            "{method} {path}"
        );
    }
    // What is in its members is another matter.
    assert_eq!(status(&world, "PUT", "/drive/f/a.txt", &[], "x").await, 204);
    let held = format!("<{}> (<{token}>)", world.url("/drive/f"));
    assert_eq!(
        status(&world, "PUT", "/drive/f/new.txt", &[("if", &held)], "x").await,
        201
    );
    let held = format!("</drive/f> (<{token}>)");
    assert_eq!(
        status(&world, "DELETE", "/drive/f/a.txt", &[("if", &held)], "").await,
        204
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_shown_below_the_prefix_and_the_root_of_the_user_and_ended_by_its_owner_alone() {
    let world = World::configured(
        options(),
        |cloud| {
            cloud.add_file("/home/a b.txt", "a");
        },
        |cloud, dir| {
            format!(
                "[server]\nlisten = \"127.0.0.1:0\"\nprefix = \"/dav\"\nstate_dir = \"{}/state\"\n\
                 [upload]\nspool_dir = \"{}/spool\"\n\
                 [[user]]\nname = \"{USER}\"\npassword = \"{PASSWORD}\"\nroot = \"/drive/home\"\n\
                 [[user]]\nname = \"other\"\npassword = \"{PASSWORD}\"\n{}",
                dir.display(),
                dir.display(),
                account(cloud, "/drive", "strategy = \"proxy\"")
            )
        },
    )
    .await;
    // The URL that a world prints ends in the prefix already.
    let base = world
        .server
        .url
        .trim_end_matches('/')
        .trim_end_matches("/dav")
        .to_owned();
    let call = |method: &str, user: &str, path: &str, headers: Vec<(&'static str, String)>, body: &str| {
        let mut request = world
            .http
            .request(
                reqwest::Method::from_bytes(method.as_bytes()).unwrap(),
                format!("{base}{path}"),
            )
            .basic_auth(user, Some(PASSWORD))
            .body(body.to_owned());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        async {
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            let token = answer
                .headers()
                .get("lock-token")
                .map(|token| token.to_str().unwrap().to_owned());
            (status, token.unwrap_or_default(), answer.text().await.unwrap())
        }
    };
    let (status, token, text) = call("LOCK", USER, "/dav/a%20b.txt", vec![], LOCK).await;
    assert_eq!(status, 200);
    let root = "<D:lockroot><D:href>/dav/a%20b.txt</D:href></D:lockroot>";
    assert!(text.contains(root), "{text}");
    let (_, _, text) = call(
        "PROPFIND",
        USER,
        "/dav/a%20b.txt",
        vec![("depth", "0".into())],
        "",
    )
    .await;
    assert!(text.contains(root), "{text}");
    let others = "/dav/drive/home/a%20b.txt";
    let (_, _, text) = call("PROPFIND", "other", others, vec![("depth", "0".into())], "").await;
    assert!(
        text.contains("/dav/drive/home/a%20b.txt</D:href></D:lockroot>"),
        "{text}"
    );
    assert_eq!(call("PUT", "other", others, vec![], "x").await.0, 423);
    let held = vec![("if", format!("({token})"))];
    assert_eq!(call("PUT", "other", others, held, "x").await.0, 423);
    let ended = call("UNLOCK", "other", others, vec![("lock-token", token.clone())], "").await;
    assert_eq!(ended.0, 403, "{}", ended.2);
    let held = vec![("if", format!("<{base}/dav/a%20b.txt> ({token})"))];
    assert_eq!(call("PUT", USER, "/dav/a%20b.txt", held, "x").await.0, 204);
    let (status, _, text) = call(
        "MOVE",
        USER,
        "/dav/a%20b.txt",
        vec![("destination", "/davx/b".into())],
        "",
    )
    .await;
    assert_eq!(status, 502, "{text}");
    let (status, _, text) = call(
        "MOVE",
        USER,
        "/dav/a%20b.txt",
        vec![("destination", "/dav/../../b".into())],
        "",
    )
    .await;
    assert_eq!(status, 403, "{text}");
    let bare = token.trim_matches(['<', '>']).to_owned();
    let ended = call("UNLOCK", USER, "/dav/a%20b.txt", vec![("lock-token", bare)], "").await;
    assert_eq!(ended.0, 204, "{}", ended.2);
    let to = format!("{base}/dav/文 件.txt");
    let to = reqwest::header::HeaderValue::from_bytes(to.as_bytes()).unwrap();
    let moved = world
        .http
        .request(
            reqwest::Method::from_bytes(b"MOVE").unwrap(),
            format!("{base}/dav/a%20b.txt"),
        )
        .basic_auth(USER, Some(PASSWORD))
        .header("destination", to)
        .send()
        .await
        .unwrap();
    assert_eq!(moved.status(), 201);
    assert_eq!(world.cloud.read("/home/文 件.txt").unwrap(), b"x");
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

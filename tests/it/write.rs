//! Writing through the front door: what is stored, what is left alone, and what it costs.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use dav123::sim::{Cloud, Fault, FaultKind};
use md5::{Digest, Md5};

use crate::world::{PASSWORD, USER, World, eventually, options};

pub async fn world(mode: &str, fill: impl FnOnce(&Cloud)) -> World {
    let sections = format!("[upload]\nmode = \"{mode}\"\n");
    let mut options = options();
    // Small parts, so that a test of many parts stays small.
    options.settings.slice_size = Some(64 * 1024);
    options.settings.open_checks = 0;
    World::start_with(options, &sections, fill, |cloud| {
        super::KIND.mount(cloud, "/drive", "strategy = \"proxy\"")
    })
    .await
}

fn hex(bytes: &[u8]) -> String {
    Md5::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

pub fn spool(world: &World) -> usize {
    std::fs::read_dir(world.dir.path().join("state/spool")).map_or(0, Iterator::count)
}

pub async fn put(world: &World, path: &str, bytes: impl Into<reqwest::Body>) -> u16 {
    world
        .request("PUT", path)
        .body(bytes)
        .send()
        .await
        .unwrap()
        .status()
        .as_u16()
}

/// Sends bytes as they are; what comes back until the connection ends.
pub fn raw(world: &World, head: &str, body: &[u8]) -> String {
    let head = format!("{head}Connection: close\r\n");
    let mut stream = sent(world, &head, body);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    answer
}

/// Sends bytes as they are.
fn sent(world: &World, head: &str, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(world.server.address()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let basic = STANDARD.encode(format!("{USER}:{PASSWORD}"));
    write!(
        stream,
        "{head}Host: {}\r\nAuthorization: Basic {basic}\r\n\r\n",
        world.server.address()
    )
    .unwrap();
    stream.write_all(body).unwrap();
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn a_put_is_stored_whole_and_shown_at_once_without_a_new_listing() {
    let world = world("through", |_| {}).await;
    let bytes: Vec<u8> = (0..400_000u32).map(|n| (n % 251) as u8).collect();
    world.propfind("/drive", "1").await;
    let lists = world.calls("list");
    assert_eq!(put(&world, "/drive/new.bin", bytes.clone()).await, 201);
    assert_eq!(world.cloud.read("/new.bin").unwrap(), bytes);
    let head = world.request("HEAD", "/drive/new.bin").send().await.unwrap();
    assert_eq!(head.headers()["content-length"], "400000");
    assert_eq!(head.headers()["etag"], format!("\"{}\"", hex(&bytes)));
    assert!(world.propfind("/drive", "1").await.1.contains("new.bin"));
    assert_eq!(world.get("/drive/new.bin").await.bytes().await.unwrap(), bytes);
    assert_eq!(put(&world, "/drive/new.bin", "shorter").await, 204);
    assert_eq!(world.get("/drive/new.bin").await.text().await.unwrap(), "shorter");
    assert_eq!(world.calls("list"), lists, "our own changes cost no listing");
    assert_eq!(spool(&world), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn known_content_is_stored_without_its_body() {
    let world = world("through", |cloud| {
        cloud.add_file("/old/known.bin", "the content that is known");
    })
    .await;
    let sum = hex(b"the content that is known");
    let head = format!(
        "PUT /drive/copy.bin HTTP/1.1\r\nContent-Length: 25\r\nExpect: 100-continue\r\nOC-Checksum: MD5:{sum}\r\n"
    );
    world.propfind("/drive", "1").await;
    let calls = world.cloud.counters().total();
    let answer = raw(&world, &head, b"");
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
    assert!(
        world.cloud.counters().total() - calls <= 2,
        "{:?}",
        world.cloud.counters().all()
    );
    assert_eq!(
        world.cloud.read("/copy.bin").unwrap(),
        b"the content that is known"
    );
    assert_eq!(world.calls("put_part"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_does_not_wait_may_send_the_body_of_known_content() {
    let bytes = vec![4; 8_000_000];
    let known = bytes.clone();
    let world = world("through", move |cloud| {
        cloud.add_file("/known.bin", known);
    })
    .await;
    for n in 0..3 {
        let put = world
            .request("PUT", &format!("/drive/{n}.bin"))
            .body(bytes.clone());
        let answer = put
            .header("oc-checksum", format!("MD5:{}", hex(&bytes)))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 201);
        assert_eq!(world.cloud.stat(&format!("/{n}.bin")).unwrap().0, 8_000_000);
    }
    assert_eq!(world.calls("put_part"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_checksum_or_a_short_body_changes_nothing() {
    for mode in ["through", "back"] {
        let world = world(mode, |cloud| {
            cloud.add_file("/a.txt", "old");
        })
        .await;
        let wrong = world
            .request("PUT", "/drive/a.txt")
            .header("oc-checksum", format!("MD5:{}", hex(b"other")));
        let answer = wrong.body("new").send().await.unwrap();
        assert_eq!(answer.status(), 400);
        assert!(answer.text().await.unwrap().contains("MD5"));
        let wrong = world
            .request("PUT", "/drive/b.txt")
            .header("content-md5", STANDARD.encode(Md5::digest(b"x")));
        assert_eq!(wrong.body("new").send().await.unwrap().status(), 400);
        let wrong = world
            .request("PUT", "/drive/a.txt")
            .header("oc-checksum", format!("SHA1:{}", "ab".repeat(20)));
        let answer = wrong.body("new").send().await.unwrap();
        assert_eq!(answer.status(), 400);
        assert!(answer.text().await.unwrap().contains("SHA-1"));
        // A body that ends too early, and one that is longer than Finder said.
        drop(sent(
            &world,
            "PUT /drive/a.txt HTTP/1.1\r\nContent-Length: 10\r\n",
            b"short",
        ));
        let finder =
            "PUT /drive/c.txt HTTP/1.1\r\nTransfer-Encoding: chunked\r\nX-Expected-Entity-Length: 9\r\n";
        let answer = raw(&world, finder, b"5\r\nshort\r\n0\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
        assert_eq!(world.get("/drive/a.txt").await.text().await.unwrap(), "old");
        for gone in ["/drive/b.txt", "/drive/c.txt"] {
            assert_eq!(world.propfind(gone, "0").await.0, 404, "{mode} {gone}");
        }
        eventually("the spool is empty", || spool(&world) == 0).await;
        assert_eq!(world.cloud.read("/a.txt").unwrap(), b"old");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_failure_of_an_upload_is_bridged_or_said_and_the_old_file_stays() {
    let bytes = vec![3; 300_000];
    let failures = [
        ("upload_request", FaultKind::Status(429, None)),
        ("upload_request", FaultKind::Status(502, None)),
        ("upload_request", FaultKind::Drop),
        ("upload_prepare", FaultKind::Status(500, None)),
        ("upload_prepare", FaultKind::Drop),
        ("put_part", FaultKind::Status(403, None)),
        ("put_part", FaultKind::Status(503, None)),
        ("put_part", FaultKind::Drop),
        ("put_part", FaultKind::WrongPartEtag),
        ("put_part", FaultKind::CorruptPart),
        ("upload_complete", FaultKind::Status(500, None)),
        ("upload_complete", FaultKind::Drop),
        ("upload_complete", FaultKind::LoseAnswer),
        ("upload_complete", FaultKind::StoresNothing),
        ("upload_complete", FaultKind::Html),
    ];
    for (at, kind) in failures {
        let world = world("through", |cloud| {
            cloud.add_file("/a.bin", "old");
        })
        .await;
        world.fault(Fault::once(at, kind.clone()));
        let status = put(&world, "/drive/a.bin", bytes.clone()).await;
        let stored = world.cloud.read("/a.bin").unwrap();
        match status {
            204 => assert!(stored == bytes, "{at} {kind:?}: success with other bytes"),
            500.. => assert!(
                stored == b"old" || stored == bytes,
                "{at} {kind:?}: a damaged file"
            ),
            other => panic!("{at} {kind:?}: {other}"),
        }
        assert_eq!(
            put(&world, "/drive/a.bin", bytes.clone()).await,
            204,
            "{at} {kind:?}: again"
        );
        assert!(world.cloud.read("/a.bin").unwrap() == bytes);
        eventually("the spool is empty", || spool(&world) == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn times_and_properties_follow_a_file_and_survive_a_kill() {
    let mut world = world("through", |_| {}).await;
    let stored = world
        .request("PUT", "/drive/a.txt")
        .header("x-oc-mtime", "784111777")
        .body("a");
    let stored = stored.send().await.unwrap();
    assert_eq!(
        (stored.status().as_u16(), &stored.headers()["x-oc-mtime"]),
        (201, &"accepted".parse().unwrap())
    );
    let patch = r#"<D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:" xmlns:x="urn:x"><D:set><D:prop>
        <x:color>blue</x:color><Z:Win32LastModifiedTime>Mon, 07 Nov 1994 08:49:37 GMT</Z:Win32LastModifiedTime>
        <Z:Win32FileAttributes>00000020</Z:Win32FileAttributes></D:prop></D:set></D:propertyupdate>"#;
    let before = world.propfind("/drive/a.txt", "0").await.1;
    assert!(before.contains("Sun, 06 Nov 1994 08:49:37 GMT"), "{before}");
    let patched = world
        .request("PROPPATCH", "/drive/a.txt")
        .body(patch)
        .send()
        .await
        .unwrap();
    let answer = patched.text().await.unwrap();
    assert!(answer.contains("200 OK") && !answer.contains("403"), "{answer}");
    let moved = world
        .request("MOVE", "/drive/a.txt")
        .header("destination", "/drive/b.txt");
    assert_eq!(moved.send().await.unwrap().status(), 201);
    world.restart();
    let (_, shown) = world.propfind("/drive/b.txt", "0").await;
    assert!(
        shown.contains("Mon, 07 Nov 1994 08:49:37 GMT") && shown.contains(">blue<"),
        "{shown}"
    );
    assert_eq!(
        world
            .request("DELETE", "/drive/b.txt")
            .send()
            .await
            .unwrap()
            .status(),
        204
    );
    assert_eq!(put(&world, "/drive/b.txt", "another").await, 201);
    assert!(!world.propfind("/drive/b.txt", "0").await.1.contains(">blue<"));
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_say_what_is_wrong() {
    let world = world("through", |cloud| {
        cloud.add_file("/f/a.txt", "a");
    })
    .await;
    for (name, character) in [("a%3Ab.txt", ':'), ("a%2Ab", '*'), ("what%3F", '?')] {
        let url = format!("{}drive/{name}", world.server.url);
        let answer = world
            .http
            .put(url)
            .basic_auth(USER, Some(PASSWORD))
            .body("x")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 409, "{name}");
        assert!(answer.text().await.unwrap().contains(character), "{name}");
    }
    let to = |method: &str, from: &str, to: &str| world.request(method, from).header("destination", to);
    let elsewhere = to("MOVE", "/drive/f/a.txt", "http://other.example/drive/b.txt")
        .send()
        .await
        .unwrap();
    assert_eq!(elsewhere.status(), 502);
    let itself = to("MOVE", "/drive/f", "/drive/f/g").send().await.unwrap();
    assert_eq!(itself.status(), 403);
    let taken = to("COPY", "/drive/f/a.txt", "/drive/f")
        .header("overwrite", "F")
        .send()
        .await
        .unwrap();
    assert_eq!(taken.status(), 412);
    assert_eq!(
        world.request("MKCOL", "/drive/f").send().await.unwrap().status(),
        405
    );
    assert_eq!(
        world
            .request("MKCOL", "/drive/no/such")
            .send()
            .await
            .unwrap()
            .status(),
        409
    );
    assert_eq!(put(&world, "/drive/no/such.txt", "x").await, 409);
    assert_eq!(put(&world, "/drive/f", "x").await, 405);
    assert_eq!(
        world.request("DELETE", "/drive").send().await.unwrap().status(),
        403
    );
    let changed = world
        .request("PUT", "/drive/f/a.txt")
        .header("if-match", "\"other\"")
        .body("x");
    assert_eq!(changed.send().await.unwrap().status(), 412);
    let there = world
        .request("PUT", "/drive/f/a.txt")
        .header("if-none-match", "*")
        .body("x");
    assert_eq!(there.send().await.unwrap().status(), 412);
    assert_eq!(world.cloud.read("/f/a.txt").unwrap(), b"a");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_ends_by_itself() {
    let world = world("through", |cloud| {
        cloud.add_file("/a.txt", "a");
    })
    .await;
    let lock = r#"<D:lockinfo xmlns:D="DAV:"><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockinfo>"#;
    let locked = world
        .request("LOCK", "/drive/a.txt")
        .header("timeout", "Second-1")
        .body(lock)
        .send()
        .await
        .unwrap();
    assert_eq!(locked.status(), 200);
    assert_eq!(put(&world, "/drive/a.txt", "b").await, 423);
    assert!(
        world
            .propfind("/drive/a.txt", "0")
            .await
            .1
            .contains("<D:activelock>")
    );
    let begun = std::time::Instant::now();
    while put(&world, "/drive/a.txt", "b").await == 423 {
        assert!(begun.elapsed() < Duration::from_secs(5), "a lock that never ends");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.cloud.read("/a.txt").unwrap(), b"b");
}

#[tokio::test(flavor = "multi_thread")]
async fn copies_move_no_bytes_and_folders_go_whole() {
    let world = world("through", |cloud| {
        for n in 0..8 {
            cloud.add_file(&format!("/from/{}/{n}.txt", n % 3), format!("{n}").into_bytes());
        }
    })
    .await;
    let to =
        |method: &str, from: &str, to: &str| world.request(method, from).header("destination", world.url(to));
    assert_eq!(
        to("COPY", "/drive/from", "/drive/to")
            .send()
            .await
            .unwrap()
            .status(),
        201
    );
    assert_eq!(world.cloud.read("/to/1/7.txt").unwrap(), b"7");
    assert_eq!(world.calls("put_part"), 0);
    assert_eq!(
        to("MOVE", "/drive/to/1", "/drive/from/moved")
            .send()
            .await
            .unwrap()
            .status(),
        201
    );
    assert!(world.propfind("/drive/from/moved", "1").await.1.contains("7.txt"));
    assert_eq!(world.propfind("/drive/to/1", "0").await.0, 404);
    let bin = world.cloud.in_bin();
    assert_eq!(
        world
            .request("DELETE", "/drive/from")
            .send()
            .await
            .unwrap()
            .status(),
        204
    );
    assert_eq!(
        world.cloud.in_bin(),
        bin + 1,
        "a folder goes to the recycle bin in one step"
    );
    assert_eq!(world.propfind("/drive/from", "0").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_copied_from_a_share_into_the_drive() {
    let sections = "[upload]\nmode = \"through\"\n";
    let fill = |cloud: &Cloud| {
        cloud.add_file("/shared/a.txt", "by its MD5");
        cloud.add_file("/shared/deep/b.txt", "and below");
        cloud.add_folder("/to");
    };
    let mounts = |cloud: &Cloud| {
        let sharing = dav123::sim::ShareOptions {
            anonymous: true,
            ..Default::default()
        };
        let key = cloud.add_share(&["/shared"], sharing);
        super::KIND.mount(cloud, "/drive", "") + &crate::world::share(cloud, "/s", &key, "")
    };
    for instant in [true, false] {
        let world = World::start_with(options(), sections, fill, mounts).await;
        // Without instant upload the bytes go through the spool.
        world.cloud.settings().instant_upload = instant;
        let copy = world
            .request("COPY", "/s/shared")
            .header("destination", world.url("/drive/to/copy"));
        let answer = copy.send().await.unwrap();
        assert_eq!(
            answer.status(),
            201,
            "instant {instant}: {}",
            answer.text().await.unwrap()
        );
        assert_eq!(world.cloud.read("/to/copy/a.txt").unwrap(), b"by its MD5");
        assert_eq!(world.cloud.read("/to/copy/deep/b.txt").unwrap(), b"and below");
        assert_eq!(world.calls("put_part") > 0, !instant);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_through_one_mount_shows_in_the_other_of_the_same_account() {
    let world = World::start_with(
        options(),
        "",
        |_| {},
        |cloud| {
            super::KIND.mount(cloud, "/one", "") + &super::KIND.mount(cloud, "/two", "strategy = \"proxy\"")
        },
    )
    .await;
    assert_eq!(world.propfind("/two", "1").await.0, 207);
    assert_eq!(put(&world, "/one/new.txt", "new").await, 201);
    assert!(world.propfind("/two", "1").await.1.contains("/two/new.txt"));
    assert_eq!(world.get("/two/new.txt").await.text().await.unwrap(), "new");
    assert_eq!(
        world
            .request("DELETE", "/two/new.txt")
            .send()
            .await
            .unwrap()
            .status(),
        204
    );
    assert_eq!(world.propfind("/one/new.txt", "0").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_property_that_is_removed_while_its_file_is_sent_stays_removed() {
    let world = world("back", |_| {}).await;
    let patch = async |path: &str, what: &str| {
        let body = format!("<D:propertyupdate xmlns:D=\"DAV:\" xmlns:z=\"urn:z\">{what}</D:propertyupdate>");
        let answer = world.request("PROPPATCH", path).body(body).send().await.unwrap();
        assert_eq!(answer.status(), 207, "{path}");
    };
    for n in 0..40 {
        let path = format!("/drive/{n}.txt");
        assert_eq!(put(&world, &path, format!("{n}")).await, 201);
        patch(
            &path,
            "<D:set><D:prop><z:gone>1</z:gone><z:kept>1</z:kept></D:prop></D:set>",
        )
        .await;
        tokio::time::sleep(Duration::from_millis(n)).await;
        patch(&path, "<D:remove><D:prop><z:gone/></D:prop></D:remove>").await;
    }
    eventually("all are sent", || spool(&world) == 0).await;
    for n in 0..40 {
        let text = world.propfind(&format!("/drive/{n}.txt"), "0").await.1;
        assert!(text.contains("kept") && !text.contains("gone"), "{n}: {text}");
    }
}

//! A user whose root is a folder gets no further, however a path is written; one who may only read changes nothing.

use std::collections::BTreeMap;

use base64::Engine;
use dav123::sim::Cloud;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::world::{World, account, head, options};

/// What the user must never see a byte of.
const OUTSIDE: &str = "outside-bytes-5f1c";

fn fill(cloud: &Cloud) {
    cloud.add_file("/inside/mine.txt", "mine");
    cloud.add_file("/inside/deep/er/own.txt", "own");
    cloud.add_file("/outside-secret.txt", OUTSIDE);
    cloud.add_file("/beside/outside-secret.txt", OUTSIDE);
    cloud.add_file("/insider/outside-secret.txt", OUTSIDE);
}

async fn world(access: &str) -> World {
    World::configured(options(), fill, |cloud, dir| {
        let kid = format!(
            "[[user]]\nname = \"kid\"\npassword = \"kid\"\nroot = \"/drive/inside\"\naccess = \"{access}\"\n"
        );
        head(dir) + &kid + &account(cloud, "/drive", "strategy = \"proxy\"")
    })
    .await
}

/// Sends a head exactly as it stands, signed in as the confined user; the answer, and its status.
async fn send(
    world: &World,
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: &str,
) -> (u16, String) {
    let kid = base64::engine::general_purpose::STANDARD.encode("kid:kid");
    let address = world.server.address();
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n");
    head += &format!("authorization: Basic {kid}\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    let mut stream = tokio::net::TcpStream::connect(&address).await.unwrap();
    stream
        .write_all(format!("{head}\r\n{body}").as_bytes())
        .await
        .unwrap();
    let mut answer = Vec::new();
    // What is no HTTP may be answered by a reset.
    let _ = stream.read_to_end(&mut answer).await;
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    (status.unwrap_or(0), answer)
}

/// Ways that might lead to what lies beside the root, none of which may.
fn ways_out() -> Vec<String> {
    let ups = [
        "..",
        "%2e%2e",
        "%2E%2E",
        ".%2e",
        "%2e.",
        "..%2f..",
        "..%2F",
        "..%5c",
        "..\\",
        "%2e%2e%2f",
        "%252e%252e",
        "..%00",
        "..;",
        "..;a=b",
        ".. ",
        "..%20",
        "%20..",
        "...",
        "....",
        "..%09",
        "..%0a",
        "%c0%ae%c0%ae",
        "%e0%80%ae%e0%80%ae",
        "%c0%2e%c0%2e",
        "%uff0e%uff0e",
        "%ef%bc%8e%ef%bc%8e",
        "%e2%80%a4%e2%80%a4",
        "%ef%b9%92%ef%b9%92",
        "\u{ff0e}\u{ff0e}",
        "\u{2024}\u{2024}",
        "%2e%cc%80%2e",
        "..%c0%af",
        "..%ef%bc%8f",
        "..%e2%88%95",
        "..%e2%81%84",
        "%5c..%5c",
        "\\..\\",
        ".%00.",
        "..%ff",
        "%u002e%u002e",
        "..%c1%9c",
        "%e2%80%8b..",
        "..%e2%80%8b",
        "%ef%bb%bf..",
    ];
    let targets = [
        "outside-secret.txt",
        "beside/outside-secret.txt",
        "drive/outside-secret.txt",
    ];
    let mut ways = Vec::new();
    for up in ups {
        for target in targets {
            ways.push(format!("/{up}/{target}"));
            ways.push(format!("/deep/er/{up}/{up}/{up}/{target}"));
        }
        ways.push(format!("/{up}outside-secret.txt"));
    }
    for way in [
        "/drive/outside-secret.txt",
        "/drive/inside/../outside-secret.txt",
        "//outside-secret.txt",
        "///../outside-secret.txt",
        "/./../outside-secret.txt",
        "/deep/./../.././../outside-secret.txt",
        "/mine.txt/../../outside-secret.txt",
        "/../inside/../outside-secret.txt",
        "/../insider/outside-secret.txt",
        "/..",
        "/../",
        "/../..",
        "/../../drive",
        "/../../drive/outside-secret.txt",
        "r/outside-secret.txt",
        "/r/outside-secret.txt",
        "/C:/outside-secret.txt",
        "/C:..%5coutside-secret.txt",
        "/%2fdrive/outside-secret.txt",
        "/%5cdrive%5coutside-secret.txt",
        "/deep%2f..%2f..%2foutside-secret.txt",
        "/outside-secret.txt%00",
        "/outside-secret.txt%00.txt",
        "/.dav123/../outside-secret.txt",
        "/.dav123/..%2foutside-secret.txt",
        "/.dav123/health/../../../outside-secret.txt",
    ] {
        ways.push(way.to_owned());
    }
    let long: String = "/deep/..".repeat(300);
    ways.push(format!("{long}/../outside-secret.txt"));
    ways.push(format!("/{}outside-secret.txt", "../".repeat(500)));
    ways.push(format!("/{}/../../outside-secret.txt", "a".repeat(2000)));
    ways
}

/// Everything that the cloud has outside of the root, and what is in it.
fn outside(cloud: &Cloud) -> BTreeMap<String, Option<Vec<u8>>> {
    let mut found = BTreeMap::new();
    for folder in ["/", "/beside", "/insider"] {
        for name in cloud.names(folder).unwrap() {
            let path = format!("{}/{name}", folder.trim_end_matches('/'));
            found.insert(path.clone(), cloud.read(&path));
        }
    }
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn no_way_leads_out_of_a_user_s_root() {
    let world = world("read-write").await;
    let before = outside(&world.cloud);
    let ways = ways_out();
    assert!(ways.len() >= 200, "{}", ways.len());
    assert_eq!(
        send(&world, "GET", "/mine.txt", &[], "").await.0,
        200,
        "the test itself works"
    );
    let base = world.server.url.trim_end_matches('/').to_owned();
    for way in &ways {
        for (method, depth) in [("GET", "0"), ("PROPFIND", "1")] {
            let (status, answer) = send(&world, method, way, &[("depth", depth)], "").await;
            let told = answer.contains(OUTSIDE) || answer.contains("<D:getcontentlength>18<");
            assert!(!told && !answer.contains("insider"), "{method} {way}: {answer}");
            assert!(
                status == 0 || status >= 400 || !answer.contains("outside-secret"),
                "{method} {way}: {answer}"
            );
        }
    }
    for way in &ways {
        let full = format!("{base}{way}");
        for to in [way.as_str(), &full] {
            let headers = [("destination", to), ("overwrite", "T")];
            let (status, answer) = send(&world, "COPY", "/mine.txt", &headers, "").await;
            // A name that only looks strange is made inside; that is no way out.
            assert!(
                status == 0 || status >= 400 || status == 201 || status == 204,
                "{to}: {answer}"
            );
            assert!(!answer.contains(OUTSIDE), "{to}: {answer}");
        }
        // A tagged list of another resource must not open it, nor tell of it.
        let tagged = format!("<{full}> (<urn:uuid:0> [\"x\"]) <{way}> (Not <DAV:no-lock>)");
        let (_, answer) = send(
            &world,
            "PROPFIND",
            "/mine.txt",
            &[("if", &tagged), ("depth", "0")],
            "",
        )
        .await;
        assert!(
            !answer.contains(OUTSIDE) && !answer.contains("outside-secret.txt</D:href>"),
            "{way}: {answer}"
        );
    }
    assert_eq!(outside(&world.cloud), before, "nothing outside has changed");
    // And what changes things directly.
    for way in ways.iter().step_by(3) {
        for (method, body) in [("PUT", "x"), ("DELETE", ""), ("MKCOL", ""), ("LOCK", "")] {
            send(&world, method, way, &[], body).await;
        }
        let out = [("destination", "/moved-in.txt"), ("overwrite", "T")];
        let (status, answer) = send(&world, "MOVE", way, &out, "").await;
        assert!(
            status == 0 || status >= 400 || !answer.contains(OUTSIDE),
            "{way}: {answer}"
        );
    }
    assert_eq!(outside(&world.cloud), before, "nothing outside has changed");
    let stolen = world.cloud.names("/inside").unwrap();
    for name in stolen {
        let bytes = world.cloud.read(&format!("/inside/{name}")).unwrap_or_default();
        assert_ne!(bytes, OUTSIDE.as_bytes(), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_only_read_gets_403_for_every_change_and_locks_nothing() {
    const LOCK: &str = "<?xml version=\"1.0\"?><D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:exclusive/></D:lockscope>\
                        <D:locktype><D:write/></D:locktype></D:lockinfo>";
    const PATCH: &str = "<?xml version=\"1.0\"?><D:propertyupdate xmlns:D=\"DAV:\"><D:set><D:prop><a xmlns=\"x:\">1</a>\
                         </D:prop></D:set></D:propertyupdate>";
    let world = world("read-only").await;
    for path in ["/mine.txt", "/deep/", "/new.txt", "/deep/er/new", "/"] {
        for (method, headers, body) in [
            ("PUT", vec![], "x"),
            ("PUT", vec![], ""),
            ("PUT", vec![("if", "(<urn:uuid:0>)")], "x"),
            ("MKCOL", vec![], ""),
            ("DELETE", vec![], ""),
            ("MOVE", vec![("destination", "/b.txt")], ""),
            ("COPY", vec![("destination", "/b.txt")], ""),
            ("COPY", vec![("destination", "/mine.txt"), ("overwrite", "T")], ""),
            ("PROPPATCH", vec![], PATCH),
            ("LOCK", vec![("timeout", "Second-3600")], LOCK),
            ("LOCK", vec![("if", "(<urn:uuid:0>)")], ""),
            ("UNLOCK", vec![("lock-token", "<urn:uuid:0>")], ""),
        ] {
            let (status, answer) = send(&world, method, path, &headers, body).await;
            assert_eq!(status, 403, "{method} {path}: {answer}");
            assert!(!answer.to_lowercase().contains("\r\nlock-token:"), "{answer}");
        }
    }
    assert_eq!(world.cloud.read("/inside/mine.txt").unwrap(), b"mine");
    assert_eq!(world.cloud.names("/inside").unwrap(), ["deep/", "mine.txt"]);
    // Nothing is locked for those who may write.
    let answer = world
        .request("PUT", "/drive/inside/mine.txt")
        .body("changed")
        .send()
        .await;
    assert_eq!(answer.unwrap().status(), 204);
    let (_, body) = world.propfind("/drive/inside", "1").await;
    assert!(!body.contains("activelock"), "{body}");
}

//! What a folder shows: mounts, names, properties, and how long it is remembered.

use std::time::{Duration, Instant};

use dav123::sim::{Cloud, Fault, FaultKind};

use super::KIND;
use crate::world::{World, head, options};

/// A world with a `[cache]` section of one line.
async fn cached(line: &str, fill: impl FnOnce(&Cloud)) -> World {
    World::configured(options(), fill, |cloud, dir| {
        format!(
            "[cache]\n{line}\n{}{}",
            head(dir),
            KIND.mount(cloud, "/drive", "")
        )
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_is_served_from_memory_for_list_ttl_and_sighup_forgets_it() {
    let world = KIND
        .world(|cloud| {
            cloud.add_file("/a.txt", "a");
        })
        .await;
    assert_eq!(world.members("/drive").await, ["/drive/a.txt"]);
    world.cloud.add_file("/b.txt", "b");
    assert_eq!(world.members("/drive").await, ["/drive/a.txt"]);
    assert_eq!(world.calls("list"), 1);
    world.server.signal("HUP");
    crate::world::eventually("reloaded", || world.server.log().contains("reloaded")).await;
    assert_eq!(world.members("/drive").await.len(), 2);
    assert_eq!(world.calls("list"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listing_older_than_list_ttl_is_asked_anew() {
    let world = cached("list_ttl = \"1s\"", |cloud| {
        cloud.add_file("/a.txt", "a");
    })
    .await;
    world.members("/drive").await;
    world.members("/drive").await;
    assert_eq!(world.calls("list"), 1);
    world.cloud.remove("/a.txt");
    let begun = Instant::now();
    while !world.members("/drive").await.is_empty() {
        assert!(begun.elapsed().as_secs() < 10);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.calls("list"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_list_ttl_of_0s_always_asks() {
    let world = cached("list_ttl = \"0s\"", |cloud| {
        cloud.add_file("/a.txt", "a");
    })
    .await;
    assert_eq!(world.members("/drive").await, ["/drive/a.txt"]);
    world.cloud.add_file("/b.txt", "b");
    assert_eq!(world.members("/drive").await.len(), 2);
    assert_eq!(world.calls("list"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn probe_files_cost_no_call_where_the_folder_is_known_even_if_its_listing_is_old() {
    let world = cached("list_ttl = \"0s\"", |cloud| {
        cloud.add_file("/a.txt", "a");
    })
    .await;
    world.members("/drive").await;
    world.cloud.counters().reset();
    for probe in [".DS_Store", "desktop.ini", "._a.txt", "Thumbs.db", "._."] {
        let (status, body) = world.propfind(&format!("/drive/{probe}"), "0").await;
        assert_eq!(status, 404, "{probe}: {body}");
    }
    assert_eq!(world.cloud.counters().total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_there_is_a_real_404_and_not_a_207() {
    let world = KIND
        .world(|cloud| {
            cloud.add_file("/a.txt", "a");
            cloud.add_folder("/gone");
        })
        .await;
    for path in [
        "/drive/nothing",
        "/drive/nothing/below",
        "/drive/a.txt/below",
        "/nowhere",
        "/drive/A.TXT",
    ] {
        for depth in ["0", "1"] {
            let (status, body) = world.propfind(path, depth).await;
            assert_eq!(status, 404, "{path}: {body}");
            assert!(!body.contains("multistatus"), "{body}");
        }
        assert_eq!(world.get(path).await.status(), 404, "{path}");
    }
    // A folder that somebody else removed: the drive itself says that it is not there.
    assert_eq!(world.propfind("/drive/gone", "0").await.0, 207);
    world.cloud.remove("/gone");
    assert_eq!(world.propfind("/drive/gone", "1").await.0, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn root_id_shows_a_folder_of_the_drive_as_the_mount() {
    let world = World::start(
        options(),
        |cloud| {
            cloud.add_file("/up/inner/x.txt", "x");
            cloud.add_file("/secret.txt", "s");
        },
        |cloud| {
            let id = cloud.id("/up/inner").unwrap();
            KIND.mount(cloud, "/drive", &format!("root_id = {id}"))
        },
    )
    .await;
    assert_eq!(world.members("/drive").await, ["/drive/x.txt"]);
    for above in [
        "/drive/../secret.txt",
        "/drive/%2e%2e/secret.txt",
        "/drive/%2E%2E%2Fsecret.txt",
        "/drive/x/../../../secret.txt",
        "/drive/secret.txt",
        "/drive/..%5Csecret.txt",
        "//drive/..//secret.txt",
    ] {
        let answer = world.raw("GET", above).await;
        let fits = ["400", "403", "404"]
            .iter()
            .any(|s| answer.starts_with(&format!("HTTP/1.1 {s} ")));
        assert!(
            fits && !answer.to_ascii_lowercase().contains("location:"),
            "{above}: {answer}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mounts_nest_and_a_mount_hides_the_drive_s_folder_of_its_name() {
    let world = World::start(
        options(),
        |cloud| {
            cloud.add_file("/films/hidden.mkv", "h");
            cloud.add_file("/inner/seen.mkv", "s");
            cloud.add_file("/note.txt", "n");
        },
        |cloud| {
            let id = cloud.id("/inner").unwrap();
            let inner = format!("root_id = {id}");
            [
                KIND.mount(cloud, "/", ""),
                KIND.mount(cloud, "/films", &inner),
                KIND.mount(cloud, "/deep/er/mount", &inner),
            ]
            .concat()
        },
    )
    .await;
    let mut members = world.members("/").await;
    members.sort();
    assert_eq!(members, ["/deep/", "/films/", "/inner/", "/note.txt"]);
    assert_eq!(world.members("/films").await, ["/films/seen.mkv"]);
    assert_eq!(world.members("/deep").await, ["/deep/er/"]);
    assert_eq!(
        world.members("/deep/er/mount/").await,
        ["/deep/er/mount/seen.mkv"]
    );
    assert_eq!(world.get("/films/hidden.mkv").await.status(), 404);
    assert_eq!(world.get("/films/seen.mkv").await.status(), 302);
    assert_eq!(world.get("/note.txt").await.status(), 302);
    assert_eq!(world.calls("sign_in"), 1, "one account, one sign-in");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_entries_of_one_name_are_both_shown_and_both_readable() {
    let world = KIND
        .world(|cloud| {
            cloud.add_file("/film.mkv", "first");
            cloud.add_twin("/film.mkv", "second").unwrap();
        })
        .await;
    let members = world.members("/drive").await;
    assert_eq!(members.len(), 2, "{members:?}");
    assert!(members.contains(&"/drive/film.mkv".to_owned()), "{members:?}");
    let mut texts = Vec::new();
    for path in &members {
        let link = world.get(path).await.headers()["location"]
            .to_str()
            .unwrap()
            .to_owned();
        texts.push(world.http.get(link).send().await.unwrap().text().await.unwrap());
    }
    texts.sort();
    assert_eq!(texts, ["first", "second"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn names_with_every_odd_character_are_listed_and_read_as_they_are() {
    let names = [
        "a b.txt",
        "#1.txt",
        "100%.txt",
        "%41.txt",
        "a+b.txt",
        "a&b;c=d.txt",
        "'quote'.txt",
        "(x) [y] {z}.txt",
        "电影 第1集.txt",
        "🎬.txt",
        "e\u{301}.txt",
        "~$@!,^`.txt",
        ".hidden",
        "tail.",
        " lead",
        "a\u{a0}b",
        "…",
        "a%2Fb",
    ];
    let world = KIND
        .world(|cloud| {
            for name in names {
                cloud.add_file(&format!("/{name}"), name.as_bytes().to_vec());
            }
        })
        .await;
    let mut members = world.members("/drive").await;
    members.sort();
    let mut wanted: Vec<String> = names.iter().map(|n| format!("/drive/{n}")).collect();
    wanted.sort();
    assert_eq!(members, wanted);
    for href in world.propfind("/drive", "1").await.1.split("<D:href>").skip(2) {
        // As a client does it: the href as it stands.
        let href = href.split("</D:href>").next().unwrap();
        let url = format!(
            "{}{}",
            world.server.url.trim_end_matches('/'),
            href.replace("&amp;", "&")
        );
        let answer = world
            .http
            .get(url)
            .basic_auth(crate::world::USER, Some(crate::world::PASSWORD))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 302, "{href}");
        let link = answer.headers()["location"].to_str().unwrap().to_owned();
        let text = world.http.get(link).send().await.unwrap().text().await.unwrap();
        let decoded = percent_encoding::percent_decode_str(href).decode_utf8().unwrap();
        assert_eq!(format!("/drive/{text}"), decoded.replace("&amp;", "&"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_propfind_has_the_shape_that_clients_need() {
    let world = KIND
        .world(|cloud| {
            cloud.add_file("/dir/a.txt", "hello");
        })
        .await;
    // A1: a folder without its slash is answered as it is.
    let (status, body) = world.propfind("/drive/dir", "1").await;
    assert_eq!(status, 207);
    // A5, A7: prefix D: everywhere, no default namespace, no white space, folders end in a slash.
    assert!(
        !body.contains("xmlns=\"") && !body.contains(">\n<") && !body.contains("> <"),
        "{body}"
    );
    assert!(body.contains("<D:href>/drive/dir/</D:href>"), "{body}");
    assert!(
        body.contains("<D:resourcetype><D:collection/></D:resourcetype>"),
        "{body}"
    );
    assert!(body.contains("<D:status>HTTP/1.1 200 OK</D:status>"), "{body}");
    // A6: RFC 1123 in GMT.
    assert!(body.contains(" GMT</D:getlastmodified>"), "{body}");
    assert!(
        body.contains("<D:getcontentlength>5</D:getcontentlength>"),
        "{body}"
    );
    // A8: what is unknown has its own propstat.
    let asked = "<?xml version=\"1.0\"?><propfind xmlns=\"DAV:\" xmlns:oc=\"http://owncloud.org/ns\"><prop>\
                 <getetag/><oc:checksums/><quota-available-bytes/><quota-used-bytes/><nonsense xmlns=\"urn:x\"/></prop></propfind>";
    let answer = world
        .request("PROPFIND", "/drive/dir")
        .header("depth", "1")
        .body(asked)
        .send()
        .await
        .unwrap();
    assert_eq!(answer.status(), 207);
    let body = answer.text().await.unwrap();
    assert!(body.contains("HTTP/1.1 404 Not Found"), "{body}");
    // The contract: MD5 as oc:checksums, quota where the mount knows it.
    assert!(body.contains("MD5:5d41402abc4b2a76b9719d911017c592"), "{body}");
    assert!(
        body.contains("<D:quota-used-bytes>5</D:quota-used-bytes>"),
        "{body}"
    );
    assert!(body.contains("<D:quota-available-bytes>2199023255547<"), "{body}");
    assert_eq!(world.calls("user_info"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_infinite_depth_is_refused_with_its_precondition() {
    let world = KIND
        .world(|cloud| {
            cloud.add_file("/dir/a.txt", "hello");
        })
        .await;
    let (status, body) = world.propfind("/drive", "infinity").await;
    assert_eq!(status, 403);
    assert!(body.contains("propfind-finite-depth"), "{body}");
    // Without the header the members are shown, and nothing below them.
    let without = world.request("PROPFIND", "/drive").send().await.unwrap();
    assert_eq!(without.status(), 207);
    let body = without.text().await.unwrap();
    assert!(body.contains("/drive/dir/<") && !body.contains("a.txt"), "{body}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_without_a_user_agent_is_served() {
    let world = KIND
        .world(|cloud| {
            cloud.add_file("/a.txt", "hello");
        })
        .await;
    // reqwest sends none unless told to.
    assert_eq!(world.members("/drive").await, ["/drive/a.txt"]);
    assert_eq!(world.get("/drive/a.txt").await.status(), 302);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_cannot_be_had_neither_fails_nor_holds_up_the_listing() {
    let asked = "<?xml version=\"1.0\"?><propfind xmlns=\"DAV:\"><prop><displayname/><quota-available-bytes/></prop></propfind>";
    for kind in [
        FaultKind::GarbageJson,
        FaultKind::Drop,
        FaultKind::Delay(Duration::from_secs(300)),
        FaultKind::Status(429, Some(30)),
    ] {
        let world = KIND
            .world(|cloud| {
                cloud.add_file("/a.txt", "a");
            })
            .await;
        world.fault(Fault::forever("user_info", kind.clone()));
        let begun = Instant::now();
        let answer = world
            .request("PROPFIND", "/drive")
            .header("depth", "1")
            .body(asked)
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 207, "{kind:?}");
        let body = answer.text().await.unwrap();
        assert!(
            body.contains("/drive/a.txt") && body.contains("404 Not Found"),
            "{kind:?}: {body}"
        );
        assert!(
            begun.elapsed() < Duration::from_secs(10),
            "{kind:?}: {:?}",
            begun.elapsed()
        );
    }
}

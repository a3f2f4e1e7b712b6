//! What is answered, and by which way.

use std::time::UNIX_EPOCH;

use super::*;

#[tokio::test]
async fn a_streamed_file_has_our_head_and_its_bytes() {
    let world = World::new(3 * MIB, []).await;
    let response = world
        .get(&[
            ("authorization", "Basic eA=="),
            ("cookie", "a=b"),
            ("if-none-match", "\"x\""),
        ])
        .await;
    assert_eq!(response.status(), 200);
    for (name, value) in [
        ("content-length", "3145728"),
        ("etag", "\"abababababababababababababababab\""),
        ("last-modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("content-type", "video/x-matroska"),
        ("accept-ranges", "bytes"),
        ("x-dav123-delivery", "proxy"),
        ("set-cookie", ""),
    ] {
        assert_eq!(header(&response, name), value, "{name}");
    }
    assert!(read(response).await.unwrap() == bytes(3 * MIB));
    let head = world.cdn.heads().concat();
    for foreign in ["authorization", "cookie", "if-none-match", "referer", "range"] {
        assert!(!head.contains(&format!("\r\n{foreign}:")), "{foreign}");
    }
    assert!(head.contains("user-agent: dav123/"));
}

#[tokio::test]
async fn a_range_is_passed_on_exactly_and_keeps_the_connection() {
    let world = World::new(MIB, []).await;
    for (range, first, last) in [
        ("bytes=10-19", 10, 19),
        ("bytes=1000000-", 1_000_000, MIB - 1),
        ("bytes=-5", MIB - 5, MIB - 1),
    ] {
        let response = world.get(&[("range", range)]).await;
        assert_eq!(response.status(), 206);
        assert_eq!(
            header(&response, "content-range"),
            format!("bytes {first}-{last}/{MIB}")
        );
        assert_eq!(
            header(&response, "content-length"),
            (last + 1 - first).to_string()
        );
        assert!(read(response).await.unwrap() == bytes(MIB)[first..=last]);
    }
    assert_eq!(
        world.cdn.header("range")[1].as_deref(),
        Some("bytes=1000000-1048575")
    );
    assert_eq!(world.cdn.connections(), 1);
}

#[tokio::test]
async fn what_metadata_can_answer_costs_no_call() {
    let world = World::new(1000, []).await;
    for (method, name, value, status) in [
        ("HEAD", "x", "y", 200),
        ("HEAD", "range", "bytes=0-1", 200),
        (
            "GET",
            "if-none-match",
            "\"abababababababababababababababab\"",
            304,
        ),
        ("GET", "if-modified-since", "Sun, 06 Nov 1994 08:49:37 GMT", 304),
        ("HEAD", "if-none-match", "*", 304),
        ("GET", "if-match", "\"x\"", 412),
        ("GET", "range", "bytes=1000-", 416),
    ] {
        let response = world.ask(method, &[(name, value)]).await.unwrap();
        assert_eq!(response.status(), status, "{method} {name}");
        assert!(response.headers().get("x-dav123-delivery").is_none());
        match status {
            200 => assert_eq!(header(&response, "content-length"), "1000"),
            416 => assert_eq!(header(&response, "content-range"), "bytes */1000"),
            304 => assert_eq!(header(&response, "etag"), "\"abababababababababababababababab\""),
            _ => {}
        }
        if matches!(status, 200 | 304) {
            assert!(read(response).await.unwrap().is_empty());
        }
    }
    let empty = World::new(0, []).await;
    let response = empty.get(&[("range", "bytes=0-")]).await;
    assert_eq!(
        (response.status().as_u16(), header(&response, "content-length")),
        (200, "0")
    );
    assert_eq!(world.calls() + empty.calls(), 0);
}

#[tokio::test]
async fn a_file_of_unknown_size_takes_its_length_from_the_cdn() {
    let unknown = |entry: &mut Entry| (entry.size, entry.md5) = (None, None);
    let world = World::new(1000, []).await.entry(unknown);
    let head = world.ask("HEAD", &[]).await.unwrap();
    assert_eq!(
        (head.status().as_u16(), header(&head, "content-length")),
        (200, "")
    );
    assert_eq!(world.calls(), 0);
    let response = world.get(&[]).await;
    assert_eq!(header(&response, "content-length"), "1000");
    assert!(read(response).await.unwrap() == bytes(1000));
    for (range, status, content_range) in [
        ("bytes=990-", 206, "bytes 990-999/1000"),
        ("bytes=-10", 206, "bytes 990-999/1000"),
        ("bytes=990-5000", 206, "bytes 990-999/1000"),
        ("bytes=1000-", 416, "bytes */1000"),
    ] {
        let response = world.get(&[("range", range)]).await;
        assert_eq!(
            (response.status().as_u16(), header(&response, "content-range")),
            (status, content_range)
        );
        if status == 206 {
            assert!(read(response).await.unwrap() == bytes(1000)[990..]);
        }
    }
    let page = Act::Say(200, "text/html; charset=utf-8", "<html>sign in</html>");
    let world = World::new(1000, [page]).await.entry(unknown);
    assert_eq!(world.failure().await, ErrorKind::Nonsense);
}

#[tokio::test]
async fn redirect_hands_the_link_out_with_its_life() {
    let world = World::new(1000, [])
        .await
        .delivery(|delivery| delivery.strategy = Strategy::Redirect);
    let response = world.get(&[("range", "bytes=0-1")]).await;
    assert_eq!(response.status(), 302);
    assert_eq!(header(&response, "x-dav123-delivery"), "redirect");
    assert_eq!(
        header(&response, "location"),
        format!("http://{}/file?0", world.cdn.address)
    );
    assert!(header(&response, "cache-control").starts_with("private, max-age=863"));
    assert_eq!((world.asked(), world.cdn.heads().len()), (1, 0));

    let dying = world.link(|link| link.life = Duration::from_secs(30));
    let response = dying.get(&[]).await;
    assert!(header(&response, "location").ends_with("/file?1"));
}

#[tokio::test]
async fn auto_probes_once_and_streams_to_whom_it_does_not_know() {
    let world = World::new(2 * MIB, [])
        .await
        .delivery(|delivery| delivery.strategy = Strategy::Auto);
    let mpv = [("user-agent", "libmpv"), ("range", "bytes=100-")];
    for (peer, agent, expected) in [("127.0.0.1", "curl/8", "proxy"), ("8.8.8.8", "libmpv", "proxy")] {
        let headers = [("user-agent", agent), ("range", "bytes=100-109")];
        let response = world.ask_from(peer, "GET", &headers).await.unwrap();
        assert_eq!(header(&response, "x-dav123-delivery"), expected);
    }
    let not_probed = world.cdn.header("range");
    assert!(
        !not_probed.contains(&Some("bytes=0-0".to_owned())),
        "{not_probed:?}"
    );
    for _ in 0..3 {
        let response = world.get(&mpv).await;
        assert_eq!(header(&response, "x-dav123-delivery"), "redirect");
    }
    let probes = world.cdn.header("range");
    assert_eq!(
        probes
            .iter()
            .filter(|range| range.as_deref() == Some("bytes=0-0"))
            .count(),
        1
    );
    assert_eq!(world.cdn.heads().len(), 3);

    // Asking for the first byte again at once after a 302: it was not followed.
    let start = [("user-agent", "libmpv")];
    assert_eq!(header(&world.get(&start).await, "x-dav123-delivery"), "redirect");
    assert_eq!(header(&world.get(&start).await, "x-dav123-delivery"), "proxy");
}

#[tokio::test]
async fn auto_probes_again_after_a_refusal() {
    let refused = Act::Say(403, "text/plain", "no");
    let world = World::new(2 * MIB, [Act::Serve, refused])
        .await
        .delivery(|delivery| delivery.strategy = Strategy::Auto);
    let mpv = [("user-agent", "libmpv"), ("range", "bytes=100-")];
    let probes = || {
        let ranges = world.cdn.header("range");
        ranges
            .iter()
            .filter(|range| range.as_deref() == Some("bytes=0-0"))
            .count()
    };
    world.get(&mpv).await;
    world.get(&mpv).await;
    assert_eq!(probes(), 1);
    whole(&world).await;
    world.get(&mpv).await;
    assert_eq!(probes(), 2);
}

#[tokio::test]
async fn auto_streams_where_the_cdn_demands_a_referer() {
    let world = World::new(2 * MIB, vec![Act::Referer("r"); 9])
        .await
        .delivery(|delivery| delivery.strategy = Strategy::Auto)
        .link(|link| link.referers = vec!["r".to_owned()]);
    for requests in [2, 3] {
        let response = world.get(&[("user-agent", "VLC/3.0")]).await;
        assert_eq!(header(&response, "x-dav123-delivery"), "proxy");
        assert!(read(response).await.unwrap() == bytes(2 * MIB));
        assert_eq!(world.cdn.heads().len(), requests);
    }
}

#[tokio::test]
async fn proxy_url_signs_the_whole_path_of_the_tree() {
    let world = World::new(1000, []).await.delivery(|delivery| {
        delivery.strategy = Strategy::ProxyUrl;
        delivery.proxy_url = Some("https://worker.example".to_owned());
        delivery.proxy_secret = Some("token".into());
    });
    let response = world.get(&[]).await;
    assert_eq!(response.status(), 302);
    assert_eq!(header(&response, "x-dav123-delivery"), "proxy-url");
    let location = header(&response, "location");
    let expires: u64 = location.rsplit(':').next().unwrap().parse().unwrap();
    let until = UNIX_EPOCH + Duration::from_secs(expires);
    let left = until.duration_since(SystemTime::now()).unwrap();
    assert!((14_390..=14_400).contains(&left.as_secs()), "{left:?}");
    let expected = proxy_url::signed(
        "https://worker.example",
        &"token".into(),
        &world.resource.path,
        until,
    );
    assert_eq!(location, expected);
    assert!(location.starts_with("https://worker.example/drive/%E7%94%B5%E5%BD%B1/film.mkv?sign="));
    assert_eq!(world.calls(), 0);
}

#[tokio::test]
async fn past_the_budget_a_get_is_forbidden_and_a_head_is_not() {
    for strategy in [Strategy::Proxy, Strategy::Redirect] {
        let world = World::new(1000, []).await.delivery(|delivery| {
            delivery.strategy = strategy;
            delivery.budget = Some(config::Budget {
                bytes: 1500,
                per: config::Period::Month,
            });
        });
        let _ = read(world.get(&[]).await).await.unwrap();
        let _ = read(world.get(&[("range", "bytes=0-499")]).await).await.unwrap();
        assert_eq!(world.failure().await, ErrorKind::Forbidden);
        assert_eq!(world.ask("HEAD", &[]).await.unwrap().status(), 200);
    }
}

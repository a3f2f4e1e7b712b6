//! Streams over a CDN that does not do as it should.

use proptest::prelude::{Just, ProptestConfig, prop_assert, prop_oneof, proptest};
use proptest::strategy::Strategy as _;

use super::*;
use crate::delivery::proxy::Transfer;
use crate::delivery::upstream::{Source, Supply};

#[tokio::test]
async fn a_stream_that_breaks_goes_on_at_the_byte_where_it_broke() {
    for acts in [
        vec![Act::Cut(1000), Act::Cut(500_000), Act::Cut(0)],
        vec![Act::Reset(300_000), Act::Stall(1), Act::Stall(0)],
        vec![Act::Cut(10), Act::Say(503, "text/plain", "ill"), Act::IgnoreRange],
        vec![Act::Cut(10), Act::Say(403, "text/plain", "expired"), Act::Serve],
    ] {
        let world = World::new(MIB, acts).await;
        whole(&world).await;
        assert!(world.cdn.heads().len() >= 3);
    }
    let world = World::new(MIB, [Act::Cut(1000)]).await;
    let part = read(world.get(&[("range", "bytes=5-99999")]).await)
        .await
        .unwrap();
    assert!(part == bytes(MIB)[5..100_000]);
    assert_eq!(world.cdn.header("range")[1].as_deref(), Some("bytes=1005-99999"));
}

#[tokio::test]
async fn a_stream_that_does_not_get_on_ends_in_an_error() {
    let world = World::new(MIB, vec![Act::Cut(10); 9]).await;
    let error = read(world.get(&[]).await).await.unwrap_err();
    assert!(error.to_string().contains("again and again"), "{error}");
    assert_eq!(world.cdn.heads().len(), 1 + LIMITS.resumes as usize);
}

#[tokio::test]
async fn a_stream_that_gets_on_may_break_any_number_of_times() {
    let breaks = 2 * LIMITS.resumes as usize;
    let world = World::new(MIB, vec![Act::Cut(100_000); breaks]).await;
    whole(&world).await;
    assert_eq!(world.cdn.heads().len(), breaks + 1);
}

#[tokio::test]
async fn a_stream_that_has_begun_bears_an_outage_and_a_new_one_does_not() {
    for connections in [1, 4] {
        let ill = || Act::Say(503, "text/plain", "ill");
        let mut acts = vec![Act::Cut(100_000)];
        acts.extend((0..20).map(|_| ill()));
        let limits = Limits {
            outage: Duration::from_secs(60),
            ..LIMITS
        };
        let engine = |limits| Engine::new(Duration::from_millis(500), limits, 0, Arc::default()).unwrap();
        let world = World::over(engine(limits), MIB, acts.clone())
            .await
            .delivery(|delivery| delivery.proxy_connections = connections);
        whole(&world).await;
        let world = World::over(engine(LIMITS), MIB, acts).await;
        assert!(read(world.get(&[]).await).await.is_err());
        let world = World::over(engine(limits), MIB, (0..20).map(|_| ill())).await;
        world.failure().await;
    }
}

#[tokio::test]
async fn a_file_that_changes_under_a_download_is_never_mixed() {
    for (before, now, same) in [("\"a\"", "\"a\"", true), ("\"a\"", "\"b\"", false)] {
        let world = World::new(MIB, [Act::Cut(7), Act::Tagged(now)]).await;
        let cdn = &world.engine.experience.cdns.of(None).unwrap();
        let supply = Arc::new(Supply {
            links: Arc::clone(&world.links) as Arc<dyn Links>,
            cdn: Arc::clone(cdn),
            referers: Arc::clone(&world.engine.experience.referers),
            mount: String::new(),
            media_type: "".into(),
            limits: LIMITS,
            counts: Arc::default(),
            target: std::sync::Mutex::default(),
        });
        let lane = cdn.lane();
        let source = Arc::new(Source { lane, supply });
        let mut opened = source
            .open(Want {
                size: Some(MIB as u64),
                ..Want::default()
            })
            .await
            .unwrap();
        opened.etag = Some(HeaderValue::from_static(before));
        let result = Transfer::new(source, opened, None).collect().await;
        assert_eq!(result.is_ok(), same);
    }
}

#[tokio::test]
async fn a_refused_link_is_renewed_once() {
    let world = World::new(1000, [Act::Say(403, "text/plain", "no")]).await;
    whole(&world).await;
    assert_eq!(world.asked(), 2);
    assert!(world.cdn.heads()[1].starts_with("get /file?1 "));

    for status in [401, 403, 404, 410] {
        let world = World::new(1000, vec![Act::Say(status, "text/plain", "no"); 5]).await;
        assert_eq!(world.failure().await, ErrorKind::Nonsense);
        assert_eq!((world.asked(), world.cdn.heads().len()), (2, 2));
    }
    let json = r#"{"code":1010,"message":"forbidden realc:a arg_c:b"}"#;
    let world = World::new(1000, vec![Act::Say(200, "application/json", json); 5]).await;
    let error = world.ask("GET", &[]).await.err().unwrap();
    assert!(error.sentence().contains("another city"), "{error}");
    assert_eq!(world.asked(), 2);
}

#[tokio::test]
async fn the_referers_of_a_link_are_tried_in_turn_and_the_right_one_is_remembered() {
    let world = World::new(1000, vec![Act::Referer("3"); 9])
        .await
        .link(|link| link.referers = ["1", "2", "3"].map(str::to_owned).to_vec());
    whole(&world).await;
    whole(&world).await;
    let sent: Vec<_> = world
        .cdn
        .header("referer")
        .into_iter()
        .map(Option::unwrap)
        .collect();
    assert_eq!(sent, ["1", "2", "3", "3"]);
    assert_eq!(world.links.refused.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn what_is_not_the_file_is_never_served_as_the_file() {
    for act in [
        Act::Say(200, "video/x-matroska", "the anti-leech film"),
        Act::Say(200, "text/html", "<html>sign in</html>"),
        Act::Say(206, "video/x-matroska", "no Content-Range"),
        Act::Say(416, "text/plain", ""),
        Act::Say(210, "text/plain", "?"),
        Act::Say(400, "text/plain", "?"),
    ] {
        let world = World::new(1000, vec![act; 3]).await;
        assert_eq!(world.failure().await, ErrorKind::Nonsense, "{act:?}");
        assert_eq!(world.cdn.heads().len(), 1, "{act:?}");
    }
    let head = "HTTP/1.1 206 So\r\nContent-Length: 4\r\nContent-Range: bytes ";
    for (range, encoding) in [
        ("11-14/1000", ""),
        ("10-13/1001", ""),
        ("10-13/1000", "\r\nContent-Encoding: gzip"),
        ("10-12/1000", ""),
        ("10-18446744073709551615/*", ""),
    ] {
        let raw: &'static str = format!("{head}{range}{encoding}\r\n\r\nabcd").leak();
        let world = World::new(1000, [Act::Raw(raw)]).await;
        let result = world.ask("GET", &[("range", "bytes=10-13")]).await;
        assert_eq!(result.err().unwrap().kind(), ErrorKind::Nonsense, "{range}");
    }
    let raw: &'static str = format!("{head}10-13/*\r\n\r\nabcd").leak();
    let world = World::new(1000, [Act::Raw(raw)]).await;
    let response = world.get(&[("range", "bytes=10-13")]).await;
    assert_eq!(read(response).await.unwrap(), "abcd");
    let raw = "HTTP/1.1 206 So\r\nTransfer-Encoding: chunked\r\nContent-Range: bytes 11-13/1000\r\n\r\n\
        3\r\nabc\r\n0\r\n\r\n";
    let world = World::new(1000, [Act::Raw(raw)]).await;
    let result = world.ask("GET", &[("range", "bytes=10-13")]).await;
    assert_eq!(result.err().unwrap().kind(), ErrorKind::Nonsense);
    // A real page is a file like any other.
    let page = "<html>my page</html>";
    let world = World::new(page.len(), [Act::Say(200, "text/html", page)]).await;
    assert_eq!(read(world.get(&[]).await).await.unwrap(), page);
}

#[tokio::test]
async fn a_cdn_that_ignores_range_is_read_to_the_offset() {
    let world = World::new(MIB, [Act::IgnoreRange, Act::IgnoreRange]).await;
    let response = world.get(&[("range", "bytes=700000-700009")]).await;
    assert_eq!(response.status(), 206);
    assert!(read(response).await.unwrap() == bytes(MIB)[700_000..700_010]);
    let response = world.get(&[("range", "bytes=0-9")]).await;
    assert!(read(response).await.unwrap() == bytes(MIB)[..10]);
}

#[tokio::test]
async fn redirects_of_the_cdn_are_followed_a_few_times() {
    let world = World::new(1000, [Act::To("/b?c"), Act::To("d")]).await;
    whole(&world).await;
    assert!(world.cdn.heads()[2].starts_with("get /d "));
    let world = World::new(1000, vec![Act::To("/circle"); 9]).await;
    assert_eq!(world.failure().await, ErrorKind::Nonsense);
    assert_eq!(world.cdn.heads().len(), 5);
}

#[tokio::test]
async fn faults_of_the_cdn_have_their_kinds() {
    let ill = Act::Say(503, "text/plain", "ill");
    let world = World::new(1000, [ill]).await;
    whole(&world).await;
    let world = World::new(1000, [ill, ill]).await;
    assert_eq!(world.failure().await, ErrorKind::Nonsense);

    let world = World::new(1000, [Act::Say(429, "text/plain", "slow")]).await;
    let error = world.ask("GET", &[]).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert_eq!(error.retry(), crate::drive::Retry::After(Duration::from_secs(7)));

    let world = World::new(1000, [Act::Silence]).await;
    assert_eq!(world.failure().await, ErrorKind::Timeout);

    // Nobody listens there, and the kernel gives such a port to nobody.
    let nobody = "127.0.0.1:9".parse().unwrap();
    let world = World::new(1000, []).await.link(|link| link.address = nobody);
    assert_eq!(world.failure().await, ErrorKind::Unreachable);
}

#[tokio::test]
async fn the_upstream_request_ends_when_the_client_leaves() {
    for act in [Act::Serve, Act::Stall(MIB)] {
        let world = World::new(64 * MIB, [act]).await;
        let mut response = world.get(&[]).await;
        response.body_mut().frame().await.unwrap().unwrap();
        drop(response);
        tokio::time::timeout(Duration::from_secs(5), world.cdn.was_left())
            .await
            .unwrap();
    }
}

/// How soon: the best of a few, for machines are busy.
#[tokio::test]
async fn the_cdn_is_left_within_100_ms_over_one_connection_and_over_several() {
    for connections in [1, 16] {
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let world = World::new(64 * MIB, vec![Act::Trickle(1000); 99])
                .await
                .delivery(|delivery| delivery.proxy_connections = connections);
            let mut response = world.get(&[]).await;
            response.body_mut().frame().await.unwrap().unwrap();
            let since = tokio::time::Instant::now();
            drop(response);
            world.cdn.was_left().await;
            best = best.min(since.elapsed());
        }
        assert!(best < Duration::from_millis(100), "{connections}: {best:?}");
    }
}

#[tokio::test]
async fn the_first_entity_tag_counts_even_if_it_comes_late() {
    let acts = [Act::Cut(70_000), Act::TaggedCut("x", 70_000), Act::Changed("y")];
    let world = World::new(MIB, acts).await;
    let mut body = world.get(&[]).await.into_body();
    let mut got = Vec::new();
    let error = loop {
        match body.frame().await.unwrap() {
            Ok(frame) => got.extend_from_slice(&frame.into_data().unwrap()),
            Err(error) => break error,
        }
    };
    assert!(bytes(MIB).starts_with(&got));
    assert!(error.to_string().contains("changed"), "{error}");
}

#[tokio::test]
async fn a_page_in_place_of_the_file_makes_the_next_referer_be_tried() {
    let page = Act::Say(200, "text/html", "<html>steal</html>");
    let world = World::new(1000, [page])
        .await
        .link(|link| link.referers = vec!["one".to_owned(), "two".to_owned()]);
    whole(&world).await;
    let referers: Vec<_> = world.cdn.header("referer").into_iter().flatten().collect();
    assert_eq!(referers, ["one", "two"]);
}

#[tokio::test]
async fn a_refused_fresh_link_rests() {
    let world = World::new(1000, vec![Act::Say(403, "text/plain", "no"); 7]).await;
    assert_eq!(world.failure().await, ErrorKind::Nonsense);
    let renewed = || world.links.refused.load(Ordering::Relaxed);
    assert_eq!(renewed(), 1);
    for _ in 0..5 {
        let error = world.ask("GET", &[]).await.err().unwrap();
        assert!(error.sentence().contains("refused a fresh download link"));
        assert!(matches!(error.retry(), crate::drive::Retry::After(_)));
    }
    // 123pan was not asked for another; the CDN was, and now it is well.
    assert_eq!((renewed(), world.cdn.heads().len()), (1, 7));
    whole(&world).await;
}

#[tokio::test]
async fn bytes_that_are_thrown_away_count_for_the_budget() {
    for connections in [1, 4] {
        let world = World::new(MIB, vec![Act::IgnoreRange; 9])
            .await
            .delivery(|delivery| {
                delivery.proxy_connections = connections;
                delivery.budget = Some(config::Budget {
                    bytes: MIB as u64,
                    per: config::Period::Month,
                });
            });
        let last = format!("bytes={}-", MIB - 400_000);
        let part = read(world.get(&[("range", &last)]).await).await.unwrap();
        assert!(bytes(MIB).ends_with(&part));
        assert_eq!(world.failure().await, ErrorKind::Forbidden, "{connections}");
    }
}

#[tokio::test]
async fn where_windows_have_no_room_a_download_uses_one_connection() {
    let world = World::new(4 * MIB, []).await.delivery(|delivery| {
        delivery.proxy_connections = 4;
        delivery.proxy_window = 200 << 20;
    });
    let mut first = world.get(&[]).await.into_body();
    first.frame().await.unwrap().unwrap();
    let before = world.cdn.heads().len();
    whole(&world).await;
    let cdn = world.engine.experience.cdns.of(None).unwrap();
    assert!(cdn.several(100 << 20).is_none());
    let ranges = world.cdn.header("range");
    assert!(ranges.iter().skip(before).any(Option::is_none), "{ranges:?}");
    drop(first);
    assert!(cdn.several(100 << 20).is_some());
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_the_cdn_back() {
    let world = World::new(64 * MIB, []).await;
    let mut response = world.get(&[]).await;
    response.body_mut().frame().await.unwrap().unwrap();
    // Longer than the stall limit: waiting for the client is no stall.
    tokio::time::sleep(2 * LIMITS.stall).await;
    assert_eq!(world.cdn.answers(), 0);
    assert!(read(response).await.is_ok());
    assert_eq!(world.cdn.heads().len(), 1);
}

#[tokio::test]
async fn the_wide_client_is_for_the_first_streams_and_the_narrow_one_serves_the_same_bytes() {
    let world = World::new(MIB, []).await;
    let cdn = world.engine.experience.cdns.of(None).unwrap();
    let lanes: Vec<_> = (0..32).map(|_| cdn.lane()).collect();
    whole(&world).await;
    drop(lanes);
    whole(&world).await;
}

fn any_act() -> impl proptest::strategy::Strategy<Value = Act> {
    prop_oneof![
        4 => (0usize..40_000).prop_map(Act::Cut),
        2 => (0usize..40_000).prop_map(Act::Reset),
        1 => (0usize..40_000).prop_map(Act::Stall),
        2 => Just(Act::Serve),
        2 => Just(Act::IgnoreRange),
        1 => Just(Act::Say(503, "text/plain", "ill")),
        1 => Just(Act::Say(403, "text/plain", "no")),
        1 => Just(Act::Say(200, "text/html", "<html>no</html>")),
        1 => Just(Act::To("/elsewhere")),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn no_fault_ever_gives_a_wrong_byte(
        first in 0usize..60_000,
        length in 1usize..60_000,
        script in proptest::collection::vec(any_act(), 0..6),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let right = runtime.block_on(async {
            let size = 60_000;
            let world = World::new(size, script).await;
            let range = format!("bytes={first}-{}", first + length - 1);
            let Ok(response) = world.ask("GET", &[("range", &range)]).await else { return true };
            let expected = &bytes(size)[first..size.min(first + length)];
            let mut got = Vec::new();
            let mut body = response.into_body();
            let mut whole = true;
            while let Some(frame) = body.frame().await {
                match frame {
                    Ok(frame) => got.extend_from_slice(&frame.into_data().unwrap()),
                    Err(_) => { whole = false; break }
                }
            }
            expected.starts_with(&got) && (!whole || got.len() == expected.len())
        });
        prop_assert!(right);
    }
}

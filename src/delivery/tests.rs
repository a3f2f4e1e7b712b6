//! GET and HEAD against a scripted CDN, without a tree.

#![allow(clippy::unwrap_used)]

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::UNIX_EPOCH;

use http_body_util::BodyExt;
use proptest::prelude::{Just, ProptestConfig, prop_assert, prop_oneof, proptest};
use proptest::strategy::Strategy as _;

use super::stand_in::{Act, StandIn, bytes};
use super::*;
use crate::config;
use crate::drive::{Capability, Drive, DriveFuture, Entry, Id, Kind, Link, Lister, Quota};
use crate::tree::TreePath;

const MIB: usize = 1 << 20;
const LIMITS: Limits = Limits {
    stall: Duration::from_millis(80),
    resumes: 3,
    pause: Duration::from_millis(1),
};

#[derive(Debug)]
struct NoDrive;

impl Drive for NoDrive {
    fn capability(&self) -> Capability {
        Capability::default()
    }
    fn root(&self) -> Id {
        Id(0)
    }
    fn list(&self, _: Id) -> Box<dyn Lister> {
        unreachable!()
    }
    fn link<'a>(&'a self, _: &'a Entry, _: LinkWish) -> DriveFuture<'a, Link> {
        unreachable!()
    }
    fn quota(&self) -> DriveFuture<'_, Option<Quota>> {
        unreachable!()
    }
}

/// Links `…/file?n`, one further for each that was refused.
struct Numbered {
    address: std::net::SocketAddr,
    referers: Vec<String>,
    life: Duration,
    asked: AtomicUsize,
    refused: AtomicUsize,
}

impl Links for Numbered {
    fn link(&self, wish: LinkWish) -> LinkFuture {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if wish.refused.is_some() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        let n = self.refused.load(Ordering::Relaxed);
        let link = Link {
            url: format!("http://{}/file?{n}", self.address).into(),
            until: SystemTime::now() + self.life,
            referers: self.referers.clone(),
            open_to_all: false,
        };
        Box::pin(async move { Ok(Arc::new(link)) })
    }
}

/// A file behind an engine.
struct World {
    cdn: StandIn,
    links: Arc<Numbered>,
    engine: Engine,
    resource: Resource,
}

impl World {
    async fn new(size: usize, script: impl IntoIterator<Item = Act>) -> Self {
        let cdn = StandIn::start(bytes(size), script).await;
        let settings = config::Mount {
            path: "/drive".to_owned(),
            source: config::Source::DirectLink(config::DirectLink {
                uid: None,
                private_key: None,
                valid_for: Duration::ZERO,
                links: "".into(),
                links_from: String::new(),
            }),
            access: config::Access::ReadOnly,
            delivery: config::Delivery {
                strategy: Strategy::Proxy,
                ..config::Delivery::default()
            },
        };
        let mount = Mount {
            path: TreePath::from_decoded("/drive").unwrap(),
            drive: Arc::new(NoDrive),
            settings: Arc::new(settings),
        };
        let entry = Entry {
            id: Id(7),
            name: "film.mkv".into(),
            kind: Kind::File,
            size: Some(size as u64),
            modified: 784_111_777,
            created: 0,
            md5: Some([0xab; 16]),
            locator: "".into(),
        };
        Self {
            links: Arc::new(Numbered {
                address: cdn.address,
                referers: Vec::new(),
                life: Duration::from_secs(86_400),
                asked: AtomicUsize::new(0),
                refused: AtomicUsize::new(0),
            }),
            cdn,
            engine: Engine::new(Duration::from_millis(500), LIMITS).unwrap(),
            resource: Resource {
                path: TreePath::from_decoded("/drive/电影/film.mkv").unwrap(),
                mount: Some(Arc::new(mount)),
                entry: Arc::new(entry),
            },
        }
    }

    fn entry(mut self, change: impl FnOnce(&mut Entry)) -> Self {
        change(Arc::make_mut(&mut self.resource.entry));
        self
    }

    fn delivery(mut self, change: impl FnOnce(&mut config::Delivery)) -> Self {
        let mount = Arc::get_mut(self.resource.mount.as_mut().unwrap()).unwrap();
        change(&mut Arc::get_mut(&mut mount.settings).unwrap().delivery);
        self
    }

    fn link(mut self, change: impl FnOnce(&mut Numbered)) -> Self {
        change(Arc::get_mut(&mut self.links).unwrap());
        self
    }

    async fn ask(&self, method: &str, headers: &[(&str, &str)]) -> Result<Response<Body>, Error> {
        self.ask_from("127.0.0.1", method, headers).await
    }

    async fn ask_from(
        &self,
        peer: &str,
        method: &str,
        headers: &[(&str, &str)],
    ) -> Result<Response<Body>, Error> {
        let mut request = http::Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (request, ()) = request.body(()).unwrap().into_parts();
        let client = Client::of(&request, peer.parse().unwrap(), false);
        let links = Arc::clone(&self.links) as Arc<dyn Links>;
        self.engine.get(&request, &self.resource, client, links).await
    }

    async fn get(&self, headers: &[(&str, &str)]) -> Response<Body> {
        self.ask("GET", headers).await.unwrap()
    }

    async fn failure(&self) -> ErrorKind {
        self.ask("GET", &[]).await.err().unwrap().kind()
    }

    fn asked(&self) -> usize {
        self.links.asked.load(Ordering::Relaxed)
    }

    fn calls(&self) -> usize {
        self.asked() + self.cdn.heads().len()
    }
}

async fn read(response: Response<Body>) -> io::Result<Bytes> {
    response.into_body().collect().await.map(|body| body.to_bytes())
}

async fn whole(world: &World) {
    let size = world.resource.entry.size.unwrap() as usize;
    assert!(read(world.get(&[]).await).await.unwrap() == bytes(size));
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

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
async fn a_file_that_changes_under_a_download_is_never_mixed() {
    for (before, now, same) in [("\"a\"", "\"a\"", true), ("\"a\"", "\"b\"", false)] {
        let world = World::new(MIB, [Act::Cut(7), Act::Tagged(now)]).await;
        let cdn = &world.engine.experience.cdn;
        let source = Arc::new(Source {
            links: Arc::clone(&world.links) as Arc<dyn Links>,
            lane: cdn.lane(),
            cdn: Arc::clone(cdn),
            referers: Arc::clone(&world.engine.experience.referers),
            mount: String::new(),
            media_type: "",
            limits: LIMITS,
        });
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
        let world = World::new(1000, vec![act.clone(); 3]).await;
        assert_eq!(world.failure().await, ErrorKind::Nonsense, "{act:?}");
        assert_eq!(world.cdn.heads().len(), 1, "{act:?}");
    }
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
    let world = World::new(1000, [ill.clone()]).await;
    whole(&world).await;
    let world = World::new(1000, [ill.clone(), ill]).await;
    assert_eq!(world.failure().await, ErrorKind::Nonsense);

    let world = World::new(1000, [Act::Say(429, "text/plain", "slow")]).await;
    let error = world.ask("GET", &[]).await.err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert_eq!(error.retry(), crate::drive::Retry::After(Duration::from_secs(7)));

    let world = World::new(1000, [Act::Silence]).await;
    assert_eq!(world.failure().await, ErrorKind::Timeout);

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let free = listener.local_addr().unwrap();
    drop(listener);
    let world = World::new(1000, []).await.link(|link| link.address = free);
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

#[tokio::test]
async fn the_wide_client_is_for_the_first_streams_and_the_narrow_one_serves_the_same_bytes() {
    let world = World::new(MIB, []).await;
    let lanes: Vec<_> = (0..32).map(|_| world.engine.experience.cdn.lane()).collect();
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

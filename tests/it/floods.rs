//! Clients that want to wear the server out, with a normal client beside them: each is answered or cut as the README's table
//! says, the normal one is served within twice its usual time, and memory stays bounded.
#![cfg(target_os = "linux")]

use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::world::{PASSWORD, Server, USER, World, account, add_large, binary, eventually, options};

const MIB: u64 = 1 << 20;
/// Requests whose median is taken.
const ASKED: usize = 15;
/// What a busy machine may add to the time of a request.
const FLOOR: Duration = Duration::from_millis(20);
/// Pause of who is slow, between two bytes.
const SLOW: Duration = Duration::from_millis(200);

/// A world whose server logs as it does for people.
async fn world() -> World {
    let mut world = World::start(
        options(),
        |cloud| {
            cloud.add_file("/a.txt", "a");
            add_large(cloud);
        },
        |cloud| account(cloud, "/drive", "strategy = \"proxy\""),
    )
    .await;
    world.server.kill();
    let mut command = Command::new(binary());
    command
        .arg("serve")
        .arg("--config")
        .arg(world.dir.path().join("dav.toml"));
    world.server = Server::spawn(command);
    world.members("/drive").await;
    world
}

/// The median time of a listing, each over a connection of its own.
async fn median(world: &World) -> Duration {
    crate::world::client();
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_certs_only([])
        .pool_max_idle_per_host(0)
        .build()
        .unwrap();
    let mut times = Vec::new();
    for _ in 0..ASKED {
        let begun = Instant::now();
        let propfind = reqwest::Method::from_bytes(b"PROPFIND").unwrap();
        let asked = client
            .request(propfind, world.url("/drive"))
            .basic_auth(USER, Some(PASSWORD))
            .header("depth", "1");
        let answer = asked.send().await.unwrap();
        assert_eq!(answer.status(), 207);
        assert!(answer.text().await.unwrap().contains("/drive/a.txt"));
        times.push(begun.elapsed());
    }
    times.sort();
    times[ASKED / 2]
}

/// The normal client, before and during; the memory that `during` costs at the peak.
struct Beside {
    usual: Duration,
    memory: u64,
}

impl Beside {
    async fn before(world: &World) -> Self {
        Self {
            usual: median(world).await,
            memory: world.server.peak_memory(),
        }
    }

    /// Three times at the most: the machine may have been at something else.
    async fn during(&self, world: &World, what: &str, memory: u64) {
        let limit = (self.usual * 2).max(self.usual + FLOOR);
        let mut times = Vec::new();
        while times.last().is_none_or(|time| *time > limit) {
            times.push(median(world).await);
            assert!(times.len() < 4, "{what}: {times:?}, usually {:?}", self.usual);
        }
        let more = world.server.peak_memory() - self.memory;
        assert!(more < memory, "{what}: {} MiB", more / MIB);
    }
}

async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(world.server.address()).await.unwrap()
}

/// The head of a request that is signed in, without its last line.
fn head(method: &str, path: &str) -> String {
    let basic = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    format!("{method} {path} HTTP/1.1\r\nhost: x\r\nauthorization: Basic {basic}\r\n")
}

/// What is answered until the other side closes; a reset is an end.
async fn answer(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_senders_and_slow_readers_hold_nobody_up() {
    let world = world().await;
    let before = Beside::before(&world).await;
    let put = |n: usize| head("PUT", &format!("/drive/slow{n}.bin")) + "content-length: 1000000\r\n\r\n";
    let xml = head("PROPFIND", "/drive") + "depth: 0\r\ncontent-length: 60000\r\n\r\n";
    for (what, each, memory) in [
        (
            "heads",
            &(|_| "GET / HTTP/1.1\r\nx: ".to_owned()) as &dyn Fn(usize) -> String,
            24,
        ),
        ("XML", &|_| xml.clone(), 24),
        ("files", &put, 48),
    ] {
        let mut slow = JoinSet::new();
        for n in 0..100 {
            let (mut stream, begin) = (connect(&world).await, each(n));
            slow.spawn(async move {
                stream.write_all(begin.as_bytes()).await.unwrap();
                while stream.write_all(b" ").await.is_ok() {
                    tokio::time::sleep(SLOW).await;
                }
            });
        }
        before.during(&world, what, memory * MIB).await;
    }
    let mut readers = Vec::new();
    for n in 1..=100_u64 {
        let mut stream = connect(&world).await;
        // Each from a place of its own, so that none has its bytes from another.
        let asked = head("GET", "/drive/large.bin") + &format!("range: bytes={}-\r\n\r\n", n << 23);
        stream.write_all(asked.as_bytes()).await.unwrap();
        readers.push(stream);
    }
    eventually("all are under way", || world.calls("cdn") >= 100).await;
    before.during(&world, "readers", 96 * MIB).await;
    // Who begins to read after all gets what it asked for.
    let mut begin = [0; 12];
    readers[99].read_exact(&mut begin).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1 206");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_which_nothing_comes_for_a_minute_is_given_up_and_said() {
    let world = world().await;
    let mut stream = connect(&world).await;
    // Without a length: what has come so far could be taken for the whole.
    let asked = head("PUT", "/drive/half.txt") + "transfer-encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    stream.write_all(asked.as_bytes()).await.unwrap();
    let mut xml = connect(&world).await;
    let asked = head("PROPFIND", "/drive") + "content-length: 9\r\n\r\n<";
    xml.write_all(asked.as_bytes()).await.unwrap();
    let limit = Duration::from_secs(120);
    let (file, xml) = tokio::join!(
        tokio::time::timeout(limit, answer(stream)),
        tokio::time::timeout(limit, answer(xml))
    );
    for answer in [file.unwrap(), xml.unwrap()] {
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert!(answer.contains("connection: close"), "{answer}");
        assert!(answer.trim_end().ends_with("send it again."), "{answer}");
    }
    assert_eq!(world.members("/drive").await.len(), 2);
    assert_eq!(world.cloud.names("/").unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_headers_and_of_xml_are_refused_beside_a_normal_client() {
    let world = world().await;
    let before = Beside::before(&world).await;
    // The body of a LOCK can have 4 KiB.
    let deep = "<a>".repeat(1300);
    let laughs: String = (1..10)
        .map(|n| format!("<!ENTITY l{n} \"{}\">", format!("&l{};", n - 1).repeat(10)))
        .collect();
    let laughs =
        format!("<!DOCTYPE l [<!ENTITY l0 \"lol\">{laughs}]><propfind xmlns=\"DAV:\">&l9;</propfind>");
    let outside =
        "<!DOCTYPE x [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><propfind xmlns=\"DAV:\">&x;</propfind>";
    let large = format!("<propfind xmlns=\"DAV:\">{}</propfind>", " ".repeat(10 << 20));
    let with = |method: &str, body: &str| {
        let depth = if method == "LOCK" { "0" } else { "1" };
        let length = body.len();
        head(method, "/drive/a.txt") + &format!("depth: {depth}\r\ncontent-length: {length}\r\n\r\n{body}")
    };
    let mut floods = vec![
        (
            "many headers",
            head("GET", "/") + &"x: y\r\n".repeat(200_000),
            "431",
        ),
        (
            "a huge header",
            head("GET", "/") + "x: " + &"y".repeat(1 << 20),
            "431",
        ),
        ("a head without a line", "G".repeat(1 << 20), "4"),
        (
            "large XML in chunks",
            head("PROPFIND", "/drive")
                + &format!("transfer-encoding: chunked\r\n\r\n{:x}\r\n{large}", large.len()),
            "413",
        ),
    ];
    for method in ["PROPFIND", "PROPPATCH", "LOCK"] {
        floods.push(("large XML", with(method, &large), "413"));
        floods.push(("deep XML", with(method, &deep), "400"));
        floods.push(("a billion laughs", with(method, &laughs), "400"));
        floods.push(("another file", with(method, outside), "400"));
    }
    for (what, flood, status) in floods {
        let mut attackers = JoinSet::new();
        let answered = Arc::new(AtomicUsize::new(0));
        for n in 0..4 {
            let (address, flood, answered) = (world.server.address(), flood.clone(), answered.clone());
            attackers.spawn(async move {
                loop {
                    let mut stream = TcpStream::connect(&address).await.unwrap();
                    // The other side may close before it has all.
                    let _ = stream.write_all(flood.as_bytes()).await;
                    let _ = stream.shutdown().await;
                    let answer = answer(stream).await;
                    let begin = format!("HTTP/1.1 {status}");
                    // A reset may overtake the answer.
                    let refused = answer.is_empty() || answer.starts_with(&begin);
                    assert!(refused && !answer.contains("root:"), "{answer}");
                    answered.fetch_add(usize::from(!answer.is_empty()), Ordering::Relaxed);
                    // The machine has two cores, and the attackers are on them too.
                    tokio::time::sleep(Duration::from_millis(10 + n)).await;
                }
            });
        }
        before.during(&world, what, 64 * MIB).await;
        eventually(what, || answered.load(Ordering::Relaxed) > 0).await;
        if let Some(ended) = attackers.try_join_next() {
            panic!("{what}: {ended:?}");
        }
    }
    assert_eq!(world.get("/drive/a.txt").await.text().await.unwrap(), "a");
}

/// Frames of HTTP/2 (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

#[tokio::test(flavor = "multi_thread")]
async fn floods_of_http_2_end_with_their_connection() {
    const HEADERS: u8 = 1;
    const RESET: u8 = 3;
    const SETTINGS: u8 = 4;
    const CONTINUATION: u8 = 9;
    // GET of "/" by http, from RFC 7541's static table, with an authority.
    const BLOCK: &[u8] = &[0x82, 0x86, 0x84, 0x41, 1, b'x'];
    // A field that is not put into the dynamic table, "a: b".
    const FIELD: &[u8] = &[0, 1, b'a', 1, b'b'];
    let world = world().await;
    let before = Beside::before(&world).await;
    let endless = |n: u32| match n {
        0 => frame(HEADERS, 1, 1, BLOCK),
        _ => frame(CONTINUATION, 0, 1, &FIELD.repeat(1000)),
    };
    let reset = |n: u32| {
        let stream = 2 * n + 1;
        [
            frame(HEADERS, 5, stream, BLOCK),
            frame(RESET, 0, stream, &8_u32.to_be_bytes()),
        ]
        .concat()
    };
    // Streams beyond those that are allowed, on which no answer may be sent: the window is 0.
    let many = |n: u32| match n {
        0 => frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]),
        _ => frame(HEADERS, 5, 2 * n - 1, BLOCK),
    };
    for (what, each, ends) in [
        (
            "headers without end",
            &endless as &(dyn Fn(u32) -> Vec<u8> + Sync),
            true,
        ),
        ("rapid reset", &reset, true),
        ("streams that take nothing", &many, false),
    ] {
        let flood: Vec<Vec<u8>> = (0..20_000).map(each).collect();
        let mut connections = JoinSet::new();
        for _ in 0..4 {
            let (mut stream, flood) = (connect(&world).await, flood.clone());
            connections.spawn(async move {
                stream
                    .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
                    .await
                    .unwrap();
                stream.write_all(&frame(SETTINGS, 0, 0, &[])).await.unwrap();
                let (mut from, mut to) = stream.into_split();
                let sending = async {
                    for some in flood.chunks(100) {
                        if to.write_all(&some.concat()).await.is_err() {
                            return;
                        }
                        tokio::time::sleep(Duration::from_millis(1)).await;
                    }
                };
                let mut sink = Vec::new();
                let ((), _) = tokio::join!(sending, from.read_to_end(&mut sink));
            });
        }
        before.during(&world, what, 64 * MIB).await;
        if ends {
            let all = async { while connections.join_next().await.is_some() {} };
            let cut = tokio::time::timeout(Duration::from_secs(20), all).await;
            cut.unwrap_or_else(|_| panic!("{what}: not cut"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_idle_connections_leave_room_for_a_client() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    let _ = setrlimit(Resource::Nofile, limit);
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    // Other tests need some too.
    let possible = usize::try_from(files.saturating_sub(4000)).unwrap().min(10_000);
    let world = world().await;
    let before = Beside::before(&world).await;
    let mut idle = Vec::new();
    for n in 0..possible {
        let mut stream = connect(&world).await;
        // Some have asked for something once.
        if n % 2 == 0 {
            let asked = b"GET /.dav123/health HTTP/1.1\r\nhost: x\r\n\r\n";
            stream.write_all(asked).await.unwrap();
        }
        idle.push(stream);
    }
    before
        .during(&world, &format!("{possible} connections"), 128 * MIB)
        .await;
}

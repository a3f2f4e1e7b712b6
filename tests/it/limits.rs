//! Clients that take and give nothing: many idle connections, heads that never end or are too large.

use std::process::Command;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::world::{Server, World, binary};

async fn world() -> World {
    World::account(|cloud| {
        cloud.add_file("/a.txt", "a");
    })
    .await
}

async fn connect(world: &World) -> TcpStream {
    TcpStream::connect(world.server.address()).await.unwrap()
}

/// Waits for the other side to close, however it does.
async fn closed(stream: &mut TcpStream) {
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
}

/// Sends one byte of a head every now and then.
async fn dribble(mut stream: TcpStream) {
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\nx: ")
        .await
        .unwrap();
    while stream.write_all(b"y").await.is_ok() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn where_all_places_are_taken_the_longest_idle_one_makes_room() {
    let mut world = world().await;
    world.server.kill();
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "ulimit -n 400; exec \"$0\" serve --config \"$1\" --log-level trace",
        ])
        .arg(binary())
        .arg(world.dir.path().join("dav.toml"));
    world.server = Server::spawn(command);
    let mut idle = Vec::new();
    for _ in 0..600 {
        idle.push(connect(&world).await);
    }
    assert_eq!(world.members("/drive").await, ["/drive/a.txt"]);
    let soon = Duration::from_secs(20);
    tokio::time::timeout(soon, closed(&mut idle[0]))
        .await
        .expect("the first is cut");
    // The last has its place still.
    let last = idle.last_mut().unwrap();
    last.write_all(b"GET /.dav123/health HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = [0; 12];
    tokio::time::timeout(soon, last.read_exact(&mut answer))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    assert!(
        !world.server.log().contains("could not be accepted"),
        "files were left"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_head_that_is_too_large_is_refused() {
    let world = world().await;
    for head in [
        format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "y".repeat(1 << 20)),
        format!("GET / HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(5000)),
        format!("GET /{} HTTP/1.1\r\nhost: x\r\n\r\n", "y".repeat(1 << 20)),
    ] {
        let mut stream = connect(&world).await;
        // The other side may close before it has all.
        let _ = stream.write_all(head.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_eq!(world.members("/drive").await, ["/drive/a.txt"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_or_never_ends_is_cut_after_half_a_minute() {
    let world = world().await;
    let begun = Instant::now();
    let said: [&[u8]; 5] = [
        b"",
        b"P",
        b"PRI * HTTP/2.0\r\n",
        b"GET / HTTP/1.1\r\nhost:",
        b"GET /.dav123/health HTTP/1.1\r\nhost: x\r\n\r\n",
    ];
    let waits = said.map(|said| {
        let stream = connect(&world);
        async move {
            let mut stream = stream.await;
            stream.write_all(said).await.unwrap();
            let wait = tokio::time::timeout(Duration::from_secs(90), closed(&mut stream));
            wait.await
                .unwrap_or_else(|_| panic!("{}", String::from_utf8_lossy(said)));
        }
    });
    let slow = tokio::spawn(dribble(connect(&world).await));
    futures_util::future::join_all(waits).await;
    slow.await.unwrap();
    assert!(begun.elapsed() > Duration::from_secs(20), "{:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_without_tls_is_understood() {
    let world = world().await;
    let client = reqwest::Client::builder()
        .no_proxy()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let answer = client.get(world.url("/.dav123/health")).send().await.unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(answer.text().await.unwrap().trim(), "ok");
}

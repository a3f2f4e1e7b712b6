//! The cloud goes away under load and comes back: nobody is told a lie, and everything goes on at once.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dav123::sim::{Cloud, Content, Fault, FaultKind};

use crate::world::{World, account, brief, hrefs, options};

/// How long the cloud is away.
const OUTAGE: Duration = Duration::from_secs(3);
/// How long until all is well again.
/// One to two seconds on a machine that does nothing else.
const RECOVERY: Duration = Duration::from_secs(8);
const FOLDERS: usize = 12;
const FILES: usize = 5;
const FILM: u64 = 6 << 20;
/// A film lasts longer than the outage.
const FILM_RATE: u64 = 1 << 20;

/// How the cloud is away.
#[derive(Clone, Copy, Debug)]
enum Away {
    /// Connections break and are refused.
    Refused,
    /// Every answer is a server error.
    Ill,
    /// No answer comes until it is back.
    Silent,
}

impl Away {
    fn begin(self, cloud: &Cloud) {
        match self {
            Away::Refused => cloud.vanish(),
            Away::Ill => cloud.fault(Fault::forever("*", FaultKind::Status(503, None))),
            Away::Silent => cloud.fault(Fault::forever(
                "*",
                FaultKind::Stall {
                    after: 0,
                    lasting: None,
                },
            )),
        }
    }

    async fn end(self, cloud: &Cloud) {
        match self {
            Away::Refused => cloud.come_back().await.unwrap(),
            Away::Ill | Away::Silent => cloud.clear_faults(),
        }
    }
}

/// What the load has seen.
#[derive(Default)]
struct Seen {
    good: AtomicU64,
    failed: AtomicU64,
    over: AtomicBool,
}

async fn world() -> World {
    let mut options = options();
    // An address that no other socket of this machine uses while the cloud is away.
    let [a, b] = fastrand::u16(..).to_be_bytes();
    options
        .listen
        .set_ip(Ipv4Addr::new(127, 77, a, b.clamp(1, 254)).into());
    options.settings.throttle = Some(FILM_RATE);
    let fill = |cloud: &Cloud| {
        for folder in 0..FOLDERS {
            for file in 0..FILES {
                cloud.add_file(
                    &format!("/{folder}/{file}.txt"),
                    format!("{folder} {file}").into_bytes(),
                );
            }
        }
        cloud.add_file("/unknown/1.txt", b"1".to_vec());
        cloud.add_file("/film.mkv", Content::Pattern { seed: 3, len: FILM });
    };
    // Listings are not remembered: each request asks.
    World::start_with(options, "[cache]\nlist_ttl = \"0s\"\n", fill, |cloud| {
        account(cloud, "/drive", "") + &account(cloud, "/proxied", "strategy = \"proxy\"")
    })
    .await
}

/// One request, and whether it went well; panics where it is told a lie.
async fn step(world: &World, n: usize) -> bool {
    let (folder, file) = (n % FOLDERS, n % FILES);
    let path = format!("/drive/{folder}");
    let what;
    let (status, body) = match n % 4 {
        0 | 1 => {
            what = format!("PROPFIND {path}");
            let (status, body) = world.propfind(&path, "1").await;
            if status == 207 && body.ends_with("</D:multistatus>") {
                let mut members = hrefs(&body);
                members.sort();
                let mut wanted: Vec<_> = (0..FILES).map(|file| format!("{path}/{file}.txt")).collect();
                wanted.push(format!("{path}/"));
                wanted.sort();
                assert_eq!(members, wanted);
                return true;
            }
            if status == 207 {
                // A listing that breaks off is seen to.
                return false;
            }
            (status, body)
        }
        2 => {
            let path = format!("/proxied/{folder}/{file}.txt");
            what = format!("GET {path}");
            let answer = world.get(&path).await;
            let status = answer.status().as_u16();
            match answer.text().await {
                Ok(text) if status == 200 => {
                    assert_eq!(text, format!("{folder} {file}"));
                    return true;
                }
                Ok(text) => (status, text),
                Err(_) => return false,
            }
        }
        _ => {
            let path = format!("{path}/{file}.txt");
            what = format!("HEAD {path}");
            let answer = world.request("HEAD", &path).send().await.unwrap();
            let status = answer.status().as_u16();
            if status == 200 {
                let length = format!("{folder} {file}").len().to_string();
                assert_eq!(answer.headers()["content-length"], length);
                return true;
            }
            (status, String::new())
        }
    };
    assert!(matches!(status, 502..=504), "{what}: {status} {}", brief(&body));
    false
}

async fn drill(away: Away) {
    let world = Arc::new(world().await);
    // Known before, so that all are under way when the cloud goes.
    assert!(step(&world, 0).await);
    let film = world.cloud.read("/film.mkv").unwrap();
    let players: Vec<_> = (0..4)
        .map(|_| {
            let world = world.clone();
            tokio::spawn(async move { world.get("/proxied/film.mkv").await.bytes().await })
        })
        .collect();
    let seen = Arc::new(Seen::default());
    let load: Vec<_> = (0..6)
        .map(|worker| {
            let (world, seen) = (world.clone(), seen.clone());
            tokio::spawn(async move {
                let mut n = worker * 7;
                while !seen.over.load(Ordering::Relaxed) {
                    n += 1;
                    let counter = if step(&world, n).await {
                        &seen.good
                    } else {
                        &seen.failed
                    };
                    counter.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(seen.good.load(Ordering::Relaxed) > 20, "there is load");
    assert_eq!(seen.failed.load(Ordering::Relaxed), 0);

    away.begin(&world.cloud);
    let begun = Instant::now();
    let unknown = tokio::spawn({
        let world = world.clone();
        async move { (world.propfind("/drive/unknown", "1").await, begun.elapsed()) }
    });
    tokio::time::sleep(OUTAGE).await;
    away.end(&world.cloud).await;
    let back = Instant::now();
    // What came as the faults were taken away may stand at its stall yet.
    let release = async {
        loop {
            world.cloud.release();
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let recovered = async {
        // All folders, twice in a row.
        let mut good = 0;
        let mut n = 0;
        while good < 2 * FOLDERS {
            n += 1;
            good = if step(&world, n).await { good + 1 } else { 0 };
        }
    };
    tokio::select! {
        () = recovered => {}
        () = release => {}
    }
    let took = back.elapsed();
    seen.over.store(true, Ordering::Relaxed);
    for worker in load {
        worker.await.unwrap();
    }
    for player in players {
        let bytes = player.await.unwrap();
        let bytes = bytes.unwrap_or_else(|error| panic!("{away:?}: a film broke off: {error}"));
        assert!(bytes == film, "{away:?}: other bytes than those of the film");
    }
    assert!(took < RECOVERY, "{away:?}: well again after {took:?}");
    // What was not known before is an honest error, or comes when the cloud is back.
    let ((status, body), took) = unknown.await.unwrap();
    match status {
        207 => assert!(
            took >= OUTAGE && hrefs(&body).len() == 2,
            "{away:?}: {took:?} {body}"
        ),
        _ => assert!(matches!(status, 502..=504), "{away:?}: {status} {}", brief(&body)),
    }
    assert_eq!(world.calls("sign_in"), 1, "{away:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_refuses_connections_is_survived() {
    drill(Away::Refused).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_answers_with_server_errors_is_survived() {
    drill(Away::Ill).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_that_is_silent_is_survived() {
    drill(Away::Silent).await;
}

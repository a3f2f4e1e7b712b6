//! Programs that ask a lot at once, before a cloud that counts every call that comes too early and bans after 20.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dav123::sim::{Cloud, Content};
use futures_util::{StreamExt, stream};

use crate::program::run;
use crate::world::{World, account, hrefs, options};

/// 700 ms at this rate are [`PACE`].
const RATE: u32 = 70;
const PACE: Duration = Duration::from_millis(10);
const FOLDERS: usize = 300;
const FILES: usize = 2000;
const PLAYERS: usize = 10;
const FILM: u64 = 4 << 20;

async fn world() -> World {
    let mut options = options();
    let settings = &mut options.settings;
    settings.pace_scale = 1.0 / f64::from(RATE);
    let interval = settings.intervals["list"];
    assert_eq!(interval / RATE, PACE);
    settings.intervals.insert("download_info", interval);
    settings.ban_after = Some(20);
    // In the long run the pace is exact; a busy machine delivers single calls late.
    settings.jitter = Some(Duration::from_millis(250));
    let fill = |cloud: &Cloud| {
        for file in 0..FILES {
            let path = format!("/scan/{}/{file}.mkv", file % FOLDERS);
            cloud.add_file(&path, format!("film {file}").into_bytes());
        }
        for player in 0..PLAYERS {
            let content = Content::Pattern {
                seed: player as u64,
                len: FILM,
            };
            cloud.add_file(&format!("/films/{player}.mkv"), content);
        }
    };
    World::start(options, fill, |cloud| {
        account(cloud, "/drive", "strategy = \"proxy\"").replace("rate = 100.0", &format!("rate = {RATE}.0"))
    })
    .await
}

/// Lists every folder and reads the beginning of every file, some at once.
async fn scan(world: &World) {
    let folders = stream::iter(0..FOLDERS).map(|folder| async move {
        let path = format!("/drive/scan/{folder}/");
        let (status, body) = world.propfind(&path, "1").await;
        assert_eq!(status, 207, "{body}");
        hrefs(&body)
            .into_iter()
            .filter(|href| href.ends_with(".mkv"))
            .collect::<Vec<_>>()
    });
    let files: Vec<String> = folders.buffer_unordered(4).concat().await;
    assert_eq!(files.len(), FILES);
    let reads = stream::iter(files).map(|path| async move {
        let answer = world.request("GET", &path).header("range", "bytes=0-65535");
        let answer = answer.send().await.unwrap();
        assert_eq!(answer.status(), 206, "{path}");
        let number = path.rsplit('/').next().unwrap().trim_end_matches(".mkv");
        assert_eq!(answer.text().await.unwrap(), format!("film {number}"));
    });
    reads.buffer_unordered(8).collect::<()>().await;
}

/// Reads the beginning of a film, its end, and its middle.
async fn play(world: &World, player: usize) {
    let path = format!("/drive/films/{player}.mkv");
    let film = world.cloud.read(&path["/drive".len()..]).unwrap();
    for (from, to) in [
        (0, 1 << 20),
        (FILM - 65_536, FILM),
        (FILM / 2, FILM / 2 + (1 << 20)),
    ] {
        let answer = world
            .request("GET", &path)
            .header("range", format!("bytes={from}-{}", to - 1))
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 206, "{path}");
        let bytes = answer.bytes().await.unwrap();
        assert!(bytes == film[from as usize..to as usize], "{path} from {from}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rclone"]
async fn rclone_a_scan_and_ten_players_at_once_end_complete_without_a_call_too_early() {
    let world = Arc::new(world().await);
    let begun = Instant::now();
    let rclone = {
        let mut arguments: Vec<String> = ["lsf", "-R", "--transfers=16", "--checkers=16", ":webdav:"]
            .map(str::to_owned)
            .into();
        arguments.extend(crate::rclone::remote(&world, "drive", "owncloud"));
        tokio::task::spawn_blocking(move || {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            run("rclone", &arguments)
        })
    };
    let players: Vec<_> = (0..PLAYERS)
        .map(|player| {
            let world = world.clone();
            tokio::spawn(async move { play(&world, player).await })
        })
        .collect();
    scan(&world).await;
    let took = begun.elapsed();
    for player in players {
        player.await.unwrap();
    }
    let listed = rclone.await.unwrap();
    let files = listed.lines().filter(|line| line.ends_with(".mkv")).count();
    assert_eq!(files, FILES + PLAYERS);
    assert_eq!(
        listed.lines().filter(|line| line.ends_with('/')).count(),
        FOLDERS + 2
    );

    let calls = world.cloud.counters().all();
    assert_eq!(world.cloud.violations(), 0, "{calls:?}");
    // Three pages of 100 folders, and two folders more.
    assert_eq!(calls["list"], FOLDERS as u64 + 5, "each folder once for all");
    assert_eq!(
        calls["download_info"],
        (FILES + PLAYERS) as u64,
        "each link once for all"
    );
    assert_eq!(calls["sign_in"], 1);
    // Lists come before links, as the scan does it.
    let least = PACE * u32::try_from(FOLDERS + FILES).unwrap();
    println!("{took:?} for {least:?}");
    assert!(took >= least.mul_f64(0.95), "{took:?}: too fast");
    let most = least.mul_f64(1.05) + Duration::from_secs(1);
    let busy = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load: f64 = busy
        .split(' ')
        .next()
        .and_then(|load| load.parse().ok())
        .unwrap_or(0.0);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    // A machine that others use too is given time.
    let most = if load > cores as f64 { most * 4 } else { most };
    assert!(took <= most, "{took:?} at a load of {load}: too slow");
}

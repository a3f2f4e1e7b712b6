//! Running a program to its end, and the world it meets.

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use dav123::sim::{Cloud, Content};

use crate::world::kind::Kind;
use crate::world::{World, options};

/// Length of the large file.
pub const BIG: u64 = 40 << 20;

/// A cloud with a small tree and a film, and a server with the account under each strategy: `/redirect`, `/proxy`, `/auto`.
pub async fn world() -> World {
    world_of(Kind::Account).await
}

/// The same with mounts of a kind.
pub async fn world_of(kind: Kind) -> World {
    World::start(options(), fill, |cloud| {
        ["redirect", "proxy", "auto"]
            .map(|strategy| {
                kind.mount(
                    cloud,
                    &format!("/{strategy}"),
                    &format!("strategy = \"{strategy}\""),
                )
            })
            .concat()
    })
    .await
}

/// Names that clients stumble over.
pub const ODD: [&str; 8] = [
    "with space.txt",
    "hash #1.txt",
    "100% sure.txt",
    "a+b & c.txt",
    "it's [here].txt",
    "emoji 🎬.txt",
    "中文文件.txt",
    "semi;colon=equals.txt",
];

fn fill(cloud: &Cloud) {
    for n in 0..200 {
        cloud.add_file(
            &format!("/tree/{}/{n}.txt", n % 7),
            format!("file {n}\n").into_bytes(),
        );
    }
    for name in ODD {
        cloud.add_file(
            &format!("/tree/怪名字/{name}"),
            format!("I am {name}\n").into_bytes(),
        );
    }
    cloud.add_file("/tree/empty.txt", "");
    cloud.add_file("/tree/big.bin", Content::Pattern { seed: 7, len: BIG });
    cloud.add_file(
        "/film/clip.mp4",
        include_bytes!("../../src/sim/media/clip.mp4").to_vec(),
    );
}

/// Runs a program, at most a minute; panics with what it said if it fails.
pub fn run(program: &str, arguments: &[&str]) -> String {
    let output = attempt(program, arguments, &[]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{program} {arguments:?}: {}\n{text}\n{errors}",
        output.status
    );
    text
}

/// Runs a program, at most a minute, with something on its standard input.
pub fn attempt(program: &str, arguments: &[&str], input: &[u8]) -> Output {
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{program}: {error}; tests/run installs it"));
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), input).unwrap();
    let pid = child.id();
    let (done, ended) = std::sync::mpsc::channel::<()>();
    let watch = std::thread::spawn(move || {
        if ended.recv_timeout(Duration::from_secs(60)).is_err() {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).status();
        }
    });
    let output = child.wait_with_output().unwrap();
    let _ = done.send(());
    watch.join().unwrap();
    output
}

/// Unmounts a folder when dropped.
pub struct Mounted<'a>(pub &'a Path);

impl Drop for Mounted<'_> {
    fn drop(&mut self) {
        let begun = Instant::now();
        while begun.elapsed() < Duration::from_secs(20) {
            if Command::new("umount")
                .arg(self.0)
                .status()
                .is_ok_and(|status| status.success())
            {
                return;
            }
            std::thread::sleep(Duration::from_millis(200));
        }
        let _ = Command::new("umount").arg("-l").arg(self.0).status();
    }
}

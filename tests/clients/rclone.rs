//! rclone's webdav remote.

use std::path::Path;

use crate::program::{BIG, Mounted, ODD, attempt, run, world_of};
use crate::world::{PASSWORD, USER, World, eventually};

/// The flags that make `:webdav:` our server.
pub fn remote(world: &World, mount: &str, vendor: &str) -> Vec<String> {
    let hidden = run("rclone", &["obscure", PASSWORD]);
    vec![
        format!("--webdav-url={}{mount}", world.server.url),
        format!("--webdav-vendor={vendor}"),
        format!("--webdav-user={USER}"),
        format!("--webdav-pass={}", hidden.trim()),
        "--config=/dev/null".into(),
        "--retries=1".into(),
    ]
}

fn rclone(world: &World, mount: &str, arguments: &[&str]) -> String {
    let flags = remote(world, mount, "owncloud");
    let all: Vec<&str> = arguments
        .iter()
        .copied()
        .chain(flags.iter().map(String::as_str))
        .collect();
    run("rclone", &all)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rclone"]
async fn rclone_lists_reads_and_seeks_under_every_strategy() {
    let world = world_of(super::KIND).await;
    for mount in ["redirect", "proxy", "auto"] {
        let listed = rclone(&world, mount, &["lsf", "-R", ":webdav:"]);
        assert_eq!(
            listed.lines().filter(|line| line.ends_with(".txt")).count(),
            200 + ODD.len() + 1,
            "{mount}"
        );
        for name in ODD {
            assert!(listed.contains(&format!("tree/怪名字/{name}")), "{name}");
            let text = rclone(&world, mount, &["cat", &format!(":webdav:tree/怪名字/{name}")]);
            assert_eq!(text, format!("I am {name}\n"), "{mount}");
        }
        let part = rclone(
            &world,
            mount,
            &["cat", "--offset=6", "--count=3", ":webdav:tree/1/1.txt"],
        );
        assert_eq!(part, "\n");
    }
    assert_eq!(world.calls("leaked_authorization"), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rclone"]
async fn rclone_copies_a_tree_down_and_finds_it_equal_by_md5() {
    let world = world_of(super::KIND).await;
    for mount in ["redirect", "proxy"] {
        let here = tempfile::TempDir::new().unwrap();
        let to = here.path().to_str().unwrap();
        rclone(&world, mount, &["copy", ":webdav:tree", to]);
        assert_eq!(std::fs::metadata(here.path().join("big.bin")).unwrap().len(), BIG);
        let flags = remote(&world, mount, "owncloud");
        let mut arguments = vec!["check", ":webdav:tree", to];
        arguments.extend(flags.iter().map(String::as_str));
        let output = attempt("rclone", &arguments, b"");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.contains(" 0 differences found"),
            "{said}"
        );
        assert!(!said.contains("hashes could not be checked"), "{said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rclone"]
async fn rclone_about_shows_the_quota() {
    let world = world_of(super::KIND).await;
    let about = rclone(&world, "redirect", &["about", ":webdav:"]);
    assert!(about.contains("Free:") && about.contains("Used:"), "{about}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rclone, fusermount3"]
async fn rclone_mount_reads_files_at_random_places() {
    let world = world_of(super::KIND).await;
    for mount in ["redirect", "proxy"] {
        let at = tempfile::TempDir::new().unwrap();
        let flags = remote(&world, mount, "owncloud");
        let mut child = std::process::Command::new("rclone")
            .args(["mount", ":webdav:tree"])
            .arg(at.path())
            .args(&flags)
            .args(["--read-only", "--dir-cache-time=1s"])
            .spawn()
            .unwrap();
        let mounted = Mounted(at.path());
        eventually("the mount is there", || at.path().join("big.bin").exists()).await;
        assert_eq!(std::fs::read(at.path().join("3/3.txt")).unwrap(), b"file 3\n");
        let bytes = read_at(&at.path().join("big.bin"), BIG - 1000, 1000);
        assert_eq!(bytes, expected(&world, BIG - 1000, 1000).await);
        let bytes = read_at(&at.path().join("big.bin"), 12_345_678, 70_000);
        assert_eq!(bytes, expected(&world, 12_345_678, 70_000).await);
        drop(mounted);
        let _ = child.kill();
        let _ = child.wait();
    }
}

fn read_at(path: &Path, offset: u64, length: usize) -> Vec<u8> {
    use std::io::{Read, Seek, SeekFrom};
    let mut file = std::fs::File::open(path).unwrap();
    file.seek(SeekFrom::Start(offset)).unwrap();
    let mut bytes = vec![0; length];
    file.read_exact(&mut bytes).unwrap();
    bytes
}

async fn expected(world: &World, offset: u64, length: u64) -> Vec<u8> {
    let whole = world.cloud.read("/tree/big.bin").unwrap();
    whole[offset as usize..(offset + length) as usize].to_vec()
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rclone"]
async fn rclone_follows_the_302_to_another_dav123() {
    let pair = crate::world::pair::Pair::of(super::KIND, |cloud| {
        cloud.add_file("/a.txt", "through two servers\n");
    })
    .await;
    let text = rclone(&pair.world, "drive", &["cat", ":webdav:a.txt"]);
    assert_eq!(text, "through two servers\n");
    let part = ["cat", "--offset=8", "--count=3", ":webdav:a.txt"];
    assert_eq!(rclone(&pair.world, "drive", &part), "two");
    let here = tempfile::TempDir::new().unwrap();
    let to = here.path().to_str().unwrap();
    rclone(&pair.world, "drive", &["copy", ":webdav:", to]);
    let film = std::fs::read(here.path().join("电影/a b.mkv")).unwrap();
    assert!(film == crate::world::pair::FILM.read(0, u64::MAX));
    eventually("the proxy has served it", || {
        pair.proxy.log().contains("status=200")
    })
    .await;
    assert_eq!(pair.world.calls("leaked_authorization"), 0);
}

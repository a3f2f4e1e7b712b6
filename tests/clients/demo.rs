//! The demonstration, as a newcomer meets it.

use std::process::Command;

use std::time::{Duration, Instant};

use crate::program::run;
use crate::world::{Server, binary};

#[test]
#[ignore = "needs rclone"]
fn the_demo_prints_what_rclone_needs() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut command = Command::new(binary());
    command
        .args(["demo", "--listen", "127.0.0.1:0", "--dir"])
        .arg(dir.path());
    let server = Server::spawn(command);
    let password = std::fs::read_to_string(dir.path().join("demo-password")).unwrap();
    let hidden = run("rclone", &["obscure", password.trim()]);
    let list = |path: &str| {
        let url = format!("--webdav-url={}{path}", server.url);
        let pass = format!("--webdav-pass={}", hidden.trim());
        run(
            "rclone",
            &[
                "lsf",
                ":webdav:",
                &url,
                "--webdav-vendor=owncloud",
                "--webdav-user=demo",
                &pass,
                "--config=/dev/null",
            ],
        )
    };
    let root = list("");
    for mount in ["drive/", "drive-proxy/", "shared/", "links/"] {
        assert!(root.lines().any(|line| line == mount), "{root}");
    }
    for mount in root.lines() {
        assert!(!list(mount).is_empty(), "{mount} is empty: {}", server.log());
    }
    assert_eq!(list("drive/许多文件").lines().count(), 1200);
}

/// The demonstration under TLS, and what it printed.
fn under_tls(dir: &std::path::Path) -> (Server, String) {
    let mut command = Command::new(binary());
    command
        .args(["demo", "--tls", "--listen", "127.0.0.1:0", "--dir"])
        .arg(dir);
    let server = Server::spawn(command);
    let begun = Instant::now();
    // The line for davfs2 is the last.
    while !server.printed().contains("mount -t davfs") {
        assert!(begun.elapsed() < Duration::from_secs(20), "{}", server.printed());
        std::thread::sleep(Duration::from_millis(10));
    }
    let printed = server.printed();
    (server, printed)
}

/// A printed command, run by a shell in a folder, with more arguments.
fn pasted(printed: &str, begin: &str, more: &str, dir: &std::path::Path) -> String {
    let line = printed.lines().find(|line| line.trim().starts_with(begin));
    let line = line.unwrap_or_else(|| panic!("{begin}: {printed}"));
    let output = Command::new("sh")
        .args(["-ec", &format!("{line} {more}")])
        .current_dir(dir)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{line} {more}: {said} {error}");
    said
}

#[test]
#[ignore = "needs curl"]
fn under_tls_the_printed_curl_commands_work_as_they_stand() {
    // A blank in the path: the commands must quote it.
    let parent = tempfile::TempDir::new().unwrap();
    let dir = parent.path().join("a demo");
    let (server, printed) = under_tls(&dir);
    let show = "-sS -o listing -w '%{http_code} %{http_version}'";
    for (how, version) in [
        ("--http1.1 --tls-max 1.2", "1.1"),
        ("--http2 --tls-max 1.2", "2"),
        ("--http1.1 --tlsv1.3", "1.1"),
        ("--http2 --tlsv1.3", "2"),
    ] {
        // The first line of curl is the PROPFIND.
        let said = pasted(&printed, "curl --cacert", &format!("{how} {show}"), parent.path());
        assert_eq!(said, format!("207 {version}"), "{how}: {}", server.log());
    }
    let refused = run(
        "sh",
        &[
            "-c",
            &format!("curl -sS {} 2>/dev/null || echo refused", server.url),
        ],
    );
    assert_eq!(refused.trim(), "refused", "without the certificate");
    let film = printed.lines().find(|line| line.contains(" -L ")).unwrap();
    pasted(&printed, film.trim(), "-sS", parent.path());
    // The name as the URL has it, percent-encoded or not.
    let saved = std::fs::read_dir(parent.path())
        .unwrap()
        .map(|entry| entry.unwrap());
    let film = saved.map(|entry| entry.metadata().unwrap().len()).max().unwrap();
    assert!(film > 100_000, "{film}");
}

#[test]
#[ignore = "needs rclone"]
fn under_tls_the_printed_rclone_command_works_as_it_stands() {
    let dir = tempfile::TempDir::new().unwrap();
    let (_server, printed) = under_tls(dir.path());
    let listed = pasted(&printed, "rclone lsf", "--config=/dev/null", dir.path());
    assert!(listed.lines().any(|line| line == "drive-proxy/"), "{listed}");
}

#[test]
#[ignore = "needs mount.davfs"]
fn under_tls_the_printed_davfs2_command_mounts() {
    let dir = tempfile::TempDir::new().unwrap();
    let (_server, printed) = under_tls(dir.path());
    let line = printed
        .lines()
        .find(|line| line.contains("mount -t davfs"))
        .unwrap();
    let point = dir.path().join("mnt");
    std::fs::create_dir(&point).unwrap();
    let point = point.to_str().unwrap();
    // Who runs the tests of davfs2 may mount.
    let line = line.replace("sudo ", "").replace("/mnt", point);
    run("sh", &["-ec", &line]);
    // Not by read_dir: see the test of davfs2 in mounts.rs.
    let there = std::path::Path::new(point).join("电影").is_dir();
    run("umount", &[point]);
    assert!(there);
}

//! The demonstration, as a newcomer meets it.

use std::process::Command;

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

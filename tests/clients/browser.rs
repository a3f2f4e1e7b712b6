//! A browser opens a folder.

use crate::program::{attempt, world};
use crate::world::{PASSWORD, USER};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs chromium"]
async fn a_browser_shows_the_folder_as_a_page() {
    let world = world().await;
    let profile = tempfile::TempDir::new().unwrap();
    let url = world
        .url("/redirect/tree/怪名字/")
        .replace("http://", &format!("http://{USER}:{PASSWORD}@"));
    let profile = format!("--user-data-dir={}", profile.path().display());
    let arguments = [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        &profile,
        "--dump-dom",
        &url,
    ];
    let output = attempt("chromium", &arguments, b"");
    let page = String::from_utf8_lossy(&output.stdout);
    for shown in [
        "hash #1.txt",
        "a+b &amp; c.txt",
        "emoji 🎬.txt",
        "href=\"hash%20%231.txt\"",
    ] {
        assert!(page.contains(shown), "{shown} is not in {page}");
    }
}

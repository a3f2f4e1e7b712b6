//! What programs that do not run here were seen to send, played back.

use dav123::sim::{Cloud, Content};

use crate::replay::play;
use crate::world::{World, account, options};

/// An account that redirects, streamed to Explorer and Finder as the README advises.
async fn world(entries: usize) -> World {
    let rule = |agent: &str| format!("[[mount.client]]\nuser_agent = \"{agent}*\"\nstrategy = \"proxy\"\n");
    let rules = rule("Microsoft-WebDAV-MiniRedir") + &rule("WebDAVFS/");
    World::start(
        options(),
        |cloud| fill(cloud, entries),
        |cloud| account(cloud, "/drive", &rules),
    )
    .await
}

fn fill(cloud: &Cloud, entries: usize) {
    for n in 0..entries {
        let name = format!("A film with a rather long name, as films have {n:04} (2026) [1080p].mkv");
        cloud.add_file(&format!("/folder/{name}"), "movie");
    }
    cloud.add_file("/notes.txt", "twelve bytes");
    cloud.add_file("/über.txt", "four");
    cloud.add_file(
        "/film.mkv",
        Content::Pattern {
            seed: 3,
            len: 3_000_000,
        },
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn explorer_connects_browses_a_folder_of_1000_entries_and_opens_a_file() {
    let world = world(1000).await;
    play(&world, include_str!("../requests/explorer-browse.http"));
}

#[tokio::test(flavor = "multi_thread")]
async fn explorer_saves_renames_and_deletes() {
    play(&world(0).await, include_str!("../requests/explorer-save.http"));
}

/// Over plain HTTP Explorer signs in by Digest alone (webdav-clients W7). It takes up the challenge of its first PROPFIND.
#[tokio::test(flavor = "multi_thread")]
async fn explorer_does_the_same_by_digest() {
    let by_digest = |script: &str| {
        let script = script
            .replace("Basic {domain_auth}", "Digest {domain_digest}")
            .replace("Basic {auth}", "Digest {digest}");
        assert!(!script.contains("Authorization: Basic"));
        script
    };
    let browse = by_digest(include_str!("../requests/explorer-browse.http"));
    play(&world(1000).await, &browse);
    let (asked, _) = browse.split_once("### The name may come").unwrap();
    let (_, asked) = asked.split_once("### ").unwrap();
    let save = by_digest(include_str!("../requests/explorer-save.http"));
    play(&world(0).await, &format!("### {asked}{save}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn finder_mounts_browses_and_reads() {
    let world = world(3).await;
    play(&world, include_str!("../requests/finder-browse.http"));
}

#[tokio::test(flavor = "multi_thread")]
async fn finder_saves_and_removes() {
    play(&world(0).await, include_str!("../requests/finder-save.http"));
}

#[tokio::test(flavor = "multi_thread")]
async fn kodi_browses_and_plays_by_a_302() {
    play(&world(3).await, include_str!("../requests/kodi-browse.http"));
}

#[tokio::test(flavor = "multi_thread")]
async fn infuse_scans_a_folder_and_reads_head_and_tail_of_a_film() {
    play(&world(3).await, include_str!("../requests/infuse-scan.http"));
}

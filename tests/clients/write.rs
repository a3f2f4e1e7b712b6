//! Clients that write: litmus, rclone, davfs2, cadaver.

use dav123::sim::Cloud;

use super::KIND;
use crate::program::{Mounted, attempt, run};
use crate::world::kind::Kind;
use crate::world::{PASSWORD, USER, World, options};

/// A file of many parts; fewer for the second kind, whose test is about the kind.
const BIG: usize = match KIND {
    Kind::Account => 300 << 20,
    Kind::Open => 40 << 20,
};

/// A server that streams, in an upload mode.
async fn world(mode: &str, fill: impl FnOnce(&Cloud)) -> World {
    let sections = format!("[upload]\nmode = \"{mode}\"\n");
    World::start_with(options(), &sections, fill, |cloud| {
        KIND.mount(cloud, "/drive", "strategy = \"proxy\"")
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs litmus"]
async fn litmus_passes_in_both_upload_modes() {
    for mode in ["through", "back"] {
        let world = world(mode, |_| {}).await;
        let url = world.url("/drive/");
        // It leaves its logs where it is started.
        let here = tempfile::TempDir::new().unwrap();
        let command = format!(
            "cd {} && litmus -k {url} {USER} {PASSWORD}",
            here.path().display()
        );
        let output = attempt("sh", &["-c", &command], b"");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!(said.matches(" 0 failed. 100.0%").count(), 5, "{mode}: {said}");
        // DELETE with a fragment: hyper drops it from the target before anybody sees it.
        let warnings = said.matches("WARNING").count();
        assert!(
            warnings <= 1 && (warnings == 0 || said.contains("delete_fragment")),
            "{said}"
        );
    }
}

fn rclone(world: &World, arguments: &[&str]) -> String {
    let url = format!("--webdav-url={}drive", world.server.url);
    let pass = format!("--webdav-pass={}", run("rclone", &["obscure", PASSWORD]).trim());
    let user = format!("--webdav-user={USER}");
    let common = [
        &url,
        "--webdav-vendor=owncloud",
        &user,
        &pass,
        "--config=/dev/null",
        "-v",
        "--stats=0",
    ];
    let output = attempt("rclone", &[arguments, &common].concat(), b"");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "rclone {arguments:?}: {said}");
    format!("{}{said}", String::from_utf8_lossy(&output.stdout))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rclone"]
async fn rclone_syncs_a_tree_up_and_finds_nothing_to_do_the_second_time() {
    for mode in ["through", "back"] {
        let world = world(mode, |_| {}).await;
        let here = tempfile::TempDir::new().unwrap();
        for n in 0..200 {
            let folder = here.path().join(format!("{}", n % 5));
            std::fs::create_dir_all(&folder).unwrap();
            std::fs::write(folder.join(format!("{n} 文件 #+%.txt")), format!("file {n}")).unwrap();
        }
        std::fs::write(here.path().join("empty.txt"), "").unwrap();
        std::fs::write(here.path().join("big.bin"), vec![7; BIG]).unwrap();
        let from = here.path().to_str().unwrap();
        rclone(&world, &["sync", from, ":webdav:tree"]);
        let again = rclone(&world, &["sync", from, ":webdav:tree"]);
        assert!(!again.contains("Copied"), "{mode}: {again}");
        let checked = rclone(&world, &["check", from, ":webdav:tree"]);
        assert!(checked.contains(" 0 differences found"), "{checked}");
        assert!(!checked.contains("hashes could not be checked"), "{checked}");
        rclone(
            &world,
            &["moveto", ":webdav:tree/big.bin", ":webdav:moved/大文件.bin"],
        );
        rclone(
            &world,
            &["copyto", ":webdav:moved/大文件.bin", ":webdav:tree/copy.bin"],
        );
        rclone(&world, &["mkdir", ":webdav:tree/new"]);
        rclone(&world, &["rmdir", ":webdav:tree/new"]);
        rclone(&world, &["purge", ":webdav:tree/3"]);
        let listed = rclone(&world, &["lsf", ":webdav:tree"]);
        assert!(
            listed.contains("copy.bin") && !listed.contains("3/") && !listed.contains("big.bin"),
            "{listed}"
        );
        crate::world::eventually("all has reached the cloud", || {
            world
                .cloud
                .stat("/moved/大文件.bin")
                .is_some_and(|(size, _)| size == BIG as u64)
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs rclone, fusermount3"]
async fn rclone_mount_writes_through_its_cache() {
    let world = world("through", |cloud| {
        cloud.add_file("/f/old.txt", "old\n");
    })
    .await;
    let at = tempfile::TempDir::new().unwrap();
    let cache = tempfile::TempDir::new().unwrap();
    let mut child = std::process::Command::new("rclone")
        .args(["mount", ":webdav:f"])
        .arg(at.path())
        .args([
            "--vfs-cache-mode=writes",
            "--vfs-write-back=0s",
            "--webdav-vendor=owncloud",
            "--config=/dev/null",
        ])
        .arg(format!("--cache-dir={}", cache.path().display()))
        .arg(format!("--webdav-url={}drive", world.server.url))
        .arg(format!("--webdav-user={USER}"))
        .arg(format!(
            "--webdav-pass={}",
            run("rclone", &["obscure", PASSWORD]).trim()
        ))
        .spawn()
        .unwrap();
    let mounted = Mounted(at.path());
    crate::world::eventually("the mount is there", || at.path().join("old.txt").exists()).await;
    std::fs::write(at.path().join("new.txt"), "new\n").unwrap();
    std::fs::write(at.path().join("old.txt"), "changed\n").unwrap();
    std::fs::create_dir(at.path().join("folder")).unwrap();
    let there = |path: &str, text: &[u8]| world.cloud.read(path).is_some_and(|bytes| bytes == text);
    crate::world::eventually("the new file arrives", || there("/f/new.txt", b"new\n")).await;
    crate::world::eventually("the change arrives", || there("/f/old.txt", b"changed\n")).await;
    std::fs::rename(at.path().join("new.txt"), at.path().join("folder/moved.txt")).unwrap();
    crate::world::eventually("the move arrives", || there("/f/folder/moved.txt", b"new\n")).await;
    std::fs::remove_file(at.path().join("old.txt")).unwrap();
    crate::world::eventually("the delete arrives", || world.cloud.id("/f/old.txt").is_none()).await;
    drop(mounted);
    let _ = child.kill();
    let _ = child.wait();
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mount.davfs"]
async fn davfs2_edits_renames_and_deletes() {
    let world = world("through", |cloud| {
        cloud.add_file("/f/note.txt", "one\n");
    })
    .await;
    let at = tempfile::TempDir::new().unwrap();
    let cache = tempfile::TempDir::new().unwrap();
    let anybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(cache.path(), anybody).unwrap();
    let config = cache.path().join("davfs2.conf");
    let text = format!(
        "cache_dir {}\nuse_locks 1\nask_auth 1\ndelay_upload 0\n",
        cache.path().display()
    );
    std::fs::write(&config, text).unwrap();
    let options = format!("conf={}", config.display());
    let url = world.url("/drive/");
    let typed = format!("{USER}\n{PASSWORD}\n");
    let output = attempt(
        "mount",
        &["-t", "davfs", "-o", &options, &url, at.path().to_str().unwrap()],
        typed.as_bytes(),
    );
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mounted = Mounted(at.path());
    let note = at.path().join("f/note.txt");
    assert_eq!(std::fs::read(&note).unwrap(), b"one\n");
    std::fs::write(&note, "two\n").unwrap();
    std::fs::write(at.path().join("f/new.txt"), "new\n").unwrap();
    let there = |path: &str, text: &[u8]| world.cloud.read(path).is_some_and(|bytes| bytes == text);
    crate::world::eventually("the edit arrives", || there("/f/note.txt", b"two\n")).await;
    crate::world::eventually("the new file arrives", || there("/f/new.txt", b"new\n")).await;
    std::fs::rename(at.path().join("f/new.txt"), at.path().join("f/renamed.txt")).unwrap();
    crate::world::eventually("the rename arrives", || there("/f/renamed.txt", b"new\n")).await;
    std::fs::remove_file(at.path().join("f/renamed.txt")).unwrap();
    crate::world::eventually("the delete arrives", || {
        world.cloud.id("/f/renamed.txt").is_none()
    })
    .await;
    drop(mounted);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs cadaver"]
async fn cadaver_puts_locks_and_sets_properties() {
    let world = world("through", |_| {}).await;
    let home = tempfile::TempDir::new().unwrap();
    let address = world.server.address();
    let host = address.split(':').next().unwrap();
    std::fs::write(
        home.path().join(".netrc"),
        format!("machine {host}\nlogin {USER}\npassword {PASSWORD}\n"),
    )
    .unwrap();
    let file = home.path().join("here.txt");
    std::fs::write(&file, "from cadaver\n").unwrap();
    let script = format!(
        "mkcol made\ncd made\nput {} there.txt\nlock there.txt\npropset there.txt color blue\npropget there.txt color\n\
         unlock there.txt\nmove there.txt moved.txt\nquit\n",
        file.display()
    );
    let command = format!("HOME={} cadaver {}", home.path().display(), world.url("/drive/"));
    let output = attempt("sh", &["-c", &command], script.as_bytes());
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains("blue"), "{said}");
    assert_eq!(
        world.cloud.read("/made/moved.txt").unwrap(),
        b"from cadaver\n",
        "{said}"
    );
}

//! davfs2 and cadaver: neither follows redirects.

use crate::program::{BIG, Mounted, attempt, world_of};
use crate::world::{PASSWORD, USER};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mount.davfs"]
async fn davfs2_mounts_finds_and_reads() {
    let world = world_of(super::KIND).await;
    for mount in ["proxy", "auto"] {
        let at = tempfile::TempDir::new().unwrap();
        let cache = tempfile::TempDir::new().unwrap();
        // mount.davfs gives up its rights before it uses the folder.
        let anybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(cache.path(), anybody).unwrap();
        let config = cache.path().join("davfs2.conf");
        let (cached, conf) = (cache.path().display(), config.to_str().unwrap().to_owned());
        std::fs::write(&config, format!("cache_dir {cached}\nuse_locks 0\nask_auth 1\n")).unwrap();
        let url = world.url(&format!("/{mount}/"));
        let options = format!("conf={conf},ro");
        let typed = format!("{USER}\n{PASSWORD}\n");
        let arguments = ["-t", "davfs", "-o", &options, &url, at.path().to_str().unwrap()];
        let output = attempt("mount", &arguments, typed.as_bytes());
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let mounted = Mounted(at.path());
        // Not by read_dir: davfs2 1.6.1 answers EINVAL to it under Linux 6.18, whatever the server is.
        assert!(at.path().join("tree/3").is_dir() && !at.path().join("tree/3/4.txt").exists());
        assert_eq!(
            std::fs::read(at.path().join("tree/3/3.txt")).unwrap(),
            b"file 3\n"
        );
        assert_eq!(
            std::fs::read(at.path().join("tree/怪名字/hash #1.txt")).unwrap(),
            b"I am hash #1.txt\n"
        );
        let big = std::fs::read(at.path().join("tree/big.bin")).unwrap();
        assert_eq!(big.len() as u64, BIG);
        assert!(big == world.cloud.read("/tree/big.bin").unwrap());
        drop(mounted);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs cadaver"]
async fn cadaver_lists_and_gets() {
    let world = world_of(super::KIND).await;
    let home = tempfile::TempDir::new().unwrap();
    let address = world.server.address();
    let host = address.split(':').next().unwrap();
    let netrc = format!("machine {host}\nlogin {USER}\npassword {PASSWORD}\n");
    std::fs::write(home.path().join(".netrc"), netrc).unwrap();
    let out = home.path().join("got.txt");
    let script = format!("ls\ncd tree/3\nls\nget 3.txt {}\nquit\n", out.display());
    for mount in ["proxy", "auto"] {
        let url = world.url(&format!("/{mount}/"));
        let command = format!("HOME={} cadaver {url}", home.path().display());
        let output = attempt("sh", &["-c", &command], script.as_bytes());
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(said.contains("tree") && said.contains("10.txt"), "{said}");
        assert_eq!(std::fs::read(&out).unwrap(), b"file 3\n", "{said}");
        std::fs::remove_file(&out).unwrap();
    }
}

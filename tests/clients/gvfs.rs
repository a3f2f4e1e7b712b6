//! GNOME's gvfs, as Files uses it: `gio mount` of a `dav://` address in a D-Bus session of its own, `gio cat`, and
//! jumps in the mounted file.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::film::{Cinema, Group, SHORT_LIFE, WAYS};
use crate::program::Mounted;
use crate::world::{PASSWORD, USER, eventually};

/// Mounts, says where the bus is, and stays until its input ends.
const SESSION: &str = r#"
/usr/libexec/gvfsd-fuse "$FUSE" -f >&2 &
printf '%s\n%s\n' "$NAME" "$WORD" | gio mount "$ADDRESS" >&2 || exit 1
echo "$DBUS_SESSION_BUS_ADDRESS"
cat
"#;

struct Session {
    bus: String,
    address: String,
    fuse: PathBuf,
    dir: TempDir,
    _group: Group,
}

impl Session {
    async fn mount(cinema: &Cinema) -> Self {
        let dir = TempDir::new().unwrap();
        let fuse = dir.path().join("fuse");
        std::fs::create_dir(&fuse).unwrap();
        let address = cinema.world.server.url.replace("http://", "dav://");
        let mut command = Command::new("dbus-run-session");
        command
            .args(["--", "sh", "-c", SESSION])
            .env("HOME", dir.path())
            .env("XDG_RUNTIME_DIR", dir.path())
            .env("FUSE", &fuse)
            .env("ADDRESS", &address)
            .env("NAME", USER)
            .env("WORD", PASSWORD)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut group = Group::spawn(&mut command);
        let mut bus = String::new();
        let said = group.child().stdout.take().unwrap();
        BufReader::new(said).read_line(&mut bus).unwrap();
        assert!(bus.starts_with("unix:"), "gio mount failed: {bus}");
        let found = || std::fs::read_dir(&fuse).ok()?.filter_map(Result::ok).next();
        eventually("the mount is shown", || found().is_some()).await;
        let shown = found().unwrap().path();
        Self {
            bus: bus.trim().to_owned(),
            address,
            fuse: shown,
            dir,
            _group: group,
        }
    }

    /// `gio cat`.
    fn cat(&self, path: &str) -> Vec<u8> {
        let output = Command::new("gio")
            .args(["cat", &format!("{}{path}", self.address)])
            .env("HOME", self.dir.path())
            .env("XDG_RUNTIME_DIR", self.dir.path())
            .env("DBUS_SESSION_BUS_ADDRESS", &self.bus)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        output.stdout
    }
}

fn part(file: &mut File, from: u64, length: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    file.seek(SeekFrom::Start(from))?;
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Reads the beginning, waits, then reads near the end and in the middle.
fn jump(path: &Path, film: &[u8], wait: Duration) {
    let mut file = File::open(path).unwrap();
    let length = 100_000;
    let places = [0, film.len() - 2 * length, film.len() / 2];
    for (n, place) in places.into_iter().enumerate() {
        if n == 1 {
            std::thread::sleep(wait);
        }
        let bytes = part(&mut file, place as u64, length);
        let bytes = bytes.unwrap_or_else(|error| panic!("{}: {error} at {place}", path.display()));
        assert!(
            bytes == film[place..place + length],
            "{} at {place}",
            path.display()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs gio, gvfsd-dav, gvfsd-fuse, dbus-run-session, ffmpeg"]
async fn gvfs_reads_and_jumps_under_every_strategy() {
    let cinema = Cinema::open(Duration::from_secs(86_400)).await;
    cinema.world.cloud.settings().throttle = None;
    let session = Session::mount(&cinema).await;
    let mounted = session.dir.path().join("fuse");
    let _mounted = Mounted(&mounted);
    for way in WAYS {
        assert!(session.cat(&format!("{way}/film.mkv")) == cinema.film, "{way}");
        jump(
            &session.fuse.join(way).join("film.mkv"),
            &cinema.film,
            Duration::ZERO,
        );
    }
    for way in ["redirect", "proxy", "proxy-url"] {
        assert!(cinema.ways(way).iter().all(|taken| taken == way), "{way}");
    }
    // The second read came so soon after the first that it may have looked like a 302 that was not followed.
    assert_eq!(cinema.ways("auto").first().map(String::as_str), Some("redirect"));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs gio, gvfsd-dav, gvfsd-fuse, dbus-run-session, ffmpeg"]
async fn gvfs_jumps_after_its_link_has_ended() {
    let cinema = Cinema::open(SHORT_LIFE).await;
    let session = Session::mount(&cinema).await;
    let mounted = session.dir.path().join("fuse");
    let _mounted = Mounted(&mounted);
    // All at once: each waits for the end of its link.
    std::thread::scope(|scope| {
        for way in ["proxy", "auto", "proxy-url"] {
            let (path, film) = (session.fuse.join(way).join("film.mkv"), &cinema.film);
            scope.spawn(move || jump(&path, film, SHORT_LIFE + Duration::from_secs(2)));
        }
    });
    let auto = cinema.ways("auto");
    assert!(
        auto.iter().all(|way| way == "proxy"),
        "it stays on a link for good: {auto:?}"
    );
}

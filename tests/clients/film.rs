//! A film long enough that a jump is a new request, behind every strategy; and what is asked of every player.

use std::path::PathBuf;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::program::run;
use crate::world::pair::{KEY, free_address, serve_proxy};
use crate::world::{PASSWORD, Server, USER, World, account, options};

/// Seconds of the film.
pub const SECONDS: f64 = 150.0;
/// Every strategy; each is a mount of its name.
pub const WAYS: [&str; 4] = ["redirect", "proxy", "auto", "proxy-url"];
/// A link of this life would be handed out by `auto` to clients that come back for the next one.
pub const SHORT_LIFE: Duration = Duration::from_secs(66);
/// Patience with a player.
const PATIENCE: Duration = Duration::from_secs(45);

/// The film, made once: 4 Mbit/s of a test picture.
fn film() -> Vec<u8> {
    static MADE: std::sync::Mutex<()> = std::sync::Mutex::new(());
    let _one = MADE.lock().unwrap();
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("film.mkv");
    if !path.exists() {
        let part = path.with_extension("part.mkv");
        let length = SECONDS.to_string();
        let mut arguments = vec![
            "-v",
            "error",
            "-y",
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=320x180:rate=25",
        ];
        arguments.extend([
            "-t",
            &length,
            "-c:v",
            "mpeg2video",
            "-g",
            "25",
            "-b:v",
            "4M",
            "-minrate",
            "4M",
        ]);
        arguments.extend(["-maxrate", "4M", "-bufsize", "2M", part.to_str().unwrap()]);
        run("ffmpeg", &arguments);
        std::fs::rename(&part, &path).unwrap();
    }
    std::fs::read(&path).unwrap()
}

/// A cloud with the film, a server with a mount for each strategy, and the proxy of `/proxy-url`.
pub struct Cinema {
    pub world: World,
    pub film: Vec<u8>,
    _proxy: Server,
    _dir: TempDir,
}

impl Cinema {
    /// Links live so long. The CDN is not much faster than the film, so that no player has all of it soon.
    pub async fn open(link_life: Duration) -> Self {
        let (film, address) = (film(), free_address());
        let worker = format!("proxy_url = \"http://{address}\"\nproxy_secret = \"{KEY}\"");
        let world = World::start(
            options(),
            |cloud| {
                cloud.add_file_with_etag("/film.mkv", film.clone(), "0123456789abcdef0123456789abcdef");
                cloud.settings().throttle = Some(600 << 10);
                cloud.settings().link_life = link_life;
            },
            |cloud| {
                WAYS.map(|way| {
                    account(
                        cloud,
                        &format!("/{way}"),
                        &format!("strategy = \"{way}\"\n{worker}"),
                    )
                })
                .concat()
            },
        )
        .await;
        let dir = TempDir::new().unwrap();
        let proxy = serve_proxy(&dir, &address, &world.server.url, KEY, "");
        Self {
            world,
            film,
            _proxy: proxy,
            _dir: dir,
        }
    }

    /// The film under a strategy, with name and password; `scheme` is that of the player.
    pub fn url(&self, scheme: &str, way: &str) -> String {
        self.world
            .url(&format!("/{way}/film.mkv"))
            .replace("http://", &format!("{scheme}://{USER}:{PASSWORD}@"))
    }

    /// Which ways the GETs of a mount were answered, in their order.
    pub fn ways(&self, mount: &str) -> Vec<String> {
        let log = self.world.server.log();
        let gets = log
            .lines()
            .filter(|line| line.contains(&format!("method=GET path=/{mount}/film.mkv")));
        gets.filter_map(|line| line.split("delivery=").nth(1)?.split(' ').next())
            .filter(|way| *way != "-")
            .map(str::to_owned)
            .collect()
    }
}

/// A player that is played on from outside.
pub trait Player {
    /// Plays a URL from its beginning.
    fn open(&mut self, url: &str);
    /// Jumps to a second.
    fn seek(&mut self, second: f64);
    /// The second that is shown, while something is playing.
    fn time(&mut self) -> Option<f64>;
}

/// Begins, jumps near the end and back; with `pause` it jumps only after that time.
pub fn watch(player: &mut impl Player, cinema: &Cinema, scheme: &str, way: &str, pause: Duration) {
    let begun = Instant::now();
    player.open(&cinema.url(scheme, way));
    shows(player, cinema, way, 1.0);
    std::thread::sleep(pause.saturating_sub(begun.elapsed()));
    for target in [SECONDS - 12.0, 10.0] {
        player.seek(target);
        shows(player, cinema, way, target + 1.0);
    }
}

/// Waits until a second, or one of the next few, is shown.
fn shows(player: &mut impl Player, cinema: &Cinema, way: &str, second: f64) {
    let begun = Instant::now();
    let mut last = None;
    while begun.elapsed() < PATIENCE {
        last = player.time();
        if last.is_some_and(|time| time >= second && time < second + 10.0) {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let log = cinema.world.server.log();
    let access: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("dav123::access"))
        .collect();
    let access = access[access.len().saturating_sub(15)..].join("\n");
    panic!("{way}: second {second} is not shown, but {last:?}\n{access}");
}

/// A program with all that it starts; killed when dropped.
pub struct Group(Child);

impl Group {
    pub fn spawn(command: &mut Command) -> Self {
        use std::os::unix::process::CommandExt;
        let name = command.get_program().to_owned();
        let child = command.process_group(0).spawn();
        Self(child.unwrap_or_else(|error| panic!("{name:?}: {error}; tests/run installs it")))
    }

    pub fn child(&mut self) -> &mut Child {
        &mut self.0
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        let group = format!("-{}", self.0.id());
        let _ = Command::new("kill").args(["-KILL", "--", &group]).status();
        let _ = self.0.wait();
    }
}

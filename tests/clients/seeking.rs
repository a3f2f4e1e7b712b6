//! VLC, mpv, Kodi and FFmpeg through every strategy: begin, jump to the end and back, also after the first link has ended.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::film::{Cinema, Group, Player, SECONDS, SHORT_LIFE, WAYS, watch};
use crate::program::attempt;
use crate::world::pair::free_address;

const DAY: Duration = Duration::from_secs(86_400);
/// A link that ends soon, and when it has ended.
const SOON: Duration = Duration::from_secs(8);
const AFTER: Duration = Duration::from_secs(2);

/// Tries until something is there.
fn patiently<T>(what: &str, mut attempt: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(60) {
        if let Some(done) = attempt() {
            return done;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("{what} is not there");
}

/// VLC, by its remote-control interface. As root it refuses to run: then it is run as nobody.
struct Vlc {
    connection: Option<(Group, TcpStream)>,
    home: TempDir,
}

impl Vlc {
    fn new() -> Self {
        let home = TempDir::new().unwrap();
        let anybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(home.path(), anybody).unwrap();
        Self {
            connection: None,
            home,
        }
    }

    /// Sends a command, and gives the last line of the answer.
    fn ask(&mut self, command: &str) -> Option<String> {
        let (_, stream) = self.connection.as_mut()?;
        writeln!(stream, "{command}").ok()?;
        let (mut text, mut buffer) = (String::new(), [0; 4096]);
        // An answer has no end of its own.
        while let Ok(read @ 1..) = stream.read(&mut buffer) {
            text.push_str(&String::from_utf8_lossy(&buffer[..read]));
        }
        text.lines().last().map(|line| line.trim().to_owned())
    }
}

impl Player for Vlc {
    fn open(&mut self, url: &str) {
        self.connection = None;
        let address = free_address();
        let mut command = Command::new("setpriv");
        if is_root() {
            command.args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"]);
        } else {
            command.arg("--");
        }
        let interface = ["-I", "dummy", "--extraintf=oldrc", "--rc-fake-tty", "--rc-host"];
        command
            .arg("cvlc")
            .args(interface)
            .arg(&address)
            .args(["--vout=dummy", "--aout=dummy", url])
            .env("HOME", self.home.path())
            .env("XDG_RUNTIME_DIR", self.home.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let group = Group::spawn(&mut command);
        let stream = patiently("VLC", || TcpStream::connect(&address).ok());
        let pause = Some(Duration::from_millis(200));
        stream.set_read_timeout(pause).unwrap();
        self.connection = Some((group, stream));
    }

    fn seek(&mut self, second: f64) {
        self.ask(&format!("seek {}", second as u64));
    }

    fn time(&mut self) -> Option<f64> {
        self.ask("get_time")?.parse().ok()
    }
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

/// mpv, by its JSON interface.
struct Mpv {
    connection: Option<(Group, BufReader<UnixStream>)>,
    dir: TempDir,
}

impl Mpv {
    fn new() -> Self {
        Self {
            connection: None,
            dir: TempDir::new().unwrap(),
        }
    }

    fn ask(&mut self, command: &Value) -> Option<Value> {
        let (_, stream) = self.connection.as_mut()?;
        writeln!(stream.get_mut(), "{}", json!({ "command": command })).ok()?;
        loop {
            let mut line = String::new();
            if stream.read_line(&mut line).ok()? == 0 {
                return None;
            }
            let answer: Value = serde_json::from_str(&line).ok()?;
            // Events have no error.
            if answer.get("error").is_some() {
                return answer.get("data").cloned();
            }
        }
    }
}

impl Player for Mpv {
    fn open(&mut self, url: &str) {
        self.connection = None;
        let socket = self.dir.path().join("mpv.socket");
        let _ = std::fs::remove_file(&socket);
        let mut command = Command::new("mpv");
        command
            .arg(format!("--input-ipc-server={}", socket.display()))
            .args([
                "--no-config",
                "--vo=null",
                "--ao=null",
                "--no-terminal",
                "--keep-open=no",
                url,
            ])
            .stdin(Stdio::null());
        let group = Group::spawn(&mut command);
        let stream = patiently("mpv", || UnixStream::connect(&socket).ok());
        self.connection = Some((group, BufReader::new(stream)));
    }

    fn seek(&mut self, second: f64) {
        self.ask(&json!(["seek", second, "absolute"]));
    }

    fn time(&mut self) -> Option<f64> {
        self.ask(&json!(["get_property", "time-pos"]))?.as_f64()
    }
}

/// Kodi on a virtual screen, by JSON-RPC.
struct Kodi {
    _groups: [Group; 2],
    stream: TcpStream,
    unread: Vec<u8>,
    id: u64,
    _home: TempDir,
}

impl Kodi {
    fn start() -> Self {
        let (home, address) = (TempDir::new().unwrap(), free_address());
        let port = address.rsplit(':').next().unwrap();
        let data = home.path().join(".kodi/userdata");
        std::fs::create_dir_all(&data).unwrap();
        let advanced = format!(
            "<advancedsettings version=\"1.0\"><jsonrpc><tcpport>{port}</tcpport></jsonrpc></advancedsettings>"
        );
        std::fs::write(data.join("advancedsettings.xml"), advanced).unwrap();
        let settings = [
            ("services.esenabled", "true"),
            ("general.addonupdates", "2"),
            ("audiooutput.audiodevice", "NULL"),
        ]
        .map(|(name, value)| format!("<setting id=\"{name}\">{value}</setting>"))
        .concat();
        let settings = format!("<settings version=\"2\">{settings}</settings>");
        std::fs::write(data.join("guisettings.xml"), settings).unwrap();
        let mut screen = Command::new("Xvfb");
        screen
            .args([
                "-displayfd",
                "1",
                "-screen",
                "0",
                "320x240x24",
                "-nolisten",
                "tcp",
            ])
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut screen = Group::spawn(&mut screen);
        let mut display = String::new();
        let said = screen.child().stdout.take().unwrap();
        BufReader::new(said).read_line(&mut display).unwrap();
        let mut kodi = Command::new("kodi");
        kodi.arg("--standalone")
            .env("HOME", home.path())
            .env("XDG_RUNTIME_DIR", home.path())
            .env("DISPLAY", format!(":{}", display.trim()))
            .env("LIBGL_ALWAYS_SOFTWARE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        let kodi = Group::spawn(&mut kodi);
        let stream = patiently("Kodi", || TcpStream::connect(&address).ok());
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut kodi = Self {
            // Kodi goes before its screen.
            _groups: [kodi, screen],
            stream,
            unread: Vec::new(),
            id: 0,
            _home: home,
        };
        patiently("Kodi's answer", || {
            (kodi.ask("JSONRPC.Ping", &json!({})) == "pong").then_some(())
        });
        kodi
    }

    fn ask(&mut self, method: &str, parameters: &Value) -> Value {
        self.id += 1;
        let call = json!({ "jsonrpc": "2.0", "id": self.id, "method": method, "params": parameters });
        self.stream.write_all(call.to_string().as_bytes()).unwrap();
        loop {
            let mut values = serde_json::Deserializer::from_slice(&self.unread).into_iter::<Value>();
            let next = values.next();
            let read = values.byte_offset();
            if let Some(Ok(answer)) = next {
                self.unread.drain(..read);
                if answer["id"] == self.id {
                    return answer["result"].clone();
                }
                continue;
            }
            let mut buffer = [0; 4096];
            let read = self.stream.read(&mut buffer).unwrap();
            assert_ne!(read, 0, "Kodi has ended");
            self.unread.extend_from_slice(&buffer[..read]);
        }
    }

    fn playing(&mut self) -> Option<Value> {
        let players = self.ask("Player.GetActivePlayers", &json!({}));
        Some(players.get(0)?["playerid"].clone())
    }
}

impl Player for Kodi {
    fn open(&mut self, url: &str) {
        if let Some(player) = self.playing() {
            self.ask("Player.Stop", &json!({ "playerid": player }));
        }
        patiently("the end of the last film", || {
            self.playing().is_none().then_some(())
        });
        self.ask("Player.Open", &json!({ "item": { "file": url } }));
    }

    fn seek(&mut self, second: f64) {
        if let Some(player) = self.playing() {
            let second = second as u64;
            let time =
                json!({ "hours": 0, "minutes": second / 60, "seconds": second % 60, "milliseconds": 0 });
            self.ask(
                "Player.Seek",
                &json!({ "playerid": player, "value": { "time": time } }),
            );
        }
    }

    fn time(&mut self) -> Option<f64> {
        let player = self.playing()?;
        let shown = self.ask(
            "Player.GetProperties",
            &json!({ "playerid": player, "properties": ["time"] }),
        );
        let part = |name: &str| shown["time"][name].as_f64();
        Some(part("minutes")? * 60.0 + part("seconds")? + part("milliseconds")? / 1000.0)
    }
}

async fn everywhere(mut player: impl Player, scheme: &str) {
    let cinema = Cinema::open(DAY).await;
    for way in WAYS {
        watch(&mut player, &cinema, scheme, way, Duration::ZERO);
    }
    for way in ["redirect", "proxy", "proxy-url"] {
        assert!(cinema.ways(way).iter().all(|taken| taken == way), "{way}");
    }
    let auto = cinema.ways("auto");
    assert!(
        auto.iter().all(|way| way == "redirect"),
        "these links are good for it: {auto:?}"
    );
}

/// Links end while the film is watched, some at once, some after a while: `auto` streams then. Where a link is handed
/// out these players jump on the dead one (VLC, Kodi), or come back without the password (mpv).
async fn after_the_end_of_a_link(mut player: impl Player, scheme: &str) {
    let cinema = Cinema::open(SOON).await;
    for way in ["proxy", "auto", "proxy-url"] {
        watch(&mut player, &cinema, scheme, way, SOON + AFTER);
    }
    let cinema = Cinema::open(SHORT_LIFE).await;
    watch(&mut player, &cinema, scheme, "auto", SHORT_LIFE + AFTER);
    let ways = cinema.ways("auto");
    assert!(ways.iter().all(|way| way == "proxy"), "{ways:?}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs cvlc, ffmpeg"]
async fn vlc_jumps_under_every_strategy() {
    everywhere(Vlc::new(), "http").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs cvlc, ffmpeg"]
async fn vlc_jumps_after_its_link_has_ended() {
    after_the_end_of_a_link(Vlc::new(), "http").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mpv, ffmpeg"]
async fn mpv_jumps_under_every_strategy() {
    everywhere(Mpv::new(), "http").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mpv, ffmpeg"]
async fn mpv_jumps_after_its_link_has_ended() {
    after_the_end_of_a_link(Mpv::new(), "http").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kodi, Xvfb, ffmpeg"]
async fn kodi_jumps_under_every_strategy() {
    everywhere(Kodi::start(), "dav").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs kodi, Xvfb, ffmpeg"]
async fn kodi_jumps_after_its_link_has_ended() {
    after_the_end_of_a_link(Kodi::start(), "dav").await;
}

/// FFmpeg: the beginning as slowly as it is watched, then pieces near the end and near the beginning, each by an opening of
/// its own, which reads the head, the index at the end and the place itself.
fn in_pieces(cinema: &Cinema, way: &str) {
    let (dir, url) = (TempDir::new().unwrap(), cinema.url("http", way));
    let pieces = [(0.0, 10.0), (SECONDS - 12.0, SECONDS - 8.0), (10.0, 14.0)]
        .map(|(from, to)| format!("file '{url}'\ninpoint {from}\noutpoint {to}\n"));
    let list = dir.path().join("list.ffconcat");
    std::fs::write(&list, format!("ffconcat version 1.0\n{}", pieces.concat())).unwrap();
    let quiet = ["-v", "error", "-nostdin", "-progress", "pipe:1", "-re"];
    let input = [
        "-f",
        "concat",
        "-safe",
        "0",
        "-protocol_whitelist",
        "file,http,tcp",
    ];
    let output = ["-i", list.to_str().unwrap(), "-f", "null", "-"];
    let output = attempt("ffmpeg", &[&quiet[..], &input, &output].concat(), b"");
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    // Pieces may overlap by one picture.
    let seams = |line: &&str| !line.contains("non monotonically increasing dts");
    let said: String = errors.lines().filter(seams).collect();
    let progress = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut frames = progress.lines().filter_map(|line| line.strip_prefix("frame="));
    let frames: Option<u32> = frames.next_back().and_then(|count| count.trim().parse().ok());
    assert!(
        frames.is_some_and(|frames| PICTURES.contains(&frames)) && said.is_empty(),
        "{way} {frames:?}: {said}"
    );
}

/// 18 seconds of 25 pictures; a piece may end one second early or late, where its next key picture is.
const PICTURES: std::ops::Range<u32> = 400..500;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs ffmpeg"]
async fn ffmpeg_jumps_under_every_strategy() {
    let cinema = Cinema::open(DAY).await;
    for way in WAYS {
        in_pieces(&cinema, way);
        let ways = cinema.ways(way);
        match way {
            // Who opens a film again within seconds looks as if it did not follow, and is streamed to.
            "auto" => assert_eq!(ways.first().map(String::as_str), Some("redirect"), "{ways:?}"),
            _ => assert!(
                !ways.is_empty() && ways.iter().all(|taken| taken == way),
                "{way} {ways:?}"
            ),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs ffmpeg"]
async fn ffmpeg_jumps_after_its_link_has_ended() {
    let cinema = Cinema::open(SOON).await;
    // Each opening asks for a link again, so that a redirected one works too.
    for way in WAYS {
        in_pieces(&cinema, way);
    }
    let ways = cinema.ways("auto");
    assert!(ways.iter().all(|way| way == "proxy"), "{ways:?}");
}

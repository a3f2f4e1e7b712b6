//! What runs and wraps the server: systemd's notifications, completions, manual pages.

#[path = "../../contrib/generate.rs"]
#[allow(dead_code)]
mod generate;

use crate::world::{Server, World, binary, eventually, header};

/// What a service manager is told.
#[cfg(target_os = "linux")]
mod notifications {
    use std::ffi::OsString;
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    use std::path::Path;
    use std::process::Command;
    use std::time::Duration;

    use crate::world::{Server, binary, head};

    const LIMIT: Duration = Duration::from_secs(20);

    fn told(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 200];
        let length = socket.recv(&mut buffer).expect("a notification");
        String::from_utf8(buffer[..length].to_vec()).unwrap()
    }

    fn start(dir: &Path, socket: &UnixDatagram, name: impl Into<OsString>) -> Server {
        socket.set_read_timeout(Some(LIMIT)).unwrap();
        let config = dir.join("dav.toml");
        std::fs::write(&config, head(dir)).unwrap();
        let mut command = Command::new(binary());
        command.arg("serve").arg("--config").arg(&config);
        command.env("NOTIFY_SOCKET", name.into());
        Server::spawn(command)
    }

    #[test]
    fn systemd_is_told_of_the_start_a_reload_and_the_end() {
        let dir = tempfile::TempDir::new().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let mut server = start(dir.path(), &socket, &path);
        assert_eq!(told(&socket), "READY=1");
        server.signal("HUP");
        let reloading = told(&socket);
        let since = reloading.strip_prefix("RELOADING=1\nMONOTONIC_USEC=").unwrap();
        assert!(since.parse::<u64>().unwrap() > 0);
        assert_eq!(told(&socket), "READY=1");
        server.signal("TERM");
        assert_eq!(told(&socket), "STOPPING=1");
        assert_eq!(server.wait(LIMIT), Some(0));
    }

    #[test]
    fn an_abstract_socket_does_as_well_and_one_that_is_gone_stops_nothing() {
        let dir = tempfile::TempDir::new().unwrap();
        let name = format!("dav123-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let socket = UnixDatagram::bind_addr(&address).unwrap();
        let mut server = start(dir.path(), &socket, format!("@{name}"));
        assert_eq!(told(&socket), "READY=1");
        drop(socket);
        server.signal("TERM");
        assert_eq!(server.wait(LIMIT), Some(0));
    }
}

/// The kernel keeps who comes while the service restarts; none is turned away.
#[cfg(target_os = "linux")]
#[test]
fn a_socket_that_is_handed_over_is_served_instead_of_an_own_one_and_outlives_the_server() {
    use std::io::{Read, Write};
    use std::os::fd::OwnedFd;
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let dir = tempfile::TempDir::new().unwrap();
    let config = dir.path().join("dav.toml");
    // Nobody may listen at this address: it belongs to no network.
    std::fs::write(
        &config,
        crate::world::head(dir.path()).replace("127.0.0.1:0", "192.0.2.1:80"),
    )
    .unwrap();
    let start = || {
        let mut command = std::process::Command::new("sh");
        let script = "export LISTEN_FDS=1 LISTEN_PID=$$; exec \"$0\" serve --config \"$1\" 3<&0 0</dev/null";
        command.args(["-c", script]).arg(binary()).arg(&config);
        command.stdin(OwnedFd::from(socket.try_clone().unwrap()));
        Server::spawn(command)
    };
    let ask = |mut stream: std::net::TcpStream| {
        let mut answer = String::new();
        let limit = Some(std::time::Duration::from_secs(20));
        stream.set_read_timeout(limit).unwrap();
        stream
            .write_all(b"GET /.dav123/health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .unwrap();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    };
    let mut server = start();
    assert_eq!(server.url, format!("http://{address}/"));
    ask(std::net::TcpStream::connect(address).unwrap());
    server.signal("TERM");
    assert_eq!(server.wait(std::time::Duration::from_secs(20)), Some(0));
    let between = std::net::TcpStream::connect(address).unwrap();
    let _server = start();
    ask(between);
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let dir = tempfile::TempDir::new().unwrap();
    generate::write(dir.path()).unwrap();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let man = read("man/dav123.1");
    let commands = [
        "serve",
        "demo",
        "check",
        "login",
        "warm",
        "sign",
        "passwd",
        "import-openlist",
    ];
    for command in commands {
        for shell in [
            "dav123.bash",
            "_dav123",
            "dav123.fish",
            "_dav123.ps1",
            "dav123.elv",
        ] {
            assert!(
                read(&format!("completions/{shell}")).contains(command),
                "{shell}: {command}"
            );
        }
        assert!(man.contains(&command.replace('-', "\\-")), "{command}: {man}");
        assert!(read(&format!("man/dav123-{command}.1")).contains(".SH SYNOPSIS"));
    }
}

/// Starts `serve` on what `world` has configured, with more arguments.
fn serve(world: &World, arguments: &[&str]) -> Server {
    let mut command = std::process::Command::new(binary());
    command
        .arg("serve")
        .arg("--config")
        .arg(world.dir.path().join("dav.toml"))
        .args(arguments);
    Server::spawn(command)
}

#[tokio::test(flavor = "multi_thread")]
async fn under_json_every_line_of_the_log_is_an_object_with_the_fields_beside_each_other() {
    let mut world = World::account(|cloud| {
        cloud.add_file("/a.txt", "a");
    })
    .await;
    world.server.kill();
    world.server = serve(&world, &["--log-format", "json"]);
    let answer = world.request("PROPFIND", "/drive/").send().await.unwrap();
    let id = header(&answer, "x-request-id");
    eventually("the access line", || {
        world.server.log().contains("dav123::access")
    })
    .await;
    let log = world.server.log();
    let lines: Vec<serde_json::Value> = log
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    let access = lines
        .iter()
        .find(|line| line["target"] == "dav123::access")
        .unwrap();
    assert_eq!(access["level"], "INFO");
    assert_eq!(
        (&access["method"], &access["path"]),
        (&"PROPFIND".into(), &"/drive/".into())
    );
    assert_eq!((&access["status"], &access["request"]), (&207.into(), &id.into()));
    assert!(access["timestamp"].is_string() && access["bytes"].is_u64());
}

#[tokio::test(flavor = "multi_thread")]
async fn every_answer_names_its_request_and_so_does_the_log() {
    let world = World::account(|_| {}).await;
    let sent = |id: &'static str| {
        world
            .request("GET", "/drive/none")
            .header("x-request-id", id)
            .send()
    };
    let (first, second) = (world.get("/").await, world.get("/").await);
    let ids = [header(&first, "x-request-id"), header(&second, "x-request-id")];
    assert!(
        ids[0].len() == 16 && ids[1].len() == 16 && ids[0] != ids[1],
        "{ids:?}"
    );
    // One that a reverse proxy gave is kept; what is no id is not.
    let kept = sent("proxy-4711.a").await.unwrap();
    assert_eq!(
        (kept.status().as_u16(), header(&kept, "x-request-id").as_str()),
        (404, "proxy-4711.a")
    );
    for wrong in ["", "a b", "x\"y", &"a".repeat(65)] {
        let request = world.request("GET", "/").header("x-request-id", wrong);
        let answer = request.send().await.unwrap();
        assert_eq!(header(&answer, "x-request-id").len(), 16, "{wrong}");
    }
    let stranger = world.http.get(world.url("/")).send().await.unwrap();
    assert_eq!(stranger.status(), 401);
    for id in [
        ids[0].clone(),
        "proxy-4711.a".into(),
        header(&stranger, "x-request-id"),
    ] {
        let says = format!("request={id} ");
        eventually("the line of the request", || world.server.log().contains(&says)).await;
    }
}

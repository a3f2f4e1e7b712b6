//! What runs and wraps the server: systemd's notifications, completions, manual pages.

#[path = "../../contrib/generate.rs"]
#[allow(dead_code)]
mod generate;

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

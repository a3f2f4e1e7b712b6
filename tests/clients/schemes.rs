//! davfs2 and gvfs sign in by Digest where it is offered, and by Basic where only that is left: what they really send is read on
//! the way, by a relay between them and the server.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::sync::{Arc, Mutex};

use crate::film::Group;
use crate::program::{Mounted, attempt};
use crate::world::{PASSWORD, USER, World, account, head, options};

/// A relay, and all that clients have sent through it.
struct Relay {
    address: String,
    sent: Arc<Mutex<Vec<u8>>>,
}

impl Relay {
    fn to(server: String) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let sent = Arc::new(Mutex::new(Vec::new()));
        let into = sent.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&server) else {
                    return;
                };
                let into = into.clone();
                let (from, to) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                std::thread::spawn(move || carry(from, to, None));
                std::thread::spawn(move || carry(client, server, Some(into)));
            }
        });
        Self { address, sent }
    }

    /// The schemes of the sign-ins so far, each once.
    fn schemes(&self) -> Vec<String> {
        let sent = self.sent.lock().unwrap();
        let text = String::from_utf8_lossy(&sent).to_ascii_lowercase();
        let values = text
            .lines()
            .filter_map(|line| line.strip_prefix("authorization: "));
        let mut schemes: Vec<String> = values
            .map(|value| value.split(' ').next().unwrap().to_owned())
            .collect();
        schemes.sort();
        schemes.dedup();
        schemes
    }
}

fn carry(mut from: TcpStream, mut to: TcpStream, note: Option<Arc<Mutex<Vec<u8>>>>) {
    let mut buffer = [0; 16_384];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if let Some(note) = &note {
            note.lock().unwrap().extend(&buffer[..count]);
        }
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Both);
}

/// A server whose user can use both schemes or, with a slow hash, Basic alone; and the relay before it.
async fn world(scheme: &str) -> (World, Relay) {
    let password = match scheme {
        "basic" => crate::world::run(&["passwd"], &format!("{PASSWORD}\n")).out,
        _ => format!("password = \"{PASSWORD}\""),
    };
    let world = World::configured(
        options(),
        |cloud| {
            cloud.add_file("/a.txt", "twelve bytes");
        },
        |cloud, dir| {
            let head = head(dir).replace(&format!("password = \"{PASSWORD}\""), password.trim());
            head + &account(cloud, "/drive", "strategy = \"proxy\"")
        },
    )
    .await;
    let relay = Relay::to(world.server.address());
    (world, relay)
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs mount.davfs"]
async fn davfs2_signs_in_by_both_schemes() {
    for scheme in ["digest", "basic"] {
        let (_world, relay) = world(scheme).await;
        let dir = tempfile::TempDir::new().unwrap();
        // mount.davfs gives up its rights before it uses the folder.
        let anybody = PermissionsExt::from_mode(0o777);
        std::fs::set_permissions(dir.path(), anybody).unwrap();
        let config = dir.path().join("davfs2.conf");
        let cached = dir.path().display();
        std::fs::write(&config, format!("cache_dir {cached}\nuse_locks 0\nask_auth 1\n")).unwrap();
        let at = tempfile::TempDir::new().unwrap();
        let (options, url) = (
            format!("conf={},ro", config.display()),
            format!("http://{}/drive/", relay.address),
        );
        let arguments = ["-t", "davfs", "-o", &options, &url, at.path().to_str().unwrap()];
        let output = attempt("mount", &arguments, format!("{USER}\n{PASSWORD}\n").as_bytes());
        assert!(
            output.status.success(),
            "{scheme}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let _mounted = Mounted(at.path());
        assert_eq!(
            std::fs::read(at.path().join("a.txt")).unwrap(),
            b"twelve bytes",
            "{scheme}"
        );
        assert_eq!(relay.schemes(), [scheme]);
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs gio, gvfsd-dav, dbus-run-session"]
async fn gio_signs_in_by_both_schemes() {
    const SESSION: &str = r#"
        printf '%s\n%s\n' "$NAME" "$WORD" | gio mount "$ADDRESS" >&2
        gio cat "${ADDRESS}a.txt" >"$OUT"
    "#;
    for scheme in ["digest", "basic"] {
        let (_world, relay) = world(scheme).await;
        let dir = tempfile::TempDir::new().unwrap();
        let out = dir.path().join("out");
        let mut command = Command::new("dbus-run-session");
        command
            .args(["--", "sh", "-ec", SESSION])
            .env("HOME", dir.path())
            .env("XDG_RUNTIME_DIR", dir.path())
            .env("ADDRESS", format!("dav://{}/drive/", relay.address))
            .env("NAME", USER)
            .env("WORD", PASSWORD)
            .env("OUT", &out);
        let mut group = Group::spawn(&mut command);
        assert!(group.child().wait().unwrap().success(), "{scheme}");
        assert_eq!(std::fs::read(&out).unwrap(), b"twelve bytes", "{scheme}");
        assert_eq!(relay.schemes(), [scheme]);
    }
}

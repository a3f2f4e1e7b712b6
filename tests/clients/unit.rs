//! The unit of systemd: understood by it, and locked down.

use std::path::Path;
use std::process::Command;

use crate::world::binary;

#[test]
#[ignore = "needs systemd-analyze"]
fn systemd_takes_the_unit_and_finds_it_locked_down() {
    let unit = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/dav123.service");
    let text = std::fs::read_to_string(&unit).unwrap();
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("dav123.service");
    let installed = text.replace("/usr/local/bin/dav123", binary().to_str().unwrap());
    std::fs::write(&file, installed).unwrap();
    // It needs the service, and is looked at together with it.
    let socket = unit.with_file_name("dav123.socket");
    std::fs::copy(socket, dir.path().join("dav123.socket")).unwrap();
    for (arguments, name) in [
        (&["verify"][..], "dav123.service"),
        (&["verify"], "dav123.socket"),
        (
            &["security", "--offline=true", "--threshold=20"],
            "dav123.service",
        ),
    ] {
        let mut command = Command::new("systemd-analyze");
        let output = command
            .args(arguments)
            .arg("--no-pager")
            .arg(dir.path().join(name))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            output.status.success() && said.is_empty(),
            "{arguments:?}: {output:?}"
        );
    }
}

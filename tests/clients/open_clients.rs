//! Public clients of the Open platform against the simulated cloud: whether it is what they were written for.

use std::process::Command;

use dav123::sim::Cloud;

use crate::world::options;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the Python clients that tests/run installs in target/open-clients"]
async fn public_clients_of_the_open_platform_find_what_they_were_written_for() {
    let mut options = options();
    // A free account's pace is kept by none of them, and one takes "ask again" for an error.
    options.settings.ban_after = None;
    options.settings.open_checks = 0;
    options.settings.slice_size = Some(1 << 20);
    let cloud = Cloud::start(options).await.unwrap();
    let base = cloud.base();
    let ran = tokio::task::spawn_blocking(move || {
        Command::new("target/open-clients/bin/python")
            .args(["tests/clients/open_clients.py", &base])
            .output()
            .unwrap()
    });
    let output = ran.await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}{errors}");
    assert_eq!(said.matches(": fine").count(), 4, "{said}");
    assert!(cloud.counters().get("open_single") >= 3 && cloud.counters().get("open_slice") >= 20);
    assert_eq!(cloud.counters().get("nowhere"), 0, "{:?}", cloud.counters().all());
}

//! What holds calls to 123pan back, for the metrics; and how they go on.

use crate::metrics::{Endpoint, Metrics, OfMount, Queue};
use crate::tree::Tree;

/// Sets the metrics of the pace. Mounts of one account say the same.
pub(super) fn measure(tree: &Tree, metrics: &Metrics) {
    for mount in tree.mounts() {
        let governor = mount.drive.governor();
        let halted = i64::from(governor.halted.is_some());
        metrics
            .halted
            .get_or_create(&OfMount {
                mount: mount.path.to_string(),
            })
            .set(halted);
        for call in governor.calls {
            let endpoint = || Endpoint {
                mount: mount.path.to_string(),
                call: call.call,
            };
            let interval = call.interval.as_secs_f64();
            metrics.pace.get_or_create(&endpoint()).set(interval);
            for (urgency, count) in [("foreground", call.waiting), ("background", call.behind)] {
                let endpoint = endpoint();
                let queue = Queue {
                    mount: endpoint.mount,
                    call: endpoint.call,
                    urgency,
                };
                metrics.waiting.get_or_create(&queue).set(i64::from(count));
            }
        }
    }
}

/// Lets calls go on that were stopped; the mounts they had been stopped for.
pub(super) async fn resume(tree: &Tree) -> Vec<String> {
    let halted = tree
        .mounts()
        .iter()
        .filter(|mount| mount.drive.governor().halted.is_some())
        .map(|mount| mount.path.to_string())
        .collect();
    for mount in tree.mounts() {
        mount.drive.resume().await;
    }
    halted
}

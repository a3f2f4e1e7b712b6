//! What holds calls to 123pan back, for the metrics and the status page.

use std::fmt::Write;

use super::pages::escaped;
use crate::metrics::{Endpoint, Metrics, Queue};
use crate::tree::Tree;

/// Sets the metrics of the pace. Mounts of one account say the same.
pub(super) fn measure(tree: &Tree, metrics: &Metrics) {
    for mount in tree.mounts() {
        for call in mount.drive.governor().calls {
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

/// What the status page says of it: nothing while all is well.
pub(super) fn shown(tree: &Tree) -> String {
    let mut page = String::new();
    for mount in tree.mounts() {
        let path = escaped(&mount.path.to_string()).to_string();
        for call in mount.drive.governor().calls {
            // Writing to a String cannot fail.
            if call.interval > call.pace {
                let _ = write!(
                    page,
                    "<p>{path}: 123pan has asked to slow down. {} goes once in {:.1} s instead of {:.1} s, and \
                     faster again with every answer.</p>",
                    call.call,
                    call.interval.as_secs_f64(),
                    call.pace.as_secs_f64(),
                );
            }
            let waiting = call.waiting + call.behind;
            if waiting > 0 {
                let _ = write!(
                    page,
                    "<p>{path}: {waiting} calls of {} wait for their turn.</p>",
                    call.call
                );
            }
        }
    }
    page
}

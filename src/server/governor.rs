//! What holds calls to 123pan back, for the metrics; and the button of the status page that lets them go on.

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::answer;
use super::auth::Principal;
use crate::body::Body;
use crate::config::Access;
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

/// `POST /.dav123/resume`, by a user who may write: a page of another site must not press it.
pub(super) async fn resumed(
    method: &Method,
    headers: &HeaderMap,
    principal: &Principal,
    tree: &Tree,
) -> Response<Body> {
    if method != Method::POST {
        return answer::sentence(StatusCode::METHOD_NOT_ALLOWED, "Calls are resumed by a POST.");
    }
    let from = headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    if principal.access != Access::ReadWrite || !matches!(from, None | Some(b"same-origin" | b"none")) {
        let sentence =
            "Calls are resumed by a user with read-write access, on this server's own status page.";
        return answer::sentence(StatusCode::FORBIDDEN, sentence);
    }
    let sentence = match resume(tree).await {
        none if none.is_empty() => "No calls were stopped.".to_owned(),
        mounts => format!("Calls to 123pan go on for {}.", mounts.join(", ")),
    };
    answer::to_status_page(headers, &sentence)
}

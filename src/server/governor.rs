//! What holds calls to 123pan back, for the metrics and the status page; and the button that lets them go on.

use std::fmt::Write;

use http::header::{ACCEPT, LOCATION};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};

use super::answer;
use super::auth::Principal;
use super::pages::escaped;
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

/// What the status page says of it: nothing while all is well.
pub(super) fn shown(tree: &Tree) -> String {
    let mut page = String::new();
    for mount in tree.mounts() {
        let path = escaped(&mount.path.to_string());
        let governor = mount.drive.governor();
        if let Some(halted) = governor.halted {
            // Writing to a String cannot fail.
            let _ = write!(
                page,
                "<p><strong>{path}: no calls are made.</strong> {}</p><form method=\"post\" action=\"/.dav123/resume\">\
                 <button>Resume</button></form>",
                escaped(&halted.sentence)
            );
        }
        for call in governor.calls {
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
    let browser = headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    if browser.is_none_or(|accept| !accept.contains("text/html")) {
        return answer::sentence(StatusCode::OK, &sentence);
    }
    let mut response = answer::sentence(StatusCode::SEE_OTHER, &sentence);
    let page = HeaderValue::from_static("/.dav123/");
    response.headers_mut().insert(LOCATION, page);
    response
}

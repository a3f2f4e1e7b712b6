//! What a signed-in user can ask for by POST under `/.dav123/`: that a folder is read anew, or warmed up, or that calls
//! to 123pan go on which were stopped.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream;
use http::header::ALLOW;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::auth::Principal;
use super::{answer, governor};
use crate::body::Body;
use crate::config::Access;
use crate::drive::Error;
use crate::tree::{Tree, TreePath, Warmed};

/// Lines of progress that wait for a slow reader at the most.
const LINES: usize = 16;
/// Between two lines of progress.
const PACE: Duration = Duration::from_millis(500);

/// Answers an action; `None` where the name is not one.
pub(super) async fn answer(
    head: &Parts,
    name: &str,
    principal: &Principal,
    tree: &Arc<Tree>,
) -> Option<Response<Body>> {
    if !matches!(name, "refresh" | "warm" | "resume") {
        return None;
    }
    if let Some(refused) = refused(head) {
        return Some(refused);
    }
    if name == "resume" {
        return Some(resume(tree, principal, &head.headers).await);
    }
    let Some(asked) = asked_path(head) else {
        let sentence = "The path is not understood; expected one that begins with \"/\".";
        return Some(answer::sentence(StatusCode::BAD_REQUEST, sentence));
    };
    let path = principal.root.join(&asked);
    Some(match name {
        "refresh" => refresh(tree, &path, &head.headers).await,
        _ => warm(tree.clone(), path).await,
    })
}

/// Why nothing is done for this request, if so.
fn refused(head: &Parts) -> Option<Response<Body>> {
    if head.method != Method::POST {
        let mut response = answer::sentence(StatusCode::METHOD_NOT_ALLOWED, "This is asked for by POST.");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("POST"));
        return Some(response);
    }
    // A page of another site would act with the sign-in that the browser remembers.
    let site = head.headers.get("sec-fetch-site").map(HeaderValue::as_bytes);
    (!matches!(site, None | Some(b"same-origin" | b"none"))).then(|| {
        let sentence = "Another web site may not ask for this; use this server's own status page.";
        answer::sentence(StatusCode::FORBIDDEN, sentence)
    })
}

/// The path that is meant, as the user sees it.
fn asked_path(head: &Parts) -> Option<TreePath> {
    let query = head.uri.query().unwrap_or_default();
    let path = url::form_urlencoded::parse(query.as_bytes())
        .find(|(key, _)| key == "path")
        .map_or_else(|| "/".into(), |(_, path)| path);
    TreePath::from_decoded(&path).ok()
}

/// By a user who may write.
async fn resume(tree: &Tree, principal: &Principal, headers: &HeaderMap) -> Response<Body> {
    if principal.access != Access::ReadWrite {
        let sentence = "Calls are resumed by a user with read-write access.";
        return answer::sentence(StatusCode::FORBIDDEN, sentence);
    }
    let sentence = match governor::resume(tree).await {
        none if none.is_empty() => "No calls were stopped.".to_owned(),
        mounts => format!("Calls to 123pan go on for {}.", mounts.join(", ")),
    };
    answer::to_status_page(headers, &sentence)
}

async fn refresh(tree: &Arc<Tree>, path: &TreePath, headers: &HeaderMap) -> Response<Body> {
    match tree.refresh_below(path).await {
        Ok(folders) => answer::to_status_page(
            headers,
            &format!("Asked anew when they are wanted next: {folders} folders."),
        ),
        Err(error) => answer::from_error(&error),
    }
}

/// Walks while the asker listens, and tells him how far it is.
async fn warm(tree: Arc<Tree>, path: TreePath) -> Response<Body> {
    if let Err(error) = tree.resolve(&path).await {
        return answer::from_error(&error);
    }
    let (lines, waiting) = mpsc::channel::<String>(LINES);
    tokio::spawn(async move {
        let mut last = Instant::now();
        let said = lines.clone();
        let done = tree.warm(&path, move |warmed| {
            if last.elapsed() >= PACE {
                last = Instant::now();
                let _ = said.try_send(line("", &warmed));
            }
            !said.is_closed()
        });
        let end = match done.await {
            Ok(warmed) => line("done: ", &warmed),
            Err(error) => stopped(&error),
        };
        let _ = lines.send(end).await;
    });
    let frames = stream::unfold(waiting, |mut waiting| async move {
        let line = waiting.recv().await?;
        Some((Ok(Frame::data(Bytes::from(line))), waiting))
    });
    answer::text(StatusCode::OK, Body::stream(StreamBody::new(Box::pin(frames))))
}

fn line(before: &str, warmed: &Warmed) -> String {
    let Warmed {
        folders,
        asked,
        entries,
    } = warmed;
    format!("{before}{folders} folders ({asked} asked for), {entries} entries\n")
}

fn stopped(error: &Error) -> String {
    format!(
        "stopped: {} What was listed stays known; the next warm-up goes on from there.\n",
        error.sentence()
    )
}

//! PROPFIND (RFC 4918 9.1), answered by ourselves and not by dav-server (T4–T7).
//!
//! Everything that can fail with a status is done first: depth, body, resource, quota, and the first members
//! of the folder. Then the 207 begins, and members go out chunk by chunk as they come. A failure after that
//! breaks the connection.

use std::time::Duration;

use bytes::BytesMut;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};

use super::agent::Agent;
use super::asked::Asked;
use super::extras::Extras;
use super::frames::{Frames, Source};
use super::multistatus::Multistatus;
use super::property::{Property, Set};
use super::refusal::{Refusal, Refused};
use super::request::{Depth, read_xml};
use super::{Ctx, Dav, href};
use crate::body::Body;
use crate::drive::{Entry, ErrorKind, Quota};
use crate::tree::{Resource, TreePath};

/// How long a listing is held up for the quota, which davfs2 and Finder ask for each time. The call itself goes on,
/// and the next PROPFIND may have its answer.
const QUOTA_PATIENCE: Duration = Duration::from_secs(3);

/// What is told of a resource beside its members.
struct Subject<'a> {
    entry: &'a Entry,
    /// Its display name.
    name: &'a str,
    /// Its URL path, percent-encoded.
    href: String,
    quota: Option<Quota>,
    /// Its path, for the log.
    path: &'a TreePath,
    extras: Option<Extras>,
}

impl Dav {
    /// Answers a PROPFIND.
    pub(super) async fn propfind<B>(&self, request: Request<B>, ctx: &Ctx) -> Result<Response<Body>, Refusal>
    where
        B: http_body::Body,
    {
        let (head, body) = request.into_parts();
        let body = read_xml(head.version, body).await?;
        let depth = Depth::of(&head.headers)?;
        let asked = Asked::parse(&body)
            .map_err(|malformed| Refused::new(StatusCode::BAD_REQUEST, malformed.to_string()))?;
        let agent = Agent::of(&head.headers);
        let resource = if asks_anew(&head.headers) && !agent.is_redirector() {
            self.resolve_anew(&ctx.path, depth).await?
        } else {
            self.tree.resolve(&ctx.path).await?
        };
        let subject = Subject {
            entry: &resource.entry,
            name: ctx.path.name().unwrap_or("/"),
            href: href(&self.prefix, &ctx.relative(), resource.is_folder()),
            quota: self.quota(&asked, &resource).await,
            path: &ctx.path,
            extras: Some(Extras::new(
                &self.tree,
                &self.writing.locks,
                &resource,
                &ctx.root,
                &self.prefix,
            )),
        };
        let members = if depth == Depth::One && resource.is_folder() {
            Some(self.tree.list(&resource).await?)
        } else {
            None
        };
        Ok(answer(&asked, agent, subject, members))
    }

    /// The resource as 123pan has it now: the listing that is to be shown is not taken from memory.
    async fn resolve_anew(&self, path: &TreePath, depth: Depth) -> Result<Resource, Refusal> {
        let known = self.tree.resolve(path).await;
        match (&known, path.parent()) {
            (Ok(folder), _) if folder.is_folder() && depth == Depth::One => self.tree.refresh(folder),
            (Err(error), _) if error.kind() != ErrorKind::NotFound => {}
            (_, Some(above)) => {
                self.tree.refresh(&self.tree.resolve(&above).await?);
                return Ok(self.tree.resolve(path).await?);
            }
            (_, None) => {}
        }
        Ok(known?)
    }

    /// The quota, where it is asked for. That it cannot be had is no reason to fail the rest.
    async fn quota(&self, asked: &Asked, resource: &Resource) -> Option<Quota> {
        const BOTH: Set = Set::of(&[Property::QuotaAvailable, Property::QuotaUsed]);
        if !resource.is_folder() || (asked.known.and(BOTH).is_empty() && !asked.names_only) {
            return None;
        }
        match tokio::time::timeout(QUOTA_PATIENCE, self.tree.quota(resource)).await {
            Ok(Ok(quota)) => quota,
            Ok(Err(error)) => {
                tracing::warn!(folder = %resource.path, %error, "the quota is not known; it is left out");
                None
            }
            Err(_) => {
                tracing::debug!(folder = %resource.path, "the quota is not there in time; it is left out");
                None
            }
        }
    }
}

/// `Cache-Control: no-cache` (RFC 9111 5.2.1.4).
fn asks_anew(headers: &HeaderMap) -> bool {
    headers
        .get_all(CACHE_CONTROL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|directive| directive.trim().eq_ignore_ascii_case("no-cache"))
}

/// The 207 of a resource, with its members where there are to be any.
fn answer<S: Source>(asked: &Asked, agent: Agent, of: Subject<'_>, members: Option<S>) -> Response<Body> {
    let mut multistatus = Multistatus::new(asked, agent, &of.href, of.extras);
    let mut out = BytesMut::with_capacity(2 * 1024);
    multistatus.begin(of.entry, of.name, of.quota, &mut out);
    let body = match members {
        Some(members) => Body::stream(Frames::new(members, multistatus, &out, of.path.to_string())),
        None => {
            super::frames::Render::end(&mut multistatus, &mut out);
            Body::from(out.freeze())
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::MULTI_STATUS;
    response.headers_mut().insert(
        CONTENT_TYPE,
        HeaderValue::from_static("application/xml; charset=utf-8"),
    );
    response
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::dav::frames::tests::{Script, Step, file};
    use crate::drive::{Id, Kind};
    use http_body::Body as _;
    use http_body_util::BodyExt;

    fn respond(steps: Option<Vec<Step>>) -> Response<Body> {
        let path = TreePath::parse("/drive/f").unwrap();
        let entry = Entry {
            id: Id(2),
            kind: Kind::Folder,
            ..file("f".into())
        };
        let subject = Subject {
            entry: &entry,
            name: "f",
            href: "/drive/f/".into(),
            quota: None,
            path: &path,
            extras: None,
        };
        answer(&Asked::all(), Agent::default(), subject, steps.map(Script::new))
    }

    #[tokio::test]
    async fn without_members_the_answer_is_whole_and_its_length_known() {
        let response = respond(None);
        assert_eq!(response.status(), StatusCode::MULTI_STATUS);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/xml; charset=utf-8");
        assert!(response.body().size_hint().exact().is_some());
        let text = response.into_body().collect().await.unwrap().to_bytes();
        assert!(text.ends_with(b"</D:response></D:multistatus>"));
    }

    #[tokio::test]
    async fn ten_thousand_members_come_whole_in_frames_of_at_most_80_kib() {
        let pages = (0..100)
            .map(|page| Step::Give((0..100).map(|i| file(format!("第 {page} 集 {i}.mkv"))).collect()));
        let mut body = respond(Some(pages.collect())).into_body();
        let mut text = Vec::new();
        while let Some(frame) = body.frame().await {
            let frame = frame.unwrap().into_data().unwrap();
            assert!(frame.len() <= 80 * 1024, "{}", frame.len());
            text.extend_from_slice(&frame);
        }
        let text = String::from_utf8(text).unwrap();
        assert_eq!(text.matches("<D:response>").count(), 10_001);
        assert!(text.ends_with("</D:multistatus>"));
    }

    #[tokio::test]
    async fn a_folder_that_breaks_off_is_an_error_and_not_a_shorter_folder() {
        let steps = vec![Step::Give(vec![file("a".into())]), Step::Wait, Step::Fail];
        let mut body = respond(Some(steps)).into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert!(!first.ends_with(b"</D:multistatus>"));
        assert!(body.frame().await.unwrap().is_err());
    }
}

//! One streamed answer: which way its bytes are fetched, and the head that goes before them.

use std::sync::Arc;

use http::Response;

use super::Engine;
use super::budget::Account;
use super::parallel::{Parallel, Plan};
use super::proxy::Transfer;
use super::range::{ByteRange, Spec};
use super::representation::Representation;
use super::upstream::{Links, Refused, Source, Want};
use crate::body::Body;
use crate::drive::Error;
use crate::tree::Mount;

impl Engine {
    /// Opens the stream, and only then builds the head from what we know.
    pub(super) async fn stream(
        &self,
        file: &Representation,
        mount: &Mount,
        mut want: Want,
        links: Arc<dyn Links>,
        account: Option<Arc<Account>>,
    ) -> Result<Response<Body>, Error> {
        let partial = want.spec.is_some();
        let plan = self.plan(mount, &want);
        if let Some((plan, range)) = plan {
            // The first range is short, so that the others begin soon.
            let last = range.first + self.limits.part - 1;
            want.spec = Some(Spec::From(range.first, Some(last.min(range.last))));
            tracing::debug!(mount = %mount.settings.path, connections = plan.connections(), "a download over several connections");
        }
        let cdn = Arc::clone(&self.experience.cdn);
        let source = Source {
            lane: if plan.is_some() { cdn.narrow() } else { cdn.lane() },
            cdn,
            links,
            referers: Arc::clone(&self.experience.referers),
            mount: mount.settings.path.clone(),
            media_type: file.media_type.clone(),
            limits: self.limits,
        };
        let mut opened = match source.open(want).await {
            Ok(opened) => opened,
            Err(Refused::Unsatisfiable(size)) => return Ok(file.unsatisfiable(size)),
            Err(Refused::Failed(error)) => return Err(error),
        };
        let meter = account.map(|account| account.meter());
        let (start, size) = (opened.start, opened.size);
        let end = plan.map_or(opened.end, |(_, range)| range.last + 1);
        let body = match plan {
            Some((plan, _)) if !opened.whole => Body::stream(Parallel::new(source, opened, end, plan, meter)),
            _ => {
                // A CDN that ignores ranges brings all of it at once.
                opened.end = end;
                Body::stream(Transfer::new(Arc::new(source), opened, meter))
            }
        };
        Ok(if partial && start < end {
            let range = ByteRange {
                first: start,
                last: end - 1,
            };
            file.part(range, size, body)
        } else {
            file.whole(Some(size), body)
        })
    }

    /// How several connections share the bytes that are wanted; `None` where one will do.
    fn plan(&self, mount: &Mount, want: &Want) -> Option<(Plan, ByteRange)> {
        let delivery = &mount.settings.delivery;
        let range = want.spec.unwrap_or(Spec::From(0, None)).resolve(want.size?)?;
        let (connections, window) = (delivery.proxy_connections, delivery.proxy_window);
        let plan = Plan::of(connections, window, self.limits.part, range.length())?;
        Some((plan, range))
    }
}

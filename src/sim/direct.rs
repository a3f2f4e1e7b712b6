//! Direct links: `/<uid>/<path>` or `/<uid>/<file id>` of files inside an enabled folder (API page, section 9).

use hyper::Method;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;

use super::http::{Answer, Call, answer, lock};
use super::options::{DirectAuth, DirectHead};
use super::serve::Download;
use super::sign;

/// Answers a direct link.
pub(super) fn direct(call: &Call) -> Answer {
    let settings = call.settings;
    let head = call.parts.method == Method::HEAD;
    if head && settings.direct_head == DirectHead::Refused {
        return answer(405, "text/plain", "");
    }
    let Ok(decoded) = percent_decode_str(call.path).decode_utf8() else {
        return answer(404, "text/plain", "not found");
    };
    let hashed = match settings.direct_auth {
        DirectAuth::Off => None,
        DirectAuth::Decoded => Some(decoded.as_ref()),
        DirectAuth::AsWritten => Some(call.path),
    };
    if let Some(path) = hashed {
        let uid = call.cloud.identity.uid;
        let now = Timestamp::now().as_second();
        // The last one counts if a client appended a second key.
        let key = call
            .query
            .0
            .iter()
            .rev()
            .find(|(k, _)| k == "auth_key")
            .map(|(_, v)| v.as_str());
        if !key.is_some_and(|key| sign::direct_auth_ok(path, key, uid, &settings.direct_key, now)) {
            return answer(403, "text/plain", "forbidden");
        }
    }
    let within = decoded
        .strip_prefix('/')
        .and_then(|p| p.split_once('/'))
        .map_or("", |(_, rest)| rest);
    let found = {
        let store = lock(&call.cloud.store);
        let node = store
            .find(within)
            .or_else(|| within.parse().ok().and_then(|id| store.get(id)));
        node.filter(|n| !n.folder && !store.in_bin(n.id))
            .filter(|n| store.chain(n.id).any(|above| store.direct.contains(&above.id)))
            .and_then(|n| store.object(&n.etag, n.size).map(|o| (n.clone(), o.blob.clone())))
    };
    let Some((node, blob)) = found else {
        return answer(404, "text/plain", "not found");
    };
    Download {
        blob: &blob,
        etag: &node.etag,
        name: &node.name,
        headers: call.headers(),
        head,
        no_length: head && settings.direct_head == DirectHead::NoLength,
        ignore_range: settings.ignore_range,
        rate: settings.throttle,
    }
    .answer()
}

//! The object storage: takes the parts of uploads at presigned URLs (API page, section 6.3).

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::{ETAG, HeaderValue};
use md5::{Digest, Md5};

use super::api::upload::Part;
use super::content::{hex, md5_hex};
use super::faults::FaultKind;
use super::http::{Answer, Call, answer, header, lock};

/// Bucket of uploads.
pub(super) const BUCKET: &str = "123-295";
/// Its place in URLs.
pub(super) const PREFIX: &str = "/123-295/";
/// Storage node of uploads.
pub(super) const NODE: &str = "m74";

/// Takes one part.
pub(super) async fn put(call: &Call<'_>, body: Incoming) -> Answer {
    let (id, signature) = (
        call.query.get("uploadId"),
        call.query.get("X-Amz-Signature").unwrap_or(""),
    );
    // The scope ends before anything is awaited.
    let expected = {
        let uploads = lock(&call.cloud.uploads);
        let Some(session) = id.and_then(|id| uploads.get(id)) else {
            return error(404, "NoSuchUpload");
        };
        let named = call.query.int("partNumber");
        match session.urls.get(signature) {
            Some((number, until)) if *until > Instant::now() && Some(*number) == named => {
                (*number, session.part_size(*number))
            }
            _ => return error(403, "AccessDenied"),
        }
    };
    let (number, Some(size)) = expected else {
        return error(400, "InvalidPart");
    };
    let announced = header(call.headers(), "content-length").and_then(|v| v.parse::<u64>().ok());
    if announced.is_none() {
        return error(411, "MissingContentLength");
    }
    if announced.is_some_and(|n| n > size) {
        return error(400, "EntityTooLarge");
    }
    let Some((mut bytes, mut md5, length)) = receive(call, body, size).await else {
        return error(400, "IncompleteBody");
    };
    if matches!(call.fault, Some(FaultKind::CorruptPart)) && !bytes.is_empty() {
        let mut wrong = bytes.to_vec();
        wrong[0] ^= 0xff;
        md5 = md5_hex(&wrong);
        bytes = Bytes::from(wrong);
    }
    let stored = Part {
        size: length,
        md5: md5.clone(),
        bytes,
    };
    let mut uploads = lock(&call.cloud.uploads);
    let Some(session) = id.and_then(|id| uploads.get_mut(id)) else {
        return error(404, "NoSuchUpload");
    };
    session.parts.insert(number, stored);
    let shown = if matches!(call.fault, Some(FaultKind::WrongPartEtag)) {
        md5_hex(b"wrong")
    } else {
        md5
    };
    let mut answer = answer(200, "application/xml", "");
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{shown}\"")) {
        answer.headers_mut().insert(ETAG, tag);
    }
    answer
}

/// The bytes of a body (none if they are to be forgotten), their MD5 and number; none if it breaks off.
async fn receive(call: &Call<'_>, mut body: Incoming, size: u64) -> Option<(Bytes, String, u64)> {
    let keep = !call.settings.forget_uploads;
    let mut bytes = BytesMut::with_capacity(if keep { usize::try_from(size).ok()? } else { 0 });
    let (mut hash, mut length, begun) = (Md5::new(), 0, Instant::now());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.ok()?.into_data() else {
            continue;
        };
        length += data.len() as u64;
        hash.update(&data);
        if keep {
            bytes.extend_from_slice(&data);
        }
        if let Some(rate) = call.settings.upload_rate {
            let due = Duration::from_secs_f64(length as f64 / rate.max(1) as f64);
            if let Some(early) = due.checked_sub(begun.elapsed()) {
                tokio::time::sleep(early).await;
            }
        }
    }
    Some((bytes.freeze(), hex(&hash.finalize()), length))
}

fn error(status: u16, code: &str) -> Answer {
    answer(
        status,
        "application/xml",
        format!("<?xml version=\"1.0\" encoding=\"UTF-8\"?><Error><Code>{code}</Code></Error>"),
    )
}

//! Multipart forms with one file, as the Open platform's upload servers take them (API page, section 8.3).

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::header::CONTENT_TYPE;
use serde_json::{Map, Value};

use super::http::{Answer, Call, header, refused};

/// Longest form.
const LIMIT: u64 = 1 << 30;

/// The fields of a form and its file.
#[derive(Debug, Default)]
pub(super) struct Form {
    /// Texts by name.
    pub fields: Value,
    pub file: Option<Bytes>,
}

/// A form as received.
pub(super) struct Received {
    pub form: Form,
    /// The name of the field with the file.
    pub file_name: String,
}

/// Receives a form at the pace of the settings. It must tell its length: chunks are not known to be taken.
pub(super) async fn receive(call: &Call<'_>, mut body: Incoming) -> Result<Received, Box<Answer>> {
    let refuse = |what: &str| Box::new(refused(400, what));
    let kind = header(call.headers(), CONTENT_TYPE.as_str()).unwrap_or("");
    let boundary = kind
        .strip_prefix("multipart/form-data")
        .and_then(|rest| rest.split_once("boundary="))
        .map(|(_, boundary)| boundary.trim_matches('"').to_owned())
        .ok_or_else(|| refuse("multipart/form-data"))?;
    let length = header(call.headers(), "content-length").and_then(|v| v.parse::<u64>().ok());
    let Some(length) = length.filter(|n| *n <= LIMIT) else {
        return Err(refuse("Content-Length"));
    };
    let (mut bytes, begun) = (BytesMut::new(), Instant::now());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| refuse("body"))?.into_data() else {
            continue;
        };
        bytes.extend_from_slice(&data);
        if let Some(rate) = call.settings.upload_rate {
            let due = Duration::from_secs_f64(bytes.len() as f64 / rate.max(1) as f64);
            if let Some(early) = due.checked_sub(begun.elapsed()) {
                tokio::time::sleep(early).await;
            }
        }
    }
    if bytes.len() as u64 != length {
        return Err(refuse("body"));
    }
    parse(&bytes.freeze(), &boundary).ok_or_else(|| refuse("form"))
}

/// Where `needle` begins in `hay`, from `from` on.
fn find(hay: &[u8], needle: &[u8], from: usize) -> Option<usize> {
    let first = *needle.first()?;
    let mut at = from;
    loop {
        at += hay.get(at..)?.iter().position(|b| *b == first)?;
        if hay[at..].starts_with(needle) {
            return Some(at);
        }
        at += 1;
    }
}

fn parse(bytes: &Bytes, boundary: &str) -> Option<Received> {
    let delimiter = format!("\r\n--{boundary}");
    // The first delimiter has no line before it.
    let mut at = delimiter.len() - 2;
    if !bytes.starts_with(&delimiter.as_bytes()[2..]) {
        return None;
    }
    let (mut fields, mut file, mut file_name) = (Map::new(), None, String::new());
    while bytes[at..].starts_with(b"\r\n") {
        let head_end = find(bytes, b"\r\n\r\n", at)?;
        let head = std::str::from_utf8(&bytes[at..head_end]).ok()?.to_owned();
        let end = find(bytes, delimiter.as_bytes(), head_end + 4)?;
        let content = bytes.slice(head_end + 4..end);
        at = end + delimiter.len();
        let quoted = |key: &str| {
            let rest = head.split_once(&format!("; {key}=\""))?.1;
            Some(rest.split_once('"')?.0.to_owned())
        };
        let name = quoted("name")?;
        if quoted("filename").is_some() {
            file = Some(content);
            file_name = name;
        } else {
            let text = String::from_utf8(content.to_vec()).ok()?;
            fields.insert(name, Value::String(text));
        }
    }
    bytes[at..].starts_with(b"--").then_some(Received {
        form: Form {
            fields: Value::Object(fields),
            file,
        },
        file_name,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn fields_and_the_file_are_read_whatever_bytes_it_has() {
        let form = "--B\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\n7\r\n--B\r\nContent-Disposition: form-data; name=\"slice\"; filename=\"s\"\r\nContent-Type: application/octet-stream\r\n\r\n\r\n--\r\n\r\n--B--\r\n";
        let received = parse(&Bytes::from_static(form.as_bytes()), "B").unwrap();
        assert_eq!(received.form.fields["a"], "7");
        assert_eq!(
            (received.form.file.unwrap(), received.file_name),
            (Bytes::from_static(b"\r\n--\r\n"), "slice".to_owned())
        );
        for broken in ["", "--B--", "--B\r\nx\r\n\r\ny", "--C\r\n"] {
            assert!(
                parse(&Bytes::from(broken), "B").is_none_or(|r| r.form.file.is_none()),
                "{broken}"
            );
        }
    }
}

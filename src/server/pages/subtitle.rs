//! Subtitles as a browser reads them: WebVTT, from this server.
//!
//! A `<track>` must come from the page's own origin, and browsers read WebVTT alone. So `?as=vtt` behind a subtitle file
//! gives its text in this form, streamed through whatever the strategy of its mount is.

use futures_util::StreamExt;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, Response};

use crate::body::Body;
use crate::delivery::Delivery;
use crate::drive::{Error, ErrorKind};
use crate::media_type;
use crate::tree::{Fetch, Resource};

/// Bytes of a subtitle file at the most: those of long films have some 200 KiB.
const LONGEST: u64 = 4 << 20;

/// Subtitles as WebVTT; `None` where the query or the name does not ask for them.
///
/// # Errors
/// `TooLarge`, and those of the delivery.
pub async fn subtitle(
    delivery: &Delivery,
    file: &Resource,
    query: &str,
) -> Result<Option<Response<Body>>, Error> {
    let asked = query == "as=vtt";
    let extension = media_type::extension(&file.entry.name).unwrap_or_default();
    let srt = extension.eq_ignore_ascii_case("srt");
    if !asked || !(srt || extension.eq_ignore_ascii_case("vtt")) {
        return Ok(None);
    }
    if file.entry.size.is_some_and(|size| size > LONGEST) {
        return Err(too_large());
    }
    let mut frames = delivery.fetch(file).await?;
    let mut bytes = Vec::new();
    while let Some(frame) = frames.next().await {
        let frame = frame.map_err(|error| {
            let sentence = "The subtitles could not be read to their end; try again.";
            Error::new(ErrorKind::Unreachable, sentence).with_source(error)
        })?;
        bytes.extend_from_slice(&frame);
        if bytes.len() as u64 > LONGEST {
            return Err(too_large());
        }
    }
    let text = decode(&bytes);
    let mut response = Response::new(Body::from(if srt { webvtt(&text) } else { text }));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/vtt; charset=utf-8"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(Some(response))
}

fn too_large() -> Error {
    Error::new(ErrorKind::TooLarge, "Subtitles of more than 4 MiB are not shown.")
}

/// Text from UTF-8, from UTF-16 with its mark, or from GB 18030, in which older Chinese subtitles are.
fn decode(bytes: &[u8]) -> String {
    let encoding = match encoding_rs::Encoding::for_bom(bytes) {
        Some((encoding, _)) => encoding,
        None if std::str::from_utf8(bytes).is_ok() => encoding_rs::UTF_8,
        None => encoding_rs::GB18030,
    };
    encoding.decode(bytes).0.into_owned()
}

/// SubRip as WebVTT: the signature, and dots for the commas of times (WebVTT, section 4).
fn webvtt(srt: &str) -> String {
    let mut out = String::with_capacity(srt.len() + 16);
    out.push_str("WEBVTT\n\n");
    for line in srt.lines() {
        match line.split_once("-->") {
            Some((from, to)) if is_time(from) => {
                out.push_str(&from.trim().replace(',', "."));
                out.push_str(" --> ");
                // Positions that SubRip writes behind the times are unknown to WebVTT.
                let to = to.trim();
                let end = to.find(char::is_whitespace).unwrap_or(to.len());
                out.push_str(&to[..end].replace(',', "."));
            }
            _ => out.push_str(line),
        }
        out.push('\n');
    }
    out
}

fn is_time(text: &str) -> bool {
    let text = text.trim();
    text.len() >= 9
        && text
            .chars()
            .all(|c| c.is_ascii_digit() || matches!(c, ':' | ',' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subrip_becomes_webvtt() {
        let srt = "1\r\n00:00:01,000 --> 00:00:02,500  X1:40 X2:600\r\nHello, <i>you</i> --> there\r\n\r\n2\r\n\
                   00:01:00,5 --> 00:01:02,000\r\n再见\r\n";
        let vtt = "WEBVTT\n\n1\n00:00:01.000 --> 00:00:02.500\nHello, <i>you</i> --> there\n\n2\n\
                   00:01:00.5 --> 00:01:02.000\n再见\n";
        assert_eq!(webvtt(srt), vtt);
        assert_eq!(webvtt(""), "WEBVTT\n\n");
    }

    #[test]
    fn the_text_is_found_in_what_films_come_with() {
        assert_eq!(decode("再见".as_bytes()), "再见");
        assert_eq!(decode(b"\xef\xbb\xbf1\n"), "1\n");
        assert_eq!(decode(b"\xff\xfeA\0\x8dQ"), "A再");
        assert_eq!(decode(b"\xd4\xd9\xbc\xfb"), "再见");
    }
}

//! What is read of a request: its `Depth` and its body, within bounds.

use std::pin::pin;
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use http::header::EXPECT;
use http::{HeaderMap, StatusCode, Version};
use http_body::Body;
use http_body_util::BodyExt;

use super::refusal::Refused;

/// Bytes of a body that is read as XML at the most.
const XML_LIMIT: u64 = 64 * 1024;
/// How long it may take.
const XML_TIME: Duration = Duration::from_secs(30);
/// Bytes of a body that is read only to be thrown away, so that the connection can go on.
const DRAIN_LIMIT: u64 = 256 * 1024;
/// How long such a body may take.
const DRAIN_TIME: Duration = Duration::from_secs(5);

/// How far a PROPFIND goes (RFC 4918 10.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Depth {
    /// The resource alone.
    Zero,
    /// With its members.
    One,
}

impl Depth {
    /// The depth of a PROPFIND. A missing header would mean infinity (RFC 4918 9.1), which no cloud drive
    /// can serve; it is read as 1, because clients that leave it out want an answer and not a lesson.
    ///
    /// # Errors
    /// 403 with `propfind-finite-depth` for `infinity`, 400 for what is no depth.
    pub fn of(headers: &HeaderMap) -> Result<Self, Refused> {
        let Some(value) = headers.get("depth") else {
            return Ok(Self::One);
        };
        match value.as_bytes().trim_ascii() {
            b"0" => Ok(Self::Zero),
            b"1" => Ok(Self::One),
            other if other.eq_ignore_ascii_case(b"infinity") => Err(Refused::new(
                StatusCode::FORBIDDEN,
                "A PROPFIND of infinite depth is not served; ask with Depth: 0 or Depth: 1.",
            )
            .because("propfind-finite-depth")),
            _ => Err(Refused::new(
                StatusCode::BAD_REQUEST,
                "The Depth header of a PROPFIND must be 0 or 1.",
            )),
        }
    }
}

/// Reads a body of XML whole.
///
/// # Errors
/// 413 over 64 KiB, 408 if it does not come, 400 if it breaks off.
pub async fn read_xml<B>(version: Version, body: B) -> Result<Bytes, Refused>
where
    B: Body,
{
    let (status, sentence) = match tokio::time::timeout(XML_TIME, collect(body)).await {
        Ok(Ok(read)) => return Ok(read),
        Ok(Err(refused)) => refused,
        Err(_) => (
            StatusCode::REQUEST_TIMEOUT,
            "The body of the request did not come in time; send it again.",
        ),
    };
    Err(Refused::new(status, sentence).closing(version < Version::HTTP_2))
}

async fn collect<B>(body: B) -> Result<Bytes, (StatusCode, &'static str)>
where
    B: Body,
{
    const TOO_LARGE: (StatusCode, &str) = (
        StatusCode::PAYLOAD_TOO_LARGE,
        "The body of this request is too large; it can have 64 KiB.",
    );
    if body.size_hint().lower() > XML_LIMIT {
        return Err(TOO_LARGE);
    }
    let mut body = pin!(body);
    let mut read = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| {
            (
                StatusCode::BAD_REQUEST,
                "The body of the request broke off; send it again.",
            )
        })?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        if (read.len() + data.remaining()) as u64 > XML_LIMIT {
            return Err(TOO_LARGE);
        }
        read.put(data);
    }
    Ok(read.freeze())
}

/// Throws a body away, if it is short and comes soon; says whether the connection must be closed because it
/// was not. A client that waits for `100 Continue` is not told to send what nobody wants.
pub async fn drain<B>(headers: &HeaderMap, version: Version, body: B) -> bool
where
    B: Body,
{
    if body.is_end_stream() {
        return false;
    }
    // Streams of HTTP/2 are reset one by one; there the header is not allowed (RFC 9113 8.2.2).
    let close = version < Version::HTTP_2;
    if headers.contains_key(EXPECT) || body.size_hint().lower() > DRAIN_LIMIT {
        return close;
    }
    let whole = async {
        let mut body = pin!(body);
        let mut left = DRAIN_LIMIT;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                return false;
            };
            let length = frame.data_ref().map_or(0, |data| data.remaining() as u64);
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return false,
            }
        }
        true
    };
    let whole = tokio::time::timeout(DRAIN_TIME, whole).await;
    !whole.unwrap_or(false) && close
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use futures_util::stream;
    use http_body::Frame;
    use http_body_util::{Empty, Full, StreamBody};
    use std::io;

    fn depth(value: Option<&str>) -> Result<Depth, StatusCode> {
        let mut headers = HeaderMap::new();
        if let Some(value) = value {
            headers.insert("depth", value.parse().unwrap());
        }
        Depth::of(&headers).map_err(|refused| refused.status)
    }

    #[test]
    fn the_depth_is_0_or_1_and_infinity_is_forbidden() {
        assert_eq!(depth(None), Ok(Depth::One));
        assert_eq!(depth(Some("0")), Ok(Depth::Zero));
        assert_eq!(depth(Some("1")), Ok(Depth::One));
        assert_eq!(depth(Some("Infinity")), Err(StatusCode::FORBIDDEN));
        for rubbish in ["2", "", "-1", "1,noroot", "one"] {
            assert_eq!(depth(Some(rubbish)), Err(StatusCode::BAD_REQUEST), "{rubbish:?}");
        }
    }

    /// A body without a known length, of frames of 1 KiB, broken or not.
    fn chunked(kib: usize, end: Option<io::ErrorKind>) -> impl Body<Data = Bytes, Error = io::Error> {
        let frames = (0..kib).map(|_| Ok(Frame::data(Bytes::from_static(&[b'x'; 1024]))));
        StreamBody::new(stream::iter(
            frames.chain(end.map(|kind| Err(io::Error::from(kind)))),
        ))
    }

    #[tokio::test]
    async fn a_body_of_xml_over_64_kib_is_refused_whether_announced_or_not() {
        assert_eq!(
            read_xml(Version::HTTP_11, Empty::<Bytes>::new()).await.unwrap(),
            ""
        );
        assert_eq!(
            read_xml(Version::HTTP_11, chunked(64, None)).await.unwrap().len(),
            65_536
        );
        let announced = Full::new(Bytes::from(vec![b'x'; 65_537]));
        for refused in [
            read_xml(Version::HTTP_11, announced).await.unwrap_err(),
            read_xml(Version::HTTP_11, chunked(65, None)).await.unwrap_err(),
        ] {
            assert_eq!(refused.status, StatusCode::PAYLOAD_TOO_LARGE);
            assert!(refused.close);
        }
        let broken = read_xml(Version::HTTP_11, chunked(1, Some(io::ErrorKind::UnexpectedEof)))
            .await
            .unwrap_err();
        assert_eq!(broken.status, StatusCode::BAD_REQUEST);
    }

    #[tokio::test]
    async fn an_unwanted_body_is_drained_if_short_and_closes_the_connection_if_not() {
        let headers = HeaderMap::new();
        let http1 = Version::HTTP_11;
        assert!(!drain(&headers, http1, Empty::<Bytes>::new()).await);
        assert!(!drain(&headers, http1, Full::new(Bytes::from_static(b"short"))).await);
        assert!(drain(&headers, http1, Full::new(Bytes::from(vec![0; 300_000]))).await);
        assert!(!drain(&headers, http1, chunked(256, None)).await);
        assert!(drain(&headers, http1, chunked(257, None)).await);
        assert!(drain(&headers, http1, chunked(1, Some(io::ErrorKind::UnexpectedEof))).await);
        assert!(!drain(&headers, Version::HTTP_2, chunked(257, None)).await);
        let mut waiting = HeaderMap::new();
        waiting.insert(EXPECT, "100-continue".parse().unwrap());
        assert!(drain(&waiting, http1, Full::new(Bytes::from_static(b"short"))).await);
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_does_not_come_is_not_waited_for() {
        let silent = || StreamBody::new(stream::pending::<io::Result<Frame<Bytes>>>());
        assert!(drain(&HeaderMap::new(), Version::HTTP_11, silent()).await);
        let refused = read_xml(Version::HTTP_2, silent()).await.unwrap_err();
        assert_eq!(
            (refused.status, refused.close),
            (StatusCode::REQUEST_TIMEOUT, false)
        );
    }
}

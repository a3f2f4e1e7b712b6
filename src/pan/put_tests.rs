//! Bodies that stream, against a server that says what it got.

#![allow(clippy::unwrap_used)]

use futures_util::stream;

use super::*;
use crate::pan::canned::{self, Asked, Canned};

const QUICK: Times = Times {
    whole: Duration::from_secs(20),
    stall: Duration::from_secs(10),
};

fn frames(frames: &[&'static str]) -> Frames {
    let frames: Vec<_> = frames
        .iter()
        .map(|f| Ok(Bytes::from_static(f.as_bytes())))
        .collect();
    Box::pin(stream::iter(frames))
}

async fn ok() -> Canned {
    Canned::start(|_: &Asked| canned::Answer::json("")).await
}

#[tokio::test]
async fn a_streamed_body_has_its_exact_length_and_is_never_chunked() {
    let server = ok().await;
    let client = Client::new().unwrap();
    for (given, length) in [(&["ab", "", "cde"][..], 5), (&[][..], 0)] {
        let put = client.put(&server.url, length, frames(given), QUICK, 100).await;
        assert_eq!(put.unwrap().status, 200);
        let asked = server.asked("").pop().unwrap();
        assert_eq!(asked.header("content-length"), Some(length.to_string().as_str()));
        assert_eq!(asked.header("transfer-encoding"), None);
        assert_eq!(asked.header("authorization"), None);
        assert_eq!(asked.body, given.concat());
    }
}

#[tokio::test]
async fn bytes_that_cannot_be_read_or_are_too_few_or_many_are_no_fault_of_the_line() {
    let server = ok().await;
    let client = Client::new().unwrap();
    let broken: Frames = Box::pin(stream::iter([
        Ok("ab".into()),
        Err(std::io::Error::other("disk")),
    ]));
    for source in [broken, frames(&["ab"]), frames(&["ab", "cdef"])] {
        let put = client.put(&server.url, 5, source, QUICK, 100).await;
        assert_eq!(put.unwrap_err(), HttpError::Source);
    }
}

#[tokio::test]
async fn a_server_that_takes_no_more_or_never_answers_does_not_hold_us_for_ever() {
    let server = Canned::start(|_: &Asked| canned::Answer {
        delay: Duration::from_secs(600),
        ..canned::Answer::json("")
    })
    .await;
    let client = Client::new().unwrap();
    let short = Duration::from_millis(80);
    for times in [
        Times {
            stall: short,
            ..QUICK
        },
        Times {
            whole: short,
            ..QUICK
        },
    ] {
        let put = client.put(&server.url, 2, frames(&["ab"]), times, 100).await;
        assert_eq!(put.unwrap_err(), HttpError::Timeout);
    }
}

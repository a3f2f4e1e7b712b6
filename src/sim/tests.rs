//! Round trips over sockets, as a client sees the cloud.
#![allow(clippy::unwrap_used, clippy::expect_used)]

mod deliver;
mod open;
mod qr;
mod read;
mod write;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use serde_json::Value;
use tokio::net::TcpStream;

use super::{Cloud, Options, Settings};

/// An answer as received; `whole` is false if the body broke off.
struct Received {
    status: u16,
    headers: HeaderMap,
    body: Vec<u8>,
    whole: bool,
}

impl Received {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn code(&self) -> Value {
        self.json()["code"].clone()
    }

    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |v| v.to_str().unwrap())
    }
}

/// One request on a connection of its own; none if there was no answer.
async fn send(method: &str, url: &str, headers: &[(&str, &str)], body: impl Into<Bytes>) -> Option<Received> {
    let rest = url.strip_prefix("http://").unwrap();
    let slash = rest.find('/').unwrap();
    let (host, target) = rest.split_at(slash);
    let stream = TcpStream::connect(host).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let running = tokio::spawn(connection);
    let mut request = Request::builder().method(method).uri(target).header("host", host);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = sender
        .send_request(request.body(Full::new(body.into())).unwrap())
        .await
        .ok()?;
    let (parts, mut body) = response.into_parts();
    let (mut bytes, mut whole) = (Vec::new(), true);
    while let Some(frame) = body.frame().await {
        match frame {
            Ok(frame) => bytes.extend_from_slice(&frame.into_data().unwrap_or_default()),
            Err(_) => {
                whole = false;
                break;
            }
        }
    }
    running.abort();
    Some(Received {
        status: parts.status.as_u16(),
        headers: parts.headers,
        body: bytes,
        whole,
    })
}

async fn get(url: &str, headers: &[(&str, &str)]) -> Received {
    send("GET", url, headers, "").await.unwrap()
}

/// A cloud without pace, whose web calls this client signs.
async fn cloud() -> Cloud {
    let settings = Settings {
        pace_scale: 0.0,
        ..Settings::default()
    };
    Cloud::start(Options {
        settings,
        ..Options::default()
    })
    .await
    .unwrap()
}

/// A signed web call with a token.
async fn web(cloud: &Cloud, token: &str, method: &str, path: &str, body: &Value) -> Received {
    let auth = format!("Bearer {token}");
    let mut headers = vec![("platform", "web"), ("app-version", "3")];
    if !token.is_empty() {
        headers.push(("authorization", auth.as_str()));
    }
    let url = signed(cloud, path);
    let body = if body.is_null() {
        String::new()
    } else {
        body.to_string()
    };
    send(method, &url, &headers, body).await.unwrap()
}

/// The URL of a call below `/b/api`, with its signature.
fn signed(cloud: &Cloud, path: &str) -> String {
    let bare = path.split('?').next().unwrap();
    let full = format!("/b/api{bare}");
    let (name, value) = super::sign::web_parameter(&full, Timestamp::now().as_second(), 77).unwrap();
    let join = if path.contains('?') { '&' } else { '?' };
    format!("{}/b/api{path}{join}{name}={value}", cloud.base())
}

/// The rows of a listing page.
async fn page(cloud: &Cloud, token: &str, parent: i64, page: u64) -> Value {
    let path = format!(
        "/file/list/new?driveId=0&limit=100&next=0&orderBy=file_id&orderDirection=desc&parentFileId={parent}&Page={page}"
    );
    web(cloud, token, "GET", &path, &Value::Null).await.json()
}

//! Requests as the endpoints see them, and the few kinds of answers they give.
//!
//! Keys of queries and bodies are found whatever their casing, numbers may come as strings: public clients differ
//! there and the service takes them all (API page, section 0).

use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use serde_json::{Value, json};

use super::Inner;
use super::content::hex;
use super::faults::FaultKind;
use super::options::Settings;

pub(super) type BoxError = Box<dyn std::error::Error + Send + Sync>;
pub(super) type Body = UnsyncBoxBody<Bytes, BoxError>;
pub(super) type Answer = Response<Body>;

/// Largest body of an API call in bytes.
const CALL_LIMIT: usize = 16 << 20;

/// The code for refusals of which the sources know the message only.
pub(super) const CODE_MESSAGE_ONLY: i64 = 1;

/// Locks; a panic elsewhere does not matter to the data here.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One call on its way through the cloud.
pub(super) struct Call<'a> {
    pub cloud: &'a Inner,
    pub settings: &'a Settings,
    pub parts: &'a Parts,
    /// Path without the API prefix.
    pub path: &'a str,
    /// The prefix taken off: `/api`, `/a/api`, `/b/api`, `/open`.
    pub prefix: &'a str,
    pub query: Query,
    pub body: Value,
    pub peer: IpAddr,
    /// The fault that is left to the endpoint.
    pub fault: Option<FaultKind>,
    /// Whether the call carries a token that is good.
    pub signed_in: bool,
}

impl Call<'_> {
    pub(super) fn headers(&self) -> &HeaderMap {
        &self.parts.headers
    }
}

/// A header as text; none if absent or not ASCII.
pub(super) fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name).and_then(|v| v.to_str().ok())
}

/// A decoded query.
#[derive(Debug, Default)]
pub(super) struct Query(pub Vec<(String, String)>);

impl Query {
    pub(super) fn parse(query: &str) -> Query {
        Query(
            url::form_urlencoded::parse(query.as_bytes())
                .into_owned()
                .collect(),
        )
    }

    /// The first value of a key, whatever its casing.
    pub(super) fn get(&self, key: &str) -> Option<&str> {
        self.0
            .iter()
            .find(|(k, _)| k.eq_ignore_ascii_case(key))
            .map(|(_, v)| v.as_str())
    }

    /// The first value of a key in exactly this casing.
    pub(super) fn exact(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_str())
    }

    pub(super) fn int(&self, key: &str) -> Option<i64> {
        self.get(key).and_then(|v| v.trim().parse().ok())
    }

    pub(super) fn flag(&self, key: &str) -> bool {
        self.get(key)
            .is_some_and(|v| v.eq_ignore_ascii_case("true") || v == "1")
    }
}

/// The value of a key, whatever its casing; null counts as absent.
pub(super) fn field<'v>(value: &'v Value, key: &str) -> Option<&'v Value> {
    let (_, found) = value
        .as_object()?
        .iter()
        .find(|(k, _)| k.eq_ignore_ascii_case(key))?;
    (!found.is_null()).then_some(found)
}

/// A whole number, or a string of one.
pub(super) fn number(value: &Value) -> Option<i64> {
    value
        .as_i64()
        .or_else(|| value.as_str().and_then(|s| s.trim().parse().ok()))
}

pub(super) fn int(value: &Value, key: &str) -> Option<i64> {
    field(value, key).and_then(number)
}

/// A text field; empty if absent or not a text.
pub(super) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    field(value, key).and_then(Value::as_str).unwrap_or("")
}

pub(super) fn flag(value: &Value, key: &str) -> Option<bool> {
    // Fields of a form are texts.
    let word = |v: &Value| v.as_str().map(|word| word.eq_ignore_ascii_case("true"));
    field(value, key).and_then(|v| {
        v.as_bool()
            .or_else(|| number(v).map(|n| n != 0))
            .or_else(|| word(v))
    })
}

/// A list field; empty if absent.
pub(super) fn list<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    field(value, key)
        .and_then(Value::as_array)
        .map_or(&[], Vec::as_slice)
}

/// Reads the body of a call: JSON, or a form. None if it is neither or too long.
pub(super) async fn read_body(parts: &Parts, body: Incoming) -> Option<Value> {
    let bytes = Limited::new(body, CALL_LIMIT).collect().await.ok()?.to_bytes();
    if bytes.is_empty() {
        return Some(Value::Null);
    }
    let kind = header(&parts.headers, CONTENT_TYPE.as_str()).unwrap_or("");
    if kind.starts_with("application/x-www-form-urlencoded") {
        let pairs = url::form_urlencoded::parse(&bytes).into_owned();
        return Some(Value::Object(pairs.map(|(k, v)| (k, Value::String(v))).collect()));
    }
    serde_json::from_slice(&bytes).ok()
}

pub(super) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub(super) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// An answer with a status, a media type and a body.
pub(super) fn answer(status: u16, kind: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(full(body));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    answer
}

/// A JSON answer.
pub(super) fn json_answer(status: u16, value: &Value) -> Answer {
    answer(status, "application/json; charset=utf-8", value.to_string())
}

/// An answer of the Open platform, with the id that its support asks for (section 2.1).
pub(super) async fn traced(answer: Answer) -> Answer {
    let (head, body) = answer.into_parts();
    let is_json = head
        .headers
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"));
    if !is_json {
        return Response::from_parts(head, body);
    }
    let bytes = match body.collect().await {
        Ok(whole) => whole.to_bytes(),
        // A fault breaks it off.
        Err(error) => {
            let broken = futures_util::stream::once(async { Err::<hyper::body::Frame<Bytes>, _>(error) });
            return Response::from_parts(head, http_body_util::StreamBody::new(broken).boxed_unsync());
        }
    };
    let Ok(Value::Object(mut envelope)) = serde_json::from_slice(&bytes) else {
        return Response::from_parts(head, full(bytes));
    };
    let mut random = [0; 8];
    fastrand::fill(&mut random);
    envelope.insert("x-traceID".into(), format!("sim-{}", hex(&random)).into());
    Response::from_parts(head, full(Value::Object(envelope).to_string()))
}

/// Code 0 with data.
pub(super) fn ok(data: Value) -> Answer {
    coded(0, "ok", data)
}

/// HTTP 200 with a code, a message and data.
pub(super) fn coded(code: i64, message: &str, data: Value) -> Answer {
    json_answer(200, &json!({"code": code, "message": message, "data": data}))
}

/// HTTP 200 with a code and a message.
pub(super) fn refused(code: i64, message: &str) -> Answer {
    coded(code, message, Value::Null)
}

/// Code 5066.
pub(super) fn not_found() -> Answer {
    refused(5066, "文件不存在")
}

/// A page for browsers, as retired hosts give for any path.
pub(super) fn page(status: u16) -> Answer {
    let text = "<!DOCTYPE html><html lang=\"zh\"><head><title>123云盘</title></head><body><div id=\"app\"></div></body></html>";
    answer(status, "text/html; charset=utf-8", text)
}

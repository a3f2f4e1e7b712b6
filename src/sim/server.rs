//! Listeners, connections, and the way of a request to its endpoint.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use hyper::body::Incoming;
use hyper::header::{DATE, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{Method, Request};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use super::api::{self, Access};
use super::faults::FaultKind;
use super::http::{Answer, Call, Query, answer, header, json_answer, lock, page, read_body, refused, traced};
use super::options::Risk;
use super::{Inner, cdn, direct, gate, storage, thumbnail};

/// Prefixes of web calls (API page, section 1.2).
const PREFIXES: [&str; 3] = ["/api", "/a/api", "/b/api"];

/// Accepts connections until the task is aborted, which ends the connections too.
pub(super) async fn run(cloud: Arc<Inner>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    connections.spawn(connection(cloud.clone(), stream, peer.ip()));
                }
                // Out of descriptors, or the peer has gone: neither may become a busy loop.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(10)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(cloud: Arc<Inner>, stream: TcpStream, peer: IpAddr) {
    // Without it small answers wait for the peer's acknowledgement.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| {
        let cloud = cloud.clone();
        async move {
            let is_open = ["/open/", "/upload/"]
                .iter()
                .any(|prefix| request.uri().path().starts_with(prefix));
            let mut answer = Box::pin(serve(&cloud, request, peer)).await?;
            if is_open {
                answer = traced(answer).await;
            }
            let settings = lock(&cloud.settings);
            if settings.clock_ahead != 0 {
                let at = u64::try_from(settings.now()).unwrap_or(0);
                let date = httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(at));
                if let Ok(date) = HeaderValue::from_str(&date) {
                    answer.headers_mut().insert(DATE, date);
                }
            }
            Ok::<_, io::Error>(answer)
        }
    });
    let serving = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .half_close(false)
        .serve_connection(TokioIo::new(stream), service);
    // An error here is a peer that left, or a fault that closes the connection.
    let _ = serving.await;
}

/// Where a request goes.
enum Target {
    Api(&'static api::Route, &'static str, usize),
    Bytes(&'static str, fn(&Call) -> Answer),
    Part,
    /// A form for an upload server of the Open platform.
    Form(&'static str),
    Nowhere,
}

fn target(cloud: &Inner, method: &Method, path: &str) -> Target {
    let head = method == Method::HEAD;
    let reads = head || method == Method::GET;
    if path.starts_with("/download-v2/") && reads {
        return Target::Bytes("relay", cdn::relay);
    }
    if path.starts_with(thumbnail::PREFIX) && reads {
        return Target::Bytes("thumbnail", thumbnail::thumbnail);
    }
    if path.starts_with("/link/") && reads {
        return Target::Bytes("inner", cdn::inner);
    }
    if path.starts_with("/cdn/") && reads {
        return Target::Bytes(if head { "cdn_head" } else { "cdn" }, cdn::cdn);
    }
    if path.starts_with(storage::PREFIX) && method == Method::PUT {
        return Target::Part;
    }
    if method == Method::POST {
        match path {
            "/upload/v2/file/slice" => return Target::Form("open_slice"),
            "/upload/v2/file/single/create" => return Target::Form("open_single"),
            _ => {}
        }
    }
    let tables = PREFIXES
        .iter()
        .map(|p| (*p, api::WEB))
        .chain([("/open", api::OPEN)]);
    for (prefix, routes) in tables {
        let Some(rest) = path.strip_prefix(prefix).filter(|rest| rest.starts_with('/')) else {
            continue;
        };
        if let Some(route) = routes
            .iter()
            .find(|r| r.path == rest && r.method == method.as_str())
        {
            return Target::Api(route, prefix, prefix.len());
        }
    }
    let owner = path
        .strip_prefix('/')
        .and_then(|p| p.split_once('/'))
        .map(|(first, _)| first);
    if reads && owner.is_some_and(|o| o == cloud.identity.uid.to_string()) {
        return Target::Bytes(if head { "direct_head" } else { "direct" }, direct::direct);
    }
    Target::Nowhere
}

/// One request; an error closes the connection without an answer.
async fn serve(cloud: &Inner, request: Request<Incoming>, peer: IpAddr) -> io::Result<Answer> {
    let (parts, body) = request.into_parts();
    let settings = lock(&cloud.settings).clone();
    let path = parts.uri.path().to_owned();
    let mut call = Call {
        cloud,
        settings: &settings,
        parts: &parts,
        path: &path,
        prefix: "",
        query: Query::parse(parts.uri.query().unwrap_or("")),
        body: Value::Null,
        peer,
        fault: None,
        signed_in: cloud.gate.signed_in(&parts.headers),
    };
    let target = target(cloud, &parts.method, &path);
    let (name, latency) = match &target {
        Target::Api(route, ..) => (route.name, settings.latency),
        Target::Bytes(name, _) => (*name, settings.cdn_latency),
        Target::Part => ("put_part", settings.cdn_latency),
        Target::Form(name) => (*name, settings.cdn_latency),
        Target::Nowhere => ("nowhere", settings.latency),
    };
    cloud.counters.count(name);
    if !latency.is_zero() {
        tokio::time::sleep(latency).await;
    }
    if matches!(target, Target::Api(..) | Target::Form(_))
        && let Some(refusal) = cloud.gate.pace(&settings, name, peer)
    {
        return Ok(refusal);
    }
    let rows_of = call.query.get("Page").and_then(|p| p.parse().ok());
    let fault = match strike(cloud, name, rows_of).await? {
        Struck::Answer(answer) => return Ok(answer),
        Struck::Pass(fault) => fault,
    };
    call.fault = fault.clone();
    let answer = match target {
        Target::Api(route, prefix, cut) => {
            call.prefix = prefix;
            call.path = path.get(cut..).unwrap_or("");
            // Signature and path are of the URL as sent.
            match admit(&call, route, &path)
                .or_else(|| (route.name == "sign_in").then(|| login_refusal(&call)).flatten())
            {
                Some(refusal) => refusal,
                None => match read_body(&parts, body).await {
                    Some(value) => {
                        call.body = value;
                        (route.handle)(&call)
                    }
                    None => refused(400, "参数错误"),
                },
            }
        }
        Target::Bytes(_, handle) => match cdn::leaked_token(&call) {
            Some(refusal) => refusal,
            None => handle(&call),
        },
        Target::Part => match cdn::leaked_token(&call) {
            Some(refusal) => refusal,
            None => storage::put(&call, body).await,
        },
        Target::Form(name) => match open_platform(call.headers()).or_else(|| open_token(&call)) {
            Some(refusal) => refusal,
            None if name == "open_slice" => api::open_upload::slice(&call, body).await,
            None => api::open_upload::single(&call, body).await,
        },
        Target::Nowhere => page(404),
    };
    match fault {
        Some(FaultKind::LoseAnswer) => Err(closed()),
        Some(kind) => Ok(cloud.faults.cut(answer, &kind)),
        None => Ok(answer),
    }
}

/// What the faults make of a call.
enum Struck {
    Answer(Answer),
    Pass(Option<FaultKind>),
}

async fn strike(cloud: &Inner, name: &str, page_asked: Option<u64>) -> io::Result<Struck> {
    loop {
        return Ok(Struck::Answer(match cloud.faults.strike(name, page_asked) {
            Some(FaultKind::Delay(time)) => {
                tokio::time::sleep(time).await;
                continue;
            }
            Some(FaultKind::Drop) => return Err(closed()),
            Some(FaultKind::Status(status, retry_after)) => {
                let mut answer = answer(status, "text/plain", "fault");
                if let Some(seconds) = retry_after {
                    answer
                        .headers_mut()
                        .insert(RETRY_AFTER, HeaderValue::from(seconds));
                }
                answer
            }
            Some(FaultKind::Html) => page(200),
            Some(FaultKind::Text(text)) => answer(200, "text/plain; charset=utf-8", text),
            Some(FaultKind::Code(code, message)) => {
                json_answer(200, &json!({"code": code, "message": message, "data": null}))
            }
            Some(FaultKind::GarbageJson) => answer(
                200,
                "application/json",
                "{\"code\":0,\"message\":\"ok\",\"data\":{",
            ),
            other => return Ok(Struck::Pass(other)),
        }));
    }
}

fn closed() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "a fault closes the connection")
}

/// The refusal of a call by platform, signature, token or account lock.
fn admit(call: &Call, route: &api::Route, path: &str) -> Option<Answer> {
    let (settings, headers) = (call.settings, call.headers());
    let everywhere = settings.platform_everywhere;
    let platform = || gate::platform(headers);
    let signature = || gate::signature(settings, path, &call.query);
    let token = || {
        (!call.signed_in)
            .then(|| gate::unauthorized(settings))
            .or_else(|| gate::risk(settings, false))
    };
    match route.access {
        Access::Public => None,
        Access::Login => everywhere.then(platform).flatten(),
        Access::Anonymous => everywhere.then(platform).flatten().or_else(signature),
        Access::User => platform().or_else(signature).or_else(token),
        Access::OpenToken => open_platform(headers),
        Access::Open => open_platform(headers).or_else(|| open_token(call)),
    }
}

/// Refuses a sign-in by its number or by the account lock.
fn login_refusal(call: &Call) -> Option<Answer> {
    if !call.cloud.gate.may_log_in(call.settings) {
        return Some(refused(
            super::http::CODE_MESSAGE_ONLY,
            "当前登录操作频繁，请稍后再试",
        ));
    }
    gate::risk(call.settings, true)
}

/// Refuses an Open call without its platform header (section 3.4).
fn open_platform(headers: &hyper::HeaderMap) -> Option<Answer> {
    (header(headers, "platform") != Some("open_platform")).then(|| refused(1, "Platform"))
}

fn open_token(call: &Call) -> Option<Answer> {
    if call.signed_in {
        return (call.settings.risk == Risk::Every)
            .then(|| gate::risk(call.settings, false))
            .flatten();
    }
    Some(refused(401, "access Token Invalid"))
}

impl Call<'_> {
    /// The base of a host, or the one that the caller used.
    pub(super) fn host(&self, base: &Option<String>) -> String {
        base.clone()
            .unwrap_or_else(|| match header(self.headers(), "host") {
                Some(host) => format!("http://{host}"),
                None => self.cloud.base.clone(),
            })
    }
}

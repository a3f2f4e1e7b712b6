//! The way from a download link to the bytes: relay, inner link, CDN.
//!
//! `DownloadUrl` names the relay and carries the inner link in base64; the inner link answers with the place of the
//! bytes in one of several ways; the CDN serves them, if link, `Referer` and address please it (API page, section
//! 5.8). Relay, inner link and CDN are on different hosts, so that rules about hosts can be told apart.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use hyper::StatusCode;
use hyper::header::{HeaderMap, HeaderValue, LOCATION};
use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Value, json};

use super::content::{Blob, hex};
use super::http::{Answer, Call, answer, header, json_answer, lock, not_found, ok, refused};
use super::options::{CityRule, LinkForm, RefererRule, Relay, Settings};
use super::serve::Download;

/// Links kept at most; the dead ones go first.
const LINKS: usize = 50_000;

/// Pages that the service takes as its own.
const ORIGINS: [&str; 4] = [
    "https://yun.123pan.com/",
    "https://yun.123pan.cn/",
    "https://www.123pan.com/",
    "https://www.123pan.cn/",
];

/// A link handed out.
#[derive(Clone, Debug)]
struct Link {
    blob: Blob,
    etag: String,
    name: String,
    until: Instant,
    /// The same in Unix seconds, as in the URL.
    t: i64,
    peer: IpAddr,
}

/// All links handed out.
#[derive(Debug, Default)]
pub(super) struct Links(Mutex<HashMap<String, Link>>);

impl Links {
    /// Forgets all.
    pub(super) fn expire(&self) {
        lock(&self.0).clear();
    }

    fn get(&self, id: &str) -> Option<Link> {
        lock(&self.0)
            .get(id)
            .filter(|l| l.until > Instant::now())
            .cloned()
    }

    fn add(&self, id: String, link: Link) {
        let mut links = lock(&self.0);
        if links.len() >= LINKS {
            let now = Instant::now();
            links.retain(|_, l| l.until > now);
            if links.len() >= LINKS {
                links.clear();
            }
        }
        links.insert(id, link);
    }
}

/// Makes a link for a file named by MD5 and key flag; the refusal if it may not be fetched.
pub(super) fn download(call: &Call, etag: &str, key_flag: &str, name: &str) -> Result<String, Box<Answer>> {
    if etag.is_empty() {
        return Err(refused(400, "请输入Etag").into());
    }
    if key_flag.is_empty() {
        return Err(refused(400, "S3keyFlag不能为空").into());
    }
    if call.settings.traffic_used_up {
        return Err(refused(5113, "本月免费流量不足，请开通会员").into());
    }
    let found = lock(&call.cloud.store)
        .object_by_flag(&etag.to_ascii_lowercase(), key_flag)
        .cloned();
    let Some(object) = found else {
        return Err(not_found().into());
    };
    Ok(make_link(call, object.blob, etag, name))
}

/// Makes a link to a blob, in the form that the settings say.
pub(super) fn make_link(call: &Call, blob: Blob, etag: &str, name: &str) -> String {
    let life = call.settings.link_life;
    let t = call.settings.now() + i64::try_from(life.as_secs()).unwrap_or(0);
    let mut random = [0; 16];
    fastrand::fill(&mut random);
    let id = hex(&random);
    let until = Instant::now() + life.min(Duration::from_secs(10 * 365 * 86_400));
    let link = Link {
        blob,
        etag: etag.to_ascii_lowercase(),
        name: name.into(),
        until,
        t,
        peer: call.peer,
    };
    call.cloud.links.add(id.clone(), link);
    // The odd characters make the base64 text contain `+` and `/` whatever their place.
    let inner = format!(
        "{}/link/{id}?v=5&t={t}&bzc=1&auto_redirect=0&x=~~~~~?????",
        call.host(&call.cloud.hosts.inner)
    );
    let params = match call.settings.link_form {
        LinkForm::Plain => return inner,
        LinkForm::Standard => STANDARD.encode(&inner),
        LinkForm::StandardEscaped => {
            utf8_percent_encode(&STANDARD.encode(&inner), NON_ALPHANUMERIC).to_string()
        }
        LinkForm::UrlSafe => URL_SAFE_NO_PAD.encode(&inner),
    };
    format!(
        "{}/download-v2/?params={params}&is_s3=0",
        call.host(&call.cloud.hosts.relay)
    )
}

/// The relay itself, for those who follow it: it sends them on to the inner link.
pub(super) fn relay(call: &Call) -> Answer {
    let raw = call
        .parts
        .uri
        .query()
        .unwrap_or("")
        .split('&')
        .find_map(|p| p.strip_prefix("params="))
        .unwrap_or("");
    let text = percent_decode_str(raw)
        .decode_utf8_lossy()
        .replace('-', "+")
        .replace('_', "/");
    let inner = STANDARD_NO_PAD
        .decode(text.trim_end_matches('='))
        .ok()
        .and_then(|b| String::from_utf8(b).ok());
    match inner {
        Some(inner) => redirect(&inner),
        None => answer(400, "text/plain", "bad params"),
    }
}

/// The inner link: says where the bytes are.
pub(super) fn inner(call: &Call) -> Answer {
    let Some(link) = call.cloud.links.get(link_id(call.path, "/link/")) else {
        return expired(call.settings);
    };
    let id = link_id(call.path, "/link/");
    let name = utf8_percent_encode(&link.name, NON_ALPHANUMERIC);
    let place = format!(
        "{}/cdn/{id}/{}?v=5&t={}&r=SIM&bzc=1&filename={name}",
        call.host(&call.cloud.hosts.cdn),
        link.etag,
        link.t
    );
    match call.settings.relay {
        Relay::Redirect => redirect(&place),
        Relay::Json200 => ok(json!({"redirect_url": place})),
        Relay::Json210 => json_answer(
            210,
            &json!({"code": 0, "message": "ok", "data": {"redirect_url": place}}),
        ),
        Relay::Bytes => serve(call, &link, false),
        Relay::Html => {
            let place = place.replace('&', "&amp;");
            let page =
                format!("<html><body>您的请求将被重定向到：<a href='{place}'>redirect</a></body></html>");
            answer(200, "text/html; charset=utf-8", page)
        }
    }
}

/// The CDN.
pub(super) fn cdn(call: &Call) -> Answer {
    let settings = call.settings;
    let Some(link) = call.cloud.links.get(link_id(call.path, "/cdn/")) else {
        return expired(settings);
    };
    if !referer_ok(call) {
        return refusal(settings, "not found r or referer in steal link v6");
    }
    let same = link.peer == call.peer;
    if settings.city == CityRule::Nowhere || (settings.city == CityRule::SameAddress && !same) {
        return refusal(settings, "forbidden realc:杭州 arg_c:北京");
    }
    if settings.anti_leech {
        return anti_leech_page();
    }
    serve(call, &link, settings.ignore_range)
}

/// Refuses a request that carries a token to where none may go.
pub(super) fn leaked_token(call: &Call) -> Option<Answer> {
    call.headers().contains_key("authorization").then(|| {
        call.cloud.counters.count("leaked_authorization");
        answer(
            400,
            "application/xml",
            "<Error><Code>InvalidArgument</Code></Error>",
        )
    })
}

fn serve(call: &Call, link: &Link, ignore_range: bool) -> Answer {
    Download {
        blob: &link.blob,
        etag: &link.etag,
        name: &link.name,
        headers: call.headers(),
        head: call.parts.method == hyper::Method::HEAD,
        no_length: false,
        ignore_range,
        rate: call.settings.throttle,
    }
    .answer()
}

fn link_id<'p>(path: &'p str, before: &str) -> &'p str {
    path.strip_prefix(before)
        .and_then(|rest| rest.split('/').next())
        .unwrap_or("")
}

fn redirect(to: &str) -> Answer {
    let mut answer = answer(302, "text/html; charset=utf-8", "");
    if let Ok(place) = HeaderValue::from_str(to) {
        answer.headers_mut().insert(LOCATION, place);
    } else {
        *answer.status_mut() = StatusCode::INTERNAL_SERVER_ERROR;
    }
    answer
}

fn referer_ok(call: &Call) -> bool {
    let sent = referer(call.headers());
    let host = |base: &Option<String>| sent == format!("{}/", call.host(base));
    match call.settings.referer {
        RefererRule::Off => true,
        RefererRule::Outer => host(&call.cloud.hosts.relay),
        RefererRule::Inner => host(&call.cloud.hosts.inner),
        RefererRule::Origin => ORIGINS.contains(&sent),
    }
}

fn referer(headers: &HeaderMap) -> &str {
    header(headers, "referer").unwrap_or("")
}

fn expired(settings: &Settings) -> Answer {
    answer(settings.expired_status, "text/plain", "link expired")
}

fn refusal(settings: &Settings, message: &str) -> Answer {
    json_answer(
        settings.refusal_status,
        &json!({"code": 1010, "message": message, "data": Value::Null}),
    )
}

/// A page of about 5 KB in the place of the file (section 5.8).
fn anti_leech_page() -> Answer {
    let text = "<p>123云盘</p>".repeat(320);
    answer(
        200,
        "text/html; charset=utf-8",
        format!("<!DOCTYPE html><html><body>{text}</body></html>"),
    )
}

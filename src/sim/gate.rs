//! What stands in front of every call: ban, pace, platform, signature, token, account lock.
//!
//! The pace of an endpoint is one call per interval in the long run, with a tenth of it (or `jitter`) as
//! tolerance for the jitter of a network. A call that comes too early is a violation; enough of them ban the caller (API page, section 10).

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Mutex;
use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hyper::header::{HeaderMap, HeaderValue, RETRY_AFTER};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::content::hex;
use super::http::{Answer, CODE_MESSAGE_ONLY, Query, header, json_answer, lock, refused};
use super::options::{AuthError, Risk, Settings, SignatureRule, TooFast};
use super::sign;

/// Tokens that live, calls so far, and who is banned.
#[derive(Debug, Default)]
pub(super) struct Gate {
    tokens: Mutex<VecDeque<(String, Instant)>>,
    logins: Mutex<VecDeque<Instant>>,
    /// When an endpoint's next call is due.
    due: Mutex<HashMap<&'static str, Instant>>,
    record: Mutex<Record>,
}

/// Violations so far.
#[derive(Debug, Default)]
struct Record {
    total: u64,
    by_endpoint: HashMap<&'static str, u64>,
    banned: bool,
}

impl Gate {
    /// A new token: shaped as a JWT, good for `settings.token_life`; the oldest one goes if there are too many.
    pub(super) fn issue(&self, settings: &Settings, uid: i64, username: &str) -> (String, Timestamp) {
        let now = Timestamp::now();
        let exp = now.as_second() + i64::try_from(settings.token_life.as_secs()).unwrap_or(i64::MAX / 2);
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let mut random = [0; 32];
        fastrand::fill(&mut random);
        let token = format!(
            "{}.{}.{}",
            part(json!({"alg": "HS256", "typ": "JWT"})),
            part(json!({
                "exp": exp, "iat": now.as_second(), "id": uid, "mail": "", "nickname": username,
                "username": uid, "v": 0, "jti": hex(&random[..8]),
            })),
            URL_SAFE_NO_PAD.encode(random),
        );
        let mut tokens = lock(&self.tokens);
        let until = Instant::now()
            .checked_add(settings.token_life)
            .unwrap_or_else(Instant::now);
        tokens.push_back((token.clone(), until));
        while tokens.len() > settings.live_tokens.max(1) {
            tokens.pop_front();
        }
        (token, Timestamp::from_second(exp).unwrap_or(now))
    }

    /// Ends one token, or all.
    pub(super) fn revoke(&self, token: Option<&str>) {
        lock(&self.tokens).retain(|(t, _)| token.is_some_and(|gone| gone != t));
    }

    /// How many tokens live.
    pub(super) fn live(&self) -> usize {
        let now = Instant::now();
        lock(&self.tokens)
            .iter()
            .filter(|(_, until)| *until > now)
            .count()
    }

    /// Whether the `Authorization` header carries a token that lives.
    pub(super) fn signed_in(&self, headers: &HeaderMap) -> bool {
        let Some(token) = bearer(headers) else {
            return false;
        };
        let now = Instant::now();
        lock(&self.tokens)
            .iter()
            .any(|(t, until)| t == token && *until > now)
    }

    /// Counts a sign-in; false if there were too many lately.
    pub(super) fn may_log_in(&self, settings: &Settings) -> bool {
        let Some((most, window)) = settings.logins else {
            return true;
        };
        let now = Instant::now();
        let mut logins = lock(&self.logins);
        logins.retain(|at| now.duration_since(*at) < window);
        logins.push_back(now);
        logins.len() <= most as usize
    }

    /// Ban and pace; the refusal if one applies.
    pub(super) fn pace(&self, settings: &Settings, endpoint: &'static str, peer: IpAddr) -> Option<Answer> {
        let interval = settings.interval(endpoint);
        let mut record = lock(&self.record);
        if record.banned {
            return Some(banned(settings, peer));
        }
        if interval.is_zero() {
            return None;
        }
        let now = Instant::now();
        let mut due = lock(&self.due);
        let at = due.get(endpoint).copied().unwrap_or(now);
        if now + settings.jitter.unwrap_or(interval / 10) >= at {
            due.insert(endpoint, at.max(now) + interval);
            return None;
        }
        record.total += 1;
        *record.by_endpoint.entry(endpoint).or_default() += 1;
        if settings.ban_after.is_some_and(|most| record.total >= most) {
            record.banned = true;
            return Some(banned(settings, peer));
        }
        Some(too_fast(settings, endpoint))
    }

    /// Violations of the pace, of one endpoint or all.
    pub(super) fn violations(&self, endpoint: Option<&str>) -> u64 {
        let record = lock(&self.record);
        endpoint.map_or(record.total, |e| record.by_endpoint.get(e).copied().unwrap_or(0))
    }

    /// Forgets violations, bans and sign-ins.
    pub(super) fn pardon(&self) {
        *lock(&self.record) = Record::default();
        lock(&self.due).clear();
        lock(&self.logins).clear();
    }

    pub(super) fn is_banned(&self) -> bool {
        lock(&self.record).banned
    }
}

/// The token of an `Authorization` header.
pub(super) fn bearer(headers: &HeaderMap) -> Option<&str> {
    header(headers, "authorization")?
        .strip_prefix("Bearer ")
        .map(str::trim)
        .filter(|t| !t.is_empty())
}

/// Refuses a call without a platform.
pub(super) fn platform(headers: &HeaderMap) -> Option<Answer> {
    let there = header(headers, "platform").is_some_and(|p| !p.trim().is_empty());
    (!there).then(|| refused(1, "Please include the platform field in the request header"))
}

/// Refuses a call whose signature is wrong or missing.
pub(super) fn signature(settings: &Settings, path: &str, query: &Query) -> Option<Answer> {
    let sent = query
        .0
        .iter()
        .find(|(name, value)| sign::looks_signed(name, value));
    let now = settings.now();
    let good = match (settings.signature, sent) {
        (SignatureRule::Off, _) | (SignatureRule::IfPresent, None) => true,
        (SignatureRule::Required, None) => false,
        (_, Some((name, value))) => {
            sign::web_signature_ok(path, name, value, now, settings.signature_window.as_secs())
        }
    };
    (!good).then(|| refused(CODE_MESSAGE_ONLY, "签名错误:ak illegality"))
}

/// The refusal of a call without a good token.
pub(super) fn unauthorized(settings: &Settings) -> Answer {
    let (status, code, message) = match settings.auth_error {
        AuthError::Code401 => (401, 401, "cookie token is empty"),
        AuthError::Code20101 => (200, 20101, "请登录"),
        AuthError::Code2 => (401, 2, "token is expired"),
    };
    json_answer(status, &json!({"code": code, "message": message, "data": null}))
}

/// Refuses while the account is locked.
pub(super) fn risk(settings: &Settings, signing_in: bool) -> Option<Answer> {
    let locked = match settings.risk {
        Risk::Off => false,
        Risk::Login => signing_in,
        Risk::Every => true,
    };
    locked.then(|| refused(CODE_MESSAGE_ONLY, &settings.risk_message))
}

fn banned(settings: &Settings, peer: IpAddr) -> Answer {
    let message = format!("123pan-global-slb forbidden client ip {peer}");
    json_answer(settings.ban_status, &json!({"code": "403", "message": message}))
}

fn too_fast(settings: &Settings, endpoint: &str) -> Answer {
    let mut answer = match settings.too_fast {
        TooFast::Status429 => json_answer(429, &json!({"code": 429, "message": "请求太频繁", "data": null})),
        TooFast::Code429 => refused(429, "请求太频繁"),
        TooFast::Text if endpoint == "download_info" => {
            refused(CODE_MESSAGE_ONLY, "下载操作频繁，请稍后再试")
        }
        TooFast::Text => refused(CODE_MESSAGE_ONLY, "操作频繁，请稍后再试"),
    };
    if let Some(seconds) = settings.retry_after {
        answer
            .headers_mut()
            .insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

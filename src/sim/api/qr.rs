//! Signing in by QR code (API page, section 5.1): a page shows a code and polls, a phone scans and decides.
//!
//! The phone is a hand that turns [`Cloud::qr_scan`] and its like, a client that is signed in already and uses the
//! `scan`, `login` and `deny` calls, or an automatic one ([`Phone`]).

use std::collections::HashMap;

use serde_json::{Value, json};

use crate::sim::Cloud;
use crate::sim::content::hex;
use crate::sim::http::{Answer, CODE_MESSAGE_ONLY, Call, coded, int, lock, ok, refused, text};
use crate::sim::options::Phone;

/// Codes shown so far and what became of them.
pub(in crate::sim) type QrCodes = HashMap<String, QrCode>;

/// A code.
#[derive(Clone, Copy, Debug)]
pub(in crate::sim) struct QrCode {
    status: QrStatus,
    /// 4 WeChat, 7 the app.
    platform: i64,
    /// Whether its token has been given.
    spent: bool,
}

/// `loginStatus`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum QrStatus {
    Waiting = 0,
    Scanned = 1,
    Denied = 2,
    LoggedIn = 3,
    Expired = 4,
}

/// What scans.
const PLATFORMS: [i64; 2] = [4, 7];

pub(super) fn generate(call: &Call) -> Answer {
    let mut random = [0; 16];
    fastrand::fill(&mut random);
    let id = hex(&random);
    let code = QrCode {
        status: QrStatus::Waiting,
        platform: 7,
        spent: false,
    };
    lock(&call.cloud.qr).insert(id.clone(), code);
    ok(json!({"uniID": id, "url": format!("{}/wx-app-login.html", call.host(&None))}))
}

pub(super) fn result(call: &Call) -> Answer {
    let mut codes = lock(&call.cloud.qr);
    // No source says what an unknown id is answered with.
    let Some(code) = call.query.exact("uniID").and_then(|id| codes.get_mut(id)) else {
        return ok(json!({"loginStatus": QrStatus::Expired as i32}));
    };
    let shown = code.status;
    if shown == QrStatus::LoggedIn && !code.spent {
        // One confirmation gives one token.
        code.spent = true;
        let identity = &call.cloud.identity;
        let gate = &call.cloud.gate;
        let (token, _) = gate.issue(call.settings, identity.uid, &identity.phone);
        let data = json!({"loginStatus": 3, "scanPlatform": code.platform, "token": token, "login_type": 7});
        return coded(200, "success", data);
    }
    code.status = next(call.settings.phone, shown);
    let shown = if code.spent { QrStatus::Expired } else { shown };
    ok(json!({"loginStatus": shown as i32, "scanPlatform": code.platform}))
}

/// What the automatic phone does between two polls.
fn next(phone: Phone, status: QrStatus) -> QrStatus {
    match (phone, status) {
        (Phone::Confirms | Phone::Denies, QrStatus::Waiting) => QrStatus::Scanned,
        (Phone::Confirms, QrStatus::Scanned) => QrStatus::LoggedIn,
        (Phone::Denies, QrStatus::Scanned) => QrStatus::Denied,
        (Phone::Lost, QrStatus::Waiting | QrStatus::Scanned) => QrStatus::Expired,
        (_, status) => status,
    }
}

pub(super) fn scan(call: &Call) -> Answer {
    let platform = int(&call.body, "scanPlatform").filter(|platform| PLATFORMS.contains(platform));
    let Some(platform) = platform else {
        return refused(400, "参数错误");
    };
    decide(call, QrStatus::Waiting, QrStatus::Scanned, Some(platform))
}

pub(super) fn login(call: &Call) -> Answer {
    decide(call, QrStatus::Scanned, QrStatus::LoggedIn, None)
}

pub(super) fn deny(call: &Call) -> Answer {
    decide(call, QrStatus::Scanned, QrStatus::Denied, None)
}

/// A signed-in client moves a code on. No source gives the refusal for one that is elsewhere.
fn decide(call: &Call, from: QrStatus, to: QrStatus, platform: Option<i64>) -> Answer {
    let mut codes = lock(&call.cloud.qr);
    let id = text(&call.body, "uniID");
    let code = codes.get_mut(id).filter(|code| code.status == from);
    let Some(code) = code else {
        return refused(CODE_MESSAGE_ONLY, "二维码已失效");
    };
    code.status = to;
    code.platform = platform.unwrap_or(code.platform);
    ok(Value::Null)
}

impl Cloud {
    /// The QR codes that wait are scanned by the phone. How many.
    pub fn qr_scan(&self) -> usize {
        self.qr_all(&[QrStatus::Waiting], QrStatus::Scanned)
    }

    /// The scanned QR codes are confirmed on the phone: their next poll gives a token. How many.
    pub fn qr_confirm(&self) -> usize {
        self.qr_all(&[QrStatus::Scanned], QrStatus::LoggedIn)
    }

    /// The scanned QR codes are denied on the phone. How many.
    pub fn qr_deny(&self) -> usize {
        self.qr_all(&[QrStatus::Scanned], QrStatus::Denied)
    }

    /// The QR codes that are undecided expire. How many.
    pub fn qr_expire(&self) -> usize {
        self.qr_all(&[QrStatus::Waiting, QrStatus::Scanned], QrStatus::Expired)
    }

    /// The ids of the QR codes that nobody has scanned.
    pub fn qr_waiting(&self) -> Vec<String> {
        let codes = lock(&self.inner.qr);
        let waiting = codes.iter().filter(|(_, code)| code.status == QrStatus::Waiting);
        waiting.map(|(id, _)| id.clone()).collect()
    }

    fn qr_all(&self, from: &[QrStatus], to: QrStatus) -> usize {
        let mut codes = lock(&self.inner.qr);
        let moved = codes.values_mut().filter(|code| from.contains(&code.status));
        moved.map(|code| code.status = to).count()
    }
}

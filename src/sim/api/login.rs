//! Signing in, by password or QR code, and what is said about the account (API page, sections 1.3, 5.1, 5.2).

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::tz::Offset;
use serde_json::{Value, json};

use crate::sim::Cloud;
use crate::sim::content::hex;
use crate::sim::gate::bearer;
use crate::sim::http::{Answer, CODE_MESSAGE_ONLY, Call, coded, lock, ok, refused, text};

/// QR codes shown so far and what became of them.
pub(in crate::sim) type QrCodes = HashMap<String, QrStatus>;

/// `loginStatus` of a QR code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sim) enum QrStatus {
    Waiting = 0,
    Scanned = 1,
    Denied = 2,
    LoggedIn = 3,
    Expired = 4,
}

pub(super) fn sign_in(call: &Call) -> Answer {
    let identity = &call.cloud.identity;
    let (mail, passport) = (text(&call.body, "mail"), text(&call.body, "passport"));
    let known = if mail.is_empty() {
        passport == identity.phone || passport.eq_ignore_ascii_case(&identity.mail)
    } else {
        mail.eq_ignore_ascii_case(&identity.mail)
    };
    if !known || text(&call.body, "password") != identity.password {
        return refused(CODE_MESSAGE_ONLY, "用户名或密码错误");
    }
    signed_in(call)
}

/// Code 200 with a new token.
fn signed_in(call: &Call) -> Answer {
    let identity = &call.cloud.identity;
    let (token, until) = call
        .cloud
        .gate
        .issue(call.settings, identity.uid, &identity.phone);
    let expire = until.display_with_offset(Offset::constant(8)).to_string();
    let data = json!({"token": token, "expire": expire, "refresh_token_expire_time": until.as_second(), "login_type": 1});
    coded(200, "success", data)
}

pub(super) fn logout(call: &Call) -> Answer {
    if let Some(token) = bearer(call.headers()) {
        call.cloud.gate.revoke(Some(token));
    }
    ok(Value::Null)
}

pub(super) fn dydomain(call: &Call) -> Answer {
    let host = call.host(&None);
    let name = host.strip_prefix("http://").unwrap_or(&host);
    ok(json!({"domains": [name], "ucenterDomain": name}))
}

pub(super) fn server_time(_: &Call) -> Answer {
    ok(json!({"timestamp": Timestamp::now().as_second()}))
}

pub(super) fn qr_generate(call: &Call) -> Answer {
    let mut random = [0; 16];
    fastrand::fill(&mut random);
    let id = hex(&random);
    lock(&call.cloud.qr).insert(id.clone(), QrStatus::Waiting);
    ok(json!({"uniID": id, "url": format!("{}/wx-app-login.html", call.host(&None))}))
}

pub(super) fn qr_result(call: &Call) -> Answer {
    let status = call
        .query
        .get("uniID")
        .and_then(|id| lock(&call.cloud.qr).get(id).copied());
    match status {
        Some(QrStatus::LoggedIn) => {
            let identity = &call.cloud.identity;
            let (token, _) = call
                .cloud
                .gate
                .issue(call.settings, identity.uid, &identity.phone);
            if let Some(id) = call.query.get("uniID") {
                // One confirmation gives one token.
                lock(&call.cloud.qr).insert(id.to_owned(), QrStatus::Expired);
            }
            coded(
                200,
                "success",
                json!({"loginStatus": 3, "scanPlatform": 7, "token": token, "login_type": 7}),
            )
        }
        Some(status) => ok(json!({"loginStatus": status as i32, "scanPlatform": 7})),
        None => ok(json!({"loginStatus": QrStatus::Expired as i32})),
    }
}

pub(super) fn user_info(call: &Call) -> Answer {
    let identity = &call.cloud.identity;
    let (count, used) = lock(&call.cloud.store).usage();
    ok(json!({
        "UID": identity.uid,
        "Nickname": identity.username,
        "SpaceUsed": used,
        "SpacePermanent": call.settings.space,
        "SpaceTemp": 0,
        "SpaceTempExpr": "",
        "FileCount": count,
        "Mail": identity.mail,
        "Passport": identity.phone,
        "HeadImage": "",
        "Vip": false,
        "VipLevel": 0,
        "VipExpire": "",
        "DirectTraffic": 0,
        "ShareTraffic": 0,
        "SafeBoxFileId": 0,
    }))
}

impl Cloud {
    /// The QR codes that wait for a decision are scanned by the phone.
    pub fn qr_scan(&self) {
        self.qr_all(QrStatus::Waiting, QrStatus::Scanned);
    }

    /// The scanned QR codes are confirmed on the phone: their next poll gives a token.
    pub fn qr_confirm(&self) {
        self.qr_all(QrStatus::Scanned, QrStatus::LoggedIn);
    }

    /// The scanned QR codes are denied on the phone.
    pub fn qr_deny(&self) {
        self.qr_all(QrStatus::Scanned, QrStatus::Denied);
    }

    /// The QR codes that wait expire.
    pub fn qr_expire(&self) {
        self.qr_all(QrStatus::Waiting, QrStatus::Expired);
    }

    fn qr_all(&self, from: QrStatus, to: QrStatus) {
        lock(&self.inner.qr)
            .values_mut()
            .filter(|s| **s == from)
            .for_each(|s| *s = to);
    }
}

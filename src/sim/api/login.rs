//! Signing in by password, and what is said about the account (API page, sections 1.3, 5.1, 5.2).

use jiff::tz::Offset;
use serde_json::{Value, json};

use crate::sim::gate::bearer;
use crate::sim::http::{Answer, CODE_MESSAGE_ONLY, Call, coded, lock, ok, refused, text};

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

pub(super) fn server_time(call: &Call) -> Answer {
    ok(json!({"timestamp": call.settings.now()}))
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

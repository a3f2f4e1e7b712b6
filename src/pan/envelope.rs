//! The envelope of every answer, `{code, message, data}`, and what its codes mean (API page 2).
//!
//! The body's code decides; the HTTP status counts only where there is no envelope, or for 401 and
//! 429. An answer counts as success only with the success code of its endpoint: a missing code,
//! broken JSON and HTML never do. Messages are looked at before codes, because the dangerous
//! answers (risk control, bans) come with changing codes.

use std::time::Duration;

use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};

use super::error::{Reason, Said};
use super::lenient;

/// The success code of every endpoint but `user/sign_in` (API page 2.2).
pub const OK: i64 = 0;
/// The success code of `user/sign_in`.
pub const SIGNED_IN: i64 = 200;

/// Any of these in a message: a person must act, and no call may follow (API page 2.5).
const RISK: [&str; 17] = [
    "短信验证码",
    "短信验证",
    "微信进行登录",
    "微信登录",
    "安全风险",
    "账号风险",
    "帐号风险",
    "设备风险",
    "陌生设备",
    "验证码",
    "境外登录风险",
    "请进行验证",
    "123pan forbidden",
    "tokens number has exceeded",
    "sms verification",
    "verification code",
    "security risk",
];
/// The load balancer's words for a banned address.
const BANNED: [&str; 4] = [
    "slb forbidden",
    "forbidden client ip",
    "foreign-forbidden",
    "forbidden cache client ip",
];
/// Words for "too fast".
const BUSY: [&str; 4] = ["操作频繁", "请求太频繁", "请求过于频繁", "rate limit type min"];
/// How much of a body that is not JSON is searched for such words.
const TEXT_LIMIT: usize = 1024;

/// Everything but the data.
#[derive(Deserialize)]
struct Head {
    #[serde(default, deserialize_with = "lenient::opt_int")]
    code: Option<i64>,
    #[serde(default, rename = "Code", deserialize_with = "lenient::opt_int")]
    upper_code: Option<i64>,
    #[serde(default, deserialize_with = "lenient::text")]
    message: String,
    #[serde(default, rename = "Message", deserialize_with = "lenient::text")]
    upper_message: String,
    #[serde(default, deserialize_with = "lenient::text")]
    msg: String,
    #[serde(
        default,
        rename = "x-traceID",
        alias = "x-traceId",
        deserialize_with = "lenient::text"
    )]
    trace: String,
    #[serde(default, rename = "data")]
    _data: IgnoredAny,
}

/// The data alone.
#[derive(Deserialize)]
#[serde(bound = "T: DeserializeOwned")]
struct Whole<T> {
    data: Option<T>,
    #[serde(rename = "Data")]
    upper_data: Option<T>,
}

/// Reads an answer whose success code is `success`. Missing or null data is an error, unless `T` can be
/// made of null: a change answers with whatever it likes.
///
/// # Errors
/// The reason why it is none, for the endpoint named `call`.
pub fn read<T: DeserializeOwned>(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    success: i64,
) -> Result<T, Reason> {
    let head = match head(body) {
        Ok(head) => head,
        Err(what) => return Err(without_envelope(status, headers, body, what)),
    };
    let Some(code) = head.code.or(head.upper_code) else {
        return Err(without_envelope(status, headers, body, "the answer has no code"));
    };
    if code != success {
        let text = [head.message, head.upper_message, head.msg]
            .into_iter()
            .find(|text| !text.is_empty())
            .unwrap_or_default();
        return Err(refusal(status, headers, code, &text).traced(&head.trace));
    }
    let whole: Whole<T> =
        serde_json::from_slice(body).map_err(|_| Reason::Nonsense("the answer's data has another form"))?;
    whole
        .data
        .or(whole.upper_data)
        .or_else(|| serde_json::from_str("null").ok())
        .ok_or(Reason::Nonsense("the answer has no data"))
}

/// Whether a body is an HTML page.
pub fn is_html(body: &[u8]) -> bool {
    body.trim_ascii_start().starts_with(b"<")
}

/// How long `Retry-After` asks to wait, in its form with seconds.
pub fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    value.trim().parse().ok().map(Duration::from_secs)
}

fn head(body: &[u8]) -> Result<Head, &'static str> {
    if is_html(body) {
        return Err("the answer is an HTML page");
    }
    serde_json::from_slice(body).map_err(|_| "the answer is not JSON")
}

fn without_envelope(status: StatusCode, headers: &HeaderMap, body: &[u8], what: &'static str) -> Reason {
    if !is_html(body) {
        let start = &body[..body.len().min(TEXT_LIMIT)];
        if let Some(reason) = by_words(&String::from_utf8_lossy(start), headers, None) {
            return reason;
        }
    }
    match status {
        StatusCode::TOO_MANY_REQUESTS => Reason::Busy {
            said: Said::new(Some(429), ""),
            after: retry_after(headers),
        },
        StatusCode::UNAUTHORIZED => Reason::Session(Said::new(Some(401), "")),
        status if status.is_server_error() => Reason::Status(status.as_u16()),
        _ => Reason::Nonsense(what),
    }
}

/// What an envelope with another code than success means.
fn refusal(status: StatusCode, headers: &HeaderMap, code: i64, text: &str) -> Reason {
    if let Some(reason) = by_words(text, headers, Some(code)) {
        return reason;
    }
    let said = Said::new(Some(code), text);
    match code {
        5060 => Reason::Exists(said),
        5066 => Reason::NotFound(said),
        5103 => Reason::SharePassword(said),
        5104 => Reason::ShareGone(said),
        5112 => Reason::LoginNeeded(said),
        5113 | 5114 => Reason::Traffic(said),
        429 => Reason::Busy {
            said,
            after: retry_after(headers),
        },
        2 | 401 | 20101 => Reason::Session(said),
        _ if status == StatusCode::TOO_MANY_REQUESTS => Reason::Busy {
            said,
            after: retry_after(headers),
        },
        _ if status == StatusCode::UNAUTHORIZED => Reason::Session(said),
        _ => Reason::Refused(said),
    }
}

/// What the words of an answer mean, whatever its code.
fn by_words(text: &str, headers: &HeaderMap, code: Option<i64>) -> Option<Reason> {
    let has = |words: &[&str]| words.iter().any(|word| text.contains(word));
    let said = || Said::new(code, text);
    if has(&BANNED) {
        return Some(Reason::Banned {
            said: said(),
            after: None,
        });
    }
    if has(&RISK) || has_ignoring_case(text, &RISK) {
        return Some(Reason::Risk(said()));
    }
    if has(&BUSY) {
        return Some(Reason::Busy {
            said: said(),
            after: retry_after(headers),
        });
    }
    if has(&["签名错误"]) {
        return Some(Reason::Signature(said()));
    }
    if has(&["请登录后下载", "注册登录或付费"]) {
        return Some(Reason::LoginNeeded(said()));
    }
    if has(&["分享页面不存在", "分享不存在"]) {
        return Some(Reason::ShareGone(said()));
    }
    if has(&["提取码错误", "ShareKey格式异常"]) {
        return Some(Reason::SharePassword(said()));
    }
    None
}

fn has_ignoring_case(text: &str, words: &[&str]) -> bool {
    let lower = text.to_ascii_lowercase();
    words.iter().any(|word| lower.contains(word))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn reason(status: u16, body: &str) -> Reason {
        answer(status, body, OK).unwrap_err()
    }

    fn answer(status: u16, body: &str, success: i64) -> Result<i64, Reason> {
        read(
            StatusCode::from_u16(status).unwrap(),
            &HeaderMap::new(),
            body.as_bytes(),
            success,
        )
    }

    #[test]
    fn success_needs_the_endpoints_own_code_and_data() {
        assert_eq!(answer(200, r#"{"code":0,"data":7}"#, OK), Ok(7));
        assert_eq!(
            answer(200, r#"{"code":"0","message":"ok","msg":"ok","data":7}"#, OK),
            Ok(7)
        );
        assert_eq!(
            answer(200, r#"{"Code":0,"Message":"ok","Data":7,"request_id":"x"}"#, OK),
            Ok(7)
        );
        assert_eq!(answer(200, r#"{"code":200,"data":7}"#, SIGNED_IN), Ok(7));
        assert!(matches!(
            answer(200, r#"{"code":0,"data":7}"#, SIGNED_IN),
            Err(Reason::Refused(_))
        ));
        assert!(matches!(
            answer(200, r#"{"code":200,"data":7}"#, OK),
            Err(Reason::Refused(_))
        ));
        for nonsense in [
            r#"{"data":7}"#,
            r#"{"code":null,"data":7}"#,
            r#"{"code":"ok","data":7}"#,
            r#"{"code":0}"#,
            r#"{"code":0,"data":null}"#,
            r#"{"code":0,"data":{"x":1}}"#,
            r#"{"code":0,"data":7"#,
            "",
            "ok",
            " <!DOCTYPE html><html>404</html>",
        ] {
            assert!(matches!(reason(200, nonsense), Reason::Nonsense(_)), "{nonsense}");
        }
    }

    #[test]
    fn the_trace_id_of_the_open_platform_is_told() {
        let reason = reason(
            200,
            r#"{"code":5066,"message":"文件不存在","x-traceID":"a1-b2 <x>"}"#,
        );
        assert_eq!(
            reason.to_string(),
            "no such file: \"文件不存在\" (code 5066), x-traceID a1-b2x"
        );
    }

    #[test]
    fn a_change_needs_no_data() {
        for body in [
            r#"{"code":0}"#,
            r#"{"code":0,"data":null}"#,
            r#"{"code":0,"data":[1]}"#,
        ] {
            let read = read::<IgnoredAny>(StatusCode::OK, &HeaderMap::new(), body.as_bytes(), OK);
            assert!(read.is_ok(), "{body}");
        }
    }

    #[test]
    fn each_code_has_its_meaning() {
        let of = |code: i64| reason(200, &format!(r#"{{"code":{code},"message":"x"}}"#));
        for code in [2, 401, 20101] {
            assert!(matches!(of(code), Reason::Session(_)), "{code}");
        }
        assert!(matches!(of(429), Reason::Busy { .. }));
        assert!(matches!(of(5060), Reason::Exists(_)));
        assert!(matches!(of(5066), Reason::NotFound(_)));
        assert!(matches!(of(5103), Reason::SharePassword(_)));
        assert!(matches!(of(5104), Reason::ShareGone(_)));
        assert!(matches!(of(5112), Reason::LoginNeeded(_)));
        assert!(matches!(of(5113), Reason::Traffic(_)));
        assert!(matches!(of(5114), Reason::Traffic(_)));
        assert_eq!(of(1), Reason::Refused(Said::new(Some(1), "x")));
        assert!(matches!(of(400), Reason::Refused(_)));
    }

    #[test]
    fn words_weigh_more_than_codes() {
        let of = |text: &str| reason(200, &format!(r#"{{"code":401,"message":"{text}"}}"#));
        for text in [
            "当前账号存在安全风险，请使用短信验证码或者微信进行登录",
            "当前账号存在境外登录风险，请使用短信验证码或者微信进行登录",
            "请进行验证",
            "123pan forbidden",
            "tokens number has exceeded the limit",
            "Security Risk detected",
            "陌生设备",
        ] {
            assert!(matches!(of(text), Reason::Risk(_)), "{text}");
        }
        for text in [
            "下载操作频繁，请稍后再试",
            "当前登录操作频繁，请稍后再试",
            "请求太频繁",
        ] {
            assert!(matches!(of(text), Reason::Busy { .. }), "{text}");
        }
        assert!(matches!(of("签名错误:ak illegality"), Reason::Signature(_)));
        assert!(matches!(of("请登录后下载"), Reason::LoginNeeded(_)));
        assert!(matches!(of("分享页面不存在"), Reason::ShareGone(_)));
        assert!(matches!(of("提取码错误"), Reason::SharePassword(_)));
    }

    #[test]
    fn a_ban_has_a_string_or_number_code_or_none() {
        for body in [
            r#"{"code":"403","message":"123pan-global-slb forbidden client ip 1.2.3.4"}"#,
            r#"{"code":403,"message":"123pan-foreign-forbidden cache client ip"}"#,
            "123pan-global-slb forbidden client ip 1.2.3.4",
        ] {
            assert!(matches!(reason(403, body), Reason::Banned { .. }), "{body}");
        }
    }

    #[test]
    fn the_http_status_counts_where_there_is_no_envelope() {
        assert!(matches!(reason(401, "no"), Reason::Session(_)));
        assert!(matches!(
            reason(401, r#"{"code":9,"message":"token is expired"}"#),
            Reason::Session(_)
        ));
        assert!(matches!(reason(429, ""), Reason::Busy { .. }));
        assert!(matches!(
            reason(200, "123pan rate limit type min"),
            Reason::Busy { .. }
        ));
        assert_eq!(reason(502, "<html>Bad Gateway</html>"), Reason::Status(502));
        assert!(matches!(reason(404, "<html>"), Reason::Nonsense(_)));
        assert_eq!(answer(500, r#"{"code":0,"data":7}"#, OK), Ok(7));
    }

    #[test]
    fn retry_after_is_read_in_seconds() {
        let mut headers = HeaderMap::new();
        headers.insert(header::RETRY_AFTER, "7".parse().unwrap());
        let reason = read::<i64>(StatusCode::TOO_MANY_REQUESTS, &headers, b"{\"code\":429}", OK);
        assert!(matches!(reason, Err(Reason::Busy { after: Some(t), .. }) if t.as_secs() == 7));
    }
}

//! Every code and text of 123pan that is known (API page 2.3 to 2.5): what the client is told, what the log says, and
//! how many calls are made for it and after it.

use dav123::sim::{Cloud, Fault, FaultKind, ShareOptions};
use serde_json::Value;

use crate::world::{Ran, World, account, endpoints, eventually, options, run, share};

/// One answer of 123pan.
struct Case {
    /// The endpoint that gives it, from now on for ever.
    at: &'static str,
    fault: FaultKind,
    method: &'static str,
    path: &'static str,
    status: u16,
    /// Bounds of `Retry-After` in seconds, where there is one.
    retry_after: Option<(u64, u64)>,
    /// A piece of the sentence.
    says: &'static str,
    /// Calls of the endpoint for the request.
    calls: u64,
    /// All calls for the same request once more.
    again: Again,
}

enum Again {
    /// None: 123pan is left alone.
    None,
    /// As often as the first time: nothing is remembered of a refusal.
    Same,
    /// Not looked at: a pause is waited out.
    Any,
}

const LIST: (&str, &str, &str) = ("list", "PROPFIND", "/drive/dir");
const LINK: (&str, &str, &str) = ("download_info", "GET", "/drive/a.txt");
/// Until a person acts.
const HOUR: Option<(u64, u64)> = Some((3600, 3600));

fn code(code: impl Into<Value>, message: &str) -> FaultKind {
    FaultKind::Code(code.into(), message.to_owned())
}

fn case(
    (at, method, path): (&'static str, &'static str, &'static str),
    fault: FaultKind,
    status: u16,
    retry_after: Option<(u64, u64)>,
    says: &'static str,
    calls: u64,
    again: Again,
) -> Case {
    Case {
        at,
        fault,
        method,
        path,
        status,
        retry_after,
        says,
        calls,
        again,
    }
}

/// A cloud and mounts of every kind; the roots are listed.
async fn world() -> World {
    let world = World::start(
        options(),
        |cloud| {
            cloud.add_file("/a.txt", "a");
            cloud.add_file("/dir/b.txt", "b");
        },
        |cloud| {
            let key = cloud.add_share(&["/a.txt", "/dir"], ShareOptions::default());
            [
                account(cloud, "/drive", ""),
                account(cloud, "/proxied", "strategy = \"proxy\""),
                share(cloud, "/s", &key, ""),
                open(cloud),
            ]
            .concat()
        },
    )
    .await;
    for mount in ["/drive", "/proxied", "/s", "/official"] {
        assert_eq!(world.propfind(mount, "1").await.0, 207, "{mount}");
    }
    world
}

fn open(cloud: &Cloud) -> String {
    let (id, secret) = (&cloud.options().client_id, &cloud.options().client_secret);
    format!(
        "[[mount]]\npath = \"/official\"\nkind = \"open\"\nclient_id = \"{id}\"\nclient_secret = \"{secret}\"\n{}",
        endpoints(cloud)
    )
}

async fn ask(world: &World, case: &Case) -> (u16, Option<u64>, String) {
    let request = world.request(case.method, case.path).header("depth", "1");
    let request = match case.method {
        "PUT" => request.body("bytes that nobody knows"),
        _ => request,
    };
    let answer = request.send().await.unwrap();
    let after = answer.headers().get("retry-after");
    let after = after.map(|value| value.to_str().unwrap().parse().unwrap());
    (answer.status().as_u16(), after, answer.text().await.unwrap())
}

async fn check(cases: Vec<Case>) {
    for case in cases {
        let world = world().await;
        let what = format!("{:?} at {}", case.fault, case.at);
        let (calls, all) = (world.calls(case.at), world.cloud.counters().total());
        world.cloud.fault(Fault::forever(case.at, case.fault.clone()));
        let (status, after, body) = ask(&world, &case).await;
        assert_eq!(status, case.status, "{what}: {body}");
        let fits = match (after, case.retry_after) {
            (Some(after), Some((least, most))) => after >= least && after <= most,
            (after, bounds) => after.is_none() && bounds.is_none(),
        };
        assert!(fits, "{what}: Retry-After {after:?}");
        assert!(body.contains(case.says), "{what}: {body}");
        assert_eq!(body.trim_end().lines().count(), 1, "{what}: one sentence, {body}");
        assert_eq!(world.calls(case.at) - calls, case.calls, "{what}: calls");
        let sentence = body.trim_end();
        // That a name is taken is between client and server.
        if case.status != 405 {
            let logged = || world.server.log().contains(sentence);
            eventually(&format!("{what}: logged {sentence}"), logged).await;
        }
        let log = world.server.log();
        let loud = |line: &&str| line.contains(sentence) && (line.contains("WARN") || line.contains("ERROR"));
        let expected = usize::from(case.status >= 500);
        assert_eq!(log.lines().filter(loud).count(), expected, "{what}: {log}");
        let first = world.cloud.counters().total() - all;
        let all = world.cloud.counters().total();
        let (status, _, body) = match case.again {
            Again::Any => continue,
            _ => ask(&world, &case).await,
        };
        let again = world.cloud.counters().total() - all;
        assert_eq!(status, case.status, "{what}, again: {body}");
        let wanted = if matches!(case.again, Again::None) {
            0
        } else {
            first
        };
        assert_eq!(again, wanted, "{what}, again: {:?}", world.cloud.counters().all());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_a_call_are_said_and_not_repeated() {
    check(vec![
        case(
            LIST,
            code(1, "Please include the platform field in the request header"),
            502,
            None,
            "Please include the platform field",
            1,
            Again::Same,
        ),
        case(LIST, code(1, "内部错误"), 502, None, "内部错误", 1, Again::Same),
        case(
            LIST,
            code(400, "请输入OrderBy"),
            502,
            None,
            "请输入OrderBy",
            1,
            Again::Same,
        ),
        case(
            LIST,
            code(400, "当前版本过低"),
            502,
            None,
            "当前版本过低",
            1,
            Again::Same,
        ),
        case(
            LIST,
            code(5066, "文件不存在"),
            404,
            None,
            "文件不存在",
            1,
            Again::Same,
        ),
        case(
            LINK,
            code(5066, "文件不存在"),
            404,
            None,
            "文件不存在",
            1,
            Again::Same,
        ),
        case(
            LINK,
            code(5113, "本月免费流量不足，请开通会员"),
            403,
            None,
            "traffic",
            1,
            Again::Same,
        ),
        case(
            LINK,
            code(5113, "您今日自用下载流量已超出1GB上限，升级VIP会员可无限流量下载"),
            403,
            None,
            "1GB上限",
            1,
            Again::Same,
        ),
        case(
            LINK,
            code(5114, "流量超限"),
            403,
            None,
            "流量超限",
            1,
            Again::Same,
        ),
        case(
            ("upload_request", "MKCOL", "/drive/new"),
            code(5060, "检测到1个同名文件"),
            405,
            None,
            "of that name already",
            1,
            Again::Any,
        ),
        case(
            // The folder, looked at again, has no such file: one of the two answers is wrong.
            ("upload_request", "PUT", "/drive/new.txt"),
            code(5060, "检测到1个同名文件"),
            502,
            None,
            "of that name already",
            1,
            Again::Any,
        ),
        case(
            ("upload_auth", "PUT", "/drive/new.txt"),
            code(-1, "rpc error: NoSuchKey: the upload does not exist"),
            502,
            None,
            "NoSuchKey",
            1,
            Again::Any,
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_a_share_and_of_the_open_platform_are_said() {
    const SHARE: (&str, &str, &str) = ("share_get", "PROPFIND", "/s/dir");
    const DOWNLOAD: (&str, &str, &str) = ("share_download", "GET", "/s/a.txt");
    const OPEN: (&str, &str, &str) = ("open_list", "PROPFIND", "/official/dir");
    const OPEN_LINK: (&str, &str, &str) = ("open_download_info", "GET", "/official/a.txt");
    check(vec![
        case(
            SHARE,
            code(5103, "提取码错误"),
            403,
            None,
            "share_password",
            1,
            Again::Same,
        ),
        case(
            SHARE,
            code(5103, "ShareKey格式异常"),
            403,
            None,
            "share_key",
            1,
            Again::Same,
        ),
        case(
            SHARE,
            code(5104, "分享已过期"),
            410,
            None,
            "new link",
            1,
            Again::Same,
        ),
        case(
            SHARE,
            code(1, "分享页面不存在"),
            410,
            None,
            "new link",
            1,
            Again::Same,
        ),
        case(
            DOWNLOAD,
            code(5112, "请登录后下载"),
            403,
            None,
            "`account`",
            1,
            Again::Same,
        ),
        case(
            DOWNLOAD,
            code(5112, "您需要注册登录或付费后下载"),
            403,
            None,
            "付费后下载",
            1,
            Again::Same,
        ),
        // As it was in 2023.
        case(
            DOWNLOAD,
            code(401, "请登录后下载"),
            403,
            None,
            "`account`",
            1,
            Again::Same,
        ),
        case(OPEN, code(1, "内部错误"), 502, None, "内部错误", 1, Again::Same),
        case(
            OPEN,
            code(5066, "文件不存在"),
            404,
            None,
            "文件不存在",
            1,
            Again::Same,
        ),
        case(
            OPEN,
            code(429, "请求太频繁"),
            503,
            Some((1, 60)),
            "slow down",
            6,
            Again::Any,
        ),
        // One new token, then never again for a while.
        case(
            OPEN,
            code(401, "access Token Invalid"),
            503,
            HOUR,
            "a moment ago",
            2,
            Again::None,
        ),
        case(
            OPEN_LINK,
            code(5113, "本月免费流量不足"),
            403,
            None,
            "traffic",
            1,
            Again::Same,
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn too_fast_in_every_form_is_waited_for_and_then_handed_on() {
    let minute = Some((1, 60));
    check(vec![
        case(
            LIST,
            FaultKind::Status(429, None),
            503,
            minute,
            "slow down",
            6,
            Again::Any,
        ),
        case(
            LIST,
            code(429, "请求太频繁"),
            503,
            minute,
            "请求太频繁",
            6,
            Again::Any,
        ),
        case(
            LIST,
            code(1, "请求过于频繁"),
            503,
            minute,
            "请求过于频繁",
            6,
            Again::Any,
        ),
        case(
            LIST,
            code(1, "操作频繁，请稍后再试"),
            503,
            minute,
            "操作频繁",
            6,
            Again::Any,
        ),
        case(
            LINK,
            code(1, "下载操作频繁，请稍后再试"),
            503,
            minute,
            "下载操作频繁",
            6,
            Again::Any,
        ),
        case(
            LIST,
            FaultKind::Text("123pan rate limit type min".into()),
            503,
            minute,
            "rate limit type min",
            6,
            Again::Any,
        ),
        // Longer than any client waits: it is told at once, and so is the next one, without a call.
        case(
            LIST,
            FaultKind::Status(429, Some(60)),
            503,
            Some((55, 60)),
            "slow down",
            1,
            Again::None,
        ),
        case(
            LIST,
            FaultKind::Status(429, Some(900)),
            503,
            Some((55, 60)),
            "slow down",
            1,
            Again::None,
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ban_and_risk_control_stop_all_calls() {
    let ban = Some((1, 18));
    check(vec![
        case(
            LIST,
            code("403", "123pan-global-slb forbidden client ip 192.0.2.1"),
            503,
            ban,
            "banned",
            1,
            Again::None,
        ),
        case(
            LIST,
            code("403", "123pan-foreign-forbidden cache client ip"),
            503,
            ban,
            "banned",
            1,
            Again::None,
        ),
        case(
            LINK,
            code(403, "123pan-global-slb forbidden client ip"),
            503,
            ban,
            "banned",
            1,
            Again::None,
        ),
        case(
            LIST,
            FaultKind::Text("123pan-global-slb forbidden client ip 192.0.2.1".into()),
            503,
            ban,
            "banned",
            1,
            Again::None,
        ),
        case(
            LIST,
            code(401, "当前账号存在安全风险，请使用短信验证码或者微信进行登录"),
            503,
            HOUR,
            "安全风险",
            1,
            Again::None,
        ),
        case(
            LIST,
            code(400, "当前账号存在境外登录风险，请使用短信验证码或者微信进行登录"),
            503,
            HOUR,
            "境外登录风险",
            1,
            Again::None,
        ),
        case(
            LIST,
            code(1, "请进行验证"),
            503,
            HOUR,
            "请进行验证",
            1,
            Again::None,
        ),
        case(
            LINK,
            code(1, "123pan forbidden"),
            503,
            HOUR,
            "123pan forbidden",
            1,
            Again::None,
        ),
        case(
            LIST,
            code(401, "tokens number has exceeded the limit"),
            503,
            HOUR,
            "tokens number",
            1,
            Again::None,
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_costs_one_sign_in_and_a_refused_new_one_no_more() {
    // 123pan's code and text, and what is meant by it.
    let forms = || {
        [
            code(2, "token is expired"),
            code(401, "cookie token is empty"),
            code(20101, "请登录"),
            FaultKind::Status(401, None),
        ]
    };
    let case = |fault| case(LIST, fault, 503, HOUR, "a moment ago", 2, Again::None);
    check(forms().map(case).into()).await;
    for fault in forms() {
        let world = world().await;
        world.cloud.fault(Fault::once("list", fault));
        assert_eq!(world.members("/drive/dir").await, ["/drive/dir/b.txt"]);
        assert_eq!(world.calls("sign_in"), 2);
        assert_eq!(world.calls("list"), 3, "the root, and twice the folder");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_answer_is_never_taken_for_one() {
    check(vec![
        case(LIST, FaultKind::Html, 502, None, "HTML page", 1, Again::Same),
        case(
            LIST,
            FaultKind::GarbageJson,
            502,
            None,
            "not JSON",
            1,
            Again::Same,
        ),
        case(
            LIST,
            FaultKind::Status(404, None),
            502,
            None,
            "makes no sense",
            1,
            Again::Same,
        ),
        case(LIST, code(Value::Null, ""), 502, None, "no code", 1, Again::Same),
        case(
            LIST,
            FaultKind::Status(500, None),
            502,
            None,
            "HTTP status 500",
            3,
            Again::Same,
        ),
        case(
            LIST,
            FaultKind::Status(503, None),
            502,
            None,
            "HTTP status 503",
            3,
            Again::Same,
        ),
        case(
            LIST,
            FaultKind::Drop,
            504,
            None,
            "cannot be reached",
            3,
            Again::Same,
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_signature_sets_the_clock_once_and_is_then_said() {
    check(vec![
        case(
            LIST,
            code(1, "签名错误:auth-key empty"),
            502,
            None,
            "clock",
            2,
            Again::Same,
        ),
        case(
            LIST,
            code(400, "签名错误:ak illegality, check the time"),
            502,
            None,
            "clock",
            2,
            Again::Same,
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_of_the_relay_are_told_apart() {
    // Every Referer is tried once for a link.
    check(vec![
        case(
            ("inner", "GET", "/proxied/a.txt"),
            code(1010, "not found r or referer in steal link v6"),
            403,
            None,
            "every Referer",
            4,
            Again::Same,
        ),
        case(
            ("inner", "GET", "/proxied/a.txt"),
            code(1010, "forbidden realc:bj arg_c:sh"),
            403,
            None,
            "another city",
            1,
            Again::Same,
        ),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_still_being_checked_is_asked_for_again() {
    let world = world().await;
    let checking = code(20103, "文件正在校验中,请间隔1秒后再试");
    world
        .cloud
        .fault(Fault::once("upload_complete", checking).times(3));
    assert_eq!(
        crate::write::put(&world, "/drive/new.txt", "bytes that nobody knows").await,
        201
    );
    assert_eq!(world.calls("upload_complete"), 4);
    assert_eq!(world.cloud.read("/new.txt").unwrap(), b"bytes that nobody knows");
}

/// Sign-in itself is refused: by `dav123 serve` and by `dav123 check`.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_sign_in_is_one_call_and_one_sentence() {
    for (fault, retry_after, says) in [
        (
            code(1, "当前登录操作频繁，请稍后再试"),
            (1, 10),
            "signs in too often",
        ),
        (code(429, "请求太频繁"), (1, 10), "signs in too often"),
        (
            code("403", "123pan-global-slb forbidden client ip 192.0.2.1"),
            (1, 18),
            "banned",
        ),
        (
            code(1, "当前账号存在安全风险，请使用短信验证码或者微信进行登录"),
            (3600, 3600),
            "risk control",
        ),
        (code(1, "123pan forbidden"), (3600, 3600), "risk control"),
        (
            code(1, "tokens number has exceeded the limit"),
            (3600, 3600),
            "tokens number",
        ),
        (
            code(401, "账号或密码错误"),
            (3600, 3600),
            "user name and password",
        ),
    ] {
        let what = format!("{fault:?}");
        let world = World::account(|cloud| {
            cloud.add_file("/a.txt", "a");
        })
        .await;
        world.cloud.fault(Fault::forever("sign_in", fault));
        for _ in 0..3 {
            let answer = world.request("PROPFIND", "/drive").send().await.unwrap();
            assert_eq!(answer.status(), 503, "{what}");
            let after: u64 = answer.headers()["retry-after"].to_str().unwrap().parse().unwrap();
            assert!(
                after >= retry_after.0 && after <= retry_after.1,
                "{what}: {after}"
            );
            let body = answer.text().await.unwrap();
            assert!(body.contains(says), "{what}: {body}");
            eventually("the log has the sentence", || {
                world.server.log().contains(body.trim_end())
            })
            .await;
        }
        assert_eq!(
            world.cloud.counters().total(),
            1,
            "{what}: {:?}",
            world.cloud.counters().all()
        );
        let config = world.dir.path().join("dav.toml");
        let checked =
            tokio::task::spawn_blocking(move || run(&["check", "--config", config.to_str().unwrap()], ""));
        let Ran { code, out, err } = checked.await.unwrap();
        assert_eq!(code, 1, "{what}: {out}{err}");
        assert!(out.contains(says), "{what}: {out}");
        assert_eq!(world.cloud.counters().total(), 2, "{what}");
    }
}

/// Whether a change was carried out is not asked by making it again: the state is read (API page 2.3).
#[tokio::test(flavor = "multi_thread")]
async fn a_change_of_unclear_fate_is_made_once_and_looked_at() {
    // The endpoint of the change, the request, its target, the status of its success.
    let changes = [
        ("upload_request", "MKCOL", "/drive/new", "", 201),
        ("rename", "MOVE", "/drive/a.txt", "/drive/b.txt", 201),
        ("move", "MOVE", "/drive/a.txt", "/drive/dir/a.txt", 201),
        ("trash", "DELETE", "/drive/a.txt", "", 204),
        ("upload_complete", "PUT", "/drive/new.txt", "", 201),
    ];
    for (fault, carried_out) in [
        (FaultKind::LoseAnswer, true),
        (FaultKind::Truncate(10), true),
        (FaultKind::Drop, false),
        (FaultKind::Status(502, None), false),
        (FaultKind::Html, false),
        // Certainly not carried out, so it is made again.
        (FaultKind::Status(429, Some(1)), true),
    ] {
        for (at, method, path, target, success) in changes {
            let what = format!("{fault:?} at {at}");
            let world = world().await;
            world.members("/drive/dir").await;
            world.cloud.fault(Fault::once(at, fault.clone()));
            let mut request =
                world
                    .request(method, path)
                    .body(if method == "PUT" { "new bytes" } else { "" });
            if !target.is_empty() {
                request = request.header("destination", target);
            }
            let answer = request.send().await.unwrap();
            let (status, body) = (answer.status().as_u16(), answer.text().await.unwrap());
            let again = u64::from(matches!(fault, FaultKind::Status(429, _)));
            assert_eq!(world.calls(at), 1 + again, "{what}: {body}");
            let done = match method {
                "MKCOL" => world.cloud.names("/new").is_some(),
                "PUT" => world.cloud.read("/new.txt").is_some(),
                _ => world.cloud.read("/a.txt").is_none(),
            };
            assert_eq!(done, carried_out, "{what}");
            let fits = if carried_out {
                status == success
            } else {
                matches!(status, 502 | 504)
            };
            assert!(fits, "{what}: {status} {body}");
            // And the tree shows what is so.
            let here = if target.is_empty() { path } else { target };
            let shown = world.propfind(here, "0").await.0;
            let wanted = if done == (method != "DELETE") { 207 } else { 404 };
            assert_eq!(shown, wanted, "{what}: {here}");
        }
    }
}

//! Calls against canned answers: tokens, risk control, fail-over, patience.

#![allow(clippy::unwrap_used)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use secrecy::{ExposeSecret, SecretString};

use super::*;
use crate::pan::canned::{Answer, Asked, Canned};
use crate::pan::kept::KeptToken;
use crate::pan::token::{Credentials, Grant};

const USER: &str = r#"{"code":0,"message":"ok","data":{"UID":1,"SpaceUsed":5,"SpacePermanent":10}}"#;
const EXPIRED: &str = r#"{"code":401,"message":"token is expired"}"#;
const RISK: &str = r#"{"code":400,"message":"当前账号存在安全风险，请使用短信验证码或者微信进行登录"}"#;

fn endpoints(hosts: &[&str]) -> Endpoints {
    Endpoints {
        login: format!("{}/api", hosts[0]),
        api: hosts.iter().map(|h| format!("{h}/b/api")).collect(),
        rate: 1000.0,
        ..Endpoints::default()
    }
}

fn kept(dir: &Path) -> KeptToken {
    KeptToken::new(dir, "account")
}

fn account(hosts: &[&str], dir: &Path, token: Option<&str>, password: Option<&str>) -> Arc<Web> {
    let http = Client::new().unwrap();
    let credentials = Credentials {
        grant: password.map(|p| Grant::Password("13800000000".to_owned(), p.into())),
        access_token: token.map(SecretString::from),
    };
    let endpoints = endpoints(hosts);
    let session = Session::new(http.clone(), endpoints.clone(), credentials, Some(kept(dir)));
    Arc::new(Web::new(http, endpoints, session))
}

fn nobody(hosts: &[&str]) -> Web {
    let http = Client::new().unwrap();
    let endpoints = endpoints(hosts);
    Web::new(
        http.clone(),
        endpoints.clone(),
        Session::anonymous(http, endpoints),
    )
}

/// Signs everybody in with `token-1`, `token-2` ... and takes only those.
async fn service(sign_in: &'static str, calls: &'static str) -> Canned {
    let given = AtomicUsize::new(0);
    Canned::start(move |asked: &Asked| {
        if asked.target.contains("sign_in") {
            let n = given.fetch_add(1, Ordering::SeqCst) + 1;
            return Answer {
                delay: Duration::from_millis(100),
                ..Answer::json(sign_in.replace("{n}", &n.to_string()))
            };
        }
        let token = asked.header("authorization").unwrap_or("");
        if token.starts_with("Bearer token-") {
            Answer::json(calls)
        } else {
            Answer::status(401, EXPIRED)
        }
    })
    .await
}

const SIGN_IN: &str = r#"{"code":200,"message":"success","data":{"token":"token-{n}"}}"#;

#[tokio::test]
async fn fifty_waiters_under_an_expired_token_make_one_sign_in() {
    let service = service(SIGN_IN, USER).await;
    let dir = tempfile::tempdir().unwrap();
    kept(dir.path()).write(&SecretString::from("old").into()).unwrap();
    let web = account(&[&service.url], dir.path(), None, Some("pw"));
    let tasks: Vec<_> = (0..50)
        .map(|_| {
            let web = Arc::clone(&web);
            tokio::spawn(async move { web.user_info().await })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().unwrap().used(), 5);
    }
    assert_eq!(service.count("sign_in"), 1);
    // The token is kept: the next run signs in no more.
    let web = account(&[&service.url], dir.path(), None, Some("pw"));
    web.user_info().await.unwrap();
    assert_eq!(service.count("sign_in"), 1);
}

#[tokio::test]
async fn two_processes_that_find_their_token_expired_make_one_sign_in() {
    let service = service(SIGN_IN, USER).await;
    let dir = tempfile::tempdir().unwrap();
    kept(dir.path()).write(&SecretString::from("old").into()).unwrap();
    // Sessions share nothing but the state directory, as processes do.
    let webs = [(); 4].map(|()| account(&[&service.url], dir.path(), None, Some("pw")));
    for result in futures_util::future::join_all(webs.iter().map(|web| web.user_info())).await {
        assert_eq!(result.unwrap().used(), 5);
    }
    assert_eq!(service.count("sign_in"), 1);
    assert_eq!(kept(dir.path()).read().unwrap().secret.expose_secret(), "token-1");
}

#[tokio::test]
async fn a_cancelled_client_does_not_cut_the_sign_in() {
    let service = service(SIGN_IN, USER).await;
    let dir = tempfile::tempdir().unwrap();
    let web = account(&[&service.url], dir.path(), None, Some("pw"));
    let gone = tokio::time::timeout(Duration::from_millis(50), web.user_info()).await;
    assert!(gone.is_err());
    web.user_info().await.unwrap();
    assert_eq!(service.count("sign_in"), 1);
}

#[tokio::test]
async fn kept_then_configured_token_are_tried_before_a_sign_in() {
    let service = service(SIGN_IN, USER).await;
    let dir = tempfile::tempdir().unwrap();
    kept(dir.path()).write(&SecretString::from("old").into()).unwrap();
    let web = account(
        &[&service.url],
        dir.path(),
        Some(" Bearer token-pasted\n"),
        Some("pw"),
    );
    web.user_info().await.unwrap();
    assert_eq!(service.count("sign_in"), 0);
    let tokens: Vec<_> = service
        .asked("user/info")
        .iter()
        .map(|a| a.header("authorization").unwrap().to_owned())
        .collect();
    assert_eq!(tokens, ["Bearer old", "Bearer token-pasted"]);
}

#[tokio::test]
async fn after_a_risk_message_there_is_no_second_sign_in_until_the_token_file_changes() {
    let service = service(RISK, USER).await;
    let dir = tempfile::tempdir().unwrap();
    let web = account(&[&service.url], dir.path(), None, Some("pw"));
    let tasks: Vec<_> = (0..20)
        .map(|_| {
            let web = Arc::clone(&web);
            tokio::spawn(async move { web.user_info().await })
        })
        .collect();
    for task in tasks {
        let error = task.await.unwrap().unwrap_err();
        assert!(matches!(error.reason, Reason::Risk(_)), "{error}");
    }
    assert!(web.list(0, 1).await.is_err());
    assert_eq!(service.count(""), 1, "one sign-in and nothing else");
    // Somebody signs in elsewhere and leaves the token.
    kept(dir.path())
        .write(&SecretString::from("token-new").into())
        .unwrap();
    web.user_info().await.unwrap();
    assert_eq!(service.count("sign_in"), 1);
}

#[tokio::test]
async fn a_refused_password_is_not_sent_again() {
    let service = service(r#"{"code":401,"message":"账号或密码错误"}"#, USER).await;
    let dir = tempfile::tempdir().unwrap();
    let web = account(&[&service.url], dir.path(), None, Some("a password of 17 "));
    for _ in 0..3 {
        let reason = web.user_info().await.unwrap_err().reason;
        assert!(
            matches!(reason, Reason::PasswordRefused { long: true, .. }),
            "{reason}"
        );
    }
    assert_eq!(service.count(""), 1);
    let body = service.asked("sign_in")[0].body.clone();
    assert_eq!(
        serde_json::from_str::<Value>(&body).unwrap(),
        serde_json::json!({"passport":"13800000000","password":"a password of 17 ","remember":true})
    );
}

#[tokio::test]
async fn a_risk_message_on_any_call_stops_all_calls() {
    let service = service(SIGN_IN, r#"{"code":1,"message":"请进行验证"}"#).await;
    let dir = tempfile::tempdir().unwrap();
    let web = account(&[&service.url], dir.path(), Some("token-0"), Some("pw"));
    for _ in 0..3 {
        assert!(matches!(
            web.user_info().await.unwrap_err().reason,
            Reason::Risk(_)
        ));
    }
    assert_eq!(service.count(""), 1);
}

#[tokio::test]
async fn a_token_refused_right_after_its_sign_in_is_an_error_and_no_loop() {
    let service = service(SIGN_IN, r#"{"code":20101,"message":"未登录"}"#).await;
    let dir = tempfile::tempdir().unwrap();
    let web = account(&[&service.url], dir.path(), None, Some("pw"));
    for _ in 0..3 {
        let reason = web.user_info().await.unwrap_err().reason;
        assert!(matches!(reason, Reason::FreshTokenRefused(_)), "{reason}");
    }
    assert_eq!(service.count("sign_in"), 1);
}

#[tokio::test]
async fn an_expired_token_without_a_password_is_a_sign_in_error() {
    let service = service(SIGN_IN, USER).await;
    let dir = tempfile::tempdir().unwrap();
    let web = account(&[&service.url], dir.path(), Some("old"), None);
    for _ in 0..3 {
        let reason = web.user_info().await.unwrap_err().reason;
        assert!(matches!(reason, Reason::NoPassword(_)), "{reason}");
    }
    assert_eq!(service.count(""), 1);
    let web = account(&[&service.url], dir.path(), Some("o\u{1}ld"), None);
    assert_eq!(web.user_info().await.unwrap_err().reason, Reason::BadCredentials);
}

#[tokio::test]
async fn too_many_sign_ins_is_busy_for_minutes() {
    let service = service(r#"{"code":1,"message":"当前登录操作频繁，请稍后再试"}"#, USER).await;
    let dir = tempfile::tempdir().unwrap();
    let web = account(&[&service.url], dir.path(), None, Some("pw"));
    for _ in 0..3 {
        let Reason::Busy { after, .. } = web.user_info().await.unwrap_err().reason else {
            panic!("not busy")
        };
        // 5 minutes at a rate of 1000.
        assert!(after.unwrap() > Duration::from_millis(100));
    }
    assert_eq!(service.count(""), 1);
}

#[tokio::test]
async fn mail_users_sign_in_with_the_mail_form_and_the_identity_of_a_web_client() {
    let service = service(SIGN_IN, USER).await;
    let endpoints = endpoints(&[&service.url]);
    let http = Client::new().unwrap();
    login::sign_in(&http, &endpoints, "a@b.c", &SecretString::from("pw"))
        .await
        .unwrap();
    let asked = &service.asked("/api/user/sign_in")[0];
    assert_eq!(
        serde_json::from_str::<Value>(&asked.body).unwrap(),
        serde_json::json!({"mail":"a@b.c","password":"pw","type":2})
    );
    assert_eq!(asked.header("platform"), Some("web"));
    assert_eq!(asked.header("app-version"), Some("3"));
    assert_eq!(asked.header("origin"), Some("https://yun.123pan.cn"));
    assert_eq!(asked.header("referer"), Some("https://yun.123pan.cn/"));
    assert_eq!(asked.header("authorization"), None);
}

#[tokio::test]
async fn a_host_that_cannot_be_connected_to_is_left_for_the_session() {
    let service = Canned::start(|_| Answer::json(USER)).await;
    // Bound once and closed: nobody listens there.
    let dead = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let web = nobody(&[&format!("http://{dead}"), &service.url]);
    web.user_info().await.unwrap();
    assert_eq!(web.caller.hosts.current().0, 1);
    web.user_info().await.unwrap();
    assert_eq!(service.count("/b/api/user/info"), 2);
}

#[tokio::test]
async fn a_page_of_html_is_neither_repeated_nor_taken_to_another_host() {
    let retired = Canned::start(|_| Answer::status(404, "<html>404</html>")).await;
    let other = Canned::start(|_| Answer::json(USER)).await;
    let web = nobody(&[&retired.url, &other.url]);
    let error = web.user_info().await.unwrap_err();
    assert!(matches!(error.reason, Reason::Nonsense(_)));
    assert_eq!((retired.count(""), other.count("")), (1, 0));
}

/// Answers with `first` so many times, then with the user info.
async fn after(times: usize, first: Answer) -> Canned {
    let n = AtomicUsize::new(0);
    Canned::start(move |_| {
        if n.fetch_add(1, Ordering::SeqCst) < times {
            first.clone()
        } else {
            Answer::json(USER)
        }
    })
    .await
}

#[tokio::test]
async fn too_fast_and_server_errors_are_tried_again_within_bounds() {
    let busy = Answer::json(r#"{"code":429,"message":"请求太频繁"}"#);
    for (answer, times, tries) in [
        (busy.clone(), 5, Ok(6)),
        (busy, 6, Err(6)),
        (Answer::status(502, "<html>"), 2, Ok(3)),
        (Answer::status(502, "<html>"), 3, Err(3)),
        (
            Answer {
                broken: true,
                ..Answer::default()
            },
            1,
            Ok(2),
        ),
        (Answer::json(r#"{"code":1,"message":"x"}"#), 1, Err(1)),
    ] {
        let service = after(times, answer.clone()).await;
        let result = nobody(&[&service.url]).user_info().await;
        let asked = service.count("");
        assert_eq!(result.map(|_| asked).map_err(|_| asked), tries, "{answer:?}");
    }
}

#[tokio::test]
async fn each_attempt_is_signed_and_a_refused_signature_sets_the_clock_once() {
    let far = crate::clock::unix_now() + 7200;
    let service = Canned::start(move |asked: &Asked| {
        if asked.target.contains("server/time") {
            return Answer::json(format!(r#"{{"code":0,"data":{{"timestamp":{far}}}}}"#));
        }
        let query = asked.target.split_once('?').unwrap().1;
        let (name, value) = query.rsplit('&').next().unwrap().split_once('=').unwrap();
        let parts: Vec<i64> = value.split('-').map(|p| p.parse().unwrap()).collect();
        let made = sign::parameter(parts[0], u32::try_from(parts[1]).unwrap(), "/b/api/user/info");
        assert_eq!(made, (name.to_owned(), value.to_owned()));
        if (parts[0] - far).abs() < 60 {
            Answer::json(USER)
        } else {
            Answer::json(r#"{"code":1,"message":"签名错误:ak illegality"}"#)
        }
    })
    .await;
    let web = nobody(&[&service.url]);
    web.user_info().await.unwrap();
    assert_eq!((service.count("server/time"), service.count("user/info")), (1, 2));
    web.user_info().await.unwrap();
    assert_eq!(service.count("user/info"), 3);
}

#[tokio::test]
async fn a_signature_refused_again_is_an_error() {
    let service = Canned::start(|_| Answer::json(r#"{"code":1,"message":"签名错误"}"#)).await;
    let error = nobody(&[&service.url]).user_info().await.unwrap_err();
    assert!(matches!(error.reason, Reason::Signature(_)));
    assert_eq!(service.count("user/info"), 2);
}

#[tokio::test]
async fn a_token_that_worked_and_then_expired_is_followed_by_a_new_sign_in() {
    let good = Arc::new(AtomicUsize::new(1));
    let now_good = Arc::clone(&good);
    let given = AtomicUsize::new(0);
    let service = Canned::start(move |asked: &Asked| {
        if asked.target.contains("sign_in") {
            let n = given.fetch_add(1, Ordering::SeqCst) + 1;
            return Answer::json(SIGN_IN.replace("{n}", &n.to_string()));
        }
        let wanted = format!("Bearer token-{}", now_good.load(Ordering::SeqCst));
        if asked.header("authorization") == Some(&wanted) {
            Answer::json(USER)
        } else {
            Answer::status(401, EXPIRED)
        }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let web = account(&[&service.url], dir.path(), None, Some("pw"));
    web.user_info().await.unwrap();
    good.store(2, Ordering::SeqCst);
    web.user_info().await.unwrap();
    assert_eq!(service.count("sign_in"), 2);
}

#[tokio::test]
async fn a_new_token_in_the_file_replaces_the_one_that_met_risk_control() {
    let service = Canned::start(|asked: &Asked| match asked.header("authorization") {
        Some("Bearer token-0") => Answer::json(RISK),
        _ => Answer::json(USER),
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let web = account(&[&service.url], dir.path(), Some("token-0"), None);
    assert!(web.user_info().await.is_err());
    kept(dir.path())
        .write(&SecretString::from("token-1").into())
        .unwrap();
    web.user_info().await.unwrap();
    assert_eq!(
        service.asked("")[1].header("authorization"),
        Some("Bearer token-1")
    );
}

#[tokio::test]
async fn a_long_retry_after_turns_the_next_call_away_without_a_request() {
    let service = Canned::start(|_| Answer {
        headers: vec![("retry-after", "90".into())],
        ..Answer::status(429, "")
    })
    .await;
    let web = nobody(&[&service.url]);
    for _ in 0..2 {
        let Reason::Busy { after, .. } = web.user_info().await.unwrap_err().reason else {
            panic!("not busy")
        };
        let after = after.unwrap();
        assert!(
            after > Duration::from_secs(58) && after <= Duration::from_secs(60),
            "{after:?}"
        );
    }
    assert_eq!(service.count(""), 1);
}

#[tokio::test]
async fn many_refused_signatures_set_the_clock_once() {
    let far = crate::clock::unix_now() + 7200;
    let service = Canned::start(move |asked: &Asked| {
        let delay = Duration::from_millis(100);
        if asked.target.contains("server/time") {
            return Answer::json(format!(r#"{{"code":0,"data":{{"timestamp":{far}}}}}"#));
        }
        let at: i64 = asked.target.rsplit('=').next().unwrap()[..10].parse().unwrap();
        let body = if (at - far).abs() < 60 {
            USER
        } else {
            r#"{"code":1,"message":"签名错误"}"#
        };
        Answer {
            delay,
            ..Answer::json(body)
        }
    })
    .await;
    let web = Arc::new(nobody(&[&service.url]));
    let tasks: Vec<_> = (0..5)
        .map(|_| {
            let web = Arc::clone(&web);
            tokio::spawn(async move { web.user_info().await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(service.count("server/time"), 1);
}

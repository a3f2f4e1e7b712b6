//! The chain from a file to its link, against canned relays.

#![allow(clippy::unwrap_used)]

use std::sync::{Arc, OnceLock};

use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use proptest::prelude::*;
use secrecy::ExposeSecret;

use super::*;
use crate::config::Endpoints;
use crate::pan::canned::{Answer, Asked, Canned};
use crate::pan::http::Client;
use crate::pan::token::Session;
use crate::pan::web::Web;
use crate::pan::web::download::FileRef;

const INNER: &str = "https://cdn.example.com/a?t=1767380645&x=~~~???>>";
const FILE: FileRef<'static> = FileRef {
    id: 7,
    name: "a.bin",
    size: 1000,
    etag: "d41d8cd98f00b204e9800998ecf8427e",
    s3_key_flag: "18-0",
};

#[test]
fn params_are_decoded_whatever_their_alphabet_padding_and_escapes() {
    let standard = "aHR0cHM6Ly9jZG4uZXhhbXBsZS5jb20vYT90PTE3NjczODA2NDUmeD1+fn4/Pz8+Pg==";
    let url_safe = "aHR0cHM6Ly9jZG4uZXhhbXBsZS5jb20vYT90PTE3NjczODA2NDUmeD1-fn4_Pz8-Pg";
    for raw in [
        standard,
        url_safe,
        standard.trim_end_matches('='),
        &standard
            .replace('+', "%2B")
            .replace('/', "%2F")
            .replace('=', "%3D"),
        &standard.replace('+', "%20"),
        &format!("{url_safe}=="),
    ] {
        assert_eq!(decode_params(raw), Url::parse(INNER).ok(), "{raw}");
    }
    for raw in ["", "!!", "aGVsbG8=", "ZmlsZTovLy9ldGMvcGFzc3dk"] {
        assert_eq!(decode_params(raw), None, "{raw}");
    }
}

proptest! {
    #[test]
    fn any_web_url_survives_params(path in "[ -~]{0,40}") {
        let Ok(url) = Url::parse(&format!("https://h/{path}")) else { return Ok(()) };
        for raw in [STANDARD.encode(url.as_str()), URL_SAFE_NO_PAD.encode(url.as_str())] {
            prop_assert_eq!(decode_params(&raw), Some(url.clone()));
        }
    }

    #[test]
    fn no_params_make_it_panic(raw in ".{0,60}", body in proptest::collection::vec(any::<u8>(), 0..60)) {
        let _ = decode_params(&raw);
        let _ = href(&raw);
        let _ = onward(&body);
    }
}

#[test]
fn the_expiry_is_taken_from_t_as_far_as_it_can_be_true() {
    let now = 1_767_294_245;
    let of = |query: &str| expiry(&Url::parse(&format!("https://h/a?{query}")).unwrap(), now) - now;
    assert_eq!(of("t=1767297845&x=1"), 3600);
    assert_eq!(of("x=1"), 900);
    assert_eq!(of("t=soon"), 900);
    assert_eq!(of("t=1"), 900);
    assert_eq!(of("t=99999999999"), 86_400);
}

/// A client and a service: `download_info` gives a relay URL on the service itself, whose `params`
/// lead to `/inner`, which `relay` answers.
async fn chain(relay: impl Fn(&Asked) -> Answer + Send + Sync + 'static) -> (Web, Canned) {
    let own: Arc<OnceLock<String>> = Arc::default();
    let url = Arc::clone(&own);
    let service = Canned::start(move |asked: &Asked| {
        if asked.target.contains("download_info") {
            let base = url.get().unwrap();
            let params = STANDARD.encode(format!("{base}/inner?t=9"));
            return Answer::json(format!(
                r#"{{"code":0,"data":{{"DownloadUrl":"{base}/download-v2/?params={params}&is_s3=0"}}}}"#
            ));
        }
        relay(asked)
    })
    .await;
    own.set(service.url.clone()).unwrap();
    let http = Client::new().unwrap();
    let endpoints = Endpoints {
        api: vec![format!("{}/b/api", service.url)],
        rate: 1000.0,
        ..Endpoints::default()
    };
    let session = Session::anonymous(http.clone(), endpoints.clone());
    (Web::new(http, endpoints, session), service)
}

fn found(status: u16, location: &str) -> Answer {
    Answer {
        status,
        headers: vec![("location", location.to_owned())],
        ..Answer::default()
    }
}

#[tokio::test]
async fn a_redirect_json_and_a_page_lead_to_the_final_link() {
    let json = |status| Answer {
        status,
        ..Answer::json(r#"{"code":0,"data":{"redirect_url":"https://cdn.test/f?t=5&a=b"}}"#)
    };
    let page = "<html><a href='https://cdn.test/f?t=5&amp;a=b'>Found</a></html>";
    for answer in [
        found(302, "https://cdn.test/f?t=5&a=b"),
        found(307, "//cdn.test/f?t=5&a=b"),
        found(302, "https://cdn.test/文.mkv?t=5&a=b"),
        json(200),
        json(210),
        Answer::status(200, page),
    ] {
        let said = format!("{answer:?}");
        let secure = !said.contains("\"//");
        let (web, service) = chain(move |_| answer.clone()).await;
        let link = web.link(&FILE).await.unwrap();
        let scheme = if secure { "https" } else { "http" };
        let name = if said.contains("文") {
            "%E6%96%87.mkv"
        } else {
            "f"
        };
        assert_eq!(
            link.url.expose_secret(),
            format!("{scheme}://cdn.test/{name}?t=5&a=b"),
            "{said}"
        );
        assert_eq!(
            link.referers,
            [format!("{}/", service.url), "https://yun.123pan.cn/".to_owned()]
        );
        assert_eq!(
            service.asked("/inner")[0].header("referer"),
            Some("https://yun.123pan.cn/")
        );
        assert_eq!(service.asked("/inner")[0].header("authorization"), None);
    }
}

#[tokio::test]
async fn bytes_at_once_mean_that_the_url_was_final() {
    for answer in [
        Answer {
            headers: vec![("content-type", "video/mp4".into())],
            ..Answer::status(200, "xx")
        },
        Answer {
            headers: vec![("content-disposition", "attachment".into())],
            ..Answer::json(r#"{"data":{"redirect_url":"https://evil.test/"}}"#)
        },
        Answer::status(200, &"t".repeat(1000)),
    ] {
        let (web, service) = chain(move |_| answer.clone()).await;
        let link = web.link(&FILE).await.unwrap();
        assert_eq!(*link.url.expose_secret(), *format!("{}/inner?t=9", service.url));
        assert_eq!(service.count("/inner"), 1);
    }
}

#[tokio::test]
async fn a_refused_referer_is_changed_once_and_the_good_one_remembered() {
    let (web, service) = chain(|asked: &Asked| {
        if asked.header("referer").is_none() {
            found(302, "https://cdn.test/f")
        } else {
            Answer {
                status: 403,
                ..Answer::json(r#"{"code":1010,"message":"not found r or referer in steal link v6"}"#)
            }
        }
    })
    .await;
    web.link(&FILE).await.unwrap();
    assert_eq!(service.count("/inner"), 4);
    web.link(&FILE).await.unwrap();
    assert_eq!(service.count("/inner"), 5);
}

#[tokio::test]
async fn refusals_of_the_relay_are_told_apart() {
    let refused = |message: &str| Answer::json(format!(r#"{{"code":1010,"message":"{message}"}}"#));
    for (answer, calls) in [
        (refused("not found r or referer in steal link v6"), 4),
        (refused("forbidden realc:Beijing arg_c:Wuhan"), 1),
        (refused("download err: 50001"), 1),
        (Answer::status(404, "<html>"), 1),
        (found(302, ""), 1),
        (found(302, "file:///etc/passwd"), 1),
        (Answer::status(503, ""), 3),
    ] {
        let said = format!("{answer:?}");
        let (web, service) = chain(move |_| answer.clone()).await;
        let reason = web.link(&FILE).await.unwrap_err().reason;
        let fits = match calls {
            4 => matches!(reason, Reason::Referer(_)),
            3 => reason == Reason::Status(503),
            _ if said.contains("realc") => matches!(reason, Reason::City(_)),
            _ if said.contains("50001") => matches!(reason, Reason::Refused(_)),
            _ => matches!(reason, Reason::Nonsense(_)),
        };
        assert!(fits, "{said}: {reason}");
        assert_eq!(service.count("/inner"), calls, "{said}");
    }
}

#[tokio::test]
async fn a_chain_that_does_not_end_is_left_after_three_hops() {
    let (web, service) = chain(|asked: &Asked| {
        let host = asked.header("host").unwrap();
        let params = STANDARD.encode(format!("http://{host}/inner"));
        found(302, &format!("http://{host}/download-v2/?params={params}"))
    })
    .await;
    assert!(matches!(
        web.link(&FILE).await.unwrap_err().reason,
        Reason::Nonsense(_)
    ));
    assert_eq!(service.count("/inner"), HOPS);
}

#[tokio::test]
async fn an_empty_file_and_one_without_keys_cost_no_call() {
    let (web, service) = chain(|_| Answer::status(500, "")).await;
    for file in [
        FileRef { size: 0, ..FILE },
        FileRef { etag: "", ..FILE },
        FileRef {
            s3_key_flag: "",
            ..FILE
        },
    ] {
        assert!(web.link(&file).await.is_err());
    }
    assert_eq!(service.count(""), 0);
}

#[tokio::test]
async fn an_answer_without_a_url_is_nonsense_and_used_up_traffic_is_said() {
    let service = Canned::start(|asked: &Asked| {
        if asked.body.contains("\"fileId\":8") {
            Answer::json(r#"{"code":5113,"message":"本月免费流量不足"}"#)
        } else {
            Answer::json(r#"{"code":0,"data":{"DownloadUrl":""}}"#)
        }
    })
    .await;
    let http = Client::new().unwrap();
    let endpoints = Endpoints {
        api: vec![format!("{}/b/api", service.url)],
        rate: 1000.0,
        ..Endpoints::default()
    };
    let web = Web::new(
        http.clone(),
        endpoints.clone(),
        Session::anonymous(http, endpoints),
    );
    assert!(matches!(
        web.link(&FILE).await.unwrap_err().reason,
        Reason::Nonsense(_)
    ));
    let other = FileRef { id: 8, ..FILE };
    assert!(matches!(
        web.link(&other).await.unwrap_err().reason,
        Reason::Traffic(_)
    ));
}

#[tokio::test]
async fn a_url_without_params_is_taken_as_it_is_where_that_is_asked_for() {
    let service = Canned::start(|_| found(302, "https://cdn.test/f")).await;
    let relay = Relay::new(Client::new().unwrap(), &Endpoints::default(), Arc::default());
    let plain = format!("{}/f?t=1", service.url);
    let link = relay.follow_params("x", &plain, 5).await.unwrap();
    assert_eq!(link.url.expose_secret(), plain);
    assert_eq!(service.count(""), 0);
    let params = STANDARD.encode(&plain);
    let outer = format!("{}/download-v2/?params={params}", service.url);
    let link = relay.follow_params("x", &outer, 5).await.unwrap();
    assert_eq!(link.url.expose_secret(), "https://cdn.test/f");
    assert!(relay.follow_params("x", "", 5).await.is_err());
}

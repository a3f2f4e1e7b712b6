//! dav123 as the proxy of another dav123: cloud, origin with strategy proxy-url, proxy, client.

use std::time::SystemTime;

use dav123::sim::{Content, Fault, FaultKind, RefererRule};
use tempfile::TempDir;

use crate::world::pair::{FILM, KEY, LEN, Pair, free_address, serve_proxy, signature};
use crate::world::{add_large, eventually, header, run};

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_signed_address_gives_the_file_with_the_origin_s_length_tag_and_time() {
    let pair = Pair::start(|_| {}).await;
    let known = pair
        .world
        .request("HEAD", "/drive/电影/a b.mkv")
        .send()
        .await
        .unwrap();
    let url = pair.signed("/drive/电影/a b.mkv").await;
    assert!(url.starts_with(&pair.proxy.url), "{url}");
    for method in ["HEAD", "GET"] {
        let answer = pair.ask(method, &url, &[]).await;
        assert_eq!(answer.status(), 200, "{method}");
        for name in [
            "content-length",
            "etag",
            "last-modified",
            "content-type",
            "accept-ranges",
        ] {
            assert_eq!(header(&answer, name), header(&known, name), "{method} {name}");
            assert_ne!(header(&answer, name), "", "{method} {name}");
        }
        assert_eq!(header(&answer, "access-control-allow-origin"), "*");
        assert_eq!(header(&answer, "set-cookie"), "");
        let bytes = answer.bytes().await.unwrap();
        assert!(bytes.is_empty() == (method == "HEAD") && (method == "HEAD" || bytes == FILM.read(0, LEN)));
    }
    assert_eq!(pair.world.calls("leaked_authorization"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn seeks_are_ranges_and_cost_one_link() {
    let pair = Pair::start(|_| {}).await;
    let url = pair.signed("/drive/电影/a b.mkv").await;
    let etag = header(&pair.ask("HEAD", &url, &[]).await, "etag");
    for (range, first, length) in [
        ("bytes=0-0", 0, 1),
        ("bytes=1000-", 1000, LEN - 1000),
        ("bytes=-5000", LEN - 5000, 5000),
        ("bytes=12345-67890", 12345, 55546),
    ] {
        let answer = pair
            .ask("GET", &url, &[("range", range), ("if-range", &etag)])
            .await;
        assert_eq!(answer.status(), 206, "{range}");
        let last = first + length - 1;
        assert_eq!(
            header(&answer, "content-range"),
            format!("bytes {first}-{last}/{LEN}")
        );
        assert!(
            answer.bytes().await.unwrap() == FILM.read(first, length),
            "{range}"
        );
    }
    let beyond = pair.ask("GET", &url, &[("range", "bytes=3000001-")]).await;
    assert_eq!(beyond.status(), 416);
    assert_eq!(header(&beyond, "content-range"), format!("bytes */{LEN}"));
    let same = pair.ask("GET", &url, &[("if-none-match", &etag)]).await;
    assert_eq!(same.status(), 304);
    assert_eq!(pair.world.calls("download_info"), 1);
    assert_eq!(asked(&pair), 1, "and one question to the origin");
}

/// How often the origin was asked for a link.
fn asked(pair: &Pair) -> usize {
    pair.world.server.log().matches("path=/api/fs/link").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_right_signature_opens_and_only_until_its_time() {
    let pair = Pair::start(|_| {}).await;
    let path = "/drive/电影/a b.mkv";
    let (past, future) = ((now() - 5).to_string(), (now() + 60).to_string());
    let right = pair.sign(path, &future, KEY);
    for url in [
        pair.sign(path, &past, KEY),
        pair.sign(path, &future, "another key"),
        pair.sign(path, &past, "another key"),
        pair.sign("/drive/other.txt", &future, KEY)
            .replace("other", "third"),
        right.replace("a%20b", "a%20c"),
        right.replace(&future, &(now() + 61).to_string()),
        right.replace("?sign=", "?sign=A"),
        right.split("?sign=").next().unwrap().to_owned(),
        format!("{}?sign=", right.split("?sign=").next().unwrap()),
        format!("{}?sign=:0", right.split("?sign=").next().unwrap()),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = pair.ask(method, &url, &[]).await;
            assert_eq!(answer.status(), 403, "{method} {url}");
        }
    }
    assert_eq!(asked(&pair), 0, "the origin is not troubled");
    let ended = pair.get(&pair.sign(path, &past, KEY)).await;
    assert!(ended.text().await.unwrap().contains("ended"));
    for url in [right, pair.sign(path, "0", KEY)] {
        assert_eq!(pair.get(&url).await.status(), 200, "{url}");
        let escaped = url.replace("=:", "%3D%3A");
        assert_eq!(pair.get(&escaped).await.status(), 200, "{escaped}");
    }
    let log = pair.proxy.log();
    // The link itself, as the proxy got it.
    let call = pair.world.http.post(pair.world.url("/api/fs/link"));
    let call = call.header("authorization", KEY);
    let call = call.body(serde_json::json!({ "path": path }).to_string());
    let link: serde_json::Value =
        serde_json::from_str(&call.send().await.unwrap().text().await.unwrap()).unwrap();
    let query = link["data"]["url"].as_str().unwrap().split_once('?').unwrap().1;
    assert!(
        log.contains("path=/drive/") && !log.contains(query),
        "no link is logged"
    );
    assert!(
        !log.contains(KEY) && !log.contains("sign="),
        "no secret is logged"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_is_no_webdav_server_and_scripts_may_ask_it() {
    let pair = Pair::start(|_| {}).await;
    let url = pair.signed("/drive/电影/a b.mkv").await;
    let asks = [
        ("origin", "https://player.example"),
        ("access-control-request-method", "GET"),
    ];
    let answer = pair.ask("OPTIONS", &url, &asks).await;
    assert_eq!(answer.status(), 204);
    assert_eq!(header(&answer, "access-control-allow-origin"), "*");
    assert!(header(&answer, "access-control-allow-headers").contains("Range"));
    assert!(header(&answer, "dav").is_empty());
    for method in ["PROPFIND", "PUT", "DELETE"] {
        let answer = pair.ask(method, &pair.proxy.url, &[]).await;
        assert_eq!(answer.status(), 403, "{method}");
    }
    let health = pair.get(&format!("{}.dav123/health", pair.proxy.url)).await;
    assert_eq!(health.status(), 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_that_ends_on_the_way_is_renewed_at_the_byte_where_it_broke() {
    let large = Content::Pattern {
        seed: 3,
        len: 48 << 20,
    };
    let pair = Pair::start(|cloud| {
        cloud.add_file_with_etag("/large.bin", large.clone(), "0123456789abcdef0123456789abcdef");
        cloud.fault(Fault::once("cdn", FaultKind::Truncate(32 << 20)));
    })
    .await;
    let url = pair.signed("/drive/large.bin").await;
    let mut answer = pair.get(&url).await;
    assert_eq!(answer.status(), 200);
    let mut bytes = answer.chunk().await.unwrap().unwrap().to_vec();
    // Nobody reads meanwhile: the break lies far behind what is on its way.
    pair.world.cloud.expire_links();
    while let Some(more) = answer.chunk().await.unwrap() {
        bytes.extend_from_slice(&more);
    }
    assert!(bytes == large.read(0, 48 << 20));
    assert_eq!(pair.world.calls("download_info"), 2);
    assert_eq!(asked(&pair), 2);
    // Whole, dead link, the rest.
    assert_eq!(pair.world.calls("cdn"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_referer_the_cdn_wants_the_proxy_sends() {
    for rule in [RefererRule::Outer, RefererRule::Inner] {
        let pair = Pair::start(|cloud| cloud.settings().referer = rule).await;
        let answer = pair.get(&pair.signed("/drive/电影/a b.mkv").await).await;
        assert_eq!(answer.status(), 200, "{rule:?}");
        assert!(answer.bytes().await.unwrap() == FILM.read(0, LEN), "{rule:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_clients_of_one_file_cost_one_question() {
    let pair = Pair::start(|_| {}).await;
    let url = pair.signed("/drive/电影/a b.mkv").await;
    let all = (0..50_u64).map(|n| {
        let (pair, url) = (&pair, &url);
        async move {
            let range = format!("bytes={n}-{}", n + 9);
            let answer = pair.ask("GET", url, &[("range", &range)]).await;
            answer.bytes().await.unwrap() == FILM.read(n, 10)
        }
    });
    assert!(
        futures_util::future::join_all(all)
            .await
            .into_iter()
            .all(|same| same)
    );
    assert_eq!(asked(&pair), 1);
}

#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn the_cdn_is_let_go_when_the_client_leaves() {
    let pair = Pair::start(|cloud| {
        add_large(cloud);
        cloud.settings().throttle = Some(2 << 20);
    })
    .await;
    let url = pair.signed("/drive/large.bin").await;
    let mut answer = pair.get(&url).await;
    assert!(!answer.chunk().await.unwrap().unwrap().is_empty());
    drop(answer);
    eventually("the access log tells it", || {
        pair.proxy.log().contains("whole=false")
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_of_the_origin_or_the_cdn_has_its_status() {
    let mut pair = Pair::start(|cloud| {
        cloud.add_file("/second.mkv", "second");
    })
    .await;
    let until = (now() + 60).to_string();
    let status =
        async |pair: &Pair, path: &str| pair.get(&pair.sign(path, &until, KEY)).await.status().as_u16();
    assert_eq!(status(&pair, "/drive/nothing").await, 404);
    assert_eq!(status(&pair, "/nothing/at/all").await, 404);
    assert_eq!(status(&pair, "/drive/电影").await, 405, "a folder");
    pair.world.cloud.settings().traffic_used_up = true;
    assert_eq!(status(&pair, "/drive/电影/a b.mkv").await, 403);
    pair.world.cloud.settings().traffic_used_up = false;
    pair.world.cloud.settings().city = dav123::sim::CityRule::Nowhere;
    let answer = pair.get(&pair.sign("/drive/电影/a b.mkv", &until, KEY)).await;
    assert_eq!(answer.status(), 502);
    assert!(answer.text().await.unwrap().contains("city"));
    pair.world.cloud.settings().city = dav123::sim::CityRule::Off;
    let slow = FaultKind::Status(429, Some(90));
    pair.world.cloud.fault(Fault::forever("download_info", slow));
    let busy = pair.get(&pair.sign("/drive/second.mkv", &until, KEY)).await;
    assert_eq!(busy.status(), 503);
    let wait: u64 = header(&busy, "retry-after").parse().unwrap();
    assert!((60..=90).contains(&wait), "{wait}");
    pair.world.server.kill();
    let answer = pair.get(&pair.sign("/drive/other.txt", &until, KEY)).await;
    assert_eq!(answer.status(), 504);
    assert!(answer.text().await.unwrap().contains("proxy.origin"));
}

/// A server of the OpenList family and its storage in one: links want a User-Agent and a cookie, and all errors are 200.
async fn foreign() -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let own = base.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut text = String::new();
            let mut buffer = [0; 4096];
            let whole =
                |text: &str| text.contains("\r\n\r\n") && (text.starts_with("GET") || text.ends_with('}'));
            while !whole(&text) {
                let read = stream.read(&mut buffer).await.unwrap();
                text.push_str(std::str::from_utf8(&buffer[..read]).unwrap());
            }
            let lower = text.to_ascii_lowercase();
            let authorized = lower.contains(&format!("authorization: {KEY}\r\n"));
            let (status, more, body) = if text.starts_with("POST /api/fs/link ") {
                let name = ["raw", "hop"]
                    .into_iter()
                    .find(|name| text.contains(&format!("\"/m/{name}.mkv\"")));
                let body = match (authorized, name) {
                    (false, _) => r#"{"code":401,"message":"token is invalidated","data":null}"#.to_owned(),
                    (_, None) => r#"{"code":500,"message":"object not found","data":null}"#.to_owned(),
                    (_, Some(name)) => format!(
                        r#"{{"code":200,"message":"success","data":{{"url":"{own}/{name}?s=1","header":{{"User-Agent":["pan.agent"],"Cookie":["a=1"]}}}}}}"#
                    ),
                };
                ("200 OK", "content-type: application/json".to_owned(), body)
            } else if !lower.contains("user-agent: pan.agent\r\n")
                // The cookie is for the host of the link alone.
                || lower.contains("cookie: a=1\r\n") == lower.starts_with("get /elsewhere ")
                || authorized
            {
                ("403 Forbidden", "x: y".to_owned(), "no".to_owned())
            } else if lower.starts_with("get /hop?") {
                let elsewhere = own.replace("127.0.0.1", "localhost");
                (
                    "302 Found",
                    format!("location: {elsewhere}/elsewhere"),
                    String::new(),
                )
            } else if lower.contains("range: bytes=0-0\r\n") {
                (
                    "206 Partial Content",
                    "content-range: bytes 0-0/4".to_owned(),
                    "f".to_owned(),
                )
            } else {
                (
                    "200 OK",
                    "content-type: video/x-matroska".to_owned(),
                    "film".to_owned(),
                )
            };
            let answer = format!(
                "HTTP/1.1 {status}\r\nconnection: close\r\ncontent-length: {}\r\n{more}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    base
}

#[tokio::test(flavor = "multi_thread")]
async fn an_openlist_server_is_an_origin_too() {
    let origin = foreign().await;
    let http = crate::world::client();
    for (key, expected) in [(KEY, 200), ("another-key", 502)] {
        let dir = TempDir::new().unwrap();
        let proxy = serve_proxy(&dir, &free_address(), &origin, key, "");
        let url = |path: &str| {
            format!(
                "{}{path}?sign={}",
                proxy.url,
                signature(&format!("/{path}"), "0", key)
            )
        };
        let head = http.head(url("m/raw.mkv")).send().await.unwrap();
        assert_eq!(head.status(), expected);
        let answer = http.get(url("m/raw.mkv")).send().await.unwrap();
        assert_eq!(answer.status(), expected);
        let hop = http.get(url("m/hop.mkv")).send().await.unwrap();
        assert_eq!(hop.status(), expected, "a cookie went to another host");
        let other = http.get(url("m/other.mkv")).send().await.unwrap();
        assert_eq!(other.status(), 502, "a code alone says too little for 404");
        if expected == 200 {
            assert_eq!(header(&head, "content-length"), "4");
            assert_eq!(answer.text().await.unwrap(), "film");
            assert!(other.text().await.unwrap().contains("object not found"));
        } else {
            assert!(answer.text().await.unwrap().contains("proxy.secret"));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_whether_the_origin_takes_the_secret() {
    let pair = Pair::start(|_| {}).await;
    let origin = pair.world.server.url.clone();
    let nobody = format!("http://{}", free_address());
    for (origin, key, code, said) in [
        (&*origin, KEY, 0, "ok  [proxy]  origin  proxy  link "),
        (
            &*origin,
            "another-key",
            1,
            "FAIL [proxy] origin: The origin refuses this proxy",
        ),
        (
            &*nobody,
            KEY,
            1,
            "FAIL [proxy] origin: The origin cannot be reached",
        ),
    ] {
        let dir = TempDir::new().unwrap();
        let config = dir.path().join("dav.toml");
        let text = format!("[proxy]\norigin = \"{origin}\"\nsecret = \"{key}\"\n");
        std::fs::write(&config, text).unwrap();
        let ran = run(&["check", "--config", config.to_str().unwrap()], "");
        assert_eq!(ran.code, code, "{ran:?}");
        assert!(ran.out.starts_with(said), "{ran:?}");
    }
    assert_eq!(pair.world.calls("download_info"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_guesses_the_secret_of_the_proxy_is_slowed_down() {
    let pair = Pair::start(|_| {}).await;
    let ask = |secret: String| {
        let call = pair.world.http.post(pair.world.url("/api/fs/link"));
        let body = serde_json::json!({ "path": "/drive/电影/a b.mkv" }).to_string();
        call.header("authorization", secret).body(body).send()
    };
    for _ in 0..50 {
        assert_eq!(
            ask(KEY.to_owned()).await.unwrap().status(),
            200,
            "a right one never is"
        );
    }
    let guesses = (0..60).map(|n| ask(format!("guess {n}")));
    let guesses = futures_util::future::join_all(guesses).await;
    let statuses: Vec<_> = guesses
        .iter()
        .map(|answer| answer.as_ref().unwrap().status().as_u16())
        .collect();
    let of = |status: u16| statuses.iter().filter(|seen| **seen == status).count();
    assert!(of(429) > 5 && of(401) + of(429) == 60, "{statuses:?}");
    let sent_away = guesses.iter().flatten().find(|answer| answer.status() == 429);
    assert!(!header(sent_away.unwrap(), "retry-after").is_empty());
    // Who knows it has only to wait for its turn.
    assert_eq!(ask(KEY.to_owned()).await.unwrap().status(), 200);
}

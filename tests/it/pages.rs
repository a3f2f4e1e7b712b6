//! Pages for people: a folder in a browser, health, metrics, status.

use crate::world::{World, header, options, share};

async fn world() -> World {
    World::account(|cloud| {
        cloud.add_file("/电影/a & <b>.mkv", "hello");
        cloud.add_file("/empty.txt", "");
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_get_of_a_folder_shows_it_as_a_page() {
    let world = world().await;
    for (path, shows) in [
        ("/", "href=\"drive/\""),
        ("/drive/", "href=\"%E7%94%B5%E5%BD%B1/\""),
        ("/drive/电影/", "a &amp; &lt;b&gt;.mkv"),
        ("/drive", "href=\"drive/empty.txt\""),
    ] {
        let answer = world
            .request("GET", path)
            .header("accept", "text/html")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8");
        assert!(header(&answer, "content-security-policy").contains("default-src 'none'"));
        assert_eq!(header(&answer, "referrer-policy"), "no-referrer");
        let page = answer.text().await.unwrap();
        assert!(
            page.contains(shows) && page.ends_with("</html>"),
            "{path}: {page}"
        );
    }
    let chinese = world
        .request("GET", "/drive/")
        .header("accept-language", "zh-CN,zh;q=0.9")
        .send()
        .await
        .unwrap();
    assert!(chinese.text().await.unwrap().contains("lang=\"zh-CN\""));
    let head = world.request("HEAD", "/drive/").send().await.unwrap();
    assert_eq!(head.status(), 200);
    assert_eq!(world.get("/drive/nothing/").await.status(), 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn health_metrics_and_status_tell_what_they_promise() {
    let world = world().await;
    for method in ["GET", "HEAD"] {
        let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
        let health = world.http.request(method, world.url("/.dav123/health"));
        assert_eq!(health.send().await.unwrap().status(), 200);
    }
    world.members("/drive").await;
    world.get("/drive/电影/a & <b>.mkv").await;
    world.get("/drive/nothing").await;
    let metrics = world.get("/.dav123/metrics").await;
    assert_eq!(metrics.status(), 200);
    let text = metrics.text().await.unwrap();
    for line in [
        "dav123_requests_total{method=\"PROPFIND\",status=\"207\"} 1",
        "dav123_requests_total{method=\"GET\",status=\"302\"} 1",
        "dav123_requests_total{method=\"GET\",status=\"404\"} 1",
        "dav123_links 1",
        "dav123_requests_running 1",
        // 700 ms at the rate of tests.
        "dav123_call_interval_seconds{mount=\"/drive\",call=\"file/list/new\"} 0.007",
        "dav123_calls_waiting{mount=\"/drive\",call=\"file/list/new\",urgency=\"foreground\"} 0",
        "# EOF",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
    let value = |name: &str| -> u64 {
        let line = text.lines().find(|l| l.starts_with(name)).unwrap();
        line.rsplit_once(' ').unwrap().1.parse().unwrap()
    };
    assert!(value("dav123_sent_bytes_total ") > 500);
    assert!(value("dav123_listing_entries ") >= 3);
    for path in ["/.dav123/", "/.dav123/status"] {
        let page = world.get(path).await;
        assert_eq!(page.status(), 200);
        let page = page.text().await.unwrap();
        assert!(
            page.contains("/drive") && page.contains("account") && page.contains("redirect"),
            "{page}"
        );
    }
    assert_eq!(world.get("/.dav123/nothing").await.status(), 404);
    let post = world.request("POST", "/.dav123/health").send().await.unwrap();
    assert_eq!(post.status(), 405);
    // None of it is in the tree.
    assert_eq!(world.members("/").await, ["/drive/"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_own_pages_stay_outside_a_prefix_and_above_any_mount() {
    let world = World::configured(
        options(),
        |cloud| {
            cloud.add_file("/.dav123/health", "not this one");
        },
        |cloud, dir| {
            let key = cloud.add_share(&["/.dav123"], dav123::sim::ShareOptions::default());
            crate::world::head(dir).replace("[server]\n", "[server]\nprefix = \"/dav\"\n")
                + &share(cloud, "/", &key, "")
        },
    )
    .await;
    let health = world.http.get(world.url("/.dav123/health")).send().await.unwrap();
    assert_eq!(health.text().await.unwrap().trim(), "ok");
    assert_eq!(world.members("/dav/").await, ["/dav/.dav123/"]);
}

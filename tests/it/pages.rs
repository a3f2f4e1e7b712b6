//! Pages for people: a folder in a browser, health, metrics, status.

use dav123::sim::{Fault, FaultKind};

use crate::world::{PASSWORD, USER, World, account, header, options, share};

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

#[tokio::test(flavor = "multi_thread")]
async fn a_put_for_a_new_name_only_does_not_replace_a_file() {
    let world = world().await;
    let put = || {
        let put = world
            .request("PUT", "/drive/empty.txt")
            .header("if-none-match", "*");
        put.body("other").send()
    };
    assert_eq!(put().await.unwrap().status(), 412);
    assert_eq!(world.cloud.read("/empty.txt").as_deref(), Some(&b""[..]));
}

/// The page of a folder, asked for with headers.
pub(crate) async fn page(world: &World, path: &str, language: &str) -> (String, String) {
    let url = world.url("/") + path.trim_start_matches('/');
    let request = world
        .http
        .get(url)
        .basic_auth(crate::world::USER, Some(crate::world::PASSWORD));
    let answer = request.header("accept-language", language).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    let policy = header(&answer, "content-security-policy");
    (policy, answer.text().await.unwrap())
}

/// Tags are closed in their order, attributes are quoted, and no address of another host is named.
pub(crate) fn assert_well_formed(page: &str) {
    let mut rest = page;
    let mut open = Vec::new();
    while let Some((_, after)) = rest.split_once('<') {
        let (tag, after) = after.split_once('>').unwrap();
        rest = after;
        let name = tag.trim_start_matches('/').split([' ', '>']).next().unwrap();
        assert!(
            name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '!'),
            "<{tag}>"
        );
        assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
        if tag.starts_with('/') {
            assert_eq!(open.pop(), Some(name), "</{tag}>");
        } else if !tag.ends_with('/') && !["!DOCTYPE", "meta", "input", "img"].contains(&name) {
            open.push(name);
        }
        if matches!(name, "style" | "script") && !tag.starts_with('/') {
            let end = format!("</{name}>");
            let at = rest.find(&end).unwrap();
            assert!(!rest[..at].contains("http:") || rest[..at].contains("http://www.w3.org/2000/svg"));
            rest = &rest[at..];
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
    let outside = page.replace("http://www.w3.org/2000/svg", "");
    for word in ["http:", "https:", "src=\"//", "@import", "style=", "onclick=\""] {
        assert!(!outside.contains(word), "{word} in the page");
    }
}

/// What a policy allows of a kind.
fn sources<'a>(policy: &'a str, of: &str) -> Vec<&'a str> {
    let mut directives = policy.split("; ").map(|directive| directive.split(' '));
    let of = format!("{of}-src");
    let found = directives.find(|directive| directive.clone().next() == Some(&*of));
    found.unwrap().collect()
}

/// The hash of each inline style or script is in the policy.
pub(crate) fn assert_allowed(policy: &str, page: &str, tag: &str) {
    use base64::Engine;
    use sha2::Digest;
    let inside = page.split_once(&format!("<{tag}>")).unwrap().1;
    let inside = inside.split_once(&format!("</{tag}>")).unwrap().0;
    let hash = base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(inside));
    assert!(
        sources(policy, tag).contains(&format!("'sha256-{hash}'").as_str()),
        "{policy}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_text_whatever_they_are_and_nothing_comes_from_elsewhere() {
    let names = [
        "<script>alert(1)<!--.txt",
        "a \" onmouseover=\"x.txt",
        "it's & more.txt",
        "\u{202e}gpj.exe",
        "עברית.mkv",
        "🎬 film.mp4",
        "https:x.txt",
    ];
    let world = World::account(|cloud| {
        for name in names {
            cloud.add_file(&format!("/odd/{name}"), "x");
        }
        cloud.add_folder("/odd/a \"> <b>/inner");
    })
    .await;
    for language in ["en", "zh-CN"] {
        let (policy, page) = page(&world, "/drive/odd/", language).await;
        assert_well_formed(&page.replace("https:x.txt", ""));
        assert_allowed(&policy, &page, "style");
        assert_allowed(&policy, &page, "script");
        assert!(
            page.contains("<bdi>&lt;script&gt;alert(1)&lt;!--.txt</bdi>"),
            "{page}"
        );
        assert!(page.contains("a &quot; onmouseover=&quot;x.txt"));
        assert!(page.contains("<bdi>עברית.mkv</bdi>") && page.contains("<bdi>🎬 film.mp4</bdi>"));
        // What turns the direction of reading is shown, and the address has it.
        assert!(page.contains("<bdi>\u{fffd}gpj.exe</bdi>") && page.contains("href=\"%E2%80%AEgpj.exe\""));
    }
    let (_, inner) = page(&world, "/drive/odd/a%20%22%3E%20%3Cb%3E/inner", "en").await;
    assert_well_formed(&inner);
    for link in [
        "<a href=\"../../../\">All files</a>",
        "<a href=\"../../\"><bdi>drive</bdi></a>",
        "<a href=\"./\"><bdi>a &quot;&gt; &lt;b&gt;</bdi></a>",
        "<h1><bdi>inner</bdi></h1>",
        "href=\"../../../.dav123/\"",
    ] {
        assert!(inner.contains(link), "{link} in {inner}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_sorted_as_the_query_says_without_a_further_call() {
    let world = World::account(|cloud| {
        for (name, size) in [("b10", 3), ("B9", 1), ("a", 2)] {
            cloud.add_file(&format!("/{name}.txt"), vec![b'x'; size]);
        }
        cloud.add_folder("/z");
    })
    .await;
    let order = |page: &str| -> Vec<usize> {
        let found =
            ["z", "a.txt", "B9.txt", "b10.txt"].map(|name| page.find(&format!("<bdi>{name}</bdi>")).unwrap());
        let mut order: Vec<usize> = (0..found.len()).collect();
        order.sort_by_key(|n| found[*n]);
        order
    };
    for (query, wanted) in [
        ("", [0, 1, 2, 3]),
        ("?sort=name&order=desc", [0, 3, 2, 1]),
        ("?sort=size", [0, 2, 1, 3]),
        ("?sort=size&order=desc", [0, 3, 1, 2]),
    ] {
        let (_, page) = page(&world, &format!("/drive/{query}"), "en").await;
        assert_eq!(order(&page), wanted, "{query}");
    }
    assert_eq!(world.calls("list"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_write_is_not_offered_to() {
    let world = World::start(
        options(),
        |cloud| {
            cloud.add_file("/x.txt", "x");
        },
        |cloud| {
            crate::world::account(cloud, "/drive", "")
                + &crate::world::account(cloud, "/looked-at", "access = \"read-only\"")
        },
    )
    .await;
    for (path, offered) in [("/drive/", true), ("/looked-at/", false), ("/", false)] {
        let (_, page) = page(&world, path, "en").await;
        let body = page.split_once("<body").unwrap().1.split_once('>').unwrap().0;
        assert_eq!(body.contains("data-writable"), offered, "{path}");
        assert_eq!(page.contains("id=\"files\""), offered, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn subtitles_come_as_webvtt_from_this_server_whatever_the_strategy_is() {
    let world = World::account(|cloud| {
        cloud.add_file(
            "/film.srt",
            "1\r\n00:00:01,000 --> 00:00:02,000\r\n\u{518d}\u{89c1}\r\n",
        );
        cloud.add_file(
            "/gb.SRT",
            b"1\n00:00:01,000 --> 00:00:02,000\n\xd4\xd9\xbc\xfb\n".to_vec(),
        );
        cloud.add_file("/film.vtt", "WEBVTT\n");
        cloud.add_file("/film.txt", "text");
        cloud.add_file("/huge.srt", vec![b'x'; (4 << 20) + 1]);
    })
    .await;
    for path in ["/drive/film.srt?as=vtt", "/drive/gb.SRT?as=vtt"] {
        let (_, text) = page(&world, path, "en").await;
        assert_eq!(text, "WEBVTT\n\n1\n00:00:01.000 --> 00:00:02.000\n再见\n");
    }
    let (_, text) = page(&world, "/drive/film.vtt?as=vtt", "en").await;
    assert_eq!(text, "WEBVTT\n");
    let status = async |path: &str| {
        let url = world.url("/") + path;
        let request = world
            .http
            .get(url)
            .basic_auth(crate::world::USER, Some(crate::world::PASSWORD));
        request.send().await.unwrap().status().as_u16()
    };
    assert_eq!(status("drive/film.txt?as=vtt").await, 302);
    assert_eq!(status("drive/film.srt").await, 302);
    assert_eq!(status("drive/huge.srt?as=vtt").await, 413);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_the_drive_is_shown_without_its_scripts() {
    let world = World::start(
        options(),
        |cloud| {
            for name in ["evil.html", "evil.svg", "evil.xhtml", "plain.txt"] {
                cloud.add_file(
                    &format!("/{name}"),
                    "<script>fetch('/drive/x',{method:'DELETE'})</script>",
                );
            }
        },
        |cloud| crate::world::account(cloud, "/drive", "strategy = \"proxy\""),
    )
    .await;
    for (name, policy) in [
        ("evil.html", "sandbox"),
        ("evil.svg", "sandbox"),
        ("evil.xhtml", "sandbox"),
        ("plain.txt", ""),
    ] {
        let answer = world.get(&format!("/drive/{name}")).await;
        assert_eq!(answer.status(), 200);
        assert_eq!(header(&answer, "content-security-policy"), policy, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_show_the_small_picture_that_123pan_has_from_this_server() {
    let mut world = World::start(
        options(),
        |cloud| {
            for name in ["a b.JPG", "film.mkv", "notes.txt"] {
                cloud.add_file(&format!("/{name}"), name);
            }
        },
        |cloud| account(cloud, "/drive", "strategy = \"redirect\""),
    )
    .await;
    let page = world.get("/drive/").await;
    let policy = header(&page, "content-security-policy");
    assert_eq!(sources(&policy, "img"), ["img-src", "'self'", "data:"]);
    let page = page.text().await.unwrap();
    assert_eq!(page.matches("<img ").count(), 2, "{page}");
    for shown in [
        "<img src=\"a%20b.JPG?as=thumbnail\"",
        "<img src=\"film.mkv?as=thumbnail\"",
    ] {
        assert!(page.contains(shown), "{shown}: {page}");
    }
    let ask = |world: &World, name: &str| {
        let url = format!("{}?as=thumbnail", world.url(&format!("/drive/{name}")));
        world.http.get(url).basic_auth(USER, Some(PASSWORD)).send()
    };
    let calls = world.calls("list");
    let answer = ask(&world, "a b.JPG").await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(header(&answer, "content-type"), "image/png");
    assert_eq!(header(&answer, "x-content-type-options"), "nosniff");
    assert!(answer.bytes().await.unwrap().starts_with(b"\x89PNG"));
    assert_eq!((world.calls("thumbnail"), world.calls("download_info")), (1, 0));
    assert_eq!(world.calls("list"), calls, "the address was in the listing");
    // What is no picture is not passed on, whatever it is.
    for kind in [FaultKind::Html, FaultKind::Status(404, None)] {
        world.cloud.fault(Fault::once("thumbnail", kind));
        let refused = ask(&world, "film.mkv").await.unwrap();
        assert_eq!(refused.status(), 502);
        assert_eq!(header(&refused, "content-type"), "text/plain; charset=utf-8");
    }
    assert_eq!(ask(&world, "notes.txt").await.unwrap().status(), 404);
    let stranger = world.http.get(world.url("/drive/a b.JPG") + "?as=thumbnail");
    assert_eq!(stranger.send().await.unwrap().status(), 401);
    // Listings outlive a restart, the addresses do not: an icon is shown.
    world.server.signal("TERM");
    world.server.wait(std::time::Duration::from_secs(20));
    world.restart();
    let page = world.get("/drive/").await.text().await.unwrap();
    assert!(page.contains("film.mkv") && !page.contains("<img "), "{page}");
}

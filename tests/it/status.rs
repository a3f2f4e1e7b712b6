//! The status page: what it shows, to whom, and at what cost.

use std::time::{Duration, Instant};

use dav123::sim::{Content, Fault, FaultKind};

use crate::world::{PASSWORD, USER, World, account, head, options};

async fn page(world: &World, user: &str, query: &str) -> String {
    let url = world.url("/.dav123/") + query;
    let request = world.http.get(url).basic_auth(user, Some(PASSWORD));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let text = answer.text().await.unwrap();
    assert!(text.ends_with("</html>"), "{text}");
    text
}

/// Looks at the page until it shows something.
async fn shows(world: &World, query: &str, what: &str) -> String {
    let begun = Instant::now();
    loop {
        let page = page(world, USER, query).await;
        if page.contains(what) {
            return page;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "never {what}: {page}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

const FILE: Content = Content::Pattern {
    seed: 3,
    len: 3 << 20,
};

/// Two drives, an upload mode, and a user who sees only one of them.
async fn world() -> World {
    World::configured(
        options(),
        |cloud| {
            cloud.add_file("/a & <b>.bin", FILE);
        },
        |cloud, dir| {
            let child = format!("[[user]]\nname = \"child\"\npassword = \"{PASSWORD}\"\nroot = \"/films\"\naccess = \"read-only\"\n\n");
            let proxied = "strategy = \"proxy\"\nbudget = { bytes = \"4MiB\", per = \"month\" }";
            head(dir)
                + "[upload]\nmode = \"back\"\n\n"
                + &child
                + &account(cloud, "/drive", proxied)
                + &account(cloud, "/films", "access = \"read-only\"")
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn mounts_show_their_kind_space_budget_and_calls_and_the_numbers_cost_no_call() {
    let world = world().await;
    assert!(
        page(&world, USER, "?quiet")
            .await
            .contains("Not used since the start")
    );
    assert_eq!(world.cloud.counters().total(), 0, "nobody is asked quietly");
    world.get("/drive/a & <b>.bin").await.bytes().await.unwrap();
    world.members("/drive").await;
    let shown = page(&world, USER, "").await;
    for part in [
        "<h3><bdi>/drive</bdi></h3><p class=\"soft\">account · proxy · read-write</p><p class=\"good\">Works</p>",
        "account · redirect · read-only",
        "Space: 3.0 MiB of 2.0 TiB used",
        "Traffic budget (this month): 3.0 MiB of 4.0 MiB used",
        "<code>file/list/new</code> <small><bdi>/drive</bdi>, <bdi>/films</bdi></small></figcaption><svg class=\"plot\" role=\"img\" aria-label=\"1 this minute, 1 at the most",
        "Folders known without asking: 1 of 2.",
        "Links known without asking: 0 of 1.",
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // Both mounts are of one account: one quota, and one plot of each call.
    assert_eq!(world.calls("user_info"), 1);
    assert_eq!(shown.matches("<code>file/list/new</code>").count(), 1);
    let calls = world.cloud.counters().total();
    for query in ["", "?quiet", "?live=off"] {
        page(&world, USER, query).await;
    }
    assert_eq!(world.cloud.counters().total(), calls);
    assert!(shown.contains("<body data-live>"));
    let still = page(&world, USER, "?live=off").await;
    assert!(still.contains("<body>") && still.contains("href=\"?live=on\""));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_that_does_not_come_is_unknown_and_not_waited_for() {
    let world = world().await;
    let stall = FaultKind::Stall {
        after: 0,
        lasting: None,
    };
    world.cloud.fault(Fault::once("user_info", stall));
    let begun = Instant::now();
    let shown = page(&world, USER, "").await;
    assert!(
        shown.contains("Space: <span class=\"soft\">unknown</span>"),
        "{shown}"
    );
    assert!(begun.elapsed() < Duration::from_secs(10));
    world.cloud.release();
}

#[tokio::test(flavor = "multi_thread")]
async fn transfers_and_waiting_files_are_shown_to_those_who_may_see_them() {
    let world = world().await;
    let stall = FaultKind::Stall {
        after: 1 << 20,
        lasting: None,
    };
    world.cloud.fault(Fault::once("cdn", stall));
    let mut stalled = world.get("/drive/a & <b>.bin").await;
    let mut seen = 0;
    while seen < 1 << 20 {
        seen += stalled.chunk().await.unwrap().unwrap().len();
    }
    let shown = shows(&world, "", "1.0 MiB / 3.0 MiB").await;
    assert!(
        shown.contains("aria-label=\"download\">↓</span> <bdi>/drive/a &amp; &lt;b&gt;.bin</bdi>")
            && shown.contains("<bdi>me</bdi>"),
        "{shown}"
    );
    // Uploads cannot be sent: they wait.
    world
        .cloud
        .fault(Fault::forever("upload_request", FaultKind::Status(503, None)));
    assert_eq!(
        crate::write::put(&world, "/drive/new.txt", "text".to_owned()).await,
        201
    );
    let shown = shows(&world, "", "1 files (4 B) are received").await;
    assert!(
        shown.contains("<bdi>/drive/new.txt</bdi></td><td>4 B</td>"),
        "{shown}"
    );
    let child = page(&world, "child", "").await;
    assert!(
        child.contains("<bdi>/</bdi>") && child.contains("action=\"refresh?path=%2F\""),
        "{child}"
    );
    for hidden in ["/drive", "a &amp;", "new.txt", "<bdi>me</bdi>"] {
        assert!(!child.contains(hidden), "{hidden}: {child}");
    }
    world.cloud.release();
    drop(stalled);
    shows(&world, "", "Nothing is being transferred").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_refresh_button_asks_anew_and_leads_back() {
    let world = world().await;
    world.members("/drive").await;
    let press = |accept: &'static str| {
        let request = world.http.post(world.url("/.dav123/refresh") + "?path=%2Fdrive");
        request
            .basic_auth(USER, Some(PASSWORD))
            .header("accept", accept)
            .send()
    };
    let answer = press("text/html,*/*").await.unwrap();
    assert_eq!(
        (
            answer.status().as_u16(),
            answer.headers()["location"].to_str().unwrap()
        ),
        (303, "/.dav123/")
    );
    assert_eq!(press("*/*").await.unwrap().status(), 200);
    // A folder that has just been read is not asked for again: so pressed until it is old enough.
    let begun = Instant::now();
    while world.calls("list") == 1 {
        assert!(begun.elapsed() < Duration::from_secs(30), "never asked anew");
        press("*/*").await.unwrap();
        world.members("/drive").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_page_is_well_formed_in_both_languages_and_its_links_are_relative() {
    let world = world().await;
    world.members("/drive").await;
    for language in ["en", "zh-CN"] {
        for (path, root, metrics) in [
            ("/.dav123/", "href=\"../\"", "href=\"metrics\""),
            ("/.dav123", "href=\"./\"", "href=\".dav123/metrics\""),
        ] {
            let (policy, page) = crate::pages::page(&world, path, language).await;
            crate::pages::assert_well_formed(&page);
            crate::pages::assert_allowed(&policy, &page, "style");
            crate::pages::assert_allowed(&policy, &page, "script");
            assert!(page.contains(root) && page.contains(metrics), "{page}");
            assert!(page.contains(&format!("lang=\"{language}\"")));
        }
    }
}

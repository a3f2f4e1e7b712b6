//! A browser opens a folder, uploads, plays, and looks at the status page.

use serde_json::json;

use crate::chromium::Browser;
use crate::program::{ODD, world};
use crate::world::{PASSWORD, USER, World, account, eventually, options};

fn signed_in(world: &World, path: &str) -> String {
    world
        .url(path)
        .replace("http://", &format!("http://{USER}:{PASSWORD}@"))
}

/// A drive with what people keep in one.
async fn home() -> World {
    World::start(
        options(),
        |cloud| {
            let clip: &[u8] = include_bytes!("../../src/sim/media/clip.mp4");
            cloud.add_file("/电影/Night train.mp4", clip.to_vec());
            let srt = "1\n00:00:00,000 --> 00:00:09,000\nGood evening\n";
            cloud.add_file("/电影/Night train.en.srt", srt);
            cloud.add_file("/电影/notes.txt", "to be seen");
            cloud.add_file("/电影/poster.jpg", vec![7; 300_000]);
            cloud.add_file("/电影/score.flac", vec![7; 25_000_000]);
            cloud.add_file("/电影/old.zip", vec![7; 3_000]);
            cloud.add_file("/电影/<script>alert(1)<!--.txt", "x");
            cloud.add_file("/电影/\u{202e}gpj.exe", "x");
            let long =
                "A very long name that somebody has given to a file without any thought of small screens";
            cloud.add_file(&format!("/电影/{long}.pdf"), "x");
            cloud.add_folder("/电影/More of them/deeper");
        },
        |cloud| account(cloud, "/drive", "strategy = \"auto\""),
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs chromium"]
async fn a_browser_shows_the_folder_as_a_page() {
    let world = world().await;
    let mut browser = Browser::start();
    browser.open(&signed_in(&world, "/redirect/tree/怪名字/"));
    let shown = browser.value("[...document.querySelectorAll('#rows bdi')].map(name => name.textContent)");
    for name in ODD {
        assert!(shown.as_array().unwrap().contains(&json!(name)), "{shown}");
    }
    let hrefs = browser.value("[...document.querySelectorAll('#rows a')].map(a => a.getAttribute('href'))");
    assert!(
        hrefs.as_array().unwrap().contains(&json!("hash%20%231.txt")),
        "{hrefs}"
    );
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs chromium"]
async fn the_pages_look_right_in_light_and_dark_on_desk_and_phone_in_both_languages() {
    let world = home().await;
    let mut browser = Browser::start();
    let folder = tempfile::TempDir::new().unwrap();
    for (page, path) in [("folder", "/drive/电影/"), ("status", "/.dav123/")] {
        let mut seen = Vec::new();
        for (device, width, height) in [("desk", 1000, 760), ("phone", 390, 844)] {
            for (language, tag) in [("en", "en"), ("zh-CN", "zh-CN")] {
                for dark in [false, true] {
                    browser.look(width, height, dark, language);
                    browser.open(&signed_in(&world, path));
                    assert_eq!(browser.value("document.documentElement.lang"), tag);
                    let wide = browser.value("document.documentElement.scrollWidth - innerWidth");
                    assert!(wide.as_i64().unwrap() <= 0, "{page} {device} {language}: {wide}");
                    let shade = if dark { "dark" } else { "light" };
                    let name = format!("{page}-{device}-{tag}-{shade}.png");
                    let png = browser.screenshot(&name, folder.path());
                    // A blank picture of this size has some 3 KiB.
                    assert!(png.len() > 8_000, "{name} has {} bytes", png.len());
                    assert!(!seen.contains(&png), "{name} looks like another one");
                    seen.push(png);
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs chromium"]
async fn the_keyboard_reaches_every_control() {
    let world = home().await;
    let mut browser = Browser::start();
    for path in ["/drive/电影/", "/.dav123/"] {
        browser.open(&signed_in(&world, path));
        let controls = "[...document.querySelectorAll('a[href],button,input,[tabindex]')].filter(e => e.checkVisibility())";
        let all = browser.value(&format!("{controls}.length")).as_u64().unwrap();
        assert!(all > 3, "{path}: {all}");
        for _ in 0..=all {
            browser.press("Tab");
            browser.value("document.activeElement.dataset.reached = 1");
        }
        let missed = browser.value(&format!(
            "{controls}.filter(e => !e.dataset.reached).map(e => e.outerHTML)"
        ));
        assert_eq!(missed, json!([]), "{path}");
        // Each has a name for those who cannot see it.
        let nameless = browser.value(&format!(
            "{controls}.filter(e => !(e.textContent.trim() || e.ariaLabel)).map(e => e.outerHTML)"
        ));
        assert_eq!(nameless, json!([]), "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs chromium"]
async fn files_are_uploaded_by_the_page_and_no_file_is_replaced_unasked() {
    let world = home().await;
    let folder = tempfile::TempDir::new().unwrap();
    let names = ["50% & more #1.txt", "新文件.txt"];
    let files: Vec<_> = names.iter().map(|name| folder.path().join(name)).collect();
    for file in &files {
        std::fs::write(file, "from the page").unwrap();
    }
    let mut browser = Browser::start();
    browser.open(&signed_in(&world, "/drive/电影/"));
    let document = browser.call("DOM.getDocument", json!({}));
    let found = browser.call(
        "DOM.querySelector",
        json!({"nodeId": document["root"]["nodeId"], "selector": "#files"}),
    );
    browser.call(
        "DOM.setFileInputFiles",
        json!({"nodeId": found["nodeId"], "files": files}),
    );
    for name in names {
        let shown = format!(
            "document.readyState === 'complete' && [...document.querySelectorAll('#rows bdi')].some(e => e.textContent === {name:?})"
        );
        browser.wait_for(&shown);
        let stored = || world.cloud.read(&format!("/电影/{name}")).as_deref() == Some(b"from the page");
        eventually("the file is stored", stored).await;
    }
    // A file that has come meanwhile is not overwritten: the page asks, and takes the answer.
    let put = world.request("PUT", "/drive/电影/late.txt").body("older");
    assert_eq!(put.send().await.unwrap().status(), 201);
    let late = folder.path().join("late.txt");
    std::fs::write(&late, "newer").unwrap();
    browser.value("window.confirm = text => { window.asked = text; return false; }");
    let document = browser.call("DOM.getDocument", json!({}));
    let found = browser.call(
        "DOM.querySelector",
        json!({"nodeId": document["root"]["nodeId"], "selector": "#files"}),
    );
    browser.call(
        "DOM.setFileInputFiles",
        json!({"nodeId": found["nodeId"], "files": [late]}),
    );
    browser.wait_for("!!window.asked && document.querySelector('#uploads li')?.className === 'bad'");
    assert_eq!(world.cloud.read("/电影/late.txt").as_deref(), Some(&b"older"[..]));
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs chromium"]
async fn the_player_starts_and_shows_subtitles() {
    let world = home().await;
    let mut browser = Browser::start();
    browser.look(1000, 760, false, "en");
    browser.open(&signed_in(&world, "/drive/电影/"));
    browser.value("document.querySelector('.v button').focus()");
    browser.press("Enter");
    browser.wait_for("document.querySelector('video')?.currentTime > 0");
    browser
        .wait_for("document.querySelector('video').textTracks[0]?.activeCues?.[0]?.text === 'Good evening'");
    let folder = tempfile::TempDir::new().unwrap();
    browser.screenshot("player.png", folder.path());
    browser.press("Escape");
    browser.wait_for("!document.querySelector('dialog')");
    assert_eq!(browser.value("document.activeElement.textContent"), "▶");
}

/// Where `tests/run` puts axe-core, which looks for what shuts people out.
const AXE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/target/axe/node_modules/axe-core/axe.min.js"
);

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs chromium, npm"]
async fn axe_finds_nothing_serious() {
    let world = home().await;
    let axe = std::fs::read_to_string(AXE).expect("axe-core is installed by tests/run");
    let mut browser = Browser::start();
    for (path, before) in [
        ("/drive/电影/", ""),
        ("/drive/", ""),
        ("/drive/电影/", "document.querySelector('.v button').click()"),
        ("/drive/电影/", "document.querySelector('.d button').click()"),
        ("/.dav123/", ""),
    ] {
        for (width, dark) in [(1000, false), (390, true)] {
            browser.look(width, 800, dark, "en");
            browser.open(&signed_in(&world, path));
            browser.value(before);
            browser.value(&axe);
            let found = browser.value(
                "axe.run().then(found => found.violations.filter(v => ['serious', 'critical'].includes(v.impact)) \
                 .map(v => [v.id, v.help, v.nodes.map(node => node.html + ' ' + node.failureSummary)]))",
            );
            assert_eq!(found, json!([]), "{path} {before} {width}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs chromium"]
async fn the_status_page_renews_its_numbers_until_it_is_told_not_to() {
    let world = home().await;
    let mut browser = Browser::start();
    browser.open(&signed_in(&world, "/.dav123/"));
    browser.value("window.stays = true");
    assert_eq!(
        browser.value("document.querySelector('#calls code')?.textContent"),
        "user/info"
    );
    world.members("/drive/电影").await;
    browser.wait_for("document.querySelector('#calls').textContent.includes('file/list/new')");
    assert_eq!(
        browser.value("window.stays"),
        true,
        "not by loading the page anew"
    );
    browser.value("document.querySelector('a[href=\"?live=off\"]').click()");
    browser.wait_for("document.readyState === 'complete' && !('live' in document.body.dataset)");
    // Refresh leads back to the page.
    browser.value("document.querySelector('form button').click()");
    browser.wait_for(
        "document.readyState === 'complete' && location.pathname === '/.dav123/' && !location.search",
    );
}

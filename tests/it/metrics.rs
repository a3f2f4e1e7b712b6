//! What is counted, and the access log: one line a request with its times.

use std::collections::BTreeSet;
use std::time::Duration;

use dav123::sim::{Content, Fault, FaultKind};

use crate::world::pair::{FILM, LEN, Pair};
use crate::world::{World, account, eventually, options};

const SIZE: u64 = 3 << 20;
const FILE: Content = Content::Pattern { seed: 1, len: SIZE };

/// Nothing is remembered of what was streamed.
async fn world() -> World {
    World::start_with(
        options(),
        "[cache]\nblocks = \"0B\"\n",
        |cloud| {
            cloud.add_file("/film.mkv", FILE);
        },
        |cloud| {
            let worker = "proxy_url = \"https://worker.example\"\nproxy_secret = \"worker-key\"";
            ["redirect", "proxy", "auto", "proxy-url"]
                .map(|way| {
                    account(
                        cloud,
                        &format!("/{way}"),
                        &format!("strategy = \"{way}\"\n{worker}"),
                    )
                })
                .concat()
        },
    )
    .await
}

async fn metrics(world: &World) -> String {
    world.get("/.dav123/metrics").await.text().await.unwrap()
}

fn assert_lines(text: &str, lines: &[&str]) {
    for line in lines {
        assert!(text.lines().any(|found| found == *line), "{line}\n{text}");
    }
}

async fn get_as(world: &World, path: &str, agent: &str, range: &str) {
    let answer = world
        .request("GET", path)
        .header("user-agent", agent)
        .header("range", range)
        .send()
        .await
        .unwrap();
    assert!(
        matches!(answer.status().as_u16(), 206 | 302),
        "{path}: {}",
        answer.status()
    );
    answer.bytes().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_and_bytes_are_counted_by_mount_and_way() {
    let world = world().await;
    for _ in 0..2 {
        world.get("/proxy/film.mkv").await.bytes().await.unwrap();
        get_as(&world, "/redirect/film.mkv", "mpv", "bytes=0-99").await;
    }
    get_as(&world, "/proxy-url/film.mkv", "mpv", "bytes=-7").await;
    get_as(&world, "/auto/film.mkv", "libmpv", "bytes=0-").await;
    get_as(&world, "/auto/film.mkv", "SomethingNew/1", "bytes=0-9").await;
    // None of these reads a file, and none makes a label.
    for path in ["/proxy/nothing", "/nowhere/film.mkv", "/proxy"] {
        world.get(path).await;
    }
    world.request("HEAD", "/proxy/film.mkv").send().await.unwrap();
    let text = metrics(&world).await;
    let twice = 2 * SIZE;
    assert_lines(
        &text,
        &[
            "dav123_deliveries_total{mount=\"/proxy\",strategy=\"proxy\"} 2",
            &format!("dav123_delivered_bytes_total{{mount=\"/proxy\",strategy=\"proxy\"}} {twice}"),
            "dav123_deliveries_total{mount=\"/redirect\",strategy=\"redirect\"} 2",
            "dav123_delivered_bytes_total{mount=\"/redirect\",strategy=\"redirect\"} 200",
            "dav123_deliveries_total{mount=\"/proxy-url\",strategy=\"proxy-url\"} 1",
            "dav123_delivered_bytes_total{mount=\"/proxy-url\",strategy=\"proxy-url\"} 7",
            "dav123_deliveries_total{mount=\"/auto\",strategy=\"redirect\"} 1",
            &format!("dav123_delivered_bytes_total{{mount=\"/auto\",strategy=\"redirect\"}} {SIZE}"),
            "dav123_deliveries_total{mount=\"/auto\",strategy=\"proxy\"} 1",
            "dav123_delivered_bytes_total{mount=\"/auto\",strategy=\"proxy\"} 10",
            "dav123_probes_total{mount=\"/auto\"} 1",
            "dav123_streams_running{mount=\"/proxy\"} 0",
        ],
    );
    let calls: u64 = text
        .lines()
        .filter(|line| line.starts_with("dav123_link_calls_total{"))
        .map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap())
        .sum();
    assert_eq!(calls, world.calls("download_info"), "{text}");
    let labels = |name: &str| -> BTreeSet<String> {
        let before = format!("{name}=\"");
        text.split(&before)
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap().to_owned())
            .collect()
    };
    let mounts = ["/auto", "/proxy", "/proxy-url", "/redirect"].map(str::to_owned);
    assert_eq!(labels("mount"), BTreeSet::from(mounts));
    let ways = ["proxy", "proxy-url", "redirect"].map(str::to_owned);
    assert_eq!(labels("strategy"), BTreeSet::from(ways));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_on_the_way_is_counted_and_a_stream_runs_until_it_ends() {
    let world = world().await;
    let cloud = &world.cloud;
    world.get("/proxy/film.mkv").await.bytes().await.unwrap();
    cloud.expire_links();
    cloud.fault(Fault::once("cdn", FaultKind::Truncate(1_000_000)).after(1));
    let bytes = world.get("/proxy/film.mkv").await.bytes().await.unwrap();
    assert!(bytes == FILE.read(0, SIZE));
    let stall = FaultKind::Stall {
        after: 1000,
        lasting: None,
    };
    cloud.fault(Fault::once("cdn", stall));
    let mut stalled = world.get("/proxy/film.mkv").await;
    stalled.chunk().await.unwrap();
    assert_lines(
        &metrics(&world).await,
        &[
            "dav123_refusals_total{mount=\"/proxy\"} 1",
            "dav123_resumes_total{mount=\"/proxy\"} 1",
            "dav123_link_calls_total{mount=\"/proxy\"} 2",
            "dav123_probes_total{mount=\"/proxy\"} 0",
            "dav123_streams_running{mount=\"/proxy\"} 1",
        ],
    );
    drop(stalled);
    world
        .releasing(async {
            for _ in 0..500 {
                let text = metrics(&world).await;
                if text.contains("dav123_streams_running{mount=\"/proxy\"} 0") {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            panic!("it still runs");
        })
        .await;
}

/// The values of the access-log line of a request.
async fn line(log: impl Fn() -> String, request: &str) -> impl Fn(&str) -> String {
    let find = || {
        let log = log();
        let line = log.lines().find(|line| line.contains(request));
        line.map(str::to_owned)
    };
    eventually(request, || find().is_some()).await;
    let found = find().unwrap();
    move |name: &str| {
        let value = found.split(&format!(" {name}=")).nth(1);
        let value = value.unwrap_or_else(|| panic!("no {name} in {found}"));
        value.split(' ').next().unwrap().to_owned()
    }
}

fn number(text: &str) -> u64 {
    text.parse().unwrap_or_else(|_| panic!("{text} is no number"))
}

#[tokio::test(flavor = "multi_thread")]
async fn each_request_has_one_line_with_its_way_bytes_and_times() {
    let world = world().await;
    world.cloud.settings().latency = Duration::from_millis(150);
    world.cloud.settings().cdn_latency = Duration::from_millis(300);
    let log = || world.server.log();

    let (status, _) = world.propfind("/proxy", "1").await;
    assert_eq!(status, 207);
    let listed = line(log, "method=PROPFIND path=/proxy").await;
    assert_eq!(listed("delivery"), "-");
    assert!(
        number(&listed("upstream_ms")) >= 100,
        "the listing was waited for"
    );

    world.get("/redirect/film.mkv").await;
    let redirect = line(log, "method=GET path=/redirect/film.mkv").await;
    assert_eq!(
        (redirect("status"), redirect("delivery")),
        ("302".into(), "redirect".into())
    );
    assert_eq!(redirect("bytes"), "0");
    assert!(number(&redirect("upstream_ms")) >= 100, "the link was waited for");
    assert!(number(&redirect("first_byte_ms")) >= number(&redirect("upstream_ms")));

    // One second of body.
    world.cloud.settings().throttle = Some(SIZE);
    world.get("/proxy/film.mkv").await.bytes().await.unwrap();
    let streamed = line(log, "method=GET path=/proxy/film.mkv").await;
    assert_eq!(
        (streamed("status"), streamed("delivery")),
        ("200".into(), "proxy".into())
    );
    assert_eq!(number(&streamed("bytes")), SIZE);
    assert_eq!(streamed("whole"), "true");
    let [upstream, first, all] = ["upstream_ms", "first_byte_ms", "ms"].map(|name| number(&streamed(name)));
    assert!(upstream >= 300, "{upstream}: the CDN was waited for");
    assert!(
        first >= upstream && all >= first + 200,
        "{upstream} {first} {all}"
    );

    world.request("HEAD", "/proxy/film.mkv").send().await.unwrap();
    let head = line(log, "method=HEAD path=/proxy/film.mkv").await;
    assert_eq!((head("upstream_ms"), head("bytes")), ("0".into(), "0".into()));
    for request in [
        "method=GET path=/proxy/film.mkv ",
        "method=HEAD path=/proxy/film.mkv ",
    ] {
        assert_eq!(log().matches(request).count(), 1, "{request}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_counts_under_its_own_name_and_waits_for_its_origin() {
    let pair = Pair::start(|cloud| {
        cloud.settings().cdn_latency = Duration::from_millis(200);
    })
    .await;
    let url = pair.signed("/drive/电影/a b.mkv").await;
    assert!(pair.get(&url).await.bytes().await.unwrap() == FILM.read(0, LEN));
    let line = line(|| pair.proxy.log(), "method=GET path=/drive/").await;
    assert_eq!(line("delivery"), "proxy");
    assert_eq!(number(&line("bytes")), LEN);
    assert!(number(&line("upstream_ms")) >= 200);
    let text = pair.metrics().await;
    assert_lines(
        &text,
        &[
            "dav123_deliveries_total{mount=\"[proxy]\",strategy=\"proxy\"} 1",
            &format!("dav123_delivered_bytes_total{{mount=\"[proxy]\",strategy=\"proxy\"}} {LEN}"),
            "dav123_link_calls_total{mount=\"[proxy]\"} 1",
        ],
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_metric_is_documented_in_both_languages() {
    let world = world().await;
    // What has no labels yet is not shown.
    world.get("/proxy/film.mkv").await.bytes().await.unwrap();
    let text = metrics(&world).await;
    let typed = text.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let names = typed.filter_map(|line| {
        let (name, kind) = line.split_once(' ')?;
        Some(if kind == "counter" {
            format!("`{name}_total`")
        } else {
            format!("`{name}`")
        })
    });
    let names: Vec<String> = names.collect();
    assert!(names.len() > 10, "{names:?}");
    for readme in ["README.md", "README.zh-CN.md"] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(readme);
        let readme = std::fs::read_to_string(path).unwrap();
        for name in &names {
            assert!(readme.contains(name), "{name}");
        }
    }
}

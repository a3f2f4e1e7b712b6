//! Direct-link mounts: the grammar of the list, signatures, and what is asked of the CDN.

use std::time::{Duration, Instant};

use dav123::sim::{Cloud, DirectAuth, DirectHead};

use crate::world::{World, header, links, options, run};

const KEY: &str = "private_key = \"direct-private-key\"";

/// A time in September 2023, and how HTTP writes it.
const TIME: (u64, &str) = (1_694_101_621, "Thu, 07 Sep 2023 15:47:01 GMT");

fn fill(cloud: &Cloud) {
    for name in ["both.bin", "size.bin", "time.bin", "none.bin"] {
        cloud.add_file(&format!("/space/{name}"), "hello world");
    }
    cloud.add_file("/space/电影/a b+(1).mkv", "film");
    cloud.enable_direct("/space");
    cloud.settings().direct_auth = DirectAuth::Decoded;
}

fn four_forms(cloud: &Cloud) -> String {
    let (base, time) = (cloud.direct_base(), TIME.0);
    format!(
        "films:\n  11:{time}:{base}/space/both.bin\n  11:{base}/space/size.bin\n  {time}:{base}/space/time.bin\n  \
         {base}/space/none.bin\n{base}/space/%E7%94%B5%E5%BD%B1/a%20b%2B%281%29.mkv"
    )
}

async fn world(more: &str) -> World {
    World::start(options(), fill, |cloud| {
        links(cloud, "/links", &format!("{KEY}\n{more}"), &four_forms(cloud))
    })
    .await
}

async fn bytes_of(world: &World, path: &str) -> String {
    let link = header(&world.get(path).await, "location");
    assert!(link.contains("auth_key="), "{path}: {link}");
    let answer = world.http.get(&link).send().await.unwrap();
    assert_eq!(answer.status(), 200, "{path}: {link}");
    answer.text().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_four_forms_of_a_line_give_size_and_time_listed_or_asked() {
    for head in [DirectHead::Full, DirectHead::NoLength, DirectHead::Refused] {
        let world = world("").await;
        world.cloud.settings().direct_head = head;
        let mut members = world.members("/links/films").await;
        members.sort();
        let names = ["both.bin", "none.bin", "size.bin", "time.bin"];
        assert_eq!(
            members,
            names.map(|name| format!("/links/films/{name}")),
            "{head:?}"
        );
        for name in names {
            let answer = world
                .request("HEAD", &format!("/links/films/{name}"))
                .send()
                .await
                .unwrap();
            assert_eq!(header(&answer, "content-length"), "11", "{head:?} {name}");
            if ["both.bin", "time.bin"].contains(&name) {
                assert_eq!(header(&answer, "last-modified"), TIME.1, "{head:?} {name}");
            }
            assert_eq!(
                bytes_of(&world, &format!("/links/films/{name}")).await,
                "hello world"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_list_says_whole_is_not_asked() {
    let world = World::start(options(), fill, |cloud| {
        let line = format!("11:{}:{}/space/both.bin", TIME.0, cloud.direct_base());
        links(cloud, "/links", KEY, &line)
    })
    .await;
    assert_eq!(world.members("/links").await, ["/links/both.bin"]);
    assert_eq!(world.cloud.counters().total(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_number_is_a_time_unless_the_cdn_says_that_it_is_the_size() {
    let world = World::start(
        options(),
        |cloud| {
            fill(cloud);
            let large = dav123::sim::Content::Pattern { seed: 1, len: TIME.0 };
            cloud.add_file_with_etag("/space/large.bin", large, "0123456789abcdef0123456789abcdef");
        },
        |cloud| {
            let (base, time) = (cloud.direct_base(), TIME.0);
            let lines = format!("{time}:{base}/space/large.bin\n{time}:{base}/space/time.bin");
            links(cloud, "/links", KEY, &lines)
        },
    )
    .await;
    world.members("/links").await;
    let large = world.request("HEAD", "/links/large.bin").send().await.unwrap();
    assert_eq!(header(&large, "content-length"), TIME.0.to_string());
    assert_ne!(header(&large, "last-modified"), TIME.1);
    let time = world.request("HEAD", "/links/time.bin").send().await.unwrap();
    assert_eq!(header(&time, "content-length"), "11");
    assert_eq!(header(&time, "last-modified"), TIME.1);
}

#[tokio::test(flavor = "multi_thread")]
async fn sizes_are_asked_once_and_at_most_four_at_a_time() {
    let latency = Duration::from_millis(150);
    let world = World::start(
        options(),
        |cloud| {
            fill(cloud);
            for n in 0..16 {
                cloud.add_file(&format!("/space/{n}.bin"), "hello");
            }
            cloud.settings().cdn_latency = latency;
        },
        |cloud| {
            let base = cloud.direct_base();
            let lines: Vec<String> = (0..16).map(|n| format!("{base}/space/{n}.bin")).collect();
            "[cache]\nlist_ttl = \"0s\"\n".to_owned() + &links(cloud, "/links", KEY, &lines.join("\n"))
        },
    )
    .await;
    let begun = Instant::now();
    let scans = (0..5).map(|_| world.members("/links"));
    for members in futures_util::future::join_all(scans).await {
        assert_eq!(members.len(), 16);
    }
    assert!(begun.elapsed() >= latency * 4, "{:?}", begun.elapsed());
    assert!(
        begun.elapsed() < latency * 16,
        "one at a time: {:?}",
        begun.elapsed()
    );
    assert_eq!(world.calls("direct_head"), 16);
    world.members("/links").await;
    assert_eq!(world.calls("direct_head"), 16, "kept");
    assert_eq!(world.calls("direct"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_is_signed_decoded_and_once_as_written_if_that_is_refused() {
    for auth in [DirectAuth::Decoded, DirectAuth::AsWritten] {
        for strategy in ["redirect", "proxy"] {
            let world = world(&format!("strategy = \"{strategy}\"")).await;
            world.cloud.settings().direct_auth = auth;
            let path = "/links/a b+(1).mkv";
            for _ in 0..2 {
                let text = match strategy {
                    "redirect" => bytes_of(&world, path).await,
                    _ => world.get(path).await.text().await.unwrap(),
                };
                assert_eq!(text, "film", "{auth:?} {strategy}");
            }
            // Plain names are the same in both forms.
            let plain = world.get("/links/films/both.bin").await;
            assert!(plain.status() == 302 || plain.status() == 200);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_is_signed_for_valid_for_and_for_longer_where_the_client_stays_on_it() {
    let world = world("valid_for = \"10m\"").await;
    let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let expires = async |agent: &str| {
        let answer = world
            .request("GET", "/links/films/both.bin")
            .header("user-agent", agent)
            .send()
            .await
            .unwrap();
        let link = header(&answer, "location");
        let key = link.split_once("auth_key=").unwrap().1;
        key.split('-').next().unwrap().parse::<u64>().unwrap()
    };
    let usual = expires("curl/8").await - now;
    assert!((590..=620).contains(&usual), "{usual}");
    let kodi = expires("Kodi/21.0").await - now;
    assert!(kodi >= 6 * 3600, "{kodi}");
    // The longer one is good for all.
    let usual = expires("curl/8").await - now;
    assert!(usual >= 6 * 3600, "{usual}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_key_links_go_out_as_they_are_in_the_list() {
    let world = World::start(
        options(),
        |cloud| {
            fill(cloud);
            cloud.settings().direct_auth = DirectAuth::Off;
        },
        |cloud| links(cloud, "/links", "", &four_forms(cloud)),
    )
    .await;
    let link = header(&world.get("/links/films/both.bin").await, "location");
    assert_eq!(link, format!("{}/space/both.bin", world.cloud.direct_base()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_whose_size_nobody_says_is_still_streamed_and_redirected() {
    for strategy in ["redirect", "proxy"] {
        let world = world(&format!("strategy = \"{strategy}\"")).await;
        world.cloud.fault(dav123::sim::Fault::forever(
            "direct_head",
            dav123::sim::FaultKind::Status(500, None),
        ));
        world.cloud.fault(dav123::sim::Fault::once(
            "direct",
            dav123::sim::FaultKind::Status(500, None),
        ));
        let (status, body) = world.propfind("/links/films/none.bin", "0").await;
        assert_eq!(status, 207, "{body}");
        let answer = world.get("/links/films/none.bin").await;
        if strategy == "proxy" {
            assert_eq!(answer.status(), 200);
            assert_eq!(header(&answer, "content-length"), "11", "A4: always a length");
            assert_eq!(answer.text().await.unwrap(), "hello world");
        } else {
            assert_eq!(answer.status(), 302);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_line_is_named_with_its_number_and_without_its_url() {
    let dir = tempfile::TempDir::new().unwrap();
    let config = dir.path().join("dav.toml");
    let list = "films:\n   odd.mkv:https://vip.123pan.cn/1/secret-a.mkv\n  -5:https://vip.123pan.cn/1/secret-b.mkv\n\
                nothing here\n100https://vip.123pan.cn/1/secret-c.mkv\n\
                \tx:https://vip.123pan.cn/1/secret-d.mkv\n1:https://vip.123pan.cn/1/good.mkv";
    std::fs::write(&config, "[[user]]\nname = \"me\"\npassword = \"p\"\n").unwrap();
    let mount = format!(
        "{}\n[[mount]]\npath = \"/links\"\nkind = \"direct-link\"\nuid = 1\nlinks = \"\"\"\n{list}\n\"\"\"\n",
        std::fs::read_to_string(&config).unwrap()
    );
    std::fs::write(&config, mount).unwrap();
    for command in ["check", "serve"] {
        let ran = run(&[command, "--config", config.to_str().unwrap()], "");
        assert_eq!(ran.code, 2, "{command}: {ran:?}");
        let lines: Vec<&str> = ran.err.lines().filter(|l| l.contains("line ")).collect();
        assert_eq!(lines.len(), 5, "{command}: {}", ran.err);
        for number in [2, 3, 4, 5, 6] {
            assert!(
                lines.iter().any(|l| l.contains(&format!("line {number}"))),
                "{number}: {}",
                ran.err
            );
        }
        assert!(ran.err.contains("/links"), "{}", ran.err);
        assert!(!ran.err.contains("secret-"), "{}", ran.err);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn paid_links_are_not_for_strangers_unless_the_configuration_says_so() {
    for anonymous in [false, true] {
        let world = World::configured(options(), fill, |cloud, dir| {
            let head = crate::world::head(dir);
            let open = match anonymous {
                true => head.replace("[server]\n", "[server]\nanonymous = \"read-only\"\n"),
                false => head,
            };
            open + &links(cloud, "/links", KEY, &four_forms(cloud))
        })
        .await;
        for method in ["GET", "HEAD", "PROPFIND"] {
            let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
            let asked = world
                .http
                .request(method.clone(), world.url("/links/films/both.bin"));
            let answer = asked.send().await.unwrap();
            if anonymous {
                assert!(answer.status().as_u16() < 400, "{method}");
            } else {
                assert_eq!(answer.status(), 401, "{method}");
                assert_eq!(header(&answer, "location"), "");
            }
        }
    }
}

//! A worker of the OpenList family with dav123 as its origin.

use dav123::sim::{Cloud, Content, RefererRule};
use tokio::net::TcpListener;

use crate::world::worker::{Settings, serve};
use crate::world::{World, account, header, options};

const LEN: u64 = 3_000_001;
const FILM: Content = Content::Pattern { seed: 9, len: LEN };
/// Names that a wrong encoding would break the signature of.
const NAMES: [&str; 5] = [
    "film.mkv",
    "电影 a+b & c.mkv",
    "100% #1?.mkv",
    "it's [here]; (x)=~!*,$@.mkv",
    "emoji 🎬.mkv",
];

async fn world(fill: impl FnOnce(&Cloud)) -> (World, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let worker = format!("http://{}", listener.local_addr().unwrap());
    let token = "Token+of/the=worker";
    let more = format!("strategy = \"proxy-url\"\nproxy_url = \"{worker}\"\nproxy_secret = \"{token}\"");
    let world = World::start(
        options(),
        |cloud| {
            for name in NAMES {
                cloud.add_file(&format!("/tree/{name}"), FILM);
            }
            fill(cloud);
        },
        |cloud| account(cloud, "/drive", &more),
    )
    .await;
    let settings = Settings {
        address: world.server.url.trim_end_matches('/').to_owned(),
        token: token.to_owned(),
    };
    serve(listener, settings);
    (world, worker)
}

async fn location(world: &World, path: &str) -> String {
    let answer = world.get(path).await;
    assert_eq!(answer.status(), 302, "{path}");
    header(&answer, "location")
}

#[tokio::test(flavor = "multi_thread")]
async fn files_of_any_name_come_whole_and_in_parts() {
    for rule in [RefererRule::Off, RefererRule::Outer] {
        let (world, worker) = world(|cloud| cloud.settings().referer = rule).await;
        for name in NAMES {
            let url = location(&world, &format!("/drive/tree/{name}")).await;
            assert!(url.starts_with(&worker), "{url}");
            let whole = world.http.get(&url).send().await.unwrap();
            assert_eq!(header(&whole, "content-length"), LEN.to_string(), "{name}");
            assert!(whole.bytes().await.unwrap() == FILM.read(0, LEN), "{name}");
            let (first, length) = (LEN - 70_000, 60_000);
            let range = format!("bytes={first}-{}", first + length - 1);
            let part = world.http.get(&url).header("range", range).send().await.unwrap();
            assert_eq!(part.status(), 206, "{name}");
            assert!(part.bytes().await.unwrap() == FILM.read(first, length), "{name}");
        }
        assert_eq!(
            world.calls("download_info"),
            NAMES.len() as u64,
            "links are remembered"
        );
        assert_eq!(world.calls("leaked_authorization"), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_dav123_refuses_reaches_the_client_as_the_worker_s_json() {
    let (world, _) = world(|_| {}).await;
    let url = location(&world, "/drive/tree/film.mkv").await;
    let said = async |url: &str| {
        let answer = world.http.get(url).send().await.unwrap();
        assert_eq!(header(&answer, "content-type"), "application/json;charset=UTF-8");
        serde_json::from_str::<serde_json::Value>(&answer.text().await.unwrap()).unwrap()
    };
    let other = said(&url.replace("film", "other")).await;
    assert_eq!(other["message"], "sign mismatch");
    world.cloud.settings().traffic_used_up = true;
    let used_up = said(&url).await;
    assert_eq!(used_up["code"], 403, "{used_up}");
}

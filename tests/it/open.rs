//! Mounts of the Open platform, as far as they read.

use dav123::sim::Cloud;

use crate::world::{World, endpoints, header, options};

fn open(cloud: &Cloud, secret: &str, more: &str) -> String {
    format!(
        "[[mount]]\npath = \"/official\"\nkind = \"open\"\nclient_id = \"{}\"\nclient_secret = \"{secret}\"\n{more}\n{}",
        cloud.options().client_id,
        endpoints(cloud)
    )
}

fn fill(cloud: &Cloud) {
    for n in 0..230 {
        cloud.add_file(&format!("/films/{n}.mkv"), vec![1; n]);
    }
    cloud.add_file("/films/inner/a b#.txt", "hello");
}

async fn world(more: &str) -> World {
    World::start(options(), fill, |cloud| {
        open(cloud, &cloud.options().client_secret, more)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_mount_is_listed_whole_and_read_by_both_strategies() {
    for strategy in ["redirect", "proxy"] {
        let world = world(&format!("strategy = \"{strategy}\"")).await;
        assert_eq!(world.members("/official").await, ["/official/films/"]);
        assert_eq!(world.members("/official/films").await.len(), 231);
        let answer = world.get("/official/films/inner/a b#.txt").await;
        let text = if strategy == "proxy" {
            answer.text().await.unwrap()
        } else {
            assert_eq!(answer.status(), 302);
            let link = header(&answer, "location");
            world.http.get(link).send().await.unwrap().text().await.unwrap()
        };
        assert_eq!(text, "hello", "{strategy}");
        assert_eq!(world.calls("open_access_token"), 1);
        assert_eq!(world.calls("sign_in"), 0);
        assert_eq!(world.calls("leaked_authorization"), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_open_token_costs_one_new_one_for_all() {
    let world = world("").await;
    world.members("/official").await;
    world.cloud.expire_tokens();
    world.server.signal("HUP");
    crate::world::eventually("reloaded", || world.server.log().contains("reloaded")).await;
    let paths = ["/official", "/official/films", "/official/films/inner"];
    let asked = paths
        .into_iter()
        .cycle()
        .take(30)
        .map(|path| world.propfind(path, "1"));
    for (status, body) in futures_util::future::join_all(asked).await {
        assert_eq!(status, 207, "{body}");
    }
    assert_eq!(world.calls("open_access_token"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_client_secret_is_tried_once_and_said() {
    let world = World::start(options(), fill, |cloud| open(cloud, "not-the-secret", "")).await;
    for _ in 0..3 {
        let (status, sentence) = world.propfind("/official", "1").await;
        assert_eq!(status, 503, "{sentence}");
        assert!(sentence.contains("client_secret"), "{sentence}");
        assert!(!sentence.contains("not-the-secret"), "{sentence}");
    }
    assert_eq!(world.calls("open_access_token"), 1);
}

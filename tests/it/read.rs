//! Reading an account: listing, GET, HEAD, and what they cost.

use super::KIND;
use super::write::{spool, world};
use crate::world::{PASSWORD, USER, World, client, eventually, options};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_is_listed_and_redirected_to_the_cdn() {
    let world = KIND
        .world(|cloud| {
            cloud.add_file("/电影/a b#.txt", "hello world");
        })
        .await;
    let (status, body) = world.propfind("/drive/电影", "1").await;
    assert_eq!(status, 207, "{body}");
    assert!(body.contains("a%20b%23.txt"), "{body}");
    let answer = world.get("/drive/电影/a b#.txt").await;
    assert_eq!(answer.status(), 302, "{}", world.server.log());
    let link = answer.headers()["location"].to_str().unwrap().to_owned();
    let bytes = world.http.get(link).send().await.unwrap();
    assert_eq!(bytes.status(), 200);
    assert_eq!(bytes.text().await.unwrap(), "hello world");
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_cold_gets_of_one_file_cost_one_list_call_a_level_and_one_link_call() {
    let world = KIND
        .world(|cloud| {
            cloud.add_file("/a/b/c.bin", "x");
        })
        .await;
    let gets = (0..50).map(|_| world.get("/drive/a/b/c.bin"));
    for answer in futures_util::future::join_all(gets).await {
        assert_eq!(answer.status(), 302);
    }
    assert_eq!(world.calls("list"), 3);
    assert_eq!(world.calls("download_info"), 1);
    assert_eq!(world.calls("sign_in"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_a_file_again_on_one_connection_sees_at_once_what_became_of_it() {
    for mode in ["through", "back"] {
        let world = world(mode, |cloud| {
            cloud.add_file("/f/a.txt", "old");
            cloud.add_file("/f/c.txt", "other");
        })
        .await;
        let reader = client();
        let read = async || {
            let url = world.url("/drive/f/a.txt");
            let mut seen = Vec::new();
            // The last one needs no look, if nothing waits in the spool.
            for _ in 0..3 {
                let answer = reader
                    .get(&url)
                    .basic_auth(USER, Some(PASSWORD))
                    .send()
                    .await
                    .unwrap();
                let status = answer.status().as_u16();
                let text = answer.text().await.unwrap();
                seen.push(if status == 200 { text } else { status.to_string() });
            }
            assert!(seen.iter().all(|text| *text == seen[0]), "{mode}: {seen:?}");
            seen.remove(0)
        };
        let change = async |method: &str, path: &str, to: &str, body: &'static str| {
            let request = world.request(method, path).body(body);
            let answer = match to {
                "" => request.send().await,
                to => request.header("destination", world.url(to)).send().await,
            };
            assert!(answer.unwrap().status().is_success(), "{mode} {method}");
        };
        assert_eq!(read().await, "old");
        change("PUT", "/drive/f/a.txt", "", "new").await;
        assert_eq!(read().await, "new");
        // Who moves a file that has just been sent is told to do it again.
        eventually("it is sent", || spool(&world) == 0).await;
        change("MOVE", "/drive/f/a.txt", "/drive/f/b.txt", "").await;
        assert_eq!(read().await, "404");
        change("MOVE", "/drive/f/c.txt", "/drive/f/a.txt", "").await;
        assert_eq!(read().await, "other");
        change("MOVE", "/drive/f", "/drive/g", "").await;
        assert_eq!(read().await, "404");
        change("MOVE", "/drive/g", "/drive/f", "").await;
        assert_eq!(read().await, "other");
        change("DELETE", "/drive/f/a.txt", "", "").await;
        assert_eq!(read().await, "404");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn each_user_of_one_connection_reads_a_file_of_his_own() {
    let user =
        |name: &str| format!("[[user]]\nname = {name:?}\npassword = {name:?}\nroot = \"/drive/{name}\"\n");
    let users = user("anna") + &user("ben");
    let world = World::start_with(
        options(),
        &users,
        |cloud| {
            cloud.add_file("/anna/a.txt", "anna");
            cloud.add_file("/ben/a.txt", "ben");
        },
        |cloud| KIND.mount(cloud, "/drive", "strategy = \"proxy\""),
    )
    .await;
    let reader = client();
    for _ in 0..3 {
        for name in ["anna", "ben", "ben"] {
            let answer = reader
                .get(world.url("/a.txt"))
                .basic_auth(name, Some(name))
                .send();
            assert_eq!(answer.await.unwrap().text().await.unwrap(), name);
        }
        let stranger = reader
            .get(world.url("/a.txt"))
            .basic_auth("anna", Some("ben"))
            .send();
        assert_eq!(stranger.await.unwrap().status(), 401);
    }
}

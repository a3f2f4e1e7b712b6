//! Reading an account: listing, GET, HEAD, and what they cost.

use super::KIND;

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

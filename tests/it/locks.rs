//! Locks through the front door: what they keep out, how long they live, and to whom they show.

use std::time::Duration;

use crate::rules::{LOCK, lock, one_file, send, status, world};
use crate::world::{PASSWORD, USER, World, account, options};

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_no_lock_allows_nothing() {
    let world = one_file().await;
    let token = lock(&world, "/drive/a.txt", &[("timeout", "Second-1")]).await;
    let held = format!("(<{token}>)");
    assert_eq!(
        status(&world, "PUT", "/drive/a.txt", &[("if", &held)], "b").await,
        204
    );
    tokio::time::sleep(Duration::from_millis(1100)).await;
    // The lock has ended: whoever holds its token finds out before he overwrites somebody else's work.
    assert_eq!(
        status(&world, "PUT", "/drive/a.txt", &[("if", &held)], "c").await,
        412
    );
    assert_eq!(
        status(
            &world,
            "PUT",
            "/drive/a.txt",
            &[("if", "(<urn:uuid:made-up>)")],
            "c"
        )
        .await,
        412
    );
    assert_eq!(
        status(
            &world,
            "PUT",
            "/drive/a.txt",
            &[("if", "(Not <urn:uuid:made-up>)")],
            "c"
        )
        .await,
        204
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_lives_as_long_as_was_asked_but_an_hour_at_the_most() {
    let world = one_file().await;
    for (wish, granted) in [
        ("Second-3600", "Second-3600"),
        ("Second-1200", "Second-1200"),
        ("Infinite, Second-4100000000", "Second-3600"),
        ("Second-4100000000", "Second-3600"),
        ("Second-99999999999999999999", "Second-3600"),
        ("whatever", "Second-3600"),
    ] {
        let answer = send(&world, "LOCK", "/drive/a.txt", &[("timeout", wish)], LOCK).await;
        assert_eq!(answer.status, 200);
        assert!(answer.text.contains(granted), "{wish}: {}", answer.text);
        let token = answer.header("lock-token").to_owned();
        let held = format!("({token})");
        let again = send(
            &world,
            "LOCK",
            "/drive/a.txt",
            &[("if", &held), ("timeout", "Second-77")],
            "",
        )
        .await;
        assert_eq!(again.status, 200, "{}", again.text);
        assert!(again.text.contains("Second-77"), "{}", again.text);
        assert_eq!(
            status(&world, "UNLOCK", "/drive/a.txt", &[("lock-token", &token)], "").await,
            204
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_of_a_folder_alone_keeps_its_members_as_they_are() {
    let world = world(|cloud| {
        cloud.add_file("/f/a.txt", "a");
        cloud.add_file("/b.txt", "b");
    })
    .await;
    let token = lock(&world, "/drive/f", &[("depth", "0")]).await;
    let onto = ("destination", "/drive/f/new.txt");
    for (method, path, headers) in [
        ("PUT", "/drive/f/new.txt", &[][..]),
        ("MKCOL", "/drive/f/new", &[]),
        ("DELETE", "/drive/f/a.txt", &[]),
        ("MOVE", "/drive/b.txt", &[onto]),
        ("COPY", "/drive/b.txt", &[onto]),
        ("MOVE", "/drive/f/a.txt", &[("destination", "/drive/c.txt")]),
        ("DELETE", "/drive/f", &[]),
    ] {
        let body = if method == "PUT" { "x" } else { "" };
        assert_eq!(
            status(&world, method, path, headers, body).await,
            423,
            "{method} {path}"
        );
    }
    // What is in its members is another matter.
    assert_eq!(status(&world, "PUT", "/drive/f/a.txt", &[], "x").await, 204);
    let held = format!("<{}> (<{token}>)", world.url("/drive/f"));
    assert_eq!(
        status(&world, "PUT", "/drive/f/new.txt", &[("if", &held)], "x").await,
        201
    );
    let held = format!("</drive/f> (<{token}>)");
    assert_eq!(
        status(&world, "DELETE", "/drive/f/a.txt", &[("if", &held)], "").await,
        204
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lock_is_shown_below_the_prefix_and_the_root_of_the_user_and_ended_by_its_owner_alone() {
    let world = World::configured(
        options(),
        |cloud| {
            cloud.add_file("/home/a b.txt", "a");
        },
        |cloud, dir| {
            format!(
                "[server]\nlisten = \"127.0.0.1:0\"\nprefix = \"/dav\"\nstate_dir = \"{}/state\"\n\
                 [upload]\nspool_dir = \"{}/spool\"\n\
                 [[user]]\nname = \"{USER}\"\npassword = \"{PASSWORD}\"\nroot = \"/drive/home\"\n\
                 [[user]]\nname = \"other\"\npassword = \"{PASSWORD}\"\n{}",
                dir.display(),
                dir.display(),
                account(cloud, "/drive", "strategy = \"proxy\"")
            )
        },
    )
    .await;
    // The URL that a world prints ends in the prefix already.
    let base = world
        .server
        .url
        .trim_end_matches('/')
        .trim_end_matches("/dav")
        .to_owned();
    let call = |method: &str, user: &str, path: &str, headers: Vec<(&'static str, String)>, body: &str| {
        let mut request = world
            .http
            .request(
                reqwest::Method::from_bytes(method.as_bytes()).unwrap(),
                format!("{base}{path}"),
            )
            .basic_auth(user, Some(PASSWORD))
            .body(body.to_owned());
        for (name, value) in headers {
            request = request.header(name, value);
        }
        async {
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            let token = answer
                .headers()
                .get("lock-token")
                .map(|token| token.to_str().unwrap().to_owned());
            (status, token.unwrap_or_default(), answer.text().await.unwrap())
        }
    };
    let (status, token, text) = call("LOCK", USER, "/dav/a%20b.txt", vec![], LOCK).await;
    assert_eq!(status, 200);
    let root = "<D:lockroot><D:href>/dav/a%20b.txt</D:href></D:lockroot>";
    assert!(text.contains(root), "{text}");
    let (_, _, text) = call(
        "PROPFIND",
        USER,
        "/dav/a%20b.txt",
        vec![("depth", "0".into())],
        "",
    )
    .await;
    assert!(text.contains(root), "{text}");
    let others = "/dav/drive/home/a%20b.txt";
    let (_, _, text) = call("PROPFIND", "other", others, vec![("depth", "0".into())], "").await;
    assert!(
        text.contains("/dav/drive/home/a%20b.txt</D:href></D:lockroot>"),
        "{text}"
    );
    assert_eq!(call("PUT", "other", others, vec![], "x").await.0, 423);
    let held = vec![("if", format!("({token})"))];
    assert_eq!(call("PUT", "other", others, held, "x").await.0, 423);
    let ended = call("UNLOCK", "other", others, vec![("lock-token", token.clone())], "").await;
    assert_eq!(ended.0, 403, "{}", ended.2);
    let held = vec![("if", format!("<{base}/dav/a%20b.txt> ({token})"))];
    assert_eq!(call("PUT", USER, "/dav/a%20b.txt", held, "x").await.0, 204);
    for (to, refused) in [("/davx/b", 502), ("/dav/../../b", 403)] {
        let headers = vec![("destination", to.to_owned())];
        let (status, _, text) = call("MOVE", USER, "/dav/a%20b.txt", headers, "").await;
        assert_eq!(status, refused, "{text}");
    }
    let bare = token.trim_matches(['<', '>']).to_owned();
    let ended = call("UNLOCK", USER, "/dav/a%20b.txt", vec![("lock-token", bare)], "").await;
    assert_eq!(ended.0, 204, "{}", ended.2);
    let to = format!("{base}/dav/文 件.txt");
    let to = reqwest::header::HeaderValue::from_bytes(to.as_bytes()).unwrap();
    let moved = world
        .http
        .request(
            reqwest::Method::from_bytes(b"MOVE").unwrap(),
            format!("{base}/dav/a%20b.txt"),
        )
        .basic_auth(USER, Some(PASSWORD))
        .header("destination", to)
        .send()
        .await
        .unwrap();
    assert_eq!(moved.status(), 201);
    assert_eq!(world.cloud.read("/home/文 件.txt").unwrap(), b"x");
}

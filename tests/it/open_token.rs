//! The token of the Open platform: got once, kept, shared, and replaced before it ends.

use std::time::{Duration, SystemTime};

use dav123::sim::{Cloud, Fault, FaultKind};

use crate::world::{World, endpoints, eventually, open, options};

fn fill(cloud: &Cloud) {
    for n in 0..40 {
        cloud.add_file(&format!("/{n}/a.txt"), "a");
    }
}

async fn world() -> World {
    World::start(options(), fill, |cloud| open(cloud, "/drive", "")).await
}

fn now() -> u64 {
    SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs()
}

/// What is kept of the only token: its end.
fn until(world: &World) -> u64 {
    let (file, _) = world.kept_token().unwrap();
    let content: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    content["until"].as_u64().unwrap()
}

/// Starts the server anew, with the kept token's end set to some seconds from now.
fn restart_with_a_token_that_ends_in(world: &mut World, seconds: u64) -> String {
    world.server.kill();
    let (file, token) = world.kept_token().unwrap();
    let content = serde_json::json!({"token": token, "until": now() + seconds});
    std::fs::write(file, content.to_string()).unwrap();
    world.restart();
    token
}

#[tokio::test(flavor = "multi_thread")]
async fn one_token_serves_all_mounts_of_a_client_id_and_the_next_run() {
    let mut world = World::start(options(), fill, |cloud| {
        let slower = open(cloud, "/slower", "").replace("rate = 100.0", "rate = 50.0");
        open(cloud, "/drive", "") + &open(cloud, "/streamed", "strategy = \"proxy\"") + &slower
    })
    .await;
    let mounts = ["/drive", "/streamed", "/slower"];
    let lists = mounts.map(|mount| world.members(mount));
    for members in futures_util::future::join_all(lists).await {
        assert_eq!(members.len(), 40);
    }
    assert_eq!(
        (world.calls("open_access_token"), world.kept_tokens().len()),
        (1, 1)
    );
    let month = until(&world) - now();
    assert!((29 * 86_400..=30 * 86_400).contains(&month), "{month} s");
    world.restart();
    for mount in mounts {
        world.members(&format!("{mount}/3")).await;
    }
    assert_eq!(world.calls("open_access_token"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_ends_soon_is_replaced_once_and_nobody_waits_for_that() {
    let mut world = world().await;
    world.members("/drive").await;
    // At the rate of these tests an hour is 36 s.
    let old = restart_with_a_token_that_ends_in(&mut world, 30);
    // The call for the next one does not come back before all others have.
    world.cloud.fault(Fault::once(
        "open_access_token",
        FaultKind::Delay(Duration::from_secs(5)),
    ));
    let paths: Vec<String> = (0..40).map(|n| format!("/drive/{n}")).collect();
    let lists = paths.iter().map(|path| world.members(path));
    for members in futures_util::future::join_all(lists).await {
        assert_eq!(members.len(), 1);
    }
    assert_eq!(world.kept_token().unwrap().1, old, "all is listed by the old one");
    eventually("the next token is kept", || world.kept_token().unwrap().1 != old).await;
    assert!(until(&world) > now() + 86_400);
    world.members("/drive").await;
    assert_eq!(world.calls("open_access_token"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_the_next_token_cannot_be_had_the_old_one_is_used_on() {
    let mut world = world().await;
    world.members("/drive").await;
    restart_with_a_token_that_ends_in(&mut world, 30);
    world.cloud.fault(Fault::forever(
        "open_access_token",
        FaultKind::Code(1.into(), "no".into()),
    ));
    for n in 0..20 {
        world.members(&format!("/drive/{n}")).await;
    }
    eventually("it was tried", || world.calls("open_access_token") > 1).await;
    for n in 20..40 {
        world.members(&format!("/drive/{n}")).await;
    }
    assert_eq!(world.calls("open_access_token"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_seems_to_end_at_once_is_not_replaced_again_and_again() {
    let mut wrong = options();
    wrong.settings.token_life = Duration::from_secs(60);
    let world = World::start(wrong, fill, |cloud| open(cloud, "/drive", "")).await;
    for n in 0..40 {
        world.members(&format!("/drive/{n}")).await;
    }
    assert_eq!((world.calls("open_access_token"), until(&world)), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_alone_is_used_and_its_end_is_said() {
    let world = World::start(options(), fill, |cloud| {
        let token = cloud.issue_token();
        format!(
            "[[mount]]\npath = \"/drive\"\nkind = \"open\"\naccess_token = \"{token}\"\n{}",
            endpoints(cloud)
        )
    })
    .await;
    assert_eq!(world.members("/drive").await.len(), 40);
    assert!(world.kept_token().is_none());
    world.cloud.expire_tokens();
    for n in 0..3 {
        let (status, sentence) = world.propfind(&format!("/drive/{n}"), "1").await;
        assert_eq!(status, 503, "{sentence}");
        assert!(sentence.contains("access_token"), "{sentence}");
    }
    assert_eq!(world.calls("open_access_token"), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_secrets_for_one_client_id_are_a_mistake() {
    let cloud = Cloud::start(options()).await.unwrap();
    let dir = tempfile::TempDir::new().unwrap();
    let other = open(&cloud, "/b", "").replace(&cloud.options().client_secret, "another-secret");
    let text = crate::world::head(dir.path()) + &open(&cloud, "/a", "") + &other;
    let config = dir.path().join("dav.toml");
    std::fs::write(&config, text).unwrap();
    let ran = crate::world::run(&["serve", "--config", config.to_str().unwrap()], "");
    assert_ne!(ran.code, 0);
    let said = ran.out + &ran.err;
    assert!(
        said.contains("mount /b") && said.contains("client_secret"),
        "{said}"
    );
    assert!(!said.contains("another-secret"), "{said}");
}

//! kill -9 at random moments: what was acknowledged is there afterwards, and nothing half-made is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::KIND;
use crate::world::kind::Kind;
use crate::world::{PASSWORD, USER, World, eventually, options};

/// Kills in each mode. What is acknowledged is the same server's business for both kinds: fewer for the second.
const KILLS: u32 = match KIND {
    Kind::Account => 50,
    Kind::Open => 10,
};

#[derive(Default)]
struct Acknowledged {
    files: BTreeMap<String, Vec<u8>>,
    properties: BTreeMap<String, String>,
}

/// Puts files and sets properties, one after the other, until the server is gone.
async fn write(http: reqwest::Client, url: String, round: u32, done: Arc<Mutex<Acknowledged>>) {
    for n in 0.. {
        let name = format!("{round}-{n}.bin");
        let bytes: Vec<u8> = (0..fastrand::usize(1..150_000))
            .map(|_| fastrand::u8(..))
            .collect();
        let put = http
            .put(format!("{url}{name}"))
            .basic_auth(USER, Some(PASSWORD))
            .body(bytes.clone());
        match put.send().await {
            Ok(answer) if answer.status() == 201 => {
                done.lock().unwrap().files.insert(name.clone(), bytes);
            }
            _ => return,
        }
        let value = format!("value {round} {n}");
        let body = format!(
            "<D:propertyupdate xmlns:D=\"DAV:\"><D:set><D:prop><x:mark xmlns:x=\"urn:x\">{value}</x:mark></D:prop></D:set></D:propertyupdate>"
        );
        let method = reqwest::Method::from_bytes(b"PROPPATCH").unwrap();
        let patch = http
            .request(method, format!("{url}{name}"))
            .basic_auth(USER, Some(PASSWORD))
            .body(body);
        match patch.send().await {
            Ok(answer) if answer.status() == 207 => {
                done.lock().unwrap().properties.insert(name, value);
            }
            _ => return,
        }
    }
}

async fn drill(mode: &str) {
    let sections = format!("[upload]\nmode = \"{mode}\"\n");
    let mut options = options();
    options.settings.slice_size = Some(64 * 1024);
    options.settings.logins = None;
    let mut world = World::start_with(
        options,
        &sections,
        |_| {},
        |cloud| KIND.mount(cloud, "/drive", "strategy = \"proxy\""),
    )
    .await;
    let done = Arc::new(Mutex::new(Acknowledged::default()));
    for round in 0..KILLS {
        let url = format!("{}drive/", world.server.url);
        let writing: Vec<_> = (0..2)
            .map(|writer| {
                tokio::spawn(write(
                    world.http.clone(),
                    url.clone(),
                    10 * round + writer,
                    done.clone(),
                ))
            })
            .collect();
        // The moment of the kill: anything from the first byte to a few files later.
        tokio::time::sleep(Duration::from_millis(fastrand::u64(5..250))).await;
        world.restart();
        for writer in writing {
            writer.await.unwrap();
        }
    }
    let done = std::mem::take(&mut *done.lock().unwrap());
    assert!(
        done.files.len() > KILLS as usize / 2,
        "only {} files were acknowledged",
        done.files.len()
    );
    for (name, bytes) in &done.files {
        let there = || {
            world
                .cloud
                .read(&format!("/{name}"))
                .is_some_and(|stored| stored == *bytes)
        };
        eventually(&format!("{mode}: {name} is at the cloud"), there).await;
    }
    let mut lost = Vec::new();
    for (name, value) in &done.properties {
        let asked = r#"<D:propfind xmlns:D="DAV:"><D:prop><x:mark xmlns:x="urn:x"/></D:prop></D:propfind>"#;
        let answer = world
            .request("PROPFIND", &format!("/drive/{name}"))
            .header("depth", "0")
            .body(asked);
        if !answer
            .send()
            .await
            .unwrap()
            .text()
            .await
            .unwrap()
            .contains(&format!(">{value}<"))
        {
            lost.push(name);
        }
    }
    assert!(
        lost.is_empty(),
        "{mode}: properties of {lost:?} of {}",
        done.properties.len()
    );
    let spool = world.dir.path().join("state/spool");
    eventually("the spool is clean", || {
        std::fs::read_dir(&spool).map_or(0, Iterator::count) == 0
    })
    .await;
    // Whatever else is at the cloud is whole: a file that was not acknowledged may be there, a half one may not.
    for name in world.cloud.names("/").unwrap() {
        let (_, md5) = world.cloud.stat(&format!("/{name}")).unwrap();
        let bytes = world.cloud.read(&format!("/{name}")).unwrap();
        let real: String = <md5::Md5 as md5::Digest>::digest(&bytes)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(md5, real, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute"]
async fn nothing_acknowledged_is_lost_by_many_kills_in_back_mode() {
    drill("back").await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes a minute"]
async fn nothing_acknowledged_is_lost_by_many_kills_in_through_mode() {
    drill("through").await;
}

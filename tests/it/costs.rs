//! What each action of a client costs at 123pan: the calls, one by one.

use std::collections::BTreeMap;

use dav123::sim::Cloud;

use super::KIND;
use crate::world::kind::Kind;
use crate::world::{World, options};

type Calls = BTreeMap<&'static str, u64>;

/// The calls of an action.
async fn cost<T>(world: &World, action: impl Future<Output = T>) -> (T, Calls) {
    let before = world.cloud.counters().all();
    let done = action.await;
    let mut calls = world.cloud.counters().all();
    for (endpoint, count) in before {
        if let Some(calls) = calls.get_mut(endpoint) {
            *calls -= count;
        }
    }
    calls.retain(|_, count| *count > 0);
    (done, calls)
}

fn fill(cloud: &Cloud) {
    cloud.add_file("/a.txt", "a");
    cloud.add_file("/b.txt", "b");
    cloud.add_file("/dir/c.txt", "c");
    cloud.add_file("/known.bin", "the content that is known");
    cloud.add_folder("/away");
    for n in 0..150 {
        cloud.add_file(&format!("/large/{n}.txt"), "x");
    }
}

/// One action after the other in a world: method, path, headers, body; status and calls.
struct Action<'a> {
    method: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    status: u16,
    calls: &'a [(&'static str, u64)],
}

fn action<'a>(
    method: &'static str,
    path: &'static str,
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    status: u16,
    calls: &'a [(&'static str, u64)],
) -> Action<'a> {
    Action {
        method,
        path,
        headers,
        body,
        status,
        calls,
    }
}

const LOCK: &str = "<?xml version=\"1.0\"?><D:lockinfo xmlns:D=\"DAV:\"><D:lockscope><D:exclusive/></D:lockscope>\
                    <D:locktype><D:write/></D:locktype></D:lockinfo>";
/// What Explorer and Finder ask to show the space.
const QUOTA: &str = "<?xml version=\"1.0\"?><D:propfind xmlns:D=\"DAV:\"><D:prop><D:quota-available-bytes/></D:prop>\
                     </D:propfind>";

#[tokio::test(flavor = "multi_thread")]
async fn every_action_costs_the_calls_it_must_and_no_more() {
    let mut options = options();
    // Each answer of "still checking" is one question more.
    options.settings.open_checks = 0;
    let world = World::start(options, fill, |cloud| {
        KIND.mount(cloud, "/drive", "") + &KIND.mount(cloud, "/proxied", "strategy = \"proxy\"")
    })
    .await;
    let one = &[("depth", "1")];
    // The bytes go by upload_request, the URL of the only part, the part, and the end; then the stored row is read.
    let web: &[_] = &[
        ("upload_request", 1),
        ("upload_auth", 1),
        ("put_part", 1),
        ("upload_complete", 1),
        ("file_info", 1),
    ];
    let open: &[_] = &[
        ("upload_request", 1),
        ("put_part", 1),
        ("upload_complete", 1),
        ("file_info", 1),
    ];
    let (stored, made) = match KIND {
        Kind::Account => (web, "upload_request"),
        Kind::Open => (open, "mkdir"),
    };
    let made: &[_] = &[(made, 1), ("file_info", 1)];
    let known = &[("upload_request", 1), ("file_info", 1)];
    let linked = &[("download_info", 1), ("inner", 1)];
    let streamed = &[("download_info", 1), ("inner", 1), ("cdn", 1)];
    let removed = &[("trash", 1), ("file_info", 1)];
    let actions = [
        action("PROPFIND", "/drive", one, "", 207, &[("sign_in", 1), ("list", 1)]),
        action("PROPFIND", "/drive", one, "", 207, &[]),
        action("PROPFIND", "/proxied", one, "", 207, &[]),
        // 150 members are two pages.
        action("PROPFIND", "/drive/large", one, "", 207, &[("list", 2)]),
        action("PROPFIND", "/drive/large/3.txt", one, "", 207, &[]),
        action("PROPFIND", "/drive/nothing", one, "", 404, &[]),
        action("PROPFIND", "/drive", one, QUOTA, 207, &[("user_info", 1)]),
        action("PROPFIND", "/drive/dir", one, QUOTA, 207, &[("list", 1)]),
        action("HEAD", "/drive/a.txt", &[], "", 200, &[]),
        action("GET", "/drive/a.txt", &[], "", 302, linked),
        action("GET", "/drive/a.txt", &[], "", 302, &[]),
        action(
            "GET",
            "/proxied/a.txt",
            &[("range", "bytes=0-0")],
            "",
            206,
            &[("cdn", 1)],
        ),
        action("GET", "/proxied/b.txt", &[], "", 200, streamed),
        action(
            "PUT",
            "/drive/new.txt",
            &[],
            "bytes that nobody knows",
            201,
            stored,
        ),
        action(
            "PUT",
            "/drive/new.txt",
            &[],
            "bytes that replace them",
            204,
            stored,
        ),
        action(
            "PUT",
            "/drive/again.bin",
            &[],
            "the content that is known",
            201,
            known,
        ),
        action("MKCOL", "/drive/made", &[], "", 201, made),
        action("MKCOL", "/drive/made", &[], "", 405, &[]),
        action("PROPFIND", "/drive/made", one, "", 207, &[]),
        action(
            "MOVE",
            "/drive/a.txt",
            &[("destination", "/drive/renamed.txt")],
            "",
            201,
            &[("rename", 1), ("file_info", 1)],
        ),
        // The listing is that of the target, which nobody has looked at.
        action(
            "MOVE",
            "/drive/renamed.txt",
            &[("destination", "/drive/away/renamed.txt")],
            "",
            201,
            &[("list", 1), ("move", 1), ("file_info", 1)],
        ),
        action(
            "COPY",
            "/drive/b.txt",
            &[("destination", "/drive/made/b.txt")],
            "",
            201,
            known,
        ),
        action("DELETE", "/drive/b.txt", &[], "", 204, removed),
        action("DELETE", "/drive/large", &[], "", 204, removed),
        action("DELETE", "/drive/nothing", &[], "", 404, &[]),
        action(
            "LOCK",
            "/drive/known.bin",
            &[("timeout", "Second-60")],
            LOCK,
            200,
            &[],
        ),
    ];
    for action in actions {
        let mut request = world.request(action.method, action.path).body(action.body);
        for (name, value) in action.headers {
            request = request.header(*name, *value);
        }
        let what = format!("{} {}", action.method, action.path);
        let ((status, body), calls) = cost(&world, async {
            let answer = request.send().await.unwrap();
            (answer.status().as_u16(), answer.text().await.unwrap())
        })
        .await;
        assert_eq!(status, action.status, "{what}: {body}");
        let expected = action.calls.iter().map(|(name, n)| (KIND.named(name), *n));
        assert_eq!(calls, expected.collect(), "{what}");
    }
}

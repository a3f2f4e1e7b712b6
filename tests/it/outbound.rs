//! `outbound`: everything that is said to 123pan, and the bytes, go through the mount's proxy.

use dav123::sim::{CityRule, Cloud, Phone, ShareOptions};

use crate::world::proxy::{HOST, Proxy};
use crate::world::session::Session;
use crate::world::{Server, World, account, eventually, header, options, run, share};

/// The mounts, with the cloud at a name that only the proxy knows.
fn far(mounts: &str) -> String {
    let lines = mounts.lines().map(|line| {
        if ["login", "api", "open", "origin"]
            .iter()
            .any(|key| line.starts_with(key))
        {
            line.replace("127.0.0.1", HOST)
        } else {
            line.to_owned()
        }
    });
    lines.collect::<Vec<_>>().join("\n") + "\n"
}

fn fill(cloud: &Cloud) {
    cloud.add_file("/films/a.mkv", "0123456789".repeat(200_000).into_bytes());
    // A link works from the address that asked for it only.
    cloud.settings().city = CityRule::SameAddress;
}

async fn world(outbound: &str) -> World {
    World::start(options(), fill, |cloud| {
        far(&account(
            cloud,
            "/drive",
            &format!("strategy = \"auto\"\noutbound = \"{outbound}\""),
        ))
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_uploads_and_bytes_go_through_the_proxy() {
    for (scheme, credentials, written) in [
        ("socks5", None, ""),
        ("socks5", Some(("me", "p@ss-of-proxy")), "me:p%40ss-of-proxy@"),
        ("http", None, ""),
        ("http", Some(("me", "p@ss-of-proxy")), "me:p%40ss-of-proxy@"),
    ] {
        let proxy = Proxy::start(credentials).await;
        let world = world(&format!("{scheme}://{written}{}", proxy.address)).await;
        assert_eq!(world.members("/drive/films").await, ["/drive/films/a.mkv"]);
        // auto, and a client that would follow.
        let answer = world
            .request("GET", "/drive/films/a.mkv")
            .header("user-agent", "libmpv")
            .header("range", "bytes=1000003-1000007")
            .send()
            .await
            .unwrap();
        assert_eq!(answer.status(), 206, "{scheme} {}", world.server.log());
        assert_eq!(header(&answer, "x-dav123-delivery"), "proxy");
        assert_eq!(answer.text().await.unwrap(), "34567");
        let put = world
            .request("PUT", "/drive/films/b.txt")
            .body("a new text")
            .send()
            .await
            .unwrap();
        assert_eq!(put.status(), 201);
        assert_eq!(
            world.get("/drive/films/b.txt").await.text().await.unwrap(),
            "a new text"
        );
        let targets = proxy.targets();
        let api = world.cloud.base().replace("http://127.0.0.1", HOST);
        assert!(targets.contains(&api), "{targets:?}");
        // Relay, inner host, CDN and storage are at addresses of their own.
        assert!(targets.iter().any(|target| target != &api), "{targets:?}");
        assert_eq!(proxy.refused(), 0);
        let log = world.server.log();
        for secret in ["p@ss-of-proxy", "p%40ss-of-proxy", "bWU6cEBzcy"] {
            assert!(!log.contains(secret), "{secret}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_proxy_that_refuses_or_is_not_there_is_no_way_round_it() {
    let proxy = Proxy::start(Some(("me", "right"))).await;
    for (scheme, address) in [
        ("socks5", proxy.address.as_str()),
        ("http", proxy.address.as_str()),
        ("socks5", "127.0.0.1:9"),
    ] {
        let outbound = format!("{scheme}://me:wr0ng-word@{address}");
        let world = World::start(options(), fill, |cloud| {
            account(cloud, "/drive", &format!("outbound = \"{outbound}\""))
        })
        .await;
        let (status, body) = world.propfind("/drive", "1").await;
        assert!(status == 502 || status == 504, "{outbound} {status} {body}");
        assert_eq!(world.cloud.counters().total(), 0, "nothing goes directly");
        if scheme == "socks5" {
            let named = format!("outbound={scheme}://{address}");
            eventually("the way named", || world.server.log().contains(&named)).await;
        }
        let log = world.server.log();
        assert!(!format!("{log}{body}").contains("wr0ng"), "{log}");
    }
    assert!(proxy.refused() >= 2);
    assert!(proxy.targets().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_goes_the_way_of_its_account_and_check_and_login_go_the_mounts_way() {
    let proxy = Proxy::start(None).await;
    let outbound = format!("socks5://{}", proxy.address);
    let world = World::start(
        options(),
        |cloud| {
            fill(cloud);
            cloud.settings().phone = Phone::Confirms;
        },
        |cloud| {
            let drive = account(
                cloud,
                "/drive",
                &format!("outbound = \"{outbound}\"\nstrategy = \"redirect\""),
            );
            let key = cloud.add_share(&["/films"], ShareOptions::default());
            let films = share(
                cloud,
                "/films",
                &key,
                "account = \"/drive\"\nstrategy = \"proxy\"",
            );
            far(&(drive + &films))
        },
    )
    .await;
    let path = world.members("/films").await.pop().unwrap();
    let path = if path.ends_with(".mkv") {
        path
    } else {
        format!("{}/a.mkv", path.trim_end_matches('/'))
    };
    let answer = world.get(&path).await;
    assert_eq!(answer.status(), 200);
    assert_eq!(answer.bytes().await.unwrap().len(), 2_000_000);

    let config = world.dir.path().join("dav.toml").display().to_string();
    let arguments = config.clone();
    let ran = tokio::task::spawn_blocking(move || run(&["check", "--config", &arguments], ""))
        .await
        .unwrap();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(
        ran.out
            .contains(&format!("links are made for the address of {outbound}")),
        "{ran:?}"
    );
    let (code, said) = Session::piped(&["login", "/drive", "--config", &config])
        .end()
        .await;
    assert_eq!(code, 0, "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_address_may_come_from_the_environment() {
    let proxy = Proxy::start(None).await;
    let cloud = Cloud::start(options()).await.unwrap();
    cloud.add_file("/a.txt", "a");
    let dir = tempfile::TempDir::new().unwrap();
    let mount = far(&account(&cloud, "/drive", "outbound_env = \"WAY_OUT\""));
    let config = dir.path().join("dav.toml");
    std::fs::write(&config, crate::world::head(dir.path()) + &mount).unwrap();
    let mut command = std::process::Command::new(crate::world::binary());
    command
        .args(["serve", "--config"])
        .arg(&config)
        .env("WAY_OUT", format!("http://{}", proxy.address));
    let server = Server::spawn(command);
    let world = World {
        cloud,
        server,
        dir,
        http: crate::world::client(),
        kind: crate::world::kind::Kind::Account,
    };
    assert_eq!(world.members("/drive").await, ["/drive/a.txt"]);
    assert!(!proxy.targets().is_empty());
}

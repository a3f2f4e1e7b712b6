//! curl: redirects, ranges, conditions.

use crate::program::{BIG, run, world};
use crate::world::{PASSWORD, USER};

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs curl"]
async fn curl_reads_ranges_and_asks_again_only_for_what_changed() {
    let world = world().await;
    let user = format!("{USER}:{PASSWORD}");
    let whole = world.cloud.read("/tree/big.bin").unwrap();
    for mount in ["redirect", "proxy", "auto"] {
        let url = world.url(&format!("/{mount}/tree/big.bin"));
        let dir = tempfile::TempDir::new().unwrap();
        let out = dir.path().join("part");
        let to = out.to_str().unwrap();
        let range = format!("{}-", BIG - 77);
        let status = run(
            "curl",
            &[
                "-sSL",
                "-u",
                &user,
                "-r",
                &range,
                "-o",
                to,
                "-w",
                "%{http_code}",
                &url,
            ],
        );
        assert_eq!(status, "206", "{mount}");
        assert_eq!(std::fs::read(&out).unwrap(), whole[whole.len() - 77..], "{mount}");
        let status = run(
            "curl",
            &["-sSL", "-u", &user, "-o", to, "-w", "%{http_code}", &url],
        );
        assert_eq!(status, "200");
        assert!(std::fs::read(&out).unwrap() == whole, "{mount}");
        let head = run("curl", &["-sSI", "-u", &user, &url]);
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let etag = head
            .lines()
            .find_map(|line| line.strip_prefix("etag: "))
            .unwrap()
            .trim()
            .to_owned();
        let same = format!("If-None-Match: {etag}");
        let status = run(
            "curl",
            &[
                "-sS",
                "-u",
                &user,
                "-H",
                &same,
                "-o",
                to,
                "-w",
                "%{http_code}",
                &url,
            ],
        );
        assert_eq!(status, "304");
    }
    assert_eq!(world.calls("leaked_authorization"), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs curl"]
async fn curl_signs_in_by_digest_and_by_what_is_left() {
    use dav123::config::{Algorithm, REALM};
    use secrecy::ExposeSecret;
    let ha1 = |algorithm: Algorithm| {
        let ha1 = algorithm.ha1(USER, REALM, &PASSWORD.into());
        format!(
            "password_hash = \"{}{}\"",
            algorithm.prefix(),
            ha1.expose_secret()
        )
    };
    let plain = format!("password = \"{PASSWORD}\"");
    // Who has a slow hash cannot use the Digest that another user is offered, and goes on with Basic.
    let slow = crate::world::run(&["passwd"], &format!("{PASSWORD}\n")).out;
    let other = "[[user]]\nname = \"other\"\npassword = \"x\"\n";
    for (line, more, how, used) in [
        (plain.clone(), "", "--digest", "algorithm=MD5"),
        (plain, "", "--anyauth", "algorithm=MD5"),
        (ha1(Algorithm::Md5), "", "--digest", "algorithm=MD5"),
        (ha1(Algorithm::Sha256), "", "--digest", "algorithm=SHA-256"),
        (ha1(Algorithm::Sha256), "", "--basic", "Basic "),
        (slow, other, "--anyauth", "Basic "),
    ] {
        let world = crate::world::World::configured(
            crate::world::options(),
            |cloud| {
                cloud.add_file("/a b.txt", "twelve bytes");
            },
            |cloud, dir| {
                let head = crate::world::head(dir);
                let head = head.replace(&format!("password = \"{PASSWORD}\""), &line);
                head + more + &crate::world::account(cloud, "/drive", "strategy = \"proxy\"")
            },
        )
        .await;
        let dir = tempfile::TempDir::new().unwrap();
        let sent = dir.path().join("sent");
        let user = format!("{USER}:{PASSWORD}");
        let url = world.url("/drive/a b.txt");
        let asked = ["-sS", how, "-u", &user, "--trace-ascii", sent.to_str().unwrap()];
        let answer = run("curl", &[&asked[..], &[&url]].concat());
        assert_eq!(answer, "twelve bytes", "{line} {how}");
        let sent = std::fs::read_to_string(sent).unwrap();
        // A long header is broken into numbered lines.
        let sent: String = sent.lines().filter_map(|line| line.get(6..)).collect();
        assert!(sent.contains(used), "{line} {how}: {sent}");
        let wrong = format!("{USER}:wrong");
        let asked = [
            "-sS",
            how,
            "-u",
            &wrong,
            "-o",
            "/dev/null",
            "-w",
            "%{http_code}",
            &url,
        ];
        assert_eq!(run("curl", &asked), "401", "{line} {how}");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs curl"]
async fn curl_gets_several_ranges_as_parts() {
    let world = world().await;
    let user = format!("{USER}:{PASSWORD}");
    let whole = world.cloud.read("/tree/big.bin").unwrap();
    let dir = tempfile::TempDir::new().unwrap();
    let out = dir.path().join("parts");
    let to = out.to_str().unwrap();
    let url = world.url("/proxy/tree/big.bin");
    let show = "%{http_code} %{content_type}";
    let ranges = "5000000-5000999,10-19";
    let said = run(
        "curl",
        &["-sS", "-u", &user, "-r", ranges, "-o", to, "-w", show, &url],
    );
    assert!(said.starts_with("206 multipart/byteranges; boundary="), "{said}");
    let body = std::fs::read(&out).unwrap();
    for part in [&whole[5_000_000..5_001_000], &whole[10..20]] {
        assert!(body.windows(part.len()).any(|window| window == part));
    }
}

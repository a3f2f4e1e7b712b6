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

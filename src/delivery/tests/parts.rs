//! Several ranges in one answer.

use super::*;

/// The parts of a body: `Content-Type`, `Content-Range` and bytes of each.
fn parts(media_type: &str, mut body: &[u8]) -> Vec<(String, String, Vec<u8>)> {
    let boundary = media_type
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let mut parts = Vec::new();
    loop {
        body = body.strip_prefix(b"--").unwrap();
        body = body.strip_prefix(boundary.as_bytes()).unwrap();
        if body == b"--\r\n" {
            return parts;
        }
        let head = body.windows(4).position(|window| window == b"\r\n\r\n").unwrap();
        let text = std::str::from_utf8(&body[2..head]).unwrap();
        let line = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.strip_prefix(": ").unwrap().to_owned()
        };
        let range = line("Content-Range");
        let (first, rest) = range.strip_prefix("bytes ").unwrap().split_once('-').unwrap();
        let last = rest.split_once('/').unwrap().0;
        let length = last.parse::<usize>().unwrap() + 1 - first.parse::<usize>().unwrap();
        body = &body[head + 4..];
        parts.push((line("Content-Type"), range.clone(), body[..length].to_vec()));
        body = body[length..].strip_prefix(b"\r\n").unwrap();
    }
}

async fn ask(world: &World, ranges: &str) -> (Response<()>, Bytes) {
    let (head, body) = world.get(&[("range", ranges)]).await.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    (Response::from_parts(head, ()), body)
}

#[tokio::test]
async fn several_ranges_are_parts_of_one_answer() {
    for (connections, blocks) in [(1, 0), (4, 0), (1, 64 * MIB), (16, 64 * MIB)] {
        let world = World::new(2 * MIB, [Act::Cut(3)]).await.blocks(blocks);
        let world = world.delivery(|delivery| delivery.proxy_connections = connections);
        for _ in 0..2 {
            let (head, body) = ask(&world, "bytes=1000000-1299999, 0-9, -5").await;
            assert_eq!(head.status(), 206);
            let field = |name: &str| {
                head.headers()
                    .get(name)
                    .map_or("", |value| value.to_str().unwrap())
            };
            assert_eq!(field("content-range"), "", "it belongs to the parts");
            assert_eq!(field("content-length"), body.len().to_string());
            assert_eq!(field("etag"), "\"abababababababababababababababab\"");
            assert_eq!(field("x-dav123-delivery"), "proxy");
            let size = 2 * MIB;
            let expected = [(1_000_000, 1_299_999), (0, 9), (size - 5, size - 1)];
            let expected = expected.map(|(first, last)| {
                let range = format!("bytes {first}-{last}/{size}");
                (
                    "video/x-matroska".to_owned(),
                    range,
                    bytes(size)[first..=last].to_vec(),
                )
            });
            assert!(parts(field("content-type"), &body) == expected);
        }
    }
}

#[tokio::test]
async fn the_upstream_is_asked_for_the_parts_alone_and_one_after_the_other() {
    let world = World::new(MIB, []).await;
    let mut response = world.get(&[("range", "bytes=500000-500009,7-9")]).await;
    assert_eq!(world.cdn.ranges(), [(500_000, 500_009)]);
    assert!(response.body_mut().frame().await.is_some());
    drop(response);
    assert_eq!(world.cdn.ranges(), [(500_000, 500_009)]);
    ask(&world, "bytes=500000-500009,7-9").await;
    assert_eq!(world.cdn.ranges()[1..], [(500_000, 500_009), (7, 9)]);
}

#[tokio::test]
async fn where_one_range_or_the_whole_file_is_better_that_comes() {
    let world = World::new(10_000, []).await;
    for (ranges, status, length) in [
        ("bytes=0-4,5-9", 206, 10),
        ("bytes=0-9,5-20,7-7", 206, 21),
        ("bytes=0-9,20000-", 206, 10),
        ("bytes=0-5000,5002-", 200, 10_000),
        ("bytes=1-2,5-1", 200, 10_000),
    ] {
        let (head, body) = ask(&world, ranges).await;
        assert_eq!((head.status().as_u16(), body.len()), (status, length), "{ranges}");
        let one = head.headers().contains_key("content-range");
        assert_eq!(one, status == 206, "{ranges}");
    }
    let response = world.get(&[("range", "bytes=10000-,20000-20001")]).await;
    assert_eq!(response.status(), 416);
    let many: Vec<String> = (0..20).map(|n| format!("{0}-{0}", n * 100)).collect();
    let (head, body) = ask(&world, &format!("bytes={}", many.join(","))).await;
    assert_eq!((head.status().as_u16(), body.len()), (200, 10_000));
}

#[tokio::test]
async fn if_range_decides_over_parts_too() {
    let world = World::new(10_000, []).await;
    for (condition, status) in [
        ("\"abababababababababababababababab\"", 206),
        ("\"other\"", 200),
        ("Sun, 06 Nov 1994 08:49:37 GMT", 206),
        ("Sun, 06 Nov 1994 08:49:36 GMT", 200),
    ] {
        let headers = [("range", "bytes=0-9,100-109"), ("if-range", condition)];
        assert_eq!(world.get(&headers).await.status(), status, "{condition}");
    }
}

#[tokio::test]
async fn a_part_that_cannot_be_had_breaks_the_answer_and_the_first_one_decides_the_status() {
    let refused = Act::Say(404, "text/plain", "gone");
    let world = World::new(10_000, [Act::Serve, refused, refused]).await;
    let response = world.get(&[("range", "bytes=0-9,100-109")]).await;
    assert_eq!(response.status(), 206);
    assert!(read(response).await.is_err());
    let world = World::new(10_000, [refused, refused]).await;
    let result = world.ask("GET", &[("range", "bytes=0-9,100-109")]).await;
    assert_eq!(result.err().unwrap().kind(), ErrorKind::Nonsense);
}

#[tokio::test]
async fn a_redirected_client_takes_its_ranges_along() {
    let world = World::new(MIB, []).await.delivery(|delivery| {
        delivery.strategy = Strategy::Redirect;
        delivery.budget = Some(config::Budget {
            bytes: 100,
            per: config::Period::Month,
        });
    });
    for _ in 0..5 {
        let response = world.get(&[("range", "bytes=0-9,100-109")]).await;
        assert_eq!(response.status(), 302);
    }
    assert_eq!(world.failure().await, ErrorKind::Forbidden);
}

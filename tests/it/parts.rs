//! Several ranges in one answer, over HTTP: of a streamed file and of one that still waits in the spool.

use dav123::sim::{Content, Fault, FaultKind};

use super::write::{put, world};
use crate::world::{World, header};

const LEN: u64 = 1_000_000;
const FILE: Content = Content::Pattern { seed: 21, len: LEN };

/// The ranges' bytes, each found behind its own head.
async fn assert_parts(world: &World, path: &str, file: &[u8], ranges: &[(usize, usize)]) {
    let texts: Vec<String> = ranges
        .iter()
        .map(|(first, last)| format!("{first}-{last}"))
        .collect();
    let request = world
        .request("GET", path)
        .header("range", format!("bytes={}", texts.join(",")));
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 206, "{path}");
    let (media_type, length) = (header(&answer, "content-type"), header(&answer, "content-length"));
    assert!(!header(&answer, "etag").is_empty() && header(&answer, "content-range").is_empty());
    let boundary = media_type
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap();
    let body = answer.bytes().await.unwrap();
    assert_eq!(length, body.len().to_string());
    let mut expected = Vec::new();
    for (n, (first, last)) in ranges.iter().enumerate() {
        let (line, size) = (if n == 0 { "" } else { "\r\n" }, file.len());
        let head = format!(
            "{line}--{boundary}\r\nContent-Type: application/octet-stream\r\n\
             Content-Range: bytes {first}-{last}/{size}\r\n\r\n"
        );
        expected.extend_from_slice(head.as_bytes());
        expected.extend_from_slice(&file[*first..=*last]);
    }
    expected.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
    assert!(body == expected, "{path}");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_ranges_of_a_file_come_as_parts() {
    let ranges = [(999_000, 999_999), (5, 104), (300_000, 499_999)];
    let world = world("back", |cloud| {
        let _ = cloud.add_file("/film.bin", FILE);
    })
    .await;
    let file = FILE.read(0, LEN);
    assert_parts(&world, "/drive/film.bin", &file, &ranges).await;
    // 123pan has it not yet.
    world.fault(Fault::forever("upload_request", FaultKind::Status(502, None)));
    assert_eq!(put(&world, "/drive/waits.bin", file.clone()).await, 201);
    assert_parts(&world, "/drive/waits.bin", &file, &ranges).await;
}

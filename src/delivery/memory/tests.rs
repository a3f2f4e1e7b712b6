#![allow(clippy::unwrap_used)]

use super::*;

const MIB: u64 = 1 << 20;

fn memory(blocks: &Arc<Blocks>, id: i64, size: u64) -> Memory {
    Memory {
        blocks: Arc::clone(blocks),
        key: Arc::new(Key {
            store: 0,
            id: Id(id),
            md5: [7; 16],
            size,
        }),
    }
}

fn lead(memory: &Memory, at: u64, end: u64) -> Lead {
    match memory.look(at, end, true) {
        Look::Lead(lead) => lead,
        other => panic!("{other:?}"),
    }
}

fn bytes(memory: &Memory, at: u64, end: u64) -> Option<usize> {
    match memory.look(at, end, true) {
        Look::Bytes(bytes, _) => Some(bytes.len()),
        _ => None,
    }
}

#[test]
fn heads_and_tails_are_kept_and_the_middle_is_not() {
    let blocks = Blocks::new(64 * MIB);
    let file = memory(&blocks, 1, 100 * MIB);
    let mut all = lead(&file, 0, 100 * MIB);
    let data = vec![1; MIB as usize];
    for _ in 0..100 {
        all.bring(&data);
    }
    drop(all);
    assert!(bytes(&file, 0, MIB).is_some());
    assert!(bytes(&file, 4 * MIB - 1, 5 * MIB).is_some());
    assert_eq!(bytes(&file, 4 * MIB, 5 * MIB), None);
    assert_eq!(bytes(&file, 96 * MIB - 1, 100 * MIB), None);
    assert!(bytes(&file, 96 * MIB, 100 * MIB).is_some());
    assert!(bytes(&file, 100 * MIB - 1, 100 * MIB).is_some());
    assert!(blocks.held() < 8 * MIB + 64 * 1024, "{}", blocks.held());
}

#[test]
fn the_bound_holds_over_all_files_and_the_one_longest_not_read_goes() {
    let blocks = Blocks::new(8 * MIB);
    let files: Vec<Memory> = (0..20).map(|id| memory(&blocks, id, MIB)).collect();
    for file in &files {
        lead(file, 0, MIB).bring(&vec![2; MIB as usize]);
        assert!(blocks.held() <= 8 * MIB);
        bytes(&files[0], 0, MIB);
    }
    assert!(bytes(&files[0], 0, MIB).is_some(), "it was read all the time");
    assert!(bytes(&files[19], 0, MIB).is_some());
    assert!(bytes(&files[1], 0, MIB).is_none());
}

#[test]
fn another_content_or_another_file_is_another_memory() {
    let blocks = Blocks::new(8 * MIB);
    let file = memory(&blocks, 1, 10);
    lead(&file, 0, 10).bring(b"0123456789");
    assert_eq!(bytes(&file, 3, 10), Some(7));
    let mut other = file.clone();
    for change in [
        |key: &mut Key| key.md5 = [8; 16],
        |key: &mut Key| key.size = 11,
        |key: &mut Key| key.id = Id(2),
        |key: &mut Key| key.store = 1,
    ] {
        let mut key = (*file.key).clone();
        change(&mut key);
        other.key = Arc::new(key);
        assert_eq!(bytes(&other, 3, 10), None);
    }
}

#[test]
fn bytes_of_two_entity_tags_are_never_side_by_side() {
    let tag = |text| Some(HeaderValue::from_static(text));
    let blocks = Blocks::new(64 * MIB);
    let file = memory(&blocks, 1, 100);
    let mut old = lead(&file, 0, 100);
    old.opened(tag("a").as_ref());
    old.bring(b"aaaaa");
    assert!(matches!(file.look(0, 9, true), Look::Bytes(_, etag) if etag == tag("a")));
    let Look::Lead(mut new) = file.look(50, 100, false) else {
        panic!()
    };
    new.opened(tag("b").as_ref());
    assert_eq!(blocks.held(), 0);
    old.bring(b"aaaaa");
    new.bring(b"bbbbb");
    assert_eq!(bytes(&file, 0, 100), None);
    assert!(matches!(file.look(50, 60, true), Look::Bytes(_, etag) if etag == tag("b")));
}

#[tokio::test]
async fn who_comes_while_a_download_brings_the_bytes_waits_for_it() {
    let blocks = Blocks::new(64 * MIB);
    let file = memory(&blocks, 1, 100 * MIB);
    let mut first = lead(&file, 0, 100 * MIB);
    let Look::Coming(mut news) = file.look(10, 20, true) else {
        panic!()
    };
    assert!(
        matches!(file.look(10, 20, false), Look::Lead(_)),
        "who may not wait"
    );
    assert!(
        matches!(file.look(2 * MIB, 3 * MIB, true), Look::Lead(_)),
        "too far away"
    );
    assert!(
        matches!(file.look(99 * MIB, 100 * MIB, true), Look::Lead(_)),
        "the end"
    );
    first.bring(&[0; 15]);
    news.changed().await.unwrap();
    assert_eq!(bytes(&file, 10, 20), Some(5));
    let Look::Coming(mut news) = file.look(15, 20, true) else {
        panic!()
    };
    drop(first);
    news.changed().await.unwrap();
    assert!(matches!(file.look(15, 20, true), Look::Lead(_)));
}

#[tokio::test(start_paused = true)]
async fn a_download_that_stands_still_is_not_waited_for() {
    let blocks = Blocks::new(64 * MIB);
    let file = memory(&blocks, 1, 100 * MIB);
    let mut first = lead(&file, 0, 100 * MIB);
    first.bring(&[0; 15]);
    tokio::time::advance(ALIVE - Duration::from_millis(1)).await;
    assert!(matches!(file.look(15, 20, true), Look::Coming(_)));
    tokio::time::advance(Duration::from_millis(1)).await;
    assert!(matches!(file.look(15, 20, true), Look::Lead(_)));
}

#[tokio::test(start_paused = true)]
async fn what_nobody_reads_is_forgotten() {
    let blocks = Blocks::new(64 * MIB);
    let file = memory(&blocks, 1, 10);
    lead(&file, 0, 10).bring(b"0123456789");
    tokio::time::advance(KEPT - Duration::from_secs(1)).await;
    assert_eq!(bytes(&file, 0, 10), Some(10));
    tokio::time::advance(KEPT + SWEEP).await;
    assert_eq!(bytes(&file, 0, 10), None);
    assert_eq!(blocks.held(), 0);
}

#[test]
fn nothing_is_left_of_downloads_that_brought_nothing() {
    let blocks = Blocks::new(64 * MIB);
    for id in 0..100 {
        drop(lead(&memory(&blocks, id, 10), 0, 10));
    }
    let file = memory(&blocks, 1, 100 * MIB);
    lead(&file, 50 * MIB, 60 * MIB).bring(&[1; 100]);
    assert!(blocks.lock().files.is_empty());
}

//! The spool: bounded, and clean when something is given up.
#![allow(clippy::unwrap_used)]

use super::*;

fn spool(limit: u64) -> (tempfile::TempDir, Spool) {
    let dir = tempfile::TempDir::new().unwrap();
    let spool = Spool::open(dir.path(), limit, |_| false).unwrap();
    (dir, spool)
}

#[tokio::test]
async fn a_body_without_a_length_needs_no_more_than_it_is() {
    let (_dir, spool) = spool(1 << 20);
    let mut incoming = spool.receive(None).await.unwrap();
    incoming.write(Bytes::from(vec![1; 1000])).await.unwrap();
    assert_eq!(incoming.finish(None).await.unwrap().size(), 1000);
    assert_eq!((spool.used(), spool.0.written.load(Ordering::Relaxed)), (0, 0));
}

#[tokio::test]
async fn the_disk_is_promised_once() {
    let (dir, spool) = spool(u64::MAX);
    let free = free_space(dir.path()).unwrap();
    let first = spool.receive(Some(free / 10 * 7)).await.unwrap();
    assert_eq!(
        spool.receive(Some(free / 10 * 7)).await.unwrap_err().kind(),
        ErrorKind::NoSpace
    );
    drop(first);
    assert!(spool.receive(Some(free / 10 * 7)).await.is_ok());
}

#[tokio::test]
async fn what_is_given_up_is_gone_and_what_is_kept_can_be_opened_again() {
    let (dir, spool) = spool(1 << 30);
    let mut incoming = spool.receive(Some(2_000_000)).await.unwrap();
    incoming.write(Bytes::from(vec![1; 1_999_999])).await.unwrap();
    assert_eq!(
        incoming.finish(None).await.unwrap_err().kind(),
        ErrorKind::ChecksumMismatch
    );
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    let mut incoming = spool.receive(Some(3)).await.unwrap();
    incoming.write(Bytes::from_static(b"abc")).await.unwrap();
    let spooled = incoming.finish(None).await.unwrap();
    spooled.sync().await.unwrap();
    let (name, md5) = (spooled.name(), spooled.md5());
    drop(spooled);
    assert!(spool.reopen(&name, 4, md5).is_none());
    assert!(spool.reopen("../passwd.upload", 3, md5).is_none());
    let again = spool.reopen(&name, 3, md5).unwrap();
    let mut frames = again.read(1, 10);
    let bytes = futures_util::StreamExt::next(&mut frames).await.unwrap().unwrap();
    assert_eq!(bytes, "bc");
    again.discard();
    drop((again, frames));
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

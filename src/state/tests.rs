#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

fn pending(path: &str) -> Pending {
    Pending {
        drive: "d".into(),
        mount: "/drive".into(),
        parent: 7,
        path: path.into(),
        name: "n".into(),
        size: 3,
        md5: [9; 16],
        modified: Some(5),
        received: 6,
        spool: "file".into(),
    }
}

#[tokio::test]
async fn what_was_acknowledged_is_there_after_a_restart() {
    let dir = tempfile::TempDir::new().unwrap();
    let name = || ("urn:x".to_owned(), "color".to_owned());
    {
        let state = State::open(dir.path()).unwrap();
        state.set_modified("d", 1, Some(42)).await.unwrap();
        state
            .set_properties("d", 1, vec![(name(), Some(b"<x/>".to_vec()))])
            .await
            .unwrap();
        let first = state.push(pending("/a")).await.unwrap();
        let second = state.push(pending("/b")).await.unwrap();
        assert!(second > first);
        state.done(first).await.unwrap();
        assert!(matches!(State::open(dir.path()), Err(StateError::InUse(_))));
        state.copy("d", 1, 2).await.unwrap();
        state.set_modified("d", -99, Some(1)).await.unwrap();
    }
    let state = loop {
        // The writer's thread may still hold the file for a moment.
        match State::open(dir.path()) {
            Ok(state) => break state,
            Err(StateError::InUse(_)) => tokio::task::yield_now().await,
            Err(error) => panic!("{error}"),
        }
    };
    assert_eq!(
        state.modified("d", -99),
        None,
        "a file that waited is gone, and its id may be given again"
    );
    assert_eq!(state.modified("d", 2), Some(42));
    assert_eq!(state.properties("d", 2), [(name(), b"<x/>".to_vec())]);
    assert_eq!(
        state
            .pending()
            .into_iter()
            .map(|(_, row)| row.path)
            .collect::<Vec<_>>(),
        ["/b"]
    );
    state.forget("d", 2).await.unwrap();
    assert!(state.properties("d", 2).is_empty() && state.modified("d", 2).is_none());
}

#[tokio::test]
async fn the_properties_of_a_resource_are_bounded() {
    let dir = tempfile::TempDir::new().unwrap();
    let state = State::open(dir.path()).unwrap();
    let huge = vec![((String::new(), "x".to_owned()), Some(vec![b'x'; PROPERTY_BOUND]))];
    assert!(matches!(
        state.set_properties("d", 1, huge).await,
        Err(StateError::TooLarge)
    ));
    assert!(state.properties("d", 1).is_empty());
}

#[test]
fn a_damaged_file_is_named() {
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::write(dir.path().join("state.redb"), b"this is no database at all").unwrap();
    let error = State::open(dir.path()).unwrap_err().to_string();
    assert!(
        error.contains("state.redb") && error.contains("move this file away"),
        "{error}"
    );
}

proptest! {
    #[test]
    fn properties_survive_their_row(rows in prop::collection::vec((("\\PC{0,8}", "\\PC{1,8}"), prop::collection::vec(any::<u8>(), 0..20)), 0..6)) {
        let mut properties = Properties::default();
        for (name, xml) in rows {
            properties.set(name, Some(xml));
        }
        prop_assert_eq!(Properties::decode(&properties.encode()), Some(properties));
    }

    #[test]
    fn rubbish_is_not_a_row(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
        let _ = Properties::decode(&bytes);
    }
}

/// A disk that can be told to fail.
#[derive(Debug, Default)]
struct Disk {
    bytes: redb::backends::InMemoryBackend,
    broken: Arc<std::sync::atomic::AtomicBool>,
}

impl redb::StorageBackend for Disk {
    fn len(&self) -> std::io::Result<u64> {
        self.bytes.len()
    }
    fn read(&self, offset: u64, out: &mut [u8]) -> std::io::Result<()> {
        self.bytes.read(offset, out)
    }
    fn set_len(&self, len: u64) -> std::io::Result<()> {
        self.bytes.set_len(len)
    }
    fn sync_data(&self) -> std::io::Result<()> {
        if self.broken.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(std::io::ErrorKind::StorageFull.into());
        }
        self.bytes.sync_data()
    }
    fn write(&self, offset: u64, data: &[u8]) -> std::io::Result<()> {
        self.bytes.write(offset, data)
    }
}

#[test]
fn what_the_disk_refuses_is_seen_by_nobody() {
    let disk = Disk::default();
    let broken = disk.broken.clone();
    let database = Database::builder().create_with_backend(disk).unwrap();
    let memory = RwLock::new(read(&database).unwrap());
    let time = |time| Request::Time {
        drive: "d".into(),
        file: 1,
        time: Some(time),
    };
    let ask = |request: Request| writer::carry_out(&database, &memory, [request].into_iter());
    ask(time(1)).unwrap();
    broken.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(ask(time(2)).is_err());
    let memory = memory.read().unwrap();
    assert_eq!(memory.times["d"][&1], 1);
}

#[test]
fn requests_of_one_group_see_those_before_them() {
    let memory = Memory {
        next: 5,
        ..Memory::default()
    };
    let mut draft = memory::Draft::new(&memory);
    let set = |name: &str| Request::Properties {
        drive: "d".into(),
        file: 1,
        changes: vec![((String::new(), name.to_owned()), Some(b"<x/>".to_vec()))],
    };
    draft.add(set("a")).unwrap();
    draft.add(set("b")).unwrap();
    let (drive, from, to) = ("d".into(), 1, 2);
    draft.add(Request::Copy { drive, from, to }).unwrap();
    let (drive, file) = ("d".into(), 1);
    draft.add(Request::Forget { drive, file }).unwrap();
    assert_eq!(draft.add(Request::Push(pending("/a"))).unwrap(), 5);
    assert_eq!(draft.add(Request::Push(pending("/b"))).unwrap(), 6);
    draft.add(Request::Done(5)).unwrap();
    draft.add(Request::Update(5, pending("/late"))).unwrap();
    let mut after = Memory::default();
    for change in draft.into_changes() {
        after.apply(change);
    }
    assert_eq!(after.properties["d"].keys().collect::<Vec<_>>(), [&2]);
    assert_eq!(after.properties["d"][&2].all().len(), 2);
    assert_eq!(after.queue.keys().collect::<Vec<_>>(), [&6]);
    assert_eq!(after.next, 7);
}

#[test]
fn a_crash_at_the_very_first_start_does_not_block_the_next() {
    let dir = tempfile::TempDir::new().unwrap();
    std::fs::write(dir.path().join("state.redb.new"), vec![0; 9000]).unwrap();
    let state = State::open(dir.path()).unwrap();
    assert!(state.is_fresh());
    assert!(!dir.path().join("state.redb.new").exists());
}

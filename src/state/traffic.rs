//! The traffic that was counted against budgets, over restarts: a small file that is written every few seconds, so that a
//! crash loses no more than those.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// In the state directory.
const FILE: &str = "traffic.json";

/// What one mount has used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// Kind of the period: `hour`, `day` or `month`.
    pub per: String,
    /// First second of the period, by the clock in UTC+8.
    pub since: u64,
    /// Bytes in this period.
    pub bytes: u64,
}

/// By path of the mount.
pub type Counts = BTreeMap<String, Traffic>;

/// The counts that were written last; none where there is no file.
///
/// # Errors
/// A file that cannot be read, or is damaged.
pub fn load(dir: &Path) -> io::Result<Counts> {
    match std::fs::read(dir.join(FILE)) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(io::Error::other),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Counts::new()),
        Err(error) => Err(error),
    }
}

/// Writes all counts, whole or not at all.
///
/// # Errors
/// Those of the disk.
pub fn store(dir: &Path, counts: &Counts) -> io::Result<()> {
    let bytes = serde_json::to_vec(counts).map_err(io::Error::other)?;
    crate::private::write(&dir.join(FILE), &bytes)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn counts_come_back_and_rubbish_does_not() {
        let dir = tempfile::tempdir().unwrap();
        assert!(load(dir.path()).unwrap().is_empty());
        let row = Traffic {
            per: "day".into(),
            since: 7,
            bytes: u64::MAX,
        };
        let counts = Counts::from([("/链接".to_owned(), row)]);
        store(dir.path(), &counts).unwrap();
        assert_eq!(load(dir.path()).unwrap(), counts);
        std::fs::write(dir.path().join(FILE), "rubbish").unwrap();
        assert!(load(dir.path()).is_err());
    }
}

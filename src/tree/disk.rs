//! What the disk under a directory has left.

use std::path::Path;

/// Bytes that a directory's disk has free for us; `None` where nobody says.
#[cfg(unix)]
pub(super) fn free_space(dir: &Path) -> Option<u64> {
    let disk = rustix::fs::statvfs(dir).ok()?;
    Some(disk.f_bavail.saturating_mul(disk.f_frsize))
}

#[cfg(not(unix))]
pub(super) fn free_space(_: &Path) -> Option<u64> {
    None
}

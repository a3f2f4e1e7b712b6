//! Files and folders that only their owner can look into (modes 0600 and 0700, where there are modes).

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;

/// Makes a folder, and those above it, if need be.
///
/// # Errors
/// Those of the disk.
pub fn folder(path: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// Makes a file that is not there yet, for writing.
///
/// # Errors
/// `AlreadyExists`; those of the disk.
pub fn create(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

/// Makes a file that is there already its owner's alone.
///
/// # Errors
/// Those of the disk.
pub fn close(path: &Path) -> io::Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))?;
    }
    let _ = path;
    Ok(())
}

/// Replaces a file as a whole: a reader sees the old content or the new one, and the new one is on the disk when this returns.
///
/// # Errors
/// Those of the disk; the old content is there then.
pub fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    let beside = path.with_extension(format!("{:016x}.tmp", fastrand::u64(..)));
    let written = create(&beside)
        .and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        })
        .and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written?;
    sync_folder(path.parent().unwrap_or(Path::new(".")))
}

/// Makes what was made, renamed or removed in a folder durable, where the system can.
///
/// # Errors
/// Those of the disk.
pub fn sync_folder(folder: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_replaces_and_is_the_owner_s_alone() {
        let dir = tempfile::tempdir().unwrap();
        let inside = dir.path().join("a/b");
        folder(&inside).unwrap();
        let file = inside.join("c.json");
        write(&file, b"one").unwrap();
        write(&file, b"two").unwrap();
        assert_eq!(std::fs::read(&file).unwrap(), b"two");
        assert_eq!(std::fs::read_dir(&inside).unwrap().count(), 1);
        assert!(create(&file).is_err());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
            assert_eq!((mode(&inside), mode(&file)), (0o700, 0o600));
            std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o644)).unwrap();
            close(&file).unwrap();
            assert_eq!(mode(&file), 0o600);
        }
        assert!(write(&dir.path().join("not/there"), b"x").is_err());
    }
}

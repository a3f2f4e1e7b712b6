//! The token of an account in the state directory: written by whoever signed in (the server, or
//! `dav123 login` in another process), read by every later run. Devices are few (API page 5.1), so
//! a sign-in that can be avoided is.
//!
//! The file's name is a hash of the account, its mode 0600; it is replaced as a whole, so a reader
//! sees the old token or the new one.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::{clock, hex, private};

/// Folder below the state directory.
const FOLDER: &str = "tokens";
/// No token file is longer.
const SIZE_LIMIT: u64 = 64 << 10;

/// How long a process waits for another one that signs in: longer than a sign-in may take.
const TURN_WAIT: Duration = Duration::from_secs(90);
/// How often it looks.
const TURN_LOOK: Duration = Duration::from_millis(50);

/// Where one account's token is kept.
#[derive(Debug, Clone)]
pub struct KeptToken {
    file: PathBuf,
}

/// What tells one version of the file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp(Option<(SystemTime, [u8; 32])>);

/// The right to sign in to the account, against all processes that share the state directory. Ends when dropped, and
/// with the process.
#[derive(Debug)]
pub struct Turn {
    _lock: fs::File,
}

/// A token, and when it ends.
#[derive(Debug, Clone)]
pub struct Token {
    /// The token itself.
    pub secret: SecretString,
    /// Unix seconds; 0 where nobody has told.
    pub until: i64,
}

impl From<SecretString> for Token {
    fn from(secret: SecretString) -> Self {
        Self { secret, until: 0 }
    }
}

impl Token {
    /// Whether it is known to end within a time.
    pub fn ends_within(&self, time: Duration) -> bool {
        let left = self.until.saturating_sub(clock::unix_now());
        self.until > 0 && left < i64::try_from(time.as_secs()).unwrap_or(i64::MAX)
    }
}

#[derive(Serialize, Deserialize)]
struct Content {
    token: String,
    #[serde(default)]
    until: i64,
}

impl KeptToken {
    /// The place for the account that `identity` names (login host and user name, or a hash of
    /// the configured token). Nothing is created yet.
    pub fn new(state_dir: &Path, identity: &str) -> Self {
        let name = hex::encode(&Sha256::digest(identity.as_bytes()));
        Self {
            file: state_dir.join(FOLDER).join(format!("{name}.json")),
        }
    }

    /// The token, where there is one. A file that cannot be read or understood counts as none.
    pub fn read(&self) -> Option<Token> {
        let content: Content = serde_json::from_slice(&self.bytes()?).ok()?;
        let token = content.token.trim();
        (!token.is_empty()).then(|| Token {
            secret: SecretString::from(token),
            until: content.until,
        })
    }

    /// Replaces the token; it is on the disk when this returns.
    ///
    /// # Errors
    /// Where the folder or the file cannot be written.
    pub fn write(&self, token: &Token) -> io::Result<()> {
        private::folder(self.folder())?;
        let content = serde_json::to_vec(&Content {
            token: token.secret.expose_secret().to_owned(),
            until: token.until,
        })?;
        private::write(&self.file, &content)
    }

    fn folder(&self) -> &Path {
        self.file.parent().unwrap_or(Path::new("."))
    }

    /// Waits for the turn to sign in. Who has it reads the token anew: the one before may have got it. `None` where the
    /// file system knows no locks, or where the other process is stuck: going on then costs a sign-in at the most.
    pub async fn turn(&self) -> Option<Turn> {
        private::folder(self.folder()).ok()?;
        let lock = open_lock(&self.file.with_extension("lock")).ok()?;
        let begun = tokio::time::Instant::now();
        while !try_lock(&lock).ok()? {
            if begun.elapsed() > TURN_WAIT {
                return None;
            }
            tokio::time::sleep(TURN_LOOK).await;
        }
        Some(Turn { _lock: lock })
    }

    /// The file's present version.
    pub fn stamp(&self) -> Stamp {
        let modified = fs::metadata(&self.file).and_then(|m| m.modified()).ok();
        Stamp(modified.zip(self.bytes().map(|bytes| Sha256::digest(bytes).into())))
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        let size = fs::metadata(&self.file).ok()?.len();
        if size > SIZE_LIMIT {
            return None;
        }
        fs::read(&self.file).ok()
    }
}

#[cfg(unix)]
fn open_lock(path: &Path) -> io::Result<fs::File> {
    use std::os::unix::fs::OpenOptionsExt;
    fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
}

#[cfg(not(unix))]
fn open_lock(_: &Path) -> io::Result<fs::File> {
    Err(io::ErrorKind::Unsupported.into())
}

/// Whether the lock is ours now. It belongs to the open file, so it ends with it.
#[cfg(unix)]
fn try_lock(file: &fs::File) -> io::Result<bool> {
    use rustix::fs::{FlockOperation, flock};
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(true),
        Err(rustix::io::Errno::WOULDBLOCK | rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

#[cfg(not(unix))]
fn try_lock(_: &fs::File) -> io::Result<bool> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_kept_token_comes_back_and_only_its_owner_can_read_it() {
        let dir = tempfile::tempdir().unwrap();
        let kept = KeptToken::new(dir.path(), "http://h\n138");
        assert!(kept.read().is_none());
        let before = kept.stamp();
        kept.write(&SecretString::from("first").into()).unwrap();
        kept.write(&Token {
            secret: "second".into(),
            until: 7,
        })
        .unwrap();
        assert_ne!(before, kept.stamp());
        assert_eq!(kept.stamp(), kept.stamp());
        let again = KeptToken::new(dir.path(), "http://h\n138").read().unwrap();
        assert_eq!((again.secret.expose_secret(), again.until), ("second", 7));
        assert!(KeptToken::new(dir.path(), "http://h\n139").read().is_none());
        let files: Vec<_> = fs::read_dir(dir.path().join(FOLDER)).unwrap().collect();
        assert_eq!(files.len(), 1);
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = |p: &Path| fs::metadata(p).unwrap().permissions().mode() & 0o777;
            assert_eq!(mode(&kept.file), 0o600);
            assert_eq!(mode(&dir.path().join(FOLDER)), 0o700);
        }
    }

    #[cfg(unix)]
    #[tokio::test(start_paused = true)]
    async fn turns_follow_each_other_and_a_stuck_process_holds_nobody_for_ever() {
        let dir = tempfile::tempdir().unwrap();
        let kept = KeptToken::new(dir.path(), "x");
        let first = kept.turn().await.unwrap();
        assert!(
            KeptToken::new(dir.path(), "y").turn().await.is_some(),
            "another account"
        );
        let second = KeptToken::new(dir.path(), "x");
        assert!(
            tokio::time::timeout(Duration::from_secs(60), second.turn())
                .await
                .is_err()
        );
        assert!(second.turn().await.is_none(), "after its patience");
        drop(first);
        assert!(second.turn().await.is_some());
    }

    #[test]
    fn a_token_ends_when_it_is_said_to_and_one_of_unknown_end_never() {
        let token = |until| Token {
            secret: "t".into(),
            until,
        };
        let hour = Duration::from_secs(3600);
        for (until, soon) in [
            (0, false),
            (1, true),
            (clock::unix_now() + 3000, true),
            (clock::unix_now() + 4000, false),
        ] {
            assert_eq!(token(until).ends_within(hour), soon, "{until}");
        }
    }

    #[test]
    fn a_broken_file_counts_as_no_token() {
        let dir = tempfile::tempdir().unwrap();
        let kept = KeptToken::new(dir.path(), "x");
        kept.write(&SecretString::from("t").into()).unwrap();
        for broken in ["", "{", r#"{"token":""}"#, r#"{"token":7}"#] {
            fs::write(&kept.file, broken).unwrap();
            assert!(kept.read().is_none(), "{broken}");
        }
    }
}

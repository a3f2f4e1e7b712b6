//! The sums of a body, taken as it comes and compared with what was announced.

use md5::{Digest as _, Md5};
use sha1::{Digest as _, Sha1};

use crate::drive::{Error, ErrorKind};

/// The MD5, which 123pan wants, and a SHA-1 where the client has announced one.
#[derive(Debug, Default)]
pub(super) struct Sums {
    md5: Md5,
    sha1: Option<(Sha1, [u8; 20])>,
}

impl Sums {
    /// From now on the SHA-1 too, unless none was announced.
    pub(super) fn with_sha1(self, announced: Option<[u8; 20]>) -> Self {
        Self {
            sha1: announced.map(|announced| (Sha1::new(), announced)),
            ..self
        }
    }

    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.md5.update(bytes);
        if let Some((sha1, _)) = &mut self.sha1 {
            sha1.update(bytes);
        }
    }

    /// The MD5, and the SHA-1 if it was announced and is right.
    pub(super) fn finish(self, announced: Option<[u8; 16]>) -> Result<([u8; 16], Option<[u8; 20]>), Error> {
        let md5: [u8; 16] = self.md5.finalize().into();
        if announced.is_some_and(|announced| announced != md5) {
            return Err(differ("MD5"));
        }
        let Some((sha1, announced)) = self.sha1 else {
            return Ok((md5, None));
        };
        let sha1: [u8; 20] = sha1.finalize().into();
        if sha1 != announced {
            return Err(differ("SHA-1"));
        }
        Ok((md5, Some(sha1)))
    }
}

fn differ(sum: &str) -> Error {
    let sentence = format!("The bytes do not have the {sum} that was announced; nothing was changed.");
    Error::new(ErrorKind::ChecksumMismatch, sentence)
}

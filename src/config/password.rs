//! What a user's sign-in is checked against: a password, its slow hash, or what Digest (RFC 7616) makes of it.

use argon2::password_hash::phc::PasswordHash;
use md5::{Digest as _, Md5};
use secrecy::{ExposeSecret, SecretString};
use sha2::Sha256;

use crate::hex;

/// The protection space of Basic and Digest; part of what an HA1 is the hash of.
pub const REALM: &str = "dav123";

/// What proves a user.
#[derive(Debug, Clone)]
pub enum Password {
    /// As typed: for Basic and Digest.
    Plain(SecretString),
    /// `$argon2id$…`, as printed by `dav123 passwd`: for Basic.
    Hash(SecretString),
    /// `digest-md5:…` or `digest-sha256:…`, as printed by `dav123 passwd`: for Basic, and Digest by this hash.
    Ha1(Algorithm, SecretString),
}

impl Password {
    /// Reads a `password_hash`.
    pub(super) fn from_hash(text: &str) -> Option<Self> {
        for algorithm in Algorithm::ALL {
            if let Some(hex) = text.strip_prefix(algorithm.prefix()) {
                let right =
                    hex.len() == algorithm.digits() && hex.bytes().all(|byte| byte.is_ascii_hexdigit());
                return right.then(|| Self::Ha1(algorithm, hex.to_ascii_lowercase().into()));
            }
        }
        let whole = PasswordHash::new(text).is_ok_and(|read| read.hash.is_some());
        (text.starts_with("$argon2") && whole).then(|| Self::Hash(text.into()))
    }

    /// Whether the user can sign in by Digest with this hash.
    pub fn serves(&self, algorithm: Algorithm) -> bool {
        match self {
            Self::Plain(_) => true,
            Self::Hash(_) => false,
            Self::Ha1(of, _) => *of == algorithm,
        }
    }
}

/// A hash of Digest (RFC 7616 section 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Known to every client.
    Md5,
    /// Known to newer ones.
    Sha256,
}

impl Algorithm {
    /// The one that more clients know first.
    pub const ALL: [Self; 2] = [Self::Md5, Self::Sha256];

    /// As in the headers of RFC 7616.
    pub fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha256 => "SHA-256",
        }
    }

    /// Before an HA1 in `password_hash`.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Md5 => "digest-md5:",
            Self::Sha256 => "digest-sha256:",
        }
    }

    /// Hexadecimal digits of a hash.
    pub fn digits(self) -> usize {
        match self {
            Self::Md5 => 32,
            Self::Sha256 => 64,
        }
    }

    /// The hash of a text in lower-case hexadecimal digits.
    pub fn hash(self, text: &str) -> String {
        match self {
            Self::Md5 => hex::encode(&Md5::digest(text)),
            Self::Sha256 => hex::encode(&Sha256::digest(text)),
        }
    }

    /// `H(A1)` of RFC 7616 section 3.4.2: whoever has it can sign in by Digest in this realm.
    pub fn ha1(self, name: &str, realm: &str, password: &SecretString) -> SecretString {
        self.hash(&format!("{name}:{realm}:{}", password.expose_secret()))
            .into()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_argon2_or_an_ha1_of_the_right_length() {
        let md5 = Algorithm::Md5.ha1("me", REALM, &"secret".into());
        let line = format!("digest-md5:{}", md5.expose_secret().to_uppercase());
        let read = Password::from_hash(&line).unwrap();
        assert!(
            matches!(&read, Password::Ha1(Algorithm::Md5, hex) if hex.expose_secret() == md5.expose_secret())
        );
        assert!(read.serves(Algorithm::Md5) && !read.serves(Algorithm::Sha256));
        let sha = Algorithm::Sha256.ha1("me", REALM, &"secret".into());
        let sha = sha.expose_secret();
        let read = Password::from_hash(&format!("digest-sha256:{sha}")).unwrap();
        assert!(read.serves(Algorithm::Sha256) && !read.serves(Algorithm::Md5));
        for wrong in [
            format!("digest-md5:{sha}"),
            "digest-sha256:".into(),
            format!("digest-sha256:{}g", &sha[1..]),
            format!("digest-sha:{sha}"),
            sha.to_owned(),
            "$argon2".into(),
        ] {
            assert!(Password::from_hash(&wrong).is_none(), "{wrong}");
        }
    }
}

//! The signature of a direct link (API page 9.2).
//!
//! `auth_key = expiry-rand-uid-md5(path-expiry-rand-uid-key)`. Sources disagree on whether the path is
//! hashed decoded or as it stands in the URL, so both forms are here; for paths without escapes they agree.

use md5::{Digest, Md5};
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::url::{DirectUrl, auth_key};
use crate::hex;

/// Which form of the path is hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum PathForm {
    /// Percent escapes undone: what most clients have done for years.
    #[default]
    Decoded,
    /// As it stands in the URL.
    AsWritten,
}

impl PathForm {
    /// The other one.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Decoded => Self::AsWritten,
            Self::AsWritten => Self::Decoded,
        }
    }
}

/// Why nothing can be signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// No key.
    #[error("The private key is empty: copy it from the direct-link page of 123pan.")]
    NoKey,
    /// No account id, neither set nor in the URL.
    #[error("The account id is not known: set uid to the number that 123pan's settings page shows.")]
    NoUid,
}

/// The owner's key, and the account id where it is set once for all links.
#[derive(Debug, Clone)]
pub struct Signer {
    uid: Option<u64>,
    key: SecretString,
}

impl Signer {
    /// A signer; without `uid` each URL must hold its own.
    ///
    /// # Errors
    /// [`SignError::NoKey`] where the key is empty.
    pub fn new(uid: Option<u64>, key: SecretString) -> Result<Self, SignError> {
        if key.expose_secret().is_empty() {
            return Err(SignError::NoKey);
        }
        Ok(Self { uid, key })
    }

    /// The account id for a URL: the one that is set, else the one in the URL.
    ///
    /// # Errors
    /// [`SignError::NoUid`] where there is none.
    pub fn uid(&self, url: &DirectUrl) -> Result<u64, SignError> {
        self.uid.or_else(|| url.uid()).ok_or(SignError::NoUid)
    }

    /// The URL, good until `expires` (Unix seconds).
    ///
    /// # Errors
    /// [`SignError::NoUid`].
    pub fn sign(&self, url: &DirectUrl, form: PathForm, expires: u64) -> Result<SecretString, SignError> {
        let rand = Uuid::new_v4().simple().to_string();
        self.sign_with(url, form, expires, &rand)
    }

    /// In which form and until when a signed link of `url` was signed by this signer. `None` where it was
    /// not, or `url` is another one. [`PathForm::Decoded`] where both forms agree.
    pub fn form_of(&self, signed: &str, url: &DirectUrl) -> Option<(PathForm, u64)> {
        let uid = self.uid(url).ok()?;
        let mut parts = auth_key(signed)?.splitn(4, '-');
        let expires = parts.next()?.parse().ok()?;
        let rand = parts.next()?;
        parts.next()?;
        let hash = parts.next()?;
        [PathForm::Decoded, PathForm::AsWritten]
            .into_iter()
            .find(|form| self.hash(url, *form, expires, rand, uid) == hash)
            .map(|form| (form, expires))
    }

    fn sign_with(
        &self,
        url: &DirectUrl,
        form: PathForm,
        expires: u64,
        rand: &str,
    ) -> Result<SecretString, SignError> {
        let uid = self.uid(url)?;
        let hash = self.hash(url, form, expires, rand, uid);
        let value = format!("{expires}-{rand}-{uid}-{hash}");
        Ok(url.with_auth_key(&value).into())
    }

    fn hash(&self, url: &DirectUrl, form: PathForm, expires: u64, rand: &str, uid: u64) -> String {
        let mut md5 = Md5::new();
        match form {
            PathForm::Decoded => md5.update(url.decoded_path()),
            PathForm::AsWritten => md5.update(url.path()),
        }
        md5.update(format!("-{expires}-{rand}-{uid}-"));
        md5.update(self.key.expose_secret());
        hex::encode(&md5.finalize())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn auth(path: &str, form: PathForm, ts: u64, rand: &str, uid: u64, key: &str) -> String {
        let url = DirectUrl::parse(&format!("https://h{path}")).unwrap();
        let signer = Signer::new(Some(uid), key.into()).unwrap();
        let signed = signer.sign_with(&url, form, ts, rand).unwrap();
        let signed = signed.expose_secret();
        let (front, value) = signed.split_once("?auth_key=").unwrap();
        assert_eq!(front, format!("https://h{path}"));
        value.to_owned()
    }

    const D3: &str = "/1812000499/%E6%B5%8B%E8%AF%95/a%20b%2B%28c%29.txt";
    const D3_RAND: &str = "0123456789abcdef0123456789abcdef";

    #[test]
    fn vector_d1_of_the_vendor() {
        for form in [PathForm::Decoded, PathForm::AsWritten] {
            assert_eq!(
                auth("/13/files/1.txt", form, 1689220731, "123", 13, "289ds32418bxdba"),
                "1689220731-123-13-3bdacc0e031fd67fe829152f37c8fbad"
            );
        }
    }

    #[test]
    fn vector_d2() {
        assert_eq!(
            auth(
                "/1812000499/music/song.mp3",
                PathForm::Decoded,
                1767294245,
                "42",
                1812000499,
                "testPrivateKey"
            ),
            "1767294245-42-1812000499-09530f66f3d00b1c700c16efd530a3e1"
        );
    }

    #[test]
    fn vector_d3_in_both_forms() {
        for (form, hash) in [
            (PathForm::Decoded, "0217be92e5595bcfba35e797c6c064a9"),
            (PathForm::AsWritten, "c76451d8b1ef5df2154b3a725b8df611"),
        ] {
            assert_eq!(
                auth(D3, form, 1767294245, D3_RAND, 1812000499, "testPrivateKey"),
                format!("1767294245-{D3_RAND}-1812000499-{hash}")
            );
        }
    }

    #[test]
    fn the_random_part_is_32_hex_digits_and_new_each_time() {
        let url = DirectUrl::parse("https://h/1/a").unwrap();
        let signer = Signer::new(Some(1), "k".into()).unwrap();
        let rand = || {
            let signed = signer.sign(&url, PathForm::Decoded, 7).unwrap();
            let mut parts = auth_key(signed.expose_secret()).unwrap().split('-');
            assert_eq!(parts.next(), Some("7"));
            let rand = parts.next().unwrap().to_owned();
            assert_eq!(parts.next(), Some("1"));
            assert_eq!(rand.len(), 32);
            assert!(rand.bytes().all(|b| b.is_ascii_hexdigit()));
            rand
        };
        assert_ne!(rand(), rand());
    }

    #[test]
    fn the_form_of_a_link_of_ours_is_known_again() {
        let url = DirectUrl::parse(&format!("https://h{D3}?x=1")).unwrap();
        let signer = Signer::new(None, "k".into()).unwrap();
        for form in [PathForm::Decoded, PathForm::AsWritten] {
            let signed = signer.sign(&url, form, 99).unwrap();
            assert_eq!(signer.form_of(signed.expose_secret(), &url), Some((form, 99)));
        }
        let other = DirectUrl::parse("https://h/1812000499/b").unwrap();
        let signed = signer.sign(&other, PathForm::Decoded, 99).unwrap();
        assert_eq!(signer.form_of(signed.expose_secret(), &url), None);
        assert_eq!(signer.form_of("https://h/x?auth_key=1-2", &url), None);
        assert_eq!(signer.form_of("https://h/x", &url), None);
    }

    #[test]
    fn nothing_is_signed_without_a_key_or_an_account_id() {
        assert_eq!(Signer::new(Some(1), "".into()).err(), Some(SignError::NoKey));
        let url = DirectUrl::parse("https://own.example/films/a.mkv").unwrap();
        let signer = Signer::new(None, "k".into()).unwrap();
        assert_eq!(
            signer.sign(&url, PathForm::Decoded, 1).err(),
            Some(SignError::NoUid)
        );
    }

    #[test]
    fn debug_shows_no_key() {
        let signer = Signer::new(Some(1), "topsecret".into()).unwrap();
        assert!(!format!("{signer:?}").contains("topsecret"));
    }
}

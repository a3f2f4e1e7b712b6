//! `dav123 sign`: a signed direct link, for the clipboard.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use secrecy::ExposeSecret;

use crate::pan::direct::{DirectUrl, PathForm, SignError, Signer};

/// The link, good for `valid` from now, its path signed decoded (API page 9.2).
///
/// # Errors
/// One sentence: what is wrong with the URL, the key or the account id (0 counts as none).
pub fn run(url: &str, uid: u64, private_key: &str, valid: Duration) -> Result<String, String> {
    let url = DirectUrl::parse(url).map_err(|fault| format!("This cannot be signed: {fault}."))?;
    if uid == 0 {
        return Err(SignError::NoUid.to_string());
    }
    let signer = Signer::new(Some(uid), private_key.trim().into()).map_err(|error| error.to_string())?;
    let expires = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .saturating_add(valid)
        .as_secs();
    signer
        .sign(&url, PathForm::Decoded, expires)
        .map(|signed| signed.expose_secret().to_owned())
        .map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const URL: &str = "https://vip.123pan.cn/1812000499/a/film.mkv";

    #[test]
    fn sign_prints_a_link_that_expires_when_asked() {
        let before = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let link = run(URL, 1812000499, "k", Duration::from_secs(1800)).unwrap();
        let key = link.strip_prefix(&format!("{URL}?auth_key=")).unwrap();
        let parts: Vec<&str> = key.split('-').collect();
        let expires: u64 = parts[0].parse().unwrap();
        assert!((before + 1800..before + 1860).contains(&expires));
        assert_eq!(parts[2], "1812000499");
        assert_eq!(parts[3].len(), 32);
    }

    #[test]
    fn sign_refuses_bad_urls_empty_keys_and_no_account_id() {
        let half_hour = Duration::from_secs(1800);
        for (url, uid, key, word) in [
            ("vip.123pan.cn/a", 1, "k", "URL"),
            ("ftp://h/a", 1, "k", "http://"),
            (URL, 0, "k", "uid"),
            (URL, 1, " ", "private key"),
        ] {
            let sentence = run(url, uid, key, half_hour).unwrap_err();
            assert!(sentence.contains(word), "{sentence}");
            assert!(sentence.ends_with('.'), "{sentence}");
        }
    }
}

//! How commands of the same machine reach the running server: a file in the state directory tells them where it is, and
//! holds a secret of this run that stands for the owner of that directory.

use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Serialize};
use subtle::ConstantTimeEq;

/// Name of the file.
const FILE: &str = "control.json";

#[derive(Serialize, Deserialize)]
struct Written {
    url: String,
    token: String,
}

/// Where a running server is, and what it wants to hear.
#[derive(Debug)]
pub struct Control {
    /// Root of one of its plain HTTP listeners, without a slash at the end.
    pub url: String,
    /// Sent as `Authorization: Bearer`.
    pub token: SecretString,
}

impl Control {
    /// Reads what a server has written that runs over this state directory. `None` where none does.
    pub fn read(state_dir: &Path) -> Option<Self> {
        let text = std::fs::read(state_dir.join(FILE)).ok()?;
        let Written { url, token } = serde_json::from_slice(&text).ok()?;
        Some(Self {
            url,
            token: token.into(),
        })
    }
}

/// The secret of this run. The file goes when it is dropped.
#[derive(Debug)]
pub(super) struct Secret {
    token: SecretString,
    file: Option<PathBuf>,
}

impl Secret {
    /// Makes the secret and writes the file. Where that fails, commands cannot reach the server: no reason not to serve.
    pub(super) fn new(state_dir: &Path, url: Option<&str>) -> Self {
        let mut bytes = [0; 32];
        let token = match getrandom::fill(&mut bytes) {
            Ok(()) => URL_SAFE_NO_PAD.encode(bytes),
            Err(_) => String::new(),
        };
        let file = url.filter(|_| !token.is_empty()).and_then(|url| {
            let path = state_dir.join(FILE);
            let content = Written {
                url: url.to_owned(),
                token: token.clone(),
            };
            let text = serde_json::to_vec(&content).ok()?;
            match crate::private::write(&path, &text) {
                Ok(()) => Some(path),
                Err(error) => {
                    tracing::warn!(%error, "commands will not find this server");
                    None
                }
            }
        });
        Self {
            token: token.into(),
            file,
        }
    }

    /// Whether a request knows the secret.
    pub(super) fn is_known_to(&self, headers: &HeaderMap) -> bool {
        let token = self.token.expose_secret().as_bytes();
        let said = headers.get(AUTHORIZATION).map(http::HeaderValue::as_bytes);
        let said = said.and_then(|said| said.strip_prefix(b"Bearer "));
        !token.is_empty() && said.is_some_and(|said| bool::from(said.ct_eq(token)))
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        if let Some(file) = &self.file {
            let _ = std::fs::remove_file(file);
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_private_opens_the_door_and_goes_with_the_server() {
        let dir = tempfile::TempDir::new().unwrap();
        let secret = Secret::new(dir.path(), Some("http://127.0.0.1:1"));
        let control = Control::read(dir.path()).unwrap();
        assert_eq!(control.url, "http://127.0.0.1:1");
        let with = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            secret.is_known_to(&headers)
        };
        assert!(with(&format!("Bearer {}", control.token.expose_secret())));
        assert!(!with("Bearer ") && !with("Bearer x") && !with("Basic x"));
        assert!(!secret.is_known_to(&HeaderMap::new()));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = std::fs::metadata(dir.path().join(FILE))
                .unwrap()
                .permissions()
                .mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        drop(secret);
        assert!(Control::read(dir.path()).is_none());
    }

    #[test]
    fn without_a_plain_listener_there_is_no_file() {
        let dir = tempfile::TempDir::new().unwrap();
        let _secret = Secret::new(dir.path(), None);
        assert!(Control::read(dir.path()).is_none());
    }
}

//! `outbound`: the proxy through which 123pan is reached.

use std::fmt;

use percent_encoding::percent_decode_str;
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};

use super::secret;
use super::section::Section;

/// The key, and its variants.
pub const KEYS: [&str; 3] = ["outbound", "outbound_env", "outbound_file"];

const EXPECTED: &str =
    "socks5://host:port or http://host:port, with user:password@ before the host if need be";
/// Port of a SOCKS proxy whose address names none (RFC 1928).
const SOCKS_PORT: u16 = 1080;

/// How the proxy is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// SOCKS 5; the proxy resolves names.
    Socks5,
    /// HTTP: CONNECT.
    Http,
}

/// A proxy. Its name and password are in no `Debug` or `Display`.
#[derive(Clone)]
pub struct Outbound {
    protocol: Protocol,
    /// `host:port`.
    authority: String,
    credentials: Option<(SecretString, SecretString)>,
}

impl Outbound {
    /// Reads an address; `None` where it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let url = Url::parse(text.trim()).ok()?;
        let (protocol, port) = match url.scheme() {
            "socks5" | "socks5h" => (Protocol::Socks5, SOCKS_PORT),
            "http" => (Protocol::Http, 80),
            _ => return None,
        };
        let bare = matches!(url.path(), "" | "/") && url.query().is_none() && url.fragment().is_none();
        let host = match url.host()? {
            Host::Domain("") => return None,
            host => host.to_string(),
        };
        let decoded = |text: &str| Some(SecretString::from(&*percent_decode_str(text).decode_utf8().ok()?));
        let credentials = match (url.username(), url.password()) {
            ("", None) => None,
            (user, password) => Some((decoded(user)?, decoded(password.unwrap_or(""))?)),
        };
        bare.then(|| Self {
            protocol,
            authority: format!("{host}:{}", url.port().unwrap_or(port)),
            credentials,
        })
    }

    /// How it is spoken to.
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    /// `host:port`.
    pub fn authority(&self) -> &str {
        &self.authority
    }

    /// Name and password. Not for logs.
    pub fn credentials(&self) -> Option<(&str, &str)> {
        let (user, password) = self.credentials.as_ref()?;
        Some((user.expose_secret(), password.expose_secret()))
    }
}

impl PartialEq for Outbound {
    fn eq(&self, other: &Self) -> bool {
        self.protocol == other.protocol
            && self.authority == other.authority
            && self.credentials() == other.credentials()
    }
}

impl fmt::Display for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self.protocol {
            Protocol::Socks5 => "socks5",
            Protocol::Http => "http",
        };
        write!(f, "{scheme}://{}", self.authority)
    }
}

impl fmt::Debug for Outbound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads the key of a mount. The value is not repeated where it is wrong: it may hold a password.
pub fn read(section: &mut Section<'_>) -> Option<Outbound> {
    let [value, ..] = KEYS;
    let given = KEYS.into_iter().find(|key| section.has(key))?;
    secret::only_one(section, &KEYS);
    let outbound = if given == value {
        Outbound::parse(&section.text(value, EXPECTED)?.value)
    } else {
        Outbound::parse(secret::read(section, value)?.expose_secret())
    };
    match &outbound {
        None => section.problem(given, format!("no address of a proxy; expected {EXPECTED}")),
        Some(outbound) if given == value && outbound.credentials.is_some() => section.reader.note_secret(),
        Some(_) => {}
    }
    outbound
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_and_its_credentials_are_never_shown() {
        let proxy = Outbound::parse("socks5://me:p%40ss%20w@proxy.example").unwrap();
        assert_eq!(proxy.authority(), "proxy.example:1080");
        assert_eq!(proxy.credentials(), Some(("me", "p@ss w")));
        assert_eq!(
            format!("{proxy} {proxy:?}"),
            "socks5://proxy.example:1080 socks5://proxy.example:1080"
        );
        let http = Outbound::parse("http://[::1]:3128/").unwrap();
        assert_eq!(
            (http.protocol(), http.authority()),
            (Protocol::Http, "[::1]:3128")
        );
        assert_eq!(http.credentials(), None);
        assert_eq!(Outbound::parse("http://h").unwrap().authority(), "h:80");
        assert_eq!(Outbound::parse("socks5h://h:1"), Outbound::parse("socks5://h:1"));
        assert_ne!(
            Outbound::parse("socks5://u:a@h"),
            Outbound::parse("socks5://u:b@h")
        );
        for wrong in [
            "",
            "proxy:1080",
            "socks4://h:1",
            "https://h:1",
            "socks5://",
            "socks5://:1080",
            "http://h/path",
            "http://h/?q",
            "socks5://h:99999",
        ] {
            assert_eq!(Outbound::parse(wrong), None, "{wrong}");
        }
    }
}

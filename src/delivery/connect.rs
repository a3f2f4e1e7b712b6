//! How connections to the CDN come about: directly, or through the proxy of the mount's `outbound`.
//!
//! A link works from the city of the address that asked for it (API page 5.8), so the bytes go the way of the calls.

use std::error::Error as StdError;
use std::pin::Pin;
use std::task::{Context, Poll};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, Uri};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::{SocksV5, Tunnel};
use tower_service::Service;

use crate::config::{Outbound, Protocol};

type BoxError = Box<dyn StdError + Send + Sync>;
type Connection = <HttpConnector as Service<Uri>>::Response;

/// A connector of the CDN's clients.
#[derive(Clone)]
pub enum Connect {
    /// By this machine itself.
    Direct(HttpConnector),
    /// Through an HTTP proxy, by CONNECT.
    Tunnel(Tunnel<HttpConnector>),
    /// Through a SOCKS proxy, which resolves the names.
    Socks(SocksV5<HttpConnector>),
}

impl Connect {
    /// A connector for the way to 123pan; `None` where the proxy's address cannot be used.
    pub fn new(direct: HttpConnector, outbound: Option<&Outbound>) -> Option<Self> {
        let Some(outbound) = outbound else {
            return Some(Self::Direct(direct));
        };
        let at: Uri = format!("http://{}", outbound.authority()).parse().ok()?;
        Some(match (outbound.protocol(), outbound.credentials()) {
            (Protocol::Socks5, None) => Self::Socks(SocksV5::new(at, direct)),
            (Protocol::Socks5, Some((user, password))) => {
                Self::Socks(SocksV5::new(at, direct).with_auth(user.to_owned(), password.to_owned()))
            }
            (Protocol::Http, None) => Self::Tunnel(Tunnel::new(at, direct)),
            (Protocol::Http, Some((user, password))) => {
                let basic = format!("Basic {}", STANDARD.encode(format!("{user}:{password}")));
                Self::Tunnel(Tunnel::new(at, direct).with_auth(HeaderValue::from_str(&basic).ok()?))
            }
        })
    }
}

impl Service<Uri> for Connect {
    type Response = Connection;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Connection, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Direct(direct) => direct.poll_ready(cx).map_err(Into::into),
            Self::Tunnel(tunnel) => tunnel.poll_ready(cx).map_err(Into::into),
            Self::Socks(socks) => socks.poll_ready(cx).map_err(Into::into),
        }
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        match self {
            Self::Direct(direct) => {
                let connecting = direct.call(to);
                Box::pin(async { connecting.await.map_err(Into::into) })
            }
            Self::Tunnel(tunnel) => {
                let connecting = tunnel.call(with_port(to));
                Box::pin(async { connecting.await.map_err(Into::into) })
            }
            Self::Socks(socks) => {
                let connecting = socks.call(with_port(to));
                Box::pin(async { connecting.await.map_err(Into::into) })
            }
        }
    }
}

/// Both proxies take an address without a port for one of https.
fn with_port(to: Uri) -> Uri {
    let (Some("http"), Some(host), None) = (to.scheme_str(), to.host(), to.port()) else {
        return to;
    };
    format!("http://{host}:80/").parse().unwrap_or(to)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn plain_http_is_asked_for_at_port_80() {
        for (to, asked) in [
            ("http://cdn/x?t=1", "http://cdn:80/"),
            ("http://[::1]/x", "http://[::1]:80/"),
            ("http://cdn:8080/x", "http://cdn:8080/x"),
            ("https://cdn/x", "https://cdn/x"),
        ] {
            assert_eq!(with_port(to.parse().unwrap()).to_string(), asked);
        }
    }
}

//! Where a request to the CDN goes: a URL in the parts that the request needs, taken apart once for all requests of a link.

use std::fmt;

use http::header::HeaderValue;
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Request, Uri};

use super::redirect::printable;
use crate::drive::{Error, ErrorKind};

/// A server: kept connections are its own.
#[derive(Clone, PartialEq, Eq)]
pub struct Host(Scheme, Authority);

/// A web address.
#[derive(Clone)]
pub struct Target {
    uri: Uri,
    host: Host,
    /// For `Host`.
    name: HeaderValue,
    /// The path and the query alone (RFC 9112 3.2.1).
    path: Uri,
}

impl Target {
    /// Takes a URL apart; what cannot stand in a request line is encoded.
    ///
    /// # Errors
    /// `Nonsense` where it is no address of the web.
    pub fn parse(url: &str) -> Result<Self, Error> {
        Self::of(url).ok_or_else(no_address)
    }

    fn of(url: &str) -> Option<Self> {
        let uri: Uri = printable(url).parse().ok()?;
        let (scheme, authority) = (uri.scheme()?, uri.authority()?);
        let usual = match scheme.as_str() {
            "http" => 80,
            "https" => 443,
            _ => return None,
        };
        let name = match uri.port_u16().filter(|&port| port != usual) {
            Some(_) => authority.as_str().rsplit('@').next()?,
            None => authority.host(),
        };
        let path = uri.path_and_query().cloned();
        Some(Self {
            name: HeaderValue::from_str(name).ok()?,
            path: Uri::from(path.unwrap_or_else(|| PathAndQuery::from_static("/"))),
            host: Host(scheme.clone(), authority.clone()),
            uri,
        })
    }

    /// The address that an answer from here names in its `Location`.
    ///
    /// # Errors
    /// `Nonsense` where that is none of the web.
    pub fn follow(&self, location: &HeaderValue) -> Result<Self, Error> {
        let location = std::str::from_utf8(location.as_bytes()).map_err(|_| no_address())?;
        if let Some(absolute) = Self::of(location) {
            return Ok(absolute);
        }
        let base = url::Url::parse(&self.uri.to_string()).map_err(|_| no_address())?;
        Self::parse(base.join(location).map_err(|_| no_address())?.as_str())
    }

    /// The whole address.
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The server.
    pub fn host(&self) -> &Host {
        &self.host
    }

    /// Makes a request one for this address, to be sent to its host.
    pub fn address<B>(&self, request: &mut Request<B>) {
        *request.uri_mut() = self.path.clone();
        let headers = request.headers_mut();
        headers.insert(http::header::HOST, self.name.clone());
    }
}

fn no_address() -> Error {
    let sentence = "123pan gave a download link that is not a web address.";
    Error::new(ErrorKind::Nonsense, sentence)
}

impl fmt::Debug for Target {
    /// Without what is a secret: the path, the query, and who asks.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Target").field(&self.name).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_link_is_a_web_address_and_stray_bytes_are_escaped() {
        let target = Target::parse("http://cdn/电影 a.mkv?x=%20~&y=+").unwrap();
        assert_eq!(target.uri().path(), "/%E7%94%B5%E5%BD%B1%20a.mkv");
        assert_eq!(target.uri().query(), Some("x=%20~&y=+"));
        for bad in ["/relative", "ftp://cdn/x", "file:///etc/passwd", ""] {
            let error = Target::parse(bad).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Nonsense, "{bad}");
        }
    }

    #[test]
    fn a_request_names_the_host_with_a_port_that_is_not_the_usual_one() {
        for (url, name, path) in [
            ("http://cdn", "cdn", "/"),
            ("http://cdn:80/a?b", "cdn", "/a?b"),
            ("https://cdn:443/a", "cdn", "/a"),
            ("https://cdn:80/a", "cdn:80", "/a"),
            ("http://me:secret@cdn:1/a", "cdn:1", "/a"),
            ("http://me:secret@cdn/a", "cdn", "/a"),
        ] {
            let mut request = Request::new(());
            Target::parse(url).unwrap().address(&mut request);
            assert_eq!(request.headers()["host"], name, "{url}");
            assert_eq!(request.uri().to_string(), path, "{url}");
        }
    }

    #[test]
    fn a_location_may_be_relative_but_never_leaves_http() {
        let from = Target::parse("https://cdn/a/b?c").unwrap();
        let to = |location: &str| {
            let location = HeaderValue::from_bytes(location.as_bytes()).unwrap();
            from.follow(&location).map(|target| target.uri().to_string())
        };
        assert_eq!(to("../d?e").unwrap(), "https://cdn/d?e");
        assert_eq!(to("//other/f").unwrap(), "https://other/f");
        assert_eq!(to("http://x:1/é").unwrap(), "http://x:1/%C3%A9");
        assert!(to("file:///etc/passwd").is_err());
    }
}

//! What holds for any `Authorization` header.

#![allow(clippy::unwrap_used)]

use http::{Method, Uri};
use secrecy::ExposeSecret;

use super::digest::Given;
use super::{Auth, basic};
use crate::config::{Access, Algorithm, Password, REALM, User};

/// Name of the user whose password nobody can guess.
const NAME: &str = "me";

/// The value of an `Authorization` header. What follows a line end is what a client that knows the password makes a Digest of.
pub fn sign_in(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (header, fields) = text.split_once('\n').unwrap_or((text, ""));
    let mut bytes = [0_u8; 16];
    bytes.fill_with(|| fastrand::u8(..));
    let secret = crate::hex::encode(&bytes);
    for password in passwords(&secret) {
        let user = User {
            name: NAME.into(),
            password,
            root: "/".into(),
            access: Access::ReadWrite,
        };
        let auth = Auth::new(&[user], None).unwrap();
        stranger(&auth, header);
        owner(&auth, &secret, fields);
    }
}

fn passwords(secret: &str) -> [Password; 3] {
    let hashed = |algorithm: Algorithm| Password::Ha1(algorithm, algorithm.ha1(NAME, REALM, &secret.into()));
    [
        Password::Plain(secret.into()),
        hashed(Algorithm::Md5),
        hashed(Algorithm::Sha256),
    ]
}

/// A header that was made without the password signs nobody in; what is read of it stands in it.
fn stranger(auth: &Auth, header: &str) {
    if let Some((name, password)) = basic(header) {
        assert!(Given::read(header).is_none(), "one header of two schemes");
        assert!(!name.contains(':'), "{name}");
        let user = auth.user(&name, name.rsplit('\\').next().unwrap());
        if let Some(at) = user {
            assert!(!auth.is_at_once(&auth.users[at], &password));
        }
    }
    let Some(given) = Given::read(header) else {
        return;
    };
    assert!(given.count > 0);
    for part in [&given.raw_name, &given.realm, &given.nonce, &given.uri] {
        let odd = part.contains(['"', '\\']) || header.contains(['\\', '*']);
        assert!(odd || header.contains(part.as_str()), "{part} in {header}");
    }
    assert!(given.raw_name.ends_with(given.short_name()) && !given.short_name().contains('\\'));
    assert!(auth.nonces.read(&auth.key, &given.nonce).is_none());
    for user in [None, Some(0)] {
        assert!(!auth.proves(user, &given, &Method::GET), "{header}");
    }
    // A path is for itself; what stands after a host is not looked at here.
    let path = given.uri.starts_with('/') && !given.uri.starts_with("//") && !given.uri.contains('#');
    if let Ok(uri) = given.uri.parse::<Uri>()
        && path
    {
        assert!(given.is_for(&uri), "{}", given.uri);
    }
}

/// What the owner sends is read as it was sent and is right; with another password, method, count or path it is not.
fn owner(auth: &Auth, secret: &str, fields: &str) {
    let mut lines = fields.lines();
    let mut line = || lines.next().unwrap_or_default();
    let (uri, cnonce, algorithm) = (line(), line(), line());
    if [uri, cnonce].iter().any(|text| text.contains(char::is_control)) {
        return;
    }
    let algorithm = if algorithm.is_empty() {
        Algorithm::Md5
    } else {
        Algorithm::Sha256
    };
    let nonce = auth.nonces.issue(&auth.key);
    let header = |secret: &str, method: &str, counted: &str| {
        let ha1 = algorithm.ha1(NAME, REALM, &secret.into());
        let ha2 = algorithm.hash(&format!("{method}:{uri}"));
        let text = format!("{}:{nonce}:{counted}:{cnonce}:auth:{ha2}", ha1.expose_secret());
        let quoted = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"");
        format!(
            "Digest username=\"{NAME}\", realm=\"{REALM}\", nonce=\"{nonce}\", uri=\"{}\", cnonce=\"{}\", nc=00000001, \
             qop=auth, algorithm={}, response=\"{}\"",
            quoted(uri),
            quoted(cnonce),
            algorithm.name(),
            algorithm.hash(&text)
        )
    };
    let given = Given::read(&header(secret, "GET", "00000001")).unwrap();
    assert_eq!(
        (given.uri.as_str(), given.name.as_str(), given.count),
        (uri, NAME, 1)
    );
    assert!(auth.nonces.read(&auth.key, &given.nonce).is_some());
    assert!(auth.is_at_once(&auth.users[0], secret));
    // A hash serves its own algorithm alone.
    let serves = auth.users[0].password.serves(algorithm);
    assert_eq!(auth.proves(Some(0), &given, &Method::GET), serves);
    assert!(!auth.proves(None, &given, &Method::GET));
    assert!(!auth.proves(Some(0), &given, &Method::PUT));
    for (secret, method, counted) in [
        ("another", "GET", "00000001"),
        (secret, "PUT", "00000001"),
        (secret, "GET", "00000002"),
    ] {
        let given = Given::read(&header(secret, method, counted)).unwrap();
        assert!(
            !auth.proves(Some(0), &given, &Method::GET),
            "{secret} {method} {counted}"
        );
    }
}

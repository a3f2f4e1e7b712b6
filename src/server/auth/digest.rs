//! Digest (RFC 7616): what a client says in `Authorization: Digest …`, and what it must say.

use http::{Method, Uri};
use secrecy::{ExposeSecret, SecretString};

use crate::config::Algorithm;
use crate::tree::TreePath;

/// A client's answer to a challenge.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Given {
    /// The user's name, unquoted.
    pub(super) name: String,
    /// The same as it stood between the quotes: Windows does not double the backslash of `DOMAIN\user`.
    pub(super) raw_name: String,
    pub(super) realm: String,
    pub(super) nonce: String,
    pub(super) uri: String,
    /// How often the nonce was used, as a number.
    pub(super) count: u32,
    pub(super) algorithm: Algorithm,
    /// The count as written: it is hashed so.
    nc: String,
    cnonce: String,
    response: String,
}

impl Given {
    /// Reads an `Authorization` value. `None` for other schemes, and for what has no `qop=auth` (there would be no count,
    /// so a replay could not be told), a session hash (`-sess`), a hashed name, or is not understood.
    pub(super) fn read(header: &str) -> Option<Self> {
        let (scheme, rest) = header.split_once(' ')?;
        if !scheme.eq_ignore_ascii_case("digest") {
            return None;
        }
        let fields = fields(rest)?;
        let text = |name: &str| {
            let field = fields.iter().find(|field| field.name == name);
            field.map(|field| field.text.clone())
        };
        let is = |name, wanted: &str| text(name).is_none_or(|text| text.eq_ignore_ascii_case(wanted));
        if !is("qop", "auth") || !is("userhash", "false") {
            return None;
        }
        let algorithm = match text("algorithm") {
            None => Algorithm::Md5,
            Some(name) => Algorithm::ALL
                .into_iter()
                .find(|algorithm| algorithm.name().eq_ignore_ascii_case(&name))?,
        };
        let (name, raw_name) = match fields.iter().find(|field| field.name == "username") {
            Some(field) => (field.text.clone(), field.raw.to_owned()),
            None => {
                let name = extended(&text("username*")?)?;
                (name.clone(), name)
            }
        };
        text("qop")?;
        let nc = text("nc")?;
        let count = (nc.len() == 8)
            .then(|| u32::from_str_radix(&nc, 16).ok())
            .flatten()
            .filter(|count| *count > 0)?;
        Some(Self {
            name,
            raw_name,
            realm: text("realm")?,
            nonce: text("nonce")?,
            uri: text("uri")?,
            count,
            algorithm,
            nc,
            cnonce: text("cnonce")?,
            response: text("response")?.to_ascii_lowercase(),
        })
    }

    /// The name after the last backslash (webdav-clients W8).
    pub(super) fn short_name(&self) -> &str {
        self.raw_name.rsplit('\\').next().unwrap_or(&self.raw_name)
    }

    /// Whether the response is that of somebody who knows this `H(A1)` (RFC 7616 section 3.4.1).
    pub(super) fn is_by(&self, ha1: &SecretString, method: &Method) -> bool {
        let Self {
            nonce,
            nc,
            cnonce,
            uri,
            ..
        } = self;
        let ha2 = self.algorithm.hash(&format!("{method}:{uri}"));
        let wanted = self.algorithm.hash(&format!(
            "{}:{nonce}:{nc}:{cnonce}:auth:{ha2}",
            ha1.expose_secret()
        ));
        bool::from(subtle::ConstantTimeEq::ct_eq(
            wanted.as_bytes(),
            self.response.as_bytes(),
        ))
    }

    /// Whether `uri` is what the request is for; written in another way it still is.
    pub(super) fn is_for(&self, target: &Uri) -> bool {
        let given = match self.uri.split_once("://") {
            Some((scheme, rest)) if !scheme.contains('/') => rest.find('/').map_or("/", |at| &rest[at..]),
            _ => &self.uri,
        };
        let (path, query) = given.split_once('?').unwrap_or((given, ""));
        if query != target.query().unwrap_or_default() {
            return false;
        }
        path == target.path()
            || matches!(
                (TreePath::parse(path), TreePath::parse(target.path())),
                (Ok(given), Ok(asked)) if given == asked
            )
    }
}

struct Field<'a> {
    /// In lower case.
    name: String,
    /// Unquoted.
    text: String,
    /// As written, without the quotes around it.
    raw: &'a str,
}

/// `name=token, name="quoted string", …` (RFC 9110 11.2). `None` where it is not understood or a name is there twice.
fn fields(mut rest: &str) -> Option<Vec<Field<'_>>> {
    let mut fields: Vec<Field<'_>> = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            return Some(fields);
        }
        let (name, value) = rest.split_once('=')?;
        let name = name.trim().to_ascii_lowercase();
        let value = value.trim_start();
        let (raw, text, after) = match value.strip_prefix('"') {
            Some(quoted) => {
                let (raw, text) = unquote(quoted)?;
                (raw, text, &quoted[raw.len() + 1..])
            }
            None => {
                let end = value.find([',', ' ', '\t']).unwrap_or(value.len());
                let raw = &value[..end];
                (raw, raw.to_owned(), &value[end..])
            }
        };
        let after = after.trim_start();
        if name.is_empty() || fields.iter().any(|field| field.name == name) {
            return None;
        }
        if !after.is_empty() && !after.starts_with(',') {
            return None;
        }
        fields.push(Field { name, text, raw });
        rest = after;
    }
}

/// The text before the closing quote, as written and with its escapes taken away.
fn unquote(quoted: &str) -> Option<(&str, String)> {
    let mut text = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return Some((&quoted[..at], text)),
            '\\' => text.push(letters.next()?.1),
            _ => text.push(letter),
        }
    }
    None
}

/// `UTF-8''na%C3%AFve` (RFC 8187).
fn extended(text: &str) -> Option<String> {
    let mut parts = text.splitn(3, '\'');
    let charset = parts.next()?;
    let (_, encoded) = (parts.next()?, parts.next()?);
    if !charset.eq_ignore_ascii_case("utf-8") {
        return None;
    }
    let decoded = percent_encoding::percent_decode_str(encoded).decode_utf8();
    decoded.ok().map(std::borrow::Cow::into_owned)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// RFC 7616 section 3.9.1.
    fn example(algorithm: &str, response: &str) -> String {
        format!(
            "Digest username=\"Mufasa\",\n realm=\"http-auth@example.org\", uri=\"/dir/index.html\", \
             algorithm={algorithm}, nonce=\"7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v\", nc=00000001, \
             cnonce=\"f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ\", qop=auth, response=\"{response}\", \
             opaque=\"FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS\""
        )
    }

    #[test]
    fn the_examples_of_rfc_7616_are_right() {
        for (algorithm, response) in [
            ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
            (
                "SHA-256",
                "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
            ),
        ] {
            let given = Given::read(&example(algorithm, response)).unwrap();
            let ha1 = |password: &str| {
                given
                    .algorithm
                    .ha1("Mufasa", "http-auth@example.org", &password.into())
            };
            assert_eq!(given.algorithm.name(), algorithm);
            assert!(given.is_by(&ha1("Circle of Life"), &Method::GET));
            assert!(!given.is_by(&ha1("Circle of Life"), &Method::PUT));
            assert!(!given.is_by(&ha1("Circle of life"), &Method::GET));
            assert!(given.is_for(&"/dir/index.html".parse().unwrap()));
            assert!(!given.is_for(&"/dir/other.html".parse().unwrap()));
        }
    }

    #[test]
    fn what_is_not_understood_is_no_answer() {
        let right = example("MD5", "8ca523f5e9506fed4657c9700eebdbec");
        assert!(Given::read(&right).is_some());
        for (part, instead) in [
            ("Digest ", "Basic "),
            ("qop=auth", "qop=auth-int"),
            (" qop=auth,", ""),
            ("nc=00000001", "nc=0000000g"),
            ("nc=00000001", "nc=00000000"),
            ("nc=00000001", "nc=1"),
            ("algorithm=MD5", "algorithm=MD5-sess"),
            ("algorithm=MD5", "userhash=true"),
            ("algorithm=MD5", "nc=00000001"),
            ("username=\"Mufasa\"", "name=\"Mufasa\""),
            ("opaque=\"FQhe", "opaque=\"\"FQhe"),
            ("tdS\"", "tdS\\\""),
        ] {
            assert_ne!(right.replace(part, instead), right, "{part}");
            assert_eq!(
                Given::read(&right.replace(part, instead)),
                None,
                "{part} → {instead}"
            );
        }
    }

    #[test]
    fn names_come_quoted_with_a_domain_and_encoded() {
        let named = |name: &str| {
            let text =
                example("MD5", "8ca523f5e9506fed4657c9700eebdbec").replace("username=\"Mufasa\"", name);
            let given = Given::read(&text).unwrap();
            (given.name.clone(), given.short_name().to_owned())
        };
        let both = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(named(r#"username="PC\\me""#), both(r"PC\me", "me"));
        assert_eq!(named(r#"username="PC\me""#), both("PCme", "me"));
        assert_eq!(named(r#"username="a \"b\"""#).0, r#"a "b""#);
        assert_eq!(
            named("username*=UTF-8''J%C3%A4s%C3%B8n%20Doe"),
            both("Jäsøn Doe", "Jäsøn Doe")
        );
    }

    #[test]
    fn the_uri_may_be_written_in_another_way() {
        let is_for = |uri: &str, target: &str| {
            let text = example("MD5", "00").replace("/dir/index.html", uri);
            Given::read(&text).unwrap().is_for(&target.parse().unwrap())
        };
        assert!(is_for("http://nas.lan:8123/a%20b", "/a%20b"));
        assert!(is_for("/a b", "/a%20b"));
        assert!(is_for("/%e7%94%b5/", "/%E7%94%B5/"));
        assert!(is_for("/a?b=c", "/a?b=c"));
        assert!(!is_for("/a?b=c", "/a?b=d"));
        assert!(!is_for("/a", "/a/b"));
    }
}

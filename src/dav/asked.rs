//! What a PROPFIND asks for (RFC 4918 14.20): its body becomes an [`Asked`].
//!
//! The body is read once, event by event, with namespaces. A DTD is refused, so no entity can be declared
//! and nothing expands. Names that are not known to us are kept, without doubles and not more than
//! [`MAX_UNKNOWN`], because each answer must repeat them in its 404 block.

use quick_xml::escape::unescape;
use quick_xml::events::{BytesStart, Event};
use quick_xml::name::ResolveResult;
use quick_xml::reader::NsReader;

use super::property::{Property, Set};

/// The namespace of WebDAV itself.
pub const DAV: &str = "DAV:";
/// The namespace of ownCloud's properties, which rclone asks for checksums in.
pub const OWNCLOUD: &str = "http://owncloud.org/ns";
/// The namespace that the prefix `xml` is bound to for ever.
pub const XML: &str = "http://www.w3.org/XML/1998/namespace";

/// Unknown names that one request may ask for. Clients ask for a dozen or two at the most; each is written again
/// for every member of the folder.
const MAX_UNKNOWN: usize = 256;

/// What the answer holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Asked {
    /// Names and values, or names alone (`propname`).
    pub names_only: bool,
    /// Everything that `allprop` gives (without those that must be asked by name).
    pub all: bool,
    /// Properties of ours, asked by name.
    pub known: Set,
    /// Names that are none of ours.
    pub unknown: Vec<Name>,
}

/// A property's name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    /// Namespace; empty for a name in none.
    pub namespace: String,
    /// Local name: a valid `NCName`.
    pub local: String,
}

/// Why a body is not a PROPFIND's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// Not XML, or not well-formed.
    #[error("The body of the PROPFIND is not well-formed XML in UTF-8.")]
    NotXml,
    /// A document type declaration.
    #[error("The body of a PROPFIND must not hold a document type declaration.")]
    Dtd,
    /// A prefix that is not bound, or bound to nothing.
    #[error("The body of the PROPFIND uses a namespace prefix that it does not declare.")]
    Prefix,
    /// Another root, or none or several of the three kinds.
    #[error(
        "The body of a PROPFIND must be one DAV: propfind element with one of prop, allprop and propname in it."
    )]
    NotPropfind,
    /// More than [`MAX_UNKNOWN`] unknown names.
    #[error("The PROPFIND asks for too many unknown properties; ask for at most 256.")]
    TooMany,
}

impl Asked {
    /// All that `allprop` gives.
    pub fn all() -> Self {
        Self {
            all: true,
            ..Self::default()
        }
    }

    /// Parses the body of a PROPFIND; an empty one asks for `allprop` (RFC 4918 9.1).
    ///
    /// # Errors
    /// See [`Malformed`]; all of them are a 400.
    pub fn parse(body: &[u8]) -> Result<Self, Malformed> {
        let text = std::str::from_utf8(body).map_err(|_| Malformed::NotXml)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if text.trim_ascii().is_empty() {
            return Ok(Self::all());
        }
        Parser::default().run(text)
    }

    fn add(&mut self, name: Name) -> Result<(), Malformed> {
        if let Some(property) = Property::named(&name) {
            self.known.insert(property);
        } else if !self.unknown.contains(&name) {
            if self.unknown.len() == MAX_UNKNOWN {
                return Err(Malformed::TooMany);
            }
            self.unknown.push(name);
        }
        Ok(())
    }
}

/// The three kinds of request, as elements below `propfind`.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Prop,
    All,
    Names,
}

/// Which element of interest is open at depth 2.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Inside {
    #[default]
    Nothing,
    Prop,
    Include,
}

#[derive(Default)]
struct Parser {
    /// Elements open.
    depth: usize,
    /// The root has been seen.
    rooted: bool,
    inside: Inside,
    kind: Option<Kind>,
    prop: Asked,
    include: Asked,
}

impl Parser {
    fn run(mut self, text: &str) -> Result<Asked, Malformed> {
        let mut reader = NsReader::from_str(text);
        let config = reader.config_mut();
        config.enable_all_checks(true);
        config.expand_empty_elements = true;
        loop {
            let (namespace, event) = reader.read_resolved_event().map_err(|error| match error {
                quick_xml::Error::Namespace(_) => Malformed::Prefix,
                _ => Malformed::NotXml,
            })?;
            match event {
                Event::Start(element) => {
                    let name = name(&namespace, &element)?;
                    self.open(name)?;
                    self.depth += 1;
                }
                Event::End(_) => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 1 {
                        self.inside = Inside::Nothing;
                    }
                }
                Event::DocType(_) => return Err(Malformed::Dtd),
                Event::Text(text) if self.depth == 0 && !text.trim_ascii().is_empty() => {
                    return Err(Malformed::NotXml);
                }
                Event::CData(_) if self.depth == 0 => return Err(Malformed::NotXml),
                Event::GeneralRef(entity) => {
                    let predefined = matches!(&*entity, "amp" | "lt" | "gt" | "quot" | "apos");
                    let character = predefined || matches!(entity.resolve_char_ref(), Ok(Some(_)));
                    if self.depth == 0 || !character {
                        return Err(Malformed::NotXml);
                    }
                }
                Event::Eof => break,
                _ => {}
            }
        }
        if self.depth != 0 || !self.rooted {
            return Err(Malformed::NotXml);
        }
        Ok(match self.kind.ok_or(Malformed::NotPropfind)? {
            Kind::Prop => self.prop,
            Kind::All => Asked {
                all: true,
                ..self.include
            },
            Kind::Names => Asked {
                names_only: true,
                ..Asked::default()
            },
        })
    }

    /// An element begins. Elements that RFC 4918 does not know are passed over, as its section 17 wants.
    fn open(&mut self, name: Name) -> Result<(), Malformed> {
        let in_dav = name.namespace == DAV;
        match self.depth {
            0 if self.rooted => return Err(Malformed::NotXml),
            0 if in_dav && name.local == "propfind" => self.rooted = true,
            0 => return Err(Malformed::NotPropfind),
            1 if in_dav => {
                let kind = match name.local.as_str() {
                    "prop" => Kind::Prop,
                    "allprop" => Kind::All,
                    "propname" => Kind::Names,
                    "include" => {
                        self.inside = Inside::Include;
                        return Ok(());
                    }
                    _ => return Ok(()),
                };
                if self.kind.replace(kind).is_some() {
                    return Err(Malformed::NotPropfind);
                }
                if kind == Kind::Prop {
                    self.inside = Inside::Prop;
                }
            }
            2 => match self.inside {
                Inside::Prop => self.prop.add(name)?,
                Inside::Include => self.include.add(name)?,
                Inside::Nothing => {}
            },
            _ => {}
        }
        Ok(())
    }
}

/// The name of an element, with its attributes looked at for well-formedness.
fn name(namespace: &ResolveResult<'_>, element: &BytesStart<'_>) -> Result<Name, Malformed> {
    for attribute in element.attributes() {
        let attribute = attribute.map_err(|_| Malformed::NotXml)?;
        let (local, prefix) = attribute.key.decompose();
        let prefix = prefix.as_ref().map(AsRef::as_ref);
        if !is_ncname(local.as_ref()) || prefix.is_some_and(|prefix| !is_ncname(prefix)) {
            return Err(Malformed::NotXml);
        }
        if attribute.value.contains('<') || unescape(&attribute.value).is_err() {
            return Err(Malformed::NotXml);
        }
        // Namespaces in XML 1.0, 2.2: a prefix cannot be bound to nothing.
        if prefix == Some("xmlns") && attribute.value.is_empty() {
            return Err(Malformed::Prefix);
        }
    }
    let (local, prefix) = element.name().decompose();
    if !is_ncname(local.as_ref()) || prefix.is_some_and(|prefix| !is_ncname(prefix.as_ref())) {
        return Err(Malformed::NotXml);
    }
    let namespace = match namespace {
        ResolveResult::Bound(namespace) => unescape(namespace.as_ref())
            .map_err(|_| Malformed::NotXml)?
            .into_owned(),
        ResolveResult::Unbound => String::new(),
        ResolveResult::Unknown(_) => return Err(Malformed::Prefix),
    };
    Ok(Name {
        namespace,
        local: local.as_ref().to_owned(),
    })
}

/// Whether this is a name without a colon (Namespaces in XML 1.0, 3): it will be written into the answer.
fn is_ncname(name: &str) -> bool {
    let mut characters = name.chars();
    characters.next().is_some_and(begins_name) && characters.all(continues_name)
}

/// `NameStartChar` of XML 1.0 (fifth edition), 2.3, without the colon.
fn begins_name(c: char) -> bool {
    matches!(c,
        'A'..='Z' | '_' | 'a'..='z' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}'
        | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}'
        | '\u{FDF0}'..='\u{FFFD}' | '\u{10000}'..='\u{EFFFF}')
}

/// `NameChar` of the same.
fn continues_name(c: char) -> bool {
    begins_name(c)
        || matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(namespace: &str, local: &str) -> Name {
        Name {
            namespace: namespace.into(),
            local: local.into(),
        }
    }

    fn asked(known: &[Property], unknown: &[Name]) -> Asked {
        Asked {
            known: known.iter().copied().collect(),
            unknown: unknown.to_vec(),
            ..Asked::default()
        }
    }

    #[test]
    fn an_empty_body_asks_for_all_properties() {
        for body in ["", " \r\n", "\u{feff}"] {
            assert_eq!(Asked::parse(body.as_bytes()), Ok(Asked::all()), "{body:?}");
        }
    }

    #[test]
    fn each_form_of_the_request_is_understood() {
        use Property::*;
        let names = Asked {
            names_only: true,
            ..Asked::default()
        };
        let including = Asked {
            all: true,
            ..asked(&[QuotaUsed], &[name("DAV:", "source")])
        };
        for (body, wanted) in [
            (
                r#"<D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>"#,
                Asked::all(),
            ),
            (
                r#"<?xml version="1.0"?><!-- hi --><propfind xmlns="DAV:"><propname></propname></propfind>"#,
                names,
            ),
            (
                r#"<a:propfind xmlns:a="DAV:"><a:include><a:quota-used-bytes/><a:source/></a:include><a:allprop/></a:propfind>"#,
                including,
            ),
            (
                "<?xml version=\"1.0\" encoding=\"utf-8\"?>\r\n<propfind xmlns='DAV:'>\r\n<prop>\r\n<resourcetype>x<y/>&amp;</resourcetype><getetag/><getetag/></prop></propfind>\n",
                asked(&[ResourceType, Etag], &[]),
            ),
            (r#"<propfind xmlns="DAV:"><prop/></propfind>"#, asked(&[], &[])),
            (
                r#"<propfind xmlns="DAV:"><future x="1"><prop/></future><prop><displayname/></prop></propfind>"#,
                asked(&[DisplayName], &[]),
            ),
            (
                r#"<propfind xmlns="DAV:"><prop><displayname xmlns=""/><a:b xmlns:a="http://x/?a&amp;b"/><xml:lang/></prop></propfind>"#,
                asked(
                    &[],
                    &[
                        name("", "displayname"),
                        name("http://x/?a&b", "b"),
                        name(XML, "lang"),
                    ],
                ),
            ),
        ] {
            assert_eq!(Asked::parse(body.as_bytes()), Ok(wanted), "{body}");
        }
    }

    #[test]
    fn the_request_of_rclone_with_vendor_owncloud_is_understood() {
        use Property::*;
        let body = r#"<?xml version="1.0"?>
<d:propfind  xmlns:d="DAV:" xmlns:oc="http://owncloud.org/ns" xmlns:nc="http://nextcloud.org/ns">
 <d:prop>
  <d:displayname />
  <d:getlastmodified />
  <d:getcontentlength />
  <d:resourcetype />
  <d:getcontenttype />
  <oc:checksums />
  <oc:permissions />
 </d:prop>
</d:propfind>
"#;
        let known = [
            DisplayName,
            LastModified,
            ContentLength,
            ResourceType,
            ContentType,
            Checksums,
        ];
        assert_eq!(
            Asked::parse(body.as_bytes()),
            Ok(asked(&known, &[name(OWNCLOUD, "permissions")]))
        );
    }

    #[test]
    fn a_malformed_body_is_refused() {
        use Malformed::*;
        for (body, wanted) in [
            ("<foo>", NotPropfind),
            ("hello", NotXml),
            (r#"<D:propfind xmlns:D="DAV:"><D:allprop/>"#, NotXml),
            (r#"<D:propfind xmlns:D="DAV:"><D:allprop></D:propfind>"#, NotXml),
            (r#"<D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>x"#, NotXml),
            (
                r#"<D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind><a/>"#,
                NotXml,
            ),
            (r#"<D:propfind xmlns:D="DAV:"/>"#, NotPropfind),
            (
                r#"<D:propfind xmlns:D="DAV:"><D:allprop/><D:propname/></D:propfind>"#,
                NotPropfind,
            ),
            (r#"<propfind><allprop/></propfind>"#, NotPropfind),
            (
                r#"<D:propfind xmlns:D="DAV:"><D:prop><x:a/></D:prop></D:propfind>"#,
                Prefix,
            ),
            (
                r#"<D:propfind xmlns:D="DAV:"><D:prop><bar:foo xmlns:bar=""/></D:prop></D:propfind>"#,
                Prefix,
            ),
            (
                r#"<!DOCTYPE x [<!ENTITY a "b">]><D:propfind xmlns:D="DAV:"><D:allprop/></D:propfind>"#,
                Dtd,
            ),
            (
                r#"<D:propfind xmlns:D="DAV:"><D:prop><D:a>&b;</D:a></D:prop></D:propfind>"#,
                NotXml,
            ),
            (
                r#"<D:propfind xmlns:D="DAV:"><D:prop><D:1/></D:prop></D:propfind>"#,
                NotXml,
            ),
            (
                r#"<D:propfind xmlns:D="DAV:"><D:prop><D:a"b/></D:prop></D:propfind>"#,
                NotXml,
            ),
            (
                r#"<D:propfind xmlns:D="DAV:"><D:prop><D:a:b/></D:prop></D:propfind>"#,
                NotXml,
            ),
            (
                r#"<D:propfind xmlns:D="DAV:" xmlns:D="DAV:"><D:allprop/></D:propfind>"#,
                NotXml,
            ),
            (
                r#"<D:propfind xmlns:D="DAV:" a=b><D:allprop/></D:propfind>"#,
                NotXml,
            ),
        ] {
            assert_eq!(Asked::parse(body.as_bytes()), Err(wanted), "{body}");
        }
        assert_eq!(Asked::parse(b"\xff\xfe<\0"), Err(NotXml));
    }

    #[test]
    fn the_number_of_unknown_names_is_bounded() {
        let body = |count: usize| {
            let names: String = (0..count).map(|i| format!("<n{i}/>")).collect();
            format!(r#"<propfind xmlns="DAV:"><prop>{names}</prop></propfind>"#)
        };
        assert_eq!(
            Asked::parse(body(MAX_UNKNOWN).as_bytes()).unwrap().unknown.len(),
            256
        );
        assert_eq!(
            Asked::parse(body(MAX_UNKNOWN + 1).as_bytes()),
            Err(Malformed::TooMany)
        );
    }

    proptest! {
        #[test]
        fn no_bytes_panic(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Asked::parse(&body);
        }

        #[test]
        fn no_markup_panics(parts in proptest::collection::vec(prop_oneof![
            Just("<D:propfind xmlns:D=\"DAV:\">"), Just("</D:propfind>"), Just("<D:prop>"), Just("</D:prop>"),
            Just("<D:getetag/>"), Just("<a:b xmlns:a='x'>"), Just("</a:b>"), Just("<![CDATA["), Just("]]>"),
            Just("<!--"), Just("-->"), Just("<?pi"), Just("?>"), Just("&"), Just("&#0;"), Just("&#x110000;"),
            Just("<"), Just(">"), Just("\""), Just(":"), Just("x"), Just("<!DOCTYPE"), Just("=")
        ], 0..30)) {
            let _ = Asked::parse(parts.concat().as_bytes());
        }
    }
}

//! The writer of 207 bodies (RFC 4918 13), pure: rows in, bytes out.
//!
//! Clients read this XML with parsers of all ages, so it has one shape: the prefix `D:` is bound to `DAV:`
//! on every element, nothing is the default namespace, no white space stands between elements (A5), a
//! collection's href ends in a slash, the status is exactly `HTTP/1.1 200 OK` and comes first (A7). Prefixes of other
//! namespaces are declared once, at the root. Everything that is the same for each row is rendered before the first.

use bytes::{BufMut, Bytes, BytesMut};

use super::agent::Agent;
use super::asked::{Asked, DAV, Name, OWNCLOUD, XML};
use super::encode::{href_segment, text};
use super::extras::Extras;
use super::frames::Render;
use super::property::{Property, Row, Set, Values};
use crate::drive::{Entry, Quota};
use crate::tree::{DeadProperty, PropertyName};

/// Writes one multistatus.
#[derive(Debug)]
pub struct Multistatus {
    /// The root's start tag with its declarations.
    head: Bytes,
    /// Percent-encoded URL path of the resource; ends in `/` for a folder.
    href: Bytes,
    /// Names alone.
    names_only: bool,
    /// Properties to give where they are there.
    given: Set,
    /// Properties whose absence is said, because they were asked by name.
    missed: Set,
    /// The unknown names, each with its empty element.
    unknown: Vec<(Name, Bytes)>,
    /// All of these elements.
    unknown_names: Bytes,
    /// `allprop`
    all: bool,
    values: Values,
    extras: Option<Extras>,
}

impl Multistatus {
    /// A writer for a resource at `href` and its members.
    ///
    /// `extras` has the dead properties and locks, where there may be some.
    pub fn new(asked: &Asked, agent: Agent, href: &str, extras: Option<Extras>) -> Self {
        let given = match asked {
            Asked { names_only: true, .. } => Set::default(),
            Asked { all: true, known, .. } => known.or(agent.all()),
            Asked { known, .. } => *known,
        };
        let mut head = BytesMut::with_capacity(256);
        head.put_slice(br#"<?xml version="1.0" encoding="utf-8"?><D:multistatus xmlns:D="DAV:""#);
        let mut names = Vec::new();
        let mut declared: Vec<&str> = Vec::new();
        let in_owncloud = asked.unknown.iter().any(|name| name.namespace == OWNCLOUD);
        if asked.names_only || given.contains(Property::Checksums) || in_owncloud {
            declare(b"oc", OWNCLOUD, &mut head);
        }
        for name in &asked.unknown {
            let Name { namespace, local } = name;
            let mut unknown = BytesMut::new();
            unknown.put_u8(b'<');
            match namespace.as_str() {
                "" => {}
                DAV => unknown.put_slice(b"D:"),
                OWNCLOUD => unknown.put_slice(b"oc:"),
                XML => unknown.put_slice(b"xml:"),
                other => {
                    let at = declared
                        .iter()
                        .position(|known| *known == other)
                        .unwrap_or_else(|| {
                            let at = declared.len();
                            declare(format!("n{at}").as_bytes(), other, &mut head);
                            declared.push(other);
                            at
                        });
                    unknown.put_slice(format!("n{at}:").as_bytes());
                }
            }
            unknown.put_slice(local.as_bytes());
            unknown.put_slice(b"/>");
            names.push((name.clone(), unknown.freeze()));
        }
        head.put_u8(b'>');
        Self {
            head: head.freeze(),
            href: Bytes::copy_from_slice(href.as_bytes()),
            names_only: asked.names_only,
            given,
            missed: asked.known,
            unknown_names: names
                .iter()
                .flat_map(|(_, element)| element.iter().copied())
                .collect(),
            unknown: names,
            all: asked.all,
            values: Values::new(agent),
            extras,
        }
    }

    /// Appends everything up to the members: the start and the response of the resource itself.
    pub fn begin(&mut self, entry: &Entry, name: &str, quota: Option<Quota>, out: &mut BytesMut) {
        out.extend_from_slice(&self.head);
        out.extend_from_slice(b"<D:response><D:href>");
        out.extend_from_slice(&self.href);
        let locks = self
            .extras
            .as_ref()
            .map(|extras| extras.locks(None))
            .unwrap_or_default();
        self.propstats(
            &Row {
                entry,
                name,
                quota,
                locks: &locks,
            },
            out,
        );
    }

    fn propstats(&mut self, row: &Row<'_>, out: &mut BytesMut) {
        let there = row.properties();
        let (given, missed) = (self.given.and(there), self.missed.without(there));
        let dead = self
            .extras
            .as_ref()
            .map(|extras| extras.dead(row.entry))
            .unwrap_or_default();
        let (found, lacking) = if dead.is_empty() {
            (Vec::new(), None)
        } else {
            self.among(&dead)
        };
        let lacking = lacking.as_ref().unwrap_or(&self.unknown_names);
        let all_there = missed.is_empty() && lacking.is_empty();
        let nothing = given.is_empty() && found.is_empty();
        if self.names_only {
            out.extend_from_slice(b"</D:href><D:propstat><D:prop>");
            there.names(out);
            for property in &dead {
                dead_name(&property.name, out);
            }
        } else if nothing && !all_there {
            out.extend_from_slice(b"</D:href>");
        } else {
            out.extend_from_slice(b"</D:href><D:propstat><D:prop>");
            self.values.write(given, row, out);
            for property in found {
                out.extend_from_slice(&property.xml);
            }
        }
        if self.names_only || !nothing || all_there {
            out.extend_from_slice(b"</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>");
        }
        if !all_there {
            out.extend_from_slice(b"<D:propstat><D:prop>");
            missed.names(out);
            out.extend_from_slice(lacking);
            out.extend_from_slice(b"</D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat>");
        }
        out.extend_from_slice(b"</D:response>");
    }

    /// The dead properties that the answer gives, and the unknown names that are not among them.
    fn among<'a>(&self, dead: &'a [DeadProperty]) -> (Vec<&'a DeadProperty>, Option<Bytes>) {
        let is = |property: &DeadProperty, name: &Name| {
            property.name.0 == name.namespace && property.name.1 == name.local
        };
        let asked =
            |property: &&DeadProperty| self.all || self.unknown.iter().any(|(name, _)| is(property, name));
        let lacking = self
            .unknown
            .iter()
            .filter(|(name, _)| !dead.iter().any(|property| is(property, name)));
        let lacking = lacking.flat_map(|(_, element)| element.iter().copied()).collect();
        (dead.iter().filter(asked).collect(), Some(lacking))
    }
}

/// The name of a dead property as an empty element, with its own declaration.
fn dead_name((namespace, local): &PropertyName, out: &mut BytesMut) {
    if namespace.is_empty() {
        out.extend_from_slice(format!("<{local}/>").as_bytes());
        return;
    }
    out.extend_from_slice(format!("<x:{local} xmlns:x=\"").as_bytes());
    text(namespace, out);
    out.extend_from_slice(b"\"/>");
}

impl Render for Multistatus {
    fn row(&mut self, entry: &Entry, out: &mut BytesMut) {
        out.extend_from_slice(b"<D:response><D:href>");
        out.extend_from_slice(&self.href);
        href_segment(&entry.name, out);
        if entry.is_folder() {
            out.extend_from_slice(b"/");
        }
        let locks = self
            .extras
            .as_ref()
            .map(|extras| extras.locks(Some(&entry.name)))
            .unwrap_or_default();
        let row = Row {
            entry,
            name: &entry.name,
            quota: None,
            locks: &locks,
        };
        self.propstats(&row, out);
    }

    fn end(&mut self, out: &mut BytesMut) {
        out.extend_from_slice(b"</D:multistatus>");
    }
}

fn declare(prefix: &[u8], namespace: &str, out: &mut BytesMut) {
    out.put_slice(b" xmlns:");
    out.put_slice(prefix);
    out.put_slice(b"=\"");
    text(namespace, out);
    out.put_u8(b'"');
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::dav::frames::tests::file;
    use crate::drive::{Id, Kind};
    use proptest::prelude::*;

    fn folder(name: &str) -> Entry {
        Entry {
            id: Id(2),
            kind: Kind::Folder,
            size: None,
            modified: 0,
            created: 0,
            md5: None,
            ..file(name.into())
        }
    }

    fn asked(names: &str) -> Asked {
        Asked::parse(
            format!(
                r#"<D:propfind xmlns:D="DAV:" xmlns:oc="http://owncloud.org/ns"><D:prop>{names}</D:prop></D:propfind>"#
            )
            .as_bytes(),
        )
        .unwrap()
    }

    fn microsoft() -> Agent {
        let mut headers = http::HeaderMap::new();
        headers.insert(
            "user-agent",
            "Microsoft-WebDAV-MiniRedir/10.0.19045".parse().unwrap(),
        );
        Agent::of(&headers)
    }

    /// The whole document: the folder `/dav/f/` and these members.
    fn document(asked: &Asked, agent: Agent, quota: Option<Quota>, members: &[Entry]) -> String {
        let mut out = BytesMut::new();
        let mut multistatus = Multistatus::new(asked, agent, "/dav/f/", None);
        multistatus.begin(&folder("f"), "f", quota, &mut out);
        for member in members {
            multistatus.row(member, &mut out);
        }
        multistatus.end(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn the_answer_to_rclone_is_this_text() {
        let asked = asked(
            "<D:displayname/><D:getlastmodified/><D:getcontentlength/><D:resourcetype/><D:getcontenttype/>\
             <oc:checksums/><oc:permissions/>",
        );
        let members = [file("a & b#1.mkv".into()), folder("电影")];
        assert_eq!(
            document(&asked, Agent::default(), None, &members),
            concat!(
                r#"<?xml version="1.0" encoding="utf-8"?>"#,
                r#"<D:multistatus xmlns:D="DAV:" xmlns:oc="http://owncloud.org/ns">"#,
                "<D:response><D:href>/dav/f/</D:href><D:propstat><D:prop>",
                "<D:resourcetype><D:collection/></D:resourcetype><D:displayname>f</D:displayname>",
                "</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat><D:propstat><D:prop>",
                "<D:getcontentlength/><D:getlastmodified/><D:getcontenttype/><oc:checksums/><oc:permissions/>",
                "</D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat></D:response>",
                "<D:response><D:href>/dav/f/a%20%26%20b%231.mkv</D:href><D:propstat><D:prop>",
                "<D:resourcetype/><D:displayname>a &amp; b#1.mkv</D:displayname>",
                "<D:getcontentlength>5</D:getcontentlength>",
                "<D:getlastmodified>Sun, 06 Nov 1994 08:49:37 GMT</D:getlastmodified>",
                "<D:getcontenttype>video/x-matroska</D:getcontenttype>",
                "<oc:checksums><oc:checksum>MD5:07070707070707070707070707070707</oc:checksum></oc:checksums>",
                "</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat><D:propstat><D:prop><oc:permissions/>",
                "</D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat></D:response>",
                "<D:response><D:href>/dav/f/%E7%94%B5%E5%BD%B1/</D:href><D:propstat><D:prop>",
                "<D:resourcetype><D:collection/></D:resourcetype><D:displayname>电影</D:displayname>",
                "</D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat><D:propstat><D:prop>",
                "<D:getcontentlength/><D:getlastmodified/><D:getcontenttype/><oc:checksums/><oc:permissions/>",
                "</D:prop><D:status>HTTP/1.1 404 Not Found</D:status></D:propstat></D:response>",
                "</D:multistatus>",
            )
        );
    }

    #[test]
    fn allprop_leaves_out_what_is_not_there_and_what_must_be_asked_by_name() {
        let quota = Some(Quota {
            used: 1,
            total: Some(2),
        });
        let text = document(&Asked::all(), Agent::default(), quota, &[file("a".into())]);
        assert!(
            !text.contains("404") && !text.contains("quota") && !text.contains("checksum"),
            "{text}"
        );
        assert_eq!(text.matches("<D:supportedlock>").count(), 2);
        assert_eq!(text.matches("<D:lockdiscovery/>").count(), 2);
        assert!(text.contains("<D:creationdate>1994-11-06T08:49:37Z</D:creationdate>"));
        assert!(text.contains(r#"<D:getetag>"07070707070707070707070707070707"</D:getetag>"#));
    }

    #[test]
    fn propname_lists_the_names_that_exist() {
        let names = Asked {
            names_only: true,
            ..Asked::default()
        };
        let quota = Some(Quota { used: 1, total: None });
        let text = document(&names, Agent::default(), quota, &[file("a".into())]);
        let prop = |text: &str| {
            text.split("<D:prop>")
                .map(|part| part.split("</D:prop>").next().unwrap().to_owned())
                .skip(1)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            prop(&text),
            [
                "<D:resourcetype/><D:displayname/><D:supportedlock/><D:lockdiscovery/><D:quota-used-bytes/>",
                "<D:resourcetype/><D:displayname/><D:getcontentlength/><D:getlastmodified/><D:creationdate/>\
                 <D:getetag/><D:getcontenttype/><D:supportedlock/><D:lockdiscovery/><oc:checksums/>",
            ]
        );
        assert!(!text.contains("404"));
    }

    #[test]
    fn unknown_names_come_back_in_their_own_namespaces() {
        let asked = asked(
            r#"<x:a xmlns:x="urn:x?&amp;&lt;"/><y:b xmlns:y="urn:y"/><c/><x:d xmlns:x="urn:y"/><D:e/><xml:lang/><g xmlns=""/>"#,
        );
        let text = document(&asked, Agent::default(), None, &[]);
        let wanted = concat!(
            r#"<D:multistatus xmlns:D="DAV:" xmlns:n0="urn:x?&amp;&lt;" xmlns:n1="urn:y">"#,
            "<D:response><D:href>/dav/f/</D:href><D:propstat><D:prop>",
            "<n0:a/><n1:b/><c/><n1:d/><D:e/><xml:lang/><g/></D:prop>",
            "<D:status>HTTP/1.1 404 Not Found</D:status></D:propstat></D:response></D:multistatus>",
        );
        assert!(text.ends_with(wanted), "{text}");
        // What was asked in the answer's own words is the same question.
        let again = asked_again(&text);
        assert_eq!(again.unknown, asked.unknown);
    }

    /// Parses the names of an answer as if they were asked.
    fn asked_again(text: &str) -> Asked {
        let head = &text[text.find("<D:multistatus").unwrap()..];
        let declarations = &head["<D:multistatus".len()..head.find('>').unwrap()];
        let names = &text[text.find("<D:prop>").unwrap()..text.find("</D:prop>").unwrap()];
        Asked::parse(format!("<D:propfind{declarations}>{names}</D:prop></D:propfind>").as_bytes()).unwrap()
    }

    #[test]
    fn quota_is_told_of_the_folder_itself_where_it_is_known() {
        let asked = asked("<D:quota-available-bytes/><D:quota-used-bytes/>");
        let quota = Some(Quota {
            used: 30,
            total: Some(100),
        });
        let text = document(&asked, Agent::default(), quota, &[]);
        assert!(text.contains(
            "<D:quota-available-bytes>70</D:quota-available-bytes><D:quota-used-bytes>30</D:quota-used-bytes>"
        ));
        let text = document(&asked, Agent::default(), None, &[]);
        assert!(text.contains("<D:propstat><D:prop><D:quota-available-bytes/><D:quota-used-bytes/></D:prop><D:status>HTTP/1.1 404 Not Found"));
        assert!(!text.contains("200 OK"));
    }

    #[test]
    fn an_answer_is_never_without_a_propstat() {
        let text = document(&asked(""), Agent::default(), None, &[]);
        assert!(
            text.contains("<D:propstat><D:prop></D:prop><D:status>HTTP/1.1 200 OK</D:status></D:propstat>")
        );
    }

    #[test]
    fn explorer_gets_at_most_900_bytes_an_entry_even_with_long_chinese_names() {
        let name = "非常长的中文文件名".repeat(3) + ".第一季第十二集.mkv";
        let (one, two) = (file(name.clone()), [file(name.clone()), file(name)]);
        let bytes = |members: &[Entry]| document(&Asked::all(), microsoft(), None, members).len();
        let each = bytes(&two) - bytes(&[one]);
        assert!(each <= 900, "{each}");
        let short = [file("IMG_20240101_120000.jpg".into())];
        let each = bytes(&short) - bytes(&[]);
        assert!(each <= 600, "{each}");
    }

    proptest! {
        #[test]
        fn any_names_give_well_formed_xml_without_white_space_between_elements(
            names in proptest::collection::vec("[^/\0]{1,20}", 0..4), all in any::<bool>()
        ) {
            let asked = if all { Asked::all() } else { asked("<D:displayname/><oc:checksums/><x xmlns='urn:z'/>") };
            let members: Vec<_> = names.iter().map(|name| file(name.clone())).collect();
            let text = document(&asked, Agent::default(), None, &members);
            // Characters that XML cannot hold are left out: a name may be a blank beside them.
            let blank = |name: &String| name.chars().filter(|c| !c.is_control()).eq([' ']);
            prop_assert!(!text.contains("> <") || names.iter().any(blank));
            let mut reader = quick_xml::NsReader::from_str(&text);
            reader.config_mut().enable_all_checks(true);
            let mut responses = 0;
            loop {
                match reader.read_resolved_event().unwrap() {
                    (_, quick_xml::events::Event::Eof) => break,
                    (namespace, quick_xml::events::Event::Start(element) | quick_xml::events::Event::Empty(element)) => {
                        prop_assert!(matches!(namespace, quick_xml::name::ResolveResult::Bound(_)));
                        responses += usize::from(element.name().as_ref() == "D:response");
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(responses, names.len() + 1);
        }
    }
}

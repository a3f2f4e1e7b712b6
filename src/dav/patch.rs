//! PROPPATCH: which changes are made, and modification times that clients set. 123pan keeps neither, we do.
//!
//! dav-server refuses `DAV:lastmodified` and `DAV:getlastmodified` as live properties, and takes Explorer's
//! `Win32LastModifiedTime` without telling anybody. So these three are renamed before it sees the request, into a
//! namespace of ours that it takes for a dead property's, and get their names back in the answer. What it lets through
//! is looked at once more, before anything is stored: a request changes all or nothing (RFC 4918 9.2).

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use dav_server::fs::DavProp;
use http::StatusCode;
use xmltree::{Element, EmitterConfig, XMLNode};

use super::asked::{DAV, Name};
use super::property::Property;
use crate::date;
use crate::tree::PropertyName;

/// The namespaces that stand for `DAV:` and for Microsoft's while dav-server has the request.
const OURS: &str = "urn:dav123:time:dav";
const OURS_MICROSOFT: &str = "urn:dav123:time:microsoft";
const MICROSOFT: &str = "urn:schemas-microsoft-com:";

/// Renames the times in a PROPPATCH body; a body without them, or that cannot be read, is left as it is.
pub(super) fn rename(body: Bytes) -> Bytes {
    let text = String::from_utf8_lossy(&body);
    if !text.contains("lastmodified") && !text.contains("Win32LastModifiedTime") {
        return body;
    }
    let Ok(mut tree) = Element::parse(&*body) else {
        return body;
    };
    for property in elements(&mut tree).flat_map(elements).flat_map(elements) {
        let ours = match (property.namespace.as_deref(), property.name.as_str()) {
            (Some(DAV), "lastmodified" | "getlastmodified") => OURS,
            (Some(MICROSOFT), "Win32LastModifiedTime") => OURS_MICROSOFT,
            _ => continue,
        };
        property.namespace = Some(ours.to_owned());
        property.prefix = Some("time".to_owned());
        let mut names = property
            .namespaces
            .take()
            .unwrap_or_else(xmltree::Namespace::empty);
        names.force_put("time", ours);
        property.namespaces = Some(names);
    }
    let mut out = Vec::new();
    match tree.write_with_config(&mut out, EmitterConfig::new()) {
        Ok(()) => out.into(),
        Err(_) => body,
    }
}

fn elements(of: &mut Element) -> impl Iterator<Item = &mut Element> {
    of.children.iter_mut().filter_map(XMLNode::as_mut_element)
}

/// What a request changes, and what is answered when that is done.
#[derive(Debug, Default)]
pub(super) struct Plan {
    /// Dead properties that are set and removed.
    pub(super) dead: Vec<(PropertyName, Option<Vec<u8>>)>,
    /// The time to show.
    pub(super) modified: Option<SystemTime>,
    pub(super) answers: Vec<(StatusCode, DavProp)>,
}

/// Plans the changes (`true`: set, `false`: remove) that dav-server could not see to.
///
/// # Errors
/// Where one cannot be made: the answers that say so, and 424 of all others.
pub(super) fn plan(changes: Vec<(bool, DavProp)>) -> Result<Plan, Vec<(StatusCode, DavProp)>> {
    let mut plan = Plan::default();
    for (set, property) in changes {
        let status = match property.namespace.as_deref() {
            Some(OURS | OURS_MICROSOFT) => {
                let time = property.xml.as_deref().and_then(read);
                // Explorer has nothing to learn from a refusal of what it may set (W6).
                let lenient = property.namespace.as_deref() == Some(OURS_MICROSOFT);
                match time.filter(|_| set) {
                    Some(time) => plan.modified = Some(time),
                    None if set && !lenient => {
                        plan.answers.push((StatusCode::CONFLICT, real(property)));
                        continue;
                    }
                    None => {}
                }
                StatusCode::OK
            }
            _ if is_live(&property) => StatusCode::FORBIDDEN,
            _ => {
                let name = (
                    property.namespace.clone().unwrap_or_default(),
                    property.name.clone(),
                );
                let xml = property.xml.as_deref().filter(|_| set).map(element);
                plan.dead.push((name, xml));
                StatusCode::OK
            }
        };
        plan.answers.push((status, real(property)));
    }
    if plan.answers.iter().all(|(status, _)| *status == StatusCode::OK) {
        return Ok(plan);
    }
    let others = |status| match status {
        StatusCode::OK => StatusCode::FAILED_DEPENDENCY,
        status => status,
    };
    let refused = plan.answers.into_iter();
    Err(refused
        .map(|(status, property)| (others(status), property))
        .collect())
}

/// Properties that we give, and dav-server takes for dead ones: the name to show is always the last
/// segment of the URL (W14), and checksums are 123pan's.
fn is_live(property: &DavProp) -> bool {
    let name = Name {
        namespace: property.namespace.clone().unwrap_or_default(),
        local: property.name.clone(),
    };
    Property::named(&name).is_some()
}

/// The property under its own name, without a value.
fn real(property: DavProp) -> DavProp {
    let (namespace, prefix) = match property.namespace.as_deref() {
        Some(OURS) => (DAV, "D"),
        Some(OURS_MICROSOFT) => (MICROSOFT, "Z"),
        _ => {
            return DavProp {
                xml: None,
                ..property
            };
        }
    };
    DavProp {
        namespace: Some(namespace.to_owned()),
        prefix: Some(prefix.to_owned()),
        xml: None,
        ..property
    }
}

/// The time in an element.
fn read(xml: &[u8]) -> Option<SystemTime> {
    let element = Element::parse(xml).ok()?;
    time(element.get_text()?.trim())
}

/// An HTTP date (Explorer) or Unix seconds (rclone), fractions cut off; of the years 1970 to 9999.
fn time(text: &str) -> Option<SystemTime> {
    if let Ok(date) = httpdate::parse_http_date(text) {
        return Some(date);
    }
    let seconds = seconds(text)?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(u64::try_from(seconds).ok()?))
}

/// Unix seconds, fractions cut off, that a client can be shown again: after 1970, before the year 10000.
pub(super) fn seconds(text: &str) -> Option<i64> {
    let seconds: i64 = text.split('.').next()?.parse().ok()?;
    (seconds > 0 && date::is_known(seconds)).then_some(seconds)
}

/// The element without the XML declaration that dav-server puts before it.
fn element(xml: &[u8]) -> Vec<u8> {
    let declared = xml
        .starts_with(b"<?xml")
        .then(|| xml.windows(2).position(|two| two == b"?>"));
    let at = declared.flatten().map_or(0, |at| at + 2);
    xml.get(at..).unwrap_or_default().trim_ascii_start().to_vec()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_explorer_and_rclone_write_them() {
        let at = |seconds| Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        assert_eq!(time("Sun, 06 Nov 1994 08:49:37 GMT"), at(784_111_777));
        assert_eq!(time("784111777"), at(784_111_777));
        assert_eq!(time("784111777.5"), at(784_111_777));
        for none in ["yesterday", "", "-5", "0", "253402300800", "99999999999999999999"] {
            assert_eq!(time(none), None, "{none}");
        }
    }

    #[test]
    fn only_the_times_are_renamed() {
        let body = r#"<D:propertyupdate xmlns:D="DAV:" xmlns:Z="urn:schemas-microsoft-com:"><D:set><D:prop><D:lastmodified>5</D:lastmodified><Z:Win32LastModifiedTime>x</Z:Win32LastModifiedTime><Z:Win32FileAttributes>0</Z:Win32FileAttributes></D:prop></D:set></D:propertyupdate>"#;
        let renamed = String::from_utf8(rename(Bytes::from(body)).to_vec()).unwrap();
        assert!(
            renamed.contains(OURS) && renamed.contains(OURS_MICROSOFT),
            "{renamed}"
        );
        assert!(renamed.contains("Z:Win32FileAttributes"), "{renamed}");
        let untouched = Bytes::from_static(b"<D:propertyupdate xmlns:D=\"DAV:\"/>");
        assert_eq!(rename(untouched.clone()), untouched);
    }

    fn property(namespace: &str, name: &str, text: &str) -> DavProp {
        DavProp {
            name: name.into(),
            prefix: Some("x".into()),
            namespace: Some(namespace.into()),
            xml: Some(
                format!("<?xml version=\"1.0\"?> <x:{name} xmlns:x=\"{namespace}\">{text}</x:{name}>")
                    .into_bytes(),
            ),
        }
    }

    #[test]
    fn a_plan_has_all_changes() {
        let plan = plan(vec![
            (true, property("urn:x", "a", "v")),
            (false, property("urn:x", "b", "")),
            (true, property(OURS, "lastmodified", "5")),
            (true, property(OURS_MICROSOFT, "Win32LastModifiedTime", "rubbish")),
        ])
        .unwrap();
        let at = SystemTime::UNIX_EPOCH + Duration::from_secs(5);
        assert_eq!(plan.modified, Some(at));
        let a = Some(b"<x:a xmlns:x=\"urn:x\">v</x:a>".to_vec());
        let dead = [
            (("urn:x".into(), "a".into()), a),
            (("urn:x".into(), "b".into()), None),
        ];
        assert_eq!(plan.dead, dead);
        let answers: Vec<_> = plan
            .answers
            .iter()
            .map(|(status, p)| (status.as_u16(), p.namespace.as_deref()))
            .collect();
        assert_eq!(
            answers,
            [
                (200, Some("urn:x")),
                (200, Some("urn:x")),
                (200, Some(DAV)),
                (200, Some(MICROSOFT))
            ]
        );
    }

    #[test]
    fn one_change_that_cannot_be_made_stops_all() {
        for (bad, wanted) in [
            (property(OURS, "lastmodified", "yesterday"), 409),
            (property(DAV, "displayname", "x"), 403),
            (property("http://owncloud.org/ns", "checksums", "MD5:00"), 403),
        ] {
            let refused = plan(vec![(true, property("urn:x", "a", "v")), (true, bad)]).unwrap_err();
            let statuses: Vec<_> = refused.iter().map(|(status, _)| status.as_u16()).collect();
            assert_eq!(statuses, [424, wanted]);
        }
    }
}

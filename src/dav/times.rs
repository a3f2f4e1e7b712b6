//! Modification times that clients set by PROPPATCH. 123pan keeps none, we do.
//!
//! dav-server refuses `DAV:lastmodified` and `DAV:getlastmodified` as live properties, and takes Explorer's
//! `Win32LastModifiedTime` without telling anybody. So these three are renamed before it sees the request, into a
//! namespace of ours that it takes for a dead property's, and get their names back in the answer.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use dav_server::fs::DavProp;
use xmltree::{Element, EmitterConfig, XMLNode};

use super::asked::DAV;

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

/// Whether a property is one that was renamed.
pub(super) fn is_time(property: &DavProp) -> bool {
    matches!(property.namespace.as_deref(), Some(OURS | OURS_MICROSOFT))
}

/// The property under its own name, without a value, and the time that it sets.
pub(super) fn real(property: DavProp) -> (DavProp, Option<SystemTime>) {
    let microsoft = property.namespace.as_deref() == Some(OURS_MICROSOFT);
    let time = property.xml.as_deref().and_then(|xml| {
        let element = Element::parse(xml).ok()?;
        time(element.get_text()?.trim())
    });
    let (namespace, prefix) = if microsoft { (MICROSOFT, "Z") } else { (DAV, "D") };
    let real = DavProp {
        namespace: Some(namespace.to_owned()),
        prefix: Some(prefix.to_owned()),
        xml: None,
        ..property
    };
    (real, time)
}

/// An HTTP date (Explorer) or Unix seconds (rclone), fractions cut off.
fn time(text: &str) -> Option<SystemTime> {
    if let Ok(date) = httpdate::parse_http_date(text) {
        return Some(date);
    }
    let seconds: u64 = text.split('.').next()?.parse().ok()?;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
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
        assert_eq!(time("yesterday"), None);
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
}

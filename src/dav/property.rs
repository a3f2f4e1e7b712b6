//! Live properties: which an entry has, and their values as XML.
//!
//! A request's properties are a [`Set`] of bits, so that for each entry it takes a few `and`s to know what
//! is there and what is missing; [`Values`] then writes those that are there. Dead properties are among the
//! names of [`super::asked::Asked::unknown`].

use std::borrow::Cow;

use bytes::BytesMut;

use super::agent::Agent;
use super::asked::{DAV, Name, OWNCLOUD};
use super::encode::{decimal, md5, text};
use crate::date::{Dates, is_known};
use crate::drive::{Entry, Quota};
use crate::media_type;

/// A live property: RFC 4918 15, RFC 4331, ownCloud's checksums.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Property {
    /// `resourcetype`: `collection` for a folder, else empty.
    ResourceType,
    /// `displayname`: always the name, which is the last segment of the href (W14).
    DisplayName,
    /// `getcontentlength`: files whose size is known.
    ContentLength,
    /// `getlastmodified`: RFC 1123, GMT (A6).
    LastModified,
    /// `creationdate`: RFC 3339; RFC 1123 for Explorer (W13).
    CreationDate,
    /// `getetag`, with its quotes.
    Etag,
    /// `getcontenttype`: files, by name.
    ContentType,
    /// `supportedlock`
    SupportedLock,
    /// `lockdiscovery`: the locks that cover it.
    LockDiscovery,
    /// `quota-available-bytes`: folders, asked by name.
    QuotaAvailable,
    /// `quota-used-bytes`: folders, asked by name.
    QuotaUsed,
    /// `oc:checksums`: files whose MD5 is known, asked by name.
    Checksums,
}

use Property::*;

/// Every property with its name in the prefixes that the answer declares, in the order of the answer.
const NAMES: [(Property, &str); 12] = [
    (ResourceType, "D:resourcetype"),
    (DisplayName, "D:displayname"),
    (ContentLength, "D:getcontentlength"),
    (LastModified, "D:getlastmodified"),
    (CreationDate, "D:creationdate"),
    (Etag, "D:getetag"),
    (ContentType, "D:getcontenttype"),
    (SupportedLock, "D:supportedlock"),
    (LockDiscovery, "D:lockdiscovery"),
    (QuotaAvailable, "D:quota-available-bytes"),
    (QuotaUsed, "D:quota-used-bytes"),
    (Checksums, "oc:checksums"),
];

/// Exclusive and shared write locks (RFC 4918 15.10).
const SUPPORTED_LOCK: &[u8] = b"<D:supportedlock>\
<D:lockentry><D:lockscope><D:exclusive/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>\
<D:lockentry><D:lockscope><D:shared/></D:lockscope><D:locktype><D:write/></D:locktype></D:lockentry>\
</D:supportedlock>";

impl Property {
    /// The property of this name.
    pub fn named(name: &Name) -> Option<Self> {
        let prefix = match name.namespace.as_str() {
            DAV => "D:",
            OWNCLOUD => "oc:",
            _ => return None,
        };
        NAMES
            .iter()
            .find(|(_, known)| known.strip_prefix(prefix) == Some(&name.local))
            .map(|(property, _)| *property)
    }
}

/// A set of properties.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Set(u16);

impl Set {
    /// A set of these.
    pub const fn of(properties: &[Property]) -> Self {
        let mut bits = 0;
        let mut at = 0;
        while at < properties.len() {
            bits |= 1 << properties[at] as u8;
            at += 1;
        }
        Self(bits)
    }

    /// Adds one.
    pub fn insert(&mut self, property: Property) {
        self.0 |= 1 << property as u8;
    }

    /// Whether it is in.
    pub const fn contains(self, property: Property) -> bool {
        self.0 & (1 << property as u8) != 0
    }

    /// Those in both.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Those in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Those that are not in the other.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether there is none.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Appends each name as an empty element.
    pub fn names(self, out: &mut BytesMut) {
        for (property, name) in NAMES {
            if self.contains(property) {
                out.extend_from_slice(b"<");
                out.extend_from_slice(name.as_bytes());
                out.extend_from_slice(b"/>");
            }
        }
    }
}

impl FromIterator<Property> for Set {
    fn from_iter<I: IntoIterator<Item = Property>>(properties: I) -> Self {
        let mut set = Self::default();
        properties.into_iter().for_each(|property| set.insert(property));
        set
    }
}

/// One resource as its properties are taken from it.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// Its entry.
    pub entry: &'a Entry,
    /// Its name to show.
    pub name: &'a str,
    /// The quota of its mount, where it was asked and is known.
    pub quota: Option<Quota>,
    /// The `D:activelock` elements of its locks.
    pub locks: &'a [u8],
}

impl Row<'_> {
    /// The properties that this resource has.
    pub fn properties(&self) -> Set {
        const ALWAYS: Set = Set::of(&[ResourceType, DisplayName, SupportedLock, LockDiscovery]);
        let mut set = ALWAYS;
        if is_known(self.entry.modified) {
            set.insert(LastModified);
        }
        if is_known(self.entry.created) {
            set.insert(CreationDate);
        }
        if self.entry.is_folder() {
            if let Some(quota) = &self.quota {
                set.insert(QuotaUsed);
                if quota.total.is_some() {
                    set.insert(QuotaAvailable);
                }
            }
            return set;
        }
        set.insert(ContentType);
        if self.entry.size.is_some() {
            set.insert(ContentLength);
        }
        if self.entry.md5.is_some() {
            set.insert(Checksums);
        }
        if self.entry.size.is_some() || self.entry.md5.is_some() {
            set.insert(Etag);
        }
        set
    }
}

/// Writes values, and remembers what neighbours in a folder share: dates and media types.
#[derive(Debug, Default)]
pub struct Values {
    agent: Agent,
    dates: Dates,
    /// The last extension and its media type.
    media_type: (String, Cow<'static, str>),
}

impl Values {
    /// Values as this agent reads them.
    pub fn new(agent: Agent) -> Self {
        Self {
            agent,
            ..Self::default()
        }
    }

    /// Appends the elements of these properties, which the row must have.
    pub fn write(&mut self, which: Set, row: &Row<'_>, out: &mut BytesMut) {
        let entry = row.entry;
        if which.contains(ResourceType) {
            out.extend_from_slice(if entry.is_folder() {
                b"<D:resourcetype><D:collection/></D:resourcetype>"
            } else {
                b"<D:resourcetype/>"
            });
        }
        if which.contains(DisplayName) {
            out.extend_from_slice(b"<D:displayname>");
            text(row.name, out);
            out.extend_from_slice(b"</D:displayname>");
        }
        if let Some(size) = entry.size
            && which.contains(ContentLength)
        {
            out.extend_from_slice(b"<D:getcontentlength>");
            decimal(size, out);
            out.extend_from_slice(b"</D:getcontentlength>");
        }
        if which.contains(LastModified) {
            out.extend_from_slice(b"<D:getlastmodified>");
            self.dates.rfc1123(entry.modified, out);
            out.extend_from_slice(b"</D:getlastmodified>");
        }
        if which.contains(CreationDate) {
            out.extend_from_slice(b"<D:creationdate>");
            if self.agent.is_redirector() {
                self.dates.rfc1123(entry.created, out);
            } else {
                self.dates.rfc3339(entry.created, out);
            }
            out.extend_from_slice(b"</D:creationdate>");
        }
        if which.contains(Etag) {
            out.extend_from_slice(b"<D:getetag>");
            etag(entry, out);
            out.extend_from_slice(b"</D:getetag>");
        }
        if which.contains(ContentType) {
            out.extend_from_slice(b"<D:getcontenttype>");
            self.media_type(&entry.name, out);
            out.extend_from_slice(b"</D:getcontenttype>");
        }
        if which.contains(SupportedLock) {
            out.extend_from_slice(SUPPORTED_LOCK);
        }
        if which.contains(LockDiscovery) {
            if row.locks.is_empty() {
                out.extend_from_slice(b"<D:lockdiscovery/>");
            } else {
                out.extend_from_slice(b"<D:lockdiscovery>");
                out.extend_from_slice(row.locks);
                out.extend_from_slice(b"</D:lockdiscovery>");
            }
        }
        if let Some(quota) = &row.quota {
            if let Some(available) = quota.available()
                && which.contains(QuotaAvailable)
            {
                out.extend_from_slice(b"<D:quota-available-bytes>");
                decimal(available, out);
                out.extend_from_slice(b"</D:quota-available-bytes>");
            }
            if which.contains(QuotaUsed) {
                out.extend_from_slice(b"<D:quota-used-bytes>");
                decimal(quota.used, out);
                out.extend_from_slice(b"</D:quota-used-bytes>");
            }
        }
        if let Some(sum) = &entry.md5
            && which.contains(Checksums)
        {
            out.extend_from_slice(b"<oc:checksums><oc:checksum>MD5:");
            md5(sum, out);
            out.extend_from_slice(b"</oc:checksum></oc:checksums>");
        }
    }

    fn media_type(&mut self, name: &str, out: &mut BytesMut) {
        let extension = media_type::extension(name).unwrap_or_default();
        let (last, known) = &mut self.media_type;
        if known.is_empty() || last != extension {
            *known = media_type::content_type(name);
            last.clear();
            last.push_str(extension);
        }
        text(known, out);
    }
}

/// The same as [`Entry::etag`], without a string for the usual case.
fn etag(entry: &Entry, out: &mut BytesMut) {
    if let Some(sum) = &entry.md5 {
        out.extend_from_slice(b"\"");
        md5(sum, out);
        out.extend_from_slice(b"\"");
    } else if let Some(tag) = entry.etag() {
        out.extend_from_slice(tag.as_bytes());
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::drive::{Id, Kind};

    pub(crate) fn file(name: &str) -> Entry {
        Entry {
            id: Id(7),
            name: name.into(),
            kind: Kind::File,
            size: Some(1_234),
            modified: 784_111_777,
            created: 951_782_400,
            md5: Some([0xAB; 16]),
            locator: "".into(),
        }
    }

    fn row(entry: &Entry) -> Row<'_> {
        Row {
            entry,
            name: &entry.name,
            locks: &[],
            quota: None,
        }
    }

    fn written(agent: Agent, which: Set, row: &Row<'_>) -> String {
        let mut out = BytesMut::new();
        Values::new(agent).write(which.and(row.properties()), row, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn agent(name: &str) -> Agent {
        let mut headers = http::HeaderMap::new();
        headers.insert(http::header::USER_AGENT, name.parse().unwrap());
        Agent::of(&headers)
    }

    #[test]
    fn every_property_is_found_by_its_name_and_stands_at_its_bit() {
        for (at, (property, name)) in NAMES.iter().enumerate() {
            let (prefix, local) = name.split_once(':').unwrap();
            let namespace = if prefix == "D" { DAV } else { OWNCLOUD };
            let name = |namespace: &str| Name {
                namespace: namespace.into(),
                local: local.into(),
            };
            assert_eq!(*property as usize, at);
            assert_eq!(Property::named(&name(namespace)), Some(*property));
            assert_eq!(Property::named(&name("urn:x")), None);
        }
    }

    #[test]
    fn a_file_tells_its_size_times_tag_and_type() {
        assert_eq!(
            written(Agent::default(), agent("Microsoft").all(), &row(&file("影片.mkv"))),
            "<D:resourcetype/><D:displayname>影片.mkv</D:displayname><D:getcontentlength>1234</D:getcontentlength>\
             <D:getlastmodified>Sun, 06 Nov 1994 08:49:37 GMT</D:getlastmodified>\
             <D:creationdate>2000-02-29T00:00:00Z</D:creationdate>\
             <D:getetag>&quot;</D:getetag>"
                .replace("&quot;", "\"abababababababababababababababab\"")
                + "<D:getcontenttype>video/x-matroska</D:getcontenttype>"
        );
    }

    #[test]
    fn explorer_reads_creation_dates_of_rfc_1123_and_nobody_else_does() {
        let entry = file("a");
        let which = Set::of(&[CreationDate]);
        let explorer = agent("Microsoft-WebDAV-MiniRedir/10.0.19045");
        assert_eq!(
            written(explorer, which, &row(&entry)),
            "<D:creationdate>Tue, 29 Feb 2000 00:00:00 GMT</D:creationdate>"
        );
        assert_eq!(
            written(agent("Microsoft Office Existence Discovery"), which, &row(&entry)),
            "<D:creationdate>2000-02-29T00:00:00Z</D:creationdate>"
        );
    }

    #[test]
    fn what_is_not_known_is_not_said() {
        let mut entry = file("a");
        (entry.size, entry.md5, entry.modified, entry.created) = (None, None, 0, i64::MAX);
        let set = Set::of(&[
            ResourceType,
            DisplayName,
            ContentType,
            SupportedLock,
            LockDiscovery,
        ]);
        assert_eq!(row(&entry).properties(), set);
        entry.kind = Kind::Folder;
        let set = Set::of(&[ResourceType, DisplayName, SupportedLock, LockDiscovery]);
        assert_eq!(row(&entry).properties(), set);
        let quota = |total| Row {
            quota: Some(Quota { used: 5, total }),
            ..row(&entry)
        };
        let both = Set::of(&[QuotaAvailable, QuotaUsed]);
        let used = "<D:quota-used-bytes>5</D:quota-used-bytes>";
        assert_eq!(written(Agent::default(), both, &quota(None)), used);
        assert_eq!(
            written(Agent::default(), both, &quota(Some(4))),
            format!("<D:quota-available-bytes>0</D:quota-available-bytes>{used}")
        );
    }

    #[test]
    fn the_tag_of_a_listing_is_the_tag_of_a_get() {
        for (md5, size) in [(Some([0x0F; 16]), Some(1)), (None, Some(255)), (None, None)] {
            let entry = Entry {
                md5,
                size,
                ..file("a")
            };
            let mut out = BytesMut::new();
            etag(&entry, &mut out);
            assert_eq!(out, entry.etag().unwrap_or_default().as_bytes());
        }
    }

    #[test]
    fn a_remembered_media_type_is_not_given_to_another_extension() {
        let mut values = Values::default();
        let mut out = BytesMut::new();
        for name in ["README", "a.png", "b.png", "c.jpg", "README", "d.jpg"] {
            values.media_type(name, &mut out);
            out.extend_from_slice(b" ");
        }
        assert_eq!(
            String::from_utf8_lossy(&out),
            "application/octet-stream image/png image/png image/jpeg application/octet-stream image/jpeg "
        );
    }
}

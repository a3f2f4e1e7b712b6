//! The dead properties of one resource, and how they stand in their row: length-prefixed namespace, name and XML.

use super::Name;

/// Dead properties in the order in which they were set first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Properties(Vec<(Name, Vec<u8>)>);

impl Properties {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn all(&self) -> Vec<(Name, Vec<u8>)> {
        self.0.clone()
    }

    /// Sets one, or removes it.
    pub(super) fn set(&mut self, name: Name, xml: Option<Vec<u8>>) {
        let at = self.0.iter().position(|(known, _)| *known == name);
        match (at, xml) {
            (Some(at), Some(xml)) => {
                if let Some(row) = self.0.get_mut(at) {
                    row.1 = xml;
                }
            }
            (Some(at), None) => drop(self.0.remove(at)),
            (None, Some(xml)) => self.0.push((name, xml)),
            (None, None) => {}
        }
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for ((space, name), xml) in &self.0 {
            for part in [space.as_bytes(), name.as_bytes(), xml] {
                out.extend_from_slice(&(part.len() as u32).to_le_bytes());
                out.extend_from_slice(part);
            }
        }
        out
    }

    /// `None` where the bytes are not a row.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let mut rows = Vec::new();
        while !bytes.is_empty() {
            let mut part = || {
                let (length, rest) = bytes.split_first_chunk::<4>()?;
                let (part, rest) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
                bytes = rest;
                Some(part.to_vec())
            };
            let (space, name, xml) = (part()?, part()?, part()?);
            rows.push((
                (String::from_utf8(space).ok()?, String::from_utf8(name).ok()?),
                xml,
            ));
        }
        Some(Self(rows))
    }
}

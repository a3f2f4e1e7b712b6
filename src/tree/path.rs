//! Paths of the tree: decoded, normal, safe. The only parser of URL paths.
//!
//! A [`TreePath`] is a list of decoded UTF-8 segments, none of them empty, `.`, `..`, or holding `/` or
//! NUL. It is made by [`TreePath::parse`] from a URL path, by [`TreePath::from_decoded`] from the
//! configuration, or by [`TreePath::child`]; after that nobody checks again. Comparison is byte-exact: no
//! case folding, no Unicode normalisation (API page, question 9).

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

/// Everything but the unreserved characters of RFC 3986 2.3 is escaped in an href.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Bytes of a decoded path at the most; clients' own limits are far lower.
const MAX_BYTES: usize = 16 * 1024;

/// A path inside the tree. The root has no segments.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct TreePath {
    /// Decoded segments joined by `/`, no slash at either end; empty for the root.
    joined: String,
}

/// Why a URL path is not a path of the tree.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// The decoded bytes are not UTF-8.
    #[error("The path is not valid UTF-8.")]
    NotUtf8,
    /// A segment holds an encoded slash or NUL.
    #[error("A name cannot hold a slash or a NUL character.")]
    BadSegment,
    /// `..` leads above the root.
    #[error("The path leads out of the tree.")]
    AboveRoot,
    /// Longer than any name 123pan can hold.
    #[error("The path is too long.")]
    TooLong,
}

impl TreePath {
    /// The root of the tree.
    pub fn root() -> Self {
        Self::default()
    }

    /// Parses a percent-encoded URL path. Empty and `.` segments are dropped, `..` goes up.
    ///
    /// # Errors
    /// See [`PathError`].
    pub fn parse(encoded: &str) -> Result<Self, PathError> {
        if encoded.len() > 3 * MAX_BYTES {
            return Err(PathError::TooLong);
        }
        if let Some(plain) = plain(encoded) {
            return Ok(Self {
                joined: plain.to_owned(),
            });
        }
        Self::step_by_step(encoded)
    }

    fn step_by_step(encoded: &str) -> Result<Self, PathError> {
        let mut path = Self {
            joined: String::with_capacity(encoded.len()),
        };
        for raw in encoded.split('/') {
            let segment = match raw.contains('%') {
                true => percent_decode_str(raw)
                    .decode_utf8()
                    .map_err(|_| PathError::NotUtf8)?,
                false => Cow::Borrowed(raw),
            };
            path.step(&segment)?;
        }
        Ok(path)
    }

    /// Takes a decoded path, as it stands in the configuration.
    ///
    /// # Errors
    /// See [`PathError`].
    pub fn from_decoded(decoded: &str) -> Result<Self, PathError> {
        let mut path = Self::root();
        for segment in decoded.split('/') {
            path.step(segment)?;
        }
        Ok(path)
    }

    /// In place: a path of thousands of segments is not copied for each of them.
    fn step(&mut self, segment: &str) -> Result<(), PathError> {
        match segment {
            "" | "." => {}
            ".." if self.is_root() => return Err(PathError::AboveRoot),
            ".." => self.joined.truncate(self.joined.rfind('/').unwrap_or(0)),
            name if name.bytes().any(|byte| matches!(byte, b'/' | 0)) => return Err(PathError::BadSegment),
            name => {
                if self.joined.len() + name.len() + 1 > MAX_BYTES {
                    return Err(PathError::TooLong);
                }
                if !self.is_root() {
                    self.joined.push('/');
                }
                self.joined.push_str(name);
            }
        }
        Ok(())
    }

    /// This path with one more segment, which must be an entry's name.
    #[must_use]
    pub fn child(&self, name: &str) -> Self {
        let mut joined = String::with_capacity(self.joined.len() + name.len() + 1);
        joined.push_str(&self.joined);
        if !joined.is_empty() {
            joined.push('/');
        }
        joined.push_str(name);
        Self { joined }
    }

    /// This path with all segments of another one behind it.
    #[must_use]
    pub fn join(&self, below: &Self) -> Self {
        if below.is_root() {
            self.clone()
        } else {
            self.child(&below.joined)
        }
    }

    /// What is left of this path, which is not needed any more, below `base`.
    ///
    /// # Errors
    /// The path itself.
    pub fn into_below(self, base: &Self) -> Result<Self, Self> {
        if base.is_root() {
            return Ok(self);
        }
        self.below(base).ok_or(self)
    }

    /// This path, which is not needed any more, below another one.
    #[must_use]
    pub fn under(self, base: &Self) -> Self {
        if base.is_root() { self } else { base.join(&self) }
    }

    /// The path without its last segment; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.is_root() {
            return None;
        }
        let cut = self.joined.rfind('/').unwrap_or(0);
        Some(Self {
            joined: self.joined[..cut].to_owned(),
        })
    }

    /// The last segment; `None` for the root.
    pub fn name(&self) -> Option<&str> {
        if self.is_root() {
            None
        } else {
            self.joined.rsplit('/').next()
        }
    }

    /// Whether this is the root.
    pub fn is_root(&self) -> bool {
        self.joined.is_empty()
    }

    /// The segments from the root down.
    pub fn segments(&self) -> impl Iterator<Item = &str> {
        self.joined.split('/').filter(|s| !s.is_empty())
    }

    /// How many segments.
    pub fn depth(&self) -> usize {
        self.segments().count()
    }

    /// What is left of this path below `base`; `None` if it is not `base` or below it.
    pub fn below(&self, base: &Self) -> Option<Self> {
        if base.is_root() {
            return Some(self.clone());
        }
        let rest = self.joined.strip_prefix(&base.joined)?;
        match rest.strip_prefix('/') {
            Some(rest) => Some(Self {
                joined: rest.to_owned(),
            }),
            None if rest.is_empty() => Some(Self::root()),
            None => None,
        }
    }

    /// Appends the percent-encoded path, beginning with `/`, to `out`; the root is `/`.
    pub fn encode_to(&self, out: &mut String) {
        if self.is_root() {
            out.push('/');
        }
        for segment in self.segments() {
            out.push('/');
            encode_segment(segment, out);
        }
    }

    /// The percent-encoded path, beginning with `/`.
    pub fn encoded(&self) -> String {
        let mut out = String::with_capacity(self.joined.len() + 16);
        self.encode_to(&mut out);
        out
    }
}

/// Appends one percent-encoded segment to `out`.
pub fn encode_segment(segment: &str, out: &mut String) {
    out.extend(utf8_percent_encode(segment, SEGMENT));
}

/// What stands between the slashes at the ends of a path in which nothing is encoded, and no segment is empty or begins
/// with a dot. Of an absolute path that is not too long.
fn plain(encoded: &str) -> Option<&str> {
    let bytes = encoded
        .strip_prefix('/')
        .filter(|rest| rest.len() < MAX_BYTES)?
        .as_bytes();
    // Every byte is looked at, for then the processor takes many at once.
    let coded = bytes
        .iter()
        .fold(false, |coded, byte| coded | matches!(byte, b'%' | 0));
    let pairs = encoded.as_bytes().iter().zip(bytes);
    let odd = pairs.fold(false, |odd, (one, next)| {
        odd | ((*one == b'/') & matches!(next, b'/' | b'.'))
    });
    let whole = &encoded[1..];
    (!coded && !odd).then(|| whole.strip_suffix('/').unwrap_or(whole))
}

impl fmt::Display for TreePath {
    /// The decoded path, beginning with `/`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "/{}", self.joined)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_path_is_decoded_and_normal() {
        let path = TreePath::parse("//drive/./%E7%94%B5%E5%BD%B1/x/../a%20b%23.mkv/").unwrap();
        assert_eq!(path.to_string(), "/drive/电影/a b#.mkv");
        assert_eq!(path.encoded(), "/drive/%E7%94%B5%E5%BD%B1/a%20b%23.mkv");
        assert_eq!(path.name(), Some("a b#.mkv"));
        assert_eq!(path.parent().unwrap().to_string(), "/drive/电影");
        assert_eq!(path.depth(), 3);
    }

    #[test]
    fn a_path_cannot_leave_the_tree_or_hide_a_slash() {
        assert_eq!(TreePath::parse("/../x"), Err(PathError::AboveRoot));
        assert_eq!(TreePath::parse("/a/%2e%2e/%2E%2E/x"), Err(PathError::AboveRoot));
        assert_eq!(TreePath::parse("/a%2fb"), Err(PathError::BadSegment));
        assert_eq!(TreePath::parse("/a%00"), Err(PathError::BadSegment));
        assert_eq!(TreePath::parse("/%ff%fe"), Err(PathError::NotUtf8));
    }

    #[test]
    fn below_matches_whole_segments_only() {
        let base = TreePath::parse("/dav").unwrap();
        assert_eq!(TreePath::parse("/davfoo").unwrap().below(&base), None);
        assert_eq!(
            TreePath::parse("/dav").unwrap().below(&base),
            Some(TreePath::root())
        );
        assert_eq!(
            TreePath::parse("/dav/x/y")
                .unwrap()
                .below(&base)
                .unwrap()
                .to_string(),
            "/x/y"
        );
    }

    #[test]
    fn a_plain_path_is_as_long_as_any_other_may_be() {
        for length in MAX_BYTES - 3..MAX_BYTES + 3 {
            for path in [
                format!("/{}", "x".repeat(length)),
                format!("/a/{}", "x".repeat(length - 2)),
            ] {
                assert_eq!(TreePath::parse(&path), TreePath::step_by_step(&path), "{length}");
            }
        }
    }

    proptest! {
        #[test]
        fn a_plain_path_is_what_its_segments_are(raw in "[/a%.é\\x002]{0,9}", segments in "(/[a.é]{0,3}){0,4}/?") {
            for path in [raw, segments] {
                prop_assert_eq!(TreePath::parse(&path), TreePath::step_by_step(&path));
            }
        }

        #[test]
        fn any_path_survives_encoding(raw in "\\PC{0,40}") {
            if let Ok(path) = TreePath::from_decoded(&raw) {
                prop_assert_eq!(TreePath::parse(&path.encoded()).unwrap(), path);
            }
        }

        #[test]
        fn no_input_panics(raw in "[ -~]{0,60}") {
            let _ = TreePath::parse(&raw);
        }
    }
}

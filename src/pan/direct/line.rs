//! One line of a link list: a folder, or a file with what stands before its URL (API page 9.4).
//!
//! Two dialects are read at once: `[size:][mtime:]URL` and `[name:][size:][mtime:]URL`. A part before the URL
//! that is a number is a number where the grammar has room for one; with three parts the first is the
//! name, whatever it looks like. A lone number is a size, unless it looks like a time of this century.

use super::url::{DirectUrl, UrlFault};

/// Unix time of the first ten-digit second, in September 2001.
const FIRST_LONE_TIME: u64 = 1_000_000_000;

/// The last second of the year 9999; larger numbers are mostly milliseconds.
const LAST_TIME: u64 = 253_402_300_799;

/// Why a line is wrong. The sentences never quote the line: its URL may hold a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LineFault {
    /// A tab, or a wide blank.
    #[error("it is indented with a tab or another unusual blank; use two spaces for each level")]
    Blank,
    /// 1, 3, 5… spaces.
    #[error("it is indented by an odd number of spaces; use two spaces for each level")]
    OddIndent,
    /// Indented, and no folder above it is less indented.
    #[error("it is indented, but there is no folder above it that it could belong to")]
    UnderNothing,
    /// Neither URL nor folder.
    #[error(
        "it has no URL; a file's line ends with an http:// or https:// URL, a folder's line with a colon"
    )]
    NoUrl,
    /// A URL that follows something else than a colon.
    #[error("what stands before the URL must end with a colon, directly followed by the URL")]
    NoColon,
    /// `::`, or a colon at the start.
    #[error("there is nothing before one of its colons")]
    EmptyPart,
    /// More than name, size and time.
    #[error("there are too many colons before the URL; at most name:size:time:URL is possible")]
    TooManyParts,
    /// A minus sign.
    #[error("sizes and times cannot be negative or have a sign")]
    Signed,
    /// Not a whole number, or far too large.
    #[error("the size is not a whole number of bytes")]
    BadSize,
    /// Not a whole number, or beyond the year 9999.
    #[error("the time is not in Unix seconds")]
    BadTime,
    /// A name that no client could use.
    #[error("its name is empty, is . or .., or holds a slash or a control character")]
    BadName,
    /// A URL that ends in `/`.
    #[error("its URL ends without a file name; put a name and a colon before it")]
    NoName,
    /// The URL itself.
    #[error(transparent)]
    Url(#[from] UrlFault),
    /// Nothing says whose link it is.
    #[error(
        "its URL does not hold the account id that signing needs; set uid to the number that 123pan's settings page shows"
    )]
    NoUid,
}

/// What a line is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    Folder(String),
    File {
        name: String,
        url: DirectUrl,
        size: Option<u64>,
        modified: Option<i64>,
        /// `modified` is a lone number, which may be the size.
        lone_time: bool,
    },
}

/// Reads a line whose indentation and trailing blanks are gone. `tomorrow` is in Unix seconds.
pub(super) fn parse(text: &str, tomorrow: u64) -> Result<Line, LineFault> {
    let Some(start) = url_start(text) else {
        return without_url(text);
    };
    let (info, url) = text.split_at(start);
    let url = DirectUrl::parse(url)?;
    let mut name = None;
    let mut size = None;
    let mut modified = None;
    let mut lone_time = false;
    let parts: Vec<&str> = match info.strip_suffix(':') {
        Some(info) => info.split(':').map(str::trim).collect(),
        None => Vec::new(),
    };
    if parts.iter().any(|part| part.is_empty()) {
        return Err(LineFault::EmptyPart);
    }
    let mut lone = |text: &str| {
        let number = size_of(text)?;
        lone_time = (FIRST_LONE_TIME..=tomorrow).contains(&number);
        if lone_time {
            modified = Some(time_of(text)?);
        } else {
            size = Some(number);
        }
        Ok::<(), LineFault>(())
    };
    match parts[..] {
        [] => {}
        [one] if is_number(one) => lone(one)?,
        [one] => name = Some(one),
        [one, two] if is_number(one) => {
            size = Some(size_of(one)?);
            modified = Some(time_of(two)?);
        }
        [one, two] => {
            name = Some(one);
            lone(two)?;
        }
        [one, two, three] => {
            name = Some(one);
            size = Some(size_of(two)?);
            modified = Some(time_of(three)?);
        }
        _ => return Err(LineFault::TooManyParts),
    }
    let name = match name {
        Some(name) => checked_name(name)?,
        None => url.file_name().ok_or(LineFault::NoName)?,
    };
    Ok(Line::File {
        name,
        url,
        size,
        modified,
        lone_time,
    })
}

/// Where the URL begins: the first scheme at the start or right after a colon, so that a URL inside another
/// one's query does not cut it.
fn url_start(text: &str) -> Option<usize> {
    text.match_indices("://").find_map(|(at, _)| {
        ["https", "http"].into_iter().find_map(|scheme| {
            let start = at.checked_sub(scheme.len())?;
            let fits = text.get(start..at)?.eq_ignore_ascii_case(scheme);
            (fits && (start == 0 || text[..start].ends_with(':'))).then_some(start)
        })
    })
}

fn without_url(text: &str) -> Result<Line, LineFault> {
    if let Some(at) = text.find("://") {
        let before = text[..at].to_ascii_lowercase();
        return Err(if before.ends_with("http") || before.ends_with("https") {
            LineFault::NoColon
        } else {
            UrlFault::Scheme.into()
        });
    }
    match text.strip_suffix(':') {
        Some(name) => checked_name(name.trim()).map(Line::Folder),
        None => Err(LineFault::NoUrl),
    }
}

/// Whether a part is meant as a number, be it a good one or not.
fn is_number(part: &str) -> bool {
    let digits = part.strip_prefix(['-', '+']).unwrap_or(part);
    !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
}

fn size_of(part: &str) -> Result<u64, LineFault> {
    number(part, i64::MAX.unsigned_abs(), LineFault::BadSize)
}

fn time_of(part: &str) -> Result<i64, LineFault> {
    number(part, LAST_TIME, LineFault::BadTime).and_then(|n| i64::try_from(n).map_err(|_| LineFault::BadTime))
}

fn number(part: &str, most: u64, fault: LineFault) -> Result<u64, LineFault> {
    if !is_number(part) {
        return Err(fault);
    }
    if part.starts_with(['-', '+']) {
        return Err(LineFault::Signed);
    }
    let number = part.parse().map_err(|_| fault)?;
    if number > most {
        return Err(fault);
    }
    Ok(number)
}

fn checked_name(name: &str) -> Result<String, LineFault> {
    let bad = matches!(name, "" | "." | "..") || name.chars().any(|c| c == '/' || c.is_control());
    if bad {
        return Err(LineFault::BadName);
    }
    Ok(name.to_owned())
}

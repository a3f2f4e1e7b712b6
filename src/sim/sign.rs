//! The two signatures that 123pan checks, written from the server's side.
//!
//! The web signature is one query parameter whose name and value are both CRC-32 sums over the time in UTC+8 and
//! the path (API page, section 4.1). The direct-link signature is an MD5 over path, expiry, a random text, the
//! owner's id and the owner's key (section 9.2). Both are pure functions and are held by the vectors of the page.

use jiff::Timestamp;
use jiff::tz::Offset;

use super::content::md5_hex;

/// Letters that stand for the digits 0 to 9 in the minute text (section 4.1, step 3).
const DIGITS: [u8; 10] = *b"adefghlmyi";

/// Largest value of the random part (section 4.1, step 5).
const RAND_MAX: u64 = 10_000_000;

/// CRC-32 of the UTC+8 minute that `unix` seconds fall into; the parameter's name.
fn time_sign(unix: i64) -> Option<u32> {
    let instant = Timestamp::from_second(unix).ok()?;
    let at = Offset::constant(8).to_datetime(instant);
    let text = format!(
        "{:04}{:02}{:02}{:02}{:02}",
        at.year(),
        at.month(),
        at.day(),
        at.hour(),
        at.minute()
    );
    let letters: Vec<u8> = text
        .bytes()
        .map(|b| DIGITS[usize::from(b.wrapping_sub(b'0')) % 10])
        .collect();
    Some(crc32fast::hash(&letters))
}

/// The parameter for a path at an instant: name and value.
pub(super) fn web_parameter(path: &str, unix: i64, rand: u64) -> Option<(String, String)> {
    let time = time_sign(unix)?;
    let sum = crc32fast::hash(format!("{unix}|{rand}|{path}|web|3|{time}").as_bytes());
    Some((time.to_string(), format!("{unix}-{rand}-{sum}")))
}

/// Whether a query parameter looks like a signature at all: a number as name, three numbers as value.
pub(super) fn looks_signed(name: &str, value: &str) -> bool {
    let number = |s: &str| !s.is_empty() && s.bytes().all(|b| b.is_ascii_digit());
    number(name) && value.split('-').count() == 3 && value.split('-').all(number)
}

/// Checks a signature parameter for `path` (as in the URL, with its prefix) at the server's time `now`, both in Unix
/// seconds; a timestamp further away than `window` seconds is refused.
pub(super) fn web_signature_ok(path: &str, name: &str, value: &str, now: i64, window: u64) -> bool {
    let mut pieces = value.split('-');
    let (Some(ts), Some(rand)) = (
        pieces.next().and_then(|s| s.parse::<i64>().ok()),
        pieces.next().and_then(|s| s.parse::<u64>().ok()),
    ) else {
        return false;
    };
    if rand > RAND_MAX || now.abs_diff(ts) > window {
        return false;
    }
    // Rebuilding the whole text refuses padded numbers and signs too.
    web_parameter(path, ts, rand).is_some_and(|(n, v)| n == name && v == value)
}

/// The hash of a direct link's `auth_key` for a path with leading slash.
pub(super) fn direct_hash(path: &str, expiry: i64, rand: &str, uid: i64, key: &str) -> String {
    md5_hex(format!("{path}-{expiry}-{rand}-{uid}-{key}").as_bytes())
}

/// Checks `auth_key` for a path: its form, the owner, the hash and that it has not expired.
pub(super) fn direct_auth_ok(path: &str, auth_key: &str, uid: i64, key: &str, now: i64) -> bool {
    let pieces: Vec<&str> = auth_key.split('-').collect();
    let [expiry, rand, owner, hash] = pieces.as_slice() else {
        return false;
    };
    let Ok(expiry) = expiry.parse::<i64>() else {
        return false;
    };
    *owner == uid.to_string() && expiry >= now && direct_hash(path, expiry, rand, uid, key) == *hash
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_web_signature_vectors_of_the_api_page_pass_the_check() {
        let vectors = [
            (
                1_767_294_245,
                "/b/api/file/list/new",
                "1188383987",
                "1767294245-1234567-2435234984",
            ),
            (
                1_767_196_800,
                "/b/api/file/list/new",
                "2543441651",
                "1767196800-1234567-3144878440",
            ),
            (
                1_709_222_399,
                "/b/api/user/info",
                "2240706452",
                "1709222399-0-1472430724",
            ),
            (
                1_767_294_245,
                "/b/api/share/get",
                "1188383987",
                "1767294245-10000000-1471697246",
            ),
            (
                1_767_294_245,
                "/b/api/file/download_info",
                "1188383987",
                "1767294245-1234567-1963503010",
            ),
            (
                1_786_768_230,
                "/api/file/list/new",
                "2067503462",
                "1786768230-7654321-4271286157",
            ),
        ];
        for (now, path, name, value) in vectors {
            assert!(web_signature_ok(path, name, value, now, 0), "{path} {value}");
            assert!(looks_signed(name, value));
            assert!(!web_signature_ok("/b/api/other", name, value, now, 0));
            assert!(!web_signature_ok(path, "1", value, now, 0));
            assert!(web_signature_ok(path, name, value, now + 600, 600));
            assert!(!web_signature_ok(path, name, value, now + 601, 600));
            assert!(!web_signature_ok(path, name, value, now - 601, 600));
        }
    }

    #[test]
    fn a_padded_or_too_large_random_part_is_refused() {
        let (name, value) = web_parameter("/b/api/user/info", 1_767_294_245, 7).unwrap();
        assert!(web_signature_ok(
            "/b/api/user/info",
            &name,
            &value,
            1_767_294_245,
            1
        ));
        let padded = value.replacen("-7-", "-07-", 1);
        assert!(!web_signature_ok(
            "/b/api/user/info",
            &name,
            &padded,
            1_767_294_245,
            1
        ));
        let (name, value) = web_parameter("/b/api/user/info", 1_767_294_245, RAND_MAX + 1).unwrap();
        assert!(!web_signature_ok(
            "/b/api/user/info",
            &name,
            &value,
            1_767_294_245,
            1
        ));
    }

    #[test]
    fn the_direct_link_vectors_of_the_api_page_pass_the_check() {
        let long = "0123456789abcdef0123456789abcdef";
        let d3 = "/1812000499/%E6%B5%8B%E8%AF%95/a%20b%2B%28c%29.txt";
        let vectors = [
            (
                "/13/files/1.txt",
                1_689_220_731,
                "123",
                13,
                "289ds32418bxdba",
                "3bdacc0e031fd67fe829152f37c8fbad",
            ),
            (
                "/1812000499/music/song.mp3",
                1_767_294_245,
                "42",
                1_812_000_499,
                "testPrivateKey",
                "09530f66f3d00b1c700c16efd530a3e1",
            ),
            (
                "/1812000499/测试/a b+(c).txt",
                1_767_294_245,
                long,
                1_812_000_499,
                "testPrivateKey",
                "0217be92e5595bcfba35e797c6c064a9",
            ),
            (
                d3,
                1_767_294_245,
                long,
                1_812_000_499,
                "testPrivateKey",
                "c76451d8b1ef5df2154b3a725b8df611",
            ),
        ];
        for (path, expiry, rand, uid, key, hash) in vectors {
            assert_eq!(direct_hash(path, expiry, rand, uid, key), hash);
            let auth = format!("{expiry}-{rand}-{uid}-{hash}");
            assert!(direct_auth_ok(path, &auth, uid, key, expiry));
            assert!(!direct_auth_ok(path, &auth, uid, key, expiry + 1), "expired");
            assert!(!direct_auth_ok(path, &auth, uid, "other", expiry));
            assert!(!direct_auth_ok(path, &auth, uid + 1, key, expiry));
        }
    }
}

//! Text, hrefs and numbers as bytes of an XML document.
//!
//! Pure functions that append to a buffer. They run once or more for each entry of a listing, so they copy
//! runs of harmless bytes and touch the rest one by one.

use bytes::BytesMut;

use crate::hex;

/// Hexadecimal digits, upper-case as RFC 3986 2.1 wants them in an escape.
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

/// Bytes that stand for themselves in an href: the unreserved characters of RFC 3986 2.3.
const UNRESERVED: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~');
        byte += 1;
    }
    table
};

/// Bytes that need a closer look in character data. 0xEF begins U+FFFE and U+FFFF, which XML cannot hold.
const SPECIAL: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        let b = byte as u8;
        table[byte] = b < 0x20 || matches!(b, b'&' | b'<' | b'>' | b'"' | 0xEF);
        byte += 1;
    }
    table
};

/// Appends one percent-encoded path segment; the same text as [`crate::tree::encode_segment`], faster.
pub fn href_segment(segment: &str, out: &mut BytesMut) {
    let mut buffer = [0_u8; 192];
    let mut used = 0;
    for &byte in segment.as_bytes() {
        if used + 3 > buffer.len() {
            out.extend_from_slice(&buffer[..used]);
            used = 0;
        }
        if UNRESERVED[usize::from(byte)] {
            buffer[used] = byte;
            used += 1;
        } else {
            buffer[used] = b'%';
            buffer[used + 1] = UPPER[usize::from(byte >> 4)];
            buffer[used + 2] = UPPER[usize::from(byte & 15)];
            used += 3;
        }
    }
    out.extend_from_slice(&buffer[..used]);
}

/// Appends text as character data, good for an attribute in double quotes too. Characters that XML 1.0
/// cannot hold even as a reference (2.2, `Char`) are dropped; white space but for the blank is written as a
/// reference, because a parser would turn it into something else (2.11, 3.3.3).
pub fn text(text: &str, out: &mut BytesMut) {
    let bytes = text.as_bytes();
    let mut from = 0;
    let mut at = 0;
    while at < bytes.len() {
        let byte = bytes[at];
        if !SPECIAL[usize::from(byte)] {
            at += 1;
            continue;
        }
        let (width, instead): (usize, &[u8]) = match byte {
            b'&' => (1, b"&amp;"),
            b'<' => (1, b"&lt;"),
            b'>' => (1, b"&gt;"),
            b'"' => (1, b"&quot;"),
            b'\t' => (1, b"&#9;"),
            b'\n' => (1, b"&#10;"),
            b'\r' => (1, b"&#13;"),
            0xEF if matches!(bytes.get(at + 1..at + 3), Some([0xBF, 0xBE | 0xBF])) => (3, b""),
            0xEF => {
                at += 3;
                continue;
            }
            _ => (1, b""),
        };
        out.extend_from_slice(&bytes[from..at]);
        out.extend_from_slice(instead);
        at += width;
        from = at;
    }
    out.extend_from_slice(&bytes[from..]);
}

/// Appends a number in decimal.
pub fn decimal(mut number: u64, out: &mut BytesMut) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends an MD5 in lower-case hexadecimal.
pub fn md5(sum: &[u8; 16], out: &mut BytesMut) {
    let mut digits = [0_u8; 32];
    for (pair, byte) in digits.chunks_exact_mut(2).zip(sum) {
        pair.copy_from_slice(&hex::pair(*byte));
    }
    out.extend_from_slice(&digits);
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::tree::encode_segment;
    use proptest::prelude::*;
    use quick_xml::events::Event;

    fn written(write: impl FnOnce(&mut BytesMut)) -> String {
        let mut out = BytesMut::new();
        write(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn names_with_markup_quotes_and_controls_become_valid_character_data() {
        for (name, wanted) in [
            ("a & b <c> \"d\" 'e'", "a &amp; b &lt;c&gt; &quot;d&quot; 'e'"),
            ("]]>", "]]&gt;"),
            ("电影（1）🎬", "电影（1）🎬"),
            ("bell\u{7}escape\u{1b}end", "bellescapeend"),
            ("tab\tline\nreturn\r", "tab&#9;line&#10;return&#13;"),
            ("\u{fffe}x\u{ffff}y\u{fffd}", "xy\u{fffd}"),
            ("", ""),
        ] {
            assert_eq!(written(|out| text(name, out)), wanted, "{name:?}");
        }
    }

    #[test]
    fn numbers_and_sums_are_written_in_full() {
        for number in [0, 9, 10, 1_234_567, u64::MAX] {
            assert_eq!(written(|out| decimal(number, out)), number.to_string());
        }
        let sum = [
            0xd4, 0x1d, 0x8c, 0xd9, 0x8f, 0x00, 0xb2, 0x04, 0xe9, 0x80, 0x09, 0x98, 0xec, 0xf8, 0x42, 0x7e,
        ];
        assert_eq!(written(|out| md5(&sum, out)), "d41d8cd98f00b204e9800998ecf8427e");
    }

    proptest! {
        #[test]
        fn an_href_is_encoded_as_the_tree_encodes_it(name in any::<String>()) {
            let mut wanted = String::new();
            encode_segment(&name, &mut wanted);
            prop_assert_eq!(written(|out| href_segment(&name, out)), wanted);
        }

        #[test]
        fn any_text_is_read_back_as_it_was_but_for_what_xml_cannot_hold(name in any::<String>()) {
            let document = format!("<a>{}</a>", written(|out| text(&name, out)));
            let mut reader = quick_xml::Reader::from_str(&document);
            let mut read = String::new();
            loop {
                match reader.read_event().unwrap() {
                    Event::Text(part) => read.push_str(&part),
                    Event::GeneralRef(entity) => match &*entity {
                        "amp" => read.push('&'),
                        "lt" => read.push('<'),
                        "gt" => read.push('>'),
                        "quot" => read.push('"'),
                        _ => read.push(entity.resolve_char_ref().unwrap().unwrap()),
                    },
                    Event::Eof => break,
                    _ => {}
                }
            }
            let holds = |c: &char| !matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}');
            prop_assert_eq!(read, name.chars().filter(holds).collect::<String>());
        }
    }
}

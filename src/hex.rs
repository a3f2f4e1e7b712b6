//! Hexadecimal digits.

/// Bytes as lower-case digits.
pub fn encode(bytes: &[u8]) -> String {
    let mut digits = String::with_capacity(bytes.len() * 2);
    encode_to(bytes, &mut digits);
    digits
}

/// The same, behind what there is.
pub fn encode_to(bytes: &[u8], out: &mut String) {
    out.extend(bytes.iter().copied().flat_map(pair).map(char::from));
}

/// The two digits of a byte.
pub fn pair(byte: u8) -> [u8; 2] {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    [byte >> 4, byte & 15].map(|half| DIGITS[usize::from(half)])
}

/// The MD5 that 32 digits of either case stand for.
pub fn md5(digits: &str) -> Option<[u8; 16]> {
    read(digits)
}

/// The SHA-1 that 40 digits of either case stand for.
pub fn sha1(digits: &str) -> Option<[u8; 20]> {
    read(digits)
}

fn read<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let digits = digits.as_bytes();
    if digits.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let high = char::from(pair[0]).to_digit(16)?;
        let low = char::from(pair[1]).to_digit(16)?;
        *byte = u8::try_from(high << 4 | low).ok()?;
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_nothing_else() {
        let sum: [u8; 16] = *b"\x00\x01\x0f\x10\x7f\x80\xff\xaaabcdefgh";
        let digits = encode(&sum);
        assert_eq!(digits, "00010f107f80ffaa6162636465666768");
        assert_eq!(md5(&digits), Some(sum));
        assert_eq!(md5(&digits.to_uppercase()), Some(sum));
        assert_eq!(sha1(&"aB".repeat(20)), Some([0xab; 20]));
        assert_eq!(sha1(&digits), None);
        for wrong in [
            "",
            "0001",
            &digits[1..],
            &digits.replace('a', "g"),
            &digits.replace("00", "+0"),
        ] {
            assert_eq!(md5(wrong), None, "{wrong}");
        }
    }
}

//! Names that 123pan refuses (API page 6.5), refused before any call.

use crate::drive::write::LONGEST_NAME;
use crate::drive::{Error, ErrorKind};

/// Characters that no name may have.
const FORBIDDEN: [char; 9] = ['\\', '/', ':', '*', '?', '"', '<', '>', '|'];

/// Refuses a name that 123pan does not take, and says why.
pub(super) fn check(name: &str) -> Result<(), Error> {
    let refuse = |what: String| Err(Error::new(ErrorKind::BadName, what));
    if let Some(c) = name.chars().find(|c| FORBIDDEN.contains(c)) {
        return refuse(format!(
            "123pan does not accept the character {c} in a name (nor any of \\ / : * ? \" < > |): choose another name."
        ));
    }
    if let Some(c) = name.chars().find(|c| c.is_control()) {
        return refuse(format!(
            "123pan does not accept a control character (U+{:04X}) in a name: choose another name.",
            u32::from(c)
        ));
    }
    let length = name.chars().count();
    if length > LONGEST_NAME {
        return refuse(format!(
            "123pan accepts names of at most {LONGEST_NAME} characters and this one has {length}: choose a shorter name."
        ));
    }
    if name.trim().is_empty() || name == "." || name == ".." {
        return refuse(
            "123pan does not accept a name that is empty, of spaces only, or of one or two dots: choose another name.".to_owned(),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_123pan_refuses_is_refused_with_the_character_named() {
        for c in FORBIDDEN {
            let error = check(&format!("a{c}b")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::BadName);
            assert!(error.sentence().contains(&format!("character {c} in")));
        }
        assert!(check("a\nb").unwrap_err().sentence().contains("U+000A"));
        for bad in ["", " ", "   ", ".", ".."] {
            assert_eq!(check(bad).unwrap_err().kind(), ErrorKind::BadName, "{bad:?}");
        }
    }

    #[test]
    fn the_length_is_counted_in_characters() {
        check(&"长".repeat(255)).unwrap();
        assert!(check(&"长".repeat(256)).unwrap_err().sentence().contains("256"));
    }

    #[test]
    fn ordinary_and_odd_names_pass() {
        for good in [
            "a.txt",
            ".hidden",
            " a ",
            "a.",
            "…",
            "e\u{301}",
            "100%",
            "a&b;c",
            "电影.mkv",
        ] {
            check(good).unwrap();
        }
    }
}

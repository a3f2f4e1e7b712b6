//! A secret by value, environment variable or file.
//!
//! Every secret `x` has the variants `x_env` (name of a variable) and `x_file` (path, relative to the
//! configuration file; one newline at its end is cut off). No message here repeats a value.

use std::path::Path;

use secrecy::SecretString;

use super::section::{Section, or};

/// The keys by which a secret can be given.
pub fn keys(base: &str) -> [String; 3] {
    [base.to_owned(), format!("{base}_env"), format!("{base}_file")]
}

/// Whether a secret is given, right or wrong.
pub fn is_given(section: &Section<'_>, base: &str) -> bool {
    keys(base).iter().any(|key| section.has(key))
}

/// Notes a problem where more than one of the keys is in the section.
pub fn only_one(section: &Section<'_>, keys: &[&str]) {
    let mut given: Vec<&str> = keys.iter().copied().filter(|key| section.has(key)).collect();
    given.sort_by_key(|key| section.line_of(key));
    if let [first, more @ ..] = given.as_slice() {
        for key in more {
            let line = section.line_of(first);
            let keys = or(keys.iter().copied());
            section.problem(
                key,
                format!("{first} is given already on line {line}; keep one of {keys}"),
            );
        }
    }
}

/// Reads a secret; `None` where it is absent or wrong.
pub fn read(section: &mut Section<'_>, base: &str) -> Option<SecretString> {
    let names = keys(base);
    let [value, env, file] = [0, 1, 2].map(|at: usize| names[at].as_str());
    only_one(section, &[value, env, file]);
    if section.has(value) {
        let text = section.text(value, "a string in quotes")?.value;
        section.reader.note_secret();
        return Some(text.into());
    }
    if let Some(name) = section.text(env, "the name of an environment variable") {
        let found = section.reader.environment(&name.value);
        return match found.filter(|text| !text.is_empty()) {
            Some(text) => Some(text.into()),
            None => {
                let name = &name.value;
                section.problem(
                    env,
                    format!("the environment variable {name} is not set; expected it to hold the secret"),
                );
                None
            }
        };
    }
    let written = section.text(file, "the path of a file")?.value;
    let path = section.reader.path(&written);
    let text = text_of(section, file, &path)?;
    let cut = text
        .strip_suffix('\n')
        .map_or(text.as_str(), |line| line.strip_suffix('\r').unwrap_or(line));
    if cut.is_empty() {
        section.problem(
            file,
            format!("{} is empty; expected it to hold the secret", path.display()),
        );
        return None;
    }
    warn_if_open(&path);
    Some(cut.into())
}

/// The text of a file that the key names; notes a problem where it cannot be read.
pub fn text_of(section: &Section<'_>, key: &str, path: &Path) -> Option<String> {
    match std::fs::read_to_string(path) {
        Ok(text) => Some(text),
        Err(error) => {
            let shown = path.display();
            section.problem(
                key,
                format!("cannot read {shown} ({error}); expected a readable text file"),
            );
            None
        }
    }
}

/// Warns where everyone on this machine may read a file that holds a secret.
pub fn warn_if_open(path: &Path) {
    if is_open(path) {
        tracing::warn!(
            file = %path.display(),
            "This file holds a secret and every user of this machine can read it: take the right away with chmod o-r."
        );
    }
}

#[cfg(unix)]
fn is_open(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn is_open(_: &Path) -> bool {
    false
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn a_file_that_others_may_read_is_noticed() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let set =
            |mode| std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(mode)).unwrap();
        set(0o644);
        assert!(is_open(file.path()));
        set(0o640);
        assert!(!is_open(file.path()));
    }
}

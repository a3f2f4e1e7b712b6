//! From the text of the file to the checked configuration, or to all that is wrong with it.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use super::section::{Problem, Reader, document};
use super::{Config, mount, proxy, secret, server};

/// Keys of the file itself.
pub const TOP: &[&str] = &["server", "cache", "upload", "user", "mount", "proxy"];

/// Why a configuration cannot be used: everything that was found, one problem a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Error {
    file: String,
    problems: Vec<Problem>,
    /// The file could not be read at all.
    unreadable: Option<String>,
}

impl Error {
    /// The problems, by line; empty where the file could not be read.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(reason) = &self.unreadable {
            return write!(f, "{}: {reason}", self.file);
        }
        for (at, Problem { line, key, sentence }) in self.problems.iter().enumerate() {
            let newline = if at == 0 { "" } else { "\n" };
            let colon = if key.is_empty() { "" } else { ": " };
            write!(f, "{newline}{}:{line}: {key}{colon}{sentence}", self.file)?;
        }
        Ok(())
    }
}

impl std::error::Error for Error {}

/// Reads and checks a file.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn load(path: &Path) -> Result<Config, Error> {
    let text = std::fs::read_to_string(path).map_err(|error| Error {
        file: path.display().to_string(),
        problems: Vec::new(),
        unreadable: Some(match error.kind() {
            ErrorKind::NotFound => {
                "there is no such file; copy dav.example.toml to dav.toml, or name another file by --config"
                    .to_owned()
            }
            ErrorKind::InvalidData => {
                "not UTF-8 text; save it in the editor with the encoding UTF-8".to_owned()
            }
            _ => format!(
                "cannot be read ({error}); expected a configuration file, named by --config or ./dav.toml"
            ),
        }),
    })?;
    parse_in(&text, path, &|name| std::env::var(name).ok()).map(|(config, holds_secret)| {
        if holds_secret {
            secret::warn_if_open(path);
        }
        config
    })
}

/// Checks a text; `path` is named in errors and is what relative paths are relative to.
///
/// # Errors
/// Everything that is wrong with it, at once.
pub fn parse(text: &str, path: &Path) -> Result<Config, Error> {
    parse_in(text, path, &|name| std::env::var(name).ok()).map(|(config, _)| config)
}

/// [`parse`] with the environment as a function; tells also whether the text holds a secret.
pub(super) fn parse_in(
    text: &str,
    path: &Path,
    environment: &dyn Fn(&str) -> Option<String>,
) -> Result<(Config, bool), Error> {
    let reader = Reader::new(text, path, environment);
    let config = config(&reader, text);
    let holds_secret = reader.holds_secret();
    let problems = reader.into_problems();
    match config {
        Some(config) if problems.is_empty() => Ok((config, holds_secret)),
        _ => Err(Error {
            file: path.display().to_string(),
            problems,
            unreadable: None,
        }),
    }
}

fn config<'r>(reader: &'r Reader<'r>, text: &'r str) -> Option<Config> {
    let mut root = document(reader, text)?;
    root.refuse_others(TOP);
    let server = server::server(root.table_or_empty("server"));
    let upload = server::upload(root.table_or_empty("upload"), &server.state_dir);
    let cache = server::cache(root.table_or_empty("cache"));
    let user_is_there = root.has("user");
    let users = server::users(root.tables("user"));
    // A proxy without mounts has no tree to sign in to.
    let only_proxy = root.has("proxy") && !root.has("mount");
    let proxy = root.table("proxy").and_then(proxy::proxy);
    if !user_is_there && server.anonymous.is_none() && !only_proxy {
        root.problem(
            "user",
            "missing; expected one [[user]] at least, or server.anonymous = \"read-only\" or \"read-write\"",
        );
    }
    let mounts = mount::mounts(root.tables("mount"), &server.prefix);
    Some(Config {
        server,
        cache,
        upload,
        users,
        mounts,
        proxy,
    })
}

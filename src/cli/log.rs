//! Logs on standard error: lines for people, with times in RFC 3339 and colours on a terminal only, or an object of JSON a line
//! for programs.
//!
//! Below `info` only dav123 itself is heard, whatever the filter says: the HTTP libraries print URLs and headers
//! there, and a signed link or a token must not be in a log at any level.

use std::io::IsTerminal;

use tracing::Level;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::prelude::*;
use tracing_subscriber::{EnvFilter, fmt};

use super::Failure;

/// What a line of the log looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// For people.
    Plain,
    /// One object a line: timestamp, level, target, message and the event's own fields, side by side.
    Json,
}

/// Starts logging by a `--log-level` and a `--log-format`.
pub fn start(level: &str, format: Format) -> Result<(), Failure> {
    let filter = filter(level)?;
    let stderr = fmt::layer().with_writer(std::io::stderr);
    let stderr = match format {
        Format::Plain => stderr.with_ansi(std::io::stderr().is_terminal()).boxed(),
        Format::Json => stderr.json().flatten_event(true).boxed(),
    };
    let own_or_coarse = filter_fn(|event| is_heard(event.target(), *event.level()));
    // A second start (two commands in one test process) keeps the first.
    let _ = tracing_subscriber::registry()
        .with(stderr.with_filter(own_or_coarse))
        .with(filter)
        .try_init();
    Ok(())
}

fn is_heard(target: &str, level: Level) -> bool {
    level <= Level::INFO || target == "dav123" || target.starts_with("dav123::")
}

fn filter(level: &str) -> Result<EnvFilter, Failure> {
    let level: String = level.split_whitespace().collect();
    let level = if level.is_empty() { "info" } else { level.as_str() };
    // A misspelt level would be taken for the name of a module, and switch the log off.
    let is_level = |word: &str| word.parse::<LevelFilter>().is_ok();
    let well_formed = level.split(',').all(|word| match word.rsplit_once('=') {
        Some((_, level)) => is_level(level),
        None => is_level(word),
    });
    let parsed = EnvFilter::builder().parse(level).ok();
    parsed.filter(|_| well_formed).ok_or_else(|| {
        Failure::Wrong(format!(
            "The log level {level:?} is not understood; expected off, error, warn, info, debug or trace, or filters \
             such as \"dav123=debug,warn\"."
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_and_filters_are_read_and_slips_are_refused() {
        for right in [
            "",
            "debug",
            "off",
            "WARN",
            "dav123=debug,warn",
            "info, dav123::pan=trace",
        ] {
            assert!(filter(right).is_ok(), "{right}");
        }
        for wrong in ["debgu", "dav123", "dav123=loud", "a=b=c,"] {
            assert!(matches!(filter(wrong), Err(Failure::Wrong(_))), "{wrong}");
        }
    }

    #[test]
    fn the_fine_print_of_libraries_is_never_heard() {
        assert!(is_heard("dav123::pan", Level::TRACE));
        assert!(is_heard("hyper", Level::INFO));
        assert!(!is_heard("reqwest::connect", Level::DEBUG));
        assert!(!is_heard("dav123x", Level::DEBUG));
    }
}

//! The command line: one file for each command.
//!
//! Exit codes (the contract): 0 well, 1 something failed while running, 2 a wrong command line or
//! configuration. What a command answers goes to standard output; logs and errors go to standard error.

mod certificate;
mod check;
mod demo;
mod example;
mod import;
#[cfg(any(test, fuzzing))]
pub use import::fuzz::import_file;
mod log;
mod login;
mod passwd;
mod paste;
mod serve;
pub mod sign;
mod warm;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::{Args, CommandFactory, Parser, Subcommand};

use crate::config::{self, units};

/// Serves the 123pan cloud drive over WebDAV.
#[derive(Debug, Parser)]
#[command(name = "dav123", version, propagate_version = true)]
struct Arguments {
    /// What to log: off, error, warn, info, debug or trace, or filters such as "dav123=debug,warn"
    #[arg(
        long,
        global = true,
        env = "DAV123_LOG",
        default_value = "info",
        value_name = "LEVEL"
    )]
    log_level: String,
    /// How a line of the log looks: for people, or as an object of JSON
    #[arg(
        long,
        global = true,
        env = "DAV123_LOG_FORMAT",
        default_value = "plain",
        value_name = "FORMAT",
        value_enum
    )]
    log_format: log::Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the mounts of a configuration file
    Serve(ConfigFile),
    /// Serve a simulated 123pan: no account needed, nothing to set up
    Demo(demo::Options),
    /// Read the configuration and try every mount: sign in, list, resolve one link
    Check {
        #[command(flatten)]
        config: ConfigFile,
        /// Print an array of objects instead of a line for each mount
        #[arg(long)]
        json: bool,
    },
    /// Sign in to the account of a mount, by QR code, and keep the token for the server
    Login(login::Options),
    /// Turn the storages in an export of OpenList or AList into [[mount]] sections on standard output
    #[command(name = "import-openlist")]
    ImportOpenList(import::Options),
    /// Make the running server list a folder and all below it, so that it is known when it is wanted
    Warm {
        /// The folder, such as /films
        path: String,
        #[command(flatten)]
        config: ConfigFile,
    },
    /// Print the signed form of a direct link
    Sign {
        /// The direct link, without a signature
        url: String,
        /// Number of the account
        #[arg(long, value_name = "N")]
        uid: u64,
        /// Authentication key of the direct-link page
        #[arg(long, value_name = "K")]
        private_key: String,
        /// How long the link shall work
        #[arg(long, value_name = "DURATION", default_value = "30m", value_parser = valid)]
        valid: Duration,
    },
    /// Read a password, print the line to paste under [[user]]
    Passwd,
}

/// `--config`
#[derive(Debug, Args)]
struct ConfigFile {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = "dav.toml")]
    config: PathBuf,
}

fn valid(text: &str) -> Result<Duration, String> {
    let expected = || "expected a duration such as 30m, 2h or 1h30m".to_owned();
    units::duration(text)
        .filter(|valid| valid.as_secs() > 0)
        .ok_or_else(expected)
}

/// Why a command ended without success.
#[derive(Debug, thiserror::Error)]
enum Failure {
    /// The configuration is wrong: exit code 2.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// What was asked for on the command line, or what a mount is configured with, is wrong: exit code 2.
    #[error("dav123: {0}")]
    Wrong(String),
    /// Anything else: exit code 1.
    #[error("dav123: {}", told(.0))]
    Failed(#[from] anyhow::Error),
}

/// An error and its causes, each said once: many errors tell their cause themselves.
fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(cause.trim_end_matches('.')) {
            text = format!("{}: {cause}", text.trim_end_matches('.'));
        }
    }
    text
}

/// What is wrong with a mount that cannot be opened, one sentence a line.
fn wrong_mount(mount: &str, sentences: &[String]) -> Failure {
    let lines: Vec<String> = sentences
        .iter()
        .map(|sentence| format!("mount {mount}: {sentence}"))
        .collect();
    Failure::Wrong(lines.join("\ndav123: "))
}

impl Failure {
    fn code(&self) -> u8 {
        match self {
            Self::Config(_) | Self::Wrong(_) => 2,
            Self::Failed(_) => 1,
        }
    }
}

/// The command line as clap knows it: for shell completions and manual pages.
pub fn command_line() -> clap::Command {
    Arguments::command()
}

/// Reads the arguments of the process, runs the command, answers its exit code.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    match log::start(&arguments.log_level, arguments.log_format).and_then(|()| command(arguments.command)) {
        Ok(code) => code,
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "{failure}");
            ExitCode::from(failure.code())
        }
    }
}

fn command(command: Command) -> Result<ExitCode, Failure> {
    match command {
        Command::Serve(file) => block_on(serve::run(&file.config)),
        Command::Demo(options) => block_on(demo::run(options)),
        Command::Check { config, json } => block_on(check::run(&config.config, json)),
        Command::Login(options) => block_on(login::run(options)),
        Command::Sign {
            url,
            uid,
            private_key,
            valid,
        } => {
            say(&sign::run(&url, uid, &private_key, valid).map_err(Failure::Wrong)?);
            Ok(ExitCode::SUCCESS)
        }
        Command::Warm { path, config } => block_on(warm::run(&path, &config.config)),
        Command::Passwd => passwd::run(),
        Command::ImportOpenList(options) => import::run(&options),
    }
}

fn block_on(command: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.map_err(anyhow::Error::from)?.block_on(command)
}

/// Prints to standard output. A reader that has gone is no error: the server goes on.
fn say(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Says something beside the answer, on standard error.
fn note(text: &str) {
    let _ = writeln!(std::io::stderr(), "dav123: {text}");
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Arguments::command().debug_assert();
    }

    #[test]
    fn the_commands_of_the_contract_are_read() {
        for line in [
            "dav123 serve",
            "dav123 serve --config x.toml --log-level debug",
            "dav123 serve --log-format json",
            "dav123 --log-level warn demo --listen 127.0.0.1:0 --cloud 127.0.0.1:0 --dir d",
            "dav123 check --json --config x.toml",
            "dav123 login /drive --config x.toml",
            "dav123 login /drive --password",
            "dav123 login /drive --token",
            "dav123 sign https://h/1/x --uid 1 --private-key k --valid 1h30m",
            "dav123 passwd",
            "dav123 import-openlist backup.json",
            "dav123 warm /films --config x.toml",
        ] {
            Arguments::try_parse_from(line.split(' ')).unwrap();
        }
        let parsed = Arguments::try_parse_from(["dav123", "sign", "u", "--uid", "1", "--private-key", "k"]);
        assert!(
            matches!(parsed.unwrap().command, Command::Sign { valid, .. } if valid == Duration::from_secs(1800))
        );
    }

    #[test]
    fn a_mount_that_cannot_be_opened_is_named_on_every_line_and_has_exit_code_2() {
        let failure = wrong_mount(
            "/links",
            &["Line 3 has no URL.".into(), "Line 9 has no URL.".into()],
        );
        assert_eq!(
            failure.to_string(),
            "dav123: mount /links: Line 3 has no URL.\ndav123: mount /links: Line 9 has no URL."
        );
        assert_eq!(failure.code(), 2);
    }

    #[test]
    fn a_cause_is_said_once() {
        let io = || std::io::Error::other("the disk is full");
        let tells = anyhow::Error::new(io()).context("It failed: the disk is full.");
        assert_eq!(
            Failure::from(tells).to_string(),
            "dav123: It failed: the disk is full."
        );
        let silent = anyhow::Error::new(io()).context("It failed.");
        assert_eq!(
            Failure::from(silent).to_string(),
            "dav123: It failed: the disk is full"
        );
    }

    #[test]
    fn a_wrong_command_line_has_exit_code_2_and_help_has_0() {
        let code = |line: &str| {
            Arguments::try_parse_from(line.split(' '))
                .unwrap_err()
                .exit_code()
        };
        assert_eq!(code("dav123 serve --set a=b"), 2);
        assert_eq!(code("dav123 sign u --uid 1 --private-key k --valid 0s"), 2);
        assert_eq!(code("dav123 login"), 2);
        assert_eq!(code("dav123 login /drive --token --password"), 2);
        assert_eq!(code("dav123 serve --help"), 0);
        assert_eq!(code("dav123 check --version"), 0);
    }
}

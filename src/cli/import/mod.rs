//! `dav123 import-openlist FILE`: the storages of an OpenList or AList server become `[[mount]]` sections.
//!
//! The sections go to standard output, to be put into `dav.toml`; what cannot be carried over stands there as a comment, and
//! on standard error. Secrets are written as they are: a configuration without them would not work.

mod export;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod section;

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;

use self::export::{Export, Storage};
use self::section::Written;
use super::{Failure, say};
use crate::config;

/// The largest export that is read: the storages of a server take a few kilobytes.
const LARGEST: u64 = 64 << 20;

/// `FILE`
#[derive(Debug, Args)]
pub struct Options {
    /// What the page "Backup & Restore" of OpenList or AList saved, without a password
    file: PathBuf,
}

/// Reads the export, prints the sections.
pub fn run(options: &Options) -> Result<ExitCode, Failure> {
    let file = options.file.display().to_string();
    let bytes = read(&options.file).map_err(|reason| {
        Failure::Wrong(format!(
            "{file} cannot be read ({reason}); expected {}.",
            export::EXPECTED
        ))
    })?;
    let export = export::read(&bytes).map_err(|fault| Failure::Wrong(format!("{file} {fault}.")))?;
    let name = options.file.file_name().unwrap_or_default().to_string_lossy();
    let imported = import(&name, &export).map_err(|fault| Failure::Wrong(format!("{file} {fault}.")))?;
    say(imported.text.trim_end());
    for line in &imported.remarks {
        super::note(line);
    }
    Ok(ExitCode::SUCCESS)
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    if std::fs::metadata(path)?.len() > LARGEST {
        return Err(std::io::Error::other("it is larger than 64 MiB"));
    }
    std::fs::read(path)
}

/// What an export becomes.
struct Imported {
    /// For standard output.
    text: String,
    /// For standard error, a sentence each.
    remarks: Vec<String>,
}

fn import(name: &str, export: &Export) -> Result<Imported, String> {
    let mut text = head(name);
    users(&mut text, export);
    let mut remarks = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    let mut mounts = 0;
    for storage in &export.storages {
        let Some(mut written) = section::write(storage, export)? else {
            let sentence = left_out(storage);
            let _ = write!(text, "\n# {}\n", section::comment(&sentence));
            remarks.push(sentence);
            continue;
        };
        if seen.contains(&written.path) && written.off.is_none() {
            written.off = Some("another mount has this path already; give it one of its own".into());
        }
        match &written.off {
            None => {
                seen.push(written.path.clone());
                mounts += 1;
            }
            Some(reason) => remarks.push(format!("{} is written as a comment: {reason}.", written.path)),
        }
        text += &shown(&written);
    }
    if mounts == 0 && export.storages.iter().all(|storage| storage.kind().is_none()) {
        return Err(nothing(export));
    }
    // With a user behind it, so that the lines are those of the output.
    let whole = format!("{text}\n[[user]]\nname = \"x\"\npassword = \"x\"\n");
    if let Err(error) = config::parse(&whole, Path::new("dav.toml")) {
        remarks.extend(error.problems().iter().map(|p| {
            format!(
                "Still to mend, line {} of the output: {}: {}.",
                p.line, p.key, p.sentence
            )
        }));
    }
    remarks.push(format!(
        "{mounts} of {} storages written. The output holds passwords and tokens as they are: keep it to yourself \
         (chmod 600).",
        export.storages.len()
    ));
    Ok(Imported { text, remarks })
}

fn head(name: &str) -> String {
    let name = section::comment(name);
    format!(
        "# Written by dav123 import-openlist from {name}. It holds secrets: chmod 600\n\
         # Put it into dav.toml, below [server] and at least one [[user]]; then run: dav123 check\n\
         # Clients keep their addresses with these two lines in [server]:\n\
         #listen = \"0.0.0.0:5244\"\n\
         #prefix = \"/dav\"\n"
    )
}

/// Users as comments: their passwords are hashed there in a way of its own.
fn users(text: &mut String, export: &Export) {
    if export.users.is_empty() {
        return;
    }
    *text +=
        "\n# Users. Passwords cannot be taken over: \"dav123 passwd\" prints the missing line of each.\n";
    for user in &export.users {
        let _ = write!(
            text,
            "#[[user]]\n#name = {}\n#root = {}\n",
            section::quoted(&user.name),
            section::quoted(&user.root)
        );
    }
}

fn left_out(storage: &Storage) -> String {
    let Storage {
        mount_path, driver, ..
    } = storage;
    format!("Left out: {mount_path} ({driver}); dav123 serves 123pan only.")
}

fn nothing(export: &Export) -> String {
    let mut drivers: Vec<&str> = export.storages.iter().map(|s| s.driver.as_str()).collect();
    drivers.sort_unstable();
    drivers.dedup();
    if drivers.is_empty() {
        return "holds no storage: nothing can be taken over".into();
    }
    format!(
        "holds no storage of 123pan (only {}): nothing can be taken over",
        drivers.join(", ")
    )
}

/// The section as it stands in the output; switched off, every line of it is a comment.
fn shown(written: &Written) -> String {
    let mut text = String::from("\n");
    for note in &written.notes {
        let _ = writeln!(text, "# {}", section::comment(note));
    }
    if let Some(reason) = &written.off {
        let _ = writeln!(text, "# Switched off: {}.", section::comment(reason));
    }
    let mark = if written.off.is_some() { "#" } else { "" };
    for line in written.body.lines() {
        let _ = writeln!(text, "{mark}{line}");
    }
    text
}

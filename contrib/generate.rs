//! Writes shell completions and manual pages, as the command line has them, into a folder:
//! `cargo run --example generate -- FOLDER`.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use clap_complete::Shell;

fn main() -> ExitCode {
    let Some(folder) = std::env::args_os().nth(1) else {
        eprintln!("generate: expected the folder to write to.");
        return ExitCode::from(2);
    };
    match write(Path::new(&folder)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("generate: {} cannot be written: {error}.", folder.display());
            ExitCode::FAILURE
        }
    }
}

/// `completions/` for each shell, and `man/` with a page for dav123 and one for each command.
pub fn write(folder: &Path) -> io::Result<()> {
    let (completions, man) = (folder.join("completions"), folder.join("man"));
    std::fs::create_dir_all(&completions)?;
    std::fs::create_dir_all(&man)?;
    for shell in [
        Shell::Bash,
        Shell::Zsh,
        Shell::Fish,
        Shell::PowerShell,
        Shell::Elvish,
    ] {
        clap_complete::generate_to(shell, &mut dav123::cli::command_line(), "dav123", &completions)?;
    }
    clap_mangen::generate_to(dav123::cli::command_line(), man)
}

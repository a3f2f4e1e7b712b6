//! Starts the command line.

use std::process::ExitCode;

fn main() -> ExitCode {
    dav123::cli::run()
}

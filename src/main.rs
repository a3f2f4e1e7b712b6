//! Starts the command line.

use std::process::ExitCode;

/// Musl's own lets one thread in at a time: less than half the ranges a second, measured on two cores.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    dav123::cli::run()
}

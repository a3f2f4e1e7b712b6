//! Starts the command line.

use std::process::ExitCode;

/// Musl's own lets one thread in at a time: less than half the ranges a second, measured on two cores.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Bytes of free memory that glibc keeps at the end of a heap, halved.
#[cfg(target_env = "gnu")]
const KEPT: usize = 2 << 20;

fn main() -> ExitCode {
    // glibc gives the end of a heap back to the system as soon as 128 KiB of it are free, which a buffer of a stream is:
    // each of them would be new pages. It keeps twice the size of the largest block that was freed (mallopt(3),
    // M_MMAP_THRESHOLD): some 2 MiB more in all, for a tenth more ranges a second.
    #[cfg(target_env = "gnu")]
    drop(std::hint::black_box(Vec::<u8>::with_capacity(KEPT)));
    dav123::cli::run()
}

//! Starts the command line.

use std::process::ExitCode;

/// Musl's own lets one thread in at a time: less than half the ranges a second, measured on two cores.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Half of the bytes that glibc keeps free at the end of a heap. More would let the blocks of a listing that is read come
/// from the heap too, where they leave holes: a library of 100,000 entries took a megabyte more then.
#[cfg(target_env = "gnu")]
const KEPT: usize = 256 << 10;

fn main() -> ExitCode {
    // glibc gives the end of a heap back to the system as soon as 128 KiB of it are free, which one buffer of a stream is:
    // the next one would be new pages. It keeps twice the size of the largest block that was freed (mallopt(3),
    // M_MMAP_THRESHOLD): half of the page faults of short downloads.
    #[cfg(target_env = "gnu")]
    drop(std::hint::black_box(Vec::<u8>::with_capacity(KEPT)));
    dav123::cli::run()
}

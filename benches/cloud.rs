//! The simulated cloud alone, in a process of its own: what the benchmarks serve from. Prints its base URL, then waits.
//! Arguments bound the bytes per second that its storage takes from one PUT, and those that its CDN gives to one
//! connection; `-` does not. A third one, "library", adds 200 folders of 500 files; "keep" keeps the bytes of uploads.

use std::process::ExitCode;

use dav123::sim::{Cloud, Content, Options};

/// Entries of `/names`.
const NAMES: usize = 10_000;
/// The large files, in GiB, with the MD5 that is declared: nobody checks it, and hashing them would take seconds.
const LARGE: [(&str, u64, &str); 2] = [
    ("one", 1, "0123456789abcdef0123456789abcdef"),
    ("four", 4, "fedcba9876543210fedcba9876543210"),
];

fn main() -> ExitCode {
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(_) => return ExitCode::FAILURE,
    };
    runtime.block_on(async {
        let Ok(cloud) = Cloud::start(Options {
            seeded: false,
            ..Options::demo()
        })
        .await
        else {
            return ExitCode::FAILURE;
        };
        for n in 0..NAMES {
            let name = format!("/names/测试用的中文文件名称 第{n:05}集 (2026).mkv");
            cloud.add_file_with_etag(&name, "x", "9dd4e461268c8034f5c8564e155c67a6");
        }
        let more = std::env::args().nth(3).unwrap_or_default();
        if more == "library" {
            for n in 0..100_000 {
                let name = format!(
                    "/library/{:03}/Some Show S01E{:03} (2026) 1080p.mkv",
                    n / 500,
                    n % 500
                );
                cloud.add_file_with_etag(&name, "x", "9dd4e461268c8034f5c8564e155c67a6");
            }
        }
        for (name, gib, md5) in LARGE {
            let content = Content::Pattern {
                seed: 5,
                len: gib << 30,
            };
            cloud.add_file_with_etag(&format!("/films/{name}.bin"), content, md5);
        }
        {
            let mut settings = cloud.settings();
            // Bytes of an upload are counted and hashed, and else not kept.
            settings.forget_uploads = more != "keep";
            let rate = |n| std::env::args().nth(n).and_then(|rate| rate.parse().ok());
            settings.upload_rate = rate(1);
            settings.throttle = rate(2);
        }
        println!("{}", cloud.base());
        std::future::pending::<ExitCode>().await
    })
}

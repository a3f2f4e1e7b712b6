//! `dav123 check`: is every mount well, and the origin of `[proxy]`? One line for each.

mod examine;
mod report;

use std::io::IsTerminal;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use crate::config::{self, Config, Mount, Source};
use crate::delivery::{hands_out, origin_takes, redirect_refused};
use crate::drive::{Drive, build};
use crate::server::usable;
use crate::tree::spool::Spool;

use super::{Failure, example, note, say, wrong_mount};

/// Reads the configuration, tries every mount, prints what was found.
pub async fn run(file: &Path, json: bool) -> Result<ExitCode, Failure> {
    let config = config::load(file)?;
    let drives = open(&config)?;
    if let Some(tls) = &config.server.tls {
        usable(tls).map_err(|error| {
            Failure::Wrong(format!(
                "server.tls_cert and tls_key cannot be used: {error}. Put the PEM files there, or take both keys out for plain HTTP."
            ))
        })?;
    }
    if config.mounts.is_empty() && config.proxy.is_none() {
        note(
            "the configuration has no [[mount]]: the tree is empty. dav.example.toml shows one of each kind.",
        );
    }
    example::left_on_users(&config)
        .iter()
        .for_each(|sentence| note(sentence));
    let mut outcomes = Vec::with_capacity(drives.len());
    // One after the other: the times are then those of one mount alone.
    for (mount, drive) in config.mounts.iter().zip(&drives) {
        let outcome = match example::left_on(mount) {
            Some(sentence) => examine::not_tried(mount, sentence),
            None => examine::examine(mount, drive.as_ref(), redirect_refused).await,
        };
        if !json {
            say(&report::line(&outcome));
        }
        outcomes.push(outcome);
    }
    if let Some(proxy) = &config.proxy {
        let outcome = examine::origin(origin_takes(proxy)).await;
        if !json {
            say(&report::line(&outcome));
        }
        outcomes.push(outcome);
    }
    if !json {
        let terminal = std::io::stdout().is_terminal();
        for mount in &config.mounts {
            if config.server.anonymous.is_some() && is_paid(mount) {
                say(&report::warning(&mount.path, report::OPEN_TO_ALL, terminal));
            }
            if config.server.tls.is_some() && is_sent_to_http(mount) {
                say(&report::warning(&mount.path, report::LESS_SAFE, terminal));
            }
        }
    }
    if json {
        say(&report::json(&outcomes));
    } else if let Some((files, bytes)) = Spool::waiting_in(&config.upload.spool_dir) {
        let bytes = bytesize::ByteSize(bytes);
        let dir = config.upload.spool_dir.display();
        say(&format!(
            "queue  {files} files ({bytes}) in {dir} wait to be sent by the running server"
        ));
    }
    let well = outcomes.iter().all(|outcome| outcome.failures.is_empty());
    Ok(if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Whether every byte that somebody fetches there is paid for.
fn is_paid(mount: &Mount) -> bool {
    matches!(mount.source, Source::DirectLink(_))
}

/// Whether clients are sent to a proxy that speaks no TLS.
fn is_sent_to_http(mount: &Mount) -> bool {
    let url = mount.delivery.proxy_url.as_deref().unwrap_or_default();
    hands_out(&mount.delivery) && url.starts_with("http:")
}

/// Opens the drive of every mount, in their order.
fn open(config: &Config) -> Result<Vec<Arc<dyn Drive>>, Failure> {
    build::open(config).map_err(|error| wrong_mount(&error.mount, &error.sentences))
}

//! `dav123 serve`: the mounts of a configuration file, until a signal.

use std::path::Path;
use std::process::ExitCode;

use crate::config::{self, Config};
use crate::drive::build;
use crate::server::Server;

use super::{Failure, example, login, say, wrong_mount};

/// Reads the configuration and serves it.
pub async fn run(file: &Path) -> Result<ExitCode, Failure> {
    let config = config::load(file)?;
    if config.mounts.is_empty() && config.proxy.is_none() {
        tracing::warn!("The configuration has no [[mount]]: the tree is empty.");
    }
    for sentence in example::left_on_users(&config) {
        tracing::warn!("{sentence}");
    }
    for mount in &config.mounts {
        if let Some(sentence) = example::left_on(mount) {
            tracing::warn!(mount = mount.path, "{sentence}");
        }
    }
    login::remind(&config);
    until_stopped(config, announce).await?;
    Ok(ExitCode::SUCCESS)
}

/// Prints the one line for each listener that scripts wait for. `urls` end in a slash.
pub fn announce(urls: &[String]) {
    for url in urls {
        say(&format!("dav123: serving on {url}"));
    }
}

/// Builds the server and runs it until SIGINT or SIGTERM. `ready` gets the URL of every listener, with the port
/// really bound, once connections are accepted.
pub async fn until_stopped(config: Config, ready: impl FnOnce(&[String])) -> Result<(), Failure> {
    let drives = build::open(&config).map_err(|error| wrong_mount(&error.mount, &error.sentences))?;
    let server = Server::bind(config, drives).await.map_err(anyhow::Error::from)?;
    ready(&server.urls());
    server.run().await;
    Ok(())
}

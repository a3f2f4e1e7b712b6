//! `dav123 warm PATH`: the running server lists a folder and all below it, and says how far it is.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, anyhow};
use secrecy::ExposeSecret;

use super::{Failure, say};
use crate::config;
use crate::server::control::Control;

/// Asks the server that runs with this configuration.
pub async fn run(path: &str, file: &Path) -> Result<ExitCode, Failure> {
    let config = config::load(file)?;
    if !path.starts_with('/') {
        return Err(Failure::Wrong(format!(
            "\"{path}\" is no path of the tree; expected one that begins with \"/\", such as /films"
        )));
    }
    let none =
        "No server runs with this configuration and a plain HTTP listener; start one with dav123 serve.";
    let control = Control::read(&config.server.state_dir).ok_or_else(|| anyhow!(none))?;
    let mut url = url::Url::parse(&control.url).context("The server's own note cannot be read")?;
    url.set_path("/.dav123/warm");
    url.query_pairs_mut().append_pair("path", path);
    crate::pan::http::provide_tls();
    let client = reqwest::Client::builder()
        .no_proxy()
        .build()
        .map_err(anyhow::Error::from)?;
    let sent = client
        .post(url)
        .bearer_auth(control.token.expose_secret())
        .send()
        .await;
    let mut answer = sent.map_err(|_| anyhow!(none))?;
    let refused = !answer.status().is_success();
    let (mut last, mut rest) = (String::new(), Vec::new());
    while let Some(bytes) = answer.chunk().await.context("The server has gone")? {
        rest.extend_from_slice(&bytes);
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = rest.drain(..=end).collect();
            last = String::from_utf8_lossy(&line).trim_end().to_owned();
            if !refused {
                say(&last);
            }
        }
    }
    if refused {
        return Err(anyhow!(last).into());
    }
    Ok(if last.starts_with("done: ") {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

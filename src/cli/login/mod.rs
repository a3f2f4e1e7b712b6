//! `dav123 login`: a person signs in to the account of a mount, and the token is kept for the server.
//!
//! By QR code; by password (`--password`); or with a token out of a browser (`--token`). The token goes where the
//! server looks for it, so that one sign-in (one of few, API page 5.1) does for both. Nobody is ever logged out.

mod draw;
mod qr;
mod screen;
mod who;

use std::io::{BufRead, IsTerminal, Write};
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use secrecy::{ExposeSecret, SecretString};

use self::screen::Screen;
use super::{ConfigFile, Failure, passwd};
use crate::config::{self, Account, Config, Source};
use crate::drive::build;
use crate::pan::http::Client;
use crate::pan::web::login;

/// `dav123 login`
#[derive(Debug, Args)]
pub struct Options {
    /// Path of the mount as in the configuration, such as /drive
    mount: String,
    #[command(flatten)]
    config: ConfigFile,
    /// Sign in by password: the configured one, else one that is typed
    #[arg(long, conflicts_with = "token")]
    password: bool,
    /// Keep a token copied from a browser: typed, or a line of standard input
    #[arg(long)]
    token: bool,
}

/// Where a token comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Qr,
    Password,
    Pasted,
}

/// Signs in. Whatever goes wrong has exit code 1 (the contract), the configuration too.
pub async fn run(options: Options) -> Result<ExitCode, Failure> {
    match sign_in(&options).await {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(failure) => {
            let _ = writeln!(std::io::stderr(), "{failure}");
            Ok(ExitCode::FAILURE)
        }
    }
}

/// Warns for every mount that nobody is signed in to and that cannot sign in by itself.
pub fn remind(config: &Config) {
    for mount in &config.mounts {
        let Source::Account(account) = &mount.source else {
            continue;
        };
        let has_own = account.password.is_some() || account.access_token.is_some();
        if !has_own
            && build::kept_token(&config.server.state_dir, account)
                .read()
                .is_none()
        {
            let path = &mount.path;
            tracing::warn!(
                "Nobody is signed in to the account of the mount {path}: run dav123 login {path}; the running server takes it over."
            );
        }
    }
}

async fn sign_in(options: &Options) -> Result<(), Failure> {
    let config = config::load(&options.config.config)?;
    let account = account_of(&config, &options.mount)?;
    let outbound = account.endpoints.outbound.as_ref();
    let http = Client::through(outbound).map_err(|_| anyhow!("TLS cannot be set up."))?;
    let mut screen = Screen::new();
    let endpoints = &account.endpoints;
    let kept = build::kept_token(&config.server.state_dir, account);
    // A server that signs in meanwhile would cost a second device.
    let mut turn = None;
    let (way, token) = if options.token {
        (Way::Pasted, pasted()?)
    } else if options.password {
        turn = kept.turn().await;
        (Way::Password, by_password(&http, account).await?)
    } else {
        (Way::Qr, qr::token(&http, endpoints, &mut screen).await?)
    };
    let before = kept
        .read()
        .map(|token| token.secret)
        .or_else(|| account.access_token.clone());
    let who = who::who(&http, account, &token, before, way, &mut screen).await?;
    if turn.is_none() {
        turn = kept.turn().await;
    }
    let place = config.server.state_dir.display();
    kept.write(&token.into())
        .with_context(|| format!("The token cannot be kept in {place}"))?;
    drop(turn);
    screen.say(&format!(
        "Signed in{who}. The token is kept in {place}; a running server takes it over when it needs one."
    ));
    Ok(())
}

/// The account of the mount at `path`.
fn account_of<'c>(config: &'c Config, path: &str) -> anyhow::Result<&'c Account> {
    let wanted = format!("/{}", path.trim_matches('/'));
    let found = config.mounts.iter().find(|mount| mount.path == wanted);
    let with_account = || {
        let accounts = config.mounts.iter();
        let accounts = accounts.filter(|mount| matches!(mount.source, Source::Account(_)));
        let paths: Vec<&str> = accounts.map(|mount| mount.path.as_str()).collect();
        match paths.as_slice() {
            [] => "No mount has kind \"account\".".to_owned(),
            paths => format!("Mounts of kind \"account\": {}.", paths.join(", ")),
        }
    };
    match found.map(|mount| &mount.source) {
        Some(Source::Account(account)) => Ok(account),
        Some(Source::Share(share)) if share.account.is_some() => bail!(
            "The mount {wanted} is a share, signed for by the account of {path}: run dav123 login {path}.",
            path = share.account.as_deref().unwrap_or_default()
        ),
        Some(source) => bail!(
            "The mount {wanted} has kind \"{}\" and no account to sign in to. {}",
            source.kind(),
            with_account()
        ),
        None => bail!("There is no mount {wanted}. {}", with_account()),
    }
}

/// A token that a person has copied from a browser.
fn pasted() -> anyhow::Result<SecretString> {
    let typed = secret("Token (it is not shown): ")?;
    let token = typed.expose_secret().trim();
    let token = token.strip_prefix("Bearer ").unwrap_or(token).trim();
    if token.is_empty() {
        bail!("There is no token; nothing has changed.");
    }
    Ok(token.into())
}

async fn by_password(http: &Client, account: &Account) -> anyhow::Result<SecretString> {
    let username = match &account.username {
        Some(name) => name.clone(),
        None => username()?,
    };
    let password = match &account.password {
        Some(password) => password.clone(),
        None => secret("Password (it is not shown): ")?,
    };
    if password.expose_secret().is_empty() {
        bail!("The password is empty; nothing has changed.");
    }
    login::sign_in(http, &account.endpoints, &username, &password)
        .await
        .map_err(|error| anyhow!("{}", error.sentence()))
}

fn username() -> anyhow::Result<String> {
    let mut name = String::new();
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let _ = write!(std::io::stderr(), "Phone number or e-mail: ");
        stdin
            .lock()
            .read_line(&mut name)
            .context("The terminal cannot be read")?;
    }
    let name = name.trim();
    if name.is_empty() {
        bail!(
            "The mount has no username: signing in by password needs the account's phone number or e-mail."
        );
    }
    Ok(name.to_owned())
}

/// Typed unseen on a terminal, else one line of standard input.
fn secret(prompt: &str) -> anyhow::Result<SecretString> {
    let stdin = std::io::stdin();
    if stdin.is_terminal() {
        let typed = rpassword::prompt_password(prompt).context("The terminal cannot be read")?;
        return Ok(typed.into());
    }
    passwd::first_line(stdin.lock())
}

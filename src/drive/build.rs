//! From the configuration to drives: who shares what.
//!
//! Mounts of one account (or of one developer) have one session: one sign-in, one token, one set of gates. Those at the
//! same endpoints have one client as well. Shares that nobody signs
//! for have one client for each set of endpoints.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};

use super::Drive;
use super::account::AccountDrive;
use super::direct_link::{DirectLinkDrive, PaidLinks};
use super::open::OpenCalls;
use super::share::ShareDrive;
use crate::config::{self, Config, Endpoints, Mount, Outbound, Source};
use crate::hex;
use crate::pan::http::Client;
use crate::pan::kept::KeptToken;
use crate::pan::open::Open;
use crate::pan::token::{Credentials, Grant, Session};
use crate::pan::web::Web;
use crate::pan::web::share::ShareKey;

/// Why a mount cannot be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("mount {mount}: {}", sentences.join(" "))]
pub struct BuildError {
    /// Path of the mount.
    pub mount: String,
    /// What is wrong with it; at least one sentence.
    pub sentences: Vec<String>,
}

/// The drives of all mounts, in their order. Nothing is asked of 123pan yet.
///
/// # Errors
/// The first mount that cannot be opened, with all that is wrong with it.
pub fn open(config: &Config) -> Result<Vec<Arc<dyn Drive>>, BuildError> {
    let http = Client::new().map_err(|error| BuildError {
        mount: "/".to_owned(),
        sentences: vec![format!("TLS cannot be set up: {error}.")],
    })?;
    let mut clients = Clients {
        state_dir: &config.server.state_dir,
        credentials: credentials(config)?,
        http,
        through: Vec::new(),
        sessions: HashMap::new(),
        webs: Vec::new(),
        opens: Vec::new(),
    };
    config
        .mounts
        .iter()
        .map(|mount| {
            open_mount(config, mount, &mut clients).map_err(|sentences| BuildError {
                mount: mount.path.clone(),
                sentences,
            })
        })
        .collect()
}

/// Where the token of an account outlives the run; one run writes it, the next reads it.
pub fn kept_token(state_dir: &Path, account: &config::Account) -> KeptToken {
    KeptToken::new(state_dir, &identity(account))
}

/// What two mounts may share.
struct Clients<'a> {
    state_dir: &'a Path,
    /// By identity, of all mounts together.
    credentials: HashMap<String, Credentials>,
    http: Client,
    /// By the proxy that they go through.
    through: Vec<(Outbound, Client)>,
    /// By identity; `""` is nobody.
    sessions: HashMap<String, Session>,
    webs: Vec<(String, Arc<Web>)>,
    opens: Vec<(String, Arc<Open>)>,
}

fn open_mount(
    config: &Config,
    mount: &Mount,
    clients: &mut Clients<'_>,
) -> Result<Arc<dyn Drive>, Vec<String>> {
    match &mount.source {
        Source::Account(account) => {
            let web = clients.web(Some(account), &account.endpoints)?;
            let drive =
                AccountDrive::new(web, account.root_id, identity(account)).with_delete(account.delete);
            Ok(Arc::new(drive))
        }
        Source::Share(share) => {
            let account = match &share.account {
                None => None,
                Some(path) => Some(account_at(config, path)?),
            };
            let web = clients.web(account, &share.endpoints)?;
            let key = ShareKey {
                key: share.key.clone(),
                password: share.password.clone(),
            };
            Ok(Arc::new(ShareDrive::new(web, key, share.root_id)))
        }
        Source::DirectLink(list) => open_direct_link(list, clients.http.clone()),
        Source::Open(open) => {
            let web = clients.open(open)?;
            let http = clients.http(&open.endpoints)?;
            let paid = open.paid_links.as_ref().map(|paid| PaidLinks::new(paid, http));
            let calls = OpenCalls::new(web, paid);
            let drive = AccountDrive::new(calls, open.root_id, open_identity(open)).with_delete(open.delete);
            Ok(Arc::new(drive))
        }
    }
}

fn open_direct_link(list: &config::DirectLink, http: Client) -> Result<Arc<dyn Drive>, Vec<String>> {
    Ok(Arc::new(DirectLinkDrive::new(list, http)?))
}

fn account_at<'a>(config: &'a Config, path: &str) -> Result<&'a config::Account, Vec<String>> {
    config
        .mounts
        .iter()
        .find_map(|mount| match &mount.source {
            Source::Account(account) if mount.path == path => Some(account),
            _ => None,
        })
        .ok_or_else(|| {
            vec![format!(
                "account = \"{path}\" is not the path of a mount of kind \"account\"."
            )]
        })
}

impl Clients<'_> {
    fn web(
        &mut self,
        account: Option<&config::Account>,
        endpoints: &Endpoints,
    ) -> Result<Arc<Web>, Vec<String>> {
        let who = account.map_or_else(String::new, identity);
        let known = self
            .webs
            .iter()
            .find(|(name, web)| *name == who && web.endpoints() == endpoints);
        if let Some((_, web)) = known {
            return Ok(Arc::clone(web));
        }
        let http = self.http(endpoints)?;
        let session = match account {
            Some(account) => self.session(&who, &account.endpoints, &http),
            None => Session::anonymous(http.clone(), endpoints.clone()),
        };
        let web = Arc::new(Web::new(http, endpoints.clone(), session));
        self.webs.push((who, Arc::clone(&web)));
        Ok(web)
    }

    /// The HTTP client for the way to these endpoints.
    fn http(&mut self, endpoints: &Endpoints) -> Result<Client, Vec<String>> {
        let Some(outbound) = &endpoints.outbound else {
            return Ok(self.http.clone());
        };
        if let Some((_, http)) = self.through.iter().find(|(way, _)| way == outbound) {
            return Ok(http.clone());
        }
        let http = Client::through(Some(outbound))
            .map_err(|_| vec![format!("No client can be set up for outbound = \"{outbound}\".")])?;
        self.through.push((outbound.clone(), http.clone()));
        Ok(http)
    }

    /// Mounts of one developer at the same endpoints share a client.
    fn open(&mut self, open: &config::Open) -> Result<Arc<Open>, Vec<String>> {
        let who = open_identity(open);
        let known = self
            .opens
            .iter()
            .find(|(name, client)| *name == who && *client.endpoints() == open.endpoints);
        if let Some((_, client)) = known {
            return Ok(Arc::clone(client));
        }
        let http = self.http(&open.endpoints)?;
        let session = self.session(&who, &open.endpoints, &http);
        let client = Arc::new(Open::new(http, &open.endpoints, session));
        self.opens.push((who, Arc::clone(&client)));
        Ok(client)
    }

    /// The session of an account or a developer, at the endpoints of whichever mount came first.
    fn session(&mut self, who: &str, endpoints: &Endpoints, http: &Client) -> Session {
        if let Some(session) = self.sessions.get(who) {
            return session.clone();
        }
        let credentials = self.credentials.get(who).cloned().unwrap_or_default();
        let kept = KeptToken::new(self.state_dir, who);
        let session = Session::new(http.clone(), endpoints.clone(), credentials, Some(kept));
        self.sessions.insert(who.to_owned(), session.clone());
        session
    }
}

/// Who an account is: its name at its sign-in host, or else its configured token.
fn identity(account: &config::Account) -> String {
    let name = account.username.as_deref();
    identity_of(&account.endpoints.login, name, account.access_token.as_ref())
}

/// The same for a developer of the Open platform.
fn open_identity(open: &config::Open) -> String {
    let name = open.client.as_ref().map(|(id, _)| id.as_str());
    identity_of(&open.endpoints.open, name, open.access_token.as_ref())
}

fn identity_of(host: &str, name: Option<&str>, token: Option<&SecretString>) -> String {
    match (name, token) {
        (Some(name), _) => format!("{host}\n{name}"),
        (None, Some(token)) => {
            let hash = hex::encode(&Sha256::digest(token.expose_secret().as_bytes()));
            format!("{host}\ntoken {hash}")
        }
        (None, None) => host.to_owned(),
    }
}

/// Who a mount calls as, what it proves that with, and its way there; `None` where it needs no proof.
fn caller(source: &Source) -> Option<(String, Credentials, &Option<Outbound>)> {
    let (who, grant, token, endpoints) = match source {
        Source::Account(account) => {
            let pair = account.username.clone().zip(account.password.clone());
            let grant = pair.map(|(name, password)| Grant::Password(name, password));
            (
                identity(account),
                grant,
                &account.access_token,
                &account.endpoints,
            )
        }
        Source::Open(open) => {
            let grant = open.client.clone().map(|(id, secret)| Grant::Client(id, secret));
            (open_identity(open), grant, &open.access_token, &open.endpoints)
        }
        Source::Share(_) | Source::DirectLink(_) => return None,
    };
    let access_token = token.clone();
    Some((who, Credentials { grant, access_token }, &endpoints.outbound))
}

/// What all mounts say about each account, put together.
fn credentials(config: &Config) -> Result<HashMap<String, Credentials>, BuildError> {
    let mut all: HashMap<String, Credentials> = HashMap::new();
    let mut ways: HashMap<String, &Option<Outbound>> = HashMap::new();
    for mount in &config.mounts {
        let Some((who, given, outbound)) = caller(&mount.source) else {
            continue;
        };
        let known = all.entry(who.clone()).or_default();
        let mut sentences = Vec::new();
        let secret = |c: &Credentials| c.grant.as_ref().map(|grant| grant.secret().clone());
        let name = given.grant.as_ref().map_or("password", Grant::setting);
        for (name, known, given) in [
            (name, secret(known), secret(&given)),
            (
                "access_token",
                known.access_token.clone(),
                given.access_token.clone(),
            ),
        ] {
            if differ(known.as_ref(), given.as_ref()) {
                sentences.push(format!(
                    "its {name} is another one than that of an earlier mount of the same account."
                ));
            }
        }
        if *ways.entry(who).or_insert(outbound) != outbound {
            sentences.push(
                "its outbound is another one than that of an earlier mount of the same account: 123pan would see the account at two addresses.".to_owned(),
            );
        }
        known.grant = given.grant.or(known.grant.take());
        known.access_token = given.access_token.or(known.access_token.take());
        if !sentences.is_empty() {
            return Err(BuildError {
                mount: mount.path.clone(),
                sentences,
            });
        }
    }
    Ok(all)
}

fn differ(a: Option<&SecretString>, b: Option<&SecretString>) -> bool {
    matches!((a, b), (Some(a), Some(b)) if a.expose_secret() != b.expose_secret())
}

#[cfg(test)]
#[path = "build_tests.rs"]
mod tests;

//! The checked configuration: what the rest of the program reads.
//!
//! [`load`] turns the TOML of the file once into these types (`file`, `server`, `mount`, `delivery`, read
//! through `section`), with every error naming file, line, key and what was expected, all at once.
//! Nothing downstream parses strings again.

mod delivery;
mod file;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod mount;
mod network;
mod outbound;
mod password;
mod proxy;
mod secret;
mod section;
mod server;
mod share_link;
pub mod units;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::time::Duration;

use secrecy::SecretString;
use wildmatch::WildMatch;

pub use file::{Error, load, parse};
pub use network::Network;
pub use outbound::{Outbound, Protocol};
pub use password::{Algorithm, Password, REALM};
pub use section::Problem;

/// Everything a user can set.
#[derive(Debug, Clone)]
pub struct Config {
    /// `[server]`
    pub server: Server,
    /// `[cache]`
    pub cache: Cache,
    /// `[upload]`
    pub upload: Upload,
    /// `[[user]]`, in their order.
    pub users: Vec<User>,
    /// `[[mount]]`, in their order; paths are unique.
    pub mounts: Vec<Mount>,
    /// `[proxy]`
    pub proxy: Option<Proxy>,
}

impl Config {
    /// Whether it is the proxy of another dav123 and nothing else.
    pub fn only_proxy(&self) -> bool {
        self.proxy.is_some() && self.mounts.is_empty()
    }
}

/// Which dav123 this one fetches files for, as its mounts with strategy `proxy-url` say.
#[derive(Debug, Clone)]
pub struct Proxy {
    /// Its address, without a trailing slash.
    pub origin: String,
    /// The `proxy_secret` of its mounts.
    pub secret: SecretString,
}

/// Where and how to listen, and where to keep state.
#[derive(Debug, Clone)]
pub struct Server {
    /// `host:port` each, at least one; port 0 picks a free one.
    pub listen: Vec<String>,
    /// URL path of the tree, decoded, without a trailing slash: `""` for the root, `"/dav"`.
    pub prefix: String,
    /// TLS for every listener.
    pub tls: Option<Tls>,
    /// Tokens, dead properties, pending uploads.
    pub state_dir: PathBuf,
    /// How long running transfers get after SIGINT or SIGTERM.
    pub shutdown_grace: Duration,
    /// What someone who gives no name and password may do; `None`: nothing.
    pub anonymous: Option<Access>,
    /// Reverse proxies whose word about the client's address and scheme is taken.
    pub trusted_proxies: Vec<Network>,
}

/// A certificate chain and its key, both PEM, re-read on SIGHUP.
#[derive(Debug, Clone)]
pub struct Tls {
    /// Certificate chain.
    pub cert: PathBuf,
    /// Private key.
    pub key: PathBuf,
}

/// Bounds of the caches.
#[derive(Debug, Clone)]
pub struct Cache {
    /// How long a listing is served without asking again; zero: always ask.
    pub list_ttl: Duration,
    /// How long after that it is still served while it is asked anew behind.
    pub stale: Duration,
    /// Entries kept over all folders.
    pub list_entries: u64,
    /// Folders that are listed with all below them in the background: paths in the tree.
    pub warm: Vec<String>,
    /// Bytes of memory for beginnings and ends of files that were streamed; 0 switches it off.
    pub blocks: u64,
}

/// How a PUT reaches 123pan.
#[derive(Debug, Clone)]
pub struct Upload {
    /// When a PUT is answered.
    pub mode: UploadMode,
    /// Where bodies are kept until 123pan has them.
    pub spool_dir: PathBuf,
    /// Bytes of the spool at the most.
    pub spool_limit: u64,
    /// Parts of one file uploaded at once.
    pub parts: usize,
}

/// When a PUT is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UploadMode {
    /// When 123pan has the file.
    Through,
    /// When the spool has it; uploaded behind, across restarts.
    Back,
}

/// Who may do what, and where.
#[derive(Debug, Clone)]
pub struct User {
    /// Name as sent at sign-in.
    pub name: String,
    /// What proves it.
    pub password: Password,
    /// The subtree this user sees as its root: decoded, begins with `/`, no trailing slash but for `/`.
    pub root: String,
    /// What the user may do there.
    pub access: Access,
}

/// Reading only, or writing too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// No method that changes anything.
    ReadOnly,
    /// Everything the drive can do.
    ReadWrite,
}

/// One `[[mount]]`.
#[derive(Debug, Clone)]
pub struct Mount {
    /// Where in the tree: decoded, begins with `/`, no trailing slash but for `/` itself.
    pub path: String,
    /// What it shows.
    pub source: Source,
    /// Whether it may be written to.
    pub access: Access,
    /// How its files reach the client.
    pub delivery: Delivery,
}

/// What a mount shows.
#[derive(Debug, Clone)]
pub enum Source {
    /// `kind = "account"`
    Account(Account),
    /// `kind = "share"`
    Share(Share),
    /// `kind = "direct-link"`
    DirectLink(DirectLink),
    /// `kind = "open"`
    Open(Open),
}

impl Source {
    /// The name of the kind as written in the configuration.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Account(_) => "account",
            Self::Share(_) => "share",
            Self::DirectLink(_) => "direct-link",
            Self::Open(_) => "open",
        }
    }

    /// Where the service is; `None` for direct links.
    pub fn endpoints(&self) -> Option<&Endpoints> {
        match self {
            Self::Account(account) => Some(&account.endpoints),
            Self::Share(share) => Some(&share.endpoints),
            Self::Open(open) => Some(&open.endpoints),
            Self::DirectLink(_) => None,
        }
    }

    fn endpoints_mut(&mut self) -> Option<&mut Endpoints> {
        match self {
            Self::Account(account) => Some(&mut account.endpoints),
            Self::Share(share) => Some(&mut share.endpoints),
            Self::Open(open) => Some(&mut open.endpoints),
            Self::DirectLink(_) => None,
        }
    }
}

/// A 123pan account. Without password and token it is one that somebody signs in to by `dav123 login`.
#[derive(Debug, Clone)]
pub struct Account {
    /// Phone number or e-mail.
    pub username: Option<String>,
    /// Its password.
    pub password: Option<SecretString>,
    /// A token pasted from a browser.
    pub access_token: Option<SecretString>,
    /// Folder shown as the mount's root; 0 is the whole drive.
    pub root_id: i64,
    /// What DELETE does.
    pub delete: Delete,
    /// Where the service is.
    pub endpoints: Endpoints,
}

/// What DELETE does in an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delete {
    /// Moves to the recycle bin.
    Trash,
    /// Removes it from the recycle bin too.
    Permanent,
}

/// A share link.
#[derive(Debug, Clone)]
pub struct Share {
    /// `abcd-EfGh`, taken out of a whole link where one was given.
    pub key: String,
    /// Share password (提取码), taken out of the link where it holds one.
    pub password: Option<SecretString>,
    /// Folder of the share shown as the mount's root; 0 shows everything.
    pub root_id: i64,
    /// Path of the account mount whose token signs the requests.
    pub account: Option<String>,
    /// Where the service is.
    pub endpoints: Endpoints,
}

/// A list of paid direct links.
#[derive(Debug, Clone)]
pub struct DirectLink {
    /// Numeric account id; needed where `private_key` is set.
    pub uid: Option<u64>,
    /// Authentication key of the direct-link page; without it links go out unsigned.
    pub private_key: Option<SecretString>,
    /// How long a signed link works.
    pub valid_for: Duration,
    /// The text of the list (section 9.4 of the API page). Holds unsigned URLs: not for logs.
    pub links: SecretString,
    /// Where the list came from, for messages: `links` of the configuration, or a file's name.
    pub links_from: String,
}

/// The Open platform.
#[derive(Debug, Clone)]
pub struct Open {
    /// Client id and secret of a developer.
    pub client: Option<(String, SecretString)>,
    /// A token instead.
    pub access_token: Option<SecretString>,
    /// Folder shown as the mount's root.
    pub root_id: i64,
    /// What a DELETE does.
    pub delete: Delete,
    /// `link = "direct"`: files in a direct-link space are read by paid links.
    pub paid_links: Option<PaidLinks>,
    /// Where the service is.
    pub endpoints: Endpoints,
}

/// How paid direct links are made (API page section 9.2).
#[derive(Debug, Clone)]
pub struct PaidLinks {
    /// Signs them; without it they are handed on unsigned.
    pub private_key: Option<SecretString>,
    /// How long a signed one is good.
    pub valid_for: Duration,
}

/// Where the service is (API page section 1). URLs without a trailing slash.
#[derive(Debug, Clone, PartialEq)]
pub struct Endpoints {
    /// `…/user/sign_in` is below it.
    pub login: String,
    /// `…/file/list/new`, `…/share/get` are below each; the next is tried when one cannot be connected to.
    pub api: Vec<String>,
    /// `…/api/v1/access_token` is below it.
    pub open: String,
    /// What the Origin header says; Referer is this with a `/`.
    pub origin: String,
    /// Factor on the built-in pace of calls.
    pub rate: f64,
    /// The proxy through which all of it is reached.
    pub outbound: Option<Outbound>,
}

impl Default for Endpoints {
    /// The hosts in use in 2026 (API page 1.1 and 1.3).
    fn default() -> Self {
        Self {
            login: "https://login.123pan.com/api".into(),
            api: vec![
                "https://www.123pan.cn/b/api".into(),
                "https://api.123278.com/b/api".into(),
                "https://yun.123pan.com/b/api".into(),
            ],
            open: "https://open-api.123pan.com".into(),
            origin: "https://yun.123pan.cn".into(),
            rate: 1.0,
            outbound: None,
        }
    }
}

/// How the bytes of a file reach the client.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The mount's own strategy.
    pub strategy: Strategy,
    /// Rules by User-Agent; the first that matches decides.
    pub clients: Vec<ClientRule>,
    /// Base URL of the proxy, without a trailing slash.
    pub proxy_url: Option<String>,
    /// HMAC key of the proxy URL's signature.
    pub proxy_secret: Option<SecretString>,
    /// Parallel range requests for one download, 1 to 16.
    pub proxy_connections: usize,
    /// Bytes held in memory for one download at the most.
    pub proxy_window: u64,
    /// Under `auto`, smaller files are always streamed; 0 switches it off.
    pub auto_proxy_below: u64,
    /// Bytes per period after which a GET is refused.
    pub budget: Option<Budget>,
    /// The proxy through which the CDN is reached: that of the mount's endpoints.
    pub outbound: Option<Outbound>,
}

impl Default for Delivery {
    fn default() -> Self {
        Self {
            strategy: Strategy::Redirect,
            clients: Vec::new(),
            proxy_url: None,
            proxy_secret: None,
            proxy_connections: 1,
            proxy_window: 16 << 20,
            auto_proxy_below: 1 << 20,
            budget: None,
            outbound: None,
        }
    }
}

/// What a GET of a file is answered with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strategy {
    /// 302 to the CDN.
    Redirect,
    /// The bytes, streamed through.
    Proxy,
    /// 302 to a signed proxy.
    ProxyUrl,
    /// By client and by link.
    Auto,
}

impl Strategy {
    /// The name as written in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redirect => "redirect",
            Self::Proxy => "proxy",
            Self::ProxyUrl => "proxy-url",
            Self::Auto => "auto",
        }
    }
}

/// One `[[mount.client]]`.
#[derive(Debug, Clone)]
pub struct ClientRule {
    /// Glob on the User-Agent, letters compared without case.
    pub user_agent: WildMatch,
    /// What such a client gets.
    pub strategy: Strategy,
}

/// Bytes per period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// Bytes allowed.
    pub bytes: u64,
    /// In each of these.
    pub per: Period,
}

/// A period of a [`Budget`], by the local clock's day and month in UTC+8, as 123pan bills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Period {
    /// One hour.
    Hour,
    /// One day.
    Day,
    /// One month.
    Month,
}

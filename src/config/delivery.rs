//! The delivery settings and the endpoints of a mount.

use url::Url;
use wildmatch::WildMatch;

use super::mount::{EVERY, KINDS};
use super::section::{At, Section, or, quoted};
use super::{Budget, ClientRule, Delivery, Endpoints, Period, Strategy, secret};

/// Keys of the delivery on a mount.
pub const DELIVERY: &[&str] = &[
    "strategy",
    "proxy_url",
    "proxy_secret",
    "proxy_secret_env",
    "proxy_secret_file",
    "proxy_connections",
    "proxy_window",
    "auto_proxy_below",
    "budget",
    "client",
];
/// Keys of `[[mount.client]]`.
pub const CLIENT: &[&str] = &["user_agent", "strategy"];
/// Keys of `budget`.
pub const BUDGET: &[&str] = &["bytes", "per"];
/// Keys of `[mount.endpoints]`.
pub const ENDPOINTS: &[&str] = &["login", "api", "open", "origin", "rate"];

const STRATEGIES: &[(&str, Strategy)] = &[
    ("redirect", Strategy::Redirect),
    ("proxy", Strategy::Proxy),
    ("proxy-url", Strategy::ProxyUrl),
    ("auto", Strategy::Auto),
];

/// What a URL looks like, for messages.
pub const URL: &str = "a URL that begins with http:// or https://";

/// Reads the delivery settings of a mount.
pub fn delivery(section: &mut Section<'_>) -> Delivery {
    let default = Delivery::default();
    let strategy = section
        .choice("strategy", "strategy", STRATEGIES)
        .unwrap_or(default.strategy);
    let clients = section.tables("client");
    let clients: Vec<ClientRule> = clients.into_iter().filter_map(client).collect();
    if strategy == Strategy::ProxyUrl || clients.iter().any(|rule| rule.strategy == Strategy::ProxyUrl) {
        section.require("proxy_url", "strategy \"proxy-url\" needs the proxy's URL");
        if !secret::is_given(section, "proxy_secret") {
            section.problem(
                "proxy_secret",
                "missing; strategy \"proxy-url\" needs the proxy's key: proxy_secret, proxy_secret_env or proxy_secret_file",
            );
        }
    }
    let connections = section.integer("proxy_connections", 1, 16);
    let window = section.size("proxy_window");
    if window == Some(0) {
        section.problem(
            "proxy_window",
            "\"0B\" leaves no room for any byte; expected more than 0 bytes",
        );
    }
    Delivery {
        strategy,
        clients,
        proxy_url: section.parsed("proxy_url", URL, base_url),
        proxy_secret: secret::read(section, "proxy_secret"),
        proxy_connections: connections
            .and_then(|n| usize::try_from(n).ok())
            .unwrap_or(default.proxy_connections),
        proxy_window: window.unwrap_or(default.proxy_window),
        auto_proxy_below: section
            .size("auto_proxy_below")
            .unwrap_or(default.auto_proxy_below),
        budget: section.table_such_as("budget", LIKE).and_then(budget),
        outbound: None,
    }
}

/// Notes every key that does not belong here; a key of the mount got below the wrong header.
fn refuse_others(section: &Section<'_>, known: &[&str]) {
    let kinds = KINDS.iter().map(|(_, keys)| *keys);
    let of_mount: Vec<&str> = kinds.chain([EVERY, DELIVERY]).flatten().copied().collect();
    for key in section.others(&[known]) {
        let expected = or(known.iter().copied());
        let above = if of_mount.contains(&key.as_str()) {
            "; keys of the mount itself stand above this table"
        } else {
            ""
        };
        section.problem(&key, format!("unknown key; expected {expected}{above}"));
    }
}

fn client(mut section: Section<'_>) -> Option<ClientRule> {
    refuse_others(&section, CLIENT);
    section.require(
        "user_agent",
        "expected a pattern such as \"Microsoft-WebDAV-MiniRedir*\"",
    );
    section.require("strategy", "expected what such a client gets, such as \"proxy\"");
    let pattern = section.text("user_agent", "a pattern such as \"Microsoft-WebDAV-MiniRedir*\"");
    let strategy = section.choice("strategy", "strategy", STRATEGIES);
    Some(ClientRule {
        user_agent: WildMatch::new_case_insensitive(&pattern?.value),
        strategy: strategy?,
    })
}

/// What a budget looks like, for messages.
const LIKE: &str = "a size and a period, such as { bytes = \"200GiB\", per = \"day\" }";

fn budget(mut section: Section<'_>) -> Option<Budget> {
    const PERIODS: &[(&str, Period)] = &[
        ("hour", Period::Hour),
        ("day", Period::Day),
        ("month", Period::Month),
    ];
    refuse_others(&section, BUDGET);
    section.require("bytes", "expected a size in quotes, such as \"200GiB\"");
    section.require("per", "expected \"hour\", \"day\" or \"month\"");
    let bytes = section.size("bytes");
    if bytes == Some(0) {
        section.problem(
            "bytes",
            "\"0B\" would refuse every download; expected more than 0 bytes",
        );
    }
    let per = section.choice("per", "period", PERIODS);
    Some(Budget {
        bytes: bytes?,
        per: per?,
    })
}

/// Reads `[mount.endpoints]`; what is absent has the default.
pub fn endpoints(mut section: Section<'_>) -> Endpoints {
    refuse_others(&section, ENDPOINTS);
    let default = Endpoints::default();
    let expected = format!("{URL}, or a list of these");
    let mut api = Vec::new();
    for At { line, value } in section.texts("api", &expected).unwrap_or_default() {
        match base_url(&value) {
            Some(url) => api.push(url),
            None => {
                let sentence = format!("{} is not understood; expected {expected}", quoted(&value));
                section.reader.problem(line, section.full("api"), sentence);
            }
        }
    }
    Endpoints {
        login: section.parsed("login", URL, base_url).unwrap_or(default.login),
        api: if api.is_empty() { default.api } else { api },
        open: section.parsed("open", URL, base_url).unwrap_or(default.open),
        origin: section.parsed("origin", URL, base_url).unwrap_or(default.origin),
        rate: section.factor("rate").unwrap_or(default.rate),
        outbound: None,
    }
}

/// A URL below which others lie: `http` or `https`, a host, no query, no trailing slash.
pub fn base_url(text: &str) -> Option<String> {
    let url = Url::parse(text).ok()?;
    let is_base = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.query().is_none()
        && url.fragment().is_none();
    is_base.then(|| text.trim().trim_end_matches('/').to_owned())
}

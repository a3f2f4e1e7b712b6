//! The status page: mounts and what keeps them from working, transfers, files that wait, calls, caches.
//!
//! It shows what the user may see: mounts, files and transfers below his root. Each part has an id, and the script renews
//! the parts one by one; with its query `quiet` the page asks 123pan for nothing.

use std::fmt::Write;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::Response;

use super::status_words::StatusWords;
use super::words::Language;
use super::{STATUS_SCRIPT, begin, escaped, human, plot, respond};
use crate::body::Body;
use crate::config::{Access, Budget, Period};
use crate::delivery::Delivery;
use crate::drive::{Governor, Quota};
use crate::server::auth::Principal;
use crate::server::crowd::Place;
use crate::server::transfers::Transfers;
use crate::tree::{Mount, Tree, TreePath};

/// So long the page waits for quotas that are not known.
const QUOTA_WAIT: Duration = Duration::from_secs(1);
/// Rows of a table at the most.
const MOST: usize = 50;

/// What the page is made from.
pub(in crate::server) struct Seen<'a> {
    pub(in crate::server) tree: &'a Arc<Tree>,
    pub(in crate::server) delivery: &'a Delivery,
    pub(in crate::server) transfers: &'a Transfers,
    /// Of the connection that asks, among all.
    pub(in crate::server) place: &'a Place,
    pub(in crate::server) principal: &'a Principal,
    /// Where the tree begins.
    pub(in crate::server) prefix: &'a TreePath,
    /// Path and query of the request.
    pub(in crate::server) url_path: &'a str,
    pub(in crate::server) query: &'a str,
    pub(in crate::server) language: Language,
}

/// `text` with its places filled in; they are HTML already.
fn fill(text: &str, values: &[&str]) -> String {
    let mut out = String::new();
    let mut values = values.iter();
    for (at, part) in text.split("{}").enumerate() {
        if at > 0 {
            out.push_str(values.next().unwrap_or(&""));
        }
        out.push_str(part);
    }
    out
}

fn duration(time: Duration) -> String {
    humantime::format_duration(Duration::from_secs(time.as_secs().max(1))).to_string()
}

/// Writing to a String cannot fail.
macro_rules! put {
    ($out:expr, $($arg:tt)*) => {{ let _ = write!($out, $($arg)*); }};
}

/// The page.
pub(in crate::server) async fn status(seen: Seen<'_>) -> Response<Body> {
    let words = seen.language.status_words();
    let common = seen.language.words();
    // `/.dav123` without a slash is seen from the root.
    let (base, up) = match seen.url_path.trim_start_matches('/').contains('/') {
        true => ("", "../"),
        false => (".dav123/", "./"),
    };
    let root = format!("{up}{}", seen.prefix.encoded().trim_start_matches('/'));
    let root = if root.ends_with('/') { root } else { root + "/" };
    let still = seen.query == "live=off";
    let live = if still { "" } else { " data-live" };
    let mut out = begin(common.tag, &format!("dav123 · {}", words.title), live);
    put!(
        out,
        "<header><nav aria-label=\"{}\"><ol><li><a href=\"{root}\">{}</a></li></ol></nav><h1>{}</h1></header><main>",
        common.path,
        common.root,
        words.title
    );
    let here = if base.is_empty() { "?" } else { ".dav123/?" };
    let (says, turn, query) = match still {
        false => (words.live_on, words.turn_off, "live=off"),
        true => (words.live_off, words.turn_on, "live=on"),
    };
    put!(
        out,
        "<p>{says} <a href=\"{here}{query}\">{turn}</a> · <a href=\"{here}{}\">{}</a></p>",
        if still { "live=off" } else { "live=on" },
        words.reload
    );
    let parts = [
        ("mounts", words.mounts, mounts(&seen, base, words).await),
        ("transfers", words.transfers, transfers(&seen, words)),
        ("queue", words.queue, queue(&seen, words)),
        ("calls", words.calls, calls(&seen, words)),
        ("cache", words.cache, cache(seen.tree, words)),
    ];
    for (id, heading, inside) in parts {
        put!(
            out,
            "<section aria-labelledby=\"{id}-h\"><h2 id=\"{id}-h\">{heading}</h2><div id=\"{id}\" data-part>{inside}</div></section>"
        );
    }
    put!(
        out,
        "</main><footer>{} · <a href=\"{base}metrics\">{}</a></footer><script>{STATUS_SCRIPT}</script></body></html>",
        fill(words.version, &[env!("CARGO_PKG_VERSION")]),
        words.metrics
    );
    respond(Body::from(out))
}

/// A mount's path as the user sees it; `None` where he does not.
fn shown(mount: &Mount, root: &TreePath) -> Option<TreePath> {
    match mount.path.below(root) {
        Some(path) => Some(path),
        None => root.below(&mount.path).map(|_| TreePath::root()),
    }
}

async fn mounts(seen: &Seen<'_>, base: &str, words: &StatusWords) -> String {
    let wait = match seen.query {
        "quiet" => Duration::ZERO,
        _ => QUOTA_WAIT,
    };
    let root = &seen.principal.root;
    let visible = || {
        let mounts = seen.tree.mounts().iter();
        mounts.filter_map(|mount| Some((mount, shown(mount, root)?)))
    };
    let quotas = join_all(visible().map(|(mount, _)| seen.tree.known_quota(mount, wait))).await;
    let mut out = String::from("<div class=\"cards\">");
    for ((mount, path), quota) in visible().zip(quotas) {
        card(&mut out, seen, base, words, (mount, &path), quota);
    }
    out.push_str("</div>");
    if visible().next().is_none() {
        return words.no_mounts.to_owned();
    }
    out
}

fn card(
    out: &mut String,
    seen: &Seen<'_>,
    base: &str,
    words: &StatusWords,
    (mount, path): (&Mount, &TreePath),
    quota: Option<Quota>,
) {
    let name = escaped(&path.to_string());
    let kind = mount.settings.source.kind();
    let kind = words
        .kinds
        .iter()
        .find(|(key, _)| *key == kind)
        .map_or(kind, |(_, word)| *word);
    let may = |access| access == Access::ReadWrite;
    let writable = may(seen.principal.access) && may(mount.settings.access) && mount.drive.capability().write;
    let access = if writable {
        words.read_write
    } else {
        words.read_only
    };
    put!(
        out,
        "<article><h3><bdi>{name}</bdi></h3><p class=\"soft\">{kind} · {} · {access}</p>",
        mount.settings.delivery.strategy.name()
    );
    let governor = mount.drive.governor();
    if let Some(halted) = &governor.halted {
        put!(
            out,
            "<p class=\"bad\"><strong>{}</strong> {}",
            words.halted,
            escaped(&halted.sentence)
        );
        if let Some(wait) = halted.wait {
            put!(out, " {}", fill(words.tried_in, &[&duration(wait)]));
        }
        out.push_str("</p>");
        if may(seen.principal.access) {
            put!(
                out,
                "<form method=\"post\" action=\"{base}resume\"><button>{}</button></form>",
                words.resume
            );
        }
    } else if governor.calls.is_empty() && mount.settings.source.kind() != "direct-link" {
        put!(out, "<p class=\"soft\">{}</p>", words.idle);
    } else {
        put!(out, "<p class=\"good\">{}</p>", words.well);
    }
    for call in governor.calls.iter().filter(|call| call.interval > call.pace) {
        let seconds = |time: Duration| format!("{:.1}", time.as_secs_f64());
        let slowed = fill(
            words.slowed,
            &[call.call, &seconds(call.interval), &seconds(call.pace)],
        );
        put!(out, "<p class=\"warn\">{slowed}</p>");
    }
    if mount.drive.capability().quota {
        space(out, words, quota);
    }
    if let Some((used, Budget { bytes, per })) = seen.delivery.spent(mount) {
        let period = match per {
            Period::Hour => words.periods[0],
            Period::Day => words.periods[1],
            Period::Month => words.periods[2],
        };
        let label = format!("{} ({period})", words.budget);
        bar(out, &label, words, used, Some(bytes));
    }
    let decoded = path.to_string();
    let query: String = url::form_urlencoded::byte_serialize(decoded.as_bytes()).collect();
    put!(
        out,
        "<form method=\"post\" action=\"{base}refresh?path={query}\"><button aria-label=\"{}\" title=\"{0}\">{}</button></form></article>",
        fill(words.refresh_of, &[&name]),
        words.refresh
    );
}

fn space(out: &mut String, words: &StatusWords, quota: Option<Quota>) {
    match quota {
        Some(Quota { used, total }) => bar(out, words.space, words, used, total),
        None => put!(
            out,
            "<p>{}: <span class=\"soft\">{}</span></p>",
            words.space,
            words.unknown
        ),
    }
}

fn bar(out: &mut String, label: &str, words: &StatusWords, used: u64, total: Option<u64>) {
    let Some(total) = total else {
        put!(out, "<p>{label}: {}</p>", fill(words.used, &[&human(used)]));
        return;
    };
    let text = fill(words.used_of, &[&human(used), &human(total)]);
    put!(
        out,
        "<p>{label}: {text}<progress max=\"{}\" value=\"{}\" aria-label=\"{label}\"></progress></p>",
        total.max(1),
        used.min(total)
    );
}

/// A path as the user sees it.
fn relative(path: &TreePath, root: &TreePath) -> String {
    escaped(&path.below(root).unwrap_or_default().to_string())
}

fn transfers(seen: &Seen<'_>, words: &StatusWords) -> String {
    let root = &seen.principal.root;
    let (running, all) = seen.transfers.running(root, MOST);
    if all == 0 {
        return format!("<p class=\"soft\">{}</p>", words.no_transfers);
    }
    let mut out = format!(
        "<table class=\"list\"><thead><tr><th scope=\"col\">{}</th><th scope=\"col\">{}</th><th scope=\"col\">{}</th>\
         <th scope=\"col\">{}</th></tr></thead><tbody>",
        words.file, words.moved, words.rate, words.user
    );
    for one in &running {
        let (sign, way) = match one.up {
            true => ("↑", words.upload),
            false => ("↓", words.download),
        };
        let moved = match one.size {
            Some(size) => format!("{} / {}", human(one.bytes), human(size)),
            None => human(one.bytes),
        };
        put!(
            out,
            "<tr><td><span role=\"img\" aria-label=\"{way}\">{sign}</span> <bdi>{}</bdi></td><td>{moved}</td>\
             <td>{}/s</td><td><bdi>{}</bdi></td></tr>",
            relative(&one.path, root),
            human(one.rate as u64),
            escaped(&one.user)
        );
    }
    out.push_str("</tbody></table>");
    more(&mut out, words, all - running.len());
    out
}

fn more(out: &mut String, words: &StatusWords, left: usize) {
    if left > 0 {
        put!(out, "<p>{}</p>", fill(words.more, &[&left.to_string()]));
    }
}

fn queue(seen: &Seen<'_>, words: &StatusWords) -> String {
    let root = &seen.principal.root;
    // All are counted for who sees all; others are told of their own.
    let files = seen.tree.waiting_files(root, usize::MAX);
    if files.is_empty() {
        return format!("<p class=\"soft\">{}</p>", words.no_queue);
    }
    let bytes = human(files.iter().map(|file| file.size).sum());
    let mut out = format!(
        "<p>{}</p><table class=\"list\"><thead><tr><th scope=\"col\">{}</th><th scope=\"col\">{}</th>\
         <th scope=\"col\">{}</th></tr></thead><tbody>",
        fill(words.queue_all, &[&files.len().to_string(), &bytes]),
        words.file,
        words.size,
        words.state
    );
    for file in files.iter().take(MOST) {
        let mut state = match file.running {
            true => words.sending.to_owned(),
            false if file.due_in.is_zero() => words.next.to_owned(),
            false => fill(words.due, &[&duration(file.due_in)]),
        };
        if file.attempts > 0 {
            state += ", ";
            state += &fill(words.failed, &[&file.attempts.to_string()]);
        }
        put!(
            out,
            "<tr><td><bdi>{}</bdi></td><td>{}</td><td>{state}</td></tr>",
            relative(&file.path, root),
            human(file.size)
        );
    }
    out.push_str("</tbody></table>");
    more(&mut out, words, files.len().saturating_sub(MOST));
    out
}

/// A plot for each endpoint of each account.
fn calls(seen: &Seen<'_>, words: &StatusWords) -> String {
    let mut out = String::new();
    // Mounts of one account share their gates.
    let mut gates: Vec<(Governor, Vec<String>)> = Vec::new();
    for mount in seen.tree.mounts() {
        let Some(path) = shown(mount, &seen.principal.root) else {
            continue;
        };
        let governor = mount.drive.governor();
        let name = format!("<bdi>{}</bdi>", escaped(&path.to_string()));
        match gates.iter_mut().find(|(of, _)| of.gates == governor.gates) {
            Some((_, names)) => names.push(name),
            None => gates.push((governor, vec![name])),
        }
    }
    for (governor, names) in gates {
        let names = names.join(", ");
        for call in governor.calls {
            let waiting = call.waiting + call.behind;
            if call.minutes.iter().all(|count| *count == 0) && waiting == 0 {
                continue;
            }
            let pace = 60.0 / call.pace.as_secs_f64().max(0.001);
            let now = call.minutes.last().copied().unwrap_or_default();
            let top = call.minutes.iter().max().copied().unwrap_or_default();
            let says = fill(
                words.plot,
                &[&now.to_string(), &top.to_string(), &format!("{pace:.0}")],
            );
            put!(
                out,
                "<figure><figcaption><code>{}</code> <small>{names}</small></figcaption>{}<p>{says}",
                escaped(call.call),
                plot::bars(&call.minutes, pace, &says)
            );
            if waiting > 0 {
                put!(
                    out,
                    " <strong>{}</strong>",
                    fill(words.waiting, &[&waiting.to_string()])
                );
            }
            out.push_str("</p></figure>");
        }
    }
    match out.is_empty() {
        true => format!("<p class=\"soft\">{}</p>", words.no_calls),
        false => format!("<div class=\"cards\">{out}</div>"),
    }
}

fn cache(tree: &Tree, words: &StatusWords) -> String {
    let (entries, links) = tree.cached();
    let hits = tree.hits();
    let share =
        |text, known: u64, asked: u64| fill(text, &[&known.to_string(), &(known + asked).to_string()]);
    format!(
        "<p>{}</p><p>{}</p><p>{}</p>",
        fill(words.cached, &[&entries.to_string(), &links.to_string()]),
        share(words.listings, hits.listings, hits.listings_asked),
        share(words.links, hits.links, hits.links_asked),
    )
}

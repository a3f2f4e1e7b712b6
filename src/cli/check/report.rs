//! What `check` prints: a line for people, an object for programs.

use std::time::Duration;

use serde_json::{Value, json};

use super::examine::{Outcome, Root};
use crate::drive::Quota;

/// `ok  /drive  account  redirect  37 entries  …`, or `FAIL /drive account: sentence`.
pub fn line(outcome: &Outcome) -> String {
    let Outcome {
        mount,
        kind,
        strategy,
        ..
    } = outcome;
    if !outcome.failures.is_empty() {
        return format!("FAIL {mount} {kind}: {}", outcome.failures.join(" "));
    }
    let mut parts = vec![mount.clone(), (*kind).to_owned(), (*strategy).to_owned()];
    parts.extend(outcome.root.map(entries));
    parts.extend(outcome.quota.map(quota));
    let took = |name: &str, step: Option<Duration>| step.map(|took| format!("{name} {}", time(took)));
    let steps = [
        took("sign-in", outcome.sign_in),
        took("list", outcome.list),
        took("link", outcome.link),
    ];
    parts.push(steps.into_iter().flatten().collect::<Vec<_>>().join(", "));
    if outcome.link.is_none() {
        parts.push("no file found to resolve".to_owned());
    }
    let label = match &outcome.redirect_refused {
        Some(sentence) => {
            parts.push(sentence.clone());
            "warn"
        }
        None => "ok",
    };
    format!("{label}  {}", parts.join("  "))
}

/// What is said of paid direct links that need no sign-in.
pub const OPEN_TO_ALL: &str = "server.anonymous lets everybody who reaches this server use up the traffic of these direct links; \
     take it away, or set a budget for the mount";
/// What is said of a proxy without TLS behind a server with it.
pub const LESS_SAFE: &str = "clients that come by https are sent to a proxy_url with http, which browsers and some players refuse, and \
     the bytes can be read on the way; give the proxy a certificate and write https";

/// A warning; in red on a terminal.
pub fn warning(mount: &str, sentence: &str, terminal: bool) -> String {
    let (red, plain) = if terminal {
        ("\x1b[31m", "\x1b[0m")
    } else {
        ("", "")
    };
    format!("{red}warn  {mount}  {sentence}{plain}")
}

/// All outcomes as an array of objects. Times are milliseconds, sizes are bytes.
pub fn json(outcomes: &[Outcome]) -> String {
    let milliseconds =
        |step: Option<Duration>| step.map(|took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX));
    let object = |outcome: &Outcome| {
        json!({
            "mount": outcome.mount,
            "kind": outcome.kind,
            "strategy": outcome.strategy,
            "ok": outcome.failures.is_empty(),
            "entries": outcome.root.map(|root| root.entries),
            "entries_whole": outcome.root.map(|root| root.whole),
            "quota": outcome.quota.map(|quota| json!({ "used": quota.used, "total": quota.total })),
            "sign_in_ms": milliseconds(outcome.sign_in),
            "list_ms": milliseconds(outcome.list),
            "link_ms": milliseconds(outcome.link),
            "redirect_refused": outcome.redirect_refused,
            "errors": outcome.failures,
        })
    };
    let array: Vec<Value> = outcomes.iter().map(object).collect();
    format!("{:#}", Value::from(array))
}

fn entries(Root { entries, whole }: Root) -> String {
    match (entries, whole) {
        (1, true) => "1 entry".to_owned(),
        (n, true) => format!("{n} entries"),
        (n, false) => format!("{n} entries and more"),
    }
}

fn quota(Quota { used, total }: Quota) -> String {
    match total {
        Some(total) => format!("{} of {} GiB used", gib(used), gib(total)),
        None => format!("{} GiB used", gib(used)),
    }
}

/// GiB with one digit behind the point, where that is not 0.
fn gib(bytes: u64) -> String {
    let tenths = (u128::from(bytes) * 10 + (1 << 29)) >> 30;
    match tenths % 10 {
        0 => format!("{}", tenths / 10),
        tenth => format!("{}.{tenth}", tenths / 10),
    }
}

fn time(took: Duration) -> String {
    if took < Duration::from_secs(10) {
        format!("{} ms", took.as_millis())
    } else {
        format!("{} s", took.as_secs())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn well() -> Outcome {
        Outcome {
            mount: "/drive".into(),
            kind: "account",
            strategy: "redirect",
            sign_in: Some(Duration::from_millis(120)),
            root: Some(Root {
                entries: 37,
                whole: true,
            }),
            list: Some(Duration::from_millis(80)),
            quota: Some(Quota {
                used: 13_207_024_435,
                total: Some(2048 << 30),
            }),
            link: Some(Duration::from_millis(210)),
            redirect_refused: None,
            failures: Vec::new(),
        }
    }

    #[test]
    fn a_mount_is_one_line() {
        assert_eq!(
            line(&well()),
            "ok  /drive  account  redirect  37 entries  12.3 of 2048 GiB used  sign-in 120 ms, list 80 ms, link 210 ms"
        );
        let refused = Outcome {
            redirect_refused: Some("a redirect would be refused: The CDN wants a Referer.".into()),
            ..well()
        };
        let refused = line(&refused);
        assert!(
            refused.starts_with("warn  /drive") && refused.ends_with("refused: The CDN wants a Referer.")
        );
        let empty = Outcome {
            link: None,
            root: Some(Root {
                entries: 0,
                whole: true,
            }),
            quota: None,
            ..well()
        };
        assert_eq!(
            line(&empty),
            "ok  /drive  account  redirect  0 entries  sign-in 120 ms, list 80 ms  no file found to resolve"
        );
        let failed = Outcome {
            failures: vec!["sign-in: The share password is wrong.".into()],
            ..well()
        };
        assert_eq!(
            line(&failed),
            "FAIL /drive account: sign-in: The share password is wrong."
        );
    }

    #[test]
    fn red_is_for_terminals() {
        let text = warning("/links", OPEN_TO_ALL, false);
        assert!(text.starts_with("warn  /links  ") && !text.contains('\x1b'));
        assert_eq!(
            warning("/links", OPEN_TO_ALL, true),
            format!("\x1b[31m{text}\x1b[0m")
        );
    }

    #[test]
    fn json_is_an_array_of_objects() {
        let failed = Outcome {
            failures: vec!["list: No.".into()],
            root: None,
            ..well()
        };
        let parsed: Value = serde_json::from_str(&json(&[well(), failed])).unwrap();
        assert_eq!(parsed[0]["ok"], true);
        assert_eq!(parsed[0]["quota"]["total"], 2048u64 << 30);
        assert_eq!(parsed[0]["link_ms"], 210);
        assert_eq!(parsed[1]["ok"], false);
        assert_eq!(parsed[1]["entries"], Value::Null);
        assert_eq!(parsed[1]["errors"][0], "list: No.");
    }
}

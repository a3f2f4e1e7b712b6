//! What holds for any list of direct links.

#![allow(clippy::unwrap_used)]

use std::collections::HashSet;
use std::time::{Duration, UNIX_EPOCH};

use secrecy::ExposeSecret;

use super::{Content, DirectUrl, LinkList, PathForm, Signer};

/// The first ten-digit second, and the last second of the year 9999.
const LAST_TIME: i64 = 253_402_300_799;
const NOW: u64 = 1_767_294_245;
const EXPIRES: u64 = NOW + 1800;

/// A list of links. A first line `key=…` is the key that signs them.
pub fn links(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let (key, text) = match text.strip_prefix("key=") {
        Some(rest) => rest.split_once('\n').unwrap_or((rest, "")),
        None => ("testPrivateKey", text),
    };
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    let list = match LinkList::parse(text, now) {
        Ok(list) => list,
        Err(errors) => {
            let lines = text.split('\n').count();
            assert!(!errors.is_empty());
            assert!(errors.is_sorted_by(|one, other| one.line < other.line));
            assert!(errors.iter().all(|error| (1..=lines).contains(&error.line)));
            return;
        }
    };
    is_a_tree(&list);
    let again = LinkList::parse(text, now).unwrap();
    assert_eq!(format!("{:?}", again.nodes()), format!("{:?}", list.nodes()));
    let signer = Signer::new(None, key.into());
    assert_eq!(signer.is_err(), key.is_empty());
    for (_, _, file) in list.files() {
        assert!(file.size.is_none_or(|size| i64::try_from(size).is_ok()));
        assert!(file.modified.is_none_or(|time| (0..=LAST_TIME).contains(&time)));
        is_a_url(&file.url);
        if let Ok(signer) = &signer {
            is_signed(&file.url, signer, key);
        }
    }
}

/// Each node but the root is in one folder; names are safe, and one of a kind in their folder.
fn is_a_tree(list: &LinkList) {
    let mut seen = HashSet::from([0]);
    for (number, node) in list.nodes().iter().enumerate() {
        let odd = matches!(&*node.name, "" | "." | "..")
            || node.name.contains(|c: char| c == '/' || c.is_control());
        assert!(number == 0 || !odd, "{:?}", node.name);
        if let Content::Folder(members) = &node.content {
            let mut names = HashSet::new();
            for member in members {
                assert!(*member > number && seen.insert(*member));
                assert!(
                    names.insert(&list.nodes()[*member].name),
                    "two {:?}",
                    list.nodes()[*member].name
                );
            }
        }
    }
    assert_eq!(seen.len(), list.nodes().len());
}

/// A URL reads as the same again, and has nothing in it that HTTP cannot send.
fn is_a_url(url: &DirectUrl) {
    let text = url.unsigned();
    assert!(
        text.starts_with("http://") || text.starts_with("https://"),
        "{text}"
    );
    assert!(text.bytes().all(|byte| byte.is_ascii_graphic()), "{text}");
    assert!(url.path().starts_with('/') && !text.contains('#'));
    assert_eq!(DirectUrl::parse(&text).as_ref(), Ok(url), "{text}");
    let shown = format!("{url:?}");
    assert!(!shown.contains('?'), "{shown}");
}

/// A signed link is the same file's, has one signature, does not give the key away, and is known again.
fn is_signed(url: &DirectUrl, signer: &Signer, key: &str) {
    for form in [PathForm::Decoded, PathForm::AsWritten] {
        let Ok(signed) = signer.sign(url, form, EXPIRES) else {
            assert_eq!(url.uid(), None);
            continue;
        };
        let signed = signed.expose_secret();
        let read = DirectUrl::parse(signed).unwrap();
        assert_eq!(read.path(), url.path());
        let query = signed.split_once('?').unwrap().1;
        let ours = query
            .split('&')
            .filter(|piece| piece.split('=').next() == Some("auth_key"));
        assert_eq!(ours.count(), 1, "{signed}");
        assert!(
            key.len() < 12 || url.unsigned().contains(key) || !signed.contains(key),
            "{signed}"
        );
        let known = signer
            .form_of(signed, url)
            .map(|(form, expires)| (form == PathForm::Decoded, expires));
        let decoded = form == PathForm::Decoded || !url.is_escaped();
        assert_eq!(known, Some((decoded, EXPIRES)), "{signed}");
        // Another key has not signed it.
        let other = Signer::new(None, format!("{key}x").into()).unwrap();
        assert_eq!(other.form_of(signed, url), None);
    }
}

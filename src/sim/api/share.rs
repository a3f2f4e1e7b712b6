//! Shares: information, listing, download (API page, section 7).

use jiff::tz::Offset;
use serde_json::{Value, json};

use super::files::Page;
use crate::sim::cdn;
use crate::sim::http::{Answer, Call, int, lock, not_found, ok, refused, text};
use crate::sim::store::{Node, ROOT, Share, Store};

/// Whether a key has the form of one: letters and digits around one hyphen.
fn key_ok(key: &str) -> bool {
    key.split_once('-').is_some_and(|(a, b)| {
        let good = |s: &str| !s.is_empty() && s.bytes().all(|c| c.is_ascii_alphanumeric());
        good(a) && good(b)
    })
}

/// The share of a key, if the password is right; else the refusal.
fn opened<'s>(store: &'s Store, key: &str, password: &str) -> Result<&'s Share, Box<Answer>> {
    if !key_ok(key) {
        return Err(refused(5103, "ShareKey格式异常").into());
    }
    let share = store
        .shares
        .get(key)
        .ok_or_else(|| refused(5103, "分享页面不存在"))?;
    if share
        .password
        .as_ref()
        .is_some_and(|p| !p.eq_ignore_ascii_case(password))
    {
        return Err(refused(5103, "提取码错误").into());
    }
    if share.expired {
        return Err(refused(5104, "分享已过期").into());
    }
    Ok(share)
}

pub(super) fn info(call: &Call) -> Answer {
    let key = call.query.get("shareKey").unwrap_or("");
    let store = lock(&call.cloud.store);
    let Some(share) = store.shares.get(key) else {
        return refused(5103, "分享页面不存在");
    };
    ok(json!({
        "ShareName": share.name,
        "UserNickName": call.cloud.identity.username,
        "HeadImage": "",
        "HasPwd": share.password.is_some(),
        "Expiration": "2099-12-12T08:00:00+08:00",
        "CreateAt": share.created.display_with_offset(Offset::constant(8)).to_string(),
        "Expired": share.expired,
        "IsVip": false,
        "IsSVip": false,
    }))
}

pub(super) fn get(call: &Call) -> Answer {
    let query = &call.query;
    let store = lock(&call.cloud.store);
    let share = match opened(
        &store,
        query.get("shareKey").unwrap_or(""),
        query.get("SharePwd").unwrap_or(""),
    ) {
        Ok(share) => share,
        Err(refusal) => return *refusal,
    };
    let parent = query.int("parentFileId").unwrap_or(ROOT);
    // The service lists any folder of the caller's own drive here, shared or not.
    let listed = in_share(&store, share, parent) || call.signed_in;
    let rows: Vec<&Node> = if parent == ROOT {
        share
            .roots
            .iter()
            .filter_map(|id| store.get(*id))
            .filter(|n| !store.in_bin(n.id))
            .collect()
    } else if listed && store.folder(parent).is_some() {
        store.children(parent).collect()
    } else {
        Vec::new()
    };
    let mut data = Page::cut(call, rows).data(call);
    if let Some(data) = data.as_object_mut() {
        data.insert("Expired".into(), json!(share.expired));
        data.insert("ShareName".into(), json!(share.name));
    }
    ok(data)
}

fn in_share(store: &Store, share: &Share, id: i64) -> bool {
    share.roots.iter().any(|root| store.is_within(id, *root))
}

pub(super) fn download(call: &Call) -> Answer {
    let body: &Value = &call.body;
    let (etag, flag) = (text(body, "etag"), text(body, "s3keyFlag"));
    let name = {
        let store = lock(&call.cloud.store);
        let share = match opened(&store, text(body, "shareKey"), text(body, "SharePwd")) {
            Ok(share) => share,
            Err(refusal) => return *refusal,
        };
        if !call.signed_in && !share.anonymous {
            return refused(5112, "请登录后下载");
        }
        let id = int(body, "fileId").unwrap_or(-1);
        let Some(node) = store
            .get(id)
            .filter(|n| !n.folder && in_share(&store, share, n.id) && !store.in_bin(n.id))
        else {
            return not_found();
        };
        let size = int(body, "size").and_then(|n| u64::try_from(n).ok());
        let right = node.etag.eq_ignore_ascii_case(etag) && node.key_flag == flag && size == Some(node.size);
        // What is missing is named by `download`; what is wrong names no file.
        if !right && !etag.is_empty() && !flag.is_empty() {
            return not_found();
        }
        node.name.clone()
    };
    match cdn::download(call, etag, flag, &name) {
        Ok(url) => ok(json!({"DownloadURL": url})),
        Err(refusal) => *refusal,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_key_is_letters_and_digits_around_one_hyphen() {
        assert!(key_ok("abcd-EfGh"));
        for bad in ["", "abcd", "-", "abcd-", "ab-cd-ef", "ab_d-efgh", "密码-abcd"] {
            assert!(!key_ok(bad), "{bad}");
        }
    }
}

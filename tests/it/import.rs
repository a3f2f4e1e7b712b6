//! Moving over: an export of OpenList or AList becomes mounts.

use std::path::Path;

use dav123::config::{self, Config, Source, Strategy};
use secrecy::ExposeSecret;
use serde_json::{Value, json};

use crate::world::{Ran, run};

fn storage(path: &str, driver: &str, own: &Value, more: &Value) -> Value {
    let mut storage = json!({
        "id": 1, "mount_path": path, "order": 0, "driver": driver, "cache_expiration": 30, "status": "work",
        "addition": own.to_string(), "remark": "", "disabled": false, "enable_sign": false, "order_by": "name",
        "web_proxy": false, "webdav_policy": "302_redirect", "proxy_range": false, "down_proxy_url": "",
    });
    for (key, value) in more.as_object().unwrap() {
        storage[key] = value.clone();
    }
    storage
}

fn export(storages: &[Value]) -> Value {
    json!({
        "encrypted": "",
        "settings": [{"key": "site_title", "value": "x"}, {"key": "token", "value": "openlist-token"}],
        "users": [
            {"username": "admin", "base_path": "/", "role": 2},
            {"username": "guest", "base_path": "/", "role": 1},
            {"username": "kids", "base_path": "/films \"all\"", "role": 0},
        ],
        "storages": storages,
        "metas": [],
    })
}

fn account() -> Value {
    let own = json!({"username": "13800000000", "password": "p\\a\"ss ", "root_folder_id": "1234567", "AccessToken": "",
        "UploadThread": 3, "platform": "web"});
    storage(
        "/123",
        "123Pan",
        &own,
        &json!({"webdav_policy": "native_proxy", "web_proxy": true}),
    )
}

fn import(text: &[u8]) -> Ran {
    let dir = tempfile::TempDir::new().unwrap();
    let file = dir.path().join("backup.json");
    std::fs::write(&file, text).unwrap();
    run(&["import-openlist", file.to_str().unwrap()], "")
}

/// The configuration that the sections make beside a user.
fn taken(ran: &Ran) -> Config {
    assert_eq!(ran.code, 0, "{ran:?}");
    let text = format!("[[user]]\nname = \"me\"\npassword = \"p\"\n\n{}", ran.out);
    config::parse(&text, Path::new("dav.toml")).unwrap_or_else(|error| panic!("{error}\n{}", ran.out))
}

#[test]
fn all_four_drivers_become_mounts_that_our_parser_takes() {
    let share = storage(
        "/剧 集",
        "123PanShare",
        &json!({"sharekey": "abcd-EfGh", "sharepassword": "x1y2", "root_folder_id": "0", "accesstoken": "eyJ"}),
        &json!({"remark": "ref:/123\nmine"}),
    );
    let tree = "films:\n  127451136:1694101621:https://vip.123pan.cn/1812000499/a/film.mkv\n  https://vip.123pan.cn/1812000499/b.mkv\r\n";
    let links = storage(
        "/links",
        "123PanLink",
        &json!({"origin_urls": tree, "private_key": "k\\ey", "uid": 1812000499u64, "valid_duration": 45}),
        &json!({}),
    );
    let open = storage(
        "/open",
        "123 Open",
        &json!({"ClientID": "id", "ClientSecret": "secret", "RefreshToken": "r", "root_folder_id": "0", "DirectLink": true}),
        &json!({"webdav_policy": "use_proxy_url", "down_proxy_url": "https://worker.example/\nhttps://second.example"}),
    );
    let other = storage("/ali", "AliyundriveOpen", &json!({"x": 1}), &json!({}));
    let ran = import(
        export(&[account(), share, links, open, other])
            .to_string()
            .as_bytes(),
    );
    let config = taken(&ran);
    let mounts = &config.mounts;
    assert_eq!(mounts.len(), 4, "{}", ran.out);

    let Source::Account(drive) = &mounts[0].source else {
        panic!()
    };
    assert_eq!(
        (mounts[0].path.as_str(), mounts[0].delivery.strategy),
        ("/123", Strategy::Proxy)
    );
    assert_eq!(
        (drive.username.as_deref(), drive.root_id),
        (Some("13800000000"), 1234567)
    );
    assert_eq!(drive.password.as_ref().unwrap().expose_secret(), "p\\a\"ss ");
    assert!(drive.access_token.is_none());

    let Source::Share(share) = &mounts[1].source else {
        panic!()
    };
    assert_eq!(
        (mounts[1].path.as_str(), mounts[1].delivery.strategy),
        ("/剧 集", Strategy::Redirect)
    );
    assert_eq!(
        (share.key.as_str(), share.account.as_deref()),
        ("abcd-EfGh", Some("/123"))
    );
    assert_eq!(share.password.as_ref().unwrap().expose_secret(), "x1y2");

    let Source::DirectLink(list) = &mounts[2].source else {
        panic!()
    };
    assert_eq!((list.uid, list.valid_for.as_secs()), (Some(1812000499), 45 * 60));
    assert_eq!(list.private_key.as_ref().unwrap().expose_secret(), "k\\ey");
    assert_eq!(
        list.links.expose_secret().trim_end(),
        tree.replace('\r', "").trim_end()
    );

    let Source::Open(open) = &mounts[3].source else {
        panic!()
    };
    assert_eq!(open.client.as_ref().unwrap().0, "id");
    assert!(open.paid_links.is_some());
    assert_eq!(mounts[3].delivery.strategy, Strategy::ProxyUrl);
    assert_eq!(
        mounts[3].delivery.proxy_url.as_deref(),
        Some("https://worker.example")
    );
    assert_eq!(
        mounts[3].delivery.proxy_secret.as_ref().unwrap().expose_secret(),
        "openlist-token"
    );

    // What has no counterpart is said where the mount is; what is left out, on standard error too.
    for comment in [
        "# RefreshToken",
        "# DirectLink",
        "# Only the first address",
        "# Left out: /ali (AliyundriveOpen)",
    ] {
        assert!(ran.out.contains(comment), "{comment}: {}", ran.out);
    }
    assert!(
        ran.out
            .contains("#name = \"kids\"\n#root = \"/films \\\"all\\\"\""),
        "{}",
        ran.out
    );
    assert!(!ran.out.contains("guest"));
    for word in [
        "Left out: /ali",
        "4 of 5 storages",
        "passwords and tokens as they are",
    ] {
        assert!(ran.err.contains(word), "{word}: {}", ran.err);
    }
    for secret in ["p\\a", "x1y2", "k\\ey", "openlist-token"] {
        assert!(!ran.err.contains(secret), "{}", ran.err);
    }
}

#[test]
fn an_answer_of_the_storage_list_and_a_bare_list_do_as_well() {
    let whole = json!({"code": 200, "message": "success", "data": {"content": [account()], "total": 1}});
    for text in [whole, json!([account()])] {
        assert_eq!(taken(&import(text.to_string().as_bytes())).mounts.len(), 1);
    }
    let with_mark = [
        b"\xef\xbb\xbf".as_slice(),
        export(&[account()]).to_string().as_bytes(),
    ]
    .concat();
    assert_eq!(taken(&import(&with_mark)).mounts.len(), 1);
}

#[test]
fn what_cannot_stand_is_written_as_a_comment_and_named() {
    let disabled = storage(
        "/off",
        "123Pan",
        &json!({"username": "u", "password": "p"}),
        &json!({"disabled": true}),
    );
    let balanced = storage(
        "/123.balance1",
        "123Pan",
        &json!({"username": "v", "password": "q"}),
        &json!({}),
    );
    let renewed = storage("/open", "123 Open", &json!({"RefreshToken": "r"}), &json!({}));
    let list = "a:\n  https://h/1/a.bin\n";
    let off = storage(
        "/l",
        "123PanLink",
        &json!({"origin_urls": list}),
        &json!({"disabled": true}),
    );
    let ran = import(
        export(&[account(), disabled, balanced, renewed, off])
            .to_string()
            .as_bytes(),
    );
    assert_eq!(taken(&ran).mounts.len(), 1, "{}", ran.out);
    for path in ["/off", "/123", "/open", "/l"] {
        let says = format!("dav123: {path} is written as a comment: ");
        assert!(ran.err.contains(&says), "{path}: {}", ran.err);
    }
    assert!(ran.out.contains("#  https://h/1/a.bin"), "{}", ran.out);
}

#[test]
fn what_is_missing_in_the_export_is_named_with_its_line() {
    let own = json!({"sharekey": "not a key", "sharepassword": "******"});
    let broken = storage("/s", "123PanShare", &own, &json!({}));
    let ran = import(export(&[broken]).to_string().as_bytes());
    assert_eq!(ran.code, 0);
    let line = ran
        .out
        .lines()
        .position(|line| line.starts_with("share_key"))
        .unwrap()
        + 1;
    assert!(
        ran.err.contains(&format!(
            "Still to mend, line {line} of the output: mount.share_key"
        )),
        "{}",
        ran.err
    );
    assert!(
        ran.out.contains("# share_password was hidden in the export"),
        "{}",
        ran.out
    );
}

#[test]
fn a_proxy_address_without_its_key_is_streamed_instead() {
    let mut whole = export(&[storage(
        "/a",
        "123Pan",
        &json!({"username": "u", "password": "p"}),
        &json!({"webdav_policy": "use_proxy_url", "down_proxy_url": "https://worker.example"}),
    )]);
    whole["settings"] = json!([]);
    let ran = import(whole.to_string().as_bytes());
    assert_eq!(taken(&ran).mounts[0].delivery.strategy, Strategy::Proxy);
    assert!(ran.out.contains("no setting \"token\""), "{}", ran.out);
}

#[test]
fn a_damaged_export_gets_one_plain_sentence_and_exit_code_2() {
    let good = export(&[account()]).to_string();
    let mut no_addition = export(&[account()]);
    no_addition["storages"][0]["addition"] = json!("{\"username\": \"138");
    let mut no_driver = export(&[account()]);
    no_driver["storages"][0].as_object_mut().unwrap().remove("driver");
    let mut encrypted = export(&[account()]);
    encrypted["encrypted"] = json!("VTJGc2RHVmtYMTg=");
    let foreign = export(&[storage("/a", "Quark", &json!({}), &json!({}))]).to_string();
    for (text, says) in [
        (good.as_bytes()[..good.len() / 2].to_vec(), "ends in the middle"),
        (b"".to_vec(), "is empty"),
        (b"<!doctype html>".to_vec(), "is not JSON (line 1, column 1)"),
        (b"SQLite format 3\0xyz".to_vec(), "is a database"),
        (b"{\"jwt_secret\": \"x\"}".to_vec(), "has no list \"storages\""),
        (b"\xff\xfe{\0".to_vec(), "is not JSON"),
        (encrypted.to_string().into_bytes(), "is encrypted"),
        (
            no_addition.to_string().into_bytes(),
            "storage 1 (/123) has an addition",
        ),
        (no_driver.to_string().into_bytes(), "storage 1 has no driver"),
        (foreign.into_bytes(), "no storage of 123pan (only Quark)"),
        (export(&[]).to_string().into_bytes(), "holds no storage"),
    ] {
        let ran = import(&text);
        assert_eq!(ran.code, 2, "{says}: {ran:?}");
        assert!(ran.out.is_empty(), "{ran:?}");
        assert!(
            ran.err.contains(says) && ran.err.ends_with(".\n"),
            "{says}: {}",
            ran.err
        );
        assert_eq!(ran.err.lines().count(), 1, "{}", ran.err);
        assert!(!ran.err.contains("138"), "{}", ran.err);
    }
    let ran = run(&["import-openlist", "/nowhere/backup.json"], "");
    assert_eq!((ran.code, ran.err.lines().count()), (2, 1), "{ran:?}");
}

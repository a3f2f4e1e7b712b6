//! Mounts from a configuration, against canned answers.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;
use std::time::Duration;

use super::*;
use crate::config::{Access, Account, Cache, Delete, Delivery, Server, Share, Upload, UploadMode};
use crate::drive::{Entry, Error, ErrorKind, Id, Kind, LinkWish, Quota};
use crate::pan::canned::{Answer, Asked, Canned};
use crate::pan::token::Grant;

const MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";

fn endpoints(service: &Canned) -> Endpoints {
    Endpoints {
        login: format!("{}/api", service.url),
        api: vec![format!("{}/b/api", service.url)],
        rate: 1000.0,
        ..Endpoints::default()
    }
}

fn account(service: &Canned, password: &str) -> Source {
    Source::Account(Account {
        username: Some("a@b.c".to_owned()),
        password: Some(password.into()),
        access_token: None,
        root_id: 0,
        delete: Delete::Trash,
        endpoints: endpoints(service),
    })
}

fn share(service: &Canned, account: Option<&str>) -> Source {
    Source::Share(Share {
        key: "abcd-EfGh".to_owned(),
        password: Some("x1y2".into()),
        root_id: 0,
        account: account.map(str::to_owned),
        endpoints: endpoints(service),
    })
}

fn config(state_dir: PathBuf, mounts: Vec<(&str, Source)>) -> Config {
    Config {
        server: Server {
            listen: vec!["127.0.0.1:0".to_owned()],
            prefix: String::new(),
            tls: None,
            state_dir,
            shutdown_grace: Duration::ZERO,
            anonymous: None,
        },
        cache: Cache {
            list_ttl: Duration::ZERO,
            stale: Duration::ZERO,
            warm: Vec::new(),
            list_entries: 0,
            blocks: 0,
        },
        upload: Upload {
            mode: UploadMode::Through,
            spool_dir: PathBuf::new(),
            spool_limit: 0,
            parts: 1,
        },
        users: Vec::new(),
        mounts: mounts
            .into_iter()
            .map(|(path, source)| Mount {
                path: path.to_owned(),
                source,
                access: Access::ReadOnly,
                delivery: Delivery::default(),
            })
            .collect(),
        proxy: None,
    }
}

fn open_one(state_dir: &tempfile::TempDir, source: Source) -> Arc<dyn Drive> {
    let config = config(state_dir.path().to_owned(), vec![("/m", source)]);
    open(&config).unwrap().remove(0)
}

fn file() -> Entry {
    Entry {
        id: Id(7),
        name: "a.bin".into(),
        kind: Kind::File,
        size: Some(3),
        modified: 0,
        created: 0,
        md5: Some([0xd4; 16]),
        locator: "18-0".into(),
    }
}

/// One account, its listing of three rows in two pages, and a share with one answer for each call.
async fn service(share_get: &'static str, share_download: &'static str) -> Canned {
    Canned::start(move |asked: &Asked| {
        let target = asked.target.as_str();
        Answer::json(if target.contains("sign_in") {
            r#"{"code":200,"data":{"token":"T"}}"#.to_owned()
        } else if target.contains("user/info") {
            r#"{"code":0,"data":{"SpaceUsed":12,"SpacePermanent":10,"SpaceTemp":1}}"#.to_owned()
        } else if target.contains("file/list/new") && target.contains("Page=1&") {
            format!(
                r#"{{"code":0,"data":{{"Next":"9","Total":3,"InfoList":[
                {{"FileId":9,"FileName":"b","Type":1}},
                {{"FileId":8,"FileName":"a.bin","Type":0,"Size":3,"Etag":"{MD5}","S3KeyFlag":"18-0"}}]}}}}"#
            )
        } else if target.contains("file/list/new") {
            format!(
                r#"{{"code":0,"data":{{"Next":"-1","Total":3,"InfoList":[
                {{"FileId":7,"FileName":"a.bin","Type":0,"Size":3,"Etag":"{MD5}","S3KeyFlag":"18-0"}}]}}}}"#
            )
        } else if target.contains("share/get") {
            share_get.to_owned()
        } else if target.contains("share/download/info") {
            share_download.to_owned()
        } else if target.contains("file/download_info") {
            let host = asked.header("host").unwrap();
            format!(r#"{{"code":0,"data":{{"DownloadUrl":"http://{host}/relay"}}}}"#)
        } else if target.contains("/relay") {
            r#"{"data":{"redirect_url":"https://cdn.test/final"}}"#.to_owned()
        } else {
            String::new()
        })
    })
    .await
}

async fn names(drive: &dyn Drive) -> Result<Vec<String>, Error> {
    let mut lister = drive.list(drive.root());
    let mut names = Vec::new();
    while let Some(page) = lister.next().await? {
        names.extend(page.entries.iter().map(|e| e.name.to_string()));
    }
    Ok(names)
}

#[tokio::test]
async fn one_account_is_not_reached_in_two_ways() {
    let service = Canned::start(|_: &Asked| Answer::json("{}")).await;
    let dir = tempfile::tempdir().unwrap();
    let by = |outbound: Option<&str>| {
        let Source::Account(mut account) = account(&service, "pw") else {
            unreachable!()
        };
        account.endpoints.outbound = outbound.and_then(config::Outbound::parse);
        Source::Account(account)
    };
    let open_both = |a, b| open(&config(dir.path().to_owned(), vec![("/a", by(a)), ("/b", by(b))]));
    let (one, other) = (Some("socks5://h:1"), Some("http://h:1"));
    assert!(open_both(one, one).is_ok() && open_both(None, None).is_ok());
    for (a, b) in [(one, other), (one, None), (None, other)] {
        let error = open_both(a, b).unwrap_err();
        assert_eq!(error.mount, "/b");
        assert!(
            error.sentences[0].contains("its outbound is another one"),
            "{error}"
        );
    }
}

#[tokio::test]
async fn mounts_of_one_account_and_a_share_it_signs_for_sign_in_once() {
    let service = service(r#"{"code":0,"data":{"Next":"-1","InfoList":null}}"#, "").await;
    let dir = tempfile::tempdir().unwrap();
    let config = config(
        dir.path().to_owned(),
        vec![
            ("/s", share(&service, Some("/b"))),
            ("/a", account(&service, "pw")),
            ("/b", account(&service, "pw")),
            ("/anon", share(&service, None)),
        ],
    );
    let drives = open(&config).unwrap();
    let tasks: Vec<_> = drives
        .into_iter()
        .map(|drive| tokio::spawn(async move { drive.sign_in().await }))
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert_eq!(service.count("sign_in"), 1);
    let signed: Vec<_> = service
        .asked("share/get")
        .iter()
        .map(|a| a.header("authorization").is_some())
        .collect();
    assert_eq!(signed.iter().filter(|s| **s).count(), 1);
    assert_eq!(signed.len(), 2);
}

#[tokio::test]
async fn an_account_lists_by_pages_ordered_by_file_id_and_knows_its_quota() {
    let service = service("", "").await;
    let dir = tempfile::tempdir().unwrap();
    let drive = open_one(&dir, account(&service, "pw"));
    assert_eq!(names(&*drive).await.unwrap(), ["b", "a.bin", "a (7).bin"]);
    let asked = service.asked("file/list/new");
    assert_eq!(asked.len(), 2);
    for part in [
        "orderBy=file_id&orderDirection=desc",
        "limit=100",
        "parentFileId=0",
        "trashed=false",
        "Page=2",
        "driveId=0",
    ] {
        assert!(asked[1].target.contains(part), "{part}");
    }
    assert_eq!(
        drive.quota().await.unwrap(),
        Some(Quota {
            used: 12,
            total: Some(11)
        })
    );
    assert!(drive.capability().quota && drive.capability().write);
}

#[tokio::test]
async fn a_mount_removes_as_its_delete_setting_says() {
    let service = service("{}", "{}").await;
    let dir = tempfile::tempdir().unwrap();
    for (delete, shown) in [(Delete::Trash, "Trash"), (Delete::Permanent, "Permanent")] {
        let Source::Account(mut source) = account(&service, "pw") else {
            unreachable!()
        };
        source.delete = delete;
        let drive = open_one(&dir, Source::Account(source));
        assert!(format!("{drive:?}").contains(shown), "{drive:?}");
    }
}

#[tokio::test]
async fn a_link_of_an_account_is_bound_to_referers_and_folders_and_empty_files_have_none() {
    let service = service("", "").await;
    let dir = tempfile::tempdir().unwrap();
    let drive = open_one(&dir, account(&service, "pw"));
    let link = drive.link(&file(), LinkWish::default()).await.unwrap();
    assert_eq!(link.expose(), "https://cdn.test/final");
    assert!(!link.open_to_all);
    assert_eq!(
        link.referers,
        [format!("{}/", service.url), "https://yun.123pan.cn/".to_owned()]
    );
    let before = service.count("");
    let empty = Entry {
        size: Some(0),
        ..file()
    };
    assert!(drive.link(&empty, LinkWish::default()).await.is_err());
    let folder = Entry {
        kind: Kind::Folder,
        ..file()
    };
    let error = drive.link(&folder, LinkWish::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IsAFolder);
    assert_eq!(service.count(""), before);
}

#[tokio::test]
async fn a_share_says_what_is_wrong_with_it() {
    for (answer, kind, word) in [
        (
            r#"{"code":5103,"message":"提取码错误"}"#,
            ErrorKind::Forbidden,
            "share_password",
        ),
        (r#"{"code":5104,"message":"过期"}"#, ErrorKind::Gone, "ended"),
        (
            r#"{"code":0,"data":{"Expired":true,"Next":"-1","InfoList":[]}}"#,
            ErrorKind::Gone,
            "ended",
        ),
        (
            r#"{"code":1,"message":"分享页面不存在"}"#,
            ErrorKind::Gone,
            "分享页面不存在",
        ),
        (
            r#"{"code":"403","message":"123pan-global-slb forbidden client ip 1.2.3.4"}"#,
            ErrorKind::RiskControl,
            "banned",
        ),
        (
            r#"{"code":401,"message":"cookie token is empty"}"#,
            ErrorKind::Forbidden,
            "`account`",
        ),
    ] {
        let service = service(answer, "").await;
        let dir = tempfile::tempdir().unwrap();
        let drive = open_one(&dir, share(&service, None));
        for error in [
            drive.sign_in().await.unwrap_err(),
            names(&*drive).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), kind, "{answer}");
            assert!(error.sentence().contains(word), "{}", error.sentence());
        }
        let target = &service.asked("share/get")[0].target;
        assert!(target.contains("shareKey=abcd-EfGh&SharePwd=x1y2"), "{target}");
    }
}

#[tokio::test]
async fn a_shares_file_is_asked_with_the_account_where_one_is_named() {
    let refused = r#"{"code":5112,"message":"请登录后下载"}"#;
    let service = service("", refused).await;
    let dir = tempfile::tempdir().unwrap();
    let drive = open_one(&dir, share(&service, None));
    let error = drive.link(&file(), LinkWish::default()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Forbidden);
    assert!(error.sentence().contains("`account`"));

    let config = config(
        dir.path().to_owned(),
        vec![
            ("/a", account(&service, "pw")),
            ("/s", share(&service, Some("/a"))),
        ],
    );
    let drive = open(&config).unwrap().remove(1);
    let link = drive.link(&file(), LinkWish::default()).await.unwrap();
    assert_eq!(link.expose(), "https://cdn.test/final");
    assert_eq!(service.count("share/download/info"), 2);
    let body = &service.asked("share/download/info")[1].body;
    for part in [
        r#""shareKey":"abcd-EfGh""#,
        r#""SharePwd":"x1y2""#,
        r#""fileId":7"#,
    ] {
        assert!(body.contains(part), "{body}");
    }
}

#[tokio::test]
async fn a_shares_own_link_works_in_both_casings() {
    for answer in [
        r#"{"code":0,"data":{"DownloadURL":"HOST/relay"}}"#,
        r#"{"code":0,"data":{"DownloadUrl":"HOST/relay"}}"#,
    ] {
        let service = Canned::start(move |asked: &Asked| {
            let host = format!("http://{}", asked.header("host").unwrap());
            Answer::json(if asked.target.contains("/relay") {
                r#"{"data":{"redirect_url":"https://cdn.test/final"}}"#.to_owned()
            } else {
                answer.replace("HOST", &host)
            })
        })
        .await;
        let dir = tempfile::tempdir().unwrap();
        let drive = open_one(&dir, share(&service, None));
        let link = drive.link(&file(), LinkWish::default()).await.unwrap();
        assert_eq!(link.expose(), "https://cdn.test/final");
    }
}

#[tokio::test]
async fn a_mount_that_cannot_be_opened_is_named() {
    let service = service("", "").await;
    let dir = tempfile::tempdir().unwrap();
    let of = |mounts| open(&config(dir.path().to_owned(), mounts)).unwrap_err();
    let error = of(vec![("/s", share(&service, Some("/nowhere")))]);
    assert_eq!(error.mount, "/s");
    assert!(error.to_string().contains("/nowhere"));
    let error = of(vec![
        ("/a", account(&service, "secret-1")),
        ("/b", account(&service, "secret-2")),
    ]);
    assert_eq!(error.mount, "/b");
    assert!(error.to_string().contains("password") && !error.to_string().contains("secret-"));
}

#[tokio::test]
async fn nothing_that_can_be_printed_holds_a_secret() {
    let refused = r#"{"code":401,"message":"账号或密码错误"}"#;
    let service = Canned::start(move |_| Answer::json(refused)).await;
    let dir = tempfile::tempdir().unwrap();
    let drive = open_one(&dir, account(&service, "secret-password"));
    let error = drive.sign_in().await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::SignIn);
    for text in [format!("{drive:?}"), format!("{error:?}"), error.to_string()] {
        assert!(!text.contains("secret-password"), "{text}");
    }
    let http = Client::new().unwrap();
    let credentials = Credentials {
        grant: Some(Grant::Password("me".to_owned(), "secret-password".into())),
        access_token: Some("secret-token".into()),
    };
    let session = Session::new(http.clone(), endpoints(&service), credentials, None);
    let held = session.token().await.unwrap();
    let web = Web::new(http, endpoints(&service), session);
    let text = format!("{web:?} {held:?} {:?}", held.as_ref().map(|h| h.bearer()));
    assert!(!text.contains("secret"), "{text}");
}

#[tokio::test]
async fn the_open_platform_lists_by_last_id_without_the_recycle_bin() {
    let service = Canned::start(|asked: &Asked| {
        Answer::json(if asked.target.contains("access_token") {
            r#"{"code":0,"data":{"accessToken":"T"}}"#
        } else if asked.target.contains("lastFileId=2") {
            r#"{"code":0,"data":{"lastFileId":-1,"fileList":[{"fileId":3,"filename":"c","type":1}]}}"#
        } else {
            r#"{"code":0,"data":{"lastFileId":2,"fileList":[
                {"fileId":1,"filename":"a","size":4,"trashed":0},{"fileId":2,"filename":"b","trashed":1}]}}"#
        })
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let open = Source::Open(config::Open {
        client: Some(("id".to_owned(), "secret".into())),
        access_token: None,
        root_id: 0,
        delete: config::Delete::Trash,
        paid_links: None,
        endpoints: Endpoints {
            open: service.url.clone(),
            ..endpoints(&service)
        },
    });
    let drive = open_one(&dir, open);
    assert_eq!(names(&*drive).await.unwrap(), ["a", "c"]);
    assert_eq!(names(&*drive).await.unwrap(), ["a", "c"]);
    assert_eq!(
        (service.count("file/list"), service.count("access_token")),
        (4, 1)
    );
}

#[tokio::test]
async fn one_account_has_one_set_of_gates_and_one_sign_in_at_any_pace() {
    let service = service("", "").await;
    let dir = tempfile::tempdir().unwrap();
    let first = account(&service, "pw");
    let mut second = account(&service, "pw");
    let Source::Account(other) = &mut second else {
        return;
    };
    other.endpoints.rate = 500.0;
    let config = config(dir.path().to_owned(), vec![("/a", first), ("/b", second)]);
    let mut clients = Clients {
        state_dir: dir.path(),
        credentials: credentials(&config).unwrap(),
        http: Client::new().unwrap(),
        through: Vec::new(),
        sessions: HashMap::new(),
        webs: Vec::new(),
        opens: Vec::new(),
    };
    let mut web = |n: usize| match &config.mounts[n].source {
        Source::Account(account) => clients.web(Some(account), &account.endpoints).unwrap(),
        _ => unreachable!(),
    };
    let (a, again, b) = (web(0), web(0), web(1));
    assert!(Arc::ptr_eq(&a, &again) && !Arc::ptr_eq(&a, &b));
    // Nothing is kept, so only the shared session can save the second sign-in.
    std::fs::write(dir.path().join("tokens"), "no folder").unwrap();
    a.user_info().await.unwrap();
    b.user_info().await.unwrap();
    assert_eq!(service.count("sign_in"), 1);
}

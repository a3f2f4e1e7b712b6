#![allow(clippy::unwrap_used)]
//! The drive against a CDN that answers what the test says.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Barrier, watch};

use super::fake_cdn::{
    FakeCdn, KEY, UID, asked_of, config, drive, drive_with, pages, partial, refused, reply, root, sized,
};
use super::*;
use crate::pan::direct::PathForm;

#[tokio::test]
async fn pages_hold_at_most_100_rows_in_list_order_and_ask_nothing_that_the_list_gives() {
    let cdn = FakeCdn::new(|_| async { sized(1) }).await;
    let mut links = String::from("folder:\n");
    for n in 0..250 {
        links.push_str(&format!("  f{n}:{n}:1694101621:{}/1/x{n}\n", cdn.base));
    }
    let drive = drive(&links);
    let top = root(&drive).await;
    assert_eq!(top.len(), 1);
    assert!(top[0].is_folder());
    let pages = pages(&drive, top[0].id).await;
    assert_eq!(pages.iter().map(Vec::len).collect::<Vec<_>>(), [100, 100, 50]);
    for (n, entry) in pages.concat().iter().enumerate() {
        assert_eq!(&*entry.name, format!("f{n}"));
        assert_eq!(entry.id, Id(n as i64 + 2));
        assert_eq!(entry.size, Some(n as u64));
        assert_eq!(entry.modified, 1694101621);
        assert_eq!(entry.md5, None);
    }
    assert!(cdn.asked().is_empty());
}

#[tokio::test]
async fn what_the_list_leaves_open_is_asked_once_by_a_signed_head() {
    let cdn = FakeCdn::new(|asked| async move {
        match asked.form() {
            Some(_) if asked.method == "HEAD" => sized(42),
            _ => refused(),
        }
    })
    .await;
    let links = format!("{0}/1/a\n7:{0}/1/b\nc:{0}/1/c", cdn.base);
    let drive = drive(&links);
    for _ in 0..2 {
        let rows = root(&drive).await;
        let seen: Vec<_> = rows.iter().map(|e| (e.size, e.modified)).collect();
        assert_eq!(
            seen,
            [
                (Some(42), 1694099221),
                (Some(7), 1694099221),
                (Some(42), 1694099221)
            ]
        );
    }
    let mut asked = cdn.asked();
    asked.sort();
    assert_eq!(asked, ["HEAD /1/a", "HEAD /1/b", "HEAD /1/c"]);
}

#[tokio::test]
async fn two_listings_at_once_share_one_question() {
    let cdn = FakeCdn::new(|_| async { sized(42) }).await;
    let drive = drive(&format!("{}/1/a", cdn.base));
    let (one, two) = tokio::join!(root(&drive), root(&drive));
    assert_eq!(one[0].size, Some(42));
    assert_eq!(one, two);
    assert_eq!(cdn.asked(), ["HEAD /1/a"]);
}

#[tokio::test]
async fn where_head_is_refused_or_has_no_length_a_range_of_one_byte_tells_the_size() {
    let cdn = FakeCdn::new(|asked| async move {
        let head = asked.method == "HEAD";
        assert_eq!(asked.range, !head);
        match (asked.path.as_str(), head) {
            ("/1/refused", true) => reply(405, "Content-Length: 0\r\n"),
            ("/1/forbidden", true) => refused(),
            ("/1/zero", true) => reply(200, "Content-Length: 0\r\n"),
            ("/1/empty", true) => reply(200, "Content-Length: 0\r\n"),
            ("/1/empty", false) => reply(416, "Content-Length: 0\r\nContent-Range: bytes */0\r\n"),
            (_, true) => reply(200, "Last-Modified: Thu, 07 Sep 2023 15:07:01 GMT\r\n"),
            (_, false) => partial(99),
        }
    })
    .await;
    let links = ["refused", "forbidden", "silent", "zero", "empty"]
        .map(|name| format!("{}/1/{name}\n", cdn.base))
        .concat();
    let rows = root(&drive(&links)).await;
    let seen: Vec<_> = rows.iter().map(|e| (e.size, e.modified)).collect();
    assert_eq!(
        seen,
        [
            (Some(99), 0),
            (Some(99), 0),
            (Some(99), 1694099221),
            (Some(99), 0),
            (Some(0), 0)
        ]
    );
}

#[tokio::test]
async fn a_lone_number_is_the_size_where_the_cdn_says_so() {
    let cdn = FakeCdn::new(|asked| async move {
        match asked.path.as_str() {
            "/1/size" => sized(1694101621),
            _ => sized(5),
        }
    })
    .await;
    let links = format!("1694101621:{0}/1/size\nn:1694101621:{0}/1/time", cdn.base);
    let rows = root(&drive(&links)).await;
    assert_eq!((rows[0].size, rows[0].modified), (Some(1694101621), 1694099221));
    assert_eq!((rows[1].size, rows[1].modified), (Some(5), 1694101621));
}

#[tokio::test]
async fn at_most_four_are_asked_at_once() {
    let four = Arc::new(Barrier::new(4));
    let cdn = FakeCdn::new(move |_| {
        let four = Arc::clone(&four);
        async move {
            four.wait().await;
            sized(1)
        }
    })
    .await;
    let links: String = (0..24).map(|n| format!("{}/1/{n}\n", cdn.base)).collect();
    let rows = root(&drive(&links)).await;
    assert!(rows.iter().all(|e| e.size == Some(1)));
    assert_eq!(cdn.most_at_once.load(Ordering::SeqCst), 4);
}

#[tokio::test]
async fn a_dead_link_does_not_block_its_folder_and_is_left_alone_for_a_while() {
    let cdn = FakeCdn::new(|asked| async move {
        match asked.path.as_str() {
            "/1/dead" => std::future::pending().await,
            "/1/gone" => reply(404, "Content-Length: 0\r\n"),
            _ => sized(3),
        }
    })
    .await;
    let links = format!("{0}/1/dead\n{0}/1/gone\n{0}/1/well", cdn.base);
    let timing = Timing {
        probe: Duration::from_millis(200),
        ..Timing::default()
    };
    let drive = drive_with(&links, timing);
    for _ in 0..2 {
        let rows = root(&drive).await;
        let sizes: Vec<_> = rows.iter().map(|e| e.size).collect();
        assert_eq!(sizes, [None, None, Some(3)]);
        assert_eq!(rows[0].etag(), None);
    }
    assert_eq!(cdn.asked().len(), 3);
}

#[tokio::test]
async fn a_failure_is_tried_again_when_its_time_has_come() {
    let tries = AtomicUsize::new(0);
    let cdn = FakeCdn::new(move |_| {
        let first = tries.fetch_add(1, Ordering::SeqCst) == 0;
        async move {
            if first {
                reply(404, "Content-Length: 0\r\n")
            } else {
                sized(3)
            }
        }
    })
    .await;
    let timing = Timing {
        retry: Duration::ZERO,
        ..Timing::default()
    };
    let drive = drive_with(&format!("{}/1/a", cdn.base), timing);
    assert_eq!(root(&drive).await[0].size, None);
    assert_eq!(root(&drive).await[0].size, Some(3));
}

#[tokio::test]
async fn a_cdn_that_never_answers_costs_a_listing_its_patience_once() {
    let cdn = FakeCdn::new(|_| std::future::pending()).await;
    let links: String = (0..150).map(|n| format!("{}/1/{n}\n", cdn.base)).collect();
    let timing = Timing {
        probe: Duration::from_secs(3600),
        patience: Duration::from_millis(100),
        retry: Duration::from_secs(3600),
    };
    let drive = drive_with(&links, timing);
    let rows = root(&drive).await;
    assert_eq!(rows.len(), 150);
    let asked = cdn.asked().len();
    assert!(asked <= 4, "{asked}");
    assert_eq!(root(&drive).await.len(), 150);
    assert_eq!(cdn.asked().len(), asked);
}

#[tokio::test]
async fn redirects_are_followed_four_times_and_no_more() {
    let cdn = FakeCdn::new(|asked| async move {
        let (name, left) = asked.path.rsplit_once('/').unwrap();
        match left.parse::<u32>().unwrap() {
            0 => sized(8),
            n => reply(
                302,
                &format!("Content-Length: 0\r\nLocation: {name}/{}\r\n", n - 1),
            ),
        }
    })
    .await;
    let links = format!("four:{0}/1/x/4\nfive:{0}/1/y/5", cdn.base);
    let rows = root(&drive(&links)).await;
    assert_eq!(rows[0].size, Some(8));
    assert_eq!(rows[1].size, None);
}

/// A CDN that hashes paths as written, as one family of clients believes.
async fn as_written_cdn() -> FakeCdn {
    FakeCdn::new(|asked| async move {
        let escaped = asked.path.contains('%');
        match asked.form() {
            Some(PathForm::AsWritten) => sized(6),
            Some(PathForm::Decoded) if !escaped => sized(6),
            _ => refused(),
        }
    })
    .await
}

#[tokio::test]
async fn a_probe_refused_decoded_is_signed_as_written_and_that_is_remembered() {
    let cdn = as_written_cdn().await;
    let links = format!(
        "a:\n  {0}/1/%E6%88%91\nb:\n  {0}/1/%E6%88%92\n  {0}/1/plain",
        cdn.base
    );
    let drive = drive(&links);
    let folders = root(&drive).await;
    let a = pages(&drive, folders[0].id).await.concat();
    assert_eq!(a[0].size, Some(6));
    // HEAD and range decoded, then the range as written.
    assert_eq!(
        cdn.asked(),
        ["HEAD /1/%E6%88%91", "GET /1/%E6%88%91", "GET /1/%E6%88%91"]
    );
    let b = pages(&drive, folders[1].id).await.concat();
    assert_eq!(b[0].size, Some(6));
    assert_eq!(cdn.asked().len(), 5);
    let link = drive.link(&a[0], LinkWish::default()).await.unwrap();
    assert_eq!(asked_of(&link).form(), Some(PathForm::AsWritten));
    assert_eq!(cdn.asked().len(), 5);
}

#[tokio::test]
async fn a_form_found_out_meanwhile_is_tried_too() {
    let (proven, _) = watch::channel(false);
    let cdn = FakeCdn::new(move |asked| {
        let proven = proven.clone();
        async move {
            if asked.form() == Some(PathForm::AsWritten) {
                proven.send_replace(true);
                return sized(6);
            }
            if asked.path == "/1/%20late" && asked.method == "GET" {
                proven.subscribe().wait_for(|proven| *proven).await.unwrap();
            }
            refused()
        }
    })
    .await;
    let drive = drive(&format!("{0}/1/%20late\n{0}/1/%20first", cdn.base));
    let rows = root(&drive).await;
    assert!(rows.iter().all(|e| e.size == Some(6)), "{rows:?}");
}

#[tokio::test]
async fn only_the_members_of_the_page_are_asked_for() {
    let cdn = FakeCdn::new(|_| async { sized(1) }).await;
    let links: String = (0..101).map(|n| format!("{}/1/{n}\n", cdn.base)).collect();
    let drive = drive(&links);
    let mut lister = drive.list(drive.root());
    lister.next().await.unwrap();
    assert_eq!(cdn.asked().len(), 100);
    assert_eq!(lister.next().await.unwrap().unwrap().entries.len(), 1);
    assert_eq!(cdn.asked().len(), 101);
}

#[tokio::test]
async fn many_escaped_files_at_once_all_find_the_form() {
    let cdn = as_written_cdn().await;
    let links: String = (0..16).map(|n| format!("{}/1/%20{n}\n", cdn.base)).collect();
    let rows = root(&drive(&links)).await;
    assert!(rows.iter().all(|e| e.size == Some(6)), "{rows:?}");
}

#[tokio::test]
async fn the_first_link_of_an_escaped_path_finds_out_the_form_once() {
    let cdn = as_written_cdn().await;
    let drive = drive(&format!("5:1:{0}/1/plain\n5:1:{0}/1/%E6%88%91", cdn.base));
    let rows = root(&drive).await;
    drive.link(&rows[0], LinkWish::default()).await.unwrap();
    assert!(cdn.asked().is_empty(), "a plain path has one form");
    let (one, two) = tokio::join!(
        drive.link(&rows[1], LinkWish::default()),
        drive.link(&rows[1], LinkWish::default())
    );
    for link in [one.unwrap(), two.unwrap()] {
        assert_eq!(asked_of(&link).form(), Some(PathForm::AsWritten));
    }
    assert_eq!(cdn.asked(), ["GET /1/%E6%88%91"; 2]);
}

#[tokio::test]
async fn where_the_form_cannot_be_found_out_links_are_signed_decoded() {
    let cdn = FakeCdn::new(|_| async { reply(500, "Content-Length: 0\r\n") }).await;
    let drive = drive(&format!("5:1:{0}/1/%E6%88%91", cdn.base));
    let row = root(&drive).await.remove(0);
    for _ in 0..2 {
        let link = drive.link(&row, LinkWish::default()).await.unwrap();
        assert_eq!(asked_of(&link).form(), Some(PathForm::Decoded));
    }
    assert_eq!(cdn.asked().len(), 1, "the question rests for a while");
}

#[tokio::test]
async fn a_refused_link_of_ours_flips_the_form_once() {
    let cdn = FakeCdn::new(|_| async { reply(500, "Content-Length: 0\r\n") }).await;
    let drive = drive(&format!("5:1:{0}/1/%E6%88%91", cdn.base));
    let row = root(&drive).await.remove(0);
    let mut link = drive.link(&row, LinkWish::default()).await.unwrap();
    let mut forms = Vec::new();
    for _ in 0..3 {
        forms.push(asked_of(&link).form().unwrap());
        let wish = LinkWish {
            refused: Some(Arc::new(link)),
            ..LinkWish::default()
        };
        link = drive.link(&row, wish).await.unwrap();
    }
    assert_eq!(
        forms,
        [PathForm::Decoded, PathForm::AsWritten, PathForm::AsWritten]
    );
}

#[tokio::test]
async fn a_link_refused_because_it_had_expired_flips_nothing() {
    let drive = drive("5:1:http://127.0.0.1:9/1/%E6%88%91");
    let row = root(&drive).await.remove(0);
    let signer = Signer::new(Some(UID), KEY.into()).unwrap();
    let (_, file) = drive.inner.file(row.id).unwrap();
    let old = Link {
        url: signer.sign(&file.url, PathForm::Decoded, 1_694_101_621).unwrap(),
        until: UNIX_EPOCH,
        referers: Vec::new(),
        headers: Vec::new(),
        open_to_all: true,
    };
    let wish = LinkWish {
        refused: Some(Arc::new(old)),
        ..LinkWish::default()
    };
    let link = drive.link(&row, wish).await.unwrap();
    assert_eq!(asked_of(&link).form(), Some(PathForm::Decoded));
}

#[tokio::test]
async fn a_link_lives_as_long_as_configured_or_longer_if_wished() {
    let drive = drive("5:1:https://h/1/a");
    let row = root(&drive).await.remove(0);
    for (at_least, lifetime) in [
        (Duration::ZERO, 1800),
        (Duration::from_secs(60), 1800),
        (Duration::from_secs(4 * 3600), 4 * 3600 + 300),
    ] {
        let now = unix_now();
        let wish = LinkWish {
            at_least,
            refused: None,
        };
        let link = drive.link(&row, wish).await.unwrap();
        let until = link.until.duration_since(UNIX_EPOCH).unwrap().as_secs();
        assert!((now + lifetime..now + lifetime + 30).contains(&until));
        let auth = asked_of(&link).auth_key.unwrap();
        assert!(auth.starts_with(&format!("{until}-")));
        assert!(link.open_to_all);
        assert!(link.referers.is_empty());
    }
}

#[tokio::test]
async fn without_a_key_links_go_out_as_they_are() {
    let url = "https://h/1/%E6%88%91?x=1";
    let drive = DirectLinkDrive::new(&config(&format!("5:1:{url}"), None), Client::new().unwrap()).unwrap();
    let row = root(&drive).await.remove(0);
    let link = drive.link(&row, LinkWish::default()).await.unwrap();
    assert_eq!(link.expose(), url);
    assert!(link.until > SystemTime::now() + Duration::from_secs(23 * 3600));
}

#[tokio::test]
async fn what_is_no_folder_or_no_file_is_an_error() {
    let drive = drive("a:\n  5:1:https://h/1/b");
    let folder = root(&drive).await.remove(0);
    let file = pages(&drive, folder.id).await.concat().remove(0);
    let kind = drive.list(file.id).next().await.unwrap_err().kind();
    assert_eq!(kind, ErrorKind::NotAFolder);
    for id in [Id(77), Id(-1)] {
        let kind = drive.list(id).next().await.unwrap_err().kind();
        assert_eq!(kind, ErrorKind::NotFound);
    }
    let wish = LinkWish::default();
    let kind = drive.link(&folder, wish).await.unwrap_err().kind();
    assert_eq!(kind, ErrorKind::IsAFolder);
}

#[test]
fn every_bad_line_is_a_sentence_with_its_number() {
    let client = Client::new().unwrap();
    let links = "x\nhttps://h/1/a\n-1:https://h/1/b?auth_key=secret";
    let sentences = DirectLinkDrive::new(&config(links, Some(KEY)), client).unwrap_err();
    assert_eq!(sentences.len(), 2);
    assert!(sentences[0].starts_with("links.txt, line 1: "), "{sentences:?}");
    assert!(sentences[1].starts_with("links.txt, line 3: "), "{sentences:?}");
    assert!(!sentences.concat().contains("secret"));
}

#[test]
fn an_account_id_that_is_not_set_is_taken_from_the_url_or_missed() {
    let client = Client::new().unwrap();
    let mut config = config("https://h/77/a\nhttps://own.example/films/b", Some(KEY));
    config.uid = None;
    let sentences = DirectLinkDrive::new(&config, client.clone()).unwrap_err();
    assert_eq!(sentences.len(), 1);
    assert!(sentences[0].starts_with("links.txt, line 2: "), "{sentences:?}");
    assert!(sentences[0].contains("uid"), "{sentences:?}");
    config.private_key = None;
    assert!(DirectLinkDrive::new(&config, client.clone()).is_ok());
    config.private_key = Some("".into());
    let sentences = DirectLinkDrive::new(&config, client).unwrap_err();
    assert!(sentences[0].contains("private key"), "{sentences:?}");
}

#[derive(Clone, Default)]
struct Captured(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_refused_signature_is_told_once_and_no_secret_with_it() {
    let log = Captured::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || writer.clone())
        .finish();
    let _guard = tracing::subscriber::set_default(subscriber);
    let cdn = FakeCdn::new(|_| async { refused() }).await;
    let links = format!("{0}/1/a?token=hidden\n{0}/1/b\n{0}/1/%20", cdn.base);
    let drive = drive(&links);
    let rows = root(&drive).await;
    assert!(rows.iter().all(|e| e.size.is_none()));
    drive.link(&rows[2], LinkWish::default()).await.unwrap();
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert_eq!(log.matches("refuses the signed link").count(), 1, "{log}");
    let shown = format!("{log}{drive:?}");
    for secret in [KEY, "hidden", "auth_key"] {
        assert!(!shown.contains(secret), "{secret}: {shown}");
    }
}

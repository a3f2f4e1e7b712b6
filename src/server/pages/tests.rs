//! The pages by themselves.

#![allow(clippy::unwrap_used)]

use super::folder::page;
use super::order::Column;
use super::*;
use crate::dav::frames::tests::{Script, Step, file};
use crate::drive::{Entry, Error, Id, Kind};
use crate::tree::TreePath;
use http_body_util::BodyExt;
use proptest::prelude::*;

fn folder(name: &str) -> Entry {
    Entry {
        id: Id(2),
        kind: Kind::Folder,
        modified: 0,
        ..file(name.into())
    }
}

async fn text(members: Vec<Entry>, shown: &str, url_path: &str, language: Language) -> String {
    let shown = TreePath::parse(shown).unwrap();
    let view = View {
        language,
        ..view(&shown, url_path)
    };
    whole(page(Script::new([Step::Give(members)]), view).await).await
}

fn view<'a>(shown: &'a TreePath, url_path: &'a str) -> View<'a> {
    View {
        shown,
        url_path,
        order: None,
        writable: false,
        language: Language::English,
        mount: None,
    }
}

async fn whole(response: Result<Response<Body>, Error>) -> String {
    let bytes = response.unwrap().into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The names of a page's rows, in its order.
fn names(page: &str) -> Vec<String> {
    let rows = page.split("<tr class=").skip(1);
    let name = |row: &str| Some(row.split_once("<bdi>")?.1.split_once("</bdi>")?.0.to_owned());
    rows.filter_map(name).collect()
}

#[tokio::test]
async fn a_row_links_to_the_member_and_tells_size_and_date() {
    let members = vec![folder("电影"), file("a#1 <b>.mkv".into())];
    let page = text(members, "/drive", "/dav/drive/", Language::English).await;
    for part in [
        "<tr class=\"u\"><td><a href=\"../\">Parent folder</a>",
        "<tr class=\"d\"><td><a href=\"%E7%94%B5%E5%BD%B1/\"><bdi>电影</bdi></a></td><td></td><td></td></tr>",
        "<tr class=\"v\"><td><a href=\"a%231%20%3Cb%3E.mkv\"><bdi>a#1 &lt;b&gt;.mkv</bdi></a></td><td>5 B</td>\
         <td><time datetime=\"1994-11-06T08:49:37Z\">1994-11-06<span> 08:49</span></time></td></tr>",
        "<meta name=\"robots\" content=\"noindex\">",
        "<title>/drive</title>",
    ] {
        assert!(page.contains(part), "{part} is not in {page}");
    }
    assert!(page.ends_with("</html>") && !page.contains("is empty"));
}

#[tokio::test]
async fn links_lead_below_the_folder_whether_or_not_its_address_ends_in_a_slash() {
    let members = || vec![file("a".into())];
    for (url_path, link, parent) in [
        ("/x/y%20z/", "href=\"a\"", "href=\"../\""),
        ("/x/y%20z", "href=\"y%20z/a\"", "href=\"./\""),
        (
            "/x/%22%3E<script>",
            "href=\"%22%3E%3Cscript%3E/a\"",
            "href=\"./\"",
        ),
    ] {
        let page = text(members(), "/x/y z", url_path, Language::English).await;
        assert!(page.contains(link) && page.contains(parent), "{page}");
    }
    let root = text(members(), "/", "/dav", Language::English).await;
    assert!(root.contains("href=\"dav/a\"") && !root.contains("Parent"));
}

#[tokio::test]
async fn a_chinese_browser_reads_chinese_and_the_time_of_china() {
    let page = text(vec![file("a".into())], "/", "/", Language::Chinese).await;
    assert!(
        page.contains("lang=\"zh-CN\"") && page.contains("名称") && page.contains(">1994-11-06<span> 16:49<")
    );
    let page = text(Vec::new(), "/", "/", Language::Chinese).await;
    assert!(page.contains("此文件夹为空"));
}

#[tokio::test]
async fn the_page_may_load_nothing_and_tells_nobody_where_it_was() {
    let headers = head().into_parts().0.headers;
    let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"));
    assert!(!policy.contains("unsafe"), "{policy}");
    assert_eq!(headers[REFERRER_POLICY], "no-referrer");
    assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
    assert_eq!(headers[CONTENT_TYPE], "text/html; charset=utf-8");
}

#[tokio::test]
async fn a_folder_that_breaks_off_is_not_a_shorter_page() {
    let shown = TreePath::root();
    let steps = || [Step::Give(vec![file("a".into())]), Step::Fail];
    // At once: there is an answer with a status. Later: the transfer breaks.
    assert!(page(Script::new(steps()), view(&shown, "/")).await.is_err());
    let later = View {
        order: Order::of("sort=size"),
        ..view(&shown, "/")
    };
    let response = page(Script::new(steps()), later).await.unwrap();
    assert!(response.into_body().collect().await.is_err());
}

#[test]
fn an_order_is_asked_for_by_the_query() {
    let order = |column, descending| Some(Order { column, descending });
    for (query, wanted) in [
        ("sort=name", order(Column::Name, false)),
        ("sort=size&order=desc", order(Column::Size, true)),
        ("order=desc&sort=date&x=y", order(Column::Date, true)),
        ("sort=colour", None),
        ("order=desc", None),
        ("", None),
    ] {
        assert_eq!(Order::of(query), wanted, "{query}");
    }
}

#[tokio::test]
async fn rows_stand_in_the_order_asked_for_with_folders_first() {
    let sized = |name: &str, size, modified| Entry {
        size: Some(size),
        modified,
        ..file(name.into())
    };
    let members = || {
        // In two chunks, as a drive gives them.
        [
            Step::Give(vec![
                sized("b10.txt", 3, 300),
                sized("B9.txt", 1, 500),
                folder("z"),
            ]),
            Step::Give(vec![sized("a.txt", 2, 400), folder("Y")]),
        ]
    };
    for (query, wanted, sorted) in [
        ("", ["Y", "z", "a.txt", "B9.txt", "b10.txt"], "ascending"),
        (
            "sort=name&order=desc",
            ["z", "Y", "b10.txt", "B9.txt", "a.txt"],
            "descending",
        ),
        ("sort=size", ["Y", "z", "B9.txt", "a.txt", "b10.txt"], "ascending"),
        (
            "sort=date&order=desc",
            ["z", "Y", "B9.txt", "a.txt", "b10.txt"],
            "descending",
        ),
    ] {
        let shown = TreePath::root();
        let view = View {
            order: Order::of(query),
            ..view(&shown, "/")
        };
        let page = whole(page(Script::new(members()), view).await).await;
        assert_eq!(names(&page), wanted, "{query}");
        assert_eq!(page.matches(&format!("aria-sort=\"{sorted}\"")).count(), 1);
    }
}

#[tokio::test]
async fn a_huge_folder_is_streamed_as_it_comes_and_sorted_when_asked() {
    let chunk = |n: usize| Step::Give((0..100).map(|i| file(format!("{}", n * 100 + i))).collect());
    let shown = TreePath::root();
    let script = || Script::new((0..120).rev().map(chunk));
    let source = script();
    let taken = source.taken.clone();
    let response = page(source, view(&shown, "/")).await.unwrap();
    // Some are looked at to sort them; the rest is not taken before the client takes it.
    assert!(taken.load(std::sync::atomic::Ordering::Relaxed) < 60);
    let page_as_it_comes = whole(Ok(response)).await;
    assert!(!page_as_it_comes.contains("aria-sort"));
    let unsorted = names(&page_as_it_comes);
    assert_eq!((unsorted.len(), &*unsorted[0]), (12_000, "11900"));
    let asked = View {
        order: Order::of("sort=name"),
        ..view(&shown, "/")
    };
    let sorted = names(&whole(page(script(), asked).await).await);
    assert!(sorted.iter().enumerate().all(|(n, name)| *name == n.to_string()));
}

#[test]
fn sizes_are_written_for_people() {
    for (bytes, wanted) in [
        (0, "0 B"),
        (1_023, "1023 B"),
        (1_024, "1.0 KiB"),
        (1_536, "1.5 KiB"),
        (1_048_575, "1.0 MiB"),
        (10 << 30, "10.0 GiB"),
        (u64::MAX, "16.0 EiB"),
    ] {
        assert_eq!(human(bytes), wanted);
    }
}

proptest! {
    #[test]
    fn no_text_becomes_markup(text in any::<String>()) {
        let mut out = BytesMut::new();
        escape(&text, &mut out);
        let out = std::str::from_utf8(&out).unwrap();
        prop_assert!(!out.contains(['<', '>', '"', '\'']) && !out.contains(char::is_control));
    }
}

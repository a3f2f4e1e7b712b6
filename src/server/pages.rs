//! A folder as a page, for people who open the address in a browser.
//!
//! The page is rendered in the same way as a PROPFIND: the first members are in hand before the status, then rows go
//! out chunk by chunk, and a listing that fails breaks the transfer. There is no script, no picture and no
//! other address in it, and its policy forbids the browser to load any; names are 123pan's users' text and never markup. Links
//! are relative, so that the page works behind a reverse proxy that changes the prefix.

use bytes::{Bytes, BytesMut};
use http::header::{
    ACCEPT_LANGUAGE, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response};

use crate::body::Body;
use crate::dav::date::{Civil, is_known};
use crate::dav::encode::href_segment;
use crate::dav::frames::{Frames, Render, Source};
use crate::drive::{Entry, Error};
use crate::tree::{Resource, Tree, TreePath};

/// Headers of every page. The page may load nothing but its own style.
const HEADERS: [(HeaderName, &str); 6] = [
    (CONTENT_TYPE, "text/html; charset=utf-8"),
    (
        CONTENT_SECURITY_POLICY,
        "default-src 'none'; style-src 'unsafe-inline'",
    ),
    (REFERRER_POLICY, "no-referrer"),
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (CACHE_CONTROL, "private, no-cache"),
    (VARY, "accept-language"),
];

const STYLE: &str = ":root{color-scheme:light dark}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:0 auto;padding:1rem}\
h1{font-size:1.2rem;overflow-wrap:anywhere}\
table{width:100%;border-collapse:collapse;table-layout:fixed}\
th,td{text-align:left;padding:.35rem .5rem;border-bottom:1px solid #8884;overflow-wrap:anywhere}\
th:nth-child(2),td:nth-child(2){width:6rem;text-align:right;white-space:nowrap}\
th:nth-child(3),td:nth-child(3){width:10rem;white-space:nowrap}\
a{text-decoration:none}a:hover{text-decoration:underline}\
@media(max-width:40rem){th:nth-child(3),td:nth-child(3){display:none}}";

/// The languages of the page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// For everybody who does not ask for Chinese.
    English,
    /// Simplified Chinese, with times of China.
    Chinese,
}

/// The words of a language.
struct Words {
    tag: &'static str,
    name: &'static str,
    size: &'static str,
    modified: &'static str,
    parent: &'static str,
    empty: &'static str,
    /// Seconds east of Greenwich of the times shown.
    offset: i64,
}

impl Language {
    /// The language that a browser prefers (RFC 9110 12.5.4): Chinese, if it ranks above English.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut best = (0.0, Self::English);
        for value in headers.get_all(ACCEPT_LANGUAGE) {
            for range in value.to_str().unwrap_or_default().split(',') {
                let (tag, weight) = range.split_once(';').unwrap_or((range, "q=1"));
                let primary = tag.trim().split('-').next().unwrap_or_default();
                let language = if primary.eq_ignore_ascii_case("zh") {
                    Self::Chinese
                } else if primary.eq_ignore_ascii_case("en") {
                    Self::English
                } else {
                    continue;
                };
                let weight = weight
                    .trim()
                    .strip_prefix("q=")
                    .and_then(|q| q.parse::<f32>().ok());
                let weight = weight.unwrap_or(0.0);
                if weight > best.0 {
                    best = (weight, language);
                }
            }
        }
        best.1
    }

    fn words(self) -> &'static Words {
        match self {
            Self::English => &Words {
                tag: "en",
                name: "Name",
                size: "Size",
                modified: "Modified (UTC)",
                parent: "Parent folder",
                empty: "This folder is empty.",
                offset: 0,
            },
            Self::Chinese => &Words {
                tag: "zh-CN",
                name: "名称",
                size: "大小",
                modified: "修改时间（北京时间）",
                parent: "上级目录",
                empty: "此文件夹为空。",
                offset: 8 * 3_600,
            },
        }
    }
}

/// How a folder was asked for.
#[derive(Debug, Clone, Copy)]
pub struct View<'a> {
    /// The path as the user sees it, for the heading.
    pub shown: &'a TreePath,
    /// The path of the request's URL as it came. Without a slash at its end the links begin with its last segment.
    pub url_path: &'a str,
    /// The language of the page.
    pub language: Language,
}

/// The page of a folder.
///
/// # Errors
/// Those of [`Tree::list`]; a later failure breaks the body.
pub async fn folder(tree: &Tree, folder: &Resource, view: View<'_>) -> Result<Response<Body>, Error> {
    let members = tree.list(folder).await?;
    Ok(page(members, view))
}

/// What a HEAD of a folder is answered with: the headers of its page, for which nothing is listed.
pub fn head() -> Response<Body> {
    respond(Body::Empty)
}

fn respond(body: Body) -> Response<Body> {
    let mut response = Response::new(body);
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

fn page<S: Source>(members: S, view: View<'_>) -> Response<Body> {
    let (rows, head) = Rows::begin(view);
    respond(Body::stream(Frames::new(
        members,
        rows,
        &head,
        view.shown.to_string(),
    )))
}

/// Renders the rows of the table and what stands behind them.
struct Rows {
    words: &'static Words,
    /// Percent-encoded, before each link: empty, or the folder's own segment and a slash.
    base: Bytes,
    empty: bool,
}

impl Rows {
    /// The renderer, and everything before the first row.
    fn begin(view: View<'_>) -> (Self, BytesMut) {
        let words = view.language.words();
        let mut out = BytesMut::with_capacity(4 * 1024);
        let mut put = |parts: &[&str]| {
            parts
                .iter()
                .for_each(|part| out.extend_from_slice(part.as_bytes()))
        };
        let mut title = BytesMut::new();
        escape(&view.shown.to_string(), &mut title);
        let title = String::from_utf8_lossy(&title);
        put(&[
            "<!DOCTYPE html><html lang=\"",
            words.tag,
            "\"><head><meta charset=\"utf-8\">",
        ]);
        put(&["<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">"]);
        put(&[
            "<meta name=\"robots\" content=\"noindex\"><title>",
            &title,
            "</title>",
        ]);
        put(&[
            "<style>",
            STYLE,
            "</style></head><body><h1><bdi>",
            &title,
            "</bdi></h1><table><thead><tr><th>",
        ]);
        put(&[words.name, "</th><th>", words.size, "</th><th>", words.modified]);
        put(&["</th></tr></thead><tbody>"]);
        let last = view.url_path.rsplit('/').next().unwrap_or_default();
        let base = own_segment(last);
        if !view.shown.is_root() {
            let parent = if last.is_empty() { "../" } else { "./" };
            put(&[
                "<tr><td><a href=\"",
                parent,
                "\">↑ ",
                words.parent,
                "</a></td><td></td><td></td></tr>",
            ]);
        }
        let rows = Self {
            words,
            base,
            empty: true,
        };
        (rows, out)
    }
}

/// The last segment of a URL's path, encoded anew, with a slash; empty where there is none.
fn own_segment(raw: &str) -> Bytes {
    let mut base = BytesMut::new();
    if let Ok(path) = TreePath::parse(raw)
        && let Some(name) = path.name()
    {
        href_segment(name, &mut base);
        base.extend_from_slice(b"/");
    }
    base.freeze()
}

impl Render for Rows {
    fn row(&mut self, entry: &Entry, out: &mut BytesMut) {
        self.empty = false;
        let slash: &[u8] = if entry.is_folder() { b"/" } else { b"" };
        out.extend_from_slice(b"<tr><td><a href=\"");
        out.extend_from_slice(&self.base);
        href_segment(&entry.name, out);
        out.extend_from_slice(slash);
        out.extend_from_slice(b"\"><bdi>");
        escape(&entry.name, out);
        out.extend_from_slice(b"</bdi>");
        out.extend_from_slice(slash);
        out.extend_from_slice(b"</a></td><td>");
        if let Some(size) = entry.size
            && !entry.is_folder()
        {
            out.extend_from_slice(human(size).as_bytes());
        }
        out.extend_from_slice(b"</td><td>");
        if is_known(entry.modified) {
            let universal = Civil::new(entry.modified).rfc3339();
            let mut local = Civil::new(entry.modified.saturating_add(self.words.offset)).rfc3339();
            local[10] = b' ';
            out.extend_from_slice(b"<time datetime=\"");
            out.extend_from_slice(&universal);
            out.extend_from_slice(b"\">");
            out.extend_from_slice(&local[..16]);
            out.extend_from_slice(b"</time>");
        }
        out.extend_from_slice(b"</td></tr>");
    }

    fn end(&mut self, out: &mut BytesMut) {
        if self.empty {
            out.extend_from_slice(b"<tr><td colspan=\"3\">");
            out.extend_from_slice(self.words.empty.as_bytes());
            out.extend_from_slice(b"</td></tr>");
        }
        out.extend_from_slice(b"</tbody></table></body></html>");
    }
}

/// Appends text as HTML, good inside quoted attributes too. Control characters, which HTML forbids even as
/// references, become the replacement character.
pub fn escape(text: &str, out: &mut BytesMut) {
    let mut utf8 = [0; 4];
    for character in text.chars() {
        let bytes = match character {
            '&' => "&amp;",
            '<' => "&lt;",
            '>' => "&gt;",
            '"' => "&quot;",
            '\'' => "&#39;",
            c if c.is_control() => "\u{fffd}",
            c => c.encode_utf8(&mut utf8),
        };
        out.extend_from_slice(bytes.as_bytes());
    }
}

/// The same as a string.
pub fn escaped(text: &str) -> String {
    let mut out = BytesMut::new();
    escape(text, &mut out);
    String::from_utf8_lossy(&out).into_owned()
}

/// A size for people: three or four digits, in units of 1,024.
fn human(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1_024 {
        return format!("{bytes} B");
    }
    let mut unit = 1_024_u128;
    let mut name = UNITS[0];
    let mut tenths = 0;
    for next in UNITS {
        name = next;
        tenths = (u128::from(bytes) * 10 + unit / 2) / unit;
        if tenths < 10_240 {
            break;
        }
        unit *= 1_024;
    }
    format!("{}.{} {name}", tenths / 10, tenths % 10)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::dav::frames::tests::{Script, Step, file};
    use crate::drive::{Id, Kind};
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
            shown: &shown,
            url_path,
            language,
        };
        let response = page(Script::new([Step::Give(members)]), view);
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.to_vec()).unwrap()
    }

    fn language(accepted: &str) -> Language {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT_LANGUAGE, accepted.parse().unwrap());
        Language::of(&headers)
    }

    #[tokio::test]
    async fn a_row_links_to_the_member_and_tells_size_and_date() {
        let members = vec![folder("电影"), file("a#1 <b>.mkv".into())];
        let page = text(members, "/drive", "/dav/drive/", Language::English).await;
        for part in [
            "<a href=\"../\">↑ Parent folder</a>",
            "<tr><td><a href=\"%E7%94%B5%E5%BD%B1/\"><bdi>电影</bdi>/</a></td><td></td><td></td></tr>",
            "<tr><td><a href=\"a%231%20%3Cb%3E.mkv\"><bdi>a#1 &lt;b&gt;.mkv</bdi></a></td><td>5 B</td>\
             <td><time datetime=\"1994-11-06T08:49:37Z\">1994-11-06 08:49</time></td></tr>",
            "<meta name=\"robots\" content=\"noindex\">",
            "<title>/drive</title>",
        ] {
            assert!(page.contains(part), "{part} is not in {page}");
        }
        assert!(page.ends_with("</html>") && !page.contains("empty"));
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
            page.contains("lang=\"zh-CN\"") && page.contains("名称") && page.contains(">1994-11-06 16:49<")
        );
        let page = text(Vec::new(), "/", "/", Language::Chinese).await;
        assert!(page.contains("此文件夹为空"));
    }

    #[test]
    fn the_language_that_ranks_higher_is_spoken() {
        for (accepted, wanted) in [
            ("zh-CN,zh;q=0.9,en;q=0.8", Language::Chinese),
            ("zh", Language::Chinese),
            ("de, ZH-TW;q=0.5", Language::Chinese),
            ("en-US,en;q=0.9,zh;q=0.8", Language::English),
            ("en, zh", Language::English),
            ("zh;q=0", Language::English),
            ("fr", Language::English),
            (";;,q=,zh;q=x", Language::English),
        ] {
            assert_eq!(language(accepted), wanted, "{accepted}");
        }
        assert_eq!(Language::of(&HeaderMap::new()), Language::English);
    }

    #[tokio::test]
    async fn the_page_may_load_nothing_and_tells_nobody_where_it_was() {
        let headers = head().into_parts().0.headers;
        assert_eq!(
            headers[CONTENT_SECURITY_POLICY],
            "default-src 'none'; style-src 'unsafe-inline'"
        );
        assert_eq!(headers[REFERRER_POLICY], "no-referrer");
        assert_eq!(headers[X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert_eq!(headers[CONTENT_TYPE], "text/html; charset=utf-8");
    }

    #[tokio::test]
    async fn a_folder_that_breaks_off_is_not_a_shorter_page() {
        let shown = TreePath::root();
        let view = View {
            shown: &shown,
            url_path: "/",
            language: Language::English,
        };
        let steps = [Step::Give(vec![file("a".into())]), Step::Fail];
        assert!(
            page(Script::new(steps), view)
                .into_body()
                .collect()
                .await
                .is_err()
        );
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
}

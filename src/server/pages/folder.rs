//! A folder as a page, for people who open its address in a browser.
//!
//! The page is rendered in the same way as a PROPFIND: the first members are in hand before the status, then rows go
//! out chunk by chunk, and a listing that fails breaks the transfer. It works without its script; what needs the script is
//! hidden until it runs.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::Response;

use super::order::{Column, Order, Ordered};
use super::words::{Language, Words};
use super::{SCRIPT, begin, escape, escaped, human, kind, respond};
use crate::body::Body;
use crate::date::{Civil, is_known};
use crate::dav::encode::href_segment;
use crate::dav::frames::{Frames, Render, Source};
use crate::drive::{Entry, Error};
use crate::tree::{Mount, Resource, Tree, TreePath};

/// How a folder was asked for.
#[derive(Debug, Clone)]
pub struct View<'a> {
    /// The path as the user sees it, for the heading.
    pub shown: &'a TreePath,
    /// The path of the request's URL as it came. Without a slash at its end the links begin with its last segment.
    pub url_path: &'a str,
    /// The order that was asked for.
    pub order: Option<Order>,
    /// The user may write here.
    pub writable: bool,
    /// The language of the page.
    pub language: Language,
    /// What the folder belongs to.
    pub mount: Option<Arc<Mount>>,
}

/// The page of a folder.
///
/// # Errors
/// Those of [`Tree::list`]; a later failure breaks the body.
pub async fn folder(tree: &Tree, folder: &Resource, view: View<'_>) -> Result<Response<Body>, Error> {
    page(tree.list(folder).await?, view).await
}

pub(super) async fn page<S: Source>(members: S, view: View<'_>) -> Result<Response<Body>, Error>
where
    S::Chunk: Sync + 'static,
{
    let members = Ordered::new(members, view.order).await?;
    let (rows, head) = Rows::begin(&view, members.order());
    Ok(respond(Body::stream(Frames::new(
        members,
        rows,
        head.as_bytes(),
        view.shown.to_string(),
    ))))
}

/// Renders the rows of the table and what stands behind them.
struct Rows {
    words: &'static Words,
    /// Percent-encoded, before each link: empty, or the folder's own segment and a slash.
    base: Bytes,
    /// Relative link to the root of the server.
    root: String,
    empty: bool,
    /// Whose small pictures are shown.
    mount: Option<Arc<Mount>>,
}

impl Rows {
    /// The renderer, and everything before the first row.
    fn begin(view: &View<'_>, order: Option<Order>) -> (Self, String) {
        let words = view.language.words();
        let last = view.url_path.rsplit('/').next().unwrap_or_default();
        let base = own_segment(last);
        // An address without a slash is seen from its parent.
        let up = |levels: usize| match levels.saturating_sub(usize::from(!last.is_empty())) {
            0 => "./".to_owned(),
            levels => "../".repeat(levels),
        };
        let script = serde_json::to_string(words.script).unwrap_or_default();
        let mut page = begin(
            words.tag,
            &view.shown.to_string(),
            &format!(
                " data-base=\"{}\" data-words=\"{}\"{}",
                String::from_utf8_lossy(&base),
                escaped(&script),
                if view.writable { " data-writable" } else { "" },
            ),
        );
        page.push_str(&heading(view.shown, words, up));
        page.push_str(&tools(words, view.writable));
        page.push_str(&columns(words, order));
        if !view.shown.is_root() {
            page.push_str(&format!(
                "<tr class=\"u\"><td><a href=\"{}\">{}</a></td><td></td><td></td></tr>",
                up(1),
                words.parent
            ));
        }
        let depth = view.url_path.split('/').filter(|part| !part.is_empty()).count();
        let rows = Self {
            words,
            base,
            root: if depth == 0 { "./".to_owned() } else { up(depth) },
            empty: true,
            mount: view.mount.clone(),
        };
        (rows, page)
    }
}

/// The folders above as links, and the name of this one.
fn heading(shown: &TreePath, words: &Words, up: impl Fn(usize) -> String) -> String {
    let mut out = "<header>".to_owned();
    let segments: Vec<&str> = shown.segments().collect();
    if let Some((own, above)) = segments.split_last() {
        let levels = segments.len();
        out.push_str(&format!(
            "<nav aria-label=\"{}\"><ol><li><a href=\"{}\">{}</a></li>",
            words.path,
            up(levels),
            words.root
        ));
        for (name, at) in above.iter().zip(1..) {
            let name = escaped(name);
            out.push_str(&format!(
                "<li><a href=\"{}\"><bdi>{name}</bdi></a></li>",
                up(levels - at)
            ));
        }
        out.push_str(&format!("</ol></nav><h1><bdi>{}</bdi></h1>", escaped(own)));
    } else {
        out.push_str(&format!("<h1>{}</h1>", words.root));
    }
    out.push_str("</header>");
    out
}

/// What the script can do with the folder, and the script.
fn tools(words: &Words, writable: bool) -> String {
    let mut out = format!(
        "<main><div id=\"tools\" hidden><button id=\"copy\">{}</button>",
        words.copy_folder
    );
    if writable {
        out.push_str(&format!(
            "<button id=\"pick\">{}</button><input id=\"files\" type=\"file\" multiple hidden aria-label=\"{0}\">\
             <button id=\"make\">{}</button>",
            words.upload, words.new_folder
        ));
    }
    out.push_str("</div><p id=\"said\" role=\"status\"></p><ul id=\"uploads\" hidden></ul>");
    if writable {
        out.push_str(&format!("<div id=\"drop\" hidden>{}</div>", words.drop));
    }
    out.push_str(&format!("<script>{SCRIPT}</script>"));
    out
}

/// The heads of the columns: each sorts by it, and the one sorted by turns the order round.
fn columns(words: &Words, order: Option<Order>) -> String {
    let mut out = "<table id=\"rows\"><thead><tr>".to_owned();
    for (column, key, name) in [
        (Column::Name, "name", words.name),
        (Column::Size, "size", words.size),
        (Column::Date, "date", words.modified),
    ] {
        let now = order
            .filter(|order| order.column == column)
            .map(|order| order.descending);
        // Whoever sorts by size or date looks for the largest or the newest.
        let next = now.map_or(column != Column::Name, |descending| !descending);
        let (sorted, sign) = match now {
            None => ("", ""),
            Some(false) => (" aria-sort=\"ascending\"", "<span aria-hidden=\"true\"> ▲</span>"),
            Some(true) => (
                " aria-sort=\"descending\"",
                "<span aria-hidden=\"true\"> ▼</span>",
            ),
        };
        let next = if next { "desc" } else { "asc" };
        out.push_str(&format!(
            "<th scope=\"col\"{sorted}><a href=\"?sort={key}&amp;order={next}\">{name}{sign}</a></th>"
        ));
    }
    out.push_str("</tr></thead><tbody>");
    out
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
        out.extend_from_slice(b"<tr class=\"");
        out.extend_from_slice(kind::class(entry).as_bytes());
        out.extend_from_slice(b"\"><td><a href=\"");
        out.extend_from_slice(&self.base);
        href_segment(&entry.name, out);
        out.extend_from_slice(slash);
        out.extend_from_slice(b"\">");
        if self
            .mount
            .as_ref()
            .and_then(|mount| mount.drive.thumbnails())
            .is_some_and(|thumbnails| thumbnails.has(entry))
        {
            // What it shows is said by the name behind it.
            out.extend_from_slice(b"<img src=\"");
            out.extend_from_slice(&self.base);
            href_segment(&entry.name, out);
            out.extend_from_slice(b"?");
            out.extend_from_slice(super::thumbnail::QUERY.as_bytes());
            out.extend_from_slice(b"\" alt=\"\" loading=\"lazy\" width=\"40\" height=\"40\">");
        }
        out.extend_from_slice(b"<bdi>");
        escape(&entry.name, out);
        out.extend_from_slice(b"</bdi></a></td><td>");
        if let Some(size) = entry.size
            && !entry.is_folder()
        {
            out.extend_from_slice(human(size).as_bytes());
        }
        out.extend_from_slice(b"</td><td>");
        if is_known(entry.modified) {
            let universal = Civil::new(entry.modified).rfc3339();
            let local = Civil::new(entry.modified.saturating_add(self.words.offset)).rfc3339();
            out.extend_from_slice(b"<time datetime=\"");
            out.extend_from_slice(&universal);
            out.extend_from_slice(b"\">");
            out.extend_from_slice(&local[..10]);
            out.extend_from_slice(b"<span> ");
            out.extend_from_slice(&local[11..16]);
            out.extend_from_slice(b"</span></time>");
        }
        out.extend_from_slice(b"</td></tr>");
    }

    fn end(&mut self, out: &mut BytesMut) {
        if self.empty {
            out.extend_from_slice(b"<tr><td colspan=\"3\">");
            out.extend_from_slice(self.words.empty.as_bytes());
            out.extend_from_slice(b"</td></tr>");
        }
        let end = format!(
            "</tbody></table></main><footer><a href=\"{}.dav123/\">{}</a> · dav123</footer></body></html>",
            self.root, self.words.status
        );
        out.extend_from_slice(end.as_bytes());
    }
}

//! A folder as a body: chunks of members in, frames of about 64 KiB out.
//!
//! The body is polled: it renders rows of the chunk in hand until a frame is full, and asks for the next chunk
//! only when hyper asks for more bytes, so a slow client holds back the listing and nothing queues up. While a
//! chunk is waited for, what is rendered already goes out. A failure of the listing becomes the body's error: hyper then breaks the
//! connection, and no client takes half a folder for the whole (T4).

use std::future::Future;
use std::io;
use std::ops::Deref;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame};

use crate::drive::{Entry, Error};
use crate::tree::{Chunk, Members};

/// Bytes after which a frame is sent. One row may follow, so frames are a little longer.
const FULL: usize = 64 * 1024;
/// What is allocated for a frame: full, and a row of usual length.
const CAPACITY: usize = FULL + 4 * 1024;

/// A source of members, chunk by chunk; the tree's [`Members`] is the one that serves.
pub trait Source: Send + 'static {
    /// Some members.
    type Chunk: Deref<Target = [Entry]> + Send;

    /// The next members; `None` at the end of a whole listing.
    fn next(&mut self) -> impl Future<Output = Result<Option<Self::Chunk>, Error>> + Send;
}

impl Source for Members {
    type Chunk = Chunk;

    fn next(&mut self) -> impl Future<Output = Result<Option<Chunk>, Error>> + Send {
        Self::next(self)
    }
}

/// Turns members into bytes.
pub trait Render: Send + 'static {
    /// Appends one member.
    fn row(&mut self, entry: &Entry, out: &mut BytesMut);
    /// Appends what stands behind the last member.
    fn end(&mut self, out: &mut BytesMut);
}

/// The next chunk, together with the source that it came from.
type Next<S> = Pin<Box<dyn Future<Output = (S, Result<Option<<S as Source>::Chunk>, Error>)> + Send>>;

enum State<S: Source> {
    /// Rows of this chunk from `at` on are to be rendered.
    Rendering { source: S, chunk: S::Chunk, at: usize },
    /// The next chunk is under way.
    Waiting(Next<S>),
    /// Nothing more comes from the source.
    Done,
}

/// The body. Dropping it gives the listing up.
pub struct Frames<S: Source, R> {
    state: State<S>,
    render: R,
    out: BytesMut,
    /// The folder, for the log.
    folder: String,
}

impl<S: Source, R: Render> Frames<S, R> {
    /// A body that begins with `head`; `folder` names it in the log if it breaks.
    pub fn new(source: S, render: R, head: &[u8], folder: String) -> Self {
        let mut out = BytesMut::with_capacity(CAPACITY);
        out.extend_from_slice(head);
        Self {
            state: State::Waiting(next(source)),
            render,
            out,
            folder,
        }
    }

    fn flush(&mut self) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let bytes = self.out.split().freeze();
        if !matches!(self.state, State::Done) {
            self.out.reserve(CAPACITY);
        }
        Poll::Ready(Some(Ok(Frame::data(bytes))))
    }
}

fn next<S: Source>(mut source: S) -> Next<S> {
    Box::pin(async move {
        let chunk = source.next().await;
        (source, chunk)
    })
}

// Nothing inside is pinned in place: the one future is boxed.
impl<S: Source, R> Unpin for Frames<S, R> {}

impl<S: Source, R: Render> Body for Frames<S, R> {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let this = self.get_mut();
        loop {
            match &mut this.state {
                State::Rendering { chunk, at, .. } => {
                    for entry in &chunk[*at..] {
                        this.render.row(entry, &mut this.out);
                        *at += 1;
                        if this.out.len() >= FULL {
                            return this.flush();
                        }
                    }
                    if let State::Rendering { source, .. } = std::mem::replace(&mut this.state, State::Done) {
                        this.state = State::Waiting(next(source));
                    }
                }
                State::Waiting(waited) => match waited.as_mut().poll(cx) {
                    Poll::Pending if this.out.is_empty() => return Poll::Pending,
                    Poll::Pending => return this.flush(),
                    Poll::Ready((source, Ok(Some(chunk)))) => {
                        this.state = State::Rendering { source, chunk, at: 0 };
                    }
                    Poll::Ready((_, Ok(None))) => {
                        this.render.end(&mut this.out);
                        this.state = State::Done;
                    }
                    Poll::Ready((_, Err(error))) => {
                        this.state = State::Done;
                        this.out.clear();
                        tracing::warn!(folder = %this.folder, %error, "a listing failed half-way; the answer was broken off");
                        return Poll::Ready(Some(Err(io::Error::other(error))));
                    }
                },
                State::Done if this.out.is_empty() => return Poll::Ready(None),
                State::Done => return this.flush(),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Done) && self.out.is_empty()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::VecDeque;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::BodyExt;

    use super::*;
    use crate::drive::{ErrorKind, Id, Kind};

    /// What a scripted source does next.
    pub(crate) enum Step {
        Give(Vec<Entry>),
        /// Waits once.
        Wait,
        Fail,
    }

    /// A source that follows a script and counts the chunks that were taken.
    pub(crate) struct Script {
        pub(crate) steps: VecDeque<Step>,
        pub(crate) taken: Arc<AtomicUsize>,
    }

    impl Script {
        pub(crate) fn new(steps: impl IntoIterator<Item = Step>) -> Self {
            Self {
                steps: steps.into_iter().collect(),
                taken: Arc::default(),
            }
        }
    }

    impl Source for Script {
        type Chunk = Vec<Entry>;

        async fn next(&mut self) -> Result<Option<Vec<Entry>>, Error> {
            loop {
                match self.steps.pop_front() {
                    None => return Ok(None),
                    Some(Step::Give(entries)) => {
                        self.taken.fetch_add(1, Ordering::Relaxed);
                        return Ok(Some(entries));
                    }
                    Some(Step::Wait) => tokio::task::yield_now().await,
                    Some(Step::Fail) => {
                        return Err(Error::new(ErrorKind::Busy, "123pan asks to slow down."));
                    }
                }
            }
        }
    }

    pub(crate) fn file(name: String) -> Entry {
        Entry {
            id: Id(1),
            name: name.into(),
            kind: Kind::File,
            size: Some(5),
            modified: 784_111_777,
            created: 784_111_777,
            md5: Some([7; 16]),
            locator: "".into(),
        }
    }

    struct Lines;

    impl Render for Lines {
        fn row(&mut self, entry: &Entry, out: &mut BytesMut) {
            out.extend_from_slice(entry.name.as_bytes());
            out.extend_from_slice(b"\n");
        }

        fn end(&mut self, out: &mut BytesMut) {
            out.extend_from_slice(b"end");
        }
    }

    fn body(steps: impl IntoIterator<Item = Step>) -> Frames<Script, Lines> {
        Frames::new(Script::new(steps), Lines, b"begin\n", "/f".into())
    }

    fn rows(count: usize, width: usize) -> Step {
        Step::Give((0..count).map(|i| file(format!("{i:0width$}"))).collect())
    }

    async fn frames(mut body: impl Body<Data = Bytes, Error = io::Error> + Unpin) -> io::Result<Vec<Bytes>> {
        let mut frames = Vec::new();
        while let Some(frame) = body.frame().await {
            frames.push(frame?.into_data().unwrap());
        }
        assert!(body.is_end_stream());
        Ok(frames)
    }

    #[tokio::test]
    async fn a_folder_of_some_chunks_is_one_text() {
        let steps = [rows(2, 1), Step::Give(Vec::new()), rows(1, 2)];
        let frames = frames(body(steps)).await.unwrap();
        assert_eq!(frames.concat(), b"begin\n0\n1\n00\nend");
        assert_eq!(frames.len(), 1, "chunks that are there share a frame");
    }

    #[tokio::test]
    async fn what_is_rendered_goes_out_while_the_next_chunk_is_waited_for() {
        let frames = frames(body([rows(1, 1), Step::Wait, rows(1, 1)])).await.unwrap();
        assert_eq!(frames, ["begin\n0\n", "0\nend"]);
    }

    #[tokio::test]
    async fn frames_are_of_about_64_kib_each() {
        let frames = frames(body([rows(10_000, 99)])).await.unwrap();
        assert_eq!(frames.concat().len(), 1_000_000 + 9);
        let (_, full) = frames.split_last().unwrap();
        assert!(full.iter().all(|frame| (FULL..FULL + 100).contains(&frame.len())));
    }

    #[tokio::test]
    async fn a_slow_client_holds_the_listing_back() {
        let script = Script::new((0..10).map(|_| rows(1_000, 99)));
        let taken = Arc::clone(&script.taken);
        let mut body = Frames::new(script, Lines, b"", "/f".into());
        body.frame().await.unwrap().unwrap();
        assert_eq!(taken.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn a_listing_that_fails_breaks_the_body_and_never_ends_it() {
        for steps in [
            vec![Step::Fail],
            vec![rows(3, 1), Step::Fail],
            vec![rows(1_000, 99), Step::Wait, Step::Fail],
        ] {
            let error = frames(body(steps)).await.unwrap_err();
            let cause = error.get_ref().unwrap().downcast_ref::<Error>().unwrap();
            assert_eq!(cause.kind(), ErrorKind::Busy);
        }
    }
}

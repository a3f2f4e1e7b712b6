//! A scripted CDN on a loopback port, for the tests of this room: it does to each request what the next
//! act says, and what an honest server does when the script is at its end.

#![allow(clippy::unwrap_used)]

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What is done to one request.
#[derive(Debug, Clone, Copy)]
pub enum Act {
    /// 200 or 206, all of it.
    Serve,
    /// The same with an `ETag`.
    Tagged(&'static str),
    /// Another file of the same size, each byte the other way round, with another `ETag`.
    Changed(&'static str),
    /// 200 with the whole file, whatever the range.
    IgnoreRange,
    /// The same, with an `ETag`, but the connection closed after so many bytes of the body.
    TaggedCut(&'static str, usize),
    /// An honest head, and the connection closed after so many bytes of the body.
    Cut(usize),
    /// The same with a reset in place of a proper end.
    Reset(usize),
    /// The same with silence in place of an end.
    Stall(usize),
    /// The same, so many bytes every 2 ms.
    Trickle(usize),
    /// No answer at all.
    Silence,
    /// A status, a media type and a body.
    Say(u16, &'static str, &'static str),
    /// Exactly this answer.
    Raw(&'static str),
    /// 302.
    To(&'static str),
    /// 1010 with HTTP 200 unless this is the Referer.
    Referer(&'static str),
}

/// The server; it stops when dropped.
pub struct StandIn {
    pub address: SocketAddr,
    shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    file: Vec<u8>,
    script: Mutex<VecDeque<Act>>,
    /// `ETag` of the answers that have no other.
    tag: Mutex<Option<&'static str>>,
    heads: Mutex<Vec<String>>,
    /// Connections taken, and answers written to their end.
    connections: AtomicUsize,
    /// Those that are open, and the most that were at once.
    open: AtomicUsize,
    most: AtomicUsize,
    answers: AtomicUsize,
    /// Connections on which the other side left in the middle of an answer.
    left: watch::Sender<usize>,
}

/// Bytes in which every place can be told from its neighbours.
pub fn bytes(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + (i >> 8) * 7) as u8).collect()
}

impl StandIn {
    pub async fn start(file: Vec<u8>, script: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let shared = Arc::new(Shared {
            file,
            script: Mutex::new(script.into_iter().collect()),
            tag: Mutex::default(),
            heads: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            answers: AtomicUsize::new(0),
            left: watch::Sender::new(0),
        });
        let address = listener.local_addr().unwrap();
        let for_task = Arc::clone(&shared);
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = Arc::clone(&for_task);
                shared.connections.fetch_add(1, Ordering::Relaxed);
                let open = shared.open.fetch_add(1, Ordering::Relaxed) + 1;
                shared.most.fetch_max(open, Ordering::Relaxed);
                connections.spawn(async move {
                    let _ = shared.converse(stream).await;
                    shared.open.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self {
            address,
            shared,
            task,
        }
    }

    /// Sends an `ETag` from now on.
    pub fn tag(&self, tag: &'static str) {
        *self.shared.tag.lock().unwrap() = Some(tag);
    }

    /// Heads of the requests so far, in small letters.
    pub fn heads(&self) -> Vec<String> {
        self.shared.heads.lock().unwrap().clone()
    }

    /// One header of each request so far.
    pub fn header(&self, name: &str) -> Vec<Option<String>> {
        self.heads().iter().map(|head| header(head, name)).collect()
    }

    /// How many connections were taken.
    pub fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// How many are open.
    pub fn connections_open(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
    }

    /// How many were open at once at the most.
    pub fn connections_at_once(&self) -> usize {
        self.shared.most.load(Ordering::Relaxed)
    }

    /// How many answers were written to their end.
    pub fn answers(&self) -> usize {
        self.shared.answers.load(Ordering::Relaxed)
    }

    /// Returns when the other side has left in the middle of an answer.
    pub async fn was_left(&self) {
        self.was_left_by(1).await;
    }

    /// Returns when it has done so on so many connections.
    pub async fn was_left_by(&self, connections: usize) {
        let mut left = self.shared.left.subscribe();
        left.wait_for(|left| *left >= connections).await.unwrap();
    }

    /// The ranges asked for so far: first and last byte.
    pub fn ranges(&self) -> Vec<(usize, usize)> {
        let ranges = self.header("range").into_iter().flatten();
        ranges
            .map(|range| {
                let (first, last) = range.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
                (first.parse().unwrap(), last.parse().unwrap())
            })
            .collect()
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    async fn converse(&self, stream: TcpStream) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        loop {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(stream.read_u8().await?);
            }
            let head = String::from_utf8(head).unwrap().to_lowercase();
            self.heads.lock().unwrap().push(head.clone());
            let act = self.script.lock().unwrap().pop_front().unwrap_or(Act::Serve);
            let answer = self.answer(&head, &act);
            let body = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
            match act {
                Act::Cut(n) | Act::TaggedCut(_, n) | Act::Reset(n) | Act::Stall(n) => {
                    let end = answer.len().min(body + n);
                    stream.write_all(&answer[..end]).await?;
                }
                Act::Silence => {}
                Act::Trickle(n) => {
                    for bytes in answer.chunks(n) {
                        if let Err(error) = stream.write_all(bytes).await {
                            self.left.send_modify(|left| *left += 1);
                            return Err(error);
                        }
                        tokio::time::sleep(std::time::Duration::from_millis(2)).await;
                    }
                    self.answers.fetch_add(1, Ordering::Relaxed);
                }
                _ => {
                    if let Err(error) = stream.write_all(&answer).await {
                        self.left.send_modify(|left| *left += 1);
                        return Err(error);
                    }
                    self.answers.fetch_add(1, Ordering::Relaxed);
                }
            }
            match act {
                Act::Cut(_) | Act::TaggedCut(..) => return Ok(()),
                Act::Reset(_) => return stream.get_ref().set_zero_linger(),
                Act::Stall(_) | Act::Silence => {
                    let end = stream.read(&mut [0]).await;
                    self.left.send_modify(|left| *left += 1);
                    return end.map(|_| ());
                }
                _ => {}
            }
        }
    }

    fn answer(&self, head: &str, act: &Act) -> Vec<u8> {
        match act {
            Act::Say(status, media_type, text) => return say(*status, media_type, text),
            Act::Raw(text) => return (*text).into(),
            Act::To(location) => {
                return format!("HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
                    .into();
            }
            Act::Referer(wanted) if header(head, "referer").as_deref() != Some(wanted) => {
                let text = r#"{"code":1010,"message":"not found r or referer in steal link v6"}"#;
                return say(200, "application/json", text);
            }
            _ => {}
        }
        let size = self.file.len();
        let range = header(head, "range").filter(|_| !matches!(act, Act::IgnoreRange));
        let (first, end) = match range
            .as_deref()
            .and_then(|range| range.strip_prefix("bytes=")?.split_once('-'))
        {
            None => (0, size),
            Some(("", n)) => (size.saturating_sub(n.parse().unwrap()), size),
            Some((first, last)) => (
                first.parse().unwrap(),
                last.parse::<usize>().map_or(size, |last| size.min(last + 1)),
            ),
        };
        if first >= end && range.is_some() {
            return format!("HTTP/1.1 416 No\r\nContent-Range: bytes */{size}\r\nContent-Length: 0\r\n\r\n")
                .into();
        }
        let mut answer = match range {
            None => "HTTP/1.1 200 OK\r\n".to_owned(),
            Some(_) => format!(
                "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {first}-{}/{size}\r\n",
                end - 1
            ),
        };
        if let Act::Tagged(tag) | Act::TaggedCut(tag, _) | Act::Changed(tag) = act {
            answer += &format!("ETag: {tag}\r\n");
        } else if let Some(tag) = *self.tag.lock().unwrap() {
            answer += &format!("ETag: {tag}\r\n");
        }
        answer += &format!("Set-Cookie: a=b\r\nContent-Length: {}\r\n\r\n", end - first);
        let mut answer = answer.into_bytes();
        let body = &self.file[first..end];
        if matches!(act, Act::Changed(_)) {
            answer.extend(body.iter().map(|byte| !byte));
        } else {
            answer.extend_from_slice(body);
        }
        answer
    }
}

fn say(status: u16, media_type: &str, text: &str) -> Vec<u8> {
    format!(
        "HTTP/1.1 {status} So\r\nContent-Type: {media_type}\r\nRetry-After: 7\r\nContent-Length: {}\r\n\r\n{text}",
        text.len()
    )
    .into()
}

fn header(head: &str, name: &str) -> Option<String> {
    head.lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(key, _)| *key == name)
        .map(|(_, value)| value.to_owned())
}

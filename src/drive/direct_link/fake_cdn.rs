#![allow(clippy::unwrap_used)]
//! A CDN of a few lines for tests: it reads request heads, answers what the test says, and keeps count.
//! And drives in front of it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use md5::{Digest, Md5};
use percent_encoding::percent_decode_str;
use secrecy::SecretString;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::pan::direct::PathForm;

/// The key that the CDN knows.
pub(super) const KEY: &str = "testPrivateKey";
/// The account whose links it serves.
pub(super) const UID: u64 = 1812000499;

type Reply = Pin<Box<dyn Future<Output = String> + Send>>;
type Handler = Arc<dyn Fn(Asked) -> Reply + Send + Sync>;

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) method: String,
    /// Path without query, as written.
    pub(super) path: String,
    pub(super) auth_key: Option<String>,
    pub(super) range: bool,
}

impl Asked {
    /// The form in which the request is signed.
    pub(super) fn form(&self) -> Option<PathForm> {
        let auth = self.auth_key.as_ref()?;
        let (front, hash) = auth.rsplit_once('-')?;
        let hashed = |path: &[u8]| {
            let mut text = path.to_vec();
            text.extend_from_slice(format!("-{front}-{KEY}").as_bytes());
            let digest = Md5::digest(&text);
            digest.iter().map(|b| format!("{b:02x}")).collect::<String>() == hash
        };
        let decoded: Vec<u8> = percent_decode_str(&self.path).collect();
        if hashed(&decoded) {
            Some(PathForm::Decoded)
        } else {
            hashed(self.path.as_bytes()).then_some(PathForm::AsWritten)
        }
    }
}

/// A CDN on a loopback port.
pub(super) struct FakeCdn {
    pub(super) base: String,
    log: Arc<Mutex<Vec<Asked>>>,
    pub(super) most_at_once: Arc<AtomicUsize>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Drop for FakeCdn {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl FakeCdn {
    pub(super) async fn new<F>(answer: impl Fn(Asked) -> F + Send + Sync + 'static) -> Self
    where
        F: Future<Output = String> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |asked| Box::pin(answer(asked)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let log = Arc::new(Mutex::new(Vec::new()));
        let most_at_once = Arc::new(AtomicUsize::new(0));
        let now = Arc::new(AtomicUsize::new(0));
        let accepting = {
            let (log, most) = (Arc::clone(&log), Arc::clone(&most_at_once));
            tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    let (handler, log) = (Arc::clone(&handler), Arc::clone(&log));
                    let (most, now) = (Arc::clone(&most), Arc::clone(&now));
                    tokio::spawn(async move {
                        most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                        serve(stream, handler, log, &now).await;
                    });
                }
            })
        };
        Self {
            base,
            log,
            most_at_once,
            accepting,
        }
    }

    /// `METHOD path`, in their order.
    pub(super) fn asked(&self) -> Vec<String> {
        let log = self.log.lock().unwrap();
        log.iter().map(|a| format!("{} {}", a.method, a.path)).collect()
    }
}

async fn serve(mut stream: TcpStream, handler: Handler, log: Arc<Mutex<Vec<Asked>>>, now: &AtomicUsize) {
    let mut head = Vec::new();
    let mut buffer = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(n) => head.extend_from_slice(&buffer[..n]),
        }
    }
    let head = String::from_utf8(head).unwrap();
    let mut words = head.split(' ');
    let (method, target) = (words.next().unwrap(), words.next().unwrap());
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let asked = Asked {
        method: method.into(),
        path: path.into(),
        auth_key: query
            .split('&')
            .find_map(|p| p.strip_prefix("auth_key="))
            .map(Into::into),
        range: head.to_ascii_lowercase().contains("\r\nrange: bytes=0-0\r\n"),
    };
    log.lock().unwrap().push(asked.clone());
    let answer = handler(asked).await;
    now.fetch_sub(1, Ordering::SeqCst);
    let _ = stream.write_all(answer.as_bytes()).await;
}

pub(super) fn reply(status: u16, headers: &str) -> String {
    format!("HTTP/1.1 {status} X\r\nConnection: close\r\n{headers}\r\n")
}

pub(super) fn sized(size: u64) -> String {
    reply(
        200,
        &format!("Content-Length: {size}\r\nLast-Modified: Thu, 07 Sep 2023 15:07:01 GMT\r\n"),
    )
}

pub(super) fn partial(size: u64) -> String {
    reply(
        206,
        &format!("Content-Length: 1\r\nContent-Range: bytes 0-0/{size}\r\n"),
    )
}

pub(super) fn refused() -> String {
    reply(403, "Content-Length: 0\r\n")
}

pub(super) fn config(links: &str, key: Option<&str>) -> config::DirectLink {
    config::DirectLink {
        uid: Some(UID),
        private_key: key.map(SecretString::from),
        valid_for: Duration::from_secs(1800),
        links: links.into(),
        links_from: "links.txt".into(),
    }
}

pub(super) fn drive(links: &str) -> DirectLinkDrive {
    DirectLinkDrive::new(&config(links, Some(KEY)), Client::new().unwrap()).unwrap()
}

pub(super) fn drive_with(links: &str, timing: Timing) -> DirectLinkDrive {
    DirectLinkDrive::with_timing(&config(links, Some(KEY)), Client::new().unwrap(), timing).unwrap()
}

pub(super) async fn pages(drive: &DirectLinkDrive, folder: Id) -> Vec<Vec<Entry>> {
    let mut lister = drive.list(folder);
    let mut pages = Vec::new();
    while let Some(page) = lister.next().await.unwrap() {
        assert!(!page.restarted);
        pages.push(page.entries);
    }
    pages
}

pub(super) async fn root(drive: &DirectLinkDrive) -> Vec<Entry> {
    pages(drive, drive.root()).await.concat()
}

pub(super) fn asked_of(link: &Link) -> Asked {
    let (front, query) = link.expose().split_once('?').unwrap();
    Asked {
        method: "GET".into(),
        path: format!("/{}", front.splitn(4, '/').nth(3).unwrap()),
        auth_key: query.strip_prefix("auth_key=").map(Into::into),
        range: false,
    }
}

//! The account's writing side against the simulated cloud, by both APIs: the same tests, and some of each.

// The tests are written once and made for each API.
#![allow(clippy::unwrap_used, clippy::duplicate_mod)]

mod open;
mod web;

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, stream};
use md5::{Digest, Md5};

use super::*;
use crate::config::Endpoints;
use crate::drive::Content;
use crate::drive::open::OpenCalls;
use crate::pan::http::Client;
use crate::pan::open::Open;
use crate::pan::token::{Credentials, Session};
use crate::pan::web::Web;
use crate::sim::{Cloud, Fault, FaultKind, Options, Settings};

/// A cloud and a drive over it, by the Open platform or by the web API.
struct Tested<const OPEN: bool> {
    cloud: Cloud,
    drive: AccountDrive,
}

impl<const OPEN: bool> Tested<OPEN> {
    /// Replacing a file by the Open platform gives it another id.
    const KEEPS_ID: bool = !OPEN;

    async fn start(change: impl FnOnce(&mut Settings)) -> Self {
        let mut settings = Settings {
            pace_scale: 0.0,
            ban_after: None,
            logins: None,
            ..Settings::default()
        };
        change(&mut settings);
        let cloud = Cloud::start(Options {
            settings,
            ..Options::default()
        })
        .await
        .unwrap();
        let endpoints = Endpoints {
            login: format!("{}/api", cloud.base()),
            api: vec![format!("{}/b/api", cloud.base())],
            open: format!("{}/open", cloud.base()),
            rate: 5000.0,
            ..Endpoints::default()
        };
        let http = Client::new().unwrap();
        let credentials = Credentials {
            access_token: Some(cloud.issue_token().into()),
            ..Credentials::default()
        };
        let session = Session::new(http.clone(), endpoints.clone(), credentials, None);
        let drive = if OPEN {
            AccountDrive::new(
                OpenCalls::new(Arc::new(Open::new(http, &endpoints, session)), None),
                0,
                "test",
            )
        } else {
            AccountDrive::new(Arc::new(Web::new(http, endpoints, session)), 0, "test")
        };
        Self { cloud, drive }
    }

    async fn calm() -> Self {
        Self::start(|_| {}).await
    }

    /// What is at a path, as a listing of its folder shows it; and the folder.
    async fn entry(&self, path: &str) -> (Entry, Id) {
        let (above, name) = path.rsplit_once('/').unwrap();
        let folder = self.folder(above);
        let mut lister = self.drive.list(folder);
        while let Some(page) = lister.next().await.unwrap() {
            if let Some(found) = page.entries.into_iter().find(|e| *e.name == *name) {
                self.cloud.counters().reset();
                return (found, folder);
            }
        }
        panic!("nothing at {path}")
    }

    fn folder(&self, path: &str) -> Id {
        Id(self.cloud.id(path).unwrap())
    }

    fn names(&self, path: &str) -> Vec<String> {
        self.cloud.names(path).unwrap()
    }

    fn fault(&self, at: &'static str, kind: FaultKind) {
        self.strike(Fault::once(at, kind));
    }

    /// Adds a fault at an endpoint, by its name in the web API.
    fn strike(&self, fault: Fault) {
        self.cloud.fault(Fault {
            at: Self::named(fault.at),
            ..fault
        });
    }

    /// Calls of an endpoint, by its name in the web API.
    fn calls(&self, endpoint: &'static str) -> u64 {
        self.cloud.counters().get(Self::named(endpoint))
    }

    /// What an endpoint of the web API is called in the Open platform.
    fn named(endpoint: &'static str) -> &'static str {
        if !OPEN {
            return match endpoint {
                "make_folder" => "upload_request",
                _ => endpoint,
            };
        }
        match endpoint {
            "make_folder" => "open_mkdir",
            "upload_request" => "open_create",
            "put_part" => "open_slice",
            "upload_complete" => "open_complete",
            "file_info" => "open_infos",
            "list" => "open_list",
            "rename" => "open_rename",
            "move" => "open_move",
            "trash" => "open_trash",
            "delete" => "open_delete",
            "copy" => "open_copy",
            "copy_task" => "open_copy_task",
            other => other,
        }
    }

    /// Uploads bytes, as the tree does; three parts at once.
    async fn put(&self, file: &NewFile, bytes: &[u8]) -> Result<Entry, Error> {
        match self.drive.begin_upload(file).await? {
            Begun::Done(entry) => Ok(entry),
            Begun::Wanted(upload) => {
                upload
                    .send(Arc::new(Memory(Bytes::copy_from_slice(bytes))), 3)
                    .await
            }
        }
    }
}

/// A spool file in memory, read in frames of 700 bytes.
#[derive(Debug)]
struct Memory(Bytes);

impl Content for Memory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(
        &self,
        offset: u64,
        length: u64,
    ) -> Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send + Sync>> {
        let (from, to) = (offset as usize, (offset + length) as usize);
        let part = self.0.slice(from..to);
        let frames: Vec<_> = part.chunks(700).map(|f| Ok(Bytes::copy_from_slice(f))).collect();
        Box::pin(stream::iter(frames))
    }
}

fn new_file(parent: Id, name: &str, bytes: &[u8], replaces: Option<Entry>) -> NewFile {
    NewFile {
        parent,
        name: name.to_owned(),
        size: bytes.len() as u64,
        md5: Md5::digest(bytes).into(),
        replaces: replaces.map(Arc::new),
    }
}

fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes = vec![0; length];
    fastrand::Rng::with_seed(seed).fill(&mut bytes);
    bytes
}

/// What can go wrong with a call before it is carried out, and after.
fn mishaps() -> Vec<FaultKind> {
    vec![
        FaultKind::Drop,
        FaultKind::LoseAnswer,
        FaultKind::Truncate(5),
        FaultKind::Status(500, None),
        FaultKind::Status(429, None),
        FaultKind::Html,
        FaultKind::GarbageJson,
        FaultKind::Code(1.into(), "内部错误".to_owned()),
    ]
}

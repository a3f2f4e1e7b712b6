//! GET and HEAD against a scripted CDN, without a tree: the world they are tried in.

#![allow(clippy::unwrap_used)]

mod answers;
mod faults;
mod kept;
mod memory;
mod parallel;
mod parts;
mod stand_in;
mod streams;

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::BodyExt;

use self::stand_in::{Act, StandIn, bytes};
use super::upstream::{LinkFuture, Links};
use super::*;
use crate::config;
use crate::drive::{Capability, Drive, DriveFuture, Entry, Id, Kind, Link, Lister, Quota};
use crate::tree::TreePath;

const MIB: usize = 1 << 20;
const LIMITS: Limits = Limits {
    stall: Duration::from_millis(80),
    resumes: 3,
    pause: Duration::from_millis(1),
    outage: Duration::ZERO,
    slow: Duration::from_millis(20),
    follow: Duration::from_millis(300),
    part: 16 * 1024,
};

#[derive(Debug)]
struct NoDrive;

impl Drive for NoDrive {
    fn capability(&self) -> Capability {
        Capability::default()
    }
    fn root(&self) -> Id {
        Id(0)
    }
    fn list(&self, _: Id) -> Box<dyn Lister> {
        unreachable!()
    }
    fn link<'a>(&'a self, _: &'a Entry, _: LinkWish) -> DriveFuture<'a, Link> {
        unreachable!()
    }
    fn quota(&self) -> DriveFuture<'_, Option<Quota>> {
        unreachable!()
    }
}

/// Links `…/file?n`, one further for each that was refused.
struct Numbered {
    address: std::net::SocketAddr,
    referers: Vec<String>,
    life: Duration,
    asked: AtomicUsize,
    refused: AtomicUsize,
}

impl Links for Numbered {
    fn link(self: Arc<Self>, wish: LinkWish) -> LinkFuture {
        self.asked.fetch_add(1, Ordering::Relaxed);
        if wish.refused.is_some() {
            self.refused.fetch_add(1, Ordering::Relaxed);
        }
        let n = self.refused.load(Ordering::Relaxed);
        let link = Link {
            url: format!("http://{}/file?{n}", self.address).into(),
            until: SystemTime::now() + self.life,
            referers: self.referers.clone(),
            headers: Vec::new(),
            open_to_all: false,
        };
        Box::pin(async move { Ok(Arc::new(link)) })
    }
}

/// A file behind an engine.
struct World {
    cdn: StandIn,
    links: Arc<Numbered>,
    engine: Engine,
    resource: Resource,
}

impl World {
    async fn new(size: usize, script: impl IntoIterator<Item = Act>) -> Self {
        let engine = Engine::new(Duration::from_millis(500), LIMITS, 0, Arc::default()).unwrap();
        Self::over(engine, size, script).await
    }

    async fn over(engine: Engine, size: usize, script: impl IntoIterator<Item = Act>) -> Self {
        let cdn = StandIn::start(bytes(size), script).await;
        let settings = config::Mount {
            path: "/drive".to_owned(),
            source: config::Source::DirectLink(config::DirectLink {
                uid: None,
                private_key: None,
                valid_for: Duration::ZERO,
                links: "".into(),
                links_from: String::new(),
            }),
            access: config::Access::ReadOnly,
            delivery: config::Delivery {
                strategy: Strategy::Proxy,
                ..config::Delivery::default()
            },
        };
        let mount = Mount {
            index: 0,
            store: 0,
            path: TreePath::from_decoded("/drive").unwrap(),
            drive: Arc::new(NoDrive),
            settings: Arc::new(settings),
        };
        let entry = Entry {
            id: Id(7),
            name: "film.mkv".into(),
            kind: Kind::File,
            size: Some(size as u64),
            modified: 784_111_777,
            created: 0,
            md5: Some([0xab; 16]),
            locator: "".into(),
        };
        Self {
            links: Arc::new(Numbered {
                address: cdn.address,
                referers: Vec::new(),
                life: Duration::from_secs(86_400),
                asked: AtomicUsize::new(0),
                refused: AtomicUsize::new(0),
            }),
            cdn,
            engine,
            resource: Resource {
                path: TreePath::from_decoded("/drive/电影/film.mkv").unwrap(),
                mount: Some(Arc::new(mount)),
                entry: Arc::new(entry),
            },
        }
    }

    fn entry(mut self, change: impl FnOnce(&mut Entry)) -> Self {
        change(Arc::make_mut(&mut self.resource.entry));
        self
    }

    fn delivery(mut self, change: impl FnOnce(&mut config::Delivery)) -> Self {
        let mount = Arc::get_mut(self.resource.mount.as_mut().unwrap()).unwrap();
        change(&mut Arc::get_mut(&mut mount.settings).unwrap().delivery);
        self
    }

    /// With so many bytes of memory for beginnings and ends of files.
    fn blocks(mut self, limit: usize) -> Self {
        self.engine.blocks = Blocks::new(limit as u64);
        self
    }

    fn link(mut self, change: impl FnOnce(&mut Numbered)) -> Self {
        change(Arc::get_mut(&mut self.links).unwrap());
        self
    }

    async fn ask(&self, method: &str, headers: &[(&str, &str)]) -> Result<Response<Body>, Error> {
        self.ask_from("127.0.0.1", method, headers).await
    }

    async fn ask_from(
        &self,
        peer: &str,
        method: &str,
        headers: &[(&str, &str)],
    ) -> Result<Response<Body>, Error> {
        let mut request = http::Request::builder().method(method);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (request, ()) = request.body(()).unwrap().into_parts();
        let client = Client::of(&request, peer.parse().unwrap(), false);
        let links = Arc::clone(&self.links) as Arc<dyn Links>;
        let file = OpenFile::new(Arc::new(self.resource.clone()), links);
        let (response, _) = self.engine.get(&request, &file, client).await?;
        Ok(response)
    }

    async fn get(&self, headers: &[(&str, &str)]) -> Response<Body> {
        self.ask("GET", headers).await.unwrap()
    }

    async fn failure(&self) -> ErrorKind {
        self.ask("GET", &[]).await.err().unwrap().kind()
    }

    fn asked(&self) -> usize {
        self.links.asked.load(Ordering::Relaxed)
    }

    fn calls(&self) -> usize {
        self.asked() + self.cdn.heads().len()
    }
}

async fn read(response: Response<Body>) -> io::Result<Bytes> {
    response.into_body().collect().await.map(|body| body.to_bytes())
}

async fn whole(world: &World) {
    let size = world.resource.entry.size.unwrap() as usize;
    assert!(read(world.get(&[]).await).await.unwrap() == bytes(size));
}

fn header<'a>(response: &'a Response<Body>, name: &str) -> &'a str {
    response
        .headers()
        .get(name)
        .map_or("", |value| value.to_str().unwrap())
}

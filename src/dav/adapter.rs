//! The tree as dav-server's file system: for the writing methods only.
//!
//! dav-server knows the rules (Overwrite, Depth, If, locks, statuses), the tree does the work. Two bends make them
//! fit. *Leaf view* (T12): `symlink_metadata`, and the source of a COPY, never look like folders, so that DELETE, MOVE
//! and COPY of a folder are one call of the tree instead of a walk. *Fault slot* (T14): dav-server has ten error codes
//! without text; the real error waits in the request's [`Work`] and is answered in their place.

use std::fmt;
use std::io::SeekFrom;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::{Buf, Bytes};
use dav_server::davpath::DavPath;
use dav_server::fs::{
    DavDirEntry, DavFile, DavMetaData, DavProp, FsError, FsFuture, FsResult, FsStream, GuardedFileSystem,
    OpenOptions, ReadDirMeta,
};
use futures_util::stream;
use http::{Method, StatusCode};

use super::lock_view::tree_path;
use super::patch;
use crate::date;
use crate::drive::{Entry, Error, ErrorKind};
use crate::tree::{Put, Receiving, Resource, Tree, TreePath};

/// One writing request on its way through dav-server. Cheap to clone.
#[derive(Clone)]
pub(super) struct Work(Arc<Inner>);

struct Inner {
    asked: Asked,
    state: Mutex<State>,
}

/// What a request says that dav-server does not hand on.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) method: Method,
    /// The user's name.
    pub(super) user: Arc<str>,
    /// The subtree that the user sees as its root.
    pub(super) root: TreePath,
    /// What is looked at as a leaf: the source of a COPY.
    pub(super) leaf: Option<TreePath>,
    /// COPY with `Depth: 0`.
    pub(super) shallow: bool,
    pub(super) put: Put,
    /// The life that is wished for a lock.
    pub(super) wish: Option<Duration>,
    /// The tokens of the `If` header.
    pub(super) tokens: Vec<String>,
}

#[derive(Default)]
struct State {
    fault: Option<Error>,
    /// The body is not needed: 123pan has the content.
    skip: bool,
    /// The target of a COPY or MOVE may be replaced.
    replaces: bool,
    /// Paths at which nothing was found.
    missing: Vec<TreePath>,
}

impl Work {
    pub(super) fn new(asked: Asked) -> Self {
        Self(Arc::new(Inner {
            asked,
            state: Mutex::default(),
        }))
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn method(&self) -> &Method {
        &self.0.asked.method
    }

    pub(super) fn user(&self) -> &str {
        &self.0.asked.user
    }

    /// The life that is wished for a lock.
    pub(super) fn wish(&self) -> Option<Duration> {
        self.0.asked.wish
    }

    /// The tokens that were submitted.
    pub(super) fn tokens(&self) -> &[String] {
        &self.0.asked.tokens
    }

    /// Whether dav-server has found nothing at a path.
    pub(super) fn is_missing(&self, path: &TreePath) -> bool {
        self.state().missing.contains(path)
    }

    /// Puts an error into the slot.
    pub(super) fn refuse(&self, error: Error) {
        tracing::debug!(kind = ?error.kind(), %error, "refused");
        self.state().fault = Some(error);
    }

    /// The error that dav-server could not carry.
    pub(super) fn take_fault(&self) -> Option<Error> {
        self.state().fault.take()
    }

    pub(super) fn skips_body(&self) -> bool {
        self.state().skip
    }

    fn replaces(&self) -> bool {
        self.state().replaces
    }

    fn path(&self, path: &DavPath) -> FsResult<TreePath> {
        tree_path(&self.0.asked.root, path).ok_or(FsError::NotFound)
    }

    /// What dav-server is told; the rest waits in the slot. That something is missing or there already has its own
    /// status in each method, which dav-server knows.
    fn fail(&self, error: Error) -> FsError {
        match error.kind() {
            ErrorKind::NotFound => FsError::NotFound,
            ErrorKind::Exists => FsError::Exists,
            _ => {
                self.refuse(error);
                FsError::Forbidden
            }
        }
    }
}

impl fmt::Debug for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Work").finish_non_exhaustive()
    }
}

/// The tree, as dav-server sees it.
#[derive(Debug, Clone)]
pub(super) struct Adapter {
    tree: Arc<Tree>,
}

impl Adapter {
    pub(super) fn new(tree: Arc<Tree>) -> Self {
        Self { tree }
    }

    async fn resolve(&self, path: &DavPath, work: &Work) -> FsResult<Resource> {
        let path = work.path(path)?;
        self.tree.resolve(&path).await.map_err(|error| {
            if error.kind() == ErrorKind::NotFound {
                work.state().missing.push(path);
            }
            work.fail(error)
        })
    }
}

impl GuardedFileSystem<Work> for Adapter {
    fn open<'a>(
        &'a self,
        path: &'a DavPath,
        options: OpenOptions,
        work: &'a Work,
    ) -> FsFuture<'a, Box<dyn DavFile>> {
        Box::pin(async move {
            let path = work.path(path)?;
            let there = match self.tree.resolve(&path).await {
                Ok(resource) => Some(resource),
                Err(error) if error.kind() == ErrorKind::NotFound => None,
                Err(error) => return Err(work.fail(error)),
            };
            if there.is_some() && options.create_new {
                return Err(FsError::Exists);
            }
            if there.is_none() && !options.create {
                return Err(FsError::NotFound);
            }
            // LOCK of a free name, see rust-stack.md 1.9: nothing is written, the name is taken.
            if !options.truncate {
                if there.is_none() {
                    self.tree.hold(&path).await.map_err(|error| work.fail(error))?;
                }
                return Ok(Box::new(Upload {
                    work: work.clone(),
                    receiving: None,
                    done: None,
                }) as Box<dyn DavFile>);
            }
            let receiving = self.tree.receive(&path, work.0.asked.put.clone()).await;
            let receiving = receiving.map_err(|error| work.fail(error))?;
            work.state().skip = receiving.is_known();
            let upload = Upload {
                work: work.clone(),
                receiving: Some(receiving),
                done: None,
            };
            Ok(Box::new(upload) as Box<dyn DavFile>)
        })
    }

    /// Never needed: leaf view.
    fn read_dir<'a>(
        &'a self,
        _: &'a DavPath,
        _: ReadDirMeta,
        _: &'a Work,
    ) -> FsFuture<'a, FsStream<Box<dyn DavDirEntry>>> {
        Box::pin(async { Ok(Box::pin(stream::empty()) as FsStream<Box<dyn DavDirEntry>>) })
    }

    fn metadata<'a>(&'a self, path: &'a DavPath, work: &'a Work) -> FsFuture<'a, Box<dyn DavMetaData>> {
        Box::pin(async move {
            let resource = self.resolve(path, work).await?;
            let leaf = work.0.asked.leaf.as_ref() == Some(&resource.path);
            Ok(Box::new(Meta {
                entry: resource.entry,
                leaf,
            }) as Box<dyn DavMetaData>)
        })
    }

    fn symlink_metadata<'a>(
        &'a self,
        path: &'a DavPath,
        work: &'a Work,
    ) -> FsFuture<'a, Box<dyn DavMetaData>> {
        Box::pin(async move {
            let resource = self.resolve(path, work).await?;
            Ok(Box::new(Meta {
                entry: resource.entry,
                leaf: true,
            }) as Box<dyn DavMetaData>)
        })
    }

    fn create_dir<'a>(&'a self, path: &'a DavPath, work: &'a Work) -> FsFuture<'a, ()> {
        Box::pin(async move {
            let made = self.tree.create_folder(&work.path(path)?).await;
            made.map(drop).map_err(|error| work.fail(error))
        })
    }

    fn remove_dir<'a>(&'a self, path: &'a DavPath, work: &'a Work) -> FsFuture<'a, ()> {
        self.remove_file(path, work)
    }

    fn remove_file<'a>(&'a self, path: &'a DavPath, work: &'a Work) -> FsFuture<'a, ()> {
        Box::pin(async move {
            // The target of a COPY or MOVE: the tree removes it when the change has come through.
            if *work.method() != Method::DELETE {
                work.state().replaces = true;
                return Ok(());
            }
            let resource = self.resolve(path, work).await?;
            self.tree
                .remove(&resource)
                .await
                .map_err(|error| work.fail(error))
        })
    }

    fn rename<'a>(&'a self, from: &'a DavPath, to: &'a DavPath, work: &'a Work) -> FsFuture<'a, ()> {
        Box::pin(async move {
            let resource = self.resolve(from, work).await?;
            let moved = self
                .tree
                .relocate(&resource, &work.path(to)?, work.replaces())
                .await;
            moved.map(drop).map_err(|error| work.fail(error))
        })
    }

    fn copy<'a>(&'a self, from: &'a DavPath, to: &'a DavPath, work: &'a Work) -> FsFuture<'a, ()> {
        Box::pin(async move {
            let resource = self.resolve(from, work).await?;
            let copied = self
                .tree
                .copy(&resource, &work.path(to)?, work.0.asked.shallow, work.replaces())
                .await;
            copied.map(drop).map_err(|error| work.fail(error))
        })
    }

    fn have_props<'a>(
        &'a self,
        _: &'a DavPath,
        _: &'a Work,
    ) -> std::pin::Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(std::future::ready(true))
    }

    fn patch_props<'a>(
        &'a self,
        path: &'a DavPath,
        patch: Vec<(bool, DavProp)>,
        work: &'a Work,
    ) -> FsFuture<'a, Vec<(StatusCode, DavProp)>> {
        Box::pin(async move {
            let resource = self.resolve(path, work).await?;
            let plan = match patch::plan(patch) {
                Ok(plan) => plan,
                Err(refused) => return Ok(refused),
            };
            self.tree
                .set_properties(&resource, plan.dead)
                .await
                .map_err(|error| work.fail(error))?;
            if let Some(time) = plan.modified {
                let set = self.tree.set_modified(&resource, time).await;
                set.map_err(|error| work.fail(error))?;
            }
            Ok(plan.answers)
        })
    }
}

/// An entry as dav-server's metadata.
#[derive(Debug, Clone)]
struct Meta {
    entry: Arc<Entry>,
    leaf: bool,
}

impl DavMetaData for Meta {
    fn len(&self) -> u64 {
        self.entry.size.unwrap_or(0)
    }

    fn modified(&self) -> FsResult<SystemTime> {
        // dav-server writes it as an HTTP date, which panics beyond the year 9999.
        match u64::try_from(self.entry.modified) {
            Ok(seconds) if date::is_known(self.entry.modified) => {
                Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
            }
            _ => Err(FsError::NotImplemented),
        }
    }

    fn is_dir(&self) -> bool {
        self.entry.is_folder() && !self.leaf
    }

    /// Without quotes: dav-server adds them.
    fn etag(&self) -> Option<String> {
        Some(self.entry.etag()?.trim_matches('"').to_owned())
    }
}

/// The body of a PUT on its way into the tree: committed by `flush`, given up when dropped before.
#[derive(Debug)]
struct Upload {
    work: Work,
    receiving: Option<Receiving>,
    done: Option<Resource>,
}

impl DavFile for Upload {
    fn metadata(&mut self) -> FsFuture<'_, Box<dyn DavMetaData>> {
        Box::pin(async {
            let done = self.done.as_ref().ok_or(FsError::NotFound)?;
            Ok(Box::new(Meta {
                entry: done.entry.clone(),
                leaf: false,
            }) as Box<dyn DavMetaData>)
        })
    }

    fn write_buf(&mut self, mut buf: Box<dyn Buf + Send>) -> FsFuture<'_, ()> {
        let bytes = buf.copy_to_bytes(buf.remaining());
        self.write_bytes(bytes)
    }

    fn write_bytes(&mut self, bytes: Bytes) -> FsFuture<'_, ()> {
        Box::pin(async {
            let receiving = self.receiving.as_mut().ok_or(FsError::Forbidden)?;
            receiving
                .write(bytes)
                .await
                .map_err(|error| self.work.fail(error))
        })
    }

    fn read_bytes(&mut self, _: usize) -> FsFuture<'_, Bytes> {
        Box::pin(async { Err(FsError::Forbidden) })
    }

    fn seek(&mut self, _: SeekFrom) -> FsFuture<'_, u64> {
        Box::pin(async { Err(FsError::Forbidden) })
    }

    fn flush(&mut self) -> FsFuture<'_, ()> {
        Box::pin(async {
            let Some(receiving) = self.receiving.take() else {
                return Ok(());
            };
            // What a drive says of its own rows at this point is a failure, not a 404 or 405 of the request.
            let done = receiving.commit().await.map_err(|error| match error.kind() {
                ErrorKind::NotFound | ErrorKind::Exists => {
                    self.work.state().fault = Some(Error::new(ErrorKind::Nonsense, error.sentence()));
                    FsError::GeneralFailure
                }
                _ => self.work.fail(error),
            })?;
            self.done = Some(done);
            Ok(())
        })
    }
}

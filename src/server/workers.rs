//! The threads that serve connections: one for each core, each with a runtime of its own.
//!
//! A connection stays with the thread where it began, and so does what it waits for, to the CDN's sockets and the timers: one
//! that hands bytes on never wakes another core. Threads that share their work do, for each request and each answer: measured
//! with 64 KiB ranges by proxy, a fifth of all the CPU that they took.

use std::io;
use std::sync::Arc;
use std::thread::JoinHandle;

use futures_util::FutureExt;
use tokio::runtime::{Builder, Handle};
use tokio_util::sync::CancellationToken;

/// All of them. When dropped they end, and what runs on them is cut off.
pub(super) struct Workers {
    all: Vec<Worker>,
    end: CancellationToken,
}

struct Worker {
    runtime: Handle,
    /// Each of its connections holds one.
    guests: Arc<()>,
    thread: JoinHandle<()>,
}

/// How many there are: one for each core that this process may use.
pub(super) fn count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

impl Workers {
    /// [`count`] of them.
    ///
    /// # Errors
    /// The system gives no thread, or no means to wait for sockets.
    pub(super) fn start() -> io::Result<Arc<Self>> {
        Self::of(count()).map(Arc::new)
    }

    fn of(count: usize) -> io::Result<Self> {
        let mut workers = Self {
            all: Vec::with_capacity(count),
            end: CancellationToken::new(),
        };
        for _ in 0..count {
            let worker = Worker::start(workers.end.clone())?;
            workers.all.push(worker);
        }
        Ok(workers)
    }

    /// Lets the worker that has the fewest connections serve one. `serving` must take its socket there: the runtime where a
    /// socket is registered is the one whose thread it wakes.
    pub(super) fn serve(&self, serving: impl Future<Output = ()> + Send + 'static) {
        if let Some(worker) = self.all.iter().min_by_key(|worker| worker.guests()) {
            let guest = Arc::clone(&worker.guests);
            // Not a block that awaits it: that would have room for it twice.
            worker.runtime.spawn(serving.map(move |()| drop(guest)));
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.end.cancel();
        // What they are writing to a disk is waited for, as a runtime does that is dropped.
        for worker in self.all.drain(..) {
            let _ = worker.thread.join();
        }
    }
}

impl Worker {
    fn start(end: CancellationToken) -> io::Result<Self> {
        let (tell, told) = std::sync::mpsc::channel();
        let serve = move || match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => {
                let _ = tell.send(Ok(runtime.handle().clone()));
                runtime.block_on(end.cancelled());
            }
            Err(error) => drop(tell.send(Err(error))),
        };
        // The runtime is made there, for it may not be dropped here, where nothing may block.
        let thread = std::thread::Builder::new()
            .name("worker".to_owned())
            .spawn(serve)?;
        let handle = told.recv().map_err(io::Error::other)??;
        Ok(Self {
            runtime: handle,
            guests: Arc::default(),
            thread,
        })
    }

    /// Connections that it has now.
    fn guests(&self) -> usize {
        Arc::strong_count(&self.guests) - 1
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::time::Duration;

    use tokio::sync::oneshot;

    use super::*;

    fn guests(workers: &Workers) -> Vec<usize> {
        workers.all.iter().map(Worker::guests).collect()
    }

    #[tokio::test]
    async fn a_connection_goes_to_the_worker_that_has_the_fewest_and_stays_there() {
        let workers = Workers::of(3).unwrap();
        let mut ends = Vec::new();
        let mut serve = |workers: &Workers| {
            let (end, ended) = oneshot::channel::<()>();
            let (tell, threads) = oneshot::channel();
            workers.serve(async move {
                let before = std::thread::current().id();
                tokio::time::sleep(Duration::from_millis(1)).await;
                tell.send((before, std::thread::current().id())).unwrap();
                let _ = ended.await;
            });
            ends.push(end);
            threads
        };
        let mut seen = Vec::new();
        for _ in 0..6 {
            let (before, after) = serve(&workers).await.unwrap();
            assert_eq!(before, after);
            seen.push(after);
        }
        assert_eq!(guests(&workers), [2, 2, 2]);
        // Each has its turn again.
        assert_eq!(seen[..3], seen[3..]);
        drop((ends.remove(4), ends.remove(1)));
        let left = async {
            while guests(&workers) != [2, 0, 2] {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(5), left).await.unwrap();
    }

    #[test]
    fn what_they_serve_is_cut_off_when_they_end_and_what_they_write_is_written() {
        let written = Arc::new(AtomicBool::new(false));
        let (begun, begins) = std::sync::mpsc::channel();
        let workers = Workers::of(1).unwrap();
        let writes = Arc::clone(&written);
        workers.serve(async move {
            let _ = tokio::task::spawn_blocking(move || {
                begun.send(()).unwrap();
                std::thread::sleep(Duration::from_millis(50));
                writes.store(true, Ordering::Relaxed);
            })
            .await;
            std::future::pending::<()>().await;
        });
        begins.recv().unwrap();
        let guests = Arc::clone(&workers.all[0].guests);
        drop(workers);
        assert!(written.load(Ordering::Relaxed));
        assert_eq!(Arc::strong_count(&guests), 1, "no connection has the other");
    }
}

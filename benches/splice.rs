//! What `splice` would give: the least that a proxy can do, with the bytes copied or spliced. Linux only.
//!
//! `splice ADDRESS copy|splice` relays to the HTTP server at that address, one exchange after the other, and prints its URL.
//! It believes what it is told: not for anything but measuring.

use std::io;

#[cfg(target_os = "linux")]
fn main() -> io::Result<()> {
    relay::main()
}

#[cfg(not(target_os = "linux"))]
fn main() -> io::Result<()> {
    Err(io::Error::from(io::ErrorKind::Unsupported))
}

#[cfg(target_os = "linux")]
mod relay {
    use std::io;
    use std::os::fd::OwnedFd;

    use rustix::pipe::{PipeFlags, SpliceFlags, fcntl_setpipe_size, pipe_with, splice};
    use tokio::io::{AsyncReadExt, AsyncWriteExt, Interest};
    use tokio::net::TcpStream;
    use tokio::runtime::Builder;

    /// Bytes of the pipe, and of the buffer in its place.
    const ROOM: usize = 256 * 1024;
    /// Bytes of a head at the most.
    const HEAD: usize = 16 * 1024;

    /// How bodies go across.
    enum Way {
        Copy(Vec<u8>),
        Splice(OwnedFd, OwnedFd),
    }

    impl Way {
        fn new(spliced: bool) -> io::Result<Self> {
            if !spliced {
                return Ok(Self::Copy(vec![0; ROOM]));
            }
            let (out, into) = pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK)?;
            fcntl_setpipe_size(&into, ROOM)?;
            Ok(Self::Splice(out, into))
        }

        async fn carry(&mut self, from: &mut TcpStream, to: &mut TcpStream, mut left: u64) -> io::Result<()> {
            while left > 0 {
                let most = usize::try_from(left).unwrap_or(ROOM).min(ROOM);
                let carried = match self {
                    Self::Copy(buffer) => {
                        let read = from.read(&mut buffer[..most]).await?;
                        to.write_all(&buffer[..read]).await?;
                        read
                    }
                    Self::Splice(out, into) => {
                        let flags = SpliceFlags::MOVE | SpliceFlags::NONBLOCK;
                        let read = from
                            .async_io(Interest::READABLE, || {
                                splice(&*from, None, &*into, None, most, flags).map_err(Into::into)
                            })
                            .await?;
                        let mut written = 0;
                        while written < read {
                            written += to
                                .async_io(Interest::WRITABLE, || {
                                    splice(&*out, None, &*to, None, read - written, flags).map_err(Into::into)
                                })
                                .await?;
                        }
                        read
                    }
                };
                if carried == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                left -= carried as u64;
            }
            Ok(())
        }
    }

    /// A head, and what was read of the body behind it; `None` at the end of the connection.
    async fn head(from: &mut TcpStream) -> io::Result<Option<(Vec<u8>, usize)>> {
        let mut text = Vec::with_capacity(HEAD);
        loop {
            // A short read: what is not the head is to be spliced.
            let mut some = [0; 512];
            let read = from.read(&mut some).await?;
            if read == 0 {
                return Ok(None);
            }
            text.extend_from_slice(&some[..read]);
            if let Some(end) = text.windows(4).position(|four| four == b"\r\n\r\n") {
                return Ok(Some((text, end + 4)));
            }
            if text.len() > HEAD {
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
    }

    fn length(head: &[u8]) -> u64 {
        let text = String::from_utf8_lossy(head).to_ascii_lowercase();
        let value = text.lines().find_map(|line| line.strip_prefix("content-length:"));
        value.and_then(|value| value.trim().parse().ok()).unwrap_or(0)
    }

    async fn converse(mut client: TcpStream, upstream: &str, spliced: bool) -> io::Result<()> {
        let mut cdn = TcpStream::connect(upstream).await?;
        cdn.set_nodelay(true)?;
        client.set_nodelay(true)?;
        let mut way = Way::new(spliced)?;
        while let Some((request, _)) = head(&mut client).await? {
            cdn.write_all(&request).await?;
            let Some((answer, begin)) = head(&mut cdn).await? else {
                break;
            };
            client.write_all(&answer).await?;
            let left = length(&answer[..begin]).saturating_sub((answer.len() - begin) as u64);
            way.carry(&mut cdn, &mut client, left).await?;
        }
        Ok(())
    }

    /// A thread for each core, each with a runtime of its own, as dav123 serves.
    pub fn main() -> io::Result<()> {
        let words: Vec<_> = std::env::args().collect();
        let [_, upstream, way] = &words[..] else {
            return Err(io::Error::other("splice ADDRESS copy|splice"));
        };
        let spliced = way == "splice";
        let mut workers = Vec::new();
        for _ in 0..std::thread::available_parallelism()?.get() {
            let runtime = Builder::new_current_thread().enable_all().build()?;
            workers.push(runtime.handle().clone());
            std::thread::spawn(move || runtime.block_on(std::future::pending::<()>()));
        }
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        println!("http://{}/film.bin", listener.local_addr()?);
        for worker in workers.iter().cycle() {
            let (client, _) = listener.accept()?;
            client.set_nonblocking(true)?;
            let upstream = upstream.clone();
            worker.spawn(async move {
                // An error is a side that left.
                converse(TcpStream::from_std(client)?, &upstream, spliced).await
            });
        }
        Ok(())
    }
}

//! Tells systemd how far the server is, as sd_notify(3) describes: a datagram to the socket that `NOTIFY_SOCKET` names.
//! Where there is none, nobody wants to know.

/// The server accepts connections.
pub(super) fn ready() {
    tell("READY=1");
}

/// A reload has begun; [`ready`] ends it. The time is what `Type=notify-reload` compares with its own request.
pub(super) fn reloading() {
    #[cfg(target_os = "linux")]
    {
        use rustix::time::{ClockId, clock_gettime};
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        tell(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }
}

/// The server is about to end.
pub(super) fn stopping() {
    tell("STOPPING=1");
}

#[cfg(target_os = "linux")]
fn tell(state: &str) {
    let Some(socket) = std::env::var_os("NOTIFY_SOCKET") else {
        return;
    };
    if let Err(error) = send(&socket, state) {
        tracing::warn!(%error, "systemd could not be told: {state:?}");
    }
}

#[cfg(not(target_os = "linux"))]
fn tell(_: &str) {}

/// A path, or the name of an abstract socket behind an `@`.
#[cfg(target_os = "linux")]
fn send(socket: &std::ffi::OsStr, state: &str) -> std::io::Result<()> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::net::{SocketAddr, UnixDatagram};
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    UnixDatagram::unbound()?
        .send_to_addr(state.as_bytes(), &address)
        .map(drop)
}

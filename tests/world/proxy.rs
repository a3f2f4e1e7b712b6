//! A proxy on the way to the cloud: SOCKS 5 and HTTP on one port. It comes from an address of its own, and knows names
//! that nobody else knows.

use std::io;
use std::sync::{Arc, Mutex};

use base64::Engine;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

/// A host that only the proxy finds: it is 127.0.0.1.
pub const HOST: &str = "pan.invalid";
/// Where the proxy's connections come from.
const FROM: &str = "127.0.0.9:0";

/// A running proxy.
pub struct Proxy {
    /// `127.0.0.1:PORT`.
    pub address: String,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    targets: Vec<String>,
    refused: usize,
}

impl Proxy {
    /// One that wants these credentials, or none.
    pub async fn start(credentials: Option<(&'static str, &'static str)>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let seen: Arc<Mutex<Seen>> = Arc::default();
        let noted = Arc::clone(&seen);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(serve(client, credentials, Arc::clone(&noted)));
            }
        });
        Self { address, seen }
    }

    /// `host:port` of every connection that was asked for.
    pub fn targets(&self) -> Vec<String> {
        self.seen.lock().unwrap().targets.clone()
    }

    /// How many clients had wrong credentials.
    pub fn refused(&self) -> usize {
        self.seen.lock().unwrap().refused
    }
}

type Credentials = Option<(&'static str, &'static str)>;

async fn serve(mut client: TcpStream, credentials: Credentials, seen: Arc<Mutex<Seen>>) -> io::Result<()> {
    let first = client.read_u8().await?;
    let (asked, head) = if first == 5 {
        (socks(&mut client, credentials).await?, Vec::new())
    } else {
        http(&mut client, first, credentials).await?
    };
    let Some(target) = asked else {
        seen.lock().unwrap().refused += 1;
        return Ok(());
    };
    seen.lock().unwrap().targets.push(target.clone());
    let socket = TcpSocket::new_v4()?;
    socket.bind(FROM.parse().unwrap())?;
    let to = target.replace(HOST, "127.0.0.1").parse().unwrap();
    let mut upstream = socket.connect(to).await?;
    if first == 5 {
        client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await?;
    } else if head.is_empty() {
        client.write_all(b"HTTP/1.1 200 Connected\r\n\r\n").await?;
    } else {
        upstream.write_all(&head).await?;
    }
    tokio::io::copy_bidirectional(&mut client, &mut upstream).await?;
    Ok(())
}

/// RFC 1928 and 1929, after the version byte.
async fn socks(client: &mut TcpStream, credentials: Credentials) -> io::Result<Option<String>> {
    let mut methods = vec![0; client.read_u8().await?.into()];
    client.read_exact(&mut methods).await?;
    let method = if credentials.is_some() { 2 } else { 0 };
    assert!(methods.contains(&method), "{methods:?}");
    client.write_all(&[5, method]).await?;
    if let Some((user, password)) = credentials {
        assert_eq!(client.read_u8().await?, 1);
        let right = text(client).await? == user && text(client).await? == password;
        client.write_all(&[1, u8::from(!right)]).await?;
        if !right {
            return Ok(None);
        }
    }
    let mut request = [0; 4];
    client.read_exact(&mut request).await?;
    assert_eq!(request[..3], [5, 1, 0]);
    let host = match request[3] {
        1 => std::net::Ipv4Addr::from(client.read_u32().await?).to_string(),
        3 => text(client).await?,
        other => panic!("an address of type {other}"),
    };
    Ok(Some(format!("{host}:{}", client.read_u16().await?)))
}

async fn text(client: &mut TcpStream) -> io::Result<String> {
    let mut bytes = vec![0; client.read_u8().await?.into()];
    client.read_exact(&mut bytes).await?;
    Ok(String::from_utf8(bytes).unwrap())
}

/// CONNECT, or a request in absolute form, which is handed on as it is: what was read of it.
async fn http(
    client: &mut TcpStream,
    first: u8,
    credentials: Credentials,
) -> io::Result<(Option<String>, Vec<u8>)> {
    let mut head = vec![first];
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let said = String::from_utf8(head.clone()).unwrap();
    if let Some((user, password)) = credentials {
        let basic = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        let line = said
            .lines()
            .find(|line| line.to_lowercase().starts_with("proxy-authorization:"));
        if !line.is_some_and(|line| line.ends_with(&format!("Basic {basic}"))) {
            client
                .write_all(b"HTTP/1.1 407 Proxy Authentication Required\r\ncontent-length: 0\r\n\r\n")
                .await?;
            return Ok((None, head));
        }
    }
    let target = said.split(' ').nth(1).unwrap();
    if said.starts_with("CONNECT ") {
        return Ok((Some(target.to_owned()), Vec::new()));
    }
    let url = url::Url::parse(target).unwrap();
    let port = url.port_or_known_default().unwrap();
    Ok((Some(format!("{}:{port}", url.host_str().unwrap())), head))
}

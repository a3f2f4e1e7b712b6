//! A proxy worker of the OpenList family, written from the description of the protocol alone (peers.md 1.2 and 1.3):
//! it shares no code with dav123, so that the two can contradict each other.
//!
//! As the deployed ones it sends errors as HTTP 200 with JSON, and hands all headers of the client on.

use std::collections::HashMap;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine;
use hmac::{Hmac, KeyInit, Mac};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// What a deployed worker is told by its environment.
pub struct Settings {
    /// Of the origin, without a slash at its end.
    pub address: String,
    /// As typed.
    pub token: String,
}

/// A request's head.
struct Asked {
    method: String,
    target: String,
    headers: Vec<(String, String)>,
}

/// Serves on a socket until the test ends.
pub fn serve(listener: TcpListener, settings: Settings) {
    let settings = std::sync::Arc::new(settings);
    let http = super::client_that_follows();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (settings, http) = (settings.clone(), http.clone());
            tokio::spawn(async move {
                // The client may leave at any moment.
                let _ = answer(stream, &settings, &http).await;
            });
        }
    });
}

async fn answer(mut stream: TcpStream, settings: &Settings, http: &reqwest::Client) -> std::io::Result<()> {
    let Some(asked) = read_head(&mut stream).await? else {
        return Ok(());
    };
    if asked.method == "OPTIONS" {
        let head = "HTTP/1.1 200 OK\r\nAccess-Control-Allow-Origin: *\r\nAccess-Control-Allow-Methods: GET,HEAD,POST,OPTIONS\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        return stream.write_all(head.as_bytes()).await;
    }
    let (path, query) = asked.target.split_once('?').unwrap_or((&asked.target, ""));
    let path = percent_encoding::percent_decode_str(path)
        .decode_utf8_lossy()
        .into_owned();
    let sign = query.split('&').find_map(|pair| pair.strip_prefix("sign="));
    let sign = percent_encoding::percent_decode_str(sign.unwrap_or_default()).decode_utf8_lossy();
    if let Some(wrong) = fault(&settings.token, &path, &sign) {
        let json = serde_json::json!({ "code": 401, "message": wrong }).to_string();
        return say(&mut stream, &json).await;
    }
    let link = http
        .post(format!("{}/api/fs/link", settings.address))
        .header("Authorization", &settings.token)
        .header("Content-Type", "application/json;charset=UTF-8")
        .body(serde_json::json!({ "path": path }).to_string())
        .send()
        .await
        .unwrap();
    let text = link.text().await.unwrap();
    let link: serde_json::Value = serde_json::from_str(&text).unwrap();
    if link["code"] != 200 {
        return say(&mut stream, &text).await;
    }
    let mut headers: HashMap<String, String> = asked
        .headers
        .into_iter()
        .filter(|(name, _)| name != "host" && name != "connection")
        .collect();
    for (name, values) in link["data"]["header"].as_object().unwrap() {
        for value in values.as_array().unwrap() {
            headers.insert(name.to_ascii_lowercase(), value.as_str().unwrap().to_owned());
        }
    }
    let method = reqwest::Method::from_bytes(asked.method.as_bytes()).unwrap();
    let mut fetch = http.request(method, link["data"]["url"].as_str().unwrap());
    for (name, value) in &headers {
        fetch = fetch.header(name, value);
    }
    let mut fetched = fetch.send().await.unwrap();
    let mut head = format!("HTTP/1.1 {}\r\n", fetched.status());
    for (name, value) in fetched.headers() {
        if !["set-cookie", "connection", "transfer-encoding"].contains(&name.as_str()) {
            head.push_str(&format!("{name}: {}\r\n", value.to_str().unwrap()));
        }
    }
    head.push_str("Access-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n");
    stream.write_all(head.as_bytes()).await?;
    while let Ok(Some(bytes)) = fetched.chunk().await {
        stream.write_all(&bytes).await?;
    }
    Ok(())
}

/// What is wrong with a signature.
fn fault(token: &str, path: &str, sign: &str) -> Option<&'static str> {
    let Some((_, expire)) = sign.rsplit_once(':') else {
        return Some("expire missing");
    };
    let Ok(expire) = expire.parse::<i64>() else {
        return Some("expire invalid");
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    if expire > 0 && expire.unsigned_abs() < now {
        return Some("expire expired");
    }
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(token.as_bytes()).unwrap();
    mac.update(path.as_bytes());
    mac.update(b":");
    mac.update(expire.to_string().as_bytes());
    let alphabet = base64::engine::general_purpose::URL_SAFE;
    let right = format!("{}:{expire}", alphabet.encode(mac.finalize().into_bytes()));
    (right != sign).then_some("sign mismatch")
}

async fn say(stream: &mut TcpStream, json: &str) -> std::io::Result<()> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json;charset=UTF-8\r\nAccess-Control-Allow-Origin: *\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{json}",
        json.len()
    );
    stream.write_all(head.as_bytes()).await
}

async fn read_head(stream: &mut TcpStream) -> std::io::Result<Option<Asked>> {
    let mut text = Vec::new();
    while !text.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await? == 0 {
            return Ok(None);
        }
        text.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&text).into_owned();
    let mut lines = text.lines();
    let mut first = lines.next().unwrap_or_default().split(' ');
    let headers = lines.filter_map(|line| line.split_once(':'));
    Ok(Some(Asked {
        method: first.next().unwrap_or_default().to_owned(),
        target: first.next().unwrap_or_default().to_owned(),
        headers: headers
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect(),
    }))
}

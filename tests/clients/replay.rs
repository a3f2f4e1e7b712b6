//! Plays the files of `tests/requests` against a server, byte by byte, on one connection a file.
//!
//! A step begins with `### what happens`. Its request follows as it goes over the wire (line ends become CRLF), with
//! `{host}`, `{url}`, `{auth}` (a Basic sign-in; `{domain_auth}`: as `DOMAIN\user`; `{digest}` and `{domain_digest}`: by Digest,
//! with the nonce of the last challenge), `{length}` (of the body), `{now}` (an
//! HTTP date) and what earlier steps kept. A body under `Transfer-Encoding: chunked` is sent in chunks of seven bytes. Lines with `> ` say what must come back:
//!
//! ```text
//! > 207                       the status; always the first
//! > dav: 1, 2                 a header that holds this text
//! > no location               a header that is not there
//! > has <D:collection/>       text in the body;   > lacks TEXT   not there;   > is TEXT   the whole of it
//! > under 1000000             bytes of the body
//! > keep token lock-token     a header, for the steps to come; as `{bare_token}` without brackets or quotes
//! > calls 0                   calls that 123pan got for this step
//! > cloud /a.txt is TEXT      what 123pan holds afterwards, at once or soon;   > cloud /a.txt gone
//! ```

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant, SystemTime};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::world::{PASSWORD, USER, World};

/// How long an answer may take, and how long the cloud may lag.
const PATIENCE: Duration = Duration::from_secs(20);

/// What came back.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.all(name).into_iter().next()
    }

    fn all(&self, name: &str) -> Vec<&str> {
        let found = self
            .headers
            .iter()
            .filter(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str()).collect()
    }
}

/// Plays a file; panics at the first answer that is not as it says.
pub fn play(world: &World, script: &str) {
    let mut kept = HashMap::from([
        ("host".to_owned(), world.server.address()),
        (
            "url".to_owned(),
            world.server.url.trim_end_matches('/').to_owned(),
        ),
        ("now".to_owned(), httpdate::fmt_http_date(SystemTime::now())),
        ("auth".to_owned(), STANDARD.encode(format!("{USER}:{PASSWORD}"))),
        (
            "domain_auth".to_owned(),
            STANDARD.encode(format!("DESKTOP\\{USER}:{PASSWORD}")),
        ),
    ]);
    let mut connection: Option<BufReader<TcpStream>> = None;
    let mut steps = 0;
    let mut nonce: Option<String> = None;
    let mut count = 0;
    for step in script.split("### ").skip(1) {
        let (title, rest) = step.split_once('\n').unwrap();
        let at = rest
            .lines()
            .position(|line| line.starts_with("> "))
            .unwrap_or_else(|| panic!("{title}: nothing is expected"));
        let lines: Vec<&str> = rest.lines().collect();
        if let Some(nonce) = &nonce {
            count += 1;
            for (name, user) in [("digest", USER), ("domain_digest", &format!("DESKTOP\\{USER}"))] {
                let value = digest(user, nonce, count, &fill(lines[0], &kept));
                kept.insert(name.to_owned(), value);
            }
        }
        let request = request(&lines[..at], &kept);
        let before = world.cloud.counters().total();
        let mut stream = connection.take().unwrap_or_else(|| connect(world));
        stream.get_mut().write_all(&request).unwrap();
        let head = lines[0].starts_with("HEAD ");
        let answer = read(&mut stream, head).unwrap_or_else(|error| panic!("{title}: {error}"));
        let challenges = answer.all("www-authenticate");
        let md5 = challenges
            .into_iter()
            .find(|text| text.starts_with("Digest ") && text.contains("algorithm=MD5,"));
        if let Some((_, rest)) = md5.and_then(|text| text.split_once("nonce=\"")) {
            nonce = rest.split('"').next().map(str::to_owned);
            count = 0;
        }
        if answer.header("connection") != Some("close") {
            connection = Some(stream);
        }
        for line in lines[at..].iter().filter_map(|line| line.strip_prefix("> ")) {
            let line = fill(line, &kept);
            if let Some((name, header)) = line.strip_prefix("keep ").and_then(|line| line.split_once(' ')) {
                let value = answer
                    .header(header)
                    .unwrap_or_else(|| panic!("{title}: no {header} in {}", show(&answer)));
                let bare = value.trim_matches(['<', '>', '"']);
                kept.insert(format!("bare_{name}"), bare.to_owned());
                kept.insert(name.to_owned(), value.to_owned());
            } else if let Some(wrong) = wrong(world, &answer, &line, before) {
                panic!(
                    "{title}: {line:?}: {wrong}\n{}\n{}",
                    String::from_utf8_lossy(&request),
                    show(&answer)
                );
            }
        }
        steps += 1;
    }
    assert!(steps > 1, "no steps");
}

/// The bytes of a request.
fn request(lines: &[&str], kept: &HashMap<String, String>) -> Vec<u8> {
    let end = lines
        .iter()
        .position(|line| line.is_empty())
        .unwrap_or(lines.len());
    let body = lines.get(end + 1..).unwrap_or_default().join("\n");
    let body = fill(body.trim_end_matches('\n'), kept);
    let mut bytes = String::new();
    for line in &lines[..end] {
        let line = line.replace("{length}", &body.len().to_string());
        let _ = write!(bytes, "{}\r\n", fill(&line, kept));
    }
    bytes.push_str("\r\n");
    let mut bytes = bytes.into_bytes();
    if lines[..end].contains(&"Transfer-Encoding: chunked") {
        for chunk in body.as_bytes().chunks(7) {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
    } else {
        bytes.extend_from_slice(body.as_bytes());
    }
    bytes
}

/// What follows `Digest ` in an `Authorization` header (RFC 7616), as Windows writes it: MD5, the backslash of a domain as it is.
fn digest(user: &str, nonce: &str, count: u32, request_line: &str) -> String {
    let hash = |text: String| -> String {
        use md5::Digest;
        md5::Md5::digest(text)
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect()
    };
    let mut words = request_line.split(' ');
    let (method, uri) = (words.next().unwrap(), words.next().unwrap());
    let ha1 = hash(format!("{user}:dav123:{PASSWORD}"));
    let ha2 = hash(format!("{method}:{uri}"));
    let cnonce = "d9ba0b6f1c1f4f6bb7d3f8ba6f0a1c7e";
    let response = hash(format!("{ha1}:{nonce}:{count:08x}:{cnonce}:auth:{ha2}"));
    format!(
        "username=\"{user}\",realm=\"dav123\",nonce=\"{nonce}\",uri=\"{uri}\",cnonce=\"{cnonce}\",nc={count:08x},\
         algorithm=MD5,response=\"{response}\",qop=\"auth\",charset=utf-8"
    )
}

fn fill(text: &str, kept: &HashMap<String, String>) -> String {
    kept.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{name}}}"), value)
    })
}

fn connect(world: &World) -> BufReader<TcpStream> {
    let stream = TcpStream::connect(world.server.address()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    BufReader::new(stream)
}

/// What is wrong with an answer, if the line does not hold.
fn wrong(world: &World, answer: &Answer, line: &str, before: u64) -> Option<String> {
    let body = String::from_utf8_lossy(&answer.body);
    let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
    let holds = match word {
        "has" => body.contains(rest),
        "lacks" => !body.contains(rest),
        "is" => body == rest,
        "under" => answer.body.len() < rest.parse::<usize>().unwrap(),
        "no" => answer.header(rest).is_none(),
        "calls" => {
            let calls = world.cloud.counters().total() - before;
            if calls.to_string() == rest {
                return None;
            }
            return Some(format!("{calls} calls"));
        }
        "cloud" => return cloud(world, rest),
        _ if word.ends_with(':') => {
            let values = answer.all(word.trim_end_matches(':'));
            values.iter().any(|value| value.contains(rest))
        }
        _ => word.parse() == Ok(answer.status) && rest.is_empty(),
    };
    (!holds).then(|| "does not hold".to_owned())
}

/// What is wrong with 123pan's files; what is put is there at the latest after a moment.
fn cloud(world: &World, line: &str) -> Option<String> {
    let begun = Instant::now();
    loop {
        let found = match line.split_once(" is ") {
            Some((path, text)) => {
                let bytes = world.cloud.read(path);
                match bytes {
                    Some(bytes) if bytes == text.as_bytes() => return None,
                    Some(bytes) => format!("123pan has {:?}", String::from_utf8_lossy(&bytes)),
                    None => "123pan has no such file".to_owned(),
                }
            }
            None => {
                let path = line.strip_suffix(" gone").unwrap();
                match world.cloud.id(path) {
                    None => return None,
                    Some(_) => "123pan still has it".to_owned(),
                }
            }
        };
        if begun.elapsed() > PATIENCE {
            return Some(found);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// One answer, past any 1xx.
fn read(stream: &mut BufReader<TcpStream>, head: bool) -> Result<Answer, String> {
    let text = |error: std::io::Error| error.to_string();
    let mut answer = loop {
        let status = line(stream)?;
        let status = status.split(' ').nth(1).and_then(|code| code.parse().ok());
        let mut answer = Answer {
            status: status.ok_or("no status line")?,
            headers: Vec::new(),
            body: Vec::new(),
        };
        loop {
            let header = line(stream)?;
            let Some((name, value)) = header.split_once(':') else {
                break;
            };
            answer.headers.push((name.to_owned(), value.trim().to_owned()));
        }
        if answer.status >= 200 {
            break answer;
        }
    };
    if head || matches!(answer.status, 204 | 304) {
        return Ok(answer);
    }
    if let Some(length) = answer.header("content-length") {
        let mut body = vec![0; length.parse().map_err(|_| "no length")?];
        stream.read_exact(&mut body).map_err(text)?;
        answer.body = body;
    } else if answer.header("transfer-encoding") == Some("chunked") {
        loop {
            let size = usize::from_str_radix(&line(stream)?, 16).map_err(|_| "no chunk size")?;
            let mut chunk = vec![0; size];
            stream.read_exact(&mut chunk).map_err(text)?;
            line(stream)?;
            if size == 0 {
                break;
            }
            answer.body.extend(chunk);
        }
    } else {
        stream.read_to_end(&mut answer.body).map_err(text)?;
    }
    Ok(answer)
}

fn line(stream: &mut BufReader<TcpStream>) -> Result<String, String> {
    let mut line = String::new();
    match stream.read_line(&mut line) {
        Ok(0) => Err("the connection was closed".to_owned()),
        Ok(_) => Ok(line.trim_end().to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

fn show(answer: &Answer) -> String {
    let mut text = format!("{}\n", answer.status);
    for (name, value) in &answer.headers {
        let _ = writeln!(text, "{name}: {value}");
    }
    let body = String::from_utf8_lossy(&answer.body);
    text.extend(body.chars().take(4000));
    text
}

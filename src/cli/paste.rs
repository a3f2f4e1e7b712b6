//! What a newcomer pastes into his programs.

use crate::tree::encode_segment;

/// What the commands are made of.
#[derive(Debug)]
pub struct Paste<'a> {
    /// URL of the tree, with a final slash.
    pub url: &'a str,
    /// Name to sign in with.
    pub user: &'a str,
    /// Its password. Shown: it guards a demonstration, and the person who reads this is the one to use it.
    pub password: &'a str,
    /// A folder below the URL that is streamed through dav123, for programs that do not follow a 302.
    pub proxied: &'a str,
    /// A film below the URL, percent-encoded, where one is known.
    pub film: Option<&'a str>,
    /// The file of a certificate that no program trusts unasked.
    pub cert: Option<&'a str>,
}

/// Ready-to-paste commands for the programs that people use.
pub fn pasteables(paste: &Paste<'_>) -> String {
    let Paste {
        url,
        user,
        password,
        proxied,
        film,
        cert,
    } = paste;
    let (scheme, place) = url.split_once("://").unwrap_or(("http", url));
    let mut signed_in = String::new();
    encode_segment(user, &mut signed_in);
    signed_in.push(':');
    encode_segment(password, &mut signed_in);
    let film = film.unwrap_or("drive/FILM.mp4");
    let kodi = if scheme == "https" { "davs" } else { "dav" };
    let of = |option: &str| cert.map_or_else(String::new, |cert| format!(" {option} {}", quoted(cert)));
    let (rclone, curl) = (of("--ca-cert"), of("--cacert"));
    let mut text = format!("URL {url}   user {user}   password {password}\n");
    if let Some(cert) = cert {
        text.push_str(&format!(
            "
The certificate is signed by nobody a program knows: {cert}
  Every rclone command needs --ca-cert with that file. On another machine take a copy of it, or go without the
  check: rclone --no-check-certificate, curl -k.
"
        ));
    }
    text.push_str(&format!(
        "
rclone (vendor owncloud: it compares the MD5)
  rclone lsf :webdav: --webdav-url={url} --webdav-vendor=owncloud --webdav-user={user} --webdav-pass=$(rclone obscure {password}){rclone}
  rclone config create dav123 webdav url={url} vendor=owncloud user={user} pass=$(rclone obscure {password}) --no-obscure

Windows Explorer 资源管理器 (cmd)
"
    ));
    if cert.is_some() {
        // The user's own store: no administrator is needed, but a dialog asks.
        text.push_str("  certutil -user -addstore Root demo-cert.pem\n");
    }
    // Kodi's option behind the bar is read for each connection to that source.
    let unchecked = if cert.is_some() { "|verifypeer=false" } else { "" };
    // mount.davfs asks for the password, then whether the certificate is the right one.
    let answers = match cert {
        Some(_) => format!("printf '%s\\ny\\n' {password}"),
        None => format!("echo {password}"),
    };
    text.push_str(&format!(
        "  net use Z: {url}{proxied} /user:{user} {password}

Kodi (sources.xml, under <video>; or add the URL as a WebDAV source)
  <source><name>dav123</name><path pathversion=\"1\">{kodi}://{signed_in}@{place}{unchecked}</path></source>

mpv
  mpv {scheme}://{signed_in}@{place}{film}

curl
  curl{curl} -u {user}:{password} -X PROPFIND -H \"Depth: 1\" {url}
  curl{curl} -L -u {user}:{password} -O {url}{film}

davfs2 (does not follow redirects, so it takes a mount that is streamed)
  {answers} | sudo mount -t davfs -o username={user} {url}{proxied} /mnt
"
    ));
    text
}

/// A path as a shell takes it.
fn quoted(path: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-\\:".contains(c);
    if path.chars().all(plain) {
        return path.to_owned();
    }
    format!("'{}'", path.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_gets_a_line_with_url_user_and_password() {
        let paste = Paste {
            url: "http://127.0.0.1:8123/",
            user: "demo",
            password: "k7w2m9",
            proxied: "drive-proxy",
            film: Some("drive/films/a%20b.mp4"),
            cert: None,
        };
        let text = pasteables(&paste);
        for line in [
            "  rclone lsf :webdav: --webdav-url=http://127.0.0.1:8123/ --webdav-vendor=owncloud --webdav-user=demo --webdav-pass=$(rclone obscure k7w2m9)\n",
            "  net use Z: http://127.0.0.1:8123/drive-proxy /user:demo k7w2m9\n",
            "<path pathversion=\"1\">dav://demo:k7w2m9@127.0.0.1:8123/</path>",
            "  mpv http://demo:k7w2m9@127.0.0.1:8123/drive/films/a%20b.mp4\n",
            "  curl -u demo:k7w2m9 -X PROPFIND -H \"Depth: 1\" http://127.0.0.1:8123/\n",
            "  echo k7w2m9 | sudo mount -t davfs -o username=demo http://127.0.0.1:8123/drive-proxy /mnt\n",
        ] {
            assert!(text.contains(line), "{line}\nis not in\n{text}");
        }
        let text = pasteables(&Paste {
            url: "https://nas:1/",
            password: "a b@c",
            cert: Some("/my dir/c.pem"),
            ..paste
        });
        for part in [
            "davs://demo:a%20b%40c@nas:1/|verifypeer=false<",
            " --ca-cert '/my dir/c.pem'\n",
            "  curl --cacert '/my dir/c.pem' -L ",
            "--no-check-certificate",
            "certutil -user -addstore Root",
        ] {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}

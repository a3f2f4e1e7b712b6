//! Whom the CDN's client trusts beside the public roots: whatever this machine trusts.

use std::process::Command;

use dav123::sim::Content;
use tempfile::TempDir;

use crate::running::pem;
use crate::world::{PASSWORD, Server, USER, World, account, binary, client, head, options};

const LEN: u64 = 300_000;
const FILM: Content = Content::Pattern { seed: 11, len: LEN };

/// A server that plays a CDN of https, with the tests' own certificate, open to all.
async fn cdn() -> World {
    let tls = format!(
        "[server]\nanonymous = \"read-only\"\ntls_cert = \"{}\"\ntls_key = \"{}\"\n",
        pem("cert.pem").display(),
        pem("key.pem").display()
    );
    World::configured(
        options(),
        |cloud| {
            cloud.add_file("/film.bin", FILM);
        },
        |cloud, dir| {
            head(dir).replace("[server]\n", &tls) + &account(cloud, "/drive", "strategy = \"proxy\"")
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_root_of_this_machine_is_trusted_for_the_bytes_too() {
    let cdn = cdn().await;
    let dir = TempDir::new().unwrap();
    let link = format!("{}drive/film.bin", cdn.server.url);
    let config = dir.path().join("dav.toml");
    let mount = format!(
        "[[mount]]\npath = \"/links\"\nkind = \"direct-link\"\nuid = 1\nstrategy = \"proxy\"\nlinks = \"film.bin:{LEN}:{link}\"\n"
    );
    std::fs::write(&config, head(dir.path()) + &mount).unwrap();
    for trusts in [false, true] {
        let mut command = Command::new(binary());
        command.arg("serve").arg("--config").arg(&config);
        command.env_remove("SSL_CERT_DIR").env_remove("SSL_CERT_FILE");
        if trusts {
            command.env("SSL_CERT_FILE", pem("cert.pem"));
        }
        let server = Server::spawn(command);
        let asked = client()
            .get(format!("{}links/film.bin", server.url))
            .basic_auth(USER, Some(PASSWORD));
        let answer = asked.send().await.unwrap();
        if trusts {
            assert_eq!(answer.status(), 200);
            assert_eq!(answer.bytes().await.unwrap().len() as u64, LEN);
        } else {
            assert_eq!(answer.status(), 504);
            let sentence = answer.text().await.unwrap();
            assert!(sentence.contains("certificate"), "{sentence}");
        }
    }
}

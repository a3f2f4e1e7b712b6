//! The demonstration under TLS.

use std::process::Command;

use crate::world::{Server, binary};

/// A client that trusts the demonstration's certificate alone, with one version of TLS and of HTTP.
fn client(certificate: &[u8], tls: reqwest::tls::Version, http2: bool) -> reqwest::Client {
    crate::world::client();
    let builder = reqwest::Client::builder()
        .no_proxy()
        .tls_version_min(tls)
        .tls_version_max(tls)
        .tls_certs_only([reqwest::Certificate::from_pem(certificate).unwrap()]);
    let builder = if http2 { builder } else { builder.http1_only() };
    builder.build().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_serves_https_with_a_certificate_for_the_names_of_this_machine() {
    let dir = tempfile::TempDir::new().unwrap();
    let mut command = Command::new(binary());
    command
        .args(["demo", "--tls", "--listen", "127.0.0.1:0", "--dir"])
        .arg(dir.path());
    let server = Server::spawn(command);
    assert!(server.url.starts_with("https://127.0.0.1:"), "{}", server.url);
    let certificate = std::fs::read(dir.path().join("demo-cert.pem")).unwrap();
    let password = std::fs::read_to_string(dir.path().join("demo-password")).unwrap();
    let by_name = server.url.replace("127.0.0.1", "localhost");
    for tls in [reqwest::tls::Version::TLS_1_2, reqwest::tls::Version::TLS_1_3] {
        for (http2, version) in [
            (true, reqwest::Version::HTTP_2),
            (false, reqwest::Version::HTTP_11),
        ] {
            for url in [&server.url, &by_name] {
                let answer = client(&certificate, tls, http2)
                    .get(url)
                    .basic_auth("demo", Some(password.trim()))
                    .send()
                    .await
                    .unwrap();
                let got = (answer.status().as_u16(), answer.version());
                assert_eq!(got, (200, version), "{tls:?} {url}");
                assert!(answer.text().await.unwrap().contains("drive-proxy"));
            }
        }
    }
    // Who has not been told of it does not trust it.
    assert!(crate::world::client().get(&server.url).send().await.is_err());
}

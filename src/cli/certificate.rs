//! The certificate of `dav123 demo --tls`: signed by its own key, made anew at each start.

use std::net::IpAddr;
use std::path::Path;
use std::time::{Duration, SystemTime};

use anyhow::Context;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose,
};

use crate::config::Tls;
use crate::private;

/// Name of the certificate's file in the folder of the demonstration.
const CERT: &str = "demo-cert.pem";
/// Name of its key's file.
const KEY: &str = "demo-key.pem";
/// Valid from this long ago: clocks differ.
const BEFORE: Duration = Duration::from_secs(24 * 3600);
/// Valid for this long: Apple's systems take no more than 825 days (support.apple.com/en-us/103769).
const VALID: Duration = Duration::from_secs(365 * 24 * 3600);

/// Writes certificate and key into `folder`, for a server that listens at `listen` and on this machine.
///
/// # Errors
/// A listen address that no certificate can name; those of the disk.
pub fn make(folder: &Path, listen: &str) -> anyhow::Result<Tls> {
    let names = names(listen);
    let mut params = CertificateParams::new(names)
        .with_context(|| format!("No certificate can be made for the address {listen}"))?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, "dav123 demo");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    let now = SystemTime::now();
    params.not_before = (now - BEFORE).into();
    params.not_after = (now + VALID).into();
    let key = KeyPair::generate().context("No key can be made for the certificate")?;
    let certificate = params
        .self_signed(&key)
        .context("The certificate cannot be made")?;
    let tls = Tls {
        cert: folder.join(CERT),
        key: folder.join(KEY),
    };
    for (file, text) in [(&tls.key, key.serialize_pem()), (&tls.cert, certificate.pem())] {
        private::write(file, text.as_bytes())
            .with_context(|| format!("The file {} cannot be written", file.display()))?;
    }
    Ok(tls)
}

/// What the server is called: this machine's own names, and the host of the listen address.
fn names(listen: &str) -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let host = listen.rsplit_once(':').map_or(listen, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let host = host
        .parse::<IpAddr>()
        .map_or_else(|_| host.to_owned(), |ip| ip.to_string());
    if !host.is_empty() && !names.contains(&host) {
        names.push(host);
    }
    names
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_the_listen_address_is_one_of_the_names() {
        let own = ["localhost", "127.0.0.1", "::1"];
        for (listen, more) in [
            ("127.0.0.1:8123", None),
            ("[::1]:0", None),
            ("192.168.1.5:8123", Some("192.168.1.5")),
            ("[fd00::0:5]:8123", Some("fd00::5")),
            ("nas.lan:8123", Some("nas.lan")),
        ] {
            let wanted: Vec<&str> = own.into_iter().chain(more).collect();
            assert_eq!(names(listen), wanted, "{listen}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn the_key_is_its_owner_s_alone() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let tls = make(dir.path(), "nas.lan:1").unwrap();
        let mode = std::fs::metadata(&tls.key).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(
            std::fs::read_to_string(&tls.cert)
                .unwrap()
                .starts_with("-----BEGIN CERTIFICATE")
        );
        assert!(make(dir.path(), "näs:1").is_err());
    }
}

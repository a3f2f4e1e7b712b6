//! The certificate in use, and how it is replaced: on SIGHUP, and soon after its files change.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::TlsAcceptor;

use crate::config::Tls;

/// Pause between two looks at the files. They are looked at and not watched: who renews a certificate often replaces a link,
/// or a folder above it.
const LOOK: Duration = Duration::from_secs(5);

/// A certificate with its key; connections that are open keep the one they began with.
#[derive(Debug)]
pub(super) struct Certificate {
    files: Tls,
    current: ArcSwap<ServerConfig>,
}

/// Length and time of change of both files; `None` for one that is not there.
type Stamp = [Option<(u64, SystemTime)>; 2];

impl Certificate {
    /// Reads certificate and key.
    ///
    /// # Errors
    /// A file that cannot be read or does not hold what it should; the message names it.
    pub(super) fn read(files: &Tls) -> io::Result<Self> {
        Ok(Self {
            files: files.clone(),
            current: ArcSwap::new(read(files)?),
        })
    }

    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.current.load_full())
    }

    /// Reads both files again; if they cannot be used, all stays as it is.
    pub(super) fn reread(&self) {
        match read(&self.files) {
            Ok(new) => {
                self.current.store(new);
                tracing::info!("the TLS certificate was read again");
            }
            Err(error) => tracing::error!(%error, "the TLS certificate was not replaced"),
        }
    }

    /// Reads them again whenever one has changed, for ever.
    pub(super) async fn follow(&self) {
        let mut seen = self.stamp().await;
        loop {
            tokio::time::sleep(LOOK).await;
            let now = self.stamp().await;
            // While one of the two is new and the other old they do not fit: the second change has them read again.
            if now != seen && now.iter().all(Option::is_some) {
                self.reread();
                seen = now;
            }
        }
    }

    async fn stamp(&self) -> Stamp {
        [stamp(&self.files.cert).await, stamp(&self.files.key).await]
    }
}

async fn stamp(file: &Path) -> Option<(u64, SystemTime)> {
    let metadata = tokio::fs::metadata(file).await.ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}

fn read(files: &Tls) -> io::Result<Arc<ServerConfig>> {
    let bad = |path: &Path, error: &dyn std::fmt::Display| {
        io::Error::new(io::ErrorKind::InvalidData, format!("{}: {error}", path.display()))
    };
    let chain = CertificateDer::pem_file_iter(&files.cert)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|e| bad(&files.cert, &e))?;
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|e| bad(&files.key, &e))?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| bad(&files.cert, &e))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|e| bad(&files.cert, &e))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

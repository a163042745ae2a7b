//! Whose certificates are believed.

use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::{ClientConfig, RootCertStore};

use crate::error::Unusable;

/// TLS with the system's certificate authorities and those of `authorities` (PEM).
///
/// The provider is named, not looked up: nothing depends on who was first in this process.
pub(crate) fn tls(authorities: &[u8]) -> Result<ClientConfig, Unusable> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authorities) {
        let certificate = certificate.map_err(|_| Unusable::Authority)?;
        roots.add(certificate).map_err(|_| Unusable::Authority)?;
    }
    if roots.is_empty() && !authorities.trim_ascii().is_empty() {
        return Err(Unusable::Authority);
    }
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        // No reason not to start: many installations send nothing out.
        tracing::warn!(
            "this system has no certificate authorities, so nothing can be reached by https: \
             install its package ca-certificates, or name a file in SSL_CERT_FILE"
        );
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Unusable::Client(error.into()))?;
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

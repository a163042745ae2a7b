//! TLS to the database: when, and whose certificates are believed.
//!
//! The words are libpq's. What differs: without `sslmode` a server elsewhere must prove
//! itself (libpq would take any), and without `sslrootcert` the system's authorities count.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{WebPkiServerVerifier, verify_server_name};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::url::PgUrlError;

/// When a connection is encrypted, and what the server must prove.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TlsMode {
    /// Never.
    Off,
    /// If the server offers it. Proves nothing.
    Prefer,
    /// Always; whoever answers is believed. Helps against those who only listen.
    Require,
    /// Always; an authority that is believed signed the certificate, for whatever name.
    Authority,
    /// Always; and the certificate is for this host.
    Full,
}

/// Whose certificates are believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Roots {
    /// The system's authorities.
    System,
    /// Those of a PEM file alone.
    File(PathBuf),
}

impl TlsMode {
    pub(super) fn read(text: &str) -> Result<Self, PgUrlError> {
        match text {
            "disable" => Ok(Self::Off),
            "prefer" => Ok(Self::Prefer),
            "require" => Ok(Self::Require),
            "verify-ca" => Ok(Self::Authority),
            "verify-full" => Ok(Self::Full),
            _ => Err(PgUrlError::Value(
                "sslmode",
                "disable, prefer, require, verify-ca or verify-full",
            )),
        }
    }
}

impl Roots {
    pub(super) fn read(text: &str) -> Result<Self, PgUrlError> {
        match text {
            "" => Err(PgUrlError::Value("sslrootcert", "the path of a PEM file, or system")),
            "system" => Ok(Self::System),
            path => Ok(Self::File(PathBuf::from(path))),
        }
    }

    /// The certificates of the file; none for the system's.
    fn read_file(&self) -> io::Result<Vec<CertificateDer<'static>>> {
        let Self::File(path) = self else { return Ok(Vec::new()) };
        let bytes = std::fs::read(path)?;
        let unreadable = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text.to_owned());
        let certificates: Vec<_> = CertificateDer::pem_slice_iter(&bytes)
            .collect::<Result<_, _>>()
            .map_err(|_| unreadable("it is not PEM"))?;
        if certificates.is_empty() {
            return Err(unreadable("it holds no certificate"));
        }
        Ok(certificates)
    }
}

/// The client's side of TLS in this mode.
///
/// The provider is named, not looked up: nothing depends on who was first in this process.
pub(super) fn client(mode: TlsMode, roots: &Roots) -> io::Result<ClientConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let believed = match mode {
        TlsMode::Off | TlsMode::Prefer | TlsMode::Require => Believed::Anyone,
        TlsMode::Authority | TlsMode::Full => {
            let named = roots.read_file()?;
            let mut store = RootCertStore::empty();
            if matches!(roots, Roots::System) {
                store.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            } else {
                store.add_parsable_certificates(named.iter().cloned());
            }
            let provider = Arc::clone(&provider);
            let checks = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider);
            let checks = checks.build().map_err(|_| {
                io::Error::other("this system has no certificate authorities: install its package ca-certificates")
            })?;
            let host = if mode == TlsMode::Full { Host::This } else { Host::Any };
            Believed::Chain { checks, named, host }
        }
    };
    let verifier = Verifier { provider: Arc::clone(&provider), believed };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?;
    Ok(config
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth())
}

/// Judges the server's certificate.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    believed: Believed,
}

#[derive(Debug)]
enum Believed {
    Anyone,
    Chain {
        checks: Arc<WebPkiServerVerifier>,
        /// The certificates of `sslrootcert`: the server's own may be one of them.
        named: Vec<CertificateDer<'static>>,
        host: Host,
    },
}

/// Which host a certificate may be for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Host {
    This,
    Any,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let Believed::Chain { checks, named, host } = &self.believed else {
            return Ok(ServerCertVerified::assertion());
        };
        // The operator named this very certificate: PostgreSQL's own guide makes one that
        // is authority and server in one, which a chain never ends in.
        if named.iter().any(|it| it.as_ref() == end_entity.as_ref()) {
            if *host == Host::This {
                verify_server_name(&ParsedCertificate::try_from(end_entity)?, name)?;
            }
            return Ok(ServerCertVerified::assertion());
        }
        match checks.verify_server_cert(end_entity, intermediates, name, ocsp, now) {
            // The name is looked at last, behind the chain.
            Err(Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) if *host == Host::Any => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

//! TLS, with a certificate of our own making.

use std::sync::Arc;

use hookgate_ingress::Tls;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::bench::{Bench, Line, Setup, genuine, within};

struct Certificate {
    folder: tempfile::TempDir,
    der: CertificateDer<'static>,
}

impl Certificate {
    fn write(folder: &tempfile::TempDir) -> CertificateDer<'static> {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(folder.path().join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        made.cert.der().clone()
    }

    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let der = Self::write(&folder);
        Self { folder, der }
    }

    fn tls(&self) -> Tls {
        let path = |name| self.folder.path().join(name);
        Tls::from_files(&path("cert.pem"), &path("key.pem")).unwrap()
    }
}

async fn connect(
    bench: &Bench,
    trusted: &CertificateDer<'static>,
    protocols: &[&[u8]],
) -> std::io::Result<Line<TlsStream<TcpStream>>> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(trusted.clone()).unwrap();
    let crypto = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(crypto)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = protocols.iter().map(|it| it.to_vec()).collect();
    let stream = TcpStream::connect(bench.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let stream = within("the TLS handshake", connector.connect(name, stream)).await?;
    Ok(Line { stream, buffer: Vec::new() })
}

#[tokio::test]
async fn an_event_over_tls() {
    let certificate = Certificate::new();
    let setup = Setup {
        tls: Some(certificate.tls()),
        settings: Box::new(|settings| settings.require_https = true),
        ..Setup::default()
    };
    let bench = Bench::with(setup).await;
    let mut line = connect(&bench, &certificate.der, &[b"h2", b"http/1.1"]).await.unwrap();
    assert_eq!(line.stream.get_ref().1.alpn_protocol(), Some(b"http/1.1".as_slice()));
    line.write(&genuine()).await;
    assert_eq!(line.answer().await.short(), r#"200 {"status":"ok"}"#);
    assert_eq!(bench.journal().await, "accepted call_ended");

    assert!(connect(&bench, &certificate.der, &[b"h2"]).await.is_err());
    let mut plain = bench.connect().await;
    plain.write(&genuine()).await;
    assert!(plain.next_answer().await.is_none());
}

#[tokio::test]
async fn a_renewed_certificate_is_used_without_a_restart() {
    let certificate = Certificate::new();
    let tls = certificate.tls();
    let bench = Bench::with(Setup { tls: Some(tls.clone()), ..Setup::default() }).await;
    assert!(connect(&bench, &certificate.der, &[]).await.is_ok());
    let renewed = Certificate::write(&certificate.folder);
    tls.reload().unwrap();
    assert!(connect(&bench, &renewed, &[]).await.is_ok());
    assert!(connect(&bench, &certificate.der, &[]).await.is_err());

    std::fs::write(certificate.folder.path().join("cert.pem"), "nonsense").unwrap();
    assert!(tls.reload().is_err());
    assert!(connect(&bench, &renewed, &[]).await.is_ok());
}

#[test]
fn a_certificate_that_cannot_be_used_is_named() {
    let certificate = Certificate::new();
    let path = |name| certificate.folder.path().join(name);
    let missing = Tls::from_files(&path("nothing.pem"), &path("key.pem")).unwrap_err();
    assert!(missing.to_string().contains("nothing.pem"), "{missing}");
    let other = Certificate::new();
    let fault = Tls::from_files(&path("cert.pem"), &other.folder.path().join("key.pem"));
    assert!(fault.is_err());
}

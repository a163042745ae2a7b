//! HTTPS: whose certificate is believed.

use std::sync::Arc;

use hookgate_core::address::Policy;
use hookgate_egress::{Egress, EgressError, Settings};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::bench::call;

/// A server with a certificate for `name`, and that certificate as PEM.
async fn server(name: &str) -> (u16, Vec<u8>) {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let Ok(mut stream) = acceptor.accept(stream).await else { continue };
            let mut buffer = [0; 4096];
            if stream.read(&mut buffer).await.is_ok_and(|it| it > 0) {
                let text = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
                stream.write_all(text).await.unwrap();
            }
        }
    });
    (port, made.cert.pem().into_bytes())
}

fn egress(authorities: Vec<u8>) -> Result<Egress, hookgate_egress::Unusable> {
    let policy = Policy::new(vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()]);
    Egress::new(Settings { policy, authorities })
}

#[tokio::test]
async fn a_certificate_of_a_named_authority_is_believed() {
    let (port, pem) = server("localhost").await;
    let url = format!("https://localhost:{port}/");
    let answer = egress(pem).unwrap().send(call(&url)).await.unwrap();
    assert_eq!(answer.body, "ok");
}

#[tokio::test]
async fn an_unknown_or_misnamed_certificate_is_not() {
    let (port, _) = server("localhost").await;
    let url = format!("https://localhost:{port}/");
    let error = egress(Vec::new()).unwrap().send(call(&url)).await.unwrap_err();
    assert_eq!(error, EgressError::Certificate);
    assert!(error.is_unsent() && !error.is_passing());

    let (port, pem) = server("example.com").await;
    let url = format!("https://localhost:{port}/");
    let error = egress(pem).unwrap().send(call(&url)).await.unwrap_err();
    assert_eq!(error, EgressError::Certificate);
}

#[tokio::test]
async fn a_server_that_speaks_no_tls_fails_the_handshake() {
    for text in [b"HTTP/1.1 400 Bad Request\r\n\r\n".as_slice(), b""] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://{}/", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 1024];
            let _ = stream.read(&mut buffer).await;
            let _ = stream.write_all(text).await;
        });
        let error = egress(Vec::new()).unwrap().send(call(&url)).await.unwrap_err();
        assert_eq!(error, EgressError::Tls);
        assert!(error.is_unsent());
    }
}

#[test]
fn an_authority_that_is_no_pem_is_refused_at_once() {
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    for text in ["not a certificate", broken] {
        let error = egress(text.as_bytes().to_vec()).unwrap_err();
        assert!(error.to_string().contains("PEM"), "{error}");
    }
}

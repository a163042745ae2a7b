//! Why a request has no answer.

use std::error::Error;
use std::io;

use hookgate_core::address::Refused;
use http::HeaderName;

/// Why a request has no answer. A cause never holds a part of the URL, a header's value or
/// a body.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EgressError {
    /// The URL is of another kind.
    #[error("the URL is neither http nor https")]
    Scheme,
    /// The URL names nobody to connect to.
    #[error("the URL names no host")]
    Host,
    /// The caller set a header that frames the request.
    #[error("the header `{0}` is not the caller's to set")]
    Header(HeaderName),
    /// What is sent in the open may be read on the way.
    #[error("plain http is only for networks that the operator allows: use https")]
    PlainHttp,
    /// The policy refuses the address, or all addresses of the name.
    #[error("the host's address may not be reached")]
    Refused(#[source] Refused),
    /// The name has no address.
    #[error("the host's name does not resolve")]
    Unresolved,
    /// Nobody answered at the address.
    #[error("cannot connect: {0}")]
    Connect(io::ErrorKind),
    /// The server's certificate is not trusted for this host.
    #[error("the host's certificate is not trusted")]
    Certificate,
    /// The handshake failed for another reason.
    #[error("the TLS handshake failed")]
    Tls,
    /// The deadline passed.
    #[error("the deadline passed")]
    TimedOut,
    /// The connection broke off, or what came is no HTTP.
    #[error("the connection broke off before the answer was complete")]
    Broken,
}

/// The client cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// A certificate authority that was given is none.
    #[error("a certificate authority that was given cannot be read as PEM")]
    Authority,
    /// The HTTP client cannot be made.
    #[error("cannot make an HTTP client")]
    Client(#[source] Box<dyn Error + Send + Sync>),
}

impl EgressError {
    /// Whether the request certainly did not reach its server: it can be sent again without
    /// doing anything twice. After a deadline or a broken connection nobody knows.
    #[must_use]
    pub fn is_unsent(&self) -> bool {
        !matches!(self, Self::TimedOut | Self::Broken)
    }

    /// Whether asking again later may help without anybody changing anything.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Unresolved | Self::Connect(_) | Self::TimedOut | Self::Broken)
    }

    /// The cause inside an error of the client.
    pub(crate) fn of(error: &reqwest::Error) -> Self {
        let mut kind = None;
        let mut next: Option<&(dyn Error + 'static)> = Some(error);
        while let Some(cause) = next {
            if let Some(own) = cause.downcast_ref::<Self>() {
                return own.clone();
            }
            if let Some(tls) = cause.downcast_ref::<rustls::Error>() {
                return Self::of_tls(tls);
            }
            next = cause.source();
            if let Some(io) = cause.downcast_ref::<io::Error>() {
                kind = Some(io.kind());
                // The source of an I/O error is that of what it carries, which is left out.
                let carried = io.get_ref().map(|it| it as &(dyn Error + 'static));
                next = carried.or(next);
            }
        }
        match kind {
            _ if !error.is_connect() => Self::Broken,
            _ if error.is_timeout() => Self::Connect(io::ErrorKind::TimedOut),
            // The handshake began and the other side hung up.
            Some(io::ErrorKind::UnexpectedEof) => Self::Tls,
            kind => Self::Connect(kind.unwrap_or(io::ErrorKind::Other)),
        }
    }

    fn of_tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(_) => Self::Certificate,
            _ => Self::Tls,
        }
    }
}

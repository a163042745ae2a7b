//! Why a database cannot be used, and what to do about it.

use std::error::Error as _;
use std::io;

use postgres::error::SqlState;
use rustls::CertificateError;

use super::wire::WireFault;

/// Why a database cannot be used. It names host and database, never a password; its source
/// is what the server or the system said.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {place}: {fault}")]
pub struct ConnectError {
    place: String,
    fault: ConnectFault,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The cause, and what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConnectFault {
    /// The file of `sslrootcert`, or the system's authorities.
    #[error("the certificates to check it with cannot be read: see sslrootcert in its URL")]
    Roots,
    /// Nobody answers.
    #[error(
        "nothing answers there. Is it running, are host and port right, and may this machine \
         reach it?"
    )]
    Unreachable,
    /// A server took the connection and says nothing.
    #[error("it took the connection and then said nothing: it is frozen, or the network is")]
    Silent,
    /// The server has no TLS.
    #[error(
        "it has no TLS, and without it the password could be read on the way. Turn TLS on \
         there (ssl = on), or write sslmode=disable into the URL if nobody can listen in between"
    )]
    NoTls,
    /// No authority that is believed signed its certificate.
    #[error(
        "its certificate is not one that is believed. Name the PEM file of its authority in \
         the URL, as in ?sslmode=verify-full&sslrootcert=/etc/hookgate/database.pem (Supabase \
         and others have one to download)"
    )]
    Certificate,
    /// Its certificate is for other hosts.
    #[error(
        "its certificate is for another host. Write the host into the URL as the certificate \
         says it, or sslmode=verify-ca if the authority signs for this database alone"
    )]
    CertificateName,
    /// User or password.
    #[error(
        "it refuses user or password. Check both in the URL; in it, characters such as @ : / ? # % are \
         written as %40 %3A %2F %3F %23 %25"
    )]
    Denied,
    /// It wants a password, and there is none.
    #[error("it wants a password: put it into the URL, or into PGPASSWORD")]
    NoPassword,
    /// The server's access rules, or a user that does not exist.
    #[error(
        "it does not let this user in from here: the user does not exist, or pg_hba.conf (the \
         provider's list of networks) has no line for it"
    )]
    NotAllowed,
    /// No such database.
    #[error("there is no such database: create it, or name another in the URL")]
    NoDatabase,
    /// It starts, stops or recovers.
    #[error("it is starting, stopping or recovering: this passes")]
    Busy,
    /// All its connections are taken.
    #[error(
        "all its connections are taken: raise max_connections (a pooler's pool size), or stop \
         somebody who holds them"
    )]
    Full,
    /// It takes no writes.
    #[error(
        "it takes no writes: it is a standby, or was made read-only, as providers do when a \
         disk is full. Name the primary in the URL, or make room"
    )]
    ReadOnly,
    /// A pooler that lends connections for one transaction.
    #[error(
        "a transaction pooler stands in front of it: a connection is lent for one transaction, \
         and locks, LISTEN and settings are lost between two. Connect directly, or to a pooler \
         in session mode (Supabase: port 5432 instead of 6543; pgbouncer: pool_mode = session)"
    )]
    TransactionPooler,
    /// Older than what is supported.
    #[error("it is older than PostgreSQL 14: upgrade it")]
    Old,
    /// Its encoding cannot hold every text.
    #[error(
        "its encoding is not UTF8: create the database with ENCODING 'UTF8' TEMPLATE template0"
    )]
    NotUtf8,
    /// It is the database of another store, or an empty one.
    #[error(
        "it holds another store than this node began with, or none: nothing is written to it. \
         Bring the database back that was there, or start with the new one and another folder \
         for the spool"
    )]
    OtherStore,
    /// This node began without it and has not seen it yet.
    #[error("it was not seen yet since this node started")]
    Unseen,
    /// Something else, in the server's words.
    #[error("it refuses")]
    Other,
}

impl ConnectError {
    pub(super) fn new(place: String, fault: ConnectFault) -> Self {
        Self { place, fault, source: None }
    }

    pub(super) fn of_file(place: String, error: io::Error) -> Self {
        Self { place, fault: ConnectFault::Roots, source: Some(Box::new(error)) }
    }

    pub(super) fn of_driver(place: String, error: postgres::Error) -> Self {
        let fault = fault_of(&error);
        if is_unnamed(&error) {
            return Self::new(place, fault);
        }
        Self { place, fault, source: Some(Box::new(error)) }
    }

    /// The cause.
    #[must_use]
    pub fn fault(&self) -> ConnectFault {
        self.fault
    }

    /// Whether it may pass without anybody's doing: an outage, not a mistake.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        use ConnectFault::{Busy, Full, ReadOnly, Silent, Unreachable, Unseen};
        matches!(self.fault, Unreachable | Silent | Busy | Full | ReadOnly | Unseen)
    }
}

/// Whether it is one that rustls has no name for: it prints that as code.
fn is_unnamed(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(found) = next {
        if found.to_string().contains("Other(OtherError(") {
            return true;
        }
        next = found.source();
    }
    false
}

/// What an error of the driver comes to.
fn fault_of(error: &postgres::Error) -> ConnectFault {
    if let Some(said) = error.as_db_error() {
        return fault_of_server(said.code(), said.message());
    }
    let mut cause = error.source();
    while let Some(found) = cause {
        if let Some(fault) = found.downcast_ref() {
            return fault_of_wire(fault);
        }
        if let Some(found) = found.downcast_ref() {
            return fault_of_io(found);
        }
        cause = found.source();
    }
    if error.is_closed() {
        return ConnectFault::Unreachable;
    }
    // The driver's own word, which has no other sign.
    let words = error.source().map_or_else(|| error.to_string(), ToString::to_string);
    if words.contains("password missing") { ConnectFault::NoPassword } else { ConnectFault::Other }
}

fn fault_of_server(code: &SqlState, words: &str) -> ConnectFault {
    match code.code() {
        "28P01" => ConnectFault::Denied,
        "28000" => ConnectFault::NotAllowed,
        "3D000" => ConnectFault::NoDatabase,
        "57P01" | "57P02" | "57P03" => ConnectFault::Busy,
        "53300" => ConnectFault::Full,
        "25006" => ConnectFault::ReadOnly,
        // pgbouncer says everything under one code ("protocol violation").
        _ if words.contains("authentication failed") => ConnectFault::Denied,
        _ if words.contains("no such database") => ConnectFault::NoDatabase,
        _ if words.contains("database") && words.contains("does not exist") => {
            ConnectFault::NoDatabase
        }
        _ if words.contains("statement pooling") => ConnectFault::TransactionPooler,
        _ if words.contains("query_wait_timeout") || words.contains("no more connections") => {
            ConnectFault::Full
        }
        _ => ConnectFault::Other,
    }
}

fn fault_of_wire(fault: &WireFault) -> ConnectFault {
    match fault {
        WireFault::NoTls => ConnectFault::NoTls,
        WireFault::Silent => ConnectFault::Silent,
        WireFault::Tls(error) | WireFault::Broken(error) => fault_of_io(error),
    }
}

fn fault_of_io(error: &io::Error) -> ConnectFault {
    let within = error.get_ref();
    if let Some(fault) = within.and_then(|it| it.downcast_ref()) {
        return fault_of_wire(fault);
    }
    match within.and_then(|it| it.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        )) => ConnectFault::CertificateName,
        Some(rustls::Error::InvalidCertificate(_)) => ConnectFault::Certificate,
        _ => ConnectFault::Unreachable,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{CertificateError, Error, OtherError};

    use super::*;

    #[test]
    fn a_certificate_is_refused_in_words_and_not_in_code() {
        let wrapped = |error| io::Error::other(io::Error::other(Error::InvalidCertificate(error)));
        let cause = io::Error::other("CaUsedAsEndEntity");
        let unnamed = CertificateError::Other(OtherError(Arc::new(cause)));
        assert!(is_unnamed(&wrapped(unnamed)));
        assert!(!is_unnamed(&wrapped(CertificateError::Expired)));
    }
}

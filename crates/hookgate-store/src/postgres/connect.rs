//! Makes a connection that can be relied on: encrypted where it has to be, to a server that
//! takes writes, with a session that is ours for as long as the connection lasts.

use std::sync::atomic::Ordering;
use std::time::Duration;

use postgres::config::{SslMode, SslNegotiation};
use postgres::{Client, SimpleQueryMessage, SimpleQueryRow};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::fault::{ConnectError, ConnectFault};
use super::tls::{self, TlsMode};
use super::url::{PgHost, PgSettings};
use super::wire::{Encryption, Limits, WireMaker};
use crate::random;

/// Where the transaction poolers of Supabase listen.
pub(super) const PORT_OF_POOLERS: u16 = 6543;

/// The oldest server that is supported, as `server_version_num` says it.
const VERSION_MIN: u32 = 140_000;

/// An idle connection is tried after this: a machine that is gone says nothing.
const KEEPALIVE_IDLE: Duration = Duration::from_secs(5);

/// And again after this, so often.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(2);
const KEEPALIVE_RETRIES: u32 = 3;

/// For how long bytes may be on their way that nobody confirms.
const UNCONFIRMED_MAX: Duration = Duration::from_secs(10);

/// By how much a server that cancels nothing is later than one that cancels.
const CANCEL_GRACE: Duration = Duration::from_secs(3);

/// Connections that try to get at the session of the one that is tested. The first gets it
/// from a pooler that lends what was used last, the second from one that takes turns.
const PROBES: usize = 2;

/// What PostgreSQL keeps of an application's name.
const APPLICATION_BYTES_MAX: usize = 63;

/// The setting by which a session is recognised.
const MARK: &str = "hookgate.session";

impl PgSettings {
    /// A connection, ready for use: `search_path` is `hookgate`, a commit is durable when it
    /// is confirmed, and a statement that takes longer than the limit is cancelled.
    ///
    /// `application` is what the server's list of connections calls it. Blocks, on a runtime
    /// of its own: called from a thread, never from a task. By a Unix socket a server that
    /// is frozen is waited for, as the kernel gives the driver no way to do otherwise there.
    ///
    /// # Errors
    ///
    /// A [`ConnectError`], whose text says what to do. [`ConnectError::may_pass`] says
    /// whether trying again is worth it.
    pub fn connect(&self, application: &'static str) -> Result<Client, ConnectError> {
        if self.guard.is_closed() {
            return Err(ConnectError::new(self.to_string(), ConnectFault::Unseen));
        }
        self.connect_first(application)
    }

    /// The same for who looks whether the database is back.
    pub(crate) fn connect_first(&self, application: &'static str) -> Result<Client, ConnectError> {
        let mut client = self.open(application)?;
        self.check(&mut client)?;
        let failed = |error| ConnectError::of_driver(self.to_string(), error);
        client.batch_execute(&self.session()).map_err(failed)?;
        self.guard.check(&mut client, || self.to_string())?;
        Ok(client)
    }

    /// What every session has.
    fn session(&self) -> String {
        let limit = self.answer_max.as_millis();
        // A node that hangs with a lock must not stop the others: the server ends an idle
        // transaction, and notices by itself that a machine is gone.
        format!(
            "SET search_path = hookgate; SET synchronous_commit = on; SET TIME ZONE 'UTC'; \
             SET default_transaction_isolation = 'read committed'; SET row_security = on; \
             SET statement_timeout = {limit}; SET idle_in_transaction_session_timeout = {limit}; \
             SET tcp_keepalives_idle = 10; SET tcp_keepalives_interval = 5; \
             SET tcp_keepalives_count = 3"
        )
    }

    /// A connection as the server gives it.
    fn open(&self, application: &str) -> Result<Client, ConnectError> {
        let maker = WireMaker {
            encryption: self.encryption()?,
            limits: Limits {
                handshake: self.connect_timeout,
                silence: self.answer_max.saturating_add(CANCEL_GRACE.min(self.answer_max / 2)),
            },
        };
        let failed = |error| ConnectError::of_driver(self.to_string(), error);
        self.configuration(application).connect(maker).map_err(failed)
    }

    fn encryption(&self) -> Result<Encryption, ConnectError> {
        let client = || {
            let client = tls::client(self.tls, &self.roots);
            client
                .map(MakeRustlsConnect::new)
                .map_err(|error| ConnectError::of_file(self.to_string(), error))
        };
        let is_socket = self.hosts.iter().any(|it| matches!(it, PgHost::Socket(..)));
        Ok(match self.tls {
            // PostgreSQL has no TLS on a Unix socket: the kernel says who is there.
            _ if is_socket => Encryption::Off,
            TlsMode::Off => Encryption::Off,
            TlsMode::Prefer => Encryption::Offered(client()?),
            TlsMode::Require | TlsMode::Authority | TlsMode::Full => Encryption::Always(client()?),
        })
    }

    fn configuration(&self, application: &str) -> postgres::Config {
        let mut to = postgres::Config::new();
        to.connect_timeout(self.connect_timeout)
            .keepalives_idle(KEEPALIVE_IDLE)
            .keepalives_interval(KEEPALIVE_INTERVAL)
            .keepalives_retries(KEEPALIVE_RETRIES)
            .tcp_user_timeout(UNCONFIRMED_MAX)
            .channel_binding(self.binding)
            // What a server notes may hold values.
            .notice_callback(|_| ());
        // The wire asks for TLS itself, so that it also has the connections without; over a
        // Unix socket the driver leaves it out.
        to.ssl_mode(SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
        for host in &self.hosts {
            match host {
                PgHost::Tcp(name, port) => to.host(name).port(*port),
                PgHost::Socket(folder, port) => {
                    to.ssl_mode(SslMode::Disable).ssl_negotiation(SslNegotiation::Postgres);
                    to.host_path(folder).port(*port)
                }
            };
        }
        if self.hosts.len() > 1 {
            to.target_session_attrs(postgres::config::TargetSessionAttrs::ReadWrite);
        }
        if let Some(user) = &self.user {
            to.user(user);
        }
        if let Some(password) = &self.password {
            to.password(password.expose());
        }
        if let Some(database) = &self.database {
            to.dbname(database);
        }
        if let Some(options) = &self.options {
            to.options(options);
        }
        let name = match &self.application {
            Some(name) => format!("{name}: {application}"),
            None => format!("hookgate: {application}"),
        };
        let cut = name.floor_char_boundary(APPLICATION_BYTES_MAX);
        to.application_name(name.get(..cut).unwrap_or_default());
        to
    }

    /// Whether this server, and what stands before it, will do.
    ///
    /// Asks before it sets anything: in the connections that a transaction pooler lends,
    /// our settings would be somebody else's.
    fn check(&self, client: &mut Client) -> Result<(), ConnectError> {
        let place = || self.to_string();
        let failed = |error| ConnectError::of_driver(place(), error);
        let mark = mark().ok_or_else(|| ConnectError::new(place(), ConnectFault::Other))?;
        let question = format!(
            "SET {MARK} = '{mark}'; SELECT current_setting('server_version_num'), \
             current_setting('server_encoding'), current_setting('transaction_read_only')"
        );
        let answer = client.simple_query(&question).map_err(failed)?;
        let row = answer.into_iter().find_map(row);
        let text = |n: usize| row.as_ref().and_then(|it| it.get(n)).unwrap_or_default();
        let is_old = text(0).parse::<u32>().is_ok_and(|it| it < VERSION_MIN);
        let fault = if is_old {
            Some(ConnectFault::Old)
        } else if text(1) != "UTF8" {
            Some(ConnectFault::NotUtf8)
        } else if text(2) != "off" {
            Some(ConnectFault::ReadOnly)
        } else {
            None
        };
        if let Some(fault) = fault {
            return Err(ConnectError::new(place(), fault));
        }
        // Each question is a transaction of its own.
        let mut keeps = seen(client).map_err(failed)? == mark;
        if keeps && !self.has_sessions.load(Ordering::Relaxed) {
            keeps = self.keeps_session(client, &mark)?;
            self.has_sessions.store(keeps, Ordering::Relaxed);
        }
        if keeps {
            Ok(())
        } else {
            Err(ConnectError::new(place(), ConnectFault::TransactionPooler))
        }
    }

    /// Whether the session of `client` stays its own while others come and hold on.
    ///
    /// A pooler with nothing else to do lends the same connection again and again, so one
    /// client alone sees nothing. Done once for these settings.
    fn keeps_session(&self, client: &mut Client, mark: &str) -> Result<bool, ConnectError> {
        let failed = |error| ConnectError::of_driver(self.to_string(), error);
        let mut holding = Vec::with_capacity(PROBES);
        for _ in 0..PROBES {
            let mut other = self.open("probe")?;
            other.batch_execute("BEGIN").map_err(failed)?;
            let is_lent = seen(&mut other).map_err(failed)? == mark;
            holding.push(other);
            if is_lent || seen(client).map_err(failed)? != mark {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

/// The mark of the session that answers; empty if it has none.
fn seen(client: &mut Client) -> Result<String, postgres::Error> {
    let answer = client.simple_query(&format!("SELECT current_setting('{MARK}', true)"))?;
    let row = answer.into_iter().find_map(row);
    Ok(row.and_then(|it| it.get(0).map(str::to_owned)).unwrap_or_default())
}

fn row(message: SimpleQueryMessage) -> Option<SimpleQueryRow> {
    match message {
        SimpleQueryMessage::Row(row) => Some(row),
        _ => None,
    }
}

/// A mark that no other session has.
fn mark() -> Option<String> {
    let mut bytes = [0; 16];
    random::fill(&mut bytes).ok()?;
    Some(hex::encode(bytes))
}

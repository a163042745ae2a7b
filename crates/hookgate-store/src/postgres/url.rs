//! The address of a database, as a URL says it.
//!
//! Read by hand: a URL with a typing error must not put a piece of its password into the
//! place of a host or a database, which are shown.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use hookgate_core::secret::Secret;
use percent_encoding::percent_decode_str;

use super::guard::Guard;
use super::owner;
use super::tls::{Roots, TlsMode};

/// How a URL of PostgreSQL begins.
const SCHEMES: [&str; 2] = ["postgres://", "postgresql://"];

/// Where PostgreSQL listens if nobody says otherwise.
const PORT: u16 = 5432;

/// Where Debian's PostgreSQL has its Unix socket.
const SOCKET_FOLDER: &str = "/var/run/postgresql";

/// A longer URL is not one that somebody wrote.
const URL_BYTES_MAX: usize = 4096;

/// More servers than one database has that fails over.
const HOSTS_MAX: usize = 8;

/// For how long a connection is tried that says nothing else. A node spools meanwhile.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The longest `connect_timeout`: who waits longer waits for nothing.
const CONNECT_TIMEOUT_MAX: Duration = Duration::from_mins(5);

/// For how long a statement may run that says nothing else.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// Parameters that others understand. Only these are named in an error: behind an `&`
/// that was not encoded, anything else may be the rest of a password.
const KNOWN_ELSEWHERE: [&str; 22] = [
    "hostaddr",
    "passfile",
    "service",
    "servicefile",
    "client_encoding",
    "fallback_application_name",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_count",
    "tcp_user_timeout",
    "gssencmode",
    "sslcert",
    "sslkey",
    "sslpassword",
    "sslcrl",
    "sslnegotiation",
    "load_balance_hosts",
    "require_auth",
    "pgbouncer",
    "connection_limit",
    "schema",
];

/// The parameters that are understood.
const PARAMETERS: &str = "application_name, channel_binding, connect_timeout, dbname, host, \
    options, password, port, sslmode, sslrootcert, target_session_attrs and user";

/// Where a database is, who asks, and how carefully.
///
/// Shown (`Display`, `Debug`) it is host, port and database: never the user's password, and
/// nothing else that the URL may hold.
#[derive(Clone)]
pub struct PgSettings {
    pub(super) hosts: Vec<PgHost>,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    pub(super) database: Option<String>,
    pub(super) options: Option<String>,
    pub(super) application: Option<String>,
    pub(super) tls: TlsMode,
    pub(super) roots: Roots,
    pub(super) binding: postgres::config::ChannelBinding,
    pub(super) connect_timeout: Duration,
    pub(super) answer_max: Duration,
    /// Whether it was proven that a connection keeps its session.
    pub(super) has_sessions: Arc<AtomicBool>,
    /// Where connections may lead.
    pub(crate) guard: Arc<Guard>,
    /// The folder of what belongs to this node alone: tokens, caches, the spool.
    pub node_folder: PathBuf,
    /// Where events wait while the database is away; nowhere if there is no disk to trust.
    pub spool: Option<PathBuf>,
}

/// One server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum PgHost {
    /// By TCP: name or address, and port.
    Tcp(String, u16),
    /// By the Unix socket in this folder, and the number in its name.
    Socket(PathBuf, u16),
}

/// Why a text is no address of a database. Says what to write instead, and repeats nothing
/// that may belong to a password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PgUrlError {
    /// Another beginning, or too long.
    #[error("it does not begin with postgres:// or postgresql://, or is over 4 KiB long")]
    Scheme,
    /// A character of user or password that means something in a URL.
    #[error(
        "it has an @, #, % or blank where none can stand: in user and password write @ as %40, \
         # as %23, / as %2F, ? as %3F, : as %3A and % as %25"
    )]
    Encoding,
    /// What a provider's page shows in place of the password.
    #[error("its password is still a placeholder: put the database's password there")]
    Placeholder,
    /// No usable host or port.
    #[error(
        "host or port cannot be read: write postgres://USER:PASSWORD@HOST:5432/DATABASE, with \
         / in a password written as %2F"
    )]
    Host,
    /// A parameter that is not understood.
    #[error(
        "its parameter{0} is not understood: there are {PARAMETERS}. In a password write & as %26"
    )]
    Parameter(String),
    /// A parameter with a value that it cannot have.
    #[error("its parameter {0} must be {1}")]
    Value(&'static str, &'static str),
    /// A user of Supabase's pooler without its project.
    #[error(
        "at Supabase's pooler the user is postgres.PROJECT, with the project's reference from \
         the dashboard behind the point"
    )]
    PoolerUser,
    /// The port of a pooler that lends connections for one transaction each.
    #[error(
        "port 6543 is the transaction pooler, in which a connection is lent for one \
         transaction: locks, LISTEN and settings are lost between two. Take the session \
         pooler: the same host with port 5432"
    )]
    TransactionPooler,
}

/// Whether a text means a database rather than a folder.
#[must_use]
pub fn is_url(text: &str) -> bool {
    SCHEMES.iter().any(|it| text.get(..it.len()).is_some_and(|head| head.eq_ignore_ascii_case(it)))
}

impl PgSettings {
    /// From now on connections lead to the store alone whose events the spool has, if that is
    /// known: another one is [`super::ConnectFault::OtherStore`].
    pub fn expect_owner_of_spool(&self) {
        if let Some(store) = self.spool.as_deref().and_then(owner::of) {
            self.guard.expect(store);
        }
    }

    /// Reads a URL as libpq does, with the parameters that mean something here.
    ///
    /// # Errors
    ///
    /// A [`PgUrlError`]; its text can be shown.
    pub fn parse(url: &str) -> Result<Self, PgUrlError> {
        let url = url.trim();
        if !is_url(url) || url.len() > URL_BYTES_MAX {
            return Err(PgUrlError::Scheme);
        }
        let (_, rest) = url.split_once("://").ok_or(PgUrlError::Scheme)?;
        if rest.contains(['#', ' ', '\t', '\n', '\r']) {
            return Err(PgUrlError::Encoding);
        }
        let (rest, query) = rest.split_once('?').map_or((rest, ""), |(rest, query)| (rest, query));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (login, hosts) = match authority.split_once('@') {
            Some((login, hosts)) => (login, hosts),
            None => ("", authority),
        };
        // A password with such a character would end up in what is shown.
        if hosts.contains('@') || path.contains('@') || query.contains('@') {
            return Err(PgUrlError::Encoding);
        }
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        let mut parts = Parts {
            user: present(decode(user)?),
            password: password.map(decode).transpose()?.and_then(present),
            database: present(decode(path)?),
            hosts: hosts.to_owned(),
            ..Parts::default()
        };
        for pair in query.split('&').filter(|it| !it.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            parts.take(name, &decode(value)?)?;
        }
        parts.check()
    }

    /// The same with a password, where the URL has none.
    #[must_use]
    pub fn or_password(mut self, password: &str) -> Self {
        if self.password.is_none() {
            self.password = present(password.to_owned()).map(Secret::new);
        }
        self
    }

    /// The same for a node that keeps its own files there.
    #[must_use]
    pub fn in_folder(mut self, folder: PathBuf, spool: Option<PathBuf>) -> Self {
        self.node_folder = folder;
        self.spool = spool;
        self
    }

    /// The same with another limit for one statement: the server cancels it then, and a
    /// server that does not even do that counts as gone a little later.
    #[must_use]
    pub fn answering_within(mut self, limit: Duration) -> Self {
        self.answer_max = limit;
        self
    }

    /// What somebody between here and a server elsewhere could do, if the URL allows it.
    #[must_use]
    pub fn weakness(&self) -> Option<&'static str> {
        if self.is_local() {
            return None;
        }
        match self.tls {
            TlsMode::Off => Some("events and password cross the network unencrypted"),
            TlsMode::Prefer => Some("whoever answers in its place may turn encryption off"),
            TlsMode::Require => Some("whoever answers in its place is believed"),
            TlsMode::Authority => Some("any host of the same authority is believed in its place"),
            TlsMode::Full => None,
        }
    }

    /// Whether every server is on this machine, where nobody listens in.
    pub(super) fn is_local(&self) -> bool {
        self.hosts.iter().all(PgHost::is_local)
    }
}

impl PgHost {
    fn is_local(&self) -> bool {
        match self {
            Self::Socket(..) => true,
            Self::Tcp(name, _) => {
                name.eq_ignore_ascii_case("localhost")
                    || name.parse::<IpAddr>().is_ok_and(|it| it.is_loopback())
            }
        }
    }

    /// Supabase's shared poolers and, on the same port, the pooler of a single project.
    fn is_transaction_pooler(&self) -> bool {
        let Self::Tcp(name, port) = self else { return false };
        let name = name.trim_end_matches('.').to_ascii_lowercase();
        let is_supabase = name.ends_with(".supabase.com") || name.ends_with(".supabase.co");
        *port == super::PORT_OF_POOLERS && is_supabase
    }

    /// Supabase's poolers that many projects share.
    fn is_supabase_pooler(&self) -> bool {
        let Self::Tcp(name, _) = self else { return false };
        name.trim_end_matches('.').to_ascii_lowercase().ends_with(".pooler.supabase.com")
    }
}

impl fmt::Display for PgHost {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(name, port) if name.contains(':') => write!(out, "[{name}]:{port}"),
            Self::Tcp(name, port) => write!(out, "{name}:{port}"),
            Self::Socket(folder, port) => write!(out, "{}/.s.PGSQL.{port}", folder.display()),
        }
    }
}

impl fmt::Display for PgSettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let hosts: Vec<String> = self.hosts.iter().map(PgHost::to_string).collect();
        write!(out, "PostgreSQL at {}", hosts.join(","))?;
        match self.database.as_ref().or(self.user.as_ref()) {
            Some(database) => write!(out, ", database {database:?}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for PgSettings {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "PgSettings({self})")
    }
}

/// What was read, before it is checked as a whole. Holds a password, so it is not shown.
#[derive(Default)]
struct Parts {
    hosts: String,
    port: Option<String>,
    host: Option<String>,
    user: Option<String>,
    password: Option<String>,
    database: Option<String>,
    options: Option<String>,
    application: Option<String>,
    tls: Option<TlsMode>,
    roots: Option<Roots>,
    binding: Option<postgres::config::ChannelBinding>,
    connect_timeout: Option<Duration>,
}

impl Parts {
    fn take(&mut self, name: &str, value: &str) -> Result<(), PgUrlError> {
        let text = || present(value.to_owned());
        match name {
            "user" => self.user = text(),
            "password" => self.password = text(),
            "dbname" => self.database = text(),
            "host" => self.host = text(),
            "port" => self.port = text(),
            "options" => self.options = text(),
            "application_name" => self.application = text(),
            "sslmode" => self.tls = Some(TlsMode::read(value)?),
            "sslrootcert" => self.roots = Some(Roots::read(value)?),
            "channel_binding" => self.binding = Some(binding(value)?),
            "connect_timeout" => self.connect_timeout = Some(timeout(value)?),
            // A node writes; a server that takes no writes is refused in any case.
            "target_session_attrs" if matches!(value, "any" | "read-write" | "primary") => {}
            "target_session_attrs" => {
                return Err(PgUrlError::Value("target_session_attrs", "read-write"));
            }
            // Written by Supabase and others into the URLs of their transaction poolers.
            "pgbouncer" if value == "true" => return Err(PgUrlError::TransactionPooler),
            _ => {
                let name = KNOWN_ELSEWHERE.into_iter().find(|it| *it == name);
                return Err(PgUrlError::Parameter(
                    name.map_or_else(String::new, |it| format!(" {it}")),
                ));
            }
        }
        Ok(())
    }

    fn check(self) -> Result<PgSettings, PgUrlError> {
        let written = [&self.user, &self.password, &self.database];
        let is_placeholder =
            |it: &String| (it.starts_with('[') && it.ends_with(']')) || it == "YOUR-PASSWORD";
        if written.into_iter().flatten().any(is_placeholder) {
            return Err(PgUrlError::Placeholder);
        }
        let hosts = hosts(&self.hosts, self.host.as_deref(), self.port.as_deref())?;
        if hosts.iter().any(PgHost::is_transaction_pooler) {
            return Err(PgUrlError::TransactionPooler);
        }
        let is_pooler = hosts.iter().any(PgHost::is_supabase_pooler);
        let names_project = self.user.as_ref().is_some_and(|it| it.contains('.'));
        if is_pooler && !names_project && self.options.is_none() {
            return Err(PgUrlError::PoolerUser);
        }
        let mut settings = PgSettings {
            hosts,
            user: self.user,
            password: self.password.map(Secret::new),
            database: self.database,
            options: self.options,
            application: self.application,
            tls: TlsMode::Full,
            roots: Roots::System,
            binding: self.binding.unwrap_or(postgres::config::ChannelBinding::Prefer),
            connect_timeout: self.connect_timeout.unwrap_or(CONNECT_TIMEOUT),
            answer_max: ANSWER_MAX,
            has_sessions: Arc::default(),
            guard: Arc::default(),
            node_folder: PathBuf::from("hookgate.data"),
            spool: None,
        };
        // Who names a root wants a certificate checked, also on loopback.
        let default = if self.roots.is_none() && settings.is_local() {
            TlsMode::Prefer
        } else {
            TlsMode::Full
        };
        let asked = self.tls.unwrap_or(default);
        // libpq's meaning: with a root certificate, `require` checks the chain.
        settings.tls = match asked {
            TlsMode::Require if self.roots.is_some() => TlsMode::Authority,
            mode => mode,
        };
        settings.roots = self.roots.unwrap_or(Roots::System);
        Ok(settings)
    }
}

/// The servers: those before the path, else those of the parameter, else Debian's socket.
fn hosts(
    authority: &str,
    host: Option<&str>,
    ports: Option<&str>,
) -> Result<Vec<PgHost>, PgUrlError> {
    let ports: Vec<u16> = match ports {
        Some(ports) => ports.split(',').map(port).collect::<Result<_, _>>()?,
        None => Vec::new(),
    };
    let mut found = Vec::new();
    for (index, text) in authority.split(',').enumerate() {
        let (name, number) = match text.strip_prefix('[') {
            Some(rest) => {
                let (name, rest) = rest.split_once(']').ok_or(PgUrlError::Host)?;
                if name.parse::<IpAddr>().is_err() {
                    return Err(PgUrlError::Host);
                }
                match rest {
                    "" => (name, None),
                    rest => (name, Some(rest.strip_prefix(':').ok_or(PgUrlError::Host)?)),
                }
            }
            None => match text.split_once(':') {
                Some((name, number)) => (name, Some(number)),
                None => (text, None),
            },
        };
        let number = match number {
            Some(number) if !number.is_empty() => port(number)?,
            _ => ports.get(index).or(ports.first()).copied().unwrap_or(PORT),
        };
        found.push((decode(name)?, number));
    }
    if let Some(host) = host {
        let number = |index: usize| {
            let written = found.get(index).or(found.first()).map(|it| it.1);
            ports.get(index).or(ports.first()).copied().or(written).unwrap_or(PORT)
        };
        found = host
            .split(',')
            .enumerate()
            .map(|(index, name)| (name.to_owned(), number(index)))
            .collect();
    }
    let found: Vec<PgHost> =
        found.into_iter().map(|(name, port)| server(&name, port)).collect::<Result<_, _>>()?;
    let sockets = found.iter().filter(|it| matches!(it, PgHost::Socket(..))).count();
    if found.len() > HOSTS_MAX || (sockets > 0 && found.len() > 1) {
        return Err(PgUrlError::Host);
    }
    Ok(found)
}

fn server(name: &str, port: u16) -> Result<PgHost, PgUrlError> {
    if name.is_empty() {
        return Ok(PgHost::Socket(PathBuf::from(SOCKET_FOLDER), port));
    }
    if name.starts_with('/') {
        return Ok(PgHost::Socket(PathBuf::from(name), port));
    }
    let is_name = |it: u8| it.is_ascii_alphanumeric() || matches!(it, b'.' | b'-' | b'_');
    let is_host = name.bytes().all(is_name) || name.parse::<IpAddr>().is_ok();
    if is_host { Ok(PgHost::Tcp(name.to_owned(), port)) } else { Err(PgUrlError::Host) }
}

fn port(text: &str) -> Result<u16, PgUrlError> {
    text.parse().ok().filter(|it| *it != 0).ok_or(PgUrlError::Host)
}

fn timeout(text: &str) -> Result<Duration, PgUrlError> {
    let found = text.parse().map(Duration::from_secs).ok();
    found
        .filter(|it| !it.is_zero() && *it <= CONNECT_TIMEOUT_MAX)
        .ok_or(PgUrlError::Value("connect_timeout", "a number of seconds from 1 to 300"))
}

fn binding(text: &str) -> Result<postgres::config::ChannelBinding, PgUrlError> {
    use postgres::config::ChannelBinding;
    match text {
        "disable" => Ok(ChannelBinding::Disable),
        "prefer" => Ok(ChannelBinding::Prefer),
        "require" => Ok(ChannelBinding::Require),
        _ => Err(PgUrlError::Value("channel_binding", "disable, prefer or require")),
    }
}

fn decode(text: &str) -> Result<String, PgUrlError> {
    // A `%` that begins nothing would be taken as it stands.
    let is_digits =
        |it: &str| it.as_bytes().get(..2).is_some_and(|it| it.iter().all(u8::is_ascii_hexdigit));
    if !text.split('%').skip(1).all(is_digits) {
        return Err(PgUrlError::Encoding);
    }
    let text = percent_decode_str(text).decode_utf8().map_err(|_| PgUrlError::Encoding)?;
    if text.contains('\0') {
        return Err(PgUrlError::Encoding);
    }
    Ok(text.into_owned())
}

fn present(text: String) -> Option<String> {
    Some(text).filter(|it| !it.is_empty())
}

//! Configuration: flags over variables over `hookgate.toml` over defaults, read once.
//!
//! [`RawConfig`] is what was written, [`Config`] is what holds. Everything after this
//! takes a `Config`, so nothing else asks a variable or a file.

mod alerts;
mod delivery;
mod limits;
mod ownership;
mod raw;
mod recordings;
mod source;
mod store;
#[cfg(test)]
mod tests;
mod tools;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;

use anyhow::Context as _;
use hookgate_core::address::Policy;
use hookgate_core::provider;
use hookgate_dispatch::{AlertRules, Archiving};
use hookgate_ingress::Limits;
use hookgate_secrets::SecretsSettings;
use hookgate_store::Quota;
use ipnet::IpNet;

use self::delivery::DeliveryConfig;
pub(crate) use self::raw::RawConfig;
use self::raw::{RawEgress, RawLog, RawServer, RawSource, RawTls};
pub(crate) use self::source::{SourceConfig, made, provider_names, resolve, verification_variable};
pub(crate) use self::store::{
    Place, StoreConfig, StoreText, node_folder, only_folders, place, text,
};
use self::tools::ToolsConfig;
use crate::environment::Environment;
use crate::exit::Usage;
use crate::logging;

/// Where the gateway listens if nobody says otherwise.
const LISTEN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// The store's folder if nobody says otherwise.
const STORE: &str = "hookgate.data";

/// Which log lines are written if nobody says otherwise.
const LOG_LEVEL: &str = "info";

/// More threads than any machine has processors for.
const WORKERS_MAX: usize = 1024;

/// The flags that are settings.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    /// `--listen`
    pub(crate) listen: Option<String>,
    /// `--store`
    pub(crate) store: Option<StoreText>,
    /// `--config`
    pub(crate) config: Option<PathBuf>,
    /// `--dev`
    pub(crate) mode: Mode,
    /// `--log-format`
    pub(crate) log_format: Option<LogFormat>,
}

/// For whom the gateway runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Mode {
    /// For the world.
    #[default]
    Production,
    /// For a developer's own machine: on loopback alone.
    Development,
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Human,
    /// One JSON object a line.
    Json,
}

/// What holds.
pub(crate) struct Config {
    /// The file that was read.
    pub(crate) file: Option<PathBuf>,
    /// The public listener.
    pub(crate) listen: SocketAddr,
    /// The API's own listener.
    pub(crate) admin_listen: Option<SocketAddr>,
    /// What providers call, without a trailing slash.
    pub(crate) public_url: Option<String>,
    /// Networks whose forwarding headers are believed.
    pub(crate) trusted_proxies: Vec<IpNet>,
    /// Whether a trusted proxy must have received the request by HTTPS.
    pub(crate) require_https: bool,
    /// Threads that serve requests; as many as processors if not given.
    pub(crate) workers: Option<usize>,
    /// The store.
    pub(crate) store: StoreConfig,
    /// Limits of the front door.
    pub(crate) limits: Limits,
    /// What a tenant may have that has no quota of its own.
    pub(crate) quota: Quota,
    /// Certificate and key.
    pub(crate) tls: Option<TlsFiles>,
    /// How log lines are written.
    pub(crate) log_format: LogFormat,
    /// Which log lines are written.
    pub(crate) log_level: String,
    /// All sources.
    pub(crate) sources: Vec<SourceConfig>,
    /// The operator's token, where a variable gives one.
    pub(crate) admin_token: Option<String>,
    /// Where tenants' credentials are.
    pub(crate) secrets: SecretsSettings,
    /// What tenants may make the gateway reach.
    pub(crate) egress: Policy,
    /// What tool calls go by.
    pub(crate) tools: ToolsConfig,
    /// What deliveries go by.
    pub(crate) delivery: DeliveryConfig,
    /// Which recordings are kept.
    pub(crate) archiving: Archiving,
    /// When the operator is told what; nothing: never.
    pub(crate) alerts: Option<AlertRules>,
    /// The master keys, where a variable gives them.
    pub(crate) master_keys: Option<String>,
}

/// PEM files.
pub(crate) struct TlsFiles {
    /// The certificate chain.
    pub(crate) certificate: PathBuf,
    /// The private key.
    pub(crate) key: PathBuf,
}

pub(crate) fn usage(text: String) -> anyhow::Error {
    Usage::new(text).into()
}

impl Config {
    /// Reads the file and the variables, and checks all of it.
    pub(crate) fn resolve(flags: &Flags, environment: &Environment) -> anyhow::Result<Self> {
        let (raw, file) = RawConfig::read(flags.config.as_deref())?;
        Self::check(raw, file, flags, environment)
    }

    fn check(
        raw: RawConfig,
        file: Option<PathBuf>,
        flags: &Flags,
        environment: &Environment,
    ) -> anyhow::Result<Self> {
        let listen = listen(flags, environment, &raw.server)?;
        let store = StoreConfig::check(&raw.store, text(flags.store.as_ref()), environment)?;
        let archiving = recordings::check(&raw.recordings, &raw.source)?;
        let config = Self {
            file,
            listen,
            admin_listen: raw.server.admin_listen.as_deref().map(admin_address).transpose()?,
            public_url: public_url(environment, &raw.server)?,
            trusted_proxies: networks(&raw.server.trusted_proxies)
                .context("[server] trusted_proxies")?,
            require_https: raw.server.require_https.unwrap_or(false),
            workers: workers(&raw.server)?,
            alerts: alerts::check(&raw.alerts, &store.options)?,
            store,
            limits: limits::check(&raw.limits)?,
            quota: limits::quota(&raw.limits)?,
            tls: tls(raw.tls)?,
            log_format: log_format(flags, &raw.log)?,
            log_level: log_level(environment, &raw.log)?,
            sources: sources(&raw.source, environment)?,
            admin_token: environment.value("HOOKGATE_ADMIN_TOKEN")?,
            egress: egress(&raw.egress, environment)?,
            tools: ToolsConfig::check(raw.tools, environment)?,
            delivery: DeliveryConfig::check(&raw.delivery)?,
            archiving,
            secrets: raw.secrets,
            master_keys: environment.value("HOOKGATE_MASTER_KEY")?,
        };
        check_mode(config.listen, flags.mode)?;
        Ok(config)
    }

    /// The scheme and host that providers call: configured, or the listener's own.
    pub(crate) fn base_url(&self, listen: SocketAddr) -> String {
        self.public_url.clone().unwrap_or_else(|| local_url(listen, self.tls.is_some()))
    }

    /// Sources with a published secret.
    pub(crate) fn placeholders(&self) -> impl Iterator<Item = &SourceConfig> {
        self.sources.iter().filter(|it| it.is_placeholder)
    }
}

/// A developer's gateway has made-up secrets and is nobody else's business.
pub(crate) fn check_mode(listen: SocketAddr, mode: Mode) -> anyhow::Result<()> {
    if mode == Mode::Development && !listen.ip().is_loopback() {
        return Err(usage(format!(
            "--dev listens on loopback alone, not on {listen}: leave --dev out, or listen on 127.0.0.1"
        )));
    }
    Ok(())
}

/// The URL under which this machine reaches a listener.
pub(crate) fn local_url(listen: SocketAddr, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    let host = match listen.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    format!("{scheme}://{}", SocketAddr::new(host, listen.port()))
}

/// The address of the public listener.
pub(crate) fn listen(
    flags: &Flags,
    environment: &Environment,
    raw: &RawServer,
) -> anyhow::Result<SocketAddr> {
    if let Some(text) = &flags.listen {
        return address(text).map_err(|fault| usage(format!("--listen {text}: {fault}")));
    }
    if let Some(text) = environment.value("HOOKGATE_LISTEN")? {
        return address(&text).map_err(|fault| usage(format!("HOOKGATE_LISTEN={text}: {fault}")));
    }
    // Platforms that run containers (Cloud Run, Render, Heroku) say the port so, and reach
    // it from outside of the container.
    if let Some(text) = environment.value("PORT")? {
        let port = text.parse().map_err(|_| usage(format!("PORT={text} is not a port")))?;
        let host = match flags.mode {
            Mode::Production => Ipv4Addr::UNSPECIFIED,
            Mode::Development => Ipv4Addr::LOCALHOST,
        };
        return Ok(SocketAddr::new(IpAddr::V4(host), port));
    }
    match &raw.listen {
        Some(text) => {
            address(text).map_err(|fault| usage(format!("[server] listen = \"{text}\": {fault}")))
        }
        None => Ok(LISTEN),
    }
}

fn address(text: &str) -> Result<SocketAddr, &'static str> {
    let text = text.trim();
    let numbers = text.strip_prefix("localhost:").map(|port| format!("127.0.0.1:{port}"));
    let text = numbers.as_deref().unwrap_or(text);
    text.parse().map_err(|_| "write an address and a port, as in 127.0.0.1:8080 or 0.0.0.0:8080")
}

fn admin_address(text: &str) -> anyhow::Result<SocketAddr> {
    address(text).map_err(|fault| usage(format!("[server] admin_listen = \"{text}\": {fault}")))
}

/// The scheme and host that providers call, where they are configured.
pub(crate) fn configured_url(environment: &Environment) -> anyhow::Result<Option<String>> {
    let (raw, _) = RawConfig::read(None)?;
    public_url(environment, &raw.server)
}

fn public_url(environment: &Environment, raw: &RawServer) -> anyhow::Result<Option<String>> {
    let (text, at) = match environment.value("HOOKGATE_PUBLIC_URL")? {
        Some(text) => (text, "HOOKGATE_PUBLIC_URL"),
        None => match &raw.public_url {
            Some(text) => (text.clone(), "[server] public_url"),
            None => return Ok(None),
        },
    };
    let wrong =
        || usage(format!("{at} must be a scheme and a host, as in https://hooks.example.com"));
    let url = reqwest::Url::parse(&text).map_err(|_| wrong())?;
    let is_base = matches!(url.scheme(), "http" | "https")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none()
        && url.path() == "/";
    if !is_base {
        return Err(wrong());
    }
    Ok(Some(text.trim_end_matches('/').to_owned()))
}

fn workers(raw: &RawServer) -> anyhow::Result<Option<usize>> {
    match raw.workers {
        Some(workers) if !(1..=WORKERS_MAX).contains(&workers) => {
            Err(usage(format!("[server] workers must be 1 to {WORKERS_MAX}")))
        }
        workers => Ok(workers),
    }
}

fn tls(raw: RawTls) -> anyhow::Result<Option<TlsFiles>> {
    match (raw.certificate, raw.key) {
        (Some(certificate), Some(key)) => Ok(Some(TlsFiles { certificate, key })),
        (None, None) => Ok(None),
        _ => Err(usage("[tls] needs both `certificate` and `key`".to_owned())),
    }
}

fn log_format(flags: &Flags, raw: &RawLog) -> anyhow::Result<LogFormat> {
    match (flags.log_format, raw.format.as_deref()) {
        (Some(format), _) => Ok(format),
        (None, None | Some("human")) => Ok(LogFormat::Human),
        (None, Some("json")) => Ok(LogFormat::Json),
        (None, Some(_)) => Err(usage("[log] format must be `human` or `json`".to_owned())),
    }
}

fn log_level(environment: &Environment, raw: &RawLog) -> anyhow::Result<String> {
    let (level, at) = match environment.value("RUST_LOG")? {
        Some(level) => (level, "RUST_LOG"),
        None => (raw.level.clone().unwrap_or_else(|| LOG_LEVEL.to_owned()), "[log] level"),
    };
    logging::filter(&level).map_err(|fault| usage(format!("{at} = \"{level}\": {fault}")))?;
    Ok(level)
}

fn networks(texts: &[String]) -> anyhow::Result<Vec<IpNet>> {
    let one = |text: &String| {
        let network = text.parse::<IpNet>();
        let network = network.or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
        network.map_err(|_| {
            usage(format!("\"{text}\" is not a network: write it as 10.0.0.0/8 or 2001:db8::/32"))
        })
    };
    texts.iter().map(one).collect()
}

/// The addresses that tenants may make the gateway reach: `HOOKGATE_EGRESS_ALLOW` over the
/// file.
fn egress(raw: &RawEgress, environment: &Environment) -> anyhow::Result<Policy> {
    let (texts, at) = match environment.value("HOOKGATE_EGRESS_ALLOW")? {
        Some(text) => {
            let texts = text.split([',', ' ']).filter(|it| !it.is_empty());
            (texts.map(str::to_owned).collect(), "HOOKGATE_EGRESS_ALLOW")
        }
        None => (raw.allow.clone(), "[egress] allow"),
    };
    networks(&texts).map(Policy::new).context(at)
}

/// The built-in sources first, then the configured ones by name.
fn sources(
    raw: &BTreeMap<String, RawSource>,
    environment: &Environment,
) -> anyhow::Result<Vec<SourceConfig>> {
    let plain = RawSource::default();
    let built_in = provider::ALL.map(|it| (it.name, raw.get(it.name).unwrap_or(&plain)));
    let others = raw.iter().filter(|(name, _)| provider::named(name).is_none());
    let others = others.map(|(name, raw)| (name.as_str(), raw));
    let all = built_in.into_iter().chain(others);
    all.map(|(name, raw)| SourceConfig::check(name, raw, environment)).collect()
}

//! `hookgate serve`: the gateway. [`run`] is its life from top to bottom.

use std::collections::HashMap;
use std::io::{ErrorKind, IsTerminal as _};
use std::net::SocketAddr;
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Waker;
use std::time::Duration;

use anyhow::Context as _;
use hookgate_console::{Caller, Console, SourceSettings};
use hookgate_core::secret::Secret;
use hookgate_core::source::{CurrentSources, Source};
use hookgate_dispatch::{
    DeliveryMetrics, DispatchSettings, Dispatcher, STOP_WAIT, SourceCounts, Watcher,
};
use hookgate_egress::Egress;
use hookgate_ingress::{
    BoxBody, Drained, Fallback, Gate, GateSettings, Inspection, Inspector, Metrics, Peer, Tls,
    render, serve, serve_fallback,
};
use hookgate_secrets::Secrets;
use hookgate_store::{Store, Wake};
use hookgate_tools::{Broker, BrokerSettings, ToolMetrics};
use http::{Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use prometheus_client::registry::Registry;
use tokio::net::TcpListener;
use tokio::runtime::{Handle, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tower_service::Service as _;

use super::init;
use super::limits;
use crate::background;
use crate::banner::{self, Entry, Facts};
use crate::cli;
use crate::client::{self, TOKEN_FILE};
use crate::config::{self, Config, Flags, LogFormat, Mode, Place, RawConfig};
use crate::environment::{self, Environment};
use crate::exit::{FAILED, Outcome, Usage};
use crate::live::{Configured, Live};
use crate::{dotenv, input, logging, master, output, random, surroundings};

/// How long tasks that are left after the store is closed may take to end: none should be.
const RUNTIME_END: Duration = Duration::from_secs(1);

/// How long a stopping gateway waits for tool calls whose callers were answered already.
const JOBS_END: Duration = Duration::from_secs(5);

/// The paths of the console that stay public when it has a listener of its own.
const PROBES: [&str; 2] = ["/healthz", "/readyz"];

/// Runs the gateway until it is told to stop.
pub(crate) fn run(flags: &cli::Serve, environment: Environment) -> anyhow::Result<Outcome> {
    let mode = if flags.dev { Mode::Development } else { Mode::Production };
    let inspect = flags.inspect;
    let flags = Flags {
        listen: flags.listen.clone(),
        store: flags.store.clone(),
        config: flags.config.clone(),
        mode,
        log_format: flags.log_format,
    };
    let environment = match mode {
        Mode::Production => environment,
        Mode::Development => with_secrets(&flags, environment)?,
    };
    let config = Config::resolve(&flags, &environment)?;
    refuse_published_secrets(&config)?;
    let tls =
        config.tls.as_ref().map(|it| Tls::from_files(&it.certificate, &it.key)).transpose()?;
    let looked_for = client::base_url(&environment)?;
    logging::start(&config)?;
    limits::raise_open_files();
    limits::keep_panics_quiet();

    let runtime = runtime(config.workers)?;
    let store = open_store(&config, runtime.handle().clone())?;
    let environment = Arc::new(environment);
    let background = background::start()?;
    let house = House {
        config,
        mode,
        inspect,
        tls,
        looked_for,
        environment,
        store: store.clone(),
        background: background.handle().clone(),
    };
    let served = runtime.block_on(house.serve());
    background.shutdown_timeout(RUNTIME_END);
    store.close();
    runtime.shutdown_timeout(RUNTIME_END);

    let drained = served?;
    tracing::info!(complete = drained.complete, "stopped");
    // Whoever stops a node for good has to know.
    let left = store.spool().map_or(0, |it| it.entries);
    Ok(if left == 0 { Outcome::Done } else { Outcome::Refused })
}

/// What the gateway is made of.
struct House {
    config: Config,
    mode: Mode,
    inspect: bool,
    tls: Option<Tls>,
    looked_for: String,
    environment: Arc<Environment>,
    store: Store,
    background: Handle,
}

impl House {
    /// Opens what is sealed, or says what is missing.
    async fn secrets(&self, egress: Egress) -> anyhow::Result<Secrets> {
        let (config, store) = (&self.config, &self.store);
        let given = config.master_keys.as_deref();
        let keys = master::find_or_make(given, &config.store.path, store).await?;
        let secrets = Secrets::open(store.registry().clone(), keys).await?;
        let backend = surroundings::backend(&config.secrets, egress, &self.environment)?;
        Ok(secrets.with_backend(backend))
    }

    /// Who answers tool calls.
    fn broker(&self, secrets: &Arc<Secrets>, egress: Egress, registry: &mut Registry) -> Broker {
        let tools = &self.config.tools;
        Broker::new(BrokerSettings {
            store: self.store.clone(),
            secrets: Arc::clone(secrets),
            egress,
            square_url: tools.square_url.clone(),
            defaults: tools.defaults.clone(),
            patience: tools.patience,
            metrics: ToolMetrics::new(registry),
            clock: input::now,
        })
    }

    /// Who passes events on.
    fn dispatcher(
        &self,
        secrets: &Arc<Secrets>,
        egress: Egress,
        registry: &mut Registry,
    ) -> Dispatcher {
        Dispatcher::new(DispatchSettings {
            store: self.store.clone(),
            secrets: Arc::clone(secrets),
            egress,
            schedule: self.config.delivery.schedule.clone().into(),
            archiving: self.config.archiving.clone(),
            metrics: DeliveryMetrics::new(registry),
            clock: Arc::new(input::now),
            chance: random::chance,
            public_url: self.config.public_url.clone(),
            in_flight_max: self.config.delivery.in_flight,
            stop_wait: STOP_WAIT,
        })
    }

    /// Who looks after all of it, unless nobody is to be told.
    fn watcher(
        &self,
        current: &Arc<CurrentSources>,
        metrics: &Metrics,
        registry: &mut Registry,
    ) -> Option<Watcher> {
        let rules = self.config.alerts?;
        let (current, metrics) = (Arc::clone(current), metrics.clone());
        let counts = move || {
            let of = |source: &Arc<Source>| {
                let tally = metrics.tally(&source.name);
                SourceCounts {
                    name: source.name.clone(),
                    provider: source.provider.name,
                    refused: tally.refused,
                    successes: tally.successes,
                    failures_in_row: tally.failures_in_row,
                }
            };
            current.get().iter().map(of).collect()
        };
        let clock = Arc::new(input::now);
        Some(Watcher::new(self.store.clone(), rules, Arc::new(counts), clock, registry))
    }

    async fn serve(mut self) -> anyhow::Result<Drained> {
        let configured = std::mem::take(&mut self.config.sources);
        let entries: Vec<Entry> = configured.iter().map(Entry::of).collect();
        // What cannot hold is said before anything is written or opened.
        let configured = Configured::new(configured)?;
        let egress = surroundings::egress(&self.config.egress)?;
        let secrets = Arc::new(self.secrets(egress.clone()).await?);
        let token = Token::find(&self.config)?;
        let listener = bind(self.config.listen, "--listen").await?;
        let listen = listener.local_addr().context("cannot tell where we listen")?;
        let admin = match self.config.admin_listen {
            Some(address) => Some(bind(address, "[server] admin_listen").await?),
            None => None,
        };
        let stop = Signals::new()?.watch();

        let facts = Facts {
            config: &self.config,
            listen,
            admin: admin.as_ref().and_then(|it| it.local_addr().ok()),
            token: &token.place,
            mode: self.mode,
            looked_for: &self.looked_for,
        };
        banner::print(&facts, &entries)?;
        token.show()?;

        let allow_from = configured.allow_from().clone();
        self.store.set_retention(configured.retention());
        let current = Arc::new(CurrentSources::default());
        let (applied, sources_applied) = watch::channel(0);
        let mut live = Live {
            configured,
            store: self.store.clone(),
            secrets: Arc::clone(&secrets),
            current: Arc::clone(&current),
            changed: self.store.registry().sources_changed(),
            applied,
            made: HashMap::new(),
        };
        live.apply(None).await;

        let mut registry = Registry::default();
        let metrics = Metrics::new(&mut registry);
        hookgate_console::register_store(&mut registry, self.store.clone());
        let check_destination = surroundings::destinations(egress.clone());
        let tools = self.broker(&secrets, egress.clone(), &mut registry);
        let dispatcher = self.dispatcher(&secrets, egress, &mut registry);
        let watcher = self.watcher(&current, &metrics, &mut registry);
        let console = hookgate_console::router(Console {
            store: self.store.clone(),
            sources: Arc::clone(&current),
            sources_applied,
            check_source: Arc::new(check_source),
            forget_tenant: Arc::new({
                let tools = tools.clone();
                move |tenant| tools.forget(tenant)
            }),
            check_destination,
            secrets,
            admin_token: token.secret,
            metrics: Arc::new(registry),
            clock: input::now,
            public_url: self.config.public_url.clone(),
            bulk_per_second: self.config.delivery.bulk_per_second,
            stop: stop.clone(),
        });
        let gate = Arc::new(Gate::new(GateSettings {
            sources: current.get(),
            store: self.store,
            public_url: self.config.public_url,
            clock: input::now,
            trusted_proxies: self.config.trusted_proxies,
            require_https: self.config.require_https,
            allow_from,
            limits: self.config.limits,
            quota: self.config.quota,
            tools: tools.clone(),
            metrics,
            inspect: self.inspect.then(|| inspector(self.config.log_format)),
        }));
        tokio::spawn(live.follow(Arc::clone(&gate)));

        if let Some(watcher) = watcher {
            self.background.spawn(watcher.run(stopped(stop.clone())));
        }
        let no_more = stopped(stop.clone());
        let dispatching = self.background.spawn(async move { dispatcher.run(no_more).await });
        tracing::info!(address = %listen, "ready");
        let drained = answer((listener, admin), gate, console, self.tls, stop).await;
        Ok(with_jobs(drained, &tools, dispatching).await)
    }
}

/// Answers requests until it is told to stop; the operator's on a listener of their own, if
/// there is one.
async fn answer(
    (listener, admin): (TcpListener, Option<TcpListener>),
    gate: Arc<Gate>,
    console: axum::Router,
    tls: Option<Tls>,
    stop: watch::Receiver<bool>,
) -> Drained {
    let Some(admin) = admin else {
        return serve(vec![listener], gate, fallback(console), tls, stopped(stop)).await;
    };
    let public = probes_only(fallback(console.clone()));
    let (one, other) = tokio::join!(
        serve(vec![listener], Arc::clone(&gate), public, tls.clone(), stopped(stop.clone())),
        serve_fallback(vec![admin], gate, fallback(console), tls, stopped(stop)),
    );
    Drained { complete: one.complete && other.complete }
}

/// Whether a source with these settings is possible.
fn check_source(settings: &SourceSettings) -> Result<(), String> {
    config::made(settings).map(drop).map_err(|error| format!("{error:#}"))
}

/// Waits a little for tool calls that nobody waits for any more: their end is better known.
/// Waits for deliveries under way as well, which end by themselves.
async fn with_jobs(drained: Drained, tools: &Broker, dispatching: JoinHandle<bool>) -> Drained {
    let settled = tools.settled(JOBS_END).await;
    if !settled {
        tracing::warn!(
            "tool calls were cut whose end is not known: it is found out when they come again"
        );
    }
    // What was cut off is tried again after the next start.
    let dispatched = dispatching.await.unwrap_or(false);
    Drained { complete: drained.complete && settled && dispatched }
}

/// Writes the secrets that are missing, once it is sure that nobody outside can use them.
fn with_secrets(flags: &Flags, environment: Environment) -> anyhow::Result<Environment> {
    let (raw, _) = RawConfig::read(flags.config.as_deref())?;
    config::check_mode(config::listen(flags, &environment, &raw.server)?, flags.mode)?;
    if init::write_missing(&environment)?.added == 0 {
        return Ok(environment);
    }
    output::remark(format_args!("Wrote the missing secrets to {}.", dotenv::FILE));
    Environment::read()
}

fn refuse_published_secrets(config: &Config) -> anyhow::Result<()> {
    let Some(source) = config.placeholders().next().filter(|_| !config.listen.ip().is_loopback())
    else {
        return Ok(());
    };
    let (wanted, provider) = (&source.wanted, source.source.provider.name);
    Err(Usage::new(format!(
        "{wanted} holds a secret that was published in a guide, so everybody can sign with it: not \
         while listening on {}. `hookgate secret new {provider}` makes another",
        config.listen,
    ))
    .into())
}

fn runtime(workers: Option<usize>) -> anyhow::Result<Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if let Some(workers) = workers {
        builder.worker_threads(workers);
    }
    builder.enable_all().thread_name("hookgate").build().context("cannot start the runtime")
}

/// Opens the store. Whoever waits for a batch is woken by one task inside the runtime: a
/// waker that is called from outside costs a system call each.
fn open_store(config: &Config, handle: Handle) -> anyhow::Result<Store> {
    let wake: Wake = Arc::new(move |wakers: Vec<Waker>| {
        handle.spawn(async move { wakers.into_iter().for_each(Waker::wake) });
    });
    let mut options = config.store.options.clone();
    match &config.store.place {
        Place::Folder(path) => Store::open(path, options, wake)
            .with_context(|| format!("cannot open the store in {}", path.display())),
        Place::Postgres(settings) => {
            // Before anything is made there.
            let keys = master::find_given(config.master_keys.as_deref(), &config.store.path)?;
            options.node_seal = Some(master::node_seal(keys));
            // It says where itself.
            Store::open_postgres(settings, options, wake).context("cannot open the store")
        }
    }
}

async fn bind(address: SocketAddr, setting: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let advice = match error.kind() {
            ErrorKind::AddrInUse => {
                ": something listens there already, stop it or choose another port"
            }
            ErrorKind::PermissionDenied => {
                ": ports below 1024 need a permission, choose another port"
            }
            ErrorKind::AddrNotAvailable => ": this machine does not have that address",
            _ => "",
        };
        anyhow::Error::new(error).context(format!("cannot listen on {address} ({setting}){advice}"))
    })
}

/// The operator's token, and where it came from.
struct Token {
    secret: Secret,
    place: String,
    /// The token itself, if it is new.
    fresh: Option<String>,
}

impl Token {
    /// The token of `HOOKGATE_ADMIN_TOKEN`, else of the store's folder; made on the first
    /// start.
    fn find(config: &Config) -> anyhow::Result<Self> {
        if let Some(token) = &config.admin_token {
            let place = "HOOKGATE_ADMIN_TOKEN".to_owned();
            return Ok(Self { secret: Secret::new(token.as_str()), place, fresh: None });
        }
        let path = config.store.path.join(TOKEN_FILE);
        let place = path.display().to_string();
        if path.exists() {
            let token = environment::read_value(&path)
                .with_context(|| format!("{place} gives no token: delete it to get a new one"))?;
            return Ok(Self { secret: Secret::new(token), place, fresh: None });
        }
        let token = make_token(&path)?;
        Ok(Self { secret: Secret::new(token.as_str()), place, fresh: Some(token) })
    }

    /// Shows a new token to a person, and to nobody who keeps logs.
    fn show(&self) -> anyhow::Result<()> {
        if let Some(token) = self.fresh.as_ref().filter(|_| std::io::stdout().is_terminal()) {
            output::line(format_args!("The operator's token, shown once: {token}\n"))?;
        }
        Ok(())
    }
}

fn make_token(path: &Path) -> anyhow::Result<String> {
    let token = random::secret(None)?;
    dotenv::replace(path, format!("{token}\n").as_bytes())
        .with_context(|| format!("cannot write the operator's token to {}", path.display()))?;
    Ok(token)
}

/// The console behind the front door.
fn fallback(router: axum::Router) -> Fallback {
    Arc::new(move |mut request: Request<Incoming>, peer: Peer| {
        let mut router = router.clone();
        request.extensions_mut().insert(Caller { addr: peer.addr });
        Box::pin(async move {
            // A router never fails: what goes wrong in it is an answer.
            let response = router.call(request).await.unwrap_or_else(|never| match never {});
            response.map(|body| BoxBody::new(body.map_err(Into::into)))
        })
    })
}

/// Only what a load balancer asks: the rest is on a listener of its own.
fn probes_only(console: Fallback) -> Fallback {
    Arc::new(move |request: Request<Incoming>, peer: Peer| -> Answering {
        if PROBES.contains(&request.uri().path()) {
            return console(request, peer);
        }
        Box::pin(std::future::ready(not_found()))
    })
}

type Answering = Pin<Box<dyn Future<Output = Response<BoxBody>> + Send>>;

fn not_found() -> Response<BoxBody> {
    let body = Full::from(r#"{"error":"Not found"}"#).map_err(|never| match never {});
    let mut response = Response::new(BoxBody::new(body));
    *response.status_mut() = StatusCode::NOT_FOUND;
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

/// Prints each request for the operator's eyes.
fn inspector(format: LogFormat) -> Inspector {
    Arc::new(move |inspection: &Inspection| {
        let text = render(inspection);
        match format {
            // Nobody looks if standard output is gone.
            LogFormat::Human => drop(output::raw(text.as_bytes())),
            LogFormat::Json => {
                tracing::info!(source.id = inspection.source, inspection = text, "inspected");
            }
        }
    })
}

/// The signals that end the gateway.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    /// Becomes true with the first signal. The second ends the process at once.
    fn watch(mut self) -> watch::Receiver<bool> {
        let (told, stop) = watch::channel(false);
        tokio::spawn(async move {
            let signal = self.next().await;
            tracing::info!(
                signal,
                "stopping: finishing what was accepted; once more stops at once"
            );
            told.send_replace(true);
            let signal = self.next().await;
            tracing::warn!(signal, "stopped at once");
            std::process::exit(i32::from(FAILED));
        });
        stop
    }
}

async fn stopped(mut stop: watch::Receiver<bool>) {
    // The sender lives as long as the process; without it there is nothing to wait for.
    let _ = stop.wait_for(|it| *it).await;
}

//! What `serve` says when it is ready: where it listens, what each source's state is, and
//! what to do next.

use std::net::SocketAddr;

use hookgate_core::secret::{Secret, Secrets};
use hookgate_core::source::Verification;

use crate::config::{Config, LogFormat, Mode, SourceConfig};
use crate::output::{line, table};

/// A source as the banner shows it.
pub(crate) struct Entry {
    name: String,
    paths: Vec<String>,
    state: State,
    /// The secrets in force.
    secrets: String,
    /// The variable or key to set.
    wanted: String,
    provider: &'static str,
    /// Whether its secret was published.
    is_placeholder: bool,
}

/// What a source does with a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// It must be proven.
    Enforced,
    /// What is not proven is kept in quarantine, because the operator said so.
    Recorded,
    /// There is no secret, so all of it is.
    Open,
}

impl Entry {
    /// What there is to say of a source.
    pub(crate) fn of(config: &SourceConfig) -> Self {
        let source = &config.source;
        let state = match source.verification {
            _ if source.secrets.is_empty() => State::Open,
            Verification::Enforce | Verification::Open => State::Enforced,
            Verification::Record => State::Recorded,
        };
        let mut paths: Vec<String> = Vec::new();
        if source.name == source.provider.name {
            paths.extend(source.provider.paths.iter().map(|it| (*it).to_owned()));
        }
        paths.extend(config.paths.iter().cloned());
        paths.push(format!("/in/{}", source.name));
        Self {
            name: source.name.clone(),
            paths,
            state,
            secrets: in_force(&source.secrets),
            wanted: config.wanted.clone(),
            provider: source.provider.name,
            is_placeholder: config.is_placeholder,
        }
    }

    fn state(&self) -> String {
        match self.state {
            State::Enforced => self.secrets.clone(),
            State::Recorded => {
                format!("{}; keeps what it cannot prove in quarantine", self.secrets)
            }
            State::Open => "⚠️ not set: accepts unproven requests into quarantine".to_owned(),
        }
    }
}

/// How many secrets of each kind are in force.
pub(crate) fn in_force(secrets: &Secrets) -> String {
    let count = |secrets: &[Secret], word: &str| match secrets.len() {
        0 => None,
        1 => Some(format!("{word} set")),
        several => Some(format!("{several} {word}s in force")),
    };
    let kinds = [count(secrets.shared(), "secret"), count(secrets.account_keys(), "account key")];
    kinds.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What is said apart from the sources.
pub(crate) struct Facts<'a> {
    /// The configuration.
    pub(crate) config: &'a Config,
    /// Where it listens in fact.
    pub(crate) listen: SocketAddr,
    /// Where the API listens, if it has a listener of its own.
    pub(crate) admin: Option<SocketAddr>,
    /// Where the operator's token is.
    pub(crate) token: &'a str,
    /// For whom it runs.
    pub(crate) mode: Mode,
    /// Where commands in this folder look for a gateway.
    pub(crate) looked_for: &'a str,
}

/// Says all of it: as text for people, as log lines in JSON.
pub(crate) fn print(facts: &Facts<'_>, entries: &[Entry]) -> anyhow::Result<()> {
    match facts.config.log_format {
        LogFormat::Human => print_text(facts, entries),
        LogFormat::Json => {
            log(facts, entries);
            Ok(())
        }
    }
}

fn print_text(facts: &Facts<'_>, entries: &[Entry]) -> anyhow::Result<()> {
    let config = facts.config;
    let tls = config.tls.is_some();
    let base = config.base_url(facts.listen);
    line(format_args!("\nHookgate {}\n", env!("CARGO_PKG_VERSION")))?;
    let mut rows = vec![
        vec!["  Listening on".to_owned(), crate::config::local_url(facts.listen, tls)],
        vec!["  Store".to_owned(), config.store.place.to_string()],
    ];
    if let Some(file) = &config.file {
        rows.push(vec!["  Configuration".to_owned(), file.display().to_string()]);
    }
    if let Some(public_url) = &config.public_url {
        rows.push(vec!["  Public URL".to_owned(), public_url.clone()]);
    }
    let api = crate::config::local_url(facts.admin.unwrap_or(facts.listen), tls);
    rows.push(vec!["  API".to_owned(), format!("{api}/api/v1 (token: {})", facts.token)]);
    table(&[], &rows)?;
    line("")?;
    let mut rows = Vec::new();
    for entry in entries {
        for (number, path) in entry.paths.iter().enumerate() {
            let first = |text: String| if number == 0 { text } else { String::new() };
            rows.push(vec![
                first(format!("  {}", entry.name)),
                format!("{base}{path}"),
                first(entry.state()),
            ]);
        }
    }
    table(&["  SOURCE", "URL", "SECRET"], &rows)?;
    let mut is_first = true;
    for warning in warnings(config, entries) {
        if std::mem::take(&mut is_first) {
            line("")?;
        }
        line(warning)?;
    }
    line("\nWhat to do next, from another terminal:")?;
    if facts.admin.is_some() || facts.looked_for.trim_end_matches('/') != api {
        // Port 0, or a flag: other commands cannot know.
        line(format_args!("  export HOOKGATE_URL={api}"))?;
    }
    for (command, about) in next(facts.mode, entries) {
        line(format_args!("  {command:<26}{about}"))?;
    }
    line("")?;
    Ok(())
}

fn log(facts: &Facts<'_>, entries: &[Entry]) {
    let config = facts.config;
    for entry in entries {
        let base = config.base_url(facts.listen);
        let urls: Vec<String> = entry.paths.iter().map(|path| format!("{base}{path}")).collect();
        tracing::info!(
            source.id = entry.name,
            urls = urls.join(" "),
            secret = entry.state(),
            "source"
        );
    }
    for warning in warnings(config, entries) {
        tracing::warn!("{warning}");
    }
}

fn warnings(config: &Config, entries: &[Entry]) -> Vec<String> {
    let open = entries.iter().filter(|it| it.state == State::Open);
    let mut warnings: Vec<String> =
        open.map(|it| format!("⚠️ WARNING: {} not set", it.wanted)).collect();
    warnings.extend(entries.iter().filter(|it| it.is_placeholder).map(|it| {
        format!(
            "⚠️ WARNING: {} holds a secret that was published in a guide: everybody knows it. \
             `hookgate secret new {}` makes another",
            it.wanted, it.provider
        )
    }));
    if let Some(kind) = hookgate_store::volatile(&config.store.path) {
        warnings.push(format!(
            "⚠️ WARNING: {} lies on {kind}, which goes with the machine or the container: mount a disk there",
            config.store.path.display()
        ));
    }
    warnings
}

fn next(mode: Mode, entries: &[Entry]) -> Vec<(&'static str, &'static str)> {
    let mut next = Vec::new();
    if entries.iter().all(|it| it.state == State::Open) && mode == Mode::Production {
        next.push(("hookgate init", "makes secrets; then start this again"));
    }
    next.push(("hookgate send elevenlabs", "posts a signed sample"));
    next.push(("hookgate events tail", "shows what comes in"));
    next.push(("hookgate doctor", "checks the set-up, and says what to paste into each dashboard"));
    next
}

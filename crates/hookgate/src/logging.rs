//! Log lines: to standard output, for people or as JSON.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};
use crate::environment::Environment;
use crate::exit::Usage;

/// Starts writing log lines. `RUST_LOG` overrides `[log] level`.
pub(crate) fn start(config: &Config, environment: &Environment) -> anyhow::Result<()> {
    let (directives, at) = match environment.value("RUST_LOG")? {
        Some(directives) => (directives, "RUST_LOG"),
        None => (config.log_level.clone(), "[log] level"),
    };
    let filter = EnvFilter::try_new(&directives).map_err(|error| {
        Usage::new(format!(
            "{at} = \"{directives}\": {error}; write a level as in info, or hookgate_ingress=debug"
        ))
    })?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stdout);
    let started = match config.log_format {
        LogFormat::Human => {
            lines.with_ansi(std::io::stdout().is_terminal()).with_target(false).try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}

//! Log lines: to standard output, for people or as JSON.

use std::io::IsTerminal as _;

use tracing_subscriber::EnvFilter;

use crate::config::{Config, LogFormat};

/// What may stand alone. Any other word alone would be taken for the one part of the program
/// that is logged, and a mistyped level would silence everything.
const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];

/// Reads which log lines are written.
///
/// # Errors
///
/// A sentence that says what can be written.
pub(crate) fn filter(directives: &str) -> Result<EnvFilter, String> {
    let is_level = |word: &str| LEVELS.iter().any(|it| it.eq_ignore_ascii_case(word));
    let wrong = directives.split(',').find(|it| !it.contains(['=', '[']) && !is_level(it));
    let fault = match (wrong, EnvFilter::try_new(directives)) {
        (None, Ok(filter)) => return Ok(filter),
        (Some(word), _) => format!("\"{word}\" is no level"),
        (None, Err(error)) => error.to_string(),
    };
    let levels = LEVELS.join(", ");
    Err(format!("{fault}; write {levels}, or directives as in info,hookgate_ingress=debug"))
}

/// Starts writing log lines.
pub(crate) fn start(config: &Config) -> anyhow::Result<()> {
    let filter = filter(&config.log_level).map_err(anyhow::Error::msg)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stdout);
    let started = match config.log_format {
        LogFormat::Human => {
            lines.with_ansi(std::io::stdout().is_terminal()).with_target(false).try_init()
        }
        LogFormat::Json => lines.json().flatten_event(true).with_current_span(false).try_init(),
    };
    started.map_err(|error| anyhow::anyhow!("cannot start logging: {error}"))
}

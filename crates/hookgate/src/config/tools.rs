//! `[tools]`, checked: what agents may do, where Square is, and how long a caller waits.

use std::time::Duration;

use hookgate_core::tool::settings::Settings;
use hookgate_egress::Url;

use super::raw::RawTools;
use super::usage;
use crate::environment::Environment;

/// Says where Square is: for a stand-in.
const SQUARE_URL: &str = "HOOKGATE_SQUARE_URL";

/// The shortest and the longest that a caller may be kept waiting, in milliseconds. The
/// platforms give up after 20 s and more, and silence is felt after two.
const BUDGET_MS: std::ops::RangeInclusive<u64> = 100..=60_000;

/// What tool calls go by.
pub(crate) struct ToolsConfig {
    /// What the agents of a tenant may do that has no settings of its own.
    pub(crate) defaults: Settings,
    /// How long a caller is kept waiting, if not as its platform's row says.
    pub(crate) patience: Option<Duration>,
    /// Where Square is, if not where it always is.
    pub(crate) square_url: Option<Url>,
}

impl ToolsConfig {
    pub(super) fn check(raw: RawTools, environment: &Environment) -> anyhow::Result<Self> {
        let defaults = Settings::read(raw.defaults)
            .map_err(|fault| usage(format!("[tools] defaults: {fault}")))?;
        if raw.budget_ms.is_some_and(|it| !BUDGET_MS.contains(&it)) {
            let (least, most) = (BUDGET_MS.start(), BUDGET_MS.end());
            return Err(usage(format!("[tools] budget_ms must be {least} to {most}")));
        }
        Ok(Self {
            defaults,
            patience: raw.budget_ms.map(Duration::from_millis),
            square_url: square_url(environment)?,
        })
    }
}

fn square_url(environment: &Environment) -> anyhow::Result<Option<Url>> {
    let Some(text) = environment.value(SQUARE_URL)? else { return Ok(None) };
    let url = Url::parse(&text).ok().filter(|url| {
        let is_web = matches!(url.scheme(), "http" | "https");
        is_web && url.has_host() && url.query().is_none() && url.fragment().is_none()
    });
    let wrong = || {
        usage(format!("{SQUARE_URL} must be an address without `/v2`, as in http://127.0.0.1:4020"))
    };
    url.map(Some).ok_or_else(wrong)
}

//! What a destination is: where events go, which ones, and how.

use http::Uri;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Comparison;
use super::comparison::ComparisonError;
use crate::alert::{self, AlertKind};
use crate::event::Kind;
use crate::provider;

/// The kind of a delivery that somebody sends to see whether it arrives. No event has it, and
/// no pattern leaves it out.
pub const TEST: &str = "test";

/// The source and the provider of deliveries that are about no event of a source's: alerts.
pub const ALERT_SOURCE: &str = "hookgate";

/// The longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 2_048;

/// Patterns of kinds that a destination may have: more than there are kinds.
pub const PATTERNS_MAX: usize = 32;

/// Comparisons that a destination may have. Each is made for each event.
pub const COMPARISONS_MAX: usize = 16;

/// The longest template, in bytes: longer than the longest message that any service takes.
pub const TEMPLATE_BYTES_MAX: usize = 8 << 10;

/// The longest name, in bytes: what fits a line of a list.
pub const NAME_BYTES_MAX: usize = 200;

/// The highest rate that can be set; without one there is no limit.
pub const RATE_PER_SECOND_MAX: u32 = 1_000;

/// Deliveries that are under way at once, unless set.
pub const CONCURRENCY: u32 = 8;

/// The most that can be set. Each is a connection.
pub const CONCURRENCY_MAX: u32 = 64;

/// How long an endpoint may take, in milliseconds, unless set. Standard Webhooks 1.0.0 says
/// 15 to 30 s.
pub const TIMEOUT_MS: u32 = 15_000;

/// The least that can be set.
pub const TIMEOUT_MS_MIN: u32 = 500;

/// The most that can be set: an attempt ends before its lease of 30 s does.
pub const TIMEOUT_MS_MAX: u32 = 25_000;

/// What takes the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DestinationKind {
    /// An HTTP endpoint that understands Standard Webhooks.
    Http,
    /// An incoming webhook of Slack.
    Slack,
    /// A webhook of Discord.
    Discord,
    /// A topic of ntfy.
    Ntfy,
}

impl DestinationKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Http, Self::Slack, Self::Discord, Self::Ntfy];

    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Slack => "slack",
            Self::Discord => "discord",
            Self::Ntfy => "ntfy",
        }
    }

    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }

    /// Whether whoever knows the URL may post there, so that the URL is a secret.
    #[must_use]
    pub const fn has_secret_url(self) -> bool {
        matches!(self, Self::Slack | Self::Discord)
    }
}

/// What an HTTP endpoint gets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// The canonical event.
    #[default]
    Canonical,
    /// The bytes that the provider sent.
    Raw,
    /// The canonical event in an envelope of `CloudEvents` 1.0.
    Cloudevents,
}

impl Format {
    /// Every format.
    pub const ALL: [Self; 3] = [Self::Canonical, Self::Raw, Self::Cloudevents];

    /// Its name in the API.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Canonical => "canonical",
            Self::Raw => "raw",
            Self::Cloudevents => "cloudevents",
        }
    }

    /// The format of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|it| it.name() == name)
    }
}

/// A destination.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DestinationSettings {
    /// What takes the events.
    pub kind: DestinationKind,
    /// Where.
    pub url: String,
    /// The kinds that it wants; a `*` at the end stands for any ending. Alerts are wanted by
    /// patterns that begin with `alert.` alone.
    #[serde(default = "everything")]
    pub events: Vec<String>,
    /// The providers whose events it wants; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<String>,
    /// What it gets.
    #[serde(default)]
    pub format: Format,
    /// What must hold of an event, all of it: of the canonical event, and below `/body` of
    /// what the provider sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub filter: Vec<Comparison>,
    /// The text of a message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<String>,
    /// How many it gets in a second at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_second: Option<u32>,
    /// How many are under way at once at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub concurrency: Option<u32>,
    /// Whether the events of a conversation come one after the other.
    #[serde(default)]
    pub ordered: bool,
    /// How long it may take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
    /// What people call it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

fn everything() -> Vec<String> {
    vec!["*".to_owned()]
}

/// What is wrong with a destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DestinationError {
    /// The JSON has another shape.
    #[error("{0}")]
    Shape(String),
    /// The URL cannot be posted to.
    #[error(
        "`url` is an absolute URL of http or https, without user name, password and fragment, of {URL_BYTES_MAX} bytes at most"
    )]
    Url,
    /// A pattern that no kind of event has.
    #[error(
        "`{0}` is no kind of event: give one such as `call.ended` or `alert.disk_filling`, or a beginning and `*`"
    )]
    Kind(String),
    /// A provider that there is not.
    #[error("there is no provider `{0}`")]
    Provider(String),
    /// More than there may be, or nothing at all.
    #[error("there are 1 to {max} {what}")]
    Count {
        /// Of what.
        what: &'static str,
        /// So many.
        max: usize,
    },
    /// A comparison that cannot be made.
    #[error("in `filter`: {0}")]
    Filter(#[source] ComparisonError),
    /// A number outside of its range.
    #[error("`{what}` is {min} to {max}")]
    Range {
        /// Which.
        what: &'static str,
        /// The least.
        min: u32,
        /// The most.
        max: u32,
    },
    /// A name or a template that cannot be used.
    #[error("{0}")]
    Text(&'static str),
}

impl DestinationSettings {
    /// Reads a destination and checks it.
    ///
    /// # Errors
    ///
    /// What is wrong with it.
    pub fn read(value: Value) -> Result<Self, DestinationError> {
        if !value.is_object() {
            return Err(DestinationError::Shape("a destination is a JSON object".to_owned()));
        }
        let read = serde_json::from_value::<Self>(value);
        let settings = read.map_err(|error| DestinationError::Shape(error.to_string()))?;
        settings.check()?;
        Ok(settings)
    }

    /// Whether it wants events of this kind of this provider.
    #[must_use]
    pub fn wants(&self, kind: &str, provider: &str) -> bool {
        let is_wanted = self.providers.is_empty() || self.providers.iter().any(|it| it == provider);
        is_wanted && self.events.iter().any(|pattern| covers(pattern, kind))
    }

    /// Whether it wants alerts of this kind. A pattern for them begins with `alert.`: `*` stands
    /// for every event, and for no alert. Providers and filters are about events.
    #[must_use]
    pub fn wants_alert(&self, kind: AlertKind) -> bool {
        self.events.iter().any(|pattern| covers_alert(pattern, kind))
    }

    /// Whether all that it asks for holds of a document: the canonical event, with what the
    /// provider sent as its member `body`.
    #[must_use]
    pub fn matches(&self, document: &Value) -> bool {
        self.filter.iter().all(|it| it.holds(document))
    }

    /// How many may be under way at once.
    #[must_use]
    pub fn concurrency(&self) -> u32 {
        self.concurrency.unwrap_or(CONCURRENCY)
    }

    /// How long it may take, in milliseconds.
    #[must_use]
    pub fn timeout_ms(&self) -> u32 {
        self.timeout_ms.unwrap_or(TIMEOUT_MS)
    }

    /// The URL as it may be shown: of a secret one the origin alone.
    #[must_use]
    pub fn shown_url(&self) -> String {
        if !self.kind.has_secret_url() {
            return self.url.clone();
        }
        let origin = self.url.parse::<Uri>().ok().and_then(|it| {
            let scheme = it.scheme_str()?.to_owned();
            Some(format!("{scheme}://{}/…", it.authority()?))
        });
        origin.unwrap_or_else(|| "…".to_owned())
    }

    fn check(&self) -> Result<(), DestinationError> {
        check_url(&self.url)?;
        self.check_wanted()?;
        let ranges = [
            ("rate_per_second", self.rate_per_second, 1, RATE_PER_SECOND_MAX),
            ("concurrency", self.concurrency, 1, CONCURRENCY_MAX),
            ("timeout_ms", self.timeout_ms, TIMEOUT_MS_MIN, TIMEOUT_MS_MAX),
        ];
        for (what, number, min, max) in ranges {
            if number.is_some_and(|it| !(min..=max).contains(&it)) {
                return Err(DestinationError::Range { what, min, max });
            }
        }
        let is_name = |it: &String| {
            !it.trim().is_empty() && it.len() <= NAME_BYTES_MAX && !it.chars().any(char::is_control)
        };
        if !self.name.as_ref().is_none_or(is_name) {
            let why = "a name is a visible text of 1 to 200 bytes, without control characters";
            return Err(DestinationError::Text(why));
        }
        if let Some(template) = &self.template {
            if self.kind == DestinationKind::Http {
                let why = "a template is for the text of slack, discord and ntfy";
                return Err(DestinationError::Text(why));
            }
            if template.trim().is_empty() || template.len() > TEMPLATE_BYTES_MAX {
                return Err(DestinationError::Text("a template has 1 to 8192 bytes"));
            }
        }
        Ok(())
    }

    fn check_wanted(&self) -> Result<(), DestinationError> {
        if self.events.is_empty() || self.events.len() > PATTERNS_MAX {
            return Err(DestinationError::Count {
                what: "patterns in `events`",
                max: PATTERNS_MAX,
            });
        }
        for pattern in &self.events {
            let is_kind = Kind::ALL.iter().any(|kind| covers(pattern, kind.name()));
            if !is_kind && !AlertKind::ALL.iter().any(|kind| covers_alert(pattern, *kind)) {
                return Err(DestinationError::Kind(shortened(pattern)));
            }
        }
        for (n, name) in self.providers.iter().enumerate() {
            let is_repeated = self.providers.iter().take(n).any(|it| it == name);
            if provider::named(name).is_none() || is_repeated {
                return Err(DestinationError::Provider(shortened(name)));
            }
        }
        if self.filter.len() > COMPARISONS_MAX {
            let what = "comparisons in `filter`";
            return Err(DestinationError::Count { what, max: COMPARISONS_MAX });
        }
        self.filter.iter().try_for_each(|it| it.check().map_err(DestinationError::Filter))
    }
}

impl std::fmt::Debug for DestinationSettings {
    /// Without what a tenant wrote: a URL may be a secret, and a filter names people.
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut out = out.debug_struct("DestinationSettings");
        out.field("kind", &self.kind).field("format", &self.format);
        out.field("ordered", &self.ordered).finish_non_exhaustive()
    }
}

/// Whether a pattern stands for a kind.
fn covers(pattern: &str, kind: &str) -> bool {
    pattern.strip_suffix('*').map_or(pattern == kind, |start| kind.starts_with(start))
}

/// Whether a pattern stands for a kind of alert.
fn covers_alert(pattern: &str, kind: AlertKind) -> bool {
    pattern.starts_with(alert::PREFIX) && covers(pattern, kind.name())
}

/// What somebody wrote, short enough to be said back.
fn shortened(text: &str) -> String {
    text.chars().take(64).filter(|it| !it.is_control()).collect()
}

/// Checks that a URL can be posted to. Whether its address may be reached is asked elsewhere.
fn check_url(text: &str) -> Result<(), DestinationError> {
    let is_plain = text.bytes().all(|it| it.is_ascii_graphic());
    if !is_plain || text.len() > URL_BYTES_MAX || text.contains(['#', '\\']) {
        return Err(DestinationError::Url);
    }
    let uri: Uri = text.parse().map_err(|_| DestinationError::Url)?;
    let is_web = matches!(uri.scheme_str(), Some("http" | "https"));
    let is_host = |it: &http::uri::Authority| {
        let has_port = it.as_str().len() > it.host().len();
        let is_port = it.port_u16().is_some_and(|port| port != 0);
        !it.host().is_empty() && !it.as_str().contains('@') && (!has_port || is_port)
    };
    if is_web && uri.authority().is_some_and(is_host) { Ok(()) } else { Err(DestinationError::Url) }
}

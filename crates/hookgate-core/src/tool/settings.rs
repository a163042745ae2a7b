//! What a tenant's agents may do, and how: one JSON document a tenant, and one for all that
//! have none.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{canonical, catalog};

/// Endpoints that a tenant may have as tools. An agent with more tools confuses them.
pub const HTTP_TOOLS_MAX: usize = 32;

/// The longest name of a tool, in characters: what all platforms allow.
pub const TOOL_NAME_CHARS_MAX: usize = 64;

/// The longest that an endpoint may take, in milliseconds: what a caller bears.
pub const TIMEOUT_MS_MAX: u32 = 30_000;

/// What a tenant's agents may do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// The tools that may be called, by name; a `*` at the end stands for any ending.
    /// Nothing: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allow: Option<Vec<String>>,
    /// Whose bookings are listed: those of the calling number, unless said otherwise.
    pub bookings_list: Whose,
    /// Whose bookings are cancelled and moved: those of anybody who knows their id, unless
    /// said otherwise.
    pub bookings_change: Whose,
    /// What is answered to requests for a decision, by the platform's word for them
    /// (`assistant-request`, `call_inbound`, `conversation_initiation`): templates.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub answers: BTreeMap<String, Value>,
    /// The tenant's own endpoints.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<HttpTool>,
}

/// Whose bookings a tool works on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Whose {
    /// Those of the calling number alone, which the platform attests.
    Caller,
    /// Anybody's whom the model names.
    Anyone,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            allow: None,
            bookings_list: Whose::Caller,
            bookings_change: Whose::Anyone,
            answers: BTreeMap::new(),
            http: Vec::new(),
        }
    }
}

/// An endpoint of the tenant's own as a tool.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HttpTool {
    /// Its name: lower-case letters, digits and `_`.
    pub name: String,
    /// What it does, for the model that calls it.
    #[serde(default)]
    pub about: String,
    /// Where it is. `{{…}}` in its path and query are filled in, percent-encoded.
    pub url: String,
    /// `POST` by default.
    #[serde(default = "post")]
    pub method: String,
    /// Headers; `{{credential.NAME}}` and `{{credential.NAME.member}}` stand for a stored
    /// credential.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// A JSON Schema of its arguments, which is published.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub parameters: Value,
    /// Arguments that are masked wherever they are shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub personal: Vec<String>,
    /// The body: a template. Nothing: the call with all that is known of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
    /// What is made of a good answer: a template for `{"message", …}`. Nothing: its
    /// `message`, or the answer itself if it is short text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<Value>,
    /// The credential that requests are signed with (Standard Webhooks).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signed_with: Option<String>,
    /// Whether it changes anything. Then the same again within a conversation is answered
    /// with the first success.
    #[serde(default = "yes")]
    pub writes: bool,
    /// Whether the same again, under another id of the platform, is a wish of its own.
    #[serde(default)]
    pub repeatable: bool,
    /// How long it may take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
}

fn post() -> String {
    "POST".to_owned()
}

fn yes() -> bool {
    true
}

/// What is wrong with settings.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The JSON has another shape.
    #[error("{0}")]
    Shape(String),
    /// A tool's name has other characters, or none.
    #[error(
        "`{0}` is no name of a tool: 1 to 64 lower-case letters, digits and `_`, beginning with a letter"
    )]
    Name(String),
    /// A pattern that no tool's name can fit.
    #[error(
        "`allow` has `{0}`, and no tool can be called so: names are of lower-case letters, digits and `_`, and may \
         have a `*` at the end"
    )]
    Allow(String),
    /// Two tools have one name.
    #[error("there is a tool `{0}` already")]
    Taken(String),
    /// More endpoints than [`HTTP_TOOLS_MAX`].
    #[error("a tenant has {HTTP_TOOLS_MAX} tools of its own at most")]
    TooMany,
    /// A method that is none of those that carry a call.
    #[error("`{0}` is no method for a tool: GET, POST, PUT, PATCH or DELETE")]
    Method(String),
    /// A URL that cannot be called.
    #[error("the tool `{0}` has a URL that is none: give an absolute one, https://…")]
    Url(String),
    /// A header that is none, or frames the request.
    #[error("the tool `{0}` has a header that is none, or that is not its to set")]
    Header(String),
    /// Longer than [`TIMEOUT_MS_MAX`].
    #[error("the tool `{0}` may take {TIMEOUT_MS_MAX} ms at most, and at least 100")]
    Timeout(String),
}

impl Settings {
    /// Reads settings and checks them.
    ///
    /// # Errors
    ///
    /// What is wrong with them.
    pub fn read(value: Value) -> Result<Self, SettingsError> {
        if !value.is_object() {
            return Err(SettingsError::Shape("settings are a JSON object".to_owned()));
        }
        let read = serde_json::from_value::<Self>(value);
        let settings = read.map_err(|error| SettingsError::Shape(error.to_string()))?;
        settings.check()?;
        Ok(settings)
    }

    /// Whether a tool may be called.
    #[must_use]
    pub fn allows(&self, tool: &str) -> bool {
        self.allow.as_ref().is_none_or(|allow| allow.iter().any(|it| fits(it, tool)))
    }

    /// The tenant's own tool of this name.
    #[must_use]
    pub fn http_tool(&self, name: &str) -> Option<&HttpTool> {
        self.http.iter().find(|it| it.name == name)
    }

    fn check(&self) -> Result<(), SettingsError> {
        if self.http.len() > HTTP_TOOLS_MAX {
            return Err(SettingsError::TooMany);
        }
        for (n, tool) in self.http.iter().enumerate() {
            tool.check()?;
            let is_taken = catalog::named(&tool.name).is_some()
                || self.http.iter().take(n).any(|it| it.name == tool.name);
            if is_taken {
                return Err(SettingsError::Taken(tool.name.clone()));
            }
        }
        // A tool of this name may come later; one of another form never does.
        let can_fit = |pattern: &str| {
            let name = pattern.strip_suffix('*').unwrap_or(pattern);
            !pattern.is_empty() && name.chars().all(|it| is_in_name(it) || it == '.')
        };
        match self.allow.iter().flatten().find(|it| !can_fit(it)) {
            Some(odd) => Err(SettingsError::Allow(odd.chars().take(TOOL_NAME_CHARS_MAX).collect())),
            None => Ok(()),
        }
    }
}

/// Whether it can stand in the name of a tool.
fn is_in_name(it: char) -> bool {
    it.is_ascii_lowercase() || it.is_ascii_digit() || it == '_'
}

/// Whether a tool's name fits a pattern of `allow`.
fn fits(pattern: &str, tool: &str) -> bool {
    let pattern = canonical(pattern);
    pattern.strip_suffix('*').map_or(pattern == tool, |start| tool.starts_with(start))
}

impl HttpTool {
    fn check(&self) -> Result<(), SettingsError> {
        let name = &self.name;
        let begins = name.starts_with(|it: char| it.is_ascii_lowercase());
        if !begins || !name.chars().all(is_in_name) || name.len() > TOOL_NAME_CHARS_MAX {
            return Err(SettingsError::Name(name.chars().take(TOOL_NAME_CHARS_MAX).collect()));
        }
        if !["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&self.method.as_str()) {
            return Err(SettingsError::Method(self.method.chars().take(16).collect()));
        }
        if !self.url.starts_with("https://") && !self.url.starts_with("http://") {
            return Err(SettingsError::Url(name.clone()));
        }
        let framing = ["host", "content-length", "transfer-encoding", "connection"];
        let is_header = |it: &String| {
            http::HeaderName::try_from(it.as_str()).is_ok_and(|it| !framing.contains(&it.as_str()))
        };
        if !self.headers.keys().all(is_header) {
            return Err(SettingsError::Header(name.clone()));
        }
        if self.timeout_ms.is_some_and(|it| !(100..=TIMEOUT_MS_MAX).contains(&it)) {
            return Err(SettingsError::Timeout(name.clone()));
        }
        Ok(())
    }
}

//! One source, checked: `[source.NAME]` together with its variables.

use std::path::Path;

use anyhow::Context as _;
use hookgate_console::SourceSettings;
use hookgate_core::named;
use hookgate_core::provider::{self, Provider};
use hookgate_core::scheme::Policy;
use hookgate_core::secret::Secrets;
use hookgate_core::source::{Source, Verification};
use ipnet::IpNet;
use serde_json::Value;

use super::raw::{OneOrMore, RawScheme, RawSource};
use super::{networks, ownership, usage};
use crate::environment::{self, Environment, Variable};
use crate::placeholder;

/// The longest name of a source, in bytes. It stands in paths and in every log line.
const NAME_BYTES_MAX: usize = 64;

/// The front door's own paths, which no source can have.
const RESERVED: [&str; 4] = ["/api/v1", "/healthz", "/readyz", "/metrics"];

/// A source as it will run, and what people are told about it.
pub(crate) struct SourceConfig {
    /// The source.
    pub(crate) source: Source,
    /// Paths of its own, besides `/in/NAME` and its provider's.
    pub(crate) paths: Vec<String>,
    /// Networks whose requests are let in; empty: all.
    pub(crate) allow_from: Vec<IpNet>,
    /// Where its secrets came from.
    pub(crate) origins: Vec<String>,
    /// Where its secret is looked for: a variable's name, or the key in the file.
    pub(crate) wanted: String,
    /// Whether one of its secrets was published.
    pub(crate) is_placeholder: bool,
}

impl SourceConfig {
    /// Checks the source called `name`.
    pub(super) fn check(
        name: &str,
        raw: &RawSource,
        environment: &Environment,
    ) -> anyhow::Result<Self> {
        let at = |what: &str| format!("[source.{name}] {what}");
        check_name(name)?;
        let provider_name = raw.provider.as_deref().unwrap_or(name);
        let provider = provider::named(provider_name).ok_or_else(|| {
            usage(format!("[source.{name}] needs `provider`, one of {}", provider_names()))
        })?;
        for path in &raw.path.0 {
            check_path(path).map_err(|fault| usage(at(&format!("path \"{path}\" {fault}"))))?;
        }
        let policy = policy(provider, &raw.schemes.0).with_context(|| at("schemes"))?;

        let built_in = name == provider.name;
        let given = |references: &OneOrMore<String>, variables: &[&'static str]| {
            if references.0.is_empty() && built_in {
                return Ok(environment.first(variables)?.into_iter().collect());
            }
            references.0.iter().map(|it| resolve(it, environment)).collect()
        };
        let shared: Vec<Variable> =
            given(&raw.secret, provider.secret_variables).with_context(|| at("secret"))?;
        let account_keys: Vec<Variable> =
            given(&raw.account_key, provider.account_key_variable.as_slice())
                .with_context(|| at("account_key"))?;
        let secrets = Secrets::from_text(&joined(&shared), &joined(&account_keys));
        let tool_secrets: Vec<Variable> =
            given(&raw.tool_secret, provider.tool_secret_variable().as_slice())
                .with_context(|| at("tool_secret"))?;

        let wanted = match provider.secret_variables.first() {
            Some(variable) if built_in => (*variable).to_owned(),
            _ => at("secret"),
        };
        let verification = verification(name, raw, environment, &secrets)?;
        let tool_secrets = Secrets::from_text(&joined(&tool_secrets), "");
        let is_placeholder =
            placeholder::is_among(&secrets) || placeholder::is_among(&tool_secrets);
        let mut source = Source::new(name, provider, policy, secrets, verification);
        source.rule = ownership::rule(name, raw, environment)?;
        source.tool_secrets = tool_secrets;
        source.tenant = ownership::tenant(name, raw)?;
        source.retention_days = ownership::retention_days(name, raw)?;
        if let Some(body) = raw.limits.body {
            source.body_bytes_max = body.0;
            source.large_body_bytes_max = source.large_body_bytes_max.max(body.0);
        }
        if let Some(large_body) = raw.limits.large_body {
            source.large_body_bytes_max = large_body.0;
        }
        if source.large_body_bytes_max < source.body_bytes_max {
            return Err(usage(at("limits: `large_body` must not be less than `body`")));
        }
        Ok(Self {
            source,
            paths: raw.path.0.clone(),
            allow_from: networks(&raw.allow_from).with_context(|| at("allow_from"))?,
            origins: shared.into_iter().chain(account_keys).map(|it| it.origin).collect(),
            wanted,
            is_placeholder,
        })
    }
}

/// The source that these settings make, as they are given over the API.
pub(crate) fn made(settings: &SourceSettings) -> anyhow::Result<Source> {
    let name = &settings.name;
    check_name(name)?;
    let provider = provider::named(&settings.provider)
        .ok_or_else(|| usage(format!("`provider` must be one of {}", provider_names())))?;
    let schemes: OneOrMore<RawScheme> = match &settings.schemes {
        Some(schemes) => serde_json::from_value(schemes.clone())
            .map_err(|fault| usage(format!("`schemes`: {fault}")))?,
        None => OneOrMore::default(),
    };
    let policy = policy(provider, &schemes.0).context("`schemes`")?;
    let secret = settings.secret.as_ref().map(|it| String::from_utf8_lossy(it.expose()));
    let secrets = Secrets::from_text(secret.as_deref().unwrap_or_default(), "");
    let word = settings.verification.as_deref().unwrap_or("auto");
    let verification = verification_of(word, name, "`verification`", &secrets)?;
    let mut source = Source::new(name, provider, policy, secrets, verification);
    if let Some(word) = &settings.ownership {
        source.rule.mode = ownership::mode(word).ok_or_else(|| {
            usage("`ownership` must be `auto`, `observe` or `enforce`".to_owned())
        })?;
    }
    source.rule.adopt = settings.adopt.unwrap_or(source.rule.adopt);
    source.tenant.clone_from(&settings.tenant);
    Ok(source)
}

/// The names of all providers, for messages.
pub(crate) fn provider_names() -> String {
    provider::ALL.map(|it| it.name).join(", ")
}

/// The variable that says what happens to requests without proof.
pub(crate) fn verification_variable(name: &str) -> String {
    format!("HOOKGATE_{}_VERIFICATION", name.to_ascii_uppercase().replace('-', "_"))
}

fn check_name(name: &str) -> anyhow::Result<()> {
    let fits = name.bytes().all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !fits {
        return Err(usage(format!(
            "[source.{name}] a source's name has 1 to 64 lower-case letters, digits, `-` and `_`"
        )));
    }
    Ok(())
}

fn check_path(path: &str) -> Result<(), &'static str> {
    if !path.starts_with('/') {
        return Err("must begin with `/`");
    }
    if path.contains(['?', '#', ' ', '%']) || !path.is_ascii() {
        return Err("must be plain ASCII, without `?`, `#`, `%` and blanks");
    }
    let is_under = |reserved: &str| {
        path.strip_prefix(reserved).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    if RESERVED.iter().any(|it| is_under(it)) {
        return Err("belongs to the gateway itself");
    }
    Ok(())
}

/// The policy that these schemes make together; the provider's own without any.
fn policy(provider: &Provider, schemes: &[RawScheme]) -> anyhow::Result<Policy> {
    if schemes.is_empty() {
        return named::default_policy(provider.name).context("the provider has no default");
    }
    let one = |raw: &RawScheme| {
        // What a captured request brings along is no setting of a source.
        if let Some(fact) = ["method", "url"].iter().find(|it| raw.config.get(it).is_some()) {
            return Err(usage(format!("`{fact}` is a fact of one request, not of a source")));
        }
        let config = if raw.config.is_null() { &Value::Null } else { &raw.config };
        named::policy(&raw.scheme, config).map_err(|error| usage(error.to_string()))
    };
    Ok(Policy::joined(schemes.iter().map(one).collect::<Result<_, _>>()?))
}

/// The value that `env:NAME` or `file:/path` refers to.
pub(crate) fn resolve(reference: &str, environment: &Environment) -> anyhow::Result<Variable> {
    if let Some(name) = reference.strip_prefix("env:") {
        let missing = || usage(format!("`env:{name}` refers to a variable that is not set"));
        return environment.variable(name)?.ok_or_else(missing);
    }
    if let Some(path) = reference.strip_prefix("file:") {
        let value = environment::read_value(Path::new(path))
            .map_err(|error| usage(format!("`file:{path}` gives no value: {error:#}")))?;
        return Ok(Variable { value, origin: path.to_owned() });
    }
    Err(usage(
        "must be a reference, \"env:NAME\" or \"file:/path\", and not the secret itself: this file is \
         copied, shown and committed more easily than a secret may be"
            .to_owned(),
    ))
}

fn joined(variables: &[Variable]) -> String {
    variables.iter().map(|it| it.value.as_str()).collect::<Vec<_>>().join(" ")
}

fn verification(
    name: &str,
    raw: &RawSource,
    environment: &Environment,
    secrets: &Secrets,
) -> anyhow::Result<Verification> {
    let variable = verification_variable(name);
    let set = environment.value(&variable)?;
    let (word, at) = match (&set, &raw.verification) {
        (Some(word), _) => (word.as_str(), variable),
        (None, Some(word)) => (word.as_str(), format!("[source.{name}] verification")),
        (None, None) => ("auto", String::new()),
    };
    verification_of(word, name, &at, secrets)
}

fn verification_of(
    word: &str,
    name: &str,
    at: &str,
    secrets: &Secrets,
) -> anyhow::Result<Verification> {
    match word {
        "auto" if secrets.is_empty() => Ok(Verification::Open),
        "enforce" if secrets.is_empty() => Err(usage(format!(
            "{at} is `enforce`, but the source `{name}` has no secret to enforce anything with: set \
             its secret, or let verification be `auto`"
        ))),
        "auto" | "enforce" => Ok(Verification::Enforce),
        "record" => Ok(Verification::Record),
        _ => Err(usage(format!("{at} must be `auto`, `enforce` or `record`"))),
    }
}

//! `hookgate verify`: judges a captured request offline.

mod bundle;

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

use hookgate_core::diagnose::{Case, Diagnosis};
use hookgate_core::headers::{Headers, Value};
use hookgate_core::mask::visible;
use hookgate_core::named;
use hookgate_core::provider::Provider;
use hookgate_core::scheme::Policy;
use hookgate_core::secret::{Secret, Secrets};
use hookgate_core::time::Timestamp;
use hookgate_core::verify::{Envelope, Proof, Rejection, verify};
use http::{HeaderName, HeaderValue};
use serde_json::{Value as Json, json};

use super::secret;
use crate::cli::Verify;
use crate::environment::Environment;
use crate::exit::{Outcome, Usage};
use crate::input;
use crate::output::line;

/// Runs the command.
pub(crate) fn run(flags: &Verify, environment: &Environment) -> anyhow::Result<Outcome> {
    if let Some(path) = &flags.bundle {
        return bundle::run(path, flags, environment);
    }
    let missing = || Usage::new("name a provider and --body, or a --bundle");
    let provider = secret::named(flags.provider.as_ref().ok_or_else(missing)?)?;
    let settings = settings(flags.scheme_config.as_deref())?;
    let policy = policy(provider, flags.scheme.as_deref(), &settings)?;
    let headers = headers(&flags.header)?;
    let body = input::body(flags.body.as_ref().ok_or_else(missing)?)?;
    if let Some(name) = uncarried(&headers) {
        return uncarriable(name, flags.json);
    }
    let secrets = secrets(&flags.secret, provider, environment)?;
    let now = flags.at.map_or_else(input::now, Timestamp::from_millis);
    let fact = |flag: &Option<String>, name| {
        flag.clone().or_else(|| settings.get(name)?.as_str().map(str::to_owned))
    };
    let method = fact(&flags.method, "method")
        .map_or_else(|| "POST".to_owned(), |it| it.to_ascii_uppercase());
    let url = fact(&flags.url, "url").unwrap_or_default();
    let envelope = Envelope { method: &method, url: &url, headers: &headers, mask_key: None };

    match verify(&policy, &secrets, envelope, &body, now) {
        Ok(proof) => accepted(proof, flags.json),
        Err(rejected) => {
            let others = both(texts(&flags.old_secret));
            let case = Case {
                policy: &policy,
                secrets: &secrets,
                others: &others,
                envelope,
                body: &body,
                now,
            };
            let diagnosis = case.diagnose().unwrap_or(Diagnosis { rejected, mistakes: Vec::new() });
            refused(&diagnosis, flags.json)
        }
    }
}

fn accepted(proof: Proof, as_json: bool) -> anyhow::Result<Outcome> {
    if as_json {
        line(json!({
            "verdict": "accept",
            "scheme": proof.scheme,
            "signed_at": proof.signed_at.map(|it| it.to_string()),
        }))?;
        return Ok(Outcome::Done);
    }
    match proof.signed_at {
        Some(at) => line(format_args!("accept: proven under {}, signed at {at}", proof.scheme))?,
        None => line(format_args!("accept: proven under {}", proof.scheme))?,
    }
    Ok(Outcome::Done)
}

fn refused(diagnosis: &Diagnosis, as_json: bool) -> anyhow::Result<Outcome> {
    let rejected = diagnosis.rejected;
    let mistakes = diagnosis.mistakes.iter().map(ToString::to_string).collect::<Vec<_>>();
    if as_json {
        line(json!({
            "verdict": "reject",
            "scheme": rejected.scheme,
            "reason": rejected.to_string(),
            "mistakes": mistakes,
        }))?;
        return Ok(Outcome::Refused);
    }
    match rejected.scheme {
        Some(scheme) => line(format_args!("reject: {rejected} ({scheme})"))?,
        None => line(format_args!("reject: {rejected}"))?,
    }
    if mistakes.is_empty() && rejected.reason == Rejection::Mismatch {
        line(
            "No common mistake explains it: the secret is another, or the bytes are not those that were sent.",
        )?;
    }
    for mistake in mistakes {
        line(format_args!("It would match: {mistake}"))?;
    }
    Ok(Outcome::Refused)
}

/// The settings of the scheme. Read once, because a captured request's method and URL may
/// stand there too.
fn settings(text: Option<&str>) -> anyhow::Result<Json> {
    let Some(text) = text else { return Ok(Json::Null) };
    serde_json::from_str(text)
        .map_err(|error| Usage::new(format!("--scheme-config is not JSON: {error}")).into())
}

/// The policy of this name; without a name or settings, what the provider's source accepts.
pub(super) fn policy(
    provider: &Provider,
    name: Option<&str>,
    settings: &Json,
) -> anyhow::Result<Policy> {
    if name.is_none()
        && settings.is_null()
        && let Some(policy) = named::default_policy(provider.name)
    {
        return Ok(policy);
    }
    named::policy(name.unwrap_or(provider.policy), settings)
        .map_err(|error| Usage::new(error.to_string()).into())
}

/// The headers as they would have come off the wire. Any bytes will do for a value: what
/// HTTP would not carry proves nothing, and is judged so.
fn headers(texts: &[OsString]) -> anyhow::Result<Headers> {
    let mut headers = Headers::with_capacity(texts.len());
    for text in texts {
        let text = text.as_bytes();
        let colon = text.iter().position(|it| *it == b':').unwrap_or(text.len());
        let (name, value) = text.split_at_checked(colon).unwrap_or_default();
        let wrong = || {
            let name = visible(&String::from_utf8_lossy(name));
            Usage::new(format!("--header {name}: write it as 'Name: value'"))
        };
        let value = value.strip_prefix(b":").ok_or_else(wrong)?;
        let name = HeaderName::from_bytes(name.trim_ascii()).map_err(|_| wrong())?;
        headers.push_plain(name, value.to_vec());
    }
    Ok(headers)
}

/// The header whose value no HTTP message can carry, if there is one. A server never sees
/// it, so it proves nothing, even where it fits.
fn uncarried(headers: &Headers) -> Option<&HeaderName> {
    let is_odd = |value: &Value| match value {
        Value::Plain(bytes) => HeaderValue::from_bytes(bytes.trim_ascii()).is_err(),
        Value::Hashed { .. } => false,
    };
    headers.iter().find(|(_, value)| is_odd(value)).map(|(name, _)| name)
}

fn uncarriable(name: &HeaderName, as_json: bool) -> anyhow::Result<Outcome> {
    let reason = format!("the value of `{name}` has characters that HTTP does not carry");
    if as_json {
        let verdict =
            json!({ "verdict": "reject", "scheme": null, "reason": reason, "mistakes": [] });
        line(verdict)?;
    } else {
        line(format_args!("reject: {reason}"))?;
    }
    Ok(Outcome::Refused)
}

fn secrets(
    given: &[OsString],
    provider: &Provider,
    environment: &Environment,
) -> anyhow::Result<Secrets> {
    if !given.is_empty() {
        return Ok(both(texts(given)));
    }
    let text = |names: &[&str]| -> anyhow::Result<String> {
        Ok(environment.first(names)?.map(|it| it.value).unwrap_or_default())
    };
    let account_key = text(provider.account_key_variable.as_slice())?;
    Ok(Secrets::from_text(&text(provider.secret_variables)?, &account_key))
}

/// A secret on the command line may be of either kind: the scheme tells.
fn both(secrets: Vec<Secret>) -> Secrets {
    Secrets::new(secrets.clone(), secrets)
}

/// Exactly as given: a blank at an end is a part of it.
fn texts(secrets: &[OsString]) -> Vec<Secret> {
    secrets.iter().map(|it| Secret::new(it.as_bytes())).collect()
}

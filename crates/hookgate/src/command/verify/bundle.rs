//! `hookgate verify --bundle`: judges every event of an export again, offline, at the time it
//! was received.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::path::Path;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookgate_core::digest::sha256;
use hookgate_core::headers::Headers;
use hookgate_core::mask::visible;
use hookgate_core::provider::{self, Provider};
use hookgate_core::scheme::{Policy, Proof as Kind};
use hookgate_core::secret::{Secret, Secrets};
use hookgate_core::time::Timestamp;
use hookgate_core::{named, verify};
use http::HeaderName;
use serde_json::{Value, json};

use crate::cli::Verify;
use crate::config::{Config, Flags};
use crate::environment::Environment;
use crate::exit::{Outcome, Usage};
use crate::output::line;
use crate::stored::text;

/// The longest line of a bundle, in bytes: the largest body in base64, and its headers.
const LINE_BYTES_MAX: u64 = 200 * 1024 * 1024;

/// How wide a cell of a line may be, in characters.
const CELL_CHARS_MAX: usize = 100;

/// What came of an event.
enum Verdict {
    /// It proves its origin.
    Accept,
    /// It does not, or is not what was stored.
    Reject(String),
    /// It did not when it came, and was kept in quarantine.
    Unproven,
    /// Nothing in the bundle tells.
    Unjudged(&'static str),
}

impl Verdict {
    const fn name(&self) -> &'static str {
        match self {
            Self::Accept => "accept",
            Self::Reject(_) => "reject",
            Self::Unproven => "unproven",
            Self::Unjudged(_) => "unjudged",
        }
    }

    fn reason(&self) -> Option<&str> {
        match self {
            Self::Accept => None,
            Self::Reject(why) => Some(why),
            Self::Unproven => Some("it did not prove its origin when it came"),
            Self::Unjudged(why) => Some(why),
        }
    }
}

/// How many events got which verdict.
#[derive(Default)]
struct Counts {
    accepted: u64,
    rejected: u64,
    unproven: u64,
    unjudged: u64,
}

impl Counts {
    fn add(&mut self, verdict: &Verdict) {
        let count = match verdict {
            Verdict::Accept => &mut self.accepted,
            Verdict::Reject(_) => &mut self.rejected,
            Verdict::Unproven => &mut self.unproven,
            Verdict::Unjudged(_) => &mut self.unjudged,
        };
        *count = count.saturating_add(1);
    }
}

/// What events are judged by: the configuration of the gateway, and the flags over it.
struct Judge {
    config: Config,
    /// Instead of those of the configuration.
    secrets: Option<Secrets>,
    /// The public scheme and host.
    base: String,
}

/// Runs the command.
pub(super) fn run(
    path: &Path,
    flags: &Verify,
    environment: &Environment,
) -> anyhow::Result<Outcome> {
    let config = Config::resolve(&Flags::default(), environment)?;
    let given: Vec<Secret> = super::texts(&flags.secret);
    let base = flags.url.clone().or_else(|| config.public_url.clone()).unwrap_or_default();
    let secrets = (!given.is_empty()).then(|| super::both(given));
    let judge = Judge { config, secrets, base: base.trim_end_matches('/').to_owned() };
    let mut counts = Counts::default();
    let mut reader = open(path)?;
    let mut number = 0_u64;
    loop {
        let mut bytes = Vec::new();
        let limit = LINE_BYTES_MAX.saturating_add(1);
        let read = reader.by_ref().take(limit).read_until(b'\n', &mut bytes);
        if read.with_context(|| format!("cannot read {}", path.display()))? == 0 {
            break;
        }
        number = number.saturating_add(1);
        if bytes.trim_ascii().is_empty() {
            continue;
        }
        let event: Option<Value> = serde_json::from_slice(&bytes).ok();
        let Some(event) = event.filter(Value::is_object) else {
            return Err(Usage::new(format!(
                "line {number} of {} is no event of `hookgate events export`",
                path.display()
            ))
            .into());
        };
        drop(bytes);
        let verdict = judge.judge(&event);
        counts.add(&verdict);
        print(&event, &verdict, flags.json)?;
    }
    sum_up(&counts, flags.json)
}

fn open(path: &Path) -> anyhow::Result<Box<dyn BufRead>> {
    if path == Path::new("-") {
        return Ok(Box::new(BufReader::new(io::stdin())));
    }
    let file = File::open(path)
        .map_err(|error| Usage::new(format!("cannot read {}: {error}", path.display())))?;
    Ok(Box::new(BufReader::new(file)))
}

fn print(event: &Value, verdict: &Verdict, as_json: bool) -> anyhow::Result<()> {
    if as_json {
        line(json!({
            "id": event.get("id"),
            "verdict": verdict.name(),
            "scheme": event.pointer("/verification/scheme"),
            "reason": verdict.reason(),
        }))?;
        return Ok(());
    }
    let id = text(event, "/id", CELL_CHARS_MAX);
    let scheme = text(event, "/verification/scheme", CELL_CHARS_MAX);
    match verdict.reason() {
        None => line(format_args!("{id}  {}  {scheme}", verdict.name()))?,
        Some(why) => line(format_args!("{id}  {}  {scheme}: {}", verdict.name(), visible(why)))?,
    }
    Ok(())
}

fn sum_up(counts: &Counts, as_json: bool) -> anyhow::Result<Outcome> {
    let Counts { accepted, rejected, unproven, unjudged } = counts;
    if as_json {
        line(json!({
            "accepted": accepted, "rejected": rejected, "unproven": unproven, "unjudged": unjudged,
        }))?;
    } else {
        line(format_args!(
            "{accepted} accepted, {rejected} rejected, {unproven} not proven when they came, \
             {unjudged} that cannot be judged offline"
        ))?;
    }
    // An empty bundle proves nothing.
    let is_proven = *rejected == 0 && *accepted > 0;
    Ok(if is_proven { Outcome::Done } else { Outcome::Refused })
}

impl Judge {
    fn judge(&self, event: &Value) -> Verdict {
        self.try_to_judge(event).unwrap_or_else(|verdict| verdict)
    }

    fn try_to_judge(&self, event: &Value) -> Result<Verdict, Verdict> {
        let odd = |what: &str| Verdict::Reject(format!("`{what}` is missing or odd"));
        let field = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
        let body = match event.get("body_base64") {
            Some(Value::String(body)) => STANDARD.decode(body).map_err(|_| odd("body_base64"))?,
            Some(Value::Null) => return Err(Verdict::Unjudged("its bytes were erased")),
            _ => return Err(odd("body_base64")),
        };
        let digest = field("/sha256").ok_or_else(|| odd("sha256"))?;
        if hex::encode(sha256(&body)) != digest {
            return Err(Verdict::Reject("the bytes are not those of its digest".to_owned()));
        }
        if field("/verification/verdict").ok_or_else(|| odd("verification"))? != "verified" {
            return Ok(Verdict::Unproven);
        }
        let scheme = field("/verification/scheme").ok_or_else(|| odd("verification"))?;
        let provider = field("/provider").and_then(provider::named);
        let provider = provider.ok_or_else(|| odd("provider"))?;
        let source = field("/source").ok_or_else(|| odd("source"))?;
        let (policy, secrets) = self.proving(source, provider, scheme)?;
        if policy.schemes().iter().all(|it| matches!(it.proof, Kind::Token(_))) {
            return Err(Verdict::Unjudged("it came with a token, of which only a hash is kept"));
        }
        let at = field("/received_at").and_then(Timestamp::parse);
        let at = at.ok_or_else(|| odd("received_at"))?;
        let headers = headers(event).ok_or_else(|| odd("headers"))?;
        let method = field("/method").ok_or_else(|| odd("method"))?;
        let url = format!("{}{}", self.base, field("/target").unwrap_or_default());
        let envelope = verify::Envelope { method, url: &url, headers: &headers, mask_key: None };
        let judged = verify::verify(&policy, &secrets, envelope, &body, at);
        judged.map(|_| Verdict::Accept).map_err(|rejected| Verdict::Reject(rejected.to_string()))
    }

    /// The scheme by which the event was proven, as its source has it, and its secrets.
    fn proving(
        &self,
        source: &str,
        provider: &Provider,
        scheme: &str,
    ) -> Result<(Policy, Secrets), Verdict> {
        let configured = self.config.sources.iter().map(|it| &it.source);
        let configured = configured.into_iter().find(|it| it.name == source);
        let of_provider = named::default_policy(provider.name);
        let tools = configured.map(|it| it.proving(Some("")));
        let events = configured.map(|it| it.proving(None));
        let built_in = of_provider.as_ref().map(|policy| (policy, None));
        let candidates = events
            .into_iter()
            .chain(tools)
            .map(|(policy, secrets)| (policy, Some(secrets)))
            .chain(built_in);
        for (policy, secrets) in candidates {
            let schemes = policy.schemes().iter().filter(|it| it.name == scheme);
            let schemes: Vec<_> = schemes.cloned().collect();
            if schemes.is_empty() {
                continue;
            }
            let secrets = match (&self.secrets, secrets) {
                (Some(given), _) => given.clone(),
                (None, Some(secrets)) => secrets.clone(),
                (None, None) => Secrets::new(Vec::new(), Vec::new()),
            };
            return Ok((Policy::Any(schemes), secrets));
        }
        Err(Verdict::Reject(format!(
            "the source {source} has no scheme {scheme} here: run this where its configuration is"
        )))
    }
}

fn headers(event: &Value) -> Option<Headers> {
    let entries = event.get("headers")?.as_array()?;
    let mut headers = Headers::with_capacity(entries.len());
    for entry in entries {
        let name = HeaderName::try_from(entry.get(0)?.as_str()?).ok()?;
        headers.push_plain(name, entry.get(1)?.as_str()?.as_bytes().to_vec());
    }
    Some(headers)
}

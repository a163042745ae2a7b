//! `hookgate send`: signs a sample as a provider does, and posts it.

mod tools;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use hookgate_core::mask::visible;
use hookgate_core::provider::{Provider, Refusal};
use hookgate_core::scheme::{Policy, Proof};
use hookgate_core::secret::Secret;
use hookgate_core::tool::catalog;
use http::HeaderName;
use serde_json::Value;

use super::secret;
use super::sign::{CarriesKey, Signer};
use crate::cli::Send;
use crate::client;
use crate::environment::{self, Environment};
use crate::exit::{Outcome, Usage};
use crate::output::{line, table};
use crate::{fresh, input, random};

/// How long one request may take. Longer than any provider waits but Vapi's tools (20 s).
const WAIT: Duration = Duration::from_secs(30);

/// How much of an answer is printed, in characters.
const ANSWER_CHARS_MAX: usize = 2000;

/// How much of an answer is read, in bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// The start of an event's name that means a tool call.
const TOOL: &str = "tool:";

/// What stands before a tool's name in the URL of a source.
const TOOLS: &str = "/tools/";

/// What is said of a request that is refused although it is proven.
const OWNERLESS: &str = "It is proven, and the ids in it are nobody's or somebody else's: hookgate events list --status \
     quarantined has it. Next: hookgate binding add (its agent or number); of somebody else's, hookgate \
     violations list.";

/// Runs the command.
pub(crate) fn run(flags: &Send, environment: &Environment) -> anyhow::Result<Outcome> {
    let post = Arc::new(Post::prepare(flags, environment)?);
    client::block_on(async {
        if flags.count == 1 {
            once(&post).await
        } else {
            often(post, flags.count, flags.concurrency).await
        }
    })
}

/// What is posted, and where to.
struct Post {
    url: reqwest::Url,
    content: Content,
    signer: Signer,
    secret: Secret,
    tamper: bool,
    client: reqwest::Client,
    provider: &'static Provider,
}

enum Content {
    /// A file, exactly.
    Exact(Vec<u8>),
    /// A sample; each request is a new event.
    Sample(Value),
}

/// What came back.
struct Answer {
    status: reqwest::StatusCode,
    body: String,
    took: Duration,
    sent_bytes: usize,
}

impl Post {
    fn prepare(flags: &Send, environment: &Environment) -> anyhow::Result<Self> {
        let provider = secret::named(&flags.provider)?;
        let content = match &flags.body {
            Some(path) => Content::Exact(input::body(path)?),
            None => Content::Sample(sample(provider, flags.event.as_deref())?),
        };
        let url = url(provider, flags, environment)?;
        let calls = provider.calls.as_ref().filter(|_| url.path().contains(TOOLS));
        let signer = match (flags.scheme.as_deref(), calls.and_then(|it| it.policy)) {
            (None, Some(policy)) => Signer::with_token(provider, policy)?,
            (scheme, _) => Signer::new(provider, scheme, content.carries_key(provider))?,
        };
        let secret = match (&flags.secret, &flags.secret_file) {
            (Some(secret), _) => Secret::new(secret.as_str()),
            (None, Some(path)) => {
                let text = environment::read_value(path).map_err(|error| {
                    Usage::new(format!("--secret-file {}: {error:#}", path.display()))
                })?;
                text.split_whitespace()
                    .next()
                    .map(Secret::new)
                    .context("the secret's file is empty")?
            }
            (None, None) => signer.secret(environment)?,
        };
        let client = client::http(&url, WAIT)?;
        Ok(Self { url, content, signer, secret, tamper: flags.tamper, client, provider })
    }

    /// The body of one request.
    fn body(&self) -> anyhow::Result<Vec<u8>> {
        let mut body = match &self.content {
            Content::Exact(bytes) => return Ok(bytes.clone()),
            Content::Sample(value) => value.clone(),
        };
        let mut fault = None;
        fresh::renew(&mut body, input::now(), &mut || {
            random::bytes().unwrap_or_else(|error| {
                fault = Some(error);
                [0; 16]
            })
        });
        if let Some(error) = fault {
            return Err(error);
        }
        if let Proof::BodyKey(path) = self.signer.scheme().proof {
            put_key(&mut body, path, &self.secret)?;
        }
        Ok(body.to_string().into_bytes())
    }

    async fn send(&self) -> anyhow::Result<Answer> {
        let mut body = self.body()?;
        let in_body = matches!(self.signer.scheme().proof, Proof::BodyKey(_));
        let mut headers = if in_body {
            Vec::new()
        } else {
            self.signer.sign(&self.secret, self.url.as_str(), &body, input::now())?
        };
        if self.tamper {
            self.tamper(&mut body, &mut headers);
        }
        let sent_bytes = body.len();
        let mut request = self
            .client
            .post(self.url.clone())
            .header("content-type", "application/json")
            .header("user-agent", format!("hookgate-send/{}", env!("CARGO_PKG_VERSION")));
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let began = Instant::now();
        let sent = request.body(body).send().await.map_err(reqwest::Error::without_url);
        let mut response = sent.with_context(|| {
            format!("cannot reach {}: is `hookgate serve` running there?", self.url)
        })?;
        let status = response.status();
        let mut answer = Vec::new();
        while let Some(chunk) = response.chunk().await.context("the answer broke off")? {
            answer.extend_from_slice(&chunk);
            if answer.len() > ANSWER_BYTES_MAX {
                break;
            }
        }
        let body = String::from_utf8_lossy(&answer).into_owned();
        Ok(Answer { status, body, took: began.elapsed(), sent_bytes })
    }
}

impl Post {
    /// Changes one byte of what is proven: of the body under a digest, else of the secret
    /// itself, which does not care for the body.
    fn tamper(&self, body: &mut Vec<u8>, headers: &mut [(HeaderName, String)]) {
        let place = match (&self.signer.scheme().proof, headers) {
            (Proof::Token(_), [(_, value), ..]) => {
                let last = value.pop();
                value.push(if last == Some('0') { '1' } else { '0' });
                return;
            }
            (Proof::BodyKey(_), _) => {
                let key = self.secret.expose();
                let at = body.windows(key.len().max(1)).position(|it| it == key);
                at.and_then(|at| body.get_mut(at))
            }
            // Behind the last letter or digit mostly stands a bracket: JSON stays JSON.
            _ => body.iter_mut().rev().find(|it| it.is_ascii_alphanumeric()),
        };
        match place {
            Some(byte) => *byte = if *byte == b'0' { b'1' } else { b'0' },
            None => body.push(b' '),
        }
    }
}

impl Content {
    /// Whether the body has a field for an account key.
    fn carries_key(&self, provider: &Provider) -> CarriesKey {
        let parsed;
        let value = match self {
            Self::Sample(value) => value,
            Self::Exact(bytes) => {
                parsed = serde_json::from_slice(bytes).unwrap_or(Value::Null);
                &parsed
            }
        };
        let policy = hookgate_core::named::default_policy(provider.name);
        let schemes = policy.iter().flat_map(Policy::schemes);
        let mut paths = schemes.filter_map(|it| match it.proof {
            Proof::BodyKey(path) => Some(path),
            Proof::Mac(_) | Proof::Token(_) => None,
        });
        let carries = paths.any(|path| value.pointer(&format!("/{}", path.join("/"))).is_some());
        if carries { CarriesKey::Yes } else { CarriesKey::No }
    }
}

async fn once(post: &Post) -> anyhow::Result<Outcome> {
    let answer = post.send().await?;
    line(format_args!(
        "POST {} ({} bytes, {})",
        post.url,
        answer.sent_bytes,
        post.signer.scheme().name
    ))?;
    line(format_args!("{} in {}", answer.status, millis(answer.took)))?;
    let body: String = visible(&answer.body).chars().take(ANSWER_CHARS_MAX).collect();
    if !body.is_empty() {
        line(body)?;
    }
    for advice in advice(post, &answer) {
        line(advice)?;
    }
    Ok(if answer.status.is_success() { Outcome::Done } else { Outcome::Refused })
}

/// What to do next.
fn advice(post: &Post, answer: &Answer) -> Vec<String> {
    let provider = post.provider;
    let Refusal { status, body } = provider.refusal;
    let is_refusal = (answer.status.as_u16(), answer.body.as_str()) == (status, body);
    let compare = format!(
        "The gateway holds another secret: compare {} there and here.",
        provider.secret_variables.first().unwrap_or(&"the secret")
    );
    let retry =
        "Next: hookgate rejections list says why; after mending it, hookgate rejections retry.";
    let one = |text: String| vec![text];
    match answer.status.as_u16() {
        200..=299 => one("Next: hookgate events list".to_owned()),
        _ if is_refusal && post.tamper => vec![
            "Refused, as a request that was changed on its way must be.".to_owned(),
            "Next: hookgate rejections list".to_owned(),
        ],
        // Some providers have one answer for both.
        _ if is_refusal && body == Refusal::UNAUTHORIZED.body => {
            vec![compare, retry.to_owned(), format!("If it is not there: {OWNERLESS}")]
        }
        _ if is_refusal => vec![compare, retry.to_owned()],
        401 if answer.body == Refusal::UNAUTHORIZED.body => one(OWNERLESS.to_owned()),
        400 if answer.body.contains("Missing call ID") => {
            one("It is proven, and names no call.".to_owned())
        }
        400 if answer.body.contains("No organization context") => one(
            "It is proven, and its org_id or integration_id is nobody's: hookgate tenant add, or hookgate binding add."
                .to_owned(),
        ),
        404 if answer.body.contains("Call not found") => one(
            "It is proven, and its call is nobody's: hookgate binding add (its agent or number), or hookgate \
             conversations register."
                .to_owned(),
        ),
        400 => one("It is proven, but its body is not what this provider sends.".to_owned()),
        404 => one(format!(
            "No source has this path; {}'s are {} and /in/{}.",
            provider.title,
            provider.paths.join(", "),
            provider.name
        )),
        413 => {
            one("The body is too large: see `limits` of the source in hookgate.toml.".to_owned())
        }
        429 => one("Too many at once: lower --concurrency.".to_owned()),
        503 => one("The gateway cannot store now: hookgate doctor says why.".to_owned()),
        _ => Vec::new(),
    }
}

/// Sends `count` events and prints a summary.
async fn often(post: Arc<Post>, count: u32, concurrency: u32) -> anyhow::Result<Outcome> {
    let begun = Arc::new(AtomicU32::new(0));
    let started = Instant::now();
    let mut senders = tokio::task::JoinSet::new();
    for _ in 0..concurrency.min(count) {
        let (post, begun) = (Arc::clone(&post), Arc::clone(&begun));
        senders.spawn(async move {
            let mut results = Vec::new();
            while begun.fetch_add(1, Ordering::Relaxed) < count {
                let result = post.send().await;
                results.push(
                    result.map(|it| (it.status.as_u16(), it.took)).map_err(|it| format!("{it:#}")),
                );
            }
            results
        });
    }
    let mut statuses: BTreeMap<u16, u32> = BTreeMap::new();
    let mut failures: BTreeMap<String, u32> = BTreeMap::new();
    let mut times = Vec::new();
    while let Some(results) = senders.join_next().await {
        for result in results.context("a sender failed")? {
            match result {
                Ok((status, took)) => {
                    let count = statuses.entry(status).or_default();
                    *count = count.saturating_add(1);
                    times.push(took);
                }
                Err(failure) => {
                    let count = failures.entry(failure).or_default();
                    *count = count.saturating_add(1);
                }
            }
        }
    }
    let elapsed = started.elapsed();
    times.sort_unstable();
    line(format_args!(
        "POST {} {count} times, {concurrency} at once, as {}",
        post.url,
        post.signer.scheme().name
    ))?;
    let mut rows: Vec<Vec<String>> = statuses
        .iter()
        .map(|(status, count)| vec![status.to_string(), count.to_string()])
        .collect();
    rows.extend(failures.iter().map(|(failure, count)| vec![failure.clone(), count.to_string()]));
    rows.push(vec!["p50".to_owned(), percentile(&times, 50)]);
    rows.push(vec!["p99".to_owned(), percentile(&times, 99)]);
    rows.push(vec![
        "a second".to_owned(),
        format!("{:.0}", f64::from(count) / elapsed.as_secs_f64()),
    ]);
    table(&[], &rows)?;
    let all_accepted = failures.is_empty() && statuses.keys().all(|it| (200..300).contains(it));
    Ok(if all_accepted { Outcome::Done } else { Outcome::Refused })
}

fn percentile(sorted: &[Duration], percent: usize) -> String {
    let rank = sorted.len().saturating_mul(percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).map_or_else(|| "-".to_owned(), |it| millis(*it))
}

fn millis(took: Duration) -> String {
    format!("{:.1} ms", took.as_secs_f64() * 1000.0)
}

/// The sample of this name: the first without one.
fn sample(provider: &Provider, event: Option<&str>) -> anyhow::Result<Value> {
    let samples = provider.samples;
    let named = |name: &str| samples.iter().find(|it| it.0 == name);
    let found = match event {
        None => samples.first(),
        Some(event) => {
            if let Some(tool) = event.strip_prefix(TOOL)
                && let Some(body) = tools::sample(provider, tool, input::now())?
            {
                return Ok(body);
            }
            named(event)
        }
    };
    let (name, text) = found.ok_or_else(|| {
        let mut all: Vec<String> = samples.iter().map(|it| it.0.to_owned()).collect();
        if provider.calls.is_some() {
            all.extend(catalog::ALL.iter().map(|it| format!("{TOOL}{}", it.name)));
        }
        all.sort_unstable();
        all.dedup();
        Usage::new(format!(
            "{} has no sample of that name; there are {}",
            provider.title,
            all.join(", ")
        ))
    })?;
    serde_json::from_str(text).with_context(|| format!("the sample {name} is not JSON"))
}

/// Where to: `--to`, else the gateway of this machine. A base gets the provider's path.
fn url(
    provider: &Provider,
    flags: &Send,
    environment: &Environment,
) -> anyhow::Result<reqwest::Url> {
    let base = match &flags.to {
        Some(to) => to.clone(),
        None => client::base_url(environment)?,
    };
    let mut url = client::parse_url(&base)?;
    let tool = flags.event.as_deref().and_then(|it| it.strip_prefix(TOOL));
    if let Some(tool) = tool
        && provider.calls.as_ref().is_some_and(|it| it.policy.is_some())
        && !url.path().contains(TOOLS)
    {
        let name = provider.name;
        return Err(Usage::new(format!(
            "{}'s tools have URLs of their own: give --to http://…/in/{name}/TOKEN{TOOLS}{} with the token that \
             `hookgate source token add {name}` prints",
            provider.title,
            visible(tool),
        ))
        .into());
    }
    if url.path() == "/" && url.query().is_none() {
        let tool = tool.map(hookgate_core::tool::canonical);
        let tool = tool.and_then(|tool| provider.tool_paths.iter().find(|it| it.1 == tool));
        let first = provider.paths.first().context("the provider has no path")?;
        url.set_path(tool.map_or(*first, |it| it.0));
    }
    Ok(url)
}

fn put_key(body: &mut Value, path: &[&str], secret: &Secret) -> anyhow::Result<()> {
    let key = std::str::from_utf8(secret.expose()).context("the account key is not text")?;
    let place = body.pointer_mut(&format!("/{}", path.join("/")));
    *place.context("the sample has no place for the account key")? = Value::from(key);
    Ok(())
}

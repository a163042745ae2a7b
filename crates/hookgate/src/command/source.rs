//! `hookgate source`: inbound endpoints, and the secret ends of their URLs.

use serde_json::{Map, Value, json};

use super::secret;
use super::tenant::limit;
use crate::cli::registry::{Source, SourceSettings, SourceToken};
use crate::client::{self, Api, Rows, or_missing, path};
use crate::environment::Environment;
use crate::exit::Outcome;
use crate::input;
use crate::output::{line, remark};
use crate::record::{self, CELL_CHARS_MAX, Column};
use crate::stored::{self, moment, text};

/// Where sources are.
const PATH: &str = "/api/v1/sources";

/// How many sources are listed at most: more than any installation has.
const SOURCES_MAX: usize = 100_000;

/// What a source does with requests that prove nothing.
const VERIFICATIONS: [&str; 3] = ["auto", "enforce", "record"];

/// What a source does with requests that are not their tenant's.
const OWNERSHIPS: [&str; 3] = ["auto", "observe", "enforce"];

/// Runs the command.
pub(crate) fn run(command: Source, environment: &Environment) -> anyhow::Result<Outcome> {
    client::block_on(async {
        let api = Api::here(environment)?;
        match command {
            Source::Add { name, settings, print } => add(&api, &name, &settings, print.json).await,
            Source::List { print } => {
                record::list(&list(&api).await?, &COLUMNS, print.json, "There are no sources.")
            }
            Source::Show { name, print } => {
                let source = find(&api, &name).await?;
                if print.json {
                    line(source)?;
                } else {
                    show(&source)?;
                }
                Ok(Outcome::Done)
            }
            Source::Remove { name, print } => remove(&api, &name, print.json).await,
            Source::Token(command) => token(&api, command).await,
        }
    })
}

const COLUMNS: [Column; 8] = [
    ("NAME", |it| text(it, "/name", CELL_CHARS_MAX)),
    ("PROVIDER", |it| text(it, "/provider", CELL_CHARS_MAX)),
    ("TENANT", |it| text(it, "/tenant", CELL_CHARS_MAX)),
    ("VERIFICATION", |it| text(it, "/verification", CELL_CHARS_MAX)),
    ("OWNERSHIP", |it| text(it, "/ownership", CELL_CHARS_MAX)),
    ("ADOPTS", |it| match it.get("adopt") {
        Some(Value::Bool(false)) => "no".to_owned(),
        _ => "yes".to_owned(),
    }),
    ("SECRETS", |it| text(it, "/secrets", CELL_CHARS_MAX)),
    ("URL TOKENS", |it| text(it, "/tokens", CELL_CHARS_MAX)),
];

/// All sources.
pub(super) async fn list(api: &Api) -> anyhow::Result<Rows> {
    api.list(PATH, &[], SOURCES_MAX).await
}

async fn find(api: &Api, name: &str) -> anyhow::Result<Value> {
    let mut sources = list(api).await?.data.into_iter();
    let found = sources.find(|it| it.get("name").and_then(Value::as_str) == Some(name));
    found.ok_or_else(|| anyhow::anyhow!(missing(name)))
}

/// Prints a source, and its schemes as a table.
fn show(source: &Value) -> anyhow::Result<()> {
    record::print(source, &["policy", "schemes"])?;
    let schemes = source.pointer("/policy/schemes").and_then(Value::as_array);
    let Some(schemes) = schemes.filter(|it| !it.is_empty()) else { return Ok(()) };
    line(match source.pointer("/policy/takes").and_then(Value::as_str) {
        Some("any") => "\nAny one of these proofs will do:",
        _ => "\nThe first of these that is there decides:",
    })?;
    record::print_table(schemes, &SCHEMES)
}

const SCHEMES: [Column; 5] = [
    ("  SCHEME", |it| format!("  {}", text(it, "/name", CELL_CHARS_MAX))),
    ("PROOF", |it| text(it, "/proof", CELL_CHARS_MAX)),
    ("HEADER", |it| text(it, "/header", CELL_CHARS_MAX)),
    ("DIGEST", |it| text(it, "/digest", CELL_CHARS_MAX)),
    ("TIME", |it| text(it, "/timestamp", CELL_CHARS_MAX)),
];

fn missing(name: &str) -> String {
    let name = hookgate_core::mask::visible(name);
    format!("there is no source {name}: `hookgate source list` shows those there are")
}

async fn add(
    api: &Api,
    name: &str,
    settings: &SourceSettings,
    as_json: bool,
) -> anyhow::Result<Outcome> {
    let provider = secret::named(&settings.provider)?;
    let secret = match &settings.secret_file {
        Some(file) => Some(input::secret("--secret-file", file)?),
        None => None,
    };
    let verification =
        stored::one_of("--verification", settings.verification.as_deref(), &VERIFICATIONS)?;
    let ownership = stored::one_of("--ownership", settings.ownership.as_deref(), &OWNERSHIPS)?;
    let mut body = Map::new();
    body.insert("name".to_owned(), name.into());
    body.insert("provider".to_owned(), provider.name.into());
    let has_secret = secret.is_some();
    for (field, value) in [
        ("tenant", settings.tenant.clone()),
        ("secret", secret),
        ("verification", verification),
        ("ownership", ownership),
    ] {
        body.extend(value.map(|it| (field.to_owned(), Value::from(it))));
    }
    if settings.no_adopt {
        body.insert("adopt".to_owned(), false.into());
    }
    if !settings.scheme.is_empty() {
        body.insert("schemes".to_owned(), settings.scheme.clone().into());
    }
    let tenant = settings.tenant.as_deref().unwrap_or_default();
    let made = or_missing(api.post(PATH, &body.into()).await, &super::tenant::missing(tenant))?;
    if !as_json && !has_secret {
        remark(
            "Without --secret-file nothing is proven: what comes is kept in quarantine. To give it \
             a secret, remove it and add it again.",
        );
    }
    print_url(api, &made, as_json)?;
    if !as_json {
        remark(format_args!("Paste it where {} has it: {}", provider.title, provider.dashboard));
    }
    Ok(Outcome::Done)
}

/// Prints the URL alone, so that a script can take it, and remarks that it is shown once.
fn print_url(api: &Api, made: &Value, as_json: bool) -> anyhow::Result<()> {
    let url = made.get("url").and_then(Value::as_str).unwrap_or_default();
    let is_whole = url.contains("://");
    let url = if is_whole { url.to_owned() } else { format!("{}{url}", api.base()) };
    if as_json {
        let mut made = made.clone();
        if let Value::Object(fields) = &mut made {
            fields.insert("url".to_owned(), url.into());
        }
        return Ok(line(made)?);
    }
    if !is_whole {
        remark("HOOKGATE_PUBLIC_URL is not set: this is the URL as this machine calls it.");
    }
    remark("The URL is shown once: its end is a secret, of which only a digest is kept.");
    line(hookgate_core::mask::visible(&url))?;
    Ok(())
}

async fn remove(api: &Api, name: &str, as_json: bool) -> anyhow::Result<Outcome> {
    let removed = match api.delete(&path(&["sources", name])?, &[]).await {
        Err(error) if client::is_problem(&error, "reserved") => {
            return Err(error.context(
                "it is built in, or stands in the configuration file: take [source.…] out there",
            ));
        }
        removed => removed,
    };
    or_missing(removed, &missing(name))?;
    let sentence = format!("The source {name} and its URLs are gone. Its events stay.");
    record::done(&json!({ "removed": name }), as_json, sentence)?;
    Ok(Outcome::Done)
}

async fn token(api: &Api, command: SourceToken) -> anyhow::Result<Outcome> {
    match command {
        SourceToken::Add { name, tenant, print } => {
            let mut body = Map::new();
            body.extend(tenant.clone().map(|it| ("tenant".to_owned(), Value::from(it))));
            let made = api.post(&path(&["sources", &name, "tokens"])?, &body.into()).await;
            let absent = match (&made, tenant) {
                (Err(error), Some(tenant)) if client::is_problem(error, "no-such-tenant") => {
                    super::tenant::missing(&tenant)
                }
                _ => missing(&name),
            };
            print_url(api, &or_missing(made, &absent)?, print.json)?;
        }
        SourceToken::List { name, listing } => {
            let at = path(&["sources", &name, "tokens"])?;
            let rows = or_missing(api.list(&at, &[], limit(listing.limit)).await, &missing(&name))?;
            let none = "No URL tokens. `hookgate source token add NAME` makes one.";
            return record::list(&rows, &TOKENS, listing.json, none);
        }
        SourceToken::Rotate { name, id, grace, print } => {
            let grace = input::seconds("--grace", &grace)?;
            let at = path(&["sources", &name, "tokens", &id, "rotate"])?;
            let made = api.post(&at, &json!({ "grace_seconds": grace })).await;
            print_url(api, &or_missing(made, &missing_token(&name))?, print.json)?;
            if !print.json {
                remark(format_args!("The old URL works for another {grace} s."));
            }
        }
        SourceToken::Remove { name, id, print } => {
            let removed = api.delete(&path(&["sources", &name, "tokens", &id])?, &[]).await;
            or_missing(removed, &missing_token(&name))?;
            let sentence = "The token is gone: its URL leads nowhere now.";
            record::done(&json!({ "removed": id }), print.json, sentence)?;
        }
    }
    Ok(Outcome::Done)
}

fn missing_token(name: &str) -> String {
    let name = hookgate_core::mask::visible(name);
    format!("there is no such URL token: `hookgate source token list {name}` shows those there are")
}

const TOKENS: [Column; 5] = [
    ("ID", |it| text(it, "/id", CELL_CHARS_MAX)),
    ("TENANT", |it| text(it, "/tenant", CELL_CHARS_MAX)),
    ("ENDS WITH", |it| text(it, "/hint", CELL_CHARS_MAX)),
    ("MADE", |it| moment(it, "/created_at")),
    ("WORKS UNTIL", |it| moment(it, "/expires_at")),
];

//! `hookgate binding`: which ids of the providers are whose.

mod import;
mod integrations;

use std::path::Path;

use anyhow::Context as _;
use hookgate_core::digest::sha256;
use hookgate_core::event::ClaimKind;
use hookgate_core::mask::visible;
use serde_json::json;

use self::integrations::Mode;
use super::secret;
use super::tenant::{self, limit};
use crate::cli::registry::{Binding, Listing};
use crate::client::{self, Api, or_missing};
use crate::environment::Environment;
use crate::exit::{Outcome, Usage};
use crate::input;
use crate::output::line;
use crate::record::{self, CELL_CHARS_MAX, Column};
use crate::stored::{self, moment, text};

/// Where bindings are.
const PATH: &str = "/api/v1/bindings";

/// Runs the command.
pub(crate) fn run(command: Binding, environment: &Environment) -> anyhow::Result<Outcome> {
    if let Binding::Import { org_integrations: true, from, dry_run, print, .. } = &command {
        let mode = if *dry_run { Mode::Dry } else { Mode::Real };
        return integrations::run(from.as_ref(), mode, print.json, environment);
    }
    client::block_on(async {
        let api = Api::here(environment)?;
        match command {
            Binding::Add { tenant, provider, kind, ids, key_file, print } => {
                let provider = secret::named(&provider)?.name;
                let kind = kind_named(&kind)?;
                let ids = match key_file {
                    None => ids,
                    Some(file) => vec![account(kind, &file)?],
                };
                let ids = ids.into_iter().map(|it| Bound { provider, kind, external_id: it });
                bind(&api, &tenant, ids.collect(), print.json).await
            }
            Binding::Import { tenant, file, print, .. } => {
                let (Some(tenant), Some(file)) = (tenant, file) else {
                    return Err(
                        Usage::new("give --tenant and a file, or --org-integrations").into()
                    );
                };
                let ids = import::read(&file)?;
                bind(&api, &tenant, ids, print.json).await
            }
            Binding::List { tenant, provider, kind, external_id, listing } => {
                let provider = provider.map(|it| secret::named(&it)).transpose()?;
                let kind = kind.map(|it| kind_named(&it)).transpose()?;
                let query = [
                    ("tenant", tenant),
                    ("provider", provider.map(|it| it.name.to_owned())),
                    ("kind", kind.map(|it| it.name().to_owned())),
                    ("external_id", external_id),
                ];
                list(&api, query, listing).await
            }
            Binding::Remove { provider, kind, id, print } => {
                let provider = secret::named(&provider)?.name;
                remove(
                    &api,
                    &Bound { provider, kind: kind_named(&kind)?, external_id: id },
                    print.json,
                )
                .await
            }
        }
    })
}

/// What is bound, or shall be.
struct Bound {
    provider: &'static str,
    kind: ClaimKind,
    external_id: String,
}

/// The kind of this name, if an id of it can be bound.
fn kind_named(name: &str) -> anyhow::Result<ClaimKind> {
    // A tenant's own id in a body names it without a binding.
    let bound = ClaimKind::ALL.into_iter().filter(|it| *it != ClaimKind::Organization);
    let names: Vec<&str> = bound.clone().map(ClaimKind::name).collect();
    stored::one_of("--kind", Some(name), &names)?;
    bound.into_iter().find(|it| it.name() == name).context("no kind has this name")
}

/// The id of the account whose key is in `file`. The key itself is a credential, so an
/// account is known by a digest of it.
fn account(kind: ClaimKind, file: &Path) -> anyhow::Result<String> {
    if kind != ClaimKind::Account {
        return Err(Usage::new("--key-file goes with --kind account").into());
    }
    let key = input::body(file)?;
    let digest = hex::encode(sha256(key.trim_ascii()));
    let head = digest.get(..ACCOUNT_DIGITS).context("a digest is longer")?;
    Ok(format!("sha256:{head}"))
}

/// How many digits of a digest name an account, as on events.
const ACCOUNT_DIGITS: usize = 32;

/// What became of the ids.
#[derive(Default)]
struct Counts {
    created: u64,
    present: u64,
    taken: u64,
}

/// Binds each id, and says what became of it. An id that is somebody else's stops nothing.
async fn bind(api: &Api, tenant: &str, ids: Vec<Bound>, as_json: bool) -> anyhow::Result<Outcome> {
    let mut counts = Counts::default();
    let mut taken = Vec::new();
    for Bound { provider, kind, external_id: id } in ids {
        let body = json!({
            "tenant": tenant, "provider": provider, "kind": kind.name(), "external_id": id,
        });
        let made = match api.create(PATH, &body).await {
            Err(error) if client::is_problem(&error, "taken") => None,
            made => Some(or_missing(made, &tenant::missing(tenant))?.is_new),
        };
        let (count, word) = match made {
            Some(true) => (&mut counts.created, "bound"),
            Some(false) => (&mut counts.present, "bound already"),
            None => (&mut counts.taken, "TAKEN: it is bound to another tenant"),
        };
        *count = count.saturating_add(1);
        if made.is_none() {
            taken.push(json!({ "provider": provider, "kind": kind.name(), "external_id": id }));
        }
        if !as_json {
            line(format_args!("{provider} {} {}: {word}", kind.name(), visible(&id)))?;
        }
    }
    let Counts { created, present, taken: others } = counts;
    let report = json!({ "created": created, "present": present, "taken": others, "ids": taken });
    let sentence = format!("{created} bound to {tenant}, {present} were already, {others} taken.");
    record::done(&report, as_json, sentence)?;
    Ok(if others == 0 { Outcome::Done } else { Outcome::Refused })
}

const COLUMNS: [Column; 5] = [
    ("TENANT", |it| text(it, "/tenant", CELL_CHARS_MAX)),
    ("PROVIDER", |it| text(it, "/provider", CELL_CHARS_MAX)),
    ("KIND", |it| text(it, "/kind", CELL_CHARS_MAX)),
    ("ID", |it| text(it, "/external_id", usize::MAX)),
    ("BOUND", |it| moment(it, "/created_at")),
];

async fn list(
    api: &Api,
    query: [(&'static str, Option<String>); 4],
    listing: Listing,
) -> anyhow::Result<Outcome> {
    let query: Vec<(&'static str, String)> =
        query.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let rows = api.list(PATH, &query, limit(listing.limit)).await?;
    let none = "No bindings. `hookgate binding add --tenant T --provider P --kind agent ID` makes \
                one; `hookgate audit` shows ids that nobody is bound to.";
    record::list(&rows, &COLUMNS, listing.json, none)
}

async fn remove(api: &Api, bound: &Bound, as_json: bool) -> anyhow::Result<Outcome> {
    let (provider, kind) = (bound.provider, bound.kind.name());
    let query = [
        ("provider", provider.to_owned()),
        ("kind", kind.to_owned()),
        ("external_id", bound.external_id.clone()),
    ];
    let shown = visible(&bound.external_id);
    let missing =
        format!("{provider} {kind} {shown} is bound to nobody: see `hookgate binding list`");
    or_missing(api.delete(PATH, &query).await, &missing)?;
    let removed = json!({ "removed": { "provider": provider, "kind": kind, "external_id": bound.external_id } });
    record::done(&removed, as_json, format!("{provider} {kind} {shown} is bound to nobody now."))?;
    Ok(Outcome::Done)
}

/// A binding as the arguments of the command that makes it.
pub(super) fn arguments(provider: &str, kind: &str, id: &str) -> String {
    format!("--provider {provider} --kind {kind} {}", quoted(id))
}

/// An id as a shell takes it.
fn quoted(id: &str) -> String {
    let id = visible(id);
    let is_plain = |it: char| it.is_ascii_alphanumeric() || "+-_.:/@".contains(it);
    if !id.is_empty() && !id.starts_with('-') && id.chars().all(is_plain) {
        return id;
    }
    format!("'{}'", id.replace('\'', r"'\''"))
}

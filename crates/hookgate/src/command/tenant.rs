//! `hookgate tenant`: customers whose data must never meet.

use serde_json::{Map, Value, json};

use super::erasure;
use crate::cli::registry::{Erasing, Setting, Tenant, TenantSettings};
use crate::client::{self, Api, or_missing, path};
use crate::environment::Environment;
use crate::exit::Outcome;
use crate::record::{self, CELL_CHARS_MAX, Column};
use crate::stored::{moment, text};

/// Runs the command.
pub(crate) fn run(command: Tenant, environment: &Environment) -> anyhow::Result<Outcome> {
    client::block_on(async {
        let api = Api::here(environment)?;
        match command {
            Tenant::Add { id, name, print } => add(&api, id.as_deref(), &name, print.json).await,
            Tenant::List { listing } => {
                let rows = api.list("/api/v1/tenants", &[], limit(listing.limit)).await?;
                let none = "No tenants: all events are the operator's. `hookgate tenant add ID \
                            --name NAME` adds one.";
                record::list(&rows, &COLUMNS, listing.json, none)
            }
            Tenant::Show { id, print } => {
                record::show(&find(&api, &id).await?, print.json)?;
                Ok(Outcome::Done)
            }
            Tenant::Set { id, settings, print } => set(&api, &id, settings, print.json).await,
            Tenant::Remove { id, erasing } => remove(&api, &id, erasing).await,
        }
    })
}

/// A limit as a number of records in memory.
pub(super) fn limit(limit: u32) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

const COLUMNS: [Column; 6] = [
    ("ID", |it| text(it, "/id", CELL_CHARS_MAX)),
    ("NAME", |it| text(it, "/name", CELL_CHARS_MAX)),
    ("CREATED", |it| moment(it, "/created_at")),
    ("RETENTION", |it| match text(it, "/retention_days", CELL_CHARS_MAX).as_str() {
        "-" => "keep all".to_owned(),
        days => format!("{days} d"),
    }),
    ("QUOTA", quota),
    ("STATE", |it| match it.get("erasing") {
        Some(Value::Bool(true)) => "erasing".to_owned(),
        _ => "-".to_owned(),
    }),
];

/// What a tenant may use, where it differs from what everybody may.
fn quota(tenant: &Value) -> String {
    let one = |name: &str, unit: &str| {
        let number = tenant.pointer(&format!("/quota/{name}")).and_then(Value::as_u64)?;
        Some(format!("{number} {unit}"))
    };
    let set = [
        one("events_per_second", "events/s"),
        one("bytes_per_second", "bytes/s"),
        one("in_flight", "in flight"),
    ];
    let set: Vec<String> = set.into_iter().flatten().collect();
    if set.is_empty() { "-".to_owned() } else { set.join(", ") }
}

/// The tenant of this id.
pub(super) async fn find(api: &Api, id: &str) -> anyhow::Result<Value> {
    or_missing(api.get(&path(&["tenants", id])?, &[]).await, &missing(id))
}

/// What to say where there is no tenant of this id.
pub(super) fn missing(id: &str) -> String {
    let id = hookgate_core::mask::visible(id);
    format!("there is no tenant {id}: `hookgate tenant list` shows those there are")
}

async fn add(api: &Api, id: Option<&str>, name: &str, as_json: bool) -> anyhow::Result<Outcome> {
    let mut body = Map::new();
    body.extend(id.map(|it| ("id".to_owned(), Value::from(it))));
    body.insert("name".to_owned(), name.into());
    let made = api.create("/api/v1/tenants", &body.into()).await?;
    let id = text(&made.record, "/id", CELL_CHARS_MAX);
    let name = text(&made.record, "/name", CELL_CHARS_MAX);
    let sentence = if made.is_new {
        format!("{id} is added ({name}). Next: hookgate binding add --tenant {id} …")
    } else {
        format!("{id} is there already ({name}): nothing was changed.")
    };
    record::done(&made.record, as_json, sentence)?;
    Ok(Outcome::Done)
}

/// Changes a tenant. The quota is sent whole, so what is not named is read first.
async fn set(
    api: &Api,
    id: &str,
    settings: TenantSettings,
    as_json: bool,
) -> anyhow::Result<Outcome> {
    let present = find(api, id).await?;
    let number = |setting: Setting| match setting {
        Setting::Number(number) => Value::from(number),
        Setting::Default => Value::Null,
    };
    let mut body = Map::new();
    body.extend(settings.retention_days.map(|it| ("retention_days".to_owned(), number(it))));
    let quotas = [
        ("events_per_second", settings.events_per_second),
        ("bytes_per_second", settings.bytes_per_second),
        ("in_flight", settings.in_flight),
    ];
    if quotas.iter().any(|(_, setting)| setting.is_some()) {
        let mut quota = Map::new();
        for (name, setting) in quotas {
            let kept = || present.pointer(&format!("/quota/{name}")).cloned().unwrap_or_default();
            quota.insert(name.to_owned(), setting.map_or_else(kept, number));
        }
        body.insert("quota".to_owned(), quota.into());
    }
    let changed = api.patch(&path(&["tenants", id])?, &json!(body)).await;
    record::show(&or_missing(changed, &missing(id))?, as_json)?;
    Ok(Outcome::Done)
}

async fn remove(api: &Api, id: &str, erasing: Erasing) -> anyhow::Result<Outcome> {
    let tenant = find(api, id).await?;
    let name = text(&tenant, "/name", CELL_CHARS_MAX);
    let what = format!("the tenant {id} ({name}) with its events, bindings, keys and credentials");
    if !erasure::confirm(what, id, erasing)? {
        return Ok(Outcome::Refused);
    }
    let begun = api.delete(&path(&["tenants", id])?, &[]).await;
    erasure::follow(api, or_missing(begun, &missing(id))?, erasing).await
}

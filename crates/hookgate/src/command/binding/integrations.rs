//! `hookgate binding import --org-integrations`: the integrations that a receiver of MightyCall
//! on Supabase left in its table, each bound to the tenant of its organisation.
//!
//! The table is read from its database, and changed by nobody here; what is bound is bound over
//! the API, so that limits hold and all nodes hear of it. Running it again changes nothing.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use anyhow::Context as _;
use hookgate_core::event::ClaimKind;
use hookgate_core::mask::visible;
use hookgate_core::tenant::TenantId;
use hookgate_store::{SeedIntegration, SeedIntegrations, seed_integrations};
use serde_json::{Value, json};

use super::PATH;
use crate::client::{self, Api, path};
use crate::config::{self, Place, StoreText};
use crate::environment::Environment;
use crate::exit::{Outcome, Usage};
use crate::output::line;
use crate::{record, stored};

/// Whose integrations the table holds.
const PROVIDER: &str = "mightycall";

/// Whether anything is changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// It is said what would be done.
    Dry,
    /// It is done.
    Real,
}

/// What became of one row.
enum Became {
    Bound,
    Present,
    /// It is bound to this other tenant; nothing where the API does not say to whom.
    Taken(Option<String>),
    /// Organisation or integration have an id that cannot be one here.
    Refused,
}

/// What became of all.
#[derive(Default)]
struct Sum {
    created: u64,
    present: u64,
    taken: Vec<Value>,
    refused: Vec<Value>,
    /// Tenants that were made, or would be.
    tenants: BTreeSet<String>,
}

/// Reads the table in `from`, or where the store is, and binds what is in it.
pub(super) fn run(
    from: Option<&StoreText>,
    mode: Mode,
    as_json: bool,
    environment: &Environment,
) -> anyhow::Result<Outcome> {
    let table = read(from, environment)?;
    client::block_on(async {
        let api = Api::here(environment)?;
        let mut sum = Sum::default();
        for row in &table.rows {
            let became = bind(&api, row, mode, &mut sum.tenants).await?;
            if !as_json {
                tell(row, &became, mode)?;
            }
            sum.add(row, became);
        }
        sum.end(table.left_out, mode, as_json)
    })
}

/// The rows. Blocks, outside of any runtime.
fn read(from: Option<&StoreText>, environment: &Environment) -> anyhow::Result<SeedIntegrations> {
    let settings = match stored::place(environment, config::text(from))? {
        Place::Postgres(settings) => settings,
        Place::Folder(_) => {
            return Err(Usage::new(
                "the table is in a database, and the store is in a folder: name the database \
                 with --from postgres://…",
            )
            .into());
        }
    };
    let mut database = settings.connect("import")?;
    let found =
        seed_integrations(&mut database).with_context(|| format!("cannot read {settings}"))?;
    found.with_context(|| format!("there is no table public.org_integrations in {settings}"))
}

/// Binds one row, with a tenant for it if there is none.
async fn bind(
    api: &Api,
    row: &SeedIntegration,
    mode: Mode,
    tenants: &mut BTreeSet<String>,
) -> anyhow::Result<Became> {
    if TenantId::parse(&row.org_id).is_err() {
        return Ok(Became::Refused);
    }
    let kind = ClaimKind::Integration.name();
    let query = [
        ("provider", PROVIDER.to_owned()),
        ("kind", kind.to_owned()),
        ("external_id", row.id.clone()),
    ];
    // Looked at first, so that no tenant is made for an id that is another's.
    let found = match api.list(PATH, &query, 1).await {
        Err(error) if client::is_invalid(&error) => return Ok(Became::Refused),
        found => found?.data.pop(),
    };
    if let Some(found) = found {
        let owner = found.get("tenant").and_then(Value::as_str).unwrap_or_default();
        let is_its_own = owner == row.org_id;
        return Ok(if is_its_own { Became::Present } else { Became::Taken(Some(owner.into())) });
    }
    make_tenant(api, &row.org_id, mode, tenants).await?;
    if mode == Mode::Dry {
        return Ok(Became::Bound);
    }
    let body = json!({
        "tenant": row.org_id, "provider": PROVIDER, "kind": kind, "external_id": row.id,
    });
    match api.create(PATH, &body).await {
        // Somebody was faster.
        Err(error) if client::is_problem(&error, "taken") => Ok(Became::Taken(None)),
        Err(error) if client::is_invalid(&error) => Ok(Became::Refused),
        bound => Ok(if bound?.is_new { Became::Bound } else { Became::Present }),
    }
}

/// Makes the tenant of an organisation, unless it is there. The table knows no name for it.
async fn make_tenant(
    api: &Api,
    org_id: &str,
    mode: Mode,
    tenants: &mut BTreeSet<String>,
) -> anyhow::Result<()> {
    if tenants.contains(org_id) {
        return Ok(());
    }
    let is_new = match mode {
        Mode::Dry => api.find(&path(&["tenants", org_id])?).await?.is_none(),
        Mode::Real => {
            let added =
                api.create("/api/v1/tenants", &json!({ "id": org_id, "name": org_id })).await;
            added.with_context(|| format!("cannot make the tenant {org_id}"))?.is_new
        }
    };
    if is_new {
        tenants.insert(org_id.to_owned());
    }
    Ok(())
}

fn tell(row: &SeedIntegration, became: &Became, mode: Mode) -> anyhow::Result<()> {
    let org = visible(&row.org_id);
    let said = match became {
        Became::Bound if mode == Mode::Dry => format!("would be bound to {org}"),
        Became::Bound => format!("bound to {org}"),
        Became::Present => format!("bound to {org} already"),
        Became::Taken(Some(owner)) => {
            format!("TAKEN: it is bound to {}, and the table says {org}", visible(owner))
        }
        Became::Taken(None) => format!("TAKEN: it is bound to another tenant than {org}"),
        Became::Refused => {
            format!("REFUSED: its id, or that of its organisation ({org}), cannot be one here")
        }
    };
    line(format_args!("{PROVIDER} integration {}: {said}", visible(&row.id)))?;
    Ok(())
}

impl Sum {
    fn add(&mut self, row: &SeedIntegration, became: Became) {
        match became {
            Became::Bound => self.created = self.created.saturating_add(1),
            Became::Present => self.present = self.present.saturating_add(1),
            Became::Taken(owner) => self.taken.push(json!({
                "external_id": row.id, "org_id": row.org_id, "tenant": owner,
            })),
            Became::Refused => {
                self.refused.push(json!({ "external_id": row.id, "org_id": row.org_id }));
            }
        }
    }

    fn end(self, left_out: u64, mode: Mode, as_json: bool) -> anyhow::Result<Outcome> {
        let Self { created, present, taken, refused, tenants } = self;
        let (others, odd, new) = (taken.len(), refused.len(), tenants.len());
        let mut sentence = match mode {
            Mode::Real => format!(
                "{created} bound, {present} were already, {others} taken; {new} tenants added."
            ),
            Mode::Dry => format!(
                "{created} would be bound, {present} are already, {others} are taken; {new} \
                 tenants would be added. Nothing was changed."
            ),
        };
        // Writing into a text cannot fail.
        if odd > 0 {
            let _ = write!(sentence, " {odd} refused.");
        }
        if left_out > 0 {
            let _ = write!(
                sentence,
                " {left_out} rows were left out: of other providers, or without an id or an \
                 organisation."
            );
        }
        let report = json!({
            "dry_run": mode == Mode::Dry,
            "created": created,
            "present": present,
            "taken": others,
            "refused": odd,
            "left_out": left_out,
            "tenants": tenants,
            "ids": taken,
            "refused_ids": refused,
        });
        record::done(&report, as_json, sentence)?;
        Ok(if others == 0 && odd == 0 { Outcome::Done } else { Outcome::Refused })
    }
}

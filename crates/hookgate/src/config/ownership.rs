//! How a source judges ownership: `[source.NAME]` and its variable, checked.

use hookgate_core::attribution::{AgentMatch, OwnershipMode, Rule};
use hookgate_core::tenant::TenantId;

use super::raw::RawSource;
use super::usage;
use crate::environment::Environment;

/// The longest time that events may be kept for before they are erased, in days: a
/// hundred years. More is a slip.
const RETENTION_DAYS_MAX: u32 = 36_500;

/// The rule of the source called `name`.
pub(super) fn rule(name: &str, raw: &RawSource, environment: &Environment) -> anyhow::Result<Rule> {
    let variable = variable(name);
    let default = Rule::default();
    let (word, at) = match (environment.value(&variable)?, &raw.ownership) {
        (Some(word), _) => (word, variable),
        (None, Some(word)) => (word.clone(), format!("[source.{name}] ownership")),
        (None, None) => (default.mode.name().to_owned(), String::new()),
    };
    let mode =
        mode(&word).ok_or_else(|| usage(format!("{at} must be `auto`, `observe` or `enforce`")))?;
    let agent_match = match raw.assistant_match.as_deref() {
        None => default.agent_match,
        Some("exact") => AgentMatch::Exact,
        Some("same_tenant") => AgentMatch::SameTenant,
        Some(_) => {
            return Err(usage(format!(
                "[source.{name}] assistant_match must be `exact` or `same_tenant`"
            )));
        }
    };
    Ok(Rule {
        mode,
        agent_match,
        adopt: raw.adopt.unwrap_or(default.adopt),
        trust_body_org: raw.trust_body_org.unwrap_or(default.trust_body_org),
        flat_agent_id: raw.flat_agent_id.unwrap_or(default.flat_agent_id),
    })
}

/// The mode of this name.
pub(super) fn mode(word: &str) -> Option<OwnershipMode> {
    OwnershipMode::ALL.into_iter().find(|it| it.name() == word)
}

/// The tenant of the source called `name`.
pub(super) fn tenant(name: &str, raw: &RawSource) -> anyhow::Result<Option<TenantId>> {
    let parse = |id: &String| {
        TenantId::parse(id).map_err(|fault| usage(format!("[source.{name}] tenant: {fault}")))
    };
    raw.tenant.as_ref().map(parse).transpose()
}

/// After how many days the events of the source called `name` are erased.
pub(super) fn retention_days(name: &str, raw: &RawSource) -> anyhow::Result<Option<u32>> {
    match raw.retention_days {
        Some(days) if !(1..=RETENTION_DAYS_MAX).contains(&days) => Err(usage(format!(
            "[source.{name}] retention_days must be 1 to {RETENTION_DAYS_MAX}; leave it out to keep everything"
        ))),
        days => Ok(days),
    }
}

/// The variable that says when ownership decides about the answer.
fn variable(name: &str) -> String {
    format!("HOOKGATE_{}_OWNERSHIP", name.to_ascii_uppercase().replace('-', "_"))
}

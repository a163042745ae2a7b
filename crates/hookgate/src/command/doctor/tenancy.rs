//! Whose events are whose, as a running gateway says: tenants, ownership, ids that are
//! bound to nobody.

use std::collections::{BTreeMap, BTreeSet};

use hookgate_core::mask::visible;
use serde_json::Value;

use super::report::Report;
use crate::client::Api;
use crate::command::source;
use crate::stored::text;

/// How many tenants are named.
const NAMED_MAX: usize = 10;

/// How many of the latest events are looked at: one page. `hookgate audit` sees more.
const EVENTS_MAX: usize = 1000;

/// How many tenants are counted.
const TENANTS_MAX: usize = 100_000;

/// How wide ids may be, in characters.
const CELL_CHARS_MAX: usize = 64;

/// Asks the gateway, and says what it finds.
pub(super) async fn check(api: &Api, report: &mut Report) -> anyhow::Result<()> {
    let tenants = api.list("/api/v1/tenants", &[], TENANTS_MAX).await?.data;
    let ids: Vec<String> =
        tenants.iter().take(NAMED_MAX).map(|it| text(it, "/id", CELL_CHARS_MAX)).collect();
    let more = if tenants.len() > ids.len() { ", …" } else { "" };
    report.pass(
        "tenants",
        match tenants.len() {
            0 => "none: every event is the operator's own".to_owned(),
            count => format!("{count}: {}{more}", ids.join(", ")),
        },
    );
    let sources = source::list(api).await?.data;
    ownership(&sources, tenants.len(), report);
    missing(&sources, &tenants, report);
    if !tenants.is_empty() {
        let events = api.list("/api/v1/events", &[], EVENTS_MAX).await?.data;
        unbound(&events, report);
    }
    Ok(())
}

/// When ownership decides about the answer, source by source.
fn ownership(sources: &[Value], tenants: usize, report: &mut Report) {
    let mut modes: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for source in sources {
        let mode = text(source, "/ownership", CELL_CHARS_MAX);
        modes.entry(mode).or_default().push(text(source, "/name", CELL_CHARS_MAX));
    }
    for (mode, names) in modes {
        let names = names.join(", ");
        match mode.as_str() {
            "observe" if tenants > 0 => report.warn(
                "ownership",
                format!("observe: {names}. What contradicts it is recorded and still answered 200"),
                "set ownership to `enforce`, or leave it out, once all agents and numbers are bound",
            ),
            "auto" if tenants > 0 => report.pass(
                "ownership",
                format!("auto: {names}. Enforced, because there are tenants"),
            ),
            "auto" => report.pass(
                "ownership",
                format!("auto: {names}. Enforced once there is a tenant"),
            ),
            mode => report.pass("ownership", format!("{mode}: {names}")),
        }
    }
}

/// Sources of tenants that are not there: the configuration file may name any.
fn missing(sources: &[Value], tenants: &[Value], report: &mut Report) {
    for source in sources {
        let tenant = source.get("tenant").filter(|it| !it.is_null());
        if tenant.is_none() || tenants.iter().any(|it| it.get("id") == tenant) {
            continue;
        }
        let (name, tenant) =
            (text(source, "/name", CELL_CHARS_MAX), text(source, "/tenant", CELL_CHARS_MAX));
        report.warn(
            &name,
            format!("it is set to the tenant {tenant}, and there is no such tenant"),
            format!("`hookgate tenant add {tenant} --name …`, or mend [source.{name}] tenant"),
        );
    }
}

/// Ids that the latest events name and that nobody is bound to.
fn unbound(events: &[Value], report: &mut Report) {
    let unowned = events
        .iter()
        .filter(|it| it.pointer("/attribution/verdict") == Some(&Value::from("unattributed")))
        // What was released is settled, whatever its verdict.
        .filter(|it| it.pointer("/decision/kind") != Some(&Value::from("release")))
        .filter(|it| it.pointer("/verification/verdict") == Some(&Value::from("verified")));
    let mut ids = BTreeSet::new();
    for event in unowned {
        let claims = event.pointer("/attribution/claims").and_then(Value::as_array);
        let free = claims.into_iter().flatten().filter(|it| {
            let kind = it.get("kind").and_then(Value::as_str);
            let is_bound = it.get("tenant").is_some_and(Value::is_string);
            !is_bound && kind.is_some_and(|it| it != "conversation")
        });
        ids.extend(free.filter_map(|it| it.get("external_id")?.as_str().map(visible)));
    }
    let Some(first) = ids.first() else {
        return report.pass("unbound ids", "the latest events name none".to_owned());
    };
    report.warn(
        "unbound ids",
        format!(
            "{} that the latest events name are bound to nobody, {first} among them",
            ids.len()
        ),
        "`hookgate audit` lists them with the commands that bind them",
    );
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_id_that_nobody_is_bound_to_is_named_once() {
        let event = json!({
            "verification": {"verdict": "verified"},
            "attribution": {"verdict": "unattributed", "claims": [
                {"kind": "conversation", "external_id": "call", "tenant": null},
                {"kind": "agent", "external_id": "agent", "tenant": null},
            ]},
        });
        let mut forged = event.clone();
        forged["verification"]["verdict"] = json!("mismatch");
        let said = |events: &[Value]| {
            let mut report = Report::default();
            unbound(events, &mut report);
            report.texts()
        };
        assert_eq!(
            said(&[event.clone(), event]),
            [
                "warn unbound ids: 1 that the latest events name are bound to nobody, agent among them"
            ]
        );
        assert_eq!(said(&[forged]), ["pass unbound ids: the latest events name none"]);
    }
}

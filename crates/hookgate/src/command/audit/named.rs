//! What the events of the time name: ids that are bound to nobody, ids that stand beside
//! several tenants', and how each source's events were proven.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::Value;

use super::Bindings;
use super::finding::{Finding, Report, Severity};
use super::sources::{SourceFacts, Tenancy};
use crate::command::binding;
use crate::output::counted;
use crate::stored::{moment, text};

/// How many different ids are kept. Beyond, new ones are left out and the report says so.
const IDS_MAX: usize = 300_000;

/// So many events make a pattern: one alone is listed as a contradiction.
const PATTERN_EVENTS_MIN: u64 = 2;

/// How wide ids may be, in characters.
const CELL_CHARS_MAX: usize = 80;

/// What can be bound to make an event somebody's, beside its conversation.
const BINDABLE: [&str; 5] = ["agent", "phone_number", "integration", "account", "property"];

/// An id of a provider: provider, kind, id.
type Id = [String; 3];

/// All of it.
#[derive(Default)]
pub(super) struct Named {
    /// Ids and the tenants that they stand beside.
    beside: HashMap<Id, Beside>,
    /// Ids in events that nobody owns.
    unowned: HashMap<Id, Unowned>,
    /// How many events each source has had, by verdict and scheme.
    sources: BTreeMap<String, Proofs>,
    /// How many ids were left out.
    left_out: u64,
}

/// The tenants that an id stands beside.
#[derive(Default)]
struct Beside {
    /// Whose it is itself, if it is bound.
    own: Option<String>,
    /// Those of the other ids, and of the event.
    tenants: BTreeSet<String>,
    events: u64,
    example: String,
}

/// An id in events that nobody owns.
struct Unowned {
    events: u64,
    quarantined: u64,
    source: String,
    example: String,
}

/// How a source's events were proven.
#[derive(Default)]
struct Proofs {
    unproven: u64,
    schemes: BTreeMap<String, u64>,
}

impl Named {
    /// Adds an event.
    pub(super) fn add(&mut self, event: &Value) {
        let field = |pointer: &str| event.pointer(pointer).and_then(Value::as_str);
        let source = field("/source").unwrap_or_default();
        let proofs = self.sources.entry(source.to_owned()).or_default();
        if field("/verification/verdict") != Some("verified") {
            proofs.unproven = proofs.unproven.saturating_add(1);
            return;
        }
        let scheme = field("/verification/scheme").unwrap_or_default();
        count(proofs.schemes.entry(scheme.to_owned()).or_default());

        let provider = field("/provider").unwrap_or_default();
        let claims = event.pointer("/attribution/claims").and_then(Value::as_array);
        let claims: Vec<&Value> = claims.into_iter().flatten().collect();
        for (number, claim) in claims.iter().enumerate() {
            let word = |name: &str| claim.get(name).and_then(Value::as_str);
            let (Some(kind), Some(external_id)) = (word("kind"), word("external_id")) else {
                continue;
            };
            let id = [provider.to_owned(), kind.to_owned(), external_id.to_owned()];
            let others = claims.iter().enumerate().filter(|(other, _)| *other != number);
            let tenants = others
                .filter_map(|(_, it)| it.get("tenant")?.as_str())
                .chain(field("/tenant"))
                .map(str::to_owned);
            self.add_beside(id.clone(), word("tenant"), tenants.collect(), event);
            // What was released is settled, whatever its verdict.
            let is_unowned = field("/attribution/verdict") == Some("unattributed")
                && field("/decision/kind") != Some("release");
            if is_unowned && (BINDABLE.contains(&kind) || kind == "organization") {
                self.add_unowned(id, event);
            }
        }
    }

    fn add_beside(&mut self, id: Id, own: Option<&str>, tenants: BTreeSet<String>, event: &Value) {
        if tenants.is_empty() {
            return;
        }
        let is_full = self.beside.len() >= IDS_MAX && !self.beside.contains_key(&id);
        if is_full {
            return count(&mut self.left_out);
        }
        let beside = self.beside.entry(id).or_default();
        beside.own = beside.own.take().or_else(|| own.map(str::to_owned));
        beside.tenants.extend(tenants);
        count(&mut beside.events);
        // Events come newest first; the first is the freshest example.
        if beside.example.is_empty() {
            beside.example = example(event);
        }
    }

    fn add_unowned(&mut self, id: Id, event: &Value) {
        let is_full = self.unowned.len() >= IDS_MAX && !self.unowned.contains_key(&id);
        if is_full {
            return count(&mut self.left_out);
        }
        let unowned = self.unowned.entry(id).or_insert_with(|| Unowned {
            events: 0,
            quarantined: 0,
            source: text(event, "/source", CELL_CHARS_MAX),
            example: example(event),
        });
        count(&mut unowned.events);
        if event.get("status").and_then(Value::as_str) == Some("quarantined") {
            count(&mut unowned.quarantined);
        }
    }

    /// How many proven events a source has had.
    pub(super) fn proven(&self, source: &str) -> u64 {
        self.sources.get(source).map_or(0, |it| it.schemes.values().sum())
    }

    /// How many of them a scheme proved.
    pub(super) fn proven_by(&self, source: &str, scheme: &str) -> u64 {
        self.sources.get(source).and_then(|it| it.schemes.get(scheme)).copied().unwrap_or(0)
    }

    /// How many requests without proof a source has taken.
    pub(super) fn unproven(&self, source: &str) -> u64 {
        self.sources.get(source).map_or(0, |it| it.unproven)
    }

    /// Reports cross-tenant patterns and ids that are bound to nobody.
    pub(super) fn judge(
        &self,
        bindings: &Bindings,
        sources: &[SourceFacts],
        tenancy: Tenancy,
        report: &mut Report,
    ) {
        report.add_all(self.patterns());
        if tenancy.tenants == 0 {
            return;
        }
        let enforces =
            |name: &str| sources.iter().any(|it| it.name == name && it.enforces_ownership(tenancy));
        report.add_all(self.unbound(bindings, enforces));
        report.add_all(self.bound_since(bindings));
        if self.left_out > 0 {
            report.add(Finding {
                severity: Severity::Note,
                topic: "unbound",
                source: None,
                what: format!("{} ids are not looked at: there are too many", self.left_out),
                evidence: Vec::new(),
                advice: "run it again with a later --since".to_owned(),
                check: None,
            });
        }
    }

    /// Ids that stand beside those of several other tenants, over several events.
    fn patterns(&self) -> Vec<Finding> {
        let others =
            |it: &Beside| it.tenants.iter().filter(|one| it.own.as_ref() != Some(one)).count();
        let mut found: Vec<(&Id, &Beside)> = self.beside.iter().collect();
        found.retain(|(_, it)| others(it) > 1 && it.events >= PATTERN_EVENTS_MIN);
        found.sort_by_key(|(id, it)| (std::cmp::Reverse(it.events), *id));
        let one = |([provider, kind, id], beside): (&Id, &Beside)| Finding {
            severity: Severity::Human,
            topic: "cross_tenant",
            source: None,
            what: format!(
                "{provider} {kind} {id} stands together with ids of {} in {}",
                beside.tenants.iter().map(String::as_str).collect::<Vec<_>>().join(" and "),
                counted(beside.events, "event", "events")
            ),
            evidence: vec![beside.example.clone()],
            advice: match &beside.own {
                None => "find out whose it is and bind it to that tenant".to_owned(),
                Some(own) => format!(
                    "it is bound to {own}: somebody with the provider's secret names it in others' events"
                ),
            },
            check: None,
        };
        found.into_iter().map(one).collect()
    }

    /// Ids in events that nobody owns, which nobody is bound to now either.
    fn unbound(&self, bindings: &Bindings, enforces: impl Fn(&str) -> bool) -> Vec<Finding> {
        let mut found: Vec<(&Id, &Unowned)> = self.unowned.iter().collect();
        found.retain(|(id, _)| !bindings.contains_key(*id));
        found.sort_by_key(|(id, it)| (std::cmp::Reverse(it.events), *id));
        let one = |(id, unowned): (&Id, &Unowned)| {
            let [provider, kind, external_id] = id;
            let severity = if enforces(&unowned.source) { Severity::Human } else { Severity::Note };
            let events = format!(
                "{}, of which {} in quarantine",
                counted(unowned.events, "event", "events"),
                unowned.quarantined
            );
            let (what, advice) = if kind == "organization" {
                (
                    format!("{provider} org_id {external_id} is no tenant: {events}"),
                    format!(
                        "`hookgate tenant add {external_id} --name …`, or correct what sends it"
                    ),
                )
            } else {
                let arguments = binding::arguments(provider, kind, external_id);
                (
                    format!("{provider} {kind} {external_id} is bound to nobody: {events}"),
                    format!(
                        "`hookgate binding add --tenant TENANT {arguments}`, then `hookgate events \
                         reattribute`"
                    ),
                )
            };
            Finding::of_source(severity, "unbound", &unowned.source, what, advice)
                .shown_by([unowned.example.clone()])
        };
        found.into_iter().map(one).collect()
    }

    /// Ids that were bound to nobody when their events came, and are bound now.
    fn bound_since(&self, bindings: &Bindings) -> Vec<Finding> {
        let mut found: Vec<(&Id, &Unowned, &String)> = self
            .unowned
            .iter()
            .filter_map(|(id, it)| Some((id, it, bindings.get(id)?)))
            .filter(|(_, it, _)| it.quarantined > 0)
            .collect();
        found.sort_by_key(|(id, it, _)| (std::cmp::Reverse(it.quarantined), *id));
        let one = |([provider, kind, id], unowned, tenant): (&Id, &Unowned, &String)| {
            let what = format!(
                "{provider} {kind} {id} is bound to {tenant} by now, and {} in quarantine named it before",
                counted(unowned.quarantined, "event", "events")
            );
            let advice = format!("`hookgate events reattribute --source {}`", unowned.source);
            Finding::of_source(Severity::Human, "reattribute", &unowned.source, what, advice)
                .shown_by([unowned.example.clone()])
        };
        found.into_iter().map(one).collect()
    }
}

fn count(number: &mut u64) {
    *number = number.saturating_add(1);
}

fn example(event: &Value) -> String {
    format!("{} at {}", text(event, "/id", CELL_CHARS_MAX), moment(event, "/received_at"))
}

#[cfg(test)]
mod tests {
    use hookgate_core::time::Timestamp;
    use serde_json::json;

    use super::*;

    /// A proven event of Vapi: verdict, owner, and claims as `kind id tenant`.
    fn event(verdict: &str, tenant: Option<&str>, claims: &[(&str, &str, Option<&str>)]) -> Value {
        let claim = |(kind, id, tenant): &(&str, &str, Option<&str>)| json!({"kind": kind, "external_id": id, "tenant": tenant});
        json!({
            "id": "evt_1", "source": "vapi", "provider": "vapi", "tenant": tenant,
            "status": if verdict == "owned" { "accepted" } else { "quarantined" },
            "received_at": "2026-11-20T00:00:00.000Z",
            "verification": {"verdict": "verified", "scheme": "vapi.hmac"},
            "attribution": {"verdict": verdict, "claims": claims.iter().map(claim).collect::<Vec<_>>()},
        })
    }

    #[track_caller]
    fn check(
        events: &[Value],
        bindings: &[(&str, &str, &str)],
        ownership: &str,
        expected: &[&str],
    ) {
        let mut named = Named::default();
        for it in events {
            named.add(it);
        }
        let bound = |(kind, id, tenant): &(&str, &str, &str)| {
            (["vapi", kind, id].map(str::to_owned), (*tenant).to_owned())
        };
        let bindings: Bindings = bindings.iter().map(bound).collect();
        let source = json!({"name": "vapi", "provider": "vapi", "verification": "enforce", "secrets": 1, "ownership": ownership});
        let sources = [serde_json::from_value(source).unwrap()];
        let at = Timestamp::from_millis(0);
        let mut report = Report::new(at, at, "7d".to_owned());
        named.judge(&bindings, &sources, Tenancy { tenants: 2 }, &mut report);
        let found: Vec<String> = report
            .findings()
            .iter()
            .map(|it| format!("{:?} {} | {} | {}", it.severity, it.topic, it.what, it.advice))
            .collect();
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (found, expected) in found.iter().zip(expected) {
            for part in expected.split(" … ") {
                assert!(found.contains(part), "{found} lacks {part}");
            }
        }
    }

    #[test]
    fn an_id_beside_those_of_two_tenants_is_a_pattern_once_it_comes_again() {
        let of_acme = event(
            "owned",
            Some("acme"),
            &[("agent", "a", Some("acme")), ("phone_number", "p", None)],
        );
        let of_globex = event(
            "owned",
            Some("globex"),
            &[("agent", "g", Some("globex")), ("phone_number", "p", None)],
        );
        check(&[of_acme.clone(), of_acme.clone()], &[], "auto", &[]);
        // One that is bound stands beside its own owner's by right.
        let contradiction = event(
            "contradiction",
            None,
            &[("agent", "a", Some("acme")), ("conversation", "c", Some("globex"))],
        );
        check(&[of_acme.clone(), contradiction], &[], "auto", &[]);
        check(
            &[of_acme, of_globex],
            &[],
            "auto",
            &[
                "Human cross_tenant | vapi phone_number p stands together with ids of acme and globex in 2 events",
            ],
        );
    }

    #[test]
    fn an_id_that_nobody_is_bound_to_comes_with_the_command_that_binds_it() {
        let nobodys =
            event("unattributed", None, &[("conversation", "c", None), ("agent", "a b", None)]);
        let twice = [nobodys.clone(), nobodys];
        check(
            &twice,
            &[],
            "auto",
            &[
                "Human unbound | vapi agent a b is bound to nobody: 2 events, of which 2 in quarantine … `hookgate binding add --tenant TENANT --provider vapi --kind agent 'a b'`",
            ],
        );
        check(&twice, &[], "observe", &["Note unbound"]);
        check(
            &twice,
            &[("agent", "a b", "acme")],
            "auto",
            &[
                "Human reattribute | vapi agent a b is bound to acme by now, and 2 events … `hookgate events reattribute --source vapi`",
            ],
        );
    }

    #[test]
    fn what_is_not_proven_names_nothing() {
        let mut forged = event("unattributed", None, &[("agent", "a", None)]);
        forged["verification"]["verdict"] = json!("mismatch");
        let mut named = Named::default();
        named.add(&forged);
        assert_eq!((named.proven("vapi"), named.unproven("vapi")), (0, 1));
        check(&[forged], &[], "auto", &[]);
    }
}

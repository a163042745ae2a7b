//! What there is to tell of destinations.

use std::collections::HashMap;

use hookgate_core::alert::{
    AlertKind, FAILING_FAILURES, destination_disabled, destination_failing,
};
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_store::{Destination, DestinationId};
use serde_json::json;

use super::{Finding, Told};

/// Since when destinations have failed often enough to be told when it lasts.
#[derive(Default)]
pub(super) struct Failures(HashMap<DestinationId, Timestamp>);

impl Failures {
    pub(super) fn look(&mut self, all: &[Destination], now: Timestamp) -> Vec<Finding> {
        let fails = |it: &&Destination| it.breaker.failures >= FAILING_FAILURES;
        let failing = all.iter().filter(fails);
        self.0 = failing.map(|it| (it.id, self.0.get(&it.id).copied().unwrap_or(now))).collect();
        all.iter().flat_map(|it| self.of(it, now)).collect()
    }

    fn of(&self, it: &Destination, now: Timestamp) -> [Finding; 2] {
        let lasts = self.0.get(&it.id).copied().unwrap_or(now).age(now);
        let id = it.id.to_string();
        let named = match (&it.settings.name, &it.tenant) {
            (Some(name), None) => format!("{name} ({id})"),
            (Some(name), Some(tenant)) => format!("{name} ({id}) of the tenant {tenant}"),
            (None, None) => id.clone(),
            (None, Some(tenant)) => format!("{id} of the tenant {tenant}"),
        };
        let failures = it.breaker.failures;
        let goes_on = if it.breaker.is_open() {
            "one delivery at a time is tried until one arrives, and what is not tried for as long \
             as the whole schedule takes is given up"
        } else {
            "what fails is tried again by the schedule"
        };
        let facts = json!({
            "destination_id": id,
            "name": it.settings.name,
            "tenant": it.tenant.as_ref().map(TenantId::as_str),
            "failures_in_row": failures,
            "breaker_open": it.breaker.is_open(),
        });
        let finding = |kind, verdict, text| {
            let told = Told { tenant: it.tenant.clone(), text, facts: facts.clone() };
            Finding { kind, subject: id.clone(), verdict, told }
        };
        [
            finding(
                AlertKind::DestinationFailing,
                destination_failing(&it.breaker, it.disabled.is_some(), lasts),
                format!("the destination {named} failed {failures} times in a row: {goes_on}."),
            ),
            finding(
                AlertKind::DestinationDisabled,
                destination_disabled(it.disabled),
                format!(
                    "the destination {named} gets no more, because its endpoint answered 410: \
                     mend it and enable it again, or remove it."
                ),
            ),
        ]
    }
}

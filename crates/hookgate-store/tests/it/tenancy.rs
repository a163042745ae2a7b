//! Two tenants, and events that are theirs, nobody's, or a contradiction.

use hookgate_core::attribution::read;
use hookgate_core::event::ClaimKind;
use hookgate_core::tenant::{Scope, TenantId};
use hookgate_store::{Event, EventFilter, Receipt, Store, Unavailable};

use crate::bench::{ALL, Bench, Call};
use crate::registry::{add_tenant, binding};

/// The scope of a tenant.
pub(crate) fn only(tenant: &str) -> Scope {
    Scope::Tenant(TenantId::parse(tenant).unwrap())
}

/// The tenants `acme` and `other`, with an agent each: `agent-acme` and `agent-other`.
pub(crate) async fn two_tenants(bench: &Bench) {
    for id in ["acme", "other"] {
        let tenant = add_tenant(bench.store.registry(), id).await;
        bind(bench, &tenant, &format!("agent-{id}")).await;
    }
}

pub(crate) async fn bind(bench: &Bench, tenant: &TenantId, agent: &str) {
    let binding = binding(tenant, ClaimKind::Agent, agent);
    bench.store.registry().bind(binding).await.unwrap();
}

/// A status update of a call by an agent, told apart by a note.
pub(crate) fn call(id: &str, agent: &str, note: &str) -> Call {
    let agent =
        if agent.is_empty() { String::new() } else { format!(r#","assistantId":"{agent}""#) };
    Call::new(format!(
        r#"{{"message":{{"type":"status-update","call":{{"id":"{id}"{agent}}},"note":"{note}"}}}}"#
    ))
}

/// Finds out whose an event is and stores it, as the front door does.
pub(crate) async fn try_to_receive(store: &Store, call: &Call) -> Result<Receipt, Unavailable> {
    let readable = match read(call.verified()) {
        Ok(readable) => readable,
        Err(quarantined) => return store.quarantine(&quarantined).await,
    };
    match store.attribute(readable).await? {
        Ok((event, adopting)) => store.append(&event, adopting).await,
        Err(event) => store.quarantine(&event).await,
    }
}

/// Receives many at once, in no particular order but for the first.
pub(crate) async fn receive_all(bench: &Bench, calls: impl IntoIterator<Item = Call>) {
    let mut calls = calls.into_iter();
    if let Some(first) = calls.next() {
        receive(bench, &first).await;
    }
    let mut all = tokio::task::JoinSet::new();
    for call in calls {
        let store = bench.store.clone();
        all.spawn(async move { try_to_receive(&store, &call).await.unwrap() });
    }
    all.join_all().await;
}

pub(crate) async fn receive(bench: &Bench, call: &Call) -> Receipt {
    try_to_receive(&bench.store, call).await.unwrap()
}

/// What somebody sees, the newest first.
pub(crate) async fn seen(bench: &Bench, scope: &Scope) -> Vec<Event> {
    bench.store.events(scope, EventFilter::default(), ALL).await.unwrap()
}

/// Events as short texts: place, status, tenant, verdict, and what was decided later.
pub(crate) fn story(events: &[Event]) -> Vec<String> {
    let told = events.iter().map(|it| {
        let decision = it.decision.as_ref().map_or("", |it| it.kind.name());
        let tenant = it.tenant.as_deref().unwrap_or("-");
        let erased = if it.is_erased { " erased" } else { "" };
        let text =
            format!("{} {} {tenant} {} {decision}{erased}", it.seq, it.status.name(), it.ownership);
        text.trim_end().to_owned()
    });
    told.collect()
}

/// Removes the index of a closed store.
pub(crate) fn lose_index(folder: &std::path::Path) {
    for name in ["index.sqlite", "index.sqlite-wal", "index.sqlite-shm"] {
        let _ = std::fs::remove_file(folder.join(name));
    }
}

//! One secret for each agent: whose it is.

use crate::bench::{Bench, KEYS, NOW, shown, tenant};
use crate::fake_azure::FakeAzure;

const AGENT: &str = "agent_0a1b2c";

async fn by_agent() -> (Bench, FakeAzure, hookgate_secrets::Secrets) {
    let bench = Bench::new().await;
    let azure = FakeAzure::start(&bench.time).await;
    azure.set("agent-agent-0a1b2c", "of the agent");
    let settings = format!("agent = 'agent-{{agent_id}}'\n{}", azure.as_machine());
    let secrets = bench.secrets(&settings).await;
    (bench, azure, secrets)
}

#[tokio::test]
async fn an_agent_that_is_not_bound_or_anothers_has_no_secret() {
    let (bench, azure, secrets) = by_agent().await;
    let get = async |id: &str| shown(secrets.get_for_agent(&tenant(id), AGENT, "square").await);
    assert_eq!(get("acme").await, "-");
    bench.bind_agent("acme", AGENT).await;
    assert_eq!(get("acme").await, "of the agent");
    assert_eq!(get("other").await, "-");
    // A binding that is removed counts at once, whatever is remembered.
    let registry = bench.store.registry();
    registry.unbind("retell", hookgate_core::event::ClaimKind::Agent, AGENT).await.unwrap();
    assert_eq!(get("acme").await, "-");
    assert_eq!(azure.reads().iter().filter(|it| it.starts_with("agent-")).count(), 1);
}

#[tokio::test]
async fn agents_of_two_tenants_that_come_out_under_one_name_have_none() {
    let (bench, azure, secrets) = by_agent().await;
    bench.bind_agent("acme", AGENT).await;
    bench.bind_agent("other", "agent-0a1b2c").await;
    for (id, agent) in [("acme", AGENT), ("other", "agent-0a1b2c")] {
        let got = shown(secrets.get_for_agent(&tenant(id), agent, "square").await);
        assert!(got.contains("could be another tenant's"), "{id}: {got}");
    }
    // Of one tenant they may be.
    azure.set("agent-agent-1", "both are mine");
    bench.bind_agent("acme", "agent_1").await;
    bench.bind_agent("acme", "agent.1").await;
    for agent in ["agent_1", "agent.1"] {
        let got = shown(secrets.get_for_agent(&tenant("acme"), agent, "square").await);
        assert_eq!(got, "both are mine");
    }
    // What cannot be told from others is refused, not guessed.
    for agent in ["agent_1-2", "Agent_1"] {
        bench.bind_agent("acme", agent).await;
        let got = shown(secrets.get_for_agent(&tenant("acme"), agent, "square").await);
        assert!(got.contains("could be another tenant's"), "{agent}: {got}");
    }
}

#[tokio::test]
async fn a_tenant_cannot_be_called_so_that_it_reads_an_agents_secret() {
    let (bench, azure, secrets) = by_agent().await;
    bench.bind_agent("acme", AGENT).await;
    bench.add_tenant("agent").await;
    let theirs = shown(secrets.get(&tenant("agent"), "agent-0a1b2c").await);
    assert!(theirs.contains("could be another tenant's"), "{theirs}");
    let ours = shown(secrets.get_for_agent(&tenant("acme"), AGENT, "square").await);
    assert!(ours.contains("could be another tenant's"), "{ours}");
    assert!(azure.reads().iter().all(|it| !it.starts_with("agent-")));
}

#[tokio::test]
async fn an_id_that_is_no_name_asks_for_nothing() {
    let (bench, azure, secrets) = by_agent().await;
    for agent in ["../x", "a/b", "", "agent 1", "agent?1", &"a".repeat(129)] {
        if !agent.is_empty() {
            bench.bind_agent("acme", agent).await;
        }
        let got = shown(secrets.get_for_agent(&tenant("acme"), agent, "square").await);
        assert_eq!(got, "-", "{agent}");
    }
    assert_eq!(azure.reads(), ["acme-square"], "only the tenant's own is asked for, once");
}

#[tokio::test]
async fn the_store_itself_keeps_settings_of_agents_too() {
    let bench = Bench::new().await;
    let secrets = bench.secrets("agent = 'agent-{agent_id}'").await;
    let acme = tenant("acme");
    secrets.put(&acme, "agent-agent_0a1b2c", b"of the agent", NOW).await.unwrap();
    let get = async || shown(secrets.get_for_agent(&acme, AGENT, "square").await);
    assert_eq!(get().await, "-");
    bench.bind_agent("acme", AGENT).await;
    assert_eq!(get().await, "of the agent");
    secrets.put(&acme, "square", b"of the tenant", NOW).await.unwrap();
    assert_eq!(get().await, "of the tenant");
    // Without the operator's template there is no such thing.
    let plain = bench.sealed(&KEYS[..1]).await;
    let other = shown(plain.get_for_agent(&tenant("other"), AGENT, "square").await);
    assert_eq!(other, "-");
}

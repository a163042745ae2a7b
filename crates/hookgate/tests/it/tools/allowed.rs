//! What agents may do and what they asked for, from the command line.

use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_store::{
    EventId, FinishedToolCall, NewToolCall, Options, Store, ToolCallId, ToolCallState, ToolTimes,
};
use serde_json::{Value, json};

use crate::bench::Bench;
use crate::tenants::{done, gateway, json, run, send, two_tenants};

/// A booking of acme's agent that came with an event.
fn call(event: EventId) -> NewToolCall {
    NewToolCall {
        id: ToolCallId::parse("0198c5b2000070008000000000000001").unwrap(),
        event,
        position: 0,
        tenant: TenantId::parse("acme").unwrap(),
        source: "vapi".to_owned(),
        provider: "vapi".to_owned(),
        conversation: Some("call-1".to_owned()),
        agent: Some("a_acme".to_owned()),
        call_id: Some("toolu_1".to_owned()),
        tool: "bookings_create".to_owned(),
        arguments: r#"{"service":"haircut","phone":"***"}"#.to_owned(),
        effect: Some([7; 32]),
        started_at: Timestamp::from_millis(1_795_334_400_000),
    }
}

/// Keeps a tool call in the folder of a gateway that does not run.
fn keep(bench: &Bench, call: NewToolCall) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let folder = bench.path().join("hookgate.data");
        let store = Store::open(&folder, Options::default(), std::sync::Arc::new(|_| {})).unwrap();
        let id = call.id;
        store.registry().begin_tool_call(call).await.unwrap();
        let finished = store.registry().finish_tool_call(FinishedToolCall {
            id,
            state: ToolCallState::Succeeded,
            status: "booked".to_owned(),
            reply: r#"{"ok":true,"status":"booked","message":"You are booked."}"#.to_owned(),
            late: true,
            times: ToolTimes {
                store_us: 1_500,
                record_us: 2_250,
                connector_us: 246_000,
                total_us: 250_000,
            },
            finished_at: Timestamp::from_millis(1_795_334_400_250),
        });
        finished.await.unwrap();
        store.close();
    });
}

#[test]
fn what_an_agent_asked_for_is_listed_and_shown_with_its_times() {
    let (mut bench, running) = gateway();
    let none = run(&bench, "tool-calls list");
    assert!(
        none.code == 0 && none.out.is_empty() && none.err.contains("No tool calls"),
        "{none:?}"
    );
    two_tenants(&bench);
    assert_eq!(send(&bench, "call-1", "a_acme"), 200);
    let event = json(&bench, "events list")["data"][0]["id"].as_str().unwrap().to_owned();
    running.stop();
    keep(&bench, call(EventId::parse(&event).unwrap()));
    let running = bench.serve(&[]);
    let id = "call_0198c5b2000070008000000000000001";

    let listed = done(&bench, "tool-calls list --tenant acme --tool bookings_create");
    assert!(listed.contains("succeeded (late)") && listed.contains(id), "{listed}");
    assert!(!listed.contains("haircut"), "{listed}");
    for (flags, count) in [
        ("", 1),
        ("--state succeeded --provider vapi --source vapi --conversation call-1", 1),
        ("--state unknown", 0),
        ("--tenant globex", 0),
        ("--since 2026-11-22T08:00:00Z --until 2026-11-22T08:00:01Z", 1),
        ("--until 2026-11-22", 0),
    ] {
        let listed = json(&bench, &format!("tool-calls list {flags}"));
        assert_eq!(listed["data"].as_array().unwrap().len(), count, "{flags}");
    }
    for wrong in ["--state done", "--provider x", "--since yesterday", "--limit 0"] {
        assert_eq!(run(&bench, &format!("tool-calls list {wrong}")).code, 2, "{wrong}");
    }

    let shown = done(&bench, &format!("tool-calls show {id}"));
    for part in [
        "storing the event   1.5",
        "carrying it out     246",
        "haircut",
        "***",
        "You are booked.",
        &event,
    ] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let shown = json(&bench, &format!("tool-calls show {id}"));
    assert_eq!(shown["answer"]["message"], "You are booked.");
    assert_eq!(shown["times"]["record_ms"], 2.25);
    let missing = run(&bench, "tool-calls show call_1");
    assert!(missing.code == 1 && missing.err.contains("tool-calls list"), "{missing:?}");

    let shown = done(&bench, &format!("events show {event}"));
    assert!(shown.contains("Tool calls:") && shown.contains(id), "{shown}");
    let exported = done(&bench, "events export");
    assert!(!exported.contains("tool_calls"), "{exported}");
    running.stop();
}

#[test]
fn what_a_tenants_agents_may_do_is_set_shown_and_cleared() {
    let (bench, running) = gateway();
    done(&bench, "tenant add acme --name Acme");
    let without = json(&bench, "tools show acme");
    assert_eq!(without["bookings_list"], "caller");
    let settings = json!({
        "allow": ["bookings_*"],
        "bookings_list": "anyone",
        "bookings_change": "caller",
    });
    bench.file("tools.json", &settings.to_string());
    let said = done(&bench, "tools set acme --file tools.json");
    assert!(said.contains("acme's agents"), "{said}");
    assert_eq!(json(&bench, "tools show acme"), settings);
    // What is shown can be changed and set again.
    let shown = done(&bench, "tools show acme").replace("caller", "anyone");
    let set = bench.run_with(&["tools", "set", "acme", "--file", "-"], shown.as_bytes());
    assert_eq!(set.code, 0, "{set:?}");
    assert_eq!(json(&bench, "tools show acme")["bookings_change"], "anyone");

    for (text, code, said) in [
        ("{", 2, "no JSON"),
        ("", 2, "empty"),
        (r#"{"alow":[]}"#, 1, "unknown field `alow`"),
        (r#"{"http":[{"name":"X","url":"https://x.example/"}]}"#, 1, "no name of a tool"),
        (r#"{"http":[{"name":"x","url":"https://x.example/","headers":"canary"}]}"#, 1, "400"),
    ] {
        bench.file("bad.json", text);
        let refused = run(&bench, "tools set acme --file bad.json");
        assert_eq!(refused.code, code, "{text}: {refused:?}");
        assert!(refused.err.contains(said) && !refused.err.contains("canary"), "{refused:?}");
    }
    assert_eq!(json(&bench, "tools show acme")["allow"], json!(["bookings_*"]), "nothing was set");
    for wrong in
        ["tools set acme", "tools set acme --clear --file tools.json", "tools set acme --file no"]
    {
        assert_eq!(run(&bench, wrong).code, 2, "{wrong}");
    }
    for missing in ["tools show nobody", "tools set nobody --clear"] {
        let missing = run(&bench, missing);
        assert!(missing.code == 1 && missing.err.contains("hookgate tenant list"), "{missing:?}");
    }
    assert_eq!(json(&bench, "tools set acme --clear")["cleared"], Value::Bool(true));
    assert_eq!(json(&bench, "tools show acme"), without);
    running.stop();
}

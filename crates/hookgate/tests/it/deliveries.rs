//! Destinations and deliveries, from the command line.

use serde_json::Value;

use crate::tenants::{done, gateway, json, run, send, two_tenants};

#[test]
fn a_destination_is_added_shown_changed_tested_and_removed() {
    let (bench, gateway) = gateway();
    two_tenants(&bench);
    let none = run(&bench, "destination list");
    assert!(none.code == 0 && none.err.contains("hookgate destination add"), "{none:?}");
    let said = run(
        &bench,
        "destination add --kind http --url https://hooks.invalid/in --tenant acme --event call.* --name CRM",
    );
    assert!(said.code == 0 && said.err.contains("shown once"), "{said:?}");
    assert!(said.out.contains("dst_") && said.out.contains("whsec_"), "{said:?}");
    let listed = done(&bench, "destination list");
    assert!(
        listed.contains("CRM") && listed.contains("acme") && listed.contains("call.*"),
        "{listed}"
    );
    assert!(!listed.contains("whsec_"));

    bench.file("url", "https://hooks.slack.com/services/T0/B0/canary-url\n");
    let made =
        json(&bench, "destination add --kind slack --url-file url --template {{kind}} --ordered");
    let id = made["id"].as_str().unwrap();
    assert_eq!((&made["ordered"], &made["tenant"]), (&Value::Bool(true), &Value::Null));
    let shown = done(&bench, &format!("destination show {id}"));
    assert!(shown.contains("enabled") && !shown.contains("canary-url"), "{shown}");
    let filter = r#"{"pointer":"/kind","op":"eq","value":"call.ended"}"#;
    let changed = json(
        &bench,
        &format!("destination set {id} --rate-per-second 5 --ordered false --filter {filter}"),
    );
    assert_eq!((&changed["rate_per_second"], &changed["ordered"]), (&5.into(), &false.into()));
    assert_eq!(changed["filter"][0]["op"], "eq");
    let cleared =
        json(&bench, &format!("destination set {id} --clear filter --clear rate_per_second"));
    assert_eq!(
        (&cleared["filter"], &cleared["rate_per_second"]),
        (&Value::Array(vec![]), &Value::Null)
    );

    let rotated = json(&bench, &format!("destination rotate {id} --overlap 1h"));
    assert!(rotated["secret"].is_string() && rotated["old_secret_until"].is_string());
    let disabled = done(&bench, &format!("destination disable {id}"));
    assert!(disabled.contains("gets no events"), "{disabled}");
    let test = run(&bench, &format!("destination test {id}"));
    assert!(test.code == 1 && test.err.contains("destination enable"), "{test:?}");
    done(&bench, &format!("destination enable {id}"));
    let test = json(&bench, &format!("destination test {id}"));
    let listed = json(&bench, &format!("deliveries list --destination {id}"));
    assert_eq!(listed["data"][0]["id"], test["id"]);
    done(&bench, &format!("destination remove {id}"));
    let gone = run(&bench, &format!("destination show {id}"));
    assert!(gone.code == 1 && gone.err.contains("hookgate destination list"), "{gone:?}");
    gateway.stop();
}

#[test]
fn what_cannot_be_meant_says_what_can() {
    let (bench, gateway) = gateway();
    for (line, code, says) in [
        ("destination add --kind http", 2, "--url"),
        ("destination add --kind fax --url https://a.invalid/", 2, "slack"),
        ("destination add --kind http --url https://a.invalid/ --format xml", 2, "cloudevents"),
        ("destination add --kind http --url https://a.invalid/ --filter kind=1", 2, "pointer"),
        (
            r#"destination add --kind http --url https://a.invalid/ --filter {"pointer":"/x","op":"gtt"}"#,
            2,
            "`contains`",
        ),
        ("destination add --kind http --url https://10.0.0.1/", 1, "address"),
        ("destination add --kind http --url http://127.0.0.1:9/", 1, "address"),
        ("destination add --kind http --url https://a.invalid/ --event call.gone", 1, "call.gone"),
        ("destination add --kind http --url https://a.invalid/ --tenant nobody", 1, "tenant list"),
        ("destination set dst_1", 2, "what is to be changed"),
        ("deliveries list --state lost", 2, "dead_ours"),
        ("deliveries retry", 2, "--all"),
        ("deliveries retry dlv_1", 1, "deliveries list"),
        ("deliveries show dlv_1", 1, "deliveries list"),
        ("events replay", 2, "--all"),
        ("events replay evt_1", 1, "events list"),
    ] {
        let ended = run(&bench, line);
        assert!(ended.code == code && ended.err.contains(says), "{line}: {ended:?}");
    }
    gateway.stop();
}

#[test]
fn events_are_delivered_again_one_by_one_and_by_a_filter() {
    let (bench, gateway) = gateway();
    two_tenants(&bench);
    let made = json(&bench, "destination add --kind http --url https://a.invalid/ --tenant acme");
    let id = made["id"].as_str().unwrap();
    for call in ["call-1", "call-2", "call-3"] {
        assert_eq!(send(&bench, call, "a_acme"), 200);
    }
    let events = json(&bench, "events list --conversation call-2");
    let event = events["data"][0]["id"].as_str().unwrap();
    let said = done(&bench, &format!("events replay {event} --destination {id}"));
    assert!(said.contains("1 delivery."), "{said}");
    let count = |line: &str| json(&bench, line)["deliveries"].as_u64().unwrap();
    assert_eq!(count("events replay --tenant acme --dry-run"), 3);
    assert_eq!(count("events replay --tenant globex --dry-run"), 0);
    assert_eq!(count("events replay --all --run monday"), 3);
    let replays = |bench: &crate::bench::Bench| {
        let all = json(bench, &format!("deliveries list --destination {id} --limit 1000"));
        let all = all["data"].as_array().unwrap().clone();
        all.iter().filter(|it| it["replay"] != 0).count()
    };
    assert_eq!(replays(&bench), 4);
    assert_eq!(count("events replay --all --run monday"), 3);
    assert_eq!(replays(&bench), 4, "a run under its name makes nothing twice");
    let delivery = json(&bench, &format!("deliveries list --event {event} --limit 1"));
    let delivery = delivery["data"][0]["id"].as_str().unwrap();
    let shown = done(&bench, &format!("deliveries show {delivery}"));
    assert!(shown.contains(event) && shown.contains("webhook_id"), "{shown}");
    assert_eq!(run(&bench, &format!("deliveries retry {delivery}")).code, 0);
    let dry = done(&bench, "deliveries retry --all --dry-run");
    assert!(dry.starts_with("Would be tried again: "), "{dry}");
    gateway.stop();
}

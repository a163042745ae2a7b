//! Tenants, and what is theirs, from the command line.

use serde_json::Value;

use crate::bench::{Bench, Ended, Gateway};

const TOKEN: &str = "operator-0123456789abcdef";
const SECRET: &str = "vapi-0123456789abcdef0123456789abcdef";

/// A gateway with Vapi's secret alone.
pub(crate) fn gateway() -> (Bench, Gateway) {
    let mut bench = Bench::new();
    bench.set("HOOKGATE_ADMIN_TOKEN", TOKEN).set("VAPI_WEBHOOK_SECRET", SECRET);
    let gateway = bench.serve(&[]);
    (bench, gateway)
}

/// Runs a command that is written as one line.
#[track_caller]
pub(crate) fn done(bench: &Bench, line: &str) -> String {
    bench.done(&line.split_whitespace().collect::<Vec<_>>())
}

#[track_caller]
pub(crate) fn run(bench: &Bench, line: &str) -> Ended {
    bench.run(&line.split_whitespace().collect::<Vec<_>>())
}

#[track_caller]
pub(crate) fn json(bench: &Bench, line: &str) -> Value {
    serde_json::from_str(&done(bench, &format!("{line} --json"))).unwrap()
}

/// Sends an event of a Vapi call; gives the status.
#[track_caller]
pub(crate) fn send(bench: &Bench, call: &str, agent: &str) -> u16 {
    let body = format!(
        r#"{{"message":{{"type":"transcript","call":{{"id":"{call}","assistantId":"{agent}"}},"at":"{}"}}}}"#,
        uuid()
    );
    let ended = bench.run_with(&["send", "vapi", "--body", "-"], body.as_bytes());
    let status = ended.out.lines().nth(1).and_then(|it| it.split(' ').next());
    status.and_then(|it| it.parse().ok()).unwrap_or_else(|| panic!("{ended:?}"))
}

/// Makes each body another one.
fn uuid() -> u128 {
    static NEXT: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    u128::from(NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}

/// Acme with an assistant, globex with another.
pub(crate) fn two_tenants(bench: &Bench) {
    for tenant in ["acme", "globex"] {
        done(bench, &format!("tenant add {tenant} --name {tenant}"));
        done(
            bench,
            &format!("binding add --tenant {tenant} --provider vapi --kind agent a_{tenant}"),
        );
    }
}

#[test]
fn a_tenant_is_added_once_listed_changed_and_erased() {
    let (bench, gateway) = gateway();
    let none = run(&bench, "tenant list");
    assert!(none.code == 0 && none.err.contains("hookgate tenant add"), "{none:?}");

    let said = bench.done(&["tenant", "add", "acme", "--name", "Acme Dental"]);
    assert!(said.starts_with("acme is added (Acme Dental)"), "{said}");
    let said = bench.done(&["tenant", "add", "acme", "--name", "Another"]);
    assert!(said.contains("acme is there already (Acme Dental)"), "{said}");
    assert_eq!(run(&bench, "tenant add -x --name x").code, 2);
    let refused = run(&bench, "tenant add a/b --name x");
    assert!(refused.code == 1 && refused.err.contains("400"), "{refused:?}");
    let made = json(&bench, "tenant add --name Globex");
    assert!(made["id"].as_str().unwrap().starts_with("t_"), "{made}");

    let changed = json(&bench, "tenant set acme --retention-days 30 --events-per-second 5");
    assert_eq!(changed["retention_days"], 30);
    let changed = json(&bench, "tenant set acme --bytes-per-second 9000000000");
    assert_eq!(changed["quota"]["events_per_second"], 5, "{changed}");
    assert_eq!(changed["quota"]["bytes_per_second"], 9_000_000_000_u64);
    let listed = done(&bench, "tenant list");
    assert!(
        listed.contains("30 d") && listed.contains("5 events/s, 9000000000 bytes/s"),
        "{listed}"
    );
    let changed = json(&bench, "tenant set acme --retention-days none --events-per-second default");
    assert!(changed["retention_days"].is_null(), "{changed}");
    assert!(changed["quota"]["events_per_second"].is_null(), "{changed}");
    assert_eq!(changed["quota"]["bytes_per_second"], 9_000_000_000_u64);
    assert_eq!(run(&bench, "tenant set acme").code, 2);
    assert_eq!(run(&bench, "tenant set acme --retention-days 0").code, 2);
    assert_eq!(run(&bench, "tenant set acme --in-flight lots").code, 2);
    let missing = run(&bench, "tenant set nobody --retention-days 3");
    assert!(missing.code == 1 && missing.err.contains("hookgate tenant list"), "{missing:?}");

    // Nobody sits here who could be asked.
    let asked = run(&bench, "tenant remove acme");
    assert!(asked.code == 2 && asked.err.contains("--yes"), "{asked:?}");
    assert_eq!(run(&bench, "tenant show acme").code, 0);
    let erased = done(&bench, "tenant remove acme --yes --wait");
    assert!(erased.contains("Erased: 0 events"), "{erased}");
    assert_eq!(run(&bench, "tenant show acme").code, 1);
    gateway.stop();
}

#[test]
fn an_id_of_another_tenant_is_taken_and_nobody_is_named() {
    let (bench, gateway) = gateway();
    two_tenants(&bench);
    let said = run(
        &bench,
        "binding add --tenant acme --provider vapi --kind agent a_acme b_acme a_globex",
    );
    assert_eq!(said.code, 1, "{said:?}");
    assert_eq!(
        said.out,
        "vapi agent a_acme: bound already\nvapi agent b_acme: bound\nvapi agent a_globex: TAKEN: it is \
         bound to another tenant\n1 bound to acme, 1 were already, 1 taken.\n"
    );
    assert!(!said.err.contains("globex"), "{said:?}");
    let said =
        run(&bench, "binding add --tenant acme --provider vapi --kind agent a_globex --json");
    let report: Value = serde_json::from_str(&said.out).unwrap();
    assert_eq!((said.code, &report["taken"]), (1, &Value::from(1)));

    let listed = json(&bench, "binding list --tenant acme --provider vapi --kind agent");
    let ids: Vec<&str> = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["external_id"].as_str().unwrap())
        .collect();
    assert_eq!(ids, ["b_acme", "a_acme"]);
    done(&bench, "binding remove --provider vapi --kind agent a_globex");
    let again = run(&bench, "binding remove --provider vapi --kind agent a_globex");
    assert!(again.code == 1 && again.err.contains("bound to nobody"), "{again:?}");
    done(&bench, "binding add --tenant acme --provider vapi --kind agent a_globex");

    for wrong in [
        "binding add --tenant acme --provider twilio --kind agent x",
        "binding add --tenant acme --provider vapi --kind assistant x",
        "binding add --tenant acme --provider vapi --kind agent",
        "binding add --tenant acme --provider vapi --kind agent --key-file k",
    ] {
        assert_eq!(run(&bench, wrong).code, 2, "{wrong}");
    }
    let missing = run(&bench, "binding add --tenant nobody --provider vapi --kind agent x");
    assert!(missing.code == 1 && missing.err.contains("there is no tenant nobody"), "{missing:?}");
    gateway.stop();
}

#[test]
fn a_file_of_bindings_says_what_became_of_each_line() {
    let (bench, gateway) = gateway();
    two_tenants(&bench);
    bench.file(
        "ids.csv",
        "provider,kind,external_id\nvapi,agent,a_acme\nvapi,phone_number,\"+1, 555\"\nvapi,agent,a_globex\n\
         tawk,property,p_1\n",
    );
    let said = run(&bench, "binding import --tenant acme ids.csv");
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.out.ends_with("2 bound to acme, 1 were already, 1 taken.\n"), "{said:?}");
    let ended =
        bench.run_with(&["binding", "import", "--tenant", "acme", "-"], b"tawk,property,p_1\n");
    assert_eq!((ended.code, ended.out.lines().count()), (0, 2), "{ended:?}");

    // A wrong line changes nothing.
    bench.file("wrong.csv", "tawk,property,p_2\ntawk,property\n");
    let said = run(&bench, "binding import --tenant acme wrong.csv");
    assert!(said.code == 2 && said.err.contains("line 2"), "{said:?}");
    let bound = json(&bench, "binding list --external-id p_2");
    assert!(bound["data"].as_array().unwrap().is_empty(), "{bound}");
    gateway.stop();
}

#[test]
fn an_account_is_bound_by_its_key_which_is_never_shown() {
    let (mut bench, gateway) = gateway();
    gateway.stop();
    let key = "11111111-2222-3333-4444-555555555555";
    bench.set("MIGHTYCALL_API_KEY", key);
    let gateway = bench.serve(&[]);
    done(&bench, "tenant add acme --name acme");
    bench.file("key", &format!("{key}\n"));
    let said = done(
        &bench,
        "binding add --tenant acme --provider mightycall --kind account --key-file key",
    );
    assert!(said.contains("account sha256:") && !said.contains("1111"), "{said}");
    done(&bench, "send mightycall --event IncomingCallCompleted");
    let events = json(&bench, "events list --tenant acme");
    assert_eq!(events["data"][0]["attribution"]["verdict"], "owned", "{events}");
    gateway.stop();
}

#[test]
fn a_conversation_shows_its_owners_and_the_verdict() {
    let (bench, gateway) = gateway();
    two_tenants(&bench);
    let register = "conversations register --tenant acme --provider vapi call_1 --agent a_acme --phone-number p_1";
    assert_eq!(done(&bench, register), "call_1 is acme's.\n");
    assert!(done(&bench, register).contains("already"));
    let taken = run(&bench, "conversations register --tenant globex --provider vapi call_1");
    assert!(taken.code == 1 && taken.err.contains("another's"), "{taken:?}");
    assert!(!taken.err.contains("acme"), "{taken:?}");

    assert_eq!(send(&bench, "call_1", "a_acme"), 200);
    assert_eq!(send(&bench, "call_1", "a_globex"), 401);
    let shown = done(&bench, "conversations show vapi call_1");
    for part in ["OWNER", "a_acme  acme", "Verdict   consistent", "registered", "contradiction"] {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    let owner = |line: &str| shown.lines().find(|it| it.starts_with(line)).unwrap().to_owned();
    assert!(owner("conversation").ends_with("acme"), "{shown}");
    assert!(owner("phone number").ends_with("nobody"), "{shown}");

    // Whoever takes the agent away contradicts the call.
    done(&bench, "binding remove --provider vapi --kind agent a_acme");
    done(&bench, "binding add --tenant globex --provider vapi --kind agent a_acme");
    let shown = done(&bench, "conversations show vapi call_1");
    assert!(shown.contains("Verdict   contradiction"), "{shown}");

    let listed = done(&bench, "conversations list --tenant acme --provider vapi");
    assert!(listed.contains("call_1") && listed.contains("registered"), "{listed}");
    assert_eq!(run(&bench, "conversations erase vapi call_1").code, 2);
    let erased = done(&bench, "conversations erase vapi call_1 --yes --wait");
    assert!(erased.starts_with("Erased:"), "{erased}");
    let missing = run(&bench, "conversations show vapi call_2");
    assert!(missing.code == 1 && missing.err.contains("conversations register"), "{missing:?}");
    gateway.stop();
}

#[test]
fn a_violation_is_listed_with_both_sides() {
    let (bench, gateway) = gateway();
    two_tenants(&bench);
    assert_eq!(done(&bench, "violations list"), "");
    assert_eq!(send(&bench, "call_1", "a_acme"), 200);
    assert_eq!(send(&bench, "call_1", "a_globex"), 401);
    let listed = done(&bench, "violations list --provider vapi --since 1h");
    assert!(listed.contains("Security violation: Invalid call ownership"), "{listed}");
    assert!(listed.contains("conversation call_1 of acme, agent a_globex of globex"), "{listed}");
    assert_eq!(done(&bench, "violations list --tenant nobody"), "");
    assert_eq!(run(&bench, "violations list --since soon").code, 2);
    gateway.stop();
}

#[test]
fn a_credential_is_read_from_a_file_or_standard_input_and_never_shown() {
    let (bench, gateway) = gateway();
    two_tenants(&bench);
    bench.file(
        "square.json",
        r#"{"access_token":"canary-7","location_id":"L","environment":"sandbox"}"#,
    );
    let said = done(&bench, "credential set acme square --file square.json");
    assert!(!said.contains("canary"), "{said}");
    let ended = bench.run_with(&["credential", "set", "acme", "crm"], b"canary-8\n");
    assert_eq!(ended.code, 0, "{ended:?}");
    let empty = bench.run_with(&["credential", "set", "acme", "crm"], b"\n");
    assert!(empty.code == 2 && empty.err.contains("empty"), "{empty:?}");
    let listed =
        done(&bench, "credential list acme") + &done(&bench, "credential list acme --json");
    assert!(listed.contains("square") && listed.contains("crm"), "{listed}");
    assert!(!listed.contains("canary"), "{listed}");
    done(&bench, "credential remove acme crm");
    assert_eq!(run(&bench, "credential remove acme crm").code, 1);
    assert_eq!(run(&bench, "credential set nobody square --file square.json").code, 1);
    let odd = run(&bench, "credential set acme SQUARE --file square.json");
    assert!(odd.code == 1 && !odd.err.contains("canary"), "{odd:?}");
    // Nothing takes the value as a flag or an argument.
    assert_eq!(run(&bench, "credential set acme square canary-9").code, 2);
    gateway.stop();
}

#[test]
fn a_tenants_key_reads_its_own_and_nothing_else() {
    let (mut bench, gateway) = gateway();
    two_tenants(&bench);
    assert_eq!(send(&bench, "call_1", "a_acme"), 200);
    assert_eq!(send(&bench, "call_2", "a_globex"), 200);
    let made = run(&bench, "key add acme");
    let key = made.out.trim().to_owned();
    assert!(key.starts_with("hgk_") && !key.contains('\n'), "{made:?}");
    let listed = done(&bench, "key list acme") + &done(&bench, "key list acme --json");
    assert!(listed.contains("key_") && !listed.contains(&key), "{listed}");
    let id = json(&bench, "key list acme")["data"][0]["id"].as_str().unwrap().to_owned();

    bench.set("HOOKGATE_ADMIN_TOKEN", &key);
    let events = json(&bench, "events list");
    let owners: Vec<&str> = events["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it["tenant"].as_str().unwrap())
        .collect();
    assert_eq!(owners, ["acme"]);
    assert!(done(&bench, "conversations list").contains("call_1"));
    assert_eq!(run(&bench, "conversations show vapi call_2").code, 1);
    for operators in
        ["tenant add x --name x", "binding list", "key add acme", "audit", "source list"]
    {
        let refused = run(&bench, operators);
        assert_eq!(refused.code, 1, "{operators}: {refused:?}");
    }

    bench.set("HOOKGATE_ADMIN_TOKEN", TOKEN);
    done(&bench, &format!("key remove acme {id}"));
    bench.set("HOOKGATE_ADMIN_TOKEN", &key);
    let refused = run(&bench, "events list");
    assert!(refused.code == 1 && refused.err.contains("HOOKGATE_ADMIN_TOKEN"), "{refused:?}");
    gateway.stop();
}

#[test]
fn a_source_is_made_with_a_url_that_is_shown_once() {
    let (bench, gateway) = gateway();
    two_tenants(&bench);
    bench.file("secret", "acme-0123456789abcdef\n");
    let made =
        run(&bench, "source add acme-vapi --provider vapi --tenant acme --secret-file secret");
    assert_eq!(made.code, 0, "{made:?}");
    let url = made.out.trim();
    assert!(url.starts_with("http://127.0.0.1:") && url.contains("/in/acme-vapi/"), "{made:?}");
    assert!(made.err.contains("shown once") && made.err.contains("Server URL"), "{made:?}");
    let shown = done(&bench, "source show acme-vapi") + &done(&bench, "source list");
    assert!(!shown.contains(url.rsplit('/').next().unwrap()), "{shown}");
    assert!(shown.contains("acme-vapi"), "{shown}");

    let post = |url: &str| {
        let body = format!(
            r#"{{"message":{{"type":"transcript","call":{{"id":"c"}},"at":"{}"}}}}"#,
            uuid()
        );
        let to = ["send", "vapi", "--secret-file", "secret", "--body", "-", "--to", url];
        bench.run_with(&to, body.as_bytes()).code
    };
    assert_eq!(post(url), 0);
    assert_eq!(json(&bench, "events list --tenant acme")["data"].as_array().unwrap().len(), 1);

    let tokens = json(&bench, "source token list acme-vapi");
    let id = tokens["data"][0]["id"].as_str().unwrap().to_owned();
    let rotated = run(&bench, &format!("source token rotate acme-vapi {id} --grace 1h"));
    let new = rotated.out.trim();
    assert!(rotated.err.contains("another 3600 s"), "{rotated:?}");
    assert_eq!((post(url), post(new)), (0, 0), "both work for an hour");
    done(&bench, &format!("source token remove acme-vapi {id}"));
    assert_eq!((post(url), post(new)), (1, 0));
    let third = done(&bench, "source token add acme-vapi --tenant acme");
    assert_eq!(post(third.trim()), 0);

    let again = run(&bench, "source add acme-vapi --provider vapi");
    assert!(again.code == 1 && again.err.contains("409"), "{again:?}");
    let built_in = run(&bench, "source remove vapi");
    assert!(built_in.code == 1 && built_in.err.contains("built in"), "{built_in:?}");
    done(&bench, "source remove acme-vapi");
    assert_eq!(post(new), 1);
    assert_eq!(run(&bench, "source show acme-vapi").code, 1);
    assert_eq!(run(&bench, "source add x --provider vapi --ownership maybe").code, 2);
    assert_eq!(run(&bench, &format!("source token rotate vapi {id} --grace soon")).code, 2);
    gateway.stop();
}

#[test]
fn what_nobody_owned_is_judged_again_or_released() {
    let (bench, gateway) = gateway();
    two_tenants(&bench);
    // Nobody is bound to these two assistants yet.
    assert_eq!(send(&bench, "call_1", "a_new"), 404);
    assert_eq!(send(&bench, "call_2", "a_odd"), 404);
    done(&bench, "binding add --tenant acme --provider vapi --kind agent a_new");
    let said = done(&bench, "events reattribute --source vapi");
    assert!(said.contains("owned  acme") && said.contains("1 owned, 1 unattributed"), "{said}");
    let owned = json(&bench, "events list --tenant acme");
    assert_eq!(owned["data"].as_array().unwrap().len(), 1, "{owned}");
    assert!(done(&bench, "events list").contains("(judged again)"));

    let quarantined = json(&bench, "events list --status quarantined");
    let id = quarantined["data"][0]["id"].as_str().unwrap().to_owned();
    let said = done(&bench, &format!("events release {id} --tenant globex"));
    assert!(said.contains("belongs to globex") && said.contains("`unattributed`"), "{said}");
    let again = run(&bench, &format!("events release {id}"));
    assert!(again.code == 1 && again.err.contains("accepted already"), "{again:?}");
    let missing = run(&bench, "events release evt_00000000000000000000000000000000");
    assert_eq!(missing.code, 1, "{missing:?}");

    // What nobody proved cannot be released.
    let forged = gateway.post("/in/tawk", &[], "{}");
    assert_eq!(forged.status, 200);
    let unproven = json(&bench, "events list --source tawk");
    let id = unproven["data"][0]["id"].as_str().unwrap();
    let refused = run(&bench, &format!("events release {id}"));
    assert!(refused.code == 1 && refused.err.contains("nothing proves"), "{refused:?}");
    gateway.stop();
}

#[test]
fn an_id_that_deceives_is_shown_harmless() {
    let (bench, gateway) = gateway();
    two_tenants(&bench);
    // What a provider names is not ours to choose.
    assert_eq!(send(&bench, r"call\u001b[2J\u202e", "a_acme"), 200);
    assert_eq!(send(&bench, r"call\u001b[2J\u202e", "a_globex"), 401);
    assert_eq!(send(&bench, "call_2", r"agent\u001b]0;x\u0007"), 404);
    let odd = "call\u{1b}[2J\u{202e}";
    let name = bench.run(&["tenant", "add", "evil", "--name", "Evil\u{1b}[2J"]);
    assert!(name.code == 1 && name.err.contains("400"), "{name:?}");
    let shown = [
        bench.done(&["conversations", "show", "vapi", odd]),
        bench.run(&["conversations", "show", "vapi", "\u{1b}[2Jodd"]).err,
        bench.run(&["binding", "remove", "--provider", "vapi", "--kind", "agent", odd]).err,
        done(&bench, "conversations list"),
        done(&bench, "violations list"),
        done(&bench, "events list"),
        run(&bench, "audit").out,
        run(&bench, "doctor").out,
        name.err,
    ];
    for text in shown {
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{text:?}");
    }
    gateway.stop();
}

#[test]
fn a_command_that_finds_no_gateway_says_where_it_looked() {
    let mut bench = Bench::new();
    bench.set("HOOKGATE_URL", "http://127.0.0.1:1").set("HOOKGATE_ADMIN_TOKEN", TOKEN);
    for command in ["tenant list", "binding list", "source list", "audit", "key list acme"] {
        let ended = run(&bench, command);
        assert_eq!(ended.code, 1, "{command}");
        assert!(
            ended.err.contains("http://127.0.0.1:1") && ended.err.contains("HOOKGATE_URL"),
            "{ended:?}"
        );
    }
    let (mut bench, gateway) = gateway();
    bench.set("HOOKGATE_ADMIN_TOKEN", "wrong");
    let ended = run(&bench, "tenant list");
    assert!(ended.code == 1 && ended.err.contains("HOOKGATE_ADMIN_TOKEN"), "{ended:?}");
    assert_eq!(run(&bench, "tenant show ..").code, 2);
    gateway.stop();
}

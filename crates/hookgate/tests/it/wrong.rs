//! What a user hears who wrote something wrong: the thing itself, and what to write.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;

use hookgate_testpg::Cluster;
use serde_json::json;

use crate::bench::Bench;
use crate::postgres::MASTER_KEY;
use crate::tenants::{done, run};

#[test]
fn a_mistyped_level_is_refused_instead_of_silencing_the_log() {
    let mut bench = Bench::new();
    let levels = "error, warn, info, debug, trace, off";
    for (level, fault) in [
        ("loud", "\"loud\" is no level"),
        ("", "\"\" is no level"),
        ("info,hookgate_ingres", "\"hookgate_ingres\" is no level"),
        ("info,hookgate_ingress=loud", "expected one of"),
    ] {
        bench.file("hookgate.toml", &format!("[log]\nlevel = \"{level}\"\n"));
        let ended = run(&bench, "serve --listen 127.0.0.1:0");
        assert_eq!(ended.code, 2, "{ended:?}");
        for text in ["[log] level", fault, levels] {
            assert!(ended.err.contains(text), "{text}: {ended:?}");
        }
        let doctor = run(&bench, "doctor");
        assert!(doctor.code == 1 && doctor.out.contains("FAIL  configuration"), "{doctor:?}");
    }
    bench.file("hookgate.toml", "[log]\nlevel = \"INFO,hookgate_ingress=debug\"\n");
    bench.serve(&[]).stop();
    bench.set("RUST_LOG", "infoo");
    let ended = run(&bench, "serve --listen 127.0.0.1:0");
    assert!(ended.code == 2 && ended.err.contains("RUST_LOG = \"infoo\""), "{ended:?}");
}

#[test]
fn a_tool_call_of_nobody_is_not_taken_for_a_wrong_secret() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&["--dev"]);
    done(&bench, "tenant add acme --name Acme");
    let ended = run(&bench, "send retell --event tool:bookings_cancel");
    assert_eq!(ended.code, 1, "{ended:?}");
    for text in ["401", "events list --status quarantined", "binding add", "violations list"] {
        assert!(ended.out.contains(text), "{text}: {ended:?}");
    }
    assert!(!ended.out.contains("another secret"), "{ended:?}");
    let listed = done(&bench, "events list --status quarantined");
    assert!(listed.contains("retell"), "{listed}");

    let wrong = run(&bench, "send retell --secret wrong");
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(wrong.out.contains("another secret"), "{wrong:?}");
    assert!(!wrong.out.contains("quarantined"), "{wrong:?}");
    // Vapi's answer is the same for both.
    let either = run(&bench, "send vapi --secret wrong");
    assert!(either.out.contains("another secret"), "{either:?}");
    assert!(either.out.contains("If it is not there: It is proven"), "{either:?}");
    gateway.stop();
}

#[test]
fn a_folder_without_a_store_is_said_to_have_none() {
    let bench = Bench::new();
    std::fs::create_dir(bench.path().join("empty")).unwrap();
    for folder in ["nowhere", "empty"] {
        for line in
            ["events list", "rejections list", "store check", "store rebuild", "store backup copy"]
        {
            let ended = run(&bench, &format!("{line} --store {folder}"));
            assert_eq!(ended.code, 1, "{line}: {ended:?}");
            let sentence = format!("there is no store in {folder}");
            assert!(ended.err.contains(&sentence), "{line}: {ended:?}");
            assert!(!ended.err.contains("check the disk"), "{line}: {ended:?}");
        }
    }
    assert!(!bench.path().join("nowhere").exists());
}

#[test]
fn the_setting_that_is_wrong_is_the_one_that_is_named() {
    let mut bench = Bench::new();
    let check = |bench: &Bench, line: &str, at: &str| {
        let ended = run(bench, line);
        assert_eq!(ended.code, 2, "{ended:?}");
        let sentence = format!("error: {at}a store is a folder, as in hookgate.data");
        assert!(ended.err.contains(&sentence), "{ended:?}");
        assert!(!ended.err.contains("hunter2"), "{ended:?}");
    };
    check(&bench, "serve --store https://me:hunter2@db/x", "");
    bench.file("hookgate.toml", "[store]\npath = \"\"\n");
    check(&bench, "serve", "[store] path: ");
    bench.set("HOOKGATE_STORE", "https://me:hunter2@db/x");
    check(&bench, "serve", "HOOKGATE_STORE: ");
    check(&bench, "store check", "HOOKGATE_STORE: ");

    let database = Cluster::shared().database();
    bench.set("HOOKGATE_STORE", &database.url()).set("HOOKGATE_MASTER_KEY", MASTER_KEY);
    let gateway = bench.serve(&[]);
    let second = run(&bench, "serve --listen 127.0.0.1:0");
    assert_eq!(second.code, 1, "{second:?}");
    assert!(second.err.contains("another process uses this store folder"), "{second:?}");
    assert!(second.err.contains("[store] folder"), "{second:?}");
    gateway.stop();
}

#[test]
fn what_is_missing_is_the_tenant_or_the_source_and_not_the_other() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&["--dev"]);
    let ended = run(&bench, "source token add elevenlabs --tenant nobody");
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("there is no tenant nobody"), "{ended:?}");
    assert!(!ended.err.contains("source elevenlabs"), "{ended:?}");
    let ended = run(&bench, "source token add nothing --tenant nobody");
    assert!(ended.err.contains("there is no source nothing"), "{ended:?}");
    assert!(!ended.err.contains("tenant"), "{ended:?}");
    gateway.stop();
}

#[test]
fn the_operator_hears_which_setting_allows_an_address_and_a_tenant_does_not() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&["--dev"]);
    done(&bench, "tenant add acme --name Acme");
    let key = done(&bench, "key add acme");
    let line = "destination add --kind http --url http://127.0.0.1:8095/x";
    let allow = "HOOKGATE_EGRESS_ALLOW";
    let ended = run(&bench, line);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.contains("loopback") && ended.err.contains(allow), "{ended:?}");
    bench.set("HOOKGATE_ADMIN_TOKEN", key.trim());
    let ended = run(&bench, line);
    assert_eq!(ended.code, 1, "{ended:?}");
    assert!(ended.err.ends_with("The host's address may not be reached.\n"), "{ended:?}");
    gateway.stop();
}

#[test]
fn settings_that_can_do_nothing_are_told_when_they_are_given() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&["--dev"]);
    done(&bench, "tenant add acme --name Acme");
    let set = |line: &str, text: &str| {
        let arguments: Vec<_> = line.split(' ').collect();
        bench.run_with(&arguments, text.as_bytes())
    };
    for pattern in ["book*ing", "x y", "", "Bookings_*"] {
        let ended = set("tools set acme --file -", &json!({ "allow": [pattern] }).to_string());
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.err.contains(&format!("has `{pattern}`, and no tool can")), "{ended:?}");
    }
    let own = json!({"allow": ["bookings.*", "crm_lookup", "*"],
        "http": [{"name": "crm_lookup", "url": "https://crm.example/"}]});
    assert_eq!(set("tools set acme --file -", &own.to_string()).code, 0);
    assert_eq!(set("tools set acme --file -", r#"{"allow":[]}"#).code, 0, "nothing is allowed");

    for value in ["notjson", r#"{"access_token":"canary-1","location_id":"L"}"#] {
        let ended = set("credential set acme square", value);
        assert_eq!(ended.code, 0, "{ended:?}");
        assert!(ended.err.contains("access_token, location_id and environment"), "{ended:?}");
        assert!(!ended.err.contains("canary"), "{ended:?}");
    }
    assert!(!set("credential set acme crm", "notjson").err.contains("No booking"));
    gateway.stop();

    bench.file("hookgate.toml", "[tools.defaults]\nallow = [\"x y\"]\n");
    let ended = run(&bench, "serve --listen 127.0.0.1:0");
    assert_eq!(ended.code, 2, "{ended:?}");
    assert!(ended.err.contains("[tools] defaults: `allow` has `x y`"), "{ended:?}");
}

#[test]
fn the_doctor_says_which_source_is_of_a_tenant_that_is_not_there() {
    let mut bench = Bench::new();
    bench.file("hookgate.toml", "[source.retell]\ntenant = \"acme\"\n");
    let gateway = bench.serve(&["--dev"]);
    let sentence = "retell: it is set to the tenant acme, and there is no such tenant";
    let said = run(&bench, "doctor").out;
    assert!(said.contains(sentence) && said.contains("tenant add acme"), "{said}");
    done(&bench, "tenant add acme --name Acme");
    let said = run(&bench, "doctor").out;
    assert!(!said.contains("no such tenant"), "{said}");
    gateway.stop();
}

#[test]
fn another_server_is_not_taken_for_a_gateway() {
    let mut bench = Bench::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    bench.set("HOOKGATE_URL", &format!("http://{}", listener.local_addr().unwrap()));
    std::thread::spawn(move || {
        for (stream, body) in listener.incoming().zip(["{}", "<html>"]) {
            let mut stream = BufReader::new(stream.unwrap());
            let mut line = String::new();
            while stream.read_line(&mut line).unwrap() > 2 {
                line.clear();
            }
            let head = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length";
            write!(stream.get_mut(), "{head}: {}\r\n\r\n{body}", body.len()).unwrap();
        }
    });
    for _ in 0..2 {
        let ended = run(&bench, "tenant list");
        assert_eq!(ended.code, 1, "{ended:?}");
        assert!(ended.err.contains("is no gateway of Hookgate: HOOKGATE_URL"), "{ended:?}");
    }
}

#[test]
fn a_filter_that_fits_nothing_is_not_taken_for_an_empty_store() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&["--dev"]);
    let ended = run(&bench, "events list --tenant nobody");
    assert_eq!(ended.err, "No event is like that.\n");
    assert!(run(&bench, "events list").err.contains("hookgate send"));
    gateway.stop();
}

//! An export that is judged again, offline.

use serde_json::Value;

use crate::bench::{Bench, Ended};

/// The text of a bundle, judged.
fn judged(bench: &Bench, bundle: &str, more: &[&str]) -> Ended {
    bench.run_with(&[&["verify", "--bundle", "-"], more].concat(), bundle.as_bytes())
}

/// The verdicts, by the order of the bundle, and the counts behind them.
#[track_caller]
fn verdicts(ended: &Ended) -> (Vec<String>, Value) {
    let mut lines: Vec<Value> =
        ended.out.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let counts = lines.pop().expect("the counts");
    (lines.iter().map(|it| it["verdict"].as_str().unwrap().to_owned()).collect(), counts)
}

#[test]
fn every_exported_event_is_judged_again_at_the_time_it_was_received() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&["--dev"]);
    for provider in ["elevenlabs", "retell", "vapi", "tawk", "mightycall"] {
        bench.done(&["send", provider]);
    }
    bench.done(&["send", "vapi", "--event", "hang", "--scheme", "vapi.secret"]);
    let bundle = bench.done(&["events", "export"]);
    gateway.stop();
    bench.file("bundle.ndjson", &bundle);

    // Nothing runs, and the secrets are those of `.env`.
    let ended = bench.run(&["verify", "--bundle", "bundle.ndjson"]);
    assert_eq!(ended.code, 0, "{ended:?}");
    let said = ended.out.lines().last().unwrap();
    assert!(said.starts_with("5 accepted, 0 rejected, 0 not proven"), "{ended:?}");
    assert!(said.contains(", 1 that cannot be judged offline"), "{ended:?}");
    assert!(ended.out.contains("  accept  retell.v_d"), "{ended:?}");
    assert!(ended.out.contains("unjudged  vapi.secret: it came with a token"), "{ended:?}");

    // A bundle of years ago is judged at its own time, and one whose time was changed is not
    // what was signed.
    let events: Vec<Value> = bundle.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let retell = events.iter().find(|it| it["provider"] == "retell").unwrap();
    let check = |change: &dyn Fn(&mut Value), expected: &str, why: &str| {
        let mut event = retell.clone();
        change(&mut event);
        let ended = judged(&bench, &format!("{event}\n"), &["--json"]);
        let (verdicts, _) = verdicts(&ended);
        assert_eq!(verdicts, [expected], "{ended:?}");
        assert!(ended.out.contains(why), "{ended:?}");
        assert_eq!(ended.code, i32::from(expected != "accept"), "{ended:?}");
    };
    check(&|_| {}, "accept", "retell.v_d");
    check(&|it| it["received_at"] = "2020-01-01T00:00:00Z".into(), "reject", "genuine");
    check(&|it| it["body_base64"] = "e30=".into(), "reject", "not those of its digest");
    check(&|it| it["body_base64"] = Value::Null, "unjudged", "erased");
    check(&|it| it["headers"] = Value::Array(Vec::new()), "reject", "missing");
    check(&|it| it["headers"] = Value::Null, "reject", "odd");
    check(&|it| it["provider"] = "nobody".into(), "reject", "odd");
    check(&|it| it["verification"]["scheme"] = "x".into(), "reject", "no scheme x");
    check(
        &|it| {
            it["body_base64"] = "e30=".into();
            it["sha256"] =
                "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a".into();
        },
        "reject",
        "does not match the request",
    );
    check(&|it| it["verification"]["verdict"] = "mismatch".into(), "unproven", "when it came");
}

#[test]
fn a_bundle_needs_the_right_secret_and_the_right_form() {
    let mut bench = Bench::new();
    let gateway = bench.serve(&["--dev"]);
    bench.done(&["send", "tawk"]);
    let bundle = bench.done(&["events", "export"]);
    gateway.stop();
    let wrong = judged(&bench, &bundle, &["--secret", "another-secret-altogether"]);
    assert_eq!(wrong.code, 1, "{wrong:?}");
    assert!(wrong.out.contains("0 accepted, 1 rejected"), "{wrong:?}");
    // Without any secret nothing is proven.
    let elsewhere = Bench::new();
    let none = judged(&elsewhere, &bundle, &[]);
    assert_eq!(none.code, 1, "{none:?}");
    assert!(none.out.contains("has no secret"), "{none:?}");
    let secret = bench.read(".env");
    let secret = crate::bench::variable(&secret, "TAWK_WEBHOOK_SECRET").to_owned();
    assert_eq!(judged(&elsewhere, &bundle, &["--secret", &secret]).code, 0);

    assert_eq!(judged(&bench, "", &[]).code, 1, "nothing proves nothing");
    for odd in ["x", "[]", "{}\nx"] {
        assert_eq!(judged(&bench, odd, &[]).code, 2, "{odd}");
    }
    for flags in
        [&["--bundle", "none"][..], &["--bundle", "-", "tawk"], &["--bundle", "-", "--at", "1"]]
    {
        assert_eq!(bench.run(&[&["verify"], flags].concat()).code, 2, "{flags:?}");
    }
}

//! A wrong secret loses nothing.

use serde_json::Value;

use crate::bench::Bench;

const RIGHT: &str = "right-0123456789abcdef0123456789abcdef";

#[test]
fn what_was_refused_for_a_wrong_secret_comes_in_late() {
    let mut bench = Bench::new();
    bench.set("RETELL_API_KEY", "wrong-0123456789abcdef0123456789abcdef");
    bench.set("HOOKGATE_ADMIN_TOKEN", "operator-0123456789abcdef");
    let gateway = bench.serve(&[]);
    let refused = bench.run(&["send", "retell", "--secret", RIGHT]);
    assert_eq!(refused.code, 1);
    assert!(
        refused.out.contains("Invalid signature") && refused.out.contains("RETELL_API_KEY"),
        "{refused:?}"
    );
    // As long as the secret is wrong, nothing changes.
    let again = bench.run(&["rejections", "retry", "--all"]);
    assert_eq!((again.code, again.out.contains("1 refused")), (1, true), "{again:?}");
    gateway.stop();

    bench.set("RETELL_API_KEY", RIGHT);
    let gateway = bench.serve(&[]);
    let list: Value = serde_json::from_str(&bench.done(&["rejections", "list", "--json"])).unwrap();
    let id = list["data"][0]["id"].as_str().unwrap().to_owned();
    let shown = bench.done(&["rejections", "show", &id]);
    assert!(shown.contains("retry it"), "{shown}");
    assert_eq!(bench.run(&["rejections", "retry"]).code, 2);
    let said = bench.done(&["rejections", "retry", &id]);
    assert!(said.contains("1 accepted"), "{said}");
    let events: Value = serde_json::from_str(&bench.done(&["events", "list", "--json"])).unwrap();
    assert_eq!(events["data"].as_array().unwrap().len(), 1);
    assert_eq!(events["data"][0]["late"], true);
    assert_eq!(events["data"][0]["verification"]["verdict"], "verified");
    let left: Value = serde_json::from_str(&bench.done(&["rejections", "list", "--json"])).unwrap();
    assert_eq!(left["data"].as_array().unwrap().len(), 0);
    gateway.stop();
}

//! What platforms are told of tools, and calls of tools as they make them.

use serde_json::Value;

use crate::bench::Bench;

const TOOLS: [&str; 7] = [
    "bookings_availability",
    "bookings_create",
    "bookings_reschedule",
    "bookings_cancel",
    "bookings_list",
    "services_list",
    "customers_find",
];

/// What is published, as (name, URL).
fn published(said: &str, name: &str, url: &str) -> Vec<(String, String)> {
    let tools: Vec<Value> = serde_json::from_str(said).unwrap();
    let text = |tool: &Value, at: &str| tool.pointer(at).unwrap().as_str().unwrap().to_owned();
    tools.iter().map(|it| (text(it, name), text(it, url))).collect()
}

#[test]
fn schemas_are_printed_for_each_platform_ready_to_paste() {
    let mut bench = Bench::new();
    bench.set("HOOKGATE_PUBLIC_URL", "https://hooks.example.com");
    let retell = bench.done(&["tools", "schema", "retell"]);
    let retell = published(&retell, "/name", "/url");
    assert_eq!(retell.iter().map(|it| it.0.as_str()).collect::<Vec<_>>(), TOOLS);
    assert_eq!(retell[3].1, "https://hooks.example.com/api/bookings/cancel");
    let vapi = bench.done(&["tools", "schema", "vapi", "--tool", "bookings.cancel"]);
    let expected =
        ("bookings_cancel".to_owned(), "https://hooks.example.com/webhook/vapi".to_owned());
    assert_eq!(published(&vapi, "/function/name", "/server/url"), [expected]);
    let url = "https://other.example.com/in/elevenlabs/T";
    let said = bench.done(&["tools", "schema", "elevenlabs", "--url", url]);
    for (name, at) in published(&said, "/name", "/api_schema/url") {
        assert_eq!(at, format!("{url}/tools/{name}"));
    }
}

#[test]
fn a_schema_for_nobody_or_of_nothing_is_refused_and_a_missing_url_is_said() {
    let bench = Bench::new();
    let said = bench.run(&["tools", "schema", "retell", "--tool", "services_list"]);
    assert_eq!(said.code, 0);
    assert!(
        said.err.contains("HOOKGATE_PUBLIC_URL") && said.out.contains("http://127.0.0.1:8080/")
    );
    let said = bench.run(&["tools", "schema", "tawk"]);
    assert_eq!((said.code, said.err.contains("retell, vapi")), (2, true), "{said:?}");
    let said = bench.run(&["tools", "schema", "vapi", "--tool", "bookings_cancle"]);
    assert_eq!((said.code, said.err.contains("bookings_cancel")), (2, true), "{said:?}");
    let said = bench.run(&["tools", "schema", "vapi", "--url", "hooks.example.com"]);
    assert_eq!(said.code, 2, "{said:?}");
}

#[test]
fn a_call_of_an_elevenlabs_tool_wants_the_url_of_its_source() {
    let bench = Bench::new();
    let said = bench.run(&["send", "elevenlabs", "--event", "tool:services_list"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("/in/elevenlabs/TOKEN/tools/services_list"), "{said:?}");
}

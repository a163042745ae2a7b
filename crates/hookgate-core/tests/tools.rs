//! Tool calls as the platforms send them, and the answers that they understand.

#![expect(clippy::unwrap_used, reason = "a test stops at its first surprise")]

use hookgate_core::event::Answer;
use hookgate_core::provider::{self, Provider};
use hookgate_core::tool::masked::{Called, masked};
use hookgate_core::tool::schema::{self, Definition};
use hookgate_core::tool::settings::Settings;
use hookgate_core::tool::{
    Arguments, Asked, CALLS_MAX, Calls, Form, NOT_NOW, Order, Reply, catalog,
};
use proptest::prelude::*;
use serde_json::{Value, json};

/// The most that Retell passes on.
const RETELL_CHARS_MAX: usize = 15_000;

fn calls(provider_name: &str) -> &'static Calls {
    provider::named(provider_name).unwrap().calls.as_ref().unwrap()
}

fn decode(provider_name: &str, tool: Option<&str>, query: &str, body: &str) -> Order {
    (calls(provider_name).decode)(&Asked { tool, query, body: body.as_bytes() })
}

fn answer(provider_name: &str, order: &Order, replies: &[Reply]) -> Value {
    let Answer { status, body } = (calls(provider_name).encode)(order, replies);
    assert_eq!(status, 200);
    serde_json::from_str(&body).unwrap()
}

/// An order in one line a call: `id tool arguments`, then who speaks with whom.
fn told(order: &Order) -> Vec<String> {
    let line = |call: &hookgate_core::tool::Call| {
        let arguments = match &call.arguments {
            Arguments::Read(arguments) => Value::Object(arguments.clone()).to_string(),
            Arguments::Unreadable => "unreadable".to_owned(),
        };
        format!("{} {} {arguments}", call.id.as_deref().unwrap_or("-"), call.tool)
    };
    let mut lines: Vec<String> = order.calls.iter().map(line).collect();
    let shown = |it: &Option<String>| it.clone().unwrap_or_else(|| "-".to_owned());
    lines.push(format!(
        "agent={} number={}",
        shown(&order.caller.agent_id),
        shown(&order.caller.number)
    ));
    lines
}

#[track_caller]
fn check(order: &Order, expected: &[&str]) {
    assert_eq!(told(order), expected);
}

#[test]
fn retells_full_form_says_who_speaks_with_whom() {
    let sample = include_str!("../samples/retell/custom_function.full.json");
    let agent = "agent=oBeDLoLOeuAbiuaMFXRtDOLriTJ5tSxD number=-";
    let call = r#"tool_call_abc123 analyze_transcript {"analysis_type":"sentiment"}"#;
    check(&decode("retell", None, "", sample), &[call, agent]);
    let body = |direction: &str| {
        json!({
            "name": "bookings.cancel", "args": {"booking_id": "b", "agent_id": "forged"},
            "call": {
                "agent_id": "a", "direction": direction, "from_number": "+1", "to_number": "+2",
                "transcript_with_tool_calls": [
                    {"role": "tool_call_invocation", "tool_call_id": "old", "name": "bookings_cancel"},
                    {"role": "tool_call_result", "tool_call_id": "old", "content": ""},
                    {"role": "tool_call_invocation", "tool_call_id": "new", "name": "bookings_cancel"},
                    {"role": "agent", "content": "One moment."},
                ],
            },
        })
        .to_string()
    };
    let call = r#"new bookings_cancel {"agent_id":"forged","booking_id":"b"}"#;
    check(&decode("retell", None, "", &body("inbound")), &[call, "agent=a number=+1"]);
    check(&decode("retell", None, "", &body("outbound")), &[call, "agent=a number=+2"]);
    check(&decode("retell", None, "", &body("")), &[call, "agent=a number=-"]);
    // The path decides, and the id stays with the function that the body names.
    let order = decode("retell", Some("bookings_list"), "", &body("inbound"));
    check(
        &order,
        &[r#"new bookings_list {"agent_id":"forged","booking_id":"b"}"#, "agent=a number=+1"],
    );
}

#[test]
fn an_id_of_another_tools_call_is_not_taken() {
    let body = json!({"name": "a", "args": {}, "call": {"transcript_with_tool_calls": [
        {"role": "tool_call_invocation", "tool_call_id": "t", "name": "b"},
    ]}});
    check(&decode("retell", None, "", &body.to_string()), &["- a {}", "agent=- number=-"]);
}

#[test]
fn retells_arguments_alone_attest_no_number() {
    let sample = include_str!("../samples/retell/custom_function.args_only.json");
    let order = decode("retell", Some("bookings_cancel"), "", sample);
    let agent = "agent=elite-barbershop-main number=-";
    check(&order, &[r#"- bookings_cancel {"booking_id":"BOOKING#123"}"#, agent]);
    let forged = r#"{"name":"Ann","direction":"inbound","from_number":"+1"}"#;
    let order = decode("retell", Some("customers_find"), "", forged);
    check(
        &order,
        &[
            &format!(
                "- customers_find {}",
                r#"{"direction":"inbound","from_number":"+1","name":"Ann"}"#
            ),
            "agent=- number=-",
        ],
    );
    check(
        &decode("retell", Some("services_list"), "", ""),
        &["- services_list {}", "agent=- number=-"],
    );
}

#[test]
fn vapis_three_shapes_are_one() {
    let expected = [r#"t weather {"city":"Oslo"}"#, "agent=- number=-"];
    let arguments = [json!({"city": "Oslo"}), json!(r#"{"city":"Oslo"}"#)];
    for given in &arguments {
        for word in ["arguments", "parameters"] {
            let flat = json!({"id": "t", "name": "weather", word: given});
            let nested = json!({"id": "t", "type": "function", "function": {"name": "weather", word: given}});
            for call in [flat, nested] {
                for list in [
                    json!({"toolCallList": [call]}),
                    json!({"toolCallList": [], "toolWithToolCallList": [{"toolCall": call}]}),
                    json!({"toolCalls": [call]}),
                ] {
                    let body = json!({ "message": list }).to_string();
                    check(&decode("vapi", None, "", &body), &expected);
                }
            }
        }
    }
    let named_beside = json!({"message": {"toolWithToolCallList": [
        {"name": "weather", "toolCall": {"id": "t", "parameters": {"city": "Oslo"}}},
    ]}});
    check(&decode("vapi", None, "", &named_beside.to_string()), &expected);
}

#[test]
fn vapi_says_who_is_on_the_line() {
    let sample = include_str!("../samples/vapi/tool-calls.json");
    let call = r#"toolu_01DTPAzUm5Gk3zxrpJ969oMF get_weather {"location":"San Francisco"}"#;
    let line = "agent=b8d1a2c4-3f6e-4a8d-b1c5-9e2a7d6c4b30 number=+14155550142";
    check(&decode("vapi", None, "", sample), &[call, line]);
    let outside = r#"{"message":{"toolCallList":[],"customer":{"number":"+9"}}}"#;
    check(&decode("vapi", None, "", outside), &["agent=- number=+9"]);
}

#[test]
fn arguments_that_are_no_object_are_said_to_be_unreadable() {
    for given in [json!([1]), json!("{"), json!("[]"), json!(7), json!(r#"{"a":1,"a":2}"#)] {
        let body =
            json!({"message": {"toolCallList": [{"id": "t", "name": "x", "arguments": given}]}});
        check(
            &decode("vapi", None, "", &body.to_string()),
            &["t x unreadable", "agent=- number=-"],
        );
        let body = json!({"name": "x", "args": given, "call": {}});
        check(
            &decode("retell", None, "", &body.to_string()),
            &["- x unreadable", "agent=- number=-"],
        );
    }
    for given in [json!(null), json!(""), json!({})] {
        let body =
            json!({"message": {"toolCallList": [{"id": "t", "name": "x", "arguments": given}]}});
        check(&decode("vapi", None, "", &body.to_string()), &["t x {}", "agent=- number=-"]);
    }
}

#[test]
fn vapi_is_told_of_each_call_by_its_id() {
    let body = r#"{"message":{"toolCallList":[{"id":"1","name":"a"},{"id":"2","name":"b"},{"id":"3","name":"c"}]}}"#;
    let order = decode("vapi", None, "", body);
    let replies = [
        Reply::done("cancelled", "It is\ncancelled.\u{2028}Bye.").with("at", "3 p.m.\r\n"),
        Reply::sorry("not_found", "I do not\nfind it."),
    ];
    let expected = json!({"results": [
        {"name": "a", "toolCallId": "1", "result": r#"{"at":"3 p.m.  ","message":"It is cancelled. Bye.","ok":true,"status":"cancelled"}"#},
        {"name": "b", "toolCallId": "2", "error": "I do not find it."},
        {"name": "c", "toolCallId": "3", "error": NOT_NOW},
    ]});
    assert_eq!(answer("vapi", &order, &replies), expected);
}

#[test]
fn calls_beyond_the_limit_are_answered_and_not_carried_out() {
    let list: Vec<Value> =
        (0..CALLS_MAX + 3).map(|n| json!({"id": n.to_string(), "name": "x"})).collect();
    let order = decode("vapi", None, "", &json!({"message": {"toolCallList": list}}).to_string());
    assert_eq!((order.calls.len(), order.beyond.len()), (CALLS_MAX, 3));
    let replies = vec![Reply::done("ok", "Done."); CALLS_MAX];
    let told = answer("vapi", &order, &replies);
    let results = told["results"].as_array().unwrap();
    for (n, result) in results.iter().enumerate() {
        assert_eq!(result["toolCallId"], n.to_string());
        assert_eq!(result.get("result").is_some(), n < CALLS_MAX, "{n}");
        assert_eq!(result.get("error").is_some(), n >= CALLS_MAX, "{n}");
    }
    assert_eq!(results.len(), CALLS_MAX + 3);
}

#[test]
fn vapis_older_message_gets_one_result() {
    let body = r#"{"message":{"type":"function-call","functionCall":{"name":"bookings.cancel","parameters":{"booking_id":"b"}},"call":{"assistantId":"a"}}}"#;
    let order = decode("vapi", None, "", body);
    check(&order, &[r#"- bookings_cancel {"booking_id":"b"}"#, "agent=a number=-"]);
    assert_eq!(order.form, Form::Result);
    let told = answer("vapi", &order, &[Reply::done("cancelled", "Done.")]);
    assert_eq!(told, json!({"result": r#"{"message":"Done.","ok":true,"status":"cancelled"}"#}));
    let told = answer("vapi", &order, &[Reply::sorry("not_found", "It is not there.")]);
    assert_eq!(told, json!({"result": "It is not there."}));
}

#[test]
fn elevenlabs_arguments_stand_in_query_and_body() {
    let query = "city=New+York&days=2&system__caller_id=%2B1415&conversation_id=c";
    let order = decode("elevenlabs", Some("get.weather"), query, "");
    check(&order, &[r#"- get_weather {"city":"New York","days":"2"}"#, "agent=- number=+1415"]);
    let body = r#"{"city":"Oslo","system__agent_id":"a","system__call_sid":"s","agentId":"x","caller_id":"+9"}"#;
    let order = decode("elevenlabs", Some("get_weather"), query, body);
    check(&order, &[r#"- get_weather {"city":"Oslo","days":"2"}"#, "agent=a number=+1415"]);
    // A name that a model fills in attests nothing.
    let order = decode("elevenlabs", Some("x"), "", r#"{"caller_id":"+9","agent_id":"a"}"#);
    check(&order, &["- x {}", "agent=a number=-"]);
    let twice = decode("elevenlabs", Some("x"), "system__caller_id=1&system__caller_id=2", "");
    check(&twice, &["- x unreadable", "agent=- number=-"]);
    assert_eq!(
        answer("elevenlabs", &order, &[Reply::done("ok", "Done.").with("n", 1)]),
        json!({"ok": true, "status": "ok", "message": "Done.", "n": 1})
    );
}

#[test]
fn retells_answer_is_cut_at_its_lists_and_stays_json() {
    let order = decode("retell", Some("bookings_list"), "", "{}");
    let short = Reply::done("ok", "Two.").with("bookings", json!(["a", "b"]));
    assert_eq!(answer("retell", &order, std::slice::from_ref(&short)), short.to_json());

    let slots: Vec<Value> = (0..2000).map(|n| json!({"start_at": format!("slot {n}")})).collect();
    let long = Reply::done("ok", "Many.").with("slots", slots.clone()).with("next", "b");
    let told = answer("retell", &order, &[long]);
    assert_eq!(
        (&told["message"], &told["truncated"], &told["next"]),
        (&json!("Many."), &json!(true), &json!("b"))
    );
    let kept = told["slots"].as_array().unwrap();
    assert_eq!(kept[..], slots[..kept.len()], "cut from the end");
    let chars = told.to_string().chars().count();
    assert!((RETELL_CHARS_MAX - 40..=RETELL_CHARS_MAX).contains(&chars), "{chars}");

    // What is no list goes altogether, and the sentence last.
    let text = Reply::done("ok", "Here.").with("text", "x".repeat(20_000)).with("n", 1);
    let expected =
        json!({"ok": true, "status": "ok", "message": "Here.", "n": 1, "truncated": true});
    assert_eq!(answer("retell", &order, &[text]), expected);
    let told = answer("retell", &order, &[Reply::done("ok", "\u{1}".repeat(20_000))]);
    assert!(told.to_string().chars().count() <= RETELL_CHARS_MAX);
}

fn platforms() -> impl Iterator<Item = &'static Provider> {
    provider::ALL.into_iter().filter(|it| it.calls.is_some())
}

#[test]
fn every_tool_is_published_to_every_platform() {
    let tools: Vec<Definition> = catalog::ALL.into_iter().map(Definition::from).collect();
    let names: Vec<&str> = platforms().map(|it| it.name).collect();
    assert_eq!(names, ["elevenlabs", "retell", "vapi"]);
    for platform in platforms() {
        let published = schema::for_platform(platform, &tools, "https://gw.test/").unwrap();
        assert_eq!(published.as_array().unwrap().len(), tools.len());
        for (told, tool) in published.as_array().unwrap().iter().zip(catalog::ALL) {
            let (name, schema, url) = match platform.name {
                "retell" => (&told["name"], &told["parameters"], &told["url"]),
                "vapi" => {
                    let function = &told["function"];
                    (&function["name"], &function["parameters"], &told["server"]["url"])
                }
                _ => {
                    let api = &told["api_schema"];
                    (&told["name"], &api["request_body_schema"], &api["url"])
                }
            };
            assert_eq!(name, tool.name);
            assert_eq!(schema["type"], "object");
            for argument in tool.arguments {
                let property = &schema["properties"][argument.name];
                assert!(property["type"].is_string() && property["description"].is_string());
            }
            let required = schema["required"].as_array().unwrap();
            let is_required = |name: &str| required.contains(&json!(name));
            assert!(tool.arguments.iter().all(|it| is_required(it.name) == it.is_required));
            assert!(url.as_str().unwrap().starts_with("https://gw.test/"), "{url}");
            assert!(!url.as_str().unwrap().contains(['{', '}']), "{url}");
        }
    }
    let retell = provider::named("retell").unwrap();
    let published = schema::for_platform(retell, &tools, "https://gw.test").unwrap();
    for told in published.as_array().unwrap() {
        let row = retell.tool_paths.iter().find(|it| told["name"] == it.1).unwrap();
        assert_eq!(told["url"], format!("https://gw.test{}", row.0));
    }
    assert_eq!(schema::for_platform(provider::named("tawk").unwrap(), &tools, "x"), None);
}

#[test]
fn a_tenants_own_tool_is_published_under_the_url_of_its_source() {
    let settings = Settings::read(json!({"http": [{
        "name": "weather", "about": "Says the weather.", "url": "https://example.com/",
        "parameters": {"properties": {"city": {"type": "string"}}},
    }]}));
    let tool = Definition::from(&settings.unwrap().http[0]);
    let published = |name: &str| {
        let provider = provider::named(name).unwrap();
        let url = format!("https://gw.test/in/{name}/T");
        schema::for_platform(provider, std::slice::from_ref(&tool), &url).unwrap()[0].take()
    };
    let elevenlabs = published("elevenlabs");
    assert_eq!(elevenlabs["api_schema"]["url"], "https://gw.test/in/elevenlabs/T/tools/weather");
    let properties = &elevenlabs["api_schema"]["request_body_schema"]["properties"];
    assert_eq!(properties["city"], json!({"type": "string"}));
    assert_eq!(properties["system__caller_id"]["dynamic_variable"], "system__caller_id");
    assert_eq!(published("retell")["url"], "https://gw.test/in/retell/T");
    assert_eq!(published("vapi")["server"]["url"], "https://gw.test/in/vapi/T");
    assert_eq!(published("retell")["parameters"]["type"], "object");
}

#[test]
fn what_says_something_about_a_person_is_masked() {
    let arguments = json!({
        "start_at": "2026-12-01T15:00", "phone_number": "+1 (212) 555-0123", "name": "Ann Lee",
        "service": "Haircut", "note": null, "card": "4111 1111", "service_id": {"deep": "Ann"},
    });
    let arguments = arguments.as_object().unwrap();
    let shown = json!({
        "start_at": "2026-12-01T15:00", "phone_number": "…23", "name": "•••",
        "service": "Haircut", "note": null, "card": "•••", "service_id": "•••",
    });
    assert_eq!(masked(Called::Ours(&catalog::BOOKINGS_CREATE), arguments), shown);
    let nothing = masked(Called::Unknown, arguments);
    let is_masked = |it: &Value| it.is_null() || *it == "•••";
    assert!(nothing.as_object().unwrap().values().all(is_masked));
    let short = json!({"phone": "112"});
    let shown = masked(Called::Ours(&catalog::BOOKINGS_LIST), short.as_object().unwrap());
    assert_eq!(shown, json!({"phone": "•••"}));
    let settings = Settings::read(json!({"http": [{
        "name": "weather", "url": "https://example.com/", "personal": ["who"],
        "parameters": {"properties": {"city": {"type": "string"}, "who": {"type": "string"}}},
    }]}));
    let given = json!({"city": "Oslo", "who": "Ann", "more": "x"});
    let shown = masked(Called::Own(&settings.unwrap().http[0]), given.as_object().unwrap());
    assert_eq!(shown, json!({"city": "Oslo", "who": "•••", "more": "•••"}));
}

/// Any JSON, with the words in it that decide.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("inbound")),
        Just(json!("tool_call_invocation")),
        Just(json!("{\"a\":\"\\n\"}")),
    ];
    let word = prop_oneof![
        any::<String>(),
        prop::sample::select(vec![
            "message",
            "name",
            "args",
            "call",
            "id",
            "arguments",
            "parameters",
            "function",
            "toolCallList",
            "toolWithToolCallList",
            "toolCall",
            "toolCalls",
            "functionCall",
            "transcript_with_tool_calls",
            "role",
            "tool_call_id",
            "direction",
            "from_number",
            "agent_id",
            "system__caller_id",
            "customer",
            "number",
        ])
        .prop_map(str::to_owned),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(word.clone(), inner, 0..6)
                .prop_map(|it| Value::Object(it.into_iter().collect())),
        ]
    })
}

fn any_reply() -> impl Strategy<Value = Reply> {
    let data = prop::collection::btree_map(any::<String>(), any_json(), 0..4);
    let long = prop_oneof![Just(1_usize), Just(300), Just(1500)];
    (any::<bool>(), any::<String>(), any::<String>(), data, long).prop_map(
        |(ok, status, message, data, times)| {
            let mut reply = Reply { ok, status, message, data: data.into_iter().collect() };
            let list: Vec<Value> = reply.data.values().cycle().take(times).cloned().collect();
            reply.data.insert("list".to_owned(), list.into());
            reply.message = reply.message.repeat(times.min(300));
            reply
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn whatever_is_asked_gets_one_answer_a_call(
        body in any_json(),
        tool in prop::option::of("[a-z_.]{0,12}"),
        query in "[a-z_%+&=0-9é]{0,40}",
        replies in prop::collection::vec(any_reply(), 0..3),
    ) {
        for platform in platforms() {
            let body = if body.is_object() { body.to_string() } else { json!({"message": body}).to_string() };
            let order = decode(platform.name, tool.as_deref(), &query, &body);
            prop_assert!(order.calls.len() <= CALLS_MAX);
            let told = answer(platform.name, &order, &replies);
            match order.form {
                Form::Results => {
                    let results = told["results"].as_array().unwrap();
                    prop_assert_eq!(results.len(), order.calls.len() + order.beyond.len());
                    for (result, call) in results.iter().zip(order.calls.iter().chain(&order.beyond)) {
                        prop_assert_eq!(result.get("toolCallId").and_then(Value::as_str), call.id.as_deref());
                        let text = result.get("result").or_else(|| result.get("error")).unwrap();
                        prop_assert!(is_one_line(text.as_str().unwrap()));
                    }
                }
                Form::Result => prop_assert!(is_one_line(told["result"].as_str().unwrap())),
                Form::Object => {
                    prop_assert_eq!(order.calls.len(), 1);
                    let reply = replies.first().cloned().unwrap_or_else(Reply::not_available);
                    prop_assert_eq!(&told["ok"], &json!(reply.ok));
                }
            }
            if platform.name == "retell" {
                prop_assert!(told.to_string().chars().count() <= RETELL_CHARS_MAX);
            }
        }
    }
}

fn is_one_line(text: &str) -> bool {
    !text.contains(|it: char| it.is_control() || matches!(it, '\u{2028}' | '\u{2029}'))
}

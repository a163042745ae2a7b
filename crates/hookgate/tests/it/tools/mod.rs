//! Tool calls, through the front door: the real program before the stand-in Square.

mod allowed;
mod crash;
mod defined;
mod nodes;
mod once;
mod own;
mod shop;

use serde_json::{Value, json};

use self::shop::{AGENT, OTHER_AGENT, Shop, TOOL_SECRET, VAPI_SECRET, hex, results, unique};
use hookgate_core::digest::hmac_sha256;

fn seed(agent: &str, call: &str) -> Value {
    json!({"agent_id": agent, "call_id": call, "booking_id": "BOOKING#123"})
}

#[test]
fn the_guides_call_cancels_the_booking_with_its_own_tenants_token() {
    let shop = Shop::open();
    let answer = shop.retell("/api/bookings/cancel", &seed(AGENT, "call_123abc"));
    assert_eq!(answer.status, 200, "{answer:?}");
    let said = answer.json();
    assert_eq!((&said["ok"], &said["status"]), (&json!(true), &json!("cancelled")), "{said}");
    assert!(said["message"].as_str().unwrap().contains("cancelled"), "{said}");
    assert_eq!(shop.square.booking("BOOKING#123")["status"], "CANCELLED_BY_CUSTOMER");
    let callers = shop.square.state()["callers"].clone();
    assert_eq!(callers.as_object().unwrap().keys().collect::<Vec<_>>(), ["…acme"], "{callers}");
}

#[test]
fn the_other_tenants_agent_does_not_cancel_it() {
    let shop = Shop::open();
    let said = shop.retell("/api/bookings/cancel", &seed(OTHER_AGENT, "call_9")).json();
    assert_eq!((&said["ok"], &said["status"]), (&json!(false), &json!("not_found")), "{said}");
    assert_eq!(shop.square.booking("BOOKING#123")["status"], "ACCEPTED");
    let callers = shop.square.state()["callers"].clone();
    assert_eq!(callers.as_object().unwrap().keys().collect::<Vec<_>>(), ["…obex"], "{callers}");
}

#[test]
fn what_is_not_proven_or_nobodys_never_reaches_square() {
    let shop = Shop::open();
    let body = seed(AGENT, "call_1").to_string();
    let over_body = format!(
        "v=1760878707109,d={}",
        hex(&hmac_sha256(shop::RETELL_KEY.as_bytes(), body.as_bytes()))
    );
    let path = "/api/bookings/cancel";
    for headers in [&[][..], &[("x-retell-signature", over_body.as_str())][..]] {
        let answer = shop.gateway.post(path, headers, &body);
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (401, r#"{"error":"Invalid signature"}"#)
        );
    }
    let unknown = shop.retell(path, &seed("nobodys-agent", "call_2"));
    assert_eq!((unknown.status, unknown.body.as_str()), (401, r#"{"error":"Unauthorized"}"#));
    let none = shop.retell(path, &json!({"booking_id": "BOOKING#123"}));
    assert_eq!(none.status, 401, "{none:?}");

    let unknown = shop.vapi(
        "nobodys",
        "call_3",
        &[("bookings_cancel", json!({"booking_id": "BOOKING#123"}))],
    );
    assert!(matches!(&results(&unknown)[..], [Err(_)]), "{unknown:?}");

    let tool = format!("{}/tools/bookings_cancel", shop.elevenlabs);
    let arguments = r#"{"booking_id":"BOOKING#123"}"#;
    assert_eq!(shop.gateway.post(&tool, &[], arguments).status, 401);
    let wrong = [("x-hookgate-tool-secret", "wrong")];
    assert_eq!(shop.gateway.post(&tool, &wrong, arguments).status, 401);
    let right = [("x-hookgate-tool-secret", TOOL_SECRET)];
    let lost = "/in/elevenlabs/not-a-token/tools/bookings_cancel";
    assert_eq!(shop.gateway.post(lost, &right, arguments).status, 404);
    assert_eq!(shop.square.state()["requests"], 0);
}

#[test]
fn an_argument_names_no_tenant() {
    let shop = Shop::open();
    // The platform attests the other tenant's agent; the model writes Acme's.
    let body = json!({
        "name": "bookings_cancel",
        "call": {"call_id": "call_1", "agent_id": OTHER_AGENT},
        "args": {"booking_id": "BOOKING#123", "agent_id": AGENT, "tenant": "acme"},
    });
    let said = shop.retell("/api/bookings/cancel", &body).json();
    assert_eq!(said["status"], "not_found", "{said}");
    assert_eq!(shop.square.booking("BOOKING#123")["status"], "ACCEPTED");
}

#[test]
fn each_platform_is_answered_in_its_own_form() {
    let shop = Shop::open();
    let retell = json!({
        "name": "bookings.cancel",
        "call": {"call_id": "call_1", "agent_id": AGENT, "direction": "inbound",
                 "from_number": "+12125550123"},
        "args": {"booking_id": "BOOKING#123"},
    });
    let said = shop.retell("/webhook/retell", &retell).json();
    assert_eq!((&said["ok"], &said["status"]), (&json!(true), &json!("cancelled")), "{said}");

    let calls = [
        ("bookings_cancel", json!(r#"{"booking_id":"BOOKING#123"}"#)),
        ("services_list", json!({})),
        ("fly_to_the_moon", json!({})),
    ];
    let answer = shop.vapi(AGENT, "call_2", &calls);
    let said = results(&answer);
    let statuses: Vec<_> =
        said.iter().map(|it| it.as_ref().map(|it| it["status"].clone())).collect();
    assert_eq!(statuses[0], Ok(json!("already_cancelled")), "{answer:?}");
    assert!(statuses[1].is_ok() && statuses[2].is_err(), "{answer:?}");
    assert!(!answer.json()["results"][1]["result"].as_str().unwrap().contains('\n'));

    let said = shop.elevenlabs("services_list", &json!({})).json();
    assert!(said["ok"].as_bool().unwrap(), "{said}");
    // The platform's default method, with the arguments in the URL.
    let path = format!("{}/tools/services_list?search=haircut", shop.elevenlabs);
    let bearer = format!("Bearer {TOOL_SECRET}");
    let said = shop.gateway.get(&path, &[("authorization", bearer.as_str())]).json();
    assert_eq!(said["ok"], true, "{said}");
}

#[test]
fn a_call_is_on_record_with_masked_arguments_and_its_times() {
    let shop = Shop::open();
    let arguments = json!({"agent_id": AGENT, "call_id": "call_1", "phone": "+12125550123"});
    shop.retell("/api/customers/find", &arguments);
    let calls = shop.tool_calls();
    let [call] = &calls[..] else { panic!("{calls:?}") };
    assert_eq!(
        [&call["tool"], &call["state"], &call["tenant"], &call["conversation_id"]],
        [&json!("customers_find"), &json!("succeeded"), &json!("acme"), &json!("call_1")],
    );
    let id = call["id"].as_str().unwrap();
    let shown = shop.api("GET", &format!("/api/v1/tool-calls/{id}"), "").json();
    assert!(!shown["arguments"].to_string().contains("2125550123"), "{shown}");
    assert!(shown["times"]["connector_ms"].as_f64().unwrap() > 0.0, "{shown}");
    let event = format!("/api/v1/events/{}", call["event_id"].as_str().unwrap());
    let event = shop.api("GET", &event, "").json();
    assert_eq!(
        (&event["kind"], &event["tool_calls"][0]["id"]),
        (&json!("tool.called"), &call["id"])
    );
    let metrics = shop.gateway.get("/metrics", &[]).body;
    let counted = r#"hookgate_tool_calls_total{tool="customers_find",outcome="succeeded"} 1"#;
    assert!(metrics.contains(counted), "{metrics}");
}

#[test]
fn a_tenant_says_which_tools_its_agents_may_call() {
    let shop = Shop::open();
    let settings = json!({"allow": ["services_*"]}).to_string();
    let set = shop.api("PUT", "/api/v1/tenants/acme/tools", &settings);
    assert_eq!(set.status, 204, "{set:?}");
    let said = shop.retell("/api/bookings/cancel", &seed(AGENT, "call_1")).json();
    assert_eq!((&said["ok"], &said["status"]), (&json!(false), &json!("not_allowed")), "{said}");
    let said =
        shop.retell("/api/services/list", &json!({"agent_id": AGENT, "call_id": "call_1"})).json();
    assert_eq!(said["ok"], true, "{said}");
    assert_eq!(shop.square.booking("BOOKING#123")["status"], "ACCEPTED");
}

#[test]
fn bookings_are_listed_for_the_number_that_the_platform_attests() {
    let shop = Shop::open();
    let body = |number: &str, arguments: Value| {
        json!({
            "name": "bookings_list",
            "call": {"call_id": unique("call"), "agent_id": AGENT, "direction": "inbound",
                     "from_number": number},
            "args": arguments,
        })
    };
    let path = "/api/bookings/list";
    let said = shop.retell(path, &body("+12125550123", json!({}))).json();
    assert_eq!(said["bookings"][0]["booking_id"], "BOOKING#123", "{said}");
    // Another number asks for them.
    let said = shop.retell(path, &body("+12125559999", json!({"phone": "+12125550123"}))).json();
    assert_eq!(said["ok"], false, "{said}");
    assert!(!said.to_string().contains("BOOKING"), "{said}");
    // Nobody attests a number in the flat form.
    let flat = json!({"agent_id": AGENT, "call_id": "c", "phone": "+12125550123"});
    let said = shop.retell(path, &flat).json();
    assert_eq!(said["ok"], false, "{said}");

    let set = shop.api("PUT", "/api/v1/tenants/acme/tools", r#"{"bookings_list":"anyone"}"#);
    assert_eq!(set.status, 204, "{set:?}");
    let said = shop.retell(path, &flat).json();
    assert_eq!(said["bookings"][0]["booking_id"], "BOOKING#123", "{said}");
}

#[test]
fn where_square_is_too_slow_the_caller_hears_a_sentence_and_the_end_is_recorded() {
    let shop = Shop::open();
    shop.bench.file("hookgate.toml", "[tools]\nbudget_ms = 300\n");
    let shop = shop.restarted();
    shop.square.set_faults(&json!({"latency_ms": 400}));
    let said = shop.retell("/api/bookings/cancel", &seed(AGENT, "call_1")).json();
    assert_eq!((&said["ok"], &said["status"]), (&json!(false), &json!("pending")), "{said}");
    shop.gateway.wait_for_metric(r#"hookgate_tool_calls_late_total{tool="bookings_cancel"} 1"#);
    assert_eq!(shop.square.booking("BOOKING#123")["status"], "CANCELLED_BY_CUSTOMER");
    let calls = shop.tool_calls();
    assert_eq!((&calls[0]["state"], &calls[0]["late"]), (&json!("succeeded"), &json!(true)));
    // Asked again, it is known.
    shop.square.set_faults(&json!({}));
    let said = shop.retell("/api/bookings/cancel", &seed(AGENT, "call_1")).json();
    assert_eq!(said["ok"], true, "{said}");
}

#[test]
fn what_a_tenant_wrote_answers_who_is_to_take_the_call() {
    let shop = Shop::open();
    let settings = json!({"answers": {
        "assistant-request": {"assistantId": AGENT, "assistantOverrides": {"variableValues": {
            "caller": "{{caller}}"}}},
        "call_inbound": {"call_inbound": {"dynamic_variables": {"shop": "Elite {{tenant}}"}}},
        "conversation_initiation": {"type": "conversation_initiation_client_data",
            "dynamic_variables": {"number": "{{body.caller_id}}"}},
    }});
    let set = shop.api("PUT", "/api/v1/tenants/acme/tools", &settings.to_string());
    assert_eq!(set.status, 204, "{set:?}");
    shop.bench.done(&[
        "binding",
        "add",
        "--tenant",
        "acme",
        "--provider",
        "vapi",
        "--kind",
        "phone_number",
        "pn_1",
    ]);

    let body = json!({"message": {"type": "assistant-request",
        "phoneNumber": {"id": "pn_1"}, "call": {"id": "call_1", "phoneNumberId": "pn_1",
        "customer": {"number": "+12125550123"}}}});
    let headers = [("x-vapi-secret", VAPI_SECRET)];
    let said = shop.gateway.post("/webhook/vapi", &headers, &body.to_string()).json();
    assert_eq!(said["assistantId"], AGENT, "{said}");

    let body = json!({"event": "call_inbound", "call_inbound": {"agent_id": AGENT,
        "from_number": "+12125550123", "to_number": "+12125550000"}});
    let said = shop.retell("/webhook/retell", &body).json();
    assert_eq!(said["call_inbound"]["dynamic_variables"]["shop"], "Elite acme", "{said}");

    let body = json!({"caller_id": "+12125550123", "agent_id": "x", "called_number": "+1"});
    let said = shop.elevenlabs("conversation_initiation", &body).json();
    assert_eq!(said["dynamic_variables"]["number"], "+12125550123", "{said}");
}

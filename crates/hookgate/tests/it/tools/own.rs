//! A tenant's own endpoint as a tool, and what must not get out of any tool call.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use super::shop::{AGENT, RETELL_KEY, Shop, TOOL_SECRET, VAPI_SECRET, results, unique};
use crate::bench::PATIENCE;

/// An endpoint that answers each request with this; gives what it was sent.
fn endpoint(answer: &'static str) -> (SocketAddr, Receiver<(String, String)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (send, seen) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut reader = BufReader::new(stream.unwrap());
            let mut head = String::new();
            while !head.ends_with("\r\n\r\n") {
                if reader.read_line(&mut head).unwrap() == 0 {
                    break;
                }
            }
            let length = head.lines().find_map(|it| it.strip_prefix("content-length: "));
            let mut body = vec![0; length.map_or(0, |it| it.parse().unwrap())];
            reader.read_exact(&mut body).unwrap();
            let text = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}",
                answer.len()
            );
            reader.get_mut().write_all(text.as_bytes()).unwrap();
            if send.send((head, String::from_utf8(body).unwrap())).is_err() {
                return;
            }
        }
    });
    (address, seen)
}

#[test]
fn a_tenants_own_endpoint_is_called_with_its_credential_once_and_nothing_is_echoed() {
    let mut shop = Shop::open();
    shop.bench.set("HOOKGATE_EGRESS_ALLOW", "127.0.0.0/8");
    let shop = shop.restarted();
    let (address, seen) = endpoint(r#"{"message":"It is on its way.","echo":"crm-canary-0123"}"#);
    let set = shop.bench.run_with(&["credential", "set", "acme", "crm"], b"crm-canary-0123");
    assert_eq!(set.code, 0, "{set:?}");
    let settings = json!({"http": [{
        "name": "order_pizza", "url": format!("http://{address}/orders/{{{{arguments.kind}}}}"),
        "headers": {"authorization": "Bearer {{credential.crm}}"}, "signed_with": "crm",
    }]});
    let set = shop.api("PUT", "/api/v1/tenants/acme/tools", &settings.to_string());
    assert_eq!(set.status, 204, "{set:?}");

    let call =
        [("order_pizza", json!({"kind": "a/b?c"})), ("order_pizza", json!({"kind": "a/b?c"}))];
    let answer = shop.vapi(AGENT, "call_1", &call);
    for said in results(&answer) {
        let said = said.unwrap();
        assert_eq!(said["message"], "It is on its way.", "{said}");
        assert!(!said.to_string().contains("canary"), "{said}");
    }
    let (head, body) = seen.recv_timeout(PATIENCE).unwrap();
    assert!(head.starts_with("POST /orders/a%2Fb%3Fc HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: Bearer crm-canary-0123\r\n"), "{head}");
    assert!(
        head.contains("webhook-signature: v1,") && head.contains("idempotency-key: \""),
        "{head}"
    );
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["call"]["conversation_id"], "call_1", "{body}");
    assert!(seen.try_recv().is_err(), "the same wish at once is done once");

    // The other tenant has no such tool.
    let other = shop.vapi(super::OTHER_AGENT, "call_2", &call[..1]);
    assert!(matches!(&results(&other)[..], [Err(_)]), "{other:?}");
    assert!(seen.try_recv().is_err());
}

#[test]
fn an_endpoint_in_a_private_network_is_not_reached_unless_the_operator_allows_it() {
    let shop = Shop::open();
    let (address, seen) = endpoint("{}");
    let settings = json!({"http": [{"name": "peek", "url": format!("http://{address}/")}]});
    let set = shop.api("PUT", "/api/v1/tenants/acme/tools", &settings.to_string());
    assert_eq!(set.status, 204, "{set:?}");
    let answer = shop.vapi(AGENT, "call_1", &[("peek", json!({}))]);
    assert!(matches!(&results(&answer)[..], [Err(_)]), "{answer:?}");
    assert!(seen.try_recv().is_err());
}

#[test]
fn nothing_secret_and_nothing_that_a_caller_said_is_in_a_log_a_metric_or_a_list() {
    let mut shop = Shop::open();
    shop.bench.set("RUST_LOG", "trace");
    let mut shop = shop.restarted();
    let personal = "+19175550199";
    let arguments = json!({"agent_id": AGENT, "call_id": unique("call"), "phone": personal,
        "name": "Canary Callerson", "note": "canary-note"});
    for path in ["/api/customers/find", "/api/bookings/create", "/api/bookings/list"] {
        assert_eq!(shop.retell(path, &arguments).status, 200);
    }
    shop.square.set_faults(&json!({"next": [401]}));
    shop.retell("/api/bookings/list", &arguments);
    shop.elevenlabs("customers_find", &json!({"phone": personal, "name": "Canary Callerson"}));
    shop.vapi(AGENT, &unique("call"), &[("customers_find", json!({"phone": personal}))]);
    let mut said = shop.gateway.get("/metrics", &[]).body;
    said += &shop.tool_calls().iter().map(Value::to_string).collect::<String>();
    said += &shop.bench.done(&["tool-calls", "list"]);
    for call in shop.tool_calls() {
        let id = call["id"].as_str().unwrap();
        let shown = shop.api("GET", &format!("/api/v1/tool-calls/{id}"), "").json();
        said += &shown["arguments"].to_string();
    }
    shop.gateway.signal(rustix::process::Signal::TERM);
    assert_eq!(shop.gateway.code(), 0);
    said += &shop.gateway.seen();
    let hidden = [
        "sq-token-of-acme",
        RETELL_KEY,
        VAPI_SECRET,
        TOOL_SECRET,
        personal,
        "9175550199",
        "Callerson",
        "canary-note",
    ];
    for word in hidden {
        assert!(!said.contains(word), "{word} is in what was said");
    }
}

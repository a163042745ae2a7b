//! What an endpoint is sent.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hookgate_core::address::Policy;
use hookgate_core::digest::hmac_sha256;
use serde_json::{Value, json};

use super::bench::{Asked, Bench, Endpoint, KEY, NOW, SIGNING, Say, TOKEN, call, shown, tool};

fn ok() -> [Say; 1] {
    [Say::Json(200, json!({"message": "Yes."}))]
}

#[tokio::test]
async fn an_endpoint_is_told_all_that_is_known_of_a_call() {
    let (bench, endpoint) = (Bench::new().await, Endpoint::start(ok()).await);
    let tool = tool(&endpoint.url("/orders"), json!({}));
    let asked = Asked::new(json!({"order": "A-1"}));
    assert_eq!(shown(&bench.call(&tool, &asked).await), "Done done");

    let seen = endpoint.only();
    assert_eq!((seen.method.as_str(), seen.uri.to_string().as_str()), ("POST", "/orders"));
    assert_eq!(
        seen.json(),
        json!({
            "tool": "orders_find",
            "arguments": {"order": "A-1"},
            "call": {
                "provider": "retell", "conversation_id": "call_1", "call_id": "toolu_1",
                "agent_id": "agent_1", "caller_number": "+14155550142",
            },
            "tenant": "acme",
        })
    );
    assert_eq!(seen.header("content-type"), "application/json");
    assert!(seen.header("accept").starts_with("application/json"));
    assert!(seen.header("user-agent").starts_with("Hookgate/"));
    assert_eq!(seen.header("idempotency-key"), "\"key-1\"");
    assert_eq!(seen.header("webhook-signature"), "-");
}

#[tokio::test]
async fn a_tool_that_changes_nothing_has_no_key() {
    let (bench, endpoint) = (Bench::new().await, Endpoint::start(ok()).await);
    let tool = tool(&endpoint.url("/"), json!({"writes": false}));
    bench.call(&tool, &Asked::new(json!({}))).await;
    assert_eq!(endpoint.only().header("idempotency-key"), "-");
}

#[tokio::test]
async fn a_body_is_made_as_its_tenant_says() {
    let (bench, endpoint) = (Bench::new().await, Endpoint::start(ok()).await);
    let body = json!({
        "id": "{{arguments.order}}", "count": "{{arguments.count}}",
        "who": "{{call.caller_number}}", "secret": "{{credential.plain}}",
    });
    let tool = tool(&endpoint.url("/"), json!({"method": "PUT", "body": body}));
    let order = "x\",\"admin\":true,\"{{tenant}}";
    bench.call(&tool, &Asked::new(json!({"order": order, "count": 3}))).await;
    let expected = json!({
        "id": order, "count": 3, "who": "+14155550142", "secret": "{{credential.plain}}",
    });
    assert_eq!(endpoint.only().json(), expected);
}

/// Verifies as a receiver does, by the specification alone.
#[track_caller]
fn verify(seen: &super::bench::Seen, key: &[u8], id: &str) {
    assert_eq!(seen.header("webhook-id"), id);
    let time = seen.header("webhook-timestamp");
    assert_eq!(time, (NOW.millis() / 1000).to_string());
    let mut covered = format!("{id}.{time}.").into_bytes();
    covered.extend_from_slice(&seen.body);
    let expected = format!("v1,{}", STANDARD.encode(hmac_sha256(key, &covered)));
    assert_eq!(seen.header("webhook-signature"), expected);
}

#[tokio::test]
async fn a_signed_request_verifies_with_the_bytes_that_came() {
    let (bench, endpoint) = (Bench::new().await, Endpoint::start(ok()).await);
    let url = endpoint.url("/");
    let key = STANDARD.decode(&SIGNING["whsec_".len()..]).unwrap();
    let asked = Asked::new(json!({"note": "Grüße"}));
    bench.call(&tool(&url, json!({"signed_with": "signing"})), &asked).await;
    verify(&endpoint.seen()[0], &key, KEY);

    // A secret that is any text, and a read, which is known by the platform's id.
    let read = json!({"signed_with": "text", "writes": false, "method": "GET"});
    bench.call(&tool(&url, read.clone()), &asked).await;
    verify(&endpoint.seen()[1], b"text-canary", "toolu_1");

    // An id that could be taken for more than an id is not signed.
    for id in [None, Some("a.1800000000"), Some("a\r\nb"), Some("")] {
        let asked = Asked::new(json!({})).with_id(id);
        bench.call(&tool(&url, read.clone()), &asked).await;
        let seen = endpoint.seen();
        let made = seen.last().unwrap().header("webhook-id");
        assert!(made.starts_with("call_") && made.len() == 69, "{made}");
        verify(seen.last().unwrap(), b"text-canary", made);
    }
}

#[tokio::test]
async fn credentials_are_put_into_headers() {
    let (bench, endpoint) = (Bench::new().await, Endpoint::start(ok()).await);
    let headers = json!({
        "Authorization": "Bearer {{credential.plain}}",
        "X-Token": "{{ credential.crm.token }}",
        "X-Number": "{{credential.crm.number}}",
        "X-Deep": "{{credential.crm.nested.key}}",
        "X-Dot": "{{credential.with.dot}}",
        "X-Caller": "{{call.caller_number}}/{{arguments.who|nobody}}",
    });
    let tool = tool(&endpoint.url("/"), json!({"headers": headers}));
    bench.call(&tool, &Asked::new(json!({"who": ""}))).await;
    let seen = endpoint.only();
    assert_eq!(seen.header("authorization"), "Bearer plain-canary");
    assert_eq!(seen.header("x-token"), TOKEN);
    assert_eq!(seen.header("x-number"), "74210993");
    assert_eq!(seen.header("x-deep"), "deep-canary");
    assert_eq!(seen.header("x-dot"), "dotted-canary");
    assert_eq!(seen.header("x-caller"), "+14155550142/nobody");
}

#[tokio::test]
async fn what_is_not_configured_is_not_sent() {
    let (bench, endpoint) = (Bench::new().await, Endpoint::start(ok()).await);
    let url = endpoint.url("/a");
    let header = |value: &str| json!({"headers": {"X-A": value}});
    let host = format!("http://{{{{arguments.host}}}}:{}/a", endpoint.address.port());
    let port = format!("{}{{{{arguments.port}}}}", endpoint.url(""));
    let rows = [
        (&*url, header("{{credential.missing}}")),
        (&url, header("{{credential.crm.missing}}")),
        (&url, header("{{credential.crm.nested}}")),
        (&url, header("{{credential.plain.member}}")),
        (&url, header("{{credential.missing|guest}}")),
        (&url, header("{{credential.Not-A-Name}}")),
        (&url, header("{{credential.empty}}")),
        (&url, header("{{credential.broken}}")),
        (&url, header("{{argument.typo}}")),
        (&url, header("two\nlines")),
        (&url, json!({"headers": {"TE": "trailers"}})),
        (&url, json!({"signed_with": "missing"})),
        (&host, json!({})),
        (&port, json!({})),
        (&endpoint.url("/{{credential.plain}}"), json!({})),
        (&endpoint.url("/{{argument.typo}}"), json!({})),
        (&endpoint.url("/%{{arguments.host}}"), json!({})),
        (&endpoint.url("/%2{{arguments.host}}"), json!({})),
        (&endpoint.url("/\\{{arguments.host}}"), json!({})),
        (&endpoint.url("/../a"), json!({})),
        ("https://", json!({})),
        ("http://8.8.8.8/", json!({})),
    ];
    for (url, more) in rows {
        let asked = Asked::new(json!({"host": "127.0.0.1", "port": "1"}));
        let end = bench.call(&tool(url, more.clone()), &asked).await;
        assert_eq!(shown(&end), "Failed not_configured", "{url} {more}");
        assert_eq!(end.reply().message, "Sorry, that is not set up here yet.");
    }
    // What one tenant has is not there for another.
    let tool = tool(&url, header("{{credential.plain}}"));
    let end = bench.call(&tool, &Asked::new(json!({})).of("other")).await;
    assert_eq!(shown(&end), "Failed not_configured");
    assert_eq!(endpoint.seen().len(), 0);
}

#[tokio::test]
async fn a_private_endpoint_is_for_the_operator_to_allow() {
    let (bench, endpoint) = (Bench::new().await, Endpoint::start(ok()).await);
    let port = endpoint.address.port();
    let closed = bench.reaching(Policy::default());
    for host in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]", "2130706433"] {
        for scheme in ["http", "https"] {
            let tool = tool(&format!("{scheme}://{host}:{port}/"), json!({}));
            let end = call(&closed, &tool, &Asked::new(json!({}))).await;
            assert_eq!(shown(&end), "Failed not_configured", "{scheme}://{host}");
        }
    }
    assert_eq!(endpoint.seen().len(), 0);
}

#[tokio::test]
async fn a_value_in_a_url_stays_one_component() {
    let (bench, endpoint) = (Bench::new().await, Endpoint::start(ok()).await);
    let tool = tool(
        &endpoint.url("/v1/{{arguments.id}}/x?q={{arguments.q}}&fixed=1#{{tenant}}"),
        json!({"method": "GET", "writes": false}),
    );
    let rows = [
        ("plain", "", "/v1/plain/x?q=&fixed=1"),
        ("a/b", "a&fixed=2", "/v1/a%2Fb/x?q=a%26fixed%3D2&fixed=1"),
        ("a?b#c", "#", "/v1/a%3Fb%23c/x?q=%23&fixed=1"),
        ("../../admin", "%26", "/v1/..%2F..%2Fadmin/x?q=%2526&fixed=1"),
        ("%2e%2e", "+", "/v1/%252e%252e/x?q=%2B&fixed=1"),
        ("a\\b", " ", "/v1/a%5Cb/x?q=%20&fixed=1"),
        ("@evil.example:80", "ü", "/v1/%40evil.example%3A80/x?q=%C3%BC&fixed=1"),
        ("a\r\nHost: evil", "\0", "/v1/a%0D%0AHost%3A%20evil/x?q=%00&fixed=1"),
        ("{{tenant}}", "{{tenant}}", "/v1/%7B%7Btenant%7D%7D/x?q=%7B%7Btenant%7D%7D&fixed=1"),
        ("...", ".", "/v1/.../x?q=.&fixed=1"),
    ];
    for (id, q, expected) in rows {
        let end = bench.call(&tool, &Asked::new(json!({"id": id, "q": q}))).await;
        assert_eq!(shown(&end), "Done done", "{id}");
        let seen = endpoint.seen().pop().unwrap();
        assert_eq!(seen.uri.to_string(), expected);
        assert_eq!(seen.header("host"), endpoint.address.to_string());
    }
    let sent = endpoint.seen().len();
    let long = "x".repeat(5000);
    for id in [json!(".."), json!("."), json!(""), json!(null), json!(long)] {
        let end = bench.call(&tool, &Asked::new(json!({"id": id, "q": "q"}))).await;
        assert_eq!(shown(&end), "Refused invalid_argument", "{id}");
    }
    assert_eq!(endpoint.seen().len(), sent);
}

#[tokio::test]
async fn dots_that_add_up_do_not_leave_their_segment() {
    let (bench, endpoint) = (Bench::new().await, Endpoint::start(ok()).await);
    let asked = Asked::new(json!({"a": ".", "b": "."}));
    for path in
        ["/v1/{{arguments.a}}{{arguments.b}}", "/v1/%2e{{arguments.a}}", "/v1/.{{arguments.a}}/x"]
    {
        let end = bench.call(&tool(&endpoint.url(path), json!({})), &asked).await;
        assert_eq!(shown(&end), "Refused invalid_argument", "{path}");
    }
    assert_eq!(endpoint.seen().len(), 0);
}

#[tokio::test]
async fn what_a_url_does_not_name_goes_into_the_query() {
    let (bench, endpoint) = (Bench::new().await, Endpoint::start(ok()).await);
    let arguments = json!({
        "id": 7, "name": "A&B", "none": null, "fixed": "2", "list": [1, "x"], "on": true,
    });
    let get = json!({"method": "GET", "writes": false});
    let url = endpoint.url("/o/{{arguments.id}}?fixed=1");
    bench.call(&tool(&url, get), &Asked::new(arguments.clone())).await;
    let seen = endpoint.seen().pop().unwrap();
    let expected = "/o/7?fixed=1&list=%5B1%2C%22x%22%5D&name=A%26B&on=true";
    assert_eq!(seen.uri.to_string(), expected);
    assert!(seen.body.is_empty() && seen.header("content-type") == "-");

    // Where the arguments are declared, others stay out.
    let declared = json!({"method": "DELETE", "parameters": {"properties": {"name": {}}}});
    bench.call(&tool(&url, declared), &Asked::new(arguments.clone())).await;
    let seen = endpoint.seen().pop().unwrap();
    assert_eq!(seen.uri.to_string(), "/o/7?fixed=1&name=A%26B");
    assert!(seen.body.is_empty());

    // With a body of its own, a request's URL is as it is written.
    let body = json!({"method": "DELETE", "body": {"why": "{{arguments.name}}"}});
    bench.call(&tool(&url, body), &Asked::new(arguments)).await;
    let seen = endpoint.seen().pop().unwrap();
    assert_eq!(
        (seen.uri.to_string().as_str(), seen.json()),
        ("/o/7?fixed=1", json!({"why": "A&B"}))
    );
}

#[tokio::test]
async fn a_header_takes_no_control_characters() {
    let (bench, endpoint) = (Bench::new().await, Endpoint::start(ok()).await);
    let tool = tool(&endpoint.url("/"), json!({"headers": {"X-Name": "{{arguments.name}}"}}));
    for name in ["a\r\nX-Admin: 1", "a\nb", "a\tb", "a\0", "a\u{7f}", "a\u{85}b"] {
        let end = bench.call(&tool, &Asked::new(json!({ "name": name }))).await;
        assert_eq!(shown(&end), "Refused invalid_argument", "{name:?}");
    }
    let end = bench.call(&tool, &Asked::new(json!({"name": "x".repeat(5000)}))).await;
    assert_eq!(shown(&end), "Refused invalid_argument");
    assert_eq!(endpoint.seen().len(), 0);
    bench.call(&tool, &Asked::new(json!({"name": "Zoë"}))).await;
    assert_eq!(endpoint.only().headers["x-name"].as_bytes(), "Zoë".as_bytes());
}

#[tokio::test]
async fn arguments_have_a_limit() {
    let (bench, endpoint) = (Bench::new().await, Endpoint::start(ok()).await);
    let tool = tool(&endpoint.url("/"), json!({}));
    let end = bench.call(&tool, &Asked::new(json!({"a": "x".repeat(64 * 1024)}))).await;
    assert_eq!(shown(&end), "Refused invalid_argument");
    assert_eq!(endpoint.seen().len(), 0);
}

#[tokio::test]
async fn a_call_without_time_is_not_sent() {
    let (bench, endpoint) = (Bench::new().await, Endpoint::start(ok()).await);
    let tool = tool(&endpoint.url("/"), json!({}));
    let asked = Asked::new(json!({})).within(Duration::ZERO);
    assert_eq!(shown(&bench.call(&tool, &asked).await), "Failed unavailable");
    assert_eq!(endpoint.seen().len(), 0);
}

#[tokio::test]
async fn the_same_wish_has_the_same_key() {
    let http = Bench::new().await.http();
    let key = |more: Value, arguments: &str, id: Option<&str>| {
        let tool = tool("https://example.com/", more);
        let asked = Asked::new(serde_json::from_str(arguments).unwrap()).with_id(id);
        let plan = http.plan(&tool, &asked.work()).unwrap();
        plan.business_key().map(str::to_owned)
    };
    let (one, other) =
        (r#"{"a": {"x": 1, "y": [2]}, "b": "3"}"#, r#"{"b":"3","a":{"y":[2],"x":1}}"#);
    let first = key(json!({}), one, Some("1"));
    assert!(first.is_some());
    assert_eq!(key(json!({}), other, Some("2")), first);
    assert_ne!(key(json!({}), r#"{"b":3,"a":{"y":[2],"x":1}}"#, Some("1")), first);
    assert_eq!(key(json!({"writes": false}), one, Some("1")), None);
    let repeatable = |id| key(json!({"repeatable": true}), one, id);
    assert_eq!(repeatable(Some("1")), repeatable(Some("1")));
    assert_ne!(repeatable(Some("1")), repeatable(Some("2")));
    assert_eq!(repeatable(None), first);
}

#[tokio::test]
async fn a_plan_prints_neither_arguments_nor_paths() {
    let http = Bench::new().await.http();
    let tool = tool("https://example.com/canary/{{arguments.a}}", json!({}));
    let plan = http.plan(&tool, &Asked::new(json!({"a": "canary"})).work()).unwrap();
    assert!(!format!("{plan:?}").contains("canary"));
}

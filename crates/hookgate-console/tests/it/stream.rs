//! The stream of events: from where on, what of them, and when it ends.

use axum::http::Method;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookgate_core::headers::Headers;
use serde_json::{Value, json};

use crate::bench::{Bench, SECRET, log};

#[tokio::test]
async fn what_comes_is_passed_on_in_the_shape_of_the_list() {
    let mut bench = Bench::new();
    let before = bench.call("call_0", "agent_1").await.to_string();
    let mut stream = bench.follow("").await;
    let hello = stream.expect("hello").await;
    assert_eq!(hello.data, json!({ "behind": 0, "more": false }));
    let live = stream.next().await.unwrap();
    assert_eq!((live.comment.as_str(), &live.id), ("live", &hello.id));
    for number in 1..=3 {
        let id = bench.call(&format!("call_{number}"), "agent_1").await;
        let event = stream.expect("event").await;
        let listed = bench.get("/api/v1/events?limit=1").await.json();
        assert_eq!(event.data, listed["data"][0]);
        assert_eq!(event.data["id"], id.to_string());
        assert_ne!(event.data["id"], before);
    }
}

#[tokio::test]
async fn a_reader_goes_on_where_it_was_and_is_told_what_it_missed() {
    let mut bench = Bench::new();
    let first = bench.call("call_1", "agent_1").await.to_string();
    let mut stream = bench.follow("?since=start").await;
    let hello = stream.expect("hello").await;
    assert_eq!(hello.data, json!({ "behind": 1, "more": false }));
    let seen = stream.expect("event").await;
    assert_eq!(seen.data["id"], first);
    drop(stream);
    let mut missed = Vec::new();
    for number in 2..=4 {
        missed.push(Value::from(bench.call(&format!("call_{number}"), "a").await.to_string()));
    }
    let token = crate::bench::TOKEN;
    // The header goes before the parameter, as a browser sends both.
    for (query, last) in [
        ("?since=now".to_owned(), Some(seen.id.as_str())),
        (format!("?since={}", seen.id), None),
        (format!("?since={first}"), None),
        ("?since=2026-11-22T08:00:01Z".to_owned(), None),
        ("?since=2026-11-22T09:00:01%2B01:00".to_owned(), None),
    ] {
        let mut stream = bench.follow_as(token, &query, last).await;
        assert_eq!(stream.expect("hello").await.data["behind"], 3, "{query}");
        assert_eq!(stream.column("id", "live").await, missed, "{query}");
    }
    let mut all = bench.follow("?since=start").await;
    assert_eq!(all.column("id", "live").await.len(), 4);
    let mut none = bench.follow("?since=2026-11-22T10:00:00Z").await;
    assert_eq!(none.column("id", "live").await.len(), 0);
}

#[tokio::test]
async fn a_reader_goes_on_after_a_restart() {
    let mut bench = Bench::new();
    let first = bench.call("call_1", "agent_1").await.to_string();
    let mut stream = bench.follow(&format!("?since={first}")).await;
    let place = stream.expect("hello").await.id;
    let second = bench.call("call_2", "agent_1").await.to_string();
    bench.stop.send_replace(true);
    while stream.next().await.is_some() {}
    let bench = bench.reopened(hookgate_store::Options::default());
    let mut stream = bench.follow(&format!("?since={place}")).await;
    assert_eq!(stream.column("id", "live").await, [second]);
}

#[tokio::test]
async fn a_long_way_is_read_page_by_page_in_order() {
    let mut bench = Bench::new();
    for number in 0..230 {
        bench.call(&format!("call_{number}"), "agent_1").await;
    }
    let mut stream = bench.follow("?since=start").await;
    assert_eq!(stream.expect("hello").await.data, json!({ "behind": 230, "more": false }));
    let calls = stream.column("conversation_id", "live").await;
    let expected: Vec<Value> = (0..230).map(|it| format!("call_{it}").into()).collect();
    assert_eq!(calls, expected);
}

#[tokio::test]
async fn every_filter_passes_on_what_it_names() {
    let mut bench = Bench::new();
    let chat = br#"{"event":"chat:start","chatId":"chat_1","property":{"id":"p1","name":"x"}}"#;
    let call = bench.call("call_1", "agent_1").await.to_string();
    let chat = bench.signed("tawk", "tawk.hmac_sha1", SECRET, chat);
    let chat = bench.accept(chat).await.to_string();
    let odd = bench.signed("retell", "retell.v_d", SECRET, b"not JSON");
    let odd = bench.accept(odd).await.to_string();
    let (call, chat, odd) = (call.as_str(), chat.as_str(), odd.as_str());
    for (query, expected) in [
        ("", vec![call, chat, odd]),
        ("provider=tawk", vec![chat]),
        ("provider=tawk,retell", vec![call, chat, odd]),
        ("provider=vapi,elevenlabs", vec![]),
        ("source=retell", vec![call, odd]),
        ("source=tawk,nobody", vec![chat]),
        ("source=tawk,retell&provider=retell", vec![call, odd]),
        ("tenant=nobody", vec![]),
        ("type=call_ended", vec![call]),
        ("kind=chat.started", vec![chat]),
        ("conversation=call_1", vec![call]),
        ("status=quarantined", vec![odd]),
        ("status=accepted", vec![call, chat]),
        ("q=chat_1", vec![chat]),
    ] {
        let mut stream = bench.follow(&format!("?since=start&{query}")).await;
        let hello = stream.expect("hello").await;
        assert_eq!(hello.data["behind"], expected.len(), "{query}");
        assert_eq!(stream.column("id", "live").await, expected, "{query}");
    }
    for (query, sentence) in [
        (
            "provider=tawk,x",
            "`provider` must be one of elevenlabs, retell, vapi, mightycall, tawk.",
        ),
        ("source=a,", "`source` must be a text of 1 to 256 bytes."),
        ("payload=full", "`payload` must be one of raw."),
    ] {
        let answer = bench.get(&format!("/api/v1/events/stream?{query}")).await;
        assert_eq!(answer.problem(400), sentence);
    }
}

#[tokio::test]
async fn a_place_of_another_store_leads_nowhere() {
    let mut bench = Bench::new();
    let mut other = Bench::new();
    for _ in 0..3 {
        other.call("call_1", "agent_1").await;
    }
    let place = other.follow("").await.expect("hello").await.id;
    bench.call("call_1", "agent_1").await;
    for since in [place.as_str(), "yesterday", "", "evt_00000000000000000000000000000000"] {
        let path = format!("/api/v1/events/stream?since={since}");
        let sentence = bench.get(&path).await.problem(400);
        assert!(sentence.starts_with("`since` must be `now`, `start`, an `id`"), "{sentence}");
    }
}

#[tokio::test]
async fn raw_brings_headers_and_exact_bytes_and_is_logged() {
    let mut bench = Bench::new();
    let body = b"{ \"event\":\"call_ended\",\"z\" : 1.50, \"call\":{\"call_id\":\"c\"},\"a\":\"\\u0041\" }";
    let mut received = bench.signed("retell", "retell.v_d", SECRET, body);
    received.headers.push_plain("x-latin".parse().unwrap(), b"caf\xe9".to_vec());
    received.headers.push_plain("authorization".parse().unwrap(), "Bearer header-canary-9");
    let exact = received.headers.clone();
    let signature = exact.text(&"x-retell-signature".parse().unwrap()).unwrap();
    let id = bench.accept(received).await;
    let mut stream = bench.follow("?since=start&payload=raw").await;
    stream.expect("hello").await;
    let event = stream.expect("event").await.data;
    assert_eq!(event["id"], id.to_string());
    assert_eq!(STANDARD.decode(event["body_base64"].as_str().unwrap()).unwrap(), body);
    assert_eq!((&event["method"], &event["target"]), (&"POST".into(), &"/in/retell".into()));
    assert_eq!(
        event["headers"],
        json!([
            ["content-type", "application/json"],
            ["x-retell-signature", signature],
            ["x-latin", { "base64": STANDARD.encode(b"caf\xe9") }],
            ["authorization", null],
        ])
    );
    let line = log().lines().rfind(|it| it.contains(&id.to_string())).unwrap().to_owned();
    assert!(line.contains("INFO") && line.contains("exact bytes"), "{line}");

    // A digest that proved nothing is cut, as everywhere.
    let mut headers = Headers::new();
    let digest = "0123456789abcdef0123456789abcdef01234567";
    headers.push_plain("x-tawk-signature".parse().unwrap(), digest);
    let unproven = bench.received("tawk", headers, b"{}");
    bench.record(unproven).await;
    let event = loop {
        let message = stream.next().await.unwrap();
        if message.event == "event" {
            break message.data;
        }
    };
    assert_eq!(event["headers"], json!([["x-tawk-signature", "01234567…"]]));
}

#[tokio::test]
async fn a_large_body_is_read_by_itself() {
    let mut bench = Bench::new();
    let body = |fill: usize| {
        let text = "x".repeat(fill);
        format!(r#"{{"event":"call_ended","call":{{"call_id":"c{fill}"}},"fill":"{text}"}}"#)
    };
    for fill in [300 * 1024, 2 << 20] {
        let received = bench.signed("retell", "retell.v_d", SECRET, body(fill).as_bytes());
        let received = if fill > 1 << 20 { bench.large(received).await } else { received };
        let id = bench.accept(received).await;
        let mut stream = bench.follow("?since=start&payload=raw").await;
        let mut bodies = stream.column("body_base64", "live").await;
        assert_eq!(bodies.pop(), Some(Value::Null));
        let raw = bench.get(&format!("/api/v1/events/{id}/raw")).await;
        assert_eq!(raw.status, 200, "{raw:?}");
        assert!(raw.body == body(fill));
    }
}

#[tokio::test]
async fn a_tenants_key_follows_its_own_with_credentials_masked() {
    let mut bench = Bench::new();
    let [acme, other] = [bench.tenant("acme").await, bench.tenant("other").await];
    bench.bind("acme", "agent", "agent_acme").await;
    bench.bind("other", "agent", "agent_other").await;
    let own = bench.call("call_1", "agent_acme").await.to_string();
    let theirs = bench.call("call_2", "agent_other").await.to_string();
    bench.call("call_3", "unbound").await;
    for query in ["", "&tenant=acme", "&payload=raw", "&status=accepted"] {
        let mut stream = bench.follow_as(&acme, &format!("?since=start{query}"), None).await;
        assert_eq!(stream.expect("hello").await.data["behind"], 1, "{query}");
        assert_eq!(stream.column("id", "live").await, [own.as_str()], "{query}");
    }
    for query in ["&tenant=other", "&status=quarantined"] {
        let mut stream = bench.follow_as(&acme, &format!("?since=start{query}"), None).await;
        assert_eq!(stream.column("id", "live").await.len(), 0, "{query}");
    }
    // Another's event is no place for it.
    let path = format!("/api/v1/events/stream?since={theirs}");
    bench.get_as(&acme, &path).await.problem(400);

    let mut stream = bench.follow_as(&other, "?since=start&payload=raw", None).await;
    let body = stream.column("body_base64", "live").await.remove(0);
    let body = STANDARD.decode(body.as_str().unwrap()).unwrap();
    let body: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(body["call"]["access_token"], "***");
    // And live, while others' events come by.
    bench.call("call_4", "agent_acme").await;
    let id = bench.call("call_5", "agent_other").await.to_string();
    assert_eq!(stream.expect("event").await.data["id"], id);
}

#[tokio::test]
async fn what_was_erased_between_is_told_as_a_gap() {
    let mut bench = Bench::new();
    bench.tenant("acme").await;
    bench.bind("acme", "agent", "agent_acme").await;
    let first = bench.call("call_1", "agent_acme").await.to_string();
    bench.call("call_2", "agent_acme").await;
    let started =
        br#"{"event":"call_started","call":{"call_id":"call_2","agent_id":"agent_acme"}}"#;
    let started = bench.signed("retell", "retell.v_d", SECRET, started);
    bench.accept(started).await;
    let last = bench.call("call_3", "agent_acme").await.to_string();
    let path = "/api/v1/conversations/retell/call_2";
    let erasure = bench.ask(Method::DELETE, path, "").await.json();
    bench.erased(erasure["id"].as_str().unwrap()).await;
    for query in ["", "&payload=raw"] {
        let mut stream = bench.follow(&format!("?since=start{query}")).await;
        assert_eq!(stream.expect("hello").await.data["behind"], 2);
        assert_eq!(stream.expect("event").await.data["id"], first);
        let gap = stream.expect("gap").await;
        assert_eq!(gap.data, json!({ "count": 2 }));
        assert_eq!(stream.expect("event").await.data["id"], last);
        // Who goes on behind the gap is not told of it again.
        let token = crate::bench::TOKEN;
        let mut stream = bench.follow_as(token, "", Some(&gap.id)).await;
        stream.expect("hello").await;
        assert_eq!(stream.expect("event").await.data["id"], last);
    }
}

#[tokio::test]
async fn a_place_moves_on_over_what_is_not_passed_on() {
    let mut bench = Bench::new();
    let mut stream = bench.follow("?source=vapi&since=start").await;
    stream.expect("hello").await;
    let at_start = stream.next().await.unwrap();
    drop(stream);
    bench.call("call_1", "agent_1").await;
    let mut stream = bench.follow_as(crate::bench::TOKEN, "?source=vapi", Some(&at_start.id)).await;
    stream.expect("hello").await;
    let live = stream.next().await.unwrap();
    assert_eq!(live.comment, "live");
    assert_ne!(live.id, at_start.id);
    let mut rest = bench.follow_as(crate::bench::TOKEN, "", Some(&live.id)).await;
    assert_eq!(rest.column("id", "live").await.len(), 0, "all of it was looked at");
}

#[tokio::test]
async fn a_stream_ends_with_its_token_and_with_the_gateway() {
    let mut bench = Bench::new();
    let key = bench.tenant("acme").await;
    bench.bind("acme", "agent", "agent_acme").await;
    let mut of_tenant = bench.follow_as(&key, "", None).await;
    let mut of_operator = bench.follow("").await;
    for stream in [&mut of_tenant, &mut of_operator] {
        stream.expect("hello").await;
        assert_eq!(stream.next().await.unwrap().comment, "live");
    }
    let keys = bench.get("/api/v1/tenants/acme/keys").await;
    let id = keys.column("id")[0].as_str().unwrap().to_owned();
    let path = format!("/api/v1/tenants/acme/keys/{id}");
    assert_eq!(bench.ask(Method::DELETE, &path, "").await.status, 204);
    bench.call("call_1", "agent_acme").await;
    assert_eq!(of_tenant.next().await, None, "nothing is shown under a removed key");
    of_operator.expect("event").await;

    bench.stop.send_replace(true);
    assert_eq!(of_operator.next().await, None);
}

#[tokio::test]
async fn there_may_be_only_so_many_streams() {
    let bench = Bench::new();
    let key = bench.tenant("acme").await;
    let mut open = Vec::new();
    for _ in 0..24 {
        open.push(bench.follow("").await);
    }
    let answer = bench.get("/api/v1/events/stream").await;
    assert_eq!(answer.problem(429), "So many streams are open as there may be. Close one.");
    assert_eq!(answer.header("retry-after"), "5");
    // Another's are counted apart.
    drop(bench.follow_as(&key, "", None).await);
    bench.stop.send_replace(true);
    for mut stream in open {
        while stream.next().await.is_some() {}
    }
    assert_eq!(bench.get("/api/v1/events/stream").await.status, 200, "the places are free again");
}

#[tokio::test(start_paused = true)]
async fn a_silent_stream_says_that_it_is_there() {
    let bench = Bench::new();
    let mut stream = bench.follow("").await;
    stream.expect("hello").await;
    assert_eq!(stream.next().await.unwrap().comment, "live");
    let began = tokio::time::Instant::now();
    for number in 1..=4 {
        assert_eq!(stream.next().await.unwrap().comment, "here");
        let elapsed = began.elapsed().as_secs();
        assert!((15 * number..15 * number + 2).contains(&elapsed), "{elapsed} s");
    }
}

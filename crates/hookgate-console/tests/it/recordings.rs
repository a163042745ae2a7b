//! Recordings: the list, the sound, parts of it, and who may hear it.

use axum::body::Body;
use axum::http::Request;
use serde_json::{Value, json};

use crate::bench::{Answer, Bench, TOKEN};

async fn part(bench: &Bench, id: &str, range: &str) -> Answer {
    let request = Request::builder()
        .uri(format!("/api/v1/recordings/{id}"))
        .header("authorization", format!("Bearer {TOKEN}"))
        .header("range", range);
    bench.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn a_tenant_hears_its_own_and_another_hears_nothing() {
    let mut bench = Bench::new();
    let (acme, other) = (bench.tenant("acme").await, bench.tenant("other").await);
    bench.bind("acme", "agent", "agent_acme").await;
    let event = bench.call("call_acme", "agent_acme").await;
    let sound = [b"ID3\x04".to_vec(), vec![7; 200_000]].concat();
    let id = bench.recording("acme", event, &sound).await;
    let shown = json!({
        "id": id,
        "event_id": event.to_string(),
        "tenant": "acme",
        "source": "retell",
        "provider": "retell",
        "conversation_id": "call_acme",
        "kind": "mixed",
        "state": "fetched",
        "reason": null,
        "attempts": 0,
        "next_attempt_at": null,
        "size": sound.len(),
        "sha256": hex::encode(hookgate_core::digest::sha256(&sound)),
        "content_type": "audio/mpeg",
        "received_at": "2026-11-22T08:00:00.000Z",
        "finished_at": "2026-11-22T08:00:00.000Z",
    });
    let path = format!("/api/v1/recordings/{id}");
    for token in [TOKEN, &acme] {
        for query in ["", "?conversation=call_acme", "?state=fetched", &format!("?event={event}")] {
            let list = bench.get_as(token, &format!("/api/v1/recordings{query}")).await.json();
            assert_eq!(list, json!({ "data": [shown], "next_cursor": null }), "{query}");
        }
        let of_event = bench.get_as(token, &format!("/api/v1/events/{event}")).await.json();
        assert_eq!(of_event["recordings"], json!([shown]));
        let heard = bench.get_as(token, &path).await;
        assert_eq!(heard.status, 200);
        assert!(heard.body == sound, "byte by byte");
        assert_eq!(heard.header("content-type"), "audio/mpeg");
        assert_eq!(heard.header("x-content-type-options"), "nosniff");
        let name = format!("attachment; filename=\"{id}.mp3\"");
        assert_eq!(heard.header("content-disposition"), name);
        assert_eq!(heard.header("content-length"), sound.len().to_string());
    }
    for query in ["", "?conversation=call_acme", "?tenant=acme", &format!("?event={event}")] {
        let list = bench.get_as(&other, &format!("/api/v1/recordings{query}")).await.json();
        assert_eq!(list["data"], json!([]), "{query}");
    }
    bench.get_as(&other, &path).await.problem(404);
    bench.get("/api/v1/recordings?conversation=call_2").await.column("id");
    for wrong in ["event=x", "state=odd"] {
        bench.get(&format!("/api/v1/recordings?{wrong}")).await.problem(400);
    }
}

#[tokio::test]
async fn a_part_is_given_that_is_there() {
    let mut bench = Bench::new();
    bench.tenant("acme").await;
    bench.bind("acme", "agent", "agent_acme").await;
    let event = bench.call("call_acme", "agent_acme").await;
    let id = bench.recording("acme", event, b"ID3456789").await;
    for (range, bytes, said) in [
        ("bytes=0-2", "ID3", "bytes 0-2/9"),
        ("bytes=6-", "789", "bytes 6-8/9"),
        ("bytes=-2", "89", "bytes 7-8/9"),
    ] {
        let answer = part(&bench, &id, range).await;
        assert_eq!((answer.status.as_u16(), answer.body.as_ref()), (206, bytes.as_bytes()));
        assert_eq!(answer.header("content-range"), said);
    }
    let whole = part(&bench, &id, "bytes=0-1,3-4").await;
    assert_eq!((whole.status.as_u16(), whole.header("accept-ranges")), (200, "bytes"));
    let outside = part(&bench, &id, "bytes=9-").await;
    outside.problem(416);
    assert_eq!(outside.header("content-range"), "bytes */9");
}

#[tokio::test]
async fn what_is_not_here_says_so_and_what_is_no_longer_its_event_s_is_not_shown() {
    let mut bench = Bench::new();
    let acme = bench.tenant("acme").await;
    bench.bind("acme", "agent", "agent_acme").await;
    let event = bench.call("call_acme", "agent_acme").await;
    let id = bench.recording("acme", event, b"").await;
    let path = format!("/api/v1/recordings/{id}");
    bench.get_as(&acme, &path).await.problem(409);
    let listed = bench.get_as(&acme, "/api/v1/recordings").await.json();
    assert_eq!(
        (&listed["data"][0]["state"], &listed["data"][0]["size"]),
        (&"pending".into(), &Value::Null)
    );
    // Of an event in quarantine nobody hears anything.
    bench.tenant("other").await;
    bench.bind("other", "agent", "agent_other").await;
    let held = bench.call("call_acme", "agent_other").await;
    let id = bench.recording("acme", held, b"ID3").await;
    let path = format!("/api/v1/recordings/{id}");
    bench.get_as(&acme, &path).await.problem(404);
    bench.get(&path).await.problem(404);
}

//! Bodies: how large, how fast, how long, and where they are kept.

use std::io::Read as _;
use std::time::Duration;

use hookgate_core::tenant::Scope;

use crate::bench::{
    Bench, CALL_ENDED, NOW_MILLIS, SECRET, chunked, elevenlabs_signature, head, request,
    retell_event, within,
};

const MIB: usize = 1024 * 1024;

/// A JSON body of about this size.
fn audio(bytes: usize) -> Vec<u8> {
    let filler = "QUJD".repeat(bytes / 4);
    format!(
        r#"{{"type":"post_call_audio","data":{{"conversation_id":"c1","full_audio":"{filler}"}}}}"#
    )
    .into_bytes()
}

async fn stored(bench: &Bench) -> Vec<u8> {
    let event = bench.events().await.remove(0);
    match within("the body", bench.store.body(&Scope::Operator, event.id)).await.unwrap().unwrap() {
        hookgate_store::Body::Whole(bytes) => bytes.to_vec(),
        hookgate_store::Body::Large(mut file) => {
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes).unwrap();
            bytes
        }
        #[expect(unreachable_patterns, reason = "the store may know further kinds")]
        _ => panic!("another kind of body"),
    }
}

#[tokio::test]
async fn a_large_proven_body_is_kept_whole() {
    let body = audio(5 * MIB);
    let signature = elevenlabs_signature(SECRET, &body, NOW_MILLIS / 1000);
    let headers = [("elevenlabs-signature", signature.as_str())];
    let chunks: Vec<&[u8]> = body.chunks(100_000).collect();
    let path = "/webhook/post_conversation";
    for bytes in [chunked(path, &headers, &chunks), request("POST", path, &headers, &body)] {
        let bench = Bench::new().await;
        assert_eq!(bench.send(bytes).await.short(), r#"200 {"status":"ok"}"#);
        assert_eq!(bench.journal().await, "accepted post_call_audio");
        assert!(stored(&bench).await == body);
    }
}

#[tokio::test]
async fn a_body_of_a_mebibyte_is_kept_whole() {
    let bench = Bench::new().await;
    let mut body = audio(MIB - 1000);
    body.resize(MIB, b' ');
    let signature = elevenlabs_signature(SECRET, &body, NOW_MILLIS / 1000);
    let headers = [("elevenlabs-signature", signature.as_str())];
    let told = bench.post("/in/elevenlabs", &headers, &body).await;
    assert_eq!(told, r#"200 {"status":"ok"} | accepted post_call_audio"#);
    assert!(stored(&bench).await == body);
}

#[tokio::test]
async fn a_large_body_with_a_wrong_proof_is_refused() {
    let bench = Bench::new().await;
    let body = audio(2 * MIB);
    let signature = elevenlabs_signature("another", &body, NOW_MILLIS / 1000);
    let headers = [("elevenlabs-signature", signature.as_str())];
    let answer = bench.send(request("POST", "/in/elevenlabs", &headers, &body)).await;
    assert_eq!(answer.short(), r#"401 {"error":"Unauthorized"}"#);
    assert!(bench.events().await.is_empty());
}

#[tokio::test]
async fn a_large_body_without_a_plausible_proof_is_not_read() {
    let old = elevenlabs_signature(SECRET, b"", NOW_MILLIS / 1000 - 7200);
    let body = audio(2 * MIB);
    for headers in [vec![], vec![("elevenlabs-signature", old.as_str())]] {
        for bytes in [
            request("POST", "/in/elevenlabs", &headers, &body),
            chunked("/in/elevenlabs", &headers, &[&body]),
        ] {
            let bench = Bench::new().await;
            let mut line = bench.connect().await;
            line.write(&bytes).await;
            let text = line.ended().await;
            assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
            assert!(text.ends_with(r#"{"error":"Payload too large"}"#), "{text}");
            assert!(text.contains("\r\nconnection: close\r\n"), "{text}");
            assert!(bench.journal().await.is_empty());
        }
    }
}

#[tokio::test]
async fn a_body_above_its_limit_is_refused_and_never_cut() {
    let body = vec![b' '; MIB + 1];
    let (signature, _) = retell_event("{}");
    let headers = [("x-retell-signature", signature.as_str())];
    for bytes in [
        request("POST", "/webhook/retell", &headers, &body),
        chunked("/webhook/retell", &headers, &[&body[..MIB], &body[MIB..]]),
    ] {
        let bench = Bench::new().await;
        assert_eq!(bench.send(bytes).await.short(), r#"413 {"error":"Payload too large"}"#);
        assert!(bench.journal().await.is_empty());
    }
}

#[tokio::test]
async fn an_announced_length_above_the_limit_is_refused_before_the_body() {
    let bench = Bench::new().await;
    let length = (MIB + 1).to_string();
    let asks = [("content-length", length.as_str()), ("expect", "100-continue")];
    let answer = bench.send(head("POST", "/webhook/retell", &[], &asks)).await;
    assert_eq!(answer.status, 413);
}

#[tokio::test]
async fn a_sender_that_asks_first_is_told_to_go_on() {
    let bench = Bench::new().await;
    let (signature, body) = retell_event(CALL_ENDED);
    let length = body.len().to_string();
    let mut line = bench.connect().await;
    let asks = [("content-length", length.as_str()), ("expect", "100-continue")];
    let headers = [("x-retell-signature", signature.as_str())];
    line.write(&head("POST", "/webhook/retell", &headers, &asks)).await;
    assert_eq!(line.answer().await.status, 100);
    line.write(&body).await;
    assert_eq!(line.answer().await.status, 200);
}

#[tokio::test]
async fn a_body_that_comes_in_pieces_is_put_together() {
    let bench = Bench::new().await;
    let (signature, body) = retell_event(CALL_ENDED);
    let headers = [("x-retell-signature", signature.as_str())];
    let pieces: Vec<&[u8]> = body.chunks(7).collect();
    let answer = bench.send(chunked("/webhook/retell", &headers, &pieces)).await;
    assert_eq!(answer.short(), r#"200 {"status":"ok"}"#);
    let mut line = bench.connect().await;
    for byte in request("POST", "/webhook/retell", &headers, &body) {
        line.write(&[byte]).await;
    }
    assert_eq!(line.answer().await.short(), r#"200 {"status":"ok"}"#);
    assert_eq!(stored(&bench).await, body);
}

#[tokio::test]
async fn a_body_that_stops_is_given_up() {
    let bench = Bench::limited(|limits| limits.body_grace = Duration::from_millis(50)).await;
    for path in ["/webhook/retell", "/in/nobody"] {
        let mut line = bench.connect().await;
        line.write(&head("POST", path, &[], &[("content-length", "10")])).await;
        line.write(b"{").await;
        let text = line.ended().await;
        let expected = if path == "/in/nobody" { "404" } else { "408" };
        assert!(text.starts_with(&format!("HTTP/1.1 {expected} ")), "{text}");
    }
    assert!(bench.journal().await.is_empty());
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up_at_its_deadline() {
    let bench = Bench::limited(|limits| {
        limits.body_grace = Duration::from_millis(50);
        limits.body_deadline = Duration::from_millis(300);
        limits.body_rate_min_bytes_per_second = 1;
    })
    .await;
    let mut line = bench.connect().await;
    line.write(&head("POST", "/webhook/retell", &[], &[("content-length", "1000000")])).await;
    // Each byte pays for another second, and the deadline stands all the same.
    line.write(&[b' '; 500]).await;
    assert_eq!(line.answer().await.short(), r#"408 {"error":"Request timeout"}"#);
}

#[tokio::test]
async fn a_broken_body_is_not_an_event() {
    let bench = Bench::new().await;
    let (signature, _) = retell_event(CALL_ENDED);
    let headers = [("x-retell-signature", signature.as_str())];
    let mut bytes = head("POST", "/in/retell", &headers, &[("transfer-encoding", "chunked")]);
    bytes.extend_from_slice(b"5\r\n{\"eve\r\nnonsense\r\n");
    assert_eq!(bench.send(bytes).await.status, 400);
    // Hung up in the middle.
    let mut line = bench.connect().await;
    line.write(&head("POST", "/in/retell", &headers, &[("content-length", "100")])).await;
    line.write(CALL_ENDED.as_bytes()).await;
    tokio::io::AsyncWriteExt::shutdown(&mut line.stream).await.unwrap();
    line.ended().await;
    assert!(bench.journal().await.is_empty());
}

#[tokio::test]
async fn a_length_that_is_too_short_cuts_nothing_into_an_event() {
    let bench = Bench::new().await;
    let (signature, body) = retell_event(CALL_ENDED);
    let headers = [("x-retell-signature", signature.as_str())];
    let mut bytes = head("POST", "/in/retell", &headers, &[("content-length", "10")]);
    bytes.extend_from_slice(&body);
    let mut line = bench.connect().await;
    line.write(&bytes).await;
    assert_eq!(line.answer().await.status, 401);
    // What is left over is no request.
    assert!(line.ended().await.starts_with("HTTP/1.1 400 "));
    assert!(bench.events().await.is_empty());
}

#[tokio::test]
async fn bodies_share_a_budget() {
    let bench = Bench::limited(|limits| limits.bodies_in_memory_bytes_max = 10_000).await;
    let mut line = bench.connect().await;
    line.write(&head("POST", "/webhook/retell", &[], &[("content-length", "20000")])).await;
    line.write(&[b' '; 15_000]).await;
    let answer = line.answer().await;
    assert_eq!(answer.short(), r#"503 {"error":"Service unavailable"}"#);
    assert_eq!(answer.header("retry-after"), Some("5"));
    let (signature, body) = retell_event(CALL_ENDED);
    let told = bench.post("/in/retell", &[("x-retell-signature", &signature)], &body).await;
    assert_eq!(told, r#"200 {"status":"ok"} | accepted call_ended"#);
}

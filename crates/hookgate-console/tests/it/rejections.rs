//! Refused requests as the operator reads them.

use hookgate_core::headers::Headers;
use serde_json::{Value, json};

use crate::bench::{Bench, SECRET, log, sources};

const BODY: &[u8] = b"{\"event\":\"chat:start\",\"chatId\":\"chat_1\"}";

/// What the diagnosis of a refused request says.
async fn diagnosis(bench: &Bench, id: &str) -> (String, Vec<String>) {
    let answer = bench.get(&format!("/api/v1/rejections/{id}")).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let diagnosis = answer.json()["diagnosis"].clone();
    let mistakes = diagnosis["mistakes"].as_array().unwrap().iter();
    let mistakes = mistakes.map(|it| it.as_str().unwrap().to_owned()).collect();
    (diagnosis["reason"].as_str().unwrap().to_owned(), mistakes)
}

#[tokio::test]
async fn refused_requests_are_listed_and_filtered() {
    let mut bench = Bench::new();
    let tawk = bench.received("tawk", Headers::new(), BODY);
    let tawk = bench.refuse(tawk).await;
    let retell = bench.signed("retell", "retell.v_d", "wrong", BODY);
    let retell = bench.refuse(retell).await;
    let (tawk, retell) = (tawk.as_str(), retell.as_str());
    for (query, expected) in [
        ("", vec![retell, tawk]),
        ("order=asc", vec![tawk, retell]),
        ("source=tawk", vec![tawk]),
        ("source=nobody", vec![]),
        ("since=2026-11-22T08:00:01Z", vec![retell]),
        ("until=2026-11-22T08:00:01Z", vec![tawk]),
        ("settled=true", vec![retell, tawk]),
        ("settled=false", vec![retell, tawk]),
    ] {
        let answer = bench.get(&format!("/api/v1/rejections?{query}")).await;
        assert_eq!(answer.column("id"), expected, "{query}");
    }
    for query in ["provider=tawk", "settled=yes", "limit=0", "since=now"] {
        bench.get(&format!("/api/v1/rejections?{query}")).await.problem(400);
    }
    let first = bench.get("/api/v1/rejections?limit=1").await;
    assert_eq!(first.column("id"), [retell]);
    let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
    let second = bench.get(&format!("/api/v1/rejections?limit=1&cursor={cursor}")).await;
    assert_eq!(second.column("id"), [tawk]);
    assert_eq!(second.json()["next_cursor"], Value::Null);
}

#[tokio::test]
async fn a_refused_request_is_shown_with_its_reason_and_without_its_body() {
    let mut bench = Bench::new();
    let received = bench.signed("tawk", "tawk.hmac_sha1", "wrong", BODY);
    let id = bench.refuse(received).await;
    let answer = bench.get(&format!("/api/v1/rejections/{id}")).await.json();
    assert_eq!(answer["id"], id);
    assert_eq!(answer["source"], "tawk");
    assert_eq!(answer["received_at"], "2026-11-22T08:00:00.000Z");
    assert_eq!(answer["size"], BODY.len());
    assert_eq!(answer["headers"][0], json!(["content-type", "application/json"]));
    assert_eq!(answer["payload"], Value::Null, "unproven bytes are not interpreted");
    for id in ["rej_00000000000000000000000000000000", "x", "rej_"] {
        for path in ["", "/raw"] {
            bench.get(&format!("/api/v1/rejections/{id}{path}")).await.problem(404);
        }
    }
}

#[tokio::test]
async fn the_diagnosis_names_the_mistake() {
    let mut bench = Bench::new();
    let mismatch = "the proof does not match the request under any secret in force";

    let missing = bench.received("tawk", Headers::new(), BODY);
    let missing = bench.refuse(missing).await;
    let expected = ("no proof: `x-tawk-signature` is missing".to_owned(), Vec::new());
    assert_eq!(diagnosis(&bench, &missing).await, expected);

    let wrong = bench.signed("tawk", "tawk.hmac_sha1", "wrong", BODY);
    let wrong = bench.refuse(wrong).await;
    assert_eq!(diagnosis(&bench, &wrong).await, (mismatch.to_owned(), Vec::new()));

    // Signed over a body that has since lost the newline at its end.
    let mut cut = bench.signed("tawk", "tawk.hmac_sha1", SECRET, &[BODY, b"\n"].concat());
    cut.body = hookgate_core::received::Body::Whole(BODY.into());
    let cut = bench.refuse(cut).await;
    let (reason, mistakes) = diagnosis(&bench, &cut).await;
    assert_eq!(reason, mismatch);
    assert!(mistakes[0].contains("with a newline at its end"), "{mistakes:?}");
}

#[tokio::test]
async fn the_diagnosis_judges_as_of_the_time_of_receipt_under_present_secrets() {
    let mut bench = Bench::new();
    // The clock may be years further on: what was fresh when it came stays fresh.
    let received = bench.signed("retell", "retell.v_d", "other", BODY);
    let id = bench.refuse(received).await;
    let bench = bench.restarted(sources("other"));
    let expected = ("it is proven under the present secrets: retry it".to_owned(), Vec::new());
    assert_eq!(diagnosis(&bench, &id).await, expected);
}

#[tokio::test]
async fn a_hashed_token_is_diagnosed_too() {
    let mut bench = Bench::new();
    let received = bench.signed("vapi", "vapi.secret", "other", BODY);
    let id = bench.refuse(received).await;
    let (reason, _) = diagnosis(&bench, &id).await;
    assert_eq!(reason, "the proof does not match the request under any secret in force");

    let bench = bench.restarted(sources("other"));
    assert!(diagnosis(&bench, &id).await.0.starts_with("it is proven"));
}

#[tokio::test]
async fn the_exact_bytes_of_a_refused_request_are_a_file() {
    let mut bench = Bench::new();
    let bytes = b"\x00\xff\x1b]0;title\x07<script>";
    let received = bench.received("tawk", Headers::new(), bytes);
    let id = bench.refuse(received).await;
    let answer = bench.get(&format!("/api/v1/rejections/{id}/raw")).await;
    assert_eq!(answer.body, bytes.as_slice());
    assert_eq!(answer.header("content-security-policy"), "sandbox; default-src 'none'");
    assert_eq!(answer.header("content-disposition"), format!("attachment; filename=\"{id}.bin\""));
    let log = log();
    assert!(log.lines().any(|it| it.contains(&id) && it.contains("exact bytes")), "{id}");
}

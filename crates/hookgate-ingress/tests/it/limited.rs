//! Requests in flight: so many of a peer, so many of a source.

use hookgate_core::providers::elevenlabs;
use hookgate_core::source::Verification;
use hookgate_ingress::Limits;
use hookgate_store::{Options, Share};

use crate::bench::{Bench, SECRET, Setup, genuine, head, only, request, source, within};

/// A limit of one is reached by a request whose body is still to come.
async fn check(limits: impl FnOnce(&mut Limits) + 'static, other_source: u16) {
    let bench = Bench::limited(limits).await;
    let mut first = bench.connect().await;
    let asks = [("content-length", "2"), ("expect", "100-continue")];
    first.write(&head("POST", "/webhook/retell", &[], &asks)).await;
    // It is in flight once it asks for the body.
    assert_eq!(first.answer().await.status, 100);

    let answer = bench.send(genuine()).await;
    assert_eq!(answer.short(), r#"429 {"error":"Too many requests"}"#);
    assert_eq!(answer.header("retry-after"), Some("1"));
    let body = br#"{"message":{"type":"hang","call":{"id":"c1"}}}"#;
    let other = request("POST", "/webhook/vapi", &[("x-vapi-secret", SECRET)], body);
    assert_eq!(bench.send(other).await.status, other_source);

    first.write(b"{}").await;
    assert_eq!(first.answer().await.status, 401);
    let free = async {
        while bench.send(genuine()).await.status != 200 {
            tokio::task::yield_now().await;
        }
    };
    within("the place to be free again", Box::pin(free)).await;
}

#[tokio::test]
async fn a_peer_over_its_limit_comes_back_later() {
    Box::pin(check(|limits| limits.peer_in_flight_max = 1, 429)).await;
}

#[tokio::test]
async fn a_source_over_its_limit_leaves_the_others_alone() {
    Box::pin(check(|limits| limits.source_in_flight_max = 1, 200)).await;
}

#[tokio::test]
async fn a_peer_has_its_share_of_what_is_accepted_without_proof() {
    let share = Share { records: 1, ..Options::default().unproven_share };
    let bench = Bench::with(Setup {
        sources: only(vec![source(&elevenlabs::PROVIDER, Verification::Open)]),
        options: Options { unproven_share: share, ..Options::default() },
        ..Setup::default()
    })
    .await;
    let bytes = request("POST", "/in/elevenlabs", &[], b"{}");
    assert_eq!(bench.send(&bytes).await.short(), r#"200 {"status":"ok"}"#);
    let answer = bench.send(&bytes).await;
    assert_eq!(answer.short(), r#"429 {"error":"Too many requests"}"#);
    assert_eq!(answer.header("retry-after"), Some("1"));
}

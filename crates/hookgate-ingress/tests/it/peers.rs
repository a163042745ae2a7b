//! Who sent it: the socket's peer, or what a configured proxy says.

use hookgate_ingress::GateSettings;

use crate::bench::{Bench, genuine_with, request};

fn behind_a_proxy(settings: &mut GateSettings) {
    settings.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap(), "10.0.0.0/8".parse().unwrap()];
}

#[tokio::test]
async fn without_a_configured_proxy_a_header_says_nothing() {
    let bench = Bench::new().await;
    let spoofed = [("x-forwarded-for", "203.0.113.9"), ("forwarded", "for=203.0.113.9")];
    bench.send(genuine_with(&spoofed)).await;
    assert_eq!(bench.events().await[0].peer.to_string(), "127.0.0.1");
}

#[tokio::test]
async fn behind_a_configured_proxy_the_nearest_unknown_address_counts() {
    let bench = Bench::set(behind_a_proxy).await;
    let forwarded = [("x-forwarded-for", "6.6.6.6, 203.0.113.9, 10.1.1.1")];
    bench.send(genuine_with(&forwarded)).await;
    assert_eq!(bench.events().await[0].peer.to_string(), "203.0.113.9");
}

#[tokio::test]
async fn a_source_takes_requests_from_where_it_is_told() {
    let bench = Bench::set(|settings| {
        behind_a_proxy(settings);
        let nets = vec!["203.0.113.0/24".parse().unwrap()];
        settings.allow_from.insert("retell".to_owned(), nets);
    })
    .await;
    let refused = bench.send(genuine_with(&[("x-forwarded-for", "198.51.100.1")])).await;
    assert_eq!(refused.short(), r#"401 {"error":"Invalid signature"}"#);
    // The same as any other refusal, to the last header.
    let unproven = [("x-forwarded-for", "203.0.113.9")];
    let unproven = bench.send(request("POST", "/webhook/retell", &unproven, b"{}")).await;
    let names = |headers: &[(String, String)]| {
        headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>()
    };
    assert_eq!(refused.short(), unproven.short());
    assert_eq!(names(&refused.headers), names(&unproven.headers));

    let accepted = bench.send(genuine_with(&[("x-forwarded-for", "203.0.113.9")])).await;
    assert_eq!(accepted.short(), r#"200 {"status":"ok"}"#);
    assert_eq!(bench.journal().await, "accepted call_ended; refused 401 unverified");
}

#[tokio::test]
async fn a_request_in_clear_is_refused_where_tls_is_wanted() {
    let bench = Bench::set(|settings| {
        behind_a_proxy(settings);
        settings.require_https = true;
    })
    .await;
    for path in ["/webhook/retell", "/in/nobody"] {
        let answer = bench.send(request("POST", path, &[], b"{}")).await;
        assert_eq!(answer.short(), r#"403 {"error":"HTTPS required"}"#);
    }
    let headers = [("x-forwarded-proto", "https"), ("x-forwarded-for", "203.0.113.9")];
    assert_eq!(bench.send(genuine_with(&headers)).await.status, 200);
    // What stands behind the front door decides for itself.
    let answer = bench.send(request("GET", "/healthz", &[], b"")).await;
    assert_eq!(answer.status, 200);
}

#[tokio::test]
async fn without_a_configured_proxy_nobody_says_that_it_was_tls() {
    let bench = Bench::set(|settings| settings.require_https = true).await;
    let answer = bench.send(genuine_with(&[("x-forwarded-proto", "https")])).await;
    assert_eq!(answer.short(), r#"403 {"error":"HTTPS required"}"#);
    assert!(bench.journal().await.is_empty());
}

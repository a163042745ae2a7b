//! Whose account is used, and what happens when its token runs out.

use std::sync::Arc;

use hookgate_core::tool::Caller;
use serde_json::{Value, json};

use super::bench::{BOOKING, Bench, LOCATION, credential, said, shown, tenant};

/// A credential that can be renewed.
fn renewable(token: &str) -> Value {
    let mut credential = credential(token);
    let more = json!({ "client_id": "app", "client_secret": "hush", "refresh_token": "refresh" });
    credential.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    credential
}

#[tokio::test]
async fn each_tenants_requests_carry_its_own_token_alone() {
    let bench = Arc::new(Bench::new().await);
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..10 {
        for id in ["acme", "other"] {
            let bench = Arc::clone(&bench);
            calls.spawn(async move {
                let booking = format!("{id}-{n}");
                bench.put(&booking, "2026-11-26T15:00:00Z");
                let desk = bench.desk().of(id);
                let end = desk.call("bookings_cancel", json!({ "booking_id": booking })).await;
                assert_eq!(shown(&end), "done cancelled");
            });
        }
    }
    while let Some(done) = calls.join_next().await {
        done.unwrap();
    }
    for seen in bench.seen().iter().filter(|it| it.line.contains("/bookings/")) {
        let whose = seen.line.rsplit('/').find(|it| it.contains('-')).unwrap();
        assert!(whose.starts_with(&seen.token), "{} with {}", seen.line, seen.token);
    }
}

#[tokio::test]
async fn a_tenant_without_an_account_hears_a_sentence() {
    let bench = Bench::new().await;
    for wrong in [
        json!({ "access_token": "acme", "environment": "sandbox" }),
        json!({ "access_token": "acme", "location_id": LOCATION, "environment": "test" }),
        json!({ "access_token": "acme", "location_id": "x".repeat(33), "environment": "sandbox" }),
        json!({ "access_token": "acme", "location_id": "..", "environment": "sandbox" }),
        json!("acme"),
    ] {
        bench.set_credential("acme", &wrong).await;
        let end = bench.desk().call("bookings_cancel", json!({ "booking_id": BOOKING })).await;
        assert_eq!(shown(&end), "failed not_configured", "{wrong}");
    }
    let end = bench.desk().of("third").call("services_list", json!({})).await;
    assert_eq!(shown(&end), "failed not_configured");
    assert!(said(&end).contains("isn't set up yet"));
    assert_eq!(bench.seen().len(), 0);
}

#[tokio::test]
async fn a_token_that_is_not_taken_is_the_operators_business() {
    for fault in [401, 403] {
        let bench = Bench::new().await;
        bench.faults(&json!([fault]));
        let end = bench.desk().call("bookings_cancel", json!({ "booking_id": BOOKING })).await;
        assert_eq!(shown(&end), "failed not_allowed");
        assert_eq!(bench.seen().len(), 1, "asking again would not help");
    }
}

#[tokio::test]
async fn a_token_that_ran_out_is_renewed_once_for_all_who_wait() {
    let bench = Arc::new(Bench::new().await);
    bench.set_credential("acme", &renewable("old")).await;
    bench.shop.grant(("app", "hush"), "refresh", "old");
    bench.shop.expire_tokens();
    let mut calls = tokio::task::JoinSet::new();
    for n in 0..10 {
        let bench = Arc::clone(&bench);
        calls.spawn(async move {
            let booking = format!("B{n}");
            bench.put(&booking, "2026-11-26T15:00:00Z");
            let end = bench.desk().call("bookings_cancel", json!({ "booking_id": booking })).await;
            shown(&end)
        });
    }
    while let Some(done) = calls.join_next().await {
        assert_eq!(done.unwrap(), "done cancelled");
    }
    assert_eq!(bench.count("POST /oauth2/token"), 1);
    assert_eq!(bench.shop.shown()["tokens"], 1);
    // It is kept, with everything else that was there.
    let stored = bench.stored("acme").await;
    assert!(stored["access_token"].as_str().unwrap().starts_with("STANDINTOKEN"));
    assert_eq!(stored["expires_at"], "2026-12-23T15:00:00Z");
    assert_eq!(stored["client_secret"], "hush");
    assert_eq!(stored["location_id"], LOCATION);
    let end = bench.desk().call("services_list", json!({})).await;
    assert_eq!(shown(&end), "done found");
    assert_eq!(bench.count("POST /oauth2/token"), 1, "the stored one is used");
}

#[tokio::test]
async fn a_token_is_renewed_in_the_form_that_it_is_kept_in() {
    let bench = Bench::new().await;
    let kept = json!({
        "squareAccessToken": "old", "squareLocationId": LOCATION, "squareEnvironment": "sandbox",
        "client_id": "app", "client_secret": "hush", "refresh_token": "refresh", "staff": "Ada",
    });
    bench.set_credential("acme", &kept).await;
    bench.shop.grant(("app", "hush"), "refresh", "other");
    let end = bench.desk().call("bookings_cancel", json!({ "booking_id": BOOKING })).await;
    assert_eq!(shown(&end), "done cancelled");
    let stored = bench.stored("acme").await;
    assert!(stored["squareAccessToken"].as_str().unwrap().starts_with("STANDINTOKEN"));
    assert_eq!((&stored["staff"], stored.get("access_token")), (&json!("Ada"), None));
}

#[tokio::test]
async fn a_token_is_renewed_on_its_last_day_and_not_before() {
    for (expires_at, renewals) in [
        ("2026-11-24T15:00:00Z", 0),
        ("2026-11-24T14:59:59Z", 1),
        ("2026-11-01T00:00:00Z", 1),
        ("some day", 0),
    ] {
        let bench = Bench::new().await;
        let mut kept = renewable("old");
        kept["expires_at"] = expires_at.into();
        bench.set_credential("acme", &kept).await;
        bench.shop.grant(("app", "hush"), "refresh", "old");
        for _ in 0..2 {
            let end = bench.desk().call("services_list", json!({})).await;
            assert_eq!(shown(&end), "done found");
        }
        assert_eq!(bench.count("POST /oauth2/token"), renewals, "{expires_at}");
    }
}

#[tokio::test]
async fn a_token_that_is_good_still_is_used_though_it_cannot_be_renewed() {
    let bench = Bench::new().await;
    let mut kept = renewable("old");
    kept["expires_at"] = "2026-11-24T00:00:00Z".into();
    kept["client_secret"] = "wrong".into();
    bench.set_credential("acme", &kept).await;
    bench.shop.grant(("app", "hush"), "refresh", "old");
    for _ in 0..3 {
        let end = bench.desk().call("bookings_cancel", json!({ "booking_id": BOOKING })).await;
        assert!(shown(&end).starts_with("done"));
    }
    assert_eq!(bench.count("POST /oauth2/token"), 1, "nobody is held up by it again");
}

#[tokio::test]
async fn what_cannot_be_renewed_is_not_allowed() {
    let bench = Bench::new().await;
    bench.set_credential("acme", &renewable("old")).await;
    bench.shop.grant(("app", "hush"), "refresh", "old");
    bench.shop.revoke_grants();
    let end = bench.desk().call("bookings_cancel", json!({ "booking_id": BOOKING })).await;
    assert_eq!(shown(&end), "failed not_allowed");
    assert_eq!(bench.stored("acme").await, renewable("old"));
    // The seller lets the application in again, and the operator stores that.
    bench.shop.grant(("app", "hush"), "refresh-2", "new");
    bench.set_credential("acme", &renewable("new")).await;
    let end = bench.desk().call("bookings_cancel", json!({ "booking_id": BOOKING })).await;
    assert_eq!(shown(&end), "done cancelled");
}

#[tokio::test]
async fn a_token_that_cannot_be_stored_is_held_until_it_fails() {
    let mut bench = Bench::new().await;
    bench.keep_elsewhere(&renewable("old")).await;
    bench.shop.grant(("app", "hush"), "refresh", "old");
    bench.shop.expire_tokens();
    for _ in 0..3 {
        let end = bench.desk().call("services_list", json!({})).await;
        assert_eq!(shown(&end), "done found");
        bench.square.0.shops.forget(&tenant("acme"));
    }
    assert_eq!(bench.count("POST /oauth2/token"), 1);
    bench.shop.expire_tokens();
    let end = bench.desk().call("services_list", json!({})).await;
    assert_eq!(shown(&end), "done found");
    assert_eq!(bench.count("POST /oauth2/token"), 2);
    // Who is erased is forgotten.
    bench.square.forget(&tenant("acme"));
    let end = bench.desk().call("services_list", json!({})).await;
    assert_eq!(shown(&end), "done found");
    assert_eq!(bench.count("POST /oauth2/token"), 3);
}

#[tokio::test]
async fn the_time_zone_of_the_credential_counts_before_squares() {
    let bench = Bench::new().await;
    let mut kept = credential("acme");
    kept["timezone"] = "America/Los_Angeles".into();
    bench.set_credential("acme", &kept).await;
    let end = bench.desk().call("bookings_cancel", json!({ "booking_id": BOOKING })).await;
    assert!(said(&end).contains("12:00 PM"), "{}", said(&end));
    assert_eq!(bench.count("GET /v2/locations"), 0);
    kept["timezone"] = "Nowhere/Atall".into();
    bench.set_credential("acme", &kept).await;
    let end = bench.desk().call("bookings_list", json!({})).await;
    assert_eq!(shown(&end), "done none");
    assert_eq!(bench.count("GET /v2/locations"), 1, "one that is none is asked of Square");
}

#[tokio::test]
async fn nothing_that_is_shown_of_an_account_holds_its_token() {
    let bench = Bench::new().await;
    bench.set_credential("acme", &renewable("canary")).await;
    let mut desk = bench.desk();
    desk.caller = Caller { agent_id: Some("agent_1".to_owned()), number: None };
    let plan = desk
        .plan("customers_find", json!({ "phone": "2125550177", "name": "Canary" }))
        .await
        .unwrap();
    let shown = format!("{plan:?}{:?}", bench.square.0.accounts);
    for word in ["canary", "Canary", "hush", "0177"] {
        assert!(!shown.contains(word), "{word}: {shown}");
    }
}

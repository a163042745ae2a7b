//! Vault and OpenBao, as far as a server that behaves like them shows it.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Semaphore;

use crate::bench::{Bench, shown, tenant};
use crate::fake_vault::{FakeVault, Mood};

/// A bench, a vault with `acme`'s Square account, and a token that is in force for ever.
async fn with_token() -> (Bench, FakeVault) {
    let bench = Bench::new().await;
    let vault = FakeVault::start(&bench.time).await;
    vault.state.lock().unwrap().tokens.insert("hvs.canary-root".to_owned(), None);
    vault.set("acme/square", json!({ "access_token": "t1" }));
    bench.set("TOKEN", "hvs.canary-root");
    bench.set("ROLE", "role-canary");
    bench.set("SECRET", "secret-id-canary");
    (bench, vault)
}

const BY_TOKEN: &str = "token = 'env:TOKEN'";
const T1: &str = r#"{"access_token":"t1"}"#;
const T2: &str = r#"{"access_token":"t2"}"#;

#[tokio::test]
async fn a_credential_is_the_object_at_its_path_and_is_remembered() {
    let (bench, vault) = with_token().await;
    let secrets = bench.secrets(&vault.settings(BY_TOKEN)).await;
    for _ in 0..5 {
        assert_eq!(shown(secrets.get(&tenant("acme"), "square").await), T1);
    }
    assert_eq!(vault.state.lock().unwrap().reads, ["/v1/secret/data/acme/square"]);
    vault.reads();
    vault.set("acme/square", json!({ "access_token": "t2" }));
    bench.time.wait(299);
    assert_eq!(shown(secrets.get(&tenant("acme"), "square").await), T1);
    assert_eq!(vault.reads(), 0);
    bench.time.wait(1);
    assert_eq!(shown(secrets.get(&tenant("acme"), "square").await), T2);
    assert_eq!(vault.reads(), 1);
    assert_eq!(shown(secrets.get(&tenant("other"), "square").await), "-");
}

#[tokio::test]
async fn numbers_come_through_as_they_are_written() {
    let (bench, vault) = with_token().await;
    vault.mood(Mood::Says(
        r#"{"data":{"data":{"id":12345678901234567890.1230},"metadata":{}}}"#.to_owned(),
    ));
    let secrets = bench.secrets(&vault.settings(BY_TOKEN)).await;
    let got = shown(secrets.get(&tenant("acme"), "square").await);
    assert_eq!(got, r#"{"id":12345678901234567890.1230}"#);
}

#[tokio::test]
async fn mount_path_and_namespace_are_the_operators() {
    let (bench, vault) = with_token().await;
    vault.state.lock().unwrap().namespace = Some("team/voice".to_owned());
    vault.set("gate/square/of/acme/x", json!({ "a": 1 }));
    let more = format!(
        "{BY_TOKEN}\nmount = '/secret/'\npath = 'gate/{{name}}/of/{{tenant}}/x'\nnamespace = 'team/voice'"
    );
    let secrets = bench.secrets(&vault.settings(&more)).await;
    assert_eq!(shown(secrets.get(&tenant("acme"), "square").await), r#"{"a":1}"#);
}

#[tokio::test]
async fn a_missing_secret_is_none_and_a_missing_mount_is_a_mistake() {
    let (bench, vault) = with_token().await;
    vault.set("acme/deleted", serde_json::Value::Null);
    let secrets = bench.secrets(&vault.settings(BY_TOKEN)).await;
    let acme = tenant("acme");
    assert_eq!(shown(secrets.get(&acme, "deleted").await), "-");
    assert_eq!(shown(secrets.get(&acme, "missing").await), "-");
    assert_eq!(shown(secrets.get(&acme, "missing").await), "-");
    assert_eq!(vault.reads(), 2);
    vault.set("acme/missing", json!({ "a": 1 }));
    bench.time.wait(30);
    assert_eq!(shown(secrets.get(&acme, "missing").await), r#"{"a":1}"#);

    let secrets = bench.secrets(&vault.settings(&format!("{BY_TOKEN}\nmount = 'kv'"))).await;
    let got = shown(secrets.get(&acme, "square").await);
    assert!(got.contains("no such mount or path") && !got.contains("canary"), "{got}");
}

#[tokio::test]
async fn what_a_vault_says_otherwise_is_an_error_and_no_value() {
    let (bench, vault) = with_token().await;
    let acme = tenant("acme");
    let rows = [
        (Mood::Status(500), "it answered 500"),
        (Mood::Status(503), "it answered 503"),
        (Mood::Status(429), "it answered 429"),
        (Mood::Redirects("http://127.0.0.1:1/".to_owned()), "it answered 307"),
        (Mood::Closes, "it cannot be reached: the connection broke off"),
        (Mood::Says("not JSON".to_owned()), "its answer cannot be read"),
        (Mood::Says(r#"{"data":{"data":"text"}}"#.to_owned()), "its answer cannot be read"),
        (Mood::Says(r#"{"data":{"data":[1]}}"#.to_owned()), "its answer cannot be read"),
    ];
    for (mood, expected) in rows {
        vault.mood(mood);
        let secrets = bench.secrets(&vault.settings(BY_TOKEN)).await;
        let got = shown(secrets.get(&acme, "square").await);
        assert!(got.contains(expected) && !got.contains("canary"), "{got}");
    }
    for (size, expected) in [(70 << 10, "larger than 64 KiB"), (600 << 10, "larger than 64 KiB")] {
        let text = json!({ "data": { "data": { "a": "x".repeat(size) } } });
        vault.mood(Mood::Says(text.to_string()));
        let secrets = bench.secrets(&vault.settings(BY_TOKEN)).await;
        let got = shown(secrets.get(&acme, "square").await);
        assert!(got.contains(expected), "{got}");
    }
}

#[tokio::test]
async fn a_vault_that_does_not_answer_costs_one_deadline() {
    let (bench, vault) = with_token().await;
    vault.mood(Mood::Hangs);
    let settings = format!("deadline_seconds = 1\n{}", vault.settings(BY_TOKEN));
    let secrets = bench.secrets(&settings).await;
    let acme = tenant("acme");
    let (one, two) = tokio::join!(secrets.get(&acme, "square"), secrets.get(&acme, "square"));
    for got in [shown(one), shown(two)] {
        assert!(got.contains("the deadline passed"), "{got}");
    }
    // It is remembered: nobody waits again.
    assert!(shown(secrets.get(&acme, "square").await).contains("the deadline passed"));
    vault.mood(Mood::Well);
    bench.time.wait(10);
    assert_eq!(shown(secrets.get(&acme, "square").await), T1);
}

#[tokio::test]
async fn the_value_of_before_stands_in_for_a_day() {
    let (bench, vault) = with_token().await;
    let secrets = bench.secrets(&vault.settings(BY_TOKEN)).await;
    let acme = tenant("acme");
    assert_eq!(shown(secrets.get(&acme, "square").await), T1);
    vault.mood(Mood::Status(503));
    for hours in 0..24 {
        bench.time.wait(if hours == 0 { 300 } else { 3_500 });
        assert_eq!(shown(secrets.get(&acme, "square").await), T1, "after {hours} hours");
    }
    bench.time.wait(24 * 3_600);
    assert!(shown(secrets.get(&acme, "square").await).contains("503"));
    vault.mood(Mood::Well);
    bench.time.wait(10);
    assert_eq!(shown(secrets.get(&acme, "square").await), T1);
}

#[tokio::test]
async fn fifty_at_once_are_one_request() {
    let (bench, vault) = with_token().await;
    let permit = Arc::new(Semaphore::new(0));
    vault.mood(Mood::Waits(Arc::clone(&permit)));
    let secrets = Arc::new(bench.secrets(&vault.by_role()).await);
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let secrets = Arc::clone(&secrets);
        tasks.spawn(async move { shown(secrets.get(&tenant("acme"), "square").await) });
    }
    permit.add_permits(1);
    while let Some(got) = tasks.join_next().await {
        assert_eq!(got.unwrap(), T1);
    }
    assert_eq!(vault.reads(), 1);
    assert_eq!(vault.sign_ins(), (1, 0));
}

#[tokio::test]
async fn a_role_signs_in_once_renews_in_time_and_signs_in_again_when_that_fails() {
    let (bench, vault) = with_token().await;
    let settings = format!("cache_seconds = 0\n{}", vault.by_role());
    let secrets = bench.secrets(&settings).await;
    let acme = tenant("acme");
    let get = async || shown(secrets.get(&acme, "square").await);
    assert_eq!(get().await, T1);
    assert_eq!(get().await, T1);
    assert_eq!(vault.sign_ins(), (1, 0));
    // Two thirds of an hour are used.
    bench.time.wait(2_399);
    assert_eq!(get().await, T1);
    assert_eq!(vault.sign_ins(), (0, 0));
    bench.time.wait(1);
    assert_eq!(get().await, T1);
    assert_eq!(vault.sign_ins(), (0, 1));
    // Its longest life is reached.
    vault.state.lock().unwrap().is_renewable = false;
    bench.time.wait(2_400);
    assert_eq!(get().await, T1);
    assert_eq!(vault.sign_ins(), (1, 1));
    // A token that says of itself that it is not renewable is not tried.
    bench.time.wait(2_400);
    assert_eq!(get().await, T1);
    assert_eq!(vault.sign_ins(), (1, 0));
    // Nobody asked for so long that it ended.
    bench.time.wait(100_000);
    assert_eq!(get().await, T1);
    assert_eq!(vault.sign_ins(), (1, 0));
    assert_eq!(vault.reads(), 7);
}

#[tokio::test]
async fn a_token_that_was_revoked_is_replaced_once() {
    let (bench, vault) = with_token().await;
    let settings = format!("cache_seconds = 0\n{}", vault.by_role());
    let secrets = bench.secrets(&settings).await;
    let acme = tenant("acme");
    assert_eq!(shown(secrets.get(&acme, "square").await), T1);
    vault.revoke_all();
    bench.time.wait(60);
    vault.reads();
    vault.sign_ins();
    assert_eq!(shown(secrets.get(&acme, "square").await), T1);
    assert_eq!((vault.reads(), vault.sign_ins()), (2, (1, 0)));
    // What this role may not read does not make it sign in again and again.
    vault.state.lock().unwrap().denied.insert("acme/denied".to_owned());
    bench.time.wait(60);
    let got = shown(secrets.get(&acme, "denied").await);
    assert!(got.contains("it refused us with 403"), "{got}");
    for name in ["denied2", "denied3", "denied4"] {
        vault.state.lock().unwrap().denied.insert(format!("acme/{name}"));
        assert!(shown(secrets.get(&acme, name).await).contains("403"));
    }
    assert_eq!(vault.sign_ins(), (1, 0));
}

#[tokio::test]
async fn a_wrong_role_is_said_and_the_value_of_before_stands_in() {
    let (bench, vault) = with_token().await;
    let secrets = bench.secrets(&vault.by_role()).await;
    let acme = tenant("acme");
    assert_eq!(shown(secrets.get(&acme, "square").await), T1);
    vault.state.lock().unwrap().role.1 = "rotated".to_owned();
    vault.revoke_all();
    bench.time.wait(300);
    assert_eq!(shown(secrets.get(&acme, "square").await), T1, "it stands in");
    let got = shown(secrets.get(&acme, "other").await);
    assert!(got.contains("it refused us with 400") && !got.contains("canary"), "{got}");
    // The reference is read anew: no restart.
    bench.set("SECRET", "rotated");
    bench.time.wait(10);
    assert_eq!(shown(secrets.get(&acme, "other").await), "-");
}

#[tokio::test]
async fn a_token_that_cannot_be_renewed_is_used_while_it_lasts() {
    let (bench, vault) = with_token().await;
    let settings = format!("cache_seconds = 0\n{}", vault.by_role());
    let secrets = bench.secrets(&settings).await;
    let acme = tenant("acme");
    assert_eq!(shown(secrets.get(&acme, "square").await), T1);
    {
        let mut state = vault.state.lock().unwrap();
        state.is_renewable = false;
        state.role.1 = "rotated".to_owned();
    }
    vault.sign_ins();
    vault.set("acme/square", json!({ "access_token": "t2" }));
    bench.time.wait(2_400);
    assert_eq!(shown(secrets.get(&acme, "square").await), T2);
    assert_eq!(shown(secrets.get(&acme, "square").await), T2);
    assert_eq!(vault.sign_ins(), (1, 1), "tried once, and again after half a minute");
    bench.time.wait(30);
    assert_eq!(shown(secrets.get(&acme, "square").await), T2);
    assert_eq!(vault.sign_ins(), (1, 1));
}

#[tokio::test]
async fn a_token_that_was_replaced_in_its_file_takes_effect() {
    let (bench, vault) = with_token().await;
    let settings = format!("cache_seconds = 0\n{}", vault.settings(BY_TOKEN));
    let secrets = bench.secrets(&settings).await;
    let acme = tenant("acme");
    assert_eq!(shown(secrets.get(&acme, "square").await), T1);
    {
        let mut state = vault.state.lock().unwrap();
        state.tokens.clear();
        state.tokens.insert("hvs.canary-next".to_owned(), None);
    }
    bench.set("TOKEN", "hvs.canary-next");
    bench.time.wait(60);
    assert_eq!(shown(secrets.get(&acme, "square").await), T1);
}

#[tokio::test]
async fn a_vault_that_is_away_keeps_nobody_from_starting() {
    let (bench, vault) = with_token().await;
    vault.mood(Mood::Closes);
    let secrets = bench.secrets(&vault.by_role()).await;
    assert_eq!(secrets.place(), "Vault");
    let put = secrets.put(&tenant("acme"), "square", b"x", crate::bench::NOW).await;
    assert!(put.unwrap_err().to_string().contains("Vault"), "what is kept there is written there");
    // What the installation seals for itself stays in the store.
    let sealed = secrets.seal_for_installation("x", b"x").await.unwrap();
    assert_eq!(secrets.open_for_installation("x", &sealed).await.unwrap().expose(), b"x");
}

//! Azure Key Vault, as far as a server that behaves like it shows it.

use hookgate_secrets::SquareCredential;

use crate::bench::{Bench, shown, tenant};
use crate::fake_azure::{FakeAzure, Kept};

const CLIENT_SECRET: &str = "client+secret/canary=&";

async fn with_vault() -> (Bench, FakeAzure) {
    let bench = Bench::new().await;
    let azure = FakeAzure::start(&bench.time).await;
    bench.set("CLIENT_SECRET", CLIENT_SECRET);
    azure.set("acme-square", r#"{"access_token":"t1"}"#);
    (bench, azure)
}

const T1: &str = r#"{"access_token":"t1"}"#;

#[tokio::test]
async fn an_application_and_a_machine_read_a_secret_and_remember_it() {
    let (bench, azure) = with_vault().await;
    for settings in [azure.as_client(), azure.as_machine()] {
        let secrets = bench.secrets(&settings).await;
        for _ in 0..5 {
            assert_eq!(shown(secrets.get(&tenant("acme"), "square").await), T1);
        }
        assert_eq!(azure.reads(), ["acme-square"]);
        assert_eq!(azure.sign_ins(), 1);
        assert_eq!(shown(secrets.get(&tenant("other"), "square").await), "-");
        assert_eq!(azure.reads(), ["other-square"]);
        assert_eq!(azure.sign_ins(), 0);
    }
}

#[tokio::test]
async fn an_identity_that_was_given_to_the_machine_is_named() {
    let (bench, azure) = with_vault().await;
    let settings = format!("{}client_id = 'given-1'\n", azure.as_machine());
    let secrets = bench.secrets(&settings).await;
    assert_eq!(shown(secrets.get(&tenant("acme"), "square").await), T1);
    let query = azure.state.lock().unwrap().sign_ins.remove(0);
    assert!(query.contains("client_id=given-1"), "{query}");
}

#[tokio::test]
async fn a_token_is_replaced_before_it_ends_and_after_it_is_refused() {
    let (bench, azure) = with_vault().await;
    let settings = format!("cache_seconds = 0\n{}", azure.as_client());
    let secrets = bench.secrets(&settings).await;
    let get = async || shown(secrets.get(&tenant("acme"), "square").await);
    assert_eq!(get().await, T1);
    assert_eq!(azure.sign_ins(), 1);
    bench.time.wait(2_399);
    assert_eq!(get().await, T1);
    assert_eq!(azure.sign_ins(), 0);
    bench.time.wait(1);
    assert_eq!(get().await, T1);
    assert_eq!(azure.sign_ins(), 1);
    azure.state.lock().unwrap().tokens.clear();
    bench.time.wait(60);
    azure.reads();
    assert_eq!(get().await, T1);
    assert_eq!((azure.sign_ins(), azure.reads().len()), (1, 2));
}

#[tokio::test]
async fn a_wrong_client_secret_is_said_and_one_that_was_replaced_takes_effect() {
    let (bench, azure) = with_vault().await;
    bench.set("CLIENT_SECRET", "wrong-canary");
    let secrets = bench.secrets(&azure.as_client()).await;
    let acme = tenant("acme");
    let got = shown(secrets.get(&acme, "square").await);
    assert!(got.contains("it refused us with 401") && !got.contains("canary"), "{got}");
    bench.set("CLIENT_SECRET", CLIENT_SECRET);
    bench.time.wait(10);
    assert_eq!(shown(secrets.get(&acme, "square").await), T1);

    bench.values.lock().unwrap().clear();
    let secrets = bench.secrets(&azure.as_client()).await;
    let got = shown(secrets.get(&acme, "square").await);
    assert!(got.contains("the variable CLIENT_SECRET is not set"), "{got}");
}

#[tokio::test]
async fn the_value_of_before_stands_in_while_azure_is_away() {
    let (bench, azure) = with_vault().await;
    let secrets = bench.secrets(&azure.as_machine()).await;
    let acme = tenant("acme");
    assert_eq!(shown(secrets.get(&acme, "square").await), T1);
    for status in [500, 503, 429] {
        azure.state.lock().unwrap().status = Some(status);
        bench.time.wait(300);
        assert_eq!(shown(secrets.get(&acme, "square").await), T1, "{status}");
    }
    let got = shown(secrets.get(&acme, "other").await);
    assert!(got.contains("it answered 429") && !got.contains("canary"), "{got}");
    {
        let mut state = azure.state.lock().unwrap();
        state.status = None;
        state.token_status = Some(429);
        state.tokens.clear();
    }
    bench.time.wait(4_000);
    assert_eq!(shown(secrets.get(&acme, "square").await), T1, "not even a token is to be had");
    azure.state.lock().unwrap().token_status = None;
    azure.set("acme-square", "t2");
    bench.time.wait(300);
    assert_eq!(shown(secrets.get(&acme, "square").await), "t2");
}

#[tokio::test]
async fn a_disabled_or_deleted_secret_is_none_and_nothing_stands_in_for_it() {
    let (bench, azure) = with_vault().await;
    let secrets = bench.secrets(&azure.as_client()).await;
    let acme = tenant("acme");
    assert_eq!(shown(secrets.get(&acme, "square").await), T1);
    azure.state.lock().unwrap().secrets.insert("acme-square".to_owned(), Kept::Disabled);
    bench.time.wait(300);
    assert_eq!(shown(secrets.get(&acme, "square").await), "-");
    azure.state.lock().unwrap().status = Some(503);
    bench.time.wait(300);
    assert_eq!(shown(secrets.get(&acme, "square").await), "-");
}

#[tokio::test]
async fn two_tenants_that_come_out_under_one_name_get_nothing() {
    let (bench, azure) = with_vault().await;
    azure.set("acme-eu-square", "whose?");
    let secrets = bench.secrets(&azure.as_client()).await;
    let acme = tenant("acme");
    // Nobody else could be meant yet.
    assert_eq!(shown(secrets.get(&acme, "eu-square").await), "whose?");
    bench.add_tenant("acme-eu").await;
    let ours = shown(secrets.get(&tenant("acme-eu"), "square").await);
    assert!(ours.contains("could be another tenant's"), "{ours}");
    // What was remembered is not another's, and goes with the next question.
    bench.time.wait(300);
    let theirs = shown(secrets.get(&acme, "eu-square").await);
    assert!(theirs.contains("could be another tenant's"), "{theirs}");
    azure.reads();
    azure.state.lock().unwrap().status = Some(503);
    bench.time.wait(10);
    let theirs = shown(secrets.get(&acme, "eu-square").await);
    assert!(theirs.contains("could be another tenant's"), "no stale value: {theirs}");
    assert_eq!(azure.reads(), Vec::<String>::new(), "the store is not even asked");
    // Key Vault does not tell cases apart, and `.` and `_` become `-`.
    for id in ["ACME", "a.cme", "a_cme", "a-cme"] {
        bench.add_tenant(id).await;
    }
    azure.state.lock().unwrap().status = None;
    for id in ["acme", "ACME", "a.cme", "a_cme", "a-cme"] {
        let got = shown(secrets.get(&tenant(id), "x").await);
        assert!(got.contains("could be another tenant's"), "{id}: {got}");
    }
    assert_eq!(shown(secrets.get(&tenant("other"), "x").await), "-");
}

#[tokio::test]
async fn the_settings_of_an_agent_stand_in_for_its_tenants_square_account() {
    let (bench, azure) = with_vault().await;
    let settings = format!("agent = 'agent-{{agent_id}}'\n{}", azure.as_client());
    let secrets = bench.secrets(&settings).await;
    let agent = r#"{"squareAccessToken":"sq-1","squareLocationId":"L1","squareEnvironment":"production","timezone":"America/New_York"}"#;
    azure.set("agent-elite-barbershop-main", agent);
    bench.bind_agent("other", "elite-barbershop-main").await;
    let got = secrets.get_for_agent(&tenant("other"), "elite-barbershop-main", "square").await;
    let value = got.unwrap().unwrap().as_json().unwrap();
    let square = SquareCredential::read(&value).unwrap();
    assert_eq!(square.access_token.expose(), b"sq-1");
    // A tenant's own account comes first, and other names have no agent.
    let got = secrets.get_for_agent(&tenant("acme"), "elite-barbershop-main", "square").await;
    assert_eq!(shown(got), T1);
    let got = secrets.get_for_agent(&tenant("other"), "elite-barbershop-main", "calendar").await;
    assert_eq!(shown(got), "-");
}

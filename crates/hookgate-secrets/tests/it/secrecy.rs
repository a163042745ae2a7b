//! What must not get out: values, keys, tokens and what a secret store says.

use std::cell::RefCell;
use std::io::Write;
use std::sync::Once;

use hookgate_secrets::{MasterKeys, Secrets, SecretsSettings};
use serde_json::json;

use crate::bench::{Bench, KEYS, NOW, causes, keys, tenant};
use crate::fake_azure::FakeAzure;
use crate::fake_vault::{FakeVault, Mood};

thread_local! {
    /// What this thread logs. A test and its servers run on a thread of their own.
    static LINES: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

struct Log;

impl Log {
    /// Everything that is logged from now on, by any crate at any level. One subscriber
    /// serves the whole process, because tracing caches who is interested in what.
    fn capture() {
        static SUBSCRIBER: Once = Once::new();
        SUBSCRIBER.call_once(|| {
            tracing_subscriber::fmt()
                .with_max_level(tracing::Level::TRACE)
                .with_ansi(false)
                .with_writer(|| Log)
                .init();
        });
        LINES.with_borrow_mut(Vec::clear);
    }

    fn text() -> String {
        LINES.with_borrow(|lines| String::from_utf8(lines.clone()).unwrap())
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        LINES.with_borrow_mut(|lines| lines.extend_from_slice(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// All that must not be seen: values and tokens hold the word, keys are themselves.
#[track_caller]
fn check(text: &str) {
    for secret in ["canary", KEYS[0], KEYS[1], "\\x01\\x01", "1, 1, 1, 1"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

/// All that is said of what came back.
fn said(
    got: &Result<Option<hookgate_secrets::SecretValue>, hookgate_secrets::SecretsError>,
) -> String {
    let error = got.as_ref().err().map(|it| causes(it));
    format!("{got:?} {error:?}")
}

#[tokio::test]
async fn nothing_of_a_sealed_credential_is_printed() {
    Log::capture();
    let bench = Bench::new().await;
    let acme = tenant("acme");
    let secrets = bench.sealed(&KEYS[..2]).await;
    secrets.put(&acme, "square", b"canary-value", NOW).await.unwrap();
    let value = secrets.get(&acme, "square").await;
    let registry = bench.store.registry();
    let mut texts = vec![format!("{} {secrets:?} {:?}", said(&value), keys(&KEYS[..2]))];
    texts.push(format!("{:?}", registry.data_key("acme").await));
    texts.push(format!("{:?}", registry.credential(&acme, "square").await));
    let mut row = registry.data_key("acme").await.unwrap().unwrap();
    row.wrapped[20] ^= 1;
    registry.replace_data_key(row).await.unwrap();
    texts.push(said(&secrets.get(&acme, "square").await));
    texts.push(format!("{:?}", Secrets::open(registry.clone(), Some(keys(&KEYS[..1]))).await));
    let wrong = Secrets::open(registry.clone(), Some(keys(&KEYS[2..]))).await.unwrap_err();
    texts.push(format!("{wrong} {wrong:?}"));
    let malformed = MasterKeys::parse("canary!").unwrap_err();
    texts.push(format!("{malformed} {malformed:?} {:?}", MasterKeys::generate().unwrap().0));
    check(&texts.concat());
    let log = Log::text();
    assert!(log.contains("the data key of a tenant was damaged"), "{log}");
    check(&log);
}

#[tokio::test]
async fn nothing_of_a_vault_is_printed_in_fair_weather_and_in_foul() {
    Log::capture();
    let bench = Bench::new().await;
    let vault = FakeVault::start(&bench.time).await;
    let acme = tenant("acme");
    vault.set("acme/square", json!({ "access_token": "canary-value" }));
    bench.set("ROLE", "role-canary");
    bench.set("SECRET", "secret-id-canary");
    let secrets = bench.secrets(&vault.by_role()).await;
    let got = secrets.get(&acme, "square").await;
    assert!(got.as_ref().unwrap().is_some());
    let mut texts = vec![said(&got)];
    let moods = [
        Mood::Status(400),
        Mood::Status(403),
        Mood::Status(500),
        Mood::Redirects("http://127.0.0.1:1/canary?canary".to_owned()),
        Mood::Closes,
        Mood::Says("canary".to_owned()),
        Mood::Says(r#"{"data":{"data":"canary"}}"#.to_owned()),
    ];
    for mood in moods {
        vault.mood(mood);
        bench.time.wait(3_000);
        texts.push(said(&secrets.get(&acme, "square").await));
        texts.push(said(&secrets.get(&acme, "other").await));
    }
    bench.set("SECRET", "canary\nwith a line break");
    bench.time.wait(3_000);
    texts.push(said(&secrets.get(&acme, "other").await));
    let settings: SecretsSettings = toml::from_str(&vault.by_role()).unwrap();
    texts.push(format!("{settings:?} {secrets:?} {:?}", settings.backend(&bench.surroundings())));
    check(&texts.concat());
    let log = Log::text();
    assert!(log.contains("a secret store gave no answer: what it said before stands in"), "{log}");
    assert!(log.contains("age_seconds=3000"), "{log}");
    check(&log);
}

#[tokio::test]
async fn nothing_of_azure_is_printed_in_fair_weather_and_in_foul() {
    Log::capture();
    let bench = Bench::new().await;
    let azure = FakeAzure::start(&bench.time).await;
    let acme = tenant("acme");
    azure.set("acme-square", "canary-value");
    bench.set("CLIENT_SECRET", "client+secret/canary=&");
    let secrets = bench.secrets(&azure.as_client()).await;
    let got = secrets.get(&acme, "square").await;
    assert!(got.as_ref().unwrap().is_some());
    let mut texts = vec![said(&got)];
    for status in [400, 401, 403, 404, 500] {
        azure.state.lock().unwrap().status = Some(status);
        bench.time.wait(1_000);
        texts.push(said(&secrets.get(&acme, "square").await));
        texts.push(said(&secrets.get(&acme, "other").await));
    }
    azure.state.lock().unwrap().status = None;
    azure.state.lock().unwrap().token_status = Some(401);
    bench.time.wait(10_000);
    texts.push(said(&secrets.get(&acme, "square").await));
    texts.push(format!("{secrets:?}"));
    check(&texts.concat());
    check(&Log::text());
}

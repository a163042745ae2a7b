//! What a test stands on: a store in a folder of its own, a clock that it moves, and
//! settings as they stand in the configuration.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Waker;
use std::time::{Duration, Instant};

use hookgate_core::event::ClaimKind;
use hookgate_core::secret::Secret;
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_egress::{Egress, Settings};
use hookgate_secrets::{Clock, MasterKeys, Secrets, SecretsSettings, Surroundings};
use hookgate_store::{Binding, Options, Store};
use tempfile::TempDir;

pub const NOW: Timestamp = Timestamp::from_millis(1_800_000_000_000);

/// The base64 of 32 bytes of 1, 2, 3.
pub const KEYS: [&str; 3] = [
    "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=",
    "AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI=",
    "AwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMDAwM=",
];

pub fn keys(texts: &[&str]) -> MasterKeys {
    MasterKeys::parse(&texts.join("\n")).unwrap()
}

pub fn tenant(id: &str) -> TenantId {
    TenantId::parse(id).unwrap()
}

/// A clock that a test moves.
#[derive(Clone)]
pub struct Time {
    start: Instant,
    seconds: Arc<AtomicU64>,
}

impl Time {
    pub fn new() -> Self {
        Self { start: Instant::now(), seconds: Arc::default() }
    }

    pub fn wait(&self, seconds: u64) {
        self.seconds.fetch_add(seconds, Ordering::SeqCst);
    }

    pub fn seconds(&self) -> u64 {
        self.seconds.load(Ordering::SeqCst)
    }

    pub fn clock(&self) -> Clock {
        let time = self.clone();
        Arc::new(move || time.start + Duration::from_secs(time.seconds()))
    }
}

/// Values that `env:NAME` refers to, and variables.
pub type Values = Arc<Mutex<HashMap<String, String>>>;

pub struct Bench {
    pub store: Store,
    pub time: Time,
    pub values: Values,
    folder: TempDir,
}

fn open(folder: &Path) -> Store {
    let wake = Arc::new(|wakers: Vec<Waker>| wakers.into_iter().for_each(Waker::wake));
    Store::open(folder, Options::default(), wake).unwrap()
}

impl Bench {
    /// A store with the tenants `acme` and `other`.
    pub async fn new() -> Self {
        let folder = TempDir::new().unwrap();
        let store = open(folder.path());
        let bench = Self { store, folder, time: Time::new(), values: Values::default() };
        bench.add_tenant("acme").await;
        bench.add_tenant("other").await;
        bench
    }

    pub async fn add_tenant(&self, id: &str) {
        self.store.registry().add_tenant(tenant(id), id.to_owned(), NOW).await.unwrap();
    }

    pub async fn bind_agent(&self, tenant_id: &str, agent_id: &str) {
        let binding = Binding {
            tenant: tenant(tenant_id),
            provider: "retell".to_owned(),
            kind: ClaimKind::Agent,
            external_id: agent_id.to_owned(),
            created_at: NOW,
        };
        self.store.registry().bind(binding).await.unwrap();
    }

    pub fn set(&self, name: &str, value: &str) {
        self.values.lock().unwrap().insert(name.to_owned(), value.to_owned());
    }

    pub fn surroundings(&self) -> Surroundings {
        let (variables, references) = (Arc::clone(&self.values), Arc::clone(&self.values));
        Surroundings {
            // Nothing is allowed: what the operator configures needs no leave.
            egress: Egress::new(Settings::default()).unwrap(),
            variables: Arc::new(move |name| variables.lock().unwrap().get(name).cloned()),
            references: Arc::new(move |reference| {
                let name = reference.strip_prefix("env:").ok_or("it is no reference")?;
                let found = references.lock().unwrap().get(name).map(|it| Secret::new(it.clone()));
                found.ok_or_else(|| format!("the variable {name} is not set"))
            }),
            clock: self.time.clock(),
        }
    }

    /// Credentials sealed in the store under these keys.
    pub async fn sealed(&self, texts: &[&str]) -> Secrets {
        Secrets::open(self.store.registry().clone(), Some(keys(texts))).await.unwrap()
    }

    /// Credentials as `[secrets]` says.
    pub async fn secrets(&self, toml: &str) -> Secrets {
        let settings: SecretsSettings = toml::from_str(toml).unwrap();
        let backend = settings.backend(&self.surroundings()).unwrap();
        self.sealed(&KEYS[..1]).await.with_backend(backend)
    }

    /// Closes the store and opens it again.
    pub fn reopen(self) -> Self {
        let Self { store, time, values, folder } = self;
        store.close();
        drop(store);
        let store = open(folder.path());
        Self { store, time, values, folder }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A value as text, `-` for none, and all that an error says, causes included.
pub fn shown(
    got: Result<Option<hookgate_secrets::SecretValue>, hookgate_secrets::SecretsError>,
) -> String {
    match got {
        Ok(Some(value)) => String::from_utf8(value.expose().to_vec()).unwrap(),
        Ok(None) => "-".to_owned(),
        Err(error) => causes(&error),
    }
}

pub fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text = format!("{text}: {cause}");
        next = cause.source();
    }
    text
}

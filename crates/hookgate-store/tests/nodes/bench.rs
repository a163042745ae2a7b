//! What a test stands on: a registry in a database of its own. It has what the bench of a store
//! in a folder has, as far as the registry's tests ask for it.

use std::ops::Deref;
use std::sync::OnceLock;
use std::thread;

use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_store::{
    Erasure, ErasureTarget, Options, PgSettings, Registry, RegistryError, Written,
};
use hookgate_testpg::{Cluster, Database};
use postgres::Client;

/// When everything happens, unless a test says otherwise.
pub(crate) const NOON: i64 = 1_800_000_000_000;

/// A registry in a database of its own.
pub(crate) struct Bench {
    // First, so that it is closed when its database goes.
    pub(crate) store: Store,
    pub(crate) database: Base,
}

/// Its database, which says good-bye on a thread of its own.
pub(crate) struct Base(Option<Database<'static>>);

impl Deref for Base {
    type Target = Database<'static>;

    fn deref(&self) -> &Database<'static> {
        self.0.as_ref().unwrap()
    }
}

impl Drop for Base {
    fn drop(&mut self) {
        let database = self.0.take();
        beside(|| drop(database));
    }
}

/// What stands where a store does.
pub(crate) struct Store {
    registry: Registry,
}

impl Store {
    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    pub(crate) fn close(&self) {
        self.registry.close();
    }

    pub(crate) async fn erase_tenant(
        &self,
        tenant: &TenantId,
        now: Timestamp,
    ) -> Result<Written<Erasure>, RegistryError> {
        self.registry.add_erasure(ErasureTarget::Tenant(tenant.clone()), now).await
    }
}

/// A database with all tables, that others are made like. Nobody is connected to it.
fn template() -> &'static str {
    static TEMPLATE: OnceLock<Database<'static>> = OnceLock::new();
    let template = TEMPLATE.get_or_init(|| {
        let database = Cluster::shared().database();
        // Who the store is, is drawn anew for each.
        drop(open(&database));
        database.connect().batch_execute("TRUNCATE hookgate.meta").unwrap();
        database
    });
    template.name()
}

/// Runs what blocks, which a thread with a runtime may not.
pub(crate) fn beside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    thread::scope(|scope| scope.spawn(work).join().unwrap())
}

pub(crate) fn settings(database: &Database<'_>) -> PgSettings {
    PgSettings::parse(&database.url()).unwrap()
}

pub(crate) fn open(database: &Database<'_>) -> Registry {
    Registry::open_postgres(&settings(database)).unwrap()
}

impl Bench {
    pub(crate) fn new() -> Self {
        beside(|| {
            let database = Base(Some(Cluster::shared().database_like(template())));
            Self { store: Store { registry: open(&database) }, database }
        })
    }

    pub(crate) fn with(_: Options) -> Self {
        Self::new()
    }

    /// Another node on the same database.
    pub(crate) fn another(&self) -> Registry {
        open(&self.database)
    }

    /// The superuser's word.
    pub(crate) fn say(&self, words: &str) {
        beside(|| self.database.connect().batch_execute(words).unwrap());
    }

    /// Closes the registry and opens it again, a long time later: what was leased is so no
    /// more, and calls are abandoned.
    pub(crate) fn reopen(self) -> Self {
        let Self { store, database } = self;
        store.close();
        drop(store);
        beside(|| {
            let later = "UPDATE hookgate.tool_calls SET started_at = 0 WHERE state = 'started'; \
                         UPDATE hookgate.deliveries SET token = NULL, leased_until = NULL \
                         WHERE token IS NOT NULL; \
                         UPDATE hookgate.destinations SET ready_at = 0 WHERE removed = 0";
            database.connect().batch_execute(later).unwrap();
            Self { store: Store { registry: open(&database) }, database }
        })
    }

    /// Keeps everybody from committing, until it is let go.
    pub(crate) fn hold(&self) -> Hold {
        let client = beside(|| {
            let mut client = self.database.connect();
            client.batch_execute("SELECT pg_advisory_lock(1212893010)").unwrap();
            client
        });
        Hold(Some(client))
    }
}

/// The lock of whoever changes the registry.
pub(crate) struct Hold(Option<Client>);

impl Drop for Hold {
    fn drop(&mut self) {
        let client = self.0.take();
        beside(|| drop(client));
    }
}

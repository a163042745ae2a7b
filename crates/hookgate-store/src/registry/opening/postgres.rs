//! The registry in PostgreSQL, which several nodes share.

use std::path::Path;
use std::sync::Arc;

use super::super::memory::Memory;
use super::super::nodes::{Nodes, Versions};
use super::super::{Registry, RegistryError};
use super::{Opened, WhoError, read_or_make, who};
use crate::error::OpenError;
use crate::lock;
use crate::postgres::cached::Snapshot;
use crate::postgres::migrations::migrate;
use crate::postgres::{Listed, Listener, PgSettings, STATEMENT_MAX};
use crate::rejections::now;
use crate::sql::{self, Connect, Connection, Sight, blocking};

/// What stands for a path.
const PLACE: &str = "PostgreSQL";

impl Registry {
    /// Opens the registry in PostgreSQL, making or migrating its tables. Each of its three
    /// connections is made anew after a loss: what was under way then fails. Blocks.
    ///
    /// # Errors
    ///
    /// An [`OpenError`].
    pub fn open_postgres(settings: &PgSettings) -> Result<Self, OpenError> {
        let opened =
            blocking(|| Self::open_now(&connections(settings, "registry"), &lookups(settings)))?;
        settings.guard.expect(opened.store_id());
        Ok(opened)
    }

    /// Hears from now on what other nodes change, until the listener is dropped. A store does
    /// so by itself; this is for who has a registry alone.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    #[doc(hidden)]
    pub fn listen(&self, settings: &PgSettings) -> std::io::Result<Listener> {
        self.listen_with(settings, Arc::new(|_| ()))
    }

    /// The same; `listed` is told up to where events can be listed.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub(crate) fn listen_with(
        &self,
        settings: &PgSettings,
        listed: Listed,
    ) -> std::io::Result<Listener> {
        Listener::start(self.clone(), connections(settings, "listen"), listed)
    }

    /// The registry as it was written down: its database is away, and is read as soon as it is
    /// there.
    pub(crate) fn remember(settings: &PgSettings, snapshot: Snapshot) -> Self {
        settings.guard.expect(snapshot.store_id);
        let connection = || Connection::postgres(connections(settings, "registry"));
        let opened = Opened {
            path: PLACE.into(),
            store_id: snapshot.store_id,
            mask_key: snapshot.mask_key,
            memory: snapshot.memory.into(),
            writer: connection(),
            lookups: Connection::postgres(lookups(settings)),
            lists: connection(),
            checkpoints: None,
            nodes: Some(Nodes::unseen()),
            recordings: None,
        };
        let registry = opened.registry();
        lock(&registry.shared.known).restore(snapshot.ledger);
        registry
    }

    fn open_now(connect: &Connect, lookups: &Connect) -> Result<Self, OpenError> {
        let mut client = connect().map_err(OpenError::postgres)?;
        migrate(&mut client)?;
        drop(client);
        let connection = || Connection::postgres(connect.clone());
        let mut writer = connection();
        let made = read_or_make(&mut writer).map_err(|error| match error {
            WhoError::Database(error) => OpenError::postgres(error),
            WhoError::Unfinished => OpenError::Unfinished(PLACE.to_owned()),
            WhoError::Random(error) => OpenError::Postgres(error),
        })?;
        let (store_id, mask_key) = who(made, Path::new(PLACE))?;
        let (versions, memory) = writer
            .read(Sight::All, |connection| {
                Ok::<_, sql::Error>((Versions::read(connection)?, Memory::load(connection)?))
            })
            .map_err(OpenError::postgres)?;
        let opened = Opened {
            path: PLACE.into(),
            store_id,
            mask_key,
            memory,
            writer,
            lookups: Connection::postgres(lookups.clone()),
            lists: connection(),
            checkpoints: None,
            nodes: Some(Nodes::new(versions)),
            // Nodes have no files in common.
            recordings: None,
        };
        let registry = opened.registry();
        let unchangeable = |error: RegistryError| OpenError::postgres(error);
        // What is leased may be another node's; leases end by themselves.
        registry.note_abandoned(now()).map_err(unchangeable)?;
        registry.finish_removals().map_err(unchangeable)?;
        Ok(registry)
    }
}

/// Makes the connections that requests wait for.
fn lookups(settings: &PgSettings) -> Connect {
    match settings.spool {
        None => connections(settings, "registry"),
        // They have another way.
        Some(_) => connections(&settings.clone().answering_within(STATEMENT_MAX), "registry"),
    }
}

fn connections(settings: &PgSettings, application: &'static str) -> Connect {
    let settings = settings.clone();
    Arc::new(move || settings.connect(application).map_err(Into::into))
}

//! Sources that were configured over the API.

use std::fmt;

use crate::sql::{self, Connection, params};
use hookgate_core::provider;
use hookgate_core::time::Timestamp;
use tokio::sync::watch;

use super::memory::Effect;
use super::{Registry, RegistryError, Written, columns, text};

/// Sources at most: each is in memory, with its secrets.
pub const SOURCES_MAX: u64 = 1_000;

/// The longest settings of a source, in bytes: as long as a request to the API.
pub const SETTINGS_BYTES_MAX: usize = 128 << 10;

/// A source as it is kept.
#[derive(Clone, PartialEq, Eq)]
pub struct SourceRow {
    /// Its name.
    pub name: String,
    /// Its provider.
    pub provider: String,
    /// JSON that only the configuration understands. Secrets in it are sealed.
    pub settings: String,
    /// When it was made.
    pub created_at: Timestamp,
}

impl fmt::Debug for SourceRow {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut out = out.debug_struct("SourceRow");
        out.field("name", &self.name).field("provider", &self.provider).finish_non_exhaustive()
    }
}

impl Registry {
    /// Adds a source.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`]; `Reserved` for the name of a built-in one, `Taken` when there is
    /// one of this name with other settings.
    pub async fn add_source(&self, row: SourceRow) -> Result<Written<SourceRow>, RegistryError> {
        self.write("adding a source", move |connection| {
            text::check_source_name(&row.name)?;
            text::check_provider(&row.provider)?;
            if provider::named(&row.name).is_some() {
                return Err(RegistryError::Reserved.into());
            }
            if row.settings.len() > SETTINGS_BYTES_MAX {
                return Err(RegistryError::Invalid("the settings of a source are too long").into());
            }
            let present = load(connection)?;
            if let Some(present) = present.iter().find(|it| it.name == row.name) {
                let is_same =
                    (&present.provider, &present.settings) == (&row.provider, &row.settings);
                if !is_same {
                    return Err(RegistryError::Taken.into());
                }
                return Ok((Written::Present(present.clone()), Vec::new()));
            }
            if present.len() as u64 >= SOURCES_MAX {
                return Err(RegistryError::TooMany { what: "sources", max: SOURCES_MAX }.into());
            }
            connection.execute(
                "INSERT INTO sources (name, provider, settings, created_at) \
                 VALUES (?1, ?2, ?3, ?4)",
                params![row.name, row.provider, row.settings, row.created_at.millis()],
            )?;
            let effect = Effect::Source(row.clone());
            Ok((Written::Created(row), vec![effect]))
        })
        .await
    }

    /// Removes a source and its URL tokens.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`]; `Reserved` for a built-in one.
    pub async fn remove_source(&self, name: &str) -> Result<(), RegistryError> {
        if provider::named(name).is_some() {
            return Err(RegistryError::Reserved);
        }
        let name = name.to_owned();
        self.write("removing a source", move |connection| {
            if connection.execute("DELETE FROM sources WHERE name = ?1", [&name])? == 0 {
                return Err(RegistryError::NotFound.into());
            }
            connection.execute("DELETE FROM url_tokens WHERE source = ?1", [&name])?;
            Ok(((), vec![Effect::SourceGone(name)]))
        })
        .await
    }

    /// All sources, by name. From memory.
    #[expect(clippy::unused_async, reason = "a store that is elsewhere has to be asked")]
    pub async fn sources(&self) -> Vec<SourceRow> {
        self.shared.memory().sources.values().cloned().collect()
    }

    /// Follows a number that grows with each change of the sources.
    #[must_use]
    pub fn sources_changed(&self) -> watch::Receiver<u64> {
        self.shared.sources_version.subscribe()
    }
}

pub(super) fn load(connection: &Connection) -> Result<Vec<SourceRow>, sql::Error> {
    let mut statement =
        connection.prepare("SELECT name, provider, settings, created_at FROM sources")?;
    let rows = statement.query_map([], |row| {
        Ok(SourceRow {
            name: row.get("name")?,
            provider: row.get("provider")?,
            settings: row.get("settings")?,
            created_at: columns::time(row, "created_at")?,
        })
    })?;
    rows.collect()
}

//! What other nodes on the same registry did, as far as it concerns what this one has in
//! memory.
//!
//! Each change of what nodes have in memory counts a row of `versions` up, in its own
//! transaction, and is told on the channel `hookgate`. A node that sees a number which it does
//! not have reads everything anew. One that made the change itself has it already, and only
//! takes the number over: if the number follows on the one that it has, there is nothing that
//! it missed.
//!
//! What holds:
//!
//! - **A change counts on other nodes as soon as they hear of it**, milliseconds later, and
//!   after [`POLL`] if they did not.
//! - **A node that hears nothing trusts its memory of whose an id is for [`FRESH_MAX`]**, and
//!   asks the database from then on. Tenants, keys, tokens and sources hold on: requests are
//!   verified with them while the database is away.
//! - **That nobody knows a conversation is asked anew each time**: another node may have
//!   adopted it a moment ago.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::memory::{Effect, Memory};
use super::{Registry, RegistryError, Shared, Stop};
use crate::lock;
use crate::sql::{Connection, Error, Row, Sight, Topic};

/// How often `versions` are looked at, should a notification be missed.
pub(crate) const POLL: Duration = Duration::from_secs(1);

/// How long after it last saw them a node trusts its memory of whose an id is.
pub(crate) const FRESH_MAX: Duration = Duration::from_secs(5);

/// The numbers of what a node has in memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Versions {
    /// Tenants, keys, tokens, sources, settings of tools.
    registry: i64,
    /// Whose ids are: bindings and registered conversations.
    bindings: i64,
    /// Where events are passed on to.
    destinations: i64,
}

impl Versions {
    /// Numbers that no database has: what is in memory was written down at some time, and is
    /// read anew as soon as there is a database.
    const OLD: Self = Self { registry: -1, bindings: -1, destinations: -1 };

    /// The numbers in the database.
    pub(super) fn read(connection: &Connection) -> Result<Self, Error> {
        let mut select = connection.prepare_cached("SELECT topic, n FROM versions")?;
        let rows = select.query_map([], |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?)))?;
        let rows: Vec<(String, i64)> = rows.collect::<Result<_, _>>()?;
        Ok(Self::of_rows(rows.iter().map(|(topic, n)| (topic.as_str(), *n))))
    }

    fn of_rows<'a>(rows: impl Iterator<Item = (&'a str, i64)>) -> Self {
        let mut versions = Self::default();
        for (topic, n) in rows {
            let place = Topic::named(topic).and_then(|it| versions.of(it));
            if let Some(place) = place {
                *place = n;
            }
        }
        versions
    }

    fn of(&mut self, topic: Topic) -> Option<&mut i64> {
        match topic {
            Topic::Registry => Some(&mut self.registry),
            Topic::Bindings => Some(&mut self.bindings),
            Topic::Destinations => Some(&mut self.destinations),
            Topic::Deliveries => None,
        }
    }
}

/// What a node knows of the others.
#[derive(Debug)]
pub(crate) struct Nodes {
    versions: Mutex<Versions>,
    began: Instant,
    /// When the versions were last seen, in milliseconds since it began; or [`NEVER`].
    seen: AtomicU64,
}

/// The versions were not seen yet.
const NEVER: u64 = u64::MAX;

impl Nodes {
    pub(super) fn new(versions: Versions) -> Self {
        let versions = Mutex::new(versions);
        Self { versions, began: Instant::now(), seen: AtomicU64::new(0) }
    }

    /// Of a node that begins without its database.
    pub(super) fn unseen() -> Self {
        Self { seen: AtomicU64::new(NEVER), ..Self::new(Versions::OLD) }
    }

    /// Whether what is in memory of whose an id is can be relied on.
    pub(crate) fn is_fresh(&self) -> bool {
        let seen = self.seen.load(Ordering::Acquire);
        seen != NEVER
            && self.began.elapsed().saturating_sub(Duration::from_millis(seen)) <= FRESH_MAX
    }

    fn note_seen(&self, at: Instant) {
        let since = at.saturating_duration_since(self.began).as_millis();
        self.seen.store(u64::try_from(since).unwrap_or(0), Ordering::Release);
    }

    /// Takes over what this node's own change was counted as.
    pub(super) fn note_own(&self, counted: &[(Topic, i64)]) {
        let mut versions = lock(&self.versions);
        for (topic, n) in counted {
            // A gap means that somebody else changed something: it is read soon.
            if let Some(known) = versions.of(*topic)
                && known.checked_add(1) == Some(*n)
            {
                *known = *n;
            }
        }
    }
}

/// Which of what nodes have in memory a change concerns.
pub(super) fn topic_of(effects: &[Effect]) -> Option<Topic> {
    let is_of_ids = |it: &Effect| matches!(it, Effect::Binding(..) | Effect::Conversation(..));
    // Where there may be other nodes, nobody remembers what is sealed.
    if effects.iter().all(|it| matches!(it, Effect::Sealed(_))) {
        None
    } else if effects.iter().all(is_of_ids) {
        Some(Topic::Bindings)
    } else {
        Some(Topic::Registry)
    }
}

impl Registry {
    /// Reads what other nodes changed, if these numbers, which the database had at this time,
    /// are others than this node has. Blocks.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`]: what is in memory stays, and grows stale.
    pub(crate) fn follow(
        &self,
        versions: &[(String, i64)],
        at: Instant,
    ) -> Result<(), RegistryError> {
        let Some(nodes) = &self.shared.nodes else { return Ok(()) };
        if Versions::of_rows(versions.iter().map(|(topic, n)| (topic.as_str(), *n)))
            == *lock(&nodes.versions)
        {
            nodes.note_seen(at);
            return Ok(());
        }
        self.read_changes().map_err(|stop| stop.error("reading what other nodes changed"))
    }

    fn read_changes(&self) -> Result<(), Stop> {
        let shared = &self.shared;
        let Some(nodes) = &shared.nodes else { return Ok(()) };
        // Held throughout, so that this node's own changes come before or after.
        let writer = lock(&shared.writer);
        let began = Instant::now();
        let had = *lock(&nodes.versions);
        let (versions, memory) = writer.read(Sight::All, |connection| {
            let versions = Versions::read(connection)?;
            let is_other = versions.registry != had.registry;
            let memory = is_other.then(|| Memory::load(connection)).transpose()?;
            Ok::<_, Error>((versions, memory))
        })?;
        if let Some(memory) = memory {
            shared.replace(memory);
        } else if versions.bindings != had.bindings {
            lock(&shared.known).forget_all();
        }
        *lock(&nodes.versions) = versions;
        nodes.note_seen(began);
        drop(writer);
        if versions.destinations != had.destinations {
            shared.wake_destinations();
            shared.wake_deliveries();
        }
        Ok(())
    }

    /// Wakes who waits for deliveries to become due: another node made some so. Now and then
    /// also without that, so that what a node left that is gone is found.
    pub(crate) fn wake_deliveries(&self) {
        self.shared.wake_deliveries();
    }
}

impl Shared {
    /// Whether answers about ids that are in memory can be relied on.
    pub(crate) fn is_fresh(&self) -> bool {
        self.nodes.as_ref().is_none_or(Nodes::is_fresh)
    }

    /// Whether other nodes may change what this one has in memory.
    pub(crate) fn has_others(&self) -> bool {
        self.nodes.is_some()
    }

    /// Puts what was read in the place of what is in memory.
    fn replace(&self, fresh: Memory) {
        let are_sources = {
            let mut known = lock(&self.known);
            let mut memory = self.memory_mut();
            known.forget_all();
            // Another wrapping of the key may open what did not open before.
            let are_sources = memory.sources != fresh.sources
                || memory.installation_key != fresh.installation_key;
            *memory = fresh;
            self.changes.fetch_add(1, Ordering::Release);
            self.has_tenants.store(!memory.tenants.is_empty(), Ordering::Release);
            are_sources
        };
        if are_sources {
            self.sources_version.send_modify(|version| *version = version.saturating_add(1));
        }
    }

    fn wake_destinations(&self) {
        self.destinations_version.send_modify(|version| *version = version.saturating_add(1));
    }

    fn wake_deliveries(&self) {
        self.deliveries_version.send_modify(|version| *version = version.saturating_add(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_heard_nothing_for_five_seconds_asks_the_database() {
        let long_ago = Instant::now().checked_sub(FRESH_MAX * 2).unwrap();
        let nodes = Nodes { began: long_ago, ..Nodes::new(Versions::default()) };
        assert!(!nodes.is_fresh());
        nodes.note_seen(Instant::now());
        assert!(nodes.is_fresh());
        let nodes = Nodes::unseen();
        assert!(!nodes.is_fresh(), "it began without its database");
        nodes.note_seen(Instant::now());
        assert!(nodes.is_fresh());
    }

    #[test]
    fn what_a_node_missed_is_not_taken_for_its_own() {
        let nodes = Nodes::new(Versions { registry: 7, ..Versions::default() });
        nodes.note_own(&[(Topic::Registry, 8)]);
        assert_eq!(lock(&nodes.versions).registry, 8, "its own");
        nodes.note_own(&[(Topic::Registry, 10)]);
        assert_eq!(lock(&nodes.versions).registry, 8, "somebody else made the ninth");
    }
}

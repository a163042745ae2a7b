//! Where connections may lead: to the store that this node began with, and nowhere before the
//! node has seen it.
//!
//! Whoever restores, moves or makes a database anew can put another store in the place of the
//! one that was there. What this node has in memory and in its spool is not that one's.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use postgres::{Client, SimpleQueryMessage};
use uuid::Uuid;

use super::fault::{ConnectError, ConnectFault};
use super::role::APP_ROLE;
use crate::registry::store_id;

/// Shared by all who make connections for a node.
#[derive(Debug, Default)]
pub(crate) struct Guard {
    /// The store, once it is known.
    store: OnceLock<Uuid>,
    is_closed: AtomicBool,
}

impl Guard {
    /// From now on connections lead to this store alone.
    pub(crate) fn expect(&self, store: Uuid) {
        // A node has one store.
        let _ = self.store.set(store);
    }

    /// Nobody connects until [`Self::open`], but who looks for the database.
    pub(crate) fn close(&self) {
        self.is_closed.store(true, Ordering::Release);
    }

    pub(crate) fn open(&self) {
        self.is_closed.store(false, Ordering::Release);
    }

    pub(super) fn is_closed(&self) -> bool {
        self.is_closed.load(Ordering::Acquire)
    }

    /// That a connection leads to the store.
    pub(super) fn check(
        &self,
        client: &mut Client,
        place: impl Fn() -> String,
    ) -> Result<(), ConnectError> {
        let Some(store) = self.store.get() else { return Ok(()) };
        let failed = |error| ConnectError::of_driver(place(), error);
        let other = || ConnectError::new(place(), ConnectFault::OtherStore);
        let exists = "SELECT to_regclass('hookgate.meta') IS NOT NULL";
        let exists = client.query_one(exists, &[]).and_then(|it| it.try_get::<_, bool>(0));
        if !exists.map_err(failed)? {
            return Err(other());
        }
        let asked = client.simple_query(&format!(
            "BEGIN READ ONLY; SET LOCAL ROLE {APP_ROLE}; SET LOCAL hookgate.tenant = '*'; \
             SELECT encode(value, 'hex') FROM hookgate.meta WHERE name = 'store_id'; COMMIT"
        ));
        let found = asked.map_err(failed)?.into_iter().find_map(|it| match it {
            SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
            _ => None,
        });
        let found = found.and_then(|it| <[u8; 16]>::try_from(hex::decode(it).ok()?).ok());
        if found.map(store_id) == Some(*store) { Ok(()) } else { Err(other()) }
    }
}

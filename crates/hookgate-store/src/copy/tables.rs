//! The tables of the registry, row by row, in either database.

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use crate::postgres::storable;
use crate::sql::Value;

/// A table, and the column whose order is the same in both databases.
pub(super) struct Table {
    pub(super) name: &'static str,
    pub(super) key: &'static str,
    /// The column is a number that is given once and never again.
    pub(super) is_numbered: bool,
}

const fn numbered(name: &'static str) -> Table {
    Table { name, key: "n", is_numbered: true }
}

const fn keyed(name: &'static str, key: &'static str) -> Table {
    Table { name, key, is_numbered: false }
}

/// All of them but `counts`, which triggers fill; one that others refer to before these.
pub(super) const TABLES: [Table; 21] = [
    keyed("meta", "name"),
    numbered("tenants"),
    numbered("tenant_keys"),
    numbered("bindings"),
    numbered("conversations"),
    numbered("sources"),
    numbered("url_tokens"),
    keyed("data_keys", "tenant"),
    keyed("credentials", "tenant, name"),
    numbered("answers"),
    numbered("decisions"),
    numbered("erasures"),
    keyed("dropped_keys", "seq"),
    numbered("tool_calls"),
    keyed("tool_settings", "tenant"),
    numbered("destinations"),
    numbered("deliveries"),
    numbered("attempts"),
    keyed("cursors", "name"),
    numbered("alerts"),
    numbered("recordings"),
];

/// The columns of a table, each with its type in PostgreSQL.
pub(super) type Columns = Vec<(String, &'static str)>;

/// The columns in quotes.
pub(super) fn names(columns: &Columns) -> String {
    let names: Vec<String> = columns.iter().map(|(name, _)| format!("\"{name}\"")).collect();
    names.join(", ")
}

/// How many rows a table has, and what they say.
#[derive(Clone, Debug, Default)]
pub(super) struct Tally {
    pub(super) rows: u64,
    digest: Sha256,
}

impl Tally {
    pub(super) fn note(&mut self, row: &[Value]) {
        self.rows = self.rows.saturating_add(1);
        for value in row {
            let (kind, bytes): (u8, Cow<'_, [u8]>) = match value {
                Value::Null => (0, Cow::Borrowed(&[])),
                Value::Integer(it) => (1, it.to_le_bytes().to_vec().into()),
                Value::Real(it) => (2, it.to_le_bytes().to_vec().into()),
                // PostgreSQL has no character of the number zero.
                Value::Text(it) => (3, storable(it).into_owned().into_bytes().into()),
                Value::Blob(it) => (4, it.into()),
            };
            self.digest.update([kind]);
            self.digest.update((bytes.len() as u64).to_le_bytes());
            self.digest.update(&bytes);
        }
    }

    /// Both in one.
    pub(super) fn end(self) -> (u64, [u8; 32]) {
        (self.rows, self.digest.finalize().into())
    }
}

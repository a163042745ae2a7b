//! Conversations that are known, registered and adopted together.

use hookgate_core::tenant::Scope;
use postgres::Row;
use postgres::types::ToSql;

use super::Node;
use super::query::{signed, unsigned};
use super::statement::storable;
use crate::conversations::{list, one};
use crate::error::ReadError;
use crate::index::adopted::Adopted;
use crate::registry::{Conversation, ConversationFilter, RegistryError, Rows};

const COLUMNS: &str = "seq, provider, external_id, tenant, agent_id, phone_number_id, at";

fn adopted(row: &Row) -> Result<Adopted, ReadError> {
    Ok(Adopted {
        seq: unsigned(row.try_get(0)?),
        provider: row.try_get(1)?,
        external_id: row.try_get(2)?,
        tenant: row.try_get(3)?,
        agent_id: row.try_get(4)?,
        phone_number_id: row.try_get(5)?,
        at: row.try_get(6)?,
    })
}

/// The statement of a page of adopted conversations, the newest first, and its values but
/// for the place and the limit, which are the first two.
pub(super) fn select(filter: &ConversationFilter) -> (String, Vec<String>) {
    let mut sql = format!("SELECT {COLUMNS} FROM adopted WHERE seq < $1");
    let mut values = Vec::new();
    if let Some(tenant) = &filter.tenant {
        values.push(tenant.as_str().to_owned());
        sql.push_str(" AND tenant = $3");
    }
    if let Some(provider) = &filter.provider {
        values.push(storable(provider).into_owned());
        sql.push_str(if values.len() == 1 { " AND provider = $3" } else { " AND provider = $4" });
    }
    sql.push_str(" ORDER BY seq DESC LIMIT $2");
    (sql, values)
}

impl Node {
    pub(crate) async fn conversations(
        &self,
        scope: &Scope,
        filter: ConversationFilter,
        page: Rows,
    ) -> Result<Vec<(u64, Conversation)>, RegistryError> {
        let before = |filter: ConversationFilter, before: u64| {
            self.pool().reading(scope, move |client| {
                let (sql, words) = select(&filter);
                let (before, limit) = (signed(before), i64::from(page.limit));
                let mut values: Vec<&(dyn ToSql + Sync)> = vec![&before, &limit];
                values.extend(words.iter().map(|it| it as &(dyn ToSql + Sync)));
                client.query(&sql, &values)?.iter().map(adopted).collect()
            })
        };
        list(self.registry(), scope, filter, page, before).await
    }

    pub(crate) async fn conversation(
        &self,
        scope: &Scope,
        provider: &str,
        external_id: &str,
    ) -> Result<Option<Conversation>, RegistryError> {
        let find = |provider: String, external_id: String| {
            self.pool().reading(scope, move |client| {
                let select = format!(
                    "SELECT {COLUMNS} FROM adopted WHERE external_id = $1 AND provider = $2"
                );
                let row =
                    client.query_opt(&select, &[&storable(&external_id), &storable(&provider)])?;
                row.as_ref().map(adopted).transpose()
            })
        };
        one(self.registry(), scope, (provider, external_id), find).await
    }

    /// Whether data may belong to this tenant.
    pub(super) fn is_owner(&self, tenant: &str) -> bool {
        self.registry().shared().memory().owner(tenant).is_some()
    }
}

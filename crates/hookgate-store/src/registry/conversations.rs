//! Registered conversations. Those that were adopted stand in the journal and its index
//! (see [`crate::ledger`]).

use crate::sql::{self, Connection, OptionalExtension, Row, params};
use hookgate_core::attribution::{self, Origin};
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;

use super::error::Stop;
use super::memory::Effect;
use super::{Registry, RegistryError, Rows, Written, check_count, columns, tenants, text};
use crate::ledger::Reserved;
use crate::lock;

/// Registered conversations at most: some ten gigabytes of the registry, or three years at
/// one each second.
pub const CONVERSATIONS_MAX: u64 = 100_000_000;

/// A conversation that is known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conversation {
    /// Whose it is.
    pub tenant: TenantId,
    /// The provider.
    pub provider: String,
    /// The provider's id of it.
    pub external_id: String,
    /// The agent that it is known with.
    pub agent_id: Option<String>,
    /// Our phone number that it is known with.
    pub phone_number_id: Option<String>,
    /// How it came to be known.
    pub origin: Origin,
    /// When it became known.
    pub created_at: Timestamp,
}

impl Conversation {
    /// What is asked of it when an event is attributed.
    pub(crate) fn known(&self) -> attribution::Conversation {
        attribution::Conversation {
            tenant: self.tenant.clone(),
            agent_id: self.agent_id.clone(),
            phone_number_id: self.phone_number_id.clone(),
            origin: self.origin,
        }
    }

    /// Keeps what was known before and is not said anew.
    pub(crate) fn keep(&mut self, agent_id: Option<String>, phone_number_id: Option<String>) {
        self.agent_id = self.agent_id.take().or(agent_id);
        self.phone_number_id = self.phone_number_id.take().or(phone_number_id);
    }
}

/// Which conversations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConversationFilter {
    /// Those of this tenant.
    pub tenant: Option<TenantId>,
    /// Those at this provider.
    pub provider: Option<String>,
}

const COLUMNS: &str = "n, tenant, provider, external_id, agent_id, phone_number_id, created_at";

impl Registry {
    /// Registers a conversation; whatever its `origin` says, it is a registered one then. One
    /// that the same tenant has already, registered or adopted, gets the agent and the
    /// number that are given now, and keeps what is not given.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`]; `Taken` when another tenant has registered or adopted it.
    pub async fn register_conversation(
        &self,
        conversation: Conversation,
    ) -> Result<Written<Conversation>, RegistryError> {
        const DOING: &str = "registering a conversation";
        self.blocking(DOING, move |registry| {
            registry.register(conversation).map_err(|stop| stop.error(DOING))
        })
        .await
    }

    /// One registered conversation.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn conversation(
        &self,
        provider: &str,
        external_id: &str,
    ) -> Result<Option<Conversation>, RegistryError> {
        let (provider, external_id) = (provider.to_owned(), external_id.to_owned());
        self.read("reading a conversation", move |connection| {
            Ok(find(connection, &provider, &external_id)?)
        })
        .await
    }

    /// A page of registered conversations, the newest first, each with its place among all.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn conversations(
        &self,
        filter: ConversationFilter,
        page: Rows,
    ) -> Result<Vec<(u64, Conversation)>, RegistryError> {
        self.read("listing conversations", move |connection| {
            let of_tenant = if filter.tenant.is_some() { "AND tenant = ?2" } else { "" };
            let at_provider = if filter.provider.is_some() { "AND provider = ?3" } else { "" };
            let select = format!(
                "SELECT {COLUMNS} FROM conversations WHERE n < ?1 {of_tenant} {at_provider} \
                 ORDER BY n DESC LIMIT ?4"
            );
            let mut statement = connection.prepare_cached(&select)?;
            let tenant = filter.tenant.as_ref().map(TenantId::as_str);
            let values = params![page.before(), tenant, filter.provider, page.limit];
            let rows = statement.query_map(values, numbered)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    fn register(&self, mut wanted: Conversation) -> Result<Written<Conversation>, Stop> {
        wanted.origin = Origin::Registered;
        let provider = text::check_provider(&wanted.provider)?;
        text::check_external_id(&wanted.external_id)?;
        for id in [&wanted.agent_id, &wanted.phone_number_id].into_iter().flatten() {
            text::check_external_id(id)?;
        }
        // Held throughout: nobody else registers anything meanwhile.
        let mut writer = lock(&self.shared.writer);
        let mut reserved = None;
        self.write_with(&mut writer, |connection| {
            tenants::check_alive(connection, &wanted.tenant)?;
            if let Some(present) = find(connection, provider, &wanted.external_id)? {
                if present.tenant != wanted.tenant {
                    return Err(RegistryError::Taken.into());
                }
                return update(connection, provider, present, wanted);
            }
            check_count(connection, "conversations", CONVERSATIONS_MAX)?;
            // From here on nobody adopts it, and requests see it: what is registered wins.
            reserved = Some(Reserved::begin(&self.shared, connection, provider, &mut wanted)?);
            connection.execute(
                "INSERT INTO conversations \
                 (tenant, provider, external_id, agent_id, phone_number_id, created_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
                params![
                    wanted.tenant.as_str(),
                    provider,
                    wanted.external_id,
                    wanted.agent_id,
                    wanted.phone_number_id,
                    wanted.created_at.millis()
                ],
            )?;
            let effect = Effect::Conversation(provider, wanted.external_id.clone());
            Ok((Written::Created(wanted), vec![effect]))
        })
    }
}

fn update(
    connection: &Connection,
    provider: &'static str,
    mut present: Conversation,
    mut wanted: Conversation,
) -> Result<(Written<Conversation>, Vec<Effect>), Stop> {
    wanted.keep(present.agent_id.clone(), present.phone_number_id.clone());
    let is_same = (&present.agent_id, &present.phone_number_id)
        == (&wanted.agent_id, &wanted.phone_number_id);
    if is_same {
        return Ok((Written::Present(present), Vec::new()));
    }
    connection.execute(
        "UPDATE conversations SET agent_id = ?3, phone_number_id = ?4 \
         WHERE external_id = ?1 AND provider = ?2",
        params![wanted.external_id, provider, wanted.agent_id, wanted.phone_number_id],
    )?;
    let effect = Effect::Conversation(provider, wanted.external_id);
    present.agent_id = wanted.agent_id;
    present.phone_number_id = wanted.phone_number_id;
    Ok((Written::Present(present), vec![effect]))
}

/// What is registered of a conversation. For the ledger.
pub(crate) fn find(
    connection: &Connection,
    provider: &str,
    external_id: &str,
) -> Result<Option<Conversation>, sql::Error> {
    let select =
        format!("SELECT {COLUMNS} FROM conversations WHERE external_id = ?1 AND provider = ?2");
    let mut statement = connection.prepare_cached(&select)?;
    statement.query_row([external_id, provider], |row| Ok(numbered(row)?.1)).optional()
}

fn numbered(row: &Row<'_>) -> Result<(u64, Conversation), sql::Error> {
    let conversation = Conversation {
        tenant: columns::tenant(row, "tenant")?,
        provider: row.get("provider")?,
        external_id: row.get("external_id")?,
        agent_id: row.get("agent_id")?,
        phone_number_id: row.get("phone_number_id")?,
        origin: Origin::Registered,
        created_at: columns::time(row, "created_at")?,
    };
    Ok((columns::number(row)?, conversation))
}

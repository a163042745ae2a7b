//! Bindings: which tenant an id at a provider belongs to.

use crate::sql::{self, Connection, OptionalExtension, Row, params};
use hookgate_core::event::ClaimKind;
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;

use super::memory::Effect;
use super::{Registry, RegistryError, Rows, Written, check_count, columns, tenants, text};

/// Bindings at most: some gigabytes of the registry.
pub const BINDINGS_MAX: u64 = 10_000_000;

/// A binding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Whose the id is.
    pub tenant: TenantId,
    /// The provider.
    pub provider: String,
    /// What the id names there.
    pub kind: ClaimKind,
    /// The id.
    pub external_id: String,
    /// When it was bound.
    pub created_at: Timestamp,
}

/// Which bindings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BindingFilter {
    /// Those of this tenant.
    pub tenant: Option<TenantId>,
    /// Those at this provider.
    pub provider: Option<String>,
    /// Those of this kind.
    pub kind: Option<ClaimKind>,
    /// Those of this id.
    pub external_id: Option<String>,
}

const COLUMNS: &str = "n, tenant, provider, kind, external_id, created_at";

impl Registry {
    /// Binds an id to a tenant.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`]; `Taken` when it is bound to another tenant, `Invalid` for a
    /// kind that is not bound (a conversation is registered, an organisation is a tenant).
    pub async fn bind(&self, binding: Binding) -> Result<Written<Binding>, RegistryError> {
        self.write("binding an id", move |connection| {
            let provider = text::check_provider(&binding.provider)?;
            check_kind(binding.kind)?;
            text::check_external_id(&binding.external_id)?;
            tenants::check_alive(connection, &binding.tenant)?;
            if let Some(present) = find(connection, provider, binding.kind, &binding.external_id)? {
                if present.tenant != binding.tenant {
                    return Err(RegistryError::Taken.into());
                }
                return Ok((Written::Present(present), Vec::new()));
            }
            check_count(connection, "bindings", BINDINGS_MAX)?;
            connection.execute(
                "INSERT INTO bindings (tenant, provider, kind, external_id, created_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    binding.tenant.as_str(),
                    provider,
                    binding.kind.name(),
                    binding.external_id,
                    binding.created_at.millis()
                ],
            )?;
            let effect = Effect::Binding(provider, binding.kind, binding.external_id.clone());
            Ok((Written::Created(binding), vec![effect]))
        })
        .await
    }

    /// Removes a binding. It counts for no request that comes when this is done.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn unbind(
        &self,
        provider: &str,
        kind: ClaimKind,
        external_id: &str,
    ) -> Result<(), RegistryError> {
        let provider = text::check_provider(provider)?;
        let external_id = external_id.to_owned();
        self.write("removing a binding", move |connection| {
            let removed = connection.execute(
                "DELETE FROM bindings WHERE external_id = ?1 AND kind = ?2 AND provider = ?3",
                [external_id.as_str(), kind.name(), provider],
            )?;
            if removed == 0 {
                return Err(RegistryError::NotFound.into());
            }
            Ok(((), vec![Effect::Binding(provider, kind, external_id)]))
        })
        .await
    }

    /// A page of bindings, the newest first, each with its place among all.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn bindings(
        &self,
        filter: BindingFilter,
        page: Rows,
    ) -> Result<Vec<(u64, Binding)>, RegistryError> {
        self.read("listing bindings", move |connection| {
            let mut conditions = vec!["n < ?1"];
            let mut values: Vec<&dyn sql::ToSql> = Vec::new();
            let before = page.before();
            values.push(&before);
            let tenant = filter.tenant.as_ref().map(TenantId::as_str);
            let kind = filter.kind.map(ClaimKind::name);
            let wanted: [(&str, Option<&str>); 4] = [
                ("tenant = ?2", tenant),
                ("provider = ?3", filter.provider.as_deref()),
                ("kind = ?4", kind),
                ("external_id = ?5", filter.external_id.as_deref()),
            ];
            for (condition, value) in &wanted {
                if value.is_some() {
                    conditions.push(condition);
                }
                values.push(value);
            }
            values.push(&page.limit);
            let conditions = conditions.join(" AND ");
            // A filter by something that is rare is answered from its index.
            let select = format!(
                "SELECT {COLUMNS} FROM bindings WHERE {conditions} ORDER BY n DESC LIMIT ?6"
            );
            let mut statement = connection.prepare_cached(&select)?;
            let rows = statement.query_map(values.as_slice(), numbered)?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }
}

/// Whose an id is. For the ledger.
pub(crate) fn owner(
    connection: &Connection,
    provider: &str,
    kind: ClaimKind,
    external_id: &str,
) -> Result<Option<TenantId>, sql::Error> {
    let mut statement = connection.prepare_cached(
        "SELECT tenant FROM bindings WHERE external_id = ?1 AND kind = ?2 AND provider = ?3",
    )?;
    let owner = statement
        .query_row([external_id, kind.name(), provider], |row| columns::tenant(row, "tenant"));
    owner.optional()
}

fn check_kind(kind: ClaimKind) -> Result<(), RegistryError> {
    match kind {
        ClaimKind::Conversation => {
            Err(RegistryError::Invalid("a conversation is registered, not bound"))
        }
        ClaimKind::Organization => Err(RegistryError::Invalid(
            "an organization is a tenant's own id: add a tenant with this id",
        )),
        ClaimKind::Agent
        | ClaimKind::PhoneNumber
        | ClaimKind::Integration
        | ClaimKind::Account
        | ClaimKind::Property => Ok(()),
    }
}

fn find(
    connection: &Connection,
    provider: &str,
    kind: ClaimKind,
    external_id: &str,
) -> Result<Option<Binding>, sql::Error> {
    let select = format!(
        "SELECT {COLUMNS} FROM bindings WHERE external_id = ?1 AND kind = ?2 AND provider = ?3"
    );
    let mut statement = connection.prepare_cached(&select)?;
    statement.query_row([external_id, kind.name(), provider], |row| Ok(numbered(row)?.1)).optional()
}

fn numbered(row: &Row<'_>) -> Result<(u64, Binding), sql::Error> {
    let binding = Binding {
        tenant: columns::tenant(row, "tenant")?,
        provider: row.get("provider")?,
        kind: columns::kind(row, "kind")?,
        external_id: row.get("external_id")?,
        created_at: columns::time(row, "created_at")?,
    };
    Ok((columns::number(row)?, binding))
}

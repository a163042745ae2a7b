//! What tenants' agents may do, and how: one JSON document a tenant, which the core
//! understands. In memory: each tool call asks for it.

use std::sync::Arc;

use crate::sql::{self, Connection, params};
use hookgate_core::tenant::TenantId;

use super::memory::Effect;
use super::{Registry, RegistryError, columns, tenants};

/// The longest settings of a tenant's tools, in bytes: as long as a request to the API.
pub const TOOL_SETTINGS_BYTES_MAX: usize = 128 << 10;

impl Registry {
    /// Keeps a tenant's settings in the place of those that are there; nothing removes them.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn set_tool_settings(
        &self,
        tenant: &TenantId,
        settings: Option<String>,
    ) -> Result<(), RegistryError> {
        let tenant = tenant.clone();
        self.write("setting a tenant's tools", move |connection| {
            tenants::check_alive(connection, &tenant)?;
            if let Some(settings) = &settings {
                if settings.len() > TOOL_SETTINGS_BYTES_MAX {
                    let long = "the settings of a tenant's tools are too long";
                    return Err(RegistryError::Invalid(long).into());
                }
                connection.execute(
                    "INSERT INTO tool_settings (tenant, settings) VALUES (?1, ?2) \
                     ON CONFLICT (tenant) DO UPDATE SET settings = excluded.settings",
                    params![tenant.as_str(), settings],
                )?;
            } else {
                let delete = "DELETE FROM tool_settings WHERE tenant = ?1";
                connection.execute(delete, [tenant.as_str()])?;
            }
            Ok(((), vec![Effect::ToolSettings(tenant, settings.map(Arc::from))]))
        })
        .await
    }

    /// A tenant's settings, if it has any. From memory.
    #[must_use]
    pub fn tool_settings(&self, tenant: &TenantId) -> Option<Arc<str>> {
        self.shared.memory().tool_settings.get(tenant).map(Arc::clone)
    }
}

pub(super) fn load(connection: &Connection) -> Result<Vec<(TenantId, Arc<str>)>, sql::Error> {
    let mut select = connection.prepare("SELECT tenant, settings FROM tool_settings")?;
    let rows = select.query_map([], |row| {
        Ok((columns::tenant(row, "tenant")?, Arc::from(row.get_ref("settings")?.as_str()?)))
    })?;
    rows.collect()
}

//! Bindings that another receiver left behind: the table `public.org_integrations` of a
//! MightyCall receiver on Supabase, `(id, org_id, provider, encrypted_credentials, metadata)`.
//!
//! Read, never written. Whoever reads binds each row through the registry, so that its
//! limits hold, a conflict is seen, and all nodes hear of it. Credentials are left alone:
//! they are encrypted with a key that is not here.

use postgres::Client;

/// Rows at most: more organisations than one project of Supabase has.
pub const SEED_INTEGRATIONS_MAX: usize = 100_000;

/// One row that can become a binding of the kind `integration`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedIntegration {
    /// What events call the integration: `integration_id`.
    pub id: String,
    /// The organisation, which becomes the tenant of this id.
    pub org_id: String,
}

/// What the table holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SeedIntegrations {
    /// Those of MightyCall, by id.
    pub rows: Vec<SeedIntegration>,
    /// Rows of other providers, or without an id or an organisation.
    pub left_out: u64,
}

/// Why the table cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// It has other columns.
    #[error("public.org_integrations has no columns id, org_id and provider: it is another table")]
    OtherShape,
    /// Row level security would hide a part of it.
    #[error(
        "row level security would hide rows of public.org_integrations from this database \
         user: use its owner, or a user with BYPASSRLS (at Supabase: postgres)"
    )]
    Hidden,
    /// More rows than can be meant.
    #[error("public.org_integrations has over {SEED_INTEGRATIONS_MAX} rows of MightyCall")]
    TooMany,
    /// The database did not answer.
    #[error("public.org_integrations cannot be read")]
    Unreadable(#[source] postgres::Error),
}

/// Reads the table; `None` where there is none.
///
/// # Errors
///
/// A [`SeedError`]. Nothing is returned in part.
pub fn seed_integrations(client: &mut Client) -> Result<Option<SeedIntegrations>, SeedError> {
    // One snapshot, and nothing of it can write.
    let mut transaction = client
        .build_transaction()
        .read_only(true)
        .isolation_level(postgres::IsolationLevel::RepeatableRead)
        .start()
        .map_err(SeedError::Unreadable)?;
    let found = transaction
        .query_one(
            "SELECT to_regclass('public.org_integrations') IS NOT NULL, \
             (SELECT count(*) FROM pg_attribute \
              WHERE attrelid = to_regclass('public.org_integrations') AND attnum > 0 \
              AND NOT attisdropped AND attname IN ('id', 'org_id', 'provider')), \
             coalesce(row_security_active(to_regclass('public.org_integrations')), false)",
            &[],
        )
        .map_err(SeedError::Unreadable)?;
    if !found.get::<_, bool>(0) {
        return Ok(None);
    }
    if found.get::<_, i64>(1) != 3 {
        return Err(SeedError::OtherShape);
    }
    if found.get(2) {
        return Err(SeedError::Hidden);
    }
    let limit = i64::try_from(SEED_INTEGRATIONS_MAX).unwrap_or(i64::MAX).saturating_add(1);
    let usable = "lower(provider::text) = 'mightycall' AND nullif(id::text, '') IS NOT NULL \
                  AND nullif(org_id::text, '') IS NOT NULL";
    let select = format!(
        "SELECT id::text, org_id::text FROM public.org_integrations WHERE {usable} \
         ORDER BY 1, 2 LIMIT $1"
    );
    let rows = transaction.query(&select, &[&limit]).map_err(SeedError::Unreadable)?;
    if rows.len() > SEED_INTEGRATIONS_MAX {
        return Err(SeedError::TooMany);
    }
    let count =
        format!("SELECT count(*) FROM public.org_integrations WHERE ({usable}) IS NOT TRUE");
    let left_out: i64 = transaction.query_one(&count, &[]).map_err(SeedError::Unreadable)?.get(0);
    let rows =
        rows.iter().map(|row| SeedIntegration { id: row.get(0), org_id: row.get(1) }).collect();
    Ok(Some(SeedIntegrations { rows, left_out: left_out.unsigned_abs() }))
}

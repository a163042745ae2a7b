//! URL tokens: the secret part of a source's address, and the tenant that it names.

use std::sync::Arc;
use std::time::Duration;

use crate::sql::{self, Connection, OptionalExtension, Row, params, params_from_iter};
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;

use super::error::Stop;
use super::memory::Effect;
use super::{Registry, RegistryError, columns, digest, new_id, new_secret, tenants, text};

/// URL tokens at most: each is in memory, some 300 bytes.
pub const TOKENS_MAX: u64 = 100_000;

/// How long a token may go on working when another takes its place: what changing the
/// settings at a provider may take.
pub const GRACE_MAX: Duration = Duration::from_hours(30 * 24);

/// A URL token, without the token itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UrlToken {
    /// Its id: `tok_` and 16 hexadecimal digits.
    pub id: String,
    /// The source that it opens.
    pub source: String,
    /// The tenant that it names.
    pub tenant: Option<TenantId>,
    /// The last four characters of the token.
    pub hint: String,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ceases to work, because another took its place.
    pub expires_at: Option<Timestamp>,
}

const COLUMNS: &str = "id, source, tenant, digest, hint, created_at, expires_at";

impl Registry {
    /// Makes a token for a source. The token itself is given once and kept nowhere.
    ///
    /// The source may be one that is configured elsewhere: whether there is such a source
    /// is not asked here.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn add_token(
        &self,
        source: &str,
        tenant: Option<TenantId>,
        now: Timestamp,
    ) -> Result<(UrlToken, String), RegistryError> {
        text::check_source_name(source)?;
        let source = source.to_owned();
        self.write("adding a token", move |connection| {
            if let Some(tenant) = &tenant {
                tenants::check_alive(connection, tenant)?;
            }
            let mut effects = remove_expired(connection, now)?;
            let (token, secret) = insert(connection, source, tenant, now, &mut effects)?;
            Ok(((token, secret), effects))
        })
        .await
    }

    /// Makes a token that takes the place of another, which goes on working for `grace`,
    /// [`GRACE_MAX`] at most.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn rotate_token(
        &self,
        id: &str,
        grace: Duration,
        now: Timestamp,
    ) -> Result<(UrlToken, String), RegistryError> {
        let id = id.to_owned();
        self.write("rotating a token", move |connection| {
            let mut effects = remove_expired(connection, now)?;
            let select = format!("SELECT {COLUMNS} FROM url_tokens WHERE id = ?1");
            let old = connection.query_row(&select, [&id], token).optional()?;
            let (old_digest, mut old) = old.ok_or(RegistryError::NotFound)?;
            let grace = i64::try_from(grace.min(GRACE_MAX).as_millis()).unwrap_or(i64::MAX);
            let ends = Timestamp::from_millis(now.millis().saturating_add(grace));
            let ends = old.expires_at.map_or(ends, |it| it.min(ends));
            let update = "UPDATE url_tokens SET expires_at = ?2 WHERE id = ?1";
            connection.execute(update, params![id, ends.millis()])?;
            old.expires_at = Some(ends);
            let (source, tenant) = (old.source.clone(), old.tenant.clone());
            effects.push(Effect::Token(old_digest, Arc::new(old)));
            let (token, secret) = insert(connection, source, tenant, now, &mut effects)?;
            Ok(((token, secret), effects))
        })
        .await
    }

    /// Removes a token. It works no more when this is done.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`].
    pub async fn remove_token(&self, id: &str) -> Result<(), RegistryError> {
        let id = id.to_owned();
        self.write("removing a token", move |connection| {
            let delete = "DELETE FROM url_tokens WHERE id = ?1 RETURNING digest";
            let digest = connection.query_row(delete, [&id], |row| row.get(0)).optional()?;
            Ok(((), vec![Effect::TokenGone(digest.ok_or(RegistryError::NotFound)?)]))
        })
        .await
    }

    /// The tokens of a source, or of all, the newest first. One that has ceased to work is
    /// listed until the next token is made.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Unavailable`].
    pub async fn tokens(&self, source: Option<&str>) -> Result<Vec<UrlToken>, RegistryError> {
        let source = source.map(str::to_owned);
        self.read("listing tokens", move |connection| {
            let wanted = if source.is_some() { "WHERE source = ?1" } else { "" };
            let select = format!("SELECT {COLUMNS} FROM url_tokens {wanted} ORDER BY n DESC");
            let mut statement = connection.prepare_cached(&select)?;
            let rows = statement.query_map(params_from_iter(source), |row| Ok(token(row)?.1))?;
            Ok(rows.collect::<Result<_, _>>()?)
        })
        .await
    }

    /// The token of a source that this is, if it works at this time. From memory.
    #[must_use]
    pub fn token(&self, source: &str, token: &[u8], now: Timestamp) -> Option<Arc<UrlToken>> {
        // Found by its SHA-256, as a tenant's key is.
        let digest = digest(token);
        let memory = self.shared.memory();
        let token = memory.tokens.get(&digest)?;
        let works = token.source == source && token.expires_at.is_none_or(|it| it > now);
        works.then(|| Arc::clone(token))
    }
}

fn insert(
    connection: &Connection,
    source: String,
    tenant: Option<TenantId>,
    now: Timestamp,
    effects: &mut Vec<Effect>,
) -> Result<(UrlToken, String), Stop> {
    let count = "SELECT count(*) FROM url_tokens";
    let count: i64 = connection.query_row(count, [], |row| row.get(0))?;
    if u64::try_from(count).unwrap_or(0) >= TOKENS_MAX {
        return Err(RegistryError::TooMany { what: "URL tokens", max: TOKENS_MAX }.into());
    }
    let (secret, hint) = new_secret("")?;
    let id = new_id("tok_")?;
    let token = UrlToken { id, source, tenant, hint, created_at: now, expires_at: None };
    let digest = digest(secret.as_bytes());
    connection.execute(
        "INSERT INTO url_tokens (id, source, tenant, digest, hint, created_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
        params![
            token.id,
            token.source,
            token.tenant.as_ref().map(TenantId::as_str),
            digest,
            token.hint,
            now.millis()
        ],
    )?;
    effects.push(Effect::Token(digest, Arc::new(token.clone())));
    Ok((token, secret))
}

/// Removes what has ceased to work.
fn remove_expired(connection: &Connection, now: Timestamp) -> Result<Vec<Effect>, Stop> {
    let delete = "DELETE FROM url_tokens WHERE expires_at <= ?1 RETURNING digest";
    let mut statement = connection.prepare_cached(delete)?;
    let rows = statement.query_map([now.millis()], |row| Ok(Effect::TokenGone(row.get(0)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

pub(super) fn load(connection: &Connection) -> Result<Vec<([u8; 32], UrlToken)>, sql::Error> {
    let mut statement = connection.prepare(&format!("SELECT {COLUMNS} FROM url_tokens"))?;
    statement.query_map([], token)?.collect()
}

fn token(row: &Row<'_>) -> Result<([u8; 32], UrlToken), sql::Error> {
    let token = UrlToken {
        id: row.get("id")?,
        source: row.get("source")?,
        tenant: columns::tenant_if_any(row, "tenant")?,
        hint: row.get("hint")?,
        created_at: columns::time(row, "created_at")?,
        expires_at: columns::time_if_any(row, "expires_at")?,
    };
    Ok((row.get("digest")?, token))
}

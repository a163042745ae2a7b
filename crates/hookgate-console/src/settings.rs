//! The settings of a source that is made over the API: how a client gives them, and how
//! they are stored, with the secret sealed.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hookgate_core::secret::Secret;
use hookgate_core::tenant::TenantId;
use hookgate_secrets::Secrets;
use hookgate_store::SourceRow;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::body::Wish;

/// A source as `POST /api/v1/sources` takes it. What is not given is as in the
/// configuration file.
#[derive(Clone, Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSource)]
pub struct SourceSettings {
    /// Its name in paths: 1 to 64 lower-case letters, digits, `-` and `_`.
    pub name: String,
    /// `elevenlabs`, `retell`, `vapi`, `mightycall` or `tawk`.
    pub provider: String,
    /// The tenant that everything here belongs to.
    #[schema(value_type = Option<String>)]
    pub tenant: Option<TenantId>,
    /// What proves its requests; several are separated by white space. Nothing shows it
    /// again.
    #[serde(default, deserialize_with = "secret")]
    #[schema(value_type = Option<String>, write_only)]
    pub secret: Option<Secret>,
    /// `auto`, `enforce` or `record`.
    pub verification: Option<String>,
    /// `auto`, `observe` or `enforce`.
    pub ownership: Option<String>,
    /// Whether a first event may make its conversation known.
    pub adopt: Option<bool>,
    /// The accepted schemes, as in the configuration file.
    pub schemes: Option<Value>,
}

impl Wish for SourceSettings {
    const SHAPE: &'static str = "The body is a JSON object with `name` and `provider`, and any of: \
                                 `tenant`, `secret`, `verification`, `ownership` (texts), `adopt` \
                                 (true or false), `schemes` (as in the configuration file).";
}

/// Why stored settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// They are not as they were stored, or a newer version stored them.
    #[error("the settings of a stored source cannot be read")]
    Unreadable,
    /// The secret does not open.
    #[error("the secret of a stored source does not open: is HOOKGATE_MASTER_KEY the right one?")]
    Sealed(#[source] hookgate_secrets::SecretsError),
}

/// The same as they are stored: the secret is sealed, in base64.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    name: String,
    provider: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    tenant: Option<TenantId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verification: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ownership: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    adopt: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schemes: Option<Value>,
}

impl SourceSettings {
    /// The settings as they are stored.
    ///
    /// # Errors
    ///
    /// [`SettingsError::Sealed`]: nothing can be sealed now.
    pub async fn seal(&self, secrets: &Secrets) -> Result<String, SettingsError> {
        let sealed = match &self.secret {
            Some(secret) => {
                let label = label(&self.name);
                let sealed = secrets.seal_for_installation(&label, secret.expose()).await;
                Some(STANDARD.encode(sealed.map_err(SettingsError::Sealed)?))
            }
            None => None,
        };
        let stored = Stored {
            name: self.name.clone(),
            provider: self.provider.clone(),
            tenant: self.tenant.clone(),
            secret: sealed,
            verification: self.verification.clone(),
            ownership: self.ownership.clone(),
            adopt: self.adopt,
            schemes: self.schemes.clone(),
        };
        serde_json::to_string(&stored).map_err(|_| SettingsError::Unreadable)
    }

    /// The settings of a stored source, its secret opened.
    ///
    /// # Errors
    ///
    /// A [`SettingsError`]: leave the source out, and tell the operator.
    pub async fn open(row: &SourceRow, secrets: &Secrets) -> Result<Self, SettingsError> {
        let stored: Stored =
            serde_json::from_str(&row.settings).map_err(|_| SettingsError::Unreadable)?;
        let secret = match &stored.secret {
            Some(text) => {
                let sealed = STANDARD.decode(text).map_err(|_| SettingsError::Unreadable)?;
                let opened = secrets.open_for_installation(&label(&stored.name), &sealed).await;
                Some(Secret::new(opened.map_err(SettingsError::Sealed)?.expose()))
            }
            None => None,
        };
        Ok(Self {
            name: stored.name,
            provider: stored.provider,
            tenant: stored.tenant,
            secret,
            verification: stored.verification,
            ownership: stored.ownership,
            adopt: stored.adopt,
            schemes: stored.schemes,
        })
    }
}

/// What the secret of the source called `name` is sealed for.
fn label(name: &str) -> String {
    format!("source/{name}")
}

fn secret<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Secret>, D::Error> {
    let text = Option::<String>::deserialize(deserializer)?;
    Ok(text.map(Secret::new))
}

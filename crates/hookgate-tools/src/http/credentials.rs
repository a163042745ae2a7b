//! Credentials by reference: `NAME`, or `NAME.member` of one that is a JSON object.

use hookgate_core::secret::Secret;
use hookgate_core::tenant::TenantId;
use hookgate_core::tool::template::{as_text, lookup};
use hookgate_secrets::{SecretValue, Secrets, SecretsError};
use serde_json::Value;

use super::Unusable;

/// What stands where a credential stood.
const HIDDEN: &str = "•••";

/// A tenant's credentials, and which of them were used.
pub(super) struct Credentials<'a> {
    pub(super) secrets: &'a Secrets,
    pub(super) tenant: &'a TenantId,
    /// The values that were given out.
    pub(super) used: Hidden,
}

/// Values that must not come back. The longest come first, so that none leaves a rest of
/// one that it is part of.
#[derive(Default)]
pub(super) struct Hidden(Vec<Secret>);

impl Credentials<'_> {
    /// The credential behind a reference.
    pub(super) async fn resolve(&mut self, reference: &str) -> Result<Secret, Unusable> {
        let (name, member) = match reference.split_once('.') {
            Some((name, member)) => (name, Some(member)),
            None => (reference, None),
        };
        let mut found = match (self.get(name).await?, member) {
            (Some(value), None) => value.as_text(),
            (Some(value), Some(member)) => self::member(&value, member),
            (None, _) => None,
        };
        // Names may have dots in them.
        if found.is_none() && member.is_some() {
            let value = self.get(reference).await?;
            found = value.and_then(|it| it.as_text());
        }
        let missing = Unusable::Configuration("a credential that it names is not there");
        let secret = found.filter(|it| !it.is_empty()).ok_or(missing)?;
        self.used.add(secret.clone());
        Ok(secret)
    }

    async fn get(&self, name: &str) -> Result<Option<SecretValue>, Unusable> {
        match self.secrets.get(self.tenant, name).await {
            Ok(found) => Ok(found),
            Err(SecretsError::Name) => Ok(None),
            Err(cause) => {
                tracing::error!(
                    tenant.id = %self.tenant,
                    cause = &cause as &dyn std::error::Error,
                    "a tenant's credential cannot be read"
                );
                Err(Unusable::Credentials)
            }
        }
    }
}

fn member(value: &SecretValue, path: &str) -> Option<Secret> {
    let object = value.as_json()?;
    let member = lookup(&object, path)?;
    let is_plain = matches!(member, Value::String(_) | Value::Number(_));
    is_plain.then(|| Secret::new(as_text(member).trim()))
}

impl Hidden {
    /// From now on this value is hidden too.
    pub(super) fn add(&mut self, secret: Secret) {
        self.0.push(secret);
        self.0.sort_by_key(|it| std::cmp::Reverse(it.expose().len()));
    }

    /// The text without the values.
    pub(super) fn clean(&self, text: &str) -> String {
        self.0.iter().fold(text.to_owned(), |text, secret| {
            match std::str::from_utf8(secret.expose()) {
                Ok(value) if !value.is_empty() && text.contains(value) => {
                    text.replace(value, HIDDEN)
                }
                _ => text,
            }
        })
    }

    /// The JSON without the values, wherever in it they stand.
    pub(super) fn clean_json(&self, value: Value) -> Value {
        match value {
            Value::String(text) => self.clean(&text).into(),
            Value::Number(number) => {
                let text = number.to_string();
                let clean = self.clean(&text);
                if clean == text { Value::Number(number) } else { clean.into() }
            }
            Value::Array(list) => list.into_iter().map(|it| self.clean_json(it)).collect(),
            Value::Object(object) => {
                let members = object.into_iter();
                members.map(|(name, it)| (self.clean(&name), self.clean_json(it))).collect()
            }
            other => other,
        }
    }
}

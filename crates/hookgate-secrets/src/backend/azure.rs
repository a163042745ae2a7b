//! Azure Key Vault, and the tokens that it takes.
//!
//! Sources, read November 2026: learn.microsoft.com `rest/api/keyvault/secrets/get-secret`
//! (api-version 7.4), `entra/identity-platform/v2-oauth2-client-creds-grant-flow` and
//! `entra/identity/managed-identities-azure-resources/how-to-use-vm-token`. A disabled secret
//! answers 403 with `SecretDisabled` (Azure/azure-sdk-for-java#17991).

use std::time::Duration;

use bytes::Bytes;
use hookgate_core::secret::Secret;
use hookgate_egress::{Answer, Url};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::{Deserialize, Deserializer, de};
use zeroize::Zeroizing;

use super::References;
use super::remote::{Question, Remote, set_secret};
use super::session::{Session, Token};
use crate::error::BackendError;
use crate::value::{SecretValue, VALUE_BYTES_MAX};

/// The version of Key Vault's API that is spoken.
const API_VERSION: &str = "7.4";

/// The version of the metadata service's API that is spoken.
const METADATA_API_VERSION: &str = "2018-02-01";

/// The longest name of a secret.
const NAME_BYTES_MAX: usize = 127;

const METADATA: HeaderName = HeaderName::from_static("metadata");

/// One vault.
pub(crate) struct Azure {
    pub(crate) vault: Remote,
    pub(crate) identity: Identity,
    /// What tokens are for: the vaults of one cloud.
    pub(crate) resource: String,
    pub(crate) references: References,
    pub(crate) session: Session,
}

/// Who we are for Azure.
pub(crate) enum Identity {
    /// An application with a secret of its own.
    Client { authority: Remote, directory: String, client_id: String, client_secret: String },
    /// The machine that we run on, or an identity that was given to it.
    Managed { metadata: Remote, client_id: Option<String> },
}

#[derive(Deserialize)]
struct Bundle {
    value: String,
}

#[derive(Deserialize)]
struct Fault {
    error: FaultBody,
}

#[derive(Deserialize)]
struct FaultBody {
    #[serde(default)]
    code: String,
    #[serde(default, alias = "innerError")]
    innererror: Option<InnerFault>,
}

#[derive(Deserialize)]
struct InnerFault {
    #[serde(default)]
    code: String,
}

#[derive(Deserialize)]
struct Issued {
    access_token: String,
    /// Seconds: a number from Entra, a text from the metadata service.
    #[serde(deserialize_with = "seconds")]
    expires_in: u64,
}

impl Azure {
    /// The value of the secret called `name`, or nothing if there is none or it is disabled.
    pub(crate) async fn ask(&self, name: &str) -> Result<Option<SecretValue>, BackendError> {
        if name.len() > NAME_BYTES_MAX {
            return Ok(None);
        }
        let token = self.session.token(async |_| self.sign_in().await).await?;
        let answer = self.read(name, &token).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return value(&answer);
        }
        match self.session.another(&token, async |_| self.sign_in().await).await? {
            Some(token) => value(&self.read(name, &token).await?),
            None => value(&answer),
        }
    }

    async fn read(&self, name: &str, token: &Token) -> Result<Answer, BackendError> {
        let mut headers = HeaderMap::new();
        set_secret(&mut headers, header::AUTHORIZATION, "Bearer ", &token.secret)?;
        let path = ["secrets", name];
        let query = [("api-version", API_VERSION)];
        let (method, body) = (Method::GET, Bytes::new());
        self.vault.ask(Question { method, path: &path, query: &query, headers, body }).await
    }

    async fn sign_in(&self) -> Result<Token, BackendError> {
        let answer = match &self.identity {
            Identity::Client { authority, directory, client_id, client_secret } => {
                let secret = (self.references)(client_secret).map_err(BackendError::Reference)?;
                let body = self.form(client_id, &secret)?;
                let path = [directory.as_str(), "oauth2", "v2.0", "token"];
                let mut headers = HeaderMap::new();
                let form = HeaderValue::from_static("application/x-www-form-urlencoded");
                headers.insert(header::CONTENT_TYPE, form);
                let method = Method::POST;
                authority.ask(Question { method, path: &path, query: &[], headers, body }).await?
            }
            Identity::Managed { metadata, client_id } => {
                let path = ["metadata", "identity", "oauth2", "token"];
                let mut query =
                    vec![("api-version", METADATA_API_VERSION), ("resource", &self.resource)];
                query.extend(client_id.iter().map(|it| ("client_id", it.as_str())));
                let mut headers = HeaderMap::new();
                headers.insert(METADATA, HeaderValue::from_static("true"));
                let (method, body) = (Method::GET, Bytes::new());
                metadata.ask(Question { method, path: &path, query: &query, headers, body }).await?
            }
        };
        match answer.status {
            StatusCode::OK => {}
            status @ (StatusCode::BAD_REQUEST
            | StatusCode::UNAUTHORIZED
            | StatusCode::FORBIDDEN) => {
                return Err(BackendError::Refused(status.as_u16()));
            }
            status => return Err(BackendError::Status(status.as_u16())),
        }
        let issued: Issued =
            serde_json::from_slice(&answer.body).map_err(|_| BackendError::Unreadable)?;
        let life = Duration::from_secs(issued.expires_in);
        Ok(Token::new(Secret::new(issued.access_token), self.session.now(), Some(life)))
    }

    /// The form that asks for a token.
    fn form(&self, client_id: &str, client_secret: &Secret) -> Result<Bytes, BackendError> {
        let secret = std::str::from_utf8(client_secret.expose())
            .map_err(|_| BackendError::Reference("it is not UTF-8 text".to_owned()))?;
        let scope = format!("{}/.default", self.resource);
        // Only an address can be asked for its pairs as a form.
        let mut form = Url::parse("form:").map_err(|_| BackendError::Unreadable)?;
        form.query_pairs_mut().extend_pairs([
            ("grant_type", "client_credentials"),
            ("client_id", client_id),
            ("client_secret", secret),
            ("scope", &scope),
        ]);
        Ok(form.query().unwrap_or_default().to_owned().into())
    }
}

/// What an answer to a read says of the value.
fn value(answer: &Answer) -> Result<Option<SecretValue>, BackendError> {
    let unreadable = |_| BackendError::Unreadable;
    if answer.status == StatusCode::OK {
        let bundle: Bundle = serde_json::from_slice(&answer.body).map_err(unreadable)?;
        let bytes = Zeroizing::new(bundle.value.into_bytes());
        if bytes.len() > VALUE_BYTES_MAX {
            return Err(BackendError::TooLarge);
        }
        return Ok(Some(SecretValue::new(bytes)));
    }
    let fault: Option<FaultBody> =
        serde_json::from_slice(&answer.body).ok().map(|it: Fault| it.error);
    let (code, inner) = fault.map_or_else(Default::default, |it| {
        (it.code, it.innererror.map(|it| it.code).unwrap_or_default())
    });
    match (answer.status, code.as_str(), inner.as_str()) {
        (StatusCode::NOT_FOUND, "SecretNotFound", _)
        | (StatusCode::FORBIDDEN, _, "SecretDisabled") => Ok(None),
        (StatusCode::NOT_FOUND, ..) => Err(BackendError::NoSuchPlace),
        (status @ (StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED), ..) => {
            Err(BackendError::Refused(status.as_u16()))
        }
        (status, ..) => Err(BackendError::Status(status.as_u16())),
    }
}

fn seconds<'de, D: Deserializer<'de>>(deserializer: D) -> Result<u64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Seconds {
        Number(u64),
        Text(String),
    }
    match Seconds::deserialize(deserializer)? {
        Seconds::Number(seconds) => Ok(seconds),
        Seconds::Text(text) => text.parse().map_err(de::Error::custom),
    }
}

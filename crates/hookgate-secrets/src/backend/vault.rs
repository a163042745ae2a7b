//! HashiCorp Vault and OpenBao: the key/value engine, version 2.
//!
//! Sources: Vault's and OpenBao's API documentation (`/secret/kv/kv-v2`, `/auth/approle`,
//! `/auth/token`), and for the two kinds of 404 Vault 1.17.6 itself (rustfs/rustfs#6043, read
//! November 2026): a path that holds nothing answers `{"errors":[]}`, a deleted version its
//! metadata with `"data":null`, and a path with no engine behind it says so in `errors`.

use std::time::Duration;

use bytes::Bytes;
use hookgate_core::secret::Secret;
use hookgate_egress::Answer;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::References;
use super::remote::{Question, Remote, set_secret};
use super::session::{Session, Token};
use crate::error::BackendError;
use crate::value::{SecretValue, VALUE_BYTES_MAX};

const TOKEN: HeaderName = HeaderName::from_static("x-vault-token");
const NAMESPACE: HeaderName = HeaderName::from_static("x-vault-namespace");
/// Agents and proxies can be told to refuse what lacks it: no browser can be made to send it.
const REQUEST: HeaderName = HeaderName::from_static("x-vault-request");

/// One mount of one server.
pub(crate) struct Vault {
    pub(crate) remote: Remote,
    /// The mount, part by part.
    pub(crate) mount: Vec<String>,
    pub(crate) namespace: Option<HeaderValue>,
    pub(crate) sign_in: SignIn,
    pub(crate) references: References,
    pub(crate) session: Session,
}

/// How we come by a token.
pub(crate) enum SignIn {
    /// Somebody gives us one and keeps it alive.
    Token { token: String },
    /// A role of ours.
    AppRole { mount: Vec<String>, role_id: String, secret_id: String },
}

#[derive(Deserialize)]
struct Said<'a> {
    #[serde(borrow)]
    data: Option<Version<'a>>,
}

#[derive(Deserialize)]
struct Version<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
}

/// What a 404 says.
#[derive(Deserialize)]
struct Missing {
    #[serde(default)]
    errors: Vec<String>,
}

#[derive(Deserialize)]
struct SignedIn {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: String,
    /// Seconds; 0: for ever.
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
}

impl Vault {
    /// The object at `path`, or nothing if there is none or it was deleted.
    pub(crate) async fn ask(&self, path: &str) -> Result<Option<SecretValue>, BackendError> {
        let token = self.session.token(async |old| self.sign_in(old).await).await?;
        let answer = self.read(path, &token).await?;
        if answer.status != StatusCode::FORBIDDEN {
            return value(&answer);
        }
        // A token that ended is refused as one that may not read this is.
        match self.session.another(&token, async |old| self.sign_in(old).await).await? {
            Some(token) => value(&self.read(path, &token).await?),
            None => value(&answer),
        }
    }

    async fn read(&self, path: &str, token: &Token) -> Result<Answer, BackendError> {
        let mut parts = vec!["v1"];
        parts.extend(self.mount.iter().map(String::as_str));
        parts.push("data");
        parts.extend(path.split('/'));
        self.send(Method::GET, &parts, Some(&token.secret), Bytes::new()).await
    }

    async fn sign_in(&self, old: Option<&Token>) -> Result<Token, BackendError> {
        let refer = |it: &str| (self.references)(it).map_err(BackendError::Reference);
        let (mount, role_id, secret_id) = match &self.sign_in {
            SignIn::Token { token } => {
                return Ok(Token::new(refer(token)?, self.session.now(), None));
            }
            SignIn::AppRole { mount, role_id, secret_id } => (mount, role_id, secret_id),
        };
        if let Some(old) = old.filter(|it| it.is_renewable) {
            let path = ["v1", "auth", "token", "renew-self"];
            let body = Bytes::from_static(b"{}");
            let answer = self.send(Method::POST, &path, Some(&old.secret), body).await?;
            // Where the role's longest life is reached, it is given another one below.
            if answer.status.is_success() {
                return self.signed_in(&answer);
            }
        }
        let mut path = vec!["v1", "auth"];
        path.extend(mount.iter().map(String::as_str));
        path.push("login");
        let body = login(&refer(role_id)?, &refer(secret_id)?)?;
        self.signed_in(&self.send(Method::POST, &path, None, body).await?)
    }

    fn signed_in(&self, answer: &Answer) -> Result<Token, BackendError> {
        match answer.status {
            StatusCode::OK => {}
            // Vault says 400 to a role id or a secret id that is wrong.
            StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
                return Err(BackendError::Refused(answer.status.as_u16()));
            }
            StatusCode::NOT_FOUND => return Err(BackendError::NoSuchPlace),
            status => return Err(BackendError::Status(status.as_u16())),
        }
        let said: SignedIn =
            serde_json::from_slice(&answer.body).map_err(|_| BackendError::Unreadable)?;
        let SignedIn { auth: Auth { client_token, lease_duration, renewable } } = said;
        let life = (lease_duration > 0).then(|| Duration::from_secs(lease_duration));
        let mut token = Token::new(Secret::new(client_token), self.session.now(), life);
        token.is_renewable = renewable;
        Ok(token)
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        token: Option<&Secret>,
        body: Bytes,
    ) -> Result<Answer, BackendError> {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST, HeaderValue::from_static("true"));
        if let Some(namespace) = &self.namespace {
            headers.insert(NAMESPACE, namespace.clone());
        }
        if let Some(token) = token {
            set_secret(&mut headers, TOKEN, "", token)?;
        }
        if !body.is_empty() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        self.remote.ask(Question { method, path, query: &[], headers, body }).await
    }
}

/// The body of a sign-in.
fn login(role_id: &Secret, secret_id: &Secret) -> Result<Bytes, BackendError> {
    let text = |it: &Secret| {
        let text = std::str::from_utf8(it.expose()).map(str::to_owned);
        text.map_err(|_| BackendError::Reference("it is not UTF-8 text".to_owned()))
    };
    let (role_id, secret_id) = (text(role_id)?, text(secret_id)?);
    let body = serde_json::json!({ "role_id": role_id, "secret_id": secret_id });
    Ok(body.to_string().into())
}

/// What an answer to a read says of the value.
fn value(answer: &Answer) -> Result<Option<SecretValue>, BackendError> {
    let unreadable = |_| BackendError::Unreadable;
    match answer.status {
        StatusCode::OK => {
            let said: Said<'_> = serde_json::from_slice(&answer.body).map_err(unreadable)?;
            let Some(object) = said.data.and_then(|it| it.data) else { return Ok(None) };
            // The bytes as they came: no number is read and printed again.
            let bytes = object.get().as_bytes();
            if bytes.len() > VALUE_BYTES_MAX {
                return Err(BackendError::TooLarge);
            }
            if !bytes.starts_with(b"{") {
                return Err(BackendError::Unreadable);
            }
            Ok(Some(SecretValue::new(Zeroizing::new(bytes.to_vec()))))
        }
        StatusCode::NOT_FOUND => {
            let missing: Missing = serde_json::from_slice(&answer.body).map_err(unreadable)?;
            if missing.errors.is_empty() { Ok(None) } else { Err(BackendError::NoSuchPlace) }
        }
        status @ (StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED) => {
            Err(BackendError::Refused(status.as_u16()))
        }
        status => Err(BackendError::Status(status.as_u16())),
    }
}

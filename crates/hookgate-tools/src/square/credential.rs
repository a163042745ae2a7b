//! A tenant's account with Square: its credential, and renewing that when it runs out.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hookgate_core::secret::Secret;
use hookgate_core::tenant::TenantId;
use hookgate_core::time::Timestamp;
use hookgate_egress::{Egress, Url};
use hookgate_secrets::{Environment, Secrets, SecretsError, SquareCredential};
use http::{Method, StatusCode};
use serde_json::{Map, Value, json};

use super::client::{Request, deliver};
use super::error::{Cause, Failure, SquareError, not_configured, unavailable};
use super::ids::{Id, LOCATION_CHARS_MAX};
use crate::budget::NoAnswer;
use crate::work::{End, Work};

/// Where Square is, from its description of its API.
const PRODUCTION: &str = "https://connect.squareup.com";
const SANDBOX: &str = "https://connect.squareupsandbox.com";

/// A token is renewed before it runs out when this much of its life is left. Square's live
/// for 30 days.
const AHEAD: Duration = Duration::from_hours(24);

/// Renewing ahead that failed is not tried again for so long: the old token is good still,
/// and nobody is to wait for it.
const AHEAD_AGAIN: Duration = Duration::from_mins(1);

/// How long a call waits for a token that it does not need yet.
const AHEAD_WAIT: Duration = Duration::from_secs(2);

/// Renewed tokens of one tenant that are held because they cannot be stored. A tenant has as
/// many accounts as agents with a credential of their own; of more the oldest is renewed
/// once more.
const HELD_MAX: usize = 64;

/// Where credentials are, and which were renewed.
#[derive(Debug)]
pub(crate) struct Accounts {
    secrets: Arc<Secrets>,
    base: Option<Url>,
    renewals: Mutex<HashMap<TenantId, Arc<Renewals>>>,
}

/// What is known of one tenant's renewals.
#[derive(Debug, Default)]
struct Renewals {
    /// Held by whoever renews: those who come meanwhile take what comes of it.
    flight: tokio::sync::Mutex<()>,
    /// Tokens that are newer than what is stored.
    held: Mutex<Vec<Held>>,
    /// When renewing ahead was tried last.
    tried: Mutex<Option<Instant>>,
}

/// A renewed credential that is not stored, or not yet.
#[derive(Clone, Debug)]
struct Held {
    /// The stored token that it takes the place of. A new stored one counts for more.
    replaced: Secret,
    credential: Stored,
}

/// A credential as it is stored: the JSON with everything that renewing needs.
#[derive(Clone, Debug)]
struct Stored {
    json: Secret,
    token: Secret,
}

/// The account that a call uses.
#[derive(Debug)]
pub(crate) struct Account {
    /// Where Square is for it.
    pub(crate) base: Url,
    /// The location that is booked.
    pub(crate) location: Id,
    /// Its time zone, if that is not to be asked of Square.
    pub(crate) timezone: Option<String>,
    agent: String,
    current: Mutex<Stored>,
}

impl Account {
    /// The token in use.
    pub(crate) fn token(&self) -> Secret {
        lock(&self.current).token.clone()
    }
}

/// Why a stored credential is not there to be used.
struct Unloaded {
    why: String,
    /// What keeps it does not answer now.
    may_pass: bool,
}

impl From<SecretsError> for Unloaded {
    fn from(error: SecretsError) -> Self {
        let may_pass = matches!(error, SecretsError::Registry(_) | SecretsError::Backend { .. });
        Self { why: error.to_string(), may_pass }
    }
}

impl Accounts {
    /// Accounts whose credentials are in `secrets`, all of them at `base` if there is one.
    pub(crate) fn new(secrets: Arc<Secrets>, base: Option<Url>) -> Self {
        Self { secrets, base, renewals: Mutex::default() }
    }

    /// The account for a call.
    ///
    /// # Errors
    ///
    /// The end of the call: there is no credential that can be used.
    pub(crate) async fn open(&self, egress: &Egress, work: &Work<'_>) -> Result<Account, End> {
        let agent = work.caller.agent_id.clone().unwrap_or_default();
        let tenant = work.tenant;
        let (stored, read) = match self.load(tenant, &agent).await {
            Ok(loaded) => loaded,
            Err(Unloaded { why, may_pass }) => {
                tracing::warn!(tenant.id = %tenant, why, "the tenant's credential for Square cannot be used");
                return Err(End::Failed(if may_pass { unavailable() } else { not_configured() }));
            }
        };
        let base = match (&self.base, read.environment) {
            (Some(base), _) => Ok(base.clone()),
            (None, Environment::Production) => Url::parse(PRODUCTION),
            (None, Environment::Sandbox) => Url::parse(SANDBOX),
        };
        let location = Id::read(&read.location_id, LOCATION_CHARS_MAX);
        let (Ok(base), Some(location)) = (base, location) else {
            tracing::warn!(tenant.id = %tenant, "the tenant's credential for Square names no location that can be");
            return Err(End::Failed(not_configured()));
        };
        let newer = self.find(tenant).and_then(|it| it.newer(&stored.token));
        let current = Mutex::new(newer.unwrap_or(stored));
        let account = Account { base, location, timezone: read.timezone, agent, current };
        self.renew_ahead(egress, &account, work).await;
        Ok(account)
    }

    /// Renews the token of an account with which a request failed, unless somebody has.
    ///
    /// # Errors
    ///
    /// Square's no, as if it was said to the request itself, or no answer.
    pub(crate) async fn renew(
        &self,
        egress: &Egress,
        account: &Account,
        work: &Work<'_>,
        failed: &Secret,
    ) -> Result<(), Failure> {
        let renewals = self.renewals_of(work.tenant);
        let flight = tokio::time::timeout(work.budget.left(), renewals.flight.lock()).await;
        let _flight = flight.map_err(|_| Failure::certain(Cause::Silent(NoAnswer::Spent)))?;

        let loaded = self.load(work.tenant, &account.agent).await;
        let (stored, _) = loaded.map_err(|_| refused())?;
        let current = renewals.newer(&stored.token).unwrap_or_else(|| stored.clone());
        if !is_same(&current.token, failed) {
            *lock(&account.current) = current;
            return Ok(());
        }
        let grant = current.grant().ok_or_else(refused)?;
        let request = Request::new(Method::POST, &account.base, &["oauth2", "token"]).body(&grant);
        let answer = deliver(egress, work.budget, &request, None).await;
        let answer = answer.map_err(|failure| {
            let is_no = failure.is_refusal() || failure.is(StatusCode::FORBIDDEN);
            if is_no || failure.is(StatusCode::UNAUTHORIZED) {
                renewals.drop_held(&stored.token);
                refused()
            } else {
                Failure::certain(failure.cause)
            }
        })?;
        let renewed = current.with(&answer).ok_or(Failure::certain(Cause::Unreadable))?;
        // In memory first: a caller who hangs up now does not take the token along.
        renewals.hold(&stored.token, &renewed);
        *lock(&account.current) = renewed.clone();
        self.store(work, &stored, &renewed, &renewals).await;
        Ok(())
    }

    /// Renews a token that runs out soon. While it is good still, nobody depends on that.
    async fn renew_ahead(&self, egress: &Egress, account: &Account, work: &Work<'_>) {
        let token = {
            let current = lock(&account.current);
            if !current.runs_out(work.now) || current.grant().is_none() {
                return;
            }
            current.token.clone()
        };
        let renewals = self.renewals_of(work.tenant);
        {
            let mut tried = lock(&renewals.tried);
            if tried.is_some_and(|it| it.elapsed() < AHEAD_AGAIN) {
                return;
            }
            *tried = Some(Instant::now());
        }
        // Whoever is told no here is told so again by the request that follows.
        let renewed = tokio::time::timeout(AHEAD_WAIT, self.renew(egress, account, work, &token));
        if !renewed.await.is_ok_and(|it| it.is_ok()) {
            tracing::warn!(tenant.id = %work.tenant, "the tenant's token for Square runs out soon and cannot be renewed");
        }
    }

    /// The stored credential, or why it cannot be used.
    async fn load(
        &self,
        tenant: &TenantId,
        agent: &str,
    ) -> Result<(Stored, SquareCredential), Unloaded> {
        let lasting = |why: &str| Unloaded { why: why.to_owned(), may_pass: false };
        let found = self.secrets.get_for_agent(tenant, agent, SquareCredential::NAME).await;
        let value = found?.ok_or_else(|| lasting("there is none"))?;
        let json = value.as_json().ok_or_else(|| lasting("it is no JSON"))?;
        let read = SquareCredential::read(&json).map_err(|error| lasting(&error.to_string()))?;
        let json = Secret::new(value.expose());
        Ok((Stored { json, token: read.access_token.clone() }, read))
    }

    /// Keeps a renewed credential where the old one was, if that is the tenant's own. One of
    /// an agent's, or one that is kept elsewhere, is held in memory.
    async fn store(&self, work: &Work<'_>, old: &Stored, new: &Stored, renewals: &Renewals) {
        let theirs = self.secrets.get(work.tenant, SquareCredential::NAME).await;
        let is_there = theirs.is_ok_and(|it| it.is_some_and(|it| it.expose() == old.json.expose()));
        if !is_there {
            return;
        }
        match self
            .secrets
            .put(work.tenant, SquareCredential::NAME, new.json.expose(), work.now)
            .await
        {
            Ok(()) => renewals.drop_held(&old.token),
            Err(SecretsError::ReadOnly(_)) => {}
            Err(error) => {
                tracing::warn!(tenant.id = %work.tenant, %error, "a renewed token for Square cannot be stored, and is held in memory");
            }
        }
    }

    /// Forgets what is held of a tenant that is erased.
    pub(crate) fn forget(&self, tenant: &TenantId) {
        lock(&self.renewals).remove(tenant);
    }

    fn find(&self, tenant: &TenantId) -> Option<Arc<Renewals>> {
        lock(&self.renewals).get(tenant).map(Arc::clone)
    }

    /// One entry for each tenant whose token ran out once: no more than there are tenants.
    fn renewals_of(&self, tenant: &TenantId) -> Arc<Renewals> {
        Arc::clone(lock(&self.renewals).entry(tenant.clone()).or_default())
    }
}

impl Renewals {
    fn newer(&self, stored: &Secret) -> Option<Stored> {
        let held = lock(&self.held);
        held.iter().find(|it| is_same(&it.replaced, stored)).map(|it| it.credential.clone())
    }

    fn hold(&self, stored: &Secret, credential: &Stored) {
        let mut held = lock(&self.held);
        held.retain(|it| !is_same(&it.replaced, stored));
        if held.len() >= HELD_MAX {
            held.remove(0);
        }
        held.push(Held { replaced: stored.clone(), credential: credential.clone() });
    }

    fn drop_held(&self, stored: &Secret) {
        lock(&self.held).retain(|it| !is_same(&it.replaced, stored));
    }
}

impl Stored {
    fn object(&self) -> Option<Map<String, Value>> {
        serde_json::from_slice(self.json.expose()).ok()
    }

    /// The request for a new token, if there is what it takes.
    fn grant(&self) -> Option<Value> {
        let object = self.object()?;
        let text = |name| object.get(name).and_then(Value::as_str).filter(|it| !it.is_empty());
        Some(json!({
            "client_id": text("client_id")?,
            "client_secret": text("client_secret")?,
            "grant_type": "refresh_token",
            "refresh_token": text("refresh_token")?,
        }))
    }

    fn runs_out(&self, now: Timestamp) -> bool {
        let object = self.object().unwrap_or_default();
        let expires_at = object.get("expires_at").and_then(Value::as_str);
        expires_at.and_then(Timestamp::parse).is_some_and(|it| it.ahead(now) < AHEAD)
    }

    /// The credential with what Square answered; everything else in it stays.
    fn with(&self, answer: &Value) -> Option<Self> {
        let token = answer.get("access_token").and_then(Value::as_str);
        let token = token.filter(|it| !it.is_empty())?;
        let mut object = self.object()?;
        let form = ["access_token", "squareAccessToken"];
        let name = form.into_iter().find(|it| object.contains_key(*it))?;
        object.insert(name.to_owned(), token.into());
        object.remove("expires_at");
        for name in ["refresh_token", "expires_at"] {
            if let Some(value) = answer.get(name).filter(|it| it.is_string()) {
                object.insert(name.to_owned(), value.clone());
            }
        }
        let json = Secret::new(Value::Object(object).to_string());
        Some(Self { json, token: Secret::new(token) })
    }
}

/// What a request is told whose token is no good and cannot be renewed.
fn refused() -> Failure {
    Failure::certain(Cause::Answered(SquareError {
        status: StatusCode::UNAUTHORIZED.as_u16(),
        codes: Vec::new(),
        category: None,
        field: None,
    }))
}

/// Both are ours: nobody learns anything from how long it takes.
fn is_same(one: &Secret, other: &Secret) -> bool {
    one.expose() == other.expose()
}

/// Nothing panics while one is held; if it did, what is there is as good as it was.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

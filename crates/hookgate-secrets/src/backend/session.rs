//! A token that we are given when we sign in, and that ends.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use hookgate_core::secret::Secret;

use super::Clock;
use crate::cache::{chain, lock};
use crate::error::BackendError;

/// A token younger than this is not the reason for a refusal, so signing in again would
/// change nothing: whoever may not read something does not hammer the door for it.
const REFUSED_AGE_MIN: Duration = Duration::from_secs(10);

/// How long a token that could not be renewed is used on before the next try.
const RETRY: Duration = Duration::from_secs(30);

/// A token in force.
#[derive(Clone)]
pub(crate) struct Token {
    pub(crate) secret: Secret,
    /// When to get another; none: never.
    pub(crate) renew_at: Option<Instant>,
    /// When it ends; none: never.
    pub(crate) ends_at: Option<Instant>,
    /// Whether its own life can be made longer.
    pub(crate) is_renewable: bool,
    issued_at: Instant,
}

/// The token of one secret store. Many who need one are one sign-in.
pub(crate) struct Session {
    token: Mutex<Option<Token>>,
    signing_in: tokio::sync::Mutex<()>,
    clock: Clock,
}

impl Token {
    /// A token that lives for `life` from `now`, for ever without one. Two thirds of it are
    /// used, so that there is time for another try.
    pub(crate) fn new(secret: Secret, now: Instant, life: Option<Duration>) -> Self {
        let after = |life: Duration| now.checked_add(life);
        Self {
            secret,
            renew_at: life.and_then(|it| after(it.mul_f64(2.0 / 3.0))),
            ends_at: life.and_then(after),
            is_renewable: false,
            issued_at: now,
        }
    }

    fn has_ended(&self, now: Instant) -> bool {
        self.ends_at.is_some_and(|it| it <= now)
    }
}

impl Session {
    pub(crate) fn new(clock: Clock) -> Self {
        Self { token: Mutex::new(None), signing_in: tokio::sync::Mutex::new(()), clock }
    }

    pub(crate) fn now(&self) -> Instant {
        (self.clock)()
    }

    /// A token in force. `sign_in` is given the one that is there, to renew it.
    ///
    /// # Errors
    ///
    /// There is none, and signing in failed.
    pub(crate) async fn token(
        &self,
        sign_in: impl AsyncFnOnce(Option<&Token>) -> Result<Token, BackendError>,
    ) -> Result<Token, BackendError> {
        if let Some(token) = self.in_force() {
            return Ok(token);
        }
        let _signing_in = self.signing_in.lock().await;
        if let Some(token) = self.in_force() {
            return Ok(token);
        }
        let old = lock(&self.token).clone().filter(|it| !it.has_ended(self.now()));
        match sign_in(old.as_ref()).await {
            Ok(token) => Ok(self.keep(token)),
            Err(error) => {
                let mut old = old.ok_or_else(|| error.clone())?;
                tracing::warn!(
                    error = chain(&error),
                    "a secret store gave no new token: the old one is used while it lasts"
                );
                old.renew_at = self.now().checked_add(RETRY);
                Ok(self.keep(old))
            }
        }
    }

    /// Another token after `refused` was refused, or nothing if it is too young to be the
    /// reason.
    ///
    /// # Errors
    ///
    /// Signing in failed.
    pub(crate) async fn another(
        &self,
        refused: &Token,
        sign_in: impl AsyncFnOnce(Option<&Token>) -> Result<Token, BackendError>,
    ) -> Result<Option<Token>, BackendError> {
        let _signing_in = self.signing_in.lock().await;
        let current = lock(&self.token).clone();
        // Somebody else was refused too, and has signed in since.
        if let Some(current) = current.filter(|it| it.issued_at > refused.issued_at) {
            return Ok(Some(current));
        }
        if self.now().saturating_duration_since(refused.issued_at) < REFUSED_AGE_MIN {
            return Ok(None);
        }
        sign_in(None).await.map(|token| Some(self.keep(token)))
    }

    fn in_force(&self) -> Option<Token> {
        let now = self.now();
        let token = lock(&self.token).clone()?;
        let is_due = token.renew_at.is_some_and(|it| it <= now);
        (!is_due && !token.has_ended(now)).then_some(token)
    }

    fn keep(&self, token: Token) -> Token {
        *lock(&self.token) = Some(token.clone());
        token
    }
}

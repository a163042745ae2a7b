//! Answers to requests that must not be carried out twice (`Idempotency-Key`).

use std::fmt;
use std::time::Duration;

use crate::sql::{self, Connection, OptionalExtension, params};
use hookgate_core::time::Timestamp;
use sha2::{Digest, Sha256};

use super::{Registry, RegistryError, SEALED_BYTES_MAX};

/// How long an answer is kept.
pub const ANSWER_KEPT: Duration = Duration::from_hours(24);

/// Answers at most; the oldest go. A client that repeats a request does so in minutes,
/// and nobody makes this many tenants in those.
pub const ANSWERS_MAX: u64 = 10_000;

/// An answer, sealed by who asks: it may hold a key that is shown once.
#[derive(Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its status.
    pub status: u16,
    /// Its body, sealed.
    pub sealed: Vec<u8>,
}

impl fmt::Debug for Answer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Answer").field("status", &self.status).finish_non_exhaustive()
    }
}

impl Registry {
    /// The answer that a request under this key got, if it came before.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`]; `Conflict` when another request came under this key.
    pub async fn answer(
        &self,
        scope: &str,
        key: &str,
        request: [u8; 32],
        now: Timestamp,
    ) -> Result<Option<Answer>, RegistryError> {
        let key = name(scope, key);
        self.read("reading an answer", move |connection| match find(connection, &key, now)? {
            None => Ok(None),
            Some((of, answer)) if of == request => Ok(Some(answer)),
            Some(_) => Err(RegistryError::Conflict.into()),
        })
        .await
    }

    /// Keeps the answer to a request. The first under a key stays.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`]; `Conflict` when another request came under this key.
    #[expect(clippy::too_many_arguments, reason = "a question, its answer, and when")]
    pub async fn keep_answer(
        &self,
        scope: &str,
        key: &str,
        request: [u8; 32],
        answer: Answer,
        now: Timestamp,
    ) -> Result<(), RegistryError> {
        let key = name(scope, key);
        self.write("keeping an answer", move |connection| {
            if answer.sealed.len() > SEALED_BYTES_MAX {
                return Err(RegistryError::Invalid("the answer is too long").into());
            }
            let delete = "DELETE FROM answers WHERE at <= ?1";
            connection.prepare_cached(delete)?.execute([expired(now)])?;
            match find(connection, &key, now)? {
                Some((of, _)) if of == request => return Ok(((), Vec::new())),
                Some(_) => return Err(RegistryError::Conflict.into()),
                None => {}
            }
            connection.execute(
                "INSERT INTO answers (key, request, status, sealed, at) \
                 VALUES (?1, ?2, ?3, ?4, ?5)",
                params![key, request, answer.status, answer.sealed, now.millis()],
            )?;
            let kept = i64::try_from(ANSWERS_MAX).unwrap_or(i64::MAX);
            let delete = "DELETE FROM answers WHERE n <= (SELECT max(n) FROM answers) - ?1";
            connection.prepare_cached(delete)?.execute([kept])?;
            Ok(((), Vec::new()))
        })
        .await
    }
}

/// What an answer is found by: of one length, and without what a client wrote.
fn name(scope: &str, key: &str) -> [u8; 32] {
    let mut digest = Sha256::new();
    // The length keeps ("a", "bc") and ("ab", "c") apart.
    digest.update((scope.len() as u64).to_le_bytes());
    digest.update(scope);
    digest.update(key);
    digest.finalize().into()
}

/// What was kept at this time or before is kept no more.
fn expired(now: Timestamp) -> i64 {
    let kept = i64::try_from(ANSWER_KEPT.as_millis()).unwrap_or(i64::MAX);
    now.millis().saturating_sub(kept)
}

fn find(
    connection: &Connection,
    key: &[u8; 32],
    now: Timestamp,
) -> Result<Option<([u8; 32], Answer)>, sql::Error> {
    let select = "SELECT request, status, sealed FROM answers WHERE key = ?1 AND at > ?2";
    let mut statement = connection.prepare_cached(select)?;
    let found = statement.query_row(params![key, expired(now)], |row| {
        let answer = Answer { status: row.get("status")?, sealed: row.get("sealed")? };
        Ok((row.get("request")?, answer))
    });
    found.optional()
}

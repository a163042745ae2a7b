//! Answers to requests that must not be carried out twice (`Idempotency-Key`).

use std::fmt;
use std::time::Duration;

use crate::sql::{self, Connection, OptionalExtension, params};
use hookgate_core::time::Timestamp;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::error::Stop;
use super::{Registry, RegistryError, SEALED_BYTES_MAX};

/// How long an answer is kept.
pub const ANSWER_KEPT: Duration = Duration::from_hours(24);

/// Answers at most; the oldest go. A client that repeats a request does so in minutes,
/// and nobody makes this many tenants in those.
pub const ANSWERS_MAX: u64 = 10_000;

/// How long a node may be at a request before another one carries it out: longer than any
/// takes, so that the clocks of nodes may differ. After a crash its key waits for this.
const CLAIM_MAX: Duration = Duration::from_mins(2);

/// The status of a request that a node is at. No answer has it.
const RUNNING: u16 = 0;

/// Who carries a request out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claimed {
    /// Whoever asked.
    Yours(Claim),
    /// Another node is at it.
    Running,
    /// It was carried out, and this came of it.
    Answered(Answer),
}

/// The right to carry a request out. A store that has no other nodes has nothing to keep of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim(Option<Uuid>);

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
    /// Asks for the right to carry out a request under this key: not given while another
    /// node has it, or when its answer is there.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`]; `Conflict` when another request came under this key.
    pub async fn claim_answer(
        &self,
        scope: &str,
        key: &str,
        request: [u8; 32],
        now: Timestamp,
    ) -> Result<Claimed, RegistryError> {
        let key = name(scope, key);
        // Who is alone keeps count in memory of what it is at.
        if self.shared.nodes.is_none() {
            let found = self.read("reading an answer", move |connection| {
                find(connection, &key, now)?.map_or(Ok(None), |it| it.of(&request).map(Some))
            });
            return Ok(match found.await? {
                Some(answer) => Claimed::Answered(answer),
                None => Claimed::Yours(Claim(None)),
            });
        }
        self.write("claiming an answer", move |connection| {
            let found = find(connection, &key, now)?;
            if let Some(found) = found {
                let answer = found.of(&request)?;
                let running = answer.status == RUNNING;
                let claimed = if running { Claimed::Running } else { Claimed::Answered(answer) };
                return Ok((claimed, Vec::new()));
            }
            let claim = Uuid::now_v7();
            // What is there is too old to be meant.
            connection.prepare_cached("DELETE FROM answers WHERE key = ?1")?.execute([key])?;
            connection.prepare_cached(INSERT)?.execute(params![
                key,
                request,
                RUNNING,
                claim.as_bytes(),
                now.millis()
            ])?;
            Ok((Claimed::Yours(Claim(Some(claim))), Vec::new()))
        })
        .await
    }

    /// Gives the right back: the request changed nothing, and may be tried again.
    ///
    /// # Errors
    ///
    /// A [`RegistryError`]: until two minutes are over, the key counts as running.
    pub async fn give_back(
        &self,
        scope: &str,
        key: &str,
        claim: Claim,
    ) -> Result<(), RegistryError> {
        let Claim(Some(claim)) = claim else { return Ok(()) };
        let key = name(scope, key);
        self.write("giving a claim back", move |connection| {
            let delete = "DELETE FROM answers WHERE key = ?1 AND status = ?2 AND sealed = ?3";
            connection.prepare_cached(delete)?.execute(params![key, RUNNING, claim.as_bytes()])?;
            Ok(((), Vec::new()))
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
            if let Some(found) = find(connection, &key, now)?
                && found.of(&request)?.status != RUNNING
            {
                return Ok(((), Vec::new()));
            }
            // The claim of whoever carried it out, or one that is too old.
            connection.prepare_cached("DELETE FROM answers WHERE key = ?1")?.execute([key])?;
            connection.prepare_cached(INSERT)?.execute(params![
                key,
                request,
                answer.status,
                answer.sealed,
                now.millis()
            ])?;
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

const INSERT: &str =
    "INSERT INTO answers (key, request, status, sealed, at) VALUES (?1, ?2, ?3, ?4, ?5)";

/// What was kept at this time or before is kept no more.
fn expired(now: Timestamp) -> i64 {
    before(now, ANSWER_KEPT)
}

fn before(now: Timestamp, time: Duration) -> i64 {
    let time = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    now.millis().saturating_sub(time)
}

/// What is kept under a key.
struct Found {
    request: [u8; 32],
    answer: Answer,
}

impl Found {
    /// The answer, if it is that of this request.
    fn of(self, request: &[u8; 32]) -> Result<Answer, Stop> {
        if self.request == *request { Ok(self.answer) } else { Err(RegistryError::Conflict.into()) }
    }
}

/// What counts under a key: an answer for a day, a claim for as long as its node may take.
fn find(
    connection: &Connection,
    key: &[u8; 32],
    now: Timestamp,
) -> Result<Option<Found>, sql::Error> {
    let select = "SELECT request, status, sealed FROM answers WHERE key = ?1 \
                  AND (at > ?3 OR (status <> ?2 AND at > ?4))";
    let mut statement = connection.prepare_cached(select)?;
    let values = params![key, RUNNING, before(now, CLAIM_MAX), expired(now)];
    let found = statement.query_row(values, |row| {
        let answer = Answer { status: row.get("status")?, sealed: row.get("sealed")? };
        Ok(Found { request: row.get("request")?, answer })
    });
    found.optional()
}

//! What happens to an event after it is in the index: a later decision, its erasure, and
//! that its segment goes.

use hookgate_journal::{Position, Reader};
use rusqlite::{Connection, OptionalExtension, params};

use super::row::Adoption;
use super::schema::{REVIVED, SPAN_BITS};
use super::{Index, query, signed, unsigned};
use crate::bloom::Key;
use crate::head::{self, SlimHead};
use crate::record::EventId;
use crate::registry::NumberedDecision;
use crate::registry::later::Later;
use crate::scrub::Scrubbed;

/// The name in `meta` of the last decision that is in the index.
const DECISIONS: &str = "decisions_through";

impl Index {
    /// Takes in what was decided since. What is decided of an event is in the index after
    /// the event itself.
    pub(crate) fn decide(&mut self, later: &Later, reader: &Reader) -> Result<(), rusqlite::Error> {
        loop {
            let through = self.decisions_through()?;
            let decisions = later.decisions_after(through)?;
            let Some(last) = decisions.last().map(|it| it.n) else { return Ok(()) };
            self.in_transaction(|index| {
                for decision in &decisions {
                    index.decide_one(decision, reader)?;
                }
                index.set_meta(DECISIONS, &signed(last))
            })?;
        }
    }

    /// The last decision that is in the index.
    pub(crate) fn decisions_through(&self) -> Result<u64, rusqlite::Error> {
        decisions_through(&self.connection)
    }

    /// For a temporary index behind another one, which has the decisions up to here.
    pub(crate) fn set_decisions_through(&self, n: u64) -> Result<(), rusqlite::Error> {
        self.set_meta(DECISIONS, &signed(n))
    }

    fn decide_one(
        &mut self,
        NumberedDecision { seq, decision, .. }: &NumberedDecision,
        reader: &Reader,
    ) -> Result<(), rusqlite::Error> {
        // An event of a journal that was restored from before the decision is not there.
        let Some(found) = query::by_seq(&self.connection, *seq)? else { return Ok(()) };
        if EventId(uuid::Uuid::from_bytes(found.id)) != decision.event {
            return Ok(());
        }
        let is_erased = self
            .connection
            .prepare_cached("SELECT 1 FROM erased WHERE seq = ?1")?
            .exists([signed(*seq)])?;
        let tenant = decision.tenant.as_ref().filter(|_| !is_erased);
        let number = tenant.map(|it| self.word(it.as_str())).transpose()?;
        self.connection
            .prepare_cached("UPDATE events SET status = 0, tenant = ?2 WHERE seq = ?1")?
            .execute(params![signed(*seq), number])?;
        if !is_erased {
            self.connection
                .prepare_cached("INSERT OR REPLACE INTO decided VALUES (?1, ?2, ?3, ?4, ?5)")?
                .execute(params![
                    signed(*seq),
                    decision.kind.name(),
                    tenant.map(hookgate_core::tenant::TenantId::as_str),
                    decision.at.millis(),
                    decision.by,
                ])?;
        }
        let Some(tenant) = decision.tenant.as_ref().filter(|_| decision.adopts) else {
            return Ok(());
        };
        // What it makes known stands in its head.
        let Ok(record) = reader.read(found.log, found.position) else { return Ok(()) };
        let Ok(head) = head::decode::<SlimHead<'_>>(&record.head) else { return Ok(()) };
        match Adoption::of(&head, tenant.as_str()) {
            Some(adoption) => {
                let provider = self.word(&head.provider)?;
                self.adopt((*seq, head.at, provider), &adoption, is_erased)
            }
            None => Ok(()),
        }
    }

    /// Notes a conversation that an event made known. What an erased event made known is
    /// known as long as an event of it is left: that shows when all are there.
    pub(super) fn adopt(
        &mut self,
        (seq, at, provider): (u64, i64, i64),
        adoption: &Adoption,
        is_erased: bool,
    ) -> Result<(), rusqlite::Error> {
        let tenant = self.word(&adoption.tenant)?;
        let insert = if is_erased {
            self.connection.execute_batch(REVIVED)?;
            "INSERT OR IGNORE INTO temp.revived VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
        } else {
            "INSERT OR IGNORE INTO conversations VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)"
        };
        self.connection.prepare_cached(insert)?.execute(params![
            signed(seq),
            provider,
            adoption.external_id,
            tenant,
            adoption.agent_id,
            adoption.phone_number_id,
            at,
        ])?;
        Ok(())
    }

    /// Keeps the conversations that erased events made known and others are part of. For
    /// when everything else is in the index.
    pub(super) fn revive(&mut self) -> Result<(), rusqlite::Error> {
        let is_there = "SELECT 1 FROM temp.sqlite_schema WHERE name = 'revived'";
        if !self.connection.prepare(is_there)?.exists([])? {
            return Ok(());
        }
        self.connection.execute_batch(
            "BEGIN;
             INSERT OR IGNORE INTO conversations SELECT * FROM temp.revived AS it WHERE EXISTS
             (SELECT 1 FROM events WHERE conversation = it.external_id AND provider = it.provider
              AND +tenant = it.tenant) ORDER BY seq;
             DELETE FROM temp.revived;
             COMMIT;",
        )
    }

    /// Takes from events all that names anybody. Twice is fine.
    pub(crate) fn erase(&mut self, seqs: &[u64]) -> Result<(), rusqlite::Error> {
        self.in_transaction(|index| {
            let connection = &index.connection;
            let mut conversation = connection.prepare_cached(
                "SELECT conversation, provider FROM events WHERE seq = ?1 AND conversation IS NOT NULL",
            )?;
            let mut conversations: Vec<(String, i64)> = Vec::new();
            for seq in seqs {
                let named = conversation
                    .query_row([signed(*seq)], |row| Ok((row.get(0)?, row.get(1)?)))
                    .optional()?;
                conversations.extend(named);
            }
            for sql in [
                "UPDATE events SET tenant = NULL, conversation = NULL, external_id = NULL, verdict = 0
                 WHERE seq = ?1",
                "DELETE FROM blobs WHERE seq = ?1",
                "DELETE FROM decided WHERE seq = ?1",
                "DELETE FROM violation_tenants WHERE seq = ?1",
                "INSERT OR IGNORE INTO erased SELECT seq FROM events WHERE seq = ?1",
            ] {
                let mut statement = connection.prepare_cached(sql)?;
                for seq in seqs {
                    statement.execute([signed(*seq)])?;
                }
            }
            conversations.sort_unstable();
            conversations.dedup();
            let mut forget = connection.prepare_cached(
                "DELETE FROM conversations WHERE external_id = ?1 AND provider = ?2 AND NOT EXISTS
                 (SELECT 1 FROM events WHERE conversation = ?1 AND provider = ?2
                  AND +tenant = conversations.tenant)",
            )?;
            for (conversation, provider) in &conversations {
                forget.execute(params![conversation, provider])?;
            }
            Ok(())
        })
    }

    /// Forgets what a tenant adopted, and where it is named.
    pub(crate) fn forget_tenant(&mut self, tenant: &str, seq: u64) -> Result<(), rusqlite::Error> {
        self.forgotten.insert(tenant.to_owned(), seq);
        let Some(number) = query::number_of(&self.connection, tenant)? else { return Ok(()) };
        self.in_transaction(|index| {
            for sql in [
                "DELETE FROM conversations WHERE tenant = ?1",
                "DELETE FROM violation_tenants WHERE tenant = ?1",
            ] {
                index.connection.prepare_cached(sql)?.execute([number])?;
            }
            Ok(())
        })
    }

    /// Forgets that a conversation was adopted.
    pub(crate) fn forget_conversation(
        &mut self,
        provider: &str,
        external_id: &str,
    ) -> Result<(), rusqlite::Error> {
        let Some(provider) = query::number_of(&self.connection, provider)? else { return Ok(()) };
        self.connection
            .prepare_cached("DELETE FROM conversations WHERE external_id = ?1 AND provider = ?2")?
            .execute(params![external_id, provider])?;
        Ok(())
    }

    /// Overwrites copies of what was erased, in some pages from this one on.
    pub(crate) fn scrub(&mut self, from: u32) -> Result<Scrubbed, rusqlite::Error> {
        match &mut self.scrubber {
            Some(scrubber) => scrubber.scrub(&self.connection, from),
            None => Ok(Scrubbed::Done),
        }
    }

    /// Notes that everything of a source before this place is erased.
    pub(crate) fn set_swept(&self, source: &str, seq: u64) -> Result<(), rusqlite::Error> {
        self.set_meta(&format!("swept:{source}"), &signed(seq))
    }

    /// Removes erased events whose segments are about to go, and their keys.
    pub(crate) fn drop_events(&mut self, dropped: &[Dropped]) -> Result<(), rusqlite::Error> {
        self.in_transaction(|index| {
            let connection = &index.connection;
            for sql in [
                "DELETE FROM events WHERE seq = ?1",
                "DELETE FROM erased WHERE seq = ?1",
                "DELETE FROM duplicates WHERE seq = ?1",
            ] {
                let mut statement = connection.prepare_cached(sql)?;
                for dropped in dropped {
                    statement.execute([signed(dropped.seq)])?;
                }
            }
            let mut key =
                connection.prepare_cached("DELETE FROM dedupe WHERE key = ?1 AND seq = ?2")?;
            for Dropped { seq, key: of, .. } in dropped {
                if let Some(of) = of {
                    key.execute(params![of, signed(*seq)])?;
                }
            }
            // Spans that nothing stands in any more.
            let first: Option<i64> =
                connection.query_row("SELECT min(seq) FROM events", [], |row| row.get(0))?;
            if let Some(first) = first {
                connection.execute("DELETE FROM spans WHERE span < ?1", [first >> SPAN_BITS])?;
            }
            Ok(())
        })
    }
}

/// An event whose segment is about to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) seq: u64,
    pub(crate) id: [u8; 16],
    pub(crate) position: Position,
    pub(crate) key: Option<Key>,
}

/// An event that is to be erased.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Victim {
    pub(crate) seq: u64,
    pub(crate) id: EventId,
    pub(crate) log: hookgate_journal::LogId,
    pub(crate) position: Position,
    pub(crate) blob: Option<[u8; 16]>,
    /// Provider and id of its conversation.
    pub(crate) conversation: Option<(i64, String)>,
}

/// The last decision that is in an index.
pub(crate) fn decisions_through(connection: &Connection) -> Result<u64, rusqlite::Error> {
    let mut select = connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    let found = select.query_row([DECISIONS], |row| row.get(0)).optional()?;
    Ok(found.map_or(0, unsigned))
}

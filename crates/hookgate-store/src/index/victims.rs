//! Asking the index what is to be erased, and what need not be kept any longer.

use hookgate_journal::Position;
use rusqlite::{Connection, OptionalExtension, Row, ToSql, params};
use uuid::Uuid;

use super::query::{number_of, position};
use super::schema::SPAN_BITS;
use super::{Dropped, Victim, log_of, signed, unsigned};
use crate::record::EventId;

/// Whose events.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Whose<'a> {
    /// A tenant's.
    Tenant(&'a str),
    /// Of a conversation at a provider.
    Conversation(&'a str, &'a str),
    /// What came to a source.
    Source(&'a str),
}

/// Which part of them: what was received before a moment, behind a place.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    /// In milliseconds since 1970.
    pub(crate) before: Option<i64>,
    pub(crate) after: u64,
    pub(crate) limit: u32,
}

const COLUMNS: &str = "e.seq, e.id, e.log, e.place, b.id, e.provider, e.conversation";

fn victim(row: &Row<'_>) -> Result<Victim, rusqlite::Error> {
    let (provider, conversation): (i64, Option<String>) = (row.get(5)?, row.get(6)?);
    Ok(Victim {
        seq: unsigned(row.get(0)?),
        id: EventId(Uuid::from_bytes(row.get(1)?)),
        log: log_of(row.get(2)?),
        position: position(row.get(3)?),
        blob: row.get(4)?,
        conversation: conversation.map(|it| (provider, it)),
    })
}

/// The first events, by their places, that are not erased yet.
pub(crate) fn victims(
    connection: &Connection,
    whose: Whose<'_>,
    part: Part,
) -> Result<Vec<Victim>, rusqlite::Error> {
    let word = match whose {
        Whose::Tenant(it) | Whose::Source(it) | Whose::Conversation(it, _) => it,
    };
    let Some(number) = number_of(connection, word)? else { return Ok(Vec::new()) };
    let mut conversation = String::new();
    let term = match whose {
        Whose::Tenant(_) => "e.tenant = ?1",
        // What is erased keeps its source.
        Whose::Source(_) => {
            "e.source = ?1 AND NOT EXISTS (SELECT 1 FROM erased WHERE erased.seq = e.seq)"
        }
        Whose::Conversation(_, id) => {
            id.clone_into(&mut conversation);
            "e.provider = ?1 AND e.conversation = ?2"
        }
    };
    let before = part.before.unwrap_or(i64::MAX);
    let Some(last) = last_before(connection, before)? else { return Ok(Vec::new()) };
    let (after, last) = (signed(part.after), signed(last));
    let mut values: Vec<&dyn ToSql> =
        vec![&number, &conversation, &before, &after, &last, &part.limit];
    let sql = if matches!(whose, Whose::Conversation(..)) {
        format!(
            "{term} AND e.received_at < ?3 AND e.seq > ?4 AND e.seq <= ?5 ORDER BY e.seq LIMIT ?6"
        )
    } else {
        values.remove(1);
        format!(
            "{term} AND e.received_at < ?2 AND e.seq > ?3 AND e.seq <= ?4 ORDER BY e.seq LIMIT ?5"
        )
    };
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM events e LEFT JOIN blobs b ON b.seq = e.seq WHERE {sql}"
    ))?;
    select.query_map(values.as_slice(), victim)?.collect()
}

/// Events of the same conversations that are nobody's: what of a conversation came before
/// anyone knew whose it is goes with the rest of it.
pub(crate) fn unowned_siblings(
    connection: &Connection,
    victims: &[Victim],
) -> Result<Vec<Victim>, rusqlite::Error> {
    let mut conversations: Vec<&(i64, String)> =
        victims.iter().filter_map(|it| it.conversation.as_ref()).collect();
    conversations.sort_unstable();
    conversations.dedup();
    let mut select = connection.prepare_cached(&format!(
        "SELECT {COLUMNS} FROM events e LEFT JOIN blobs b ON b.seq = e.seq
         WHERE e.conversation = ?2 AND e.provider = ?1 AND e.tenant IS NULL"
    ))?;
    let mut siblings = Vec::new();
    for (provider, conversation) in conversations {
        for sibling in select.query_map(params![provider, conversation], victim)? {
            siblings.push(sibling?);
        }
    }
    Ok(siblings)
}

/// The last place at which something may stand that was received before a moment.
fn last_before(connection: &Connection, before: i64) -> Result<Option<u64>, rusqlite::Error> {
    let mut select =
        connection.prepare_cached("SELECT max(span) FROM spans WHERE first_at < ?1")?;
    let span: Option<i64> = select.query_row([before], |row| row.get(0))?;
    Ok(span.map(|it| (unsigned(it).saturating_add(1) << SPAN_BITS).saturating_sub(1)))
}

/// The place before which everything was received before a moment.
pub(crate) fn all_before(connection: &Connection, before: i64) -> Result<u64, rusqlite::Error> {
    let mut younger =
        connection.prepare_cached("SELECT min(span) FROM spans WHERE last_at >= ?1")?;
    let span: Option<i64> = younger.query_row([before], |row| row.get(0))?;
    let span = match span {
        Some(span) => Some(span),
        // The last one still grows.
        None => connection.query_row("SELECT max(span) FROM spans", [], |row| row.get(0))?,
    };
    Ok(span.map_or(0, |it| unsigned(it) << SPAN_BITS))
}

/// Everything of a source before this place is erased.
pub(crate) fn swept(connection: &Connection, source: &str) -> Result<u64, rusqlite::Error> {
    let mut select = connection.prepare_cached("SELECT value FROM meta WHERE name = ?1")?;
    let found = select.query_row([format!("swept:{source}")], |row| row.get(0)).optional()?;
    Ok(found.map_or(0, unsigned))
}

/// The oldest segment of the events' log that is still needed: one with an event that is
/// not erased, or that made a conversation known which is not over.
pub(crate) fn oldest_needed(connection: &Connection) -> Result<Option<u64>, rusqlite::Error> {
    let kept = "SELECT place FROM events WHERE log = 0
        AND NOT EXISTS (SELECT 1 FROM erased WHERE erased.seq = events.seq) ORDER BY seq LIMIT 1";
    let adopting = "SELECT place FROM events WHERE seq = (SELECT min(seq) FROM conversations)";
    let mut oldest: Option<u64> = None;
    for sql in [kept, adopting] {
        let place = connection.query_row(sql, [], |row| row.get(0)).optional()?;
        let segment = place.map(|it| position(it).segment);
        oldest = match (oldest, segment) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
    Ok(oldest)
}

/// Events of the log in segments before this one: all are erased.
pub(crate) fn before_segment(
    connection: &Connection,
    segment: u64,
    limit: u32,
) -> Result<Vec<Dropped>, rusqlite::Error> {
    let end = signed(Position { segment, offset: 0 }.to_u64());
    let mut select = connection.prepare_cached(
        "SELECT seq, id, place, dedupe FROM events WHERE log = 0 AND seq <
         coalesce((SELECT min(seq) FROM events WHERE log = 0 AND place >= ?1), 9223372036854775807)
         ORDER BY seq LIMIT ?2",
    )?;
    let read = |row: &Row<'_>| {
        Ok(Dropped {
            seq: unsigned(row.get(0)?),
            id: row.get(1)?,
            position: position(row.get(2)?),
            key: row.get(3)?,
        })
    };
    select.query_map(params![end, limit], read)?.collect()
}

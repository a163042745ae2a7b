//! Writing conversations.

use std::cell::Cell;
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use hookgate_core::canonical::PhoneNumber;
use hookgate_core::conversation::{State, View};

use super::words;
use crate::index::{signed, unsigned};
use crate::sql::{Connection, Error, OptionalExtension, Row, params};

/// The cursor in the journal.
pub(crate) const EVENTS: &str = "events";

/// The cursor in the list of decisions.
pub(crate) const DECISIONS: &str = "decisions";

/// How many conversations there are: it stands beside the cursors.
const COUNT: &str = "conversations";

/// The text of one conversation that is searched, in bytes: an hour of talk has 60 KiB.
const WORDS_BYTES_MAX: usize = 512 << 10;

/// Digits that are kept of a number: none has more than 15.
const DIGITS_MAX: usize = 32;

/// Digits of which a number has at least so many are searched.
pub(crate) const DIGITS_MIN: usize = 3;

/// Which conversation. The tenant is empty for nobody's.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) tenant: String,
    pub(crate) provider: String,
    pub(crate) external_id: String,
}

/// A conversation that is being folded.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    /// Its row, if there is one.
    pub(crate) n: Option<u64>,
    pub(crate) state: State,
    pub(crate) words_mark: i64,
    pub(crate) events: u64,
    /// When its first event was received.
    pub(crate) received_at: i64,
    /// Events that are new in it.
    pub(crate) added: Vec<u64>,
}

/// The tables, within a transaction that writes.
pub(crate) struct Tables<'c> {
    connection: &'c Connection,
    /// Conversations that came, without those that went.
    more: Cell<i64>,
}

impl<'c> Tables<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Self {
        Self { connection, more: Cell::new(0) }
    }

    pub(crate) fn meta(&self, name: &str) -> Result<Option<String>, Error> {
        let select = "SELECT value FROM folded_meta WHERE name = ?1";
        self.connection.prepare_cached(select)?.query_row([name], |it| it.get(0)).optional()
    }

    pub(crate) fn set_meta(&self, name: &str, value: &str) -> Result<(), Error> {
        let upsert = "INSERT INTO folded_meta (name, value) VALUES (?1, ?2) \
                      ON CONFLICT (name) DO UPDATE SET value = excluded.value";
        self.connection.prepare_cached(upsert)?.execute([name, value]).map(drop)
    }

    pub(crate) fn cursor(&self, name: &str) -> Result<u64, Error> {
        let mut select =
            self.connection.prepare_cached("SELECT at FROM folded_cursors WHERE name = ?1")?;
        Ok(select.query_row([name], |it| it.get(0)).optional()?.map_or(0, unsigned))
    }

    pub(crate) fn set_cursor(&self, name: &str, at: u64) -> Result<(), Error> {
        let upsert = "INSERT INTO folded_cursors (name, at) VALUES (?1, ?2) \
                      ON CONFLICT (name) DO UPDATE SET at = excluded.at";
        self.connection.prepare_cached(upsert)?.execute(params![name, signed(at)]).map(drop)
    }

    /// How many conversations there are, without those of this transaction.
    pub(crate) fn count(&self) -> Result<u64, Error> {
        self.cursor(COUNT)
    }

    /// Notes how many there are. The last thing of a transaction; gives the number.
    pub(crate) fn finish(self) -> Result<u64, Error> {
        let count = signed(self.count()?).saturating_add(self.more.get());
        if self.more.get() != 0 {
            self.set_cursor(COUNT, unsigned(count))?;
        }
        Ok(unsigned(count))
    }

    /// The conversation that an event is in.
    pub(crate) fn key_of(&self, seq: u64) -> Result<Option<Key>, Error> {
        let select = "SELECT tenant, provider, external_id FROM folded_entries \
                      JOIN folded ON folded.n = folded_entries.n WHERE seq = ?1";
        self.connection.prepare_cached(select)?.query_row([signed(seq)], key).optional()
    }

    /// What is known of a conversation, to go on with it.
    pub(crate) fn load(&self, key: &Key) -> Result<Draft, Error> {
        let select = "SELECT n, state, words_mark, events, received_at FROM folded \
                      WHERE external_id = ?1 AND provider = ?2 AND tenant = ?3";
        let read = |row: &Row<'_>| {
            let state: String = row.get(1)?;
            Ok(Draft {
                n: Some(unsigned(row.get(0)?)),
                state: state_of(&state)?,
                words_mark: row.get(2)?,
                events: unsigned(row.get(3)?),
                received_at: row.get(4)?,
                added: Vec::new(),
            })
        };
        let mut select = self.connection.prepare_cached(select)?;
        let found = select.query_row([&key.external_id, &key.provider, &key.tenant], read);
        Ok(found.optional()?.unwrap_or_default())
    }

    /// Keeps a conversation.
    pub(crate) fn store(&self, key: &Key, draft: &Draft) -> Result<(), Error> {
        let Some(n) = draft.n.or_else(|| draft.added.iter().min().copied()) else { return Ok(()) };
        let n = signed(n);
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO folded_entries (seq, n) VALUES (?1, ?2) ON CONFLICT (seq) DO NOTHING",
        )?;
        let mut added = 0_u64;
        for seq in &draft.added {
            added = added.saturating_add(insert.execute([signed(*seq), n])? as u64);
        }
        if draft.n.is_none() {
            self.more.set(self.more.get().saturating_add(1));
        }
        let view = draft.state.view();
        let text = text(&view);
        let mark = mark(&text);
        if draft.n.is_none() {
            words::add(self.connection, n, &text)?;
        } else if mark != draft.words_mark {
            words::put(self.connection, n, &text)?;
        }
        self.put_numbers(n, draft.n.is_none(), &view)?;
        let state = serde_json::to_string(&draft.state).map_err(|_| Error::unreadable("state"))?;
        let agent = view.agent.as_ref();
        let began_at = draft.state.began_at().map_or(draft.received_at, |it| it.at().millis());
        self.connection
            .prepare_cached(
                "INSERT INTO folded (n, tenant, provider, external_id, channel, status, phase,
                     agent_id, agent_name, began_at, received_at, events, words_mark, state)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)
                 ON CONFLICT (n) DO UPDATE SET channel = excluded.channel, status = excluded.status,
                     phase = excluded.phase, agent_id = excluded.agent_id,
                     agent_name = excluded.agent_name, began_at = excluded.began_at,
                     received_at = excluded.received_at, events = excluded.events,
                     words_mark = excluded.words_mark, state = excluded.state",
            )?
            .execute(params![
                n,
                key.tenant,
                key.provider,
                key.external_id,
                channel(&view),
                view.status,
                view.phase.map(hookgate_core::conversation::Phase::name),
                agent.and_then(|it| it.id.as_ref()),
                agent.and_then(|it| it.name.as_ref()),
                began_at,
                draft.received_at,
                signed(draft.events.saturating_add(added)),
                mark,
                state,
            ])?;
        Ok(())
    }

    fn put_numbers(&self, n: i64, is_new: bool, view: &View) -> Result<(), Error> {
        let wanted: BTreeSet<String> = view.numbers().filter_map(digits_of).collect();
        let known = if is_new { BTreeSet::new() } else { self.numbers(n)? };
        if wanted == known {
            return Ok(());
        }
        let mut delete = self
            .connection
            .prepare_cached("DELETE FROM folded_numbers WHERE digits = ?1 AND n = ?2")?;
        for digits in known.difference(&wanted) {
            delete.execute(params![digits, n])?;
        }
        let mut insert = self
            .connection
            .prepare_cached("INSERT INTO folded_numbers (digits, n) VALUES (?1, ?2)")?;
        for digits in wanted.difference(&known) {
            insert.execute(params![digits, n])?;
        }
        Ok(())
    }

    fn numbers(&self, n: i64) -> Result<BTreeSet<String>, Error> {
        let select = "SELECT digits FROM folded_numbers WHERE n = ?1";
        self.connection.prepare_cached(select)?.query_map([n], |it| it.get(0))?.collect()
    }

    /// Removes everything, to begin anew.
    pub(crate) fn clear(&self) -> Result<(), Error> {
        words::clear(self.connection)?;
        for table in ["numbers", "entries", "cursors", "again"] {
            self.connection.execute(&format!("DELETE FROM folded_{table}"), [])?;
        }
        self.connection.execute("DELETE FROM folded", []).map(drop)
    }

    /// Conversations of which something was erased, to be folded again: some of them.
    pub(crate) fn wanted_again(&self, limit: u32) -> Result<BTreeSet<Key>, Error> {
        let select = "SELECT tenant, provider, external_id FROM folded_again LIMIT ?1";
        let mut select = self.connection.prepare_cached(select)?;
        select.query_map(params![limit], key)?.collect()
    }

    /// They are folded again.
    pub(crate) fn done_again(&self, keys: &BTreeSet<Key>) -> Result<(), Error> {
        let delete = "DELETE FROM folded_again \
                      WHERE external_id = ?1 AND provider = ?2 AND tenant = ?3";
        let mut delete = self.connection.prepare_cached(delete)?;
        for key in keys {
            delete.execute([&key.external_id, &key.provider, &key.tenant])?;
        }
        Ok(())
    }

    /// Removes a conversation.
    pub(crate) fn remove(&self, key: &Key) -> Result<(), Error> {
        let Some(n) = self.load(key)?.n else { return Ok(()) };
        let n = signed(n);
        self.more.set(self.more.get().saturating_sub(1));
        words::remove(self.connection, n)?;
        for delete in [
            "DELETE FROM folded_numbers WHERE n = ?1",
            "DELETE FROM folded_entries WHERE n = ?1",
            "DELETE FROM folded WHERE n = ?1",
        ] {
            self.connection.prepare_cached(delete)?.execute([n])?;
        }
        Ok(())
    }
}

/// A state as it stands in a column.
pub(super) fn state_of(text: &str) -> Result<State, Error> {
    serde_json::from_str(text).map_err(|_| Error::unreadable("state"))
}

fn key(row: &Row<'_>) -> Result<Key, Error> {
    Ok(Key { tenant: row.get(0)?, provider: row.get(1)?, external_id: row.get(2)? })
}

/// The word of a channel.
fn channel(view: &View) -> Option<String> {
    let named = view.channel.and_then(|it| serde_json::to_value(it).ok());
    let named = named.and_then(|it| it.as_str().map(str::to_owned));
    named.or_else(|| (!view.reports.is_empty()).then(|| "report".to_owned()))
}

/// What is searched of a conversation.
fn text(view: &View) -> String {
    let mut text = String::new();
    for piece in view.texts() {
        let rest = WORDS_BYTES_MAX.saturating_sub(text.len());
        let mut end = piece.len().min(rest);
        while !piece.is_char_boundary(end) {
            end = end.saturating_sub(1);
        }
        text.push_str(piece.get(..end).unwrap_or_default());
        text.push('\n');
        if end < piece.len() {
            break;
        }
    }
    text
}

/// What tells one text from another: it is not put into the index again when it is the same.
fn mark(text: &str) -> i64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    i64::from_ne_bytes(hasher.finish().to_ne_bytes())
}

/// The digits of a number, from the last to the first.
fn digits_of(number: &PhoneNumber) -> Option<String> {
    let text = number.e164.as_ref().or(number.raw.as_ref())?;
    // An address (`sip:…@…`) has digits that are no number.
    (!text.contains('@')).then(|| backwards(text)).filter(|it| it.len() >= DIGITS_MIN)
}

/// The digits of a text, from the last to the first.
fn backwards(text: &str) -> String {
    text.chars().rev().filter(char::is_ascii_digit).take(DIGITS_MAX).collect()
}

/// The end of a number that is looked for, from the last digit to the first; nothing if it has
/// too few. What stands before a number to dial it (`00`, `0`, `(0)`) is no part of it.
pub(super) fn wanted_digits(text: &str) -> Option<String> {
    let digits = backwards(&text.replace("(0)", ""));
    let digits = digits.trim_end_matches('0');
    (digits.len() >= DIGITS_MIN).then(|| digits.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_in_any_spelling() {
        let number = PhoneNumber::read("+442079460018").unwrap();
        let kept = digits_of(&number).unwrap();
        for spelling in [
            "+44 20 7946 0018",
            "+44 (0)20 7946 0018",
            "0044 20 7946-0018",
            "020 7946 0018",
            "7946.0018",
            "tel:+442079460018",
        ] {
            let wanted = wanted_digits(spelling).unwrap();
            assert!(kept.starts_with(&wanted), "{spelling}");
        }
        assert!(!kept.starts_with(&wanted_digits("+1 20 7946 0018").unwrap()));
        assert_eq!(wanted_digits("00 12"), None);
        assert_eq!(digits_of(&PhoneNumber::read("sip:1234@example.com").unwrap()), None);
    }
}

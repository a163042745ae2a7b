//! Full text: the one place that knows of FTS5 in SQLite and of `tsvector` in PostgreSQL.
//!
//! Both find the same: all words that are asked for, whichever size their letters have, with
//! marks on them or without, and beginnings of words where one is asked for.
//!
//! The index of FTS5 keeps no texts, only where words stand. What is removed from it leaves a
//! mark and stays in its pages until they are merged; [`forget_removed`] does that, so that an
//! erased word is in no page. PostgreSQL makes room with `VACUUM`; how it takes texts to pieces
//! depends on the shape of words, so it gets the words alone.

use std::collections::BTreeSet;

use crate::sql::{Connection, Error, params};

/// The table. The key of a row is the conversation's.
pub(super) const TABLES: &str = "
CREATE VIRTUAL TABLE folded_words USING fts5(
    text, content='', contentless_delete=1, tokenize='unicode61 remove_diacritics 2'
);
";

/// A condition on `folded.n`; its value is what [`wanted`] makes.
pub(super) fn condition(connection: &Connection) -> &'static str {
    if connection.as_sqlite().is_some() {
        "n IN (SELECT rowid FROM folded_words WHERE folded_words MATCH ?)"
    } else {
        "n IN (SELECT folded_with(?))"
    }
}

/// Words that a search may have: more is no search.
const WANTED_MAX: usize = 32;

/// Characters of a word that count in PostgreSQL, which takes 2 KiB at most.
const WORD_CHARS_MAX: usize = 128;

/// Pages that are merged at once while what was removed is forgotten: some milliseconds.
const MERGED_PAGES: i64 = 500;

/// Changes below which a merge had nothing left to do, as SQLite's pages on FTS5 say.
const CHANGES_MIN: u64 = 2;

/// Puts the words of a conversation into the place of those that it had.
pub(super) fn put(connection: &Connection, n: i64, text: &str) -> Result<(), Error> {
    remove(connection, n)?;
    add(connection, n, text)
}

/// The same for a conversation that had none.
pub(super) fn add(connection: &Connection, n: i64, text: &str) -> Result<(), Error> {
    let sqlite = "INSERT INTO folded_words (rowid, text) VALUES (?1, ?2)";
    let postgres = "INSERT INTO folded_words (n, terms) \
         SELECT ?1, array_to_tsvector(string_to_array(folded_plain(?2), ' '))";
    if connection.as_sqlite().is_none() {
        let words: BTreeSet<String> = words(text).map(folded).collect();
        if !words.is_empty() {
            let words = words.into_iter().collect::<Vec<_>>().join(" ");
            connection.prepare_cached(postgres)?.execute(params![n, words])?;
        }
    } else if !text.is_empty() {
        connection.prepare_cached(sqlite)?.execute(params![n, text])?;
    }
    Ok(())
}

pub(super) fn remove(connection: &Connection, n: i64) -> Result<(), Error> {
    let delete = if connection.as_sqlite().is_some() {
        "DELETE FROM folded_words WHERE rowid = ?1"
    } else {
        "DELETE FROM folded_words WHERE n = ?1"
    };
    connection.prepare_cached(delete)?.execute([n]).map(drop)
}

/// Removes all.
pub(super) fn clear(connection: &Connection) -> Result<(), Error> {
    connection.execute("DELETE FROM folded_words", []).map(drop)
}

/// Merges a piece; says whether there is more to merge. Only FTS5 needs it.
pub(super) fn forget_removed(connection: &rusqlite::Connection) -> Result<bool, rusqlite::Error> {
    let before = connection.total_changes();
    let merge = "INSERT INTO folded_words (folded_words, rank) VALUES ('merge', ?1)";
    connection.prepare_cached(merge)?.execute([-MERGED_PAGES])?;
    Ok(connection.total_changes().saturating_sub(before) >= CHANGES_MIN)
}

/// What a search asks for: all of these words. Nothing if there is no word in it. What the
/// user writes is always a word and never the language of either.
pub(super) fn wanted(connection: &Connection, q: &str) -> Option<String> {
    let is_sqlite = connection.as_sqlite().is_some();
    let mut wanted = Vec::new();
    for piece in q.split_whitespace() {
        let is_beginning = piece.ends_with('*');
        let (quote, beginning) = if is_sqlite { ('"', "*") } else { ('\'', ":*") };
        let mut words: Vec<String> = words(piece)
            .map(|it| if is_sqlite { it.to_owned() } else { folded(it) })
            .map(|it| format!("{quote}{it}{quote}"))
            .collect();
        if is_beginning && let Some(last) = words.last_mut() {
            last.push_str(beginning);
        }
        wanted.append(&mut words);
    }
    wanted.truncate(WANTED_MAX);
    let and = if is_sqlite { " AND " } else { " & " };
    (!wanted.is_empty()).then(|| wanted.join(and))
}

/// The words of a text: letters and digits, with the marks on them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|it: char| !it.is_alphanumeric() && !is_mark(it))
        .filter(|it| it.chars().any(|it| it.is_alphanumeric() && !is_mark(it)))
}

/// A word in small letters, for PostgreSQL. (Each letter alone: a sigma at an end is one as any
/// other.)
fn folded(word: &str) -> String {
    let small = word.chars().take(WORD_CHARS_MAX).flat_map(char::to_lowercase);
    small.map(|it| if it == 'ς' { 'σ' } else { it }).collect()
}

/// Combining marks (an accent that is written alone), which are part of a word.
const fn is_mark(it: char) -> bool {
    matches!(it, '\u{300}'..='\u{36f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Connection {
        let connection = rusqlite::Connection::open_in_memory().unwrap();
        connection.execute_batch(TABLES).unwrap();
        Connection::sqlite(connection)
    }

    fn found(connection: &Connection, q: &str) -> Vec<i64> {
        let Some(wanted) = wanted(connection, q) else { return Vec::new() };
        let sql = "SELECT rowid FROM folded_words WHERE folded_words MATCH ?1 ORDER BY rowid";
        let mut select = connection.prepare(sql).unwrap();
        select.query_map([wanted], |it| it.get(0)).unwrap().map(Result::unwrap).collect()
    }

    #[test]
    fn all_words_must_be_there_and_a_star_makes_one_a_beginning() {
        let connection = index();
        put(&connection, 1, "Cancel my booking, please. Señor O'Neil").unwrap();
        put(&connection, 2, "Please book a table").unwrap();
        assert_eq!(found(&connection, "please"), [1, 2]);
        assert_eq!(found(&connection, "PLEASE booking"), [1]);
        assert_eq!(found(&connection, "book"), [2]);
        assert_eq!(found(&connection, "book*"), [1, 2]);
        assert_eq!(found(&connection, "senor o'neil"), [1]);
        put(&connection, 1, "nothing").unwrap();
        assert!(found(&connection, "booking").is_empty());
        remove(&connection, 2).unwrap();
        assert!(found(&connection, "book*").is_empty());
    }

    #[test]
    fn no_text_is_taken_for_the_query_language() {
        let connection = index();
        put(&connection, 1, "a OR b").unwrap();
        for q in [
            "a OR c",
            "\"",
            "a\"b",
            "NEAR(a b)",
            "text:a",
            "-a",
            "a AND",
            "(",
            "^a",
            "a + b",
            "*",
            "",
            "é e\u{301}",
            "日本語",
            "\0",
        ] {
            let _ = found(&connection, q);
        }
        assert_eq!(found(&connection, "a OR b"), [1]);
        assert_eq!(wanted(&connection, "  -- * "), None);
    }

    #[test]
    fn what_was_removed_is_in_no_page() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("x.sqlite");
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.pragma_update(None, "secure_delete", true).unwrap();
        connection.execute_batch(TABLES).unwrap();
        let connection = Connection::sqlite(connection);
        let holds =
            || String::from_utf8_lossy(&std::fs::read(&path).unwrap()).contains("canarybird");
        for n in 0..500 {
            put(&connection, n, &format!("canarybird{n} w{n} common")).unwrap();
        }
        assert!(holds());
        for n in 0..400 {
            remove(&connection, n).unwrap();
        }
        for n in 400..500 {
            put(&connection, n, &format!("w{n} common")).unwrap();
        }
        while forget_removed(connection.as_sqlite().unwrap()).unwrap() {}
        assert!(!holds());
        assert_eq!(found(&connection, "common").len(), 100);
    }
}

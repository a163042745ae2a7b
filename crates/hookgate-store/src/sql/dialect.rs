//! A statement as PostgreSQL wants it.

/// A statement, and which of the values that come with it each of its placeholders is.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Translated {
    pub(super) text: String,
    pub(super) values: Vec<usize>,
}

/// Translates a statement: `?3` and `?` become `$1`, `$2`, … in the order in which they are
/// first named, so that a value which is not named needs no type; and a `CROSS JOIN`, which
/// with a condition only SQLite knows, becomes a `JOIN`.
pub(super) fn translate(sql: &str) -> Translated {
    let mut translated = Translated { text: String::with_capacity(sql.len()), values: Vec::new() };
    let mut anonymous = 0;
    let mut rest = sql;
    while let Some(at) = rest.find(['?', '\'']) {
        let (before, from) = rest.split_at(at);
        push(&mut translated.text, before);
        if from.starts_with('\'') {
            // What is quoted is a value.
            let end = from.get(1..).and_then(|it| it.find('\'')).map_or(from.len(), |it| it + 2);
            let (quoted, after) = from.split_at(end);
            translated.text.push_str(quoted);
            rest = after;
            continue;
        }
        let from = from.get(1..).unwrap_or_default();
        let end = from.find(|it: char| !it.is_ascii_digit()).unwrap_or(from.len());
        let (digits, after) = from.split_at(end);
        let value = match digits.parse::<usize>() {
            Ok(number) => number.saturating_sub(1),
            Err(_) => anonymous,
        };
        anonymous = anonymous.max(value.saturating_add(1));
        let known = translated.values.iter().position(|it| *it == value);
        let place = known.unwrap_or_else(|| {
            translated.values.push(value);
            translated.values.len().saturating_sub(1)
        });
        translated.text.push('$');
        translated.text.push_str(&place.saturating_add(1).to_string());
        rest = after;
    }
    push(&mut translated.text, rest);
    translated
}

fn push(text: &mut String, part: &str) {
    text.push_str(&part.replace("CROSS JOIN", "JOIN"));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(sql: &str, text: &str, values: &[usize]) {
        let values = values.to_vec();
        assert_eq!(translate(sql), Translated { text: text.to_owned(), values });
    }

    #[test]
    fn placeholders_get_the_numbers_that_postgresql_counts_by() {
        check("SELECT 1", "SELECT 1", &[]);
        check("a = ?1 AND b = ?2", "a = $1 AND b = $2", &[0, 1]);
        check("a = ? AND b = ? LIMIT ?", "a = $1 AND b = $2 LIMIT $3", &[0, 1, 2]);
        check("(?8, ?8, ?1)", "($1, $1, $2)", &[7, 0]);
        check("n < ?1 AND x = ?12 LIMIT ?3", "n < $1 AND x = $2 LIMIT $3", &[0, 11, 2]);
    }

    #[test]
    fn what_is_quoted_stays_as_it_is() {
        check("a = '?1' || ?1", "a = '?1' || $1", &[0]);
        check("a = 'it''s ?' AND b = ?2", "a = 'it''s ?' AND b = $1", &[1]);
    }

    #[test]
    fn a_join_in_sqlites_order_is_a_join() {
        check("a CROSS JOIN b ON a.n = b.n", "a JOIN b ON a.n = b.n", &[]);
    }
}

//! How values are written in statements, and the statement that writes a batch.

use std::borrow::Cow;
use std::fmt::Write as _;

use uuid::Uuid;

/// Writes the events of a batch. Each array has one value a row, and all are as long: unlike
/// in a FROM, nothing is kept beside until all rows are there.
pub(super) const EVENTS: &str = "
INSERT INTO hookgate.events (seq, id, log, received_at, source, provider, type, kind, status,
    verdict, tenant, conversation, external_id, dedupe, duplicates, head, payload, blob)
SELECT unnest($1::bigint[]), unnest($2::uuid[]), unnest($3::smallint[]), unnest($4::bigint[]),
    unnest($5::text[]), unnest($6::text[]), unnest($7::text[]), unnest($8::text[]),
    unnest($9::smallint[]), unnest($10::smallint[]), unnest($11::text[]), unnest($12::text[]),
    unnest($13::text[]), unnest($14::bytea[]), unnest($15::bigint[]), unnest($16::bytea[]),
    unnest($17::bytea[]), unnest($18::uuid[])
";

/// Writes what few batches have beside their events.
pub(super) const BESIDE: &str = "
WITH again AS (
    INSERT INTO hookgate.repetitions (seq, id, of, at, correlation_id)
    SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::bigint[], $4::bigint[], $5::text[])
), counted AS (
    UPDATE hookgate.events SET duplicates = duplicates + it.n
    FROM unnest($6::bigint[], $7::bigint[]) AS it (seq, n)
    WHERE events.seq = it.seq
), spare AS (
    DELETE FROM hookgate.blobs WHERE id = ANY($8::uuid[])
), named AS (
    INSERT INTO hookgate.violation_tenants (tenant, seq)
    SELECT * FROM unnest($16::text[], $17::bigint[])
)
INSERT INTO hookgate.adopted (seq, provider, external_id, tenant, agent_id, phone_number_id, at)
SELECT * FROM unnest($9::bigint[], $10::text[], $11::text[], $12::text[], $13::text[],
    $14::text[], $15::bigint[])
";

/// What a batch asks, and how it ends, prepared once for a session. The first column of an
/// answer says which it is.
pub(super) const QUESTIONS: &str = "
PREPARE batch_last AS SELECT 'last', n FROM hookgate.versions WHERE topic = 'events';
PREPARE batch_keys(bytea[]) AS
    SELECT 'key', dedupe, seq, id, head FROM hookgate.events WHERE dedupe = ANY($1);
PREPARE batch_dropped(bytea[]) AS
    SELECT 'dropped', key, seq, encode(id, 'hex'), digest FROM hookgate.dropped_keys
    WHERE key = ANY($1);
PREPARE batch_there(uuid[]) AS
    SELECT 'there', id, seq, head FROM hookgate.events WHERE id = ANY($1);
PREPARE batch_again(uuid[]) AS
    SELECT 'again', it.id, it.of, event.id FROM hookgate.repetitions AS it
    LEFT JOIN hookgate.events AS event ON event.seq = it.of WHERE it.id = ANY($1);
PREPARE batch_tenants(text[]) AS
    SELECT 'tenant', id FROM hookgate.tenants WHERE erasing = 0 AND id = ANY($1);
PREPARE batch_registered(text[]) AS
    SELECT 'conversation', external_id, provider, tenant FROM hookgate.conversations
    WHERE external_id = ANY($1);
PREPARE batch_adopted(text[]) AS
    SELECT 'conversation', external_id, provider, tenant FROM hookgate.adopted
    WHERE external_id = ANY($1);
PREPARE batch_end(bigint) AS UPDATE hookgate.versions SET n = $1 WHERE topic = 'events';
PREPARE batch_ledger AS UPDATE hookgate.versions SET n = n + 1 WHERE topic = 'ledger'";

/// A text as PostgreSQL can hold it: it knows no character of the number zero. The exact
/// text is in the head.
pub(crate) fn storable(text: &str) -> Cow<'_, str> {
    if text.contains('\0') {
        Cow::Owned(text.replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Bytes as the literal of an array.
pub(super) fn hex_array<'a>(all: impl IntoIterator<Item = &'a [u8]>) -> String {
    let mut out = String::from("'{");
    for bytes in all {
        if out.len() > 2 {
            out.push(',');
        }
        // Writing into a text cannot fail.
        let _ = write!(out, "\"\\\\x{}\"", hex::encode(bytes));
    }
    out.push_str("}'::bytea[]");
    out
}

/// Texts as an array, of which no character is part of a statement. An array that the server
/// makes of rows would be looked for without an index.
pub(super) fn text_array<'a>(all: impl IntoIterator<Item = &'a str>) -> String {
    let one = |text: &str| format!("convert_from('\\x{}', 'UTF8')", hex::encode(text));
    let all: Vec<String> = all.into_iter().map(one).collect();
    format!("ARRAY[{}]::text[]", all.join(", "))
}

/// Ids as the literal of an array.
pub(super) fn uuid_array(all: &[Uuid]) -> String {
    let mut out = String::from("'{");
    for id in all {
        if out.len() > 2 {
            out.push(',');
        }
        let _ = write!(out, "{id}");
    }
    out.push_str("}'::uuid[]");
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_written_as_digits_alone() {
        assert_eq!(hex_array([&b"';"[..], b""]), r#"'{"\\x273b","\\x"}'::bytea[]"#);
        assert_eq!(uuid_array(&[Uuid::nil()]), "'{00000000-0000-0000-0000-000000000000}'::uuid[]");
        assert_eq!(storable("a\0b"), "a\u{fffd}b");
    }
}

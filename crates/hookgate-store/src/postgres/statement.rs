//! How values are written in statements, and the statement that writes a batch.

use std::borrow::Cow;
use std::fmt::Write as _;

use uuid::Uuid;

/// Writes all rows of a batch. Each array has one value a row.
pub(super) const ROWS: &str = "
WITH new AS (
    INSERT INTO hookgate.events (seq, id, log, received_at, source, provider, type, kind, status,
        verdict, tenant, conversation, external_id, dedupe, duplicates, head, payload, blob)
    SELECT * FROM unnest($1::bigint[], $2::uuid[], $3::smallint[], $4::bigint[], $5::text[],
        $6::text[], $7::text[], $8::text[], $9::smallint[], $10::smallint[], $11::text[],
        $12::text[], $13::text[], $14::bytea[], $15::bigint[], $16::bytea[], $17::bytea[],
        $18::uuid[])
), again AS (
    INSERT INTO hookgate.repetitions (seq, id, of, at, correlation_id)
    SELECT it.seq, it.id, it.of, it.at, it.name
    FROM unnest($19::bigint[], $20::uuid[], $21::bigint[], $22::bigint[], $23::text[])
        AS it (seq, id, of, at, name)
), counted AS (
    UPDATE hookgate.events SET duplicates = duplicates + it.n
    FROM unnest($24::bigint[], $25::bigint[]) AS it (seq, n)
    WHERE events.seq = it.seq
), spare AS (
    DELETE FROM hookgate.blobs WHERE id = ANY($26::uuid[])
), named AS (
    INSERT INTO hookgate.violation_tenants (tenant, seq)
    SELECT * FROM unnest($34::text[], $35::bigint[])
)
INSERT INTO hookgate.adopted (seq, provider, external_id, tenant, agent_id, phone_number_id, at)
SELECT * FROM unnest($27::bigint[], $28::text[], $29::text[], $30::text[], $31::text[],
    $32::text[], $33::bigint[])
";

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

//! When events were received: between which times those of 4,096 consecutive places were, so
//! that a list of an old day need not pass all that came later, although the clock may have
//! jumped and late events have the time of their refusal.
//!
//! Who appends writes none of this. A span is noted by whoever keeps house, once no event
//! can get a place in it any more; what is not noted yet is looked through.

use hookgate_core::time::Timestamp;
use postgres::Client;

use super::query::{signed, unsigned};
use crate::error::ReadError;

/// Places that share a row of `spans`, as a power of two. It stands in the statements too.
const SPAN_BITS: u32 = 12;

/// Spans noted in one transaction: a quarter of a million rows are read for it.
const NOTED_AT_ONCE: i64 = 64;

/// The places, first and last, between which all lie that were received between `since` and
/// `until`; nothing if there are none.
pub(super) fn places(
    client: &mut Client,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
) -> Result<Option<(u64, u64)>, ReadError> {
    if since.is_none() && until.is_none() {
        return Ok(Some((0, u64::MAX)));
    }
    let since = since.map_or(i64::MIN, Timestamp::millis);
    let until = until.map_or(i64::MAX, Timestamp::millis);
    let row = client.query_one(
        "SELECT min(span) FILTER (WHERE last_at >= $1 AND first_at < $2), \
         max(span) FILTER (WHERE last_at >= $1 AND first_at < $2), max(span) FROM spans",
        &[&since, &until],
    )?;
    let (first, last): (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
    let noted: Option<i64> = row.try_get(2)?;
    // Behind the last span that is noted everything is possible.
    let open = noted.map_or(0, |it| it.saturating_add(1));
    let first = first.unwrap_or(open);
    let newest = client.query_one("SELECT max(seq) FROM events", &[])?;
    let newest: Option<i64> = newest.try_get(0)?;
    let Some(newest) = newest else { return Ok(None) };
    let is_open = newest >> SPAN_BITS >= open;
    // The last place of the open part is found by the events themselves.
    let until_open =
        if is_open { open_places(client, open << SPAN_BITS, since, until)? } else { None };
    let last = match (until_open, last) {
        (Some(_), _) => u64::MAX,
        (None, Some(last)) => end(last),
        (None, None) => return Ok(None),
    };
    Ok(Some((unsigned(first) << SPAN_BITS, last)))
}

/// Whether something behind `open` was received between these times.
fn open_places(
    client: &mut Client,
    open: i64,
    since: i64,
    until: i64,
) -> Result<Option<i64>, ReadError> {
    let row = client.query_opt(
        "SELECT seq FROM events WHERE seq >= $1 AND received_at >= $2 AND received_at < $3 \
         ORDER BY seq LIMIT 1",
        &[&open, &since, &until],
    )?;
    Ok(row.map(|it| it.try_get(0)).transpose()?)
}

fn end(span: i64) -> u64 {
    (unsigned(span).saturating_add(1) << SPAN_BITS).saturating_sub(1)
}

/// The last place at which something may stand that was received before a moment.
pub(super) fn last_before(client: &mut Client, before: i64) -> Result<i64, ReadError> {
    let row = client.query_one(
        "SELECT max(span) FILTER (WHERE first_at < $1), max(span) FROM spans",
        &[&before],
    )?;
    let (last, noted): (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
    let open = noted.map_or(0, |it| it.saturating_add(1)) << SPAN_BITS;
    if open_places(client, open, i64::MIN, before)?.is_some() {
        return Ok(i64::MAX);
    }
    Ok(last.map_or(-1, |it| signed(end(it))))
}

/// Notes some spans that are full; gives whether there are more.
pub(super) fn note(client: &mut Client) -> Result<bool, ReadError> {
    let row = client
        .query_one("SELECT (SELECT max(span) FROM spans), (SELECT max(seq) FROM events)", &[])?;
    let (noted, newest): (Option<i64>, Option<i64>) = (row.try_get(0)?, row.try_get(1)?);
    let first = noted.map_or(0, |it| it.saturating_add(1));
    // The last one still grows: order of places is order of commits.
    let full = newest.map_or(0, |it| it >> SPAN_BITS);
    let end = full.min(first.saturating_add(NOTED_AT_ONCE));
    if end <= first {
        return Ok(false);
    }
    client.execute(
        "INSERT INTO spans SELECT span, coalesce(min(received_at), 9223372036854775807), \
         coalesce(max(received_at), -9223372036854775808) FROM generate_series($1::bigint, $2::bigint) AS span \
         LEFT JOIN events ON events.seq >= span << 12 AND events.seq < (span + 1) << 12 \
         GROUP BY span ON CONFLICT (span) DO NOTHING",
        &[&first, &end.saturating_sub(1)],
    )?;
    Ok(end < full)
}

//! What is erased in one transaction, and what is forgotten when all of it is.

use hookgate_core::time::Timestamp;
use postgres::Client;
use uuid::Uuid;

use super::query::unsigned;
use super::statement::storable;
use super::{folded, recordings};
use crate::erasure::{ERASED_AT_ONCE, Stop};
use crate::error::ReadError;
use crate::head::{self, EventHead, Octets};
use crate::index::victims::Whose;
use crate::registry::ErasureTarget;
use crate::sql::EVENTS_LOCK;

/// Bytes of the bodies that a piece has but for its first one: nothing is appended while it is
/// erased, and the server takes about a second for a gigabyte.
const PIECE_BYTES_MAX: u64 = 64 << 20;

/// That adopted conversations are not so any more: other nodes have them in memory.
const TELL: &str = "INSERT INTO versions (topic, n) VALUES ('ledger', 1) \
     ON CONFLICT (topic) DO UPDATE SET n = versions.n + 1; NOTIFY hookgate, 'ledger'";

/// Which part of somebody's events: received before a moment, behind a place, up to another.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// In milliseconds since 1970.
    pub(super) before: i64,
    pub(super) after: i64,
    pub(super) last: i64,
}

impl Limits {
    pub(super) const ALL: Self = Self { before: i64::MAX, after: -1, last: i64::MAX };
}

/// What was erased at once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Piece {
    /// The last place that the walk has passed.
    pub(super) last: i64,
    pub(super) events: u64,
    pub(super) bytes: u64,
}

/// The statement that finds the first victims. Its values: a word and another, the time, the
/// places and the limit.
pub(super) fn select(whose: Whose<'_>) -> String {
    let term = match whose {
        Whose::Tenant(_) => "tenant = $1 AND $2::text IS NULL",
        // What is erased keeps its source.
        Whose::Source(_) => "source = $1 AND NOT erased AND $2::text IS NULL",
        Whose::Conversation(..) => "provider = $1 AND conversation = $2",
    };
    format!(
        "SELECT {COLUMNS} FROM events WHERE {term} AND received_at < $3 AND seq > $4 \
         AND seq <= $5 ORDER BY seq LIMIT $6"
    )
}

const COLUMNS: &str =
    "seq, id, head, blob, provider, conversation, coalesce(octet_length(payload), 0)";

struct Victim {
    seq: i64,
    id: Uuid,
    head: Vec<u8>,
    blob: Option<Uuid>,
    provider: String,
    conversation: Option<String>,
    bytes: u64,
}

fn victim(row: &postgres::Row) -> Result<Victim, postgres::Error> {
    Ok(Victim {
        seq: row.try_get(0)?,
        id: row.try_get(1)?,
        head: row.try_get(2)?,
        blob: row.try_get(3)?,
        provider: row.try_get::<_, Option<String>>(4)?.unwrap_or_default(),
        conversation: row.try_get(5)?,
        bytes: unsigned(row.try_get::<_, i32>(6)?.into()),
    })
}

fn victims(
    client: &mut Client,
    whose: Whose<'_>,
    limits: Limits,
    count: u32,
) -> Result<Vec<Victim>, postgres::Error> {
    let (word, other) = match whose {
        Whose::Tenant(it) | Whose::Source(it) => (it, None),
        Whose::Conversation(provider, id) => (provider, Some(storable(id))),
    };
    let Limits { before, after, last } = limits;
    let (word, count) = (storable(word), i64::from(count));
    let rows = client.query(&select(whose), &[&word, &other, &before, &after, &last, &count])?;
    rows.iter().map(victim).collect()
}

/// Whether there is anything to erase.
pub(super) fn has_victims(
    client: &mut Client,
    whose: Whose<'_>,
    limits: Limits,
) -> Result<bool, ReadError> {
    Ok(!victims(client, whose, limits, 1)?.is_empty())
}

/// Erases the first events that are not yet; nothing if there are none.
pub(super) fn erase_piece(
    client: &mut Client,
    whose: Whose<'_>,
    limits: Limits,
) -> Result<Option<Piece>, Stop> {
    folded::hold(client)?;
    // Nobody else changes a row of an event meanwhile: so nobody waits for two of them in
    // another order than this does.
    client.batch_execute(&format!("SELECT pg_advisory_xact_lock({EVENTS_LOCK})"))?;
    let mut batch = victims(client, whose, limits, ERASED_AT_ONCE)?;
    let mut sum = 0_u64;
    let taken = batch.iter().take_while(|it| {
        let fits = sum == 0 || sum.saturating_add(it.bytes) <= PIECE_BYTES_MAX;
        sum = sum.saturating_add(it.bytes);
        fits
    });
    let taken = taken.count();
    batch.truncate(taken);
    let Some(last) = batch.last().map(|it| it.seq) else { return Ok(None) };
    if matches!(whose, Whose::Tenant(_)) && limits.before == i64::MAX {
        let siblings = unowned_siblings(client, &batch)?;
        batch.extend(siblings);
    }
    let bytes = erase(client, &batch)?;
    Ok(Some(Piece { last, events: batch.len() as u64, bytes }))
}

/// Events of the same conversations that are nobody's: what of a conversation came before
/// anyone knew whose it is goes with the rest of it.
fn unowned_siblings(client: &mut Client, batch: &[Victim]) -> Result<Vec<Victim>, postgres::Error> {
    let (providers, conversations) = conversations_of(batch);
    let rows = client.query(
        &format!(
            "SELECT {COLUMNS} FROM events WHERE tenant IS NULL AND (conversation, provider) IN \
             (SELECT * FROM unnest($1::text[], $2::text[]))"
        ),
        &[&conversations, &providers],
    )?;
    rows.iter().map(victim).collect()
}

/// Providers and ids of the conversations that events are part of, each once.
fn conversations_of(batch: &[Victim]) -> (Vec<&str>, Vec<&str>) {
    let named = batch.iter().filter_map(|it| Some((&*it.provider, it.conversation.as_deref()?)));
    let mut all: Vec<(&str, &str)> = named.collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter().unzip()
}

/// The head of an erased event.
fn skeleton(victim: &Victim) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(512);
    if let Ok(head) = head::decode::<EventHead<'_>>(&victim.head) {
        head::encode(&head.skeleton(), &mut encoded);
    } else {
        tracing::error!(event.seq = victim.seq, "an event that is erased had a damaged head");
        let id = Octets::from(victim.id);
        let head: EventHead<'_> = EventHead { record: head::EVENT, id, ..EventHead::default() };
        head::encode(&head, &mut encoded);
    }
    encoded
}

/// Takes from events their bytes and all that names anybody; gives how many bytes.
fn erase(client: &mut Client, batch: &[Victim]) -> Result<u64, Stop> {
    let seqs: Vec<i64> = batch.iter().map(|it| it.seq).collect();
    let ids: Vec<Uuid> = batch.iter().map(|it| it.id).collect();
    let heads: Vec<Vec<u8>> = batch.iter().map(skeleton).collect();
    client.execute(
        "UPDATE events SET payload = NULL, blob = NULL, head = it.head, tenant = NULL, \
         conversation = NULL, external_id = NULL, verdict = 0, decided_kind = NULL, \
         decided_tenant = NULL, decided_at = NULL, decided_by = NULL, erased = TRUE \
         FROM unnest($1::bigint[], $2::bytea[]) AS it (seq, head) WHERE events.seq = it.seq",
        &[&seqs, &heads],
    )?;
    folded::erase(client, &seqs)?;
    recordings::erase_of(client, &ids)?;
    client.execute("DELETE FROM violation_tenants WHERE seq = ANY($1)", &[&seqs])?;
    client.execute("DELETE FROM repetitions WHERE of = ANY($1)", &[&seqs])?;
    // What the ring of refused requests has of them.
    let refused = client.query(
        "WITH gone AS (DELETE FROM rejections WHERE accepted_as = ANY($1) RETURNING blob) \
         SELECT blob FROM gone WHERE blob IS NOT NULL",
        &[&ids],
    )?;
    let mut blobs: Vec<Uuid> = batch.iter().filter_map(|it| it.blob).collect();
    for row in refused {
        blobs.push(row.try_get(0)?);
    }
    let mut bytes: u64 = batch.iter().map(|it| it.bytes).sum();
    bytes = bytes.saturating_add(remove_blobs(client, &blobs)?);
    let (providers, conversations) = conversations_of(batch);
    let forgotten = client.execute(
        "DELETE FROM adopted USING unnest($1::text[], $2::text[]) AS it (conversation, provider) \
         WHERE adopted.external_id = it.conversation AND adopted.provider = it.provider \
         AND NOT EXISTS (SELECT FROM events WHERE events.conversation = adopted.external_id \
         AND events.provider = adopted.provider AND events.tenant = adopted.tenant)",
        &[&conversations, &providers],
    )?;
    if forgotten > 0 {
        client.batch_execute(TELL)?;
    }
    Ok(bytes)
}

/// Removes large bodies; gives their bytes.
fn remove_blobs(client: &mut Client, blobs: &[Uuid]) -> Result<u64, postgres::Error> {
    if blobs.is_empty() {
        return Ok(0);
    }
    // One that an event and a refused request share stays with the other.
    let unused = "id = ANY($1) AND NOT EXISTS (SELECT FROM events WHERE events.blob = blobs.id) \
                  AND NOT EXISTS (SELECT FROM rejections WHERE rejections.blob = blobs.id)";
    let sum =
        format!("SELECT coalesce(sum(octet_length(bytes)), 0)::bigint FROM blobs WHERE {unused}");
    let bytes: i64 = client.query_one(&sum, &[&blobs])?.try_get(0)?;
    client.execute(&format!("DELETE FROM blobs WHERE {unused}"), &[&blobs])?;
    Ok(unsigned(bytes))
}

/// Forgets what is left of somebody whose events are erased: what was adopted and where a
/// tenant is named, and what a source refused.
pub(super) fn forget(client: &mut Client, target: &ErasureTarget) -> Result<(), Stop> {
    match target {
        ErasureTarget::Tenant(tenant) => {
            let id = tenant.as_str();
            client.execute("DELETE FROM adopted WHERE tenant = $1", &[&id])?;
            client.execute("DELETE FROM violation_tenants WHERE tenant = $1", &[&id])?;
            client.batch_execute(TELL)?;
        }
        ErasureTarget::Conversation { provider, external_id } => {
            client.execute(
                "DELETE FROM adopted WHERE external_id = $1 AND provider = $2",
                &[&storable(external_id), &storable(provider)],
            )?;
            client.batch_execute(TELL)?;
        }
        ErasureTarget::Before { at, source: Some(source), tenant: None } => {
            expire(client, source, *at)?;
        }
        ErasureTarget::Before { .. } => {}
    }
    Ok(())
}

/// Removes what came to a source before a moment and was refused.
fn expire(client: &mut Client, source: &str, before: Timestamp) -> Result<(), postgres::Error> {
    let rows = client.query(
        "WITH gone AS (DELETE FROM rejections WHERE source = $1 AND received_at < $2 \
         RETURNING blob) SELECT blob FROM gone WHERE blob IS NOT NULL",
        &[&storable(source), &before.millis()],
    )?;
    let blobs: Result<Vec<Uuid>, _> = rows.iter().map(|it| it.try_get(0)).collect();
    remove_blobs(client, &blobs?)?;
    Ok(())
}

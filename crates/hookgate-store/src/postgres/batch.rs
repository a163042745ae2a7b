//! One batch of events, one transaction, three round trips: what is known of it, under the
//! lock of events; its rows; the commit.
//!
//! Every node takes the lock before it takes a place and keeps it until its commit is done.
//! So the order of places is the order of commits, a repetition and a conversation that two
//! nodes make known at once are decided by who comes first, and what a transaction sees under
//! the lock nobody else changes.
//!
//! Whoever changes what is asked here and may not be overtaken takes the lock as well: who
//! registers a conversation, after looking into `adopted`; who erases a tenant, once, after
//! it is marked.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use bytes::BytesMut;
use hookgate_journal::Pending;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};
use postgres::{Client, SimpleQueryMessage, Statement};
use uuid::Uuid;

use super::large;
use super::queue::{Entry, Outcome};
use super::role::APP_ROLE;
use super::statement::{BESIDE, EVENTS, QUESTIONS, hex_array, storable, text_array, uuid_array};
use crate::bloom::Key;
use crate::dedupe::Known;
use crate::error::Unavailable;
use crate::head::{self, Octets, SlimHead};
use crate::index::Adoption;
use crate::layout::UNPROVEN;
use crate::receipt::Receipt;
use crate::record::EventId;
use crate::sql::EVENTS_LOCK;

/// What the session has beside what every connection has: a node that stops with the lock in
/// its hand keeps the others waiting for so long. A batch is one of milliseconds. What it asks
/// is found by an index always, and planned once: with the values in hand each batch would be
/// planned anew, which takes as long as a dozen rows.
const SESSION: &str = "SET lock_timeout = '10s'; SET idle_in_transaction_session_timeout = '5s'; \
    SET search_path = hookgate, pg_temp; SET plan_cache_mode = force_generic_plan; \
    SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off; \
    SET jit = off";

/// A connection with what is prepared on it.
pub(super) struct Session {
    pub(super) client: Client,
    events: Statement,
    beside: Statement,
    /// There are keys of events that are gone, from a store that was copied into this one.
    has_dropped_keys: bool,
}

/// What a batch does to the database.
#[derive(Debug, Default)]
struct Plan<'a> {
    rows: Vec<Placed<'a>>,
    /// Repetitions: their place, and of which.
    repetitions: Vec<(i64, &'a Entry, i64)>,
    /// How often events that were there before came again.
    bumps: HashMap<i64, i64>,
    adopted: Vec<(i64, &'a Entry, &'a Adoption)>,
    last_seq: i64,
}

/// An event with its place.
#[derive(Debug)]
struct Placed<'a> {
    seq: i64,
    entry: &'a Entry,
    /// Linked to the event that it repeats with other bytes.
    head: Cow<'a, [u8]>,
    key: Option<Key>,
    duplicates: i64,
}

/// What became of a batch that is committed.
#[derive(Debug)]
pub(super) struct Committed {
    /// What each is told, in the order of the batch.
    pub(super) fates: Vec<Fate>,
    pub(super) last_seq: u64,
    /// What it added to the ring of requests without proof.
    pub(super) unproven: Pending,
    /// How long the database took to make it durable.
    pub(super) synced: Duration,
}

/// What became of one event.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fate {
    pub(super) outcome: Outcome,
    /// It has a row of its own, with the adoption that it carries.
    pub(super) is_new: bool,
    /// Its conversation is another tenant's by now.
    pub(super) is_taken: bool,
}

/// What the database says of a batch.
#[derive(Debug, Default)]
struct Said {
    last_seq: i64,
    keys: HashMap<Key, Known>,
    /// Events and repetitions that are there already: what they were told, and whether they
    /// have a row of their own.
    there: HashMap<Uuid, (Receipt, bool)>,
    tenants: HashSet<String>,
    /// Conversations that are somebody's: by id and provider, as they are stored.
    conversations: HashMap<(String, String), String>,
}

/// Commits a batch. `tells` says whether other nodes are told of it now.
pub(super) fn commit(
    session: &mut Session,
    batch: &[Entry],
    is_owner: impl Fn(&str) -> bool,
    tells: bool,
) -> Result<Committed, postgres::Error> {
    let said = ask(&mut session.client, session.has_dropped_keys, batch)?;
    let is_owner = |it: &str| is_owner(it) && said.tenants.contains(it);
    let (plan, fates) = decide(batch, &said, is_owner);
    let is_empty = plan.rows.is_empty() && plan.repetitions.is_empty();
    let mut synced = Duration::ZERO;
    if is_empty {
        session.client.batch_execute("ROLLBACK")?;
    } else {
        plan.write(session)?;
        let begun = Instant::now();
        session.client.batch_execute(&plan.end(tells))?;
        synced = begun.elapsed();
    }
    let mut unproven = Pending::default();
    for row in plan.rows.iter().filter(|it| it.entry.log == UNPROVEN) {
        unproven.records = unproven.records.saturating_add(1);
        unproven.bytes = unproven.bytes.saturating_add(row.entry.bytes());
    }
    Ok(Committed { fates, last_seq: unsigned(plan.last_seq), unproven, synced })
}

/// Begins, takes the lock, and asks what must be known: in one round trip, with statements
/// that are planned already. All values are written as hexadecimal digits or ids, so nothing
/// in them is a statement.
fn ask(
    client: &mut Client,
    has_dropped_keys: bool,
    batch: &[Entry],
) -> Result<Said, postgres::Error> {
    let mut sql = String::from(
        "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; EXECUTE batch_begin; EXECUTE batch_last",
    );
    let mut ask = |question: &str, of: &str| {
        // Writing into a text cannot fail.
        let _ = write!(sql, "; EXECUTE batch_{question}({of})");
    };
    let keys: Vec<&[u8]> =
        batch.iter().filter_map(|it| it.row.key.as_ref()).map(|it| &it[..]).collect();
    if !keys.is_empty() {
        let keys = hex_array(keys);
        ask("keys", &keys);
        if has_dropped_keys {
            ask("dropped", &keys);
        }
    }
    let again: Vec<Uuid> = batch.iter().filter(|it| it.may_be_there).map(|it| it.id).collect();
    if !again.is_empty() {
        let ids = uuid_array(&again);
        ask("there", &ids);
        ask("again", &ids);
    }
    let tenants: HashSet<&str> = batch.iter().filter_map(Entry::tenant).collect();
    if !tenants.is_empty() {
        ask("tenants", &text_array(tenants));
    }
    let ids: Vec<Cow<'_, str>> =
        batch.iter().filter_map(|it| Some(storable(&adoption(it)?.external_id))).collect();
    if !ids.is_empty() {
        let ids = text_array(ids.iter().map(|it| &**it));
        ask("registered", &ids);
        ask("adopted", &ids);
    }
    let mut said = Said::default();
    for message in client.simple_query(&sql)? {
        if let SimpleQueryMessage::Row(row) = message {
            said.note(&(0..row.len()).map(|it| row.get(it)).collect::<Vec<_>>());
        }
    }
    Ok(said)
}

impl Said {
    /// Takes a row in. One that is not as it should be is not there.
    fn note(&mut self, row: &[Option<&str>]) {
        match row {
            [Some("last"), Some(seq)] => self.last_seq = seq.parse().unwrap_or_default(),
            [Some("key"), Some(key), Some(seq), Some(id), Some(head)] => {
                let Some(key) = bytes(key).and_then(|it| it.try_into().ok()) else { return };
                let (Ok(seq), Ok(id)) = (seq.parse(), id.parse()) else { return };
                // Without a digest nothing is the same: the bytes are kept.
                let digest = bytes(head).and_then(|it| {
                    let head: SlimHead<'_> = head::decode(&it).ok()?;
                    head.sha256.0.first_chunk().copied()
                });
                self.keys.insert(key, Known { seq, id, digest });
            }
            [Some("dropped"), Some(key), Some(seq), Some(id), Some(digest)] => {
                let Some(key) = bytes(key).and_then(|it| it.try_into().ok()) else { return };
                let (Ok(seq), Ok(id)) = (seq.parse(), id.parse()) else { return };
                let digest = bytes(digest).and_then(|it| it.try_into().ok());
                self.keys.entry(key).or_insert(Known { seq, id, digest });
            }
            [Some("there"), Some(id), Some(seq), Some(head)] => {
                let (Ok(id), Ok(seq)) = (id.parse::<Uuid>(), seq.parse()) else { return };
                let original = bytes(head).and_then(|it| {
                    let head: SlimHead<'_> = head::decode(&it).ok()?;
                    head.original.map(Octets::uuid)
                });
                let receipt =
                    Receipt::new(EventId(original.unwrap_or(id)), seq, original.is_some());
                self.there.insert(id, (receipt, true));
            }
            [Some("again"), Some(id), Some(of), original] => {
                let (Ok(id), Ok(of)) = (id.parse::<Uuid>(), of.parse()) else { return };
                let original = original.and_then(|it| it.parse().ok()).unwrap_or(id);
                self.there.insert(id, (Receipt::new(EventId(original), of, true), false));
            }
            [Some("tenant"), Some(id)] => {
                self.tenants.insert((*id).to_owned());
            }
            [Some("conversation"), Some(id), Some(provider), Some(tenant)] => {
                let key = ((*id).to_owned(), (*provider).to_owned());
                self.conversations.entry(key).or_insert_with(|| (*tenant).to_owned());
            }
            _ => {}
        }
    }
}

/// Says what each event is among the others, in their order.
fn decide<'a>(
    batch: &'a [Entry],
    said: &Said,
    is_owner: impl Fn(&str) -> bool,
) -> (Plan<'a>, Vec<Fate>) {
    let mut plan = Plan { last_seq: said.last_seq, ..Plan::default() };
    let mut known = said.keys.clone();
    let mut conversations = said.conversations.clone();
    let mut fates = Vec::with_capacity(batch.len());
    for entry in batch {
        let failed = |is_taken| Fate { outcome: Err(Unavailable::Behind), is_new: false, is_taken };
        if let Some(&(receipt, is_new)) = said.there.get(&entry.id) {
            fates.push(Fate { outcome: Ok(receipt), is_new, is_taken: false });
            continue;
        }
        // Whoever is being erased gets nothing more: judged anew, it is nobody's.
        if entry.tenant().is_some_and(|it| !is_owner(it)) {
            fates.push(failed(false));
            continue;
        }
        let original = entry.row.key.and_then(|it| known.get(&it)).copied();
        if let Some(original) = original.filter(|it| it.digest == Some(entry.digest)) {
            plan.repeat(entry, original);
            let receipt = Receipt::new(EventId(original.id), original.seq, true);
            fates.push(Fate { outcome: Ok(receipt), is_new: false, is_taken: false });
            continue;
        }
        if let Some(adoption) = adoption(entry) {
            let [_, provider, ..] = entry.row.texts();
            let id = storable(&adoption.external_id).into_owned();
            let key = (id, provider.unwrap_or_default().to_owned());
            match conversations.get(&key) {
                Some(tenant) if *tenant == adoption.tenant => {}
                Some(_) => {
                    fates.push(failed(true));
                    continue;
                }
                None => {
                    conversations.insert(key, adoption.tenant.clone());
                    plan.adopted.push((plan.next_seq(), entry, adoption));
                }
            }
        }
        let seq = plan.next_seq();
        plan.last_seq = seq;
        let mut head = Cow::Borrowed(entry.head.as_slice());
        let mut key = entry.row.key;
        let receipt = if let Some(original) = original {
            // Its key stays with the event that it repeats, and so does its receipt.
            head::link(head.to_mut(), original.id);
            key = None;
            Receipt::new(EventId(original.id), original.seq, true)
        } else {
            if let Some(key) = key {
                let digest = Some(entry.digest);
                known.insert(key, Known { seq: unsigned(seq), id: entry.id, digest });
            }
            Receipt::new(EventId(entry.id), unsigned(seq), false)
        };
        plan.rows.push(Placed { seq, entry, head, key, duplicates: 0 });
        fates.push(Fate { outcome: Ok(receipt), is_new: true, is_taken: false });
    }
    (plan, fates)
}

/// The conversation that an event makes known.
fn adoption(entry: &Entry) -> Option<&Adoption> {
    entry.row.more.as_ref()?.adoption.as_ref()
}

impl<'a> Plan<'a> {
    fn next_seq(&self) -> i64 {
        self.last_seq.saturating_add(1)
    }

    fn repeat(&mut self, entry: &'a Entry, original: Known) {
        self.last_seq = self.next_seq();
        let of = signed(original.seq);
        self.repetitions.push((self.last_seq, entry, of));
        if let Some(row) = self.rows.iter_mut().rev().find(|it| it.seq == of) {
            // Its row is not there yet.
            row.duplicates = row.duplicates.saturating_add(1);
        } else {
            let count = self.bumps.entry(of).or_default();
            *count = count.saturating_add(1);
        }
    }

    /// Writes all rows: one statement, one round trip; another if there is more than events.
    fn write(&self, session: &mut Session) -> Result<(), postgres::Error> {
        let Session { client, events, beside, .. } = session;
        if !self.rows.is_empty() {
            self.write_events(client, events)?;
        }
        let has_named = self
            .rows
            .iter()
            .any(|it| it.entry.row.more.as_ref().is_some_and(|it| !it.named.is_empty()));
        if has_named || !self.repetitions.is_empty() || !self.adopted.is_empty() {
            self.write_beside(client, beside)?;
        }
        Ok(())
    }

    fn write_events(&self, client: &mut Client, insert: &Statement) -> Result<(), postgres::Error> {
        let rows = &self.rows;
        let of = |at: usize| -> Vec<Option<Cow<'a, str>>> {
            rows.iter()
                .map(|it| it.entry.row.texts().get(at).copied().flatten().map(storable))
                .collect()
        };
        let seqs: Vec<i64> = rows.iter().map(|it| it.seq).collect();
        let ids: Vec<Uuid> = rows.iter().map(|it| it.entry.id).collect();
        let logs: Vec<i16> = rows.iter().map(|it| i16::from(it.entry.log == UNPROVEN)).collect();
        let times: Vec<i64> = rows.iter().map(|it| it.entry.at).collect();
        let (sources, providers, types, kinds) = (of(0), of(1), of(2), of(3));
        let (tenants, conversations, external_ids) = (of(4), of(5), of(6));
        let statuses: Vec<i16> = rows.iter().map(|it| it.entry.row.status.into()).collect();
        let verdicts: Vec<i16> = rows.iter().map(|it| it.entry.row.verdict.into()).collect();
        let keys: Vec<Option<&[u8]>> =
            rows.iter().map(|it| it.key.as_ref().map(|it| &it[..])).collect();
        let duplicates: Vec<i64> = rows.iter().map(|it| it.duplicates).collect();
        let heads: Vec<&[u8]> = rows.iter().map(|it| &*it.head).collect();
        let blobs: Vec<Option<Uuid>> =
            rows.iter().map(|it| it.entry.row.blob.map(Uuid::from_bytes)).collect();
        let payloads: Vec<Option<&[u8]>> = rows
            .iter()
            .map(|it| it.entry.row.blob.is_none().then_some(&*it.entry.payload))
            .collect();
        let sizes = rows.iter().map(|it| it.head.len().saturating_add(it.entry.payload.len()));
        let seqs = Ahead { values: seqs, bytes: sizes.sum() };
        client.execute(
            insert,
            &[
                &seqs,
                &ids,
                &logs,
                &times,
                &sources,
                &providers,
                &types,
                &kinds,
                &statuses,
                &verdicts,
                &tenants,
                &conversations,
                &external_ids,
                &keys,
                &duplicates,
                &heads,
                &payloads,
                &blobs,
            ],
        )?;
        Ok(())
    }

    fn write_beside(&self, client: &mut Client, insert: &Statement) -> Result<(), postgres::Error> {
        let again = &self.repetitions;
        let again_seqs: Vec<i64> = again.iter().map(|it| it.0).collect();
        let again_ids: Vec<Uuid> = again.iter().map(|it| it.1.id).collect();
        let again_of: Vec<i64> = again.iter().map(|it| it.2).collect();
        let again_times: Vec<i64> = again.iter().map(|it| it.1.at).collect();
        let again_names: Vec<Cow<'_, str>> =
            again.iter().map(|it| storable(&it.1.correlation_id)).collect();
        // Their bytes are there once.
        let spare: Vec<Uuid> =
            again.iter().filter_map(|it| it.1.row.blob).map(Uuid::from_bytes).collect();
        let bumped: Vec<i64> = self.bumps.keys().copied().collect();
        let bumps: Vec<i64> = self.bumps.values().copied().collect();

        let adopted = &self.adopted;
        let adopted_seqs: Vec<i64> = adopted.iter().map(|it| it.0).collect();
        let adopted_by: Vec<Option<Cow<'_, str>>> = adopted
            .iter()
            .map(|it| it.1.row.texts().get(1).copied().flatten().map(storable))
            .collect();
        let adopted_ids: Vec<Cow<'_, str>> =
            adopted.iter().map(|it| storable(&it.2.external_id)).collect();
        let adopted_tenants: Vec<&str> = adopted.iter().map(|it| it.2.tenant.as_str()).collect();
        let agents: Vec<Option<Cow<'_, str>>> =
            adopted.iter().map(|it| it.2.agent_id.as_deref().map(storable)).collect();
        let numbers: Vec<Option<Cow<'_, str>>> =
            adopted.iter().map(|it| it.2.phone_number_id.as_deref().map(storable)).collect();
        let adopted_times: Vec<i64> = adopted.iter().map(|it| it.1.at).collect();
        let named: Vec<(i64, &str)> = self
            .rows
            .iter()
            .filter_map(|it| Some((it.seq, it.entry.row.more.as_ref()?)))
            .flat_map(|(seq, more)| more.named.iter().map(move |it| (seq, it.as_str())))
            .collect();
        let named_seqs: Vec<i64> = named.iter().map(|it| it.0).collect();
        let named_tenants: Vec<&str> = named.iter().map(|it| it.1).collect();

        client.execute(
            insert,
            &[
                &again_seqs,
                &again_ids,
                &again_of,
                &again_times,
                &again_names,
                &bumped,
                &bumps,
                &spare,
                &adopted_seqs,
                &adopted_by,
                &adopted_ids,
                &adopted_tenants,
                &agents,
                &numbers,
                &adopted_times,
                &named_tenants,
                &named_seqs,
            ],
        )?;
        Ok(())
    }

    /// Says how far it is, tells who listens, and commits.
    fn end(&self, tells: bool) -> String {
        let mut sql = format!("EXECUTE batch_end({}); ", self.last_seq);
        if !self.adopted.is_empty() {
            sql.push_str("EXECUTE batch_ledger; NOTIFY hookgate, 'ledger'; ");
        }
        if tells {
            sql.push_str(TELL);
            sql.push_str("; ");
        }
        sql.push_str("COMMIT");
        sql
    }
}

/// Tells other nodes that there are events.
pub(super) const TELL: &str = "NOTIFY hookgate, 'events'";

/// Places, which are sent first: they make room for what comes behind them, so that the
/// message does not grow step by step.
#[derive(Debug)]
struct Ahead {
    values: Vec<i64>,
    /// Of heads and bodies.
    bytes: usize,
}

/// About what a row has beside its head and body, each column with its length before it.
const ROW_BYTES: usize = 320;

impl ToSql for Ahead {
    fn to_sql(
        &self,
        of: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let rows = self.values.len().saturating_mul(ROW_BYTES);
        out.reserve(self.bytes.saturating_add(rows));
        self.values.to_sql(of, out)
    }

    fn accepts(of: &Type) -> bool {
        <Vec<i64> as ToSql>::accepts(of)
    }

    to_sql_checked!();
}

/// Makes a connection ready.
pub(super) fn prepare(mut client: Client) -> Result<Session, postgres::Error> {
    client.batch_execute(SESSION)?;
    client.batch_execute(&format!(
        "PREPARE batch_begin AS SELECT 'lock', set_config('role', '{APP_ROLE}', true), \
             set_config('hookgate.tenant', '*', true), pg_advisory_xact_lock({EVENTS_LOCK}); \
         {QUESTIONS}"
    ))?;
    let ask = "SELECT EXISTS (SELECT FROM dropped_keys)";
    let row = large::transact(&mut client, |client| client.query_one(ask, &[]))?;
    let has_dropped_keys = row.try_get(0)?;
    let (events, beside) = (client.prepare(EVENTS)?, client.prepare(BESIDE)?);
    Ok(Session { client, events, beside, has_dropped_keys })
}

/// What PostgreSQL writes as `\x` and digits.
fn bytes(text: &str) -> Option<Vec<u8>> {
    hex::decode(text.strip_prefix("\\x")?).ok()
}

fn signed(seq: u64) -> i64 {
    i64::try_from(seq).unwrap_or(i64::MAX)
}

fn unsigned(seq: i64) -> u64 {
    u64::try_from(seq).unwrap_or(0)
}

//! The store alone, without HTTP: events appended through one node on PostgreSQL, beside as
//! many connections that each insert one row after the other, and beside the embedded store.
//! All in one process, on the same database and disk, everything durable when it counts.

use std::path::Path;
use std::sync::Arc;
use std::task::Waker;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use hookgate_core::attribution::{Attributed, Consulted, read};
use hookgate_store::{Options, PgSettings, Store, Wake};
use tokio::runtime::Runtime;
use tokio_postgres::{Client, NoTls};

use crate::{body, parts};

/// Events of one measurement: a few seconds of what a small machine takes. They are made
/// before, so that only storing them counts.
const EVENTS: usize = 20_000;

/// The bytes that Hookgate keeps of an event beside its body, about.
const HEAD_BYTES: usize = 680;

/// The table of single rows, as a receiver would have it.
const TABLE: &str = "
CREATE SCHEMA IF NOT EXISTS hookgate_bench;
CREATE TABLE IF NOT EXISTS hookgate_bench.rows (
    id UUID PRIMARY KEY, at BIGINT NOT NULL, source TEXT NOT NULL,
    head BYTEA NOT NULL, payload BYTEA NOT NULL
)";

/// What one connection does again and again.
const INSERT: &str = "INSERT INTO hookgate_bench.rows (id, at, source, head, payload) \
    VALUES (gen_random_uuid(), $1, 'retell', $2, $3)";

/// Measures so many rounds with so many senders, in the database of this URL.
pub(crate) fn measure(
    runtime: &Runtime,
    url: &str,
    folder: &Path,
    (senders, rounds): (usize, usize),
) -> Result<()> {
    let wake: Wake = Arc::new(|all: Vec<Waker>| all.into_iter().for_each(Waker::wake));
    let (node_folder, store_folder) = (folder.join("node"), folder.join("store"));
    let settings = PgSettings::parse(url)?.in_folder(node_folder, None);
    let node = Store::open_postgres(&settings, Options::default(), Arc::clone(&wake))?;
    let embedded = Store::open(&store_folder, Options::default(), wake)?;
    let rows = runtime.block_on(connect(url, senders))?;
    println!("{senders} senders, {EVENTS} events each time, a second:");
    println!("one row each  one node on PostgreSQL  ratio  embedded");
    let mut ratios = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let single = runtime.block_on(insert_all(&rows))?;
        let events = made()?;
        let ours = runtime.block_on(append_all(&node, events, senders))?;
        let events = made()?;
        let local = runtime.block_on(append_all(&embedded, events, senders))?;
        println!("{single:>12.0}  {ours:>22.0}  {:>5.2}  {local:>8.0}", ours / single);
        ratios.push(ours / single);
    }
    println!("median ratio: {:.2}", crate::median(ratios.into_iter()));
    node.close();
    embedded.close();
    runtime.block_on(async {
        let first = rows.first().context("a connection")?;
        Ok(first.batch_execute("DROP SCHEMA hookgate_bench CASCADE").await?)
    })
}

/// Connections to a database that makes a commit durable.
async fn connect(url: &str, count: usize) -> Result<Vec<Arc<Client>>> {
    let mut clients = Vec::with_capacity(count);
    for _ in 0..count {
        let (client, connection) =
            tokio_postgres::connect(url, NoTls).await.context("connecting to PostgreSQL")?;
        tokio::spawn(connection);
        clients.push(Arc::new(client));
    }
    let first = clients.first().context("at least one sender")?;
    for setting in ["fsync", "synchronous_commit"] {
        let row = first.query_one(&format!("SHOW {setting}"), &[]).await?;
        let value: &str = row.try_get(0)?;
        ensure!(value == "on", "{setting} is {value}: nothing would be durable");
    }
    first.batch_execute(TABLE).await?;
    Ok(clients)
}

/// Events that no other request made, as they are when they are stored.
fn made() -> Result<Vec<Attributed>> {
    let source = parts::source().context("a source")?;
    let nobody = Consulted::default();
    let event = |_| {
        let raw = Bytes::from(body::fresh());
        let signed = body::request(&raw);
        let verified = parts::judge(parts::receive(&source, &raw, &signed)).context("a proof")?;
        let readable = read(verified).ok().context("a readable event")?;
        readable.decide(&nobody).conclude().ok().context("an accepted event")
    };
    (0..EVENTS).map(event).collect()
}

/// Stores all, a share by each sender, one after the other; gives how many in a second.
async fn append_all(store: &Store, events: Vec<Attributed>, senders: usize) -> Result<f64> {
    let mut shares: Vec<Vec<Attributed>> = (0..senders).map(|_| Vec::new()).collect();
    for (number, event) in events.into_iter().enumerate() {
        if let Some(share) = shares.get_mut(number % senders.max(1)) {
            share.push(event);
        }
    }
    let begun = Instant::now();
    let sending: Vec<_> = shares
        .into_iter()
        .map(|share| {
            let store = store.clone();
            tokio::spawn(async move {
                for event in &share {
                    store.append(event, None).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for sender in sending {
        sender.await??;
    }
    Ok(per_second(EVENTS, begun))
}

/// Inserts as many rows of the same size, each in a transaction of its own.
async fn insert_all(clients: &[Arc<Client>]) -> Result<f64> {
    let head = vec![0xab_u8; HEAD_BYTES];
    let share = EVENTS / clients.len().max(1);
    let mut prepared = Vec::with_capacity(clients.len());
    for client in clients {
        prepared.push((Arc::clone(client), client.prepare(INSERT).await?));
    }
    let bodies: Vec<Vec<Vec<u8>>> =
        prepared.iter().map(|_| (0..share).map(|_| body::fresh()).collect()).collect();
    let begun = Instant::now();
    let sending: Vec<_> = prepared
        .into_iter()
        .zip(bodies)
        .map(|((client, insert), bodies)| {
            let head = head.clone();
            tokio::spawn(async move {
                for body in &bodies {
                    client.execute(&insert, &[&1_i64, &head, body]).await?;
                }
                anyhow::Ok(())
            })
        })
        .collect();
    for sender in sending {
        sender.await??;
    }
    Ok(per_second(share * clients.len(), begun))
}

fn per_second(count: usize, begun: Instant) -> f64 {
    u32::try_from(count).map_or(f64::NAN, f64::from) / begun.elapsed().as_secs_f64()
}

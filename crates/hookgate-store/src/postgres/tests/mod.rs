//! Nodes on a real PostgreSQL.

mod appending;
#[path = "../../../tests/it/bench.rs"]
#[expect(dead_code, reason = "what tests of the other backend stand on")]
mod bench;
mod crash;
mod nodes;
mod proxy;
mod rings;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;

use hookgate_testpg::{Cluster, Database};
use postgres::{Client, NoTls};
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::bench::Call;
use super::Node;
use crate::error::Unavailable;
use crate::options::Options;
use crate::receipt::Receipt;
use crate::registry;

/// What has to be there before a node is opened.
const SCHEMA: &str = "
    DO $$ BEGIN CREATE ROLE hookgate_app NOLOGIN;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END $$;
    CREATE SCHEMA hookgate;
    GRANT USAGE ON SCHEMA hookgate TO hookgate_app;
    SET search_path = hookgate;
";

/// Makes the tables of events.
fn migrate(client: &mut Client) {
    client.batch_execute(SCHEMA).unwrap();
    client.batch_execute(include_str!("../migrations/0002_events.sql")).unwrap();
}

/// A database with the tables of events.
fn database(cluster: &Cluster) -> Database<'_> {
    let database = cluster.database();
    migrate(&mut database.connect());
    database
}

/// A node in a folder of its own, with a registry there.
struct Bench {
    node: Node,
    folder: TempDir,
    runtime: Runtime,
}

impl Bench {
    fn new(url: &str) -> Self {
        Self::with(url, Options::default())
    }

    fn with(url: &str, options: Options) -> Self {
        let folder = TempDir::new().unwrap();
        let node = open(url, folder.path(), options);
        let mut runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = runtime.worker_threads(2).enable_all().build().unwrap();
        Self { node, folder, runtime }
    }

    fn wait<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }

    fn append(&self, call: &Call) -> Result<Receipt, Unavailable> {
        self.wait(self.node.append(&call.accepted(), None))
    }
}

fn open(url: &str, folder: &Path, options: Options) -> Node {
    let url = url.to_owned();
    let connect = move || {
        let mut client = Client::connect(&url, NoTls).map_err(std::io::Error::other)?;
        client.batch_execute("SET search_path = hookgate").map_err(std::io::Error::other)?;
        Ok(client)
    };
    let registry = registry::open(&folder.join("registry.sqlite")).unwrap();
    let wake = hookgate_journal::wake_inline();
    Node::open(Arc::new(connect), folder, registry, options, wake).unwrap()
}

/// One number out of the database.
fn number(client: &mut Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).unwrap().get(0)
}

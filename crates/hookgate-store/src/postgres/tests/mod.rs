//! Nodes on a real PostgreSQL.

mod appending;
#[path = "../../../tests/it/bench.rs"]
#[expect(dead_code, unused_macros, unused_imports, reason = "what other tests stand on")]
mod bench;
mod crash;
#[path = "../../../tests/it/database.rs"]
mod database;
mod nodes;
mod proxy;
mod rings;

use std::future::Future;

use hookgate_testpg::{Cluster, Database};
use postgres::Client;
use tempfile::TempDir;
use tokio::runtime::Runtime;

use self::bench::Call;
use super::migrations::migrate;
use super::{Node, PgSettings};
use crate::error::Unavailable;
use crate::options::Options;
use crate::receipt::Receipt;

/// A database with all tables.
fn database(cluster: &Cluster) -> Database<'_> {
    let database = cluster.database();
    migrate(&mut database.connect()).unwrap();
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
        Self::of(url, options, false)
    }

    /// With a spool.
    fn spooling(url: &str) -> Self {
        Self::of(url, Options::default(), true)
    }

    fn of(url: &str, options: Options, has_spool: bool) -> Self {
        let folder = TempDir::new().unwrap();
        let spool = has_spool.then(|| folder.path().join("spool"));
        let settings = PgSettings::parse(url).unwrap();
        let settings = settings.in_folder(folder.path().to_owned(), spool);
        let node = Node::open(&settings, options, hookgate_journal::wake_inline()).unwrap();
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

/// One number out of the database.
fn number(client: &mut Client, sql: &str) -> i64 {
    client.query_one(sql, &[]).unwrap().get(0)
}

//! A database with the tables of a store, and nodes on it.

use std::path::Path;
use std::sync::OnceLock;

use hookgate_store::{Options, PgSettings, Store};
use hookgate_testpg::{Cluster, Database};

/// Does something where no runtime is: a connection has one within, which nobody starts
/// or ends inside of another.
pub(crate) fn outside<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| scope.spawn(work).join().unwrap())
}

/// A database of one test.
pub(crate) struct Tables(Option<Database<'static>>);

impl Tables {
    pub(crate) fn url(&self) -> String {
        self.0.as_ref().unwrap().url()
    }
}

impl Drop for Tables {
    fn drop(&mut self) {
        let database = self.0.take();
        outside(move || drop(database));
    }
}

/// A database with the tables of a store.
pub(crate) fn with_tables() -> Tables {
    static TEMPLATE: OnceLock<Database<'static>> = OnceLock::new();
    let database = outside(|| {
        let cluster = Cluster::shared();
        let template = TEMPLATE.get_or_init(|| {
            let database = cluster.database();
            let folder = tempfile::TempDir::new().unwrap();
            drop(node(&database.url(), folder.path(), &Options::default()));
            // Who the store is, is drawn anew for each.
            database.connect().batch_execute("TRUNCATE hookgate.meta").unwrap();
            database
        });
        cluster.database_like(template.name())
    });
    Tables(Some(database))
}

/// Opens a node.
pub(crate) fn node(url: &str, folder: &Path, options: &Options) -> Store {
    let settings = PgSettings::parse(url).unwrap().in_folder(folder.to_owned(), None);
    let wake = hookgate_journal::wake_inline();
    outside(|| Store::open_postgres(&settings, options.clone(), wake).unwrap())
}

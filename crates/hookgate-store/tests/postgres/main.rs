//! The store in PostgreSQL, against the real server.

#![expect(clippy::unwrap_used, reason = "a test may fail")]

mod connecting;
mod encryption;
mod pooler;
mod role;
mod urls;
mod views;

use hookgate_store::{ConnectError, ConnectFault, PgSettings};
use postgres::Client;

fn connect(url: &str) -> Result<Client, ConnectError> {
    PgSettings::parse(url).unwrap().connect("test")
}

/// How connecting fails, with all that is ever shown of it.
#[track_caller]
fn refused(url: &str) -> (ConnectFault, String) {
    let Err(error) = connect(url) else { panic!("it connects") };
    let mut shown = format!("{error:?} {error}");
    let mut cause: Option<&dyn std::error::Error> = std::error::Error::source(&error);
    while let Some(found) = cause {
        shown = format!("{shown}: {found} {found:?}");
        cause = found.source();
    }
    (error.fault(), shown)
}

fn one(client: &mut Client, statement: &str) -> String {
    client.query_one(statement, &[]).unwrap().get(0)
}

//! The real pgbouncer between.

use hookgate_store::ConnectFault;
use hookgate_testpg::{Bouncer, Cluster, Pooling};

use crate::{connect, one, refused};

#[test]
fn a_transaction_pooler_is_refused_however_it_lends() {
    let database = Cluster::shared().database();
    for settings in [
        &[][..],
        &["server_round_robin = 1"],
        &["default_pool_size = 2", "server_round_robin = 1"],
        &["min_pool_size = 2"],
        &["min_pool_size = 3", "server_round_robin = 1"],
    ] {
        let bouncer = Bouncer::start(database.cluster(), Pooling::Transaction, settings);
        let (fault, shown) = refused(&bouncer.url(database.name()));
        assert_eq!(fault, ConnectFault::TransactionPooler, "{settings:?}: {shown}");
        assert!(shown.contains("session mode") && !shown.contains("staple"), "{shown}");
    }
}

#[test]
fn a_refused_pooler_is_left_as_it_was_found() {
    let database = Cluster::shared().database();
    let bouncer = Bouncer::start(database.cluster(), Pooling::Transaction, &[]);
    let url = bouncer.url(database.name());
    refused(&url);
    let mut other = postgres::Client::connect(&url, postgres::NoTls).unwrap();
    let statement = "SELECT current_setting('search_path') || current_setting('statement_timeout')";
    let found = other.simple_query(statement).unwrap();
    let found = found.iter().find_map(|it| match it {
        postgres::SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    assert_eq!(found, Some("\"$user\", public0"));
}

#[test]
fn a_session_pooler_serves() {
    let database = Cluster::shared().database();
    let bouncer = Bouncer::start(database.cluster(), Pooling::Session, &[]);
    let url = bouncer.url(database.name());
    let mut client = connect(&url).unwrap();
    assert_eq!(one(&mut client, "SELECT current_setting('search_path')"), "hookgate");
    client.batch_execute("LISTEN hookgate_test").unwrap();
    connect(&url).unwrap().batch_execute("NOTIFY hookgate_test, 'heard'").unwrap();
    client.simple_query("SELECT 1").unwrap();
    let heard = postgres::fallible_iterator::FallibleIterator::next(
        &mut client.notifications().timeout_iter(std::time::Duration::from_secs(30)),
    );
    assert_eq!(heard.unwrap().unwrap().payload(), "heard");
}

#[test]
fn the_poolers_own_refusals_are_understood() {
    let database = Cluster::shared().database();
    let bouncer = Bouncer::start(database.cluster(), Pooling::Session, &[]);
    let url = bouncer.url(database.name());
    assert_eq!(refused(&url.replace("horse", "cow")).0, ConnectFault::Denied);
    assert_eq!(refused(&bouncer.url("nothing")).0, ConnectFault::NoDatabase);
}

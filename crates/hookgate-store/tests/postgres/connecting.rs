//! Connecting, and what is said when that fails.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookgate_store::{ConnectFault, PgSettings};
use hookgate_testpg::{Cluster, PASSWORD};

use crate::{connect, one, refused};

#[test]
fn a_session_is_durable_bounded_and_in_its_own_schema() {
    let database = Cluster::shared().database();
    for url in [database.url(), database.tcp_url()] {
        let mut client = connect(&url).unwrap();
        let found = one(
            &mut client,
            "SELECT concat_ws(' ', current_setting('search_path'), \
             current_setting('synchronous_commit'), current_setting('statement_timeout'), \
             current_setting('idle_in_transaction_session_timeout'), \
             current_setting('application_name'), current_database())",
        );
        let name = database.name();
        assert_eq!(found, format!("hookgate on 20s 20s hookgate: test {name}"));
    }
}

#[test]
fn each_mistake_is_told_from_the_others_and_shows_no_password() {
    let database = Cluster::shared().database();
    let mut admin = database.connect();
    for statement in [
        "CREATE ROLE passing LOGIN PASSWORD 'sesame' CONNECTION LIMIT 0",
        "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0",
        "CREATE DATABASE fixed TEMPLATE template0",
        "ALTER DATABASE fixed SET default_transaction_read_only = on",
    ] {
        admin.batch_execute(statement).unwrap();
    }
    let (url, name) = (database.tcp_url(), database.name());
    let port = database.cluster().port().to_string();
    let login = url.split_once('@').unwrap().0;
    let table = [
        (url.replace("horse", "sesame"), ConnectFault::Denied, "%40"),
        (url.replace("postgres:correct", "nobody:sesame"), ConnectFault::Denied, "%40"),
        (
            format!("postgres://postgres@127.0.0.1:{port}/{name}"),
            ConnectFault::NoPassword,
            "PGPASSWORD",
        ),
        (url.replace(name, "sesam"), ConnectFault::NoDatabase, "create it"),
        (url.replace(&port, "1"), ConnectFault::Unreachable, "Is it running"),
        (format!("{login}@nowhere.invalid:{port}/{name}"), ConnectFault::Unreachable, "right"),
        (format!("postgres:///{name}?host=/nowhere"), ConnectFault::Unreachable, "right"),
        (url.replace(name, "latin"), ConnectFault::NotUtf8, "UTF8"),
        (url.replace(name, "fixed"), ConnectFault::ReadOnly, "primary"),
        (database.url().replace("postgres@", "nobody@"), ConnectFault::NotAllowed, "pg_hba"),
    ];
    for (url, fault, words) in table {
        let (found, shown) = refused(&url);
        assert_eq!(found, fault, "{shown}");
        assert!(shown.contains(words), "{shown}");
        for secret in ["horse", "staple", "sesame", PASSWORD] {
            assert!(!shown.contains(secret), "{shown}");
        }
    }
    let passing = format!("postgres://passing:sesame@127.0.0.1:{port}/postgres");
    assert_eq!(refused(&passing).0, ConnectFault::Full);
    for statement in ["DROP DATABASE latin", "DROP DATABASE fixed", "DROP ROLE passing"] {
        admin.batch_execute(statement).unwrap();
    }
}

#[test]
fn a_server_that_is_stopped_is_an_outage_and_a_wrong_password_is_not() {
    let cluster = Cluster::start(&hookgate_testpg::Options::default());
    let settings = PgSettings::parse(&cluster.tcp_url("postgres")).unwrap();
    let mut client = settings.connect("test").unwrap();
    cluster.stop(hookgate_testpg::Stop::Immediate);
    assert!(client.simple_query("SELECT 1").is_err());
    assert!(client.is_closed());
    assert!(settings.connect("test").err().unwrap().may_pass());
    cluster.start_again();
    assert!(settings.connect("test").is_ok());
    let wrong = PgSettings::parse(&cluster.tcp_url("postgres").replace("horse", "cow")).unwrap();
    assert!(!wrong.connect("test").err().unwrap().may_pass());
}

#[test]
fn the_second_server_is_taken_where_the_first_is_away() {
    let database = Cluster::shared().database();
    let url = database.tcp_url().replace("@127.0.0.1", "@127.0.0.1:1,127.0.0.1");
    assert_eq!(one(&mut connect(&url).unwrap(), "SELECT 'there'"), "there");
}

#[test]
fn a_statement_that_takes_too_long_is_cancelled_and_the_connection_goes_on() {
    let settings = PgSettings::parse(&Cluster::shared().tcp_url("postgres")).unwrap();
    let settings = settings.answering_within(Duration::from_millis(50));
    let mut client = settings.connect("test").unwrap();
    let error = client.simple_query("SELECT pg_sleep(100)").unwrap_err();
    assert_eq!(error.code().unwrap().code(), "57014", "{error:?}");
    assert_eq!(one(&mut client, "SELECT 'on'"), "on");
}

/// Passes bytes on between a client and the server until it is told to stop.
struct Proxy {
    port: u16,
    is_frozen: Arc<AtomicBool>,
    open: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let own = listener.local_addr().unwrap().port();
        let is_frozen = Arc::new(AtomicBool::new(false));
        let open = Arc::new(Mutex::new(Vec::new()));
        let (frozen, kept) = (Arc::clone(&is_frozen), Arc::clone(&open));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                kept.lock().unwrap().push(client.try_clone().unwrap());
                let server = TcpStream::connect(("127.0.0.1", port)).unwrap();
                for (mut from, mut to) in [
                    (client.try_clone().unwrap(), server.try_clone().unwrap()),
                    (server.try_clone().unwrap(), client.try_clone().unwrap()),
                ] {
                    let frozen = Arc::clone(&frozen);
                    std::thread::spawn(move || {
                        let mut bytes = [0; 4096];
                        while let Ok(count) = from.read(&mut bytes) {
                            // What comes is swallowed: both sides' sockets stay open.
                            if count == 0 || frozen.load(Ordering::SeqCst) {
                                std::thread::park();
                            }
                            if to.write_all(bytes.get(..count).unwrap()).is_err() {
                                return;
                            }
                        }
                    });
                }
            }
        });
        Self { port: own, is_frozen, open }
    }
}

#[test]
fn a_connection_that_freezes_is_given_up_in_any_phase() {
    let cluster = Cluster::shared();
    let proxy = Proxy::to(cluster.port());
    let url =
        cluster.tcp_url("postgres").replace(&cluster.port().to_string(), &proxy.port.to_string());
    let settings = PgSettings::parse(&format!("{url}?connect_timeout=1")).unwrap();
    let settings = settings.answering_within(Duration::from_millis(100));
    let mut client = settings.connect("test").unwrap();
    assert_eq!(one(&mut client, "SELECT 'on'"), "on");
    proxy.is_frozen.store(true, Ordering::SeqCst);

    assert!(client.simple_query("SELECT 1").is_err());
    assert!(client.is_closed());
    let error = settings.connect("test").err().unwrap();
    assert_eq!(error.fault(), ConnectFault::Silent);
    assert!(error.may_pass());
    assert!(!proxy.open.lock().unwrap().is_empty());
}

#[test]
fn a_connection_that_only_listens_is_not_given_up() {
    let cluster = Cluster::shared();
    let settings = PgSettings::parse(&cluster.tcp_url("postgres")).unwrap();
    // Silence is an error after 3 s more than this; nothing is owed while it listens.
    let settings = settings.answering_within(Duration::from_secs(2));
    let mut client = settings.connect("test").unwrap();
    client.batch_execute("SET statement_timeout = 0; LISTEN hookgate_test").unwrap();
    let mut notifications = client.notifications();
    let mut wait = notifications.timeout_iter(Duration::from_secs(6));
    let found = postgres::fallible_iterator::FallibleIterator::next(&mut wait).unwrap();
    assert!(found.is_none());
}
